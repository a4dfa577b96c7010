//! The stand-in for an Amazon Connect instance with one agent: contacts that ring, are answered, transferred and
//! hung up, and the functions invoked at each turn as Amazon Connect invokes them.
//!
//! Owns the agent, the contacts and their order of states. [`contact`] has what a contact is, [`events`] what is sent
//! of it, [`flow`] what a flow does with a function's answer, [`control`] the pages below `/stand-in/`, and [`pages`]
//! those for people: the switchboard, the control panel and the agent workspace.

mod contact;
mod control;
mod events;
mod flow;
pub(crate) mod pages;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{Router, http::StatusCode};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::sync::broadcast;
use uuid::Uuid;

pub use self::contact::{Action, AttributesAfter, Contact, Kind, State};
use super::s3::S3;
use crate::lambda::Lambda;

/// The agent's name, which the records of Dynamics' users have too.
pub const AGENT: &str = "agent.example";
/// The agent of another workplace, who has had a call before it was transferred.
const OTHER_AGENT: &str = "agent.two";
/// The bucket of the samples, for a configuration that names none.
const SAMPLE_BUCKET: &str = "example-connect-recordings";
/// How many contacts that are over are remembered.
const MOST_GONE: usize = 50;
/// How many changes a page may be behind before it is told only where things stand.
const MOST_BEHIND: usize = 1000;

/// An instance.
#[derive(Debug, Clone)]
pub struct Connect {
    inner: Arc<Mutex<Instance>>,
    /// All there is to see, after each change.
    changes: broadcast::Sender<Arc<str>>,
    lambda: Lambda,
    s3: S3,
    bucket: String,
}

#[derive(Debug)]
struct Instance {
    origins: Origins,
    /// Origins whose pages may show the control panel.
    approved_origins: Vec<String>,
    is_signed_in: bool,
    /// How the last session ended.
    session_end: SessionEnd,
    /// What the agent has chosen to be.
    availability: Availability,
    /// A contact was not taken since the agent chose.
    has_missed: bool,
    selected: Option<Uuid>,
    dial_error: Option<DialError>,
    /// The oldest first.
    contacts: Vec<Contact>,
    /// Of the last change.
    change: u64,
}

/// Where the other pages are.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origins {
    pub agent_page: String,
    pub dataverse: String,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionEnd {
    /// Amazon Connect takes it no more.
    #[default]
    Expired,
    /// The agent has signed out, in whatever tab.
    SignedOut,
}

/// What an agent can choose to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    Available,
    Break,
    Offline,
}

/// What becomes of the agent's next calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DialError {
    Refused(Refusal),
    /// There is no answer.
    Dropped(Dropped),
}

/// An error of Amazon Connect's, as Streams hands it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dropped {
    #[serde(rename = "drop")]
    Drop,
}

/// A contact that is to come.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewContact {
    pub kind: Kind,
    /// The customer's telephone number, for calls.
    #[serde(default)]
    pub number: Option<String>,
    /// The customer's e-mail address.
    #[serde(default)]
    pub address: Option<String>,
    /// The customer of a chat, the title of a task, the subject of an e-mail.
    #[serde(default)]
    pub name: Option<String>,
    /// Attributes that the flow sets itself. Those that the functions answer with, `screenPopUrl` and the like, go
    /// over what they answer.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub attributes_after: AttributesAfter,
    #[serde(default)]
    pub without_functions: bool,
    /// Another agent has had it, and has transferred it.
    #[serde(default)]
    pub is_transferred: bool,
    /// Whether to wait for the flow that it begins with; it does unless told otherwise.
    #[serde(default)]
    pub wait: Option<bool>,
}

/// How an action is done.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct How {
    /// Whether to wait for the functions; it does unless told otherwise.
    #[serde(default)]
    pub wait: Option<bool>,
    /// Of `hangUp`: whether the agent does it, and not the customer.
    #[serde(default)]
    pub by_agent: bool,
    /// Of `miss`: whether it is told as an error.
    #[serde(default)]
    pub as_error: bool,
}

