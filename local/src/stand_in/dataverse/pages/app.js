// A model-driven app with a side panel: opens forms in its area when the panel's page asks, by the calls of the Channel
// Integration Framework. Version 1 has one session and the panel at the right, version 2 several and the panel at the left.

const byId = (id) => document.getElementById(id);
const hasSessions = document.body.dataset.version === '2';
const widget = byId('widget');
const widgetOrigin = widget ? new URL(widget.src).origin : null;
const area = byId('area');
const panel = byId('panel');
const sessions = [];
let focused = null;
let isClickToAct = true;
/** The library has said that it is there. */
let isWidgetThere = false;
let mode = 1;
let width = 360;

/** A refusal, whose words the library hands on. */
class Refusal extends Error {}

// ---- Sessions: each has a frame, which is hidden and not loaded again while another is seen. ----

function addSession(title, address, context) {
  const frame = document.createElement('iframe');
  frame.title = title;
  frame.src = address;
  area.append(frame);
  const session = { id: `session-id-${sessions.length}`, title, frame, context };
  frame.addEventListener('load', () => showSessions());
  sessions.push(session);
  return session;
}

function focus(session) {
  const before = focused;
  focused = session;
  for (const { frame } of sessions) frame.hidden = frame !== session.frame;
  showSessions();
  if (!hasSessions || before === session) return;
  if (before && sessions.includes(before)) raise('onSessionSwitched', { sessionId: before.id, focussed: false, context: before.context });
  raise('onSessionSwitched', { sessionId: session.id, focussed: true, context: session.context });
}

function close(session) {
  sessions.splice(sessions.indexOf(session), 1);
  session.frame.remove();
  raise('onSessionClosed', { sessionId: session.id, context: session.context });
  focus(focused === session ? sessions[0] : focused);
}

function showSessions() {
  const buttons = sessions.map((session) => {
    const item = document.createElement('span');
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: session.title });
    button.setAttribute('aria-pressed', String(session === focused));
    button.onclick = () => focus(session);
    item.append(button);
    if (session !== sessions[0]) {
      const end = Object.assign(document.createElement('button'), { type: 'button', textContent: '×' });
      end.setAttribute('aria-label', `Close the session ${session.title}`);
      end.onclick = async () => {
        focus(session);
        if (await mayLeave(session)) close(session);
      };
      item.append(end);
    }
    return item;
  });
  byId('sessions').replaceChildren(...buttons);
}

/** Asks whether to lose what is not saved, if anything is. */
function mayLeave({ frame }) {
  if (frame.contentDocument?.documentElement.dataset.changed !== 'true') return Promise.resolve(true);
  const dialog = byId('leave');
  return new Promise((resolve) => {
    const decide = (isLeft) => {
      dialog.onclose = null;
      dialog.close();
      if (isLeft) frame.contentWindow.dispatchEvent(new Event('discard'));
      resolve(isLeft);
    };
    byId('stay').onclick = () => decide(false);
    byId('discard').onclick = () => decide(true);
    // The Escape key.
    dialog.onclose = () => resolve(false);
    dialog.showModal();
  });
}

async function go(session, address) {
  if (!await mayLeave(session)) throw new Refusal('The page has unsaved changes, and the user stays on it.');
  raise('onpagenavigate', { value: new URL(address, location.href).href });
  await new Promise((resolve) => {
    session.frame.addEventListener('load', resolve, { once: true });
    session.frame.src = address;
  });
}

// ---- What the panel's page can call. ----

const formOf = (table, id) => `/main.aspx?${new URLSearchParams({ pagetype: 'entityrecord', etn: table, id: id.replace(/[{}]/g, '') })}`;
const searchFor = (text) => `/main.aspx?${new URLSearchParams({ pagetype: 'search', searchText: text ?? '' })}`;

function parsed(text, name) {
  try {
    const value = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below.
  }
  throw new Refusal(`${name} is no JSON text of an object: ${String(text).slice(0, 60)}`);
}

async function find(table, query) {
  const options = query.replace(/^\?/, '').split('&').filter((it) => it && !it.startsWith('$search='));
  const response = await fetch(`/stand-in/query/${encodeURIComponent(table)}?${options.join('&')}`);
  const answer = await response.json();
  if (!response.ok) throw new Refusal(answer.error?.message ?? `status ${response.status}`);
  return answer;
}

function searched(query) {
  const option = query.replace(/^\?/, '').split('&').find((it) => it.startsWith('$search='));
  return option ? decodeURIComponent(option.slice('$search='.length)) : '';
}

