/**
 * The Contact Control Panel, by Amazon Connect Streams: shows it, tells of its contacts, dials.
 * https://github.com/amazon-connect/amazon-connect-streams/blob/master/Documentation.md
 *
 * Owns what Streams is told and asked. What it cannot know, such as the number of a task, it leaves empty: of Streams'
 * getters some throw.
 */

import type { Contact, Kind, Phase } from '../contact.ts';
import type { Listener } from '../host.ts';
import type { Settings } from '../settings.ts';

/** How long the control panel may take to dial before the agent is told that it has not answered. */
const DIAL_MILLISECONDS = 15_000;

export class ControlPanel {
  readonly #settings: Settings;
  readonly #listener: Listener;
  #agent: connect.Agent | null = null;
  #isExhausted = false;

  private constructor(settings: Settings, listener: Listener) {
    this.#settings = settings;
    this.#listener = listener;
  }

  /** Shows the control panel in `place`, and tells of its contacts from then on. */
  static async start(settings: Settings, place: HTMLElement, listener: Listener): Promise<ControlPanel> {
    await import('../libraries/streams.ts');
    const panel = new ControlPanel(settings, listener);
    panel.#start(place);
    return panel;
  }

  /** Calls a number, in the form +15555550100. Throws an error that tells the agent why not. */
  async dial(number: string): Promise<void> {
    const agent = this.#agent;
    if (agent === null) {
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

  #start(place: HTMLElement): void {
    connect.getLog().setEchoLevel(connect.LogLevel.WARN);
    connect.core.initCCP(place, {
      ccpUrl: this.#address(),
      iframeTitle: 'Amazon Connect control panel',
      // Browsers block what Streams would open by itself. The page has a button for it.
      loginPopup: false,
      softphone: { allowFramedSoftphone: true },
      pageOptions: { enableAudioDeviceSettings: true, enablePhoneTypeSettings: true },
    });
    const bus = connect.core.getEventBus();
    for (const event of [connect.EventType.ACK_TIMEOUT, connect.EventType.TERMINATED, connect.EventType.AUTH_FAIL]) {
      bus.subscribe(event, () => {
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
        this.#listener.notify('sign-in', null);
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
        if (this.#isExhausted) {
          // The control panel is not tried any more: come back signed in, the agent finds it.
          window.addEventListener('focus', () => {
            location.reload();
          }, { once: true });
        }
      },
    };
    this.#listener.notify('sign-in', {
      isProblem: true,
      text: `You are not signed in to Amazon Connect (${host}). Sign in, and the control panel appears here.`,
      administrator: `If agents who are signed in see this, add ${location.origin} to the approved origins of the instance, and allow its cookies in this page.`,
      actions: this.#isExhausted ? [signIn, { label: 'Reload this page', act: () => { location.reload(); } }] : [signIn],
    });
  }

  #address(): string {
    const url = new URL(this.#settings.instanceUrl);
    // Instances have had addresses of this form until 2021.
    return new URL(url.hostname.endsWith('.awsapps.com') ? '/connect/ccp-v2/' : '/ccp-v2/', url).href;
  }
}

const KINDS: Readonly<Record<string, Kind>> = {
  voice: 'voice',
  queue_callback: 'voice',
  chat: 'chat',
  task: 'task',
  email: 'email',
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
    kind: KINDS[attempt(() => contact.getType() as string) ?? ''] ?? 'voice',
    phase: phaseOf(type, contact),
    isOutbound: attempt(() => !contact.isInbound()) ?? false,
    customer: customerOf(contact),
    attributes: Object.fromEntries(Object.values(attributes).map(({ name, value }) => [name, value ?? ''])),
  };
}

/** The last phase of each contact that an error could end in. */
const wasConnected = new Set<string>();

function phaseOf(state: string, contact: connect.Contact): Phase {
  switch (state) {
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

function customerOf(contact: connect.Contact): string {
  const endpoint = attempt(() => contact.getInitialConnection()?.getEndpoint());
  // Of a softphone it can be sip:+15555550100@example.
  const number = /^(?:sip:)?([^@]*)/.exec(endpoint?.phoneNumber ?? '')?.[1];
  if (number) {
    return number;
  }
  // Of an e-mail; Streams' types do not have it yet.
  const email = attempt(() => (contact as unknown as { getCustomerEndpoint(): { address?: string } | null }).getCustomerEndpoint());
  return email?.address ?? '';
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
