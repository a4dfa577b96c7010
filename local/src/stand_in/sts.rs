//! A stand-in for AWS STS: `AssumeRole`, and `GetWebIdentityToken` of an account with outbound identity
//! federation.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::pair::Pair;

/// The account, its roles and who has assumed them.
#[derive(Debug, Clone)]
pub struct Sts {
    issuer: Arc<str>,
    /// The account's key. It is made when the first token is asked for, as most systems need none.
    key: Arc<OnceLock<Pair>>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    is_enabled: bool,
    /// The roles that the functions may assume.
    roles: HashSet<String>,
    /// Of those, the ones that may get no token.
    without_token: HashSet<String>,
    sessions: HashMap<String, Session>,
    session_life: Duration,
    /// How old a token is when it is given.
    token_age: Duration,
}

#[derive(Debug, Clone)]
struct Session {
    role_arn: String,
    token: String,
    ends: Timestamp,
}

impl Default for Sts {
    fn default() -> Sts {
        Sts {
            issuer: format!("https://{}.tokens.sts.global.api.aws", Uuid::new_v4()).into(),
            key: Arc::default(),
            inner: Arc::new(Mutex::new(Inner {
                is_enabled: true,
                roles: HashSet::new(),
                without_token: HashSet::new(),
                sessions: HashMap::new(),
                session_life: Duration::from_secs(3600),
                token_age: Duration::ZERO,
            })),
        }
    }
}

impl Sts {
    /// The account's issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The account's public key, as PKCS #1. The real one is read at the issuer's address.
    pub fn public_key(&self) -> Vec<u8> {
        self.key().public_key()
    }

    /// Makes a role that the functions may assume, and that may get a token.
    pub fn add_role(&self, arn: &str) {
        self.lock().roles.insert(arn.to_owned());
    }

    /// Lets nobody assume the role any more.
    pub fn remove_role(&self, arn: &str) {
        self.lock().roles.remove(arn);
    }

    /// Takes from the role that it may get a token.
    pub fn forbid_token(&self, arn: &str) {
        self.lock().without_token.insert(arn.to_owned());
    }

    /// Enables outbound identity federation in the account, or disables it.
    pub fn set_enabled(&self, is_enabled: bool) {
        self.lock().is_enabled = is_enabled;
    }

    /// How long the sessions last that begin from now on.
    pub fn set_session_life(&self, life: Duration) {
        self.lock().session_life = life;
    }

    /// Gives tokens that are so old already.
    pub fn set_token_age(&self, age: Duration) {
        self.lock().token_age = age;
    }

    /// Ends all sessions before their time.
    pub fn end_sessions(&self) {
        self.lock().sessions.clear();
    }

    /// The role that a session's access key stands for.
    pub(crate) fn role_of(&self, access_key: &str) -> Option<String> {
        let inner = self.lock();
        let session = inner.sessions.get(access_key)?;
        Some(session.role_arn.clone())
    }

    fn key(&self) -> &Pair {
        self.key.get_or_init(|| Pair::new(2020, 2100))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics holding it")
    }

