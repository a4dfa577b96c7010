/**
 * The page as an application in the Amazon Connect agent workspace.
 * https://docs.aws.amazon.com/agentworkspace/latest/devguide/
 *
 * Owns what the workspace is asked. It tells of no change of a contact's attributes, so they are asked for again and
 * again; and of no contact that the agent selects: with a contact as the application's scope there is one only.
 */

import type { AmazonConnectApp, ContactClient, VoiceClient } from '../libraries/workspace.ts';
import { customerOf, kindOf, type Contact } from '../contact.ts';
import type { Host, Listener, Places } from '../host.ts';
import { RecordArea } from '../record-area.ts';
import type { Settings } from '../settings.ts';

/** How often a contact's attributes are asked for, until its page is known and after. */
const ASK_MILLISECONDS = 1000;
const ASK_AGAIN_MILLISECONDS = 5000;
/** So many failures in a row are no passing trouble. */
const FAILURES = 3;
const ATTRIBUTES = ['screenPopUrl', 'screenPopTarget', 'customerName'];


export class Workspace implements Host {
  readonly opener: RecordArea;
  readonly #contacts = new Map<string, Contact>();
  /** Each contact's asking for its attributes, which ends with it. */
  readonly #askings = new Map<string, { timer: ReturnType<typeof setTimeout> | undefined }>();
  #listener!: Listener;
  #client!: ContactClient;
  #voice!: VoiceClient;

  constructor(_settings: Settings, places: Places) {
    this.opener = new RecordArea(places.records);
  }

  async start(listener: Listener): Promise<void> {
    this.#listener = listener;
    if (window.parent === window) {
      this.#tellElsewhere();
      return;
    }
    const { AmazonConnectApp, ContactClient, VoiceClient } = await import('../libraries/workspace.ts');
    const { provider } = AmazonConnectApp.init({
      onCreate: async ({ context }) => {
        const scope = context.scope;
        const id = scope?.type === 'contact' ? scope.contactId : undefined;
        this.#listen(id);
        if (id !== undefined) {
          // The agent may have opened the application after the contact was connected, which is not told again.
          void this.#meet(id);
        }
      },
      onDestroy: async () => {
        for (const id of this.#contacts.keys()) {
          this.#lose(id);
        }
      },
    });
    this.#watch(provider);
    this.#client = new ContactClient(provider);
    this.#voice = new VoiceClient(provider);
  }

  #watch(provider: AmazonConnectApp): void {
    provider.onError((error) => {
      if (error.key === 'workspaceConnectTimeout') {
        this.#tellElsewhere();
      }
    });
  }

  #listen(id: string | undefined): void {
    const client = this.#client;
    client.onConnected(async ({ contactId }) => {
      await this.#meet(contactId);
    }, id);
    client.onStartingAcw(async ({ contactId }) => {
      this.#change(contactId, { phase: 'afterwards' });
    }, id);
    client.onMissed(async ({ contactId }) => {
      this.#lose(contactId);
    }, id);
    client.onCleared(async ({ contactId }) => {
      this.#lose(contactId);
    }, id);
  }

  /** Learns of a contact that is connected what it can, and asks for its attributes until it is over. */
  async #meet(id: string): Promise<void> {
    if (this.#contacts.has(id)) {
      this.#change(id, { phase: 'connected' });
      return;
    }
    this.#contacts.set(id, { id, kind: 'voice', phase: 'connected', isOutbound: false, customer: '', title: '', attributes: {} });
    const channel = this.#client.getChannelType(id).then(({ type }) => {
      this.#change(id, { kind: kindOf(type) });
    });
    // It is told of calls only; and the search that it is for can be done by hand.
    const number = this.#voice.getInitialCustomerPhoneNumber(id).then((number) => {
      this.#change(id, { customer: customerOf(number) });
    });
    this.#askings.set(id, { timer: undefined });
    void this.#askFor(id, 0);
    await Promise.allSettled([channel, number]);
  }

  async #askFor(id: string, failures: number): Promise<void> {
    const asking = this.#askings.get(id);
    if (asking === undefined) {
      return;
    }
    const isOver = () => this.#askings.get(id) !== asking;
    try {
      const told: Record<string, unknown> = await this.#client.getAttributes(id, ATTRIBUTES);
      failures = 0;
      if (isOver()) {
        return;
      }
      this.#listener.notify('attributes', null);
      this.#change(id, { attributes: Object.fromEntries(Object.entries(told).map(([name, value]) => [name, textOf(value)])) });
    } catch {
      if (isOver()) {
        return;
      }
      failures += 1;
      if (failures === FAILURES) {
        this.#listener.notify('attributes', {
          isProblem: true,
          text: 'The agent workspace does not tell which record belongs to this contact.',
          administrator: 'Give this application the permission Contact.Attributes.View, in Amazon Connect under Third-party applications.',
        });
      }
    }
    const isKnown = (this.#contacts.get(id)?.attributes['screenPopUrl'] ?? '') !== '';
    const pause = isKnown || failures >= FAILURES ? ASK_AGAIN_MILLISECONDS : ASK_MILLISECONDS;
    asking.timer = setTimeout(() => void this.#askFor(id, failures), pause);
  }

  #change(id: string, change: Partial<Contact>): void {
    const known = this.#contacts.get(id);
    if (known !== undefined) {
      const contact = { ...known, ...change };
      this.#contacts.set(id, contact);
      this.#listener.see(contact);
    }
  }

  #lose(id: string): void {
    clearTimeout(this.#askings.get(id)?.timer);
    this.#askings.delete(id);
    this.#contacts.delete(id);
    this.#listener.notify('attributes', null);
    this.#listener.lose(id);
  }

  #tellElsewhere(): void {
    this.#listener.notify('workspace', {
      isProblem: true,
      text: 'This address is for the Amazon Connect agent workspace, which does not answer here.',
      administrator: 'Enter it there as an application. Outside of it, agents use the page\'s own address.',
      actions: [{ label: 'Open the page on its own', act: () => { window.open(new URL('./', document.baseURI), '_blank', 'noopener'); } }],
    });
  }
}

/** An attribute's value: the workspace's documentation has it both ways. */
function textOf(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'value' in value) {
    return String(value.value ?? '');
  }
  return typeof value === 'string' ? value : '';
}
