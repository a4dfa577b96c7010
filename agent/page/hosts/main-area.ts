/**
 * Dynamics' main area, as a place for records: the framework opens forms there, one for all contacts or, in apps with
 * sessions, one for each.
 *
 * Owns what Dynamics shows as far as this page knows. Dynamics opens one form at a time, and may ask the agent before
 * it leaves another, for as long as they like; so one is asked for after the other, and of those that wait only the
 * newest. Before it leaves a form with changes Dynamics asks, so nothing here counts as touched.
 */

import { nameOf, type Contact } from '../contact.ts';
import type { Opened, Opener, OpenerEvents } from '../desk.ts';
import { shownBy, type Page, type Shows } from '../address.ts';
import { openTab } from '../tab.ts';
import type { ChannelIntegration } from './channel-integration.ts';

/** Where a customer is looked for by number or address. */
const SEARCHED = { table: 'contact', numbers: ['mobilephone', 'telephone1'], addresses: ['emailaddress1'] };

/** A page that is to be opened. */
interface Wish {
  readonly contact: Contact;
  readonly page: Page;
  readonly shows: NonNullable<Shows>;
  /** Whether the agent has asked for it. */
  readonly byAgent: boolean;
  readonly done: (opened: Opened) => void;
  readonly failed: (error: unknown) => void;
}

export class MainArea implements Opener {
  readonly #framework: Promise<ChannelIntegration>;
  readonly #environment: string;
  readonly #template: string;
  #events: OpenerEvents | null = null;
  #selected: string | null = null;
  /** The contact whose page Dynamics shows; null when it shows another. */
  #shown: string | null = null;
  #running: Wish | null = null;
  #next: Wish | null = null;
  /** The session of each contact that has one, and the page for which it was made. */
  readonly #sessions = new Map<string, { readonly id: string; readonly url: string }>();
  #focusedSession: string | null = null;
  #follow: ((contact: string) => void) | null = null;

  constructor(framework: Promise<ChannelIntegration>, environment: string, template: string) {
    this.#framework = framework;
    this.#environment = environment;
    this.#template = template;
    // Whoever opens something is told; nobody need be before that.
    framework.catch(() => undefined);
  }

  listen(events: OpenerEvents): void {
    this.#events = events;
  }

  /** Selects the contact of a session that the agent goes to. */
  followSessions(select: (contact: string) => void, framework: ChannelIntegration): void {
    if (!this.#hasSessions(framework)) {
      return;
    }
    this.#follow = select;
    framework.onSessionSwitched((session) => {
      this.#focusedSession = session;
      this.#followFocus();
    });
  }

  async open(contact: Contact, page: Page, byAgent: boolean): Promise<Opened> {
    const framework = await this.#framework;
    const shows = shownBy(page);
    const isElsewhere = new URL(page.url).origin !== this.#environment;
    if (shows === null || isElsewhere || ('search' in shows && page.target === 'tab')) {
      // Dynamics cannot be asked for it.
      return { is: openTab(page.url) === null ? 'blocked' : 'open' };
    }
    if (page.target === 'tab') {
      await this.#show(framework, shows, true);
      return { is: 'open' };
    }
    if (!byAgent && this.#selected !== contact.id) {
      return { is: 'later' };
    }
    if ('record' in shows && this.#hasSessions(framework)) {
      try {
        return await this.#openSession(framework, contact, page, shows.record);
      } catch {
        // An app of one session has the call as well, and refuses it. A form is better than none.
      }
    }
    return new Promise((done, failed) => {
      this.#next?.done({ is: 'later' });
      this.#next = { contact, page, shows, byAgent, done, failed };
      if (byAgent) {
        // What Dynamics has not answered, it may never.
        this.#running?.done({ is: 'later' });
        this.#running = null;
      }
      this.#run(framework);
    });
  }

  show(contact: Contact, byHost: boolean): void {
    this.#selected = contact.id;
    const session = this.#sessions.get(contact.id);
    if (session !== undefined && !byHost && session.id !== this.#focusedSession) {
      // A session that the agent has closed cannot be shown; opening the record makes another.
      this.#framework.then((framework) => framework.focusSession(session.id)).catch(() => undefined);
    }
  }

  isTouched(): boolean {
    return false;
  }

  hasFocus(): boolean {
    return false;
  }

  close(id: string): void {
    this.#sessions.delete(id);
    if (this.#shown === id) {
      this.#shown = null;
    }
    if (this.#next?.contact.id === id) {
      this.#next.done({ is: 'later' });
      this.#next = null;
    }
    if (this.#selected === id) {
      this.#selected = null;
    }
  }

  #hasSessions(framework: ChannelIntegration): boolean {
    return this.#template !== '' && framework.hasSessions;
  }

  async #openSession(framework: ChannelIntegration, contact: Contact, page: Page, record: { table: string; id: string }): Promise<Opened> {
    const session = this.#sessions.get(contact.id);
    if (session?.url === page.url) {
      try {
        await framework.focusSession(session.id);
        return { is: 'open' };
      } catch {
        // The agent has closed it.
      }
    }
    const id = await framework.createSession(this.#template, nameOf(contact), record);
    this.#sessions.set(contact.id, { id, url: page.url });
    // Dynamics may have gone to it before it said which it is.
    this.#followFocus();
    return { is: 'open' };
  }

  #followFocus(): void {
    const contact = [...this.#sessions].find(([, { id }]) => id === this.#focusedSession);
    if (contact !== undefined) {
      this.#follow?.(contact[0]);
    }
  }

  /** Asks Dynamics for what is wished next, unless it still works on something. */
  #run(framework: ChannelIntegration): void {
    const wish = this.#next;
    if (this.#running !== null || wish === null) {
      return;
    }
    this.#next = null;
    if (!wish.byAgent && this.#selected !== wish.contact.id) {
      // The agent has gone on meanwhile.
      wish.done({ is: 'later' });
      return;
    }
    this.#running = wish;
    const ended = (tell: () => void) => {
      if (this.#running === wish) {
        this.#running = null;
      }
      tell();
      this.#run(framework);
    };
    this.#show(framework, wish.shows, false).then(
      () => {
        const before = this.#shown;
        // Dynamics shows it now, wanted or not. If it was not, what it has replaced is the selected contact's, and is
        // opened again.
        this.#shown = wish.contact.id;
        ended(() => {
          wish.done({ is: 'open' });
          if (before !== null && before !== wish.contact.id) {
            this.#events?.replaced(before);
          }
        });
      },
      (error: unknown) => {
        ended(() => {
          wish.failed(error);
        });
      },
    );
  }

  async #show(framework: ChannelIntegration, shows: NonNullable<Shows>, isInNewWindow: boolean): Promise<void> {
    if ('search' in shows) {
      const columns = shows.search.includes('@') ? SEARCHED.addresses : SEARCHED.numbers;
      await framework.search(SEARCHED.table, columns, shows.search);
    } else {
      await framework.openForm(shows.record.table, shows.record.id, isInNewWindow);
    }
  }
}
