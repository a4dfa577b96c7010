//! The four functions' binaries, driven by events: what Dynamics holds afterwards, and what the flow
//! is told.

use end_to_end::*;
use local::{
    credential::CLIENT_SECRET,
    stand_in::fault::{Effect, Faults},
    system::Options,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value as Json, json};
use uuid::Uuid;

#[test]
fn a_reply_that_is_another_is_told_field_by_field() {
    let Json::Object(reply) = json!({"status": "pending", "message": "it waits", "recordId": "1"})
    else {
        unreachable!()
    };
    let expected = json!({
        "status": "delivered",
        "message": starts_with("waits"),
        "recordId": null,
        "recordUrl": anything(),
        "screenPopUrl": null
    });
    assert_eq!(
        difference(&reply, &expected).lines().collect::<Vec<_>>(),
        [
            r#"  status: expected "delivered", found "pending""#,
            r#"  message: expected {"starts with":"waits"}, found "it waits""#,
            r#"  recordId: expected null, found "1""#,
            r#"  recordUrl: expected {"contains":""}, found null"#,
        ]
    );
    assert_reply!(reply, {"status": "pending", "message": ends_with("waits"), "screenPopUrl": null});
}

#[tokio::test]
async fn get_post_and_patch_work_in_every_step() {
    // Step 2 finds a contact, step 3 creates a task for it, step 4 reads it, step 5 updates it.
    let system = system(|configuration| {
        configuration["steps"] = json!({
            "contact-start": request("GET", "contacts", "?$select=fullname,lastname&$filter=telephone1 eq '{{CustomerEndpoint}}'&$top=1", Json::Null),
            "contact-answered": {
                "screenPop": {"queryString": {"pagetype": "entityrecord", "etn": "contact", "id": "{{STEP2-Response.contactid}}"}, "target": "tab"},
                "request": {"method": "POST", "entitySet": "tasks", "body": {
                    "subject": "Call of {{ STEP2-Response.lastname }}",
                    "regardingobjectid_contact_task@odata.bind": "/contacts({{STEP2-Response.contactid}})",
                    "percentcomplete": "{{ progress | int }}"
                }},
                "reply": ["subject"]
            },
            "contact-end": request("GET", "tasks", "(STEP3-Response.activityid)?$select=subject,percentcomplete", Json::Null),
            "recording-available": request("PATCH", "tasks", "(STEP3-Response.activityid)", json!({"description": "{{ STEP4-Response.subject }}: objectUrl"})),
        });
        configuration["steps"]["contact-start"]["reply"] = json!(["lastname"]);
    })
    .await;
    let ada = system.dataverse.insert(
        "contacts",
        json!({"lastname": "Example", "telephone1": "+15555550100"}),
    );
    let ada = ada.unwrap();

    let started = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(started, {
        "status": "delivered",
        "lastname": "Example",
        "recordId": ada.to_string(),
        "screenPopUrl": ends_with(&format!("etn=contact&id={ada}")),
        "screenPopTarget": "tab"
    });

    let answered = invoke(
        &system,
        "contact-answered",
        &flow(
            CONTACT,
            json!({"Attributes": {"progress": "40"}}),
            json!({}),
        ),
    )
    .await;
    assert_reply!(answered, {"subject": "Call of Example"});
    for function in ["contact-end", "recording-available"] {
        let reply = invoke(&system, function, &event(function)).await;
        assert_reply!(reply, {"status": "delivered"}, "{function}");
    }

    let task = only_record(&system, "tasks");
    assert_eq!(task["percentcomplete"], 40);
    assert_eq!(task["_regardingobjectid_value"], ada.to_string());
    assert!(
        task["description"]
            .as_str()
            .is_some_and(|text| text.starts_with("Call of Example: https://"))
    );
    assert_ne!(
        task["activityid"],
        CONTACT.to_string(),
        "activities share one key space: the contact id is the start's"
    );
}

