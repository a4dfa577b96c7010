//! A stand-in for AWS Secrets Manager: `GetSecretValue`, unsigned requests included.
//!
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
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
    secrets: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<u32>>,
}

impl SecretsManager {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(answer))
            .with_state(self.clone())
    }

    pub fn set(&self, name: &str, value: &str) {
        self.secrets
            .lock()
            .expect("no one panics holding it")
            .insert(name.into(), value.into());
    }

    /// How often a secret was asked for.
    pub fn asked(&self) -> u32 {
        *self.asked.lock().expect("no one panics holding it")
    }
}

pub(crate) async fn answer(
    State(manager): State<SecretsManager>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    *manager.asked.lock().expect("no one panics holding it") += 1;
    manager
        .faults
        .answer("POST", "/", &[], || get(&manager, &headers, &body))
        .await
}

fn get(manager: &SecretsManager, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let refuse = |kind: &str, message: &str| {
        super::json(
            StatusCode::BAD_REQUEST,
            &json!({"__type": kind, "message": message}),
        )
    };
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    if target != Some("secretsmanager.GetSecretValue") {
        return refuse(
            "UnknownOperationException",
            "the stand-in knows GetSecretValue only",
        );
    }
    let request: Json = serde_json::from_slice(body).unwrap_or_default();
    let id = request["SecretId"].as_str().unwrap_or_default();
    let secrets = manager.secrets.lock().expect("no one panics holding it");
    match secrets.get(id) {
        None => refuse(
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        ),
        Some(value) => super::json(
            StatusCode::OK,
            &json!({
                "ARN": format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{id}-AbCdEf"),
                "Name": id,
                "SecretString": value,
                "VersionId": "00000000-0000-4000-8000-000000000001",
                "VersionStages": ["AWSCURRENT"],
            }),
        ),
    }
}
