/**
 * The agent's desk: which record for which contact, when and where, whichever host the page is in.
 *
 * Owns what has become of each contact's record. A host tells it of contacts; it opens their records by an
 * {@link Opener}, and the view shows what it says. It opens a record once, and never takes one away that the agent
 * may have been writing in.
 */

import type { Contact } from './contact.ts';
import { pageAt, searchFor, type Page } from './address.ts';
import { messageOf } from './message.ts';
import type { Settings } from './settings.ts';

/** Opens pages, as a host can. */
export interface Opener {
  /** Opens a contact's page, by itself or because the agent asked for it. */
  open(contact: Contact, page: Page, byAgent: boolean): Promise<Opened>;
  /** Takes what happens to pages after they were opened. */
  listen(events: OpenerEvents): void;
  /** The agent looks at this contact now; `byHost` when the host has said so itself. */
  show(contact: Contact, byHost: boolean): void;
  /** Whether the agent may have written something in the contact's page that closing it would lose. */
  isTouched(id: string): boolean;
  /** Whether the agent is in the contact's page now. */
  hasFocus(id: string): boolean;
  /** Closes the contact's page. */
  close(id: string): void;
}

/** What happens to pages after they were opened. */
export interface OpenerEvents {
  /** It is gone: Dynamics does not let what it has become stand in this page. */
  refused(id: string): void;
  /** Another has taken its place. It is opened again when the agent selects its contact. */
  replaced(id: string): void;
  /** Nothing in it can be lost, as it turns out. */
  untouched(id: string): void;
}

/** What became of opening a page. */
export type Opened =
  | { readonly is: 'open' }
  /** There is one place only, and it is the selected contact's. */
  | { readonly is: 'later' }
  /** The browser opens no tab without the agent's click. */
  | { readonly is: 'blocked' }
  /** Dynamics does not let the page stand in this one, or does not answer. */
  | { readonly is: 'refused' }
  /** Something else; the text says what, and what to do. */
  | { readonly is: 'failed'; readonly why: string };

/** What has become of a contact's record. */
export type RecordState =
  /** It opens when the contact is further. */
  | { readonly is: 'not-yet' }
  /** It has not been told. `isLate` once the page has waited as long as it is to. */
  | { readonly is: 'awaited'; readonly isLate: boolean }
  /** The address that was told may not be opened. */
  | { readonly is: 'not-allowed'; readonly address: string; readonly why: string }
  | { readonly is: 'opening'; readonly page: Page }
  | { readonly is: 'open'; readonly page: Page }
  /** It opens when the agent selects the contact. */
  | { readonly is: 'later'; readonly page: Page }
  | { readonly is: 'blocked'; readonly page: Page }
  | { readonly is: 'refused'; readonly page: Page }
  | { readonly is: 'failed'; readonly page: Page; readonly why: string };

/** A contact on the desk. */
export interface Case {
  readonly contact: Contact;
  readonly record: RecordState;
  /** A page that was told after the agent had been at the one that is open. */
  readonly other: Page | null;
  /** An address that was told after a page was opened, and may not be. */
  readonly refusedOther: { readonly address: string; readonly why: string } | null;
  /** Whether the contact is over for this agent, and only its page is left. */
  readonly isOver: boolean;
}

/** Everything that the view shows. */
export interface DeskState {
  readonly cases: readonly Case[];
  /** The contact that the agent looks at. */
  readonly selected: string | null;
}

type Mutable = { -readonly [Field in keyof Case]: Case[Field] } & {
  /** What was told last: a page is judged once. */
  told: string;
  timer: ReturnType<typeof setTimeout> | null;
};

/** Records that were opened in a tab before the page was loaded again. They are not opened twice. */
const REMEMBERED = 'connect-dynamics-tabs';

export class Desk {
  readonly #settings: Settings;
  readonly #opener: Opener;
  readonly #changed: (state: DeskState) => void;
  readonly #cases = new Map<string, Mutable>();
  #selected: string | null = null;
  /** A contact that the host has selected before it told of it. */
  #awaited: string | null = null;

