//! What is remembered of one contact: its attributes, its objects and the state of each request of each
//! step.
//!
//! Owns every change of a request's state; nothing here waits, reads a clock or reaches the network, so
//! it can be read as the specification of delivery:
//!
//! ```text
//!            intend                    delivered
//!   (none) ---------> pending -----------------------> delivered
//!                     |  ^  |                               (for good)
//!          postponed  |  |  |  failed: Dynamics will never take it, or it waited too long
//!          (due later)+--+  +-----------------------> failed ---- intended again ----> pending
//!
//!   (none) ---------> skipped: the step is not configured
//!
//!                     pending ------------------------> skipped: the step it needs never happened
//!                        ^                                  |
//!                        +----------------------------------+ and then it happens after all
//!
//!                     pending ------------------------> skipped: its condition is false (for good)
//!
//!   delivered, skipped, failed ---- a newer contact record has come: revised ----> pending
//! ```
//!
//! A step has one request, or several. An event makes the step's *main* request pending, whose key is the
//! step's own; the others join it as soon as the integration's [`Rules`] are there to name them
//! ([`History::claim`]). From then on each has a state, attempts and a reason of its own.
//!
//! Its fields are private: every change is a method here, and the model in `tests/model.rs` tries the
//! methods in every order that workers, crashes and lost messages can bring about; that in `tests/records.rs`
//! does so for contact records.
//!
//! - A request is *pending* from before Dynamics is called until its answer is stored. Whatever dies in
//!   between, it is found pending and done again, and doing it again is harmless (see
//!   [`crate::request`]). Where it is not, that a request is being sent is stored first
//!   ([`History::sending`]), and a request whose outcome is unknown is never repeated.
//! - Requests are delivered in the contact's order: those of `contact-start`, `contact-answered`,
//!   `contact-end`, of each recording as it came, then those of `contact-completed`; within a step in the
//!   configuration's order. A request that uses another's response waits for it.
//! - `contact-completed` is the one step that is not done for good: a newer contact record has its updates
//!   sent again. What it creates is created once.
//! - An update of `contact-completed` to which no answer came may be carried out later, after that of a newer
//!   contact record. The newer one is sent once more when that is over ([`MAY_STILL_BE_DONE`]). Of two steps
//!   that write the same column, this is not done.
//! - One worker at a time delivers a contact's requests: it holds the [`Lease`]. A worker that dies lets
//!   its lease run out.
//!
//! What a worker that dies leaves behind, by where it dies:
//!
//! | it dies | the table | Dynamics | what follows |
//! |---|---|---|---|
//! | before the intent is stored | nothing | nothing | whoever sent the event is told and sends it again |
//! | after it, before the request | pending | nothing | the lease ends, [`crate::delivery`] sends the request |
//! | after the request left, before the answer | pending | done, or not | the request is sent again and finds what it did |
//! | after the answer, before it is stored | pending | done | the same |
//!
//! An item of the table holds one history as JSON. Fields that came later than version 0.1.0 have
//! defaults, so that the items of every version can be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use jiff::{SignedDuration, Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    configuration::{WithoutStart, WithoutStartAction},
    contact::Attributes,
    recording::RecordedObject,
    step::Step,
};

/// One contact's history. It is one item of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    contact_id: Uuid,
    integration: String,
    first_invoked: Timestamp,
    attributes: BTreeMap<Step, Attributes>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    objects: BTreeMap<String, RecordedObject>,
    /// Its name in the items is as old as the steps that had one request.
    #[serde(rename = "steps")]
    requests: BTreeMap<RequestKey, RequestHistory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wake_at: Option<Timestamp>,
    /// Since when the contact waits for something that should happen by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting_since: Option<Timestamp>,
    /// Since when the contact's integration could not be loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parked_at: Option<Timestamp>,
    /// `LastUpdateTimestamp` of the newest contact record that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record_updated_at: Option<Timestamp>,
    /// How often what the contact record tells has changed. Two changes can be of one second.
    #[serde(default, skip_serializing_if = "is_zero")]
    record_revision: u32,
    /// Whether a newer contact record came while nobody could say what of its step may be sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_outdated: bool,
}

/// What is delivered as one: a request of a step or, in a step that is done for each object of the
/// recording bucket, of a step and an object.
///
/// The key of a step's main request names no request: it is the step's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestKey {
    step: Step,
    request: Option<String>,
    object_key: Option<String>,
}

/// The state of a request of one contact. Only [`History`] changes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestHistory {
    pub state: State,
    /// The place of the step's event among the contact's events.
    pub sequence: u32,
    /// The place of the request in its step.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub place: u32,
    pub intended_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When it is to be tried next, while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// How often a worker has tried.
    #[serde(default)]
    pub attempts: u32,
    /// When a worker first tried. Until then it waited for another step, which is not held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_tried_at: Option<Timestamp>,
    /// When a request that must not be repeated was sent, as long as its outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// An update that was given up on, which Dynamics may still carry out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unanswered: Option<Unanswered>,
    /// Why it is not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Map<String, Json>>,
}

/// An update that was sent, and not answered within the time there was. Dynamics may carry it out after a
/// newer one that was sent later, and so write what is old over what is new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unanswered {
    /// The revision of the contact record that it was made of.
    revision: u32,
    /// When Dynamics has ended it at the latest.
    until: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(place: &u32) -> bool {
    *place == 0
}

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Pending,
    Delivered,
    Skipped,
    Failed,
}

/// How long Dynamics may work on a request that nobody waits for any more.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/analyze-performance>
pub const MAY_STILL_BE_DONE: SignedDuration = SignedDuration::from_mins(2);
/// How long a look-up holds up what can do without it.
const SLOW_LOOK_UP: SignedDuration = SignedDuration::from_mins(15);

/// Why a request is skipped that needed another.
const ORPHANED: &str = "it needs the response of a step that never ran for this contact";
/// Why a request waits that would be made of a file which may still be redacted.
pub const AWAITS_REDACTED: &str = "it waits for the redacted file, if there is to be one";
/// Why an update waits that Dynamics has taken.
const OUTLASTS: &str = "it was delivered, and is sent once more when an older update, to which no answer came, can no longer be carried out after it";
/// How the reason begins of a request that the configuration does not want sent for this contact. Nothing
/// is wrong with that, and its event coming again does not change it.
const NOT_WANTED: &str = "it is not wanted: ";

/// How soon, and how late at the most, a contact whose integration cannot be loaded is looked at again.
const PARKED: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_mins(15));

/// A worker's right to deliver this contact's requests, until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: String,
    pub until: Timestamp,
}

/// What can be done for a contact now.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Deliver(RequestKey),
    /// The first pending request in order is not due before then.
    At(Timestamp),
    /// Only requests that wait for a step that has not happened yet.
    Waiting,
    Nothing,
}

/// How much a request needs the response of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It waits for it, and does without it when there is none: a record without its customer is better than
    /// no record.
    Welcome,
    /// It does without it when the other was not wanted, or has failed with a look-up that it goes by.
    UnlessLookUpFails,
    /// It does without it only when the other was not wanted.
    Expected,
    /// It cannot do without it.
    Required,
}

/// Why a request cannot have what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The request whose response is needed.
    pub key: RequestKey,
    pub state: State,
    /// Whether it was not wanted, and so nothing is wrong.
    pub is_not_wanted: bool,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = &self.key;
        if self.is_not_wanted {
            write!(f, "it needs the response of {needed}, which was not sent")
        } else {
            let state = self.state.as_str();
            write!(f, "it needs the response of {needed}, which is {state}")
        }
    }
}

/// What the contact's integration says of its steps.
pub trait Rules {
    /// The requests whose responses a request uses, and so waits for, and how much it needs each.
    fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need>;

