//! One contact's life: its events, sent as Amazon Connect and S3 send them, told as a timeline, and
//! the records at the end held against what Dynamics was sent.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use connect_dynamics::{
    event::Event as AwsEvent,
    recording::{Folders, ObjectKind, RecordedObject},
    step::Step,
};
use owo_colors::OwoColorize;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    stand_in::dataverse::{Exchange, NOT_MODELLED},
    system::System,
};

/// The events of an inbound call's life, in their order: the function that each goes to, and the file that it
/// stands in.
const INBOUND: [(Step, &str); 5] = [
    (Step::ContactStart, "contact-start.json"),
    (Step::ContactAnswered, "contact-answered.json"),
    (Step::ContactEnd, "contact-end.json"),
    (Step::RecordingAvailable, "recording-available.json"),
    (Step::ContactCompleted, "contact-completed.json"),
];

/// What an object of each kind holds that a function reads, in the folder `objects`.
const OBJECTS: &str = "objects";

/// An event of a life.
#[derive(Debug, Clone)]
pub struct Event {
    pub step: Step,
    pub path: PathBuf,
    event: Json,
}

/// The folder of a life's events: `outbound` stands in the folder of the events, as the inbound call's do.
///
/// # Errors
/// When there is no such life; it names those that there are.
pub fn folder(events: &Path, life: &str) -> io::Result<PathBuf> {
    let folder = events.join(life);
    let is_name = life.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if life == "inbound" {
        return Ok(events.to_owned());
    }
    if is_name && folder.is_dir() && life != OBJECTS {
        return Ok(folder);
    }
    let mut lives = vec!["inbound".to_owned()];
    for entry in fs::read_dir(events)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && name != OBJECTS {
            lives.push(name);
        }
    }
    lives.sort();
    Err(io::Error::other(format!(
        "there is no life `{life}`; there are {}",
        lives.join(", ")
    )))
}

/// Reads the events of a folder: the files whose names begin with a number, in its order, as in
/// `01-contact-start.json`; or, where there are none, an inbound call's.
///
/// # Errors
/// When a file is missing or is no JSON.
pub fn events(folder: &Path) -> io::Result<Vec<Event>> {
    let mut numbered: Vec<(String, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(|c: char| c.is_ascii_digit()) && name.ends_with(".json") {
            numbered.push((name, entry.path()));
        }
    }
    numbered.sort();
    let mut files = Vec::new();
    for (name, path) in numbered {
        let behind = name.trim_start_matches(|c: char| c.is_ascii_digit());
        let behind = behind.trim_start_matches('-');
        let is_of = |step: &Step| behind.starts_with(step.as_str());
        let step = Step::ALL.into_iter().find(is_of).ok_or_else(|| {
            let steps = Step::ALL.map(Step::as_str).join(", ");
            io::Error::other(format!(
                "{}: behind its number the name begins with no step; the steps are {steps}",
                path.display()
            ))
        })?;
        files.push((step, path));
    }
    if files.is_empty() {
        let inbound = INBOUND.iter();
        files.extend(inbound.map(|(step, file)| (*step, folder.join(file))));
        // Contact records came later than the folders that people have made.
        files.retain(|(step, path)| *step != Step::ContactCompleted || path.exists());
    }
    let event = |(step, path): (Step, PathBuf)| {
        let event = read(&path)?;
        Ok(Event { step, path, event })
    };
    files.into_iter().map(event).collect()
}

fn read(path: &Path) -> io::Result<Json> {
    let said = |error: String| io::Error::other(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| said(error.to_string()))
}

impl Event {
    /// Who sends it.
    fn sender(&self) -> String {
        let is_outbound = self.event["Details"]["ContactData"]["InitiationMethod"] == "OUTBOUND";
        match AwsEvent::parse(self.event.clone()) {
            Ok(AwsEvent::Contact(event)) => format!("EventBridge: {}", event.event_type),
            Ok(AwsEvent::ObjectCreated(_)) => "EventBridge: Object Created".into(),
            Ok(AwsEvent::Record(_)) => "Kinesis: the contact record".into(),
            Ok(AwsEvent::Flow(_)) if is_outbound => "the outbound whisper flow".into(),
            Ok(AwsEvent::Flow(_)) => match self.step {
                Step::ContactAnswered => "the agent whisper flow".into(),
                Step::ContactEnd => "the disconnect flow".into(),
                _ => "the inbound flow".into(),
            },
            Err(_) => "an event of your own".into(),
        }
    }

