/**
 * Opens pages in this one, or in tabs of the browser. The hosts whose page is beside the record use it.
 *
 * A page stands in `<object>`, not in `<iframe>`: of a page that may not be framed, or does not answer, only the
 * former tells (`error`), by the HTML standard's fallback. Each contact has its own, which stays as it is while the
 * agent looks at another contact.
 */

import { nameOf, type Contact } from './contact.ts';
import type { Opened, Opener } from './desk.ts';
import type { Page } from './address.ts';

interface Frame {
  readonly element: HTMLObjectElement;
  isTouched: boolean;
}

export class RecordArea implements Opener {
  readonly #area: HTMLElement;
  readonly #frames = new Map<string, Frame>();
  readonly #tabs = new Map<string, { readonly url: string; readonly tab: Window }>();
  #shown: string | null = null;

  constructor(area: HTMLElement) {
    this.#area = area;
    // The focus goes into a frame when the agent clicks into it or moves there by the keyboard. What happens in
    // there nobody else sees, so whatever has had the focus may have been written in.
    window.addEventListener('blur', () => {
      // The browser moves the focus only after this event.
      setTimeout(() => {
        for (const frame of this.#frames.values()) {
          frame.isTouched ||= document.activeElement === frame.element;
        }
      });
    });
  }

  async open(contact: Contact, page: Page): Promise<Opened> {
    return page.target === 'tab' ? this.#openTab(contact.id, page) : this.#embed(contact, page);
  }

  show(contact: Contact): void {
    this.#shown = contact.id;
    for (const [id, { element }] of this.#frames) {
      element.classList.toggle('is-hidden', id !== contact.id);
    }
  }

  isTouched(id: string): boolean {
    return this.#frames.get(id)?.isTouched ?? false;
  }

  close(id: string): void {
    this.#frames.get(id)?.element.remove();
    this.#frames.delete(id);
    this.#tabs.delete(id);
  }

  #embed(contact: Contact, page: Page): Promise<Opened> {
    this.#frames.get(contact.id)?.element.remove();
    const element = document.createElement('object');
    element.type = 'text/html';
    element.setAttribute('aria-label', `Dynamics 365: ${nameOf(contact)}`);
    element.classList.toggle('is-hidden', this.#shown !== contact.id);
    this.#frames.set(contact.id, { element, isTouched: false });
    return new Promise((resolve) => {
      element.addEventListener('load', () => {
        resolve({ is: 'open' });
      });
      element.addEventListener('error', () => {
        if (this.#frames.get(contact.id)?.element === element) {
          this.#frames.delete(contact.id);
        }
        element.remove();
        resolve({ is: 'refused' });
      });
      element.data = page.url;
      this.#area.append(element);
    });
  }

  #openTab(id: string, page: Page): Opened {
    const open = this.#tabs.get(id);
    if (open !== undefined && open.url === page.url && !open.tab.closed) {
      open.tab.focus();
      return { is: 'open' };
    }
    // Not `noopener`, with which nobody would know whether a tab was opened.
    const tab = window.open('about:blank', '_blank');
    if (tab === null) {
      return { is: 'blocked' };
    }
    tab.opener = null;
    tab.location.replace(page.url);
    this.#tabs.set(id, { url: page.url, tab });
    return { is: 'open' };
  }
}
