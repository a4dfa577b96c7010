//! The configurations of `docs/recipes`, each through a contact's life, and what Dynamics holds afterwards.

use std::path::Path;

use end_to_end::*;
use local::system::System;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// Who owns what nobody else does: the application user.
const APPLICATION: &str = "00000000-0000-4000-8000-000000000002";

/// A recipe's configuration.
fn recipe(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/recipes/{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The system with a recipe's configuration.
async fn cooked(name: &str) -> System {
    cooked_with(name, |_| ()).await
}

/// The same, changed.
async fn cooked_with(name: &str, change: impl FnOnce(&mut Json)) -> System {
    system(|configuration| {
        *configuration = recipe(name);
        configuration["flowBudgetMilliseconds"] = 6000.into();
        change(configuration);
    })
    .await
}

fn insert(system: &System, entity_set: &str, fields: Json) -> Uuid {
    let inserted = system.dataverse.insert(entity_set, fields);
    inserted.unwrap_or_else(|error| panic!("{entity_set}: {error}"))
}

/// A contact whose number someone typed by hand.
fn ada(system: &System) -> Uuid {
    let ada = json!({"firstname": "Ada", "lastname": "Example", "telephone1": "(555) 555-0100"});
    insert(system, "contacts", ada)
}

/// The user of the agent in `events/`.
fn agent(system: &System) -> Uuid {
    let user = json!({"firstname": "An", "lastname": "Agent", "domainname": "agent.example"});
    insert(system, "systemusers", user)
}

/// Invokes a function with an event that it delivers.
async fn deliver(system: &System, function: &str, event: &Json) -> Map<String, Json> {
    let reply = invoke(system, function, event).await;
    assert_reply!(reply, {"status": "delivered"}, "{function}");
    reply
}

/// The whole life of the call in `events/`, but for its start.
async fn go_on(system: &System) {
    deliver(system, "contact-answered", &event("contact-answered")).await;
    deliver(system, "contact-end", &event("contact-end")).await;
}

/// The life of the call in `events/`; returns the phone call.
async fn call(system: &System) -> Map<String, Json> {
    deliver(system, "contact-start", &event("contact-start")).await;
    go_on(system).await;
    only_record(system, "phonecalls")
}

/// Puts what it holds into the bucket, at the object that an event tells of.
fn put(system: &System, event: &Json, content: &Json) {
    let text = |pointer| event.pointer(pointer).and_then(Json::as_str).unwrap();
    let (bucket, key) = (text("/detail/bucket/name"), text("/detail/object/key"));
    system.s3.put(bucket, key, content.to_string());
}

/// Checks fields of a record, of which `null` stands for nothing.
fn assert_holds(record: &Map<String, Json>, expected: &Json) {
    for (name, expected) in expected.as_object().unwrap() {
        let held = record.get(name).unwrap_or(&Json::Null);
        assert_eq!(held, expected, "{name}: {record:#?}");
    }
}

/// Checks that a table is empty.
fn assert_none(system: &System, entity_set: &str) {
    let records = system.dataverse.records(entity_set);
    assert!(records.is_empty(), "{entity_set}: {records:#?}");
}

/// Who takes part in the call of `events/`, each with its part and table.
fn parties(system: &System) -> Json {
    let parties = system.dataverse.parties(CONTACT);
    let named = parties.iter().map(|party| {
        json!([
            party["participationtypemask"],
            party["_partyid_value@Microsoft.Dynamics.CRM.lookuplogicalname"],
            party["_partyid_value"]
        ])
    });
    // Dataverse itself makes the owner one.
    named.filter(|party| party[0] != 9).collect()
}

#[tokio::test]
async fn the_phone_call_of_a_caller_who_is_known_is_theirs_and_its_agents() {
    let system = cooked_with("phone-call", |configuration| {
        configuration["connection"]["instanceUrl"] = "https://example.my.connect.aws".into();
    })
    .await;
    let (ada, agent) = (ada(&system), agent(&system));
    let started = deliver(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(started, {"customerCount": "1", "customerId": ada.to_string(), "customerName": "Ada Example"});
    go_on(&system).await;
    let recorded = event("recording-available");
    deliver(&system, "recording-available", &recorded).await;
    let call = only_record(&system, "phonecalls");
    assert_holds(
        &call,
        &json!({
            "activityid": CONTACT, "subject": "Call from Ada Example", "phonenumber": "+15555550100",
            "directioncode": false, "_regardingobjectid_value": ada, "_ownerid_value": agent,
            "actualend": "2026-02-04T21:20:30Z"
        }),
    );
    let page = format!("https://example.my.connect.aws/contact-trace-records/details/{CONTACT}");
    assert_eq!(call["description"], format!("Recording: {page}"));
    assert_eq!(parties(&system), json!([[1, "contact", ada]]));
}

#[tokio::test]
async fn the_phone_call_of_a_caller_who_is_not_known_is_linked_to_nobody() {
    for numbers in [&[][..], &["(555) 555-0100", "+1 555 555 0100"]] {
        let system = cooked("phone-call").await;
        for number in numbers {
            let contact = json!({"lastname": "Example", "telephone1": number});
            insert(&system, "contacts", contact);
        }
        let started = deliver(&system, "contact-start", &event("contact-start")).await;
        assert_reply!(started, {"customerCount": numbers.len().to_string(), "customerId": null});
        go_on(&system).await;
        let call = only_record(&system, "phonecalls");
        assert_holds(
            &call,
            &json!({
                "subject": "Call from +15555550100", "_regardingobjectid_value": null,
                "_ownerid_value": APPLICATION, "actualend": "2026-02-04T21:20:30Z"
            }),
        );
        assert_eq!(parties(&system), json!([]), "{numbers:?}");
    }
}

#[tokio::test]
async fn a_call_without_a_number_is_recorded() {
    let system = cooked("phone-call").await;
    ada(&system);
    let anonymous = event("contact-start-anonymous");
    deliver(&system, "contact-start", &anonymous).await;
    let expected = json!({"subject": "Call from an unknown number", "phonenumber": null, "_regardingobjectid_value": null});
    assert_holds(&only_record(&system, "phonecalls"), &expected);
}

#[tokio::test]
async fn an_agents_own_call_goes_out_to_its_customer() {
    let system = cooked("phone-call").await;
    let (ada, agent) = (ada(&system), agent(&system));
    // Nothing but the contact record comes.
    let record = event("outbound/05-contact-completed");
    deliver(&system, "contact-completed", &record).await;
    let call = only_record(&system, "phonecalls");
    let expected = json!({
        "subject": "Call to Ada Example", "directioncode": true, "category": "answered",
        "actualstart": "2026-02-04T14:30:00Z", "actualdurationminutes": 7,
        "_regardingobjectid_value": ada, "_ownerid_value": agent
    });
    assert_holds(&call, &expected);
    let call: Uuid = serde_json::from_value(call["activityid"].clone()).unwrap();
    let parts: Vec<Json> = system
        .dataverse
        .parties(call)
        .iter()
        .map(|party| party["participationtypemask"].clone())
        .filter(|part| *part != 9)
        .collect();
    // 2: the one who is called.
    assert_eq!(parts, [json!(2)]);
}

#[tokio::test]
async fn what_was_said_in_a_call_is_its_description_and_a_note() {
    let system = cooked("conversation").await;
    deliver(&system, "contact-start", &event("contact-start")).await;
    go_on(&system).await;
    let analysis = event("recording-available-analysis");
    put(&system, &analysis, &event("objects/redacted-analysis"));
    deliver(&system, "recording-available", &analysis).await;
    deliver(&system, "recording-available", &analysis).await;
    let call = only_record(&system, "phonecalls");
    assert_eq!(call["subcategory"], "Order change");
    let description = call["description"].as_str().unwrap();
    assert!(
        description.starts_with("The customer asked to have an order delivered a day later."),
        "{description}"
    );
    let note = only_record(&system, "annotations");
    assert_holds(
        &note,
        &json!({"_objectid_value": CONTACT, "objecttypecode": "phonecall"}),
    );
    let text = note["notetext"].as_str().unwrap();
    assert!(text.ends_with("\nCustomer: Thank you very much."), "{text}");
}

#[tokio::test]
async fn a_caller_who_is_not_known_becomes_a_lead() {
    let system = cooked("lead-for-unknown").await;
    let call = call(&system).await;
    let lead = only_record(&system, "leads");
    let expected = json!({"subject": "Call from +15555550100", "lastname": "+15555550100", "telephone1": "+15555550100"});
    assert_holds(&lead, &expected);
    assert_holds(
        &call,
        &json!({"subject": "Call from +15555550100", "_regardingobjectid_value": lead["leadid"]}),
    );
    assert_eq!(parties(&system), json!([[1, "lead", lead["leadid"]]]));

    let again = flow(Uuid::new_v4(), json!({}), json!({}));
    let again = deliver(&system, "contact-start", &again).await;
    assert_reply!(again, {"customerCount": "1", "customerId": lead["leadid"]});
    only_record(&system, "leads");
}

#[tokio::test]
async fn a_caller_who_is_known_is_made_no_lead_of_and_neither_are_several() {
    let system = cooked("lead-for-unknown").await;
    let known = ada(&system);
    let regarding = call(&system).await["_regardingobjectid_value"].clone();
    assert_eq!(regarding, json!(known));
    assert_none(&system, "leads");

    ada(&system);
    let contact = Uuid::new_v4();
    let start = flow(contact, json!({}), json!({}));
    let started = deliver(&system, "contact-start", &start).await;
    assert_reply!(started, {"customerCount": "2", "customerId": null});
    let call = system.dataverse.record("phonecalls", contact).unwrap();
    assert_holds(&call, &json!({"_regardingobjectid_value": null}));
    assert_none(&system, "leads");
}

#[tokio::test]
async fn a_caller_without_a_number_becomes_no_lead() {
    let system = cooked("lead-for-unknown").await;
    let anonymous = event("contact-start-anonymous");
    deliver(&system, "contact-start", &anonymous).await;
    only_record(&system, "phonecalls");
    assert_none(&system, "leads");
}

/// The start of a contact in a queue.
fn in_queue(contact: Uuid, queue: &str) -> Json {
    flow(contact, json!({"Queue": {"Name": queue}}), json!({}))
}

#[tokio::test]
async fn a_call_in_the_queue_makes_a_case_of_its_customer() {
    for is_known in [true, false] {
        let system = cooked("case-for-queue").await;
        let known = is_known.then(|| ada(&system));
        let agent = agent(&system);
        let started = deliver(&system, "contact-start", &in_queue(CONTACT, "Support")).await;
        assert_reply!(started, {"recordId": CONTACT.to_string()});
        go_on(&system).await;
        let customer = only_record(&system, "contacts");
        let id = &customer["contactid"];
        if let Some(known) = known {
            assert_eq!(id, &json!(known));
        } else {
            let expected = json!({"lastname": "+15555550100", "telephone1": "+15555550100"});
            assert_holds(&customer, &expected);
        }
        let name = if is_known {
            "Ada Example"
        } else {
            "+15555550100"
        };
        let subject = format!("Call from {name}");
        let case = only_record(&system, "incidents");
        assert_holds(&case, &json!({"title": subject, "_customerid_value": id}));
        let expected = json!({
            "subject": subject, "_regardingobjectid_value": case["incidentid"], "_ownerid_value": agent,
            "actualend": "2026-02-04T21:20:30Z"
        });
        assert_holds(&only_record(&system, "phonecalls"), &expected);
        assert_eq!(parties(&system), json!([[1, "contact", id]]));
    }
}

#[tokio::test]
async fn a_call_in_another_queue_makes_no_case_and_no_customer() {
    let system = cooked("case-for-queue").await;
    deliver(&system, "contact-start", &in_queue(CONTACT, "Sales")).await;
    go_on(&system).await;
    let expected = json!({"_regardingobjectid_value": null, "actualend": "2026-02-04T21:20:30Z"});
    assert_holds(&only_record(&system, "phonecalls"), &expected);
    assert_none(&system, "incidents");
    assert_none(&system, "contacts");
}

#[tokio::test]
async fn a_call_is_recorded_when_its_case_fails_with_the_look_up() {
    let system = cooked("case-for-queue").await;
    let may_not_read = "{\"method\": \"GET\", \"path\": \"/contacts\", \"effect\": {\"status\": {\"status\": 403, \"code\": \"0x80040220\"}}}";
    system
        .dataverse
        .faults
        .add(serde_json::from_str(may_not_read).unwrap());
    deliver(&system, "contact-start", &in_queue(CONTACT, "Support")).await;
    assert_eq!(
        only_record(&system, "phonecalls")["activityid"],
        CONTACT.to_string()
    );
    assert_none(&system, "incidents");
    // What failed stays visible, and is done by hand when the look-up is mended.
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    assert!(stored.history.failed_at().is_some());
    ada(&system);
    let order = json!({"contactId": CONTACT});
    system.lambda.invoke("redelivery", &order).await;
    only_record(&system, "incidents");
}

#[tokio::test]
async fn a_call_in_the_queue_of_nobody_in_particular_is_recorded_without_a_case() {
    let system = cooked("case-for-queue").await;
    ada(&system);
    ada(&system);
    deliver(&system, "contact-start", &in_queue(CONTACT, "Support")).await;
    let nobody = json!({"Queue": {"Name": "Support"}, "CustomerEndpoint": null});
    let anonymous = flow(Uuid::new_v4(), nobody, json!({}));
    deliver(&system, "contact-start", &anonymous).await;
    for call in system.dataverse.records("phonecalls") {
        assert_holds(&call, &json!({"_regardingobjectid_value": null}));
    }
    assert_eq!(system.dataverse.records("phonecalls").len(), 2);
    assert_none(&system, "incidents");
}

/// The end of the call in `events/`, when no agent had answered it.
fn missed() -> Json {
    let mut event = event("contact-end");
    event["detail"].as_object_mut().unwrap().remove("agentInfo");
    event
}

/// The system with the recipe for missed calls, and the team that it names.
async fn with_team() -> (System, Uuid) {
    let system = cooked("task-for-missed").await;
    let team = recipe("task-for-missed")["agent"]["defaultOwner"]["team"].clone();
    let fields = json!({"teamid": team, "name": "Callbacks"});
    let team = insert(&system, "teams", fields);
    (system, team)
}

#[tokio::test]
async fn a_call_that_nobody_answers_makes_a_task_of_the_team() {
    for count in [0, 1, 2] {
        let (system, team) = with_team().await;
        let known: Vec<Uuid> = (0..count).map(|_| ada(&system)).collect();
        deliver(&system, "contact-start", &event("contact-start")).await;
        deliver(&system, "contact-end", &missed()).await;
        deliver(&system, "contact-end", &missed()).await;
        let (name, customer) = match known[..] {
            [one] => ("Ada Example", json!(one)),
            _ => ("+15555550100", Json::Null),
        };
        let expected = json!({
            "subject": format!("Call {name} back"), "_regardingobjectid_value": customer,
            "_ownerid_value": team, "_owningteam_value": team
        });
        let task = only_record(&system, "tasks");
        assert_holds(&task, &expected);
        let description = task["description"].as_str().unwrap();
        assert!(
            description.ends_with(" from +15555550100."),
            "{description}"
        );
        let expected = json!({"_regardingobjectid_value": customer, "_ownerid_value": APPLICATION, "actualend": "2026-02-04T21:20:30Z"});
        assert_holds(&only_record(&system, "phonecalls"), &expected);
    }
}

#[tokio::test]
async fn a_call_that_an_agent_answers_makes_no_task() {
    let (system, team) = with_team().await;
    let agent = agent(&system);
    assert_eq!(call(&system).await["_ownerid_value"], json!(agent));
    assert_none(&system, "tasks");

    let stranger = Uuid::new_v4();
    deliver(
        &system,
        "contact-start",
        &flow(stranger, json!({}), json!({})),
    )
    .await;
    let answered = flow(stranger, json!({}), json!({"Username": "nobody.known"}));
    deliver(&system, "contact-answered", &answered).await;
    let call = system.dataverse.record("phonecalls", stranger).unwrap();
    assert_holds(&call, &json!({"_ownerid_value": team}));
}

/// The chat of `events/`.
fn chat_id() -> Uuid {
    Uuid::from_u128(0x8c9d_0e1f_2a3b_4c4d_8e5f_6071_8293_a4b5)
}

/// The start of the chat in `events/`, with the visitor's address.
fn chat(email: Option<&str>) -> Json {
    let mut event = event("contact-start-chat");
    if let Some(email) = email {
        event["Details"]["ContactData"]["Attributes"]["email"] = email.into();
    }
    event
}

/// Contacts with the visitor's address, each in another column.
fn with_address(system: &System, count: usize) -> Vec<Uuid> {
    let columns = ["emailaddress1", "emailaddress2"].iter().take(count);
    let contact = |column: &&str| {
        let address = "ada@customer.example.com";
        json!({"firstname": "Ada", "lastname": "Example", **column: address})
    };
    columns
        .map(|column| insert(system, "contacts", contact(column)))
        .collect()
}

#[tokio::test]
async fn a_chats_transcript_becomes_a_note_of_its_customer() {
    let system = cooked("note-with-transcript").await;
    let ada = with_address(&system, 1)[0];
    let start = chat(Some("ada@customer.example.com"));
    deliver(&system, "contact-start", &start).await;
    let transcript = event("recording-available-transcript");
    deliver(&system, "recording-available", &transcript).await;
    deliver(&system, "recording-available", &transcript).await;
    let note = only_record(&system, "annotations");
    assert_holds(
        &note,
        &json!({"_objectid_value": ada, "objecttypecode": "contact"}),
    );
    let text = note["notetext"].as_str().unwrap();
    assert!(
        text.starts_with("https://example-connect-recordings.s3."),
        "{text}"
    );
    assert!(text.contains("/ChatTranscripts/"), "{text}");
    let subject = note["subject"].as_str().unwrap();
    assert!(
        subject.starts_with("Transcript of the chat of 2"),
        "{subject}"
    );
}

#[tokio::test]
async fn a_transcript_of_nobody_in_particular_and_a_recording_make_no_note() {
    for count in [0, 2] {
        let system = cooked("note-with-transcript").await;
        with_address(&system, count);
        let start = chat(Some("ada@customer.example.com"));
        let started = deliver(&system, "contact-start", &start).await;
        assert_reply!(started, {"customerCount": count.to_string(), "customerId": null});
        let transcript = event("recording-available-transcript");
        let skipped = invoke(&system, "recording-available", &transcript).await;
        assert_reply!(skipped, {"status": "skipped"});
        assert_none(&system, "annotations");
        let recording = object_created(
            chat_id(),
            "connect/example/CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav",
        );
        invoke(&system, "recording-available", &recording).await;
        assert_none(&system, "annotations");
    }
}

#[tokio::test]
async fn a_chat_becomes_a_task_of_its_customer_and_its_agent() {
    for (count, email) in [
        (1, Some("ada@customer.example.com")),
        (0, Some("ada@customer.example.com")),
        (2, Some("ada@customer.example.com")),
        (1, None),
    ] {
        let system = cooked("chat").await;
        let known = with_address(&system, count);
        let agent = agent(&system);
        deliver(&system, "contact-start", &chat(email)).await;
        let mut answered = chat(email);
        answered["Details"]["Parameters"] = json!({"Username": "agent.example"});
        let answered = deliver(&system, "contact-answered", &answered).await;
        deliver(&system, "contact-end", &event("chat/03-contact-end")).await;
        // Contact Lens redacts, so it is not the transcript that is read.
        let transcript = event("chat/04-recording-available-transcript");
        let transcript = invoke(&system, "recording-available", &transcript).await;
        assert_reply!(transcript, {"status": "skipped", "message": contains("redacted")});
        let analysis = event("chat/05-recording-available-analysis");
        let content = event("chat/objects/redacted-analysis");
        put(&system, &analysis, &content);
        deliver(&system, "recording-available", &analysis).await;
        deliver(
            &system,
            "contact-completed",
            &event("chat/06-contact-completed"),
        )
        .await;
        let (name, customer) = match (&known[..], email) {
            ([one], Some(_)) => ("Ada Example", json!(one)),
            _ => ("Ada", Json::Null),
        };
        let task = only_record(&system, "tasks");
        let expected = json!({
            "activityid": chat_id(), "subject": format!("Chat with {name}"), "category": "CHAT",
            "_regardingobjectid_value": customer, "_ownerid_value": agent, "statuscode": 3,
            "actualend": "2026-02-04T18:12:00Z", "actualdurationminutes": 12, "subcategory": "answered"
        });
        assert_holds(&task, &expected);
        let description = task["description"].as_str().unwrap();
        assert!(description.starts_with("https://"), "{description}");
        assert!(
            description.contains("The agent sends a new kit.\nAgent: Hello, how may I help?\n"),
            "{description}"
        );
        let page = match (count, email) {
            (1, Some(_)) => contains(&format!("etn=contact&id={}", known[0])),
            (2, Some(_)) => contains("pagetype=search"),
            _ => contains(&format!("etn=task&id={}", chat_id())),
        };
        assert_reply!(answered, {"screenPopUrl": page});
    }
}

#[tokio::test]
async fn each_flow_goes_to_the_environment_that_it_names() {
    let system = cooked("environments-sales").await;
    // The stand-in is one environment; here it plays both.
    let mut support = recipe("environments-support");
    let own = serde_json::to_value(system.integration.configuration()).unwrap();
    for field in ["environmentUri", "scope", "authority", "clientSecretId"] {
        support["connection"][field] = own["connection"][field].clone();
    }
    let support = support.to_string();
    let saved = system.store.save_integration("support", &support);
    saved.await.unwrap();
    ada(&system);
    for (integration, subject) in [
        ("sales", "Call from Ada Example"),
        ("support", "Support call from Ada Example"),
    ] {
        let contact = Uuid::new_v4();
        let named = json!({"integration": integration});
        deliver(&system, "contact-start", &flow(contact, json!({}), named)).await;
        // The events after it name none.
        let agent = json!({"Username": "agent.example"});
        deliver(
            &system,
            "contact-answered",
            &flow(contact, json!({}), agent),
        )
        .await;
        let end = contact_event(contact, "DISCONNECTED");
        deliver(&system, "contact-end", &end).await;
        let call = system.dataverse.record("phonecalls", contact).unwrap();
        let expected = json!({"subject": subject, "actualend": "2026-02-04T21:20:30Z"});
        assert_holds(&call, &expected);
        let history = system.store.load(contact).await.unwrap();
        assert_eq!(history.unwrap().history.integration(), integration);
    }
}
