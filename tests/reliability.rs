//! Nothing lost, nothing doubled: outages, killed processes, strays and poison, and what Dynamics and
//! the table hold at the end.

use std::path::PathBuf;

use connect_dynamics::{
    event::Event,
    history::{History, RequestKey, State},
    recording::{Folders, RecordedObject},
    step::Step,
    store::{Line, List, Stored},
};
use end_to_end::*;
use jiff::Timestamp;
use local::{
    http,
    stand_in::{
        dataverse::Dataverse,
        fault::{Effect, Fault, Faults},
    },
    system::{Options, System},
    table,
};
use serde_json::{Value as Json, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use uuid::Uuid;

async fn state(system: &System, contact: Uuid, step: Step) -> Option<State> {
    let stored = system
        .store
        .load(contact)
        .await
        .expect("the table answers")?;
    stored.history.state(&RequestKey::of(step))
}

/// Redelivers until nothing is due any more for the contact.
async fn settle(system: &System, contact: Uuid) {
    eventually("the contact is settled", async || {
        system.redeliver().await.expect("redelivery runs");
        let stored = system.store.load(contact).await.expect("the table answers");
        stored.is_some_and(|stored| stored.history.wake_at().is_none())
    })
    .await;
}

fn marker(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("connect-dynamics-{name}-{}", Uuid::new_v4()));
    let _ = std::fs::remove_file(&path);
    path
}

/// A system whose functions die once, at a crash point.
async fn dying_at(point: &str) -> (System, PathBuf) {
    let marker = marker(point);
    let path = marker.to_string_lossy().into_owned();
    let system = system_with(
        |_| {},
        |options| {
            options
                .environment
                .insert("FAILPOINTS".into(), format!("{point}=return"));
            options.environment.insert("CRASH_MARKER".into(), path);
        },
    )
    .await;
    (system, marker)
}

async fn is_complete(system: &System) {
    let record = only_record(system, "phonecalls");
    assert_eq!(record["activityid"], CONTACT.to_string());
    assert_eq!(
        (record["phonenumber"].as_str(), record["category"].as_str()),
        (Some("+15555550100"), Some("VOICE"))
    );
    assert!(
        record["description"]
            .as_str()
            .is_some_and(|text| text.starts_with("Your Recording URI is https://"))
    );
}

async fn the_rest_of_its_life(system: &System) {
    invoke(system, "contact-answered", &event("contact-answered")).await;
    invoke(system, "contact-end", &event("contact-end")).await;
    invoke(system, "recording-available", &event("recording-available")).await;
    settle(system, CONTACT).await;
    is_complete(system).await;
}

#[tokio::test]
async fn killed_before_the_intent_is_stored_the_caller_is_told_and_sends_again() {
    let (system, marker) = dying_at("before-the-intent-is-stored").await;
    let killed = invoke_raw(&system, "contact-start", &event("contact-start")).await;
    assert!(killed.is_error && marker.exists(), "{}", killed.payload);
    assert_eq!(system.store.load(CONTACT).await.unwrap(), None);
    // Connect repeats a failed call; AWS an event that was not stored.
    invoke(&system, "contact-start", &event("contact-start")).await;
    the_rest_of_its_life(&system).await;
}

#[tokio::test]
async fn killed_after_the_intent_is_stored_redelivery_sends_the_request() {
    let (system, marker) = dying_at("after-the-intent-is-stored").await;
    let killed = invoke_raw(&system, "contact-start", &event("contact-start")).await;
    assert!(killed.is_error && marker.exists(), "{}", killed.payload);
    assert_eq!(
        state(&system, CONTACT, Step::ContactStart).await,
        Some(State::Pending)
    );
    assert!(system.dataverse.records("phonecalls").is_empty());
    settle(&system, CONTACT).await;
    only_record(&system, "phonecalls");
    the_rest_of_its_life(&system).await;
}

#[tokio::test]
async fn killed_after_the_request_left_redelivery_finds_the_record_it_made() {
    let system = reference_system().await;
    // The request is done, and its answer never comes.
    system.dataverse.faults.once(Effect::SlowAnswer);
    let call = {
        let lambda = system.lambda.clone();
        tokio::spawn(async move {
            lambda
                .invoke("contact-start", &event("contact-start"))
                .await
        })
    };
    eventually("Dynamics has made the record", async || {
        !system.dataverse.records("phonecalls").is_empty()
    })
    .await;
    assert!(system.lambda.kill_one("contact-start"));
    assert!(call.await.unwrap().unwrap().is_error);
    assert_eq!(
        state(&system, CONTACT, Step::ContactStart).await,
        Some(State::Pending)
    );
    settle(&system, CONTACT).await;
    the_rest_of_its_life(&system).await;
}