/// Why something cannot be done.
#[derive(Debug, Clone)]
pub struct Refused {
    status: StatusCode,
    kind: String,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Refused {
        Refused {
            status,
            kind: kind.to_owned(),
            message: message.into(),
        }
    }

    fn wrong(message: impl Into<String>) -> Refused {
        Refused::new(
            StatusCode::BAD_REQUEST,
            "InvalidParameterException",
            message,
        )
    }

    fn not_now(message: impl Into<String>) -> Refused {
        Refused::new(StatusCode::CONFLICT, "InvalidStateException", message)
    }

    /// As the agent's page sees it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// What goes on after an action has begun: the functions' work.
type Rest = BoxFuture<'static, ()>;

impl Connect {
    /// An instance whose contacts invoke these functions, and whose recordings are put into this bucket.
    pub fn new(lambda: Lambda, s3: S3, bucket: Option<&str>) -> Connect {
        let (changes, _) = broadcast::channel(MOST_BEHIND);
        Connect {
            inner: Arc::new(Mutex::new(Instance {
                origins: Origins::default(),
                approved_origins: Vec::new(),
                is_signed_in: true,
                session_end: SessionEnd::default(),
                availability: Availability::Available,
                has_missed: false,
                selected: None,
                dial_error: None,
                contacts: Vec::new(),
                change: 0,
            })),
            changes,
            lambda,
            s3,
            bucket: bucket.unwrap_or(SAMPLE_BUCKET).to_owned(),
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .merge(control::router())
            .merge(pages::router())
            .with_state(self.clone())
    }

    /// Tells it where the agent's page and Dynamics are: they may show the control panel.
    pub fn set_origins(&self, origins: Origins) {
        let mut instance = self.lock();
        instance.approved_origins = vec![origins.agent_page.clone(), origins.dataverse.clone()];
        instance.origins = origins;
    }

    /// All there is to see.
    pub fn state(&self) -> Json {
        self.lock().json()
    }

    fn lock(&self) -> MutexGuard<'_, Instance> {
        self.inner.lock().expect("no one panics holding it")
    }

    /// Changes something, and tells all pages.
    fn change<T>(&self, change: impl FnOnce(&mut Instance) -> T) -> T {
        let mut instance = self.lock();
        let changed = change(&mut instance);
        instance.offer_waiting();
        instance.forget();
        instance.change += 1;
        // Nobody may be looking.
        let _ = self.changes.send(instance.json().to_string().into());
        changed
    }

    fn change_contact(&self, id: Uuid, change: impl FnOnce(&mut Contact)) {
        self.change(|instance| {
            if let Some(contact) = instance.contact_mut(id) {
                change(contact);
            }
        });
    }

    /// A contact as it is now.
    fn contact(&self, id: Uuid) -> Option<Contact> {
        let instance = self.lock();
        instance.contact(id).cloned()
    }

