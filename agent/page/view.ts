/**
 * What the agent sees of the desk: the contacts, the words about the selected one's record, and what can be done.
 *
 * Owns the document. All that comes from outside is set as text.
 */

import { nameOf, type Contact, type Phase } from './contact.ts';
import type { Case, Desk, DeskState } from './desk.ts';
import type { Action, Notice, Places } from './host.ts';
import type { Settings } from './settings.ts';

const KINDS = { voice: 'Call', chat: 'Chat', task: 'Task', email: 'E-mail' } as const;
const PHASES: Readonly<Record<Phase, string>> = { ringing: 'ringing', connected: 'connected', afterwards: 'after-contact work', missed: 'missed' };
/** Dynamics may answer late; the agent is told so after this time. */
const SLOW_MILLISECONDS = 15_000;

export class View {
  readonly places: Places;
  readonly #notices = new Map<string, Notice>();
  readonly #noticeList: HTMLElement;
  readonly #tabs: HTMLElement;
  readonly #bar: HTMLElement;
  readonly #title: HTMLElement;
  readonly #words: HTMLElement;
  readonly #empty: HTMLElement;
  readonly #host: string;
  #desk: Desk | null = null;
  #settings: Settings | null = null;
  #state: DeskState = { cases: [], selected: null };
  /** What is shown of the bar, so that it is written only when it changes, and the focus stays where it is. */
  #shown = '';
  /** Contacts whose page has been opening for long. */
  readonly #slow = new Map<string, ReturnType<typeof setTimeout> | 'slow'>();
  /** The contact whose page the agent has asked to close, which may hold something unsaved. */
  #closing: string | null = null;