  constructor(settings: Settings, opener: Opener, changed: (state: DeskState) => void) {
    this.#settings = settings;
    this.#opener = opener;
    this.#changed = changed;
    opener.listen({
      refused: (id) => {
        this.#with(id, (it) => {
          if (it.record.is === 'open') {
            it.record = { is: 'refused', page: it.record.page };
          }
        });
      },
      replaced: (id) => {
        this.#with(id, (it) => {
          if (it.record.is === 'open') {
            it.record = { is: 'later', page: it.record.page };
            this.#openLater(it);
          }
        });
      },
      untouched: (id) => {
        this.#with(id, (it) => {
          if (it.isOver) {
            this.#drop(id);
          }
        });
      },
    });
  }

  /** A contact is there, or has changed. */
  see(contact: Contact): void {
    let it = this.#cases.get(contact.id);
    if (it === undefined) {
      if (contact.phase === 'missed') {
        return;
      }
      it = { contact, record: { is: 'not-yet' }, other: null, refusedOther: null, isOver: false, told: '', timer: null };
      this.#cases.set(contact.id, it);
    }
    const isAnswered = contact.phase === 'connected' && (it.contact === contact || it.contact.phase !== 'connected');
    // The customer is not known any more once a contact is over.
    it.contact = contact.customer === '' ? { ...contact, customer: it.contact.customer } : contact;
    it.isOver = false;
    if (contact.phase === 'missed') {
      this.lose(contact.id);
      return;
    }
    const isAwaited = this.#awaited === contact.id;
    if (this.#selected === null || isAwaited || (isAnswered && this.#isIdle(this.#selected))) {
      this.select(contact.id, isAwaited);
    }
    this.#decide(it);
    this.#tell();
  }

  /** The agent looks at this contact; `byHost` when the host has said so, and not this page. */
  select(id: string, byHost: boolean): void {
    const it = this.#cases.get(id);
    this.#awaited = it === undefined ? id : null;
    if (it === undefined || (byHost && this.#selected === id)) {
      return;
    }
    this.#selected = id;
    this.#opener.show(it.contact, byHost);
    this.#openLater(it);
    this.#tell();
  }

  /** A contact is over for this agent. Its page is closed, unless something may be unsaved in it. */
  lose(id: string): void {
    const it = this.#cases.get(id);
    if (it === undefined) {
      return;
    }
    this.#stopTimer(it);
    if (this.#opener.isTouched(id)) {
      it.isOver = true;
      it.other = null;
      it.refusedOther = null;
    } else {
      this.#drop(id);
    }
    this.#tell();
  }

  /** The agent wants the contact's page opened, in this place. */
  open(id: string, target: Page['target']): void {
    const it = this.#cases.get(id);
    if (it !== undefined && 'page' in it.record) {
      this.#open(it, { ...it.record.page, target }, true);
    }
  }

  /** The agent wants the page that was told later. */
  openOther(id: string): void {
    const it = this.#cases.get(id);
    if (it?.other) {
      const page = it.other;
      it.other = null;
      this.#open(it, page, true);
    }
  }

  /** The agent keeps the page that is open. */
  keep(id: string): void {
    this.#with(id, (it) => {
      it.other = null;
    });
  }

  /** The agent has read of an address that is not opened. */
  forgetRefused(id: string): void {
    this.#with(id, (it) => {
      it.refusedOther = null;
    });
  }

  /** The agent wants Dynamics' search for the contact's customer. */
  search(id: string): void {
    const it = this.#cases.get(id);
    if (it !== undefined && it.contact.customer !== '') {
      this.#open(it, { url: searchFor(it.contact.customer, this.#settings), target: 'embedded' }, true);
    }
  }

  /** The agent closes a page, whatever is in it. */
  close(id: string): void {
    const it = this.#cases.get(id);
    if (it === undefined) {
      return;
    }
    if (it.isOver) {
      this.#drop(id);
    } else {
      this.#opener.close(id);
      it.record = 'page' in it.record ? { is: 'failed', page: it.record.page, why: 'You have closed it.' } : it.record;
    }
    this.#tell();
  }

  /** Whether a contact is not over. */
  isThere(id: string): boolean {
    return this.#cases.get(id)?.isOver === false;
  }

  /** Whether something may be unsaved on any contact's page. */
  isAnyTouched(): boolean {
    return [...this.#cases.keys()].some((id) => this.#opener.isTouched(id));
  }

  #decide(it: Mutable): void {
    const { contact } = it;
    const isTime = contact.phase !== 'ringing' || this.#settings.openOn === 'connecting';
    if (!isTime) {
      return;
    }
    const address = (contact.attributes['screenPopUrl'] ?? '').trim();
    const target = contact.attributes['screenPopTarget'] ?? '';
    if (address === '') {
      if (it.record.is === 'not-yet') {
        it.record = { is: 'awaited', isLate: false };
        it.timer = setTimeout(() => {
          if (it.record.is === 'awaited') {
            it.record = { is: 'awaited', isLate: true };
            this.#tell();
          }
        }, this.#settings.waitSeconds * 1000);
      }
      return;
    }
    const told = `${target} ${address}`;
    if (told === it.told) {
      return;
    }
    it.told = told;
    this.#stopTimer(it);
    const page = pageAt(address, target, this.#settings);
    if ('refused' in page) {
      // What is open stays.
      if ('page' in it.record) {
        it.refusedOther = { address, why: page.refused };
      } else {
        it.record = { is: 'not-allowed', address, why: page.refused };
      }
      return;
    }
    it.refusedOther = null;
    if ('page' in it.record && it.record.page.url === page.url) {
      it.other = null;
      return;
    }
    if (this.#opener.isTouched(contact.id)) {
      it.other = page;
      return;
    }
    if (page.target === 'tab' && isRemembered(contact.id, page.url)) {
      it.record = { is: 'failed', page, why: 'It was opened in a tab before this page was loaded again.' };
      return;
    }
    this.#open(it, page, false);
  }

  #open(it: Mutable, page: Page, byAgent: boolean): void {
    this.#stopTimer(it);
    const opening: RecordState = { is: 'opening', page };
    it.record = opening;
    this.#tell();
    const done = (opened: Opened) => {
      // Another page may have been asked for meanwhile.
      if (it.record !== opening) {
        return;
      }
      it.record = opened.is === 'failed' ? { is: 'failed', page, why: opened.why } : { is: opened.is, page };
      if (opened.is === 'open' && page.target === 'tab') {
        remember(it.contact.id, page.url);
      }
      this.#tell();
    };
    this.#opener.open(it.contact, page, byAgent).then(done, (error: unknown) => {
      done({ is: 'failed', why: messageOf(error) });
    });
  }

  /** Opens what waits for the agent to select its contact, if they have. */
  #openLater(it: Mutable): void {
    if (it.record.is === 'later' && this.#selected === it.contact.id) {
      this.#open(it, it.record.page, false);
    }
  }

  /** Whether the agent is not in the middle of something with a contact. */
  #isIdle(id: string): boolean {
    const it = this.#cases.get(id);
    return it === undefined || ((it.isOver || it.contact.phase !== 'connected') && !this.#opener.hasFocus(id));
  }

  #with(id: string, change: (it: Mutable) => void): void {
    const it = this.#cases.get(id);
    if (it !== undefined) {
      change(it);
      this.#tell();
    }
  }

  #drop(id: string): void {
    this.#cases.delete(id);
    this.#opener.close(id);
    if (this.#selected === id) {
      this.#selected = null;
      const next = [...this.#cases.values()].at(-1);
      if (next !== undefined) {
        this.select(next.contact.id, false);
      }
    }
  }

  #stopTimer(it: Mutable): void {
    if (it.timer !== null) {
      clearTimeout(it.timer);
      it.timer = null;
    }
  }

  #tell(): void {
    this.#changed({ cases: [...this.#cases.values()], selected: this.#selected });
  }
}

function remembered(): Record<string, string> {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Record<string, string>) : {};
  } catch {
    // A browser may keep nothing for a page in another's frame.
    return {};
  }
}

function isRemembered(id: string, url: string): boolean {
  return remembered()[id] === url;
}

function remember(id: string, url: string): void {
  try {
    // The last hundred are more than an agent has.
    const entries = Object.entries({ ...remembered(), [id]: url }).slice(-100);
    sessionStorage.setItem(REMEMBERED, JSON.stringify(Object.fromEntries(entries)));
  } catch {
    // Then a tab may be opened again after the page was loaded again.
  }
}
