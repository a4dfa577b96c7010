//! One contact's life: its events, sent as Amazon Connect and S3 send them, told as a timeline, and
//! the record at the end held against what the configuration says.

use std::{io, path::Path, time::Instant};

use anstream::println;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use connect_dynamics::{integration::Integration, step::Step};
use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{stand_in::dataverse::Exchange, system::System};

/// The events of a life, in their order: the function that each goes to, the file it stands in, and
/// who sends it.
pub const EVENTS: [(Step, &str, &str); 4] = [
    (Step::ContactStart, "contact-start.json", "the inbound flow"),
    (
        Step::ContactAnswered,
        "contact-answered.json",
        "the agent whisper flow",
    ),
    (
        Step::ContactEnd,
        "contact-end.json",
        "EventBridge: DISCONNECTED",
    ),
    (
        Step::RecordingAvailable,
        "recording-available.json",
        "EventBridge: Object Created",
    ),
];

/// Sends the events of `folder` and prints what happens; returns what is wrong at the end.
///
/// # Errors
/// When an event cannot be read.
pub async fn run(system: &System, folder: &Path) -> io::Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut expected = Map::new();
    let mut record = None;
    let mut page = None;
    let mut logged = 0;
    for (step, file, sender) in EVENTS {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let event: Json = serde_json::from_str(&text)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        println!(
            "\n{} {}",
            step.bold().cyan(),
            format!("from {sender}, {}", path.display()).dimmed()
        );
        let started = Instant::now();
        let invoked = system.lambda.invoke(step.as_str(), &event).await;
        let elapsed = started.elapsed();
        let logs = system.lambda.logs();
        print_warnings(&logs[logged..]);
        logged = logs.len();
        for exchange in system.dataverse.take_exchanges() {
            print_exchange(&exchange);
            if exchange.status < 300 && exchange.status > 0 {
                expected.extend(exchange.body.as_object().cloned().unwrap_or_default());
            }
        }
        let Some(invoked) = invoked else {
            problems.push(format!("{step}: there is no such function"));
            continue;
        };
        let reply = invoked.payload;
        println!(
            "  {} {}",
            "reply".bold(),
            format!("after {} ms", elapsed.as_millis()).dimmed()
        );
        print_fields(reply.as_object().into_iter().flatten());
        if invoked.is_error || reply["status"] != "delivered" {
            problems.push(format!(
                "{step}: it is not delivered but {}: {}",
                text_of(&reply["status"]),
                text_of(&reply["message"])
            ));
        }
        if let Some(id) = reply["recordId"].as_str() {
            record = Uuid::try_parse(id).ok();
        }
        if let Some(url) = reply["screenPopUrl"].as_str() {
            page = Some((url.to_owned(), text_of(&reply["screenPopTarget"])));
        }
    }
    let held = start_entity_set(&system.integration)
        .and_then(|set| Some((set, system.dataverse.record(set, record?)?)));
    match held {
        None => problems.push("Dynamics holds no record of the contact".into()),
        Some((set, held)) => {
            println!(
                "\n{} {}",
                "The record as Dynamics holds it".bold().green(),
                format!("{set}({})", record.unwrap_or_default()).dimmed()
            );
            print_fields(held.iter().filter(|(_, value)| !value.is_null()));
            problems.extend(compare(&expected, &held));
        }
    }
    match page {
        None => problems.push("there is no page to open for the agent".into()),
        Some((url, target)) => println!(
            "\n{} {}\n  {}",
            "The agent's page".bold().green(),
            format!("({target})").dimmed(),
            url
        ),
    }
    Ok(problems)
}

fn start_entity_set(integration: &Integration) -> Option<&str> {
    let steps = &integration.configuration().steps;
    Some(&steps.get(Step::ContactStart)?.request?.entity_set)
}

/// What the record lacks of what was sent. Timestamps are compared as such: Dataverse keeps whole
/// seconds.
pub fn compare(expected: &Map<String, Json>, held: &Map<String, Json>) -> Vec<String> {
    let time = |value: &Json| {
        value
            .as_str()?
            .parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_second)
    };
    let mut problems = Vec::new();
    for (name, value) in expected.iter().filter(|(name, _)| !name.contains('@')) {
        let found = held.get(name).unwrap_or(&Json::Null);
        if found != value && (time(found).is_none() || time(found) != time(value)) {
            problems.push(format!(
                "the record's {name} is {found}, and {value} was sent"
            ));
        }
    }
    problems
}

fn print_exchange(exchange: &Exchange) {
    let arrow = format!("  {} {}", exchange.method, exchange.target);
    println!(
        "{}{}",
        arrow.bold(),
        exchange
            .headers
            .get("if-match")
            .map(|etag| format!("  If-Match: {etag}"))
            .unwrap_or_default()
    );
    print_fields(exchange.body.as_object().into_iter().flatten());
    let status = match exchange.status {
        0 => "the connection was closed".red().to_string(),
        status @ ..300 => status.green().to_string(),
        status => status.red().to_string(),
    };
    println!(
        "  answer {status} {}",
        format!("after {} ms", exchange.duration.as_millis()).dimmed()
    );
    if exchange.status >= 300 {
        print_fields(exchange.answer["error"].as_object().into_iter().flatten());
    }
}

fn print_fields<'a>(fields: impl Iterator<Item = (&'a String, &'a Json)>) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in fields {
        table.add_row([Cell::new(format!("    {name}")), Cell::new(text_of(value))]);
    }
    for line in table
        .to_string()
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        println!("{}", line.trim_end());
    }
}

/// The functions' warnings and errors since the last call: a field left out, a step that failed.
fn print_warnings(lines: &[String]) {
    for line in lines {
        let Ok(entry) = serde_json::from_str::<Json>(line) else {
            println!("  {} {line}", "log:".yellow());
            continue;
        };
        let said = |name: &str| entry[name].as_str().map(|text| format!(" {text}"));
        if matches!(entry["level"].as_str(), Some("WARN" | "ERROR")) {
            let words: String = ["message", "field", "reason", "error"]
                .into_iter()
                .filter_map(said)
                .collect();
            println!("  {}{words}", "warning:".yellow());
        }
    }
}

fn text_of(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
