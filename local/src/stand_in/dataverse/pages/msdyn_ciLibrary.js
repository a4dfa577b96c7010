// A stand-in for the library of the Channel Integration Framework, for the stand-in of an app. It has the calls and the
// shapes of Microsoft's, and nothing of its text.
// https://learn.microsoft.com/dynamics365/channel-integration-framework/v1/develop/reference/microsoft-ciframework
(() => {
  'use strict';
  const LIMIT_MILLISECONDS = 10_000;
  const script = document.querySelector('script[data-cifid="CIFMainLibrary"]');
  const origins = [script?.dataset.crmurl ?? document.referrer].filter((it) => URL.canParse(it)).map((it) => new URL(it).origin);
  const app = origins.at(-1);
  const waiting = new Map();
  const handlers = new Map();

  /** Refusals come as text that holds JSON, or as a map, depending on the call. */
  const asText = (message) => JSON.stringify({ message });
  const asMap = (message) => new Map([['message', message]]);

  function call(name, args, { refusal = asText, isLimited = true } = {}) {
    return new Promise((resolve, reject) => {
      if (app === undefined) {
        reject(refusal('The address of Dynamics is not known: data-crmurl is missing.'));
        return;
      }
      const id = crypto.randomUUID();
      const timer = isLimited
        ? setTimeout(() => {
          waiting.delete(id);
          reject(refusal('The operation has timed out.'));
        }, LIMIT_MILLISECONDS)
        : undefined;
      waiting.set(id, { resolve, timer, refuse: (message) => reject(refusal(message)) });
      window.top.postMessage({ cif: 'call', id, name, args }, app);
    });
  }

  window.addEventListener('message', (message) => {
    if (message.source !== window.top || message.origin !== app) return;
    const { cif, id, name, value, reason, data } = message.data ?? {};
    if (cif === 'event') {
      for (const handler of handlers.get(name) ?? []) {
        // As Microsoft's does it: a handler has to return a promise.
        handler(data).then(() => {}, () => {});
      }
      return;
    }
    const waits = waiting.get(id);
    if (!waits || (cif !== 'answer' && cif !== 'refusal')) return;
    waiting.delete(id);
    clearTimeout(waits.timer);
    if (cif === 'answer') waits.resolve(value);
    else waits.refuse(reason);
  });

  const isBlank = (value) => value === undefined || value === null || value === '';
  const blank = (name) => `The ${name} parameter is blank. Provide a value to the parameter.`;
  const refused = (refusal, message) => Promise.reject(refusal(message));

  const framework = {
    openForm: (options, parameters) =>
      isBlank(options) ? refused(asText, blank('EntityFormOptions')) : call('openForm', [String(options), parameters === undefined ? undefined : String(parameters)], { isLimited: false }),
    searchAndOpenRecords(table, query, isSearchOnly) {
      if (isBlank(table)) return refused(asText, blank('EntityName'));
      if (isBlank(query)) return refused(asText, blank('QueryParameters'));
      return call('searchAndOpenRecords', [table, query, Boolean(isSearchOnly)]);
    },
    retrieveRecord(table, id, options) {
      if (isBlank(table) || isBlank(id)) return refused(asText, blank(isBlank(table) ? 'EntityName' : 'EntityId'));
      return call('retrieveRecord', [table, id, options]);
    },
    renderSearchPage: (table, text) =>
      isBlank(table) ? refused(asMap, blank('EntityName')) : call('renderSearchPage', [table, text], { refusal: asMap }),
    setClickToAct: (value) => call('setClickToAct', [value], { refusal: asMap }),
    getClickToAct: () => call('getClickToAct', [], { refusal: asMap }),
    setMode: (mode) =>
      [0, 1, 2].includes(mode) ? call('setMode', [mode], { refusal: asMap }) : refused(asMap, 'The setMode paramter value must be 0, 1 or 2.'),
    getMode: () => call('getMode', [], { refusal: asMap }),
    setWidth: (width) => (Number.isFinite(width) && width >= 0 ? call('setWidth', [width], { refusal: asMap }) : refused(asMap, blank('Width'))),
    getWidth: () => call('getWidth', [], { refusal: asMap }),
    getEnvironment: () => call('getEnvironment', []),
    addHandler(event, handler) {
      if (isBlank(event) || typeof handler !== 'function') return refused(asText, blank(isBlank(event) ? 'EventName' : 'HandlerFunction'));
      handlers.set(event, [...(handlers.get(event) ?? []), handler]);
      return undefined;
    },
    removeHandler(event, handler) {
      handlers.set(event, (handlers.get(event) ?? []).filter((it) => it !== handler));
      return undefined;
    },
    // Those of version 2. In an app without sessions the app refuses them.
    createSession: (input) => call('createSession', [input], { isLimited: false }),
    canCreateSession: () => call('canCreateSession', []),
    getSession: (id) => call('getSession', [id]),
    getAllSessions: () => call('getAllSessions', []),
    getFocusedSession: () => call('getFocusedSession', []),
    requestFocusSession: (id) => (isBlank(id) ? refused(asText, blank('SessionId')) : call('requestFocusSession', [id])),
    createTab: (input) => call('createTab', [input]),
    notifyEvent: (input) => call('notifyEvent', [input], { isLimited: false }),
  };
  if (app !== undefined) window.top.postMessage({ cif: 'hello' }, app);
  window.Microsoft = { ...window.Microsoft, CIFramework: Object.freeze(framework) };
  setTimeout(() => window.dispatchEvent(new CustomEvent('CIFInitDone', { detail: origins })), 0);
})();
