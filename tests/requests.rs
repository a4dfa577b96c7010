//! Steps of several requests: the look-ups before a record, its link to what they find, and the requests
//! beside it, under outages, refusals, crashes and a table that a former version wrote. What Dynamics and
//! the table hold at the end is asked of both.

use connect_dynamics::{
    history::{History, RequestHistory, RequestKey, State},
    step::Step,
    store::Stored,
};
use end_to_end::*;
use jiff::Timestamp;
use local::{
    stand_in::{
        dataverse::Exchange,
        fault::{Effect, Fault},
    },
    system::System,
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// `contact-start` looks for the caller, makes a phone call that is linked to them, and a task beside it.
fn look_up_and_two_creates() -> Json {
    json!({
        "customer": {"tables": [{"entitySet": "contacts"}]},
        "requests": [
            {
                "name": "call", "main": true, "method": "POST", "entitySet": "phonecalls",
                "body": {
                    "subject": "Call from {{ Customer.name | default('somebody') }}",
                    "phonenumber": "{{ CustomerEndpoint }}",
                    "from": "{{ Customer }}",
                    "regardingobjectid": "{{ Customer }}"
                }
            },
            {
                "name": "task", "method": "POST", "entitySet": "tasks",
                "body": {"subject": "After {{ Responses.call.activityid }}"}
            }
        ]
    })
}

/// `contact-start` looks for the caller and makes a phone call that is linked to them.
fn look_up_and_create() -> Json {
    let mut step = look_up_and_two_creates();
    step["requests"].as_array_mut().unwrap().truncate(1);
    step
}

async fn starting_with(start: Json) -> System {
    system(|configuration| configuration["steps"]["contact-start"] = start).await
}

fn known_caller(system: &System) -> Uuid {
    caller(system, "Ada")
}

fn caller(system: &System, first_name: &str) -> Uuid {
    let contact =
        json!({"firstname": first_name, "lastname": "Example", "mobilephone": "(555) 555-0100"});
    system.dataverse.insert("contacts", contact).unwrap()
}

/// Every request to a table meets this.
fn always(system: &System, path: &str, effect: Effect) {
    system.dataverse.faults.add(Fault {
        method: String::new(),
        path: path.into(),
        times: 10_000,
        effect,
    });
}

async fn history(system: &System, contact: Uuid) -> History {
    let stored = system.store.load(contact).await.unwrap();
    stored.expect("the contact is in the table").history
}

/// A request of a contact in the table: `contact-start#customer`.
async fn stored_request(system: &System, contact: Uuid, key: &str) -> RequestHistory {
    let history = history(system, contact).await;
    let request = history.request(&key.parse().unwrap());
    let request = request.unwrap_or_else(|| panic!("there is no {key}: {history:#?}"));
    request.clone()
}

/// All requests of a contact in the table with their states, in the contact's order.
async fn states(system: &System, contact: Uuid) -> Vec<(String, State)> {
    let history = history(system, contact).await;
    let requests = history.in_order().into_iter();
    let states = requests.map(|(key, request)| (key.to_string(), request.state));
    states.collect()
}

fn expected(states: &[(&str, State)]) -> Vec<(String, State)> {
    let states = states
        .iter()
        .map(|(key, state)| ((*key).to_owned(), *state));
    states.collect()
}

/// Redelivers until nothing is due any more for the contact.
async fn settle(system: &System, contact: Uuid) {
    eventually("the contact is settled", async || {
        system.redeliver().await.expect("redelivery runs");
        history(system, contact).await.wake_at().is_none()
    })
    .await;
}

async fn by_hand(system: &System, contact: Uuid) -> Json {
    let order = json!({"contactId": contact.to_string()});
    let invoked = invoke_raw(system, "redelivery", &order).await;
    assert!(!invoked.is_error, "{}", invoked.payload);
    invoked.payload
}

/// What Dynamics was sent since the last call: `POST phonecalls`.
fn sent(system: &System) -> Vec<String> {
    let exchanges = system.dataverse.take_exchanges();
    exchanges.iter().map(what).collect()
}

fn what(exchange: &Exchange) -> String {
    let target = exchange.target.split('?').next().unwrap_or_default();
    let target = target
        .rsplit_once("/v9.2/")
        .map_or(target, |(_, target)| target);
    format!("{} {target}", exchange.method)
}

/// The phone call is there once, and is linked to the caller or to nobody.
fn assert_linked(system: &System, contact: Uuid, to: Option<Uuid>) {
    let record = only_record(system, "phonecalls");
    assert_eq!(record["activityid"], contact.to_string());
    let to = to.map_or(Json::Null, |to| to.to_string().into());
    assert_eq!(record["_regardingobjectid_value"], to, "{record:#?}");
    let parties = system.dataverse.parties(contact);
    let senders: Vec<&Json> = parties
        .iter()
        .filter(|party| party["participationtypemask"] == 1)
        .map(|party| &party["_partyid_value"])
        .collect();
    let expected: Vec<&Json> = Some(&to).filter(|to| !to.is_null()).into_iter().collect();
    assert_eq!(senders, expected, "{parties:#?}");
}

#[tokio::test]
async fn a_look_up_slower_than_the_flows_budget_leaves_the_record_to_redelivery() {
    let system = system(|configuration| {
        configuration["flowBudgetMilliseconds"] = 1500.into();
        configuration["steps"]["contact-start"] = look_up_and_create();
    })
    .await;
    let caller = known_caller(&system);
    // Longer than the function lives: that there is a reply says that it was not waited for.
    system.dataverse.faults.add(Fault {
        method: "GET".into(),
        path: "contacts".into(),
        times: 1,
        effect: Effect::Delay(120_000),
    });
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "pending", "recordId": CONTACT.to_string(), "customerId": null});
    assert!(system.dataverse.records("phonecalls").is_empty());
    system.dataverse.faults.clear();
    settle(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
}

