//! The Dynamics client: sends a [`Request`] and returns the record.
//!
//! Owns the Web API's headers
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors>),
//! what is repeated and when, and the reading of answers. Tokens are `token`'s, the meaning of
//! refusals [`error`]'s. No other module of the library knows reqwest.

pub mod error;
mod token;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde_json::{Map, Value as Json};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

pub use self::error::DynamicsError;
use self::{error::refusal, token::Tokens};
use crate::{
    cause,
    configuration::Connection,
    metrics,
    request::{Kind, Request},
    secret::Secrets,
};

/// A larger answer is not read: no record has one, and a function's memory is small.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// An attempt that has less time than this is not begun.
const MIN_ATTEMPT: Duration = Duration::from_millis(50);

/// One environment, with the connections and the token to it.
#[derive(Debug)]
pub struct Dynamics {
    http: Http,
    service_root: String,
    tokens: Tokens,
    /// Until when Dynamics has asked us to send nothing, whatever the contact: it limits the
    /// application, and whoever goes on sending waits longer.
    paused_until: Mutex<Option<Instant>>,
}

/// What Dynamics answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    /// The record, or the list of them; empty when Dynamics sent none.
    pub body: Map<String, Json>,
    /// The record's id, from the answer or because we chose it.
    pub record_id: Option<Uuid>,
    /// How often the request was sent.
    pub attempts: u32,
}

/// HTTP, with the answer's size bounded and every wait ended by a deadline.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Default for Http {
    fn default() -> Http {
        Http(
            reqwest::Client::builder()
                // A redirect would carry the token, or the client secret, to wherever it points.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(2))
                .pool_idle_timeout(Duration::from_secs(90))
                .user_agent(concat!("connect-dynamics/", env!("CARGO_PKG_VERSION")))
                .build()
                .expect("the TLS backend initialises"),
        )
    }
}

/// An HTTP answer, read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Then the body is not kept.
    is_too_large: bool,
}

