// What the control panel says to the page that shows it, and what it is asked: the messages of Amazon Connect Streams.
// https://github.com/amazon-connect/amazon-connect-streams

import { act, ask } from './instance.js';
import { isSeen } from './panel.js';

const ARN = 'arn:aws:connect:us-east-1:123456789012:instance/1a2b3c4d-0000-4000-8000-00000000e001';
const queue = (id, name) => ({ queueARN: `${ARN}/queue/${id}`, queueId: `${ARN}/queue/${id}`, name });
const SUPPORT = queue('2b3c4d5e-0000-4000-8000-00000000f001', 'Support');
const AGENT_ID = '3c4d5e6f-0000-4000-8000-00000000a002';
const STATES = [
  { agentStateARN: `${ARN}/agent-state/s1`, name: 'Available', type: 'routable' },
  { agentStateARN: `${ARN}/agent-state/s2`, name: 'Break', type: 'not_routable' },
  { agentStateARN: `${ARN}/agent-state/s3`, name: 'Offline', type: 'offline' },
];

export class Conversation {
  #parent;
  #portId = crypto.randomUUID();
  #isTold = false;
  #isOver = false;
  #accepted = new Map();
  #selected = null;
  #stateSince = ['', new Date()];
  /** Those that the page itself has accepted: it tells of them on its own. */
  #acceptedByPage = new Set();

  constructor(parent) {
    this.#parent = parent;
    window.addEventListener('message', (message) => {
      if (message.source === parent && typeof message.data?.event === 'string') this.#hear(message.data.event, message.data.data);
    });
  }

  /** Tells where things stand. */
  tell(seen) {
    if (!this.#isTold) {
      this.#isTold = true;
      this.#say('acknowledge', { id: this.#portId });
      this.#say('update_connected_ccps', { length: 1 });
    }
    const contacts = seen.contacts.filter(isSeen);
    for (const { id, isAccepted, kind } of contacts) {
      const wasAccepted = this.#accepted.get(id);
      this.#accepted.set(id, isAccepted);
      if (wasAccepted === false && isAccepted && kind !== 'outbound' && !this.#acceptedByPage.has(id)) this.#sayAccepted(id);
    }
    this.#say('agent::update', { snapshot: this.#snapshot(seen, contacts), configuration: configuration(seen.agent) });
    if (seen.selected !== this.#selected) {
      this.#selected = seen.selected;
      this.#say('contact::view', { contactId: seen.selected ?? '' });
    }
  }

  /** The agent's session is over. */
  end(how) {
    this.#isOver = true;
    this.#say(how === 'signedOut' ? 'terminated' : 'auth_fail');
  }

  #say(event, data) {
    // As the real one does: whoever may show it, may hear it.
    this.#parent.postMessage(data === undefined ? { event } : { event, data }, '*');
  }