#[tokio::test]
async fn every_kind_of_contact_becomes_its_record() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["body"] = json!({
            "phonenumber": "{{CustomerEndpoint}}",
            "category": "{{Channel}}/{{InitiationMethod}}",
            "subject": "{{ Name | default('Contact') }} in {{ Queue.Name | default('no queue') }}",
            "subcategory": "{{ SegmentAttributes['connect:Subtype'] }}",
            "description": "{{ PreviousContactId }}"
        });
    })
    .await;
    for (name, expected) in [
        (
            "contact-start",
            json!({"phonenumber": "+15555550100", "category": "VOICE/INBOUND", "subject": "Contact in no queue", "subcategory": "connect:Telephony", "description": CONTACT.to_string()}),
        ),
        (
            "contact-start-task",
            json!({"category": "TASK/API", "subject": "Call back about the order in no queue", "description": "7b8c9d0e-1f2a-4b3c-8d4e-5f6071829304"}),
        ),
        (
            "contact-start-chat",
            json!({"phonenumber": "f0e1d2c3-0000-4000-8000-00000000d005", "category": "CHAT/API", "subject": "Contact in no queue", "subcategory": "connect:Chat"}),
        ),
        (
            "contact-start-email",
            json!({"phonenumber": "ada@customer.example.com", "category": "EMAIL/INBOUND", "subject": "Where is my order? in no queue", "subcategory": "connect:Email"}),
        ),
        (
            "contact-start-transfer",
            json!({"phonenumber": "+15555550100", "category": "VOICE/TRANSFER", "subject": "Contact in Support", "subcategory": "connect:Telephony", "description": CONTACT.to_string()}),
        ),
        (
            "contact-start-anonymous",
            json!({"category": "VOICE/INBOUND", "subject": "Contact in no queue", "subcategory": "connect:Telephony"}),
        ),
    ] {
        let reply = invoke(&system, "contact-start", &event(name)).await;
        assert_reply!(reply, {"status": "delivered"}, "{name}");
        let id = Uuid::try_parse(reply["recordId"].as_str().unwrap()).unwrap();
        let record = system.dataverse.record("phonecalls", id).unwrap();
        assert_eq!(told(&record), expected, "{name}");
        assert_eq!(
            event(name)["Details"]["ContactData"]["ContactId"],
            id.to_string(),
            "{name}"
        );
    }
    assert_eq!(system.dataverse.records("phonecalls").len(), 6);
}

#[tokio::test]
async fn a_contact_event_answers_and_ends_as_a_flow_does() {
    let system = system(|configuration| {
        configuration["steps"]["contact-end"]["request"]["body"] = json!({
            "actualend": "{{DisconnectTimestamp}}",
            "actualdurationminutes": "{{ DisconnectTimestamp | minutes_since(InitiationTimestamp) }}",
            "subject": "{{ InitiationMethod }} after {{ Agent.ConnectedToAgentTimestamp }}, {{ language }}"
        });
    })
    .await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    let answered = invoke(
        &system,
        "contact-answered",
        &event("contact-answered-event"),
    )
    .await;
    assert_reply!(answered, {"screenPopUrl": contains(&CONTACT.to_string())});
    let ignored = invoke(&system, "contact-end", &contact_event(CONTACT, "QUEUED")).await;
    assert_reply!(ignored, {
        "status": "ignored",
        "message": "contact-end is done at the contact event DISCONNECTED or COMPLETED, not at QUEUED"
    });
    invoke(&system, "contact-end", &event("contact-end")).await;
    let record = only_record(&system, "phonecalls");
    assert_eq!(record["actualend"], "2026-02-04T21:20:30Z");
    assert_eq!(record["actualdurationminutes"], 7);
    assert_eq!(
        record["subject"],
        "INBOUND after 2026-02-04T21:15:02.000Z, en-US"
    );
}

#[tokio::test]
async fn a_body_that_names_two_objects_is_right_in_whichever_order_they_come() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let system = system(|configuration| {
            let step = &mut configuration["steps"]["recording-available"];
            step["request"]["body"] = json!({"description": "{{ recordingUrl }}\n{{ transcriptUrl }}\n{{ analysisUrl }}"});
            step["objectKinds"] = json!(["recording", "transcript", "analysis"]);
        })
        .await;
        invoke(&system, "contact-start", &event("contact-start")).await;
        let keys = [
            "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav",
            "ChatTranscripts/2026/02/04/ID a+b ü.json",
            "Analysis/Voice/2026/02/04/ID_analysis_2026-02-04T21:14:16Z.json",
        ];
        for index in order {
            invoke(
                &system,
                "recording-available",
                &object_created(CONTACT, keys[index]),
            )
            .await;
        }
        let bucket = "https://example-connect-recordings.s3.us-east-1.amazonaws.com";
        assert_eq!(
            only_record(&system, "phonecalls")["description"],
            format!(
                "{bucket}/CallRecordings/2026/02/04/{CONTACT}_20260204T21%3A14_UTC.wav\n{bucket}/ChatTranscripts/2026/02/04/{CONTACT}%20a%2Bb%20%C3%BC.json\n{bucket}/Analysis/Voice/2026/02/04/{CONTACT}_analysis_2026-02-04T21%3A14%3A16Z.json"
            )
        );
    }
}

