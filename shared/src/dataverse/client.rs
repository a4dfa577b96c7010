//! The Dynamics client: sends a [`Request`] and returns the record.
//!
//! Owns the Web API's headers
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors>),
//! what is repeated and when, and the pause that Dynamics asks for.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::{Instant, sleep};

use super::{
    DynamicsError,
    answer::{self, Response},
    http::{Answer, Http, Over},
    request::{Kind, Method, Request},
    token::Tokens,
};
use crate::{clock::Clock, configuration::Connection, metrics, sources::Sources};

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
    paused_until: Mutex<Option<Timestamp>>,
    clock: Clock,
}

impl Dynamics {
    pub fn new(http: Http, connection: &Connection, sources: Arc<Sources>) -> Dynamics {
        Dynamics {
            tokens: Tokens::new(http.clone(), connection, sources),
            http,
            service_root: connection.service_root(),
            paused_until: Mutex::new(None),
            clock: Clock::default(),
        }
    }

    /// Counts pauses and the lives of tokens by another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Dynamics {
        Dynamics {
            tokens: self.tokens.with_clock(clock.clone()),
            clock,
            ..self
        }
    }

    /// Whether Dynamics has asked to be left alone for longer than until then.
    pub fn is_paused_until_after(&self, instant: Instant) -> bool {
        self.pause_left()
            .is_some_and(|left| Instant::now() + left > instant)
    }

    fn pause_left(&self) -> Option<Duration> {
        let until = *self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until
            .map(|until| self.clock.until(until))
            .filter(|left| !left.is_zero())
    }

    fn pause(&self, delay: Duration) {
        let until = self.clock.now() + delay;
        let mut paused_until = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused_until = Some(paused_until.map_or(until, |other| other.max(until)));
    }

    /// Waits until Dynamics takes requests again.
    async fn wait_for_the_pause(&self, deadline: Instant) -> Result<(), DynamicsError> {
        // Another request may make the pause longer meanwhile.
        while let Some(left) = self.pause_left() {
            if Instant::now() + left + MIN_ATTEMPT > deadline {
                return Err(DynamicsError::Throttled {
                    code: "as it said before".into(),
                    retry_after: Some(left),
                });
            }
            sleep(left).await;
        }
        Ok(())
    }

    /// Fetches a token ahead of the first request, so that the two waits run together.
    ///
    /// # Errors
    /// [`DynamicsError`], as [`Dynamics::send`].
    pub async fn warm_up(&self, deadline: Instant) -> Result<(), DynamicsError> {
        self.tokens.get(deadline).await?;
        Ok(())
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
            self.wait_for_the_pause(deadline).await?;
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
            // Whatever Dynamics asks for, the backoff grows and ends.
            let Some(delay) = backoff.next() else {
                return Err(failure);
            };
            let delay = failure
                .retry_after()
                .map_or(delay, |asked| asked.max(delay));
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
        let answered = answer::read(request, answer);
        let (
            Err(duplicate),
            Kind::Create {
                record_id,
                record_path,
            },
        ) = (&answered, &request.kind)
        else {
            return answered;
        };
        if !duplicate.is_duplicate_key() {
            return answered;
        }
        let read = Request {
            method: Method::Get,
            path: record_path.clone(),
            body: None,
            kind: Kind::Read,
            primary_key: request.primary_key.clone(),
        };
        let answer = self.authorized(&read, deadline).await?;
        match answer::read(&read, answer) {
            // Not our id but another key of the table is taken.
            Err(error) if error.is_not_found() => answered,
            // It is there; only what it holds is lost.
            Err(DynamicsError::AnswerTooLarge { status }) => Ok(Response {
                status,
                body: request.only_its_id(),
                record_id: Some(*record_id),
                attempts: 1,
            }),
            read => read.map(|response| Response {
                record_id: Some(*record_id),
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
        self.tokens.forget(&token, deadline).await;
        let token = self.tokens.get(deadline).await?;
        self.exchange(request, token.expose(), deadline).await
    }

    async fn exchange(
        &self,
        request: &Request,
        token: &str,
        deadline: Instant,
    ) -> Result<Answer, DynamicsError> {
        let began = Instant::now();
        let over = if request.is_repeatable() {
            Over::Pooled
        } else {
            Over::New
        };
        let compose = |client: &reqwest::Client| self.compose(client, request).bearer_auth(token);
        let answer = self.http.send(compose, over, deadline).await;
        metrics::dynamics_latency(began.elapsed());
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS)
        {
            metrics::throttled();
        }
        Ok(answer?)
    }

    fn compose(&self, client: &reqwest::Client, request: &Request) -> RequestBuilder {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
        };
        let mut http = client
            .request(method, format!("{}{}", self.service_root, request.path))
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
        http
    }
}