    /// All requests that are sent for an event, in their order: those of the step, and for the object, of
    /// this key. The step's main request is one of them.
    fn requests(&self, key: &RequestKey) -> Vec<RequestKey> {
        vec![key.main()]
    }

    /// Whether a request only reads, and is answered with what later requests are made of. Several that do
    /// not need each other can be sent at once.
    fn is_look_up(&self, _key: &RequestKey) -> bool {
        false
    }

    /// Whether a request's record is told afterwards what another, which it does without, has found. Only
    /// then nothing is missing for good.
    fn is_told_later(&self, _key: &RequestKey, _needed: &RequestKey) -> bool {
        false
    }

    /// Whether those behind a request wait for it when it is not due.
    fn holds_up_others(&self, _key: &RequestKey) -> bool {
        true
    }

    /// Whether a request that was delivered is sent again when a newer contact record comes: an update is, and
    /// nothing that would be there twice.
    fn is_revisable(&self, _key: &RequestKey) -> bool {
        false
    }

    /// What becomes of a step that needs `contact-start` for a contact that never had it.
    fn without_start(&self) -> &WithoutStart;
}

impl RequestKey {
    /// The main request of a step that is done once for a contact.
    pub fn of(step: Step) -> RequestKey {
        RequestKey {
            step,
            request: None,
            object_key: None,
        }
    }

    /// The main request of a step that is done once for each object.
    pub fn of_object(step: Step, object: &RecordedObject) -> RequestKey {
        RequestKey {
            object_key: Some(object.key.clone()),
            ..RequestKey::of(step)
        }
    }

    /// The main request of the same step and object.
    #[must_use]
    pub fn main(&self) -> RequestKey {
        RequestKey {
            request: None,
            ..self.clone()
        }
    }

    /// Another request of the same step and object. A name has letters, digits, `-` and `_` only.
    #[must_use]
    pub fn named(&self, request: &str) -> RequestKey {
        RequestKey {
            request: Some(request.to_owned()),
            ..self.clone()
        }
    }

    pub fn step(&self) -> Step {
        self.step
    }

    /// The request's name; none for the step's main request.
    pub fn request(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// Whether it is done for one of several objects, so that no later step can name its response.
    pub fn is_of_object(&self) -> bool {
        self.object_key.is_some()
    }

    /// Whether both are done for the same event: of one step and, where it has one, one object.
    pub fn is_beside(&self, other: &RequestKey) -> bool {
        self.step == other.step && self.object_key == other.object_key
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        if let Some(request) = &self.request {
            write!(f, "#{request}")?;
        }
        match &self.object_key {
            None => Ok(()),
            Some(key) => write!(f, "/{key}"),
        }
    }
}

impl From<RequestKey> for String {
    fn from(key: RequestKey) -> String {
        key.to_string()
    }
}

impl TryFrom<String> for RequestKey {
    type Error = String;

    fn try_from(text: String) -> Result<RequestKey, String> {
        text.parse()
    }
}

impl FromStr for RequestKey {
    type Err = String;

    fn from_str(text: &str) -> Result<RequestKey, String> {
        let (step, object_key) = match text.split_once('/') {
            Some((step, key)) => (step, Some(key.to_owned())),
            None => (text, None),
        };
        let (step, request) = match step.split_once('#') {
            Some((step, request)) => (step, Some(request.to_owned())),
            None => (step, None),
        };
        Ok(RequestKey {
            step: step.parse()?,
            request,
            object_key,
        })
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(name: &str) -> Result<State, String> {
        let all = [
            State::Pending,
            State::Delivered,
            State::Skipped,
            State::Failed,
        ];
        let state = all.into_iter().find(|state| state.as_str() == name);
        state.ok_or_else(|| {
            format!("`{name}` is no state; there are pending, delivered, skipped and failed")
        })
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Skipped => "skipped",
            State::Failed => "failed",
        }
    }
}

impl RequestHistory {
    fn new(sequence: u32, place: u32, now: Timestamp) -> RequestHistory {
        RequestHistory {
            state: State::Pending,
            sequence,
            place,
            intended_at: now,
            updated_at: now,
            due_at: Some(now),
            attempts: 0,
            first_tried_at: None,
            sent_at: None,
            unanswered: None,
            reason: None,
            record_id: None,
            response: None,
        }
    }

    /// Makes a request pending that was skipped or has failed.
    fn again(&mut self, now: Timestamp) {
        if matches!(self.state, State::Skipped | State::Failed) && !self.is_not_wanted() {
            *self = RequestHistory {
                attempts: self.attempts,
                unanswered: self.unanswered.take(),
                ..RequestHistory::new(self.sequence, self.place, now)
            };
        }
    }

    /// Makes a request pending that was made of an older contact record. What has been delivered is, only if
    /// it may be sent again; what may have been done is not.
    fn revise(&mut self, is_revisable: bool, now: Timestamp) {
        if self.state == State::Pending && self.reason.as_deref() == Some(OUTLASTS) {
            // There is something new to send, which need not wait.
            self.due_at = Some(now);
        }
        let is_again = match self.state {
            State::Pending => false,
            State::Delivered => is_revisable,
            State::Skipped | State::Failed => self.sent_at.is_none(),
        };
        if is_again {
            *self = RequestHistory {
                attempts: self.attempts,
                unanswered: self.unanswered.take(),
                record_id: self.record_id,
                response: self.response.take(),
                ..RequestHistory::new(self.sequence, self.place, now)
            };
        }
    }

    /// Makes an update pending once more that was delivered while an older one, which was given up on, may
    /// still be carried out: it is sent again when the older one can no longer be.
    fn outlast(&mut self, revision: u32, now: Timestamp) {
        if self.state != State::Delivered {
            return;
        }
        let until = self.unanswered.as_ref().map(|it| it.until);
        match until.filter(|until| now < *until) {
            Some(until) => {
                if self
                    .unanswered
                    .as_ref()
                    .is_some_and(|it| it.revision < revision)
                {
                    self.state = State::Pending;
                    self.due_at = Some(until);
                    // It has not been tried in vain.
                    self.first_tried_at = None;
                    self.reason = Some(OUTLASTS.to_owned());
                }
            }
            None => self.unanswered = None,
        }
    }

    /// Whether it is skipped because the configuration does not want it sent for this contact.
    pub fn is_not_wanted(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.state == State::Skipped && reason.starts_with(NOT_WANTED)
    }
}

/// What is known of the contact.
impl History {
    pub fn new(contact_id: Uuid, integration: &str, now: Timestamp) -> History {
        History {
            contact_id,
            integration: integration.to_owned(),
            first_invoked: now.round(Unit::Second).unwrap_or(now),
            attributes: BTreeMap::new(),
            objects: BTreeMap::new(),
            requests: BTreeMap::new(),
            lease: None,
            wake_at: None,
            waiting_since: None,
            parked_at: None,
            record_updated_at: None,
            record_revision: 0,
            is_outdated: false,
        }
    }

    pub fn contact_id(&self) -> Uuid {
        self.contact_id
    }

    /// The integration that the contact belongs to.
    pub fn integration(&self) -> &str {
        &self.integration
    }

    /// When a function was first invoked for the contact: the `InitiationTimestamp` of a contact whose
    /// events bear none.
    pub fn first_invoked(&self) -> Timestamp {
        self.first_invoked
    }

    /// What the events told. A later step's attributes lie over an earlier one's, in whichever order
    /// they came.
    pub fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default();
        for layer in self.attributes.values() {
            attributes.merge(layer);
        }
        attributes
    }

    /// How the contact began, as [`History::attributes`] tells it.
    pub fn initiation_method(&self) -> Option<&str> {
        let mut layers = self.attributes.values().rev();
        layers.find_map(Attributes::initiation_method)
    }