#[tokio::test]
async fn objects_that_do_not_trigger_are_remembered_or_ignored() {
    let system = reference_system().await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    let analysis = invoke(
        &system,
        "recording-available",
        &event("recording-available-analysis"),
    )
    .await;
    assert_reply!(analysis, {
        "status": "skipped",
        "message": starts_with("objects of the kind redacted-analysis do not trigger")
    });
    let report = invoke(
        &system,
        "recording-available",
        &object_created(CONTACT, "Reports/ID.csv"),
    )
    .await;
    assert_reply!(report, {"status": "ignored"});
    let mut elsewhere = event("recording-available");
    elsewhere["detail"]["bucket"]["name"] = "another-bucket".into();
    let elsewhere = invoke(&system, "recording-available", &elsewhere).await;
    assert_reply!(elsewhere, {"status": "skipped"});
    assert_eq!(
        only_record(&system, "phonecalls")["description"],
        Json::Null
    );
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    assert_eq!(
        stored.history.objects().count(),
        1,
        "the analysis is remembered, for templates that name analysisUrl"
    );
}

#[tokio::test]
async fn the_same_event_again_and_at_the_same_moment_makes_one_record() {
    let system = system_with(|_| {}, |options| options.processes = 3).await;
    let start = event("contact-start");
    let replies = {
        let invoke = || invoke(&system, "contact-start", &start);
        let (a, b, c) = tokio::join!(invoke(), invoke(), invoke());
        [a, b, c, invoke().await]
    };
    for reply in replies {
        assert_reply!(reply, {"status": "delivered", "recordId": CONTACT.to_string()});
    }
    only_record(&system, "phonecalls");
    let sent = system.dataverse.take_exchanges();
    assert_eq!(
        sent.len(),
        1,
        "one worker at a time delivers a contact's steps: {sent:#?}"
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_record() {
    for duplicate_status in [412, 400, 500] {
        let system = reference_system().await;
        system.dataverse.set_duplicate_key_status(duplicate_status);
        system.dataverse.faults.once(Effect::CloseAfter);
        let reply = invoke(&system, "contact-start", &event("contact-start")).await;
        assert_reply!(reply, {"status": "delivered"}, "{duplicate_status}");
        assert_eq!(
            only_record(&system, "phonecalls")["activityid"],
            CONTACT.to_string()
        );
        let statuses: Vec<u16> = system
            .dataverse
            .take_exchanges()
            .iter()
            .map(|exchange| exchange.status)
            .collect();
        assert_eq!(
            statuses,
            [0, duplicate_status, 200],
            "created, refused as a duplicate, read back"
        );
        let ended = invoke(&system, "contact-end", &event("contact-end")).await;
        assert_reply!(ended, {"status": "delivered"}, "{duplicate_status}");
    }
}

#[tokio::test]
async fn an_update_never_creates_a_record() {
    let system = reference_system().await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    // Someone deletes the record: the update must not bring back a ghost of it.
    let other = flow(Uuid::new_v4(), json!({}), json!({}));
    system
        .dataverse
        .faults
        .once(Effect::refused(404, "0x80040217"));
    let reply = invoke(&system, "contact-end", &event("contact-end-flow")).await;
    assert_reply!(reply, {"status": "failed", "message": contains("there is no such record")});
    let reply = invoke(&system, "contact-start", &other).await;
    assert_reply!(reply, {"status": "delivered"});
    assert_eq!(system.dataverse.records("phonecalls").len(), 2);
}

#[tokio::test]
async fn the_end_that_comes_first_waits_and_the_start_brings_it_along() {
    let system = reference_system().await;
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(ended, {
        "status": "pending",
        "message": "it waits for contact-start, which has not run for this contact"
    });
    let recorded = invoke(
        &system,
        "recording-available",
        &event("recording-available"),
    )
    .await;
    assert_reply!(recorded, {"status": "pending"});
    assert!(system.dataverse.records("phonecalls").is_empty());
    let started = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(started, {"status": "delivered"});
    let record = only_record(&system, "phonecalls");
    assert_eq!(record["category"], "VOICE");
    assert!(
        record["description"]
            .as_str()
            .is_some_and(|text| text.starts_with("Your Recording URI is https://"))
    );
}

#[tokio::test]
async fn an_outage_leaves_the_step_pending_and_the_flow_answered() {
    let system = reference_system().await;
    system.dataverse.faults.times(1000, Effect::status(503));
    let started = invoke(&system, "contact-start", &event("contact-start")).await;
    // The record id is ours, so it is known before the record is.
    assert_reply!(started, {
        "status": "pending",
        "message": "Dynamics is not available at the moment (status 503)",
        "recordId": CONTACT.to_string(),
        "recordUrl": ends_with(&format!("id={CONTACT}")),
        "screenPopUrl": ends_with(&format!("id={CONTACT}"))
    });
    assert!(system.dataverse.records("phonecalls").is_empty());
    system.dataverse.faults.clear();
    // Whoever comes next for the contact delivers what is due, and so does redelivery.
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(ended, {"status": "pending"});
    eventually("the record is complete", async || {
        system.redeliver().await.expect("redelivery runs");
        system
            .dataverse
            .record("phonecalls", CONTACT)
            .is_some_and(|record| record["category"] == "VOICE")
    })
    .await;
    only_record(&system, "phonecalls");
}

#[tokio::test]
async fn a_flow_is_answered_whatever_hangs() {
    let hang = Effect::Delay(60_000);
    let system =
        system(|configuration| configuration["flowBudgetMilliseconds"] = 1000.into()).await;
    system.dataverse.faults.once(hang.clone());
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {
        "status": "pending",
        "recordId": CONTACT.to_string(),
        "screenPopUrl": anything()
    });

    // One byte a second never ends by itself.
    system.dataverse.faults.once(Effect::SlowAnswer);
    let other = Uuid::new_v4();
    let reply = invoke(&system, "contact-start", &flow(other, json!({}), json!({}))).await;
    assert_reply!(reply, {"status": "pending", "recordId": other.to_string()});

    system.entra.revoke_tokens();
    system.entra.faults.once(hang);
    let other = Uuid::new_v4();
    let reply = invoke(&system, "contact-start", &flow(other, json!({}), json!({}))).await;
    assert_reply!(reply, {"status": "pending", "recordId": other.to_string()});
}

#[tokio::test]
async fn without_the_table_a_flow_is_told_and_an_event_is_sent_again() {
    let system = system_with(
        |_| {},
        |options| {
            options.environment.insert(
                "AWS_ENDPOINT_URL_DYNAMODB".into(),
                "http://127.0.0.1:9".into(),
            );
        },
    )
    .await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "failed", "message": contains("connect-dynamics")});
    let event = invoke_raw(&system, "contact-end", &event("contact-end")).await;
    assert!(
        event.is_error,
        "EventBridge and S3 events are tried again by AWS: {}",
        event.payload
    );
}

