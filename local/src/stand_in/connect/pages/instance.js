// What the pages share: they are told of every change, and tell the instance what is done.

/** Calls `tell` with all there is to see, now and after each change. None is left out. */
export function watch(tell) {
  const worker = new SharedWorker('/stand-in/assets/watcher.js');
  worker.port.onmessage = ({ data }) => tell(data);
  worker.port.start();
}

/** Asks the instance to do something; throws an error with `type` and `message` when it does not. */
export async function ask(method, path, body) {
  const response = await fetch(`/stand-in/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) {
    const { type, message } = answer?.error ?? {};
    throw Object.assign(new Error(message ?? `status ${response.status}`), { type, status: response.status });
  }
  return answer;
}

/** An action with a contact. The functions' work is not waited for. */
export const act = (id, action, how = {}) => ask('POST', `contacts/${id}/${action}`, { wait: false, ...how });

/** Does something, and says in the page's status when that fails. */
export async function attempt(what) {
  const status = document.getElementById('said');
  try {
    await what();
    if (status) status.textContent = '';
  } catch (error) {
    if (status) status.textContent = error.message;
  }
}

/** An element with properties and children. Text is never taken for markup. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const KINDS = { call: 'Call', outbound: 'Outbound call', callback: 'Callback', chat: 'Chat', task: 'Task', email: 'E-mail' };

/** A contact's kind, as people say it. */
export const kindOf = (contact) =>
  contact.initiationMethod === 'TRANSFER' ? `${KINDS[contact.kind]}, transferred` : KINDS[contact.kind];

/** Whom a contact is with. */
export const nameOf = (contact) => contact.address ?? contact.name ?? 'number withheld';

/** Where a contact stands, as people say it. */
export function stateOf(contact) {
  if (contact.state === 'queued') return contact.isInFlow ? 'In the flow' : 'Waits in the queue';
  if (contact.isDialling) return 'The customer is rung';
  if (contact.state === 'connecting' || contact.state === 'incoming') return contact.isAccepted ? 'Being connected' : 'Rings';
  return {
    connected: 'Connected',
    ended: 'After-contact work',
    missed: 'Missed',
    rejected: 'Rejected',
    error: 'Missed (told as an error)',
    gone: 'Over',
  }[contact.state];
}

/**
 * Shows a list of contacts. Elements stay as long as their contacts do, so that what has the focus keeps it.
 * `fill(item, contact)` is called for each when it has changed.
 */
export function showContacts(list, contacts, make, fill) {
  const known = new Map([...list.children].map((item) => [item.dataset.id, item]));
  let before = null;
  for (const contact of contacts) {
    let item = known.get(contact.id);
    known.delete(contact.id);
    if (!item) {
      item = make(contact);
      item.dataset.id = contact.id;
    }
    const text = JSON.stringify(contact);
    if (item.dataset.shown !== text) {
      item.dataset.shown = text;
      fill(item, contact);
    }
    const place = before ? before.nextElementSibling : list.firstElementChild;
    if (place !== item) list.insertBefore(item, place);
    before = item;
  }
  for (const item of known.values()) item.remove();
}

/** Puts a button for each action into `place`: `[name, label, act]`. Those that were there stay. */
export function showButtons(place, actions) {
  const known = new Map([...place.children].map((button) => [button.dataset.action, button]));
  for (const [name, label, pressed] of actions) {
    const button = known.get(name) ?? element('button', { type: 'button' });
    known.delete(name);
    button.dataset.action = name;
    button.textContent = label;
    button.onclick = () => attempt(pressed);
    place.append(button);
  }
  for (const button of known.values()) button.remove();
}
