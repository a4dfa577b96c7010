//! AWS's services that the functions call, at one address: DynamoDB, Secrets Manager, KMS, STS and S3.
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
    extract::{Path, State},
    http::{
        HeaderMap, Response,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    routing::{get, post},
};
use serde_json::{Value as Json, json};

use crate::{
    credential::Sources,
    http::close_connection,
    stand_in::{
        fault::{Effect, Faults},
        s3::S3,
        secrets_manager,
    },
};

/// How often each access key has used which action, such as `dynamodb:Query index/due`. A function's
/// key is its name; a role's that a function has assumed is its ARN.
pub type Calls = BTreeMap<String, BTreeMap<String, u64>>;

/// DynamoDB, with faults before it, and the services that credentials come from.
#[derive(Debug, Clone)]
pub struct Aws {
    dynamodb: SocketAddr,
    table_faults: Faults,
    sources: Sources,
    s3: S3,
    client: reqwest::Client,
    calls: Arc<Mutex<Calls>>,
}

impl Aws {
    pub fn new(dynamodb: SocketAddr, table_faults: Faults, sources: Sources, s3: S3) -> Aws {
        Aws {
            dynamodb,
            table_faults,
            sources,
            s3,
            client: reqwest::Client::new(),
            calls: Arc::default(),
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(answer))
            .route("/stand-in/calls", get(calls))
            .route("/{bucket}/{*key}", get(object).put(put_object))
            .with_state(self.clone())
    }

    /// Who has called what.
    pub fn calls(&self) -> Calls {
        self.calls.lock().expect("no one panics holding it").clone()
    }

    fn note(&self, access_key: &str, service: Service, operation: &str, body: &[u8]) {
        let call = match service {
            Service::S3 => format!("s3:{operation} object"),
            Service::SecretsManager => format!("secretsmanager:{operation} secret"),
            Service::Kms => format!("kms:{operation} key"),
            Service::Sts if operation == "AssumeRole" => format!("sts:{operation} role"),
            Service::Sts => format!("sts:{operation} *"),
            Service::DynamoDb => {
                let request: Json = serde_json::from_slice(body).unwrap_or_default();
                match request["IndexName"].as_str() {
                    Some(index) => format!("dynamodb:{operation} index/{index}"),
                    None => format!("dynamodb:{operation} table"),
                }
            }
        };
        let role = self.sources.sts.role_of(access_key);
        let who = role.unwrap_or_else(|| access_key.to_owned());
        let mut calls = self.calls.lock().expect("no one panics holding it");
        let by_key = calls.entry(who).or_default();
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

/// A service of AWS.
#[derive(Clone, Copy)]
enum Service {
    DynamoDb,
    SecretsManager,
    Kms,
    Sts,
    S3,
}

/// The service and the operation that a request is for. Most are named in a header; STS speaks another
/// protocol, whose requests are forms.
fn asked(headers: &HeaderMap, body: &[u8]) -> (Service, String) {
    let target = headers.get("x-amz-target");
    let target = target.map(|target| String::from_utf8_lossy(target.as_bytes()).into_owned());
    let Some(target) = target else {
        let action = url::form_urlencoded::parse(body).find(|(name, _)| name == "Action");
        return match action {
            Some((_, action)) => (Service::Sts, action.into_owned()),
            None => (Service::DynamoDb, String::new()),
        };
    };
    let service = match target.split('.').next() {
        Some("secretsmanager") => Service::SecretsManager,
        Some("TrentService") => Service::Kms,
        _ => Service::DynamoDb,
    };
    let operation = target.split('.').next_back().unwrap_or_default();
    (service, operation.to_owned())
}

async fn answer(State(aws): State<Aws>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let (service, operation) = asked(&headers, &body);
    let access_key = access_key(&headers);
    aws.note(&access_key, service, &operation, &body);
    match service {
        Service::SecretsManager => {
            secrets_manager::answer(State(aws.sources.secrets_manager.clone()), headers, body).await
        }
        Service::Kms => aws.sources.kms.answer(&headers, &body),
        Service::Sts => aws.sources.sts.answer(&access_key, &headers, &body),
        // It has no requests of this form.
        Service::DynamoDb | Service::S3 => {
            let target = format!("DynamoDB_20120810.{operation}");
            aws.dynamodb(headers, &target, body).await
        }
    }
}

async fn object(
    State(aws): State<Aws>,
    Path((bucket, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    aws.note(&access_key(&headers), Service::S3, "GetObject", &[]);
    aws.s3.answer(&format!("{bucket}/{key}")).await
}

/// Where a test that is another process puts what the functions are to read.
async fn put_object(
    State(aws): State<Aws>,
    Path((bucket, key)): Path<(String, String)>,
    content: Bytes,
) {
    aws.s3.put(&bucket, &key, content);
}

async fn calls(State(aws): State<Aws>) -> JsonBody<Calls> {
    JsonBody(aws.calls())
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
