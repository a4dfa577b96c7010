//! A contact and its attributes, by the contact record's names whatever event they came from.
//!
//! Owns the translation of each kind of event into those names
//! (<https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html>), the rule which
//! attribute a bare name means, and how attributes of several events merge.

mod derived;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub(crate) use self::derived::{DERIVED_NAMES, INBOUND, OUTBOUND, direction};
use crate::event::{ContactEvent, ContactRecord, EventError, FlowEvent};

/// One contact, as one event tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    pub id: Uuid,
    pub attributes: Attributes,
}

/// A contact's attributes.
///
/// Held in three maps because a bare name is looked up in that order, and because a name that
/// Amazon Connect defines must never mean a user-defined attribute that happens to bear it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attributes {
    /// By the contact record's names; without nulls and empty objects.
    #[serde(skip_serializing_if = "Map::is_empty")]
    record: Map<String, Value>,
    /// The parameters of a flow's "AWS Lambda function" block.
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
    /// User-defined attributes, in templates `Attributes.<name>` and `<name>`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    user: Map<String, Value>,
}

/// Names that the contact record defines. None of them ever means a user-defined attribute or a
/// flow's parameter, also when the contact at hand lacks it.
pub const RECORD_NAMES: &[&str] = &[
    "AWSAccountId",
    "AWSContactTraceRecordFormatVersion",
    "AdditionalEmailRecipients",
    "Agent",
    "AgentConnectionAttempts",
    "AnsweringMachineDetectionStatus",
    "Attributes",
    FORMER_ACCOUNT_ID,
    "AwsRegion",
    "Campaign",
    "Channel",
    "ConnectedToSystemTimestamp",
    "ContactAssociationId",
    "ContactDetails",
    "ContactEvaluations",
    "ContactId",
    "ContactLens",
    "CustomerEndpoint",
    "CustomerId",
    "CustomerVoiceActivity",
    "Description",
    "DisconnectDetails",
    "DisconnectReason",
    "DisconnectTimestamp",
    "ExternalThirdParty",
    "InitialContactId",
    "InitiationMethod",
    "InitiationTimestamp",
    "InstanceARN",
    "LanguageCode",
    "LastPausedTimestamp",
    "LastResumedTimestamp",
    "LastUpdateTimestamp",
    "MediaStreams",
    "Name",
    "NextContactId",
    "OutboundStrategy",
    "PreviousContactId",
    "QualityMetrics",
    "Queue",
    "Recording",
    "Recordings",
    "References",
    "RelatedContactId",
    "RoutingCriteria",
    "ScheduledTimestamp",
    "SegmentAttributes",
    "SystemEndpoint",
    "Tags",
    "TotalPauseCount",
    "TotalPauseDurationInSeconds",
    "TransferCompletedTimestamp",
    "TransferredToEndpoint",
    "Username",
    "VoiceIdResult",
    "WisdomInfo",
];

/// How `AWSAccountId` was spelt here before.
const FORMER_ACCOUNT_ID: &str = "AwsAccountId";

impl Attributes {
    /// What a bare name in a template means, or none when the contact lacks it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match name {
            "Username" => self.record.get("Agent")?.get("Username"),
            "AWSAccountId" | FORMER_ACCOUNT_ID => {
                let account = self.record.get("AWSAccountId");
                account.or_else(|| self.record.get(FORMER_ACCOUNT_ID))
            }
            _ if RECORD_NAMES.contains(&name) => self.record.get(name),
            // What Amazon Connect adds to its contact records some day hides nobody's own attribute.
            _ => {
                let given = self.parameters.get(name).or_else(|| self.user.get(name));
                given.or_else(|| self.record.get(name))
            }
        }
    }

    /// Whether an agent was connected to the contact.
    pub fn has_agent(&self) -> bool {
        let agent = self.record.get("Agent");
        agent.is_some_and(|agent| agent.get("ConnectedToAgentTimestamp").is_some())
    }

    /// Of all attributes only how the contact began.
    #[must_use]
    pub fn only_initiation_method(&self) -> Attributes {
        let name = "InitiationMethod";
        let method = self.record.get(name).cloned();
        Attributes {
            record: method.map(|it| one(name, it)).unwrap_or_default(),
            ..Attributes::default()
        }
    }

    /// How the contact began: `INBOUND`, `OUTBOUND`, `TRANSFER`, ...
    pub fn initiation_method(&self) -> Option<&str> {
        self.record.get("InitiationMethod")?.as_str()
    }

    /// The user-defined attributes, `Attributes` in templates.
    pub fn user(&self) -> &Map<String, Value> {
        &self.user
    }

    /// Lays newer attributes over these: what both have is taken from `newer`, objects of the
    /// contact record (`Queue`, `Agent`) field by field.
    pub fn merge(&mut self, newer: &Attributes) {
        merge_map(&mut self.record, &newer.record);
        merge_map(&mut self.parameters, &newer.parameters);
        merge_map(&mut self.user, &newer.user);
    }

    /// Sets an attribute of the contact record unless the contact has it.
    pub fn set_default(&mut self, name: &str, value: impl Into<Value>) {
        self.record.entry(name).or_insert_with(|| value.into());
    }
}

