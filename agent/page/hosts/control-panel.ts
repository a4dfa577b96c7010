/**
 * The Contact Control Panel, by Amazon Connect Streams: shows it, tells of its contacts, dials.
 * https://github.com/amazon-connect/amazon-connect-streams/blob/master/Documentation.md
 *
 * Owns what Streams is told and asked. What it cannot know, such as the number of a task, it leaves empty: of Streams'
 * getters some throw.
 */

import { customerOf, kindOf, type Contact, type Phase } from '../contact.ts';
import type { Action, Listener } from '../host.ts';
import { messageOf } from '../message.ts';
import type { Settings } from '../settings.ts';

/** How long the control panel may take to dial before the agent is told that it has not answered. */
const DIAL_MILLISECONDS = 15_000;

export class ControlPanel {
  readonly #settings: Settings;
  readonly #listener: Listener;
  readonly #place: HTMLElement;
  #agent: connect.Agent | null = null;
  /** Whether the session has ended. What the control panel says of the agent counts again when its frame is loaded anew. */
  #isOver = false;
  /** Whether Streams has given up loading the control panel. */
  #isExhausted = false;

  private constructor(settings: Settings, place: HTMLElement, listener: Listener) {
    this.#settings = settings;
    this.#place = place;
    this.#listener = listener;
  }

  /** Shows the control panel in `place`, and tells of its contacts from then on. */
  static async start(settings: Settings, place: HTMLElement, listener: Listener): Promise<ControlPanel> {
    const panel = new ControlPanel(settings, place, listener);
    try {
      await import('../libraries/streams.ts');
      panel.#start();
    } catch (error) {
      const isStorage = error instanceof DOMException && error.name === 'SecurityError';
      listener.notify('control-panel', {
        isProblem: true,
        text: isStorage
          ? 'The control panel does not start: this browser lets the page keep nothing here.'
          : `The control panel does not start: ${messageOf(error)}`,
        administrator: `Third-party cookies and storage are blocked, it seems. Allow them, by the browser's policy, for ${location.host} and ${new URL(settings.instanceUrl).host}.`,
        actions: [RELOAD],
      });
    }
    return panel;
  }

  /** Shows a contact in the control panel, too: the agent has selected it elsewhere. */
  view(id: string): void {
    attempt(() => {
      connect.core.viewContact(id);
    });
  }

  /** Calls a number, in the form +15555550100. Throws an error that tells the agent why not. */
  async dial(number: string): Promise<void> {
    const agent = this.#agent;
    if (agent === null || this.#isOver) {
      throw new Error('You are not signed in to Amazon Connect.');
    }
    await new Promise<void>((resolve, reject) => {
      // Streams' types lack the time limit, without which it may never answer.
      const options: connect.ConnectOptions & { timeout: number } = {
        timeout: DIAL_MILLISECONDS,
        success: () => {
          resolve();
        },
        failure: (error: unknown) => {
          reject(new Error(reasonOf(error)));
        },
      };
      agent.connect(connect.Endpoint.byPhoneNumber(number), options);
    });
  }

  #start(): void {
    connect.getLog().setEchoLevel(connect.LogLevel.WARN);
    connect.core.initCCP(this.#place, {
      ccpUrl: this.#address(),
      iframeTitle: 'Amazon Connect control panel',
      // Browsers block what Streams would open by itself. The page has a button for it.
      loginPopup: false,
      softphone: { allowFramedSoftphone: true },
      pageOptions: { enableAudioDeviceSettings: true, enablePhoneTypeSettings: true },
    });
    const bus = connect.core.getEventBus();
    // A frame's `load` comes for a page for signing in, too; the agent is told of only when it is the control panel.
    this.#place.addEventListener('load', () => {
      this.#isOver = false;
    }, { capture: true });
    bus.subscribe(connect.EventType.ACK_TIMEOUT, () => {
      this.#tellSignedOut();
    });
    for (const event of [connect.EventType.TERMINATED, connect.EventType.AUTH_FAIL]) {
      bus.subscribe(event, () => {
        this.#isOver = true;
        this.#tellSignedOut();
      });
    }
    connect.core.onIframeRetriesExhausted(() => {
      this.#isExhausted = true;
      this.#tellSignedOut();
    });
    connect.core.onAccessDenied(() => {
      this.#listener.notify('sign-in', {
        isProblem: true,
        text: 'Amazon Connect does not let your user into the control panel.',
        administrator: 'The user\'s security profile needs the permission Access Contact Control Panel.',
      });
    });
    connect.agent((agent) => {
      this.#agent = agent;
      const isBack = () => {
        if (!this.#isOver) {
          this.#listener.notify('sign-in', null);
          window.removeEventListener('focus', this.#load);
        }
      };
      isBack();
      agent.onRefresh(isBack);
    });
    connect.contact((contact) => {
      const id = contact.getContactId();
      // First of all: what throws below would end this handler.
      contact.onRefresh(() => {
        this.#see(contact);
      });
      contact.onDestroy(() => {
        wasConnected.delete(id);
        this.#listener.lose(id);
      });
      this.#see(contact);
    });
    connect.core.onViewContact(({ contactId }) => {
      if (contactId) {
        this.#listener.select(contactId);
      }
    });
  }

  #see(contact: connect.Contact): void {
    const seen = read(contact);
    if (seen !== null) {
      this.#listener.see(seen);
    }
  }

  #tellSignedOut(): void {
    const host = new URL(this.#settings.instanceUrl).host;
    const signIn = {
      label: 'Sign in to Amazon Connect',
      act: () => {
        window.open(this.#settings.signInUrl || this.#address(), 'connect-dynamics-sign-in');
        // Come back signed in, the agent finds the control panel, whether Streams still tries to load it or not.
        window.addEventListener('focus', this.#load);
      },
    };
    this.#listener.notify('sign-in', {
      isProblem: true,
      text: `You are not signed in to Amazon Connect (${host}). Sign in, and the control panel appears here.`,
      administrator: `If agents who are signed in see this, add ${location.origin} to the approved origins of the instance, and allow its cookies in this page.`,
      actions: [signIn, RELOAD],
    });
  }

  readonly #load = (): void => {
    const frame = this.#place.querySelector('iframe');
    if (this.#isExhausted || frame === null) {
      location.reload();
    } else {
      frame.src = this.#address();
    }
  };

  #address(): string {
    const url = new URL(this.#settings.instanceUrl);
    // Instances have had addresses of this form until 2021.
    return new URL(url.hostname.endsWith('.awsapps.com') ? '/connect/ccp-v2/' : '/ccp-v2/', url).href;
  }
}