    /// The object that it tells of, with what the folder beside it has for one of its kind.
    fn object(&self) -> Option<(RecordedObject, Vec<u8>)> {
        let (_, object) = object(&self.event)?;
        let file = format!("{OBJECTS}/{}.json", object.kind.as_str());
        let mut folders = self.path.ancestors().skip(1).take(2);
        let content = folders.find_map(|folder| fs::read(folder.join(&file)).ok())?;
        Some((object, content))
    }
}

/// Makes a configuration and the events fit each other: the sample of an object is of a kind that the
/// configuration asks for, where the folder has such a one, and of this contact; and its bucket takes
/// the place of the configuration's, as the stand-ins' addresses take that of the environment's.
///
/// # Errors
/// When a file of the folder cannot be read.
pub fn fit(configuration: &mut Json, events: &mut [Event], folder: &Path) -> io::Result<()> {
    let contact = events.iter().find_map(|event| {
        let id = &event.event["Details"]["ContactData"]["ContactId"];
        Uuid::try_parse(id.as_str()?).ok()
    });
    let kinds = &configuration["steps"][Step::RecordingAvailable.as_str()]["objectKinds"];
    let kinds: Option<BTreeSet<ObjectKind>> = serde_json::from_value(kinds.clone()).ok();
    let mut events = events.iter_mut();
    let Some(sample) = events.find(|event| event.step == Step::RecordingAvailable) else {
        return Ok(());
    };
    let is_wanted = |event: &Json| {
        let kinds = kinds.as_ref();
        kinds.is_none_or(|kinds| {
            object(event).is_some_and(|(_, object)| kinds.contains(&object.kind))
        })
    };
    if !is_wanted(&sample.event) {
        let mut others: Vec<PathBuf> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("recording-available-"))
            })
            .collect();
        others.sort();
        for path in others {
            let event = read(&path)?;
            if is_wanted(&event) {
                (sample.event, sample.path) = (event, path);
                break;
            }
        }
    }
    if let (Some((owner, object)), Some(contact)) = (object(&sample.event), contact) {
        let key = object.key.replace(&owner.to_string(), &contact.to_string());
        sample.event["detail"]["object"]["key"] = key.into();
    }
    if let Some(bucket) = configuration.pointer_mut("/connection/recordingBucket") {
        *bucket = sample.event["detail"]["bucket"]["name"].clone();
    }
    Ok(())
}

/// The object that an event tells of, and the contact that it belongs to.
fn object(event: &Json) -> Option<(Uuid, RecordedObject)> {
    match AwsEvent::parse(event.clone()) {
        Ok(AwsEvent::ObjectCreated(event)) => {
            RecordedObject::read(&event, &Folders::default()).ok()
        }
        _ => None,
    }
}

/// What a life came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is wrong at the end.
    pub problems: Vec<String>,
    /// What the stand-ins cannot try. It may be right.
    pub untried: Vec<String>,
}

/// A record that was written, with the fields that were sent for it.
struct Written {
    entity_set: String,
    id: Uuid,
    sent: Map<String, Json>,
}

