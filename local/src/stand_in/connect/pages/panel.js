// The control panel itself: the agent's state, the agent's contacts with what can be done, and the field to dial.
// The panel of Streams and the workspace both show it.

import { act, ask, attempt, element, kindOf, nameOf, showButtons, showContacts, stateOf } from './instance.js';

const ACTIONS = { accept: 'Accept', reject: 'Reject', hangUp: 'End', transfer: 'Transfer', clear: 'Close contact' };

/** Puts the panel into `place`; gives a function that shows what there is to see. */
export function makePanel(place) {
  const availability = element('select', { id: 'availability' });
  for (const name of ['Available', 'Break', 'Offline']) availability.append(new Option(name));
  availability.onchange = () => attempt(() => ask('PUT', 'agent', { availability: availability.value }));
  const state = element('p', { className: 'agent-state', id: 'agent-state' });
  const list = element('ul', { className: 'contacts', id: 'contacts' });
  list.setAttribute('aria-label', 'Contacts');
  const nobody = element('p', { className: 'muted', textContent: 'There is no contact.' });
  const number = element('input', { id: 'number', type: 'tel', placeholder: '+15555550100', autocomplete: 'off' });
  const dial = element('form', { className: 'dial' },
    element('label', { htmlFor: 'number', textContent: 'Number to call' }),
    element('div', { className: 'row' }, number, element('button', { textContent: 'Call' })));
  dial.onsubmit = (event) => {
    event.preventDefault();
    attempt(async () => {
      await ask('POST', 'calls', { number: number.value.trim(), wait: false });
      number.value = '';
    });
  };
  const rings = element('p', { className: 'visually-hidden' });
  rings.setAttribute('role', 'status');
  const said = element('p', { id: 'said', className: 'said' });
  said.setAttribute('role', 'alert');
  place.append(
    element('header', { className: 'agent' },
      element('div', {}, element('label', { htmlFor: 'availability', textContent: 'Agent' }), availability), state),
    said, rings, nobody, list, dial);

  let rung = new Set();
  return (seen) => {
    availability.value = seen.agent.availability;
    state.textContent = words(seen.agent.state.name);
    state.dataset.state = seen.agent.state.name;
    const contacts = seen.contacts.filter(isSeen);
    nobody.hidden = contacts.length > 0;
    showContacts(list, contacts, make, (item, contact) => fill(item, contact));
    for (const item of list.children) {
      const isSelected = item.dataset.id === seen.selected;
      item.classList.toggle('selected', isSelected);
      item.querySelector('.select').setAttribute('aria-pressed', String(isSelected));
    }
    const ringing = contacts.filter((it) => it.actions.includes('accept'));
    const fresh = ringing.filter((it) => !rung.has(it.id));
    if (fresh.length) rings.textContent = fresh.map((it) => `${kindOf(it)} from ${nameOf(it)} rings`).join('. ');
    rung = new Set(ringing.map((it) => it.id));
  };
}

/** Whether the agent sees a contact. */
export const isSeen = (contact) => contact.state !== 'queued' && contact.state !== 'gone';

function make(contact) {
  const select = element('button', { type: 'button', className: 'select' });
  select.onclick = () => attempt(() => act(contact.id, 'select'));
  return element('li', { className: 'contact' }, select, element('div', { className: 'row actions' }));
}

function fill(item, contact) {
  item.dataset.state = contact.state;
  const select = item.querySelector('.select');
  select.replaceChildren(
    element('span', { className: 'name', textContent: nameOf(contact) }),
    element('span', { className: 'muted', textContent: `${kindOf(contact)} · ${stateOf(contact)}` }));
  const possible = Object.entries(ACTIONS).filter(([action]) =>
    contact.actions.includes(action) && !(action === 'hangUp' && contact.actions.includes('accept')));
  showButtons(item.querySelector('.actions'), possible.map(([action, label]) =>
    [action, label, () => act(contact.id, action, action === 'hangUp' ? { byAgent: true } : {})]));
}

function words(name) {
  return { CallingCustomer: 'Calling', PendingBusy: 'Rings', Busy: 'On contact', AfterCallWork: 'After-contact work', MissedCallAgent: 'Missed contact' }[name] ?? name;
}
