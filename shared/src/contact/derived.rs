//! What follows from a contact's attributes: its direction, its outcome and its durations.
//!
//! Owns these names and what each is worked out from. An attribute of the same name that a flow or a person
//! has set is the one that templates see: a flow that takes a voicemail sets `Outcome` to what it likes.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Attributes;

/// Every name that is derived.
pub(crate) const DERIVED_NAMES: [&str; 13] = [
    "AfterContactWorkMinutes",
    "AfterContactWorkSeconds",
    "Direction",
    "DirectionCode",
    "DurationMinutes",
    "DurationSeconds",
    "HoldMinutes",
    "HoldSeconds",
    "Outcome",
    "QueueMinutes",
    "QueueSeconds",
    "TalkMinutes",
    "TalkSeconds",
];

/// Whether a contact that began so goes out to the customer.
fn goes_out(initiation_method: &str, channel: Option<&str>) -> bool {
    match initiation_method {
        "OUTBOUND" | "EXTERNAL_OUTBOUND" | "CALLBACK" | "AGENT_REPLY" | "CAMPAIGN_PREVIEW" => true,
        // A call that an API starts goes out; a chat or task that one starts comes from the customer.
        "API" => channel == Some("VOICE"),
        // An e-mail that a flow sends.
        "FLOW" => channel == Some("EMAIL"),
        _ => false,
    }
}

/// What `Direction` is of a contact that began so.
pub(crate) fn direction(initiation_method: &str, channel: Option<&str>) -> &'static str {
    if goes_out(initiation_method, channel) {
        OUTBOUND
    } else {
        INBOUND
    }
}

/// What `Direction` is.
pub(crate) const INBOUND: &str = "inbound";
pub(crate) const OUTBOUND: &str = "outbound";

impl Attributes {
    /// What follows from the attributes, by [`DERIVED_NAMES`]; without what cannot be told yet.
    ///
    /// - `Direction` is `inbound` or `outbound`; `DirectionCode` is true for outbound, as Dynamics'
    ///   `directioncode` is.
    /// - `Outcome` of a contact that is over is one of `answered`, `missed` (it rang at an agent's, and
    ///   nobody answered), `abandoned` (it ended in a queue), `ended-in-flow` (a flow ended it that had queued
    ///   it), `self-service` (it was never queued), `transferred` (a flow sent it to a number outside),
    ///   `expired`, and, for one that went out, `unanswered`.
    /// - Seconds are whole, and minutes are rounded up as a phone bill does.
    pub fn derived(&self) -> Map<String, Value> {
        let mut derived = Map::new();
        if let Some(is_outbound) = self.is_outbound() {
            let direction = if is_outbound { OUTBOUND } else { INBOUND };
            derived.insert("Direction".into(), direction.into());
            derived.insert("DirectionCode".into(), is_outbound.into());
        }
        if let Some(outcome) = self.outcome() {
            derived.insert("Outcome".into(), outcome.into());
        }
        let agent = |name| self.field("Agent", name);
        let queue = |name| self.field("Queue", name);
        let ended = self.record.get("DisconnectTimestamp");
        let connected = agent("ConnectedToAgentTimestamp");
        let began = self.record.get("InitiationTimestamp");
        let left_queue = queue("DequeueTimestamp").or(connected).or(ended);
        let (work_began, work_ended) = (
            agent("AfterContactWorkStartTimestamp"),
            agent("AfterContactWorkEndTimestamp"),
        );
        let queued = queue("EnqueueTimestamp");
        for (name, seconds) in [
            ("Duration", between(began, ended)),
            (
                "Queue",
                whole(queue("Duration")).or_else(|| between(queued, left_queue)),
            ),
            (
                "Talk",
                whole(agent("AgentInteractionDuration")).or_else(|| between(connected, ended)),
            ),
            (
                "Hold",
                whole(agent("CustomerHoldDuration").or(agent("AgentInitiatedHoldDuration"))),
            ),
            (
                "AfterContactWork",
                whole(agent("AfterContactWorkDuration"))
                    .or_else(|| between(work_began, work_ended)),
            ),
        ] {
            let Some(seconds) = seconds else { continue };
            derived.insert(format!("{name}Seconds"), seconds.into());
            derived.insert(format!("{name}Minutes"), seconds.div_ceil(60).into());
        }
        derived
    }

