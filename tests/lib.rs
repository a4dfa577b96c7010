//! What the end-to-end tests share: the system with a configuration, events, and what is expected of a
//! reply.

use std::{fmt::Write, path::Path, sync::OnceLock, time::Duration};

use connect_dynamics::history::History;
use local::{
    build::{self, With},
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

/// The system with configuration and options changed, of functions that are built before.
///
/// # Panics
/// When the functions do not build or the system does not start.
pub async fn system_with(
    change: impl FnOnce(&mut Json),
    options: impl FnOnce(&mut Options),
) -> System {
    let mut given = Options::new().expect("a test knows its own path");
    // A busy machine is no reason for a step to be left pending; a test of the budget sets its own.
    given.configuration["flowBudgetMilliseconds"] = 6000.into();
    change(&mut given.configuration);
    options(&mut given);
    build_functions(&given.binaries);
    System::start(given)
        .await
        .unwrap_or_else(|error| panic!("the system does not start: {error}"))
}

/// Builds the functions once a process. cargo-nextest gives each test a process of its own; there they
/// are built once a run, which has an id in the environment.
fn build_functions(folder: &Path) {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let build = || {
        let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
        let marker = folder.join("functions-are-built-for-run");
        if !run.is_empty() && std::fs::read_to_string(&marker).is_ok_and(|built| built == run) {
            return Ok(());
        }
        build::functions(folder, With::Workspace).map_err(|error| error.to_string())?;
        std::fs::write(&marker, run).map_err(|error| format!("{}: {error}", marker.display()))
    };
    if let Err(error) = BUILT.get_or_init(build) {
        panic!("{error}");
    }
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

/// Checks a reply's fields: `assert_reply!(reply, {"status": "delivered", "message": null})`. `null`
/// stands for a field that is absent; for texts that are known in part there are [`contains`],
/// [`starts_with`], [`ends_with`] and [`anything`]. Fields that are not named may hold anything. What
/// follows the fields is a message, as of `assert_eq!`.
#[macro_export]
macro_rules! assert_reply {
    ($reply:expr, {$($expected:tt)*} $(, $($message:tt)+)?) => {
        let difference = $crate::difference(&$reply, &serde_json::json!({$($expected)*}));
        assert!(
            difference.is_empty(),
            "{}the reply is another:\n{difference}{:#?}",
            String::new() $(+ &format!($($message)+) + ": ")?,
            $reply
        );
    };
}

/// Stands for a text that contains this.
pub fn contains(part: &str) -> Json {
    json!({"contains": part})
}

/// Stands for a text that starts with this.
pub fn starts_with(part: &str) -> Json {
    json!({"starts with": part})
}

/// Stands for a text that ends with this.
pub fn ends_with(part: &str) -> Json {
    json!({"ends with": part})
}

/// Stands for whatever text there is.
pub fn anything() -> Json {
    contains("")
}

/// How a reply differs from what is expected of it, a line for each field; nothing when it does not.
///
/// # Panics
/// When the expectation is none that [`assert_reply`] knows.
pub fn difference(reply: &Map<String, Json>, expected: &Json) -> String {
    let mut difference = String::new();
    for (name, expected) in expected.as_object().expect("what is expected has fields") {
        let found = reply.get(name).unwrap_or(&Json::Null);
        let is_as_expected = match expected.as_object().and_then(|parts| parts.iter().next()) {
            None => found == expected,
            Some((how, part)) => {
                let part = part.as_str().expect("a part of a text is a text");
                found.as_str().is_some_and(|found| match how.as_str() {
                    "contains" => found.contains(part),
                    "starts with" => found.starts_with(part),
                    "ends with" => found.ends_with(part),
                    other => panic!("there is no expectation `{other}`"),
                })
            }
        };
        if !is_as_expected {
            let _ = writeln!(difference, "  {name}: expected {expected}, found {found}");
        }
    }
    difference
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
    // The application user owns what it creates.
    let user = "00000000-0000-4000-8000-000000000002";
    let defaults = json!({
        "directioncode": true,
        "isbilled": false,
        "leftvoicemail": false,
        "prioritycode": 1,
        "_ownerid_value": user,
        "_owninguser_value": user,
    });
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

/// A history changed as only time, or another version of the functions, can change it: in its JSON.
///
/// # Panics
/// When what comes of it is no history.
pub fn rewritten(history: &History, change: impl FnOnce(&mut Json)) -> History {
    let mut json = serde_json::to_value(history).expect("a history serialises");
    change(&mut json);
    serde_json::from_value(json).expect("it is a history still")
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
