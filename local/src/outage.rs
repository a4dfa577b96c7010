//! An outage: one environment of several does not answer for some minutes, while calls go on, and then has to
//! take what has come together.
//!
//! Owns the calls' making, the environments' limits and what is measured: how fast the backlog drains against
//! the time that Dataverse's own limits take, how far behind the other environments fall, what callers meet,
//! and how many functions run at once. Dataverse's window of five minutes is scaled down to half a minute, and
//! the requests that it takes with it; all else is as long as it is.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anstream::println;
use comfy_table::{Cell, CellAlignment, Table, presets};
use connect_dynamics::{
    history::State,
    store::{Entry, Line, List},
};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use owo_colors::OwoColorize;
use serde_json::{Value as Json, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use uuid::Uuid;

use crate::{
    http,
    stand_in::{
        dataverse::Dataverse,
        limits::{Allowance, Health, Limits, Traffic},
    },
    system::{FUNCTIONS, Options, REDELIVERY, System},
};

/// What happens.
#[derive(Debug, Clone)]
pub struct Outage {
    /// Contacts that come during the outage, over all environments.
    pub contacts: u32,
    pub minutes: f64,
    pub environments: usize,
    /// The environment hangs; otherwise it answers 503.
    pub hangs: bool,
    /// Processes of each function, where AWS starts as many as it takes.
    pub processes: usize,
}

/// What one environment takes: Dataverse's limits, with a tenth of the window and of the requests.
const ALLOWANCE: Allowance = Allowance {
    requests: 600,
    window: Duration::from_secs(30),
    at_once: 52,
    work: Duration::from_millis(100),
};
/// How many executions Lambda gives to a queue's events: the stack's parameter `EventConcurrency`.
const EVENT_CONCURRENCY: usize = 10;
/// Requests of a contact: it starts and it ends.
const REQUESTS: u32 = 2;
/// The schedule of redelivery.
const MINUTE: Duration = Duration::from_secs(60);
/// How long the backlog may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(1200);
/// What was measured.
#[derive(Debug, Clone)]
pub struct Findings {
    pub environments: Vec<OfEnvironment>,
    /// Requests that waited when the environment came back.
    pub backlog: u32,
    /// From the environment's return to the end of the backlog; none when it never ended.
    pub drained: Option<Duration>,
    /// What the limits allow at best for it, live calls counted.
    pub at_best: Duration,
    /// From the environment's return to its first answer.
    pub noticed: Duration,
    /// Invocations of each function at the same time, at the most.
    pub at_once: Vec<(&'static str, usize)>,
}

/// What was measured of one environment.
#[derive(Debug, Clone)]
pub struct OfEnvironment {
    pub contacts: u32,
    /// Contacts without a record, with an unfinished one, or with more than one.
    pub wrong: u32,
    /// Flows that were told the record, and that it would come later, while the outage lasted and after.
    pub replies: [Replies; 2],
    /// How long the contact waited that waited longest.
    pub behind: Duration,
    pub traffic: Traffic,
}

/// What flows were told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Replies {
    pub delivered: u32,
    pub pending: u32,
    pub failed: u32,
    pub slowest: Duration,
}

impl Findings {
    /// Whether nothing was lost, the backlog drained, and every flow was told that its contact is kept.
    pub fn are_good(&self) -> bool {
        self.drained.is_some()
            && self.environments.iter().all(|environment| {
                environment.wrong == 0 && environment.replies.iter().all(|r| r.failed == 0)
            })
    }

    /// Whether no contact of another environment waited longer than until the next run.
    fn is_nobody_else_behind(&self) -> bool {
        let mut others = self.environments.iter().skip(1);
        others.all(|other| other.behind <= MINUTE)
    }
}

/// One environment, and what is known of it.
struct Environment {
    name: String,
    dataverse: Dataverse,
    limits: Limits,
    contacts: Mutex<Vec<Uuid>>,
    replies: Mutex<[Replies; 2]>,
    behind: Mutex<Duration>,
}

/// Lets it happen, and measures.
///
/// # Errors
/// When the system does not start, or the table cannot be read.
pub async fn run(outage: &Outage, mut options: Options) -> io::Result<Findings> {
    options.processes = outage.processes;
    options.configuration["steps"]["contact-start"]["request"]["body"] = json!({
        "phonenumber": "{{CustomerEndpoint}}",
        "actualstart": "{{InitiationTimestamp}}",
        "directioncode": false,
        "subject": "{{ContactId}}"
    });
    let system = Arc::new(System::start(options).await?);
    let mut environments = Vec::new();
    for number in 1..=outage.environments {
        environments.push(Arc::new(environment(&system, number).await?));
    }
    let duration = Duration::from_secs_f64(outage.minutes * 60.0);
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {elapsed}  {msg}");
    bar.set_style(style.map_err(io::Error::other)?);

    let is_over = Arc::new(AtomicBool::new(false));
    let phase = Arc::new(AtomicU32::new(0));
    let schedule = tokio::spawn(schedule(system.clone(), is_over.clone()));
    let calls = tokio::spawn(calls(
        system.clone(),
        environments.clone(),
        duration / outage.contacts.max(1),
        phase.clone(),
        is_over.clone(),
    ));
    let ill = environments[0].clone();
    ill.limits.set_health(if outage.hangs {
        Health::Hanging
    } else {
        Health::Down
    });
    let ends = Instant::now() + duration;
    while Instant::now() < ends {
        let waiting = measure(&system, &environments).await?;
        bar.set_message(format!(
            "{} does not answer; {waiting} contacts wait",
            ill.name
        ));
        sleep(Duration::from_secs(1)).await;
    }
    sleep_until(ends).await;
    ill.limits.set_health(Health::Well);
    phase.store(1, Ordering::Relaxed);
    let back = (Instant::now(), Timestamp::now());
    let list = List::Line(Line::of(&ill.name));
    let listed = system.store.list(&list).await.map_err(io::Error::other)?;
    let backlog = REQUESTS * u32::try_from(listed.len()).unwrap_or(u32::MAX);

    // It is gone when nobody waits who came before the environment was back.
    let is_of_the_outage = |entry: &Entry| entry.also.is_some_and(|since| since <= back.1);
    let mut drained = None;
    while drained.is_none() && back.0.elapsed() < PATIENCE {
        measure(&system, &environments).await?;
        let listed = system.store.list(&list).await.map_err(io::Error::other)?;
        let left = listed
            .iter()
            .filter(|entry| is_of_the_outage(entry))
            .count();
        bar.set_message(format!(
            "{} answers again; {left} contacts of the outage wait",
            ill.name
        ));
        if left == 0 {
            drained = Some(back.0.elapsed());
        }
        sleep(Duration::from_millis(200)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    calls.await.map_err(io::Error::other)??;
    bar.set_message("the last calls end");
    let began = Instant::now();
    while measure(&system, &environments).await? > 0 && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(500)).await;
    }
    schedule.abort();
    bar.finish_and_clear();

    let rate = f64::from(outage.contacts * REQUESTS)
        / outage.environments.max(1) as f64
        / duration.as_secs_f64();
    let noticed = ill.limits.traffic().back;
    let mut of_environments = Vec::new();
    for environment in &environments {
        of_environments.push(audit(&system, environment).await?);
    }
    Ok(Findings {
        environments: of_environments,
        backlog,
        drained,
        at_best: at_best(backlog, rate, ALLOWANCE),
        noticed: noticed.map_or(Duration::MAX, |at| at.duration_since(back.0.into_std())),
        at_once: FUNCTIONS
            .iter()
            .map(|(name, _)| (*name, system.lambda.most_at_once(name)))
            .collect(),
    })
}

/// Makes an environment with limits, and its integration.
async fn environment(system: &System, number: usize) -> io::Result<Environment> {
    let dataverse = Dataverse::new(system.entra.clone());
    let limits = Limits::new(ALLOWANCE);
    let address = http::serve(0, limits.before(dataverse.router())).await?;
    let uri = format!("http://{address}");
    dataverse.set_origin(&uri);
    let name = format!("environment-{number}");
    let mut document = serde_json::to_value(system.integration.configuration())?;
    document["name"] = name.clone().into();
    document["connection"]["scope"] = format!("{uri}/.default").into();
    document["connection"]["environmentUri"] = uri.into();
    let document = document.to_string();
    let saved = system.store.save_integration(&name, &document).await;
    saved.map_err(io::Error::other)?;
    Ok(Environment {
        name,
        dataverse,
        limits,
        contacts: Mutex::default(),
        replies: Mutex::default(),
        behind: Mutex::default(),
    })
}

/// The schedule: redelivery once a minute, whether or not the last run is over.
async fn schedule(system: Arc<System>, is_over: Arc<AtomicBool>) {
    let mut minutes = interval(MINUTE);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // At the end nobody need wait for the minute.
    while !is_over.load(Ordering::Relaxed) {
        minutes.tick().await;
        let _ = system.redeliver().await;
    }
    loop {
        let _ = system.redeliver().await;
        sleep(Duration::from_secs(1)).await;
    }
}

/// Calls come at a steady rate, to one environment after the other.
async fn calls(
    system: Arc<System>,
    environments: Vec<Arc<Environment>>,
    every: Duration,
    phase: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
) -> io::Result<()> {
    let mut under_way = VecDeque::new();
    let events = Arc::new(Semaphore::new(EVENT_CONCURRENCY));
    let mut ticks = interval(every);
    for number in 0.. {
        ticks.tick().await;
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let environment = environments[number % environments.len()].clone();
        let (system, phase) = (system.clone(), phase.load(Ordering::Relaxed) as usize);
        let events = events.clone();
        under_way.push_back(tokio::spawn(async move {
            call(&system, &environment, &events, phase).await;
        }));
    }
    for call in under_way {
        call.await.map_err(io::Error::other)?;
    }
    Ok(())
}

/// One call: a flow invokes contact-start, and the end comes from the queue.
async fn call(system: &System, environment: &Environment, events: &Semaphore, phase: usize) {
    let contact = Uuid::new_v4();
    let start = json!({"Name": "ContactFlowEvent", "Details": {
        "ContactData": {
            "ContactId": contact, "Channel": "VOICE", "InitiationMethod": "INBOUND",
            "CustomerEndpoint": {"Address": "+15555550100", "Type": "TELEPHONE_NUMBER"}
        },
        "Parameters": {"integration": environment.name}
    }});
    environment
        .contacts
        .lock()
        .expect("no one panics holding it")
        .push(contact);
    if let Some(invoked) = system.lambda.invoke("contact-start", &start).await {
        let mut replies = environment
            .replies
            .lock()
            .expect("no one panics holding it");
        let replies = &mut replies[phase];
        replies.slowest = replies.slowest.max(invoked.duration);
        match invoked.payload["status"].as_str() {
            Some("delivered") => replies.delivered += 1,
            Some("pending") => replies.pending += 1,
            _ => replies.failed += 1,
        }
    }
    let end = json!({
        "source": "aws.connect", "detail-type": "Amazon Connect Contact Event", "detail": {
            "eventType": "DISCONNECTED", "contactId": contact, "channel": "VOICE",
            "initiationMethod": "INBOUND", "disconnectTimestamp": "2026-02-04T21:17:35.412Z"
        }
    });
    let batch = json!({"Records": [{
        "messageId": contact, "body": end.to_string(), "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:contact-end", "awsRegion": "us-east-1"
    }]});
    // As the queue does, whatever comes of it.
    loop {
        let permit = events.acquire().await;
        let invoked = system.lambda.invoke("contact-end", &batch).await;
        drop(permit);
        let is_done = |payload: &Json| payload["batchItemFailures"] == json!([]);
        if invoked.is_none_or(|invoked| is_done(&invoked.payload)) {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Notes how long each environment's contacts wait; returns how many wait in all.
async fn measure(system: &System, environments: &[Arc<Environment>]) -> io::Result<usize> {
    let mut waiting = 0;
    for environment in environments {
        let list = List::Line(Line::of(&environment.name));
        let listed = system.store.list(&list).await.map_err(io::Error::other)?;
        waiting += listed.len();
        let oldest = listed.iter().filter_map(|entry| entry.also).min();
        let since = oldest.map_or(SignedDuration::ZERO, |oldest| {
            Timestamp::now().duration_since(oldest)
        });
        let mut behind = environment.behind.lock().expect("no one panics holding it");
        *behind = (*behind).max(Duration::try_from(since).unwrap_or_default());
    }
    Ok(waiting)
}

/// How long a backlog takes at best: for somebody who sends as soon as the limits allow it, and leaves to live
/// calls what these need.
fn at_best(backlog: u32, live_rate: f64, allowance: Allowance) -> Duration {
    const STEP: f64 = 0.05;
    let window = allowance.window.as_secs_f64();
    let in_a_window = allowance.requests as f64 - live_rate * window;
    let in_a_step = allowance.at_once as f64 / allowance.work.as_secs_f64() * STEP;
    let mut sent: VecDeque<(f64, f64)> = VecDeque::new();
    let (mut now, mut left) = (0.0, f64::from(backlog));
    while left > 0.0 && now < PATIENCE.as_secs_f64() {
        while sent.front().is_some_and(|(at, _)| now - at >= window) {
            sent.pop_front();
        }
        let used: f64 = sent.iter().map(|(_, requests)| requests).sum();
        let step = (in_a_window - used).min(in_a_step).clamp(0.0, left);
        left -= step;
        sent.push_back((now, step));
        now += STEP;
    }
    Duration::from_secs_f64(now)
}

async fn audit(system: &System, environment: &Environment) -> io::Result<OfEnvironment> {
    let contacts = environment
        .contacts
        .lock()
        .expect("no one panics holding it")
        .clone();
    let records = environment.dataverse.records("phonecalls");
    let mut wrong = u32::try_from(records.len().saturating_sub(contacts.len())).unwrap_or(u32::MAX);
    for contact in &contacts {
        let stored = system
            .store
            .load(*contact)
            .await
            .map_err(io::Error::other)?;
        let is_delivered = stored.is_some_and(|stored| {
            let steps = stored.history.in_order();
            steps.len() == 2 && steps.iter().all(|(_, step)| step.state == State::Delivered)
        });
        let record = environment.dataverse.record("phonecalls", *contact);
        let is_whole = record.is_some_and(|record| record["category"] == "VOICE");
        wrong += u32::from(!is_delivered || !is_whole);
    }
    Ok(OfEnvironment {
        contacts: u32::try_from(contacts.len()).unwrap_or(u32::MAX),
        wrong,
        replies: *environment
            .replies
            .lock()
            .expect("no one panics holding it"),
        behind: *environment.behind.lock().expect("no one panics holding it"),
        traffic: environment.limits.traffic(),
    })
}

/// Prints what was measured.
pub fn print(outage: &Outage, findings: &Findings) {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "environment",
        "contacts",
        "lost, doubled, wrong",
        "longest wait",
        "requests",
        "refused (429)",
        "in vain",
    ]);
    for (number, environment) in findings.environments.iter().enumerate() {
        table.add_row(
            [
                (number + 1).to_string(),
                environment.contacts.to_string(),
                environment.wrong.to_string(),
                seconds(environment.behind),
                environment.traffic.answered.to_string(),
                environment.traffic.limited.to_string(),
                environment.traffic.in_vain.to_string(),
            ]
            .map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right)),
        );
    }
    print_table(&table);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "flows of environment",
        "when",
        "told the record",
        "told that it comes later",
        "slowest reply",
    ]);
    for (number, environment) in findings.environments.iter().enumerate() {
        for (when, replies) in ["during the outage", "after it"]
            .iter()
            .zip(environment.replies)
        {
            table.add_row(
                [
                    (number + 1).to_string(),
                    (*when).to_owned(),
                    replies.delivered.to_string(),
                    replies.pending.to_string(),
                    format!("{} ms", replies.slowest.as_millis()),
                ]
                .map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right)),
            );
        }
    }
    print_table(&table);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let drained = findings.drained.map_or("never".to_owned(), seconds);
    let ratio = findings.drained.map(|drained| {
        let ratio = drained.as_secs_f64() / findings.at_best.as_secs_f64().max(0.001);
        if findings.at_best < MINUTE {
            "-, as redelivery runs once a minute".to_owned()
        } else {
            format!("{ratio:.2}")
        }
    });
    let mut rows = vec![
        (
            "requests that waited at the environment's return".to_owned(),
            findings.backlog.to_string(),
        ),
        ("noticed after".to_owned(), seconds(findings.noticed)),
        ("drained after".to_owned(), drained),
        (
            "at best by Dataverse's limits".to_owned(),
            seconds(findings.at_best),
        ),
        (
            "that is times".to_owned(),
            ratio.unwrap_or_else(|| "-".to_owned()),
        ),
    ];
    for (name, at_once) in &findings.at_once {
        let bound = match *at_once {
            EVENT_CONCURRENCY if *name == "contact-end" => ", its queue's most",
            at_once if at_once == outage.processes && *name != REDELIVERY => {
                ", as many as there are"
            }
            _ => "",
        };
        rows.push((
            format!("{name} at the same time"),
            format!("{at_once}{bound}"),
        ));
    }
    for (what, value) in rows {
        table.add_row([
            Cell::new(what),
            Cell::new(value).set_alignment(CellAlignment::Right),
        ]);
    }
    print_table(&table);
    if findings.are_good() {
        println!("{}", "Nothing was lost, doubled or wrong.".green().bold());
    } else {
        println!(
            "{}",
            "Something was lost, doubled, wrong or left: see above."
                .red()
                .bold()
        );
    }
    if !findings.is_nobody_else_behind() {
        println!(
            "{}",
            "Contacts of other environments waited for more than a minute.".yellow()
        );
    }
}

fn print_table(table: &Table) {
    for line in table.to_string().lines() {
        println!("{}", line.trim_end());
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_time_is_that_of_the_limits() {
        let seconds = |backlog, live| at_best(backlog, live, ALLOWANCE).as_secs();
        assert_eq!(seconds(500, 0.0), 1, "at once, as nothing was sent before");
        assert_eq!(seconds(1000, 0.0), 30, "the second part a window later");
        assert_eq!(seconds(2300, 0.0), 91);
        assert_eq!(seconds(1000, 10.0), 90, "live calls take half");
    }
}
