//! Every contact, whole: contact records, what they make good, the contacts of each kind, and what was said.

use connect_dynamics::{
    history::{RequestKey, State},
    step::Step,
};
use end_to_end::*;
use local::{
    stand_in::fault::{Effect, Fault},
    stream,
    system::System,
};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

const LEG: Uuid = Uuid::from_u128(0xa1b2c3d4_4c5d_4e6f_8071_8293a4b5c6d7);

/// The reference's configuration with a step `contact-completed` that writes what only the record tells.
fn completing(configuration: &mut Json) {
    configuration["steps"]["contact-completed"] = request(
        "PATCH",
        "phonecalls",
        "(STEP2-Response.activityid)",
        json!({"subcategory": "{{ Attributes.wrapUp }}", "actualdurationminutes": "{{ DurationMinutes }}"}),
    );
}

/// A contact's record with these fields.
fn record(contact: Uuid, fields: Json) -> Json {
    let mut record = event("contact-completed");
    record["ContactId"] = contact.to_string().into();
    for (name, value) in fields.as_object().expect("fields are an object") {
        record[name] = value.clone();
    }
    record
}

/// The record of this version, which says it in the attribute `wrapUp`.
fn version(number: u8) -> Json {
    let updated_at = format!("2026-02-04T21:3{number}:00Z");
    record(
        CONTACT,
        json!({"LastUpdateTimestamp": updated_at, "Attributes": {"wrapUp": number.to_string()}}),
    )
}

async fn complete(system: &System, record: &Json) -> Map<String, Json> {
    invoke(system, "contact-completed", record).await
}

async fn state(system: &System, contact: Uuid, step: Step) -> Option<State> {
    let stored = system.store.load(contact).await.unwrap()?;
    stored.history.state(&RequestKey::of(step))
}

#[tokio::test]
async fn a_record_completes_what_events_told_and_a_newer_one_does_it_again() {
    let system = system(completing).await;
    for name in ["contact-start", "contact-end"] {
        invoke(&system, name, &event(name)).await;
    }
    for (number, expected) in [(2, "2"), (2, "2"), (1, "2"), (3, "3"), (2, "3")] {
        let reply = complete(&system, &version(number)).await;
        assert_reply!(reply, {"status": "delivered", "recordId": CONTACT});
        let call = only_record(&system, "phonecalls");
        assert_eq!(call["subcategory"], expected, "after record {number}");
        assert_eq!(call["actualdurationminutes"], 7);
    }
    // Only what was newer was sent: the record's creation, its end, and two updates.
    assert_eq!(system.dataverse.take_exchanges().len(), 4);
}

#[tokio::test]
async fn a_contact_of_which_only_the_record_comes_is_recorded_whole() {
    let system = system(completing).await;
    let reply = complete(&system, &version(1)).await;
    assert_reply!(reply, {"status": "delivered", "recordId": CONTACT});
    let call = only_record(&system, "phonecalls");
    for (column, value) in [
        ("phonenumber", json!("+15555550100")),
        ("category", json!("VOICE")),
        ("subcategory", json!("1")),
        ("actualstart", json!("2026-02-04T21:14:16Z")),
    ] {
        assert_eq!(call[column], value, "{column}");
    }
    // What comes late after all changes nothing.
    system.dataverse.take_exchanges();
    for name in ["contact-start", "contact-end"] {
        let reply = invoke(&system, name, &event(name)).await;
        assert_reply!(reply, {"status": "delivered"});
    }
    assert_eq!(system.dataverse.take_exchanges().len(), 0);
}

#[tokio::test]
async fn a_late_change_of_a_contact_that_is_forgotten_is_not_done_all_over_again() {
    let system = system(completing).await;
    let late = record(
        CONTACT,
        json!({"LastUpdateTimestamp": "2026-05-01T00:00:00Z"}),
    );
    let reply = complete(&system, &late).await;
    assert_reply!(reply, {"status": "skipped", "message": contains("retentionDays")});
    assert_eq!(system.dataverse.take_exchanges().len(), 0);
    // One that is remembered is completed however late it comes.
    invoke(&system, "contact-start", &event("contact-start")).await;
    let later = record(
        CONTACT,
        json!({"LastUpdateTimestamp": "2026-05-02T00:00:00Z"}),
    );
    assert_reply!(complete(&system, &later).await, {"status": "delivered"});
}

