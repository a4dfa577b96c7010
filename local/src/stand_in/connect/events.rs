//! What Amazon Connect and S3 send of a contact: the samples of `events/`, with the contact's own ids, times,
//! address and attributes in their places.

use connect_dynamics::step::Step;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::contact::{Contact, Kind};

macro_rules! sample {
    ($path:literal) => {
        include_str!(concat!("../../../../events/", $path))
    };
}

/// An object of the recording bucket, with the event that tells of it.
pub(super) struct Recorded {
    pub(super) key: String,
    pub(super) content: Vec<u8>,
    pub(super) event: Json,
}

/// The invocation of a function by a flow.
pub(super) fn flow(step: Step, contact: &Contact, username: Option<&str>) -> Json {
    let is_start = step == Step::ContactStart;
    let mut event = read(match (contact.kind, is_start) {
        (Kind::Call, true) => sample!("contact-start.json"),
        (Kind::Call, false) => sample!("contact-answered.json"),
        (Kind::Outbound, _) => sample!("outbound/01-contact-start.json"),
        (Kind::Callback, true) => sample!("callback/01-contact-start.json"),
        (Kind::Callback, false) => sample!("callback/02-contact-answered.json"),
        (Kind::Chat, true) => sample!("chat/01-contact-start.json"),
        (Kind::Chat, false) => sample!("chat/02-contact-answered.json"),
        (Kind::Task, true) => sample!("task/01-contact-start.json"),
        (Kind::Task, false) => sample!("task/02-contact-answered.json"),
        (Kind::Email, true) => sample!("email/01-contact-start.json"),
        (Kind::Email, false) => sample!("email/02-contact-answered.json"),
    });
    let data = &mut event["Details"]["ContactData"];
    data["ContactId"] = json!(contact.id);
    data["InitialContactId"] = json!(contact.initial.unwrap_or(contact.id));
    data["PreviousContactId"] = json!(contact.previous.unwrap_or(contact.id));
    data["InitiationMethod"] = contact.initiation_method.into();
    data["Attributes"] = json!(contact.attributes);
    set_address(&mut data["CustomerEndpoint"], contact);
    if matches!(contact.kind, Kind::Task | Kind::Email) {
        data["Name"] = json!(contact.name);
    }
    event["Details"]["Parameters"] = match username {
        Some(username) => json!({"Username": username}),
        None => json!({}),
    };
    event
}

fn set_address(endpoint: &mut Json, contact: &Contact) {
    // A task has none, and a chat's is its own number for the participant.
    if !endpoint.is_object() {
        return;
    }
    match &contact.address {
        Some(address) => endpoint["Address"] = address.as_str().into(),
        None if contact.kind.is_voice() => endpoint["Address"] = Json::Null,
        None => {}
    }
}

/// A contact event, as EventBridge delivers it.
pub(super) fn contact_event(event_type: &str, contact: &Contact, now: Timestamp) -> Json {
    let mut event = read(match contact.kind {
        Kind::Call => sample!("contact-end.json"),
        Kind::Outbound => sample!("outbound/03-contact-end.json"),
        Kind::Callback => sample!("callback/03-contact-end.json"),
        Kind::Chat => sample!("chat/03-contact-end.json"),
        Kind::Task => sample!("task/03-contact-end.json"),
        Kind::Email => sample!("email/03-contact-end.json"),
    });
    event["id"] = json!(Uuid::new_v4());
    event["time"] = seconds(now).into();
    let instance = event["resources"][0].as_str().unwrap_or_default();
    event["resources"][1] = format!("{instance}/contact/{}", contact.id).into();
    let detail = &mut event["detail"];
    detail["eventType"] = event_type.into();
    detail["contactId"] = json!(contact.id);
    detail["initialContactId"] = json!(contact.initial.unwrap_or(contact.id));
    if let Some(previous) = contact.previous {
        detail["previousContactId"] = json!(previous);
    }
    detail["initiationMethod"] = contact.initiation_method.into();
    detail["initiationTimestamp"] = milliseconds(contact.times.initiated).into();
    let times = &contact.times;
    set_time(detail, "connectedToSystemTimestamp", times.connected);
    set_time(detail, "disconnectTimestamp", times.disconnected);
    match times.enqueued {
        Some(_) => set_time(&mut detail["queueInfo"], "enqueueTimestamp", times.enqueued),
        None => remove(detail, "queueInfo"),
    }
    match times.accepted {
        Some(_) => set_time(
            &mut detail["agentInfo"],
            "connectedToAgentTimestamp",
            times.accepted,
        ),
        None => remove(detail, "agentInfo"),
    }
    event
}

