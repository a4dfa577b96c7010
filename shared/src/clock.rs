//! The wall clock.
//!
//! Whatever must hold from one invocation to the next - a token's life, a pause that Dynamics asked
//! for, a configuration's age - counts by it. The monotonic clock may stand still while Lambda has
//! frozen the process between two invocations.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

/// What time it is. A test can give another than the system's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Default for Clock {
    fn default() -> Clock {
        Clock::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// How long ago that was; no time when it is still to come, as after the clock was set back.
    pub fn since(&self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(earlier)).unwrap_or_default()
    }

    /// How long it is until then; no time when that is over.
    pub fn until(&self, later: Timestamp) -> Duration {
        Duration::try_from(later.duration_since(self.now())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_over_and_time_to_come_are_never_negative() {
        let now = Timestamp::from_second(1_770_000_000).unwrap();
        let clock = Clock::new(move || now);
        let minute = Duration::from_secs(60);
        assert_eq!(clock.since(now - minute), minute);
        assert_eq!(clock.since(now + minute), Duration::ZERO);
        assert_eq!(clock.until(now + minute), minute);
        assert_eq!(clock.until(now - minute), Duration::ZERO);
    }
}
