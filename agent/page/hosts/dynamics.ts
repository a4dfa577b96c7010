/**
 * The page in the side panel of Dynamics: the control panel in the panel, the records in Dynamics itself, and numbers
 * on Dynamics' forms that are called at a click.
 */

import { parsePhoneNumberFromString, type CountryCallingCode } from 'libphonenumber-js/min';
import { line } from '../contact.ts';
import type { Action, Host, Listener, Places } from '../host.ts';
import { messageOf } from '../message.ts';
import type { Settings } from '../settings.ts';
import { ChannelIntegration } from './channel-integration.ts';
import { ControlPanel } from './control-panel.ts';
import { MainArea } from './main-area.ts';

export class Dynamics implements Host {
  readonly opener: MainArea;
  readonly #settings: Settings;
  readonly #places: Places;
  readonly #framework: Promise<ChannelIntegration>;
  #panel: ControlPanel | null = null;

  constructor(settings: Settings, places: Places) {
    this.#settings = settings;
    this.#places = places;
    const environment = environmentOf(settings);
    this.#framework = ChannelIntegration.load(environment);
    this.opener = new MainArea(this.#framework, environment, settings.sessionTemplate);
  }

  async start(listener: Listener): Promise<void> {
    const panel = ControlPanel.start(this.#settings, this.#places.controls, listener);
    try {
      const framework = await this.#framework;
      framework.onClickToDial(async (clicked) => {
        await this.#dial(await panel, clicked, listener);
      });
      this.opener.followSessions((id) => {
        listener.select(id);
      }, framework);
    } catch (error) {
      listener.notify('dynamics', {
        isProblem: true,
        text: messageOf(error),
        administrator: `The library of the Channel Integration Framework did not load. The channel provider's address must be this page's (${location.href}), and the browser must allow Dynamics' cookies in the panel.`,
        actions: [{ label: 'Reload', act: () => { location.reload(); } }],
      });
    }
    this.#panel = await panel;
  }

  select(id: string): void {
    this.#panel?.view(id);
  }

  async #dial(panel: ControlPanel, clicked: string, listener: Listener): Promise<void> {
    const about = 'dial';
    const ok: Action = { label: 'OK', act: () => { listener.notify(about, null); } };
    const number = e164(clicked, this.#settings.countryCallingCode);
    if (number === null) {
      listener.notify(about, {
        isProblem: true,
        text: `“${line(clicked, 60)}” is no phone number that can be called. With its country code it is, such as +1 555 555 0100.`,
        ...(this.#settings.countryCallingCode === '' && { administrator: 'The page can be told the country calling code of numbers that have none: AgentPageCountryCallingCode.' }),
        actions: [ok],
      });
      return;
    }
    listener.notify(about, { text: `Calling ${number} …` });
    try {
      await panel.dial(number);
      listener.notify(about, null);
    } catch (error) {
      listener.notify(about, { isProblem: true, text: `${number} is not called: ${messageOf(error)}`, actions: [ok] });
    }
  }
}

/** The environment whose panel this is, if it is a configured one; else the first. */
function environmentOf({ environments }: Settings): string {
  const above = [...(location.ancestorOrigins ?? []), URL.canParse(document.referrer) ? new URL(document.referrer).origin : ''];
  return environments.find((it) => above.includes(it)) ?? environments[0] ?? '';
}

/** A number as Amazon Connect calls it; null when it is none. */
function e164(text: string, countryCallingCode: string): string | null {
  const code = countryCallingCode.replace('+', '') as CountryCallingCode;
  const number = parsePhoneNumberFromString(text, code === '' ? {} : { defaultCallingCode: code });
  // 555 numbers and new ranges are in no table of numbers: what has a possible length is tried.
  return number?.isPossible() ? number.number : null;
}
