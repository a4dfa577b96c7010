//! A stand-in for AWS KMS: `Sign`, by RSASSA_PSS_SHA_256, of a digest.
//!
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    digest::{Digest, SHA256},
    signature::{RSA_PSS_SHA256, RsaKeyPair},
};
use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value as Json, json};

use super::pair::Pair;

/// The keys, by the id or alias that they are asked for by.
#[derive(Debug, Clone, Default)]
pub struct Kms {
    keys: Arc<Mutex<HashMap<String, RsaKeyPair>>>,
    refusal: Arc<Mutex<Option<&'static str>>>,
}

impl Kms {
    /// Makes a key under this id or alias. The pair's private key is used nowhere else.
    pub fn add_key(&self, id: &str, pair: &Pair) {
        let mut keys = self.keys.lock().expect("no one panics holding it");
        keys.insert(id.to_owned(), pair.signing_key());
    }

    /// Refuses every request with this error, such as `DisabledException`, or none any more.
    pub fn refuse(&self, error: Option<&'static str>) {
        *self.refusal.lock().expect("no one panics holding it") = error;
    }

    pub(crate) fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
        let refuse = |kind: &str, message: &str| {
            super::json(
                StatusCode::BAD_REQUEST,
                &json!({"__type": kind, "message": message}),
            )
        };
        if let Some(error) = *self.refusal.lock().expect("no one panics holding it") {
            return refuse(error, "told to refuse");
        }
        let target = headers
            .get("x-amz-target")
            .and_then(|target| target.to_str().ok());
        if target != Some("TrentService.Sign") {
            return refuse("UnknownOperationException", "the stand-in knows Sign only");
        }
        let request: Json = serde_json::from_slice(body).unwrap_or_default();
        let field = |name: &str| request[name].as_str().unwrap_or_default();
        let id = field("KeyId");
        let keys = self.keys.lock().expect("no one panics holding it");
        let Some(key) = keys.get(id) else {
            return refuse("NotFoundException", "Invalid keyId");
        };
        let message = BASE64_STANDARD.decode(field("Message")).unwrap_or_default();
        let digest = Digest::import_less_safe(&message, &SHA256);
        let (true, "RSASSA_PSS_SHA_256", Ok(digest)) = (
            field("MessageType") == "DIGEST",
            field("SigningAlgorithm"),
            digest,
        ) else {
            return refuse(
                "ValidationException",
                "the stand-in signs a SHA-256 digest by RSASSA_PSS_SHA_256 only",
            );
        };
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature)
            .expect("there is randomness");
        super::json(
            StatusCode::OK,
            &json!({
                "KeyId": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000001",
                "Signature": BASE64_STANDARD.encode(signature),
                "SigningAlgorithm": "RSASSA_PSS_SHA_256",
            }),
        )
    }
}
