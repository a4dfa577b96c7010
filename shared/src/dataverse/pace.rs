//! The pace: how many requests an environment is sent at once, and when it is sent none.
//!
//! Owns what is known of how an environment is at the moment, and what follows from it:
//!
//! - **The limit.** Dataverse takes 6,000 requests within five minutes, 20 minutes of work in them, and 52
//!   requests at once, of one user and for each of the environment's web servers
//!   (<https://learn.microsoft.com/power-apps/developer/data-platform/api-limits>). It refuses more with
//!   429 and says when it takes the next; nothing is sent before that.
//! - **The window.** How many contacts redelivery delivers at once. It doubles while answers are good, is
//!   halved by a 429, and grows by one a round from then on: additive increase, multiplicative decrease,
//!   as TCP does it.
//! - **The reserve.** Dataverse's answers tell how many requests are left. When few are, redelivery waits,
//!   so that live calls find some. Microsoft says not to rely on these headers, so nothing depends on
//!   them: without them the window alone keeps the pace.
//! - **The breaker.** After three requests in a row that no answer came to, nothing is sent for a while,
//!   then one request, the probe. While that fails the wait doubles, up to a quarter of a minute.
//!
//! It is one process's knowledge. Redelivery is one process; each process of the other functions sees for
//! itself, and loses at most the budgets of three contacts to an environment that hangs.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::{DynamicsError, http::HttpError, token::TokenError};
use crate::clock::Clock;

/// How many contacts are delivered at once at first, and again after an outage.
const FIRST_WINDOW: f64 = 4.0;
/// And at the most. Of the 52 requests that a web server takes at once the others are for live calls.
const LARGEST_WINDOW: f64 = 40.0;
/// Refusals for the limits that come within this time are one.
const ONE_REFUSAL: Duration = Duration::from_secs(1);
/// So many requests in a row that got no answer open the breaker.
const FAILURES: u32 = 3;
/// How long nothing is sent then, at first and at the most.
const SHORTEST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(15);
/// Redelivery leaves so many of the 6,000 requests, and so much of the 20 minutes, to live calls.
const RESERVED_REQUESTS: f64 = 600.0;
const RESERVED_SECONDS: f64 = 120.0;
/// How long redelivery waits before it looks again whether more is left than the reserve.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A request that had less time than this to be answered tells nothing of the environment.
const TELLING: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pace {
    // Held for the few lines that read or change it, never across an await.
    state: Mutex<State>,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    window: f64,
    /// Up to here the window doubles; then it grows by one a round.
    threshold: f64,
    /// Until when Dynamics has asked us to send nothing.
    paused_until: Option<Timestamp>,
    /// Until when another refusal for the limits does not make the window smaller again.
    narrowed_until: Option<Timestamp>,
    /// Requests in a row that got no answer.
    failures: u32,
    /// While the breaker is open.
    rest: Option<Rest>,
    /// When an answer told that no more than the reserve is left.
    scarce_since: Option<Timestamp>,
}

/// The breaker is open.
#[derive(Debug)]
struct Rest {
    /// Nothing is sent before then.
    until: Timestamp,
    length: Duration,
    /// Whether the probe has been sent. Another failure is of a request that was under way before.
    is_probed: bool,
    /// What became of the last request.
    reason: String,
}

/// What a request is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Free,
    /// The one that finds out whether the environment is back.
    Probe,
}

/// Why a request is not sent now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Closed {
    /// Dynamics limits our requests for so long.
    Paused(Duration),
    /// The breaker is open for so long, for this reason.
    Resting(Duration, String),
}

/// How many contacts redelivery may deliver at once now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many, at least one.
    For(usize),
    /// None, for so long.
    None(Duration),
}

