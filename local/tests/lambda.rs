//! Lambda on this machine behaves as AWS's does.

use std::{collections::BTreeMap, env, fs, os::unix::fs::PermissionsExt, time::Duration};

use axum::{body::Body, http::Request};
use local::lambda::{Function, Lambda};
use tower::ServiceExt;
use uuid::Uuid;

/// A function that says where its runtime API is, and leaves it to the test to speak with it.
const SCRIPT: &str = "#!/bin/sh\necho \"$AWS_LAMBDA_RUNTIME_API\"\nexec sleep 60\n";

// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
#[tokio::test]
async fn an_asynchronous_event_is_tried_three_times_under_one_request_id() {
    let binary = env::temp_dir().join(format!("function-{}", Uuid::new_v4()));
    fs::write(&binary, SCRIPT).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let function = Function {
        name: "contact-end".into(),
        binary: binary.clone(),
        timeout: Duration::from_secs(60),
        processes: 1,
        clock_skew: 0,
        environment: BTreeMap::new(),
    };
    let lambda = Lambda::start(vec![function]).await.unwrap();
    let mut logs = lambda.logs();
    while logs.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        logs = lambda.logs();
    }
    fs::remove_file(&binary).unwrap();
    let invocations = format!("http://{}/2018-06-01/runtime/invocation", logs[0]);

    let event = Request::post("/2015-03-31/functions/contact-end/invocations")
        .header("X-Amz-Invocation-Type", "Event")
        .body(Body::from("{}"))
        .unwrap();
    let accepted = lambda.router().oneshot(event).await.unwrap();
    assert_eq!(accepted.status(), 202);
    let told = accepted.headers()["X-Amzn-RequestId"].to_str().unwrap();

    let client = reqwest::Client::new();
    for attempt in 0..3 {
        let next = client.get(format!("{invocations}/next")).send().await;
        let next = next.unwrap();
        let id = next.headers()["Lambda-Runtime-Aws-Request-Id"]
            .to_str()
            .unwrap();
        assert_eq!(id, told, "attempt {attempt}");
        let failed = client
            .post(format!("{invocations}/{id}/error"))
            .body("{}")
            .send()
            .await;
        assert_eq!(failed.unwrap().status(), 202);
    }
}
