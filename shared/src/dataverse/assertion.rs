//! Client assertions: JSON Web Tokens that a certificate's key signs.
//!
//! Owns their form (<https://learn.microsoft.com/entra/identity-platform/certificate-credentials>). The
//! signature comes from elsewhere, as a key in KMS signs there and nowhere else.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// How long an assertion is good: long enough for clocks that differ, and at most ten minutes.
const LIFE: Duration = Duration::from_secs(300);

/// Header and claims of an assertion: what is to be signed.
pub(super) fn unsigned(
    client_id: &str,
    token_endpoint: &str,
    thumbprint: &[u8; 32],
    now: Timestamp,
) -> String {
    let header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(thumbprint),
    });
    let claims = json!({
        "aud": token_endpoint,
        "iss": client_id,
        "sub": client_id,
        "jti": unique(now),
        "nbf": now.as_second(),
        "iat": now.as_second(),
        "exp": (now + LIFE).as_second(),
    });
    let part = |json: Json| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// The assertion, of what was signed and the signature.
/// <https://www.rfc-editor.org/rfc/rfc7515#section-7.1>
pub(super) fn signed(unsigned: String, signature: &[u8]) -> String {
    format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// An id that no other assertion has.
fn unique(now: Timestamp) -> Uuid {
    let mut bytes = [0; 16];
    if rand::fill(&mut bytes).is_err() {
        // It need only differ.
        bytes = now.as_nanosecond().to_be_bytes();
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Certificate, Kind};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData};
    use std::sync::LazyLock;

    static KEY: LazyLock<KeyPair> =
        LazyLock::new(|| KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| {
        let certificate = CertificateParams::default().self_signed(&*KEY).unwrap();
        let pem = format!("{}{}", KEY.serialize_pem(), certificate.pem());
        Certificate::read("id", &pem).unwrap()
    });

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// jsonwebtoken is another's implementation: what it verifies, Entra ID does.
        #[test]
        fn an_assertion_is_verified_by_another_implementation(
            client in any::<u128>(),
            tenant in "[a-z0-9.-]{1,40}",
            now in 1_700_000_000_i64..4_000_000_000,
        ) {
            let client = Uuid::from_u128(client).to_string();
            let endpoint = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
            let now = Timestamp::from_second(now).unwrap();
            let unsigned = unsigned(&client, &endpoint, CERTIFICATE.thumbprint(), now);
            let assertion = signed(unsigned.clone(), &CERTIFICATE.sign(unsigned.as_bytes()).unwrap());

            let mut validation = Validation::new(Algorithm::PS256);
            validation.set_audience(&[&endpoint]);
            validation.set_issuer(&[&client]);
            validation.sub = Some(client.clone());
            validation.validate_exp = false;
            let key = DecodingKey::from_rsa_der(KEY.der_bytes());
            let decoded = jsonwebtoken::decode::<Json>(&assertion, &key, &validation).unwrap();
            let header = jsonwebtoken::decode_header(&assertion).unwrap();
            prop_assert_eq!(header.typ.as_deref(), Some("JWT"));
            let thumbprint = header.x5t_s256.unwrap();
            prop_assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(thumbprint).unwrap(), CERTIFICATE.thumbprint());
            let claim = |name: &str| decoded.claims[name].as_i64().unwrap();
            prop_assert_eq!((claim("nbf"), claim("iat")), (now.as_second(), now.as_second()));
            prop_assert!((1..=600).contains(&(claim("exp") - claim("nbf"))));
            prop_assert!(assertion.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        }
    }

    #[test]
    fn header_and_claims_are_those_of_the_documentation_and_no_two_ids_are_the_same() {
        let now = Timestamp::from_second(1_770_000_000).unwrap();
        let parts = |text: &str| -> Vec<Json> {
            text.split('.')
                .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap())
                .map(|part| serde_json::from_slice(&part).unwrap())
                .collect()
        };
        let [first, second] =
            [1, 2].map(|_| parts(&unsigned("client", "endpoint", &[0xff; 32], now)));
        assert_eq!(
            first[0],
            json!({"alg": "PS256", "typ": "JWT", "x5t#S256": "__________________________________________8"})
        );
        let mut claims = first[1].clone();
        let id = claims["jti"].take();
        assert_eq!(
            claims,
            json!({"aud": "endpoint", "iss": "client", "sub": "client", "jti": null,
                "nbf": 1_770_000_000, "iat": 1_770_000_000, "exp": 1_770_000_300})
        );
        assert!(Uuid::try_parse(id.as_str().unwrap()).is_ok());
        assert_ne!(id, second[1]["jti"]);
    }
}
