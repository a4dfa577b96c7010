//! A contact as the instance knows it: what it is, where it stands, and what can be done with it next.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// What kind of contact it is, which decides its channel, the events that are made of it, and how it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Call,
    /// A call that the agent makes.
    Outbound,
    /// A call that waits for the agent to call back.
    Callback,
    Chat,
    Task,
    Email,
}

impl Kind {
    /// As events name it.
    pub fn channel(self) -> &'static str {
        match self {
            Kind::Call | Kind::Outbound | Kind::Callback => "VOICE",
            Kind::Chat => "CHAT",
            Kind::Task => "TASK",
            Kind::Email => "EMAIL",
        }
    }

    pub(super) fn is_voice(self) -> bool {
        self.channel() == "VOICE"
    }

    /// As Amazon Connect Streams and the workspace name it.
    /// <https://github.com/amazon-connect/amazon-connect-streams/blob/master/Documentation.md#contactgettype>
    fn contact_type(self) -> &'static str {
        match self {
            Kind::Call | Kind::Outbound => "voice",
            Kind::Callback => "queue_callback",
            Kind::Chat => "chat",
            Kind::Task => "task",
            Kind::Email => "email",
        }
    }

    /// How many of its channel an agent has at the same time.
    pub(super) fn most_at_once(self) -> usize {
        if self.is_voice() { 1 } else { 5 }
    }
}

/// Where a contact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// In a flow or in the queue: no agent sees it.
    Queued,
    /// A callback that is offered to the agent.
    Incoming,
    /// Offered to the agent, or answered and on its way; the customer of a call that the agent makes is rung.
    Connecting,
    Connected,
    /// After-contact work.
    Ended,
    Missed,
    Rejected,
    /// How Amazon Connect often tells of a contact that nobody took.
    Error,
    /// Over: the agent sees it no more, and its contact record is written.
    Gone,
}

/// When the attributes that a flow has set can be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttributesAfter {
    /// At once: those of the inbound flow when it rings.
    #[default]
    Ringing,
    Never,
    /// When the action `releaseAttributes` says so.
    Later,
}

/// What can be done with a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The agent takes it.
    Accept,
    /// The agent does not want it.
    Reject,
    /// It rings until it rings no more.
    Miss,
    /// The customer of a call that the agent makes picks up.
    CustomerAnswers,
    /// Either side ends it.
    HangUp,
    /// The agent ends the work after it.
    Clear,
    /// The agent gives it to another queue: a second leg begins.
    Transfer,
    /// The agent looks at it.
    Select,
    /// The attributes that were held back are there.
    ReleaseAttributes,
}

/// A contact of the instance.
#[derive(Debug, Clone)]
pub struct Contact {
    pub id: Uuid,
    /// The first leg, of a contact that is none.
    pub initial: Option<Uuid>,
    pub previous: Option<Uuid>,
    pub next: Option<Uuid>,
    pub kind: Kind,
    /// As events write it: `INBOUND`, `OUTBOUND`, `TRANSFER`, `CALLBACK`, `API`.
    pub initiation_method: &'static str,
    /// The customer's number or address; none of a task, and of a caller who withholds it.
    pub address: Option<String>,
    pub name: Option<String>,
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// A flow runs that has to end before it can be offered.
    pub is_in_flow: bool,
    /// The agent has taken it.
    pub is_accepted: bool,
    /// The agent or an agent elsewhere who has, or had, the contact.
    pub agent: Option<String>,
    pub attempts: u32,
    pub attributes: BTreeMap<String, String>,
    /// What a flow has set and nobody sees yet.
    pub held: BTreeMap<String, String>,
    pub attributes_after: AttributesAfter,
    /// What is set over what the functions answer.
    pub overrides: BTreeMap<String, String>,
    pub is_without_functions: bool,
    /// What became of each function's invocation, by its name.
    pub steps: BTreeMap<String, Json>,
    pub times: Times,
    pub is_hung_up_by_agent: bool,
}

/// When what happened.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub initiated: Timestamp,
    pub enqueued: Option<Timestamp>,
    pub accepted: Option<Timestamp>,
    /// The customer is there.
    pub connected: Option<Timestamp>,
    pub disconnected: Option<Timestamp>,
    pub cleared: Option<Timestamp>,
}

