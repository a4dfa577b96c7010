// The agent workspace: the control panel at the left, and for each contact the agent's page as an application of a third
// party, with the contact as its scope.
// https://docs.aws.amazon.com/agentworkspace/latest/devguide/

import { ask, element, watch } from './instance.js';
import { isSeen, makePanel } from './panel.js';

const ARN = 'arn:aws:app-integrations:us-east-1:123456789012:application/6a7b8c9d-0000-4000-8000-00000000c007';
const CONTACTS = 'aws.connect.contact';
/** What a page stands for in a topic or a request when it means the contact of its scope. */
const CURRENT = 'CURRENT_CONTACT';

/** An application for one contact: the frame, and the conversation with what is in it. */
class Application {
  #frame;
  #origin;
  #port = null;
  #isCreated = false;
  #subscriptions = [];
  #healthChecks = 0;

  constructor(contact, address, place) {
    this.contact = contact;
    this.#origin = new URL(address).origin;
    this.#frame = element('iframe', { title: `Dynamics 365 record for ${contact.address ?? contact.name ?? contact.id}` });
    // The four that an application has unless it is registered with others, and the one that it is registered with.
    this.#frame.setAttribute('sandbox', 'allow-forms allow-popups allow-same-origin allow-scripts allow-popups-to-escape-sandbox');
    this.#frame.dataset.id = contact.id;
    window.addEventListener('message', this.#meet);
    this.#frame.src = address;
    place.append(this.#frame);
  }

  show(isShown) {
    this.#frame.hidden = !isShown;
  }

  /** Tells those who have subscribed to a contact's event. */
  publish(event) {
    const { id, initialContactId, type } = this.contact;
    const data = { contactId: id, initialContactId: initialContactId ?? id, type, subtype: subtypeOf(this.contact) };
    for (const { topic, handlerId } of this.#subscriptions) {
      const isFor = topic.parameter === undefined || topic.parameter === CURRENT || topic.parameter === id;
      if (topic.namespace === CONTACTS && topic.key === `contact/${event}` && isFor) this.#say({ type: 'publish', topic, data, handlerId });
    }
  }

  /** Ends it. What it does last is waited for, and not for long. */
  destroy() {
    let isGone = false;
    this.end = () => {
      if (isGone) return;
      isGone = true;
      window.removeEventListener('message', this.#meet);
      this.#port?.close();
      this.#frame.remove();
    };
    if (this.#isCreated) {
      this.#lifecycle('destroy');
      setTimeout(this.end, 2000);
    } else {
      this.end();
    }
  }

  #meet = (message) => {
    if (message.source !== this.#frame.contentWindow || message.origin !== this.#origin) return;
    if (message.data?.type !== 'connect-app-host-init') return;
    // A page that was loaded again begins anew.
    this.#port?.close();
    this.#subscriptions = [];
    this.#isCreated = false;
    this.#port = message.ports[0];
    this.#port.onmessage = ({ data }) => this.#hear(data);
    this.#say({ type: 'acknowledge', connectionId: crypto.randomUUID(), status: { initialized: true, startTime: new Date() }, healthCheckInterval: 10_000 });
    this.#lifecycle('create');
  };

  #say(message) {
    this.#port?.postMessage(message);
  }

  #lifecycle(stage) {
    const config = {
      _type: 'iframe', arn: ARN, namespace: 'connect-dynamics', id: ARN.split('/')[1], name: 'Dynamics 365 record', description: '',
      accessUrl: this.#frame.src, contactHandling: { scope: 'PER_CONTACT' },
      permissions: ['Contact.Details.View', 'Contact.Attributes.View', 'Contact.CustomerDetails.View'],
    };
    const scope = { type: 'contact', contactId: this.contact.id };
    this.#say({
      type: 'appLifecycle', stage, appInstanceId: this.contact.id, instanceId: this.contact.id, appConfig: config, config,
      scope, contactScope: scope, parameters: undefined, launchedBy: { type: 'internal' }, region: 'us-east-1',
    });
  }

  #hear(message) {
    switch (message.type) {
      case 'subscribe':
        this.#subscriptions.push({ topic: message.topic, handlerId: message.handlerId });
        break;
      case 'unsubscribe':
        this.#subscriptions = this.#subscriptions.filter(({ topic }) => JSON.stringify(topic) !== JSON.stringify(message.topic));
        break;
      case 'healthCheck':
        this.#say({ type: 'healthCheckResponse', time: Date.now(), counter: ++this.#healthChecks });
        break;
      case 'request':
        this.#answer(message);
        break;
      case 'appLifecycleHandlerCompleted':
        if (message.stage === 'create') {
          this.#isCreated = true;
          this.#lifecycle('start');
        } else if (message.stage === 'destroy') {
          this.end?.();
        }
        break;
      case 'closeApp':
        document.getElementById('said').textContent = `The application asks to be closed: ${message.message ?? ''}`;
        break;
    }
  }

  async #answer({ namespace, command, requestId, data }) {
    try {
      const answer = await this.#find(`${namespace} ${command}`, data ?? {});
      this.#say({ type: 'response', namespace, requestId, isError: false, data: answer });
    } catch (error) {
      this.#say({
        type: 'response', namespace, requestId, isError: true, errorKey: error.key ?? 'requestFailed', reason: error.message,
        details: { command, requestData: data },
      });
    }
  }

  #find(request, data) {
    const of = (id) => {
      const found = seen.contacts.find((it) => it.id === (id === undefined || id === CURRENT ? this.contact.id : id));
      if (!found) throw Object.assign(new Error(`there is no contact ${id}`), { key: 'noResult' });
      return found;
    };
    switch (request) {
      case `${CONTACTS} contact/getAttributes`: {
        const { attributes } = of(data.contactId);
        const names = data.attributes === '*' || data.attributes?.includes('*') ? Object.keys(attributes) : data.attributes ?? [];
        return Object.fromEntries(names.filter((name) => name in attributes).map((name) => [name, attributes[name]]));
      }
      case `${CONTACTS} contact/getInitialContactId`:
        return { initialContactId: of(data.contactId).initialContactId ?? of(data.contactId).id };
      case `${CONTACTS} contact/getType`:
        return { type: of(data.contactId).type };
      case `${CONTACTS} contact/getChannelType`:
        return { type: of(data.contactId).type, subtype: subtypeOf(of(data.contactId)) };
      case `${CONTACTS} contact/getStateDuration`:
        return { stateDuration: Date.now() - Date.parse(of(data.contactId).since) };
      case `${CONTACTS} contact/getQueue`:
        return { name: 'Support', queueARN: 'arn:aws:connect:us-east-1:123456789012:instance/x/queue/y', queueId: 'y' };
      case 'aws.connect.voice voice/getInitialCustomerPhoneNumber':
      case 'aws.connect.voice voice/getPhoneNumber': {
        const contact = of(data.contactId);
        if (contact.channel !== 'VOICE') throw new Error('it is no call');
        return { phoneNumber: contact.address ?? '' };
      }
      case 'aws.connect.voice voice/getOutboundCallPermission':
        return { outboundCallPermission: true };
      case 'aws.connect.voice voice/createOutboundCall':
        return ask('POST', 'calls', { number: data.phoneNumber, wait: false }).then(({ id }) => ({ contactId: id }));
      default:
        throw Object.assign(new Error('the application has not the permission, or the stand-in has no answer'), { key: 'noPermission' });
    }
  }
}

