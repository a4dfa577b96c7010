//! A certificate with its private key, as PEM.
//!
//! Owns reading the two, that they belong together, and signing. The key is read once for each read of the
//! secret, and never leaves.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{KeyPair, RSA_PSS_SHA256, RsaKeyPair},
};
use jiff::{Timestamp, civil::Date, tz::Offset};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use x509_cert::der::Decode;

use super::{Cache, Kind, SecretError, Secrets, malformed};

/// A certificate that is registered with the application in Entra ID, and its key. Clones share the key.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    key: RsaKeyPair,
    thumbprint: [u8; 32],
    expires_on: Date,
}

impl Certificate {
    /// The SHA-256 of the certificate's DER.
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.0.thumbprint
    }

    /// The day, in UTC, on which the certificate ends.
    pub fn expires_on(&self) -> Date {
        self.0.expires_on
    }

    /// Signs by RSASSA-PSS with SHA-256 and a salt of 32 bytes, which JWT calls PS256; none when the
    /// machine has no randomness.
    /// <https://www.rfc-editor.org/rfc/rfc7518#section-3.5>
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.key.public_modulus_len()];
        self.0
            .key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .ok()?;
        Some(signature)
    }
}

/// Two are the same when the certificate is: it holds the public key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.0.thumbprint == other.0.thumbprint
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(...)")
    }
}

impl Kind for Certificate {
    const NAMED_BY: &'static str = "connection.certificate.secretId";

    fn read(id: &str, text: &str) -> Result<Certificate, SecretError> {
        // No reason quotes anything of the text.
        read(text).map_err(|reason| malformed(id, reason))
    }

    fn cache(secrets: &Secrets) -> &Cache<Certificate> {
        &secrets.certificates
    }
}

const WHAT_IT_HOLDS: &str = "the secret's value must be the private key and the certificate, both as PEM, with their line breaks, as in the files that openssl wrote";

fn read(text: &str) -> Result<Certificate, String> {
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
    {
        return Err(
            "its private key is encrypted with a passphrase; put the key in without one, as Secrets Manager encrypts it"
                .into(),
        );
    }
    let key = match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => {
            return Err(format!("it holds no private key; {WHAT_IT_HOLDS}"));
        }
        Err(_) => return Err(format!("its private key is no PEM; {WHAT_IT_HOLDS}")),
    };
    let key = match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(NO_RSA_KEY.into()),
    };
    let key = key.map_err(|_| NO_RSA_KEY)?;

    // A chain may stand there. Entra ID knows the certificate of this key.
    let mut found = 0;
    for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
        found += 1;
        let parsed = der.ok().and_then(|der| {
            let certificate = x509_cert::Certificate::from_der(&der).ok()?;
            Some((der, certificate))
        });
        let Some((der, certificate)) = parsed else {
            return Err(format!("a certificate in it is damaged; {WHAT_IT_HOLDS}"));
        };
        let certificate = certificate.tbs_certificate();
        let public_key = certificate.subject_public_key_info();
        if public_key.subject_public_key.raw_bytes() != key.public_key().as_ref() {
            continue;
        }
        let ends = certificate.validity().not_after.to_unix_duration();
        let ends = i64::try_from(ends.as_secs()).unwrap_or(i64::MAX);
        let ends = Timestamp::from_second(ends).unwrap_or(Timestamp::MAX);
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, &der).as_ref());
        return Ok(Certificate(Arc::new(Inner {
            key,
            thumbprint,
            expires_on: Offset::UTC.to_datetime(ends).date(),
        })));
    }
    Err(if found == 0 {
        format!("it holds no certificate; {WHAT_IT_HOLDS}")
    } else {
        "its private key and its certificate do not belong together; put both of the same pair in"
            .into()
    })
}

const NO_RSA_KEY: &str = "its private key is no RSA key of 2048 to 8192 bits; make one with `openssl req -x509 -newkey rsa:2048`, as Entra ID takes no other for this";

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use base64::{Engine, prelude::BASE64_STANDARD};
    use rcgen::{CertificateParams, KeyPair as Generated, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    /// A key, and a certificate of it that ends on the last day of January 2030.
    fn pair() -> (Generated, rcgen::Certificate) {
        let key = Generated::generate_for(&PKCS_RSA_SHA256).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 31);
        let certificate = parameters.self_signed(&key).unwrap();
        (key, certificate)
    }

    #[test]
    fn key_and_certificate_are_read_in_any_order_and_out_of_a_chain() {
        let (key, certificate) = pair();
        let (_, other) = pair();
        let (key_pem, pem) = (key.serialize_pem(), certificate.pem());
        // Before the key as PKCS #1, which older tools write, PKCS #8 has 26 bytes for 2,048 bits.
        let pkcs1 = BASE64_STANDARD.encode(&key.serialize_der()[26..]);
        for text in [
            format!(
                "-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n{pem}"
            ),
            format!("{key_pem}{pem}"),
            format!("{pem}\n{key_pem}"),
            format!("{}{pem}{key_pem}", other.pem()),
            format!(
                "subject=CN = example\r\n{}",
                format!("{pem}{key_pem}").replace('\n', "\r\n")
            ),
        ] {
            let read = Certificate::read("id", &text).unwrap();
            assert_eq!(
                read.thumbprint()[..],
                *digest(&SHA256, certificate.der()).as_ref()
            );
            assert_eq!(read.expires_on(), jiff::civil::date(2030, 1, 31));
            assert_eq!(format!("{read:?}"), "Certificate(...)");
            let signature = read.sign(b"message").unwrap();
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, read.0.key.public_key())
                .verify(b"message", &signature)
                .unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        let (key, certificate) = pair();
        let (_, other) = pair();
        let (key, pem) = (key.serialize_pem(), certificate.pem());
        let curve = Generated::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, said) in [
            (String::new(), "no private key"),
            (pem.clone(), "no private key"),
            (key.clone(), "no certificate"),
            (format!("{key}{}", other.pem()), "do not belong together"),
            (format!("{key}{damaged}"), "is damaged"),
            (format!("{}{pem}", curve.serialize_pem()), "no RSA key"),
            (
                format!("{key}{pem}").replace('\n', " "),
                "with their line breaks",
            ),
            (
                format!("{}{pem}", key.replace("PRIVATE", "ENCRYPTED PRIVATE")),
                "passphrase",
            ),
            (format!("{}{pem}", key.replace("MII", "!!!")), "is no PEM"),
            ("made-up-client-secret".into(), "no private key"),
        ] {
            let error = Certificate::read("example", &text).unwrap_err().to_string();
            assert!(
                error.contains("`example`") && error.contains(said),
                "{said}: {error}"
            );
            assert!(
                !error.contains(&key[60..80]) && !error.contains("made-up"),
                "{error}"
            );
        }
    }
}