#[tokio::test]
async fn a_look_up_that_meets_an_outage_is_repeated_before_the_record_is_made() {
    let system = starting_with(look_up_and_create()).await;
    let caller = known_caller(&system);
    always(&system, "contacts", Effect::status(503));
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {
        "status": "pending",
        "recordId": CONTACT.to_string(),
        "message": contains("customer is pending: Dynamics is not available")
    });
    assert!(system.dataverse.records("phonecalls").is_empty());
    // Neither the event's second coming nor redelivery makes a record that nobody would link.
    invoke(&system, "contact-start", &event("contact-start")).await;
    system.redeliver().await.unwrap();
    assert!(system.dataverse.records("phonecalls").is_empty());
    system.dataverse.faults.clear();
    sent(&system);
    settle(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
    assert_eq!(sent(&system), ["GET contacts", "POST phonecalls"]);
}

/// The record is there without its caller, and reply and table tell of the look-up.
async fn assert_unlinked_for(system: &System, reason: &str) {
    let reply = invoke(system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {
        "status": "delivered",
        "recordId": CONTACT.to_string(),
        "message": starts_with("customer is failed: ")
    });
    assert_linked(system, CONTACT, None);
    let failed = stored_request(system, CONTACT, "contact-start#customer").await;
    assert_eq!(failed.state, State::Failed);
    assert!(
        failed.reason.as_deref().unwrap().contains(reason),
        "{failed:#?}"
    );
    assert!(history(system, CONTACT).await.failed_at().is_some());
    sent(system);
}

/// Delivered by hand the record is linked, and a second time nothing is sent.
async fn assert_linked_by_hand(system: &System, caller: Uuid) {
    by_hand(system, CONTACT).await;
    assert_linked(system, CONTACT, Some(caller));
    let id = CONTACT;
    assert_eq!(
        sent(system),
        [
            "GET contacts".to_owned(),
            format!("PATCH phonecalls({id})"),
            format!("PUT phonecalls({id})/phonecall_activity_parties")
        ]
    );
    assert_eq!(
        states(system, CONTACT).await,
        expected(&[
            ("contact-start#customer", State::Delivered),
            ("contact-start", State::Delivered),
            ("contact-start#link", State::Delivered),
            ("contact-start#link-parties", State::Delivered),
        ])
    );
    by_hand(system, CONTACT).await;
    let reply = invoke(system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {
        "status": "delivered", "message": null, "customerId": caller.to_string()
    });
    assert_eq!(sent(system), [""; 0]);
}

#[tokio::test]
async fn without_the_privilege_to_read_customers_the_record_is_made_and_linked_once_it_is_given() {
    let system = starting_with(look_up_and_create()).await;
    let caller = known_caller(&system);
    system
        .dataverse
        .set_missing_privilege(Some("prvReadContact"));
    assert_unlinked_for(&system, "prvReadContact").await;
    system.dataverse.set_missing_privilege(None);
    assert_linked_by_hand(&system, caller).await;
}

