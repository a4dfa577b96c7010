//! Delivery: the way of one event through the product.
//!
//! Owns the order of things: an event's intent is stored before Dynamics is called (a transactional
//! outbox), whoever holds the contact's lease delivers what is pending in the contact's order, and a flow
//! is answered within its budget whatever hangs. What moves a step from state to state is
//! [`crate::history`]'s.
//!
//! | file | what it does |
//! |---|---|
//! | `task` | reads an event into a task |
//! | `worker` | takes an event, finds its integration, replies |
//! | `progress` | what is left of the work when its time is up |
//! | `visit` | one contact: stores the intent, takes the lease, delivers step after step |
//! | `attempt` | one step: decides what to send, sends it, judges the answer |
//! | `redelivery` | the contacts that the table lists as due, or as failed |

mod attempt;
mod progress;
mod redelivery;
mod task;
mod visit;
mod worker;

use serde_json::Value as Json;
use tokio::time::Instant;

pub use self::{
    redelivery::{Order, Report},
    task::{Refusal, Task},
    worker::Worker,
};
use crate::{integrations::IntegrationsError, step::Step, store::StoreError};

/// One invocation of a step's function.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub step: Step,
    pub payload: Json,
    /// Whether it comes from a queue, which sends it again when it fails, and not from a flow that waits.
    pub is_queued: bool,
    /// Lambda's id of the request. It is the same when Lambda tries an event again.
    pub request_id: String,
    /// When Amazon Connect began to wait: with the invocation or, for the first one of a function that was
    /// started for it, with the function's start.
    pub started: Instant,
    /// When the work is to be over, as the function is stopped soon after.
    pub deadline: Instant,
}

/// Why an event could not even be stored. Whoever sent it must send it again.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DeliveryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Integrations(#[from] IntegrationsError),
    #[error("the time was up before the event was stored")]
    Timeout,
}

impl From<tokio::time::error::Elapsed> for DeliveryError {
    fn from(_: tokio::time::error::Elapsed) -> DeliveryError {
        DeliveryError::Timeout
    }
}
