//! A Lambda function: sets the clients up once, then hands each invocation to the [`Worker`].
//!
//! Owns what the functions' `main.rs` share: the environment variables, the clients and the log.
//!
//! | variable | what |
//! |---|---|
//! | `TABLE_NAME` | the DynamoDB table |
//! | `INTEGRATION` | the integration of events that name none; `default` unless given |
//! | `RECORDING_FOLDERS` | where the Amazon Connect instance stores what: JSON, as `Folders` reads it; Amazon Connect's default names unless given |
//! | `LOG_LEVEL` | `error`, `warn`, `info` (default), `debug`, or a filter of `tracing-subscriber` |

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value as Json;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::{
    certificates, crash,
    delivery::{Invocation, Order, Worker},
    integrations::Integrations,
    metrics,
    objects::{Objects, S3},
    queue::{Batch, Message},
    recording::Folders,
    reply::Reply,
    sources::Sources,
    step::Step,
    store::{Line, Store},
};

/// How long before Lambda stops the function the work is to be over.
const MARGIN: Duration = Duration::from_millis(300);
/// How long a cold start may take to fetch the configuration and a token ahead of the first event.
const WARM_UP: Duration = Duration::from_secs(1);
/// A function that was started longer ago than this when its first event comes was not started for it.
const COLD_START: Duration = Duration::from_secs(5);

/// What a step's function answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Reply(Reply),
    Batch(SqsBatchResponse),
}

/// Runs a step's function until Lambda stops it.
///
/// # Errors
/// When an environment variable is missing or wrong, or the runtime API cannot be spoken to.
pub async fn run(step: Step) -> Result<(), Error> {
    run_step(step, |_| None).await
}

/// Runs a step's function that may read the recording bucket's objects until Lambda stops it.
///
/// # Errors
/// As [`run`].
pub async fn run_with_objects(step: Step) -> Result<(), Error> {
    run_step(step, of_s3).await
}

/// How a function reads objects. Only those that name S3 carry its client.
type ReadObjects = fn(&SdkConfig) -> Option<Arc<dyn Objects>>;

fn of_s3(config: &SdkConfig) -> Option<Arc<dyn Objects>> {
    Some(Arc::new(S3::new(config)))
}

async fn run_step(step: Step, objects: ReadObjects) -> Result<(), Error> {
    let cold_start = Mutex::new(Some(Instant::now()));
    let worker = set_up(objects).await?;
    let invoke = |event: LambdaEvent<Json>| async {
        let (payload, context) = event.into_parts();
        let started = cold_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(|started| started.elapsed() < COLD_START)
            .unwrap_or_else(Instant::now);
        let deadline = deadline(&context);
        let invocation = |payload, request_id, is_queued| Invocation {
            step,
            payload,
            is_queued,
            request_id,
            started,
            deadline,
        };
        let reply = match Batch::read(payload) {
            Ok(batch) => {
                let handle = async |message: Message| {
                    let invocation = invocation(message.event, message.id, true);
                    worker.handle(invocation).await.map(|_| ())
                };
                Ok(Answer::Batch(batch.handle(handle).await))
            }
            Err(payload) => {
                let reply = worker
                    .handle(invocation(payload, context.request_id, false))
                    .await;
                let reply = reply.map(Answer::Reply);
                reply.map_err(|error| failure("EventNotStored", &error))
            }
        };
        metrics::flush();
        reply
    };
    lambda_runtime::run(service_fn(invoke)).await
}

/// Runs the function `redelivery` until Lambda stops it.
///
/// # Errors
/// As [`run`].
pub async fn run_redelivery() -> Result<(), Error> {
    let worker = set_up(of_s3).await?;
    let invoke = |event: LambdaEvent<Json>| async {
        let (payload, context) = event.into_parts();
        let order = Order::parse(&payload).map_err(|error| failure("NoOrder", &error))?;
        let report = worker
            .redeliver(&order, &context.request_id, deadline(&context))
            .await;
        metrics::flush();
        report.map_err(|error| failure("NotRedelivered", &error))
    };
    lambda_runtime::run(service_fn(invoke)).await
}

