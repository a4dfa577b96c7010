//! What a template can name, for one step of one contact.
//!
//! Owns the names that the product adds to a contact's attributes: the integration's settings
//! (`appid`, ...), the recording bucket's objects (`objectUrl`, `recordingUrl`, ...), each set and
//! reserved by one table, what was said in the contact (`ContactLens`), the responses (`STEP2-Response`,
//! `Responses.<name>`), and who was found (`Customer`, `Agent.User`, `Agent.Owner`).
//!
//! `Customer` and `Responses` are the product's only in a configuration that looks for customers, or names
//! requests: in any other they may be attributes of its author's own.

use serde_json::{Map, Value};

use super::found::{self, Found};
use crate::{
    configuration::{AGENT, CUSTOMER, Configuration, LINK, LINK_PARTIES, NEW_CUSTOMER},
    contact::Attributes,
    history::{History, RequestKey},
    recording::{ObjectKind, RecordedObject},
    step::Step,
};

/// What a step's templates see.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    attributes: Attributes,
    product: Map<String, Value>,
    /// What follows from the attributes; an attribute of the same name is the one that is seen.
    derived: Map<String, Value>,
}

/// What the product's own names are made of.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    pub configuration: &'a Configuration,
    pub history: &'a History,
    /// The request that is made; none for what is no request's.
    pub key: Option<&'a RequestKey>,
}

/// What one of the product's names means; none when it means nothing for this contact.
type Meaning = fn(&Sight) -> Option<String>;

/// Names that only the product gives a meaning, and the meaning: an attribute of the same name never
/// shows through.
const PRODUCT_NAMES: &[(&str, Meaning)] = &[
    ("analysisUrl", |sight| {
        sight.url_of([ObjectKind::Analysis, ObjectKind::RedactedAnalysis])
    }),
    ("apiVersion", |sight| {
        Some(sight.configuration.connection.api_version.clone())
    }),
    ("appid", |sight| {
        Some(sight.configuration.connection.app_id.to_string())
    }),
    ("bucket", |sight| Some(sight.object()?.bucket.clone())),
    ("clientId", |sight| {
        Some(sight.configuration.connection.client_id.clone())
    }),
    ("contactUrl", |sight| {
        let connection = &sight.configuration.connection;
        connection.contact_url(sight.history.contact_id())
    }),
    ("environmentUri", |sight| {
        Some(sight.configuration.connection.environment_uri.clone())
    }),
    ("integration", |sight| {
        Some(sight.configuration.name.clone())
    }),
    ("objectKey", |sight| Some(sight.object()?.key.clone())),
    ("objectKind", |sight| {
        Some(sight.object()?.kind.as_str().to_owned())
    }),
    ("objectUrl", |sight| Some(sight.object()?.url.clone())),
    ("recordingBucket", |sight| {
        sight.configuration.connection.recording_bucket.clone()
    }),
    ("recordingUrl", |sight| {
        sight.url_of([ObjectKind::Recording, ObjectKind::RedactedRecording])
    }),
    ("scope", |sight| {
        Some(sight.configuration.connection.token_scope())
    }),
    ("tenantId", |sight| {
        Some(sight.configuration.connection.tenant_id.clone())
    }),
    ("transcriptUrl", |sight| {
        sight.url_of([ObjectKind::Transcript, ObjectKind::RedactedTranscript])
    }),
];

/// The names that the product gives a meaning, but for the steps' responses.
pub fn product_names() -> impl Iterator<Item = &'static str> {
    PRODUCT_NAMES.iter().map(|(name, _)| *name)
}

fn is_product_name(name: &str) -> bool {
    name.ends_with("-Response") || product_names().any(|product| product == name)
}

impl Sight<'_> {
    /// The object that the request is sent for.
    fn object(&self) -> Option<&RecordedObject> {
        self.history.object(self.key?)
    }

    /// Whether a request's response can be named in what is made: not if it is of another object, or of a
    /// later step, which has happened when an earlier one is done again.
    fn shows(&self, key: &RequestKey) -> bool {
        let is_of_this = || self.key.is_some_and(|made| made.is_beside(key));
        let is_later = self.key.is_some_and(|made| key.step() > made.step());
        !is_later && (!key.is_of_object() || is_of_this())
    }

    /// The URL of the contact's object of the first of these kinds that it has.
    fn url_of(&self, kinds: [ObjectKind; 2]) -> Option<String> {
        kinds.into_iter().find_map(|kind| {
            let connection = &self.configuration.connection;
            let mut objects = self.history.objects();
            let object = objects.find(|object| {
                object.kind == kind && connection.is_recording_bucket(&object.bucket)
            })?;
            Some(object.url.clone())
        })
    }
}