#[tokio::test]
async fn each_bad_input_has_its_own_clear_reply() {
    let system = system(|configuration| {
        configuration["steps"]
            .as_object_mut()
            .unwrap()
            .remove("recording-available");
    })
    .await;
    let id = CONTACT.to_string();
    let cases = [
        (
            "contact-start",
            json!({}),
            "failed",
            "this is no event that the function knows: it has no fields at all",
        ),
        (
            "contact-start",
            json!([1]),
            "failed",
            "the event is an array, not a JSON object",
        ),
        (
            "contact-start",
            json!({"Details": {"ContactData": {"ContactId": 5}}}),
            "failed",
            "Details.ContactData.ContactId is wrong: it is a number",
        ),
        (
            "contact-start",
            flow(CONTACT, json!({"ContactId": "x"}), json!({})),
            "failed",
            "it is no UUID",
        ),
        (
            "contact-start",
            flow(Uuid::new_v4(), json!({}), json!({"integration": "nowhere"})),
            "pending",
            "there is no integration `nowhere`",
        ),
        (
            "contact-start",
            event("recording-available"),
            "failed",
            "contact-start takes flow events and contact events, not an S3 Object Created event",
        ),
        (
            "recording-available",
            event("contact-start"),
            "failed",
            "recording-available takes S3 Object Created events, not a flow event",
        ),
        (
            "contact-end",
            json!({"source": "aws.ec2", "detail-type": "x", "detail": {}}),
            "failed",
            "source `aws.ec2`",
        ),
        (
            "contact-end",
            json!({"source": "aws.connect", "detail-type": "Amazon Connect Contact Event", "detail": {"contactId": id}}),
            "failed",
            "detail.eventType is wrong",
        ),
        (
            "contact-answered",
            contact_event(CONTACT, "SOMETHING_NEW"),
            "ignored",
            "not at SOMETHING_NEW",
        ),
        (
            "recording-available",
            event("recording-available"),
            "skipped",
            "the step is not configured",
        ),
    ];
    for (function, event, status, message) in cases {
        let reply = invoke(&system, function, &event).await;
        assert_reply!(reply, {"status": status, "message": contains(message)}, "{function}");
        let logged = system
            .lambda
            .logs()
            .iter()
            .any(|line| line.contains(&message.replace('"', "\\\"")) && line.contains(status));
        assert!(logged || status == "skipped", "the log tells of: {message}");
    }
    assert!(system.dataverse.take_exchanges().is_empty());
}

