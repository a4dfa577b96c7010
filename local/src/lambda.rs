//! Lambda on this machine: each function is a process of its own binary, under the real runtime API.
//!
//! Owns the runtime API that the processes speak
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) and the Invoke API that callers
//! speak (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>). A process that dies or
//! overruns its time is replaced, and its caller told as AWS tells it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode},
    routing::{get, post},
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot},
    time::sleep,
};
use uuid::Uuid;

/// A function to run.
#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    pub binary: PathBuf,
    pub timeout: Duration,
    /// How many processes of it run.
    pub processes: usize,
    /// By how many seconds Lambda's clock is ahead of the function's.
    pub clock_skew: i64,
    pub environment: BTreeMap<String, String>,
}

/// What an invocation came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Invoked {
    pub payload: Json,
    /// The function failed: it returned an error, timed out or died.
    pub is_error: bool,
    /// From when a process took the call to its answer.
    pub duration: Duration,
}

/// The functions, running.
#[derive(Debug, Clone)]
pub struct Lambda {
    functions: Arc<HashMap<String, Arc<Running>>>,
    logs: Logs,
}

/// What all functions have logged, in the order it came.
type Logs = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct Running {
    function: Function,
    queue: mpsc::UnboundedSender<Call>,
    waiting: AsyncMutex<mpsc::UnboundedReceiver<Call>>,
    logs: Logs,
    processes: Mutex<Vec<Arc<Process>>>,
    /// How many of them were at an invocation at the same time, at the most.
    most_at_once: AtomicUsize,
}

#[derive(Debug)]
struct Call {
    id: String,
    payload: Bytes,
    answer: oneshot::Sender<Invoked>,
}

/// The call that a process is at.
#[derive(Debug)]
struct Current {
    id: String,
    answer: oneshot::Sender<Invoked>,
    began: Instant,
}

/// One process of a function, with the call it is at.
#[derive(Debug, Default)]
struct Process {
    current: Mutex<Option<Current>>,
    kill: Notify,
}

const ACCOUNT: &str = "123456789012";
/// What the functions are told of AWS. Nothing here checks a signature.
const AWS_ENVIRONMENT: [(&str, &str); 3] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

impl Lambda {
    /// Starts the functions' processes.
    ///
    /// # Errors
    /// When a binary is missing or no port is free.
    pub async fn start(functions: Vec<Function>) -> io::Result<Lambda> {
        let mut running = HashMap::new();
        let logs = Logs::default();
        for function in functions {
            if !function.binary.exists() {
                let message = format!(
                    "{} is not built: run `cargo build` first",
                    function.binary.display()
                );
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
            let (queue, waiting) = mpsc::unbounded_channel();
            let name = function.name.clone();
            let function = Arc::new(Running {
                function,
                queue,
                waiting: AsyncMutex::new(waiting),
                logs: logs.clone(),
                processes: Mutex::default(),
                most_at_once: AtomicUsize::new(0),
            });
            for _ in 0..function.function.processes {
                function.clone().start_process().await?;
            }
            running.insert(name, function);
        }
        Ok(Lambda {
            functions: Arc::new(running),
            logs,
        })
    }

    /// The Invoke API.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .with_state(self.clone())
    }

    /// Invokes a function and waits for what comes of it; none when there is no such function.
    pub async fn invoke(&self, name: &str, payload: &Json) -> Option<Invoked> {
        let id = Uuid::new_v4();
        self.call(id, name, Bytes::from(payload.to_string())).await
    }

    async fn call(&self, id: Uuid, name: &str, payload: Bytes) -> Option<Invoked> {
        let function = self.functions.get(name)?;
        let (answer, answered) = oneshot::channel();
        let call = Call {
            id: id.to_string(),
            payload,
            answer,
        };
        function.queue.send(call).ok()?;
        Some(
            answered
                .await
                .unwrap_or_else(|_| failure("Runtime.ExitError", "the function's process is gone")),
        )
    }

    /// What the functions have logged, line by line.
    pub fn logs(&self) -> Vec<String> {
        self.logs.lock().expect("no one panics holding it").clone()
    }

    /// Kills a process of a function that is at an invocation now; tells whether there was one.
    pub fn kill_one(&self, name: &str) -> bool {
        let Some(function) = self.functions.get(name) else {
            return false;
        };
        let processes = function.processes.lock().expect("no one panics holding it");
        let busy = processes.iter().find(|process| {
            process
                .current
                .lock()
                .expect("no one panics holding it")
                .is_some()
        });
        busy.map(|process| process.kill.notify_one()).is_some()
    }