/// The contact record, as it stands in the stream.
pub(super) fn record(contact: &Contact, bucket: &str, now: Timestamp) -> Json {
    let mut record = read(match contact.kind {
        Kind::Call => sample!("contact-completed.json"),
        Kind::Outbound => sample!("outbound/05-contact-completed.json"),
        Kind::Callback => sample!("callback/05-contact-completed.json"),
        Kind::Chat => sample!("chat/06-contact-completed.json"),
        Kind::Task => sample!("task/04-contact-completed.json"),
        Kind::Email => sample!("email/04-contact-completed.json"),
    });
    let times = &contact.times;
    let time = |time: Option<Timestamp>| time.map_or(Json::Null, |time| seconds(time).into());
    let between = |from: Option<Timestamp>, to: Option<Timestamp>| match (from, to) {
        (Some(from), Some(to)) => (to.as_second() - from.as_second()).max(0),
        _ => 0,
    };
    let disconnected = times.disconnected.unwrap_or(now);
    record["ContactId"] = json!(contact.id);
    record["InitialContactId"] = json!(contact.initial);
    record["PreviousContactId"] = json!(contact.previous);
    record["NextContactId"] = json!(contact.next);
    record["InitiationMethod"] = contact.initiation_method.into();
    record["InitiationTimestamp"] = time(Some(times.initiated));
    record["ConnectedToSystemTimestamp"] = time(times.connected);
    record["DisconnectTimestamp"] = time(Some(disconnected));
    record["LastUpdateTimestamp"] = time(Some(now));
    record["DisconnectReason"] = if contact.is_hung_up_by_agent {
        "AGENT_DISCONNECT".into()
    } else {
        "CUSTOMER_DISCONNECT".into()
    };
    record["Attributes"] = json!(contact.attributes);
    record["AgentConnectionAttempts"] = contact.attempts.into();
    set_address(&mut record["CustomerEndpoint"], contact);
    if matches!(contact.kind, Kind::Task | Kind::Email) {
        record["Name"] = json!(contact.name);
    }
    if contact.next.is_some() {
        record["TransferCompletedTimestamp"] = time(Some(disconnected));
    }
    if times.accepted.is_some() {
        let agent = &mut record["Agent"];
        agent["Username"] = json!(contact.agent);
        agent["AcceptedByAgentTimestamp"] = time(times.accepted);
        agent["ConnectedToAgentTimestamp"] = time(times.accepted);
        agent["AgentInteractionDuration"] = between(times.accepted, Some(disconnected)).into();
        agent["AfterContactWorkStartTimestamp"] = time(Some(disconnected));
        agent["AfterContactWorkEndTimestamp"] = time(times.cleared);
        agent["AfterContactWorkDuration"] = between(Some(disconnected), times.cleared).into();
    } else {
        record["Agent"] = Json::Null;
    }
    match times.enqueued {
        Some(enqueued) => {
            let dequeued = times.accepted.or(Some(disconnected));
            record["Queue"]["EnqueueTimestamp"] = time(Some(enqueued));
            record["Queue"]["DequeueTimestamp"] = time(dequeued);
            record["Queue"]["Duration"] = between(Some(enqueued), dequeued).into();
        }
        None => record["Queue"] = Json::Null,
    }
    match recorded(contact, bucket, now).first() {
        Some(recorded) => {
            let location = format!("{bucket}/{}", recorded.key);
            record["Recordings"][0]["Location"] = location.as_str().into();
            if record["Recording"].is_object() {
                record["Recording"]["Location"] = location.into();
            }
        }
        None => {
            record["Recording"] = Json::Null;
            record["Recordings"] = json!([]);
        }
    }
    record
}

