//! The requests that events become: each file in `events/` with each configuration of this folder,
//! rendered and held against its snapshot.

use std::{fmt::Write, path::Path, sync::Arc};

use connect_dynamics::{
    contact::Contact,
    event::Event,
    history::{History, StepKey},
    integration::{Integration, StepName},
    recording::RecordedObject,
    request::record_id,
};
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

fn render(integration: &Integration, step: StepName, event: Event) -> String {
    let now = Timestamp::from_second(1_770_000_000).unwrap();
    let (contact, object) = match event {
        Event::Flow(event) => (Contact::try_from(event).unwrap(), None),
        Event::Contact(event) => (Contact::try_from(event).unwrap(), None),
        Event::ObjectCreated(event) => {
            let (id, object) = RecordedObject::read(&event).unwrap();
            (Contact::unknown(id), Some(object))
        }
    };
    let mut history = History::new(contact.id, "default", now);
    history.learn(step, &contact.attributes);
    if let Some(object) = &object {
        history.learn_object(object.clone());
    }
    if step != StepName::ContactStart {
        let start = StepKey::of(StepName::ContactStart);
        history.intend(&start, now);
        let response =
            Map::from_iter([("activityid".to_owned(), Json::from(contact.id.to_string()))]);
        history.delivered(&start, Some(contact.id), Some(response), now);
    }
    let Some(request) = integration
        .step(step)
        .and_then(|step| step.request.as_ref())
    else {
        return "(no request)\n".into();
    };
    let scope = Arc::new(history.scope(integration, object.as_ref(), false));
    let id = record_id(
        contact.id,
        step,
        object.as_ref().map(|object| object.key.as_str()),
    );
    match request.render(&integration.templates, &scope, id) {
        Err(error) => format!("refused: {error}\n"),
        Ok((request, gaps)) => {
            let mut text = format!("{} {}\n", request.method.as_str(), request.path);
            if let Some(body) = &request.body {
                let _ = writeln!(text, "{:#}", Json::from(body.clone()));
            }
            for gap in gaps {
                let _ = writeln!(text, "without {}: {}", gap.field, gap.reason);
            }
            text
        }
    }
}

#[test]
fn events_become_requests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let reference = std::fs::read_to_string(root.join("local/reference-integration.json")).unwrap();
    let rich = std::fs::read_to_string(root.join("shared/tests/rich-integration.json")).unwrap();
    let mut events: Vec<_> = std::fs::read_dir(root.join("events"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    events.sort();
    assert!(events.len() >= 10);
    for (name, configuration) in [("reference", reference), ("rich", rich)] {
        let integration = Integration::load(&configuration).unwrap();
        let mut text = String::new();
        for path in &events {
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            let step = StepName::ALL
                .into_iter()
                .find(|step| file.starts_with(step.as_str()))
                .unwrap();
            let event = Event::parse(
                serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap(),
            )
            .unwrap();
            let _ = writeln!(text, "== {file}\n{}", render(&integration, step, event));
        }
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn the_schema_accepts_what_loads_and_names_every_key() {
    let schema = connect_dynamics::integration::schema();
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