async fn set_up(objects: ReadObjects) -> Result<Worker, Error> {
    without_empty_variables()?;
    start_log();
    metrics::set_up();
    crash::set_up();
    let table = std::env::var("TABLE_NAME").map_err(
        |_| "the environment variable TABLE_NAME is missing; it names the DynamoDB table",
    )?;
    let integration = std::env::var("INTEGRATION").unwrap_or_else(|_| "default".into());
    let folders = match std::env::var("RECORDING_FOLDERS") {
        Ok(text) => text.parse().map_err(|error| {
            format!("the environment variable RECORDING_FOLDERS is wrong: {error}")
        })?,
        Err(_) => Folders::default(),
    };
    let config = aws_config().await;
    let line = Line::of(&integration);
    let store = Arc::new(Store::new(&config, &table).with_line(line.clone()));
    // The default integration's line is listed now, and by each run of redelivery: no contact waits for that.
    let lister = store.clone();
    tokio::spawn(async move { lister.write_line(&line).await });
    let sources = Arc::new(Sources::new(&config));
    let integrations = Arc::new(Integrations::new(store.clone(), sources));
    let worker = Worker::new(store, integrations, &integration)
        .with_folders(folders)
        .with_objects(objects(&config));
    worker.warm_up(Instant::now() + WARM_UP).await;
    Ok(worker)
}

/// Starts this program again without the variables that are set to nothing.
///
/// `sam local invoke` gives a variable that env.json leaves empty as an empty one, and the AWS clients take
/// an empty `AWS_ENDPOINT_URL` for a wrong one, and warn each time.
fn without_empty_variables() -> std::io::Result<()> {
    let is_empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let empty: Vec<&str> = [
        "AWS_ENDPOINT_URL",
        "LOG_LEVEL",
        "INTEGRATION",
        "RECORDING_FOLDERS",
    ]
    .into_iter()
    .filter(is_empty)
    .collect();
    if empty.is_empty() {
        return Ok(());
    }
    let mut again = std::process::Command::new(std::env::current_exe()?);
    empty.into_iter().for_each(|name| {
        again.env_remove(name);
    });
    Err(std::os::unix::process::CommandExt::exec(&mut again))
}

/// What an invocation that fails tells its caller: `errorType` and `errorMessage`.
fn failure(error_type: &str, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic {
        error_type: error_type.to_owned(),
        error_message: error.to_string(),
    }
}

/// When the work of an invocation is to be over.
fn deadline(context: &Context) -> Instant {
    let left = context
        .deadline()
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // An invocation never begins with so little time, nor with more than Lambda's 15 minutes: the
    // clock is off. Then a flow's longest wait is all that can be counted on.
    let left = match left {
        left if (MARGIN * 2..=Duration::from_secs(900)).contains(&left) => left,
        _ => {
            tracing::warn!("this machine's clock and Lambda's disagree");
            Duration::from_secs(8)
        }
    };
    Instant::now() + left - MARGIN
}

/// The AWS clients' configuration: waits short enough that a hanging service leaves time to reply.
pub async fn aws_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .build();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(timeouts);
    certificates::for_aws(config).load().await
}

/// Structured JSON, one line an event, without values of attributes.
pub fn start_log() {
    let level = std::env::var("LOG_LEVEL").unwrap_or_else(|_| "info".into());
    // The AWS clients and the HTTP stack log requests; below `warn` only when they are asked by name.
    let filter = format!("warn,connect_dynamics={}", level.to_lowercase());
    let is_filter = level.contains('=') || level.contains(',');
    let filter = EnvFilter::try_new(if is_filter { level } else { filter });
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stdout)
        .init();
}
