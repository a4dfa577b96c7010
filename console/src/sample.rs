//! Sample contacts: what a preview is rendered for, and what a test contact is made of.
//!
//! Owns the events of each kind of contact, which are those of `events/`, and how they are changed: another
//! customer, other attributes, another moment. A contact that the table remembers can stand in their place.

use std::collections::BTreeMap;

use connect_dynamics::{
    contact::Attributes,
    delivery::Task,
    history::{History, RequestKey},
    integration::Integration,
    recording::{Folders, RecordedObject},
    step::Step,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// A kind of contact, by the name of its folder in `events/`.
#[derive(Debug)]
pub struct Life {
    pub name: &'static str,
    pub title: &'static str,
    events: &'static [(Step, &'static str)],
    /// The events of the leg before it, where it is a later leg.
    before: &'static [(Step, &'static str)],
}

macro_rules! events {
    ($($step:ident $file:literal),* $(,)?) => {
        &[$((Step::$step, include_str!(concat!("../../events/", $file)))),*]
    };
}

/// The kinds of contact, the most usual first.
pub const LIVES: [Life; 8] = [
    Life {
        name: "inbound",
        title: "Inbound call",
        before: &[],
        events: events![
            ContactStart "contact-start.json",
            ContactAnswered "contact-answered.json",
            ContactEnd "contact-end.json",
            RecordingAvailable "recording-available.json",
            ContactCompleted "contact-completed.json",
        ],
    },
    Life {
        name: "outbound",
        title: "Outbound call",
        before: &[],
        events: events![
            ContactStart "outbound/01-contact-start.json",
            ContactAnswered "outbound/02-contact-answered.json",
            ContactEnd "outbound/03-contact-end.json",
            RecordingAvailable "outbound/04-recording-available.json",
            ContactCompleted "outbound/05-contact-completed.json",
        ],
    },
    Life {
        name: "missed",
        title: "Missed call",
        before: &[],
        events: events![
            ContactStart "missed/01-contact-start.json",
            ContactEnd "missed/02-contact-end.json",
            ContactCompleted "missed/03-contact-completed.json",
        ],
    },
    Life {
        name: "callback",
        title: "Callback",
        before: &[],
        events: events![
            ContactStart "callback/01-contact-start.json",
            ContactAnswered "callback/02-contact-answered.json",
            ContactEnd "callback/03-contact-end.json",
            RecordingAvailable "callback/04-recording-available.json",
            ContactCompleted "callback/05-contact-completed.json",
        ],
    },
    Life {
        name: "transfer",
        title: "Transferred call",
        before: events![
            ContactStart "transfer/01-contact-start.json",
            ContactAnswered "transfer/02-contact-answered.json",
            ContactEnd "transfer/04-contact-end.json",
        ],
        events: events![
            ContactStart "transfer/03-contact-start-second-leg.json",
            ContactAnswered "transfer/05-contact-answered-second-leg.json",
            ContactEnd "transfer/06-contact-end-second-leg.json",
            RecordingAvailable "transfer/08-recording-available-second-leg.json",
            ContactCompleted "transfer/10-contact-completed-second-leg.json",
        ],
    },
    Life {
        name: "chat",
        title: "Chat",
        before: &[],
        events: events![
            ContactStart "chat/01-contact-start.json",
            ContactAnswered "chat/02-contact-answered.json",
            ContactEnd "chat/03-contact-end.json",
            RecordingAvailable "chat/04-recording-available-transcript.json",
            RecordingAvailable "chat/05-recording-available-analysis.json",
            ContactCompleted "chat/06-contact-completed.json",
        ],
    },
    Life {
        name: "task",
        title: "Task",
        before: &[],
        events: events![
            ContactStart "task/01-contact-start.json",
            ContactAnswered "task/02-contact-answered.json",
            ContactEnd "task/03-contact-end.json",
            ContactCompleted "task/04-contact-completed.json",
        ],
    },
    Life {
        name: "email",
        title: "E-mail",
        before: &[],
        events: events![
            ContactStart "email/01-contact-start.json",
            ContactAnswered "email/02-contact-answered.json",
            ContactEnd "email/03-contact-end.json",
            ContactCompleted "email/04-contact-completed.json",
        ],
    },
];