#[tokio::test]
async fn killed_after_the_answer_redelivery_stores_what_was_done() {
    for step in ["contact-start", "contact-end", "recording-available"] {
        let (system, marker) = dying_at("after-the-answer").await;
        // The marker keeps all functions but the one alive.
        std::fs::write(&marker, "").unwrap();
        for before in ["contact-start", "contact-end", "recording-available"] {
            if before == step {
                std::fs::remove_file(&marker).unwrap();
                let killed = invoke_raw(&system, step, &event(step)).await;
                assert!(
                    killed.is_error && marker.exists(),
                    "{step}: {}",
                    killed.payload
                );
                settle(&system, CONTACT).await;
            } else {
                invoke(&system, before, &event(before)).await;
            }
        }
        settle(&system, CONTACT).await;
        is_complete(&system).await;
    }
}

/// Three events while Dynamics is down: all that redelivery has to do.
async fn left_behind(system: &System) {
    system.dataverse.faults.times(10_000, Effect::status(503));
    for name in ["contact-start", "contact-end", "recording-available"] {
        let reply = invoke(system, name, &event(name)).await;
        assert_reply!(reply, {"status": "pending"}, "{name}");
    }
    system.dataverse.faults.clear();
}

#[tokio::test]
async fn redelivery_killed_after_the_answer_still_delivers() {
    let (system, marker) = dying_at("after-the-answer").await;
    std::fs::write(&marker, "").unwrap();
    left_behind(&system).await;
    std::fs::remove_file(&marker).unwrap();
    eventually("redelivery dies", async || {
        system.redeliver().await.is_err()
    })
    .await;
    assert!(marker.exists());
    settle(&system, CONTACT).await;
    is_complete(&system).await;
}

#[tokio::test]
async fn redelivery_killed_after_the_request_left_still_delivers() {
    let system = std::sync::Arc::new(reference_system().await);
    left_behind(&system).await;
    system.dataverse.faults.once(Effect::SlowAnswer);
    let run = {
        let system = system.clone();
        tokio::spawn(async move {
            // The first step's due time has to come first.
            while system
                .redeliver()
                .await
                .is_ok_and(|report| report.contacts == 0)
            {}
        })
    };
    eventually("Dynamics has made the record", async || {
        !system.dataverse.records("phonecalls").is_empty()
    })
    .await;
    assert!(system.lambda.kill_one("redelivery"));
    run.await.unwrap();
    settle(&system, CONTACT).await;
    is_complete(&system).await;
}

#[tokio::test]
async fn an_outage_is_made_good_in_order() {
    let system = reference_system().await;
    left_behind(&system).await;
    system.dataverse.faults.times(10_000, Effect::status(503));
    let report = system.redeliver().await.unwrap();
    assert_eq!(report.delivered, 0);
    system.dataverse.faults.clear();
    system.dataverse.take_exchanges();
    settle(&system, CONTACT).await;
    is_complete(&system).await;
    let sent: Vec<String> = system
        .dataverse
        .take_exchanges()
        .into_iter()
        .map(|exchange| exchange.method)
        .collect();
    assert_eq!(sent, ["POST", "PATCH", "PATCH"]);
}

#[tokio::test]
async fn a_limit_pauses_the_whole_environment_and_not_one_step() {
    let system = reference_system().await;
    system.dataverse.faults.times(1000, Effect::status(503));
    for _ in 0..20 {
        invoke(
            &system,
            "contact-start",
            &flow(Uuid::new_v4(), json!({}), json!({})),
        )
        .await;
    }
    system.dataverse.faults.clear();
    system.dataverse.faults.times(1000, Effect::throttled(600));
    eventually("redelivery has met the limit", async || {
        system.redeliver().await.unwrap();
        system
            .dataverse
            .take_exchanges()
            .iter()
            .any(|exchange| exchange.status == 429)
    })
    .await;
    for _ in 0..5 {
        let report = system.redeliver().await.unwrap();
        assert_eq!(report.delivered, 0);
    }
    let sent = system.dataverse.take_exchanges().len();
    assert_eq!(sent, 0, "whoever goes on sending waits longer");
}