    /// What the events of each step told, by themselves.
    pub fn told(&self) -> impl Iterator<Item = (Step, &Attributes)> {
        self.attributes.iter().map(|(step, layer)| (*step, layer))
    }

    /// The customer's number or address, as [`History::attributes`] tells it.
    pub fn customer_address(&self) -> Option<&str> {
        let mut layers = self.attributes.values().rev();
        layers.find_map(|layer| layer.get("CustomerEndpoint")?.get("Address")?.as_str())
    }

    /// What the contact is: `VOICE`, `CHAT`, ..., as [`History::attributes`] tells it.
    pub fn channel(&self) -> Option<&str> {
        let mut layers = self.attributes.values().rev();
        layers.find_map(|layer| layer.get("Channel")?.as_str())
    }

    /// Whether an event of the step itself has come.
    pub fn has_heard_of(&self, step: Step) -> bool {
        self.attributes.contains_key(&step)
    }

    /// The objects of the recording bucket that belong to the contact.
    pub fn objects(&self) -> impl Iterator<Item = &RecordedObject> {
        self.objects.values()
    }

    /// The object that a step is done for.
    pub fn object(&self, key: &RequestKey) -> Option<&RecordedObject> {
        self.objects.get(key.object_key.as_ref()?)
    }

    pub fn request(&self, key: &RequestKey) -> Option<&RequestHistory> {
        self.requests.get(key)
    }

    pub fn state(&self, key: &RequestKey) -> Option<State> {
        Some(self.requests.get(key)?.state)
    }

    /// The requests in the contact's order.
    pub fn in_order(&self) -> Vec<(&RequestKey, &RequestHistory)> {
        let mut requests: Vec<_> = self.requests.iter().collect();
        requests.sort_by_key(|(key, request)| (key.step, request.sequence, request.place));
        requests
    }

    /// The requests of the step, and the object, of this key, in their order.
    pub fn beside(&self, key: &RequestKey) -> Vec<(&RequestKey, &RequestHistory)> {
        let mut requests = self.in_order();
        requests.retain(|(other, _)| other.is_beside(key));
        requests
    }

    /// How many requests are in a state.
    pub fn count(&self, state: State) -> usize {
        self.with(state).count()
    }

    /// The state that says most of the contact as a whole: failed when a request has failed, else pending, else
    /// delivered. A contact of which nothing is wanted is skipped.
    pub fn state_of_all(&self) -> State {
        let states = [State::Failed, State::Pending, State::Delivered];
        let mut there = states.into_iter().filter(|state| self.count(*state) > 0);
        there.next().unwrap_or(State::Skipped)
    }

    /// The ids of the records that requests have made or found, each once.
    pub fn record_ids(&self) -> BTreeSet<Uuid> {
        let requests = self.requests.values();
        requests.filter_map(|request| request.record_id).collect()
    }

    /// The right of the worker that delivers the contact's requests now, or did last.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// When somebody is to look at the contact again; none when nothing is pending.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.wake_at
    }

    /// Since when the contact waits for Dynamics, or for its integration: when the oldest step was intended
    /// that is pending for no other reason than these. None for a contact of which only steps are pending
    /// that wait for an event of their own.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        self.waiting_since
    }

    /// When a request failed last; none when none has.
    pub fn failed_at(&self) -> Option<Timestamp> {
        self.with(State::Failed)
            .map(|(_, step)| step.updated_at)
            .max()
    }

    /// The last change: what the item's lifetime is counted from.
    pub fn updated_at(&self) -> Timestamp {
        let requests = self.requests.values().map(|request| request.updated_at);
        requests.max().unwrap_or(self.first_invoked)
    }

    fn with(&self, state: State) -> impl Iterator<Item = (&RequestKey, &RequestHistory)> {
        self.requests
            .iter()
            .filter(move |(_, request)| request.state == state)
    }

    /// Adds what a step's event tells of the contact.
    pub fn learn(&mut self, step: Step, attributes: &Attributes) {
        self.attributes.entry(step).or_default().merge(attributes);
    }

    /// Adds what the contact record tells, or, without a time, the contact event that stands for it. Nothing
    /// changes, and false is returned, when what is known is as new: the record is delivered at least once,
    /// and in any order.
    pub fn learn_record(&mut self, attributes: &Attributes, updated_at: Option<Timestamp>) -> bool {
        let known = self.attributes.get(&Step::ContactCompleted);
        if self.record_updated_at.is_some()
            && (updated_at < self.record_updated_at
                // Of two changes in one second the one that comes last counts.
                || updated_at == self.record_updated_at && known == Some(attributes))
        {
            return false;
        }
        let is_new = updated_at.is_some() || known.is_none();
        self.attributes
            .insert(Step::ContactCompleted, attributes.clone());
        self.record_updated_at = updated_at;
        self.record_revision += u32::from(is_new);
        is_new
    }

    /// The revision of what the contact record tells: 0 when nothing has come.
    pub fn record_revision(&self) -> u32 {
        self.record_revision
    }

    /// `LastUpdateTimestamp` of the newest contact record that has come; none when none has.
    pub fn record_updated_at(&self) -> Option<Timestamp> {
        self.record_updated_at
    }

    /// Adds an object of the recording bucket.
    pub fn learn_object(&mut self, object: RecordedObject) {
        self.objects.insert(object.key.clone(), object);
    }

    /// An event names the integration that it is for. A contact stays with the one it has as soon as
    /// Dynamics has taken a step, or while a worker delivers one: two environments must never get parts
    /// of one contact.
    pub fn belong_to(&mut self, integration: &str, now: Timestamp) {
        let is_free = self.lease.as_ref().is_none_or(|lease| lease.until <= now);
        let is_sent = |step: &RequestHistory| step.record_id.is_some() || step.response.is_some();
        if integration != self.integration && is_free && !self.requests.values().any(is_sent) {
            integration.clone_into(&mut self.integration);
            // Another configuration may want what the former one did not.
            self.want_again(now);
        }
    }

    /// What the configuration did not want may be wanted by now.
    pub fn want_again(&mut self, now: Timestamp) {
        for request in self.requests.values_mut() {
            if request.is_not_wanted() {
                *request = RequestHistory::new(request.sequence, request.place, now);
            }
        }
    }

    /// Makes responses smaller, as an item holds 400 KB: `shrink` leaves of each what is needed.
    pub fn shrink_responses(&mut self, shrink: impl Fn(&RequestKey, &mut Map<String, Json>)) {
        for (key, request) in &mut self.requests {
            if let Some(response) = &mut request.response {
                shrink(key, response);
            }
        }
    }
}

/// The requests' states.
impl History {
    /// An event asks for a step: makes its main request pending if that has not been, and whichever of its
    /// requests have failed. What is delivered stays so: its event has come twice. So does what may have
    /// been done: only a person can say that it is to be sent again.
    pub fn intend(&mut self, key: &RequestKey, now: Timestamp) {
        let new = RequestHistory::new(self.next_sequence(), 0, now);
        self.requests.entry(key.clone()).or_insert(new);
        for (other, request) in &mut self.requests {
            if other.is_beside(key) && request.sent_at.is_none() {
                request.again(now);
            }
        }
    }

    /// A newer contact record asks for its step: what was made of the former one is made again, but for what
    /// the rules do not want sent twice.
    pub fn revise(&mut self, key: &RequestKey, rules: &impl Rules, now: Timestamp) {
        for (other, request) in &mut self.requests {
            if other.is_beside(key) {
                request.revise(rules.is_revisable(other), now);
            }
        }
        self.intend(key, now);
    }

    /// A newer contact record asks for its step, whose rules nobody knows: it is revised as soon as they are
    /// there ([`History::claim`]).
    pub fn revise_later(&mut self) {
        self.is_outdated = true;
    }