    /// Lets a contact come: its inbound flow runs, then it waits for the agent.
    ///
    /// # Errors
    /// What of it is wrong.
    fn place(&self, new: NewContact) -> Result<(Uuid, Rest), Refused> {
        let mut contact = Contact::new(new.kind);
        match (new.kind.is_voice(), new.kind) {
            (_, Kind::Outbound) => {
                return Err(Refused::wrong(
                    "an agent's own call is made with POST /stand-in/calls",
                ));
            }
            (true, _) if new.address.is_some() => {
                return Err(Refused::wrong("the address of a call is its `number`"));
            }
            (false, _) if new.number.is_some() => {
                return Err(Refused::wrong(
                    "only calls have a `number`; an e-mail has an `address`",
                ));
            }
            _ => {}
        }
        let given = new
            .number
            .or(new.address)
            .map(|text| text.trim().to_owned());
        contact.address = given.filter(|text| !text.is_empty());
        if let Some(number) = contact.address.as_ref().filter(|_| new.kind.is_voice())
            && !is_number(number)
        {
            return Err(Refused::wrong(format!(
                "`{number}` is no telephone number in the form +15555550100"
            )));
        }
        if new.kind == Kind::Email && contact.address.is_none() {
            contact.address = Some("ada@example.com".into());
        }
        if new.is_transferred && new.kind == Kind::Callback {
            return Err(Refused::wrong("a callback is not transferred"));
        }
        let name = new.name.filter(|name| !name.trim().is_empty());
        let (overrides, attributes): (BTreeMap<_, _>, BTreeMap<_, _>) = new
            .attributes
            .into_iter()
            .partition(|(name, _)| flow::sets(name));
        contact.attributes = attributes;
        contact.overrides = overrides;
        contact.name = match (new.kind, name) {
            (Kind::Chat, name) => {
                let name = name.unwrap_or_else(|| "Ada".into());
                let display = contact.attributes.entry("DisplayName".into());
                display.or_insert_with(|| name.clone());
                Some(name)
            }
            (Kind::Task, None) => Some("Call back about the order".into()),
            (Kind::Email, None) => Some("Where is my order?".into()),
            (_, name) => name,
        };
        contact.attributes_after = new.attributes_after;
        contact.is_without_functions = new.without_functions;
        if new.kind == Kind::Callback {
            // The call in which it was asked for.
            contact.initial = Some(Uuid::new_v4());
            contact.previous = contact.initial;
        } else {
            contact.times.connected = Some(contact.times.initiated);
        }
        let id = contact.id;
        if new.is_transferred {
            let second = second_leg(&contact);
            contact.next = Some(second.id);
            contact.agent = Some(OTHER_AGENT.to_owned());
            contact.attributes_after = AttributesAfter::Ringing;
            let second_id = second.id;
            self.change(|instance| instance.contacts.push(contact));
            let connect = self.clone();
            let rest = async move {
                connect.run_start(id).await;
                connect.change_contact(id, |contact| {
                    contact.times.enqueued = Some(contact.times.initiated);
                    contact.times.accepted = Some(Timestamp::now());
                });
                connect.run_answered(id).await;
                connect.change(|instance| {
                    let carried = instance.contact(id).map(|it| it.attributes.clone());
                    let mut second = second;
                    second.attributes = carried.unwrap_or_default();
                    if second.attributes_after != AttributesAfter::Ringing {
                        second.attributes.retain(|name, _| !flow::sets(name));
                    }
                    instance.contacts.push(second);
                });
                connect.begin(second_id).await;
                connect.change_contact(id, |contact| {
                    contact.is_in_flow = false;
                    contact.is_hung_up_by_agent = true;
                    contact.times.disconnected = Some(Timestamp::now());
                    contact.times.cleared = contact.times.disconnected;
                    contact.enter(State::Gone);
                });
                connect.end(id).await;
                connect.complete(id).await;
            };
            return Ok((second_id, Box::pin(rest)));
        }
        self.change(|instance| instance.contacts.push(contact));
        let connect = self.clone();
        Ok((id, Box::pin(async move { connect.begin(id).await })))
    }

    /// Runs the flow that a contact begins with, and puts it into the queue.
    async fn begin(&self, id: Uuid) {
        self.run_start(id).await;
        self.change_contact(id, |contact| {
            contact.is_in_flow = false;
            contact.times.enqueued = Some(Timestamp::now());
        });
    }

