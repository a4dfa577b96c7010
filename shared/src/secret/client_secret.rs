//! A client secret, and the day it ends.

use std::fmt;

use jiff::civil::Date;
use serde::Deserialize;

use super::{Cache, Kind, SecretError, Secrets, malformed};

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

impl Kind for ClientSecret {
    const NAMED_BY: &'static str = "connection.clientSecretId";

    fn read(id: &str, text: &str) -> Result<ClientSecret, SecretError> {
        read(id, text)
    }

    fn cache(secrets: &Secrets) -> &Cache<ClientSecret> {
        &secrets.client_secrets
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
    let stored = if text.starts_with('{') {
        // The parser's own message could quote the secret.
        serde_json::from_str::<Stored>(text).map_err(|_| {
            malformed(id, "its value must be JSON with the field `clientSecret`, and `expiresOn` if you like, and no other")
        })?
    } else if text.starts_with("-----BEGIN") {
        return Err(malformed(
            id,
            "it holds a private key or a certificate; name it by connection.certificate.secretId instead of connection.clientSecretId",
        ));
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
                .map_err(|_| malformed(id, "`expiresOn` must be a day like 2027-01-31"))?,
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
            "-----BEGIN PRIVATE KEY-----\ns3cret",
        ] {
            let error = read("example", text).unwrap_err().to_string();
            assert!(
                error.contains("`example`") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
