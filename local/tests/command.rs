//! `local`'s arguments and addresses: what cannot be done is refused before anything starts, in words.

use std::{env, fs, io::ErrorKind, process::Command};

use axum::Router;
use local::http;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn arguments_that_cannot_be_are_refused_in_words() {
    for (arguments, words) in [
        (
            "serve --listen localhost",
            "it must be an IP address of this machine, such as 172.17.0.1, not a name",
        ),
        ("serve --port 65533", "it must be a number from 0 to 65532"),
        ("storm --contacts 0", "it must be a number, and at least 1"),
        (
            "storm --concurrency 0",
            "it must be a number, and at least 1",
        ),
        ("storm --faults 1", "it must be from 0 to 0.9"),
        (
            "life --credential password",
            "secret, certificate, kms, federation",
        ),
        ("storm --config x", "unexpected argument '--config'"),
        ("check", "--config <FILE>"),
        ("--config nowhere.json", "nowhere.json: No such file"),
        (
            "--events nowhere",
            "nowhere/contact-start.json: No such file",
        ),
        ("--records nowhere.json", "nowhere.json: No such file"),
        (
            "--records Cargo.toml",
            "Cargo.toml: it must be a JSON object of entity sets",
        ),
        (
            "--config Cargo.toml",
            "Cargo.toml: the configuration is not valid",
        ),
    ] {
        let local = Command::new(env!("CARGO_BIN_EXE_local"))
            .args(arguments.split(' '))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&local.stderr);
        assert!(!local.status.success(), "{arguments}");
        assert!(said.contains(words), "{arguments}: {said}");
        assert!(!said.contains("Building"), "{arguments}: {said}");
    }
}

/// What `local` says of a configuration, and whether it succeeded.
fn check(document: &str, arguments: &[&str]) -> (String, bool) {
    let file = env::temp_dir().join(format!("check-{}.json", Uuid::new_v4()));
    fs::write(&file, document).unwrap();
    let local = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(arguments)
        .arg("--config")
        .arg(&file)
        .env_remove("AWS_REGION")
        .env_remove("AWS_DEFAULT_REGION")
        .env("AWS_CONFIG_FILE", "nowhere")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    let said = [local.stdout, local.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (
        said.replace(file.to_str().unwrap(), "FILE"),
        local.status.success(),
    )
}

fn reference() -> Value {
    serde_json::from_str(include_str!("../reference-integration.json")).unwrap()
}

#[test]
fn check_warns_of_what_is_probably_a_mistake_and_succeeds() {
    let mut document = reference();
    let (said, succeeded) = check(&document.to_string(), &["check"]);
    assert!(succeeded, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    for (line, begin) in lines.iter().zip([
        "warning: steps.contact-start.request.body.subject, line 1, column 14: `Username` stands in the text",
        "warning: steps.contact-start.request.body.subject, line 1, column 27: `CustomerEndpoint` stands in the text",
        "warning: steps.contact-start.request.body: it creates a phone call without `directioncode`",
        "FILE is valid, with 3 warnings.",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
    document["steps"]["contact-start"]["request"]["body"] = json!({"directioncode": false});
    assert_eq!(
        check(&document.to_string(), &["check"]),
        ("FILE is valid.\n".into(), true)
    );
}

#[test]
fn check_says_every_error_first_and_then_every_warning_and_fails() {
    let mut document = reference();
    document["connection"]["environmentURI"] = "x".into();
    document["connection"]["clientId"] = "x".into();
    document["giveUpAfterHours"] = "72".into();
    let steps = &mut document["steps"];
    steps["contact-strat"] = json!({});
    steps["contact-start"]["request"]["body"] = json!({
        "directioncode": false,
        "phonenumber": "{{ CustmerEndpoint }}",
        "subject": "{{ queue.Name }} {{ Agent.UserName }}",
    });
    steps["contact-end"]["request"]["queryString"] = "STEP2-Response.activityid".into();
    let (said, succeeded) = check(&document.to_string(), &["check"]);
    assert!(!succeeded);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 9, "{said}");
    assert!(
        lines[..5].iter().all(|line| line.starts_with("error: ")),
        "{said}"
    );
    for (line, right) in
        lines[5..8]
            .iter()
            .zip(["CustomerEndpoint", "Queue.Name", "Agent.Username"])
    {
        assert!(
            line.starts_with("warning: ") && line.contains(&format!("did you mean `{right}`?")),
            "{said}"
        );
    }
    assert_eq!(lines[8], "FILE is not valid: 5 errors and 3 warnings.");
}

#[test]
fn save_says_the_warnings_and_goes_on() {
    let (said, _) = check(&reference().to_string(), &["save", "--table", "x"]);
    assert_eq!(said.matches("warning: ").count(), 3, "{said}");
    assert!(said.contains("which region is the stack in?"), "{said}");
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_at_is_told_in_words() {
    let taken = http::serve(0, Router::new()).await.unwrap();
    let error = http::serve(taken.port(), Router::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        error.to_string(),
        format!("cannot listen at {taken}: the port is in use")
    );
    let elsewhere = "203.0.113.9:0".parse().unwrap();
    let error = http::serve_at(elsewhere, Router::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot listen at 203.0.113.9:0: it is no address of this machine"
    );
}