/// A file of Contact Lens, for a preview of what was said.
pub(crate) const ANALYSIS: &str = include_str!("../../events/objects/redacted-analysis.json");

/// What a look-up of the customer finds, as far as a preview goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finds {
    #[default]
    One,
    Nobody,
    Several,
}

/// What of a sample is changed. What is empty stays as the sample has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Changes {
    pub customer: String,
    pub agent: String,
    pub queue: String,
    /// User-defined attributes, besides those that the sample has.
    pub attributes: BTreeMap<String, String>,
}

/// A sample contact.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The contact's id, where it is made up.
    pub id: Uuid,
    pub source: SampleSource,
    pub changes: Changes,
    pub finds: Finds,
    /// What Dynamics has answered to requests that were sent for this sample, by their keys.
    pub answers: BTreeMap<String, (Option<Uuid>, Map<String, Json>)>,
}

/// Where a sample's events come from.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleSource {
    /// The name of a [`Life`].
    Life(String),
    /// A contact that the table remembers.
    Contact(Box<History>),
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            id: Uuid::new_v4(),
            source: SampleSource::Life(LIVES[0].name.to_owned()),
            changes: Changes::default(),
            finds: Finds::One,
            answers: BTreeMap::new(),
        }
    }
}

/// A kind of contact by its name.
pub fn life(name: &str) -> Option<&'static Life> {
    LIVES.iter().find(|life| life.name == name)
}

impl Life {
    /// The kind's events in their order, each with the step whose function it goes to.
    pub fn events(&self) -> Vec<(Step, Json)> {
        read(self.events)
    }

    /// The kind's events as if they happened now, of a contact with another id. A contact's id stands in an
    /// object's key too.
    pub fn events_of(&self, contact_id: Uuid, now: Timestamp) -> Vec<(Step, Json)> {
        self.moved(self.events(), contact_id, now)
    }

    /// The events of the leg before that contact, where it is a later leg.
    pub fn first_leg_of(&self, contact_id: Uuid, now: Timestamp) -> Vec<(Step, Json)> {
        self.moved(read(self.before), contact_id, now)
    }

    /// The id of the leg before a contact of this kind; none where there is none.
    pub fn first_leg(&self, contact_id: Uuid) -> Option<Uuid> {
        (!self.before.is_empty()).then(|| Uuid::new_v5(&contact_id, b"first leg"))
    }

    fn moved(
        &self,
        events: Vec<(Step, Json)>,
        contact_id: Uuid,
        now: Timestamp,
    ) -> Vec<(Step, Json)> {
        let all = || read(self.before).into_iter().chain(self.events());
        let began = all().filter_map(|(_, event)| {
            let record = event.get("InitiationTimestamp");
            let told = record.or_else(|| event.pointer("/detail/initiationTimestamp"))?;
            told.as_str()?.parse::<Timestamp>().ok()
        });
        let shift = began.min().map(|began| now.duration_since(began));
        let id_of = |events: Vec<(Step, Json)>| {
            let (_, event) = events.into_iter().next()?;
            let id = event.pointer("/Details/ContactData/ContactId")?;
            Some(id.as_str()?.to_owned())
        };
        let mut ids: Vec<(String, Uuid)> = Vec::new();
        ids.extend(id_of(self.events()).map(|own| (own, contact_id)));
        ids.extend(id_of(read(self.before)).zip(self.first_leg(contact_id)));
        let change = |text: &str| {
            if let (Some(shift), Ok(time)) = (shift, text.parse::<Timestamp>()) {
                return shifted(time, shift);
            }
            let replace =
                |text: String, (old, new): &(String, Uuid)| text.replace(old, &new.to_string());
            ids.iter().fold(text.to_owned(), replace)
        };
        let events = events.into_iter();
        events
            .map(|(step, mut event)| {
                change_texts(&mut event, &change);
                (step, event)
            })
            .collect()
    }

    #[cfg(test)]
    fn contact_id(&self) -> Uuid {
        let id = self.events().into_iter().find_map(|(_, event)| {
            let id = event.pointer("/Details/ContactData/ContactId")?.as_str()?;
            Uuid::try_parse(id).ok()
        });
        id.unwrap_or_default()
    }
}

fn read(events: &[(Step, &str)]) -> Vec<(Step, Json)> {
    let events = events.iter();
    events
        .map(|(step, text)| {
            let event = serde_json::from_str(text);
            (*step, event.expect("the sample events are JSON"))
        })
        .collect()
}

