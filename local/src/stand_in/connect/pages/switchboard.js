// The switchboard: lets contacts come, and does what the customer and the instance do.

import { act, ask, attempt, element, kindOf, nameOf, showButtons, showContacts, stateOf, watch } from './instance.js';

const byId = (id) => document.getElementById(id);

const kind = byId('kind');
const NAMES = { chat: ['Name of the customer', 'Ada'], task: ['Title', 'Call back about the order'], email: ['Subject', 'Where is my order?'] };
function showFields() {
  for (const field of document.querySelectorAll('[data-for]')) {
    field.hidden = !field.dataset.for.split(' ').includes(kind.value);
  }
  const [label, value] = NAMES[kind.value] ?? ['Name', ''];
  byId('name-label').textContent = label;
  byId('name').value = value;
}
kind.onchange = showFields;
showFields();

byId('place').onsubmit = (event) => {
  event.preventDefault();
  const isOf = (id) => !byId(id).closest('[data-for]').hidden;
  const lines = byId('attributes').value.split('\n').filter((line) => line.includes('='));
  const isTransferred = kind.value === 'transferred';
  attempt(() => ask('POST', 'contacts', {
    kind: isTransferred ? 'call' : kind.value,
    isTransferred,
    number: isOf('number') ? byId('number').value : null,
    address: isOf('address') ? byId('address').value : null,
    name: isOf('name') ? byId('name').value : null,
    attributes: Object.fromEntries(lines.map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    })),
    attributesAfter: byId('attributes-after').value,
    withoutFunctions: byId('without-functions').checked,
    wait: false,
  }));
};

byId('dial-error').onchange = ({ target: { value } }) => attempt(() => ask('PUT', 'dial-error', {
  dialError: {
    '': null,
    refused: { type: 'BadEndpointException', message: 'The country of this number is not one that you may call.' },
    drop: 'drop',
  }[value],
}));

const ACTIONS = [
  ['customerAnswers', 'Customer answers'],
  ['hangUp', 'Customer hangs up'],
  ['miss', 'Let it ring out'],
  ['transfer', 'Agent transfers'],
  ['releaseAttributes', 'Attributes are there'],
];

watch((seen) => {
  const { agentPage, dataverse } = seen.origins;
  const hosts = [
    ['The agent’s page', `${agentPage}/`],
    ['In the agent workspace', '/workspace'],
    ['In Dynamics', `${dataverse}/apps/example?cif=1`],
    ['In Dynamics, with sessions', `${dataverse}/apps/example?cif=2`],
  ];
  const nav = byId('hosts');
  if (!nav.children.length) nav.append(...hosts.map(([textContent, href]) => element('a', { textContent, href, target: '_blank' })));
  byId('username').textContent = seen.agent.username;
  byId('agent-state').textContent = seen.isSignedIn ? seen.agent.state.name : 'signed out';
  const session = (signedIn, how) => () => ask('PUT', 'session', { signedIn, how });
  const available = ['available', 'Make the agent available', () => ask('PUT', 'agent', { availability: 'Available' })];
  const isFree = seen.agent.availability === 'Available' && seen.agent.state.type !== 'error';
  showButtons(byId('agent-actions'), seen.isSignedIn
    ? [['sign-out', 'Sign the agent out', session(false, 'signedOut')], ['expire', 'Let the session expire', session(false, 'expired')], ...(isFree ? [] : [available])]
    : [['sign-in', 'Sign the agent in', session(true, 'expired')]]);
  const { dialError } = seen;
  byId('dial-error').value = dialError === null ? '' : dialError === 'drop' ? 'drop' : 'refused';

  const contacts = [...seen.contacts].reverse();
  byId('nobody').hidden = contacts.length > 0;
  showContacts(byId('contacts'), contacts, make, fill);
});

/** How a contact ends that the agent does not end. */
const ends = ({ channel }) => ({ VOICE: 'Customer hangs up', CHAT: 'Customer leaves' })[channel] ?? 'End it';

function make() {
  return element('li', { className: 'contact' },
    element('div', { className: 'head' }), element('div', { className: 'row actions' }), element('details', {}, element('summary', { textContent: 'What the functions answered' }), element('dl')));
}

function fill(item, contact) {
  item.dataset.state = contact.state;
  item.querySelector('.head').replaceChildren(
    element('span', { className: 'name', textContent: nameOf(contact) }), ' ',
    element('span', { className: 'muted', textContent: kindOf(contact) }), ' ',
    element('span', { className: 'badge', textContent: stateOf(contact) }));
  const possible = ACTIONS.filter(([action]) => contact.actions.includes(action));
  showButtons(item.querySelector('.actions'), possible.map(([action, label]) => [action, action === 'hangUp' ? ends(contact) : label, () => act(contact.id, action)]));
  const told = Object.entries(contact.steps).map(([step, reply]) => [step, [reply.status, reply.message].filter(Boolean).join(': ') || 'done']);
  const attributes = Object.entries(contact.attributes);
  const rows = [['contact id', contact.id], ...told, ...attributes.map(([name, value]) => [`attribute ${name}`, value])];
  item.querySelector('dl').replaceChildren(...rows.flatMap(([name, value]) => [element('dt', { textContent: name }), element('dd', { textContent: value })]));
}
