//! How the application of a local run proves to Entra ID who it is.
//!
//! Owns what each of the ways needs of the stand-ins: the secret, the certificate, the key, the role, and
//! what Entra ID knows of it.

use clap::ValueEnum;
use serde_json::{Value as Json, json};

use crate::stand_in::{
    entra::{Entra, FederatedCredential},
    kms::Kms,
    pair::Pair,
    secrets_manager::SecretsManager,
    sts::Sts,
};

/// The made-up client secret of a local run.
pub const CLIENT_SECRET: &str = "made-up-client-secret-for-this-machine";
/// From the beginning of which year until that of which the certificates of a local run are good.
const CERTIFICATE_YEARS: (i32, i32) = (2020, 2100);

/// The ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Credential {
    /// A client secret.
    Secret,
    /// A certificate, with its key in Secrets Manager.
    Certificate,
    /// A certificate whose key is in KMS.
    Kms,
    /// A role of AWS, by outbound identity federation.
    Federation,
}

impl Credential {
    pub const ALL: [Credential; 4] = [
        Credential::Secret,
        Credential::Certificate,
        Credential::Kms,
        Credential::Federation,
    ];

    /// Lets a configuration name this way instead of the one that it names.
    pub fn name_in(self, configuration: &mut Json) {
        let Some(connection) = configuration["connection"].as_object_mut() else {
            return;
        };
        for field in ["clientSecretId", "certificate", "federation"] {
            connection.remove(field);
        }
        let (field, value) = match self {
            Credential::Secret => ("clientSecretId", json!("connect-dynamics/default")),
            Credential::Certificate => (
                "certificate",
                json!({"secretId": "connect-dynamics/certificate"}),
            ),
            Credential::Kms => (
                "certificate",
                // The thumbprint is that of a certificate that is made at start.
                json!({"kmsKeyId": "alias/connect-dynamics", "thumbprint": ""}),
            ),
            Credential::Federation => (
                "federation",
                json!({"roleArn": "arn:aws:iam::123456789012:role/connect-dynamics"}),
            ),
        };
        connection.insert(field.into(), value);
    }
}

/// The stand-ins that a credential comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub secrets_manager: SecretsManager,
    pub kms: Kms,
    pub sts: Sts,
}

impl Sources {
    /// Makes what a connection names, and lets Entra ID know it. The thumbprint of a key in KMS is replaced
    /// by that of the certificate that is made for it.
    pub fn prepare(&self, connection: &mut Json, entra: &Entra) {
        if let Some(id) = connection["clientSecretId"].as_str() {
            let secret = json!({"clientSecret": CLIENT_SECRET, "expiresOn": "2030-01-31"});
            self.secrets_manager.set(id, &secret.to_string());
        }
        let (from, until) = CERTIFICATE_YEARS;
        if let Some(id) = connection["certificate"]["secretId"].as_str() {
            let pair = Pair::new(from, until);
            entra.add_certificate(&pair);
            self.secrets_manager.set(id, &pair.pem());
        }
        if let Some(id) = connection["certificate"]["kmsKeyId"].as_str() {
            let pair = Pair::new(from, until);
            entra.add_certificate(&pair);
            self.kms.add_key(id, &pair);
            connection["certificate"]["thumbprint"] = pair.thumbprint_in_hex().into();
        }
        if let Some(role_arn) = connection["federation"]["roleArn"].as_str() {
            let audience = connection["federation"]["audience"].as_str();
            self.sts.add_role(role_arn);
            entra.set_federated_credentials(vec![FederatedCredential {
                issuer: self.sts.issuer().to_owned(),
                subject: role_arn.to_owned(),
                audience: audience.unwrap_or("api://AzureADTokenExchange").to_owned(),
                public_key: self.sts.public_key(),
            }]);
        }
    }
}
