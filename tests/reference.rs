//! The reference's examples, character for character as it prints them, against the requests that
//! leave.

use connect_dynamics::integration::Integration;
use end_to_end::*;
use serde_json::json;

const STEP_2_BODY: &str = r#"{"phonenumber":"{{CustomerEndpoint}}","actualstart":"{{InitiationTimestamp}}","subject":"Call between Username and CustomerEndpoint"}"#;
const STEP_3_QUERY_STRING: &str = r#"{ "appid": "{{appid}}", "pagetype": "entityrecord", "etn": "phonecall", "id": "{{STEP2-Response.activityid}}"}"#;
const STEP_4_BODY: &str = r#"{"category": "{{Channel}}"}"#;
const STEP_4_QUERY_STRING: &str = "(STEP2-Response.activityid)";
const STEP_5_BODY: &str = r#"{"description": "Your Recording URI is objectUrl"}"#;
const STEP_5_QUERY_STRING: &str = "(STEP2-Response.activityid)";

#[test]
fn the_default_configuration_is_the_references_word_for_word() {
    let steps = &reference()["steps"];
    assert_eq!(steps["contact-start"]["request"]["body"], STEP_2_BODY);
    assert_eq!(
        steps["contact-answered"]["screenPop"]["queryString"],
        STEP_3_QUERY_STRING
    );
    assert_eq!(steps["contact-end"]["request"]["body"], STEP_4_BODY);
    assert_eq!(
        steps["contact-end"]["request"]["queryString"],
        STEP_4_QUERY_STRING
    );
    assert_eq!(steps["recording-available"]["request"]["body"], STEP_5_BODY);
    assert_eq!(
        steps["recording-available"]["request"]["queryString"],
        STEP_5_QUERY_STRING
    );
}

#[tokio::test]
async fn each_example_becomes_exactly_its_request() {
    let system = reference_system().await;
    let environment = format!("http://{}", system.addresses.dataverse);

    let mut start = event("contact-start");
    start["Details"]["ContactData"]["InitiationTimestamp"] = "2026-02-04T21:14:16Z".into();
    let started = invoke(&system, "contact-start", &start).await;
    let answered = invoke(&system, "contact-answered", &event("contact-answered")).await;
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    let recorded = invoke(
        &system,
        "recording-available",
        &event("recording-available"),
    )
    .await;

    let sent: Vec<_> = system
        .dataverse
        .take_exchanges()
        .into_iter()
        .map(|exchange| {
            json!([
                exchange.method,
                exchange.target,
                exchange.headers.get("if-match"),
                exchange.body,
                exchange.status
            ])
        })
        .collect();
    let record = format!("phonecalls({CONTACT})");
    let url = format!(
        "https://example-connect-recordings.s3.us-east-1.amazonaws.com/connect/example/CallRecordings/2026/02/04/{CONTACT}_20260204T21%3A14_UTC.wav"
    );
    assert_eq!(
        sent,
        [
            json!(["POST", "phonecalls", null, {
                "phonenumber": "+15555550100", "actualstart": "2026-02-04T21:14:16Z",
                "subject": "Call between Username and CustomerEndpoint", "activityid": CONTACT.to_string()
            }, 201]),
            json!(["PATCH", record, "*", {"category": "VOICE"}, 200]),
            json!(["PATCH", record, "*", {"description": format!("Your Recording URI is {url}")}, 200]),
        ]
    );
    assert_eq!(
        told(&only_record(&system, "phonecalls")),
        json!({
            "phonenumber": "+15555550100", "actualstart": "2026-02-04T21:14:16Z",
            "subject": "Call between Username and CustomerEndpoint", "category": "VOICE",
            "description": format!("Your Recording URI is {url}")
        })
    );
    let page = format!(
        "{environment}/main.aspx?appid=a0c1d2e3-0000-4000-8000-00000000a001&pagetype=entityrecord&etn=phonecall&id={CONTACT}"
    );
    for reply in [&started, &answered] {
        assert_reply!(reply, {"screenPopUrl": page, "screenPopTarget": "embedded"});
    }
    for reply in [&started, &answered, &ended, &recorded] {
        assert_reply!(reply, {
            "status": "delivered",
            "recordId": CONTACT.to_string(),
            "recordUrl": page
        });
    }
}

#[tokio::test]
async fn the_references_markdown_pastes_in_with_its_backslashes() {
    let system = system(|configuration| {
        let steps = &mut configuration["steps"];
        steps["contact-start"]["request"]["body"] =
            "{\\\"phonenumber\\\":\\\"{{CustomerEndpoint}}\\\",\\\"actualstart\\\":\\\"{{InitiationTimestamp}}\\\",\\\"subject\\\":\\\"Call\nbetween Username and CustomerEndpoint\\\"}".into();
        steps["contact-answered"]["screenPop"]["queryString"] =
            "{ \\\"appid\\\": \\\"{{appid}}\\\", \\\"pagetype\\\":\n\\\"entityrecord\\\", \\\"etn\\\": \\\"phonecall\\\", \\\"id\\\":\n\\\"{{STEP2-Response.activityid}}\\\"}".into();
    })
    .await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    let record = only_record(&system, "phonecalls");
    assert_eq!(
        record["subject"],
        "Call between Username and CustomerEndpoint"
    );
    assert_reply!(reply, {"screenPopUrl": ends_with(&format!("&etn=phonecall&id={CONTACT}"))});
}

#[test]
fn the_configurations_of_the_documents_are_valid() {
    for document in [
        include_str!("../README.md"),
        include_str!("../docs/configuration.md"),
    ] {
        let configurations: Vec<&str> = document
            .split("```json\n")
            .skip(1)
            .filter_map(|block| block.split("```").next())
            .collect();
        assert!(!configurations.is_empty());
        // A part of a document is quoted without its beginning.
        let whole = configurations
            .into_iter()
            .filter(|block| block.trim_start().starts_with('{'));
        for configuration in whole {
            Integration::load(configuration).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn a_newcomer_starts_with_the_first_recipe() {
    let steps = |text: &str| -> serde_json::Value {
        let configuration: serde_json::Value = serde_json::from_str(text).unwrap();
        configuration["steps"].clone()
    };
    let recipe = include_str!("../docs/recipes/phone-call.json");
    let readme = include_str!("../README.md");
    let block = readme.split("```json\n").nth(1).unwrap();
    let configuration = block.split("```").next().unwrap();
    assert_eq!(steps(configuration), steps(recipe));
}

#[test]
fn nobody_types_json_to_set_it_up() {
    let setup = include_str!("../docs/setup.md");
    assert!(!setup.contains("```json"));
    assert!(!setup.contains("put-secret-value"));
}
