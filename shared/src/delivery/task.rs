//! What an event asks for: the contact, the step and, for some, an object or an integration's name.
//!
//! Owns which events a function takes, and what an event adds to its contact's history.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    contact::Contact,
    event::{Event, EventError},
    history::{History, RequestKey},
    integration::{Integration, Wanted},
    recording::{Folders, RecordedObject},
    step::{Step, Trigger},
};

/// What an event asks for.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) contact: Contact,
    pub(super) key: RequestKey,
    /// The integration that a flow names by its parameter `integration`.
    pub(super) integration: Option<String>,
    /// Whether a flow waits for the reply.
    pub(super) is_flow: bool,
    object: Option<RecordedObject>,
}

/// Why there is nothing to do for an event.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The event is none that the function can read.
    Malformed(String),
    /// It can, and the event is not for it.
    Ignored(String),
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Refusal {
        Refusal::Malformed(error.to_string())
    }
}

impl Task {
    /// Reads the event that a step's function was invoked with.
    pub(super) fn read(step: Step, payload: Json, folders: &Folders) -> Result<Task, Refusal> {
        let takes = match step.trigger() {
            Trigger::Contact(_) => "flow events and contact events",
            Trigger::Object => "S3 Object Created events",
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
                    object: None,
                    is_flow: true,
                })
            }
            (Event::Contact(event), Trigger::Contact(types)) => {
                if !types.contains(&event.event_type.as_str()) {
                    let wanted = types.join(" or ");
                    return Err(Refusal::Ignored(format!(
                        "{step} is done at the contact event {wanted}, not at {}",
                        event.event_type
                    )));
                }
                Ok(Task {
                    contact: Contact::try_from(event)?,
                    key: RequestKey::of(step),
                    object: None,
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
                    object: Some(object),
                    integration: None,
                    is_flow: false,
                })
            }
            (Event::Flow(_), Trigger::Object) => Err(not_for_it("a flow event")),
            (Event::Contact(_), Trigger::Object) => Err(not_for_it("a contact event")),
            (Event::ObjectCreated(_), Trigger::Contact(_)) => {
                Err(not_for_it("an S3 Object Created event"))
            }
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
    pub(super) fn remember(
        &self,
        history: &mut History,
        integration: &Integration,
        now: Timestamp,
    ) {
        match integration.wants(self.key.step(), self.object.as_ref()) {
            Wanted::Nothing(reason) => {
                let is_ours = |object: &RecordedObject| {
                    integration.connection().is_recording_bucket(&object.bucket)
                };
                if self.object.as_ref().is_none_or(is_ours) {
                    self.learn(history);
                }
                history.skip(&self.key, &reason, now);
            }
            Wanted::Request => self.intend(history, now),
            Wanted::Page => {
                self.intend(history, now);
                history.delivered(&self.key, None, None, now);
            }
        }
    }

    /// Adds the event to the contact's history and makes its step pending. Whether the step is wanted
    /// nobody can say while the integration cannot be loaded; it is looked at when it is delivered.
    pub(super) fn intend(&self, history: &mut History, now: Timestamp) {
        self.learn(history);
        history.intend(&self.key, now);
    }

    fn learn(&self, history: &mut History) {
        match &self.object {
            None => history.learn(self.key.step(), &self.contact.attributes),
            Some(object) => history.learn_object(object.clone()),
        }
    }
}