#[tokio::test]
async fn what_dynamics_never_takes_fails_at_once_and_is_done_again_by_hand() {
    let system = reference_system().await;
    system
        .dataverse
        .faults
        .once(Effect::refused(400, "0x80048d19"));
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "failed"});
    invoke(&system, "contact-end", &event("contact-end")).await;
    assert_eq!(
        state(&system, CONTACT, Step::ContactEnd).await,
        Some(State::Failed)
    );
    let report = system.redeliver().await.unwrap();
    assert_eq!(report.contacts, 0, "what has failed is not due");

    let by_hand = invoke_raw(
        &system,
        "redelivery",
        &json!({"failedSince": "2026-01-01T00:00:00Z"}),
    )
    .await;
    assert_eq!(
        (by_hand.is_error, by_hand.payload["delivered"].as_u64()),
        (false, Some(2)),
        "{}",
        by_hand.payload
    );
    assert_eq!(only_record(&system, "phonecalls")["category"], "VOICE");

    let other = Uuid::new_v4();
    system
        .dataverse
        .faults
        .once(Effect::refused(400, "0x80048d19"));
    invoke(&system, "contact-start", &flow(other, json!({}), json!({}))).await;
    let by_hand = invoke_raw(
        &system,
        "redelivery",
        &json!({"contactId": other.to_string()}),
    )
    .await;
    assert_eq!(by_hand.payload["delivered"], 1, "{}", by_hand.payload);
    let wrong = invoke_raw(
        &system,
        "redelivery",
        &json!({"contact": other.to_string()}),
    )
    .await;
    assert!(
        wrong.is_error
            && wrong.payload["errorMessage"]
                .as_str()
                .unwrap()
                .contains("redelivery takes")
    );
}

#[tokio::test]
async fn a_step_that_waited_too_long_has_failed_and_is_kept() {
    let system = reference_system().await;
    system.dataverse.faults.times(10_000, Effect::status(503));
    invoke(&system, "contact-start", &event("contact-start")).await;
    // Three days go by.
    let start = RequestKey::of(Step::ContactStart);
    let mut stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let step = stored.history.request(&start).unwrap();
    let long_ago =
        Json::from((step.intended_at - jiff::SignedDuration::from_hours(73)).to_string());
    stored.history = rewritten(&stored.history, |history| {
        let step = &mut history["steps"]["contact-start"];
        step["intendedAt"] = long_ago.clone();
        step["firstTriedAt"] = long_ago.clone();
        step["dueAt"] = long_ago.clone();
        history["wakeAt"] = long_ago;
    });
    system.store.save(&mut stored, 30).await.unwrap();
    system.redeliver().await.unwrap();
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let step = stored.history.request(&start).unwrap();
    assert_eq!(step.state, State::Failed);
    assert!(
        step.reason
            .as_deref()
            .unwrap()
            .starts_with("given up after 72 hours: Dynamics is not available")
    );
    system.dataverse.faults.clear();
    let by_hand = invoke_raw(
        &system,
        "redelivery",
        &json!({"contactId": CONTACT.to_string()}),
    )
    .await;
    assert_eq!(by_hand.payload["delivered"], 1);
    only_record(&system, "phonecalls");
}

#[tokio::test]
async fn a_contact_that_never_started_is_skipped_or_started_as_configured() {
    for (action, records) in [("skip", 0), ("start", 1)] {
        let system = system(|configuration| {
            configuration["withoutStart"] = json!({"action": action, "afterMinutes": 0});
        })
        .await;
        let recorded = invoke(
            &system,
            "recording-available",
            &event("recording-available"),
        )
        .await;
        settle(&system, CONTACT).await;
        assert_eq!(
            system.dataverse.records("phonecalls").len(),
            records,
            "{action}"
        );
        if action == "skip" {
            assert_reply!(recorded, {
                "status": "skipped",
                "message": contains("never ran for this contact")
            });
            // It comes after all, and brings the recording along.
            invoke(&system, "contact-start", &event("contact-start")).await;
        } else {
            assert_reply!(recorded, {"status": "delivered", "recordId": CONTACT.to_string()});
        }
        assert!(only_record(&system, "phonecalls")["description"].is_string());
    }
}

