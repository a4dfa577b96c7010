//! Tokens of Entra ID, by the client credentials grant.
//!
//! Owns fetching and keeping them
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>): one fetch
//! for however many wait, kept until five minutes before the end, and one more attempt when Entra ID
//! refuses the credential and there is another by now, so that a rotation needs no restart. What proves
//! who we are is [`super::credential`]'s.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    answer::{DAY, retry_after},
    credential::{CredentialError, Proof, Prover},
    error::{MAX_CODE, shortened},
    http::{Http, HttpError, Over},
};
use crate::{clock::Clock, configuration::Connection, sources::Sources};

/// A token is not used in the last minutes of its life: a request it goes with may take some.
const MARGIN: Duration = Duration::from_secs(300);

/// Why there is no token. Then the request that needs one was not sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TokenError {
    #[error("no token: {0}")]
    Http(#[from] HttpError),
    #[error("Entra ID is not available at the moment (status {status})")]
    Unavailable {
        status: u16,
        retry_after: Option<Duration>,
    },
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("Entra ID refused to give a token ({code}): {advice}")]
    Refused { code: String, advice: String },
}

impl TokenError {
    /// Whether asking again soon may give a token.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            TokenError::Http(HttpError::Unreachable { .. }) | TokenError::Unavailable { .. } => {
                true
            }
            TokenError::Http(HttpError::Timeout | HttpError::NoTls(_))
            | TokenError::Credential(_)
            | TokenError::Refused { .. } => false,
        }
    }
}

/// An access token. Printing one shows nothing of it.
#[derive(Clone)]
pub(super) struct Token {
    value: Arc<str>,
    usable_until: Timestamp,
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
    prover: Prover,
    clock: Clock,
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
    pub(super) fn new(http: Http, connection: &Connection, sources: Arc<Sources>) -> Tokens {
        Tokens {
            http,
            endpoint: connection.token_endpoint(),
            client_id: connection.client_id.clone(),
            scope: connection.token_scope(),
            prover: Prover::new(connection, sources),
            clock: Clock::default(),
            current: Mutex::new(None),
        }
    }

    pub(super) fn with_clock(self, clock: Clock) -> Tokens {
        Tokens {
            prover: self.prover.with_clock(clock.clone()),
            clock,
            ..self
        }
    }

    /// A token that can be used now.
    pub(super) async fn get(&self, deadline: Instant) -> Result<Token, TokenError> {
        let Ok(mut current) = timeout_at(deadline, self.current.lock()).await else {
            return Err(HttpError::Timeout.into());
        };
        if let Some(token) = current
            .as_ref()
            .filter(|token| self.clock.now() < token.usable_until)
        {
            return Ok(token.clone());
        }
        let token = timeout_at(deadline, self.fetch(deadline))
            .await
            .unwrap_or(Err(HttpError::Timeout.into()))?;
        *current = Some(token.clone());
        Ok(token)
    }

    /// Forgets a token that was refused, unless another has taken its place already. When another
    /// request holds on to the token until the deadline, there is no time left for a new one either.
    pub(super) async fn forget(&self, refused: &Token, deadline: Instant) {
        let Ok(mut current) = timeout_at(deadline, self.current.lock()).await else {
            return;
        };
        if current
            .as_ref()
            .is_some_and(|token| token.value == refused.value)
        {
            *current = None;
        }
    }

    async fn fetch(&self, deadline: Instant) -> Result<Token, TokenError> {
        let proof = self.prover.proof().await?;
        let refused = match self.request(&proof, deadline).await {
            Err(TokenError::Refused { code, advice }) => (code, advice),
            granted => return granted,
        };
        match self.prover.in_place_of(&proof, &refused.0).await? {
            Some(another) => self.request(&another, deadline).await,
            None => {
                let (code, advice) = refused;
                Err(TokenError::Refused { code, advice })
            }
        }
    }

