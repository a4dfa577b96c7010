/** What the page needs of its host, and what it tells it. */

import type { Contact } from './contact.ts';
import type { Opener } from './desk.ts';
import type { Settings } from './settings.ts';

/** Takes what a host tells. */
export interface Listener {
  /** A contact is there, or has changed. */
  see(contact: Contact): void;
  /** The agent looks at another contact. */
  select(id: string): void;
  /** A contact is over for this agent. */
  lose(id: string): void;
  /** Something that is not a contact's: shown until it is told to be over, by null. Of one `about`, one is shown. */
  notify(about: string, notice: Notice | null): void;
}

/** A sentence for the agent, and what can be done about it. */
export interface Notice {
  readonly text: string;
  readonly isProblem?: boolean;
  /** What an administrator would do about it. */
  readonly administrator?: string;
  readonly actions?: readonly Action[];
}

export interface Action {
  readonly label: string;
  readonly act: () => void;
}

/** The parts of the document that a host may fill. */
export interface Places {
  /** For the call controls. */
  readonly controls: HTMLElement;
  /** For the records. */
  readonly records: HTMLElement;
}

/** One of the places where the page can be. */
export interface Host {
  /** How the host opens pages. */
  readonly opener: Opener;
  /** The agent has selected a contact in this page: the host's own controls follow. */
  select?(id: string): void;
  /** Starts telling. Errors are the host's to tell, as notices. */
  start(listener: Listener): Promise<void>;
}

export type MakeHost = (settings: Settings, places: Places) => Host;