#[tokio::test]
async fn an_event_a_hundred_times_from_several_processes_makes_one_record() {
    let system = system_with(|_| {}, |options| options.processes = 3).await;
    let mut calls = Vec::new();
    for index in 0..100 {
        let lambda = system.lambda.clone();
        let name = ["contact-start", "contact-end", "recording-available"][index % 3];
        calls.push(tokio::spawn(async move {
            lambda.invoke(name, &event(name)).await
        }));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    settle(&system, CONTACT).await;
    is_complete(&system).await;
    let sent = system.dataverse.take_exchanges();
    assert_eq!(
        sent.iter()
            .filter(|exchange| exchange.method == "POST")
            .count(),
        1,
        "{sent:#?}"
    );
}

#[tokio::test]
async fn a_transfer_leg_has_a_record_of_its_own() {
    let system = reference_system().await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    let leg = invoke(&system, "contact-start", &event("contact-start-transfer")).await;
    assert_ne!(leg["recordId"], CONTACT.to_string());
    assert_eq!(system.dataverse.records("phonecalls").len(), 2);
}

#[tokio::test]
async fn a_duplicates_refusal_that_is_cut_short_is_still_one() {
    let system = reference_system().await;
    // The record is made and the answer lost; then it is refused as a duplicate and that is cut short.
    for effect in [Effect::CloseAfter, Effect::TruncatedAnswer] {
        system.dataverse.faults.once(effect);
    }
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered"});
    the_rest_of_its_life(&system).await;
}

#[tokio::test]
async fn a_contact_larger_than_an_item_keeps_what_templates_use() {
    let system = system(|configuration| {
        for step in ["contact-start", "contact-answered", "contact-end"] {
            configuration["steps"][step] = request("GET", "contacts", "?$top=1", Json::Null);
        }
        configuration["steps"]["recording-available"] = request(
            "POST",
            "tasks",
            "",
            json!({"subject": "{{ STEP2-Response.filler | truncate(10) }}"}),
        );
    })
    .await;
    let large = json!({"Attributes": {"large": "\u{1F4DE}".repeat(8_000)}});
    for function in ["contact-start", "contact-answered", "contact-end"] {
        system.dataverse.faults.once(Effect::LargeAnswer(99_000));
        let reply = invoke(
            &system,
            function,
            &flow(
                CONTACT,
                large.clone(),
                json!({"note": "\u{1F4DE}".repeat(4_000)}),
            ),
        )
        .await;
        assert_reply!(reply, {"status": "delivered"}, "{function}");
    }
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let states: Vec<State> = stored
        .history
        .in_order()
        .iter()
        .map(|(_, step)| step.state)
        .collect();
    assert_eq!(
        states,
        [State::Delivered; 3],
        "the table knows what the flow was told"
    );
    let size = serde_json::to_vec(&stored.history).unwrap().len();
    assert!(size < 400 * 1024, "{size}");
    let logs = system.lambda.logs();
    assert!(
        logs.iter()
            .any(|line| line.contains("too large for an item")),
        "{size}"
    );
    invoke(
        &system,
        "recording-available",
        &event("recording-available"),
    )
    .await;
    assert_eq!(only_record(&system, "tasks")["subject"], "xxxxxxxxxx");
}

#[tokio::test]
async fn a_clock_that_is_minutes_off_does_no_harm() {
    for skew in [-600, 600] {
        let system = system_with(|_| {}, |options| options.clock_skew = skew).await;
        let reply = invoke(&system, "contact-start", &event("contact-start")).await;
        assert_reply!(reply, {"status": "delivered"}, "{skew}");
        the_rest_of_its_life(&system).await;
    }
}

#[tokio::test]
async fn a_record_too_large_to_be_read_back_is_there_all_the_same() {
    let system = reference_system().await;
    system.dataverse.faults.once(Effect::CloseAfter);
    system
        .dataverse
        .faults
        .once_at("GET", Effect::LargeAnswer(2_000_000));
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered"});
    the_rest_of_its_life(&system).await;
}

#[tokio::test]
async fn contacts_of_a_broken_configuration_are_kept_until_it_is_mended() {
    let system = reference_system().await;
    let other = flow(CONTACT, json!({}), json!({"integration": "second"}));
    let reply = invoke(&system, "contact-start", &other).await;
    assert_reply!(reply, {
        "status": "pending",
        "message": contains("there is no integration `second`")
    });
    system
        .store
        .save_integration("second", "{\"name\": \"second\"}")
        .await
        .unwrap();
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(ended, {"message": contains("missing field `connection`")});
    let mut document = serde_json::to_value(system.integration.configuration()).unwrap();
    document["name"] = "second".into();
    system
        .store
        .save_integration("second", &document.to_string())
        .await
        .unwrap();
    let by_hand = invoke_raw(
        &system,
        "redelivery",
        &json!({"contactId": CONTACT.to_string()}),
    )
    .await;
    assert_eq!(by_hand.payload["delivered"], 2, "{}", by_hand.payload);
    assert_eq!(only_record(&system, "phonecalls")["category"], "VOICE");
}

#[tokio::test]
async fn a_contact_whose_end_came_first_still_goes_to_the_integration_its_flow_names() {
    let system = reference_system().await;
    let mut document = serde_json::to_value(system.integration.configuration()).unwrap();
    document["name"] = "second".into();
    document["steps"]["contact-end"]["request"]["body"] = json!({"subcategory": "second"});
    system
        .store
        .save_integration("second", &document.to_string())
        .await
        .unwrap();
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(ended, {"status": "pending"});
    let start = flow(CONTACT, json!({}), json!({"integration": "second"}));
    let started = invoke(&system, "contact-start", &start).await;
    assert_reply!(started, {"status": "delivered"});
    let record = only_record(&system, "phonecalls");
    assert_eq!(
        (&record["subcategory"], &record["category"]),
        (&json!("second"), &Json::Null)
    );
}

/// An address that takes connections and never answers.
async fn silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = Vec::new();
                let _ = stream.read_to_end(&mut heard).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_flow_is_answered_when_dynamodb_or_secrets_manager_hangs() {
    let dumb = silence().await;
    let system = system_with(
        |_| {},
        |options| {
            options
                .environment
                .insert("AWS_ENDPOINT_URL_DYNAMODB".into(), dumb.clone());
        },
    )
    .await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "failed"});
    let logs = system.lambda.logs();
    let entry = logs
        .iter()
        .find(|line| line.contains("to replay it"))
        .expect("the log tells how to replay the event");
    let entry: Json = serde_json::from_str(entry).unwrap();
    let replayed: Json = serde_json::from_str(entry["event"].as_str().unwrap()).unwrap();
    assert_eq!(
        replayed,
        event("contact-start"),
        "what is needed to replay the event"
    );

    let system = system_with(
        |_| {},
        |options| {
            options
                .environment
                .insert("AWS_ENDPOINT_URL_SECRETS_MANAGER".into(), dumb);
        },
    )
    .await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {
        "status": "pending",
        "recordId": CONTACT.to_string(),
        "screenPopUrl": anything()
    });
    assert_eq!(
        state(&system, CONTACT, Step::ContactStart).await,
        Some(State::Pending)
    );
}