    /// Calls a customer, as the agent.
    ///
    /// # Errors
    /// Why Amazon Connect does not.
    fn dial(&self, number: &str) -> Result<Option<(Uuid, Rest)>, Refused> {
        let mut contact = Contact::new(Kind::Outbound);
        let number = number.trim();
        {
            let instance = self.lock();
            match &instance.dial_error {
                Some(DialError::Dropped(_)) => return Ok(None),
                Some(DialError::Refused(error)) => {
                    return Err(Refused::new(
                        StatusCode::BAD_REQUEST,
                        &error.kind,
                        error.message.clone(),
                    ));
                }
                None => {}
            }
            if !instance.is_signed_in {
                return Err(Refused::new(
                    StatusCode::UNAUTHORIZED,
                    "UnauthorizedException",
                    "the agent is signed out",
                ));
            }
            if !is_number(number) {
                return Err(Refused::new(
                    StatusCode::BAD_REQUEST,
                    "BadEndpointException",
                    format!("`{number}` is no telephone number in the form +15555550100"),
                ));
            }
            if instance.is_at_a_call() {
                return Err(Refused::not_now("the agent is at another call"));
            }
        }
        contact.address = Some(number.to_owned());
        contact.agent = Some(AGENT.to_owned());
        contact.is_accepted = true;
        contact.times.accepted = Some(Timestamp::now());
        contact.is_in_flow = false;
        contact.enter(State::Connecting);
        let id = contact.id;
        self.change(|instance| {
            instance.selected = Some(id);
            instance.contacts.push(contact);
        });
        let connect = self.clone();
        // The outbound whisper runs at once; there is no agent whisper, and EventBridge tells who has the call.
        let rest = async move {
            connect.run_start(id).await;
            connect.tell_answered(id).await;
        };
        Ok(Some((id, Box::pin(rest))))
    }

    /// Begins an action, and gives what goes on after it.
    ///
    /// # Errors
    /// Why it cannot be done now.
    fn act(&self, id: Uuid, action: Action, how: How) -> Result<Rest, Refused> {
        let contact = self.contact(id).ok_or_else(|| no_contact(id))?;
        let possible = contact.actions();
        if !possible.contains(&action) {
            let names = possible.iter().map(|action| json!(action).to_string());
            let names: Vec<String> = names.collect();
            return Err(Refused::not_now(format!(
                "a contact that is {} cannot be told {}; what can be done: {}",
                json!(contact.state),
                json!(action),
                if names.is_empty() {
                    "nothing".to_owned()
                } else {
                    names.join(", ")
                }
            )));
        }
        let connect = self.clone();
        match action {
            Action::Accept => {
                self.change(|instance| {
                    instance.selected = Some(id);
                    if let Some(contact) = instance.contact_mut(id) {
                        contact.is_accepted = true;
                        contact.agent = Some(AGENT.to_owned());
                        contact.times.accepted = Some(Timestamp::now());
                        if contact.kind == Kind::Callback {
                            contact.enter(State::Connecting);
                        }
                    }
                });
                Ok(Box::pin(async move {
                    connect.run_answered(id).await;
                    connect.change_contact(id, |contact| {
                        // The customer of a callback is rung only now, and any may have hung up meanwhile.
                        if contact.state == State::Connecting && contact.kind != Kind::Callback {
                            contact.enter(State::Connected);
                        }
                    });
                }))
            }
            Action::Reject | Action::Miss => {
                self.change(|instance| {
                    instance.has_missed = true;
                    if let Some(contact) = instance.contact_mut(id) {
                        contact.enter(match action {
                            Action::Reject => State::Rejected,
                            _ if how.as_error => State::Error,
                            _ => State::Missed,
                        });
                    }
                });
                Ok(nothing_more())
            }
            Action::CustomerAnswers => {
                self.change_contact(id, |contact| {
                    contact.times.connected = Some(Timestamp::now());
                    contact.enter(State::Connected);
                });
                Ok(nothing_more())
            }
            Action::Select => {
                self.change(|instance| instance.selected = Some(id));
                Ok(nothing_more())
            }
            Action::ReleaseAttributes => {
                self.change_contact(id, |contact| {
                    contact.attributes_after = AttributesAfter::Ringing;
                    let held = std::mem::take(&mut contact.held);
                    contact.attributes.extend(held);
                });
                Ok(nothing_more())
            }
            Action::HangUp => Ok(self.hang_up(id, how.by_agent)),
            Action::Clear => Ok(self.clear(id)),
            Action::Transfer => {
                let mut second = second_leg(&contact);
                second.attributes.clone_from(&contact.attributes);
                let second_id = second.id;
                self.change_contact(id, |contact| contact.next = Some(second_id));
                let ended = self.hang_up(id, true);
                self.change(|instance| instance.contacts.push(second));
                Ok(Box::pin(async move {
                    connect.begin(second_id).await;
                    ended.await;
                }))
            }
        }
    }

