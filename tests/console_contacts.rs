//! The console's pages of contacts, over HTTP and on the whole local system: what they show of contacts that
//! the functions have recorded, and what their forms do.

use std::collections::BTreeSet;

use connect_dynamics::{
    history::{RequestKey, State},
    step::Step,
    store::recent::{Filter, Place},
};
use console::{deployment::Deployment, web::Console};
use end_to_end::*;
use jiff::Timestamp;
use local::{
    stand_in::fault::{Effect, Fault},
    system::System,
};
use reqwest::{StatusCode, header};
use serde_json::json;
use uuid::Uuid;

const FAILED: Uuid = Uuid::from_u128(0xfa11_ed00_4c5d_4e6f_8071_8293_a4b5_c6d7);
const HOSTILE: Uuid = Uuid::from_u128(0x4057_11e0_4c5d_4e6f_8071_8293_a4b5_c6d7);

/// A browser that was let in.
struct Browser {
    client: reqwest::Client,
    origin: String,
    cookie: String,
}

/// What a browser is answered.
struct Answer {
    status: StatusCode,
    location: String,
    text: String,
}

impl Browser {
    async fn open(system: &System) -> Browser {
        let deployment = Deployment::of_local(&system.local_system).await;
        let console = Console::bind(deployment, 0).await.unwrap();
        let address = console.address.clone();
        tokio::spawn(console.serve());
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let opened = client.get(&address).send().await.unwrap();
        let cookie = opened.headers()[header::SET_COOKIE].to_str().unwrap();
        let (origin, _) = address.split_once("/?").unwrap();
        Browser {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            origin: origin.to_owned(),
            client,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request
            .header(header::COOKIE, &self.cookie)
            .header(header::ORIGIN, &self.origin);
        let answer = request.send().await.unwrap();
        let location = answer.headers().get(header::LOCATION);
        Answer {
            status: answer.status(),
            location: location
                .map(|it| it.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            text: answer.text().await.unwrap(),
        }
    }

    /// A page that is there.
    async fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.origin);
        let answer = self.send(self.client.get(url)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    async fn answer(&self, path: &str) -> Answer {
        let url = format!("{}{path}", self.origin);
        self.send(self.client.get(url)).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let url = format!("{}{path}", self.origin);
        self.send(self.client.post(url).form(form)).await
    }

    /// The page that a form leads to.
    async fn submit(&self, path: &str, form: &[(&str, &str)]) -> String {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        self.get(&answer.location).await
    }
}

/// A call that starts, by this number.
async fn call(system: &System, contact: Uuid, number: &str) {
    let fields = json!({
        "CustomerEndpoint": {"Address": number, "Type": "TELEPHONE_NUMBER"},
        "Attributes": {"note": "a secret of the customer"},
        "InitialContactId": contact.to_string(),
    });
    let event = flow(contact, fields, json!({}));
    invoke_raw(system, "contact-start", &event).await;
}

/// A system with a contact that is delivered and one that has failed.
async fn with_contacts() -> (System, Browser) {
    let system = reference_system().await;
    call(&system, CONTACT, "+15555550100").await;
    let fault = Effect::refused(400, "0x80044331");
    system.dataverse.faults.times(1, fault);
    call(&system, FAILED, "+15555550123").await;
    system.dataverse.faults.clear();
    let browser = Browser::open(&system).await;
    (system, browser)
}

fn shows(page: &str, contact: Uuid) -> bool {
    page.contains(&format!("/contacts/{contact}"))
}

async fn in_the_index(system: &System) -> BTreeSet<Uuid> {
    let newest = Place::newest(Timestamp::now());
    let until = newest.day().yesterday().unwrap();
    let filter = Filter::default();
    let found = system.store.recent(&filter, newest, until, 100).await;
    let contacts = found.unwrap().contacts.into_iter();
    contacts.map(|contact| contact.contact_id).collect()
}

#[tokio::test]
async fn contacts_are_listed_filtered_and_found() {
    let (system, browser) = with_contacts().await;
    // A task in Dynamics that is the second contact's.
    let other = Uuid::new_v4();
    let mut stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let end = RequestKey::of(Step::ContactEnd);
    stored.history.intend(&end, Timestamp::now());
    stored
        .history
        .delivered(&end, Some(other), None, Timestamp::now());
    system.store.save(&mut stored, 30).await.unwrap();

    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    for (query, expected) in [
        ("", [true, true]),
        ("?state=failed", [false, true]),
        ("?state=delivered", [true, false]),
        ("?state=pending", [false, false]),
        ("?integration=default", [true, true]),
        ("?integration=other", [false, false]),
        (&format!("?day={today}"), [true, true]),
        ("?day=2020-01-01", [false, false]),
        ("?q=%2B1+555+555-0123", [false, true]),
        ("?q=555+5550100", [true, false]),
        (&format!("?q={other}"), [true, false]),
        (&format!("?q={}", Uuid::new_v4()), [false, false]),
        ("?q=%2B1+555+555-0123&state=delivered", [false, false]),
    ] {
        let page = browser.get(&format!("/contacts{query}")).await;
        let shown = [CONTACT, FAILED].map(|contact| shows(&page, contact));
        assert_eq!(shown, expected, "{query}");
    }
    let found = browser.answer(&format!("/contacts?q={FAILED}")).await;
    assert_eq!(found.location, format!("/contacts/{FAILED}"));
    for wrong in ["?state=x", "?day=x", "?from=x"] {
        let answer = browser.answer(&format!("/contacts{wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    for unknown in [Uuid::new_v4().to_string(), "x".into()] {
        let answer = browser.answer(&format!("/contacts/{unknown}")).await;
        assert!(answer.status.is_client_error(), "{unknown}");
    }
}

#[tokio::test]
async fn a_failed_contact_says_why_and_what_to_do_and_is_delivered_again() {
    let (system, browser) = with_contacts().await;
    let path = format!("/contacts/{FAILED}");
    let page = browser.get(&path).await;
    for told in [
        "failed",
        "A value is longer than its column in Dynamics allows.",
        "What to do:",
        "Shorten it in the integration",
        "The contact starts",
        "Deliver again",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(system.dataverse.record("phonecalls", FAILED), None);

    let page = browser.submit(&format!("{path}/deliver"), &[]).await;
    assert!(page.contains("everything of it is done"), "{page}");
    assert!(system.dataverse.record("phonecalls", FAILED).is_some());
    // The record in Dynamics and its page.
    assert!(
        page.contains(&format!("etn=phonecall&amp;id={FAILED}")),
        "{page}"
    );
    let page = browser.submit(&format!("{path}/deliver"), &[]).await;
    assert!(page.contains("nothing was done"), "{page}");
}

#[tokio::test]
async fn several_contacts_are_delivered_again_at_once() {
    let (system, browser) = with_contacts().await;
    let unknown = Uuid::new_v4();
    let (failed, unknown_id) = (FAILED.to_string(), unknown.to_string());
    let form = [("contact", failed.as_str()), ("contact", &unknown_id)];
    let page = browser.submit("/contacts/deliver", &form).await;
    assert!(page.contains("1 of 2 contacts delivered"), "{page}");
    assert!(page.contains("Nothing is known of it"), "{page}");
    assert!(system.dataverse.record("phonecalls", FAILED).is_some());
    let page = browser.submit("/contacts/deliver", &[]).await;
    assert!(page.contains("No contact was chosen"), "{page}");
}

#[tokio::test]
async fn what_may_have_been_done_is_sent_again_only_when_somebody_says_so() {
    let system = system(|configuration| {
        configuration["steps"]["contact-end"]["request"] = json!({
            "method": "POST", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)/Microsoft.Dynamics.CRM.Example",
            "body": {}
        });
    })
    .await;
    call(&system, CONTACT, "+15555550100").await;
    system.dataverse.faults.add(Fault {
        effect: Effect::CloseAfter,
        ..serde_json::from_value(json!({"method": "POST", "effect": "closeAfter", "times": 9}))
            .unwrap()
    });
    invoke_raw(&system, "contact-end", &event("contact-end")).await;
    system.dataverse.faults.clear();
    let stored = system.store.load(CONTACT).await.unwrap().unwrap();
    let end = stored.history.request(&RequestKey::of(Step::ContactEnd));
    assert_eq!(
        end.map(|it| (it.state, it.sent_at.is_some())),
        Some((State::Failed, true))
    );

    let browser = Browser::open(&system).await;
    let path = format!("/contacts/{CONTACT}");
    let page = browser.get(&path).await;
    assert!(page.contains("may have been carried out"), "{page}");
    system.dataverse.take_exchanges();
    let page = browser.submit(&format!("{path}/deliver"), &[]).await;
    assert!(page.contains("Nothing was done"), "{page}");
    let id = CONTACT.to_string();
    let page = browser
        .submit("/contacts/deliver", &[("contact", id.as_str())])
        .await;
    assert!(page.contains("It was left out"), "{page}");
    assert_eq!(system.dataverse.take_exchanges().len(), 0);
    browser
        .submit(&format!("{path}/deliver"), &[("in-doubt", "yes")])
        .await;
    assert_ne!(system.dataverse.take_exchanges().len(), 0);
}

#[tokio::test]
async fn values_are_hidden_until_they_are_asked_for() {
    let (_system, browser) = with_contacts().await;
    let path = format!("/contacts/{CONTACT}");
    let page = browser.get(&path).await;
    assert!(page.contains("Values are hidden"), "{page}");
    assert!(page.contains("Attributes.note"), "names are told: {page}");
    assert!(!page.contains("a secret of the customer"), "{page}");
    let shown = browser.post(&format!("{path}/values"), &[]).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(shown.text.contains("a secret of the customer"));
    // No address shows them, and no other page can have them shown.
    let asked = browser.answer(&format!("{path}/values")).await;
    assert_eq!(asked.status, StatusCode::METHOD_NOT_ALLOWED);
    let url = format!("{}{path}/values", browser.origin);
    let foreign = browser
        .client
        .post(url)
        .header(header::COOKIE, &browser.cookie);
    let foreign = foreign.header(header::ORIGIN, "https://example.com");
    let foreign = foreign.send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
}

/// Leases that the functions have taken run out.
async fn until_nobody_is_at_work(system: &System, contact: Uuid) {
    eventually("no function is at work on the contact", async || {
        let stored = system.store.load(contact).await.unwrap();
        stored.is_none_or(|stored| {
            let lease = stored.history.lease();
            lease.is_none_or(|lease| lease.until <= Timestamp::now())
        })
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_contact_is_gone_and_its_record_is_named() {
    let (system, browser) = with_contacts().await;
    until_nobody_is_at_work(&system, CONTACT).await;
    let path = format!("/contacts/{CONTACT}");
    let record = format!("etn=phonecall&amp;id={CONTACT}");
    let page = browser.get(&format!("{path}/forget")).await;
    assert!(
        page.contains("Records that stay in Dynamics") && page.contains(&record),
        "{page}"
    );
    assert!(
        in_the_index(&system).await.contains(&CONTACT),
        "asking changes nothing"
    );

    let page = browser.submit(&format!("{path}/forget"), &[]).await;
    assert!(page.contains("1 contact forgotten"), "{page}");
    assert!(
        page.contains("What Dynamics still holds") && page.contains(&record),
        "{page}"
    );
    assert_eq!(system.store.load(CONTACT).await.unwrap(), None);
    assert_eq!(in_the_index(&system).await, BTreeSet::from([FAILED]));
    assert!(system.dataverse.record("phonecalls", CONTACT).is_some());
    let answer = browser.answer(&path).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_contact_that_a_function_is_at_work_on_is_not_forgotten() {
    let (system, browser) = with_contacts().await;
    let mut stored = system.store.load(CONTACT).await.unwrap().unwrap();
    stored.history = rewritten(&stored.history, |history| {
        history["lease"] = json!({"holder": "x", "until": "2999-01-01T00:00:00Z"});
    });
    system.store.save(&mut stored, 30).await.unwrap();
    let path = format!("/contacts/{CONTACT}/forget");
    let page = browser.submit(&path, &[]).await;
    assert!(page.contains("No contact was forgotten"), "{page}");
    assert!(page.contains("a function is at work on it"), "{page}");
    assert!(system.store.load(CONTACT).await.unwrap().is_some());
}

#[tokio::test]
async fn all_contacts_of_a_number_are_forgotten_and_no_others() {
    let (system, browser) = with_contacts().await;
    let second = Uuid::new_v4();
    call(&system, second, "+15555550100").await;
    for contact in [CONTACT, second] {
        until_nobody_is_at_work(&system, contact).await;
    }
    let page = browser.get("/contacts/forget?number=%2B15555550199").await;
    assert!(page.contains("No contact has this number"), "{page}");
    let page = browser
        .get("/contacts/forget?number=%2B1+555+555+0100")
        .await;
    assert!(page.contains("Forget 2 contacts for good"), "{page}");
    assert!(!shows(&page, FAILED), "{page}");
    let ids = [CONTACT, second].map(|id| id.to_string());
    let form = [("contact", ids[0].as_str()), ("contact", ids[1].as_str())];
    let page = browser.submit("/contacts/forget", &form).await;
    assert!(page.contains("2 contacts forgotten"), "{page}");
    assert_eq!(in_the_index(&system).await, BTreeSet::from([FAILED]));
}

#[tokio::test]
async fn hostile_values_are_text_on_every_page() {
    let (system, browser) = with_contacts().await;
    let hostile = "\"><script>alert(1)</script>";
    let fields = json!({
        "CustomerEndpoint": {"Address": hostile, "Type": "TELEPHONE_NUMBER"},
        "Attributes": {(hostile): hostile},
    });
    let event = flow(HOSTILE, fields, json!({}));
    invoke_raw(&system, "contact-start", &event).await;
    let path = format!("/contacts/{HOSTILE}");
    let sought = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let values = browser.post(&format!("{path}/values"), &[]).await;
    assert!(values.text.contains("&lt;script&gt;"));
    let mut pages = vec![values.text];
    for address in [
        "/contacts".to_owned(),
        format!("/contacts?q={sought}&integration={sought}"),
        path.clone(),
        format!("{path}/forget"),
        format!("/contacts/forget?number={sought}"),
        format!(
            "/contacts/forgotten?gone={HOSTILE}&record=%22%3E%3Cscript%3E/%22%3E%3Cscript%3E/{HOSTILE}"
        ),
    ] {
        pages.push(browser.get(&address).await);
    }
    for page in pages {
        assert!(!page.contains("\"><script>"), "{page}");
        assert!(!page.contains(" style="), "the policy forbids it: {page}");
    }
}