#[tokio::test]
async fn refusals_for_good_fail_and_say_what_to_do() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["body"] =
            json!({"subject": "x", "nope": "y"});
    })
    .await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    // There is no record to open.
    assert_reply!(reply, {
        "status": "failed",
        "message": contains("`nope` is no column of `phonecalls`"),
        "screenPopUrl": null
    });
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(ended, {
        "status": "failed",
        "message": "it needs the response of contact-start, which is failed"
    });
}

#[tokio::test]
async fn what_someone_can_mend_stays_pending() {
    let system = reference_system().await;
    system.dataverse.set_application_user(false);
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "pending", "message": contains("add it as an application user")});
    system.dataverse.set_application_user(true);
    system
        .dataverse
        .set_missing_privilege(Some("prvCreateActivity"));
    let reply = invoke(
        &system,
        "contact-start",
        &flow(Uuid::new_v4(), json!({}), json!({})),
    )
    .await;
    assert_reply!(reply, {
        "status": "pending",
        "message": contains("lacks the privilege prvCreateActivity")
    });
}

#[tokio::test]
async fn a_rotated_secret_is_read_again() {
    let system = reference_system().await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    system.entra.set_client_secret("another-made-up-secret");
    system.entra.revoke_tokens();
    let wrong = invoke(
        &system,
        "contact-start",
        &flow(Uuid::new_v4(), json!({}), json!({})),
    )
    .await;
    assert_reply!(wrong, {"status": "pending", "message": contains("AADSTS7000215")});
    system.secrets_manager.set(
        "connect-dynamics/default",
        r#"{"clientSecret": "another-made-up-secret"}"#,
    );
    let right = invoke(
        &system,
        "contact-start",
        &flow(Uuid::new_v4(), json!({}), json!({})),
    )
    .await;
    assert_reply!(right, {"status": "delivered"});
}

#[tokio::test]
async fn a_large_response_is_reduced_to_what_templates_use() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"] = request(
            "GET",
            "contacts",
            "$filter=lastname eq 'Example'",
            Json::Null,
        );
        configuration["steps"]["contact-answered"]["screenPop"]["queryString"] =
            "?id={{STEP2-Response.contactid}}".into();
        for step in ["contact-end", "recording-available"] {
            configuration["steps"][step]["request"]["queryString"] =
                "(STEP2-Response.contactid)".into();
            configuration["steps"][step]["request"]["entitySet"] = "contacts".into();
        }
        configuration["steps"]["contact-end"]["request"]["body"] =
            json!({"jobtitle": "{{Channel}}"});
    })
    .await;
    system.dataverse.faults.once(Effect::LargeAnswer(200_000));
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered"});
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let size = serde_json::to_vec(&stored.history).unwrap().len();
    assert!(size < 100_000, "{size}");

    let large = flow(Uuid::new_v4(), json!({}), json!({}));
    system.dataverse.faults.once(Effect::LargeAnswer(5_000_000));
    let reply = invoke(&system, "contact-start", &large).await;
    assert_reply!(reply, {"status": "failed", "message": contains("larger than 1 MB")});
}