    /// Either side ends the contact.
    fn hang_up(&self, id: Uuid, is_by_agent: bool) -> Rest {
        let is_over = self.change(|instance| {
            let contact = instance.contact_mut(id)?;
            contact.times.disconnected = Some(Timestamp::now());
            contact.is_hung_up_by_agent = is_by_agent;
            match contact.state {
                State::Connected => contact.enter(State::Ended),
                State::Connecting if contact.is_accepted => contact.enter(State::Ended),
                State::Queued | State::Incoming | State::Connecting => {
                    contact.times.cleared = contact.times.disconnected;
                    contact.enter(State::Gone);
                }
                // The agent still sees that it was missed.
                State::Missed | State::Rejected | State::Error | State::Ended | State::Gone => {}
            }
            Some(contact.state == State::Gone)
        });
        let connect = self.clone();
        Box::pin(async move {
            connect.end(id).await;
            if is_over == Some(true) {
                connect.complete(id).await;
            }
        })
    }

    /// The agent closes the contact.
    fn clear(&self, id: Uuid) -> Rest {
        let is_over = self.change(|instance| {
            let contact = instance.contact_mut(id)?;
            let is_over = contact.times.disconnected.is_some();
            contact.is_accepted = false;
            if is_over {
                contact.times.cleared = Some(Timestamp::now());
                contact.enter(State::Gone);
                // Of one whose customer still waits it would ring again at once: there the agent chooses when.
                instance.has_missed = false;
            } else {
                contact.enter(State::Queued);
            }
            Some(is_over)
        });
        if is_over != Some(true) {
            return nothing_more();
        }
        let connect = self.clone();
        Box::pin(async move { connect.complete(id).await })
    }

    /// Forgets all contacts without a word to the functions, and lets the agent be as at the beginning.
    fn begin_anew(&self) {
        self.change(|instance| {
            instance.contacts.clear();
            instance.is_signed_in = true;
            instance.availability = Availability::Available;
            instance.has_missed = false;
            instance.dial_error = None;
        });
    }

    /// The agent chooses what to be. What was missed is closed then, as in the control panel.
    ///
    /// # Errors
    /// When the agent is signed out.
    fn choose(&self, availability: Availability) -> Result<(), Refused> {
        if !self.lock().is_signed_in {
            return Err(Refused::not_now("the agent is signed out"));
        }
        self.change(|instance| {
            instance.availability = availability;
            instance.has_missed = false;
            for contact in &mut instance.contacts {
                let was_not_taken = matches!(
                    contact.state,
                    State::Missed | State::Rejected | State::Error
                );
                if was_not_taken && contact.times.disconnected.is_none() {
                    contact.enter(State::Queued);
                }
            }
        });
        Ok(())
    }

    /// Sets attributes at once, as a flow or an API call would; null takes one away.
    ///
    /// # Errors
    /// When there is no such contact.
    fn set_attributes(
        &self,
        id: Uuid,
        attributes: BTreeMap<String, Option<String>>,
    ) -> Result<(), Refused> {
        self.contact(id).ok_or_else(|| no_contact(id))?;
        self.change_contact(id, |contact| {
            for (name, value) in attributes {
                match value {
                    Some(value) => contact.attributes.insert(name, value),
                    None => contact.attributes.remove(&name),
                };
            }
        });
        Ok(())
    }
}

impl Instance {
    fn contact(&self, id: Uuid) -> Option<&Contact> {
        self.contacts.iter().find(|contact| contact.id == id)
    }

    fn contact_mut(&mut self, id: Uuid) -> Option<&mut Contact> {
        self.contacts.iter_mut().find(|contact| contact.id == id)
    }

    fn seen(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.iter().filter(|contact| contact.is_seen())
    }

    fn is_at_a_call(&self) -> bool {
        self.seen().any(|contact| contact.kind.is_voice())
    }

