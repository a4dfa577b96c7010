//! A stand-in for Entra ID: gives tokens for the client credentials grant, and knows those it gave.
//!
//! The application may have client secrets, certificates and federated credentials, several of each at
//! once. What proves who asks is judged as the real one judges it, but that an assertion may come twice.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>; the codes
//! are those of <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode, header::HOST},
    routing::post,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{fault::Faults, pair::Pair};

/// How far the clocks may differ, in seconds.
const LEEWAY: u64 = 300;
/// What a client assertion says that it is.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

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
    /// By the SHA-256 of their DER.
    certificates: HashMap<[u8; 32], Registered>,
    federated: Vec<FederatedCredential>,
    lifetime: Duration,
    /// Tokens given: until when each is good, and for which environment.
    tokens: HashMap<String, (Instant, String)>,
    asked: u32,
}

/// A certificate of the application.
#[derive(Debug)]
struct Registered {
    public_key: Vec<u8>,
    good: Range<Timestamp>,
    is_revoked: bool,
}

/// A federated credential of the application: whose tokens are taken for its own.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust>
#[derive(Debug, Clone)]
pub struct FederatedCredential {
    pub issuer: String,
    pub subject: String,
    pub audience: String,
    /// The issuer's public key, as PKCS #1. The real one reads it at the issuer's address.
    pub public_key: Vec<u8>,
}

/// Why a proof is not taken: status, error, code and words.
type Refusal = (StatusCode, &'static str, u32, &'static str);