/// Sends the events and tells what happens. A step that the configuration leaves out is no problem.
///
/// # Errors
/// When `out` cannot be written.
pub async fn run(system: &System, events: &[Event], out: &mut impl Write) -> io::Result<Outcome> {
    let Outcome {
        mut problems,
        mut untried,
    } = Outcome::default();
    let mut records: Vec<Written> = Vec::new();
    let mut page = None;
    let mut logged = 0;
    for sent in events {
        let Event { step, path, event } = sent;
        writeln!(
            out,
            "\n{} {}",
            step.bold().cyan(),
            format!("from {}, {}", sent.sender(), path.display()).dimmed()
        )?;
        if let Some((object, content)) = sent.object() {
            system.s3.put(&object.bucket, &object.key, content);
        }
        let started = Instant::now();
        let invoked = system.lambda.invoke(step.as_str(), event).await;
        let elapsed = started.elapsed();
        let logs = system.lambda.logs();
        write_warnings(out, &logs[logged..])?;
        logged = logs.len();
        let exchanges = system.dataverse.take_exchanges();
        let not_modelled = exchanges.iter().find_map(not_modelled);
        let has_sent = !exchanges.is_empty();
        write_note_of_nothing(out, &exchanges)?;
        for exchange in exchanges {
            write_exchange(out, &exchange)?;
            if (200..300).contains(&exchange.status) {
                note(system, &mut records, &exchange);
            }
        }
        let Some(invoked) = invoked else {
            problems.push(format!("{step}: there is no such function"));
            continue;
        };
        let reply = invoked.payload;
        let steps = &system.integration.configuration().steps;
        if steps.get(*step).is_none() && reply["status"] == "skipped" {
            writeln!(
                out,
                "  {}",
                "left out: the configuration has no such step".yellow()
            )?;
            continue;
        }
        writeln!(
            out,
            "  {} {}",
            "reply".bold(),
            format!("after {} ms", elapsed.as_millis()).dimmed()
        )?;
        write_fields(out, in_order(&reply))?;
        if invoked.is_error {
            problems.push(format!("{step}: the function fails: {reply}"));
        } else if reply["status"] == "delivered" || is_not_wanted(&reply) {
        } else if let Some(message) = not_modelled {
            untried.push(format!("{step}: {message}"));
        } else if !has_sent && !untried.is_empty() {
            untried.push(format!("{step}: it needs what could not be tried before"));
        } else if *step == Step::RecordingAvailable && reply["status"] == "skipped" {
            untried.push(format!(
                "{step}: {}; give the event of an object that does, with --events",
                text_of(&reply["message"])
            ));
        } else {
            problems.push(format!(
                "{step}: it is not delivered but {}: {}",
                text_of(&reply["status"]),
                text_of(&reply["message"])
            ));
        }
        if let Some(url) = reply["screenPopUrl"].as_str() {
            page = Some((url.to_owned(), text_of(&reply["screenPopTarget"])));
        }
    }
    for written in &records {
        let held = system.dataverse.record(&written.entity_set, written.id);
        let held = held.unwrap_or_default();
        writeln!(
            out,
            "\n{} {}",
            "The record as Dynamics holds it".bold().green(),
            format!("{}({})", written.entity_set, written.id).dimmed()
        )?;
        write_fields(out, held.iter().filter(|(_, value)| !value.is_null()))?;
        problems.extend(compare(&written.sent, &held));
    }
    let answered = system
        .integration
        .configuration()
        .steps
        .get(Step::ContactAnswered);
    match page {
        Some((url, target)) => writeln!(
            out,
            "\n{} {}\n  {url}",
            "The agent's page".bold().green(),
            format!("({target})").dimmed(),
        )?,
        None if answered.is_none_or(|step| step.screen_pop.is_none())
            || !events.iter().any(|event| event.step.opens_page()) => {}
        None if !untried.is_empty() => {
            untried.push("the agent's page: it needs what could not be tried before".into());
        }
        None => problems.push("there is no page to open for the agent".into()),
    }
    Ok(Outcome { problems, untried })
}

/// Whether the configuration does not want the step for this contact, and so all is well.
fn is_not_wanted(reply: &Json) -> bool {
    let message = reply["message"].as_str().unwrap_or_default();
    reply["status"] == "skipped" && message.starts_with("it is not wanted")
}

/// The stand-in's words where it cannot try a request.
fn not_modelled(exchange: &Exchange) -> Option<String> {
    let error = &exchange.answer["error"];
    (error["code"] == NOT_MODELLED).then(|| text_of(&error["message"]))
}

/// Adds what a request has written to its record.
fn note(system: &System, records: &mut Vec<Written>, exchange: &Exchange) {
    let Json::Object(sent) = &exchange.body else {
        return;
    };
    let target = exchange.target.split('?').next().unwrap_or_default();
    let (entity_set, key) = target.split_once('(').unwrap_or((target, ""));
    // An update names its record in the address, a create in the body.
    let named = [key.trim_end_matches(')')].into_iter();
    let mut ids = named
        .chain(sent.values().filter_map(Json::as_str))
        .filter_map(|text| Uuid::try_parse(text).ok());
    let Some(id) = ids.find(|id| system.dataverse.record(entity_set, *id).is_some()) else {
        return;
    };
    let known = records
        .iter_mut()
        .find(|written| written.entity_set == entity_set && written.id == id);
    match known {
        Some(written) => written.sent.extend(sent.clone()),
        None => records.push(Written {
            entity_set: entity_set.to_owned(),
            id,
            sent: sent.clone(),
        }),
    }
}

/// What the record lacks of what was sent. Dataverse keeps whole seconds in UTC, of a date its
/// midnight, and writes a GUID in small letters.
fn compare(sent: &Map<String, Json>, held: &Map<String, Json>) -> Vec<String> {
    let normalised = |value: &Json| {
        let text = value.as_str()?;
        if let Ok(id) = Uuid::try_parse(text) {
            return Some(id.to_string());
        }
        let midnight = format!("{text}T00:00:00Z");
        let time = text.parse().or_else(|_| midnight.parse());
        time.ok()
            .map(|time: jiff::Timestamp| time.as_second().to_string())
    };
    let mut problems = Vec::new();
    // What has an @ is a reference, and the parties of an activity are records of their own.
    let is_column = |name: &str| !name.contains('@') && !name.ends_with("_activity_parties");
    for (name, value) in sent.iter().filter(|(name, _)| is_column(name)) {
        let found = held.get(name).unwrap_or(&Json::Null);
        if found != value && (normalised(found).is_none() || normalised(found) != normalised(value))
        {
            problems.push(format!(
                "the record's {name} is {found}, and {value} was sent"
            ));
        }
    }
    problems
}

