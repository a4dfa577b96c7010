//! The Dynamics client: sends a [`Request`] and returns the record.
//!
//! Owns the Web API's headers
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors>),
//! and what is repeated and when.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::{Instant, sleep};

use super::{
    DynamicsError,
    answer::{self, Response},
    http::{Answer, Http, Over},
    pace::{Closed, Entry, Pace, Room},
    request::{Kind, Method, Request},
    token::Tokens,
};
use crate::{clock::Clock, configuration::Connection, metrics, sources::Sources};

/// An attempt that has less time than this is not begun.
const MIN_ATTEMPT: Duration = Duration::from_millis(50);

/// After a pause a request needs so much time to be answered: everybody sends at that moment.
const AFTER_A_PAUSE: Duration = Duration::from_secs(1);

/// One environment, with the connections and the token to it.
#[derive(Debug)]
pub struct Dynamics {
    http: Http,
    service_root: String,
    tokens: Tokens,
    /// Of all that is sent to it, whatever the contact: Dynamics limits the application.
    pace: Pace,
}

/// Whether a request that failed is sent again within the same invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// As long as there is time: somebody waits for the answer.
    WhileThereIsTime,
    /// Only when Dynamics refused it for its limits: redelivery comes again with the backoff of the contact.
    AfterALimit,
}

impl Dynamics {
    pub fn new(http: Http, connection: &Connection, sources: Arc<Sources>) -> Dynamics {
        Dynamics {
            tokens: Tokens::new(http.clone(), connection, sources),
            http,
            service_root: connection.service_root(),
            pace: Pace::new(Clock::default()),
        }
    }

    /// Counts pauses and the lives of tokens by another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Dynamics {
        Dynamics {
            tokens: self.tokens.with_clock(clock.clone()),
            pace: Pace::new(clock),
            ..self
        }
    }

    /// How many contacts redelivery may deliver at once now.
    pub fn room(&self) -> Room {
        self.pace.room()
    }

    /// Waits until Dynamics takes requests again.
    async fn enter(&self, deadline: Instant) -> Result<Entry, DynamicsError> {
        loop {
            let left = match self.pace.enter() {
                Ok(entry) => return Ok(entry),
                Err(Closed::Resting(left, reason)) => {
                    return Err(DynamicsError::Resting { left, reason });
                }
                Err(Closed::Paused(left)) => left,
            };
            if Instant::now() + left + AFTER_A_PAUSE > deadline {
                return Err(DynamicsError::Throttled {
                    code: "as it said before".into(),
                    retry_after: Some(left),
                });
            }
            // Another request may make the pause longer meanwhile.
            sleep(left).await;
        }
    }

    /// Fetches a token ahead of the first request, so that the two waits run together.
    ///
    /// # Errors
    /// [`DynamicsError`], as [`Dynamics::send`].
    pub async fn warm_up(&self, deadline: Instant) -> Result<(), DynamicsError> {
        self.tokens.get(deadline).await?;
        Ok(())
    }

    /// Asks who we are: a request that every user of an environment may send, and that changes nothing.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/whoami>
    ///
    /// # Errors
    /// As [`Dynamics::send_with`].
    pub async fn who_am_i(&self, deadline: Instant) -> Result<Response, DynamicsError> {
        let request = Request {
            method: Method::Get,
            path: "WhoAmI".into(),
            body: None,
            kind: Kind::Read,
            primary_key: "UserId".into(),
        };
        self.send(&request, deadline).await
    }

    /// Sends a request, again if that is safe and there is time, and returns the answer.
    ///
    /// # Errors
    /// As [`Dynamics::send_with`].
    pub async fn send(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, DynamicsError> {
        self.send_with(request, Repeats::WhileThereIsTime, deadline)
            .await
    }

    /// Sends a request, again if that is safe and asked for, and returns the answer.
    ///
    /// A create that meets the record it made before reads that record back.
    ///
    /// # Errors
    /// [`DynamicsError`] says whether Dynamics refused the request for good
    /// ([`DynamicsError::is_permanent`]) or may take it later.
    pub async fn send_with(
        &self,
        request: &Request,
        repeats: Repeats,
        deadline: Instant,
    ) -> Result<Response, DynamicsError> {
        let mut began = Instant::now();
        let sent = self
            .send_in_time(request, repeats, deadline, &mut began)
            .await;
        // What was not sent tells nothing.
        if !matches!(&sent, Err(error) if error.is_held_back()) {
            self.pace.note(sent.as_ref().err(), began.elapsed());
        }
        sent
    }

    async fn send_in_time(
        &self,
        request: &Request,
        repeats: Repeats,
        deadline: Instant,
        began: &mut Instant,
    ) -> Result<Response, DynamicsError> {
        let mut attempts = 0;
        let mut backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(8)
            .with_jitter()
            .build();
        loop {
            let entry = self.enter(deadline).await?;
            attempts += 1;
            *began = Instant::now();
            let failure = match self.attempt(request, deadline).await {
                Ok(response) => {
                    return Ok(Response {
                        attempts,
                        ..response
                    });
                }
                Err(failure) => failure,
            };
            let is_limited = matches!(failure, DynamicsError::Throttled { .. });
            if is_limited {
                self.pace.limit(failure.retry_after());
            }
            let may_repeat =
                is_limited || entry == Entry::Free && repeats == Repeats::WhileThereIsTime;
            if !may_repeat || !failure.is_repeatable(request) {
                return Err(failure);
            }
            // Whatever Dynamics asks for, the backoff grows and ends.
            let Some(delay) = backoff.next() else {
                return Err(failure);
            };
            let delay = failure
                .retry_after()
                .map_or(delay, |asked| asked.max(delay));
            let needed = if is_limited {
                AFTER_A_PAUSE
            } else {
                MIN_ATTEMPT
            };
            if Instant::now() + delay + needed > deadline {
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
                was_there: true,
            }),
            read => read.map(|response| Response {
                record_id: Some(*record_id),
                was_there: true,
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
        let answer = answer?;
        self.pace.note_what_is_left(&answer.headers);
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            metrics::throttled();
        }
        Ok(answer)
    }

    fn compose(&self, client: &reqwest::Client, request: &Request) -> RequestBuilder {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let url = format!("{}{}", self.service_root, request.path);
        let mut http = client.request(method, url);
        for (name, value) in request.headers() {
            http = http.header(name, value);
        }
        match &request.body {
            Some(body) => http.body(serde_json::to_vec(body).expect("a JSON map serialises")),
            None => http,
        }
    }
}