#[tokio::test]
async fn poisonous_answers_do_no_harm() {
    for effect in [
        Effect::LargeAnswer(5_000_000),
        Effect::HtmlPage,
        Effect::SignInPage,
        Effect::TruncatedAnswer,
        Effect::Redirect("http://127.0.0.1:9/".into()),
        Effect::CloseAfter,
    ] {
        let system = reference_system().await;
        system.dataverse.faults.once_at("POST", effect.clone());
        let started = invoke(&system, "contact-start", &event("contact-start")).await;
        assert!(
            ["delivered", "pending"].contains(&started["status"].as_str().unwrap()),
            "{effect:?}: {started:?}"
        );
        settle(&system, CONTACT).await;
        system.dataverse.faults.once_at("PATCH", effect.clone());
        the_rest_of_its_life(&system).await;
    }
}

#[tokio::test]
async fn a_contact_with_the_most_attributes_amazon_connect_allows_is_kept_whole() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["body"] =
            json!({"description": "{{ Attributes.large | truncate(2000) }}"});
    })
    .await;
    let large = json!({"Attributes": {"large": "\u{1F4DE}".repeat(8_000)}});
    for function in ["contact-start", "contact-answered", "contact-end"] {
        let reply = invoke(&system, function, &flow(CONTACT, large.clone(), json!({}))).await;
        assert_ne!(reply["status"], "failed", "{reply:?}");
    }
    let description = &only_record(&system, "phonecalls")["description"];
    assert_eq!(
        description.as_str().unwrap().chars().count(),
        1000,
        "two code units each"
    );
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    assert!(serde_json::to_vec(&stored.history).unwrap().len() > 90_000);
}

#[tokio::test]
async fn a_create_with_a_query_keeps_its_id_when_its_answer_is_lost() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"]["request"]["queryString"] =
            "?$select=subject".into();
        configuration["steps"]["contact-start"]["request"]["body"] =
            json!({"subject": "Call", "directioncode": false});
    })
    .await;
    // The second is answered that it is there already, and reads it.
    system.dataverse.faults.once(Effect::CloseAfter);
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "recordId": CONTACT.to_string()});
    let record = only_record(&system, "phonecalls");
    assert_eq!(record["activityid"], CONTACT.to_string());
    let ended = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(ended, {"status": "delivered"});
    assert_eq!(only_record(&system, "phonecalls")["category"], "VOICE");
}

