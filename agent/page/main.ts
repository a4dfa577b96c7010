/** Starts the page: reads its settings, chooses its host by how it was loaded, and puts them together. */

import { Desk } from './desk.ts';
import type { MakeHost } from './host.ts';
import { Alone } from './hosts/alone.ts';
import { Dynamics } from './hosts/dynamics.ts';
import { Workspace } from './hosts/workspace.ts';
import { messageOf } from './message.ts';
import { readSettings } from './settings.ts';
import { View } from './view.ts';

/** `?host=` of the page's address. The stack's outputs and the channel provider's record have it. */
const HOSTS: Readonly<Record<string, MakeHost>> = {
  alone: (settings, places) => new Alone(settings, places),
  workspace: (settings, places) => new Workspace(settings, places),
  dynamics: (settings, places) => new Dynamics(settings, places),
};

async function start(): Promise<void> {
  const name = new URLSearchParams(location.search).get('host') ?? 'alone';
  const view = new View(document.body, Object.hasOwn(HOSTS, name) ? name : 'alone');
  try {
    const make = Object.hasOwn(HOSTS, name) ? HOSTS[name] : undefined;
    if (make === undefined) {
      throw new Error(`There is no host “${name}”. The address ends with ?host=workspace, ?host=dynamics, or with nothing.`);
    }
    const settings = await readSettings();
    const host = make(settings, view.places);
    const desk = new Desk(settings, host.opener, (state) => {
      view.show(state);
    });
    view.serve(desk, settings, (id) => {
      desk.select(id, false);
      if (desk.isThere(id)) {
        host.select?.(id);
      }
    });
    window.addEventListener('beforeunload', (event) => {
      if (desk.isAnyTouched()) {
        event.preventDefault();
      }
    });
    await host.start({
      see: (contact) => {
        desk.see(contact);
      },
      select: (id) => {
        desk.select(id, true);
      },
      lose: (id) => {
        desk.lose(id);
      },
      notify: (about, notice) => {
        view.notify(about, notice);
      },
    });
  } catch (error) {
    view.notify('start', { isProblem: true, text: messageOf(error), actions: [{ label: 'Reload', act: () => { location.reload(); } }] });
  }
}

void start();