#[tokio::test]
async fn with_a_customers_column_that_does_not_exist_the_record_is_made_and_linked_once_it_is_corrected()
 {
    let mut start = look_up_and_create();
    start["customer"]["tables"][0]["phoneColumns"] = json!(["nosuchphone"]);
    let system = starting_with(start).await;
    let caller = known_caller(&system);
    assert_unlinked_for(&system, "nosuchphone").await;
    // Still refused.
    by_hand(&system, CONTACT).await;
    assert_linked(&system, CONTACT, None);

    let mut mended = serde_json::to_value(system.integration.configuration()).unwrap();
    mended["steps"]["contact-start"] = look_up_and_create();
    let saved = system
        .store
        .save_integration("default", &mended.to_string())
        .await;
    saved.unwrap();
    // A function reads its configuration anew when it is a minute old, or when it starts.
    restart_redelivery(&system).await;
    sent(&system);
    by_hand(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
}

/// Kills the function `redelivery` at work that it never finishes: another process takes its place.
async fn restart_redelivery(system: &System) {
    let stuck = Uuid::new_v4();
    always(system, "phonecalls", Effect::Delay(120_000));
    let lambda = system.lambda.clone();
    let mut waiting = History::new(stuck, "default", Timestamp::now());
    waiting.intend(&RequestKey::of(Step::ContactStart), Timestamp::now());
    let mut stored = Stored::new(waiting);
    system.store.save(&mut stored, 30).await.unwrap();
    let order = json!({"contactId": stuck.to_string()});
    let run = tokio::spawn(async move { lambda.invoke("redelivery", &order).await });
    eventually("redelivery is at work", async || {
        system.lambda.kill_one("redelivery")
    })
    .await;
    assert!(run.await.unwrap().unwrap().is_error);
    system.dataverse.faults.clear();
}

fn linking_later() -> Json {
    let mut start = look_up_and_create();
    start["customer"]["linkLater"] = true.into();
    start
}

#[tokio::test]
async fn a_record_that_is_linked_later_is_made_before_anybody_is_looked_for() {
    let system = starting_with(linking_later()).await;
    let caller = known_caller(&system);
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "message": null, "customerName": "Ada Example"});
    assert_linked(&system, CONTACT, Some(caller));
    let id = CONTACT;
    assert_eq!(
        sent(&system),
        [
            "POST phonecalls".to_owned(),
            "GET contacts".to_owned(),
            format!("PATCH phonecalls({id})"),
            format!("PUT phonecalls({id})/phonecall_activity_parties")
        ]
    );
}

#[tokio::test]
async fn a_record_that_is_linked_later_is_there_during_a_look_ups_outage() {
    let system = starting_with(linking_later()).await;
    let caller = known_caller(&system);
    always(&system, "contacts", Effect::status(503));
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {
        "status": "delivered",
        "recordId": CONTACT.to_string(),
        "message": contains("customer is pending: Dynamics is not available")
    });
    assert_linked(&system, CONTACT, None);
    system.dataverse.faults.clear();
    sent(&system);
    settle(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
    assert!(!sent(&system).contains(&"POST phonecalls".to_owned()));
}

#[tokio::test]
async fn a_record_that_is_linked_later_keeps_its_other_parties_and_what_later_steps_have_written() {
    let system = system(|configuration| {
        let mut start = linking_later();
        let body = &mut start["requests"][0]["body"];
        body["to"] = "{{ Agent.User }}".into();
        body["description"] = "Call from {{ Customer.name | default('?') }}".into();
        configuration["steps"]["contact-start"] = start;
        configuration["steps"]["contact-end"]["request"]["body"] =
            json!({"description": "What was said"});
    })
    .await;
    let caller = known_caller(&system);
    let agent = json!({"domainname": "agent@example.com"});
    let agent = system.dataverse.insert("systemusers", agent).unwrap();
    let (mut start, end) = (event("contact-start"), event("contact-end"));
    start["Details"]["Parameters"]["Username"] = "agent@example.com".into();
    system
        .dataverse
        .set_missing_privilege(Some("prvReadContact"));
    invoke(&system, "contact-start", &start).await;
    let others = |part: i64| {
        let parties = system.dataverse.parties(CONTACT).into_iter();
        let mut parties = parties.filter(move |party| party["participationtypemask"] == part);
        parties.next().map(|party| party["_partyid_value"].clone())
    };
    assert_eq!(
        (others(1), others(2)),
        (None, Some(agent.to_string().into()))
    );
    invoke(&system, "contact-end", &end).await;
    system.dataverse.set_missing_privilege(None);
    by_hand(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
    assert_eq!(others(2), Some(agent.to_string().into()));
    let record = only_record(&system, "phonecalls");
    assert_eq!(record["description"], "What was said");
}

#[tokio::test]
async fn what_goes_by_a_look_up_that_has_failed_fails_with_it_and_is_done_when_it_is_mended() {
    for (condition, known) in [("Customer.id", true), ("not Customer.id", false)] {
        let mut start = look_up_and_two_creates();
        start["requests"][1]["when"] = condition.into();
        let system = starting_with(start).await;
        if known {
            known_caller(&system);
        }
        system
            .dataverse
            .set_missing_privilege(Some("prvReadContact"));
        let reply = invoke(&system, "contact-start", &event("contact-start")).await;
        assert_reply!(reply, {"status": "delivered", "message": contains("task is failed: ")});
        assert!(system.dataverse.records("tasks").is_empty(), "{condition}");
        system.dataverse.set_missing_privilege(None);
        by_hand(&system, CONTACT).await;
        only_record(&system, "tasks");
        only_record(&system, "phonecalls");
    }
}

#[tokio::test]
async fn a_later_look_up_goes_by_the_customer_of_a_step_before() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"] = look_up_and_create();
        configuration["steps"]["contact-end"]["customer"] = json!({
            "when": "not Customer.id",
            "value": "{{ CustomerEndpoint }}",
            "tables": [{"entitySet": "accounts"}]
        });
    })
    .await;
    known_caller(&system);
    invoke(&system, "contact-start", &event("contact-start")).await;
    sent(&system);
    invoke(&system, "contact-end", &event("contact-end")).await;
    assert!(!sent(&system).contains(&"GET accounts".to_owned()));
    let again = stored_request(&system, CONTACT, "contact-end#customer").await;
    assert!(again.is_not_wanted(), "{again:#?}");
}