    /// How many invocations of a function ran at the same time, at the most.
    pub fn most_at_once(&self, name: &str) -> usize {
        self.functions
            .get(name)
            .map_or(0, |function| function.most_at_once.load(Ordering::Relaxed))
    }

    /// The functions' names.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.functions.keys().cloned().collect();
        names.sort();
        names
    }
}

impl Running {
    fn note_how_many_are_busy(&self) {
        let processes = self.processes.lock().expect("no one panics holding it");
        let is_busy = |process: &&Arc<Process>| {
            let current = process.current.lock().expect("no one panics holding it");
            current.is_some()
        };
        let busy = processes.iter().filter(is_busy).count();
        self.most_at_once.fetch_max(busy, Ordering::Relaxed);
    }

    /// Starts one process under a runtime API of its own, and replaces it whenever it ends.
    async fn start_process(self: Arc<Self>) -> io::Result<()> {
        let process = Arc::new(Process::default());
        let runtime = Runtime {
            function: self.clone(),
            process: process.clone(),
        };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(runtime);
        let address = crate::http::serve(0, router).await?;
        self.processes
            .lock()
            .expect("no one panics holding it")
            .push(process.clone());
        let mut child = self.spawn(address)?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = child.wait() => {}
                    () = process.kill.notified() => {
                        let _ = child.kill().await;
                    }
                }
                process.end(
                    "Runtime.ExitError",
                    "RequestId: the runtime exited without providing a reason",
                );
                // A function that dies at its start must not be started in a tight loop.
                sleep(Duration::from_millis(50)).await;
                match self.spawn(address) {
                    Ok(next) => child = next,
                    Err(error) => {
                        eprintln!("{} cannot be started again: {error}", self.function.name);
                        return;
                    }
                }
            }
        });
        Ok(())
    }

    fn spawn(self: &Arc<Self>, runtime_api: SocketAddr) -> io::Result<Child> {
        let function = &self.function;
        let mut child = Command::new(&function.binary)
            .env_clear()
            .envs(AWS_ENVIRONMENT)
            .env("AWS_ACCESS_KEY_ID", &function.name)
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env(
                "AWS_LAMBDA_LOG_GROUP_NAME",
                format!("/aws/lambda/{}", function.name),
            )
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
            .envs(&function.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(stdout) = child.stdout.take() {
            self.clone().keep_logs(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            self.clone().keep_logs(stderr);
        }
        Ok(child)
    }

    fn keep_logs(self: Arc<Self>, stream: impl tokio::io::AsyncRead + Unpin + Send + 'static) {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                self.logs
                    .lock()
                    .expect("no one panics holding it")
                    .push(line);
            }
        });
    }
}

impl Process {
    /// Ends the call the process is at, if any, with a failure.
    fn end(&self, kind: &str, message: &str) {
        let current = self
            .current
            .lock()
            .expect("no one panics holding it")
            .take();
        if let Some(current) = current {
            let message =
                message.replace("RequestId:", &format!("RequestId: {} Error:", current.id));
            let _ = current.answer.send(failure(kind, &message));
        }
    }

    fn finish(&self, id: &str, invoked: Invoked) -> bool {
        let mut current = self.current.lock().expect("no one panics holding it");
        match current.take_if(|current| current.id == id) {
            None => false,
            Some(current) => {
                let duration = current.began.elapsed();
                let _ = current.answer.send(Invoked {
                    duration,
                    ..invoked
                });
                true
            }
        }
    }
}

fn failure(kind: &str, message: &str) -> Invoked {
    Invoked {
        payload: json!({"errorType": kind, "errorMessage": message}),
        is_error: true,
        duration: Duration::ZERO,
    }
}

/// The runtime API of one process.
#[derive(Clone)]
struct Runtime {
    function: Arc<Running>,
    process: Arc<Process>,
}