fn invalid_client(code: u32, what: &'static str) -> Refusal {
    (StatusCode::UNAUTHORIZED, "invalid_client", code, what)
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
                certificates: HashMap::new(),
                federated: Vec::new(),
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

    /// The application's id.
    pub(super) fn client_id(&self) -> String {
        self.lock().client_id.clone()
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

    /// Uploads a certificate to the application, beside those it has.
    pub fn add_certificate(&self, pair: &Pair) {
        let registered = Registered {
            public_key: pair.public_key(),
            good: pair.good.clone(),
            is_revoked: false,
        };
        let mut inner = self.lock();
        inner.certificates.insert(pair.thumbprint(), registered);
    }

    /// Deletes every certificate of the application but this one.
    pub fn keep_certificate(&self, pair: &Pair) {
        let mut inner = self.lock();
        inner
            .certificates
            .retain(|thumbprint, _| *thumbprint == pair.thumbprint());
    }

    /// Revokes a certificate of the application.
    pub fn revoke_certificate(&self, pair: &Pair) {
        let mut inner = self.lock();
        if let Some(registered) = inner.certificates.get_mut(&pair.thumbprint()) {
            registered.is_revoked = true;
        }
    }

    /// Replaces the federated credentials of the application.
    pub fn set_federated_credentials(&self, credentials: Vec<FederatedCredential>) {
        self.lock().federated = credentials;
    }

    /// The federated credentials of the application.
    pub fn federated_credentials(&self) -> Vec<FederatedCredential> {
        self.lock().federated.clone()
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
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    entra.lock().asked += 1;
    let path = format!("/{tenant}/oauth2/v2.0/token");
    // Each name that this stand-in is reached by is its own.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let endpoint = format!("http://{}{path}", host.unwrap_or_default());
    entra
        .faults
        .answer("POST", &path, &body, || {
            entra.grant(&tenant, &endpoint, &body)
        })
        .await
}

impl Entra {
    fn grant(&self, tenant: &str, endpoint: &str, body: &[u8]) -> Response<Body> {
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
        let proved = if form.contains_key("client_assertion") {
            let assertion = field("client_assertion");
            if field("client_assertion_type") == JWT_BEARER {
                inner.judge_assertion(assertion, endpoint)
            } else {
                let what = "The client_assertion_type is not supported.";
                Err((StatusCode::BAD_REQUEST, "invalid_request", 900_144, what))
            }
        } else {
            inner.judge_secret(field("client_secret"))
        };
        if let Err((status, error, code, what)) = proved {
            return refuse(status, error, code, what);
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

impl Inner {
    fn judge_secret(&self, secret: &str) -> Result<(), Refusal> {
        if secret != self.client_secret {
            return Err(invalid_client(7_000_215, "Invalid client secret provided."));
        }
        if self.secret_has_expired {
            return Err(invalid_client(
                7_000_222,
                "The provided client secret keys are expired.",
            ));
        }
        Ok(())
    }

    /// One that the application has issued itself is signed with a key of its certificates; any other
    /// comes from an issuer that a federated credential names.
    fn judge_assertion(&self, assertion: &str, endpoint: &str) -> Result<(), Refusal> {
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Json>(assertion);
        let header = jsonwebtoken::decode_header(assertion);
        let (Ok(header), Ok(claims)) = (header, claims) else {
            return Err(invalid_client(50_027, "The JWT is not valid."));
        };
        if claims["iss"].as_str() == Some(&self.client_id) {
            self.judge_certified(assertion, &header, &claims, endpoint)
        } else {
            self.judge_federated(assertion, &header, &claims)
        }
    }

    /// <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>
    fn judge_certified(
        &self,
        assertion: &str,
        header: &jsonwebtoken::Header,
        claims: &Json,
        endpoint: &str,
    ) -> Result<(), Refusal> {
        let Some(thumbprint) = &header.x5t_s256 else {
            return Err(invalid_client(
                5_002_723,
                "The JWT header has no thumbprint of a certificate.",
            ));
        };
        let failed = "Client assertion failed signature validation.";
        let thumbprint = BASE64_URL_SAFE_NO_PAD.decode(thumbprint);
        let registered = thumbprint
            .ok()
            .and_then(|thumbprint| <[u8; 32]>::try_from(thumbprint).ok())
            .and_then(|thumbprint| self.certificates.get(&thumbprint));
        let Some(registered) = registered else {
            return Err(invalid_client(700_027, failed));
        };
        if registered.is_revoked {
            return Err(invalid_client(7_000_214, "The certificate was revoked."));
        }
        if !registered.good.contains(&Timestamp::now()) {
            return Err(invalid_client(
                1_000_502,
                "The certificate is not within its validity period.",
            ));
        }
        if header.alg != Algorithm::PS256 {
            return Err(invalid_client(700_027, failed));
        }
        verify(
            assertion,
            header.alg,
            &registered.public_key,
            invalid_client(700_027, failed),
        )?;
        if claims["sub"].as_str() != Some(&self.client_id) || !claims["jti"].is_string() {
            return Err(invalid_client(
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter.",
            ));
        }
        if claims["aud"].as_str() != Some(endpoint) {
            return Err(invalid_client(
                700_023,
                "Client assertion audience claim does not match Realm issuer.",
            ));
        }
        Ok(())
    }

    /// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation>
    fn judge_federated(
        &self,
        assertion: &str,
        header: &jsonwebtoken::Header,
        claims: &Json,
    ) -> Result<(), Refusal> {
        let claim = |name: &str| claims[name].as_str().unwrap_or_default();
        if self.federated.is_empty() {
            return Err(invalid_client(
                70_021,
                "No matching federated identity record found for presented assertion.",
            ));
        }
        let of_the_issuer: Vec<_> = self
            .federated
            .iter()
            .filter(|credential| credential.issuer == claim("iss"))
            .collect();
        if of_the_issuer.is_empty() {
            return Err(invalid_client(
                700_211,
                "No matching federated identity record found for presented assertion issuer.",
            ));
        }
        let of_the_subject: Vec<_> = of_the_issuer
            .iter()
            .filter(|credential| credential.subject == claim("sub"))
            .collect();
        if of_the_subject.is_empty() {
            let but_for_case = of_the_issuer
                .iter()
                .any(|credential| credential.subject.eq_ignore_ascii_case(claim("sub")));
            return Err(invalid_client(
                if but_for_case { 7_002_138 } else { 700_213 },
                "No matching federated identity record found for presented assertion subject.",
            ));
        }
        let credential = of_the_subject
            .iter()
            .find(|credential| credential.audience == claim("aud"));
        let Some(credential) = credential else {
            return Err(invalid_client(
                700_212,
                "No matching federated identity record found for presented assertion audience.",
            ));
        };
        let not_valid = invalid_client(50_027, "The JWT is not valid.");
        if header.alg != Algorithm::RS256 {
            return Err(not_valid);
        }
        verify(assertion, header.alg, &credential.public_key, not_valid)
    }
}

/// Whether the key's owner has signed an assertion that is good now.
fn verify(
    assertion: &str,
    algorithm: Algorithm,
    public_key: &[u8],
    not_signed: Refusal,
) -> Result<(), Refusal> {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    let key = DecodingKey::from_rsa_der(public_key);
    match jsonwebtoken::decode::<Json>(assertion, &key, &validation) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            ErrorKind::ExpiredSignature
            | ErrorKind::ImmatureSignature
            | ErrorKind::MissingRequiredClaim(_) => invalid_client(
                700_024,
                "Client assertion is not within its valid time range.",
            ),
            _ => not_signed,
        }),
    }
}