    async fn request(&self, proof: &Proof, deadline: Instant) -> Result<Token, TokenError> {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("scope", &self.scope),
        ];
        form.extend(proof.fields());
        let asked_at = self.clock.now();
        let request = |client: &reqwest::Client| {
            client
                .post(&self.endpoint)
                .header("Accept", "application/json")
                .form(&form)
        };
        let answer = self.http.send(request, Over::Pooled, deadline).await?;
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            let granted: Granted =
                serde_json::from_slice(&answer.body).map_err(|_| TokenError::Refused {
                    code: format!("status {status}"),
                    advice: "the answer holds no token; check connection.authority".into(),
                })?;
            return Ok(Token {
                value: granted.access_token.into(),
                usable_until: asked_at + usable(Duration::from_secs(granted.expires_in)),
            });
        }
        if status == 429 || status >= 500 {
            return Err(TokenError::Unavailable {
                status,
                retry_after: retry_after(&answer.headers),
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
    let lifetime = lifetime.min(DAY);
    match lifetime.checked_sub(MARGIN) {
        Some(usable) if usable > MARGIN => usable,
        // A token that lives no longer than twice the margin would be fetched all the time.
        _ => lifetime / 2,
    }
}

/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn token_refusal(status: u16, refused: &Refused) -> TokenError {
    let number = refused.error_codes.first().copied();
    let advice = match number {
        Some(7_000_215) => {
            "the client secret is wrong; put the secret's value, not its id, into Secrets Manager"
        }
        Some(7_000_222) => {
            "the client secret has expired; create a new one and put its value into Secrets Manager"
        }
        Some(700_027) => {
            "the application has no such certificate, or its key did not sign this; upload the certificate to the application in Entra ID (Certificates & secrets, Certificates), and see that connection.certificate names the same certificate and its own key, and that it has not ended"
        }
        Some(7_000_214 | 7_000_277) => {
            "the certificate is revoked; make a new one, upload it to the application in Entra ID, and put it where connection.certificate says"
        }
        Some(1_000_502) => {
            "the certificate has ended, or is not valid yet; make a new one, upload it to the application in Entra ID, and put it where connection.certificate says"
        }
        Some(5_002_723) => "the assertion names no certificate; update the functions",
        Some(700_211) => {
            "no federated credential of the application has the issuer of this AWS account; in Entra ID correct its issuer to what `aws iam get-outbound-web-identity-federation-info` prints, with no slash at the end"
        }
        Some(700_212) => {
            "no federated credential of the application has this audience; in Entra ID correct its audience, or connection.federation.audience: api://AzureADTokenExchange unless it is a national cloud"
        }
        Some(700_213) => {
            "no federated credential of the application has this role as its subject; in Entra ID correct its subject to the ARN in connection.federation.roleArn, exactly"
        }
        Some(7_002_138) => {
            "the subject of the federated credential differs from the role in upper and lower case; in Entra ID correct its subject to the ARN in connection.federation.roleArn, exactly"
        }
        Some(70_021) => {
            "no federated credential of the application matches; a new one takes some minutes to be known. Then compare its issuer, subject and audience in Entra ID with the account's issuer and connection.federation"
        }
        Some(700_024) => {
            "the assertion is not valid at this time; if this lasts, the clocks of the functions and Entra ID differ by minutes"
        }
        Some(50_027) => {
            "Entra ID takes the assertion for no valid JWT; for a role of AWS, see that the issuer of the federated credential in Entra ID is this account's own, and that its keys can be read at /.well-known/openid-configuration"
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
    TokenError::Refused {
        code: match number {
            Some(number) => format!("AADSTS{number}"),
            None if refused.error.is_empty() => format!("status {status}"),
            None => shortened(&refused.error, MAX_CODE).to_owned(),
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
            (86_401, 86_100),
            (u64::MAX, 86_100),
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

    #[test]
    fn a_refusal_says_what_to_do() {
        for (number, advice) in [
            (7_000_215, "the client secret is wrong"),
            (7_000_222, "the client secret has expired"),
            (700_016, "no such application"),
            (700_027, "upload the certificate to the application"),
            (7_000_214, "is revoked"),
            (7_000_277, "is revoked"),
            (1_000_502, "the certificate has ended"),
            (5_002_723, "names no certificate"),
            (700_211, "correct its issuer"),
            (700_212, "correct its audience"),
            (700_213, "correct its subject"),
            (7_002_138, "upper and lower case"),
            (70_021, "takes some minutes to be known"),
            (700_024, "the clocks"),
            (50_027, "no valid JWT"),
            (90_002, "no such tenant"),
            (900_023, "no such tenant"),
            (500_011, "connection.scope must be"),
            (70_011, "connection.scope must be"),
            (1_002_012, "connection.scope must be"),
            (7_000_112, "the application is disabled"),
            (53_003, "conditional access"),
            (1, "check connection.tenantId, connection.clientId"),
        ] {
            let refused = Refused {
                error: "invalid_client".into(),
                error_codes: vec![number, 5],
            };
            let text = token_refusal(401, &refused).to_string();
            assert!(text.contains(advice), "{number}: {text}");
            assert!(text.contains(&format!("(AADSTS{number})")), "{text}");
        }
        let long = "x".repeat(9_000);
        for (error, code) in [
            ("", "status 401"),
            ("invalid_client", "invalid_client"),
            (&long, &long[..64]),
        ] {
            let refused = Refused {
                error: error.into(),
                error_codes: Vec::new(),
            };
            assert!(matches!(
                token_refusal(401, &refused),
                TokenError::Refused { code: told, .. } if told == code
            ));
        }
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_forgotten_within_the_time_and_no_other() {
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .build();
        let document = include_str!("../../../local/reference-integration.json");
        let integration = crate::integration::Integration::load(document).unwrap();
        let sources = Arc::new(Sources::new(&config));
        let tokens = Tokens::new(Http::default(), integration.connection(), sources);
        let token = |value: &str| Token {
            value: value.into(),
            usable_until: Timestamp::MAX,
        };
        let soon = || Instant::now() + Duration::from_millis(50);
        let mut current = tokens.current.lock().await;
        *current = Some(token("new"));
        // Another request asks for a token and holds on to it.
        let refused = token("new");
        tokio::time::timeout(Duration::from_secs(5), tokens.forget(&refused, soon()))
            .await
            .expect("it is over with the deadline");
        drop(current);
        tokens.forget(&token("old"), soon()).await;
        assert!(tokens.current.lock().await.is_some());
        tokens.forget(&refused, soon()).await;
        assert!(tokens.current.lock().await.is_none());
    }
}
