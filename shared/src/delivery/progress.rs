//! How far one invocation has come.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use crate::{history::History, integrations::Loaded, store::Stored};

/// A flow's budget until its integration, which may give another, is loaded.
const DEFAULT_FLOW_BUDGET: Duration = Duration::from_secs(3);
/// A flow waits eight seconds at the most. So much of them is for the function, its cold start included;
/// the rest is for the way there and back.
const MAX_FLOW_TIME: Duration = Duration::from_millis(6500);

/// How long an event's function works on it. Nobody waits for the reply, and what takes longer is
/// redelivery's: a Dynamics that hangs must not hold the functions that flows need.
const EVENT_BUDGET: Duration = Duration::from_secs(4);

/// Who waits for an invocation to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A flow, and with it a call.
    Flow,
    /// A queue, which comes again.
    Event,
    /// Nobody.
    Redelivery,
}

/// How far one invocation has come.
///
/// A flow is answered within its budget whatever hangs: the table, Entra ID or Dynamics. So the work on an
/// event is a future that is dropped where it stands when the time is up, and the reply is made of what
/// it has left here: the integration, the history as it was stored last, and whether it was stored at
/// all. Only the one future writes here, and it is gone when the reply is made, so there is no lock.
#[derive(Debug)]
pub(super) struct Progress {
    /// From when a flow's budget counts.
    began: Instant,
    /// When the work is to be over for whoever invoked the function.
    limit: Instant,
    caller: Caller,
    loaded: Option<Arc<Loaded>>,
    history: Option<History>,
}

impl Progress {
    /// Of an invocation of a function that was started at `started`, and is stopped at `limit`.
    pub(super) fn new(started: Instant, limit: Instant, caller: Caller) -> Progress {
        let began = Instant::now();
        let limit = match caller {
            Caller::Flow => limit.min(started + MAX_FLOW_TIME),
            Caller::Event | Caller::Redelivery => limit,
        };
        Progress {
            began,
            limit,
            caller,
            loaded: None,
            history: None,
        }
    }

    /// When the work is to be over.
    pub(super) fn deadline(&self) -> Instant {
        if self.caller != Caller::Flow {
            return self.limit;
        }
        let budget = self.loaded.as_ref().map_or(DEFAULT_FLOW_BUDGET, |loaded| {
            let configuration = loaded.integration.configuration();
            Duration::from_millis(configuration.flow_budget_milliseconds.into())
        });
        self.limit.min(self.began + budget)
    }

    /// Until when Dynamics is waited for. A request that must not be repeated gets the whole time.
    pub(super) fn patience(&self) -> Instant {
        match self.caller {
            Caller::Event => self.limit.min(self.began + EVENT_BUDGET),
            Caller::Flow | Caller::Redelivery => self.deadline(),
        }
    }

    pub(super) fn load(&mut self, loaded: &Arc<Loaded>) {
        self.loaded = Some(loaded.clone());
    }

    pub(super) fn store(&mut self, stored: &Stored) {
        self.history = Some(stored.history.clone());
    }

    /// The history as it was stored last; none when nothing was stored.
    pub(super) fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// The history as it was stored last, with the integration; none when nothing was stored.
    pub(super) fn stored(&self) -> Option<(&History, &Loaded)> {
        Some((self.history.as_ref()?, self.loaded.as_ref()?))
    }
}
