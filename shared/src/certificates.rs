//! Which certificate authorities HTTPS connections trust, those of the AWS clients included.
//!
//! Owns the choice. It is Mozilla's list, compiled in: nothing is read at a cold start (reading a
//! system's files took ten times as long or longer), and an image without certificates works. Where
//! the environment names other certificates, or a proxy, which may have an authority of its own, it
//! is the system's list.

use aws_config::ConfigLoader;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Any of these asks for the system's certificates, and for the AWS clients' own way of connecting.
const FOR_THE_SYSTEMS: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The certificates to trust, as DER; none for the system's.
pub(crate) fn compiled_in() -> Option<Vec<&'static [u8]>> {
    compiled_in_unless(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn compiled_in_unless(is_set: impl Fn(&str) -> bool) -> Option<Vec<&'static [u8]>> {
    let compiled_in = || TLS_SERVER_ROOT_CERTS.iter().map(|der| &**der).collect();
    (!FOR_THE_SYSTEMS.iter().any(|name| is_set(name))).then(compiled_in)
}

/// Lets the AWS clients trust the same certificates.
pub(crate) fn for_aws(config: ConfigLoader) -> ConfigLoader {
    let Some(certificates) = compiled_in() else {
        return config;
    };
    // The SDK takes certificates as PEM only.
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        BASE64_STANDARD.encode_string(certificate, &mut pem);
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    match TlsContext::builder().with_trust_store(store).build() {
        Ok(context) => config.http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(context)
                .build_https(),
        ),
        Err(error) => {
            tracing::warn!(%error, "the AWS clients use the system's certificates");
            config
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_can_ask_for_the_systems_certificates() {
        assert!(compiled_in_unless(|_| false).is_some_and(|list| list.len() > 50));
        for name in FOR_THE_SYSTEMS {
            assert!(
                compiled_in_unless(|asked| asked == name).is_none(),
                "{name}"
            );
        }
    }
}