    /// Answers what `access_key` asks.
    pub(crate) fn answer(
        &self,
        access_key: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Body> {
        let form: HashMap<String, String> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match field("Action") {
            "AssumeRole" => self.assume_role(access_key, field("RoleArn")),
            "GetWebIdentityToken" => {
                let token = headers.get("x-amz-security-token");
                let session = Asked {
                    access_key,
                    session_token: token.and_then(|token| token.to_str().ok()),
                    audience: field("Audience.member.1"),
                    algorithm: field("SigningAlgorithm"),
                    seconds: field("DurationSeconds").parse().unwrap_or(300),
                };
                self.web_identity_token(&session)
            }
            _ => refusal("InvalidAction", "the stand-in knows two actions only"),
        }
    }

    fn assume_role(&self, access_key: &str, role_arn: &str) -> Response<Body> {
        let mut inner = self.lock();
        if !inner.roles.contains(role_arn) {
            return refusal(
                "AccessDenied",
                &format!(
                    "User: arn:aws:sts::123456789012:assumed-role/{access_key}/{access_key} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
                ),
            );
        }
        let session = Session {
            role_arn: role_arn.to_owned(),
            token: format!("stand-in-session-token-{}", Uuid::new_v4().simple()),
            ends: Timestamp::now() + inner.session_life,
        };
        let access_key = format!("stand-in-session-{}", Uuid::new_v4().simple());
        let content = format!(
            "<Credentials><AccessKeyId>{access_key}</AccessKeyId>\
             <SecretAccessKey>stand-in-session-secret</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>",
            session.token, session.ends
        );
        inner.sessions.insert(access_key, session);
        success("AssumeRole", &content)
    }

    fn web_identity_token(&self, asked: &Asked<'_>) -> Response<Body> {
        let inner = self.lock();
        let now = Timestamp::now();
        let Some(session) = inner.sessions.get(asked.access_key) else {
            return refusal(
                "InvalidClientTokenId",
                "The security token included in the request is invalid",
            );
        };
        if asked.session_token != Some(session.token.as_str()) {
            return refusal(
                "InvalidClientTokenId",
                "The security token included in the request is invalid",
            );
        }
        if session.ends < now {
            return refusal(
                "ExpiredToken",
                "The security token included in the request is expired",
            );
        }
        if inner.without_token.contains(&session.role_arn) {
            return refusal(
                "AccessDenied",
                &format!(
                    "{} is not authorized to perform: sts:GetWebIdentityToken",
                    session.role_arn
                ),
            );
        }
        if !inner.is_enabled {
            return refusal(
                "OutboundWebIdentityFederationDisabledException",
                "The outbound web identity federation feature is not enabled for this account.",
            );
        }
        if asked.algorithm != "RS256" || !(60..=3600).contains(&asked.seconds) {
            return refusal(
                "ValidationError",
                "the stand-in signs by RS256, for 60 to 3600 seconds",
            );
        }
        let ends = now + Duration::from_secs(asked.seconds);
        if ends > session.ends {
            return refusal(
                "SessionDurationEscalationException",
                "The requested token duration would extend the session beyond its original expiration time.",
            );
        }
        let age = i64::try_from(inner.token_age.as_secs()).unwrap_or_default();
        let claims = json!({
            "iss": *self.issuer,
            "sub": session.role_arn,
            "aud": asked.audience,
            "iat": now.as_second() - age,
            "exp": ends.as_second() - age,
            "jti": Uuid::new_v4(),
            "https://sts.amazonaws.com/": {"aws_account": "123456789012"},
        });
        let token = signed_by_rs256(&self.key().signing_key(), &claims);
        let content =
            format!("<WebIdentityToken>{token}</WebIdentityToken><Expiration>{ends}</Expiration>");
        success("GetWebIdentityToken", &content)
    }
}

/// <https://www.rfc-editor.org/rfc/rfc7519>
fn signed_by_rs256(key: &RsaKeyPair, claims: &Json) -> String {
    let part = |json: &Json| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "stand-in"});
    let unsigned = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        unsigned.as_bytes(),
        &mut signature,
    )
    .expect("there is randomness");
    format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// What a session asks for.
struct Asked<'a> {
    access_key: &'a str,
    session_token: Option<&'a str>,
    audience: &'a str,
    algorithm: &'a str,
    seconds: u64,
}

fn success(action: &str, content: &str) -> Response<Body> {
    xml(
        StatusCode::OK,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{content}</{action}Result></{action}Response>"
        ),
    )
}

fn refusal(code: &str, message: &str) -> Response<Body> {
    let status = if code == "AccessDenied" {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::BAD_REQUEST
    };
    xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/xml")
        .body(Body::from(body))
        .expect("status and header are valid")
}
