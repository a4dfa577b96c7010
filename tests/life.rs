//! What a user sees of one contact's life: `cargo run -p local`.

use std::path::{Path, PathBuf};

use anstream::adapter::strip_str;
use end_to_end::*;
use local::{
    life::{self, Outcome},
    system::System,
};
use serde_json::json;

/// The life's text without colours, and what is wrong at the end.
async fn life(system: &System) -> (String, Vec<String>) {
    let (text, outcome) = life_of(system, &events()).await;
    assert_eq!(outcome.untried, [""; 0], "{text}");
    (text, outcome.problems)
}

async fn life_of(system: &System, events: &[life::Event]) -> (String, Outcome) {
    let mut out = Vec::new();
    let outcome = life::run(system, events, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    (strip_str(&text).to_string(), outcome)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn events() -> Vec<life::Event> {
    life::events(&folder()).unwrap()
}

#[tokio::test]
async fn a_configuration_that_leaves_steps_out_is_done_when_what_it_has_is_done() {
    for (removed, what_is_told) in [
        (
            ["contact-answered", "recording-available"],
            "The record as Dynamics holds it",
        ),
        (["contact-start", "contact-end"], "The agent's page"),
    ] {
        let system = system(|configuration| {
            let steps = configuration["steps"].as_object_mut().unwrap();
            for step in removed {
                steps.remove(step);
            }
            if removed.contains(&"contact-start") {
                steps["contact-answered"]["screenPop"]["queryString"] =
                    "?pagetype=dashboard".into();
                steps["recording-available"] =
                    request("POST", "tasks", "", json!({"subject": "A recording"}));
            }
        })
        .await;
        let (text, problems) = life(&system).await;
        assert_eq!(problems, [""; 0], "{text}");
        let left_out = text.matches("left out: the configuration has no such step");
        // The reference has no contact-completed.
        assert_eq!(left_out.count(), removed.len() + 1, "{text}");
        assert!(text.contains(what_is_told), "{text}");
    }
}

#[tokio::test]
async fn a_step_that_fails_is_told_of() {
    let system = reference_system().await;
    system.dataverse.faults.once_at(
        "PATCH",
        local::stand_in::fault::Effect::refused(400, "0x80048d19"),
    );
    let (text, problems) = life(&system).await;
    assert_eq!(problems.len(), 1, "{text}");
    assert!(
        problems[0].starts_with("contact-end: it is not delivered but failed: "),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_warning_says_which_field_and_why_in_words_that_can_be_told_apart() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["body"] =
            json!({"phonenumber": "{{CustomerEndpoint}}", "subject": "{{Custmer}}"});
    })
    .await;
    let (text, problems) = life(&system).await;
    assert_eq!(problems, [""; 0], "{text}");
    let warning =
        "warning: a field goes without an attribute: subject: the contact has no Custmer\n";
    assert!(text.contains(warning), "{text}");
}

#[tokio::test]
async fn a_real_bucket_and_any_kind_of_object_are_tried_with_a_sample_that_fits() {
    for kinds in [json!(["transcript"]), json!(["redacted-analysis"])] {
        let mut events = events();
        let system = system(|configuration| {
            configuration["connection"]["recordingBucket"] = "customers-own-recordings".into();
            configuration["steps"]["recording-available"]["objectKinds"] = kinds.clone();
            life::fit(configuration, &mut events, &folder()).unwrap();
        })
        .await;
        let (text, outcome) = life_of(&system, &events).await;
        assert_eq!(outcome.problems, [""; 0], "{kinds}: {text}");
        assert_eq!(outcome.untried, [""; 0], "{kinds}: {text}");
        let description = only_record(&system, "phonecalls")["description"].clone();
        let description = description.as_str().unwrap();
        let bucket = "https://example-connect-recordings.s3.us-east-1.amazonaws.com/";
        assert!(description.contains(bucket), "{description}");
        assert!(description.contains(&CONTACT.to_string()), "{description}");
    }
}

#[tokio::test]
async fn an_object_of_which_there_is_no_sample_is_nothing_wrong() {
    let mut events = events();
    let system = system(|configuration| {
        configuration["steps"]["recording-available"]["objectKinds"] = json!(["screen-recording"]);
        life::fit(configuration, &mut events, &folder()).unwrap();
    })
    .await;
    let (text, outcome) = life_of(&system, &events).await;
    assert_eq!(outcome.problems, [""; 0], "{text}");
    assert_eq!(outcome.untried.len(), 1, "{text}");
    assert!(outcome.untried[0].starts_with("recording-available: objects of the kind recording"));
}

#[tokio::test]
async fn values_that_dataverse_normalises_are_right() {
    let system = system(|configuration| {
        let body = &mut configuration["steps"]["contact-start"]["request"]["body"];
        *body = json!({
            "scheduledend": "2026-12-24", "actualstart": "2026-02-04T21:14:16.789+01:00",
            "activityid": "ABCDEF01-9C7B-4E52-8F0A-2B1C4D6E8F90",
        });
    })
    .await;
    let (text, problems) = life(&system).await;
    assert_eq!(problems, [""; 0], "{text}");
    let record = only_record(&system, "phonecalls");
    assert_eq!(record["scheduledend"], "2026-12-24T00:00:00Z");
    assert_eq!(record["activityid"], "abcdef01-9c7b-4e52-8f0a-2b1c4d6e8f90");
}

#[tokio::test]
async fn what_the_stand_in_does_not_know_is_held_and_noted() {
    let system = system(|configuration| {
        let steps = &mut configuration["steps"];
        for step in ["contact-start", "contact-end", "recording-available"] {
            steps[step]["request"]["entitySet"] = "letters".into();
        }
        steps["contact-start"]["request"]["body"] = json!({"new_channel": "{{ Channel }}"});
    })
    .await;
    let (text, problems) = life(&system).await;
    assert_eq!(problems, [""; 0], "{text}");
    let note = "note: the stand-in does not know the table `letter`: its columns were not checked";
    assert!(text.contains(note), "{text}");
    assert_eq!(only_record(&system, "letters")["new_channel"], "VOICE");
}

#[tokio::test]
async fn what_the_stand_in_does_not_model_cannot_be_tried_and_is_nothing_wrong() {
    let system = system(|configuration| {
        let steps = &mut configuration["steps"];
        steps["contact-start"] = request(
            "GET",
            "contacts",
            r#"{"fetchXml": "<fetch/>"}"#,
            json!(null),
        );
        let update = request(
            "PATCH",
            "contacts",
            "(STEP2-Response.contactid)",
            json!({"description": "x"}),
        );
        steps["contact-end"] = update.clone();
        steps["recording-available"] = update;
        steps["contact-answered"]["screenPop"]["queryString"] =
            json!({"id": "{{ STEP2-Response.contactid }}"});
    })
    .await;
    let (text, outcome) = life_of(&system, &events()).await;
    assert_eq!(outcome.problems, [""; 0], "{text}");
    let untried = outcome.untried;
    assert!(
        untried[0].starts_with("contact-start: The stand-in does not model fetchXml"),
        "{untried:?}"
    );
    assert!(
        untried[1..]
            .iter()
            .all(|untried| untried.ends_with("it needs what could not be tried before")),
        "{untried:?}"
    );
}

#[tokio::test]
async fn a_configuration_that_finds_its_record_finds_it_among_the_records_given() {
    let change = |configuration: &mut serde_json::Value| {
        let steps = &mut configuration["steps"];
        let find = "?$select=contactid&$filter=telephone1 eq '{{CustomerEndpoint}}'";
        steps["contact-start"] = request("GET", "contacts", find, json!(null));
        let update = request(
            "PATCH",
            "contacts",
            "(STEP2-Response.contactid)",
            json!({"description": "{{ Channel }}"}),
        );
        steps["contact-end"] = update.clone();
        steps["recording-available"] = update;
        steps["contact-answered"]["screenPop"]["queryString"] =
            json!({"id": "{{ STEP2-Response.contactid }}"});
    };
    let given = system(change).await;
    let records = json!({"contacts": [{"lastname": "Example", "telephone1": "+15555550100"}]});
    given.put(records.as_object().unwrap()).unwrap();
    let (text, problems) = life(&given).await;
    assert_eq!(problems, [""; 0], "{text}");
    assert_eq!(only_record(&given, "contacts")["description"], "VOICE");

    let wrong = json!({"contacts": [{"lastname": "Example"}, {"lastnam": "x"}]});
    let refused = given
        .put(wrong.as_object().unwrap())
        .unwrap_err()
        .to_string();
    assert!(refused.starts_with("the record contacts[1]: "), "{refused}");

    let empty = system(change).await;
    let (text, problems) = life(&empty).await;
    assert!(!problems.is_empty(), "{text}");
    assert!(
        text.contains("note: nothing was found; give the stand-in records with --records"),
        "{text}"
    );
}

#[tokio::test]
async fn each_life_ends_with_all_that_is_configured_done() {
    for name in [
        "outbound", "missed", "callback", "transfer", "lost", "task", "email",
    ] {
        let folder = life::folder(&folder(), name).unwrap();
        let events = life::events(&folder).unwrap();
        let recipe = include_str!("../docs/recipes/phone-call.json");
        let system = system(|configuration| {
            let connection = configuration["connection"].clone();
            *configuration = serde_json::from_str(recipe).unwrap();
            configuration["connection"] = connection;
        })
        .await;
        let (text, outcome) = life_of(&system, &events).await;
        assert_eq!(outcome.problems, Vec::<String>::new(), "{name}: {text}");
        let calls = system.dataverse.records("phonecalls");
        assert_eq!(
            calls.len(),
            if name == "transfer" { 2 } else { 1 },
            "{name}"
        );
        for call in calls {
            let outcome = if name == "missed" {
                "missed"
            } else {
                "answered"
            };
            assert_eq!(call["category"], outcome, "{name}");
        }
    }
    let error = life::folder(&folder(), "../tests").unwrap_err().to_string();
    assert!(
        error.contains("there are callback, chat, email, inbound,"),
        "{error}"
    );
}
