//! What AWS sends: tells the four kinds of event apart by their shape and reads each one.
//!
//! Owns the outer form of an event only. What the fields mean as attributes of a contact is
//! [`crate::contact`]'s business.
//!
//! | kind | sent by | page |
//! |---|---|---|
//! | [`FlowEvent`] | a flow's "AWS Lambda function" block | <https://docs.aws.amazon.com/connect/latest/adminguide/connect-lambda-functions.html> |
//! | [`ContactEvent`] | Amazon Connect, through EventBridge | <https://docs.aws.amazon.com/connect/latest/adminguide/contact-events.html> |
//! | [`ContactRecord`] | Amazon Connect, through Kinesis | <https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html> |
//! | [`ObjectCreated`] | S3, through EventBridge | <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html> |
//!
//! `aws_lambda_events::connect::ConnectEvent` is not used for the first: it refuses a contact
//! without `CustomerEndpoint` (a task, an anonymous caller) and drops every field that it does not
//! know. Its EventBridge envelope is used for contact events and objects.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// An event that a function was invoked with.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Flow(FlowEvent),
    Contact(ContactEvent),
    Record(ContactRecord),
    ObjectCreated(ObjectCreated),
}

/// A flow's invocation: `Details.ContactData` and `Details.Parameters`, as they came.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowEvent {
    pub contact_data: Map<String, Value>,
    /// The parameters set in the flow's block.
    pub parameters: Map<String, Value>,
}

/// An Amazon Connect contact event: `detail` as it came, fields in camelCase.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactEvent {
    /// `INITIATED`, `CONNECTED_TO_AGENT`, `DISCONNECTED`, ...; AWS adds types, so it stays text.
    pub event_type: String,
    pub detail: Map<String, Value>,
}

/// A contact record: all that Amazon Connect knows of a contact that is over, fields in PascalCase.
///
/// It is delivered at least once, and again when something has changed since.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactRecord {
    pub record: Map<String, Value>,
    /// `LastUpdateTimestamp`: of two records of a contact the later one tells more.
    pub updated_at: Timestamp,
}

/// An object that S3 has finished writing.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectCreated {
    pub bucket: String,
    /// Plain text, not URL-encoded as in classic S3 notifications.
    pub key: String,
    /// The bucket's region: S3 publishes an event in the region of the bucket.
    pub region: String,
}

/// Why an event could not be read.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum EventError {
    #[error(
        "the event is {0}, not a JSON object: send an Amazon Connect flow event, contact event or \
         contact record, or an S3 Object Created event"
    )]
    NotAnObject(&'static str),
    #[error(
        "this is no event that the function knows: it has {0}. A flow event has `Details.ContactData`; \
         an EventBridge event has `source`, `detail-type` and `detail`; a contact record has `ContactId` and \
         `LastUpdateTimestamp`"
    )]
    UnknownShape(String),
    #[error(
        "this EventBridge event (source `{source_name}`, detail-type `{detail_type}`) is not for this product: \
         route `aws.connect` / `Amazon Connect Contact Event` and `aws.s3` / `Object Created` to it"
    )]
    UnknownDetailType {
        source_name: String,
        detail_type: String,
    },
    #[error("the event's {path} is wrong: {reason}")]
    Field { path: String, reason: String },
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// [`EventError`] says what the event is instead, or which field of it is wrong.
    pub fn parse(payload: Value) -> Result<Event, EventError> {
        let Value::Object(mut event) = payload else {
            return Err(EventError::NotAnObject(json_type(&payload)));
        };
        if let Some(details) = event.remove("Details") {
            return FlowEvent::parse(details).map(Event::Flow);
        }
        if event.contains_key("detail-type") && event.contains_key("detail") {
            return parse_event_bridge(event);
        }
        if event.contains_key("ContactId") {
            return ContactRecord::parse(event).map(Event::Record);
        }
        Err(EventError::UnknownShape(describe_keys(&event)))
    }
}

impl FlowEvent {
    fn parse(details: Value) -> Result<FlowEvent, EventError> {
        let mut details = object(details, "Details")?;
        let contact_data = details.remove("ContactData").unwrap_or(Value::Null);
        let parameters = match details.remove("Parameters") {
            None | Some(Value::Null) => Map::new(),
            Some(parameters) => object(parameters, "Details.Parameters")?,
        };
        Ok(FlowEvent {
            contact_data: object(contact_data, "Details.ContactData")?,
            parameters,
        })
    }
}

impl ContactRecord {
    fn parse(record: Map<String, Value>) -> Result<ContactRecord, EventError> {
        let field = |reason: &str| EventError::Field {
            path: "LastUpdateTimestamp".into(),
            reason: reason.into(),
        };
        let updated_at = record.get("LastUpdateTimestamp").and_then(Value::as_str);
        let updated_at = updated_at.ok_or_else(|| field("it is missing or no text"))?;
        let updated_at = updated_at
            .parse()
            .map_err(|_| field("it is no ISO 8601 timestamp"))?;
        Ok(ContactRecord { record, updated_at })
    }
}

