//! What Secrets Manager holds for us: a client secret, or a certificate with its private key.
//!
//! Owns fetching, caching and reading it: one in memory is read again after an hour, so that what is
//! known of its end is true after a rotation. What is secret leaves this module only through
//! [`ClientSecret::expose`], which the token request calls, and a private key not at all:
//! [`Certificate::sign`] uses it. Printing one shows nothing of it.

mod certificate;
mod client_secret;

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, operation::get_secret_value::GetSecretValueError};
use jiff::Timestamp;
use tokio::time::timeout;

pub use self::{certificate::Certificate, client_secret::ClientSecret};
use crate::{cause, clock::Clock};

/// How long a secret is used without looking whether it has changed.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How long that look may take: the one in memory is most probably good still.
const READ_AGAIN_WITHIN: Duration = Duration::from_secs(1);

/// Why there is no secret.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum SecretError {
    #[error("there is no secret `{id}` in Secrets Manager; create it, or correct {named_by}")]
    NotFound { id: String, named_by: &'static str },
    #[error(
        "the function may not read the secret `{0}`; its role needs secretsmanager:GetSecretValue for it, and kms:Decrypt when it is encrypted with a key of your own"
    )]
    AccessDenied(String),
    #[error(
        "the secret `{0}` holds no client secret; its value must be JSON like {{\"clientSecret\": \"...\", \"expiresOn\": \"2027-01-31\"}}, or the secret's value alone"
    )]
    Empty(String),
    #[error("the secret `{id}` cannot be read: {reason}")]
    Malformed { id: String, reason: String },
    #[error("Secrets Manager did not give the secret `{id}`: {reason}")]
    Unavailable { id: String, reason: String },
}

/// What a secret's text is read as.
pub trait Kind: Clone + Debug + Sized {
    /// The field of the configuration that names the secret.
    const NAMED_BY: &'static str;

    /// Reads a secret's text.
    ///
    /// # Errors
    /// What is wrong with it, never with any part of it.
    fn read(id: &str, text: &str) -> Result<Self, SecretError>;

    /// Where those that were read are kept.
    fn cache(secrets: &Secrets) -> &Cache<Self>;
}

/// What was read, by the secret's name or ARN, and when.
type Cache<T> = Mutex<HashMap<String, (T, Timestamp)>>;

/// Secrets Manager, with what it has given before.
#[derive(Debug)]
pub struct Secrets {
    client: Client,
    client_secrets: Cache<ClientSecret>,
    certificates: Cache<Certificate>,
    clock: Clock,
}

impl Secrets {
    pub fn new(config: &SdkConfig) -> Secrets {
        Secrets {
            client: Client::new(config),
            client_secrets: Mutex::default(),
            certificates: Mutex::default(),
            clock: Clock::default(),
        }
    }

    /// Counts a secret's age by another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Secrets {
        Secrets { clock, ..self }
    }

    /// A secret by its name or ARN: from memory if it was fetched within the last hour, or if Secrets
    /// Manager does not give it now.
    ///
    /// # Errors
    /// [`SecretError`], never with any part of the value.
    pub async fn get<T: Kind>(&self, id: &str) -> Result<T, SecretError> {
        let cached = T::cache(self)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned();
        let Some((secret, read_at)) = cached else {
            return self.fetch(id).await;
        };
        if self.clock.since(read_at) <= READ_AGAIN_AFTER {
            return Ok(secret);
        }
        match timeout(READ_AGAIN_WITHIN, self.fetch(id)).await {
            Ok(Ok(fresh)) => Ok(fresh),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the secret was not read again; the one in memory stays in use");
                Ok(secret)
            }
            Err(_) => {
                tracing::warn!(
                    id,
                    "the secret was not read again: Secrets Manager does not answer; the one in memory stays in use"
                );
                Ok(secret)
            }
        }
    }

    /// A secret by its name or ARN, fetched again: Entra ID has refused the one in memory.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub async fn fetch<T: Kind>(&self, id: &str) -> Result<T, SecretError> {
        let answer = self.client.get_secret_value().secret_id(id).send().await;
        let answer = answer.map_err(|error| {
            let code = error
                .as_service_error()
                .and_then(|error| error.meta().code());
            match (error.as_service_error(), code) {
                (Some(GetSecretValueError::ResourceNotFoundException(_)), _) => {
                    SecretError::NotFound {
                        id: id.to_owned(),
                        named_by: T::NAMED_BY,
                    }
                }
                (Some(GetSecretValueError::DecryptionFailure(_)), _)
                | (_, Some("AccessDeniedException")) => SecretError::AccessDenied(id.to_owned()),
                _ => SecretError::Unavailable {
                    id: id.to_owned(),
                    reason: cause::of_aws(&error),
                },
            }
        })?;
        let secret = T::read(id, answer.secret_string().unwrap_or_default())?;
        let mut cache = T::cache(self)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cache.insert(id.to_owned(), (secret.clone(), self.clock.now()));
        Ok(secret)
    }
}

fn malformed(id: &str, reason: impl Into<String>) -> SecretError {
    SecretError::Malformed {
        id: id.to_owned(),
        reason: reason.into(),
    }
}