fn merge_map(older: &mut Map<String, Value>, newer: &Map<String, Value>) {
    for (name, value) in newer {
        match (older.get_mut(name), value) {
            // Another queue or another agent: what the older one was called is not this one's name.
            (Some(Value::Object(older)), Value::Object(newer)) if !are_the_same(older, newer) => {
                older.clone_from(newer);
            }
            (Some(Value::Object(older)), Value::Object(newer)) => merge_map(older, newer),
            _ => {
                older.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Whether two objects may be the same resource: nothing tells them apart by their ARNs.
fn are_the_same(older: &Map<String, Value>, newer: &Map<String, Value>) -> bool {
    match (older.get("ARN"), newer.get("ARN")) {
        (Some(older), Some(newer)) => older == newer,
        _ => true,
    }
}

impl TryFrom<FlowEvent> for Contact {
    type Error = EventError;

    /// # Errors
    /// [`EventError::Field`] when the contact id is missing or no UUID.
    fn try_from(event: FlowEvent) -> Result<Contact, EventError> {
        let mut record = event.contact_data;
        let id = contact_id(&record, "ContactId", "Details.ContactData")?;
        let user = take_map(&mut record, "Attributes");
        // Older flow events give the queue's name alone.
        if let Some(name @ Value::String(_)) = record.get("Queue").cloned() {
            record.insert("Queue".into(), Value::Object(one("Name", name)));
        }
        let mut parameters = event.parameters;
        // How a path that does not resolve (`$.Agent.UserName` without an agent) arrives is not
        // documented: null, an empty string and nothing at all mean the same.
        parameters.retain(|_, value| !is_absent(value));
        // No event of Amazon Connect bears the agent's user name; a flow passes it.
        if let Some(username) = parameters.get("Username").cloned() {
            let agent = record.entry("Agent").or_insert_with(|| Map::new().into());
            if let Value::Object(agent) = agent {
                agent.entry("Username").or_insert(username);
            }
        }
        Ok(Contact::new(id, record, parameters, user))
    }
}

impl TryFrom<ContactEvent> for Contact {
    type Error = EventError;

    /// # Errors
    /// [`EventError::Field`] when the contact id is missing or no UUID.
    fn try_from(event: ContactEvent) -> Result<Contact, EventError> {
        let id = contact_id(&event.detail, "contactId", "detail")?;
        let mut user = Map::new();
        let mut record = Map::new();
        for (name, value) in event.detail {
            match (name.as_str(), value) {
                ("eventType" | "eventVersion", _) => {}
                ("attributes", Value::Object(attributes)) => user = attributes,
                ("instanceArn" | "instanceARN", value) => {
                    record.insert("InstanceARN".into(), value);
                }
                ("queueInfo", Value::Object(queue)) => {
                    record.insert("Queue".into(), with_record_names(queue).into());
                }
                ("agentInfo", Value::Object(agent)) => {
                    record.insert("Agent".into(), with_record_names(agent).into());
                }
                (name, Value::Object(endpoint)) if name.ends_with("Endpoint") => {
                    record.insert(pascal_case(name), with_record_names(endpoint).into());
                }
                (name, value) => {
                    record.insert(pascal_case(name), value);
                }
            }
        }
        Ok(Contact::new(id, record, Map::new(), user))
    }
}

impl TryFrom<ContactRecord> for Contact {
    type Error = EventError;

    /// # Errors
    /// [`EventError::Field`] when the contact id is missing or no UUID.
    fn try_from(event: ContactRecord) -> Result<Contact, EventError> {
        let mut record = event.record;
        let id = contact_id(&record, "ContactId", "contact record")?;
        let user = take_map(&mut record, "Attributes");
        // Flows and contact events have these two by themselves.
        if let Some(Value::Object(details)) = record.get("ContactDetails").cloned() {
            for (name, value) in details {
                if matches!(name.as_str(), "Name" | "Description") {
                    record.entry(name).or_insert(value);
                }
            }
        }
        Ok(Contact::new(id, record, Map::new(), user))
    }
}

impl Contact {
    fn new(
        id: Uuid,
        mut record: Map<String, Value>,
        parameters: Map<String, Value>,
        mut user: Map<String, Value>,
    ) -> Contact {
        if let Some(segments) = record.get_mut("SegmentAttributes") {
            unwrap_segment_attribute(segments);
        }
        if let Some(Value::String(channel)) = record.get_mut("Channel") {
            // Contact events have been seen with `Voice`, flows send `VOICE`.
            channel.make_ascii_uppercase();
        }
        record.insert("ContactId".into(), id.to_string().into());
        drop_absent(&mut record);
        // An anonymous caller's endpoint has a type and no address: nobody is there to name.
        record.retain(|name, value| !name.ends_with("Endpoint") || value.get("Address").is_some());
        user.retain(|_, value| !value.is_null());
        Contact {
            id,
            attributes: Attributes {
                record,
                parameters,
                user,
            },
        }
    }

    /// A contact of which nothing but its id is known.
    pub fn unknown(id: Uuid) -> Contact {
        Contact::new(id, Map::new(), Map::new(), Map::new())
    }
}

fn contact_id(data: &Map<String, Value>, name: &str, path: &str) -> Result<Uuid, EventError> {
    let field = |reason: String| EventError::Field {
        path: format!("{path}.{name}"),
        reason,
    };
    match data.get(name) {
        Some(Value::String(id)) => Uuid::try_parse(id)
            .map_err(|_| field("it is no UUID, and every Amazon Connect contact id is one".into())),
        other => Err(field(format!(
            "it is {}, not a contact id",
            crate::event::json_type(other.unwrap_or(&Value::Null))
        ))),
    }
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

fn take_map(data: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match data.remove(name) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// The members of a segment attribute's value, without the first letter, which is written `V` or `v`.
/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_SegmentAttributeValue.html>
const UNION_MEMBERS: &[&str] = &[
    "alueArn",
    "alueBoolean",
    "alueInteger",
    "alueList",
    "alueMap",
    "alueString",
];

/// `{"ValueString": "x"}` becomes `"x"`, `{"ValueMap": {...}}` a map of its unwrapped values.
///
/// Amazon Connect sends all members of the union, the unused ones as null, and spells them
/// `ValueString` in flows and `valueString` in contact events.
fn unwrap_segment_attribute(value: &mut Value) {
    let Value::Object(map) = value else { return };
    let is_union = !map.is_empty()
        && map.keys().all(|name| {
            let member = name.strip_prefix(['V', 'v']).unwrap_or_default();
            UNION_MEMBERS.contains(&member)
        });
    if is_union {
        let used = map.values_mut().find(|member| !member.is_null());
        *value = used.map(Value::take).unwrap_or_default();
        return unwrap_segment_attribute(value);
    }
    map.values_mut().for_each(unwrap_segment_attribute);
}

/// Whether a value is as good as none: null, an empty string, or a timestamp of 1970, which is how a
/// contact event says "not yet".
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text.starts_with("1970-01-01T00:00:00"),
        _ => false,
    }
}

/// Removes what is absent, and the objects that are empty without it: an absent attribute is absent,
/// whether Amazon Connect leaves it out, sends null or sends an empty string.
fn drop_absent(map: &mut Map<String, Value>) {
    map.retain(|_, value| match value {
        Value::Object(inner) => {
            drop_absent(inner);
            !inner.is_empty()
        }
        value => !is_absent(value),
    });
}

/// An event's fields by the contact record's names: `queueArn` of `queueInfo` is `Queue.ARN` there, and
/// any other begins with a capital letter, as `Agent.AgentInitiatedHoldDuration` does.
fn with_record_names(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .map(|(name, value)| {
            let name = match name.as_str() {
                "agentArn" | "queueArn" | "arn" => "ARN".to_owned(),
                "queueName" => "Name".to_owned(),
                name => pascal_case(name),
            };
            (name, value)
        })
        .collect()
}

fn pascal_case(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";

    fn flow(contact_data: Value, parameters: Value) -> Attributes {
        let event = json!({"Name": "ContactFlowEvent", "Details": {"ContactData": contact_data, "Parameters": parameters}});
        let Ok(Event::Flow(event)) = Event::parse(event) else {
            panic!("no flow event")
        };
        Contact::try_from(event).unwrap().attributes
    }

    fn contact_event(detail: Value) -> Attributes {
        let event = json!({"source": "aws.connect", "detail-type": "Amazon Connect Contact Event", "detail": detail});
        let Ok(Event::Contact(event)) = Event::parse(event) else {
            panic!("no contact event")
        };
        Contact::try_from(event).unwrap().attributes
    }

    #[test]
    fn a_task_before_any_queue_simply_lacks_endpoint_and_queue() {
        let task = flow(
            json!({
                "ContactId": ID, "Channel": "TASK", "CustomerEndpoint": null, "SystemEndpoint": null, "Queue": null,
                "Attributes": {}, "Name": "Call back", "References": {"case": {"Type": "URL", "Value": "https://example.com/1"}}
            }),
            json!({}),
        );
        assert_eq!(task.get("CustomerEndpoint"), None);
        assert_eq!(task.get("Queue"), None);
        assert_eq!(task.get("Name"), Some(&json!("Call back")));
        assert_eq!(
            task.get("References").unwrap()["case"]["Value"],
            "https://example.com/1"
        );
    }

    #[test]
    fn a_queue_that_is_a_name_alone_is_the_queues_name() {
        let call = flow(json!({"ContactId": ID, "Queue": "Billing"}), json!({}));
        assert_eq!(call.get("Queue"), Some(&json!({"Name": "Billing"})));
    }

    #[test]
    fn an_anonymous_callers_empty_endpoint_is_absent() {
        let call = flow(
            json!({
                "ContactId": ID, "CustomerEndpoint": {"Address": null, "Type": "TELEPHONE_NUMBER"},
                "SystemEndpoint": {"Address": "+15555550199", "Type": "TELEPHONE_NUMBER"}
            }),
            Value::Null,
        );
        assert_eq!(call.get("CustomerEndpoint"), None);
        assert_eq!(
            call.get("SystemEndpoint").unwrap()["Address"],
            "+15555550199"
        );
    }

    #[test]
    fn an_empty_address_is_none_and_an_empty_value_hides_no_earlier_one() {
        let mut call = flow(
            json!({"ContactId": ID, "CustomerEndpoint": {"Address": "", "Type": "TELEPHONE_NUMBER"}, "Attributes": {"note": ""}}),
            json!({"Username": "agent.example", "reason": "sales"}),
        );
        assert_eq!(call.get("CustomerEndpoint"), None);
        assert_eq!(
            call.get("note"),
            Some(&json!("")),
            "the flow's author set it so"
        );
        call.merge(&flow(
            json!({"ContactId": ID, "Description": ""}),
            json!({"Username": "", "reason": null}),
        ));
        assert_eq!(call.get("Username"), Some(&json!("agent.example")));
        assert_eq!(call.get("reason"), Some(&json!("sales")));
        assert_eq!(call.get("Description"), None);
    }

    #[test]
    fn a_timestamp_of_1970_means_not_yet() {
        let ended = contact_event(json!({
            "eventType": "DISCONNECTED", "contactId": ID,
            "connectedToSystemTimestamp": "1970-01-01T00:00:00.001Z",
            "disconnectTimestamp": "2026-02-04T21:20:00.000Z",
            "agentInfo": {"agentArn": "arn:a", "acceptedByAgentTimestamp": "1970-01-01T00:00:00.001Z"}
        }));
        assert_eq!(ended.get("ConnectedToSystemTimestamp"), None);
        assert_eq!(ended.get("Agent"), Some(&json!({"ARN": "arn:a"})));
        assert_eq!(
            ended.get("DisconnectTimestamp"),
            Some(&json!("2026-02-04T21:20:00.000Z"))
        );
    }

    #[test]
    fn segment_attributes_come_with_every_member_of_which_one_is_used() {
        let members = |name: &str, value: Value| {
            let mut members = json!({"ValueArn": null, "ValueInteger": null, "ValueList": null, "ValueMap": null, "ValueString": null});
            members[name] = value;
            members
        };
        let chat = flow(
            json!({"ContactId": ID, "SegmentAttributes": {
                "connect:Subtype": members("ValueString", json!("connect:Guide")),
                "count": members("ValueInteger", json!(0)),
                "map": members("ValueMap", json!({"inner": members("ValueString", json!("x"))})),
                "unused": members("ValueString", Value::Null),
                "lower": {"valueString": "y", "valueMap": null},
                "plain": "z",
                "own": {"valueTier": members("ValueString", json!("gold"))},
                "empty": {},
            }}),
            json!({}),
        );
        assert_eq!(
            chat.get("SegmentAttributes"),
            Some(
                &json!({"connect:Subtype": "connect:Guide", "count": 0, "map": {"inner": "x"}, "lower": "y", "plain": "z", "own": {"valueTier": "gold"}})
            )
        );
    }

    #[test]
    fn segment_attributes_and_unknown_future_fields_are_kept() {
        let chat = flow(
            json!({
                "ContactId": ID, "Channel": "CHAT", "FutureField": {"A": [1, 2]},
                "SegmentAttributes": {
                    "connect:Subtype": {"ValueString": "connect:Guide"},
                    "connect:Nested": {"ValueMap": {"inner": {"ValueString": "x"}}}
                }
            }),
            json!({}),
        );
        assert_eq!(
            chat.get("SegmentAttributes"),
            Some(&json!({"connect:Subtype": "connect:Guide", "connect:Nested": {"inner": "x"}}))
        );
        assert_eq!(chat.get("FutureField"), Some(&json!({"A": [1, 2]})));
    }

    #[test]
    fn a_bare_name_is_the_records_then_the_parameters_then_the_users_and_never_shadows() {
        let call = flow(
            json!({
                "ContactId": ID, "Channel": "VOICE", "CustomerEndpoint": null,
                "Attributes": {"Channel": "forged", "CustomerEndpoint": "forged", "tier": "gold", "language": "de"}
            }),
            json!({"Channel": "forged too", "language": "en", "Username": "agent.example"}),
        );
        assert_eq!(call.get("Channel"), Some(&json!("VOICE")));
        assert_eq!(call.get("CustomerEndpoint"), None);
        assert_eq!(call.get("tier"), Some(&json!("gold")));
        assert_eq!(call.get("language"), Some(&json!("en")));
        assert_eq!(call.user()["Channel"], "forged");
        assert_eq!(call.get("Username"), Some(&json!("agent.example")));
        assert_eq!(call.get("Agent").unwrap()["Username"], "agent.example");
    }

    #[test]
    fn a_contact_event_speaks_the_contact_records_names() {
        for instance in ["instanceArn", "instanceARN"] {
            let ended = contact_event(json!({
                "eventType": "DISCONNECTED", "contactId": ID, "channel": "Voice", instance: "arn:aws:connect:x",
                "initiationMethod": "INBOUND", "initiationTimestamp": "2026-02-04T21:14:16.000Z",
                "disconnectTimestamp": "2026-02-04T21:20:00.000Z", "disconnectReason": "CUSTOMER_DISCONNECT",
                "queueInfo": {"queueArn": "arn:q", "queueType": "type", "enqueueTimestamp": "2026-02-04T21:15:00Z"},
                "agentInfo": {"agentArn": "arn:a", "agentInitiatedHoldDuration": 9, "connectedToAgentTimestamp": "2026-02-04T21:16:00Z", "hierarchyGroups": {"level1": {"arn": "g"}}},
                "customerEndpoint": {"type": "TELEPHONE_NUMBER", "address": "+15550100"},
                "tags": {"aws:connect:instanceId": "i"}, "brandNew": 7
            }));
            for (name, value) in [
                ("ContactId", json!(ID)),
                ("Channel", json!("VOICE")),
                ("InstanceARN", json!("arn:aws:connect:x")),
                ("DisconnectReason", json!("CUSTOMER_DISCONNECT")),
                (
                    "Queue",
                    json!({"ARN": "arn:q", "QueueType": "type", "EnqueueTimestamp": "2026-02-04T21:15:00Z"}),
                ),
                (
                    "CustomerEndpoint",
                    json!({"Type": "TELEPHONE_NUMBER", "Address": "+15550100"}),
                ),
                ("Tags", json!({"aws:connect:instanceId": "i"})),
                ("BrandNew", json!(7)),
            ] {
                assert_eq!(ended.get(name), Some(&value), "{name}");
            }
            let agent = ended.get("Agent").unwrap();
            assert_eq!(agent["ARN"], "arn:a");
            assert_eq!(agent["AgentInitiatedHoldDuration"], 9);
            assert_eq!(ended.get("EventType"), None);
        }
    }

    #[test]
    fn the_accounts_id_is_known_by_the_contact_records_name_and_by_the_former_one() {
        for spelling in ["AWSAccountId", "AwsAccountId"] {
            let call = flow(
                json!({"ContactId": ID, spelling: "123456789012", "Attributes": {"AWSAccountId": "forged"}}),
                json!({}),
            );
            for name in ["AWSAccountId", "AwsAccountId"] {
                assert_eq!(call.get(name), Some(&json!("123456789012")), "{name}");
            }
        }
    }

    #[test]
    fn newer_attributes_lie_over_older_ones_field_by_field() {
        let mut call = flow(
            json!({"ContactId": ID, "Queue": {"Name": "Support", "ARN": "arn:1"}, "Attributes": {"a": "1", "b": "1"}}),
            json!({}),
        );
        call.merge(&flow(
            json!({"ContactId": ID, "Queue": {"ARN": "arn:1"}, "Attributes": {"b": "2"}}),
            json!({}),
        ));
        assert_eq!(
            call.get("Queue"),
            Some(&json!({"Name": "Support", "ARN": "arn:1"}))
        );
        call.merge(&flow(
            json!({"ContactId": ID, "Queue": {"ARN": "arn:2"}}),
            json!({}),
        ));
        assert_eq!(
            call.get("Queue"),
            Some(&json!({"ARN": "arn:2"})),
            "the name was another queue's"
        );
        assert_eq!(
            (call.get("a"), call.get("b")),
            (Some(&json!("1")), Some(&json!("2")))
        );
    }

    #[test]
    fn a_missing_or_malformed_contact_id_is_refused_by_path() {
        for (data, reason) in [
            (json!({}), "missing or null"),
            (json!({"ContactId": "not a uuid"}), "no UUID"),
        ] {
            let Ok(Event::Flow(event)) = Event::parse(json!({"Details": {"ContactData": data}}))
            else {
                panic!("no flow event")
            };
            let refusal = Contact::try_from(event).unwrap_err().to_string();
            assert!(
                refusal.contains("Details.ContactData.ContactId") && refusal.contains(reason),
                "{refusal}"
            );
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[A-Za-z]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    const FIELDS: &[&str] = &[
        "Attributes",
        "Channel",
        "CustomerEndpoint",
        "Queue",
        "Agent",
        "SegmentAttributes",
        "Tags",
        "channel",
        "customerEndpoint",
        "queueInfo",
        "agentInfo",
        "attributes",
        "segmentAttributes",
    ];

    proptest! {
        #[test]
        fn no_event_whatever_panics(payload in any_json()) {
            let _ = Event::parse(payload);
        }

        #[test]
        fn no_field_of_whatever_type_costs_the_contact(
            fields in prop::collection::btree_map(prop::sample::select(FIELDS), any_json(), 0..8),
            parameters in any_json(),
        ) {
            let mut data: Map<String, Value> = fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
            data.insert("ContactId".into(), ID.into());
            let event = json!({"Details": {"ContactData": data, "Parameters": parameters}});
            if let Ok(Event::Flow(event)) = Event::parse(event) {
                prop_assert!(Contact::try_from(event).is_ok());
            }
            data.insert("contactId".into(), ID.into());
            let event = ContactEvent { event_type: "DISCONNECTED".into(), detail: data };
            prop_assert!(Contact::try_from(event).is_ok());
        }
    }
}
