//! Faults: how a stand-in is told to fail.
//!
//! Owns the list of faults and which request meets which. A fault is met a number of times and then
//! gone.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, StatusCode, header},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

use crate::http::close_connection;

/// What a stand-in is told to do to requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Only requests with this method; any when empty.
    #[serde(default)]
    pub method: String,
    /// Only requests whose path contains this.
    #[serde(default)]
    pub path: String,
    /// How many requests it meets.
    #[serde(default = "once")]
    pub times: u32,
    pub effect: Effect,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Whether it can be met.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.times == 0 {
            return Err("times: no request would meet it; write 1 or more".into());
        }
        match &self.effect {
            Effect::Status { status, .. } if !(200..600).contains(status) => Err(format!(
                "effect.status.status: {status} is no status of an answer; write one from 200 to 599"
            )),
            Effect::Redirect(to) if HeaderValue::from_str(to).is_err() => {
                Err("effect.redirect: an address has no control characters".into())
            }
            _ => Ok(()),
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// It is refused with this status and, for Dataverse, this error code.
    #[serde(rename_all = "camelCase")]
    Status {
        status: u16,
        #[serde(default)]
        code: String,
        /// Seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// It is answered only after so many milliseconds.
    Delay(u64),
    /// It is done when the last request has come that the fault meets: all of them at once.
    Together,
    /// The connection closes before anything is done.
    CloseBefore,
    /// It is done, and the connection closes before the answer.
    CloseAfter,
    /// A gateway's HTML page with status 502.
    HtmlPage,
    /// A success whose body is an HTML page: a sign-in page.
    SignInPage,
    /// A redirect to this address.
    Redirect(String),
    /// It is done, and the answer is this many bytes.
    LargeAnswer(usize),
    /// It is done, and the answer ends in the middle.
    TruncatedAnswer,
    /// It is done, and the answer comes a byte a second.
    SlowAnswer,
}

impl Effect {
    /// A refusal with a status and no code.
    pub fn status(status: u16) -> Effect {
        Effect::refused(status, "")
    }

    /// A refusal with a status and a code.
    pub fn refused(status: u16, code: &str) -> Effect {
        Effect::Status {
            status,
            code: code.to_owned(),
            retry_after: None,
        }
    }

    /// Dataverse's limit of requests, with the seconds until it takes the next.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/api-limits>
    pub fn throttled(retry_after: u64) -> Effect {
        Effect::Status {
            status: 429,
            code: "0x80072322".to_owned(),
            retry_after: Some(retry_after),
        }
    }
}

/// A stand-in's faults.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    told: Arc<Mutex<Vec<Fault>>>,
    chaos: Arc<Mutex<Option<Chaos>>>,
    /// Tells those who wait for the others of their fault that one is gone.
    gone: Arc<Notify>,
}

/// Faults by chance, the same for the same seed: what a request meets depends on what it is and how
/// often it has come, not on what else happens at the moment.
#[derive(Debug, Clone)]
pub struct Chaos {
    pub seed: u64,
    /// The part of requests that meet a fault, from 0 to 1.
    pub rate: f64,
    pub effects: Vec<Effect>,
    seen: HashMap<u64, u64>,
}

impl Chaos {
    pub fn new(seed: u64, rate: f64, effects: Vec<Effect>) -> Chaos {
        Chaos {
            seed,
            rate,
            effects,
            seen: HashMap::new(),
        }
    }