const subtypeOf = ({ channel }) => ({ CHAT: 'connect:Chat', TASK: 'connect:Task', EMAIL: 'connect:Email' })[channel] ?? 'connect:Telephony';

/** What is told of a contact that comes into a state. */
const EVENTS = { incoming: 'incoming', connecting: 'connecting', connected: 'connected', ended: 'acw', missed: 'missed', rejected: 'missed', error: 'missed' };

const byId = (id) => document.getElementById(id);
const show = makePanel(byId('panel'));
const applications = new Map();
const states = new Map();
let seen = null;

function launch(contact) {
  if (!applications.has(contact.id)) {
    applications.set(contact.id, new Application(contact, `${seen.origins.agentPage}/index.html?host=workspace`, byId('applications')));
  }
  showSelected();
}

function showSelected() {
  const selected = seen.contacts.find(({ id }) => id === seen.selected);
  for (const [id, application] of applications) application.show(id === seen.selected);
  byId('launch').hidden = !selected || applications.has(selected.id);
  byId('nothing').hidden = Boolean(selected && applications.has(selected.id));
}

byId('launch').onclick = () => launch(seen.contacts.find(({ id }) => id === seen.selected));

watch((now) => {
  seen = now;
  if (!now.isSignedIn) {
    location.assign('/login');
    return;
  }
  show(now);
  const contacts = now.contacts.filter(isSeen);
  for (const contact of contacts) {
    const application = applications.get(contact.id);
    if (application) application.contact = contact;
    if (states.get(contact.id) !== contact.state) {
      states.set(contact.id, contact.state);
      if (EVENTS[contact.state]) application?.publish(EVENTS[contact.state]);
      if (!application && byId('is-pinned').checked && ['incoming', 'connecting', 'connected'].includes(contact.state)) launch(contact);
    }
  }
  for (const id of states.keys()) {
    if (contacts.some((contact) => contact.id === id)) continue;
    states.delete(id);
    const application = applications.get(id);
    applications.delete(id);
    application?.publish('cleared');
    application?.publish('destroy');
    application?.destroy();
  }
  showSelected();
});
