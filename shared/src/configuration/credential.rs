//! How the application proves to Entra ID who it is: one of three ways, as the document names it.
//!
//! Owns the fields' shape, the checks of their values, and [`Credential`], which is the one way that a
//! connection names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Connection;

/// What a token of AWS is asked for, unless the configuration says otherwise: what Entra ID expects in the
/// worldwide cloud.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust>
const TOKEN_EXCHANGE: &str = "api://AzureADTokenExchange";

/// A certificate: its key and itself in Secrets Manager, or its key in KMS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("oneOf" = one_of(&[&["secretId"], &["kmsKeyId", "thumbprint"]])))]
pub struct CertificateConfiguration {
    /// The name or ARN of the Secrets Manager secret that holds the private key and the certificate, as
    /// PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
    /// The id, ARN or alias of an RSA key for signing in KMS, which it never leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// The SHA-256 of the certificate of the key in KMS: 64 hexadecimal digits, with or without colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
}

/// A role of AWS that Entra ID trusts, by AWS's outbound identity federation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederationConfiguration {
    /// The ARN of the role that the functions assume. The federated credential in Entra ID has it as its
    /// subject.
    pub role_arn: String,
    /// The audience of AWS's token; `api://AzureADTokenExchange` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// The one way that a connection names.
#[derive(Debug, Clone, PartialEq)]
pub enum Credential {
    /// A client secret, from Secrets Manager.
    ClientSecret { secret_id: String },
    /// A certificate and its key, from Secrets Manager.
    Certificate { secret_id: String },
    /// A certificate whose key is in KMS.
    KmsKey {
        key_id: String,
        thumbprint: [u8; 32],
    },
    /// A token of AWS for a role.
    Federation { role_arn: String, audience: String },
}

impl Connection {
    /// The credential that the connection names.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn credential(&self) -> Result<Credential, Vec<String>> {
        let named = (&self.client_secret_id, &self.certificate, &self.federation);
        match named {
            (Some(secret_id), None, None) => {
                check_secret_id("connection.clientSecretId", secret_id)?;
                Ok(Credential::ClientSecret {
                    secret_id: secret_id.clone(),
                })
            }
            (None, Some(certificate), None) => certificate.credential(),
            (None, None, Some(federation)) => federation.credential(),
            (secret, certificate, federation) => {
                let names = [
                    secret.as_ref().map(|_| "clientSecretId"),
                    certificate.as_ref().map(|_| "certificate"),
                    federation.as_ref().map(|_| "federation"),
                ];
                let names: Vec<&str> = names.into_iter().flatten().collect();
                let found = match names.as_slice() {
                    [] => "it names no credential".to_owned(),
                    names => format!("it names several credentials: {}", names.join(", ")),
                };
                Err(vec![format!(
                    "connection: {found}; name exactly one: `clientSecretId` (a client secret), `certificate` (a certificate's key signs) or `federation` (a role of AWS, and no secret at all)"
                )])
            }
        }
    }
}

impl CertificateConfiguration {
    fn credential(&self) -> Result<Credential, Vec<String>> {
        match (&self.secret_id, &self.kms_key_id, &self.thumbprint) {
            (Some(secret_id), None, None) => {
                check_secret_id("connection.certificate.secretId", secret_id)?;
                Ok(Credential::Certificate {
                    secret_id: secret_id.clone(),
                })
            }
            (None, Some(key_id), Some(thumbprint)) => {
                let mut problems = Vec::new();
                if !is_key_id(key_id) {
                    problems.push("connection.certificate.kmsKeyId: it must be the id, ARN or alias of a key in KMS, such as alias/connect-dynamics".into());
                }
                let Some(thumbprint) = sha256(thumbprint) else {
                    problems.push("connection.certificate.thumbprint: it must be the SHA-256 of the certificate, 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints it; one of 40 digits is the SHA-1".into());
                    return Err(problems);
                };
                if !problems.is_empty() {
                    return Err(problems);
                }
                Ok(Credential::KmsKey {
                    key_id: key_id.clone(),
                    thumbprint,
                })
            }
            _ => Err(vec![
                "connection.certificate: it must have either `secretId` (private key and certificate in Secrets Manager) or both `kmsKeyId` and `thumbprint` (a key in KMS)".into(),
            ]),
        }
    }
}