fn write_exchange(out: &mut impl Write, exchange: &Exchange) -> io::Result<()> {
    let request = format!("{} {}", exchange.method, shown(&exchange.target));
    let condition = exchange.headers.get("if-match");
    let condition = condition.map(|etag| format!("  If-Match: {etag}"));
    writeln!(
        out,
        "  {}{}",
        request.bold(),
        condition.unwrap_or_default().dimmed()
    )?;
    write_fields(out, exchange.body.as_object().into_iter().flatten())?;
    let status = match exchange.status {
        0 => "the connection was closed".red().to_string(),
        status @ ..300 => status.green().to_string(),
        status => status.red().to_string(),
    };
    writeln!(
        out,
        "  answer {status} {}",
        format!("after {} ms", exchange.duration.as_millis()).dimmed()
    )?;
    if exchange.status >= 300 {
        write_fields(
            out,
            exchange.answer["error"].as_object().into_iter().flatten(),
        )?;
    }
    for note in &exchange.notes {
        writeln!(out, "  {} {note}", "note:".yellow())?;
    }
    if let Some(found) = exchange.answer["value"].as_array() {
        let found = match found.len() {
            0 => "nothing".to_owned(),
            1 => "1 record".to_owned(),
            number => format!("{number} records"),
        };
        writeln!(out, "    {}", format!("found {found}").dimmed())?;
    }
    Ok(())
}

/// Says how to have something found, where all that was looked for was not.
fn write_note_of_nothing(out: &mut impl Write, exchanges: &[Exchange]) -> io::Result<()> {
    let lists: Vec<_> = exchanges
        .iter()
        .filter_map(|exchange| exchange.answer["value"].as_array())
        .collect();
    if !lists.is_empty() && lists.iter().all(|list| list.is_empty()) {
        writeln!(
            out,
            "  {} nothing was found; give the stand-in records with --records",
            "note:".yellow()
        )?;
    }
    Ok(())
}

/// The longest address that is shown whole: a look-up for a phone number has dozens of comparisons.
const LONGEST_SHOWN: usize = 400;

/// An address as a person reads it.
fn shown(target: &str) -> String {
    let decoded = percent_decode_str(target).decode_utf8_lossy();
    if decoded.len() <= LONGEST_SHOWN {
        return decoded.into_owned();
    }
    let comparisons = decoded.matches(" or ").count() + 1;
    let beginning: String = decoded.chars().take(LONGEST_SHOWN / 2).collect();
    let end = decoded.rsplit(" or ").next().unwrap_or_default();
    format!("{beginning} ... {end}  ({comparisons} comparisons)")
}

/// A reply's fields, its status and message first.
fn in_order(reply: &Json) -> impl Iterator<Item = (&String, &Json)> {
    let mut fields: Vec<_> = reply.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| match name.as_str() {
        "status" => 0,
        "message" => 1,
        _ => 2,
    });
    fields.into_iter()
}

/// Writes names and values in two columns. A value is never cut or wrapped, so that an address can be
/// copied.
fn write_fields<'a>(
    out: &mut impl Write,
    fields: impl Iterator<Item = (&'a String, &'a Json)>,
) -> io::Result<()> {
    let fields: Vec<_> = fields.collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields {
        writeln!(out, "    {name:width$}  {}", text_of(value))?;
    }
    Ok(())
}

/// The functions' warnings and errors: a field left out, a step that failed.
fn write_warnings(out: &mut impl Write, lines: &[String]) -> io::Result<()> {
    for line in lines {
        let Ok(entry) = serde_json::from_str::<Json>(line) else {
            writeln!(out, "  {} {line}", "log:".yellow())?;
            continue;
        };
        if !matches!(entry["level"].as_str(), Some("WARN" | "ERROR")) {
            continue;
        }
        let said = |name: &str| entry[name].as_str().map(str::to_owned);
        let what = match (said("step"), said("outcome")) {
            (Some(step), Some(outcome)) => Some(format!("{step} is {outcome}")),
            _ => said("message"),
        };
        let parts = [what, said("field"), said("reason"), said("error")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        writeln!(out, "  {} {}", "warning:".yellow(), parts.join(": "))?;
    }
    Ok(())
}

fn text_of(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
