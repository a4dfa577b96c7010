/** What the page is told of its surroundings: `settings.json`, which stands beside it. */

export interface Settings {
  /** The Amazon Connect instance: its access URL, `https://example.my.connect.aws`. */
  readonly instanceUrl: string;
  /** The environments whose pages may be opened, as origins; the first is where searches go. */
  readonly environments: readonly string[];
  /** The model-driven app for searches; empty for the one that the agent used last. */
  readonly appId: string;
  /** Whether a record opens when the contact rings, or when agent and customer are together. */
  readonly openOn: 'connecting' | 'connected';
  /** How long a record is waited for before the page offers a search. */
  readonly waitSeconds: number;
  /** Where agents sign in, when it is not the instance itself: an address of an identity provider. Empty otherwise. */
  readonly signInUrl: string;
  /** The country calling code, `+1`, of numbers in Dynamics that have none; empty when they all have. */
  readonly countryCallingCode: string;
  /** In Dynamics with several sessions: the session template for a contact; empty to open records in the session there is. */
  readonly sessionTemplate: string;
}

/** The settings are not what they should be. The message is for the agent, who tells the administrator. */
export class SettingsError extends Error {}

/** Reads the settings. Throws a {@link SettingsError} that says what to do. */
export async function readSettings(): Promise<Settings> {
  const address = new URL('settings.json', document.baseURI);
  let answer: Response;
  try {
    answer = await fetch(address, { cache: 'no-cache' });
  } catch {
    throw new SettingsError(`This page cannot be reached any more (${address}). Look whether this computer is online, and reload the page.`);
  }
  if (!answer.ok) {
    throw new SettingsError(`The page's settings are missing (${address} answers ${answer.status}). An administrator deploys the stack again.`);
  }
  try {
    return (await answer.json()) as Settings;
  } catch {
    throw new SettingsError(`The page's settings are no JSON (${address}). An administrator deploys the stack again.`);
  }
}
