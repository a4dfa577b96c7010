//! Proving to Entra ID who we are.
//!
//! Owns what a token request holds besides its question: a client secret, or a client assertion, which is
//! signed with a certificate's key or is a token of AWS. The one that asks for tokens knows none of these.

use std::{fmt, sync::Arc};

use super::assertion;
use crate::{
    clock::Clock,
    configuration::{Connection, Credential},
    federation::FederationError,
    metrics,
    secret::{Certificate, ClientSecret, SecretError},
    signing::SigningError,
    sources::Sources,
};

/// <https://www.rfc-editor.org/rfc/rfc7523#section-2.2>
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Entra ID says that the client secret is wrong, or has ended.
const OF_A_SECRET: [&str; 2] = ["AADSTS7000215", "AADSTS7000222"];
/// Entra ID says that the certificate is not the application's, is revoked, or is not valid now.
const OF_A_CERTIFICATE: [&str; 4] = [
    "AADSTS700027",
    "AADSTS7000214",
    "AADSTS7000277",
    "AADSTS1000502",
];

/// Why we cannot prove who we are. Then nothing was sent to Entra ID.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CredentialError {
    #[error("{}", .0.join("; "))]
    Configuration(Vec<String>),
    #[error("no client secret: {0}")]
    ClientSecret(SecretError),
    #[error("no certificate: {0}")]
    Certificate(SecretError),
    #[error("no signature: {0}")]
    Signing(#[from] SigningError),
    #[error("no signature: this machine has no randomness")]
    NoRandomness,
    #[error("no token of AWS: {0}")]
    Federation(#[from] FederationError),
}

/// What proves to Entra ID who we are. Printing one shows nothing of it.
pub(super) enum Proof {
    ClientSecret(ClientSecret),
    /// Signed with the key of a certificate in Secrets Manager.
    Certified {
        certificate: Certificate,
        assertion: String,
    },
    /// Signed by AWS: with a key in KMS, or as the issuer.
    Assertion(String),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(...)")
    }
}

impl Proof {
    /// The fields of the token request's form.
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        match self {
            Proof::ClientSecret(secret) => vec![("client_secret", secret.expose())],
            Proof::Certified { assertion, .. } | Proof::Assertion(assertion) => vec![
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", assertion),
            ],
        }
    }
}

/// Makes proofs for one connection.
#[derive(Debug)]
pub(super) struct Prover {
    /// What the configuration names. It is checked when it is loaded, and an error here if it was not.
    credential: Result<Credential, Vec<String>>,
    client_id: String,
    token_endpoint: String,
    sources: Arc<Sources>,
    clock: Clock,
}

impl Prover {
    pub(super) fn new(connection: &Connection, sources: Arc<Sources>) -> Prover {
        Prover {
            credential: connection.credential(),
            client_id: connection.client_id.clone(),
            token_endpoint: connection.token_endpoint(),
            sources,
            clock: Clock::default(),
        }
    }

    pub(super) fn with_clock(self, clock: Clock) -> Prover {
        Prover { clock, ..self }
    }

    /// A proof for one token request.
    pub(super) async fn proof(&self) -> Result<Proof, CredentialError> {
        let credential = self
            .credential
            .as_ref()
            .map_err(|problems| CredentialError::Configuration(problems.clone()))?;
        let Sources {
            secrets,
            keys,
            federation,
            ..
        } = &*self.sources;
        match credential {
            Credential::ClientSecret { secret_id } => {
                let secret = secrets.get(secret_id).await;
                let secret = secret.map_err(CredentialError::ClientSecret)?;
                Ok(with_secret(secret))
            }
            Credential::Certificate { secret_id } => {
                let certificate = secrets.get(secret_id).await;
                let certificate = certificate.map_err(CredentialError::Certificate)?;
                self.with_certificate(certificate)
            }
            Credential::KmsKey { key_id, thumbprint } => {
                let unsigned = self.unsigned(thumbprint);
                let signature = keys.sign(key_id, unsigned.as_bytes()).await?;
                Ok(Proof::Assertion(assertion::signed(unsigned, &signature)))
            }
            Credential::Federation { role_arn, audience } => {
                let token = federation.token(role_arn, audience).await?;
                Ok(Proof::Assertion(token))
            }
        }
    }

    /// Another proof in place of one that Entra ID has refused with this code: of the secret as it is in
    /// Secrets Manager now. None when that would be refused, too, so that a rotation needs no restart and
    /// a wrong secret is not tried twice.
    pub(super) async fn in_place_of(
        &self,
        refused: &Proof,
        code: &str,
    ) -> Result<Option<Proof>, CredentialError> {
        let secrets = &self.sources.secrets;
        match (&self.credential, refused) {
            (Ok(Credential::ClientSecret { secret_id }), Proof::ClientSecret(refused))
                if OF_A_SECRET.contains(&code) =>
            {
                let fresh: ClientSecret = secrets
                    .fetch(secret_id)
                    .await
                    .map_err(CredentialError::ClientSecret)?;
                let is_another = fresh != *refused;
                let proof = with_secret(fresh);
                Ok(is_another.then_some(proof))
            }
            (
                Ok(Credential::Certificate { secret_id }),
                Proof::Certified {
                    certificate: refused,
                    ..
                },
            ) if OF_A_CERTIFICATE.contains(&code) => {
                let fresh: Certificate = secrets
                    .fetch(secret_id)
                    .await
                    .map_err(CredentialError::Certificate)?;
                if fresh == *refused {
                    return Ok(None);
                }
                self.with_certificate(fresh).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn with_certificate(&self, certificate: Certificate) -> Result<Proof, CredentialError> {
        metrics::secret_ends(certificate.expires_on());
        let unsigned = self.unsigned(certificate.thumbprint());
        let signature = certificate
            .sign(unsigned.as_bytes())
            .ok_or(CredentialError::NoRandomness)?;
        Ok(Proof::Certified {
            assertion: assertion::signed(unsigned, &signature),
            certificate,
        })
    }

    fn unsigned(&self, thumbprint: &[u8; 32]) -> String {
        assertion::unsigned(
            &self.client_id,
            &self.token_endpoint,
            thumbprint,
            self.clock.now(),
        )
    }
}

/// The metric follows a rotation, too.
fn with_secret(secret: ClientSecret) -> Proof {
    if let Some(day) = secret.expires_on {
        metrics::secret_ends(day);
    }
    Proof::ClientSecret(secret)
}
