//! Tokens of AWS that say which role has asked for them: outbound identity federation.
//!
//! Owns assuming the role, keeping what that gives until shortly before its end, and asking for the token
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html>). Every function
//! assumes the same role, so a token's subject is the same whichever function asks. The client is made when
//! it is first needed: most configurations have no role.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_sts::{
    Client,
    config::{Builder, Credentials, IdentityCache, SharedCredentialsProvider},
    error::ProvideErrorMetadata,
};
use jiff::Timestamp;

use crate::{cause, clock::Clock};

/// How long a token is good. It is sent at once.
const TOKEN_SECONDS: i32 = 300;
/// The role's credentials are not used in their last minutes: no token may outlive them.
const MARGIN: Duration = Duration::from_secs(600);
/// What the sessions are called in AWS's log.
const SESSION_NAME: &str = "connect-dynamics";

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FederationError {
    #[error(
        "the function may not assume the role `{role_arn}` ({reason}); correct connection.federation.roleArn, or allow it: the function's own role needs sts:AssumeRole for it, and its trust policy must name the function's role"
    )]
    MayNotAssume { role_arn: String, reason: String },
    #[error(
        "outbound identity federation is not enabled in this AWS account; an administrator enables it, once, with `aws iam enable-outbound-web-identity-federation`"
    )]
    Disabled,
    #[error(
        "the role `{role_arn}` may not get a token ({reason}); it needs sts:GetWebIdentityToken for the audience {audience}, the algorithm RS256 and 300 seconds"
    )]
    MayNotGetToken {
        role_arn: String,
        audience: String,
        reason: String,
    },
    #[error(
        "AWS gives no token that outlives the session of the role `{0}`; let its sessions last an hour, which is the default"
    )]
    SessionTooShort(String),
    #[error("STS did not answer {operation} for the role `{role_arn}`: {reason}")]
    Unavailable {
        operation: &'static str,
        role_arn: String,
        reason: String,
    },
}

/// STS, with the roles that were assumed.
pub struct Federation {
    config: SdkConfig,
    /// With the function's own credentials.
    client: OnceLock<Client>,
    /// With the roles', by their ARNs, and until when each can be used.
    sessions: Mutex<HashMap<String, (Client, Timestamp)>>,
    clock: Clock,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Federation")
    }
}

impl Federation {
    pub fn new(config: &SdkConfig) -> Federation {
        Federation {
            config: config.clone(),
            client: OnceLock::new(),
            sessions: Mutex::default(),
            clock: Clock::default(),
        }
    }

    /// Counts the life of a role's credentials by another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Federation {
        Federation { clock, ..self }
    }

    /// A token for a role. It is a secret as long as it is good: five minutes.
    ///
    /// # Errors
    /// [`FederationError`], with what to do.
    pub async fn token(&self, role_arn: &str, audience: &str) -> Result<String, FederationError> {
        if let Some(session) = self.session(role_arn) {
            match token(&session, role_arn, audience).await {
                Ok(token) => return Ok(token),
                Err(Failure::Of(error)) => return Err(error),
                // It ended before its time.
                Err(Failure::OfTheSession(_)) => {}
            }
        }
        let session = self.assume(role_arn).await?;
        let answer = token(&session, role_arn, audience).await;
        answer.map_err(|(Failure::Of(error) | Failure::OfTheSession(error))| error)
    }

    fn session(&self, role_arn: &str) -> Option<Client> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, usable_until) = sessions.get(role_arn)?;
        (self.clock.now() < *usable_until).then(|| client.clone())
    }

    async fn assume(&self, role_arn: &str) -> Result<Client, FederationError> {
        let unavailable = |reason: String| FederationError::Unavailable {
            operation: "AssumeRole",
            role_arn: role_arn.to_owned(),
            reason,
        };
        let client = self.client.get_or_init(|| Client::new(&self.config));
        let answer = client
            .assume_role()
            .role_arn(role_arn)
            .role_session_name(SESSION_NAME)
            .send()
            .await;
        let answer = answer.map_err(|error| match error.code() {
            Some("AccessDenied" | "ValidationError") => FederationError::MayNotAssume {
                role_arn: role_arn.to_owned(),
                reason: cause::of_aws(&error),
            },
            _ => unavailable(cause::of_aws(&error)),
        })?;
        let given = answer
            .credentials
            .ok_or_else(|| unavailable("its answer holds no credentials".into()))?;
        let usable_until = Timestamp::from_second(given.expiration.secs())
            .unwrap_or_default()
            .checked_sub(MARGIN)
            .unwrap_or_default();
        let credentials = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            None,
            SESSION_NAME,
        );
        let config = Builder::from(&self.config)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            // They are in memory already; the cache is the one that all the clients share.
            .identity_cache(IdentityCache::no_cache())
            .build();
        let session = Client::from_conf(config);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(role_arn.to_owned(), (session.clone(), usable_until));
        Ok(session)
    }
}

/// Why there is no token, and whether another session may get one.
enum Failure {
    Of(FederationError),
    OfTheSession(FederationError),
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>
async fn token(session: &Client, role_arn: &str, audience: &str) -> Result<String, Failure> {
    let unavailable = |reason: String| FederationError::Unavailable {
        operation: "GetWebIdentityToken",
        role_arn: role_arn.to_owned(),
        reason,
    };
    let answer = session
        .get_web_identity_token()
        .audience(audience)
        // Entra ID takes no other.
        .signing_algorithm("RS256")
        .duration_seconds(TOKEN_SECONDS)
        .send()
        .await;
    match answer {
        Ok(answer) => answer
            .web_identity_token
            .ok_or_else(|| Failure::Of(unavailable("its answer holds no token".into()))),
        Err(error) => Err(match error.code().unwrap_or_default() {
            code if code.starts_with("OutboundWebIdentityFederationDisabled") => {
                Failure::Of(FederationError::Disabled)
            }
            code if code.starts_with("SessionDurationEscalation") => {
                Failure::OfTheSession(FederationError::SessionTooShort(role_arn.to_owned()))
            }
            "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId" => {
                Failure::OfTheSession(unavailable(cause::of_aws(&error)))
            }
            "AccessDenied" | "AccessDeniedException" => {
                Failure::Of(FederationError::MayNotGetToken {
                    role_arn: role_arn.to_owned(),
                    audience: audience.to_owned(),
                    reason: cause::of_aws(&error),
                })
            }
            _ => Failure::Of(unavailable(cause::of_aws(&error))),
        }),
    }
}