impl Scope {
    /// What the templates of a step see.
    pub fn of(sight: Sight) -> Scope {
        let history = sight.history;
        let mut attributes = history.attributes();
        attributes.set_default("ContactId", history.contact_id().to_string());
        attributes.set_default("InitiationTimestamp", history.first_invoked().to_string());
        let mut scope = Scope {
            derived: attributes.derived(),
            attributes,
            product: PRODUCT_NAMES
                .iter()
                .filter_map(|(name, value)| Some(((*name).to_owned(), value(&sight)?.into())))
                .collect(),
        };
        scope.add_answers(&sight);
        scope
    }

    /// Adds what Dynamics has answered: the responses, and who was found.
    fn add_answers(&mut self, sight: &Sight) {
        let steps = &sight.configuration.steps;
        if steps.look_for_customers() {
            self.product.insert("Customer".into(), Value::Null);
        }
        if steps.name_requests() {
            self.product.insert("Responses".into(), Map::new().into());
        }
        let mut user = None;
        for (key, request) in sight.history.in_order() {
            if !sight.shows(key) {
                continue;
            }
            let Some(response) = &request.response else {
                // A step's own look-up counts from there on, also when it has failed. Only its own value and
                // condition can be said of the customer of a step before.
                let is_another = sight.key != Some(key);
                if key.request() == Some(CUSTOMER) && is_another && !request.is_not_wanted() {
                    self.product.insert("Customer".into(), Value::Null);
                }
                continue;
            };
            match key.request() {
                Some(CUSTOMER) => {
                    self.product
                        .insert("Customer".into(), response.clone().into());
                }
                Some(NEW_CUSTOMER) => {
                    let new = steps.get(key.step()).and_then(|step| step.new_customer());
                    if let (Some(new), Some(id)) = (new, request.record_id)
                        && let Some(Value::Object(customer)) = self.product.get_mut("Customer")
                    {
                        let name = new.name_column();
                        let found =
                            Found::of(&new.request().table(), id, name.as_deref(), response);
                        found.tell(customer);
                    }
                }
                Some(AGENT) => user = Some(response.clone()),
                Some(LINK | LINK_PARTIES) => {}
                Some(name) => self.name_response(name, response),
                None => {
                    let name = steps.get(key.step()).and_then(|step| step.main_name());
                    for name in [Some(key.step().as_str()), name].into_iter().flatten() {
                        self.name_response(name, response);
                    }
                    self.respond(key.step(), response.clone());
                }
            }
        }
        let owner = user.clone().or_else(|| {
            let owner = sight.configuration.agent.default_owner?;
            Some(found::owner(owner))
        });
        self.add_agent(user, owner);
    }

    /// Makes what was said in the contact known as `ContactLens`, beside what the contact record tells of
    /// Contact Lens' settings.
    pub(crate) fn add_conversation(&mut self, said: &Map<String, Value>) {
        let settings = self.attributes.get("ContactLens");
        let mut conversation = settings
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        conversation.extend(said.clone());
        self.product
            .insert("ContactLens".into(), conversation.into());
    }

    /// Makes a request's response known as `Responses.<name>`, where the configuration names requests.
    fn name_response(&mut self, name: &str, response: &Map<String, Value>) {
        if let Some(Value::Object(responses)) = self.product.get_mut("Responses") {
            let response = with_first_record(response.clone());
            responses.insert(name.to_owned(), response.into());
        }
    }

    /// Makes the agent's user and who owns what the agent does known beside what events tell of the agent.
    fn add_agent(&mut self, user: Option<Map<String, Value>>, owner: Option<Map<String, Value>>) {
        if user.is_none() && owner.is_none() {
            return;
        }
        let agent = self.attributes.get("Agent").and_then(Value::as_object);
        let mut agent = agent.cloned().unwrap_or_default();
        for (name, found) in [("User", user), ("Owner", owner)] {
            agent.remove(name);
            agent.extend(found.map(|found| (name.to_owned(), found.into())));
        }
        self.product.insert("Agent".into(), agent.into());
    }

    /// Makes a step's response known as `STEP<number>-Response`.
    ///
    /// A query answers with a list under `value`; the fields of its first record can be named as if
    /// the response were that record, so a step that finds a record and one that creates it are
    /// used alike.
    pub(crate) fn respond(&mut self, step: Step, response: Map<String, Value>) {
        let response = with_first_record(response);
        self.product.insert(step.response_name(), response.into());
    }

