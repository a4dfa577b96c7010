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
async fn a_record_that_is_linked_later_is_left_alone_when_nobody_is_found() {
    let system = starting_with(linking_later()).await;
    let reply = invoke(&system, "contact-start", &event("contact-start")).await;
    assert_reply!(reply, {"status": "delivered", "message": null, "customerCount": "0"});
    assert_linked(&system, CONTACT, None);
    invoke(&system, "contact-start", &event("contact-start")).await;
    by_hand(&system, CONTACT).await;
    assert_eq!(sent(&system), ["POST phonecalls", "GET contacts"]);
    for link in ["link", "link-parties"] {
        let link = stored_request(&system, CONTACT, &format!("contact-start#{link}")).await;
        assert!(link.is_not_wanted(), "{link:#?}");
    }
}