    /// Notes of a request that it was made of this revision of the contact record. A newer one that has come
    /// while it was sent has it made again.
    pub fn made_of(&mut self, key: &RequestKey, revision: u32, rules: &impl Rules, now: Timestamp) {
        if key.step == Step::ContactCompleted
            && let Some(request) = self.requests.get_mut(key)
        {
            let is_revisable = rules.is_revisable(key);
            if revision < self.record_revision {
                request.revise(is_revisable, now);
            } else if is_revisable {
                request.outlast(revision, now);
            }
        }
    }

    /// Makes a request pending beside those of its step, in the place that the rules give it.
    fn join(&mut self, key: &RequestKey, sequence: u32, place: usize, now: Timestamp) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let new = RequestHistory::new(sequence, place, now);
        self.requests.entry(key.clone()).or_insert(new).place = place;
    }

    /// Notes that a record was made before it was known what this other request of its step tells the
    /// record. It is sent when that is known.
    pub fn owe(&mut self, key: &RequestKey, now: Timestamp) {
        let Some(main) = self.requests.get(&key.main()) else {
            return;
        };
        let (sequence, place) = (main.sequence, u32::MAX);
        let new = RequestHistory::new(sequence, place, now);
        self.requests.entry(key.clone()).or_insert(new);
    }

    /// A redacted file is there, or it is known whether there will be one: the requests that wait for it are
    /// looked at now.
    pub fn hurry_objects(&mut self, now: Timestamp) {
        for request in self.requests.values_mut() {
            let waits = request.reason.as_deref() == Some(AWAITS_REDACTED);
            if waits && request.state == State::Pending {
                request.due_at = Some(now);
            }
        }
    }

    /// A person wants it: makes every failed request pending again, whatever it failed of.
    pub fn retry_failed(&mut self, now: Timestamp) {
        for request in self.requests.values_mut() {
            if request.state == State::Failed {
                request.again(now);
            }
        }
    }

    /// Notes that a step was asked for and is not configured.
    pub fn skip(&mut self, key: &RequestKey, reason: &str, now: Timestamp) {
        if !self.requests.contains_key(key) {
            self.intend(key, now);
            self.skipped(key, reason.to_owned(), now);
        }
    }

    /// A request that must not be repeated is about to be sent. Stored before it is, this tells whoever
    /// finds the step pending that it may have been done.
    pub fn sending(&mut self, key: &RequestKey, now: Timestamp) {
        if let Some(step) = self.pending(key) {
            step.sent_at = Some(now);
        }
    }

    /// Dynamics has taken the step.
    pub fn delivered(
        &mut self,
        key: &RequestKey,
        record_id: Option<Uuid>,
        response: Option<Map<String, Json>>,
        now: Timestamp,
    ) {
        if let Some(step) = self.tried(key, State::Delivered, None, now) {
            step.record_id = record_id;
            step.response = response;
        }
    }

    /// Dynamics has not taken the step now; it stays pending until `due`.
    pub fn postponed(&mut self, key: &RequestKey, reason: String, due: Timestamp, now: Timestamp) {
        if let Some(step) = self.tried(key, State::Pending, Some(reason), now) {
            step.due_at = Some(due);
        }
    }

    /// Notes of a pending update that no answer came to it, as it was made of this revision of the contact record.
    pub fn unanswered(&mut self, key: &RequestKey, revision: u32, now: Timestamp) {
        let until = now
            .saturating_add(MAY_STILL_BE_DONE)
            .unwrap_or(Timestamp::MAX);
        if key.step == Step::ContactCompleted
            && let Some(step) = self.pending(key)
        {
            // Of several the oldest counts, and the time of the last.
            let before = step.unanswered.take().filter(|it| now < it.until);
            let revision = before.map_or(revision, |it| it.revision.min(revision));
            step.unanswered = Some(Unanswered { revision, until });
        }
    }

    /// Nobody knows whether Dynamics has taken the step, and it must not be taken twice.
    pub fn in_doubt(&mut self, key: &RequestKey, reason: String, now: Timestamp) {
        if let Some(step) = self.tried(key, State::Failed, Some(reason), now) {
            step.sent_at = Some(now);
        }
    }

    /// A pending request cannot be sent, as another gives it no response. Nothing changes when that is so no
    /// longer: somebody has had the other done again meanwhile.
    pub fn cannot_be_sent(&mut self, key: &RequestKey, rules: &impl Rules, now: Timestamp) {
        if let Some(unmet) = self.unmet(key, rules) {
            if unmet.is_not_wanted {
                let reason = unmet.to_string();
                self.not_wanted(key, &reason, now);
            } else {
                self.failed(key, unmet.to_string(), now);
            }
        }
    }

    /// Dynamics will not take the step.
    pub fn failed(&mut self, key: &RequestKey, reason: String, now: Timestamp) {
        self.tried(key, State::Failed, Some(reason), now);
    }

    /// The configuration does not want a pending request sent for this contact.
    pub fn not_wanted(&mut self, key: &RequestKey, reason: &str, now: Timestamp) {
        self.skipped(key, format!("{NOT_WANTED}{reason}"), now);
    }

    /// A pending request turns out not to be configured.
    pub fn skipped(&mut self, key: &RequestKey, reason: String, now: Timestamp) {
        if let Some(step) = self.pending(key) {
            step.state = State::Skipped;
            step.response = None;
            step.reason = Some(reason);
            step.due_at = None;
            step.updated_at = now;
        }
    }

    fn pending(&mut self, key: &RequestKey) -> Option<&mut RequestHistory> {
        let request = self.requests.get_mut(key)?;
        (request.state == State::Pending).then_some(request)
    }

    /// Ends a try of a pending step; of any other, nothing changes.
    fn tried(
        &mut self,
        key: &RequestKey,
        to: State,
        reason: Option<String>,
        now: Timestamp,
    ) -> Option<&mut RequestHistory> {
        let step = self.pending(key)?;
        step.attempts += 1;
        step.first_tried_at.get_or_insert(now);
        step.sent_at = None;
        if to == State::Failed {
            step.response = None;
        }
        step.state = to;
        step.reason = reason;
        step.due_at = None;
        step.updated_at = now;
        Some(step)
    }

    fn next_sequence(&self) -> u32 {
        let sequences = self.requests.values().map(|request| request.sequence + 1);
        sequences.max().unwrap_or(0)
    }
}

/// What is to be done next, and by whom.
impl History {
    /// Which request is to be delivered now.
    pub fn next(&self, rules: &impl Rules, now: Timestamp) -> Next {
        let mut waiting = false;
        let mut later: Option<Timestamp> = None;
        for (key, request) in self.in_order() {
            if request.state != State::Pending {
                continue;
            }
            if !self.has_what_it_needs(key, rules, now) {
                waiting = true;
                continue;
            }
            match request.due_at {
                Some(due) if due > now => {
                    let due = later.map_or(due, |later| later.min(due));
                    if !self.is_slow(key, rules, now) && rules.holds_up_others(key) {
                        return Next::At(due);
                    }
                    later = Some(due);
                }
                _ => return Next::Deliver(key.clone()),
            }
        }
        match later {
            Some(later) => Next::At(later),
            None if waiting => Next::Waiting,
            None => Next::Nothing,
        }
    }

