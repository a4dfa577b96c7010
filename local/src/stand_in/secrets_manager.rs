//! A stand-in for AWS Secrets Manager: `GetSecretValue`, `PutSecretValue`, `CreateSecret` and
//! `DescribeSecret`, unsigned requests included.
//!
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Operations.html>

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use serde_json::{Value as Json, json};

use super::fault::Faults;

/// The secrets, by name.
#[derive(Debug, Clone, Default)]
pub struct SecretsManager {
    pub faults: Faults,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// A secret that has never been given a value has none.
    secrets: HashMap<String, Option<String>>,
    /// Operations that nobody may do.
    denied: BTreeSet<String>,
    asked: u32,
}

impl SecretsManager {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(answer))
            .with_state(self.clone())
    }

    pub fn set(&self, name: &str, value: &str) {
        let value = Some(value.to_owned());
        self.lock().secrets.insert(name.into(), value);
    }

    /// Makes a secret that has no value.
    pub fn add_without_value(&self, name: &str) {
        self.lock().secrets.insert(name.into(), None);
    }

    /// The value of a secret.
    pub fn value(&self, name: &str) -> Option<String> {
        self.lock().secrets.get(name)?.clone()
    }

    pub fn remove(&self, name: &str) {
        self.lock().secrets.remove(name);
    }

    /// Lets nobody do an operation, `GetSecretValue`.
    pub fn deny(&self, operation: &str) {
        self.lock().denied.insert(operation.to_owned());
    }

    /// How often a secret was asked for.
    pub fn asked(&self) -> u32 {
        self.lock().asked
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics holding it")
    }
}

pub(crate) async fn answer(
    State(manager): State<SecretsManager>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    manager.lock().asked += 1;
    let answered = || match manager.lock().answer(&headers, &body) {
        Ok(told) => super::json(StatusCode::OK, &told),
        Err((kind, message)) => super::json(
            StatusCode::BAD_REQUEST,
            &json!({"__type": kind, "message": message}),
        ),
    };
    manager.faults.answer("POST", "/", &[], answered).await
}

/// The code and the words of a refusal.
type Refused = (&'static str, String);

impl Inner {
    fn answer(&mut self, headers: &HeaderMap, body: &[u8]) -> Result<Json, Refused> {
        let target = headers.get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.strip_prefix("secretsmanager."));
        let operation = operation.unwrap_or_default();
        if self.denied.contains(operation) {
            return Err((
                "AccessDeniedException",
                format!(
                    "User is not authorized to perform: secretsmanager:{operation} because no identity-based policy allows it"
                ),
            ));
        }
        let request: Json = serde_json::from_slice(body).unwrap_or_default();
        let field = |name: &str| request[name].as_str().unwrap_or_default();
        match operation {
            "GetSecretValue" => self.get(field("SecretId")),
            "DescribeSecret" => {
                let id = field("SecretId");
                self.find(id)?;
                Ok(json!({"ARN": arn(id), "Name": id}))
            }
            "PutSecretValue" => {
                let id = field("SecretId");
                self.find(id)?;
                check_token(&request)?;
                self.put(id, &request)
            }
            "CreateSecret" => {
                let name = field("Name");
                check_token(&request)?;
                let is_name = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
                if name.is_empty() || !name.chars().all(is_name) {
                    return Err((
                        "ValidationException",
                        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!".into(),
                    ));
                }
                if self.secrets.contains_key(name) {
                    return Err((
                        "ResourceExistsException",
                        format!("The operation failed because the secret {name} already exists."),
                    ));
                }
                self.put(name, &request)
            }
            _ => Err((
                "UnknownOperationException",
                "the stand-in knows GetSecretValue, PutSecretValue, CreateSecret and DescribeSecret only".into(),
            )),
        }
    }

    fn find(&self, id: &str) -> Result<&Option<String>, Refused> {
        self.secrets.get(id).ok_or_else(|| {
            let message = "Secrets Manager can't find the specified secret.";
            ("ResourceNotFoundException", message.into())
        })
    }

    fn get(&self, id: &str) -> Result<Json, Refused> {
        let Some(value) = self.find(id)? else {
            let message = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
            return Err(("ResourceNotFoundException", message.into()));
        };
        Ok(json!({
            "ARN": arn(id),
            "Name": id,
            "SecretString": value,
            "VersionId": "00000000-0000-4000-8000-000000000001",
            "VersionStages": ["AWSCURRENT"],
        }))
    }

    fn put(&mut self, id: &str, request: &Json) -> Result<Json, Refused> {
        let Some(value) = request["SecretString"].as_str() else {
            let message = "You must provide either SecretString or SecretBinary.";
            return Err(("InvalidRequestException", message.into()));
        };
        self.secrets.insert(id.to_owned(), Some(value.to_owned()));
        Ok(json!({"ARN": arn(id), "Name": id, "VersionId": request["ClientRequestToken"]}))
    }
}

/// Only the SDKs make the token up.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html#SecretsManager-PutSecretValue-request-ClientRequestToken>
fn check_token(request: &Json) -> Result<(), Refused> {
    let token = request["ClientRequestToken"].as_str().unwrap_or_default();
    if (32..=64).contains(&token.len()) {
        return Ok(());
    }
    let message = "You must provide a ClientRequestToken value. We recommend a UUID-type value.";
    Err(("InvalidParameterException", message.into()))
}

fn arn(id: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{id}-AbCdEf")
}