fn shifted(time: Timestamp, shift: SignedDuration) -> String {
    let shifted = time.saturating_add(shift).unwrap_or(time);
    shifted
        .round(jiff::Unit::Second)
        .unwrap_or(shifted)
        .to_string()
}

fn change_texts(value: &mut Json, change: &dyn Fn(&str) -> String) {
    match value {
        Json::String(text) => *text = change(text),
        Json::Array(values) => {
            for value in values {
                change_texts(value, change);
            }
        }
        Json::Object(fields) => {
            for (_, value) in fields.iter_mut() {
                change_texts(value, change);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Makes the changes in an event, whatever its form: that of a flow, or a contact record.
    pub fn apply(&self, event: &mut Json) {
        let is_flow = event.pointer("/Details/ContactData").is_some();
        if !is_flow && event.get("ContactId").is_none() {
            // A contact event and an object tell none of this.
            return;
        }
        let data = if is_flow {
            &mut event["Details"]["ContactData"]
        } else {
            &mut *event
        };
        if !self.customer.is_empty() {
            let is_address = self.customer.contains('@');
            let kind = if is_address {
                "EMAIL_ADDRESS"
            } else {
                "TELEPHONE_NUMBER"
            };
            data["CustomerEndpoint"] = serde_json::json!({"Address": self.customer, "Type": kind});
        }
        if !self.queue.is_empty() && !data["Queue"].is_null() {
            data["Queue"]["Name"] = self.queue.as_str().into();
        }
        if !self.attributes.is_empty() {
            if !data["Attributes"].is_object() {
                data["Attributes"] = Map::new().into();
            }
            for (name, value) in &self.attributes {
                data["Attributes"][name] = value.as_str().into();
            }
        }
        if self.agent.is_empty() {
            return;
        }
        if is_flow {
            let parameters = &mut event["Details"]["Parameters"];
            if parameters.get("Username").is_some() {
                parameters["Username"] = self.agent.as_str().into();
            }
        } else if event["Agent"].is_object() {
            event["Agent"]["Username"] = self.agent.as_str().into();
        }
    }
}

/// A step of a remembered contact, and what its event told.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) key: RequestKey,
    pub(crate) attributes: Option<Attributes>,
    pub(crate) object: Option<RecordedObject>,
}

/// A contact's event as a preview meets it: what it tells is added to a history.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Box<Task>),
    Remembered(Box<Remembered>),
}

impl Sample {
    /// The contact's id.
    pub fn contact_id(&self) -> Uuid {
        match &self.source {
            SampleSource::Life(_) => self.id,
            SampleSource::Contact(history) => history.contact_id(),
        }
    }

    /// What it is, for a person.
    pub fn title(&self) -> String {
        match &self.source {
            SampleSource::Life(name) => life(name).map_or(name.as_str(), |life| life.title).into(),
            SampleSource::Contact(history) => format!("Contact {}", history.contact_id()),
        }
    }

    /// The history before anything has been done, and what is told of the contact, in its order.
    pub(crate) fn begin(&self, integration: &Integration, now: Timestamp) -> (History, Vec<Told>) {
        match &self.source {
            SampleSource::Life(name) => {
                let history = History::new(self.contact_id(), integration.name(), now);
                let mut told = Vec::new();
                let events = life(name).map(|life| life.events_of(self.id, now));
                for (step, mut event) in events.unwrap_or_default() {
                    self.changes.apply(&mut event);
                    // Whose bucket it is does not matter for a preview.
                    if let Some(bucket) = &integration.connection().recording_bucket
                        && let Some(name) = event.pointer_mut("/detail/bucket/name")
                    {
                        *name = bucket.as_str().into();
                    }
                    if let Ok(task) = Task::read(step, event, &Folders::default()) {
                        told.push(Told::Event(Box::new(task)));
                    }
                }
                (history, told)
            }
            SampleSource::Contact(known) => {
                let history = History::new(
                    known.contact_id(),
                    integration.name(),
                    known.first_invoked(),
                );
                let layers = layers(known);
                let mut told: Vec<Told> = Vec::new();
                for (key, _) in known.in_order() {
                    let key = key.main();
                    let is_new = told
                        .iter()
                        .all(|told| !matches!(told, Told::Remembered(other) if other.key == key));
                    if is_new {
                        let attributes = layers.get(&key.step()).cloned();
                        let object = known.object(&key).cloned();
                        told.push(Told::Remembered(Box::new(Remembered {
                            key,
                            attributes,
                            object,
                        })));
                    }
                }
                (history, told)
            }
        }
    }
}

/// What each step's event told of a contact, from the form in which the table holds it.
fn layers(known: &History) -> BTreeMap<Step, Attributes> {
    let item = serde_json::to_value(known).unwrap_or_default();
    let layers = item.get("attributes").cloned().unwrap_or_default();
    serde_json::from_value(layers).unwrap_or_default()
}

/// The names that templates can use of a contact's attributes: their own and those below them.
pub fn attribute_names(attributes: &Attributes) -> Vec<(String, String)> {
    let Ok(Json::Object(layers)) = serde_json::to_value(attributes) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for (layer, values) in &layers {
        for (name, value) in values.as_object().into_iter().flatten() {
            match (layer.as_str(), value) {
                ("user", value) => {
                    names.push((format!("Attributes.{name}"), shown(value)));
                }
                (_, Json::Object(fields)) if !fields.is_empty() => {
                    if let Some(address) = fields.get("Address") {
                        names.push((name.clone(), shown(address)));
                    }
                    for (field, value) in fields {
                        if !value.is_object() && !value.is_array() {
                            names.push((format!("{name}.{field}"), shown(value)));
                        }
                    }
                }
                (_, Json::Array(_)) => {}
                _ => names.push((name.clone(), shown(value))),
            }
        }
    }
    names
}

/// A value in a word or two.
pub(crate) fn shown(value: &Json) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() > 60 {
        text.chars().take(57).chain("...".chars()).collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_event_is_taken_by_its_step_also_as_a_test_contact() {
        let now: Timestamp = "2026-11-28T10:00:00Z".parse().unwrap();
        let id = Uuid::from_u128(7);
        for life in &LIVES {
            for (step, event) in life.events() {
                let task = Task::read(step, event, &Folders::default()).unwrap();
                assert_eq!(task.contact.id, life.contact_id(), "{} {step}", life.name);
            }
            for (step, event) in life.events_of(id, now) {
                let text = event.to_string();
                let task = Task::read(step, event, &Folders::default()).unwrap();
                assert_eq!(task.contact.id, id, "{} {step}", life.name);
                let is_old = text.contains("\"2026-02-04T");
                assert!(!is_old, "{} {step}: {text}", life.name);
            }
            let first = life.first_leg(id);
            assert_eq!(first.is_some(), life.name == "transfer");
            for (step, event) in life.first_leg_of(id, now) {
                let task = Task::read(step, event, &Folders::default()).unwrap();
                assert_eq!(Some(task.contact.id), first, "{} {step}", life.name);
            }
            for (_, event) in life.events_of(id, now) {
                let told = event.pointer("/Details/ContactData/InitialContactId");
                let told = told.filter(|_| first.is_some()).and_then(Json::as_str);
                assert!(told.is_none_or(|told| told == first.unwrap().to_string()));
            }
        }
    }

    #[test]
    fn changes_reach_flows_and_contact_records() {
        let changes = Changes {
            customer: "ada@example.com".into(),
            agent: "grace".into(),
            queue: "Sales".into(),
            attributes: BTreeMap::from([("tier".into(), "gold".into())]),
        };
        for (step, mut event) in LIVES[0].events() {
            let before = event.clone();
            changes.apply(&mut event);
            match step {
                Step::ContactAnswered => {
                    let data = &event["Details"]["ContactData"];
                    assert_eq!(data["CustomerEndpoint"]["Type"], "EMAIL_ADDRESS");
                    assert_eq!(data["Queue"]["Name"], "Sales");
                    assert_eq!(data["Attributes"]["tier"], "gold");
                    assert_eq!(event["Details"]["Parameters"]["Username"], "grace");
                }
                Step::ContactCompleted => {
                    assert_eq!(event["CustomerEndpoint"]["Address"], "ada@example.com");
                    assert_eq!(event["Agent"]["Username"], "grace");
                }
                Step::ContactEnd | Step::RecordingAvailable => assert_eq!(event, before),
                Step::ContactStart => {}
            }
        }
    }
}