#[tokio::test]
async fn the_logs_of_a_whole_run_hold_no_secret_and_no_attribute() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["body"] = json!({
            "phonenumber": "{{CustomerEndpoint}}", "subject": "{{ Attributes.private }}", "description": "{{ Nothing }}",
            "actualdurationminutes": "{{ Attributes.private | int }}"
        });
    })
    .await;
    let private = "a private matter of +15555550177";
    let mut events = vec![flow(
        CONTACT,
        json!({"Attributes": {"private": private}}),
        json!({}),
    )];
    // A refusal in which Dynamics quotes the value, and one for which the log says which field.
    events.push(flow(
        Uuid::new_v4(),
        json!({"Attributes": {"private": private.repeat(20)}}),
        json!({}),
    ));
    for start in &events {
        invoke(&system, "contact-start", start).await;
    }
    system.entra.revoke_tokens();
    for (function, name) in [
        ("contact-answered", "contact-answered"),
        ("contact-end", "contact-end"),
        ("recording-available", "recording-available"),
    ] {
        invoke(&system, function, &event(name)).await;
    }
    system.dataverse.faults.once(Effect::CloseBefore);
    invoke(
        &system,
        "contact-start",
        &flow(
            Uuid::new_v4(),
            json!({"Attributes": {"private": private}}),
            json!({"integration": "nowhere"}),
        ),
    )
    .await;

    let logs = system.lambda.logs();
    assert!(logs.len() >= 10, "{logs:#?}");
    let mut hidden = vec![
        CLIENT_SECRET.to_owned(),
        "+15555550100".into(),
        "+15555550177".into(),
        "private matter".into(),
        "stand-in-token".into(),
    ];
    hidden.extend(system.entra.tokens());
    for line in &logs {
        let entry: Json =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let is_metric = entry["_aws"]["CloudWatchMetrics"].is_array();
        assert!(
            is_metric || entry["timestamp"].is_string() && entry["level"].is_string(),
            "{line}"
        );
        for hidden in &hidden {
            assert!(!line.contains(hidden), "the log holds {hidden}: {line}");
        }
    }
    let logged = |parts: &[&str]| {
        logs.iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(
        logged(&[
            &CONTACT.to_string(),
            "\"outcome\":\"delivered\"",
            "\"step\":\"contact-start\"",
            "dynamics_ms",
            "\"integration\":\"default\""
        ]),
        "{logs:#?}"
    );
    assert!(
        logged(&["\"field\":\"description\"", "the contact has no Nothing"]),
        "{logs:#?}"
    );
    assert!(
        logged(&["\"field\":\"actualdurationminutes\"", "not a whole number"]),
        "{logs:#?}"
    );
}

#[tokio::test]
async fn metrics_count_what_became_of_the_steps() {
    let system = system(|configuration| {
        configuration["steps"]
            .as_object_mut()
            .unwrap()
            .remove("recording-available");
    })
    .await;
    system.dataverse.faults.once(Effect::throttled(0));
    invoke(&system, "contact-start", &event("contact-start")).await;
    system
        .dataverse
        .faults
        .once(Effect::refused(400, "0x80048d19"));
    invoke(&system, "contact-end", &event("contact-end")).await;
    invoke(
        &system,
        "recording-available",
        &event("recording-available"),
    )
    .await;
    system.dataverse.faults.once(Effect::throttled(60));
    invoke(
        &system,
        "contact-start",
        &flow(Uuid::new_v4(), json!({}), json!({})),
    )
    .await;
    system.redeliver().await.unwrap();
    let mut metrics = std::collections::BTreeMap::new();
    for line in system.lambda.logs() {
        let entry: Json = serde_json::from_str(&line).unwrap();
        for directive in entry["_aws"]["CloudWatchMetrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert_eq!(directive["Namespace"], "ConnectDynamics");
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                let value = entry[name]
                    .as_f64()
                    .or_else(|| entry[name]["Values"][0].as_f64())
                    .unwrap_or_default();
                *metrics
                    .entry(format!(
                        "{name} {}",
                        entry["Step"].as_str().unwrap_or_default()
                    ))
                    .or_insert(0.0) += value;
            }
        }
    }
    for (name, expected) in [
        ("Delivered contact-start", 1.0),
        ("Failed contact-end", 1.0),
        ("Failed ", 1.0),
        ("Skipped recording-available", 1.0),
        ("Pending contact-start", 1.0),
        ("Throttled ", 2.0),
    ] {
        assert_eq!(metrics.get(name), Some(&expected), "{name}: {metrics:#?}");
    }
    assert!(
        metrics["SecretDaysLeft "] > 0.0
            && metrics.contains_key("DynamicsLatency ")
            && metrics.contains_key("OldestPendingAge "),
        "{metrics:#?}"
    );
}