    /// What a name means, or none when nothing bears it. Null is as good as nothing, and so is an
    /// endpoint whose address is empty: there is nobody at it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let value = match self.product.get(name) {
            Some(value) => Some(value),
            None if is_product_name(name) => None,
            None => self.attributes.get(name).or_else(|| self.derived.get(name)),
        };
        value.filter(|value| {
            let is_nobody = name.ends_with("Endpoint")
                && value.get("Address").and_then(Value::as_str) == Some("");
            !value.is_null() && !is_nobody
        })
    }

    /// The user-defined attributes: the map that `Attributes` names.
    pub fn user_attributes(&self) -> &Map<String, Value> {
        self.attributes.user()
    }
}

fn with_first_record(mut response: Map<String, Value>) -> Map<String, Value> {
    let first = response.get("value").and_then(|list| list.get(0)).cloned();
    if let Some(Value::Object(first)) = first {
        for (name, value) in first {
            response.entry(name).or_insert(value);
        }
    }
    response
}

/// A scope made by hand, for the tests of what sees one.
#[cfg(test)]
impl Scope {
    /// The scope of a flow's event with this `ContactData`, which needs no contact id.
    pub(crate) fn of_contact(mut contact_data: Value) -> Scope {
        use crate::{contact::Contact, event::Event};
        contact_data["ContactId"] = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90".into();
        let event = serde_json::json!({"Details": {"ContactData": contact_data}});
        let Ok(Event::Flow(event)) = Event::parse(event) else {
            panic!("no flow event")
        };
        Scope::new(Contact::try_from(event).unwrap().attributes)
    }

    pub(crate) fn new(attributes: Attributes) -> Scope {
        Scope {
            attributes,
            ..Scope::default()
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.product.insert(name.to_owned(), value.into());
    }

    pub(crate) fn set_response(&mut self, number: u8, response: &Value) {
        let step = Step::from_number(number).expect("a step's number");
        self.respond(step, response.as_object().expect("an object").clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::Integration;
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);

    fn integration() -> Integration {
        Integration::load(include_str!("../../../local/reference-integration.json")).unwrap()
    }

    fn history() -> History {
        History::new(
            ID,
            "default",
            Timestamp::from_second(1_770_000_000).unwrap(),
        )
    }

    fn recording(name: &str, kind: ObjectKind) -> RecordedObject {
        RecordedObject {
            kind,
            bucket: "example-connect-recordings".into(),
            key: name.into(),
            url: format!("https://example.com/{name}"),
        }
    }

    #[test]
    fn the_first_record_of_a_query_can_be_named_like_a_created_one() {
        let mut scope = Scope::default();
        let response =
            json!({"@odata.context": "x", "value": [{"contactid": "1"}, {"contactid": "2"}]});
        scope.respond(Step::ContactStart, response.as_object().unwrap().clone());
        let response = scope.get("STEP2-Response").unwrap();
        assert_eq!(response["contactid"], "1");
        assert_eq!(response["value"][1]["contactid"], "2");
    }

    #[test]
    fn remembered_urls_are_right_in_whichever_order_objects_come() {
        let objects = [
            recording("1.wav", ObjectKind::Recording),
            recording("2.wav", ObjectKind::RedactedRecording),
            recording("3.json", ObjectKind::Transcript),
            recording("4.json", ObjectKind::RedactedAnalysis),
        ];
        let integration = integration();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut history = history();
            for index in order {
                history.learn_object(objects[index].clone());
            }
            let key = RequestKey::of_object(Step::RecordingAvailable, &objects[0]);
            let scope = Scope::of(Sight {
                configuration: integration.configuration(),
                history: &history,
                key: Some(&key),
            });
            for (name, value) in [
                ("recordingUrl", "https://example.com/1.wav"),
                ("transcriptUrl", "https://example.com/3.json"),
                ("analysisUrl", "https://example.com/4.json"),
                ("objectUrl", "https://example.com/1.wav"),
                ("objectKind", "recording"),
                ("objectKey", "1.wav"),
                ("bucket", "example-connect-recordings"),
                ("ContactId", &ID.to_string()),
                ("InitiationTimestamp", "2026-02-02T02:40:00Z"),
                ("integration", "default"),
                ("apiVersion", "9.2"),
            ] {
                assert_eq!(scope.get(name), Some(&json!(value)), "{name}");
            }
        }
    }

    #[test]
    fn no_attribute_shows_through_a_name_of_the_products() {
        let names: Map<String, Value> = product_names()
            .chain(["STEP2-Response", "OTHER-Response"])
            .map(|name| (name.to_owned(), "forged".into()))
            .collect();
        let attributes =
            serde_json::from_value(json!({"user": names, "parameters": names})).unwrap();
        let scope = Scope::new(attributes);
        for name in names.keys() {
            assert_eq!(scope.get(name), None, "{name}");
        }
    }
}
