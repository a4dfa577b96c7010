/**
 * The Channel Integration Framework, 1 and 2, of the Dynamics environment whose side panel the page is in.
 * https://learn.microsoft.com/dynamics365/channel-integration-framework/v1/develop/reference/microsoft-ciframework
 *
 * Owns the library's loading and the shapes of its arguments, answers and refusals, which differ from call to call.
 */

/** What the library has of what is used here. The calls of several sessions are those of version 2. */
interface Library {
  openForm(options: string, parameters?: string): Promise<string>;
  searchAndOpenRecords(table: string, query: string, isSearchOnly: boolean): Promise<string>;
  addHandler(event: string, handler: (data: string) => Promise<unknown>): unknown;
  createSession?(input: object): Promise<string>;
  requestFocusSession?(id: string): Promise<unknown>;
}

declare global {
  interface Window {
    Microsoft?: { CIFramework?: Library };
  }
}

const LIBRARY = '/webresources/Widget/msdyn_ciLibrary.js';
/** How long the library may take to load. */
const LOAD_MILLISECONDS = 15_000;

export class ChannelIntegration {
  readonly #library: Library;

  private constructor(library: Library) {
    this.#library = library;
  }

  /**
   * Loads the library from an environment. Throws an error that tells the agent what to do when it does not come.
   */
  static async load(environment: string): Promise<ChannelIntegration> {
    if (window.Microsoft?.CIFramework === undefined) {
      await new Promise<void>((resolve, reject) => {
        const script = document.createElement('script');
        const fail = () => {
          reject(
            new Error(`Dynamics does not give this panel what it needs to open records (${environment}). Sign in to Dynamics and reload the page.`),
          );
        };
        const timer = setTimeout(fail, LOAD_MILLISECONDS);
        window.addEventListener('CIFInitDone', () => {
          clearTimeout(timer);
          resolve();
        }, { once: true });
        script.addEventListener('error', () => {
          clearTimeout(timer);
          fail();
        });
        script.src = environment + LIBRARY;
        script.dataset['crmurl'] = environment;
        script.dataset['cifid'] = 'CIFMainLibrary';
        document.head.append(script);
      });
    }
    const library = window.Microsoft?.CIFramework;
    if (library === undefined) {
      throw new Error(`What ${environment} gave is not the library of the Channel Integration Framework.`);
    }
    return new ChannelIntegration(library);
  }

  /** Opens a record's form. It is done when the agent has let Dynamics leave the page that was open. */
  async openForm(table: string, id: string, isInNewWindow: boolean): Promise<void> {
    const options = { entityName: table, entityId: id, ...(isInNewWindow && { openInNewWindow: true }) };
    await call(this.#library.openForm(JSON.stringify(options)));
  }

  /** Opens the one record of a table that is found, or Dynamics' search with what is sought. */
  async search(table: string, columns: readonly string[], sought: string): Promise<void> {
    const value = sought.replaceAll("'", "''");
    const filter = columns.map((column) => `${column} eq '${value}'`).join(' or ');
    const query = `?$select=${columns.join(',')}&$filter=${encodeURIComponent(filter)}&$search=${encodeURIComponent(sought)}`;
    await call(this.#library.searchAndOpenRecords(table, query, false));
  }

  /** Whether Dynamics has several sessions. */
  get hasSessions(): boolean {
    return this.#library.createSession !== undefined;
  }

  /** Opens a session of a template, and returns its id. */
  async createSession(template: string, name: string, record: { table: string; id: string }): Promise<string> {
    const parameters = { entityName: record.table, entityId: record.id, customerName: name };
    const input = { templateName: template, templateParameters: parameters, context: {}, customerName: name };
    return String(await call(this.#library.createSession?.(input)));
  }

  async focusSession(id: string): Promise<void> {
    await call(this.#library.requestFocusSession?.(id));
  }

  /** Has a handler called for each number that the agent clicks. */
  onClickToDial(handler: (number: string) => Promise<void>): void {
    this.#library.addHandler('onclicktoact', async (data) => {
      await handler(numberIn(data));
    });
  }

  /** Has a handler called with the session that the agent goes to. */
  onSessionSwitched(handler: (id: string) => void): void {
    this.#library.addHandler('onSessionSwitched', async (data) => {
      const { sessionId, focussed } = objectOf(data);
      if (typeof sessionId === 'string' && focussed !== false) {
        handler(sessionId);
      }
    });
  }
}

/** The number in the event `onclicktoact`, in the forms that Dynamics' controls have sent it. */
function numberIn(data: unknown): string {
  const event = objectOf(data);
  const field = objectOf(event['field']);
  return String(event['value'] ?? field['value'] ?? '');
}

function objectOf(data: unknown): Record<string, unknown> {
  try {
    const value: unknown = typeof data === 'string' ? JSON.parse(data) : data;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** A call's answer. What the library refuses with, text, map or object, becomes an error. */
async function call<T>(answer: Promise<T> | undefined): Promise<T> {
  try {
    if (answer === undefined) {
      throw new Error('This version of the Channel Integration Framework cannot do that.');
    }
    return await answer;
  } catch (error) {
    throw error instanceof Error ? error : new Error(reasonOf(error));
  }
}

function reasonOf(error: unknown): string {
  const said = error instanceof Map ? Object.fromEntries(error) as Record<string, unknown> : objectOf(error);
  const reason = said['message'] ?? said['errorMsg'] ?? said['value'];
  return typeof reason === 'string' && reason !== '' ? reason : typeof error === 'string' && error !== '' ? error : 'Dynamics gives no reason.';
}