/// What was recorded of a contact: of a call that an agent took the sound; of a chat what was written, and what
/// Contact Lens made of it.
pub(super) fn recorded(contact: &Contact, bucket: &str, now: Timestamp) -> Vec<Recorded> {
    if contact.times.accepted.is_none() || contact.times.connected.is_none() {
        return Vec::new();
    }
    let begun = contact.times.initiated;
    let id = contact.id;
    let day = begun.strftime("%Y/%m/%d");
    let minute = begun.strftime("%Y%m%dT%H:%M");
    let of_contact = |text: &str| {
        let mut content = read(text);
        let named = content.pointer_mut("/CustomerMetadata/ContactId");
        match named {
            Some(named) => *named = json!(id),
            None => content["ContactId"] = json!(id),
        }
        content.to_string().into_bytes()
    };
    let objects = match contact.kind {
        Kind::Call | Kind::Outbound | Kind::Callback => vec![(
            format!("connect/example/CallRecordings/{day}/{id}_{minute}_UTC.wav"),
            b"RIFF\0\0\0\0WAVE".to_vec(),
        )],
        Kind::Chat => vec![
            (
                format!("connect/example/ChatTranscripts/{day}/{id}_{minute}_UTC.json"),
                of_contact(sample!("objects/transcript.json")),
            ),
            (
                format!("Analysis/Chat/Redacted/{day}/{id}_analysis_redacted_{now:.0}.json"),
                of_contact(sample!("chat/objects/redacted-analysis.json")),
            ),
        ],
        Kind::Task | Kind::Email => Vec::new(),
    };
    let recorded = objects.into_iter().map(|(key, content)| {
        let mut event = read(sample!("recording-available.json"));
        event["id"] = json!(Uuid::new_v4());
        event["time"] = seconds(now).into();
        event["resources"][0] = format!("arn:aws:s3:::{bucket}").into();
        event["detail"]["bucket"]["name"] = bucket.into();
        event["detail"]["object"]["key"] = key.as_str().into();
        event["detail"]["object"]["size"] = content.len().into();
        Recorded {
            key,
            content,
            event,
        }
    });
    recorded.collect()
}

fn read(text: &str) -> Json {
    serde_json::from_str(text).expect("a sample is JSON")
}

fn set_time(object: &mut Json, name: &str, time: Option<Timestamp>) {
    match time {
        Some(time) => object[name] = milliseconds(time).into(),
        None => remove(object, name),
    }
}

fn remove(object: &mut Json, name: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove(name);
    }
}

fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn milliseconds(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use connect_dynamics::event::Event;

    use super::*;

    const KINDS: [Kind; 6] = [
        Kind::Call,
        Kind::Outbound,
        Kind::Callback,
        Kind::Chat,
        Kind::Task,
        Kind::Email,
    ];

    fn contact(kind: Kind) -> Contact {
        let mut contact = Contact::new(kind);
        contact.address = Some("+15555550123".into());
        contact.agent = Some("agent.example".into());
        let now = Some(Timestamp::now());
        contact.times.enqueued = now;
        contact.times.accepted = now;
        contact.times.connected = now;
        contact.times.disconnected = now;
        contact
    }

    #[test]
    fn the_functions_can_read_every_event_and_it_names_no_other_contact() {
        for kind in KINDS {
            let contact = contact(kind);
            let now = Timestamp::now();
            let recorded = recorded(&contact, "a-bucket", now);
            let recorded = recorded.into_iter().map(|it| it.event);
            let events = [
                flow(Step::ContactStart, &contact, None),
                flow(Step::ContactAnswered, &contact, Some("agent.example")),
                contact_event("DISCONNECTED", &contact, now),
                record(&contact, "a-bucket", now),
            ];
            for event in events.into_iter().chain(recorded) {
                let text = event.to_string();
                assert!(text.contains(&contact.id.to_string()), "{kind:?}: {text}");
                assert!(!text.contains("2026-02-04"), "{kind:?}: {text}");
                // The samples' contacts; ids of queues and agents end otherwise.
                for sample in [
                    "5d3f6a1e-9c7b",
                    "8c9d0e1f-2a3b",
                    "4e5f6071-8293",
                    "0a1b2c3d-4e5f",
                ] {
                    assert!(!text.contains(sample), "{kind:?}: {text}");
                }
                assert!(Event::parse(event).is_ok(), "{kind:?}: {text}");
            }
        }
    }

    #[test]
    fn a_contact_that_nobody_took_has_no_agent() {
        let mut contact = contact(Kind::Call);
        contact.times.accepted = None;
        let now = Timestamp::now();
        let event = contact_event("DISCONNECTED", &contact, now);
        assert!(event["detail"].get("agentInfo").is_none());
        let record = record(&contact, "a-bucket", now);
        assert!(record["Agent"].is_null() && record["Recording"].is_null());
    }
}
