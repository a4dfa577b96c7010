//! Tokens of Entra ID, by the client credentials grant.
//!
//! Owns fetching and keeping them
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>): one fetch
//! for however many wait, kept until five minutes before the end, and the client secret read again
//! once when Entra ID refuses it, so that a rotated secret needs no restart.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{DynamicsError, Http};
use crate::{
    configuration::Connection,
    metrics,
    secret::{ClientSecret, Secrets},
};

/// A token is not used in the last minutes of its life: a request it goes with may take some.
const MARGIN: Duration = Duration::from_secs(300);

/// An access token. Printing one shows nothing of it.
#[derive(Clone)]
pub(super) struct Token {
    value: Arc<str>,
    usable_until: Instant,
}

impl Token {
    pub(super) fn expose(&self) -> &str {
        &self.value
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(...)")
    }
}

/// Tokens for one environment.
#[derive(Debug)]
pub(super) struct Tokens {
    http: Http,
    endpoint: String,
    client_id: String,
    scope: String,
    secret_id: String,
    secrets: Arc<Secrets>,
    /// Held while a token is fetched, so that it is fetched once; a waiter whose time is up leaves.
    current: Mutex<Option<Token>>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

impl Tokens {
    pub(super) fn new(http: Http, connection: &Connection, secrets: Arc<Secrets>) -> Tokens {
        Tokens {
            http,
            endpoint: connection.token_endpoint(),
            client_id: connection.client_id.clone(),
            scope: connection.token_scope(),
            secret_id: connection.client_secret_id.clone(),
            secrets,
            current: Mutex::new(None),
        }
    }

    /// A token that can be used now.
    pub(super) async fn get(&self, deadline: Instant) -> Result<Token, DynamicsError> {
        let Ok(mut current) = timeout_at(deadline, self.current.lock()).await else {
            return Err(DynamicsError::Timeout);
        };
        if let Some(token) = current
            .as_ref()
            .filter(|token| Instant::now() < token.usable_until)
        {
            return Ok(token.clone());
        }
        let token = timeout_at(deadline, self.fetch(deadline))
            .await
            .unwrap_or(Err(DynamicsError::Timeout))?;
        *current = Some(token.clone());
        Ok(token)
    }

    /// Forgets a token that was refused, unless another has taken its place already.
    pub(super) async fn forget(&self, refused: &Token) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|token| token.value == refused.value)
        {
            *current = None;
        }
    }

    async fn fetch(&self, deadline: Instant) -> Result<Token, DynamicsError> {
        let secret = self.secrets.get(&self.secret_id).await?;
        if let Some(day) = secret.expires_on {
            metrics::secret_ends(day);
        }
        match self.request(&secret, deadline).await {
            Err(DynamicsError::TokenRefused { code, advice })
                if SECRET_CODES.contains(&code.as_str()) =>
            {
                let fresh = self.secrets.fetch(&self.secret_id).await?;
                if fresh == secret {
                    return Err(DynamicsError::TokenRefused { code, advice });
                }
                self.request(&fresh, deadline).await
            }
            granted => granted,
        }
    }

    async fn request(
        &self,
        secret: &ClientSecret,
        deadline: Instant,
    ) -> Result<Token, DynamicsError> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", secret.expose()),
            ("scope", &self.scope),
        ];
        let asked_at = Instant::now();
        let request = self
            .http
            .0
            .post(&self.endpoint)
            .header("Accept", "application/json")
            .form(&form);
        let answer = self.http.send(request, deadline).await?;
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            let granted: Granted =
                serde_json::from_slice(&answer.body).map_err(|_| DynamicsError::TokenRefused {
                    code: format!("status {status}"),
                    advice: "the answer holds no token; check connection.authority".into(),
                })?;
            return Ok(Token {
                value: granted.access_token.into(),
                usable_until: asked_at + usable(Duration::from_secs(granted.expires_in)),
            });
        }
        if status == 429 || status >= 500 {
            return Err(DynamicsError::Unavailable {
                status,
                retry_after: super::retry_after(&answer.headers),
            });
        }
        let refused = serde_json::from_slice(&answer.body).unwrap_or(Refused {
            error: String::new(),
            error_codes: Vec::new(),
        });
        Err(token_refusal(status, &refused))
    }
}

/// How long of its life a token is used.
fn usable(lifetime: Duration) -> Duration {
    match lifetime.checked_sub(MARGIN) {
        Some(usable) if usable > MARGIN => usable,
        // A token that lives no longer than twice the margin would be fetched all the time.
        _ => lifetime / 2,
    }
}

/// The client secret is wrong, or has ended.
const SECRET_CODES: [&str; 2] = ["AADSTS7000215", "AADSTS7000222"];

/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn token_refusal(status: u16, refused: &Refused) -> DynamicsError {
    let number = refused.error_codes.first().copied();
    let advice = match number {
        Some(7_000_215) => {
            "the client secret is wrong; put the secret's value, not its id, into Secrets Manager"
        }
        Some(7_000_222) => {
            "the client secret has expired; create a new one and put its value into Secrets Manager"
        }
        Some(700_016) => {
            "there is no such application in this tenant; check connection.clientId and connection.tenantId"
        }
        Some(90_002 | 900_023) => "there is no such tenant; check connection.tenantId",
        Some(500_011 | 70_011 | 1_002_012) => {
            "the scope is not known in this tenant; connection.scope must be the environment's URI with /.default appended"
        }
        Some(7_000_112) => "the application is disabled; enable it in Entra ID",
        Some(53_003) => "a conditional access policy forbids it; exempt the application",
        _ => "check connection.tenantId, connection.clientId and connection.authority",
    };
    DynamicsError::TokenRefused {
        code: match number {
            Some(number) => format!("AADSTS{number}"),
            None if refused.error.is_empty() => format!("status {status}"),
            None => refused.error.clone(),
        },
        advice: advice.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_five_minutes_before_its_end() {
        for (lifetime, expected) in [
            (3599, 3299),
            (86_400, 86_100),
            (601, 301),
            (600, 300),
            (60, 30),
            (0, 0),
        ] {
            assert_eq!(
                usable(Duration::from_secs(lifetime)),
                Duration::from_secs(expected),
                "{lifetime}"
            );
        }
    }
}
