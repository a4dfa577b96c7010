//! Signatures of a key in AWS KMS, which the key never leaves.
//!
//! Owns the call (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>). The client is made
//! when it is first needed: most configurations have no key in KMS.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_kms::{
    Client,
    error::ProvideErrorMetadata,
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};

use crate::cause;

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SigningError {
    #[error(
        "there is no key `{0}` in KMS in the functions' region; correct connection.certificate.kmsKeyId"
    )]
    NotFound(String),
    #[error(
        "the function may not sign with the key `{0}`; its role needs kms:Sign for it, and the key's policy must allow that"
    )]
    AccessDenied(String),
    #[error(
        "the key `{0}` is disabled or is to be deleted; enable it in KMS, or correct connection.certificate.kmsKeyId"
    )]
    Disabled(String),
    #[error(
        "the key `{0}` cannot sign by RSASSA_PSS_SHA_256; connection.certificate.kmsKeyId must name an RSA key whose usage is SIGN_VERIFY"
    )]
    WrongKey(String),
    #[error("KMS did not sign with the key `{id}`: {reason}")]
    Unavailable { id: String, reason: String },
}

/// KMS.
#[derive(Debug)]
pub struct Keys {
    config: SdkConfig,
    client: OnceLock<Client>,
}

impl Keys {
    pub fn new(config: &SdkConfig) -> Keys {
        Keys {
            config: config.clone(),
            client: OnceLock::new(),
        }
    }

    /// Signs by RSASSA-PSS with SHA-256 and a salt of 32 bytes, which JWT calls PS256. Only the message's
    /// digest goes to KMS.
    ///
    /// # Errors
    /// [`SigningError`], with what to do.
    pub async fn sign(&self, key_id: &str, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let client = self.client.get_or_init(|| Client::new(&self.config));
        let answer = client
            .sign()
            .key_id(key_id)
            .message(Blob::new(digest(&SHA256, message).as_ref()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::RsassaPssSha256)
            .send()
            .await;
        let id = key_id.to_owned();
        match answer {
            Ok(answer) => match answer.signature {
                Some(signature) => Ok(signature.into_inner()),
                None => Err(SigningError::Unavailable {
                    id,
                    reason: "its answer holds no signature".into(),
                }),
            },
            Err(error) => Err(match error.code() {
                Some("NotFoundException") => SigningError::NotFound(id),
                Some("AccessDeniedException") => SigningError::AccessDenied(id),
                Some("DisabledException" | "KMSInvalidStateException") => {
                    SigningError::Disabled(id)
                }
                Some("InvalidKeyUsageException" | "ValidationException") => {
                    SigningError::WrongKey(id)
                }
                _ => SigningError::Unavailable {
                    id,
                    reason: cause::of_aws(&error),
                },
            }),
        }
    }
}
