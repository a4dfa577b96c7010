//! The doctor on the local system: what it finds when all is well, and when each thing is not.

use connect_dynamics::{
    history::{History, RequestKey},
    step::Step,
    store::Stored,
};
use console::{
    deployment::Deployment,
    doctor::{self, Finding, Outcome},
};
use end_to_end::{CONTACT, rewritten, system_with};
use jiff::{SignedDuration, Timestamp};
use local::{credential::CLIENT_SECRET, system::System};
use serde_json::{Value as Json, json};

/// The first of the recipes, of which nothing is warned.
fn recipe() -> Json {
    let recipe = include_str!("../docs/recipes/phone-call.json");
    serde_json::from_str(recipe).expect("a recipe is JSON")
}

async fn recipe_system() -> System {
    system_with(|configuration| *configuration = recipe(), |_| {}).await
}

async fn examine(system: &System) -> Vec<Finding> {
    let deployment = Deployment::of_local(&system.local_system).await;
    doctor::examine(&deployment).await.checks
}

/// The finding of a check.
fn of<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.id == id);
    found.unwrap_or_else(|| panic!("there is no check {id}: {findings:#?}"))
}

/// Those that are not well, by their ids. A table of before is warned of, and that is not what is tried here.
fn unwell(findings: &[Finding]) -> Vec<(&str, Outcome)> {
    // Dynamics cannot be asked then, of which the connection's own check tells.
    let is_out_of_reach = |finding: &&Finding| {
        let asks_dynamics = ["schema:", "privileges:"];
        let mut asks_dynamics = asks_dynamics.iter();
        finding.verdict.outcome == Outcome::CannotBeChecked
            && asks_dynamics.any(|asking| finding.id.starts_with(asking))
    };
    let unwell = findings
        .iter()
        .filter(|finding| finding.verdict.outcome < Outcome::Ok)
        .filter(|finding| !is_out_of_reach(finding));
    unwell
        .map(|finding| (finding.id.as_str(), finding.verdict.outcome))
        .collect()
}

/// That a check says this and what to do.
fn assert_says(finding: &Finding, outcome: Outcome, text: &str) {
    assert_eq!(finding.verdict.outcome, outcome, "{finding:#?}");
    let said = finding.verdict.findings.join("\n");
    assert!(said.contains(text), "{finding:#?}");
    assert!(!finding.verdict.what_to_do.is_empty(), "{finding:#?}");
}

