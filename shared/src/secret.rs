//! The client secret, from Secrets Manager.
//!
//! Owns fetching, caching and reading it: one in memory is read again after an hour, so that what is
//! known of its end is true after a rotation. The value leaves this module only through
//! [`ClientSecret::expose`], which the token request calls; printing one shows nothing of it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, operation::get_secret_value::GetSecretValueError};
use jiff::{Timestamp, civil::Date};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{cause, clock::Clock};

/// How long a secret is used without looking whether it has changed.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How long that look may take: the one in memory is most probably good still.
const READ_AGAIN_WITHIN: Duration = Duration::from_secs(1);

/// A client secret of Entra ID.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret {
    value: String,
    /// The day it ends, when the secret in Secrets Manager says so.
    pub expires_on: Option<Date>,
}

impl ClientSecret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(...)")
    }
}

/// Why there is no client secret.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum SecretError {
    #[error(
        "there is no secret `{0}` in Secrets Manager; create it, or correct connection.clientSecretId"
    )]
    NotFound(String),
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

/// Secrets Manager, with what it has given before.
#[derive(Debug)]
pub struct Secrets {
    client: Client,
    /// What was read, and when.
    cache: Mutex<HashMap<String, (ClientSecret, Timestamp)>>,
    clock: Clock,
}

impl Secrets {
    pub fn new(config: &SdkConfig) -> Secrets {
        Secrets {
            client: Client::new(config),
            cache: Mutex::default(),
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
    pub async fn get(&self, id: &str) -> Result<ClientSecret, SecretError> {
        let cached = self
            .cache
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
                tracing::warn!(%error, "the client secret was not read again; the one in memory stays in use");
                Ok(secret)
            }
            Err(_) => {
                tracing::warn!(
                    id,
                    "the client secret was not read again: Secrets Manager does not answer; the one in memory stays in use"
                );
                Ok(secret)
            }
        }
    }

    /// A secret by its name or ARN, fetched again: Entra ID has refused the one in memory.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub async fn fetch(&self, id: &str) -> Result<ClientSecret, SecretError> {
        let answer = self.client.get_secret_value().secret_id(id).send().await;
        let answer = answer.map_err(|error| {
            let code = error
                .as_service_error()
                .and_then(|error| error.meta().code());
            match (error.as_service_error(), code) {
                (Some(GetSecretValueError::ResourceNotFoundException(_)), _) => {
                    SecretError::NotFound(id.to_owned())
                }
                (Some(GetSecretValueError::DecryptionFailure(_)), _)
                | (_, Some("AccessDeniedException")) => SecretError::AccessDenied(id.to_owned()),
                _ => SecretError::Unavailable {
                    id: id.to_owned(),
                    reason: cause::of_aws(&error),
                },
            }
        })?;
        let secret = read(id, answer.secret_string().unwrap_or_default())?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(id.to_owned(), (secret.clone(), self.clock.now()));
        Ok(secret)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    client_secret: String,
    #[serde(default)]
    expires_on: Option<String>,
}

fn read(id: &str, text: &str) -> Result<ClientSecret, SecretError> {
    let text = text.trim();
    let malformed = |reason: &str| SecretError::Malformed {
        id: id.to_owned(),
        reason: reason.to_owned(),
    };
    let stored = if text.starts_with('{') {
        // The parser's own message could quote the secret.
        serde_json::from_str::<Stored>(text).map_err(|_| {
            malformed("its value must be JSON with the field `clientSecret`, and `expiresOn` if you like, and no other")
        })?
    } else {
        Stored {
            client_secret: text.to_owned(),
            expires_on: None,
        }
    };
    let value = stored.client_secret.trim().to_owned();
    if value.is_empty() {
        return Err(SecretError::Empty(id.to_owned()));
    }
    let expires_on = match stored.expires_on.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(day) => Some(
            day.parse()
                .map_err(|_| malformed("`expiresOn` must be a day like 2027-01-31"))?,
        ),
    };
    Ok(ClientSecret { value, expires_on })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_json_or_the_value_alone() {
        let secret = read(
            "id",
            r#"{"clientSecret": "s3cret", "expiresOn": "2027-01-31"}"#,
        )
        .unwrap();
        assert_eq!(
            (secret.expose(), secret.expires_on),
            ("s3cret", Some(jiff::civil::date(2027, 1, 31)))
        );
        assert_eq!(read("id", " s3cret\n").unwrap().expose(), "s3cret");
        assert_eq!(format!("{secret:?}"), "ClientSecret(...)");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for text in [
            "",
            "{}",
            r#"{"clientSecret": ""}"#,
            r#"{"secret": "s3cret"}"#,
            r#"{"clientSecret": "s3cret", "expiresOn": "soon"}"#,
            r#"{"clientSecret": "s3cret""#,
        ] {
            let error = read("example", text).unwrap_err().to_string();
            assert!(
                error.contains("`example`") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