impl FederationConfiguration {
    fn credential(&self) -> Result<Credential, Vec<String>> {
        let mut problems = Vec::new();
        if !is_role_arn(&self.role_arn) {
            problems.push("connection.federation.roleArn: it must be the ARN of a role, such as arn:aws:iam::123456789012:role/connect-dynamics".into());
        }
        let audience = self.audience.as_deref().unwrap_or(TOKEN_EXCHANGE);
        if audience.is_empty() || audience.len() > 1000 || !audience.bytes().all(is_visible) {
            problems.push(format!("connection.federation.audience: it must be the audience of the federated credential in Entra ID; leave it out for {TOKEN_EXCHANGE}"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Credential::Federation {
            role_arn: self.role_arn.clone(),
            audience: audience.to_owned(),
        })
    }
}

/// What is wrong with the credential.
pub(super) fn check_credential(connection: &Connection) -> Vec<String> {
    connection.credential().err().unwrap_or_default()
}

/// Says in a JSON Schema that an object has the fields of exactly one of these lists.
pub(super) fn one_of(lists: &[&[&str]]) -> Json {
    lists
        .iter()
        .map(|required| json!({"required": required}))
        .collect()
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
fn check_secret_id(field: &str, id: &str) -> Result<(), Vec<String>> {
    let name = match arn(id, "secretsmanager") {
        Some(resource) => resource.strip_prefix("secret:").unwrap_or_default(),
        None => id,
    };
    let is_name = (1..=512).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'/' | b'_' | b'+' | b'=' | b'.' | b'@' | b'-')
        });
    if is_name {
        Ok(())
    } else {
        Err(vec![format!(
            "{field}: it must be the name or ARN of a secret in Secrets Manager"
        )])
    }
}

/// <https://docs.aws.amazon.com/kms/latest/developerguide/concepts-key-id.html>
fn is_key_id(id: &str) -> bool {
    let resource = arn(id, "kms");
    let name = resource.unwrap_or(id);
    let (name, is_alias) = match name.strip_prefix("alias/") {
        Some(name) => (name, true),
        None if resource.is_some() => match name.strip_prefix("key/") {
            Some(name) => (name, false),
            None => return false,
        },
        None => (name, false),
    };
    (1..=256).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || byte == b'-' || is_alias && matches!(byte, b'/' | b'_')
        })
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns>
fn is_role_arn(id: &str) -> bool {
    arn(id, "iam")
        .and_then(|resource| resource.strip_prefix("role/"))
        .is_some_and(|name| !name.is_empty() && name.bytes().all(is_visible))
}