#[tokio::test]
async fn a_record_that_is_linked_later_is_left_alone_when_nobody_is_found() {
    let system = starting_with(linking_later()).await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "message": null, "customerCount": "0"});
    assert_linked(&system, CONTACT, None);
    // It is written as the record of a caller whom nobody knows.
    assert_eq!(
        only_record(&system, "phonecalls")["subject"],
        "Call from somebody"
    );
    invoke(&system, "contact-start", &event("contact-start")).await;
    by_hand(&system, CONTACT).await;
    assert_eq!(sent(&system), ["POST phonecalls", "GET contacts"]);
    for link in ["link", "link-parties"] {
        let link = stored_request(&system, CONTACT, &format!("contact-start#{link}")).await;
        assert!(link.is_not_wanted(), "{link:#?}");
    }
}

/// A contact as the version before steps had several requests wrote it.
async fn save_as_formerly(system: &System, steps: Json) {
    let mut objects = json!({});
    for (key, _) in steps.as_object().unwrap() {
        if let Some((_, object)) = key.split_once('/') {
            objects[object] = json!({
                "kind": "recording", "bucket": "example-connect-recordings", "key": object,
                "url": format!("https://example-connect-recordings.s3.us-east-1.amazonaws.com/{object}")
            });
        }
    }
    let item = json!({
        "contactId": CONTACT.to_string(),
        "integration": "default",
        "firstInvoked": "2026-02-04T21:14:16Z",
        "attributes": {"contact-start": {"record": {
            "ContactId": CONTACT.to_string(),
            "Channel": "VOICE",
            "CustomerEndpoint": {"Address": "+15555550100", "Type": "TELEPHONE_NUMBER"},
            "SystemEndpoint": {"Address": "+15555550199", "Type": "TELEPHONE_NUMBER"},
            "InitiationTimestamp": "2026-02-04T21:14:16Z"
        }}},
        "objects": objects,
        "steps": steps,
        "wakeAt": "2026-02-04T21:14:17Z",
        "waitingSince": "2026-02-04T21:14:16Z"
    });
    let history: History = serde_json::from_value(item).unwrap();
    system
        .store
        .save(&mut Stored::new(history), 30)
        .await
        .unwrap();
}

/// A step as the former version wrote it, in a state, with what came of that.
fn formerly(sequence: u32, state: &str, further: Json) -> Json {
    let mut step = json!({
        "state": state,
        "sequence": sequence,
        "intendedAt": "2026-02-04T21:14:16Z",
        "updatedAt": "2026-02-04T21:14:17Z",
        "attempts": 1,
        "firstTriedAt": "2026-02-04T21:14:17Z"
    });
    let fields = step.as_object_mut().unwrap();
    fields.extend(further.as_object().unwrap().clone());
    step
}

fn formerly_pending(sequence: u32) -> Json {
    // Dynamics is tried for three days; this contact must not have waited for longer.
    let now = Timestamp::now().to_string();
    let tried = json!({"dueAt": "2026-02-04T21:14:17Z", "firstTriedAt": now, "intendedAt": now});
    formerly(sequence, "pending", tried)
}

fn formerly_delivered() -> Json {
    let id = CONTACT.to_string();
    formerly(
        0,
        "delivered",
        json!({"recordId": id, "response": {"activityid": id}}),
    )
}

/// The phone call that the former version made.
fn made_formerly(system: &System) {
    let call = json!({"activityid": CONTACT.to_string(), "subject": "Call"});
    system.dataverse.insert("phonecalls", call).unwrap();
}

const RECORDING: &str = "connect/example/CallRecordings/2026/02/04/5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90_20260204T21:14_UTC.wav";