fn secret_id() -> String {
    let id = recipe()["connection"]["clientSecretId"].clone();
    id.as_str().expect("it names a secret").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_system_is_well() {
    let system = recipe_system().await;
    let findings = examine(&system).await;
    assert_eq!(unwell(&findings), []);
    for id in [
        "integrations",
        "configuration:default",
        "credential:default",
        "connection:default",
        "schema:default",
        "privileges:default",
        "contacts-overdue",
        "contacts-failed",
    ] {
        assert_eq!(of(&findings, id).verdict.outcome, Outcome::Ok, "{id}");
    }
    for id in ["stack", "alarms", "flows", "bucket-events", "clock"] {
        let outcome = of(&findings, id).verdict.outcome;
        assert_eq!(outcome, Outcome::DoesNotApply, "{id}");
    }
    let mut ids: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "each check has an id of its own");
    let told = serde_json::to_string(&findings).expect("findings serialise");
    assert!(!told.contains(CLIENT_SECRET), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_wrong_ended_empty_or_gone_is_told_of() {
    let system = recipe_system().await;
    let id = secret_id();
    let put = |secret: &str, expires_on: &str| {
        let value = json!({"clientSecret": secret, "expiresOn": expires_on});
        system.secrets_manager.set(&id, &value.to_string());
    };

    put("another-made-up-secret", "2030-01-31");
    let findings = examine(&system).await;
    assert_eq!(unwell(&findings), [("connection:default", Outcome::Broken)]);
    let connection = of(&findings, "connection:default");
    assert_says(connection, Outcome::Broken, "AADSTS7000215");
    let told = serde_json::to_string(&findings).expect("findings serialise");
    assert!(!told.contains("another-made-up-secret"), "{told}");

    put(CLIENT_SECRET, "2026-01-31");
    let findings = examine(&system).await;
    assert_eq!(unwell(&findings), [("credential:default", Outcome::Broken)]);
    let credential = of(&findings, "credential:default");
    assert_says(credential, Outcome::Broken, "ended on 2026-01-31");

    let soon = Timestamp::now() + SignedDuration::from_hours(10 * 24);
    put(CLIENT_SECRET, &soon.strftime("%Y-%m-%d").to_string());
    let findings = examine(&system).await;
    assert_eq!(
        unwell(&findings),
        [("credential:default", Outcome::Warning)]
    );

    put("", "");
    let findings = examine(&system).await;
    assert_says(
        of(&findings, "credential:default"),
        Outcome::Broken,
        "is empty",
    );
    assert_says(
        of(&findings, "connection:default"),
        Outcome::Broken,
        "no client secret",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_integration_is_told_of() {
    let system = system_with(|_| {}, |options| options.is_empty = true).await;
    let findings = examine(&system).await;
    assert_eq!(unwell(&findings), [("integrations", Outcome::Broken)]);
    assert_says(
        of(&findings, "integrations"),
        Outcome::Broken,
        "There is no integration",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_load_is_told_line_by_line() {
    let system = recipe_system().await;
    let mut document = recipe();
    document["steps"]["contact-start"]["request"]["method"] = "DELETE".into();
    let document = document.to_string();
    let saved = system.store.save_integration("default", &document);
    saved.await.expect("it is saved");
    let findings = examine(&system).await;
    let configuration = of(&findings, "configuration:default");
    assert_says(configuration, Outcome::Broken, "steps.contact-start");
    // What needs it says so, and nothing else is hidden.
    for id in ["credential:default", "connection:default"] {
        let outcome = of(&findings, id).verdict.outcome;
        assert_eq!(outcome, Outcome::CannotBeChecked, "{id}");
    }
    assert_eq!(
        of(&findings, "contacts-failed").verdict.outcome,
        Outcome::Ok
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_that_failed_or_wait_for_long_are_told_of_with_their_reason() {
    let system = recipe_system().await;
    let start = RequestKey::of(Step::ContactStart);
    let (now, hour_ago) = (
        Timestamp::now(),
        Timestamp::now() - SignedDuration::from_hours(1),
    );

    let mut failed = History::new(CONTACT, "default", hour_ago);
    failed.intend(&start, hour_ago);
    failed.failed(&start, "a reason of the failed one".into(), now);
    let mut failed = Stored::new(rewritten(&failed, |history| {
        history["wakeAt"] = json!(null);
    }));
    let saved = system.store.save(&mut failed, 30).await;
    saved.expect("it is saved");
    let findings = examine(&system).await;
    assert_eq!(unwell(&findings), [("contacts-failed", Outcome::Broken)]);
    let contacts = of(&findings, "contacts-failed");
    assert_says(contacts, Outcome::Broken, "1 contact has");
    assert_says(contacts, Outcome::Broken, "a reason of the failed one");
    assert_eq!(
        contacts.verdict.what_to_do[0].page.as_deref(),
        Some("/contacts?state=failed")
    );

    let other = uuid::Uuid::new_v4();
    let mut waiting = History::new(other, "default", hour_ago);
    waiting.intend(&start, hour_ago);
    waiting.postponed(&start, "a reason of the waiting one".into(), now, hour_ago);
    let mut waiting = Stored::new(rewritten(&waiting, |history| {
        history["wakeAt"] = json!(now);
        history["waitingSince"] = json!(hour_ago);
    }));
    let saved = system.store.save(&mut waiting, 30).await;
    saved.expect("it is saved");
    let findings = examine(&system).await;
    let contacts = of(&findings, "contacts-overdue");
    assert_says(contacts, Outcome::Broken, "1 contact waits for longer");
    assert_says(contacts, Outcome::Broken, "a reason of the waiting one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_or_fails_hides_no_other() {
    use std::time::Duration;

    use console::doctor::{Check, Verdict};

    let checks = vec![
        Check::new("hangs", "It hangs", std::future::pending()).within(Duration::from_millis(50)),
        Check::new("fails", "It fails", async { panic!("on purpose") }),
        Check::new("well", "It is well", async { Verdict::ok("It is.") }),
    ];
    let findings = doctor::run(checks).await;
    let outcomes = findings
        .iter()
        .map(|finding| (finding.id.as_str(), finding.verdict.outcome));
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [
            ("hangs", Outcome::CannotBeChecked),
            ("fails", Outcome::CannotBeChecked),
            ("well", Outcome::Ok)
        ]
    );
}