#[tokio::test]
async fn a_record_without_its_step_makes_good_what_was_missed() {
    let system = reference_system().await;
    let reply = complete(&system, &version(1)).await;
    assert_reply!(reply, {"status": "skipped", "recordId": CONTACT});
    assert_eq!(only_record(&system, "phonecalls")["category"], "VOICE");
}

#[tokio::test]
async fn the_agent_whom_no_event_told_becomes_the_owner() {
    let system = system(|configuration| {
        completing(configuration);
        configuration["steps"]["contact-answered"]["request"] = json!({
            "method": "PATCH", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)",
            "body": {"ownerid": "{{ Agent.Owner }}"}
        });
    })
    .await;
    let user = json!({"lastname": "Agent", "domainname": "agent.example"});
    let user = system.dataverse.insert("systemusers", user).unwrap();
    complete(&system, &version(1)).await;
    assert_eq!(
        only_record(&system, "phonecalls")["_ownerid_value"],
        user.to_string()
    );
    // Nobody answered: there is nothing to make good.
    let missed = record(LEG, json!({"Agent": null}));
    complete(&system, &missed).await;
    assert_eq!(state(&system, LEG, Step::ContactAnswered).await, None);
}

#[tokio::test]
async fn without_a_stream_the_event_completes_the_record_and_starts_none() {
    let system = system(completing).await;
    let completed = event("contact-completed-event");
    let reply = complete(&system, &completed).await;
    assert_reply!(reply, {"status": "pending", "message": contains("contact-start")});
    assert_eq!(system.dataverse.records("phonecalls").len(), 0);
    invoke(&system, "contact-start", &event("contact-start")).await;
    let call = only_record(&system, "phonecalls");
    assert_eq!(call["actualdurationminutes"], 7);
    assert_eq!(call["category"], "VOICE", "the end is made good, too");
    // The record knows more than the event, whichever comes last.
    complete(&system, &version(1)).await;
    complete(&system, &completed).await;
    assert_eq!(only_record(&system, "phonecalls")["subcategory"], "1");
}

#[tokio::test]
async fn what_a_record_creates_is_created_once_and_an_action_is_done_once() {
    let system = system(|configuration| {
        completing(configuration);
        let update = configuration["steps"]["contact-completed"]["request"].take();
        configuration["steps"]["contact-completed"] = json!({"requests": [
            update,
            {"name": "task", "method": "POST", "entitySet": "tasks", "body": {"subject": "{{ Attributes.wrapUp }}"}},
            {"name": "late", "when": "Attributes.wrapUp == '2'", "method": "POST", "entitySet": "tasks", "body": {"subject": "late"}}
        ]});
        configuration["steps"]["contact-completed"]["requests"][0]["name"] = "call".into();
        configuration["steps"]["contact-completed"]["requests"][0]["main"] = true.into();
    })
    .await;
    complete(&system, &version(1)).await;
    assert_eq!(only_record(&system, "tasks")["subject"], "1");
    complete(&system, &version(2)).await;
    complete(&system, &version(3)).await;
    let mut subjects: Vec<String> = system
        .dataverse
        .records("tasks")
        .iter()
        .map(|task| task["subject"].as_str().unwrap().to_owned())
        .collect();
    subjects.sort();
    assert_eq!(subjects, ["1", "late"], "what a newer record wants is made");
    assert_eq!(only_record(&system, "phonecalls")["subcategory"], "3");
}