#[tokio::test]
async fn an_action_whose_outcome_is_unknown_is_left_to_a_person() {
    let action = "phonecalls(STEP2-Response.activityid)/Microsoft.Dynamics.CRM.Close";
    let system = system(|configuration| {
        let (entity_set, address) = action.split_at("phonecalls".len());
        configuration["steps"]["contact-end"] =
            request("POST", entity_set, address, json!({"Status": 2}));
    })
    .await;
    let sent = || {
        let exchanges = system.dataverse.take_exchanges().into_iter();
        let actions = exchanges.filter(|exchange| exchange.target.ends_with("CRM.Close"));
        actions.count()
    };
    // What was certainly not done is simply done again.
    let contact = Uuid::new_v4();
    invoke(
        &system,
        "contact-start",
        &flow(contact, json!({}), json!({})),
    )
    .await;
    system.dataverse.faults.once(Effect::throttled(0));
    let ended = contact_event(contact, "DISCONNECTED");
    invoke(&system, "contact-end", &ended).await;
    assert_eq!(sent(), 2);
    for lost in [Effect::CloseAfter, Effect::status(503), Effect::HtmlPage] {
        let contact = Uuid::new_v4();
        let started = flow(contact, json!({}), json!({}));
        invoke(&system, "contact-start", &started).await;
        system.dataverse.faults.once(lost.clone());
        let ended = contact_event(contact, "DISCONNECTED");
        let reply = invoke(&system, "contact-end", &ended).await;
        assert_reply!(
            reply,
            {"status": "failed", "message": contains("may have been carried out")},
            "{lost:?}"
        );
        invoke(&system, "contact-end", &ended).await;
        system.redeliver().await.unwrap();
        assert_eq!(
            sent(),
            1,
            "{lost:?}: neither redelivery nor the event's second coming repeats it"
        );
        let by_hand = json!({"contactId": contact.to_string()});
        invoke_raw(&system, "redelivery", &by_hand).await;
        assert_eq!(sent(), 1, "{lost:?}: a person does");
    }
}

/// A contact whose start is pending in the table since `since`, and due since then.
async fn pending_since(system: &System, contact: Uuid, integration: &str, since: Timestamp) {
    let mut history = History::new(contact, integration, since);
    history.intend(&RequestKey::of(Step::ContactStart), since);
    let history = rewritten(&history, |history| {
        history["wakeAt"] = since.to_string().into();
        history["waitingSince"] = since.to_string().into();
    });
    let mut stored = Stored::new(history);
    system.store.save(&mut stored, 30).await.unwrap();
}

#[tokio::test]
async fn what_waits_for_an_integration_that_cannot_be_loaded_is_counted_and_fails_in_the_end() {
    let system = reference_system().await;
    let (waiting, late) = (Uuid::new_v4(), Uuid::new_v4());
    let hours = |hours| Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    pending_since(&system, waiting, "nowhere", hours(10)).await;
    pending_since(&system, late, "nowhere", hours(100)).await;
    let mut stored = system.store.load(late).await.unwrap().unwrap();
    stored.history = rewritten(&stored.history, |history| {
        history["parkedAt"] = hours(73).to_string().into();
    });
    system.store.save(&mut stored, 30).await.unwrap();
    let report = system.redeliver().await.unwrap();
    assert_eq!((report.contacts, report.pending, report.failed), (2, 1, 1));
    assert!((360_000..360_100).contains(&report.oldest_pending_seconds));
    assert_eq!(
        state(&system, late, Step::ContactStart).await,
        Some(State::Failed)
    );
    let again = system.redeliver().await.unwrap();
    assert_eq!(again.contacts, 0, "it is not looked at every minute");

    // Nothing of it is pending: asking for it by hand leaves it as it is.
    let before = system.store.load(late).await.unwrap();
    let by_hand = json!({"contactId": late.to_string()});
    invoke_raw(&system, "redelivery", &by_hand).await;
    assert_eq!(system.store.load(late).await.unwrap(), before);
}

#[tokio::test]
async fn an_event_that_comes_again_while_the_integration_is_broken_is_told_what_became_of_it() {
    let system = reference_system().await;
    let contact = Uuid::new_v4();
    let start = flow(contact, json!({}), json!({"integration": "gone"}));
    let mut history = History::new(contact, "gone", Timestamp::now());
    let key = RequestKey::of(Step::ContactStart);
    history.intend(&key, Timestamp::now());
    history.delivered(&key, Some(contact), None, Timestamp::now());
    let mut stored = Stored::new(history);
    system.store.save(&mut stored, 30).await.unwrap();
    let reply = invoke(&system, "contact-start", &start).await;
    assert_reply!(reply, {"status": "delivered", "message": starts_with("there is no integration `gone`")});
}

/// As version 0.1.0 listed it: in one list for all integrations, without since when it waits.
async fn list_as_formerly(system: &System, contact: Uuid, since: Timestamp) {
    let key = json!({"pk": {"S": format!("CONTACT#{contact}")}});
    let shard = contact.as_bytes()[15] % 16;
    let update = json!({
        "TableName": table::TABLE_NAME, "Key": key,
        "UpdateExpression": "SET due = :due, dueAt = :at",
        "ExpressionAttributeValues": {
            ":due": {"S": format!("DUE#{shard:02}")},
            ":at": {"N": since.as_millisecond().to_string()}
        }
    });
    let updated = table::call(system.addresses.aws, "UpdateItem", &update).await;
    updated.expect("the table takes it");
}