#[tokio::test]
async fn what_a_former_version_left_pending_is_done_with_all_requests_of_today() {
    let system = starting_with(look_up_and_two_creates()).await;
    let caller = known_caller(&system);
    let recording = format!("recording-available/{RECORDING}");
    let mut steps =
        json!({"contact-start": formerly_pending(0), "contact-end": formerly_pending(1)});
    steps[&recording] = formerly_pending(2);
    save_as_formerly(&system, steps).await;
    settle(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
    let description = &only_record(&system, "phonecalls")["description"];
    assert!(description.as_str().unwrap().ends_with(".wav"));
    only_record(&system, "tasks");
    assert_eq!(
        states(&system, CONTACT).await,
        expected(&[
            ("contact-start#customer", State::Delivered),
            ("contact-start", State::Delivered),
            ("contact-start#task", State::Delivered),
            ("contact-end", State::Delivered),
            (&recording, State::Delivered),
        ])
    );
}

#[tokio::test]
async fn a_record_that_a_former_version_made_is_gone_on_with_and_its_step_is_not_done_again() {
    let mut start = look_up_and_two_creates();
    start["requests"][0]["body"]["category"] = "of today".into();
    let system = system(|configuration| {
        configuration["steps"]["contact-start"] = start;
        configuration["steps"]["contact-end"] = json!({"requests": [
            {
                "name": "end", "method": "PATCH", "entitySet": "phonecalls",
                "queryString": "({{ Responses.call.activityid }})",
                "body": {
                    "subcategory": "{{ Customer.name | default('nobody') }}",
                    "regardingobjectid": "{{ Customer }}"
                }
            },
            {
                "name": "of-task", "method": "PATCH", "entitySet": "tasks",
                "queryString": "({{ Responses.task.activityid }})",
                "body": {"category": "done"}
            }
        ]});
    })
    .await;
    known_caller(&system);
    made_formerly(&system);
    save_as_formerly(&system, json!({"contact-start": formerly_delivered()})).await;
    // Its event comes once more, and then the next.
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "recordId": CONTACT.to_string()});
    let reply = invoke(&system, "contact-end", &event("contact-end")).await;
    assert_reply!(reply, {"status": "delivered", "message": null});
    let record = only_record(&system, "phonecalls");
    assert_eq!(
        (&record["subcategory"], &record["category"]),
        (&json!("nobody"), &Json::Null)
    );
    assert!(system.dataverse.records("tasks").is_empty());
    let of_task = stored_request(&system, CONTACT, "contact-end#of-task").await;
    assert!(of_task.is_not_wanted(), "{of_task:#?}");
    assert_eq!(sent(&system), [format!("PATCH phonecalls({CONTACT})")]);
}

#[tokio::test]
async fn what_had_failed_or_was_not_configured_formerly_is_done_with_all_requests_of_today() {
    let system = starting_with(look_up_and_two_creates()).await;
    let caller = known_caller(&system);
    let failed = formerly(0, "failed", json!({"reason": "there is no such column"}));
    save_as_formerly(&system, json!({"contact-start": failed})).await;
    by_hand(&system, CONTACT).await;
    assert_linked(&system, CONTACT, Some(caller));
    only_record(&system, "tasks");

    let system = starting_with(look_up_and_two_creates()).await;
    let caller = known_caller(&system);
    let skipped = formerly(
        0,
        "skipped",
        json!({"reason": "the step is not configured"}),
    );
    save_as_formerly(&system, json!({"contact-start": skipped})).await;
    by_hand(&system, CONTACT).await;
    assert!(system.dataverse.records("phonecalls").is_empty());
    invoke(&system, "contact-start", &event("contact-start")).await;
    assert_linked(&system, CONTACT, Some(caller));
    only_record(&system, "tasks");
}

/// Beside the phone call a task that is made for unknown callers only, one before it, and one that names what
/// that was answered.
fn with_conditions() -> Json {
    let mut start = look_up_and_two_creates();
    let requests = start["requests"].as_array_mut().unwrap();
    requests[1]["when"] = "Customer.count == 0".into();
    requests.push(json!({
        "name": "after", "method": "POST", "entitySet": "tasks",
        "body": {"subject": "After", "category": "{{ Responses.task.subject | default('no task') }}"}
    }));
    // The main request need not be the first.
    requests.insert(
        0,
        json!({"name": "before", "method": "POST", "entitySet": "tasks", "body": {"subject": "Before"}}),
    );
    start
}

#[tokio::test]
async fn a_request_whose_condition_is_false_is_skipped_for_good_and_those_behind_it_are_sent() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"] = with_conditions();
        configuration["steps"]["contact-end"]["request"]["body"] =
            json!({"category": "{{ Responses.before.subject }}", "subcategory": "{{ Responses.call.subject }}"});
    })
    .await;
    let caller = known_caller(&system);
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "message": null, "recordId": CONTACT.to_string()});
    assert_linked(&system, CONTACT, Some(caller));
    assert_eq!(
        sent(&system),
        [
            "GET contacts",
            "POST tasks",
            "POST phonecalls",
            "POST tasks"
        ]
    );
    assert_eq!(
        states(&system, CONTACT).await,
        expected(&[
            ("contact-start#customer", State::Delivered),
            ("contact-start#before", State::Delivered),
            ("contact-start", State::Delivered),
            ("contact-start#task", State::Skipped),
            ("contact-start#after", State::Delivered),
        ])
    );
    let skipped = stored_request(&system, CONTACT, "contact-start#task").await;
    let reason = "it is not wanted: its condition does not hold: Customer.count == 0";
    assert_eq!(skipped.reason.as_deref(), Some(reason));
    let after = task(&system, "after");
    assert_eq!(after["category"], "no task");

    invoke(&system, "contact-start", &event("contact-start")).await;
    by_hand(&system, CONTACT).await;
    assert_eq!(sent(&system), [""; 0]);

    // STEP2-Response is the main request's, wherever it stands.
    invoke(&system, "contact-end", &event("contact-end")).await;
    let record = only_record(&system, "phonecalls");
    assert_eq!(
        (&record["category"], &record["subcategory"]),
        (&json!("Before"), &json!("Call from Ada Example"))
    );
}

