//! The client secret, from Secrets Manager.
//!
//! Owns fetching, caching and reading it. The value leaves this module only through
//! [`ClientSecret::expose`], which the token request calls; printing one shows nothing of it.

use std::{collections::HashMap, fmt, sync::Mutex};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, operation::get_secret_value::GetSecretValueError};
use jiff::civil::Date;
use serde::Deserialize;

use crate::cause;

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
    cache: Mutex<HashMap<String, ClientSecret>>,
}

impl Secrets {
    pub fn new(config: &SdkConfig) -> Secrets {
        Secrets {
            client: Client::new(config),
            cache: Mutex::default(),
        }
    }

    /// A secret by its name or ARN: from memory if it was fetched before.
    ///
    /// # Errors
    /// [`SecretError`], never with any part of the value.
    pub async fn get(&self, id: &str) -> Result<ClientSecret, SecretError> {
        let cached = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(id)
            .cloned();
        match cached {
            Some(secret) => Ok(secret),
            None => self.fetch(id).await,
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
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        cache.insert(id.to_owned(), secret.clone());
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
