//! A stand-in for Entra ID: gives tokens for the client credentials grant, and knows those it gave.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>; the codes
//! are those of <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{Response, StatusCode},
    routing::post,
};
use serde_json::json;
use uuid::Uuid;

use super::fault::Faults;

/// The tenant with its one application.
#[derive(Debug, Clone)]
pub struct Entra {
    pub faults: Faults,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    tenant_id: String,
    client_id: String,
    client_secret: String,
    secret_has_expired: bool,
    lifetime: Duration,
    /// Tokens given: until when each is good, and for which environment.
    tokens: HashMap<String, (Instant, String)>,
    asked: u32,
}

impl Entra {
    pub fn new(tenant_id: &str, client_id: &str, client_secret: &str) -> Entra {
        Entra {
            faults: Faults::default(),
            inner: Arc::new(Mutex::new(Inner {
                tenant_id: tenant_id.into(),
                client_id: client_id.into(),
                client_secret: client_secret.into(),
                secret_has_expired: false,
                lifetime: Duration::from_secs(3599),
                tokens: HashMap::new(),
                asked: 0,
            })),
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .with_state(self.clone())
    }

    /// How long the tokens given from now on are good.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.lock().lifetime = lifetime;
    }

    /// Gives the application another client secret.
    pub fn set_client_secret(&self, secret: &str) {
        self.lock().client_secret = secret.into();
    }

    /// Lets the client secret expire, or not.
    pub fn set_secret_has_expired(&self, expired: bool) {
        self.lock().secret_has_expired = expired;
    }

    /// Makes every token given so far invalid.
    pub fn revoke_tokens(&self) {
        self.lock().tokens.clear();
    }

    /// How often a token was asked for.
    pub fn asked(&self) -> u32 {
        self.lock().asked
    }

    /// The tokens given so far.
    pub fn tokens(&self) -> Vec<String> {
        self.lock().tokens.keys().cloned().collect()
    }

    /// Whether a token is good for an environment now.
    pub(super) fn accepts(&self, token: &str, environment: &str) -> bool {
        let inner = self.lock();
        inner.tokens.get(token).is_some_and(|(until, audience)| {
            *until > Instant::now()
                && audience.trim_end_matches('/') == environment.trim_end_matches('/')
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics holding it")
    }
}

async fn token(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
    body: Bytes,
) -> Response<Body> {
    entra.lock().asked += 1;
    entra
        .faults
        .answer(
            "POST",
            &format!("/{tenant}/oauth2/v2.0/token"),
            &body,
            || entra.grant(&tenant, &body),
        )
        .await
}

impl Entra {
    fn grant(&self, tenant: &str, body: &[u8]) -> Response<Body> {
        let form: HashMap<String, String> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let mut inner = self.lock();
        let refuse = |status: StatusCode, error: &str, code: u32, what: &str| {
            super::json(
                status,
                &json!({
                    "error": error,
                    "error_description": format!("AADSTS{code}: {what}"),
                    "error_codes": [code],
                    "trace_id": Uuid::new_v4(),
                    "correlation_id": Uuid::new_v4(),
                }),
            )
        };
        if tenant != inner.tenant_id {
            return refuse(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                90_002,
                "Tenant not found.",
            );
        }
        if field("grant_type") != "client_credentials" {
            return refuse(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                70_003,
                "The grant type is not supported.",
            );
        }
        if field("client_id") != inner.client_id {
            return refuse(
                StatusCode::BAD_REQUEST,
                "unauthorized_client",
                700_016,
                "Application was not found in the directory.",
            );
        }
        if field("client_secret") != inner.client_secret {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                7_000_215,
                "Invalid client secret provided.",
            );
        }
        if inner.secret_has_expired {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                7_000_222,
                "The provided client secret keys are expired.",
            );
        }
        let Some(environment) = field("scope").strip_suffix("/.default") else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                1_002_012,
                "The provided value for scope is not valid.",
            );
        };
        let token = format!("stand-in-token-{}", Uuid::new_v4().simple());
        let until = Instant::now() + inner.lifetime;
        inner
            .tokens
            .insert(token.clone(), (until, environment.to_owned()));
        super::json(
            StatusCode::OK,
            &json!({"token_type": "Bearer", "expires_in": inner.lifetime.as_secs(), "ext_expires_in": inner.lifetime.as_secs(), "access_token": token}),
        )
    }
}
