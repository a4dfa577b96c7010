//! The requests that events become: each event of `events/` with each configuration of
//! `tests/requests/`, rendered. A configuration is a file, and so is the snapshot of what an event becomes
//! with it.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use connect_dynamics::{
    configuration::schema,
    contact::Contact,
    dataverse::Request,
    event::Event,
    history::{History, RequestKey, Rules},
    integration::{Integration, Sending},
    recording::{Folders, RecordedObject},
    step::Step,
};
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

fn render(integration: &Integration, step: Step, event: Event) -> String {
    let now = Timestamp::from_second(1_770_000_000).unwrap();
    let (contact, object) = match event {
        Event::Flow(event) => (Contact::try_from(event).unwrap(), None),
        Event::Contact(event) => (Contact::try_from(event).unwrap(), None),
        Event::Record(event) => (Contact::try_from(event).unwrap(), None),
        Event::ObjectCreated(event) => {
            let (id, object) = RecordedObject::read(&event, &Folders::default()).unwrap();
            (Contact::unknown(id), Some(object))
        }
    };
    let mut history = History::new(contact.id, integration.name(), now);
    history.learn(step, &contact.attributes);
    let key = match &object {
        None => RequestKey::of(step),
        Some(object) => {
            history.learn_object(object.clone());
            RequestKey::of_object(step, object)
        }
    };
    if step != Step::ContactStart {
        let start = RequestKey::of(Step::ContactStart);
        history.intend(&start, now);
        let response =
            Map::from_iter([("activityid".to_owned(), Json::from(contact.id.to_string()))]);
        history.delivered(&start, Some(contact.id), Some(response), now);
    }
    let mut text = String::new();
    let keys = integration.requests(&key);
    history.intend(&key, now);
    history.claim("worker", now, integration, now);
    for key in &keys {
        if keys.len() > 1 {
            let _ = writeln!(text, "{}:", key.request().unwrap_or("main"));
        }
        let rendered = match integration.render(key, &history, None) {
            Ok(rendered) => rendered,
            Err(error) => {
                let _ = writeln!(text, "no request: {error}");
                history.not_wanted(key, "", now);
                continue;
            }
        };
        let answer = match &rendered.sending {
            Sending::Nothing => {
                text += "no request: the step sends no request\n";
                Json::Null
            }
            Sending::Request(request) => {
                write_request(&mut text, request);
                json!({"activityid": contact.id.to_string()})
            }
            Sending::Customer(query) => {
                query
                    .requests()
                    .for_each(|request| write_request(&mut text, request));
                found("contacts", "contact")
            }
            Sending::Agent(query) => {
                write_request(&mut text, &query.request);
                found("systemusers", "systemuser")
            }
        };
        history.delivered(key, Some(contact.id), answer.as_object().cloned(), now);
        for gap in rendered.gaps {
            let _ = writeln!(text, "without {}: {}", gap.field, gap.reason);
        }
    }
    text
}

/// What a look-up is answered with, as it is remembered.
fn found(entity_set: &str, logical_name: &str) -> Json {
    json!({
        "count": 1, "id": "c0000000-0000-4000-8000-000000000001", "entitySet": entity_set,
        "logicalName": logical_name, "name": "Ada Example", "record": {"lastname": "Example"}
    })
}

fn write_request(text: &mut String, request: &Request) {
    let _ = writeln!(text, "{} {}", request.method.as_str(), request.path);
    if let Some(body) = &request.body {
        let _ = writeln!(text, "{:#}", Json::from(body.clone()));
    }
}

fn json_files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    files
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn events_become_requests() {
    let mut events = json_files("../events");
    // That is a batch.
    events.retain(|(name, _)| name != "contact-completed-kinesis");
    let configurations = json_files("tests/requests");
    assert!(events.len() >= 10 && configurations.len() >= 2);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("requests/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (configuration, document) in &configurations {
            let integration = Integration::load(document).unwrap();
            for (name, event) in &events {
                let step = Step::ALL
                    .into_iter()
                    .find(|step| name.starts_with(step.as_str()))
                    .unwrap();
                let event = Event::parse(serde_json::from_str(event).unwrap()).unwrap();
                let text = render(&integration, step, event);
                insta::assert_snapshot!(format!("{configuration}.{name}"), text);
            }
        }
    });
}

#[test]
fn the_schema_accepts_what_loads_and_names_every_key() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], json!(false));
    for key in [
        "name",
        "connection",
        "steps",
        "retentionDays",
        "flowBudgetMilliseconds",
    ] {
        assert!(
            schema["properties"][key]["description"].is_string(),
            "{key} is described"
        );
    }
}