#[tokio::test]
async fn what_a_former_version_left_pending_is_delivered_and_moves_to_its_line() {
    let system = reference_system().await;
    let hours = |hours| Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    let (contact, stuck) = (Uuid::new_v4(), Uuid::new_v4());
    for contact in [contact, stuck] {
        pending_since(&system, contact, "default", hours(2)).await;
        list_as_formerly(&system, contact, hours(1)).await;
    }
    system.dataverse.faults.add(Fault {
        method: "POST".into(),
        path: String::new(),
        times: 1,
        effect: Effect::status(500),
    });
    let report = system.redeliver().await.unwrap();
    assert_eq!(
        (report.waiting, report.delivered, report.pending),
        (2, 1, 1)
    );
    assert!((3600..3700).contains(&report.oldest_pending_seconds));
    assert!(system.store.list(&List::Former).await.unwrap().is_empty());
    let line = List::Line(Line::of("default"));
    assert_eq!(system.store.list(&line).await.unwrap().len(), 1);
    settle(&system, stuck).await;
    settle(&system, contact).await;
    assert_eq!(system.dataverse.records("phonecalls").len(), 2);
}

#[tokio::test]
async fn contacts_of_a_paused_environment_do_not_hide_those_behind_them() {
    let system = reference_system().await;
    let mut other = serde_json::to_value(system.integration.configuration()).unwrap();
    other["name"] = "other".into();
    let other = other.to_string();
    system
        .store
        .save_integration("other", &other)
        .await
        .unwrap();
    let hours = |hours| Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    // All in one shard of the list, and more than a page of it.
    let contact =
        |number: u128| Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_000000000000 + (number << 8));
    pending_since(&system, contact(0), "default", hours(9)).await;
    system.dataverse.faults.once(Effect::throttled(300));
    system.redeliver().await.unwrap();
    for number in 1..=130 {
        pending_since(&system, contact(number), "default", hours(8)).await;
    }
    pending_since(&system, contact(131), "other", hours(1)).await;
    let report = system.redeliver().await.unwrap();
    assert_eq!(
        (report.waiting, report.delivered, report.complete),
        (132, 1, false)
    );
    assert!(report.oldest_pending_seconds >= 8 * 3600);
    assert_eq!(
        only_record(&system, "phonecalls")["activityid"],
        contact(131).to_string()
    );
}

#[tokio::test]
async fn an_object_of_another_bucket_is_not_delivered_once_the_integration_can_be_loaded() {
    let system = reference_system().await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    let mut object = object_created(
        CONTACT,
        "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav",
    );
    object["detail"]["bucket"]["name"] = "somebody-elses".into();
    let recorded = invoke(&system, "recording-available", &object).await;
    assert_reply!(recorded, {"status": "skipped", "message": contains("recordingBucket")});
    // As a function would that cannot load the configuration.
    let second = Uuid::new_v4();
    let mut history = History::new(second, system.integration.name(), Timestamp::now());
    let Ok(Event::ObjectCreated(event)) = Event::parse(object) else {
        panic!("it is an Object Created event")
    };
    let (_, object) = RecordedObject::read(&event, &Folders::default()).unwrap();
    let key = RequestKey::of_object(Step::RecordingAvailable, &object);
    let start = RequestKey::of(Step::ContactStart);
    history.intend(&start, Timestamp::now());
    history.delivered(&start, Some(CONTACT), None, Timestamp::now());
    history.learn_object(object);
    history.intend(&key, Timestamp::now());
    let history = rewritten(&history, |history| {
        history["wakeAt"] = Timestamp::now().to_string().into();
        history["steps"]["contact-start"]["response"] = json!({"activityid": CONTACT.to_string()});
    });
    system
        .store
        .save(&mut Stored::new(history), 30)
        .await
        .unwrap();
    system.redeliver().await.unwrap();
    let stored = system.store.load(second).await.unwrap().unwrap();
    assert_eq!(stored.history.state(&key), Some(State::Skipped));
    assert!(only_record(&system, "phonecalls")["description"].is_null());
}

#[tokio::test]
async fn a_document_that_calls_itself_otherwise_is_refused_and_its_contacts_wait() {
    let system = reference_system().await;
    let document = serde_json::to_string(system.integration.configuration()).unwrap();
    let saved = system.store.save_integration("copied", &document).await;
    saved.unwrap();
    let start = flow(CONTACT, json!({}), json!({"integration": "copied"}));
    let reply = invoke(&system, "contact-start", &start).await;
    assert_reply!(reply, {
        "status": "pending",
        "message": contains("saved as `copied` and calls itself `default`")
    });
    assert!(system.dataverse.records("phonecalls").is_empty());
}

