//! `local`'s arguments and addresses: what cannot be done is refused before anything starts, in words.

use std::{io::ErrorKind, process::Command};

use axum::Router;
use local::http;

#[test]
fn arguments_that_cannot_be_are_refused_in_words() {
    for (arguments, words) in [
        (
            "serve --listen localhost",
            "it must be an IP address of this machine, such as 172.17.0.1, not a name",
        ),
        ("serve --port 65532", "it must be a number from 0 to 65529"),
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
