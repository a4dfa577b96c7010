//! A key pair with a certificate of its own, as an administrator makes one.

use std::ops::Range;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::RsaKeyPair,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, date_time_ymd};

/// An RSA key pair and a certificate that it has signed itself. All that it holds is made up when it is
/// made.
#[derive(Debug)]
pub struct Pair {
    key: KeyPair,
    certificate: rcgen::Certificate,
    /// When the certificate is good.
    pub(super) good: Range<Timestamp>,
}

impl Pair {
    /// A pair whose certificate is good from the beginning of one year to the beginning of another.
    ///
    /// # Panics
    /// When this machine has no randomness.
    pub fn new(from: i32, until: i32) -> Pair {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("there is randomness");
        let mut parameters = CertificateParams::default();
        parameters.not_before = date_time_ymd(from, 1, 1);
        parameters.not_after = date_time_ymd(until, 1, 1);
        let [from, until] = [&parameters.not_before, &parameters.not_after].map(|time| {
            Timestamp::from_second(time.unix_timestamp()).expect("a certificate's year is a year")
        });
        let certificate = parameters
            .self_signed(&key)
            .expect("an RSA key signs a certificate");
        Pair {
            key,
            certificate,
            good: from..until,
        }
    }

    /// The private key and the certificate, as a secret holds them.
    pub fn pem(&self) -> String {
        format!("{}{}", self.key.serialize_pem(), self.certificate.pem())
    }

    /// The SHA-256 of the certificate's DER.
    pub fn thumbprint(&self) -> [u8; 32] {
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, self.certificate.der()).as_ref());
        thumbprint
    }

    /// The same, as a configuration names it.
    pub fn thumbprint_in_hex(&self) -> String {
        let digits = self.thumbprint().map(|byte| format!("{byte:02x}"));
        digits.concat()
    }

    /// The public key, as PKCS #1.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.key.der_bytes().to_vec()
    }

    /// The private key, to sign with.
    pub(super) fn signing_key(&self) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(&self.key.serialize_der()).expect("it is an RSA key")
    }
}