    /// The requests that can be sent at the same time as `first`, which is next, and `first` itself: look-ups
    /// of the same step that follow it and do not need each other.
    pub fn together(
        &self,
        first: &RequestKey,
        rules: &impl Rules,
        now: Timestamp,
    ) -> Vec<RequestKey> {
        let mut keys = vec![first.clone()];
        if !rules.is_look_up(first) {
            return keys;
        }
        let behind = self.beside(first).into_iter();
        for (key, request) in behind.skip_while(|(key, _)| *key != first).skip(1) {
            let is_due = request.due_at.is_none_or(|due| due <= now);
            match request.state {
                State::Pending if !self.has_what_it_needs(key, rules, now) => {}
                State::Pending if is_due && rules.is_look_up(key) => keys.push(key.clone()),
                State::Pending => break,
                State::Delivered | State::Skipped | State::Failed => {}
            }
        }
        keys
    }

    fn has_what_it_needs(&self, key: &RequestKey, rules: &impl Rules, now: Timestamp) -> bool {
        let is_patient = self.is_patient(key, rules, now);
        let is_there = |(needed, need): (&RequestKey, &Need)| match self.state_of(needed) {
            Some(State::Pending) => {
                *need == Need::Welcome
                    && rules.is_told_later(key, needed)
                    && self.is_slow(needed, rules, now)
            }
            Some(_) => true,
            None => *need == Need::Welcome && !is_patient,
        };
        rules.needs(key).iter().all(is_there)
    }

    /// Whether a look-up has been tried in vain for so long that what can do without it for now is no longer
    /// held up. It is still tried.
    fn is_slow(&self, key: &RequestKey, rules: &impl Rules, now: Timestamp) -> bool {
        let first_tried_at = self.requests.get(key).and_then(|it| it.first_tried_at);
        key.request.is_some()
            && rules.is_look_up(key)
            && first_tried_at.is_some_and(|first| now.duration_since(first) >= SLOW_LOOK_UP)
    }

    /// Whether a request still waits for steps that have not been asked for.
    fn is_patient(&self, key: &RequestKey, rules: &impl Rules, now: Timestamp) -> bool {
        let request = self.requests.get(key);
        request.is_none_or(|request| now < patience_ends(request, rules))
    }

    /// The state of a request that another needs. One that was configured after its step was done is as good
    /// as skipped: it will not be sent for this contact.
    fn state_of(&self, key: &RequestKey) -> Option<State> {
        let is_done = || {
            let main = self.requests.get(&key.main());
            main.is_some_and(|main| main.state != State::Pending)
        };
        let state = self.state(key);
        state.or_else(|| is_done().then_some(State::Skipped))
    }

    /// The first of the requests without whose response a request cannot be sent, and that can give none any
    /// more.
    pub fn unmet(&self, key: &RequestKey, rules: &impl Rules) -> Option<Unmet> {
        rules.needs(key).into_iter().find_map(|(needed, need)| {
            let state = self.state_of(&needed)?;
            let request = self.requests.get(&needed);
            let is_not_wanted =
                state == State::Skipped && request.is_none_or(RequestHistory::is_not_wanted);
            let is_met = match state {
                State::Delivered | State::Pending => true,
                State::Failed if need == Need::UnlessLookUpFails => {
                    let mut by = rules.needs(&needed).into_keys();
                    by.any(|by| rules.is_look_up(&by) && self.state(&by) == Some(State::Failed))
                }
                State::Failed => need == Need::Welcome,
                State::Skipped if is_not_wanted => need < Need::Required,
                State::Skipped => need == Need::Welcome,
            };
            (!is_met).then_some(Unmet {
                key: needed,
                state,
                is_not_wanted,
            })
        })
    }

    /// The first of the requests that a request waits for and whose step has not been asked for. What is
    /// merely welcome is waited for as long as a step waits for another, and then done without.
    pub fn absent(
        &self,
        key: &RequestKey,
        rules: &impl Rules,
        now: Timestamp,
    ) -> Option<RequestKey> {
        let is_patient = self.is_patient(key, rules, now);
        let mut needed = rules.needs(key).into_iter();
        let needed = needed.find(|(needed, need)| {
            self.state_of(needed).is_none() && (is_patient || *need > Need::Welcome)
        });
        needed.map(|(needed, _)| needed)
    }

    /// Whether a request needs something of `contact-start`, which has not been asked for.
    fn lacks_start(&self, key: &RequestKey, rules: &impl Rules) -> bool {
        let mut needed = rules.needs(key).into_keys();
        needed.any(|needed| needed.step == Step::ContactStart && self.state_of(&needed).is_none())
    }

    /// What every write of a history does last: it gives each step that is asked for all of its requests,
    /// settles what waits in vain, sets when the contact is to be looked at again, and takes the lease for `holder` when there is something to deliver now
    /// and nobody else is at it, keeps it while there is, or gives it back when there is not.
    pub fn claim(&mut self, holder: &str, until: Timestamp, rules: &impl Rules, now: Timestamp) {
        self.parked_at = None;
        if std::mem::take(&mut self.is_outdated) {
            self.revise(&RequestKey::of(Step::ContactCompleted), rules, now);
        }
        self.expand(rules, now);
        self.settle(rules, now);
        if let Next::Deliver(_) = self.next(rules, now) {
            if self.lease.as_ref().is_none_or(|lease| lease.until <= now) {
                self.lease = Some(Lease {
                    holder: holder.to_owned(),
                    until,
                });
            }
        } else {
            self.lease.take_if(|lease| lease.holder == holder);
        }
        self.plan(rules, now);
    }

    /// Whether `holder` has the lease now.
    pub fn is_held_by(&self, holder: &str, now: Timestamp) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.holder == holder && lease.until > now)
    }

    /// Whether another worker than `holder` has the lease now.
    pub fn is_held_by_another(&self, holder: &str, now: Timestamp) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.holder != holder && lease.until > now)
    }

    /// An event made a step's main request pending: the others join it. So they do when it has failed and is
    /// to be sent again under a configuration that has more of them by then.
    fn expand(&mut self, rules: &impl Rules, now: Timestamp) {
        let mut steps = Vec::new();
        for (key, main) in self.with(State::Pending) {
            if key.request.is_none() {
                steps.push((rules.requests(key), main.sequence));
            }
        }
        for (keys, sequence) in steps {
            for (place, key) in keys.iter().enumerate() {
                self.join(key, sequence, place, now);
            }
        }
    }

    /// A request that needs a step that has not happened waits for it, as events come in any order. When its
    /// time is over it is skipped, or `contact-start` is done first with what is known; should the event
    /// come after all, the step is done after all.
    fn settle(&mut self, rules: &impl Rules, now: Timestamp) {
        let starts = rules.without_start().action == WithoutStartAction::Start;
        let mut is_started = false;
        for key in self.requests.keys().cloned().collect::<Vec<_>>() {
            let request = &self.requests[&key];
            match (request.state, self.absent(&key, rules, now)) {
                (State::Skipped, None) if request.reason.as_deref() == Some(ORPHANED) => {
                    if let Some(request) = self.requests.get_mut(&key) {
                        request.again(now);
                    }
                }
                (State::Pending, _) if self.is_patient(&key, rules, now) => {}
                (State::Pending, _) if starts && self.lacks_start(&key, rules) => {
                    self.intend(&RequestKey::of(Step::ContactStart), now);
                    is_started = true;
                }
                (State::Pending, Some(_)) => self.skipped(&key, ORPHANED.to_owned(), now),
                _ => {}
            }
        }
        if is_started {
            self.expand(rules, now);
        }
    }

    /// Sets when the contact is to be looked at again. While a worker holds the lease, that is not before
    /// the lease ends.
    fn plan(&mut self, rules: &impl Rules, now: Timestamp) {
        let in_vain = self
            .with(State::Pending)
            .filter(|(key, _)| self.absent(key, rules, now).is_some())
            .map(|(_, step)| patience_ends(step, rules))
            .min();
        let next = match self.next(rules, now) {
            Next::Deliver(key) => self.requests[&key].due_at.or(Some(now)),
            Next::At(due) => {
                let in_vain = in_vain.filter(|ends| *ends > now);
                Some(in_vain.map_or(due, |ends| ends.min(due)))
            }
            Next::Waiting => in_vain,
            Next::Nothing => None,
        };
        self.wake_at = match (next, &self.lease) {
            (Some(next), Some(lease)) => Some(next.max(lease.until)),
            (next, _) => next,
        };
        self.waiting_since = self
            .with(State::Pending)
            .filter(|(key, _)| self.absent(key, rules, now).is_none())
            .map(|(_, step)| step.intended_at)
            .min();
    }

    /// The contact's integration cannot be loaded, so nobody can say what its steps are to send. What is
    /// pending waits, longer each time, and fails when that has been so for `give_up_after`. So does what is to
    /// be revised, but that it stays as it was delivered.
    pub fn park(&mut self, reason: &str, give_up_after: SignedDuration, now: Timestamp) {
        if self.count(State::Pending) == 0 && !self.is_outdated {
            return;
        }
        let waited = now.duration_since(*self.parked_at.get_or_insert(now));
        if waited > give_up_after {
            let pending: Vec<RequestKey> = self
                .with(State::Pending)
                .map(|(key, _)| key.clone())
                .collect();
            for key in pending {
                let sent_at = self.requests[&key].sent_at;
                if let Some(step) = self.tried(&key, State::Failed, Some(reason.to_owned()), now) {
                    // What may have been done is in doubt for good.
                    step.sent_at = sent_at;
                }
            }
            self.parked_at = None;
            self.wake_at = None;
            self.waiting_since = None;
        } else {
            self.wake_at = Some(now + (waited / 2).clamp(PARKED.0, PARKED.1));
            let pending = self.with(State::Pending).map(|(_, step)| step.intended_at);
            self.waiting_since = pending.min().or(self.parked_at);
        }
    }
}

