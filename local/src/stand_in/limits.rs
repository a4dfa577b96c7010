//! Dataverse's service protection limits, and an environment that is down or hangs, in front of a stand-in.
//!
//! Owns what an environment refuses whatever is asked of it: more requests than the limits take
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/api-limits>), and everything during an
//! outage. The limits here are those of one web server and one user, over a shorter window where a
//! simulation wants it; the headers tell what is left in the terms of the real ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Response, StatusCode},
    middleware::{self, Next},
};
use serde_json::json;
use tokio::time::sleep;

/// How many requests Dataverse takes within its window of five minutes.
const REAL_REQUESTS: f64 = 6000.0;

/// What an environment takes.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// So many requests ...
    pub requests: usize,
    /// ... within a window that slides,
    pub window: Duration,
    /// and so many at once.
    pub at_once: usize,
    /// How long it works on a request.
    pub work: Duration,
}

/// How an environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Well,
    /// It answers 503.
    Down,
    /// It takes requests and does not answer.
    Hanging,
}

/// What has come to an environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub answered: u64,
    /// Refused with 429.
    pub limited: u64,
    /// Came while the environment was down or hung.
    pub in_vain: u64,
    /// The first that was answered after the last outage.
    pub back: Option<Instant>,
}

/// The limits of one environment.
#[derive(Debug, Clone)]
pub struct Limits {
    allowance: Allowance,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    health: Health,
    /// When the requests of the window came.
    taken: VecDeque<Instant>,
    at_once: usize,
    traffic: Traffic,
}

impl Limits {
    pub fn new(allowance: Allowance) -> Limits {
        Limits {
            allowance,
            inner: Arc::new(Mutex::new(Inner {
                health: Health::Well,
                taken: VecDeque::new(),
                at_once: 0,
                traffic: Traffic::default(),
            })),
        }
    }

    /// Puts the limits in front of a stand-in.
    pub fn before(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), answer))
    }

    pub fn set_health(&self, health: Health) {
        let mut inner = self.lock();
        inner.health = health;
        inner.traffic.back = None;
    }

    pub fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics holding it")
    }

    /// Takes a request, or says why not: a code, a text, and when to come again.
    fn take(&self) -> Result<usize, (&'static str, String, Duration)> {
        let Allowance {
            requests,
            window,
            at_once,
            ..
        } = self.allowance;
        let now = Instant::now();
        let mut inner = self.lock();
        while inner
            .taken
            .front()
            .is_some_and(|came| now - *came >= window)
        {
            inner.taken.pop_front();
        }
        if inner.at_once >= at_once {
            inner.traffic.limited += 1;
            let text = format!("Number of concurrent requests exceeded the limit of {at_once}.");
            return Err(("0x80072326", text, Duration::from_secs(1)));
        }
        if inner.taken.len() >= requests {
            inner.traffic.limited += 1;
            let oldest = inner.taken.front().map_or(now, |came| *came + window);
            let text = format!(
                "Number of requests exceeded the limit of {requests} over time window of {} seconds.",
                window.as_secs()
            );
            return Err(("0x80072322", text, oldest - now));
        }
        inner.taken.push_back(now);
        inner.at_once += 1;
        Ok(requests - inner.taken.len())
    }
}

/// Gives the place among the requests at once back, also when whoever sent one has left.
struct Place(Limits);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().at_once -= 1;
    }
}

async fn answer(State(limits): State<Limits>, request: Request, next: Next) -> Response<Body> {
    let health = limits.lock().health;
    if health != Health::Well {
        limits.lock().traffic.in_vain += 1;
    }
    match health {
        Health::Well => {}
        Health::Down => return refusal(503, "", "The service is unavailable.", None),
        Health::Hanging => {
            sleep(Duration::from_secs(120)).await;
            return refusal(504, "", "The gateway has waited in vain.", None);
        }
    }
    let left = match limits.take() {
        Ok(left) => left,
        Err((code, text, delay)) => return refusal(429, code, &text, Some(delay)),
    };
    let place = Place(limits.clone());
    sleep(limits.allowance.work).await;
    let mut response = next.run(request).await;
    drop(place);
    let mut inner = limits.lock();
    inner.traffic.answered += 1;
    inner.traffic.back.get_or_insert_with(Instant::now);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let left = left as f64 / limits.allowance.requests as f64 * REAL_REQUESTS;
    let left = HeaderValue::from_str(&format!("{left:.0}")).expect("digits");
    let headers = response.headers_mut();
    headers.insert("x-ms-ratelimit-burst-remaining-xrm-requests", left);
    headers.insert(
        "x-ms-ratelimit-time-remaining-xrm-requests",
        HeaderValue::from_static("1,200.00"),
    );
    response
}

fn refusal(status: u16, code: &str, text: &str, retry_after: Option<Duration>) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status of ours");
    let mut response = super::json(status, &json!({"error": {"code": code, "message": text}}));
    if let Some(delay) = retry_after {
        // Whole seconds, and never too early.
        let seconds = HeaderValue::from(delay.as_secs() + 1);
        response.headers_mut().insert("Retry-After", seconds);
    }
    response
}
