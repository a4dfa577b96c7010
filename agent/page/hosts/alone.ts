/** The page on its own: the control panel beside the records. */

import type { Host, Listener, Places } from '../host.ts';
import { RecordArea } from '../record-area.ts';
import type { Settings } from '../settings.ts';
import { ControlPanel } from './control-panel.ts';

export class Alone implements Host {
  readonly opener: RecordArea;
  readonly #settings: Settings;
  readonly #places: Places;
  #panel: ControlPanel | null = null;

  constructor(settings: Settings, places: Places) {
    this.#settings = settings;
    this.#places = places;
    this.opener = new RecordArea(places.records);
  }

  async start(listener: Listener): Promise<void> {
    this.#panel = await ControlPanel.start(this.#settings, this.#places.controls, listener);
  }

  select(id: string): void {
    this.#panel?.view(id);
  }
}