#[tokio::test]
async fn a_batch_of_a_stream_is_done_and_what_was_not_stored_comes_again() {
    let system = system(completing).await;
    let other = record(LEG, json!({"Attributes": {"wrapUp": "other"}}));
    let nobody = json!({"ContactId": "none", "LastUpdateTimestamp": "2026-02-04T21:20:00Z"});
    let batch = stream::batch(&[
        ("1", version(1).to_string()),
        ("2", other.to_string()),
        ("3", "no JSON".to_owned()),
        ("4", nobody.to_string()),
        ("5", version(2).to_string()),
    ]);
    let invoked = invoke_raw(&system, "contact-completed", &batch).await;
    assert_eq!(invoked.payload, json!({"batchItemFailures": []}));
    let held = |id: Uuid| system.dataverse.record("phonecalls", id).unwrap();
    assert_eq!(held(CONTACT)["subcategory"], "2");
    assert_eq!(held(LEG)["subcategory"], "other");
    let logs = system.lambda.logs().join("\n");
    assert!(
        logs.contains("LastUpdateTimestamp") || logs.contains("no UUID"),
        "{logs}"
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_stored_is_asked_for_again() {
    let table_faults = local::stand_in::fault::Faults::default();
    let faults = table_faults.clone();
    let system = system_with(completing, |options| options.table_faults = faults).await;
    let down = || Fault {
        method: String::new(),
        path: String::new(),
        times: 10_000,
        effect: Effect::status(500),
    };
    complete(&system, &version(1)).await;
    table_faults.add(down());
    let batch = stream::batch(&[("7", version(2).to_string())]);
    let invoked = invoke_raw(&system, "contact-completed", &batch).await;
    assert_eq!(
        invoked.payload,
        json!({"batchItemFailures": [{"itemIdentifier": "7"}]})
    );
    table_faults.clear();
    let invoked = invoke_raw(&system, "contact-completed", &batch).await;
    assert_eq!(invoked.payload, json!({"batchItemFailures": []}));
    assert_eq!(only_record(&system, "phonecalls")["subcategory"], "2");
}

#[tokio::test]
async fn a_record_that_comes_while_its_integration_is_broken_is_made_good_when_it_is_mended() {
    let system = system(completing).await;
    let name = system.integration.name();
    let document = serde_json::to_string(system.integration.configuration()).unwrap();
    let other = format!("{name}-2");
    let broken = flow(LEG, json!({}), json!({"integration": other}));
    invoke(&system, "contact-start", &broken).await;
    complete(
        &system,
        &record(LEG, json!({"Attributes": {"wrapUp": "1"}})),
    )
    .await;
    assert_eq!(system.dataverse.records("phonecalls").len(), 0);
    let mended = document.replacen(
        &format!("\"name\":\"{name}\""),
        &format!("\"name\":\"{other}\""),
        1,
    );
    system
        .store
        .save_integration(&other, &mended)
        .await
        .unwrap();
    eventually("the contact is recorded", async || {
        let order = json!({"contactId": LEG});
        system.lambda.invoke("redelivery", &order).await;
        let call = system.dataverse.record("phonecalls", LEG);
        call.is_some_and(|call| call["subcategory"] == "1" && call["category"] == "VOICE")
    })
    .await;
}

#[tokio::test]
async fn contacts_of_a_kind_that_is_ignored_leave_no_record() {
    let system = system(|configuration| {
        completing(configuration);
        configuration["contacts"] = json!({"OUTBOUND": "when-a-flow-starts-it"});
    })
    .await;
    // A supervisor listens: nobody expects a call of that.
    let monitored = json!({"InitiationMethod": "MONITOR"});
    let reply = invoke(
        &system,
        "contact-start",
        &flow(LEG, monitored.clone(), json!({})),
    )
    .await;
    assert_reply!(reply, {"status": "skipped", "message": contains("MONITOR")});
    let reply = complete(&system, &record(LEG, monitored)).await;
    assert_reply!(reply, {"status": "skipped", "message": contains("MONITOR"), "recordId": null});
    let kept = system.store.load(LEG).await.unwrap().unwrap();
    let kept = serde_json::to_string(&kept.history).unwrap();
    // Not the digits alone: a time may have them.
    assert!(!kept.contains("+1555"), "nothing of it is kept: {kept}");
    // Its recording tells nothing of how it began, and is ignored all the same.
    let recording = "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav";
    let reply = invoke(
        &system,
        "recording-available",
        &object_created(LEG, recording),
    )
    .await;
    assert_reply!(reply, {"status": "skipped", "message": contains("MONITOR")});
    // No flow has started this one.
    let outbound = json!({"InitiationMethod": "OUTBOUND"});
    complete(&system, &record(CONTACT, outbound.clone())).await;
    assert_eq!(system.dataverse.records("phonecalls").len(), 0);
    invoke(
        &system,
        "contact-start",
        &flow(CONTACT, outbound, json!({})),
    )
    .await;
    assert_eq!(
        only_record(&system, "phonecalls")["activityid"],
        CONTACT.to_string()
    );
}

/// The second leg of a transfer of [`CONTACT`].
fn leg(fields: Json) -> Json {
    let mut leg = json!({"InitiationMethod": "TRANSFER", "InitialContactId": CONTACT, "PreviousContactId": CONTACT});
    leg.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    leg
}

fn on_the_first_record(configuration: &mut Json) {
    completing(configuration);
    configuration["contacts"] = json!({"TRANSFER": "first-record"});
}

#[tokio::test]
async fn a_transfers_legs_are_all_on_the_first_legs_record() {
    let system = system(on_the_first_record).await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    let reply = invoke(
        &system,
        "contact-start",
        &flow(LEG, leg(json!({})), json!({})),
    )
    .await;
    assert_reply!(reply, {"status": "delivered", "recordId": CONTACT});
    let reply = invoke(
        &system,
        "contact-answered",
        &flow(LEG, leg(json!({})), json!({})),
    )
    .await;
    assert_reply!(reply, {"screenPopUrl": contains(&CONTACT.to_string())});
    complete(
        &system,
        &record(LEG, leg(json!({"Attributes": {"wrapUp": "second leg"}}))),
    )
    .await;
    let recording = "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav";
    invoke(
        &system,
        "recording-available",
        &object_created(LEG, recording),
    )
    .await;
    let call = only_record(&system, "phonecalls");
    assert_eq!(call["subcategory"], "second leg");
    assert!(
        call["description"]
            .as_str()
            .unwrap()
            .contains(&LEG.to_string())
    );
}

#[tokio::test]
async fn a_leg_waits_for_the_first_legs_record() {
    let system = system(on_the_first_record).await;
    // The first leg's record is not there yet, and may still come.
    let second = record(LEG, leg(json!({"Attributes": {"wrapUp": "second leg"}})));
    let reply = complete(&system, &second).await;
    assert_reply!(reply, {"status": "pending"});
    assert_eq!(system.dataverse.records("phonecalls").len(), 0);
    let page = invoke(
        &system,
        "contact-answered",
        &flow(LEG, leg(json!({})), json!({})),
    )
    .await;
    assert_reply!(page, {"recordId": null});
    complete(&system, &version(1)).await;
    eventually("the leg is on the first leg's record", async || {
        system.redeliver().await.unwrap();
        only_record(&system, "phonecalls")["subcategory"] == "second leg"
    })
    .await;
}

#[tokio::test]
async fn a_leg_whose_first_one_is_never_recorded_has_a_record_of_its_own() {
    let system = system(|configuration| {
        on_the_first_record(configuration);
        configuration["withoutStart"] = json!({"afterMinutes": 0});
    })
    .await;
    let reply = complete(&system, &record(LEG, leg(json!({})))).await;
    assert_reply!(reply, {"status": "delivered", "recordId": LEG});
    assert_eq!(
        only_record(&system, "phonecalls")["activityid"],
        LEG.to_string()
    );
}

#[tokio::test]
async fn an_outcome_that_a_flow_has_set_is_the_one_that_is_written() {
    let system = system(|configuration| {
        configuration["steps"]["contact-completed"] = request(
            "PATCH",
            "phonecalls",
            "(STEP2-Response.activityid)",
            json!({"subcategory": "{{ Outcome }}", "directioncode": "{{ DirectionCode }}"}),
        );
    })
    .await;
    for (contact, attributes, outcome) in [
        (CONTACT, json!({}), "answered"),
        (LEG, json!({"Outcome": "voicemail"}), "voicemail"),
    ] {
        complete(&system, &record(contact, json!({"Attributes": attributes}))).await;
        let call = system.dataverse.record("phonecalls", contact).unwrap();
        assert_eq!(call["subcategory"], outcome);
        assert_eq!(call["directioncode"], false);
    }
}

/// What was said, written to the record.
fn with_conversation(configuration: &mut Json) {
    configuration["steps"]["recording-available"] = json!({
        "objectKinds": ["recording", "analysis", "redacted-analysis", "transcript", "redacted-transcript"],
        "request": {
            "method": "PATCH", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)",
            "body": {"description": "{{ ContactLens.Transcript }}", "subcategory": "{{ ContactLens.Categories | join(', ') }}"}
        }
    });
}

const ANALYSIS: &str = "Analysis/Voice/2026/02/04/ID_analysis_2026-02-04T21:24:16Z.json";
const REDACTED: &str =
    "Analysis/Voice/Redacted/2026/02/04/ID_analysis_redacted_2026-02-04T21:24:16Z.json";

/// An analysis in which the customer says this.
fn analysis(words: &str) -> String {
    json!({
        "JobStatus": "COMPLETED", "LanguageCode": "en-US",
        "Categories": {"MatchedCategories": ["Billing", "Complaint"]},
        "Participants": [{"ParticipantId": "CUSTOMER", "ParticipantRole": "CUSTOMER"}],
        "Transcript": [{"Id": "1", "ParticipantId": "CUSTOMER", "Content": words, "BeginOffsetMillis": 0, "EndOffsetMillis": 900}]
    })
    .to_string()
}

/// So many reads of objects are refused.
fn s3_refuses(system: &System, times: u32) {
    system.s3.faults.add(Fault {
        method: String::new(),
        path: String::new(),
        times,
        effect: Effect::refused(403, "AccessDenied"),
    });
}

/// The object of this key arrives, with this in it.
async fn arrives(system: &System, key: &str, content: &str) -> Map<String, Json> {
    let event = object_created(CONTACT, key);
    let key = event["detail"]["object"]["key"].as_str().unwrap();
    let bucket = event["detail"]["bucket"]["name"].as_str().unwrap();
    system.s3.put(bucket, key, content.to_owned());
    invoke(system, "recording-available", &event).await
}

async fn started(change: impl FnOnce(&mut Json)) -> System {
    let system = system(change).await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    system
}

#[tokio::test]
async fn what_was_said_is_written_from_the_redacted_file() {
    let system = started(with_conversation).await;
    let reply = arrives(&system, ANALYSIS, &analysis("my number is 555 0100")).await;
    assert_reply!(reply, {"status": "pending", "message": contains("redacted")});
    let reply = arrives(&system, REDACTED, &analysis("my number is [PII]")).await;
    assert_reply!(reply, {"status": "delivered"});
    let call = only_record(&system, "phonecalls");
    assert_eq!(call["description"], "Customer: my number is [PII]");
    assert_eq!(call["subcategory"], "Billing, Complaint");
    let order = json!({"contactId": CONTACT});
    system.lambda.invoke("redelivery", &order).await;
    assert_eq!(
        only_record(&system, "phonecalls")["description"],
        "Customer: my number is [PII]"
    );
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let kept = serde_json::to_string(&stored.history).unwrap();
    assert!(
        !kept.contains("my number"),
        "what was said is not kept in the table"
    );
}

#[tokio::test]
async fn where_nothing_is_redacted_the_original_file_is_read_at_once() {
    let system = started(with_conversation).await;
    let mut ended = event("contact-end");
    let policy =
        "/detail/contactLens/conversationalAnalytics/configuration/redactionConfiguration/policy";
    *ended.pointer_mut(policy).unwrap() = "None".into();
    invoke(&system, "contact-end", &ended).await;
    let reply = arrives(&system, ANALYSIS, &analysis("hello")).await;
    assert_reply!(reply, {"status": "delivered"});
    assert_eq!(
        only_record(&system, "phonecalls")["description"],
        "Customer: hello"
    );
    // A recording tells nothing of what was said, and nothing is lost by it.
    let recording = "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav";
    assert_reply!(arrives(&system, recording, "RIFF").await, {"status": "delivered"});
    assert_eq!(
        only_record(&system, "phonecalls")["description"],
        "Customer: hello"
    );
}

#[tokio::test]
async fn the_original_file_is_read_where_the_configuration_says_so() {
    let system = started(|configuration| {
        with_conversation(configuration);
        configuration["contactLens"] = json!({"file": "original"});
    })
    .await;
    assert_reply!(arrives(&system, REDACTED, &analysis("[PII]")).await, {"status": "skipped"});
    assert_reply!(arrives(&system, ANALYSIS, &analysis("hello")).await, {"status": "delivered"});
    assert_eq!(
        only_record(&system, "phonecalls")["description"],
        "Customer: hello"
    );
}

#[tokio::test]
async fn what_was_said_in_an_excluded_category_stays_where_it_is() {
    let system = started(|configuration| {
        with_conversation(configuration);
        configuration["contactLens"] = json!({"excludeCategories": ["Complaint"]});
    })
    .await;
    let before = only_record(&system, "phonecalls");
    let reply = arrives(&system, REDACTED, &analysis("[PII]")).await;
    assert_reply!(reply, {"status": "delivered"});
    // Nobody knows the categories of these.
    let redacted =
        "Analysis/Chat/Redacted/2026/02/04/ID_transcript_redacted_2026-02-04T21:24:16Z.json";
    for transcript in [
        "ChatTranscripts/2026/02/04/ID_20260204T21:14_UTC.json",
        redacted,
    ] {
        let reply = arrives(&system, transcript, &analysis("hello")).await;
        assert_reply!(reply, {"status": "skipped"});
    }
    let mut uncertain: Json = serde_json::from_str(&analysis("hello")).unwrap();
    uncertain["Categories"]["MatchedCategories"] = json!([]);
    uncertain["JobDetails"] =
        json!({"SkippedAnalysis": [{"Feature": "CATEGORIZATION", "ReasonCode": "QUOTA_EXCEEDED"}]});
    let other = REDACTED.replace("21:24", "21:34");
    arrives(&system, &other, &uncertain.to_string()).await;
    assert_eq!(only_record(&system, "phonecalls"), before);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_holds_nothing_else_up() {
    let system = started(|configuration| {
        completing(configuration);
        with_conversation(configuration);
    })
    .await;
    s3_refuses(&system, 100);
    let reply = arrives(&system, REDACTED, &analysis("hello")).await;
    assert_reply!(reply, {"status": "pending", "message": contains("s3:GetObject")});
    assert_reply!(complete(&system, &version(1)).await, {"status": "delivered"});
    assert_eq!(only_record(&system, "phonecalls")["subcategory"], "1");
}

#[tokio::test]
async fn an_action_that_may_have_been_done_is_not_done_again_when_its_file_cannot_be_read() {
    let system = started(|configuration| {
        with_conversation(configuration);
        configuration["steps"]["recording-available"]["request"] = json!({
            "method": "POST", "entitySet": "phonecalls",
            "queryString": "(STEP2-Response.activityid)/Microsoft.Dynamics.CRM.AddToQueue",
            "body": {"text": "{{ ContactLens.Transcript }}"}
        });
    })
    .await;
    let arrived = object_created(CONTACT, REDACTED);
    system.dataverse.faults.add(Fault {
        method: "POST".into(),
        path: String::new(),
        times: 1,
        effect: Effect::CloseAfter,
    });
    arrives(&system, REDACTED, &analysis("hello")).await;
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let sent = rewritten(&stored.history, |history| {
        // As when the function is stopped before it stores the answer.
        let key = arrived["detail"]["object"]["key"].as_str().unwrap();
        let request = &mut history["steps"][format!("recording-available/{key}")];
        request["state"] = "pending".into();
        request["sentAt"] = "2026-02-04T21:24:16Z".into();
        request["dueAt"] = "2026-02-04T21:24:16Z".into();
    });
    let mut stored = stored;
    stored.history = sent;
    system.store.save(&mut stored, 30).await.unwrap();
    system.dataverse.take_exchanges();
    // A function that may not read the file comes first.
    invoke(&system, "contact-end", &event("contact-end")).await;
    let order = json!({"contactId": CONTACT});
    let posts = |system: &System| {
        let exchanges = system.dataverse.take_exchanges();
        exchanges.iter().filter(|it| it.method == "POST").count()
    };
    assert_eq!(posts(&system), 0);
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    assert!(stored.history.failed_at().is_some(), "a person decides");
    system.lambda.invoke("redelivery", &order).await;
}

#[tokio::test]
async fn a_file_that_is_not_what_it_should_be_fails_its_step_alone() {
    let system = started(with_conversation).await;
    for (content, reason) in [
        ("{\"Transcript\": [", "ends too early"),
        (
            "{\"a\": 1}",
            "neither a Contact Lens analysis nor a transcript",
        ),
        (
            "{\"JobStatus\": \"FAILED\", \"Transcript\": []}",
            "did not complete",
        ),
    ] {
        let reply = arrives(&system, REDACTED, content).await;
        assert_reply!(reply, {"status": "failed", "message": contains(reason)});
    }
    assert_reply!(invoke(&system, "contact-end", &event("contact-end")).await, {"status": "delivered"});
    let reply = arrives(&system, REDACTED, &analysis("now it is right")).await;
    assert_reply!(reply, {"status": "delivered"});
}

#[tokio::test]
async fn a_file_that_cannot_be_read_now_is_read_later_and_one_that_is_gone_fails() {
    let system = started(with_conversation).await;
    s3_refuses(&system, 1);
    let reply = arrives(&system, REDACTED, &analysis("hello")).await;
    assert_reply!(reply, {"status": "pending", "message": contains("s3:GetObject")});
    eventually("it is read", async || {
        system.redeliver().await.unwrap();
        only_record(&system, "phonecalls")["description"] == "Customer: hello"
    })
    .await;
    let gone = "Analysis/Voice/Redacted/2026/02/04/ID_analysis_redacted_2026-02-04T22:00:00Z.json";
    let reply = invoke(
        &system,
        "recording-available",
        &object_created(CONTACT, gone),
    )
    .await;
    assert_reply!(reply, {"status": "failed", "message": contains("not in the bucket")});
}