/// What an ARN of this service names.
fn arn<'a>(text: &'a str, service: &str) -> Option<&'a str> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [prefix, partition, found, region, account, resource] = parts[..] else {
        return None;
    };
    let is_arn = prefix == "arn"
        && partition.starts_with("aws")
        && found == service
        && region.is_empty() == (service == "iam")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit());
    is_arn.then_some(resource)
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// Reads 64 hexadecimal digits, with or without a colon after each pair.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::Integration;

    const THUMBPRINT: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";

    /// What is wrong with the reference's configuration when its connection has these fields in place of
    /// its client secret, or beside it.
    fn mistakes(fields: Json) -> Vec<String> {
        let document = include_str!("../../../local/reference-integration.json");
        let mut document: Json = serde_json::from_str(document).unwrap();
        let connection = document["connection"].as_object_mut().unwrap();
        connection.remove("clientSecretId");
        connection.extend(fields.as_object().unwrap().clone());
        Integration::check(&document.to_string()).errors
    }

    #[test]
    fn exactly_one_credential_is_taken() {
        let secret = json!("connect-dynamics/default");
        let certificate = json!({"secretId": "connect-dynamics/certificate"});
        let key = json!({"kmsKeyId": "alias/connect-dynamics", "thumbprint": THUMBPRINT});
        let federation = json!({"roleArn": "arn:aws:iam::123456789012:role/path/connect-dynamics"});
        for one in [
            json!({"clientSecretId": secret}),
            json!({"clientSecretId": "arn:aws:secretsmanager:us-east-1:123456789012:secret:example-AbCdEf"}),
            json!({"certificate": certificate}),
            json!({"certificate": key}),
            json!({"federation": federation}),
            json!({"federation": {"roleArn": "arn:aws-us-gov:iam::123456789012:role/r", "audience": "api://AzureADTokenExchangeUSGov"}}),
        ] {
            assert_eq!(mistakes(one.clone()), [""; 0], "{one}");
        }
        for (none_or_several, said) in [
            (json!({}), "it names no credential"),
            (
                json!({"clientSecretId": secret, "federation": federation}),
                "it names several credentials: clientSecretId, federation",
            ),
            (
                json!({"clientSecretId": secret, "certificate": certificate, "federation": federation}),
                "it names several credentials: clientSecretId, certificate, federation",
            ),
        ] {
            let mistakes = mistakes(none_or_several);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            for part in [said, "`clientSecretId`", "`certificate`", "`federation`"] {
                assert!(mistakes[0].contains(part), "{mistakes:?}");
            }
        }
    }

    #[test]
    fn a_credential_of_the_wrong_form_is_told_with_its_place() {
        let role = "arn:aws:iam::123456789012:role/r";
        for (fields, places) in [
            (
                json!({"clientSecretId": ""}),
                &["connection.clientSecretId: "][..],
            ),
            (
                json!({"clientSecretId": "a secret"}),
                &["connection.clientSecretId: "],
            ),
            (
                json!({"clientSecretId": "arn:aws:kms:us-east-1:123456789012:key/1"}),
                &["connection.clientSecretId: "],
            ),
            (
                json!({"clientSecretId": 7}),
                &["connection.clientSecretId: "],
            ),
            (json!({"certificate": {}}), &["connection.certificate: "]),
            (
                json!({"certificate": {"kmsKeyId": "alias/a"}}),
                &["connection.certificate: "],
            ),
            (
                json!({"certificate": {"thumbprint": THUMBPRINT}}),
                &["connection.certificate: "],
            ),
            (
                json!({"certificate": {"secretId": "a", "kmsKeyId": "alias/a", "thumbprint": THUMBPRINT}}),
                &["connection.certificate: "],
            ),
            (
                json!({"certificate": {"secretId": "a secret"}}),
                &["connection.certificate.secretId: "],
            ),
            (
                json!({"certificate": {"kmsKeyId": "alias/a", "thumbprint": &THUMBPRINT[..40]}}),
                &["connection.certificate.thumbprint: "],
            ),
            (
                json!({"certificate": {"kmsKeyId": "alias/a", "thumbprint": &THUMBPRINT[1..]}}),
                &["connection.certificate.thumbprint: "],
            ),
            (
                json!({"certificate": {"kmsKeyId": "alias/a b", "thumbprint": "x"}}),
                &[
                    "connection.certificate.kmsKeyId: ",
                    "connection.certificate.thumbprint: ",
                ],
            ),
            (
                json!({"certificate": {"kmsKeyId": role, "thumbprint": THUMBPRINT}}),
                &["connection.certificate.kmsKeyId: "],
            ),
            (
                json!({"certificate": {"secretid": "a"}}),
                &[
                    "connection.certificate.secretid: unknown field",
                    "connection.certificate: ",
                ],
            ),
            (
                json!({"certificate": "a"}),
                &["connection.certificate: invalid type"],
            ),
            (
                json!({"federation": {}}),
                &["connection.federation: missing field `roleArn`"],
            ),
            (
                json!({"federation": {"roleArn": "r"}}),
                &["connection.federation.roleArn: "],
            ),
            (
                json!({"federation": {"roleArn": "arn:aws:iam::12345678901:role/r"}}),
                &["connection.federation.roleArn: "],
            ),
            (
                json!({"federation": {"roleArn": "arn:aws:iam::123456789012:user/r"}}),
                &["connection.federation.roleArn: "],
            ),
            (
                json!({"federation": {"roleArn": "arn:aws:sts::123456789012:assumed-role/r/s"}}),
                &["connection.federation.roleArn: "],
            ),
            (
                json!({"federation": {"roleArn": role, "audience": ""}}),
                &["connection.federation.audience: "],
            ),
        ] {
            let mistakes = mistakes(fields.clone());
            for place in places {
                assert!(
                    mistakes.iter().any(|mistake| mistake.starts_with(place)),
                    "{fields}: {mistakes:#?}"
                );
            }
            assert!(
                mistakes.len() <= places.len() + 1,
                "{fields}: {mistakes:#?}"
            );
        }
    }

    #[test]
    fn a_key_of_kms_is_named_in_each_of_its_ways_and_a_thumbprint_as_openssl_prints_it() {
        for id in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "alias/connect-dynamics/production_1",
            "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws-cn:kms:cn-north-1:123456789012:alias/connect-dynamics",
        ] {
            assert!(is_key_id(id), "{id}");
        }
        for id in [
            "",
            "alias/",
            "arn:aws:kms:us-east-1:123456789012:1234abcd",
            "a/b",
        ] {
            assert!(!is_key_id(id), "{id}");
        }
        let pairs: Vec<&str> = (0..32).map(|at| &THUMBPRINT[2 * at..2 * at + 2]).collect();
        let bytes = sha256(THUMBPRINT).unwrap();
        assert_eq!((bytes[0], bytes[31]), (0x01, 0xef));
        assert_eq!(sha256(&pairs.join(":")), Some(bytes));
    }

    #[test]
    fn the_credential_is_sent_to_microsoft_only() {
        for authority in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/",
            "https://login.microsoftonline.us",
            "https://login.partner.microsoftonline.cn",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "http://host.docker.internal:8080",
        ] {
            let found = mistakes(json!({"clientSecretId": "a", "authority": authority}));
            assert_eq!(found, [""; 0], "{authority}");
        }
        for authority in [
            "https://login.microsoftonline.com.example.com",
            "https://login.example.com",
            "https://example.com/login.microsoftonline.com",
            "https://login.microsoftonline.com@example.com",
            "https://login.microsoftonline.com:8443",
            "http://login.microsoftonline.com",
            "https://sub.login.microsoftonline.us",
        ] {
            let found = mistakes(json!({"clientSecretId": "a", "authority": authority}));
            assert_eq!(found.len(), 1, "{authority}: {found:?}");
            assert!(found[0].starts_with("connection.authority: "), "{found:?}");
        }
        let found = mistakes(json!({"clientSecretId": "a", "authority": "https://example.com"}));
        for said in [
            "the credential is sent to Microsoft only",
            "https://login.microsoftonline.us",
        ] {
            assert!(found[0].contains(said), "{found:?}");
        }
    }

    #[test]
    fn the_schema_says_that_there_is_exactly_one() {
        let schema = crate::configuration::schema();
        assert_eq!(
            schema["$defs"]["Connection"]["oneOf"],
            json!([{"required": ["clientSecretId"]}, {"required": ["certificate"]}, {"required": ["federation"]}])
        );
        assert_eq!(
            schema["$defs"]["CertificateConfiguration"]["oneOf"],
            json!([{"required": ["secretId"]}, {"required": ["kmsKeyId", "thumbprint"]}])
        );
    }
}