fn parse_event_bridge(event: Map<String, Value>) -> Result<Event, EventError> {
    let envelope: EventBridgeEvent<Value> = from_value(Value::Object(event), "envelope")?;
    match (envelope.source.as_str(), envelope.detail_type.as_str()) {
        // The second is what some instances were seen to send.
        ("aws.connect", "Amazon Connect Contact Event" | "Connect Customer Contact Event") => {
            let detail = object(envelope.detail, "detail")?;
            let Some(event_type) = detail.get("eventType").and_then(Value::as_str) else {
                return Err(EventError::Field {
                    path: "detail.eventType".into(),
                    reason: "it is missing or no text".into(),
                });
            };
            Ok(Event::Contact(ContactEvent {
                event_type: event_type.to_owned(),
                detail,
            }))
        }
        ("aws.s3", "Object Created") => {
            let detail: S3Detail = from_value(envelope.detail, "detail")?;
            Ok(Event::ObjectCreated(ObjectCreated {
                bucket: detail.bucket.name,
                key: detail.object.key,
                region: envelope.region.ok_or_else(|| EventError::Field {
                    path: "region".into(),
                    reason: "it is missing, and the object's URL needs it".into(),
                })?,
            }))
        }
        _ => Err(EventError::UnknownDetailType {
            source_name: envelope.source,
            detail_type: envelope.detail_type,
        }),
    }
}

#[derive(Deserialize)]
struct S3Detail {
    bucket: S3Bucket,
    object: S3Object,
}

#[derive(Deserialize)]
struct S3Bucket {
    name: String,
}

#[derive(Deserialize)]
struct S3Object {
    key: String,
}

fn from_value<T: serde::de::DeserializeOwned>(value: Value, root: &str) -> Result<T, EventError> {
    serde_path_to_error::deserialize(value).map_err(|error| EventError::Field {
        path: match error.path().to_string().as_str() {
            "." => root.to_owned(),
            path => format!("{root}.{path}"),
        },
        // serde quotes the value it refused, and a value may be a customer's: keep the complaint
        // only up to there.
        reason: error
            .inner()
            .to_string()
            .split('"')
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned(),
    })
}

fn object(value: Value, path: &str) -> Result<Map<String, Value>, EventError> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(EventError::Field {
            path: path.to_owned(),
            reason: format!("it is {}, not an object", json_type(&other)),
        }),
    }
}

fn describe_keys(event: &Map<String, Value>) -> String {
    if event.is_empty() {
        return "no fields at all".to_owned();
    }
    let keys: Vec<String> = event.keys().take(8).map(|key| format!("`{key}`")).collect();
    format!("the fields {}", keys.join(", "))
}

pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "missing or null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(payload: Value) -> String {
        Event::parse(payload).unwrap_err().to_string()
    }

    #[test]
    fn tells_the_four_kinds_apart_by_shape() {
        let record = json!({"ContactId": "x", "LastUpdateTimestamp": "2026-02-04T21:20:00.5Z"});
        assert!(
            matches!(Event::parse(record), Ok(Event::Record(record)) if record.record["ContactId"] == "x")
        );
        assert!(refusal(json!({"ContactId": "x"})).contains("LastUpdateTimestamp"));
        let flow = json!({"Name": "ContactFlowEvent", "Details": {"ContactData": {"ContactId": "x"}, "Parameters": null}});
        assert!(
            matches!(Event::parse(flow), Ok(Event::Flow(flow)) if flow.contact_data["ContactId"] == "x")
        );

        for detail_type in [
            "Amazon Connect Contact Event",
            "Connect Customer Contact Event",
        ] {
            let contact = json!({
                "source": "aws.connect", "detail-type": detail_type,
                "detail": {"eventType": "DISCONNECTED", "contactId": "x"}
            });
            assert!(
                matches!(Event::parse(contact), Ok(Event::Contact(contact)) if contact.event_type == "DISCONNECTED")
            );
        }

        let object = json!({
            "source": "aws.s3", "detail-type": "Object Created", "region": "eu-central-1",
            "detail": {"bucket": {"name": "recordings"}, "object": {"key": "a b+c.wav", "size": 1}, "reason": "PutObject"}
        });
        assert_eq!(
            Event::parse(object),
            Ok(Event::ObjectCreated(ObjectCreated {
                bucket: "recordings".into(),
                key: "a b+c.wav".into(),
                region: "eu-central-1".into(),
            }))
        );
    }

    #[test]
    fn says_what_was_sent_instead_of_an_event() {
        assert!(refusal(json!([])).starts_with("the event is an array, not a JSON object"));
        assert!(refusal(json!({})).contains("no fields at all"));
        assert!(refusal(json!({"Records": []})).contains("the fields `Records`"));
        assert!(
            refusal(json!({"Details": {}}))
                .contains("Details.ContactData is wrong: it is missing or null")
        );
        let scheduled =
            json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert!(refusal(scheduled).contains("source `aws.events`"));
    }

    #[test]
    fn names_the_wrong_field_and_never_quotes_its_value() {
        let event = json!({
            "source": "aws.s3", "detail-type": "Object Created", "region": "us-east-1",
            "detail": {"bucket": {"name": "b"}, "object": {"key": {"phone": "+15550100"}}}
        });
        let refusal = refusal(event);
        assert!(refusal.contains("detail.object.key"), "{refusal}");
        assert!(!refusal.contains("+15550100"), "{refusal}");
    }
}