/// Another environment, and the integration `other` for it.
async fn another_environment(system: &System) -> Dataverse {
    let dataverse = Dataverse::new(system.entra.clone());
    let address = http::serve(0, dataverse.router()).await.unwrap();
    let uri = format!("http://{address}");
    dataverse.set_origin(&uri);
    let mut other = serde_json::to_value(system.integration.configuration()).unwrap();
    other["name"] = "other".into();
    other["connection"]["environmentUri"] = uri.clone().into();
    other["connection"]["scope"] = format!("{uri}/.default").into();
    let other = other.to_string();
    let saved = system.store.save_integration("other", &other).await;
    saved.unwrap();
    dataverse
}

#[tokio::test]
async fn an_environment_that_hangs_holds_up_nobody_elses_contacts() {
    let system = reference_system().await;
    let other = another_environment(&system).await;
    let hours = |hours| Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    let mut theirs = Vec::new();
    for number in 0..20 {
        pending_since(&system, Uuid::new_v4(), "default", hours(20 - number)).await;
        theirs.push(Uuid::new_v4());
        pending_since(&system, theirs[theirs.len() - 1], "other", hours(1)).await;
    }
    system.dataverse.faults.times(1000, Effect::Delay(120_000));
    let report = system.redeliver().await.unwrap();
    assert_eq!((report.waiting, report.delivered), (40, 20));
    assert_eq!(other.records("phonecalls").len(), 20);
    let tried = system.dataverse.take_exchanges().len();
    assert!(
        tried < 20,
        "{tried} contacts were tried in vain: the breaker did not open"
    );
    system.dataverse.faults.clear();
    eventually("the environment's backlog is delivered", async || {
        system.redeliver().await.unwrap();
        system.dataverse.records("phonecalls").len() == 20
    })
    .await;
}

#[tokio::test]
async fn an_action_of_an_event_is_given_the_whole_time_as_it_cannot_be_sent_again() {
    let action = "phonecalls(STEP2-Response.activityid)/Microsoft.Dynamics.CRM.Close";
    let system = system(|configuration| {
        let (entity_set, address) = action.split_at("phonecalls".len());
        configuration["steps"]["contact-end"] =
            request("POST", entity_set, address, json!({"Status": 2}));
    })
    .await;
    let contact = Uuid::new_v4();
    let started = flow(contact, json!({}), json!({}));
    invoke(&system, "contact-start", &started).await;
    system.dataverse.faults.once(Effect::Delay(5000));
    let ended = contact_event(contact, "DISCONNECTED");
    let reply = invoke(&system, "contact-end", &ended).await;
    // The stand-in knows no such action, and says so after five seconds.
    assert_reply!(reply, {"status": "failed", "message": contains("status 501")});
}

#[tokio::test]
async fn a_name_that_nobody_has_configured_gets_no_line_of_its_own() {
    let system = reference_system().await;
    for _ in 0..3 {
        let contact = Uuid::new_v4();
        let name = json!({"integration": contact.to_string()});
        let reply = invoke(&system, "contact-start", &flow(contact, json!({}), name)).await;
        assert_reply!(reply, {"status": "pending"});
    }
    let own = Line::of(system.integration.name());
    let lines = system.store.lines().await.unwrap();
    assert_eq!(lines, [own, Line::of_nobody()].into());
    let waiting = List::Line(Line::of_nobody());
    assert_eq!(system.store.list(&waiting).await.unwrap().len(), 3);
    let report = system.redeliver().await.unwrap();
    assert_eq!((report.waiting, report.delivered), (3, 0));
}

#[tokio::test]
async fn a_flows_event_that_waits_in_a_queue_stays_there_until_it_is_stored() {
    let table_faults = Faults::default();
    let change = |options: &mut Options| options.table_faults = table_faults.clone();
    let system = system_with(|_| {}, change).await;
    let contact = Uuid::new_v4();
    let event = flow(contact, json!({}), json!({}));
    let batch = json!({"Records": [{"messageId": "1", "body": event.to_string(), "eventSource": "aws:sqs"}]});
    table_faults.times(1000, Effect::refused(400, "AccessDeniedException"));
    let answer = invoke_raw(&system, "contact-start", &batch).await;
    let again = json!({"batchItemFailures": [{"itemIdentifier": "1"}]});
    assert_eq!(answer.payload, again);
    table_faults.clear();
    invoke_raw(&system, "contact-start", &batch).await;
    assert_eq!(
        only_record(&system, "phonecalls")["activityid"],
        contact.to_string()
    );
}
