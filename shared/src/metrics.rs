//! Metrics, in CloudWatch's embedded metric format: lines of the log that CloudWatch reads as metrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! Owns the metrics' names, and when they are written: at the end of an invocation, and before more
//! values have come together than the format holds. The namespace is `ConnectDynamics`; every metric
//! has the dimension `Stack`, from the environment variable `STACK_NAME` (`local` without it).
//!
//! | metric | dimension besides | what |
//! |---|---|---|
//! | `Delivered`, `Pending`, `Failed`, `Skipped` | `Step` | steps, as they came to be so |
//! | `Failed` | | the same, of all steps |
//! | `DynamicsLatency` | | milliseconds of one request |
//! | `Throttled` | | requests that Dynamics refused with 429 |
//! | `WaitingContacts` | | contacts in the table that wait for Dynamics, at the beginning of each run of redelivery |
//! | `OldestPendingAge` | | seconds since the oldest of their steps was intended; 0 when none waits |
//! | `FailedContacts` | | contacts in the table with a failed step and none pending |
//! | `FailedDaysLeft` | | days until the first of them is deleted; 365 when there is none |
//! | `SecretDaysLeft` | | days until a client secret or a certificate ends, when Secrets Manager says when; written whenever one is used. The least is of the one that ends first |
//! | `EventNotStored` | | events of flows that could not be stored: the log holds them |

use std::{
    io::Write,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, civil::Date, tz::Offset};
use metrics_cloudwatch_embedded::{Builder, Collector};
use serde_json::{Value as Json, json};

use crate::{history::State, step::Step};

/// The format takes so many values of one metric in one line.
const MAX_VALUES: usize = 100;

const NAMESPACE: &str = "ConnectDynamics";

static COLLECTED: OnceLock<Collected> = OnceLock::new();

/// What has come together since it was last written.
struct Collected {
    stack: String,
    collector: &'static Collector,
    /// How many latencies there are. The lock is held while they are written or one is added, so that
    /// no request that ends at the same moment adds one too many.
    latencies: Mutex<usize>,
}

/// Starts collecting; [`flush`] writes what was collected.
pub(crate) fn set_up() {
    let stack = std::env::var("STACK_NAME").unwrap_or_default();
    match Collected::new(&stack) {
        Ok(collected) => {
            let _ = COLLECTED.set(collected);
        }
        Err(error) => tracing::error!(%error, "there are no metrics"),
    }
}

/// Writes the metrics of an invocation to the log.
pub(crate) fn flush() {
    if let Some(collected) = COLLECTED.get() {
        collected.flush(&mut std::io::stdout());
    }
}

impl Collected {
    fn new(stack: &str) -> Result<Collected, metrics_cloudwatch_embedded::Error> {
        let stack = if stack.is_empty() { "local" } else { stack };
        let collector = Builder::new()
            .cloudwatch_namespace(NAMESPACE)
            .with_dimension("Stack", stack.to_owned())
            .init()?;
        Ok(Collected {
            stack: stack.to_owned(),
            collector,
            latencies: Mutex::new(0),
        })
    }

    fn flush(&self, log: &mut impl Write) {
        let mut latencies = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.write(&mut latencies, log);
    }

    fn add_latency(&self, milliseconds: f64, log: &mut impl Write) {
        let mut latencies = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *latencies == MAX_VALUES {
            self.write(&mut latencies, log);
        }
        metrics::histogram!("DynamicsLatency").record(milliseconds);
        *latencies += 1;
    }

