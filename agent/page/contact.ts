/** A contact as every host tells of it, whichever library it comes from. */

/** What the contact is held over. */
export type Kind = 'voice' | 'chat' | 'task' | 'email';

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
  /** The contact's attributes, by their names. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** What a contact is called in sentences and lists. */
export function nameOf(contact: Contact): string {
  const name = contact.attributes['customerName'];
  return name || contact.customer || { voice: 'A call', chat: 'A chat', task: 'A task', email: 'An e-mail' }[contact.kind];
}
