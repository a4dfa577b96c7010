/**
 * Opens pages in this one, or in tabs of the browser. The hosts whose page is beside the record use it.
 *
 * A page stands in `<object>`, not in `<iframe>`: of a page that may not be framed, or does not answer, only the
 * former tells (`error`), by the HTML standard's fallback. Each contact has its own, which stays as it is while the
 * agent looks at another contact.
 */

import { nameOf, type Contact } from './contact.ts';
import type { Opened, Opener, OpenerEvents } from './desk.ts';
import type { Page } from './address.ts';
import { openTab } from './tab.ts';

/** How often it is looked where the keyboard's focus is: no event tells that it goes from one frame into another. */
const LOOK_MILLISECONDS = 200;
/** How long browsers take a click or a key for what the person does now. */
const ACTIVE_MILLISECONDS = 5000;

interface Frame {
  readonly element: HTMLObjectElement;
  readonly url: string;
  /** What became of loading it. */
  readonly opened: Promise<Opened>;
  isLoaded: boolean;
  /**
   * Whether the agent has been in the page. A page can take the focus by itself, without a click or a key of the
   * agent's; and it can do so right after one that was meant for the control panel, when only time tells.
   */
  touched: 'no' | 'perhaps' | 'yes';
  /** Since when it has the focus; null when it has not. */
  focusedAt: number | null;
}

export class RecordArea implements Opener {
  readonly #area: HTMLElement;
  readonly #frames = new Map<string, Frame>();
  readonly #tabs = new Map<string, { readonly url: string; readonly tab: Window }>();
  #events: OpenerEvents | null = null;
  #shown: string | null = null;
  #wasActive = false;

  constructor(area: HTMLElement) {
    this.#area = area;
    setInterval(() => {
      this.#look();
    }, LOOK_MILLISECONDS);
  }

  listen(events: OpenerEvents): void {
    this.#events = events;
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
    this.#look();
    return (this.#frames.get(id)?.touched ?? 'no') !== 'no';
  }

  hasFocus(id: string): boolean {
    const frame = this.#frames.get(id);
    return frame !== undefined && document.activeElement === frame.element && this.isTouched(id);
  }

  close(id: string): void {
    this.#frames.get(id)?.element.remove();
    this.#frames.delete(id);
    this.#tabs.delete(id);
  }

  /** Looks which page the agent is in. What they do there nobody else sees. */
  #look(): void {
    const now = performance.now();
    // A click or a key in a frame counts for the page around it.
    const isActive = navigator.userActivation.isActive;
    for (const [id, frame] of this.#frames) {
      const isFocused = document.activeElement === frame.element;
      const isNew = isFocused && frame.focusedAt === null;
      frame.focusedAt = isFocused ? (frame.focusedAt ?? now) : null;
      if (frame.touched === 'yes') {
        continue;
      }
      if (!isFocused) {
        // They have gone before it was clear.
        frame.touched = frame.touched === 'perhaps' ? 'yes' : 'no';
      } else if (isNew) {
        frame.touched = isActive ? (this.#wasActive ? 'perhaps' : 'yes') : 'no';
      } else if (frame.touched === 'no') {
        frame.touched = isActive ? 'yes' : 'no';
      } else if (now - (frame.focusedAt ?? now) > ACTIVE_MILLISECONDS - 2 * LOOK_MILLISECONDS) {
        // A click or a key from before the focus came would be over by now, as exactly as this looks.
        frame.touched = 'yes';
      } else if (!isActive) {
        // The page has taken the focus by itself.
        frame.touched = 'no';
        this.#events?.untouched(id);
      }
    }
    this.#wasActive = isActive;
  }

  #embed(contact: Contact, page: Page): Promise<Opened> {
    const before = this.#frames.get(contact.id);
    if (before?.url === page.url && (before.isLoaded || this.isTouched(contact.id))) {
      // It is there, with what the agent may have written.
      return before.opened;
    }
    before?.element.remove();
    const element = document.createElement('object');
    element.type = 'text/html';
    element.setAttribute('aria-label', `Dynamics 365: ${nameOf(contact)}`);
    element.classList.toggle('is-hidden', this.#shown !== contact.id);
    const opened = new Promise<Opened>((resolve) => {
      element.addEventListener('load', () => {
        const frame = this.#frames.get(contact.id);
        if (frame?.element === element) {
          frame.isLoaded = true;
        }
        resolve({ is: 'open' });
      });
      element.addEventListener('error', () => {
        resolve({ is: 'refused' });
        // It may be there for long when it goes, to a page for signing in that stands in no frame.
        if (this.#frames.get(contact.id)?.element === element) {
          this.#frames.delete(contact.id);
          this.#events?.refused(contact.id);
        }
        element.remove();
      });
    });
    this.#frames.set(contact.id, { element, url: page.url, opened, isLoaded: false, touched: 'no', focusedAt: null });
    element.data = page.url;
    this.#area.append(element);
    return opened;
  }

  #openTab(id: string, page: Page): Opened {
    const open = this.#tabs.get(id);
    if (open !== undefined && open.url === page.url && !open.tab.closed) {
      open.tab.focus();
      return { is: 'open' };
    }
    const tab = openTab(page.url);
    if (tab === null) {
      return { is: 'blocked' };
    }
    this.#tabs.set(id, { url: page.url, tab });
    return { is: 'open' };
  }
}
