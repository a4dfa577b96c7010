//! What a user sees of one contact's life: `cargo run -p local`.

use std::path::Path;

use anstream::adapter::strip_str;
use end_to_end::*;
use local::{life, system::System};
use serde_json::json;

/// The life's text without colours, and what is wrong at the end.
async fn life(system: &System) -> (String, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let events = life::events(&folder).unwrap();
    let mut out = Vec::new();
    let problems = life::run(system, &events, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    (strip_str(&text).to_string(), problems)
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
        assert_eq!(left_out.count(), removed.len(), "{text}");
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
