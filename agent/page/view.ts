/**
 * What the agent sees of the desk: the contacts, the words about the selected one's record, and what can be done.
 *
 * Owns the document. All that comes from outside is set as text.
 */

import { line, nameOf, type Contact, type Phase } from './contact.ts';
import type { Case, Desk, DeskState, RecordState } from './desk.ts';
import type { Action, Notice, Places } from './host.ts';
import type { Settings } from './settings.ts';

const KINDS = { voice: 'Call', chat: 'Chat', task: 'Task', email: 'E-mail' } as const;
const PHASES: Readonly<Record<Phase, string>> = { ringing: 'ringing', connected: 'connected', afterwards: 'after-contact work', missed: 'missed' };
/** Dynamics may answer late; the agent is told so after this time. */
const SLOW_MILLISECONDS = 15_000;

export class View {
  readonly places: Places;
  readonly #notices = new Map<string, { readonly notice: Notice; readonly element: HTMLElement }>();
  readonly #noticeList: HTMLElement;
  readonly #tabs: HTMLElement;
  readonly #bar: HTMLElement;
  readonly #title: HTMLElement;
  readonly #words: HTMLElement;
  readonly #empty: HTMLElement;
  /** What a screen reader says of the selected contact's record. It is always there, as one that appears is not read. */
  readonly #said: HTMLElement;
  readonly #host: string;
  #desk: Desk | null = null;
  #select: (id: string) => void = () => undefined;
  #settings: Settings | null = null;
  #state: DeskState = { cases: [], selected: null };
  /** What is shown of the bar, so that it is written only when it changes, and the focus stays where it is. */
  #shown = '';
  /** Contacts whose page has been opening for long. */
  readonly #slow = new Map<string, { readonly record: RecordState; readonly timer: ReturnType<typeof setTimeout>; isSlow: boolean }>();
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
    this.#words = element('div', { id: 'words', class: 'words' });
    this.#said = element('p', { id: 'said', class: 'visually-hidden', role: 'status' });
    this.#empty = element('h1', { id: 'empty' });
    const records = element('div', { id: 'records' });
    this.#bar.append(this.#title, this.#words);
    main.append(this.#noticeList, this.#tabs, this.#bar, this.#said, this.#empty, records);
    body.append(...(host === 'workspace' ? [] : [controls]), main);
    this.places = { controls, records };
    this.#tabs.addEventListener('keydown', (event) => {
      this.#moveAmongTabs(event);
    });
    this.#empty.textContent = 'Starting …';
  }

  /** Lets the agent's clicks reach a desk; `select` takes the contact that they select. */
  serve(desk: Desk, settings: Settings, select: (id: string) => void): void {
    this.#desk = desk;
    this.#settings = settings;
    this.#select = select;
    this.#draw();
  }

  notify(about: string, notice: Notice | null): void {
    const before = this.#notices.get(about);
    if (notice !== null && before?.notice.text === notice.text) {
      return;
    }
    before?.element.remove();
    this.#notices.delete(about);
    if (notice !== null) {
      const made = element('div', { class: notice.isProblem ? 'words notice is-problem' : 'words notice', 'data-about': about });
      made.append(...partsOf(notice));
      this.#notices.set(about, { notice, element: made });
      this.#noticeList.append(made);
    }
  }

  show(state: DeskState): void {
    this.#state = state;
    for (const id of this.#slow.keys()) {
      if (!state.cases.some(({ contact }) => contact.id === id)) {
        this.#watchOpening(id, { is: 'not-yet' });
      }
    }
    for (const { contact, record } of state.cases) {
      this.#watchOpening(contact.id, record);
    }
    this.#draw();
  }

  #watchOpening(id: string, record: RecordState): void {
    const known = this.#slow.get(id);
    if (known?.record === record) {
      return;
    }
    clearTimeout(known?.timer);
    this.#slow.delete(id);
    if (record.is === 'opening') {
      const timer = setTimeout(() => {
        watched.isSlow = true;
        this.#draw();
      }, SLOW_MILLISECONDS);
      const watched = { record, timer, isSlow: false };
      this.#slow.set(id, watched);
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
      // The workspace does not tell when a contact rings.
      const when = this.#host !== 'workspace' && this.#settings?.openOn === 'connecting' ? 'rings' : 'is connected';
      this.#empty.textContent = this.#settings === null ? 'Starting …' : `No contact. When one ${when}, its record opens ${this.#host === 'dynamics' ? 'in Dynamics' : 'here'}.`;
      setText(this.#said, '');
      return;
    }
    const words = this.#wordsOn(it);
    const name = nameOf(it.contact);
    setText(this.#title, name);
    setText(this.#said, `${name}: ${words.text || 'The record is open.'}`);
    // What stays as it was keeps the focus that may be in it.
    const shown = JSON.stringify([it.contact.id, words.text, words.administrator, words.actions?.map(({ label }) => label)]);
    if (shown === this.#shown) {
      return;
    }
    this.#shown = shown;
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
          this.#select(contact.id);
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
    const customer = line(contact.customer, 40);
    const search: Action[] = customer === '' ? [] : [{ label: `Search Dynamics for ${customer}`, act: () => { desk.search(id); } }];
    const tab: Action = { label: 'Open in a tab', act: () => { desk.open(id, 'tab'); } };
    const here: Action = { label: 'Show it here', act: () => { desk.open(id, 'embedded'); } };
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
    if (it.refusedOther !== null) {
      return {
        text: `Another address has been given for this contact, which is not opened: ${it.refusedOther.why}. It is: ${line(it.refusedOther.address, 120)}`,
        isProblem: true,
        actions: [{ label: 'OK', act: () => { desk.forgetRefused(id); } }],
      };
    }
    if (isOver) {
      const text = record.is === 'open' ? 'The contact is over. Its record stays open, as you have been in it.' : 'The contact is over, and you have been in its record.';
      return { text, actions: [close] };
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
          text: `The address that was given for this contact is not opened: ${record.why}. It is: ${line(record.address, 120)}`,
          isProblem: true,
          administrator: `The contact attribute screenPopUrl must hold an address of ${settings.environments.join(' or ')}. The function contact-start or contact-answered sets it; look whether the flow, or something else, sets another.`,
          actions: search,
        };
      case 'opening':
        return this.#slow.get(id)?.isSlow
          ? { text: inDynamics ? 'Dynamics has not opened the record yet. It may be asking you whether to save the page that is open.' : 'Dynamics has not answered yet.', actions: [tab, again] }
          : { text: 'Opening the record …' };
      case 'open':
        if (record.page.target === 'tab') {
          const go = { label: 'Go to the tab', act: () => { desk.open(id, 'tab'); } };
          return inDynamics ? { text: 'The record is open in a window of its own.', actions: [here] } : { text: 'The record is open in a tab of the browser.', actions: [go, here] };
        }
        return { text: '', actions: inDynamics ? [{ label: 'Show the record', act: () => { desk.open(id, 'embedded'); } }] : [tab] };
      case 'later':
        return { text: 'Its record opens when you select this contact.', actions: [{ label: 'Show the record', act: () => { desk.open(id, 'embedded'); } }] };
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
function describe({ contact, record, isOver }: Case): string {
  const kind: string = contact.isOutbound && contact.kind === 'voice' ? 'Call you made' : KINDS[contact.kind];
  const trouble = TROUBLE.includes(record.is) ? ', record not open' : '';
  return `${kind}, ${isOver ? 'over' : phaseOf(contact)}${trouble}`;
}

/** What the agent is told of a contact that they have not selected. */
const TROUBLE: readonly RecordState['is'][] = ['not-allowed', 'blocked', 'refused', 'failed'];

function phaseOf(contact: Contact): string {
  return contact.isOutbound && contact.phase === 'ringing' ? 'calling' : PHASES[contact.phase];
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