const calls = {
  async openForm(options, parameters) {
    const { entityName, entityId, openInNewWindow } = parsed(options, 'EntityFormOptions');
    if (parameters !== undefined) parsed(parameters, 'FormParameters');
    if (typeof entityName !== 'string' || !entityName) throw new Refusal('The entityName is missing.');
    if (typeof entityId !== 'string' || !entityId) throw new Refusal('The stand-in opens records that there are: the entityId is missing.');
    const address = formOf(entityName, entityId);
    if (openInNewWindow) {
      if (window.open(address, '_blank') === null) throw new Refusal('The browser has blocked the new window.');
    } else {
      await go(focused, address);
    }
    return 'null';
  },
  async searchAndOpenRecords(table, query, isSearchOnly) {
    const { primaryKey, value } = await find(table, query);
    if (!isSearchOnly) await go(focused, value.length === 1 ? formOf(table, value[0][primaryKey]) : searchFor(searched(query)));
    // An object with numbers for names, as the library's is.
    return JSON.stringify(Object.fromEntries(value.entries()));
  },
  async retrieveRecord(table, id, options) {
    const response = await find(table, `${options ?? ''}`);
    const found = response.value.find((it) => it[response.primaryKey] === id.replace(/[{}]/g, '').toLowerCase());
    if (!found) throw new Refusal(`Entity '${table}' With Id = ${id} Does Not Exist`);
    return JSON.stringify(found);
  },
  async renderSearchPage(_table, text) {
    await go(focused, searchFor(text));
    return null;
  },
  setClickToAct(value) {
    isClickToAct = Boolean(value);
    return null;
  },
  getClickToAct: () => isClickToAct,
  setMode(value) {
    setMode(value);
    return value;
  },
  getMode: () => mode,
  setWidth(value) {
    // Less is not considered, and more than half of the screen collapses the panel.
    if (value > window.innerWidth / 2) setMode(0);
    else if (value >= 300) setWidth(value);
    return width;
  },
  getWidth: () => width,
  getEnvironment() {
    const page = new URL(focused.frame.contentWindow.location.href).searchParams;
    return JSON.stringify({
      ...Object.fromEntries(page), clientUrl: location.origin, appUrl: location.href, orgLcid: '1033', orgUniqueName: 'example',
      userId: '{00000000-0000-4000-8000-00000000000A}', userLcid: '1033', username: 'Grace Agent', userRoles: '', crmVersion: '9.2', cifVersion: document.body.dataset.version,
    });
  },
};

const callsOfSessions = {
  async createSession(input) {
    const { templateName, templateParameters = {}, customerName, context } = input ?? {};
    if (typeof templateName !== 'string' || !templateName) throw new Refusal('The templateName is missing.');
    const { entityName, entityId } = templateParameters;
    const address = entityName && entityId ? formOf(entityName, entityId) : '/main.aspx';
    const session = addSession(customerName || templateName, address, { ...context, ...templateParameters });
    raise('onSessionCreated', { sessionId: session.id, context: session.context });
    focus(session);
    return session.id;
  },
  canCreateSession: () => true,
  getSession: (id) => JSON.stringify(contextOf(id)),
  getAllSessions: () => sessions.map(({ id }) => id),
  getFocusedSession: () => focused.id,
  requestFocusSession(id) {
    focus(sessionOf(id));
    return id;
  },
};

function sessionOf(id) {
  const session = sessions.find((it) => it.id === id);
  if (!session) throw new Refusal(`There is no session ${id}.`);
  return session;
}

const contextOf = (id) => ({ sessionId: id, context: sessionOf(id).context });

async function answer({ id, name, args = [] }) {
  const say = (message) => widget.contentWindow.postMessage({ id, ...message }, widgetOrigin);
  try {
    const isOfSessions = Object.hasOwn(callsOfSessions, name);
    if (isOfSessions && !hasSessions) throw new Refusal(`${name} is for apps with several sessions.`);
    const does = isOfSessions ? callsOfSessions[name] : Object.hasOwn(calls, name) ? calls[name] : null;
    if (does === null) throw new Refusal(`The stand-in does not model ${name}.`);
    say({ cif: 'answer', value: await does(...args) });
  } catch (error) {
    say({ cif: 'refusal', reason: error.message });
  }
}

function raise(name, data) {
  if (isWidgetThere) widget.contentWindow.postMessage({ cif: 'event', name, data: JSON.stringify(data) }, widgetOrigin);
}

window.addEventListener('message', (message) => {
  if (widget && message.source === widget.contentWindow && message.origin === widgetOrigin) {
    isWidgetThere = true;
    if (message.data?.cif === 'call') answer(message.data);
  } else if (message.origin === location.origin && sessions.some(({ frame }) => frame.contentWindow === message.source)) {
    if (message.data?.form === 'act' && isClickToAct) raise('onclicktoact', message.data.data);
  }
});

// ---- The panel. ----

function setMode(value) {
  // Hidden is for several sessions only.
  const next = !hasSessions && value === 2 ? 0 : value;
  if (next === mode) return;
  mode = next;
  panel.dataset.mode = String(mode);
  byId('mode').setAttribute('aria-expanded', String(mode === 1));
  raise('onmodechanged', { value: mode });
}

function setWidth(value) {
  width = value;
  document.body.style.setProperty('--panel', `${width}px`);
  raise('onsizechanged', { value: width });
}

byId('mode').onclick = () => setMode(mode === 1 ? 0 : 1);
byId('home').onclick = (event) => {
  event.preventDefault();
  go(focused, '/main.aspx').catch(() => {});
};

document.body.style.setProperty('--panel', `${width}px`);
focus(addSession('Home', '/main.aspx', {}));