    /// Whether the contact goes out to the customer; none when nobody has told how it began.
    /// <https://docs.aws.amazon.com/connect/latest/adminguide/contact-initiation-methods.html>
    fn is_outbound(&self) -> Option<bool> {
        let channel = self.record.get("Channel").and_then(Value::as_str);
        Some(goes_out(self.initiation_method()?, channel))
    }

    /// How the contact ended; none as long as it has not.
    fn outcome(&self) -> Option<&'static str> {
        self.record.get("DisconnectTimestamp")?;
        let has = |name: &str| self.record.contains_key(name);
        let reason = self.record.get("DisconnectReason").and_then(Value::as_str);
        let is_call = self.record.get("Channel").and_then(Value::as_str) == Some("VOICE");
        let attempts = whole(self.record.get("AgentConnectionAttempts")).unwrap_or(0);
        // For a call that goes out this is when the customer answers.
        let is_unanswered = is_call && !has("ConnectedToSystemTimestamp");
        Some(if self.is_outbound() == Some(true) && is_unanswered {
            "unanswered"
        } else if self.has_agent() {
            "answered"
        } else if has("TransferredToEndpoint") {
            "transferred"
        } else if reason == Some("EXPIRED") {
            "expired"
        } else if attempts > 0 {
            "missed"
        } else if self.field("Queue", "EnqueueTimestamp").is_none() {
            // A flow may have chosen a queue that the contact never came into.
            "self-service"
        } else if reason == Some("CONTACT_FLOW_DISCONNECT") {
            "ended-in-flow"
        } else {
            "abandoned"
        })
    }

    fn field(&self, object: &str, name: &str) -> Option<&Value> {
        self.record.get(object)?.get(name)
    }
}

fn whole(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    let text = || value.as_str()?.parse().ok();
    value.as_u64().or_else(text)
}