impl Http {
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        deadline: Instant,
    ) -> Result<Answer, DynamicsError> {
        let exchange = async {
            let mut response = request.send().await?;
            let mut answer = Answer {
                status: response.status(),
                headers: std::mem::take(response.headers_mut()),
                body: Vec::new(),
                is_too_large: false,
            };
            while let Some(chunk) = response.chunk().await? {
                if answer.body.len() + chunk.len() > MAX_ANSWER_BYTES {
                    answer.is_too_large = true;
                    answer.body.clear();
                    break;
                }
                answer.body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>(answer)
        };
        match timeout_at(deadline, exchange).await {
            Err(_) => Err(DynamicsError::Timeout),
            Ok(Err(error)) if error.is_timeout() && !error.is_connect() => {
                Err(DynamicsError::Timeout)
            }
            Ok(Err(error)) => Err(DynamicsError::Unreachable {
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

impl Dynamics {
    pub fn new(http: Http, connection: &Connection, secrets: Arc<Secrets>) -> Dynamics {
        Dynamics {
            tokens: Tokens::new(http.clone(), connection, secrets),
            http,
            service_root: connection.service_root(),
            paused_until: Mutex::new(None),
        }
    }

    /// Whether Dynamics has asked to be left alone for longer than until then.
    pub fn is_paused_until_after(&self, instant: Instant) -> bool {
        self.paused_until().is_some_and(|until| until > instant)
    }

    fn paused_until(&self) -> Option<Instant> {
        let until = *self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    fn pause(&self, delay: Duration) {
        let until = Instant::now() + delay;
        let mut paused_until = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused_until = Some(paused_until.map_or(until, |other| other.max(until)));
    }

    /// Fetches a token ahead of the first request, so that the two waits run together.
    ///
    /// # Errors
    /// [`DynamicsError`], as [`Dynamics::send`].
    pub async fn warm_up(&self, deadline: Instant) -> Result<(), DynamicsError> {
        self.tokens.get(deadline).await.map(drop)
    }

    /// Sends a request, again if that is safe and there is time, and returns the answer.
    ///
    /// A create that meets the record it made before reads that record back.
    ///
    /// # Errors
    /// [`DynamicsError`] says whether Dynamics refused the request for good
    /// ([`DynamicsError::is_permanent`]) or may take it later.
    pub async fn send(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, DynamicsError> {
        let mut attempts = 0;
        let mut backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(8)
            .with_jitter()
            .build();
        loop {
            if let Some(until) = self.paused_until() {
                if until + MIN_ATTEMPT > deadline {
                    return Err(DynamicsError::Throttled {
                        code: "as it said before".into(),
                        retry_after: Some(until.duration_since(Instant::now())),
                    });
                }
                sleep_until(until).await;
            }
            attempts += 1;
            let failure = match self.attempt(request, deadline).await {
                Ok(response) => {
                    return Ok(Response {
                        attempts,
                        ..response
                    });
                }
                Err(failure) => failure,
            };
            if let DynamicsError::Throttled {
                retry_after: Some(delay),
                ..
            } = &failure
            {
                self.pause(*delay);
            }
            if !failure.is_repeatable(request) {
                return Err(failure);
            }
            let Some(delay) = failure.retry_after().or_else(|| backoff.next()) else {
                return Err(failure);
            };
            if Instant::now() + delay + MIN_ATTEMPT > deadline {
                return Err(failure);
            }
            tracing::debug!(attempts, delay_ms = delay.as_millis(), failure = %failure, "the request will be repeated");
            sleep(delay).await;
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, DynamicsError> {
        let answer = self.authorized(request, deadline).await?;
        let created = match &request.kind {
            Kind::Create {
                record_id,
                record_path,
            } => Some((*record_id, record_path)),
            _ => None,
        };
        match read_answer(request, answer) {
            Err(duplicate) if duplicate.is_duplicate_key() => {
                let Some((record_id, record_path)) = created else {
                    return Err(duplicate);
                };
                let read = Request {
                    method: crate::configuration::Method::Get,
                    path: record_path.clone(),
                    body: None,
                    kind: Kind::Read,
                    primary_key: request.primary_key.clone(),
                };
                let answer = self.authorized(&read, deadline).await?;
                match read_answer(&read, answer) {
                    // Not our id but another key of the table is taken.
                    Err(error) if error.is_not_found() => Err(duplicate),
                    // It is there; only what it holds is lost.
                    Err(DynamicsError::AnswerTooLarge { status }) => Ok(Response {
                        status,
                        body: request.only_its_id(),
                        record_id: Some(record_id),
                        attempts: 1,
                    }),
                    read => read.map(|response| Response {
                        record_id: Some(record_id),
                        ..response
                    }),
                }
            }
            answered => answered.map(|response| Response {
                record_id: response.record_id.or(request.record_id()),
                ..response
            }),
        }
    }

    /// Sends once, and once more with a new token when this one is refused.
    async fn authorized(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, DynamicsError> {
        let token = self.tokens.get(deadline).await?;
        let answer = self.exchange(request, token.expose(), deadline).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.tokens.forget(&token).await;
        let token = self.tokens.get(deadline).await?;
        self.exchange(request, token.expose(), deadline).await
    }

    async fn exchange(
        &self,
        request: &Request,
        token: &str,
        deadline: Instant,
    ) -> Result<Answer, DynamicsError> {
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes())
            .expect("GET, POST and PATCH are methods");
        let mut http = self
            .http
            .0
            .request(method, format!("{}{}", self.service_root, request.path))
            .bearer_auth(token)
            .header("Accept", "application/json")
            .header("OData-Version", "4.0")
            .header("OData-MaxVersion", "4.0");
        if let Some(body) = &request.body {
            http = http
                .header("Content-Type", "application/json; charset=utf-8")
                .header("Prefer", "return=representation")
                .body(serde_json::to_vec(body).expect("a JSON map serialises"));
        } else if request.kind == Kind::Action {
            http = http.header("Content-Length", "0");
        }
        if request.kind == Kind::Update {
            http = http.header("If-Match", "*");
        }
        let began = Instant::now();
        let answer = self.http.send(http, deadline).await;
        metrics::dynamics_latency(began.elapsed());
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS)
        {
            metrics::throttled();
        }
        answer
    }
}

fn read_answer(request: &Request, answer: Answer) -> Result<Response, DynamicsError> {
    let Answer {
        status,
        headers,
        body,
        is_too_large,
    } = answer;
    if !status.is_success() {
        return Err(refusal(
            request,
            status.as_u16(),
            retry_after(&headers),
            &body,
        ));
    }
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    if is_too_large && !(is_json && matches!(request.kind, Kind::Create { .. } | Kind::Update)) {
        return Err(DynamicsError::AnswerTooLarge {
            status: status.as_u16(),
        });
    }
    let body = match body.is_empty() {
        // Dynamics has done what it was asked; only what it says of it is lost.
        true if is_too_large => request.only_its_id(),
        true => Map::new(),
        false => match serde_json::from_slice(&body) {
            Ok(Json::Object(body)) => body,
            _ => {
                return Err(DynamicsError::NotJson {
                    status: status.as_u16(),
                });
            }
        },
    };
    // A query answers with a list; the first record found is the one that templates name.
    let first = body.get("value").and_then(|records| records.get(0));
    let in_body = body
        .get(&request.primary_key)
        .or_else(|| first?.get(&request.primary_key))
        .and_then(Json::as_str);
    let in_header = headers
        .get("OData-EntityId")
        .and_then(|id| id.to_str().ok())
        .and_then(|uri| {
            let (_, key) = uri.rsplit_once('(')?;
            key.strip_suffix(')')
        });
    let record_id = in_body
        .or(in_header)
        .and_then(|id| Uuid::try_parse(id).ok());
    Ok(Response {
        status: status.as_u16(),
        body,
        record_id,
        attempts: 1,
    })
}

/// The seconds of `Retry-After`. Dataverse sends no dates there:
/// <https://learn.microsoft.com/power-apps/developer/data-platform/api-limits#retry-operations>
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