/// Until when a step waits for one that it needs and that has not happened.
fn patience_ends(step: &RequestHistory, rules: &impl Rules) -> Timestamp {
    step.intended_at + SignedDuration::from_mins(rules.without_start().after_minutes.into())
}

/// How long after a failed try the next one is due: doubling from a second to a quarter of an hour.
/// The caller adds jitter.
pub fn backoff(attempts: u32) -> SignedDuration {
    SignedDuration::from_secs(1 << attempts.min(10)).min(SignedDuration::from_mins(15))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::ObjectKind;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    /// Each step needs the response of contact-start.
    #[derive(Default)]
    struct Usual(WithoutStart);

    impl Rules for Usual {
        fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need> {
            let start = RequestKey::of(Step::ContactStart);
            let start = [start].into_iter().filter(|start| start != key);
            start.map(|start| (start, Need::Expected)).collect()
        }

        fn without_start(&self) -> &WithoutStart {
            &self.0
        }
    }

    fn usual() -> Usual {
        Usual::default()
    }

    fn start_and_end() -> (RequestKey, RequestKey) {
        (
            RequestKey::of(Step::ContactStart),
            RequestKey::of(Step::ContactEnd),
        )
    }

    fn new() -> History {
        History::new(ID, "default", at(0))
    }

    fn recording(name: &str) -> RecordedObject {
        RecordedObject {
            kind: ObjectKind::Recording,
            bucket: "b".into(),
            key: name.into(),
            url: format!("https://example.com/{name}"),
        }
    }

    #[test]
    fn a_step_is_delivered_once_and_stays_so() {
        let (start, _) = start_and_end();
        let mut history = new();
        history.intend(&start, at(0));
        assert_eq!(history.next(&usual(), at(0)), Next::Deliver(start.clone()));
        history.delivered(&start, Some(ID), Some(Map::new()), at(1));
        assert_eq!(history.next(&usual(), at(1)), Next::Nothing);
        let before = history.clone();
        history.intend(&start, at(2));
        history.failed(&start, "late".into(), at(3));
        history.postponed(&start, "late".into(), at(9), at(3));
        history.sending(&start, at(3));
        history.skip(&start, "late", at(3));
        history.skipped(&start, "late".into(), at(3));
        history.park("late", SignedDuration::ZERO, at(3));
        assert_eq!(history, before);
        history.claim("a", at(9), &usual(), at(4));
        assert_eq!(history, before, "and nobody need look again");
    }

    #[test]
    fn the_end_waits_for_the_start_whichever_comes_first() {
        let (start, end) = start_and_end();
        let mut history = new();
        history.intend(&end, at(0));
        assert_eq!(history.next(&usual(), at(0)), Next::Waiting);
        assert_eq!(history.absent(&end, &usual(), at(1)), Some(start.clone()));
        history.intend(&start, at(1));
        assert_eq!(history.absent(&end, &usual(), at(1)), None);
        assert_eq!(history.next(&usual(), at(1)), Next::Deliver(start.clone()));
        history.postponed(&start, "down".into(), at(60), at(2));
        assert_eq!(
            history.next(&usual(), at(3)),
            Next::At(at(60)),
            "nothing can be done before the start"
        );
        assert_eq!(history.next(&usual(), at(60)), Next::Deliver(start.clone()));
        history.delivered(&start, Some(ID), None, at(61));
        assert_eq!(history.next(&usual(), at(61)), Next::Deliver(end.clone()));
        history.delivered(&end, Some(ID), None, at(62));
        assert_eq!(history.next(&usual(), at(62)), Next::Nothing);
    }

    #[test]
    fn a_look_up_that_is_never_answered_holds_the_record_up_no_longer_than_a_while() {
        struct LookUp(WithoutStart);
        impl Rules for LookUp {
            fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need> {
                let customer = key.named("customer");
                let need = (key.request.is_none()).then_some((customer, Need::Welcome));
                need.into_iter().collect()
            }
            fn requests(&self, key: &RequestKey) -> Vec<RequestKey> {
                vec![key.named("customer"), key.clone()]
            }
            fn is_look_up(&self, key: &RequestKey) -> bool {
                key.request.is_some()
            }
            fn is_told_later(&self, _: &RequestKey, _: &RequestKey) -> bool {
                true
            }
            fn without_start(&self) -> &WithoutStart {
                &self.0
            }
        }
        let rules = LookUp(WithoutStart::default());
        let start = RequestKey::of(Step::ContactStart);
        let customer = start.named("customer");
        let mut history = new();
        history.intend(&start, at(0));
        history.claim("a", at(9), &rules, at(0));
        assert_eq!(history.next(&rules, at(0)), Next::Deliver(customer.clone()));
        history.postponed(&customer, "no answer".into(), at(890), at(1));
        assert_eq!(history.next(&rules, at(2)), Next::At(at(890)));
        assert_eq!(
            history.next(&rules, at(890)),
            Next::Deliver(customer.clone())
        );
        history.postponed(&customer, "no answer".into(), at(1790), at(901));
        // The record is made, and the look-up goes on.
        assert_eq!(history.next(&rules, at(902)), Next::Deliver(start.clone()));
        history.postponed(&start, "no answer".into(), at(950), at(903));
        assert_eq!(history.next(&rules, at(904)), Next::At(at(950)));
        assert_eq!(history.next(&rules, at(950)), Next::Deliver(start.clone()));
        history.delivered(&start, Some(ID), None, at(951));
        assert_eq!(history.next(&rules, at(952)), Next::At(at(1790)));
        assert_eq!(history.next(&rules, at(1790)), Next::Deliver(customer));
    }

    #[test]
    fn what_is_merely_welcome_is_done_without_when_its_step_never_comes() {
        struct Answered(WithoutStart);
        impl Rules for Answered {
            fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need> {
                let customer = RequestKey::of(Step::ContactAnswered).named("customer");
                let is_end = key.step == Step::ContactEnd;
                let need = is_end.then_some((customer, Need::Welcome));
                need.into_iter().collect()
            }
            fn without_start(&self) -> &WithoutStart {
                &self.0
            }
        }
        let rules = Answered(WithoutStart {
            action: WithoutStartAction::Skip,
            after_minutes: 1,
        });
        let end = RequestKey::of(Step::ContactEnd);
        let mut history = new();
        history.intend(&end, at(0));
        history.claim("a", at(9), &rules, at(1));
        assert_eq!(
            (history.next(&rules, at(1)), history.wake_at()),
            (Next::Waiting, Some(at(60)))
        );
        history.claim("a", at(69), &rules, at(60));
        assert_eq!(history.next(&rules, at(60)), Next::Deliver(end));
    }

    #[test]
    fn a_step_without_its_start_waits_and_is_then_skipped_or_started() {
        let (start, end) = start_and_end();
        for action in [WithoutStartAction::Skip, WithoutStartAction::Start] {
            let rules = Usual(WithoutStart {
                action,
                after_minutes: 1,
            });
            let mut history = new();
            history.intend(&end, at(0));
            history.claim("a", at(9), &rules, at(1));
            assert_eq!(
                (history.wake_at(), history.next(&rules, at(1))),
                (Some(at(60)), Next::Waiting)
            );
            history.claim("a", at(69), &rules, at(60));
            if action == WithoutStartAction::Start {
                assert_eq!(history.next(&rules, at(60)), Next::Deliver(start.clone()));
                assert!(history.is_held_by("a", at(60)));
                continue;
            }
            assert_eq!(
                (history.wake_at(), history.state(&end)),
                (None, Some(State::Skipped))
            );
            // It comes after all.
            history.intend(&start, at(999));
            history.claim("a", at(1009), &rules, at(999));
            assert_eq!(history.next(&rules, at(999)), Next::Deliver(start.clone()));
            history.delivered(&start, Some(ID), None, at(1000));
            history.claim("a", at(1010), &rules, at(1000));
            assert_eq!(history.next(&rules, at(1000)), Next::Deliver(end.clone()));
        }
    }

    #[test]
    fn a_step_that_is_not_configured_is_skipped_and_can_be_asked_for_later() {
        let (start, _) = start_and_end();
        let mut history = new();
        history.skip(&start, "the step is not configured", at(0));
        assert_eq!(
            (history.state(&start), history.count(State::Skipped)),
            (Some(State::Skipped), 1)
        );
        assert_eq!(history.next(&usual(), at(0)), Next::Nothing);
        assert_eq!(
            history.unmet(&RequestKey::of(Step::ContactEnd), &usual()),
            Some(Unmet {
                key: start.clone(),
                state: State::Skipped,
                is_not_wanted: false
            })
        );
        let step = history.request(&start).unwrap();
        assert_eq!((step.attempts, step.due_at), (0, None));
        assert_eq!(step.reason.as_deref(), Some("the step is not configured"));
        history.intend(&start, at(1));
        assert_eq!(history.next(&usual(), at(1)), Next::Deliver(start));
    }

    #[test]
    fn recordings_follow_the_end_in_the_order_they_came() {
        let mut history = new();
        for (second, name) in [(0, "z"), (1, "a")] {
            let object = recording(name);
            let key = RequestKey::of_object(Step::RecordingAvailable, &object);
            assert!(key.is_of_object());
            history.learn_object(object.clone());
            history.intend(&key, at(second));
            assert_eq!(history.object(&key), Some(&object));
        }
        let (_, end) = start_and_end();
        history.intend(&end, at(2));
        assert!(!end.is_of_object());
        assert_eq!(history.object(&end), None);
        let order: Vec<String> = history
            .in_order()
            .iter()
            .map(|(key, _)| key.to_string())
            .collect();
        assert_eq!(
            order,
            [
                "contact-end",
                "recording-available/z",
                "recording-available/a"
            ]
        );
        let read: History =
            serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
        assert_eq!(read, history);
    }

    #[test]
    fn a_failed_step_is_done_again_when_it_is_asked_for_again() {
        let (start, end) = start_and_end();
        let mut history = new();
        history.intend(&start, at(0));
        history.failed(&start, "no such column".into(), at(1));
        assert_eq!(history.failed_at(), Some(at(1)));
        assert_eq!(
            history.unmet(&end, &usual()),
            Some(Unmet {
                key: start.clone(),
                state: State::Failed,
                is_not_wanted: false
            })
        );
        history.retry_failed(at(2));
        assert_eq!(history.next(&usual(), at(2)), Next::Deliver(start.clone()));
        let step = history.request(&start).unwrap();
        assert_eq!((step.attempts, step.first_tried_at), (1, None));
        assert_eq!(step.reason, None);
        assert_eq!(history.failed_at(), None);
    }

    #[test]
    fn what_waits_for_another_step_is_not_tried_and_what_is_tried_is_counted() {
        let (start, end) = start_and_end();
        let mut history = new();
        history.intend(&start, at(0));
        history.intend(&end, at(5));
        history.postponed(&start, "down".into(), at(60), at(2));
        history.postponed(&start, "down".into(), at(90), at(60));
        let (start, end) = (
            history.request(&start).unwrap(),
            history.request(&end).unwrap(),
        );
        assert_eq!((start.attempts, start.first_tried_at), (2, Some(at(2))));
        assert_eq!((end.attempts, end.first_tried_at), (0, None));
        assert_eq!((start.sequence, end.sequence), (0, 1));
        assert_eq!(history.updated_at(), at(60));
        assert_eq!(new().updated_at(), at(0));
    }

    #[test]
    fn what_waits_for_dynamics_is_told_from_what_waits_for_an_event() {
        let (start, end) = start_and_end();
        let mut history = new();
        history.intend(&end, at(5));
        history.claim("a", at(9), &usual(), at(5));
        assert!(history.wake_at().is_some() && history.waiting_since().is_none());
        history.intend(&start, at(7));
        history.claim("a", at(9), &usual(), at(7));
        assert_eq!(history.waiting_since(), Some(at(5)));
        history.delivered(&start, Some(ID), None, at(8));
        history.delivered(&end, None, None, at(8));
        history.claim("a", at(9), &usual(), at(8));
        assert_eq!((history.wake_at(), history.waiting_since()), (None, None));

        let mut parked = new();
        parked.intend(&end, at(5));
        parked.park("gone", SignedDuration::from_hours(1), at(6));
        assert_eq!(
            parked.waiting_since(),
            Some(at(5)),
            "its integration may be wrong for all we know"
        );
        parked.park("gone", SignedDuration::from_hours(1), at(4000));
        assert_eq!(parked.waiting_since(), None);
    }

    #[test]
    fn a_request_that_must_not_be_repeated_is_known_to_be_on_its_way_until_its_outcome_is() {
        let (start, _) = start_and_end();
        let sent_at = |history: &History| history.request(&start).unwrap().sent_at;
        let mut history = new();
        history.intend(&start, at(0));
        history.sending(&start, at(1));
        assert_eq!(sent_at(&history), Some(at(1)));
        history.postponed(&start, "429".into(), at(9), at(2));
        assert_eq!(sent_at(&history), None);
        history.sending(&start, at(9));
        history.in_doubt(&start, "unknown".into(), at(10));
        history.intend(&start, at(11));
        assert_eq!(
            history.state(&start),
            Some(State::Failed),
            "its event coming again is no reason to do it again"
        );
        history.retry_failed(at(12));
        assert_eq!(
            (history.state(&start), sent_at(&history)),
            (Some(State::Pending), None)
        );
    }

    #[test]
    fn one_worker_at_a_time_holds_the_lease_until_it_ends() {
        let (start, _) = start_and_end();
        let mut history = new();
        history.intend(&start, at(0));
        history.claim("a", at(10), &usual(), at(0));
        assert!(history.is_held_by("a", at(9)) && !history.is_held_by("b", at(9)));
        history.claim("b", at(20), &usual(), at(9));
        assert!(history.is_held_by("a", at(9)) && history.is_held_by_another("b", at(9)));
        assert!(!history.is_held_by_another("a", at(9)));
        assert_eq!(
            history.wake_at(),
            Some(at(10)),
            "nobody need look before the lease ends"
        );
        assert!(!history.is_held_by("a", at(10)) && !history.is_held_by_another("b", at(10)));
        history.claim("b", at(20), &usual(), at(10));
        assert!(
            history.is_held_by("b", at(10)),
            "a dead worker's lease runs out"
        );
        history.delivered(&start, Some(ID), None, at(11));
        history.claim("a", at(30), &usual(), at(11));
        assert!(
            history.is_held_by("b", at(11)),
            "it is not a's to give back"
        );
        history.claim("b", at(30), &usual(), at(11));
        assert!(!history.is_held_by("b", at(11)));
        assert_eq!(history.wake_at(), None);
    }

    #[test]
    fn a_worker_renews_its_lease_only_when_it_has_ended() {
        let (start, _) = start_and_end();
        let mut history = new();
        history.intend(&start, at(0));
        history.claim("a", at(10), &usual(), at(0));
        history.claim("a", at(15), &usual(), at(5));
        assert_eq!(history.wake_at(), Some(at(10)));
        history.claim("a", at(25), &usual(), at(15));
        assert!(history.is_held_by("a", at(24)));
    }

    #[test]
    fn a_contact_stays_with_its_integration_once_someone_delivers() {
        let (start, _) = start_and_end();
        let mut history = new();
        history.belong_to("b", at(0));
        assert_eq!(history.integration(), "b");
        history.intend(&start, at(0));
        history.claim("a", at(10), &usual(), at(0));
        history.belong_to("c", at(9));
        assert_eq!(history.integration(), "b", "a worker is at it");
        history.belong_to("c", at(10));
        assert_eq!(history.integration(), "c", "the worker is dead");
        history.delivered(&start, Some(ID), None, at(11));
        history.belong_to("d", at(99));
        assert_eq!(history.integration(), "c", "its record is there");
    }

    #[test]
    fn a_contact_that_cannot_be_loaded_is_looked_at_ever_later_and_fails_in_the_end() {
        let (start, end) = start_and_end();
        let give_up = SignedDuration::from_hours(72);
        let mut history = new();
        history.park("unknown", give_up, at(0));
        assert_eq!(history, new(), "nothing waits");
        // How long it was pending before does not count.
        history.intend(&start, at(-999_999));
        history.sending(&start, at(-999_998));
        history.skip(&end, "no", at(0));
        for (now, wake_at) in [
            (0, 60),
            (60, 120),
            (240, 360),
            (86_400, 87_300),
            (259_200, 260_100),
        ] {
            history.park("unknown", give_up, at(now));
            assert_eq!(history.wake_at(), Some(at(wake_at)), "{now}");
        }
        history.park("unknown", give_up, at(259_201));
        assert_eq!(
            (
                history.wake_at(),
                history.state(&start),
                history.state(&end)
            ),
            (None, Some(State::Failed), Some(State::Skipped))
        );
        history.intend(&start, at(259_202));
        assert_eq!(
            history.state(&start),
            Some(State::Failed),
            "it may have been done before"
        );
    }

    #[test]
    fn a_newer_record_that_comes_while_the_contact_cannot_be_loaded_is_sent_when_it_can() {
        struct Updates(WithoutStart);
        impl Rules for Updates {
            fn needs(&self, _: &RequestKey) -> BTreeMap<RequestKey, Need> {
                BTreeMap::new()
            }
            fn is_revisable(&self, _: &RequestKey) -> bool {
                true
            }
            fn without_start(&self) -> &WithoutStart {
                &self.0
            }
        }
        let rules = Updates(WithoutStart::default());
        let completed = RequestKey::of(Step::ContactCompleted);
        let mut history = new();
        history.intend(&completed, at(0));
        history.delivered(&completed, Some(ID), None, at(1));
        history.revise_later();
        history.park("unknown", SignedDuration::from_hours(1), at(2));
        assert_eq!(history.state(&completed), Some(State::Delivered));
        assert_eq!(
            (history.wake_at(), history.waiting_since()),
            (Some(at(62)), Some(at(2)))
        );
        history.claim("a", at(72), &rules, at(62));
        assert_eq!(
            history.next(&rules, at(62)),
            Next::Deliver(completed.clone())
        );
        history.delivered(&completed, Some(ID), None, at(63));
        history.claim("a", at(73), &rules, at(63));
        assert_eq!((history.wake_at(), history.waiting_since()), (None, None));
    }

    #[test]
    fn a_contact_that_can_be_loaded_again_is_given_all_its_time_again() {
        let (start, _) = start_and_end();
        let mut history = new();
        history.intend(&start, at(0));
        history.park("unknown", SignedDuration::from_hours(1), at(0));
        history.claim("a", at(10), &usual(), at(0));
        history.park("unknown", SignedDuration::from_hours(1), at(9_999));
        assert_eq!(history.wake_at(), Some(at(9_999 + 60)));
    }

    #[test]
    fn a_step_of_which_dynamics_knows_nothing_does_not_hold_the_contact_to_its_integration() {
        let answered = RequestKey::of(Step::ContactAnswered);
        let mut history = new();
        history.intend(&answered, at(0));
        history.delivered(&answered, None, None, at(0));
        history.belong_to("b", at(1));
        assert_eq!(history.integration(), "b");
    }

    #[test]
    fn responses_can_be_made_smaller() {
        let (start, end) = start_and_end();
        let mut history = new();
        for key in [&start, &end] {
            history.intend(key, at(0));
        }
        let response = Map::from_iter([("a".to_owned(), 1.into()), ("b".to_owned(), 2.into())]);
        history.delivered(&start, None, Some(response.clone()), at(1));
        history.shrink_responses(|key, response| {
            assert_eq!(*key, start);
            response.retain(|name, _| name == "a");
        });
        let kept = history.request(&start).unwrap().response.as_ref().unwrap();
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn backoff_doubles_from_a_second_to_a_quarter_of_an_hour() {
        for (attempts, seconds) in [(0, 1), (1, 2), (9, 512), (10, 900), (99, 900)] {
            assert_eq!(backoff(attempts), SignedDuration::from_secs(seconds));
        }
    }

    #[test]
    fn attributes_of_a_later_step_win_in_whichever_order_they_come() {
        let layer = |value: &str| -> Attributes {
            let layer = serde_json::json!({"record": {"Channel": value}, "user": {value: "1"}});
            serde_json::from_value(layer).unwrap()
        };
        for order in [
            [Step::ContactStart, Step::ContactEnd],
            [Step::ContactEnd, Step::ContactStart],
        ] {
            let mut history = new();
            for step in order {
                history.learn(step, &layer(step.as_str()));
            }
            let attributes = history.attributes();
            assert_eq!(attributes.get("Channel"), Some(&"contact-end".into()));
            assert_eq!(attributes.get("contact-start"), Some(&"1".into()));
        }
    }

    #[test]
    fn a_state_is_called_what_the_item_calls_it() {
        for state in [
            State::Pending,
            State::Delivered,
            State::Skipped,
            State::Failed,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn a_step_keys_text_is_its_name_and_its_object() {
        for text in ["contact-start", "recording-available/a/b.wav"] {
            let key: RequestKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
        }
        assert!("contact-strat".parse::<RequestKey>().is_err());
    }
}
