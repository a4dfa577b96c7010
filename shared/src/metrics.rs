//! Metrics, in CloudWatch's embedded metric format: lines of the log that CloudWatch reads as metrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! Owns the metrics' names. The namespace is `ConnectDynamics`, the dimension `FunctionName`.
//!
//! | metric | dimension besides | what |
//! |---|---|---|
//! | `Delivered`, `Pending`, `Failed`, `Skipped` | `Step` | steps, as they came to be so |
//! | `Failed` | | the same, of all steps |
//! | `DynamicsLatency` | | milliseconds of one request |
//! | `Throttled` | | requests that Dynamics refused with 429 |
//! | `OldestPendingAge` | | seconds since the oldest pending step was intended, as redelivery finds it |
//! | `SecretDaysLeft` | | days until the client secret ends, when Secrets Manager says when |
//! | `EventNotStored` | | events of flows that could not be stored: the log holds them |

use std::{io::Write, time::Duration};

use jiff::{Timestamp, civil::Date, tz::Offset};
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::{history::State, step::Step};

/// Starts collecting; [`flush`] writes what was collected.
pub(crate) fn set_up() -> Option<&'static Collector> {
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|_| "local".into());
    Builder::new()
        .cloudwatch_namespace("ConnectDynamics")
        .with_dimension("FunctionName", function)
        .init()
        .inspect_err(|error| tracing::error!(%error, "there are no metrics"))
        .ok()
}

/// Writes the metrics of an invocation to the log.
pub(crate) fn flush(collector: Option<&'static Collector>) {
    if let Some(collector) = collector {
        let mut line = Vec::new();
        // A whole line at once: the log's own lines come from elsewhere.
        if collector.flush(&mut line).is_ok() && !line.is_empty() {
            let _ = std::io::stdout().lock().write_all(&line);
        }
    }
}

/// A step has come into a state.
pub(crate) fn step(step: Step, state: State) {
    let name = match state {
        State::Delivered => "Delivered",
        State::Pending => "Pending",
        State::Failed => "Failed",
        State::Skipped => "Skipped",
    };
    metrics::counter!(name, "Step" => step.as_str()).increment(1);
    // An alarm can add up ten metrics at the most: one a function, then.
    if state == State::Failed {
        metrics::counter!(name).increment(1);
    }
}

/// A request to Dynamics was answered, or given up.
pub(crate) fn dynamics_latency(duration: Duration) {
    metrics::histogram!("DynamicsLatency").record(duration.as_secs_f64() * 1000.0);
}

/// Dynamics refused a request with 429.
pub(crate) fn throttled() {
    metrics::counter!("Throttled").increment(1);
}

/// Redelivery has looked at the pending steps.
pub(crate) fn oldest_pending(seconds: i64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "an age in seconds is far below 2^53"
    )]
    metrics::gauge!("OldestPendingAge").set(seconds as f64);
}

/// The client secret ends on that day.
pub(crate) fn secret_ends(day: Date) {
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let days = today
        .until(day)
        .map(|span| span.get_days())
        .unwrap_or_default();
    metrics::gauge!("SecretDaysLeft").set(f64::from(days));
}

/// A flow's event could not be stored.
pub(crate) fn not_stored() {
    metrics::counter!("EventNotStored").increment(1);
}