impl Pace {
    pub(super) fn new(clock: Clock) -> Pace {
        Pace {
            state: Mutex::new(State {
                window: FIRST_WINDOW,
                threshold: LARGEST_WINDOW,
                paused_until: None,
                narrowed_until: None,
                failures: 0,
                rest: None,
                scarce_since: None,
            }),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many contacts redelivery may deliver at once now.
    pub(super) fn room(&self) -> Room {
        let state = self.state();
        let left = |until: Timestamp| Some(self.clock.until(until)).filter(|left| !left.is_zero());
        if let Some(left) = state.paused_until.and_then(left) {
            return Room::None(left);
        }
        if let Some(rest) = &state.rest {
            return left(rest.until).map_or(Room::For(1), Room::None);
        }
        if let Some(since) = state.scarce_since {
            let waited = self.clock.since(since);
            return match LOOK_AGAIN.checked_sub(waited) {
                Some(left) if !left.is_zero() => Room::None(left),
                _ => Room::For(1),
            };
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the window lies between 1 and 40"
        )]
        let window = state.window as usize;
        Room::For(window.max(1))
    }

    /// Whether a request may be sent now, and whether it is the probe. Whoever asks next is refused until
    /// the probe is answered or its time is over.
    pub(super) fn enter(&self) -> Result<Entry, Closed> {
        let mut state = self.state();
        if let Some(until) = state.paused_until {
            let left = self.clock.until(until);
            if !left.is_zero() {
                return Err(Closed::Paused(left));
            }
            state.paused_until = None;
        }
        if let Some(rest) = &mut state.rest {
            let left = self.clock.until(rest.until);
            if !left.is_zero() {
                return Err(Closed::Resting(left, rest.reason.clone()));
            }
            rest.until = self.clock.now() + rest.length;
            rest.is_probed = true;
            return Ok(Entry::Probe);
        }
        Ok(Entry::Free)
    }

    /// Dynamics has refused a request for its limits, and asked to be left alone for so long, if it said so.
    pub(super) fn limit(&self, delay: Option<Duration>) {
        let now = self.clock.now();
        let mut state = self.state();
        // Those that were under way together are refused together: that is one refusal.
        // And the environment is there.
        state.failures = 0;
        state.rest = None;
        let is_another = state.narrowed_until.is_none_or(|until| until <= now);
        if is_another {
            state.threshold = (state.window / 2.0).max(1.0);
            state.window = state.threshold;
        }
        let pause = delay.unwrap_or_default();
        let narrowed_until = now + pause.max(ONE_REFUSAL);
        state.narrowed_until = state.narrowed_until.max(Some(narrowed_until));
        if !pause.is_zero() {
            state.paused_until = state.paused_until.max(Some(now + pause));
        }
    }

    /// Notes what became of a request that had so long to be answered.
    pub(super) fn note(&self, failure: Option<&DynamicsError>, time: Duration) {
        match failure {
            None => self.answered(true),
            Some(error) => match telling(error) {
                Telling::Nothing => self.answered(false),
                Telling::IfItHadTime if time < TELLING => {}
                Telling::Gone | Telling::IfItHadTime => self.failed(error),
            },
        }
    }

    fn failed(&self, error: &DynamicsError) {
        let now = self.clock.now();
        let mut state = self.state();
        state.failures += 1;
        let length = match &state.rest {
            None if state.failures < FAILURES => return,
            None => SHORTEST_REST,
            Some(rest) if rest.is_probed => (rest.length * 2).min(LONGEST_REST),
            Some(_) => return,
        };
        if state.rest.is_none() {
            tracing::warn!(reason = %error, "the environment does not answer; nothing is sent to it for a while");
        }
        state.window = FIRST_WINDOW;
        state.threshold = LARGEST_WINDOW;
        state.rest = Some(Rest {
            until: now + length,
            length,
            is_probed: false,
            reason: error.to_string(),
        });
    }

    fn answered(&self, is_good: bool) {
        let mut state = self.state();
        state.failures = 0;
        if state.rest.take().is_some() {
            tracing::info!("the environment answers again");
        }
        if is_good {
            let growth = if state.window < state.threshold {
                1.0
            } else {
                1.0 / state.window
            };
            state.window = (state.window + growth).min(LARGEST_WINDOW);
        }
    }

    /// Notes what an answer tells of what is left.
    pub(super) fn note_what_is_left(&self, headers: &HeaderMap) {
        let number = |name: &str| {
            let text = headers.get(name)?.to_str().ok()?;
            text.replace(',', "").parse::<f64>().ok()
        };
        let is_below = |name: &str, reserve: f64| number(name).is_some_and(|left| left < reserve);
        let is_scarce = is_below(
            "x-ms-ratelimit-burst-remaining-xrm-requests",
            RESERVED_REQUESTS,
        ) || is_below(
            "x-ms-ratelimit-time-remaining-xrm-requests",
            RESERVED_SECONDS,
        );
        self.state().scarce_since = is_scarce.then(|| self.clock.now());
    }
}

/// What a failure tells of the environment.
enum Telling {
    /// The environment is there; the failure is the request's own.
    Nothing,
    /// The environment is not there, or none of our requests can get at it.
    Gone,
    /// The same, if there was time enough to answer.
    IfItHadTime,
}

fn telling(error: &DynamicsError) -> Telling {
    match error {
        DynamicsError::Http(HttpError::Timeout)
        | DynamicsError::NoToken(TokenError::Http(HttpError::Timeout)) => Telling::IfItHadTime,
        DynamicsError::Http(_) | DynamicsError::NoToken(_) => Telling::Gone,
        // 500 may be a plug-in's fault, and that record's own.
        DynamicsError::Unavailable { status, .. } if *status != 500 => Telling::Gone,
        _ => Telling::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use super::*;

    /// A pace, and a clock that stands still until it is moved.
    fn pace() -> (Pace, impl Fn(i64)) {
        let second = Arc::new(AtomicI64::new(1_770_000_000));
        let clock = second.clone();
        let clock = Clock::new(move || {
            Timestamp::from_second(clock.load(Ordering::Relaxed)).expect("a time of our days")
        });
        let pass = move |seconds| {
            second.fetch_add(seconds, Ordering::Relaxed);
        };
        (Pace::new(clock), pass)
    }

    fn window(pace: &Pace) -> usize {
        match pace.room() {
            Room::For(contacts) => contacts,
            Room::None(left) => panic!("closed for {left:?}"),
        }
    }

    fn answers(pace: &Pace, number: usize) {
        (0..number).for_each(|_| pace.note(None, Duration::ZERO));
    }

    fn gone() -> DynamicsError {
        DynamicsError::Unavailable {
            status: 503,
            retry_after: None,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_window_doubles_a_round_is_halved_by_a_limit_and_then_grows_by_one_a_round() {
        let (pace, pass) = pace();
        assert_eq!(window(&pace), 4);
        answers(&pace, 4);
        assert_eq!(window(&pace), 8);
        answers(&pace, 1000);
        assert_eq!(window(&pace), 40, "and no more");
        // Those that are under way together are refused together.
        (0..40).for_each(|_| pace.limit(Some(seconds(5))));
        assert_eq!(pace.room(), Room::None(seconds(5)));
        assert_eq!(pace.enter(), Err(Closed::Paused(seconds(5))));
        pass(5);
        assert_eq!(window(&pace), 20);
        answers(&pace, 21);
        assert_eq!(window(&pace), 21);
        for limit in 0..10 {
            pace.limit(Some(seconds(1)));
            pass(1);
            assert!(window(&pace) >= 1, "after {limit}");
        }
    }

    #[test]
    fn a_pause_is_never_made_shorter() {
        let (pace, _) = pace();
        pace.limit(Some(seconds(60)));
        pace.limit(Some(seconds(5)));
        pace.limit(None);
        assert_eq!(pace.room(), Room::None(seconds(60)));
    }

    #[test]
    fn a_limit_without_a_pause_narrows_the_window_once_a_second() {
        let (pace, pass) = pace();
        answers(&pace, 100);
        (0..40).for_each(|_| pace.limit(None));
        assert_eq!((window(&pace), pace.enter()), (20, Ok(Entry::Free)));
        pass(1);
        pace.limit(Some(Duration::ZERO));
        assert_eq!(window(&pace), 10);
    }

    #[test]
    fn a_rest_doubles_with_each_probe_that_fails_and_not_with_those_that_were_under_way() {
        let (pace, pass) = pace();
        answers(&pace, 100);
        (0..2).for_each(|_| pace.note(Some(&gone()), Duration::ZERO));
        assert_eq!(window(&pace), 40);
        (0..40).for_each(|_| pace.note(Some(&gone()), Duration::ZERO));
        for rest in [2, 4, 8, 15, 15] {
            assert_eq!(pace.room(), Room::None(seconds(rest)));
            pass(i64::try_from(rest).unwrap());
            assert_eq!(window(&pace), 1);
            assert_eq!(pace.enter(), Ok(Entry::Probe));
            assert!(matches!(pace.enter(), Err(Closed::Resting(..))));
            pace.note(Some(&gone()), Duration::ZERO);
        }
        pass(15);
        assert_eq!(pace.enter(), Ok(Entry::Probe));
        // A probe that nobody hears of again is sent again.
        pass(15);
        assert_eq!(pace.enter(), Ok(Entry::Probe));
        answers(&pace, 1);
        assert_eq!((pace.enter(), window(&pace)), (Ok(Entry::Free), 5));
    }

    #[test]
    fn one_answer_of_any_kind_says_that_the_environment_is_there() {
        let (pace, _) = pace();
        let of_a_record = DynamicsError::NotJson { status: 200 };
        for failure in [gone(), gone(), of_a_record, gone(), gone()] {
            pace.note(Some(&failure), Duration::ZERO);
        }
        assert_eq!(pace.enter(), Ok(Entry::Free));
    }

    #[test]
    fn a_request_that_had_no_time_tells_nothing() {
        let (pace, _) = pace();
        let timeout = DynamicsError::Http(HttpError::Timeout);
        (0..9).for_each(|_| pace.note(Some(&timeout), Duration::from_millis(900)));
        assert_eq!(pace.enter(), Ok(Entry::Free));
        (0..3).for_each(|_| pace.note(Some(&timeout), seconds(1)));
        assert!(matches!(pace.enter(), Err(Closed::Resting(..))));
    }

    #[test]
    fn the_reserve_is_left_to_live_calls() {
        let (pace, pass) = pace();
        let left = |requests: &str, time: &str| {
            let mut headers = HeaderMap::new();
            let name = "x-ms-ratelimit-burst-remaining-xrm-requests";
            headers.insert(name, requests.parse().unwrap());
            let name = "x-ms-ratelimit-time-remaining-xrm-requests";
            headers.insert(name, time.parse().unwrap());
            pace.note_what_is_left(&headers);
        };
        left("5999", "1,200.00");
        assert_eq!(window(&pace), 4);
        for (requests, time) in [("599", "1,200.00"), ("5999", "119.00")] {
            left(requests, time);
            assert_eq!(pace.room(), Room::None(seconds(1)));
            assert_eq!(pace.enter(), Ok(Entry::Free), "a live call is sent");
            pass(1);
            assert_eq!(window(&pace), 1);
        }
        for (requests, time) in [("600", "120"), ("many", "")] {
            left(requests, time);
            assert_eq!(window(&pace), 4);
        }
        pace.note_what_is_left(&HeaderMap::new());
        assert_eq!(window(&pace), 4);
    }
}