impl Contact {
    pub(super) fn new(kind: Kind) -> Contact {
        let now = Timestamp::now();
        Contact {
            id: Uuid::new_v4(),
            initial: None,
            previous: None,
            next: None,
            kind,
            initiation_method: match kind {
                Kind::Call | Kind::Email => "INBOUND",
                Kind::Outbound => "OUTBOUND",
                Kind::Callback => "CALLBACK",
                Kind::Chat | Kind::Task => "API",
            },
            address: None,
            name: None,
            state: State::Queued,
            since: now,
            is_in_flow: true,
            is_accepted: false,
            agent: None,
            attempts: 0,
            attributes: BTreeMap::new(),
            held: BTreeMap::new(),
            attributes_after: AttributesAfter::default(),
            overrides: BTreeMap::new(),
            is_without_functions: false,
            steps: BTreeMap::new(),
            times: Times {
                initiated: now,
                enqueued: None,
                accepted: None,
                connected: None,
                disconnected: None,
                cleared: None,
            },
            is_hung_up_by_agent: false,
        }
    }

    pub(super) fn enter(&mut self, state: State) {
        self.state = state;
        self.since = Timestamp::now();
    }

    /// Whether the agent's control panel shows it.
    pub(super) fn is_seen(&self) -> bool {
        !matches!(self.state, State::Queued | State::Gone)
    }

    /// Whether the customer is rung, by the agent's side.
    pub(super) fn is_dialling(&self) -> bool {
        self.state == State::Connecting
            && (self.kind == Kind::Outbound || self.kind == Kind::Callback && self.is_accepted)
    }

    fn is_offered(&self) -> bool {
        let is_offered = matches!(self.state, State::Incoming | State::Connecting);
        is_offered && !self.is_accepted && self.kind != Kind::Outbound
    }

    /// What makes sense now.
    pub(super) fn actions(&self) -> Vec<Action> {
        let is_there = self.times.disconnected.is_none();
        let was_not_taken = matches!(self.state, State::Missed | State::Rejected | State::Error);
        let all = [
            (Action::Accept, self.is_offered()),
            (Action::Reject, self.is_offered()),
            (Action::Miss, self.is_offered()),
            (Action::CustomerAnswers, self.is_dialling()),
            (Action::Transfer, self.state == State::Connected),
            (Action::HangUp, is_there && !self.is_in_flow),
            (Action::Clear, was_not_taken || self.state == State::Ended),
            (Action::Select, self.is_seen()),
            (Action::ReleaseAttributes, !self.held.is_empty()),
        ];
        let possible = all.into_iter().filter(|(_, is_possible)| *is_possible);
        possible.map(|(action, _)| action).collect()
    }

    /// Takes attributes that a flow has set: those that belong to the case go over them.
    pub(super) fn take(&mut self, set: BTreeMap<String, String>) {
        let all = set.into_iter().chain(self.overrides.clone());
        match self.attributes_after {
            AttributesAfter::Ringing => self.attributes.extend(all),
            AttributesAfter::Later => self.held.extend(all),
            AttributesAfter::Never => {}
        }
    }

    /// As the pages and the tests see it.
    pub(super) fn json(&self) -> Json {
        let steps: Map<String, Json> = self.steps.clone().into_iter().collect();
        json!({
            "id": self.id,
            "initialContactId": self.initial,
            "previousContactId": self.previous,
            "nextContactId": self.next,
            "kind": self.kind,
            "channel": self.kind.channel(),
            "type": self.kind.contact_type(),
            "initiationMethod": self.initiation_method,
            "address": self.address,
            "name": self.name,
            "state": self.state,
            "since": self.since,
            "isInFlow": self.is_in_flow,
            "isAccepted": self.is_accepted,
            "isDialling": self.is_dialling(),
            "isCustomerThere": self.times.disconnected.is_none(),
            "agent": self.agent,
            "attributes": self.attributes,
            "heldAttributes": self.held,
            "actions": self.actions(),
            "steps": steps,
        })
    }
}