    /// Writes what was measured now. The collector would write a gauge again with everything that follows,
    /// also when nobody has measured it since.
    fn gauges(&self, values: &[(&str, f64)], log: &mut impl Write) {
        let names: Vec<Json> = values
            .iter()
            .map(|(name, _)| json!({"Name": name}))
            .collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": Timestamp::now().as_millisecond(),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": names}]
            },
            "Stack": self.stack,
        });
        for (name, value) in values {
            line[*name] = json!(value);
        }
        let _ = log.write_all(format!("{line}\n").as_bytes());
    }

    fn write(&self, latencies: &mut usize, log: &mut impl Write) {
        *latencies = 0;
        let mut lines = Vec::new();
        // Whole lines at once: the log's own lines come from elsewhere.
        if self.collector.flush(&mut lines).is_ok() && !lines.is_empty() {
            let _ = log.write_all(&lines);
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
    // An alarm looks at one metric: one for all steps, then.
    if state == State::Failed {
        metrics::counter!(name).increment(1);
    }
}

/// A request to Dynamics was answered, or given up.
pub(crate) fn dynamics_latency(duration: Duration) {
    if let Some(collected) = COLLECTED.get() {
        collected.add_latency(duration.as_secs_f64() * 1000.0, &mut std::io::stdout());
    }
}

/// Dynamics refused a request with 429.
pub(crate) fn throttled() {
    metrics::counter!("Throttled").increment(1);
}

fn gauges(values: &[(&str, f64)]) {
    if let Some(collected) = COLLECTED.get() {
        collected.gauges(values, &mut std::io::stdout());
    }
}

/// So many contacts wait in the table, the longest for so many seconds.
pub(crate) fn waiting(contacts: u32, oldest_seconds: i64) {
    gauges(&[
        ("WaitingContacts", f64::from(contacts)),
        ("OldestPendingAge", whole(oldest_seconds)),
    ]);
}

/// So many contacts in the table have failed, and the first is deleted in so many days.
pub(crate) fn failed(contacts: usize, days_left: Option<i64>) {
    gauges(&[
        (
            "FailedContacts",
            whole(i64::try_from(contacts).unwrap_or(i64::MAX)),
        ),
        ("FailedDaysLeft", whole(days_left.unwrap_or(365))),
    ]);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ages and numbers of contacts are far below 2^53"
)]
fn whole(number: i64) -> f64 {
    number as f64
}

/// A client secret or a certificate that is in use ends on that day.
pub(crate) fn secret_ends(day: Date) {
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let days = today
        .until(day)
        .map(|span| span.get_days())
        .unwrap_or_default();
    gauges(&[("SecretDaysLeft", f64::from(days))]);
}

/// A flow's event could not be stored.
pub(crate) fn not_stored() {
    metrics::counter!("EventNotStored").increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, as there is one collector in a process.
    #[test]
    fn every_value_is_written_and_every_metric_is_the_stacks() {
        let collected = Collected::new("").unwrap();
        let mut log = Vec::new();
        for _ in 0..250 {
            collected.add_latency(5.0, &mut log);
        }
        step(Step::ContactEnd, State::Failed);
        step(Step::ContactEnd, State::Delivered);
        collected.gauges(
            &[("WaitingContacts", 3.0), ("OldestPendingAge", 7.0)],
            &mut log,
        );
        collected.flush(&mut log);
        collected.flush(&mut log);
        let lines = String::from_utf8(log).unwrap();
        let (mut latencies, mut names) = (Vec::new(), Vec::new());
        for line in lines.lines() {
            let line: Json = serde_json::from_str(line).unwrap();
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(line["Stack"], "local");
            if let Some(days) = line["SecretDaysLeft"].as_f64() {
                assert!(
                    (59.0..=60.0).contains(&days),
                    "the first of a, b and c: {days}"
                );
            }
            let dimensions = match line["Step"].as_str() {
                Some(step) => {
                    assert_eq!(step, "contact-end");
                    json!([["Stack", "Step"]])
                }
                None => json!([["Stack"]]),
            };
            assert_eq!(directive["Dimensions"], dimensions);
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                match line[name].as_array() {
                    Some(values) => latencies.push(values.len()),
                    None => names.push((name.to_owned(), line["Step"].is_string())),
                }
            }
        }
        assert_eq!(latencies, [100, 100, 50]);
        names.sort();
        assert_eq!(
            names,
            [
                ("Delivered", true),
                ("Failed", false),
                ("Failed", true),
                ("OldestPendingAge", false),
                ("WaitingContacts", false)
            ]
            .map(|(name, by_step)| (name.to_owned(), by_step))
        );
    }
}
