//! The client secret in Secrets Manager: whether there is one, and giving it another.
//!
//! Owns what a secret's state is, and how it is written. A value goes one way, to Secrets Manager; what is read
//! back of it is only whether there is one and when it ends.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Operations.html>

use connect_dynamics::secret::{ClientSecret, Kind, SecretError};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::aws::{Aws, AwsError};

/// What there is of a client secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum SecretState {
    /// There is no such secret.
    Missing,
    /// There is one, and no client secret in it.
    Empty,
    /// It holds a client secret.
    #[serde(rename_all = "camelCase")]
    Filled {
        /// The day it ends, where it says so.
        expires_on: Option<Date>,
    },
    /// It holds something else, and what is wrong with that.
    Malformed { reason: String },
    /// The operator may not read it. The functions may all the same.
    NoRight {
        /// Whether it exists, where that may be known.
        exists: Option<bool>,
    },
}

/// Why a client secret was not written.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SetSecretError {
    #[error("there is no client secret to write; paste its value, not its id")]
    Nothing,
    #[error(
        "this is the client secret's id, and not its value; the value is shown only when the secret is made: make a new one (App registrations, your application, Certificates & secrets, New client secret)"
    )]
    AnId,
    #[error(
        "there is no secret `{0}` in Secrets Manager, and none can be made with an ARN; give a name, or the ARN of one that exists"
    )]
    NoSuchArn(String),
    #[error("your AWS identity may not write the secret `{id}`; it needs {right} for it")]
    NoRight { id: String, right: &'static str },
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// What there is of a client secret, by the secret's name or ARN. Its value is read for that, and told nobody.
///
/// # Errors
/// [`AwsError`] when Secrets Manager does not say.
pub async fn secret_state(aws: &Aws, secret_id: &str) -> Result<SecretState, AwsError> {
    let answer = call(aws, "GetSecretValue", &json!({"SecretId": secret_id})).await;
    let value = match answer {
        Ok(answer) => answer["SecretString"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        // So is also a secret answered that has never been given a value.
        Err(error) if error.is_not_found() => {
            let is_there = exists(aws, secret_id).await == Some(true);
            return Ok(if is_there {
                SecretState::Empty
            } else {
                SecretState::Missing
            });
        }
        Err(error) if error.is_denied() => {
            let exists = exists(aws, secret_id).await;
            return Ok(SecretState::NoRight { exists });
        }
        Err(error) => return Err(error),
    };
    Ok(match ClientSecret::read(secret_id, &value) {
        Ok(secret) => SecretState::Filled {
            expires_on: secret.expires_on,
        },
        Err(SecretError::Empty(_)) => SecretState::Empty,
        Err(SecretError::Malformed { reason, .. }) => SecretState::Malformed { reason },
        Err(other) => SecretState::Malformed {
            reason: other.to_string(),
        },
    })
}

/// Whether there is a secret of this name or ARN; none when that may not be known.
async fn exists(aws: &Aws, secret_id: &str) -> Option<bool> {
    match call(aws, "DescribeSecret", &json!({"SecretId": secret_id})).await {
        Ok(_) => Some(true),
        Err(error) if error.is_not_found() => Some(false),
        Err(_) => None,
    }
}

/// Gives a secret another client secret, by the secret's name or ARN, with the day it ends. A secret that does
/// not exist is made. The functions take the new one when Entra ID refuses the old one, or within an hour.
///
/// # Errors
/// [`SetSecretError`], never with any part of the value.
pub async fn set_secret(
    aws: &Aws,
    secret_id: &str,
    client_secret: &str,
    expires_on: Option<Date>,
) -> Result<(), SetSecretError> {
    let client_secret = client_secret.trim();
    if client_secret.is_empty() {
        return Err(SetSecretError::Nothing);
    }
    // The portal shows the id beside the value, and for longer.
    if client_secret.len() == 36 && Uuid::try_parse(client_secret).is_ok() {
        return Err(SetSecretError::AnId);
    }
    let mut value = json!({"clientSecret": client_secret});
    if let Some(day) = expires_on {
        value["expiresOn"] = day.to_string().into();
    }
    let value = value.to_string();
    // Only the SDKs make the token up:
    // https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
    let token = Uuid::new_v4().to_string();
    let no_right = |right| SetSecretError::NoRight {
        id: secret_id.to_owned(),
        right,
    };
    let put = json!({"SecretId": secret_id, "SecretString": value, "ClientRequestToken": token});
    match call(aws, "PutSecretValue", &put).await {
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) if error.is_denied() => return Err(no_right("secretsmanager:PutSecretValue")),
        Err(error) => return Err(error.into()),
    }
    if secret_id.starts_with("arn:") {
        return Err(SetSecretError::NoSuchArn(secret_id.to_owned()));
    }
    let create = json!({
        "Name": secret_id,
        "Description": "The client secret of the app registration in Entra ID, and the day it ends.",
        "SecretString": value,
        "ClientRequestToken": token,
    });
    match call(aws, "CreateSecret", &create).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_denied() => Err(no_right("secretsmanager:CreateSecret")),
        Err(error) => Err(error.into()),
    }
}

async fn call(aws: &Aws, operation: &str, request: &Json) -> Result<Json, AwsError> {
    let target = format!("secretsmanager.{operation}");
    aws.json("secretsmanager", &target, request).await
}