/// Hostile values through the real binary, the wire and the stand-in's parser.
#[tokio::test]
async fn whatever_an_attribute_holds_the_record_holds_exactly_that() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["body"] = json!({"description": "{{ x }}", "subject": "<{{ Attributes.x | truncate(190) }}>", "category": "{{Channel}}"});
        configuration["steps"]["contact-end"] = request("GET", "contacts", "?$filter=description eq '{{x}}' and lastname eq 'Example'&$top=1", Json::Null);
        configuration["steps"].as_object_mut().unwrap().remove("recording-available");
    })
    .await;
    system
        .dataverse
        .insert("contacts", json!({"lastname": "Someone else"}))
        .unwrap();
    let hostile = prop_oneof![
        any::<String>(),
        r#"["'{}%#\\\n\r\t&?=/() .$;,@\[\]<>+-]{1,60}"#,
        prop::sample::select(vec![
            "{{7*7}}",
            "{% for x in range(9) %}",
            "' or 1 eq 1 or lastname ne '",
            "')/x?y=z#",
            "\u{0}\u{1b}\"",
            "👩‍👩‍👧‍👦",
            "objectUrl",
            "a\\",
            "x'"
        ])
        .prop_map(str::to_owned),
    ];
    let mut runner = TestRunner::default();
    for _ in 0..150 {
        let value = hostile.new_tree(&mut runner).unwrap().current();
        if value.is_empty() {
            continue;
        }
        let contact = Uuid::new_v4();
        let event = flow(contact, json!({"Attributes": {"x": value}}), json!({}));
        let reply = invoke(&system, "contact-start", &event).await;
        assert_reply!(reply, {"status": "delivered"}, "{value:?}");
        let record = system.dataverse.record("phonecalls", contact).unwrap();
        let mut units = 0;
        let fits = |c: &char| {
            units += c.len_utf16();
            units <= 190
        };
        let start: String = value.chars().take_while(fits).collect();
        assert_eq!(
            told(&record),
            json!({"description": value, "subject": format!("<{start}>"), "category": "VOICE"})
        );
        let ended = invoke(&system, "contact-end", &event).await;
        assert_reply!(ended, {"status": "delivered"}, "{value:?}");
        let found = system.dataverse.take_exchanges().pop().unwrap();
        assert_eq!(
            found.answer["value"],
            json!([]),
            "no attribute adds a clause: {value:?} {}",
            found.target
        );
    }
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_is_as_good_as_not_set() {
    let system = system_with(
        |_| {},
        |options| {
            for name in ["LOG_LEVEL", "INTEGRATION", "RECORDING_FOLDERS"] {
                options.environment.insert(name.into(), String::new());
            }
        },
    )
    .await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered"});
}

#[tokio::test]
async fn objects_are_known_by_the_folders_that_the_function_is_told() {
    let folders = json!({
        "recording": {"bucket": "example-connect-recordings", "prefix": "connect/x/call-recordings/"},
        "transcript": {"bucket": "example-connect-chats", "prefix": "connect/x/call-recordings/"},
    });
    let system = system_with(
        |_| {},
        |options| {
            let name = "RECORDING_FOLDERS".into();
            options.environment.insert(name, folders.to_string());
        },
    )
    .await;
    invoke(
        &system,
        "contact-start",
        &flow(CONTACT, json!({}), json!({})),
    )
    .await;
    let key = "connect/x/call-recordings/2026/02/04/ID_20260204T21:14_UTC.wav";
    let recording = object_created(CONTACT, key);
    let reply = invoke(&system, "recording-available", &recording).await;
    assert_reply!(reply, {"status": "delivered"});
    let another = object_created(CONTACT, &key.replace("/x/", "/y/"));
    let reply = invoke(&system, "recording-available", &another).await;
    assert_reply!(reply, {"status": "ignored", "message": contains("no folder of this key")});
}