    /// Offers the agent what waits, as far as there is room for it.
    fn offer_waiting(&mut self) {
        let may = self.is_signed_in && self.availability == Availability::Available;
        if may && !self.has_missed {
            for at in 0..self.contacts.len() {
                let contact = &self.contacts[at];
                let is_waiting = contact.state == State::Queued && !contact.is_in_flow;
                let channel = contact.kind.channel();
                let same = self.seen().filter(|it| it.kind.channel() == channel);
                if is_waiting && same.count() < contact.kind.most_at_once() {
                    let contact = &mut self.contacts[at];
                    contact.attempts += 1;
                    contact.enter(if contact.kind == Kind::Callback {
                        State::Incoming
                    } else {
                        State::Connecting
                    });
                }
            }
        }
        let seen: Vec<Uuid> = self.seen().map(|contact| contact.id).collect();
        if !self.selected.is_some_and(|id| seen.contains(&id)) {
            self.selected = seen.first().copied();
        }
    }

    /// Forgets the oldest of those that are over.
    fn forget(&mut self) {
        let is_gone = |contact: &Contact| contact.state == State::Gone;
        let gone = self.contacts.iter().filter(|it| is_gone(it)).count();
        let mut too_many = gone.saturating_sub(MOST_GONE);
        self.contacts.retain(|contact| {
            let is_forgotten = too_many > 0 && is_gone(contact);
            too_many -= usize::from(is_forgotten);
            !is_forgotten
        });
    }

    /// What the agent is, by what was chosen and what goes on.
    /// <https://github.com/amazon-connect/amazon-connect-streams/blob/master/Documentation.md#agent-states>
    fn agent_state(&self) -> (&'static str, &'static str) {
        let call = self.seen().find(|contact| contact.kind.is_voice());
        let of_call = call.and_then(|call| match call.state {
            State::Connecting if call.is_dialling() => Some(("CallingCustomer", "system")),
            State::Incoming | State::Connecting => Some(("PendingBusy", "system")),
            State::Connected => Some(("Busy", "system")),
            State::Ended => Some(("AfterCallWork", "after_call_work")),
            _ => None,
        });
        match (of_call, self.availability) {
            (Some(state), _) => state,
            _ if self.has_missed => ("MissedCallAgent", "error"),
            (None, Availability::Available) => ("Available", "routable"),
            (None, Availability::Break) => ("Break", "not_routable"),
            (None, Availability::Offline) => ("Offline", "offline"),
        }
    }

    fn json(&self) -> Json {
        let (name, kind) = self.agent_state();
        json!({
            "change": self.change,
            "isSignedIn": self.is_signed_in,
            "sessionEnd": self.session_end,
            "agent": {
                "username": AGENT,
                "name": "Grace Agent",
                "availability": self.availability,
                "state": {"name": name, "type": kind},
            },
            "selected": self.selected,
            "dialError": self.dial_error,
            "origins": self.origins,
            "contacts": self.contacts.iter().map(Contact::json).collect::<Vec<_>>(),
        })
    }
}

/// The leg that a transfer begins. It has the attributes that the first has then.
fn second_leg(first: &Contact) -> Contact {
    let mut second = Contact::new(match first.kind {
        Kind::Outbound | Kind::Callback => Kind::Call,
        kind => kind,
    });
    second.initial = first.initial.or(Some(first.id));
    second.previous = Some(first.id);
    second.initiation_method = "TRANSFER";
    second.address.clone_from(&first.address);
    second.name.clone_from(&first.name);
    second.overrides.clone_from(&first.overrides);
    second.attributes_after = first.attributes_after;
    second.is_without_functions = first.is_without_functions;
    second.times.connected = Some(second.times.initiated);
    second
}

fn no_contact(id: Uuid) -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "ResourceNotFoundException",
        format!("there is no contact {id}"),
    )
}

fn nothing_more() -> Rest {
    Box::pin(std::future::ready(()))
}

/// Whether a text is a telephone number as Amazon Connect takes it.
/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_Endpoint.html>
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_digit())
        && !digits.starts_with('0')
}
