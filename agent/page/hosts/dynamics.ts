/**
 * The page in the side panel of Dynamics: the control panel in the panel, the records in Dynamics itself, and numbers
 * on Dynamics' forms that are called at a click.
 */

import { parsePhoneNumberFromString, type CountryCallingCode } from 'libphonenumber-js/min';
import { nameOf, type Contact } from '../contact.ts';
import type { Opened, Opener } from '../desk.ts';
import type { Host, Listener, Places } from '../host.ts';
import { shownBy, type Page } from '../address.ts';
import type { Settings } from '../settings.ts';
import { ChannelIntegration } from './channel-integration.ts';
import { ControlPanel } from './control-panel.ts';

/** Where a customer is looked for by number or address. */
const SEARCHED = { table: 'contact', numbers: ['mobilephone', 'telephone1'], addresses: ['emailaddress1'] };

export class Dynamics implements Host {
  readonly opener: Opener = this.#opener();
  readonly #settings: Settings;
  readonly #places: Places;
  #framework: ChannelIntegration | null = null;
  #whyNot = 'Dynamics has not loaded yet. Try again in a moment.';
  /** What each contact has open: a page, and perhaps the session that it is in. */
  readonly #open = new Map<string, { readonly page: Page; readonly session: string | null }>();
  #selected: string | null = null;
  /** The contact whose page Dynamics shows, where it has one session. */
  #shown: string | null = null;

  constructor(settings: Settings, places: Places) {
    this.#settings = settings;
    this.#places = places;
  }

  async start(listener: Listener): Promise<void> {
    const panel = ControlPanel.start(this.#settings, this.#places.controls, listener);
    try {
      this.#framework = await ChannelIntegration.load(this.#environment());
      this.#framework.onClickToDial(async ({ value }) => {
        await this.#dial(await panel, value, listener);
      });
      if (this.#framework.hasSessions) {
        this.#framework.onSessionSwitched((session) => {
          const contact = [...this.#open].find(([, it]) => it.session === session);
          if (contact !== undefined) {
            listener.select(contact[0]);
          }
        });
      }
    } catch (error) {
      this.#whyNot = error instanceof Error ? error.message : String(error);
      listener.notify('dynamics', {
        isProblem: true,
        text: this.#whyNot,
        administrator: `The library of the Channel Integration Framework did not load. The channel provider's address must be this page's (${location.href}), and the browser must allow Dynamics' cookies in the panel.`,
        actions: [{ label: 'Reload', act: () => { location.reload(); } }],
      });
    }
    await panel;
  }

  /** The environment whose panel this is, if it is a configured one; else the first. */
  #environment(): string {
    const above = URL.canParse(document.referrer) ? new URL(document.referrer).origin : '';
    return this.#settings.environments.find((it) => it === above) ?? this.#settings.environments[0] ?? '';
  }

  #opener(): Opener {
    return {
      open: async (contact, page, byAgent) => {
        if (!byAgent && page.target === 'embedded' && this.#selected !== contact.id && !this.#usesSessions()) {
          // Dynamics shows one page: it stays the selected contact's, and this one's comes when the agent selects it.
          this.#open.set(contact.id, { page, session: null });
          return { is: 'open' };
        }
        return this.#openPage(contact, page);
      },
      show: (contact) => {
        this.#selected = contact.id;
        const open = this.#open.get(contact.id);
        if (open?.session) {
          // A session that the agent has closed cannot be shown, which is theirs to know.
          this.#framework?.focusSession(open.session).catch(() => undefined);
        } else if (open !== undefined && open.page.target === 'embedded' && this.#shown !== contact.id) {
          this.#openPage(contact, open.page).catch(() => undefined);
        }
      },
      // Dynamics asks by itself before it leaves a form with changes.
      isTouched: () => false,
      close: (id) => {
        this.#open.delete(id);
        if (this.#shown === id) {
          this.#shown = null;
        }
      },
    };
  }

  #usesSessions(): boolean {
    return this.#settings.sessionTemplate !== '' && this.#framework?.hasSessions === true;
  }

  async #openPage(contact: Contact, page: Page): Promise<Opened> {
    const framework = this.#framework;
    if (framework === null) {
      return { is: 'failed', why: this.#whyNot };
    }
    const shows = shownBy(page);
    if (shows === null || ('search' in shows && page.target === 'tab')) {
      return openTab(page);
    }
    let session: string | null = null;
    if ('search' in shows) {
      const columns = shows.search.includes('@') ? SEARCHED.addresses : SEARCHED.numbers;
      await framework.search(SEARCHED.table, columns, shows.search);
    } else if (page.target === 'embedded' && this.#usesSessions()) {
      session = await framework.createSession(this.#settings.sessionTemplate, nameOf(contact), shows.record);
    } else {
      await framework.openForm(shows.record.table, shows.record.id, page.target === 'tab');
    }
    this.#open.set(contact.id, { page, session });
    if (page.target === 'embedded') {
      this.#shown = contact.id;
    }
    return { is: 'open' };
  }

  async #dial(panel: ControlPanel, clicked: string, listener: Listener): Promise<void> {
    const about = 'dial';
    const number = e164(clicked, this.#settings.countryCallingCode);
    if (number === null) {
      listener.notify(about, {
        isProblem: true,
        text: `“${clicked.slice(0, 60)}” is no phone number that can be called. With its country code it is, such as +1 555 555 0100.`,
        ...(this.#settings.countryCallingCode === '' && { administrator: 'The page can be told the country calling code of numbers that have none: AgentPageCountryCallingCode.' }),
        actions: [ok(about, listener)],
      });
      return;
    }
    listener.notify(about, { isProblem: false, text: `Calling ${number} …` });
    try {
      await panel.dial(number);
      listener.notify(about, null);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      listener.notify(about, { isProblem: true, text: `${number} is not called: ${why}`, actions: [ok(about, listener)] });
    }
  }
}

function ok(about: string, listener: Listener) {
  return {
    label: 'OK',
    act: () => {
      listener.notify(about, null);
    },
  };
}

/** A page that Dynamics cannot be asked for. The tab has no way back to this page. */
function openTab(page: Page): Opened {
  const tab = window.open('about:blank', '_blank');
  if (tab === null) {
    return { is: 'blocked' };
  }
  tab.opener = null;
  tab.location.replace(page.url);
  return { is: 'open' };
}

/** A number as Amazon Connect calls it; null when it is none. */
function e164(text: string, countryCallingCode: string): string | null {
  const code = countryCallingCode.replace('+', '') as CountryCallingCode;
  const number = parsePhoneNumberFromString(text, code === '' ? {} : { defaultCallingCode: code });
  // 555 numbers and new ranges are in no table of numbers: what has a possible length is tried.
  return number?.isPossible() ? number.number : null;
}