#[tokio::test]
async fn a_function_that_is_told_nonsense_for_folders_says_so_and_ends() {
    // It builds the functions.
    let _system = reference_system().await;
    let binaries = Options::new().unwrap().binaries;
    let ended = std::process::Command::new(binaries.join("recording-available"))
        .env_clear()
        .env("TABLE_NAME", "connect-dynamics")
        .env("RECORDING_FOLDERS", "CallRecordings/")
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let text = String::from_utf8_lossy(&ended.stderr);
    assert!(
        text.contains("the environment variable RECORDING_FOLDERS is wrong: "),
        "{text}"
    );
}

#[tokio::test]
async fn of_a_batch_what_could_not_be_stored_and_nothing_else_comes_again() {
    let system = reference_system().await;
    let started = flow(CONTACT, json!({}), json!({}));
    invoke(&system, "contact-start", &started).await;
    let record = |id: &str, body: String| json!({"messageId": id, "body": body, "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"}});
    let ended = contact_event(CONTACT, "DISCONNECTED");
    let batch = json!({"Records": [
        record("ended", ended.to_string()),
        record("of another type", contact_event(CONTACT, "QUEUED").to_string()),
        record("no event", "hello".into()),
    ]});
    let answer = invoke_raw(&system, "contact-end", &batch).await;
    assert_eq!(answer.payload, json!({"batchItemFailures": []}));
    assert_eq!(only_record(&system, "phonecalls")["category"], "VOICE");

    // A key of the table's that is gone is no reason to lose an event.
    let other = Uuid::new_v4();
    let batch = json!({"Records": [
        record("again", ended.to_string()),
        record("new", contact_event(other, "DISCONNECTED").to_string()),
    ]});
    let table_faults = Faults::default();
    let change = |options: &mut Options| options.table_faults = table_faults.clone();
    let system = system_with(|_| {}, change).await;
    table_faults.times(1000, Effect::refused(400, "AccessDeniedException"));
    let answer = invoke_raw(&system, "contact-end", &batch).await;
    let failures =
        json!({"batchItemFailures": [{"itemIdentifier": "again"}, {"itemIdentifier": "new"}]});
    assert_eq!(answer.payload, failures);
    table_faults.clear();
    let answer = invoke_raw(&system, "contact-end", &batch).await;
    assert_eq!(answer.payload, json!({"batchItemFailures": []}));
    for contact in [CONTACT, other] {
        assert!(system.store.load(contact).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_connection_can_be_tried_before_it_counts() {
    let system = reference_system().await;
    let start = |contact| flow(contact, json!({}), json!({}));
    let reply = invoke(&system, "contact-start", &start(Uuid::new_v4())).await;
    assert_reply!(reply, {"status": "delivered"});
    let name = system.integration.name().to_owned();
    let tried = async |name: &str| {
        let order = json!({"tryConnection": name});
        let tried = invoke_raw(&system, "redelivery", &order).await;
        assert!(!tried.is_error, "{:?}", tried.payload);
        tried.payload
    };
    let works = tried(&name).await;
    assert_eq!(
        (&works["works"], &works["message"]),
        (&json!(true), &Json::Null)
    );
    assert_eq!(works["userId"], "00000000-0000-4000-8000-000000000002");
    assert_eq!(
        works["environment"],
        system.addresses.dataverse.to_string(),
        "the hosts that it leads to are told"
    );

    // The new secret is mistyped. Warm functions go on with the old one; the trial does not.
    let connection = system.integration.connection();
    let secret_id = connection.client_secret_id.as_deref().unwrap();
    let mistyped = json!({"clientSecret": "mistyped"}).to_string();
    system.secrets_manager.set(secret_id, &mistyped);
    let broken = tried(&name).await;
    assert_eq!(broken["works"], false);
    let message = broken["message"].as_str().unwrap();
    assert!(
        message.contains("AADSTS7000215") && !message.contains("mistyped"),
        "{message}"
    );
    let reply = invoke(&system, "contact-start", &start(Uuid::new_v4())).await;
    assert_reply!(reply, {"status": "delivered"});

    let unknown = tried("elsewhere").await;
    assert_eq!(unknown["works"], false);
    let message = unknown["message"].as_str().unwrap();
    assert!(
        message.starts_with("there is no integration `elsewhere`"),
        "{message}"
    );
    system.dataverse.set_application_user(false);
    let secret = json!({"clientSecret": CLIENT_SECRET}).to_string();
    system.secrets_manager.set(secret_id, &secret);
    let message = tried(&name).await["message"].to_string();
    assert!(message.contains("application user"), "{message}");
}
