//! The tool's commands that need no deployment, and what they say when there is none.

use std::{env, fs, process::Command};

use serde_json::{Value, json};
use uuid::Uuid;

/// What `connect-dynamics check` says of a configuration, and whether it succeeded.
fn check(document: &str) -> (String, bool) {
    let file = env::temp_dir().join(format!("check-{}.json", Uuid::new_v4()));
    fs::write(&file, document).unwrap();
    let told = Command::new(env!("CARGO_BIN_EXE_connect-dynamics"))
        .arg("check")
        .arg(&file)
        .env_remove("AWS_REGION")
        .env_remove("AWS_DEFAULT_REGION")
        .env("AWS_CONFIG_FILE", "nowhere")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    let said = [told.stdout, told.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (
        said.replace(file.to_str().unwrap(), "FILE"),
        told.status.success(),
    )
}

fn reference() -> Value {
    serde_json::from_str(include_str!("../../local/reference-integration.json")).unwrap()
}

#[test]
fn check_warns_of_what_is_probably_a_mistake_and_succeeds() {
    let mut document = reference();
    let (said, succeeded) = check(&document.to_string());
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
        check(&document.to_string()),
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
    let (said, succeeded) = check(&document.to_string());
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
fn without_a_deployment_a_command_says_what_to_do() {
    for (arguments, words) in [
        (
            "--local-port 1 doctor",
            "start the local system with `cargo run -p local -- serve`",
        ),
        ("--local-port 1 export", "Name a stack with --stack NAME"),
        (
            "--stack x --region us-east-1 contacts",
            "there are no AWS credentials",
        ),
        ("--stack x contacts", "which AWS region is the stack in?"),
        ("check", "<FILE>"),
        ("check nowhere.json", "nowhere.json: No such file"),
    ] {
        let told = Command::new(env!("CARGO_BIN_EXE_connect-dynamics"))
            .args(arguments.split(' '))
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "nowhere")
            .env("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(!told.status.success(), "{arguments}");
        assert!(said.contains(words), "{arguments}: {said}");
    }
}