  constructor(body: HTMLElement, host: string) {
    this.#host = host;
    body.dataset['host'] = host;
    const controls = element('aside', { id: 'controls', 'aria-label': 'Call controls' });
    const main = element('main', { id: 'desk' });
    this.#noticeList = element('div', { id: 'notices', role: 'status' });
    this.#tabs = element('div', { id: 'contacts', role: 'tablist', 'aria-label': 'Contacts' });
    this.#bar = element('section', { id: 'record-bar', 'aria-label': 'Record' });
    this.#title = element('h1', {});
    this.#words = element('div', { id: 'words', class: 'words', role: 'status' });
    this.#empty = element('p', { id: 'empty' });
    const records = element('div', { id: 'records' });
    this.#bar.append(this.#title, this.#words);
    main.append(this.#noticeList, this.#tabs, this.#bar, this.#empty, records);
    body.append(...(host === 'workspace' ? [] : [controls]), main);
    this.places = { controls, records };
    this.#tabs.addEventListener('keydown', (event) => {
      this.#moveAmongTabs(event);
    });
    this.#empty.textContent = 'Starting …';
  }

  /** Lets the agent's clicks reach a desk. */
  serve(desk: Desk, settings: Settings): void {
    this.#desk = desk;
    this.#settings = settings;
    this.#draw();
  }

  notify(about: string, notice: Notice | null): void {
    const before = this.#notices.get(about);
    if (before?.text === notice?.text && before?.actions?.length === notice?.actions?.length) {
      return;
    }
    if (notice === null) {
      this.#notices.delete(about);
    } else {
      this.#notices.set(about, notice);
    }
    const notices = [...this.#notices].map(([name, it]) => {
      const line = element('div', { class: it.isProblem ? 'words notice is-problem' : 'words notice', 'data-about': name });
      line.append(...partsOf(it));
      return line;
    });
    this.#noticeList.replaceChildren(...notices);
  }

  show(state: DeskState): void {
    this.#state = state;
    for (const { contact, record } of state.cases) {
      this.#watchOpening(contact.id, record.is === 'opening');
    }
    for (const id of this.#slow.keys()) {
      if (!state.cases.some(({ contact }) => contact.id === id)) {
        this.#watchOpening(id, false);
      }
    }
    this.#draw();
  }

  #watchOpening(id: string, isOpening: boolean): void {
    const known = this.#slow.get(id);
    if (isOpening && known === undefined) {
      this.#slow.set(id, setTimeout(() => {
        this.#slow.set(id, 'slow');
        this.#draw();
      }, SLOW_MILLISECONDS));
    } else if (!isOpening && known !== undefined) {
      if (known !== 'slow') {
        clearTimeout(known);
      }
      this.#slow.delete(id);
    }
  }

  #draw(): void {
    const { cases, selected } = this.#state;
    this.#drawTabs();
    const it = cases.find(({ contact }) => contact.id === selected);
    this.#bar.hidden = it === undefined;
    this.#empty.hidden = it !== undefined;
    if (it === undefined) {
      this.#shown = '';
      const when = this.#settings?.openOn === 'connecting' ? 'rings' : 'is connected';
      this.#empty.textContent = this.#settings === null ? 'Starting …' : `No contact. When one ${when}, its record opens ${this.#host === 'dynamics' ? 'in Dynamics' : 'here'}.`;
      return;
    }
    const words = this.#wordsOn(it);
    const shown = JSON.stringify([it.contact.id, it.contact.phase, nameOf(it.contact), words.text, words.actions?.map(({ label }) => label)]);
    if (shown === this.#shown) {
      return;
    }
    this.#shown = shown;
    this.#title.textContent = nameOf(it.contact);
    this.#words.classList.toggle('is-problem', words.isProblem === true);
    this.#words.replaceChildren(...partsOf(words));
  }

  #drawTabs(): void {
    const { cases, selected } = this.#state;
    const known = new Map([...this.#tabs.children].map((tab) => [(tab as HTMLElement).dataset['contact'], tab as HTMLElement]));
    for (const [id, tab] of known) {
      if (!cases.some(({ contact }) => contact.id === id)) {
        tab.remove();
      }
    }
    for (const it of cases) {
      const { contact } = it;
      let tab = known.get(contact.id);
      if (tab === undefined) {
        tab = element('button', { type: 'button', role: 'tab', 'data-contact': contact.id, 'aria-controls': 'records' });
        tab.append(element('strong', {}), element('span', {}));
        tab.addEventListener('click', () => {
          this.#desk?.select(contact.id);
        });
        this.#tabs.append(tab);
      }
      const isSelected = contact.id === selected;
      tab.setAttribute('aria-selected', String(isSelected));
      tab.tabIndex = isSelected || selected === null ? 0 : -1;
      const [name, state] = tab.children;
      setText(name, nameOf(contact));
      setText(state, describe(it));
    }
    // One contact needs no choice.
    this.#tabs.hidden = cases.length < 2;
  }

  #moveAmongTabs(event: KeyboardEvent): void {
    const tabs = [...this.#tabs.children] as HTMLElement[];
    const at = tabs.findIndex((tab) => tab === document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at >= 0 && step !== undefined) {
      event.preventDefault();
      const tab = tabs[(at + step + tabs.length) % tabs.length];
      tab?.focus();
      tab?.click();
    }
  }

  #wordsOn(it: Case): Notice {
    const { contact, record, other, isOver } = it;
    const { id } = contact;
    const desk = this.#desk;
    const settings = this.#settings;
    if (desk === null || settings === null) {
      return { text: '' };
    }
    const inDynamics = this.#host === 'dynamics';
    const search: Action[] = contact.customer === '' ? [] : [{ label: `Search Dynamics for ${contact.customer}`, act: () => { desk.search(id); } }];
    const tab: Action = { label: 'Open in a tab', act: () => { desk.open(id, 'tab'); } };
    const again: Action = { label: 'Try again', act: () => { desk.open(id, 'embedded'); } };
    const close: Action = { label: 'Close the record', act: () => { this.#askToClose(id); } };
    if (this.#closing === id) {
      return {
        text: 'You have been in this record. What you have not saved there is lost when it is closed.',
        isProblem: true,
        actions: [
          { label: 'Keep it open', act: () => { this.#closing = null; this.#draw(); } },
          { label: 'Close it', act: () => { this.#closing = null; desk.close(id); } },
        ],
      };
    }
    if (other !== null) {
      return {
        text: 'Another page has been given for this contact. You have been in the one that is open, so it stays until you say so: what you have not saved there would be lost.',
        actions: [
          { label: 'Stay', act: () => { desk.keep(id); } },
          { label: 'Open the other page', act: () => { desk.openOther(id); } },
        ],
      };
    }
    switch (record.is) {
      case 'not-yet':
        return { text: 'Its record opens when the contact is connected.' };
      case 'awaited':
        return record.isLate
          ? { text: `No record has been given for this contact yet.${inDynamics ? '' : ' It opens here as soon as it is.'}`, isProblem: true, actions: search }
          : { text: 'Waiting for the record of this contact …' };
      case 'not-allowed':
        return {
          text: `The address that was given for this contact is not opened: ${record.why}. It is: ${shorten(record.address)}`,
          isProblem: true,
          administrator: `The contact attribute screenPopUrl must hold an address of ${settings.environments.join(' or ')}. The function contact-start or contact-answered sets it; look whether the flow, or something else, sets another.`,
          actions: search,
        };
      case 'opening':
        return this.#slow.get(id) === 'slow'
          ? { text: inDynamics ? 'Dynamics has not opened the record yet. It may be asking you whether to save the page that is open.' : 'Dynamics has not answered yet.', actions: [tab, again] }
          : { text: 'Opening the record …' };
      case 'open':
        if (isOver) {
          return { text: 'The contact is over. Its record stays open, as you have been in it.', actions: [close] };
        }
        if (record.page.target === 'tab') {
          return { text: 'The record is open in a tab of the browser.', actions: [{ label: 'Go to the tab', act: () => { desk.open(id, 'tab'); } }] };
        }
        return { text: '', actions: inDynamics ? [{ label: 'Show the record', act: () => { desk.open(id, 'embedded'); } }] : [tab] };
      case 'blocked':
        return {
          text: 'The browser has not let this page open a tab. It does when you click.',
          isProblem: true,
          administrator: `Allow pop-ups for ${location.origin} in the browser, by its policy PopupsAllowedForUrls, and records open by themselves.`,
          actions: [{ label: 'Open the record', act: () => { desk.open(id, 'tab'); } }],
        };
      case 'refused':
        return {
          text: 'Dynamics does not show its page here. Perhaps you are not signed in to Dynamics: open it in a tab, sign in, and try again.',
          isProblem: true,
          administrator: `If it is so for every agent, add ${location.origin} to the allowed frame ancestors of ${new URL(record.page.url).origin}: Power Platform admin center, the environment, Settings, Privacy + Security, Content security policy. The browser must allow Dynamics' cookies in this page.`,
          actions: [tab, again],
        };
      case 'failed':
        return { text: `The record is not open: ${record.why}`, isProblem: record.why !== 'You have closed it.', actions: [{ label: 'Open the record', act: () => { desk.open(id, 'embedded'); } }, tab] };
    }
  }

  #askToClose(id: string): void {
    this.#closing = id;
    this.#draw();
  }
}

/** A contact in a few words, for its tab. */
function describe({ contact, isOver }: Case): string {
  const kind: string = contact.isOutbound && contact.kind === 'voice' ? 'Call you made' : KINDS[contact.kind];
  return `${kind}, ${isOver ? 'over' : phaseOf(contact)}`;
}

function phaseOf(contact: Contact): string {
  return contact.isOutbound && contact.phase === 'ringing' ? 'calling' : PHASES[contact.phase];
}

/** An address as text, whose length somebody else has chosen. */
function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)} …` : text;
}

function setText(node: Element | undefined, text: string): void {
  if (node !== undefined && node.textContent !== text) {
    node.textContent = text;
  }
}

/** A sentence, what an administrator would do, and buttons. */
function partsOf({ text, administrator, actions }: Notice): HTMLElement[] {
  const parts = [element('p', {}, text)];
  if (actions !== undefined && actions.length > 0) {
    const row = element('div', { class: 'actions' });
    row.append(...buttons(actions));
    parts.push(row);
  }
  if (administrator !== undefined) {
    const details = element('details', {});
    details.append(element('summary', {}, 'For the administrator'), element('p', {}, administrator));
    parts.push(details);
  }
  return parts;
}

function buttons(actions: readonly Action[]): HTMLElement[] {
  return actions.map(({ label, act }) => {
    const button = element('button', { type: 'button' }, label);
    button.addEventListener('click', act);
    return button;
  });
}

function element(name: string, attributes: Readonly<Record<string, string>>, text = ''): HTMLElement {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.textContent = text;
  return made;
}