  #sayAccepted(contactId) {
    this.#say('contact::accepted', { contactId });
    this.#say(`contact::accepted::${contactId}`, { contactId });
  }

  #hear(event, data) {
    if (this.#isOver || !this.#isTold) return;
    switch (event) {
      case 'synchronize':
        this.#say('acknowledge');
        break;
      case 'api_request':
        this.#answer(data);
        break;
      case 'master_request':
        this.#say('master_response', {
          event: 'master_response', requestId: data.requestId, err: null,
          data: { masterId: this.#portId, isMaster: false, topic: data.params?.topic },
        });
        break;
      case 'broadcast':
        if (data.event === 'contact::view') {
          if (data.data?.contactId) act(data.data.contactId, 'select').catch(() => {});
        } else {
          this.#say(data.event, data.data);
        }
        break;
      case 'terminate':
        ask('PUT', 'session', { signedIn: false, how: 'signedOut' });
        break;
    }
  }

  async #answer({ requestId, method, params }) {
    const reply = (data, error) =>
      this.#say('api_response', { event: 'api_response', requestId, data: data ?? null, err: error ? JSON.stringify(error) : null });
    try {
      const answer = await this.#do(method, params ?? {});
      // A dropped call is never answered.
      if (!answer?.dropped) reply({});
    } catch ({ type, message, status }) {
      reply(null, { type: type ?? 'Error', message, stack: [], retryStatus: 'none', statusCode: status ?? 500 });
    }
  }

  #do(method, params) {
    switch (method) {
      case 'createOutboundContact':
        return ask('POST', 'calls', { number: params.endpoint?.phoneNumber ?? '', wait: false });
      case 'acceptContact':
        this.#acceptedByPage.add(params.contactId);
        return act(params.contactId, 'accept');
      case 'rejectContact':
        return act(params.contactId, 'reject');
      case 'clearContact':
      case 'completeContact':
        return act(params.contactId, 'clear');
      case 'destroyConnection':
        return act(params.contactId, 'hangUp', { byAgent: true });
      case 'putAgentState':
        return ask('PUT', 'agent', { availability: params.state?.name });
      default:
        return null;
    }
  }

  #snapshot({ agent }, contacts) {
    if (this.#stateSince[0] !== agent.state.name) this.#stateSince = [agent.state.name, new Date()];
    const known = STATES.find(({ name }) => name === agent.state.name);
    const now = Date.now();
    return {
      state: { agentStateARN: known?.agentStateARN ?? null, ...agent.state, startTimestamp: this.#stateSince[1] },
      nextState: null,
      agentAvailabilityState: { state: agent.state.name, timestamp: this.#stateSince[1] },
      contacts: contacts.map(contact),
      snapshotTimestamp: now,
      localTimestamp: now,
      skew: 0,
    };
  }
}

function configuration({ name, username }) {
  return {
    name, username, agentARN: `${ARN}/agent/${AGENT_ID}`, extension: null,
    softphoneEnabled: true, softphoneAutoAccept: false, permissions: ['outboundCall'], dialableCountries: ['us'],
    agentStates: STATES, agentPreferences: {},
    routingProfile: {
      name: 'Support', routingProfileARN: `${ARN}/routing-profile/4d5e6f70-0000-4000-8000-00000000b006`,
      routingProfileId: `${ARN}/routing-profile/4d5e6f70-0000-4000-8000-00000000b006`,
      channelConcurrencyMap: { VOICE: 1, CHAT: 5, TASK: 5, EMAIL: 5 },
      defaultOutboundQueue: SUPPORT,
      queues: [SUPPORT, queue(`agent/${AGENT_ID}`, null)],
    },
  };
}

function contact(seen) {
  const since = new Date(seen.since);
  const state = { type: seen.state, timestamp: since };
  const isVoice = seen.channel === 'VOICE';
  const endpoint = {
    endpointARN: null, endpointId: null, type: isVoice ? 'phone_number' : null, name: null,
    phoneNumber: isVoice ? seen.address : null, agentLogin: null, queue: null,
  };
  const isOver = ['ended', 'missed', 'rejected', 'error'].includes(seen.state);
  const chatMediaInfo = seen.channel === 'CHAT' ? { connectionData: JSON.stringify({ ConnectionAuthenticationToken: 'none' }), customerName: seen.name } : null;
  const connection = (type, initial, to, isThere) => ({
    connectionId: `${seen.id}-${type}`, contactId: seen.id, type, initial,
    state: { type: isOver ? 'disconnected' : isThere ? 'connected' : 'connecting', timestamp: since },
    endpoint: to, address: to, softphoneMediaInfo: null, chatMediaInfo, monitoringInfo: null, quickConnectName: null,
  });
  const isOutbound = seen.kind === 'outbound';
  const isConnected = seen.state === 'connected';
  return {
    contactId: seen.id, initialContactId: seen.initialContactId, relatedContactId: null, type: seen.type,
    name: seen.name, description: null, state, status: state, initiationMethod: seen.initiationMethod.toLowerCase(),
    queue: SUPPORT, queueTimestamp: since, contactDuration: 0,
    attributes: Object.fromEntries(Object.entries(seen.attributes).map(([name, value]) => [name, { name, value }])),
    references: {},
    segmentAttributes: { 'connect:Subtype': { ValueString: { CHAT: 'connect:Chat', EMAIL: 'connect:Email', TASK: 'connect:Task' }[seen.channel] ?? 'connect:Telephony' } },
    contactFeatures: { attachmentsEnabled: false, multiPartyConferenceEnabled: false }, channelContext: null,
    customerEndpoint: seen.channel === 'EMAIL' ? { address: seen.address, type: 'EMAIL_ADDRESS' } : endpoint, connectSystemEndpoint: null,
    connections: [
      connection('agent', false, { type: 'agent', phoneNumber: null, endpointARN: null }, seen.isAccepted),
      connection(isOutbound ? 'outbound' : 'inbound', true, endpoint, isConnected || !isOutbound && seen.type !== 'queue_callback'),
    ],
  };
}