/// The task that a named request of `contact-start` has made, under the id that is its own.
fn task(system: &System, request: &str) -> serde_json::Map<String, Json> {
    let id = Uuid::new_v5(&CONTACT, format!("contact-start#{request}").as_bytes());
    let record = system.dataverse.record("tasks", id);
    record.unwrap_or_else(|| panic!("{request}: {:#?}", system.dataverse.records("tasks")))
}

#[tokio::test]
async fn a_request_whose_condition_holds_is_sent_and_its_response_can_be_named() {
    let system = starting_with(with_conditions()).await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "customerCount": "0", "customerId": null});
    assert_linked(&system, CONTACT, None);
    let subject = format!("After {CONTACT}");
    assert_eq!(task(&system, "task")["subject"], subject);
    assert_eq!(task(&system, "after")["category"], subject);
    assert_eq!(system.dataverse.records("tasks").len(), 3);
}

/// A system whose functions die once, at a crash point, while `contact-start` is at it.
async fn dying_at(point: &str, start: Json) -> (System, std::path::PathBuf) {
    let name = format!("connect-dynamics-requests-{point}-{}", Uuid::new_v4());
    let marker = std::env::temp_dir().join(name);
    let path = marker.to_string_lossy().into_owned();
    let system = system_with(
        |configuration| configuration["steps"]["contact-start"] = start,
        |options| {
            let failpoints = format!("{point}=return");
            options.environment.insert("FAILPOINTS".into(), failpoints);
            options.environment.insert("CRASH_MARKER".into(), path);
        },
    )
    .await;
    (system, marker)
}

/// The record, its link and the task are there, each once, and so does the table say.
async fn assert_complete(system: &System, caller: Uuid) {
    assert_linked(system, CONTACT, Some(caller));
    only_record(system, "tasks");
    let history = history(system, CONTACT).await;
    assert_eq!(
        history.count(State::Delivered),
        history.in_order().len(),
        "{history:#?}"
    );
}

fn linking_later_with_a_task() -> Json {
    let mut start = look_up_and_two_creates();
    start["customer"]["linkLater"] = true.into();
    start
}

#[tokio::test]
async fn killed_at_any_point_of_a_step_of_several_requests_nothing_is_lost_or_doubled() {
    for start in [look_up_and_two_creates(), linking_later_with_a_task()] {
        for point in [
            "before-the-intent-is-stored",
            "after-the-intent-is-stored",
            "after-the-answer",
        ] {
            let (system, marker) = dying_at(point, start.clone()).await;
            let caller = known_caller(&system);
            let killed = invoke_raw(&system, "contact-start", &event("contact-start")).await;
            assert!(
                killed.is_error && marker.exists(),
                "{point}: {}",
                killed.payload
            );
            if point == "before-the-intent-is-stored" {
                assert_eq!(system.store.load(CONTACT).await.unwrap(), None);
                invoke(&system, "contact-start", &event("contact-start")).await;
            }
            settle(&system, CONTACT).await;
            assert_complete(&system, caller).await;
        }
    }
}

#[tokio::test]
async fn killed_after_any_request_of_a_step_left_nothing_is_lost_or_doubled() {
    for (start, method, path) in [
        (look_up_and_two_creates(), "GET", "contacts"),
        (look_up_and_two_creates(), "POST", "phonecalls"),
        (look_up_and_two_creates(), "POST", "tasks"),
        (linking_later_with_a_task(), "POST", "phonecalls"),
        (linking_later_with_a_task(), "GET", "contacts"),
        (linking_later_with_a_task(), "PATCH", "phonecalls"),
        (linking_later_with_a_task(), "POST", "tasks"),
    ] {
        let system = starting_with(start).await;
        let caller = known_caller(&system);
        // The request is done, and its answer never comes.
        system.dataverse.faults.add(Fault {
            method: method.into(),
            path: path.into(),
            times: 1,
            effect: Effect::SlowAnswer,
        });
        let lambda = system.lambda.clone();
        let event = event("contact-start");
        let call = tokio::spawn(async move { lambda.invoke("contact-start", &event).await });
        eventually("the request has left", async || {
            let exchanges = system.dataverse.take_exchanges();
            exchanges
                .iter()
                .any(|exchange| what(exchange).starts_with(&format!("{method} {path}")))
        })
        .await;
        assert!(system.lambda.kill_one("contact-start"), "{method} {path}");
        assert!(call.await.unwrap().unwrap().is_error, "{method} {path}");
        settle(&system, CONTACT).await;
        assert_complete(&system, caller).await;
    }
}

