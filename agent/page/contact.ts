/** A contact as every host tells of it, whichever library it comes from. */

/** What the contact is held over. */
export type Kind = 'voice' | 'chat' | 'task' | 'email';

const KINDS: Readonly<Record<string, Kind>> = { voice: 'voice', queue_callback: 'voice', chat: 'chat', task: 'task', email: 'email' };

/** The kind of a contact, by what Amazon Connect's libraries call it. */
export function kindOf(type: string): Kind {
  return KINDS[type] ?? 'voice';
}

/**
 * How far the contact is with this agent.
 *
 * `ringing`: it is offered, or dialled. `connected`: agent and customer are together. `afterwards`: it has ended,
 * and the agent is still at it (after-contact work). `missed`: the agent did not take it.
 */
export type Phase = 'ringing' | 'connected' | 'afterwards' | 'missed';

export interface Contact {
  readonly id: string;
  readonly kind: Kind;
  readonly phase: Phase;
  /** Whether the agent, or a callback, called the customer. */
  readonly isOutbound: boolean;
  /** The customer's number or address; empty when it is not known or withheld. */
  readonly customer: string;
  /** A chat's customer as they call themselves, or a task's title; empty when there is none. */
  readonly title: string;
  /** The contact's attributes, by their names. */
  readonly attributes: Readonly<Record<string, string>>;
}

const NAMELESS = { voice: 'A call', chat: 'A chat', task: 'A task', email: 'An e-mail' } as const;
/** What is sent in the place of a number that is withheld, as the functions know it (`shared/src/number.rs`). */
const WITHHELD = new Set([
  'anonymous', 'blocked', 'hidden', 'nocallerid', 'notavailable', 'private', 'restricted', 'unavailable', 'unknown', 'withheld',
  '+266696687', '+2562533', '+7748483', '+7378742833', '+86282452253', '+8656696',
]);
/** Names come from customers, and can be as long as they like. */
const MAX_NAME = 80;

/** What a contact is called in sentences and lists. */
export function nameOf(contact: Contact): string {
  return line(contact.attributes['customerName'] ?? '') || line(contact.title) || line(contact.customer) || NAMELESS[contact.kind];
}

/** A customer's number or address; empty when it is withheld. */
export function customerOf(address: unknown): string {
  // Of a softphone it can be sip:+15555550100@example.
  const text = typeof address === 'string' ? address.trim().replace(/^sip:([^@]*).*$/i, '$1') : '';
  return WITHHELD.has(text.toLowerCase().replaceAll(' ', '')) ? '' : text;
}

/** Text from outside as one line that can be read: without characters that are not seen, and not longer than `most`. */
export function line(text: string, most = MAX_NAME): string {
  const seen = text.replace(/[\p{C}\p{Z}]+/gu, ' ').trim();
  const letters = [...seen];
  return letters.length > most ? `${letters.slice(0, most).join('')} …` : seen;
}
