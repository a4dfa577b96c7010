//! HTTP: one exchange, with the answer's size bounded and every wait ended by a deadline.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, StatusCode, header::HeaderMap};
use tokio::time::{Instant, timeout_at};

use crate::{cause, certificates};

/// A larger answer is not read unless it is asked for: no record has one, and a function's memory is small.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The client of all HTTP connections but AWS's. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Http {
    // A client that could not be set up is an error of each request, not of the function: a flow is
    // answered and its contact kept all the same.
    pooled: Result<Client, String>,
    /// Keeps no connection, so each request makes one of its own. It is set up when it is first used.
    unpooled: Arc<OnceLock<Result<Client, String>>>,
    /// The most bytes of an answer that are read.
    largest: usize,
}

/// Which connection a request goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// One that an earlier request has left open, if there is one.
    Pooled,
    /// A new one. The other side may have closed one that was left open, above all while the function was
    /// frozen between two invocations, and then nobody could say whether the request has arrived.
    New,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HttpError {
    #[error("there was no answer within the time")]
    Timeout,
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        host: String,
        /// Whether the request may have arrived all the same.
        sent: bool,
        reason: String,
    },
    #[error(
        "no HTTPS connection can be made: {0}; the certificates come from the files that SSL_CERT_FILE or SSL_CERT_DIR name, or from the system: correct these variables, or remove them to use the certificates that the function brings"
    )]
    NoTls(String),
}

impl HttpError {
    /// Whether the other side may have the request.
    pub fn may_have_been_sent(&self) -> bool {
        match self {
            HttpError::Timeout => true,
            HttpError::Unreachable { sent, .. } => *sent,
            HttpError::NoTls(_) => false,
        }
    }
}

/// An HTTP answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Then the body is not kept.
    pub(super) is_too_large: bool,
}

impl Default for Http {
    fn default() -> Http {
        Http::with_certificates(compiled_in())
    }
}

/// The certificates to trust; none for those of the system.
type Trusted = Option<reqwest::Result<Vec<Certificate>>>;

fn compiled_in() -> Trusted {
    let certificates = certificates::compiled_in()?;
    Some(
        certificates
            .into_iter()
            .map(Certificate::from_der)
            .collect(),
    )
}

fn client(trusted: Trusted, builder: ClientBuilder) -> Result<Client, String> {
    let client = || {
        let builder = builder
            // A redirect would carry the token, or the client secret, to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .pool_idle_timeout(Duration::from_secs(90))
            .user_agent(concat!("connect-dynamics/", env!("CARGO_PKG_VERSION")));
        match trusted {
            Some(certificates) => builder.tls_certs_only(certificates?),
            None => builder,
        }
        .build()
    };
    client().map_err(|error| cause::innermost(&error))
}

impl Http {
    /// A client that trusts these certificates, or the system's.
    fn with_certificates(certificates: Trusted) -> Http {
        Http {
            pooled: client(certificates, ClientBuilder::default()),
            unpooled: Arc::default(),
            largest: MAX_ANSWER_BYTES,
        }
    }

    /// Reads answers of up to this many bytes: an environment describes all of its tables at once.
    #[must_use]
    pub fn with_largest_answer(self, largest: usize) -> Http {
        Http { largest, ..self }
    }

    fn client(&self, over: Over) -> Result<&Client, HttpError> {
        let client = match over {
            Over::Pooled => &self.pooled,
            Over::New => self
                .unpooled
                .get_or_init(|| client(compiled_in(), Client::builder().pool_max_idle_per_host(0))),
        };
        client
            .as_ref()
            .map_err(|reason| HttpError::NoTls(reason.clone()))
    }

    /// Sends what `request` makes, and reads the answer.
    pub(super) async fn send(
        &self,
        request: impl FnOnce(&Client) -> RequestBuilder,
        over: Over,
        deadline: Instant,
    ) -> Result<Answer, HttpError> {
        let client = self.client(over)?;
        let exchange = async {
            let mut response = request(client).send().await?;
            let mut answer = Answer {
                status: response.status(),
                headers: std::mem::take(response.headers_mut()),
                body: Vec::new(),
                is_too_large: false,
            };
            while let Some(chunk) = response.chunk().await? {
                if answer.body.len() + chunk.len() > self.largest {
                    answer.is_too_large = true;
                    answer.body.clear();
                    break;
                }
                answer.body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>(answer)
        };
        match timeout_at(deadline, exchange).await {
            Err(_) => Err(HttpError::Timeout),
            Ok(Err(error)) if error.is_timeout() && !error.is_connect() => Err(HttpError::Timeout),
            Ok(Err(error)) => Err(HttpError::Unreachable {
                host: error
                    .url()
                    .and_then(|url| url.host_str())
                    .unwrap_or("the host")
                    .to_owned(),
                sent: !error.is_connect(),
                reason: cause::innermost(&error),
            }),
            Ok(Ok(answer)) => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn certificates_that_cannot_be_read_are_told_in_words() {
        let broken = Certificate::from_der(b"no certificate").unwrap();
        let http = Http::with_certificates(Some(Ok(vec![broken])));
        let deadline = Instant::now() + Duration::from_secs(5);
        let answer = http.send(
            |client| client.get("https://example.com"),
            Over::Pooled,
            deadline,
        );
        let error = answer.await.map(|answer| answer.status).unwrap_err();
        assert!(matches!(error, HttpError::NoTls(_)) && !error.may_have_been_sent());
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    }

    #[test]
    fn the_certificates_that_are_compiled_in_are_taken() {
        let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let certificates = certificates.map(|der| Certificate::from_der(der));
        let http = Http::with_certificates(Some(certificates.collect()));
        assert!(http.pooled.is_ok(), "{http:?}");
    }
}
