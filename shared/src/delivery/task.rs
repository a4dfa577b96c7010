//! What an event asks for: the contact, the step and, for some, an object or an integration's name.
//!
//! Owns which events a function takes, and what an event adds to its contact's history.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::worker::RETENTION_DAYS;
use crate::{
    contact::Contact,
    event::{Event, EventError},
    history::{History, RequestKey, State},
    integration::{Integration, Wanted},
    recording::{Folders, RecordedObject},
    step::{Step, Trigger},
};

/// What an event asks for.
#[derive(Debug)]
pub struct Task {
    pub contact: Contact,
    /// The step's main request, for the object where the step is done for one.
    pub key: RequestKey,
    /// The integration that a flow names by its parameter `integration`.
    pub(super) integration: Option<String>,
    /// Whether a flow waits for the reply.
    pub(super) is_flow: bool,
    told: Told,
}

/// What an event tells, beside the contact's attributes.
#[derive(Debug)]
enum Told {
    Nothing,
    /// Of an object of the recording bucket.
    Object(RecordedObject),
    /// All there is to know of a contact that is over: its contact record of this time, or a contact event.
    Record(Option<Timestamp>),
}

/// Why there is nothing to do for an event.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The event is none that the function can read.
    #[error("{0}")]
    Malformed(String),
    /// It can, and the event is not for it.
    #[error("{0}")]
    Ignored(String),
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Refusal {
        Refusal::Malformed(error.to_string())
    }
}

impl Task {
    /// Reads the event that a step's function was invoked with.
    ///
    /// # Errors
    /// [`Refusal`] when it is no event, or none for this step.
    pub fn read(step: Step, payload: Json, folders: &Folders) -> Result<Task, Refusal> {
        let takes = match step.trigger() {
            Trigger::Contact(_) => "flow events and contact events",
            Trigger::Object => "S3 Object Created events",
            Trigger::Record(_) => "contact records and contact events",
        };
        let not_for_it = |what: &str| {
            let advice = "route it to the function that does";
            Refusal::Malformed(format!("{step} takes {takes}, not {what}; {advice}"))
        };
        match (Event::parse(payload)?, step.trigger()) {
            (Event::Flow(event), Trigger::Contact(_)) => {
                let named = event.parameters.get("integration").and_then(Json::as_str);
                Ok(Task {
                    integration: named.filter(|name| !name.is_empty()).map(str::to_owned),
                    contact: Contact::try_from(event)?,
                    key: RequestKey::of(step),
                    told: Told::Nothing,
                    is_flow: true,
                })
            }
            (Event::Contact(event), Trigger::Contact(types) | Trigger::Record(types)) => {
                if !types.contains(&event.event_type.as_str()) {
                    let wanted = types.join(" or ");
                    return Err(Refusal::Ignored(format!(
                        "{step} is done at the contact event {wanted}, not at {}",
                        event.event_type
                    )));
                }
                let is_record = matches!(step.trigger(), Trigger::Record(_));
                Ok(Task {
                    contact: Contact::try_from(event)?,
                    key: RequestKey::of(step),
                    told: if is_record {
                        Told::Record(None)
                    } else {
                        Told::Nothing
                    },
                    integration: None,
                    is_flow: false,
                })
            }
            (Event::Record(event), Trigger::Record(_)) => {
                let updated_at = event.updated_at;
                Ok(Task {
                    contact: Contact::try_from(event)?,
                    key: RequestKey::of(step),
                    told: Told::Record(Some(updated_at)),
                    integration: None,
                    is_flow: false,
                })
            }
            (Event::ObjectCreated(event), Trigger::Object) => {
                let (contact_id, object) =
                    RecordedObject::read(&event, folders).map_err(|error| {
                        Refusal::Ignored(format!("the object is no contact's: {error}"))
                    })?;
                Ok(Task {
                    contact: Contact::unknown(contact_id),
                    key: RequestKey::of_object(step, &object),
                    told: Told::Object(object),
                    integration: None,
                    is_flow: false,
                })
            }
            (Event::Flow(_), _) => Err(not_for_it("a flow event")),
            (Event::Contact(_), _) => Err(not_for_it("a contact event")),
            (Event::Record(_), _) => Err(not_for_it("a contact record")),
            (Event::ObjectCreated(_), _) => Err(not_for_it("an S3 Object Created event")),
        }
    }

    /// Gives the contact to the integration that the event names, if it names one.
    pub(super) fn belong(&self, history: &mut History, now: Timestamp) {
        if let Some(integration) = &self.integration {
            history.belong_to(integration, now);
        }
    }