#[tokio::test]
async fn killed_after_any_answer_to_a_step_nothing_is_lost_or_doubled() {
    for (start, method, path) in [
        (look_up_and_two_creates(), "GET", "contacts"),
        (look_up_and_two_creates(), "POST", "phonecalls"),
        (look_up_and_two_creates(), "POST", "tasks"),
        (linking_later_with_a_task(), "PATCH", "phonecalls"),
        (linking_later_with_a_task(), "PUT", "phonecalls"),
    ] {
        let (system, marker) = dying_at("after-the-answer", start).await;
        let caller = known_caller(&system);
        // The marker keeps the functions alive, and what they cannot send is redelivery's.
        std::fs::write(&marker, "").unwrap();
        system.dataverse.faults.add(Fault {
            method: method.into(),
            path: path.into(),
            times: 10_000,
            effect: Effect::status(503),
        });
        invoke(&system, "contact-start", &event("contact-start")).await;
        system.dataverse.faults.clear();
        std::fs::remove_file(&marker).unwrap();
        sent(&system);
        eventually("redelivery dies", async || {
            system.redeliver().await.is_err()
        })
        .await;
        let last = sent(&system).pop().unwrap();
        assert!(last.starts_with(&format!("{method} {path}")), "{last}");
        settle(&system, CONTACT).await;
        assert_complete(&system, caller).await;
    }
}

/// The call is its agent's once somebody has answered it.
fn owned_by_its_agent(configuration: &mut Json) {
    configuration["steps"]["contact-answered"]["request"] = json!({
        "method": "PATCH", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)",
        "body": {"ownerid": "{{ Agent.Owner }}", "subcategory": "{{ Agent.User.name | default('nobody') }}"}
    });
}

/// Starts a call and has it answered by an agent; its record is as Dynamics holds it then.
async fn answered(system: &System, username: &str) -> serde_json::Map<String, Json> {
    let contact = Uuid::new_v4();
    invoke(
        system,
        "contact-start",
        &flow(contact, json!({}), json!({})),
    )
    .await;
    let by = json!({"Username": username});
    let reply = invoke(system, "contact-answered", &flow(contact, json!({}), by)).await;
    assert_reply!(reply, {"status": "delivered", "message": null});
    system.dataverse.record("phonecalls", contact).unwrap()
}

#[tokio::test]
async fn an_agent_is_looked_for_once_and_owns_the_calls_that_they_answer() {
    let system = system(owned_by_its_agent).await;
    let user = json!({
        "firstname": "Grace", "lastname": "Example", "domainname": "grace@example.com", "isdisabled": false
    });
    let agent = system.dataverse.insert("systemusers", user).unwrap();
    for _ in 0..2 {
        let record = answered(&system, "grace@example.com").await;
        assert_eq!(record["_ownerid_value"], agent.to_string());
        assert_eq!(record["subcategory"], "Grace Example");
    }
    let sent = sent(&system).into_iter();
    assert_eq!(sent.filter(|sent| sent == "GET systemusers").count(), 1);
}

#[tokio::test]
async fn a_call_of_an_agent_whom_dynamics_does_not_know_is_the_default_owners() {
    let team = Uuid::new_v4();
    let system = system(|configuration| {
        owned_by_its_agent(configuration);
        configuration["agent"] = json!({"defaultOwner": {"team": team.to_string()}});
    })
    .await;
    let own = json!({"teamid": team.to_string(), "name": "Support"});
    system.dataverse.insert("teams", own).unwrap();
    let record = answered(&system, "nobody@example.com").await;
    assert_eq!(
        (&record["_ownerid_value"], &record["subcategory"]),
        (&json!(team.to_string()), &json!("nobody"))
    );
}

#[tokio::test]
async fn two_calls_of_one_unknown_caller_make_one_lead_and_are_both_linked_to_it() {
    let mut start = look_up_and_create();
    start["customer"] = json!({
        "tables": [{"entitySet": "contacts"}],
        "none": {"create": {
            "entitySet": "leads",
            "body": {"subject": "Caller", "lastname": "Unknown", "mobilephone": "{{ Customer.value }}"}
        }}
    });
    let system = system_with(
        |configuration| configuration["steps"]["contact-start"] = start,
        |options| options.processes = 2,
    )
    .await;
    // Leads are not looked through, so neither call can find the other's.
    let contacts = [Uuid::new_v4(), Uuid::new_v4()];
    let mut calls = Vec::new();
    for contact in contacts {
        let lambda = system.lambda.clone();
        let event = flow(contact, json!({}), json!({}));
        calls.push(tokio::spawn(async move {
            lambda.invoke("contact-start", &event).await
        }));
    }
    for call in calls {
        let reply = call.await.unwrap().unwrap().payload;
        let lead = &only_record(&system, "leads")["leadid"];
        assert_eq!(
            (
                &reply["status"],
                &reply["customerId"],
                &reply["customerCount"]
            ),
            (&json!("delivered"), lead, &json!("0")),
            "{reply}"
        );
    }
    let lead = only_record(&system, "leads");
    assert_eq!(lead["mobilephone"], "+15555550100");
    for contact in contacts {
        let record = system.dataverse.record("phonecalls", contact).unwrap();
        assert_eq!(record["_regardingobjectid_value"], lead["leadid"]);
        let parties = system.dataverse.parties(contact);
        assert!(
            parties
                .iter()
                .any(|party| party["_partyid_value"] == lead["leadid"])
        );
    }
}

