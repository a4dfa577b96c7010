//! What the end-to-end tests share: the system with a configuration, and events.

use std::{path::Path, time::Duration};

use local::{
    lambda::Invoked,
    system::{Options, REFERENCE, System},
};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// The contact of the events in `events/`.
pub const CONTACT: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);

/// The system with the reference's configuration.
pub async fn reference_system() -> System {
    system(|_| {}).await
}

/// The system with the reference's configuration, changed.
pub async fn system(change: impl FnOnce(&mut Json)) -> System {
    system_with(change, |_| {}).await
}

/// The system with configuration and options changed.
///
/// # Panics
/// When it does not start: most likely the functions are not built.
pub async fn system_with(
    change: impl FnOnce(&mut Json),
    options: impl FnOnce(&mut Options),
) -> System {
    let mut given = Options::new().expect("a test knows its own path");
    change(&mut given.configuration);
    options(&mut given);
    System::start(given)
        .await
        .unwrap_or_else(|error| panic!("the system does not start: {error}"))
}

/// The reference's configuration.
pub fn reference() -> Json {
    serde_json::from_str(REFERENCE).expect("the reference's configuration is JSON")
}

/// An event of the folder `events`.
pub fn event(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../events/{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A flow event for a contact, with these fields of ContactData.
pub fn flow(contact: Uuid, fields: Json, parameters: Json) -> Json {
    let mut event = event("contact-start");
    let data = event["Details"]["ContactData"]
        .as_object_mut()
        .expect("a flow event has ContactData");
    data.insert("ContactId".into(), contact.to_string().into());
    for (name, value) in fields.as_object().expect("fields are an object") {
        data.insert(name.clone(), value.clone());
    }
    event["Details"]["Parameters"] = parameters;
    event
}

/// A contact event for a contact.
pub fn contact_event(contact: Uuid, event_type: &str) -> Json {
    let mut event = event("contact-end");
    event["detail"]["contactId"] = contact.to_string().into();
    event["detail"]["eventType"] = event_type.into();
    event
}

/// An Object Created event for a key, in which `ID` stands for the contact.
pub fn object_created(contact: Uuid, key: &str) -> Json {
    let mut event = event("recording-available");
    event["detail"]["object"]["key"] = key.replace("ID", &contact.to_string()).into();
    event
}

/// Invokes a function, and returns its reply after checking that it is a flat map of strings.
///
/// # Panics
/// When the function fails or its reply is not flat.
pub async fn invoke(system: &System, function: &str, event: &Json) -> Map<String, Json> {
    let invoked = invoke_raw(system, function, event).await;
    assert!(!invoked.is_error, "{function} fails: {}", invoked.payload);
    let Json::Object(reply) = invoked.payload else {
        panic!("{function} replies no map: {}", invoked.payload)
    };
    for (name, value) in &reply {
        assert!(
            value.is_string(),
            "{function} replies {name} as {value}, no string"
        );
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
            "a flow cannot name {name}"
        );
    }
    reply
}

/// Invokes a function.
///
/// # Panics
/// When there is no such function.
pub async fn invoke_raw(system: &System, function: &str, event: &Json) -> Invoked {
    system
        .lambda
        .invoke(function, event)
        .await
        .expect("the function exists")
}

/// The one record of a table.
///
/// # Panics
/// When the table holds none, or more.
pub fn only_record(system: &System, entity_set: &str) -> Map<String, Json> {
    let mut records = system.dataverse.records(entity_set);
    assert_eq!(records.len(), 1, "{entity_set}: {records:#?}");
    records.remove(0)
}

/// What a record holds besides nulls and what Dataverse itself adds: its own columns and defaults.
pub fn told(record: &Map<String, Json>) -> Json {
    let own = [
        "activityid",
        "activitytypecode",
        "createdon",
        "modifiedon",
        "statecode",
        "statuscode",
        "versionnumber",
    ];
    let defaults = json!({"directioncode": true, "isbilled": false, "leftvoicemail": false, "prioritycode": 1});
    let told = record.iter().filter(|(name, value)| {
        !value.is_null() && !own.contains(&name.as_str()) && defaults.get(name) != Some(value)
    });
    Json::Object(
        told.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not within half a minute.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("within half a minute it has not come true that {what}");
}

/// A request for a step's configuration.
pub fn request(method: &str, entity_set: &str, query_string: &str, body: Json) -> Json {
    let mut request = json!({"method": method, "entitySet": entity_set});
    if !query_string.is_empty() {
        request["queryString"] = query_string.into();
    }
    if !body.is_null() {
        request["body"] = body;
    }
    json!({"request": request})
}