    /// Adds the event to the contact's history, and makes its step pending if the integration wants it
    /// done.
    pub fn remember(&self, history: &mut History, integration: &Integration, now: Timestamp) {
        let before = history.clone();
        let is_new = self.learn_if_ours(history, integration);
        if let Some(reason) = integration.ignores(history) {
            // Nothing else of the contact is kept.
            let method = history.attributes().only_initiation_method();
            *history = before;
            history.learn(Step::ContactStart, &method);
            return history.skip(&self.key, &reason, now);
        }
        let start = Step::ContactStart;
        if self.key.step() == start
            && !before.has_heard_of(start)
            && integration.leaves_start_to_flows(history)
        {
            // What was not wanted without a flow is wanted now.
            history.want_again(now);
        }
        if let Told::Record(updated_at) = self.told {
            if self.is_forgotten(
                &before,
                updated_at,
                integration.configuration().retention_days,
            ) {
                *history = before;
                let reason =
                    "the contact ended more than retentionDays ago, and is not remembered any more";
                return history.skip(&self.key, reason, now);
            }
            for key in missed(history, updated_at) {
                let is_for_a_flow =
                    key.step() == Step::ContactStart && integration.leaves_start_to_flows(history);
                if !is_for_a_flow && integration.wants(key.step(), None) == Wanted::Request {
                    history.intend(&key, now);
                }
            }
        }
        // A redacted file is there, or the record tells whether there will be one.
        let is_redacted = self
            .object()
            .is_some_and(|object| object.kind.is_redacted());
        if is_redacted || is_new {
            history.hurry_objects(now);
        }
        match integration.wants(self.key.step(), self.object()) {
            Wanted::Nothing(reason) => history.skip(&self.key, &reason, now),
            Wanted::Request if is_new => history.revise(&self.key, integration, now),
            Wanted::Request => history.intend(&self.key, now),
            Wanted::Page => {
                history.intend(&self.key, now);
                history.delivered(&self.key, None, None, now);
            }
        }
    }

    /// Adds the event to the contact's history and makes its step pending. Whether the step is wanted
    /// nobody can say while the integration cannot be loaded; it is looked at when it is delivered.
    pub(super) fn intend(&self, history: &mut History, now: Timestamp) {
        if let Told::Record(updated_at) = self.told
            && self.is_forgotten(history, updated_at, RETENTION_DAYS)
        {
            return;
        }
        if self.learn(history) {
            history.revise_later();
        }
        if let Told::Record(updated_at) = self.told {
            for key in missed(history, updated_at) {
                history.intend(&key, now);
            }
        }
        history.intend(&self.key, now);
    }

    /// Whether this is a late change of a contact of which nothing is remembered any more. Amazon Connect sends
    /// those for two years: to make good what seems to be missed would do all of it a second time.
    fn is_forgotten(
        &self,
        history: &History,
        updated_at: Option<Timestamp>,
        retention_days: u32,
    ) -> bool {
        let ended = self.contact.attributes.get("DisconnectTimestamp");
        let ended: Option<Timestamp> = ended.and_then(|it| it.as_str()?.parse().ok());
        let retention = SignedDuration::from_hours(24 * i64::from(retention_days));
        let is_known = history
            .in_order()
            .into_iter()
            .any(|(key, request)| *key != self.key || request.state != State::Skipped);
        !is_known
            && ended
                .zip(updated_at)
                .is_some_and(|(ended, updated_at)| updated_at.duration_since(ended) > retention)
    }

    /// Learns what the event tells, unless it is an object of somebody else's bucket. Returns whether it is a
    /// contact record that is newer than what was known.
    fn learn_if_ours(&self, history: &mut History, integration: &Integration) -> bool {
        let is_ours =
            |object: &RecordedObject| integration.connection().is_recording_bucket(&object.bucket);
        self.object().is_none_or(is_ours) && self.learn(history)
    }

    fn learn(&self, history: &mut History) -> bool {
        let attributes = &self.contact.attributes;
        match &self.told {
            Told::Nothing => history.learn(self.key.step(), attributes),
            Told::Object(object) => history.learn_object(object.clone()),
            Told::Record(updated_at) => return history.learn_record(attributes, *updated_at),
        }
        false
    }

    fn object(&self) -> Option<&RecordedObject> {
        match &self.told {
            Told::Object(object) => Some(object),
            Told::Nothing | Told::Record(_) => None,
        }
    }
}

/// The steps of a contact that is over whose events have not come. A contact event, which tells neither
/// number nor queue nor agent by name, starts no record: that is for a flow or the contact record.
fn missed(history: &History, updated_at: Option<Timestamp>) -> Vec<RequestKey> {
    let mut steps = vec![Step::ContactEnd];
    if updated_at.is_some() {
        steps.push(Step::ContactStart);
        if history.attributes().has_agent() {
            steps.push(Step::ContactAnswered);
        }
    }
    let keys = steps.into_iter().map(RequestKey::of);
    keys.filter(|key| history.state(key).is_none()).collect()
}