const RELOAD: Action = {
  label: 'Reload this page',
  act: () => {
    location.reload();
  },
};

/** What Streams knows of a contact; null when it is gone, or the agent only listens. */
function read(contact: connect.Contact): Contact | null {
  const type = attempt(() => contact.getState().type as string);
  if (type === undefined || isMonitored(contact)) {
    return null;
  }
  // Streams' types have one that may be missing in each.
  const attributes = (attempt(() => contact.getAttributes()) ?? {}) as Record<string, { name: string; value: string | null }>;
  return {
    id: contact.getContactId(),
    kind: kindOf(attempt(() => contact.getType() as string) ?? ''),
    phase: phaseOf(type, contact),
    isOutbound: attempt(() => !contact.isInbound()) ?? false,
    customer: addressOf(contact),
    title: titleOf(contact),
    attributes: Object.fromEntries(Object.values(attributes).map(({ name, value }) => [name, value ?? ''])),
  };
}

/** The contacts that were connected: an error ends them, and is no missed one. */
const wasConnected = new Set<string>();

function phaseOf(state: string, contact: connect.Contact): Phase {
  switch (state) {
    case 'init':
    case 'incoming':
    case 'pending':
    case 'connecting':
      return 'ringing';
    case 'missed':
    case 'rejected':
      return 'missed';
    case 'ended':
      return 'afterwards';
    case 'error':
      // Amazon Connect calls it so, too, when a contact rings and nobody takes it.
      return wasConnected.has(contact.getContactId()) ? 'afterwards' : 'missed';
    default:
      wasConnected.add(contact.getContactId());
      return 'connected';
  }
}

function isMonitored(contact: connect.Contact): boolean {
  // Of a task this throws.
  return attempt(() => (contact.getAgentConnection().getType() as string) === 'monitoring') ?? false;
}

function titleOf(contact: connect.Contact): string {
  // Of a chat; Streams' types do not have it.
  const connection = attempt(() => contact.getAgentConnection()) as unknown as { getMediaInfo(): { customerName?: string } | null } | undefined;
  const chat = attempt(() => connection?.getMediaInfo());
  return attempt(() => contact.getName()) || chat?.customerName || '';
}

function addressOf(contact: connect.Contact): string {
  const endpoint = attempt(() => contact.getInitialConnection()?.getEndpoint());
  if (endpoint?.phoneNumber) {
    return customerOf(endpoint.phoneNumber);
  }
  // Of an e-mail; Streams' types do not have it yet.
  const email = attempt(() => (contact as unknown as { getCustomerEndpoint(): { address?: string } | null }).getCustomerEndpoint());
  return customerOf(email?.address);
}

/** What a getter gives, or undefined when it throws: Streams' do for contacts that are gone. */
function attempt<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

/** Why Streams has not dialled: it says so as text that holds JSON, or as an error. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.message.includes('timed out')) {
    return 'Amazon Connect has not answered.';
  }
  if (error instanceof Error || (typeof error === 'object' && error !== null && 'message' in error)) {
    return String((error as { message: unknown }).message);
  }
  try {
    const { message, type } = JSON.parse(String(error)) as { message?: string; type?: string };
    return message || type || String(error);
  } catch {
    return String(error);
  }
}