    fn pick(&mut self, what: &str) -> Option<Effect> {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        let identity = hasher.finish();
        let times = self.seen.entry(identity).or_default();
        *times += 1;
        let mut chance =
            fastrand::Rng::with_seed(identity ^ times.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if chance.f64() < self.rate {
            chance.choice(&self.effects).cloned()
        } else {
            None
        }
    }
}

/// What a request is, for chance: its method and path and the contact that it is about.
fn identity(method: &str, path: &str, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let contact = text.match_indices('-').find_map(|(at, _)| {
        let id = text.get(at.checked_sub(8)?..at + 28)?;
        uuid::Uuid::try_parse(id).ok()
    });
    format!("{method} {path} {contact:?}")
}

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.told
            .lock()
            .expect("no one panics holding it")
            .push(fault);
    }

    /// A fault that the next request, whatever it is, meets.
    pub fn once(&self, effect: Effect) {
        self.times(1, effect);
    }

    /// A fault that so many requests meet.
    pub fn times(&self, times: u32, effect: Effect) {
        self.add(Fault {
            method: String::new(),
            path: String::new(),
            times,
            effect,
        });
    }

    /// A fault that the next request with this method meets.
    pub fn once_at(&self, method: &str, effect: Effect) {
        self.add(Fault {
            method: method.to_owned(),
            path: String::new(),
            times: 1,
            effect,
        });
    }

    /// Lets faults come by chance, or no more.
    pub fn set_chaos(&self, chaos: Option<Chaos>) {
        *self.chaos.lock().expect("no one panics holding it") = chaos;
    }

    pub fn clear(&self) {
        self.told.lock().expect("no one panics holding it").clear();
        self.gone.notify_waiters();
    }

    /// The effect that a request meets.
    pub(crate) fn take(&self, method: &str, path: &str, body: &[u8]) -> Option<Effect> {
        if let Some(chaos) = self
            .chaos
            .lock()
            .expect("no one panics holding it")
            .as_mut()
        {
            return chaos.pick(&identity(method, path, body));
        }
        let mut faults = self.told.lock().expect("no one panics holding it");
        let index = faults.iter().position(|fault| {
            (fault.method.is_empty() || fault.method == method) && path.contains(&fault.path)
        })?;
        let fault = &mut faults[index];
        fault.times = fault.times.saturating_sub(1);
        let effect = fault.effect.clone();
        if fault.times == 0 {
            faults.remove(index);
            self.gone.notify_waiters();
        }
        Some(effect)
    }

    /// Waits until no fault is told whose requests are to be done together.
    async fn all_have_come(&self) {
        loop {
            let gone = self.gone.notified();
            let is_awaited = {
                let told = self.told.lock().expect("no one panics holding it");
                told.iter()
                    .any(|fault| matches!(fault.effect, Effect::Together))
            };
            if !is_awaited {
                return;
            }
            gone.await;
        }
    }

    /// Answers a request by `answer`, with the fault it meets.
    pub(crate) async fn answer(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        answer: impl FnOnce() -> Response<Body>,
    ) -> Response<Body> {
        let Some(effect) = self.take(method, path, body) else {
            return answer();
        };
        match effect {
            Effect::Status {
                status,
                code,
                retry_after,
            } => {
                let body = json!({"error": {"code": code, "message": "told to fail"}});
                let status =
                    StatusCode::from_u16(status).expect("a fault's status is one of HTTP's");
                let mut response = super::json(status, &body);
                if let Some(seconds) = retry_after {
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
            Effect::Delay(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                answer()
            }
            Effect::Together => {
                self.all_have_come().await;
                answer()
            }
            Effect::CloseBefore => close_connection(),
            Effect::CloseAfter => {
                answer();
                close_connection()
            }
            Effect::HtmlPage => page(StatusCode::BAD_GATEWAY),
            Effect::SignInPage => page(StatusCode::OK),
            Effect::Redirect(to) => {
                let mut response = page(StatusCode::FOUND);
                let to = HeaderValue::from_str(&to).expect("a fault's address is one");
                response.headers_mut().insert(header::LOCATION, to);
                response
            }
            Effect::LargeAnswer(bytes) => {
                answer();
                let filler = "x".repeat(bytes);
                super::json(StatusCode::OK, &json!({"filler": filler}))
            }
            Effect::TruncatedAnswer => {
                let mut response = answer();
                response.headers_mut().remove(header::CONTENT_LENGTH);
                let (parts, _) = response.into_parts();
                Response::from_parts(parts, Body::from("{\"activityid\": \"5d3f"))
            }
            Effect::SlowAnswer => {
                let (parts, _) = answer().into_parts();
                let bytes = stream::iter(0..600).then(|_| async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok::<_, std::convert::Infallible>(Bytes::from_static(b" "))
                });
                Response::from_parts(parts, Body::from_stream(bytes))
            }
        }
    }
}

fn page(status: StatusCode) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/html")
        .body(Body::from(
            "<!DOCTYPE html><title>A page</title><p>Not what you came for.",
        ))
        .expect("status and header are valid")
}
