//! AWS's services that the functions call, at one address: DynamoDB and Secrets Manager.
//!
//! Owns which of them a request is for, the faults between the functions and the table, and the list of
//! who called what, which a test holds the functions' policies against.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json as JsonBody, Router,
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, Response,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    routing::{get, post},
};
use serde_json::{Value as Json, json};

use crate::{
    http::close_connection,
    stand_in::{
        fault::{Effect, Faults},
        secrets_manager::{self, SecretsManager},
    },
};

/// How often each access key has used which action, such as `dynamodb:Query index/due`. A function's
/// key is its name.
type Calls = BTreeMap<String, BTreeMap<String, u64>>;

/// DynamoDB, with faults before it, and Secrets Manager.
#[derive(Debug, Clone)]
pub struct Aws {
    dynamodb: SocketAddr,
    table_faults: Faults,
    secrets_manager: SecretsManager,
    client: reqwest::Client,
    calls: Arc<Mutex<Calls>>,
}

impl Aws {
    pub fn new(dynamodb: SocketAddr, table_faults: Faults, secrets_manager: SecretsManager) -> Aws {
        Aws {
            dynamodb,
            table_faults,
            secrets_manager,
            client: reqwest::Client::new(),
            calls: Arc::default(),
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(answer))
            .route("/stand-in/calls", get(calls))
            .with_state(self.clone())
    }

    fn note(&self, headers: &HeaderMap, target: &str, body: &[u8]) {
        let request: Json = serde_json::from_slice(body).unwrap_or_default();
        let operation = target.split('.').next_back().unwrap_or_default();
        let call = if target.starts_with("secretsmanager.") {
            format!("secretsmanager:{operation} secret")
        } else if let Some(index) = request["IndexName"].as_str() {
            format!("dynamodb:{operation} index/{index}")
        } else {
            format!("dynamodb:{operation} table")
        };
        let mut calls = self.calls.lock().expect("no one panics holding it");
        let by_key = calls.entry(access_key(headers)).or_default();
        *by_key.entry(call).or_default() += 1;
    }

    async fn dynamodb(&self, headers: HeaderMap, target: &str, body: Bytes) -> Response<Body> {
        match self.table_faults.take("POST", target, &body) {
            None => self.forward(headers, body).await,
            Some(Effect::Delay(milliseconds)) => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                self.forward(headers, body).await
            }
            Some(Effect::CloseAfter) => {
                self.forward(headers, body).await;
                close_connection()
            }
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
            Some(Effect::Status { status, code, .. }) => {
                let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "told to fail"});
                Response::builder()
                    .status(status)
                    .header(CONTENT_TYPE, "application/x-amz-json-1.0")
                    .body(Body::from(body.to_string()))
                    .expect("a fault's status is one of HTTP's")
            }
            Some(_) => close_connection(),
        }
    }

    async fn forward(&self, mut headers: HeaderMap, body: Bytes) -> Response<Body> {
        headers.remove("host");
        headers.remove("content-length");
        let request = self.client.post(format!("http://{}/", self.dynamodb));
        let Ok(answered) = request.headers(headers).body(body).send().await else {
            return close_connection();
        };
        let mut response = Response::builder().status(answered.status());
        for name in ["content-type", "x-amz-crc32", "x-amzn-requestid"] {
            if let Some(value) = answered.headers().get(name) {
                response = response.header(name, value);
            }
        }
        let body = answered.bytes().await.unwrap_or_default();
        response
            .body(Body::from(body))
            .expect("a DynamoDB's headers are valid")
    }
}

async fn answer(State(aws): State<Aws>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let target = headers.get("x-amz-target");
    let target = target.map(|target| String::from_utf8_lossy(target.as_bytes()).into_owned());
    let target = target.unwrap_or_default();
    aws.note(&headers, &target, &body);
    if target.starts_with("secretsmanager.") {
        secrets_manager::answer(State(aws.secrets_manager.clone()), headers, body).await
    } else {
        aws.dynamodb(headers, &target, body).await
    }
}

async fn calls(State(aws): State<Aws>) -> JsonBody<Calls> {
    JsonBody(aws.calls.lock().expect("no one panics holding it").clone())
}

/// Of `AWS4-HMAC-SHA256 Credential=<access key>/<date>/...`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-elements.html>
fn access_key(headers: &HeaderMap) -> String {
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let credential = authorization.and_then(|text| text.split_once("Credential="));
    let key = credential.and_then(|(_, rest)| rest.split('/').next());
    key.unwrap_or_default().to_owned()
}