async fn next(State(runtime): State<Runtime>) -> Response<Body> {
    let Some(call) = runtime.function.waiting.lock().await.recv().await else {
        return status(StatusCode::GONE);
    };
    let function = &runtime.function.function;
    let deadline = SystemTime::now() + function.timeout;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline =
        i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX) + function.clock_skew * 1000;
    *runtime
        .process
        .current
        .lock()
        .expect("no one panics holding it") = Some(Current {
        id: call.id.clone(),
        answer: call.answer,
        began: Instant::now(),
    });
    runtime.function.note_how_many_are_busy();
    let (process, id, timeout) = (runtime.process.clone(), call.id.clone(), function.timeout);
    tokio::spawn(async move {
        sleep(timeout).await;
        let message = format!(
            "{id} Task timed out after {:.2} seconds",
            timeout.as_secs_f64()
        );
        if process.finish(&id, failure("Sandbox.Timedout", &message)) {
            process.kill.notify_one();
        }
    });
    Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", call.id)
        .header("Lambda-Runtime-Deadline-Ms", deadline.to_string())
        .header(
            "Lambda-Runtime-Invoked-Function-Arn",
            format!(
                "arn:aws:lambda:us-east-1:{ACCOUNT}:function:{}",
                function.name
            ),
        )
        .header(
            "Lambda-Runtime-Trace-Id",
            "Root=1-00000000-000000000000000000000000;Sampled=0",
        )
        .body(Body::from(call.payload))
        .expect("the headers are valid")
}

async fn response(
    State(runtime): State<Runtime>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let invoked = match serde_json::from_slice(&body) {
        Ok(payload) => Invoked {
            payload,
            is_error: false,
            duration: Duration::ZERO,
        },
        Err(_) => failure(
            "Runtime.InvalidResponse",
            "the function's response is no JSON",
        ),
    };
    runtime.process.finish(&id, invoked);
    status(StatusCode::ACCEPTED)
}

async fn error(
    State(runtime): State<Runtime>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let payload = serde_json::from_slice(&body).unwrap_or(Json::Null);
    let invoked = Invoked {
        payload,
        is_error: true,
        duration: Duration::ZERO,
    };
    runtime.process.finish(&id, invoked);
    status(StatusCode::ACCEPTED)
}

async fn init_error(State(runtime): State<Runtime>, body: Bytes) -> Response<Body> {
    let text = String::from_utf8_lossy(&body).into_owned();
    runtime
        .function
        .logs
        .lock()
        .expect("no one panics holding it")
        .push(text);
    status(StatusCode::ACCEPTED)
}

fn status(status: StatusCode) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .expect("a status is valid")
}

async fn invoke(
    State(lambda): State<Lambda>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let payload = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    let refuse = |status: StatusCode, kind: &str, message: String| {
        Response::builder()
            .status(status)
            .header("X-Amzn-ErrorType", kind)
            .header("Content-Type", "application/json")
            .body(Body::from(
                json!({"Type": "User", "Message": message}).to_string(),
            ))
            .expect("the headers are valid")
    };
    if !lambda.functions.contains_key(&name) {
        let message = format!(
            "Function not found: {name}. The functions are {}",
            lambda.names().join(", ")
        );
        return refuse(StatusCode::NOT_FOUND, "ResourceNotFoundException", message);
    }
    if serde_json::from_slice::<Json>(&payload).is_err() {
        let message = "Could not parse request body into json".to_owned();
        return refuse(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            message,
        );
    }
    let id = Uuid::new_v4();
    if headers
        .get("X-Amz-Invocation-Type")
        .is_some_and(|kind| kind == "Event")
    {
        tokio::spawn(async move {
            // AWS tries an asynchronous invocation twice more when it fails, under the same request id.
            // https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
            for pause in [0, 200, 400] {
                sleep(Duration::from_millis(pause)).await;
                if lambda
                    .call(id, &name, payload.clone())
                    .await
                    .is_none_or(|invoked| !invoked.is_error)
                {
                    return;
                }
            }
        });
        return accepted(id);
    }
    let Some(invoked) = lambda.call(id, &name, payload).await else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = Response::builder()
        .header("Content-Type", "application/json")
        .header("X-Amz-Executed-Version", "$LATEST")
        .header("X-Amzn-RequestId", id.to_string());
    if invoked.is_error {
        response = response.header("X-Amz-Function-Error", "Unhandled");
    }
    response
        .body(Body::from(invoked.payload.to_string()))
        .expect("the headers are valid")
}

fn accepted(id: Uuid) -> Response<Body> {
    Response::builder()
        .status(StatusCode::ACCEPTED)
        .header("X-Amzn-RequestId", id.to_string())
        .body(Body::empty())
        .expect("an id is a valid header")
}