/// The whole seconds between two timestamps; none when they are not, or in the wrong order.
fn between(earlier: Option<&Value>, later: Option<&Value>) -> Option<u64> {
    let second = |value: Option<&Value>| {
        let timestamp: Timestamp = value?.as_str()?.parse().ok()?;
        Some(timestamp.as_second())
    };
    u64::try_from(second(later)? - second(earlier)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contact::Contact,
        event::{ContactRecord, Event},
    };
    use serde_json::json;

    /// What is derived from a contact record with these fields besides.
    fn derived(fields: Value) -> Map<String, Value> {
        let mut record = json!({
            "ContactId": "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90", "Channel": "VOICE",
            "LastUpdateTimestamp": "2026-02-04T21:20:00Z", "InitiationMethod": "INBOUND",
            "InitiationTimestamp": "2026-02-04T21:14:05Z",
            "ConnectedToSystemTimestamp": "2026-02-04T21:14:05Z",
            "DisconnectTimestamp": "2026-02-04T21:17:06Z",
        });
        for (name, value) in fields.as_object().unwrap() {
            record[name] = value.clone();
        }
        let Ok(Event::Record(ContactRecord { record, updated_at })) = Event::parse(record) else {
            panic!("no contact record")
        };
        let contact = Contact::try_from(ContactRecord { record, updated_at }).unwrap();
        contact.attributes.derived()
    }

    #[test]
    fn how_a_contact_ended_is_what_a_person_would_say() {
        let agent =
            json!({"Username": "user", "ConnectedToAgentTimestamp": "2026-02-04T21:15:00Z"});
        let queue = json!({"Name": "Sales", "EnqueueTimestamp": "2026-02-04T21:14:20Z"});
        for (fields, direction, outcome) in [
            (
                json!({"Agent": agent, "Queue": queue}),
                "inbound",
                "answered",
            ),
            (
                json!({"Queue": queue, "AgentConnectionAttempts": 2}),
                "inbound",
                "missed",
            ),
            (
                json!({"Queue": queue, "AgentConnectionAttempts": 0, "DisconnectReason": "CUSTOMER_DISCONNECT"}),
                "inbound",
                "abandoned",
            ),
            (
                json!({"Queue": queue, "DisconnectReason": "CONTACT_FLOW_DISCONNECT"}),
                "inbound",
                "ended-in-flow",
            ),
            (json!({}), "inbound", "self-service"),
            // A flow has chosen a queue, and the caller hung up before.
            (
                json!({"Queue": {"Name": "Sales"}}),
                "inbound",
                "self-service",
            ),
            (
                json!({"Queue": queue, "TransferredToEndpoint": {"Address": "+15555550123", "Type": "TELEPHONE_NUMBER"}}),
                "inbound",
                "transferred",
            ),
            (
                json!({"InitiationMethod": "OUTBOUND", "Agent": agent}),
                "outbound",
                "answered",
            ),
            (
                json!({"InitiationMethod": "OUTBOUND", "Agent": agent, "ConnectedToSystemTimestamp": null}),
                "outbound",
                "unanswered",
            ),
            (
                json!({"InitiationMethod": "CALLBACK", "Queue": queue, "ConnectedToSystemTimestamp": null}),
                "outbound",
                "unanswered",
            ),
            (
                json!({"InitiationMethod": "API", "Channel": "CHAT", "Agent": agent, "ConnectedToSystemTimestamp": null}),
                "inbound",
                "answered",
            ),
            (
                json!({"InitiationMethod": "API", "Channel": "TASK", "DisconnectReason": "EXPIRED"}),
                "inbound",
                "expired",
            ),
            (
                json!({"InitiationMethod": "TRANSFER", "Agent": agent}),
                "inbound",
                "answered",
            ),
        ] {
            let derived = derived(fields.clone());
            assert_eq!(derived["Direction"], direction, "{fields}");
            assert_eq!(
                derived["DirectionCode"],
                direction == "outbound",
                "{fields}"
            );
            assert_eq!(derived["Outcome"], outcome, "{fields}");
        }
        let ongoing = derived(json!({"DisconnectTimestamp": null}));
        assert_eq!(ongoing.get("Outcome"), None);
        assert_eq!(ongoing.get("DurationSeconds"), None);
    }

    #[test]
    fn durations_are_the_records_own_or_else_worked_out() {
        let told = derived(json!({
            "Agent": {
                "AgentInteractionDuration": 95, "CustomerHoldDuration": 0, "AfterContactWorkDuration": 61,
                "ConnectedToAgentTimestamp": "2026-02-04T21:15:00Z"
            },
            "Queue": {"Duration": 40},
        }));
        for (name, value) in [
            ("DurationSeconds", 181),
            ("DurationMinutes", 4),
            ("TalkSeconds", 95),
            ("TalkMinutes", 2),
            ("HoldSeconds", 0),
            ("HoldMinutes", 0),
            ("AfterContactWorkSeconds", 61),
            ("AfterContactWorkMinutes", 2),
            ("QueueSeconds", 40),
            ("QueueMinutes", 1),
        ] {
            assert_eq!(told[name], value, "{name}");
        }
        assert!(DERIVED_NAMES.iter().all(|name| told.contains_key(*name)));
        assert_eq!(DERIVED_NAMES.len(), told.len());

        let worked_out = derived(json!({
            "Agent": {"ConnectedToAgentTimestamp": "2026-02-04T21:15:00Z"},
            "Queue": {"EnqueueTimestamp": "2026-02-04T21:14:20Z"},
        }));
        assert_eq!(worked_out["TalkSeconds"], 126);
        assert_eq!(worked_out["QueueSeconds"], 40);
        assert_eq!(worked_out.get("HoldSeconds"), None);
    }
}