#[tokio::test]
async fn the_page_is_the_customers_where_there_is_one_the_search_where_there_are_several_and_else_the_record()
 {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"] = look_up_and_create();
        configuration["steps"]["contact-answered"] =
            json!({"screenPop": {"open": ["customer", "search", "record"]}});
    })
    .await;
    let reply = async || {
        let contact = Uuid::new_v4();
        invoke(
            &system,
            "contact-start",
            &flow(contact, json!({}), json!({})),
        )
        .await;
        let answered = flow(contact, json!({}), json!({}));
        (
            contact,
            invoke(&system, "contact-answered", &answered).await,
        )
    };
    let (contact, nobody) = reply().await;
    assert_reply!(nobody, {
        "customerCount": "0", "customerId": null, "customerName": null,
        "screenPopUrl": ends_with(&format!("&etn=phonecall&id={contact}"))
    });
    let ada = known_caller(&system);
    let (_, one) = reply().await;
    assert_reply!(one, {
        "customerCount": "1", "customerId": ada.to_string(), "customerName": "Ada Example",
        "screenPopUrl": ends_with(&format!("&etn=contact&id={ada}"))
    });
    caller(&system, "Grace");
    let (_, several) = reply().await;
    assert_reply!(several, {
        "customerCount": "2", "customerId": null, "customerName": null,
        "screenPopUrl": ends_with("&pagetype=search&searchText=%2B15555550100")
    });
}

#[tokio::test]
async fn each_object_has_all_of_its_steps_requests_to_itself() {
    let system = system(|configuration| {
        configuration["steps"]["recording-available"] = json!({"requests": [
            {
                "name": "object", "main": true, "method": "POST", "entitySet": "tasks",
                "body": {"subject": "{{ objectKind }}", "category": "{{ objectUrl | split('/') | last }}"}
            },
            {
                "name": "about", "method": "PATCH", "entitySet": "tasks",
                "queryString": "({{ Responses.object.activityid }})",
                "body": {"subcategory": "About {{ Responses.object.category }}"}
            }
        ]});
    })
    .await;
    invoke(&system, "contact-start", &event("contact-start")).await;
    let keys = [
        "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav",
        "CallRecordings/2026/02/04/ID_20260204T21:15_UTC.wav",
    ];
    for key in keys {
        for _ in 0..2 {
            let created = object_created(CONTACT, key);
            let reply = invoke(&system, "recording-available", &created).await;
            assert_reply!(reply, {"status": "delivered", "message": null});
        }
    }
    let tasks = system.dataverse.records("tasks");
    assert_eq!(tasks.len(), 2, "{tasks:#?}");
    let mut names = Vec::new();
    for task in &tasks {
        let name = task["category"].as_str().unwrap();
        assert_eq!(task["subcategory"], format!("About {name}"));
        names.push(name);
    }
    assert_ne!(names[0], names[1]);
    let mut updated: Vec<String> = sent(&system);
    updated.retain(|sent| sent.starts_with("PATCH"));
    assert_eq!(updated.len(), 2, "each once: {updated:?}");
    assert_eq!(history(&system, CONTACT).await.count(State::Delivered), 5);
}

#[tokio::test]
async fn look_ups_that_do_not_need_each_other_go_together() {
    let system = system(|configuration| {
        configuration["steps"]["contact-start"] = json!({
            "customer": {"tables": [{"entitySet": "contacts"}, {"entitySet": "accounts"}]},
            "request": {
                "method": "POST", "entitySet": "phonecalls",
                "body": {"regardingobjectid": "{{ Customer }}", "ownerid": "{{ Agent.User }}"}
            }
        });
    })
    .await;
    let caller = known_caller(&system);
    // None of the three is answered before all of them have come: one after the other, none ever is.
    system.dataverse.faults.add(Fault {
        method: "GET".into(),
        path: String::new(),
        times: 3,
        effect: Effect::Together,
    });
    let mut start = event("contact-start");
    start["Details"]["Parameters"]["Username"] = "agent.example".into();
    let reply = invoke(&system, "contact-start", &start).await;
    assert_reply!(reply, {"status": "delivered", "customerId": caller.to_string()});
}

#[tokio::test]
async fn a_customer_who_may_not_be_made_does_not_hold_the_record_up() {
    let mut start = look_up_and_create();
    start["customer"]["none"] =
        json!({"create": {"entitySet": "leads", "body": {"lastname": "Unknown"}}});
    let system = starting_with(start).await;
    system
        .dataverse
        .set_missing_privilege(Some("prvCreateLead"));
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "message": contains("new-customer is failed")});
    assert_linked(&system, CONTACT, None);
    system.dataverse.set_missing_privilege(None);
    by_hand(&system, CONTACT).await;
    let leads = system.dataverse.records("leads");
    assert_eq!(leads.len(), 1);
    let record = only_record(&system, "phonecalls");
    assert_eq!(record["_regardingobjectid_value"], leads[0]["leadid"]);
}
