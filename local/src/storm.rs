//! The storm: many contacts' lives through the real binaries, with faults at every boundary, and an
//! audit of what Dynamics holds at the end against the events that were sent.
//!
//! A life's first step has several requests: its caller is looked for, and known, unknown (and then made a
//! lead) or withheld; the record is linked to who was found, and callers who are not known get a task beside
//! it. The agent who answers becomes the record's owner.
//!
//! Of the flows' invocations and the contact events one in ten never comes. What they would have told the
//! contact record tells, which comes twice and the second time with more, in any order. An analysis of what
//! was said becomes a note.
//!
//! Owns the lives' making and the audit. The seed decides each contact, its events' order and
//! repeats, and which request meets which fault; what the operating system schedules when is not ours
//! to decide.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anstream::println;
use comfy_table::{Cell, CellAlignment, Table, presets};
use connect_dynamics::{history::State, store::List};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    stand_in::fault::{Chaos, Effect, Faults},
    stream,
    system::{Options, REDELIVERY, System},
};

/// How hard it blows.
#[derive(Debug, Clone)]
pub struct Storm {
    pub contacts: u32,
    /// How many contacts are alive at the same time.
    pub concurrency: usize,
    /// The part of requests, and of invocations, that meet a fault.
    pub faults: f64,
    pub seed: u64,
    /// Processes of each function.
    pub processes: usize,
}

/// What the audit found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Audit {
    pub contacts: u32,
    pub records: usize,
    /// Contacts without a record.
    pub lost: u32,
    /// Records beyond one a contact.
    pub doubled: usize,
    /// Records that are not what the events say.
    pub wrong: u32,
    /// Contacts with a step that is still pending.
    pub pending: u32,
    /// Contacts with a step that has failed.
    pub failed: u32,
    /// Contacts whose look-ups were refused for good, and done again by hand.
    pub redone: u32,
    /// Flow replies that came later than the budget.
    pub late: u32,
    pub slowest_reply: Duration,
    pub invocations: u64,
    pub kills: u32,
    pub requests: usize,
    pub sending: Duration,
    pub settling: Duration,
    /// What is wrong, for the first few.
    pub examples: Vec<String>,
}

impl Audit {
    /// Whether nothing was lost, doubled, wrong, left or late.
    pub fn is_clean(&self) -> bool {
        self.lost == 0
            && self.doubled == 0
            && self.wrong == 0
            && self.pending == 0
            && self.failed == 0
            && self.late == 0
    }
}

/// What a flow's reply may take beyond its budget: the runtime API's own way there and back, on a
/// machine that is busy with the storm.
const GRACE: Duration = Duration::from_millis(500);
/// How long the settling may take before what is left counts as pending.
const PATIENCE: Duration = Duration::from_secs(300);
/// The part of the flows' invocations and contact events that never come.
const EVENTS_LOST: f64 = 0.1;

/// Lets a storm loose, and audits.
///
/// # Errors
/// When the system does not start, or the table cannot be read for the audit.
pub async fn run(storm: &Storm, mut options: Options) -> io::Result<Audit> {
    let table_faults = Faults::default();
    options.processes = storm.processes;
    options.table_faults = table_faults.clone();
    options.configuration["steps"]["contact-start"] = json!({
        "customer": {
            "tables": [{"entitySet": "contacts"}, {"entitySet": "accounts"}],
            "none": {"create": {"entitySet": "leads", "body": {
                "lastname": "{{ Customer.value }}", "mobilephone": "{{ Customer.value }}"
            }}}
        },
        "requests": [
            {"name": "call", "method": "POST", "entitySet": "phonecalls", "body": {
                "phonenumber": "{{CustomerEndpoint}}",
                "actualstart": "{{InitiationTimestamp}}",
                "subject": "{{ContactId}}",
                "from": "{{ Customer }}",
                "regardingobjectid": "{{ Customer }}"
            }},
            {"name": "task", "when": "Customer.count == 0", "method": "POST", "entitySet": "tasks", "body": {
                "subject": "{{ContactId}}", "description": "{{ Responses.call.activityid }}"
            }}
        ]
    });
    options.configuration["steps"]["contact-completed"] = json!({"request": {
        "method": "PATCH", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)",
        "body": {"subcategory": "{{ Attributes.wrapUp }}", "actualdurationminutes": "{{ DurationMinutes }}"}
    }});
    let recorded = options.configuration["steps"]["recording-available"]["request"].take();
    options.configuration["steps"]["recording-available"] = json!({
        "objectKinds": ["recording", "redacted-analysis"],
        "requests": [
            recorded,
            {"name": "note", "when": "ContactLens.Summary", "method": "POST", "entitySet": "annotations", "body": {
                "subject": "{{ContactId}}", "notetext": "{{ ContactLens.Summary }}", "objectid": "{{ Responses.call }}"
            }}
        ]
    });
    let recorded = &mut options.configuration["steps"]["recording-available"]["requests"][0];
    recorded["name"] = "recorded".into();
    recorded["main"] = true.into();
    recorded["when"] = "objectKind == 'recording'".into();
    options.configuration["steps"]["contact-answered"]["request"] = json!({
        "method": "PATCH", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)",
        "body": {"ownerid": "{{ Agent.Owner }}"}
    });
    let budget = options.configuration["flowBudgetMilliseconds"]
        .as_u64()
        .unwrap_or(3000);
    let budget = Duration::from_millis(budget) + GRACE;
    let system = Arc::new(System::start(options).await?);
    let agent = json!({"systemuserid": AGENT, "domainname": "agent.example"});
    let insert = |set, record| {
        let inserted = system.dataverse.insert(set, record);
        inserted.map_err(io::Error::other)
    };
    insert("systemusers", agent)?;
    for index in 0..storm.contacts {
        let life = Life::new(storm, index);
        system.s3.put(
            "example-connect-recordings",
            &analysis_key(life.id),
            analysis(life.id).to_string(),
        );
        if Caller::of(life.id) == Caller::Known {
            // As somebody typed it.
            let number = phone(life.id);
            let typed = format!("({}) {}-{}", &number[2..5], &number[5..8], &number[8..]);
            insert(
                "contacts",
                json!({"lastname": life.id.to_string(), "mobilephone": typed}),
            )?;
        }
    }
    set_chaos(&system, &table_faults, storm);

    let bar = ProgressBar::new(storm.contacts.into());
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} contacts, {elapsed}, {eta} left  {msg}");
    bar.set_style(style.map_err(io::Error::other)?);
    let began = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let tally = Arc::new(Tally::default());
    let schedule = tokio::spawn(redeliver_until(system.clone(), is_over.clone()));
    let permits = Arc::new(Semaphore::new(storm.concurrency));
    let mut lives = Vec::new();
    for index in 0..storm.contacts {
        let permit = permits
            .clone()
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (system, tally, bar, storm) =
            (system.clone(), tally.clone(), bar.clone(), storm.clone());
        lives.push(tokio::spawn(async move {
            let life = Life::new(&storm, index);
            life.live(&system, &tally, &storm).await;
            bar.inc(1);
            drop(permit);
            life.id
        }));
    }
    let mut contacts = Vec::new();
    for life in lives {
        contacts.push(life.await.map_err(io::Error::other)?);
    }
    let sending = began.elapsed();
    is_over.store(true, Ordering::Relaxed);
    schedule.await.map_err(io::Error::other)?;

    // The wind has dropped; the schedule goes on.
    for faults in [
        &table_faults,
        &system.dataverse.faults,
        &system.entra.faults,
        &system.secrets_manager.faults,
        &system.s3.faults,
    ] {
        faults.set_chaos(None);
    }
    bar.set_message("settling");
    let began = Instant::now();
    settle(&system, began).await?;
    let redone = redo_look_ups(&system, &contacts).await?;
    settle(&system, began).await?;
    let settling = began.elapsed();
    bar.finish_and_clear();

    let mut audit = audit(&system, &contacts).await?;
    audit.redone = redone;
    audit.late = tally
        .replies
        .lock()
        .expect("no one panics holding it")
        .iter()
        .filter(|reply| **reply > budget)
        .count()
        .try_into()
        .unwrap_or(u32::MAX);
    audit.slowest_reply = tally
        .replies
        .lock()
        .expect("no one panics holding it")
        .iter()
        .max()
        .copied()
        .unwrap_or_default();
    audit.invocations = tally.invocations.load(Ordering::Relaxed);
    audit.kills = tally.kills.load(Ordering::Relaxed);
    audit.requests = system.dataverse.take_exchanges().len();
    audit.sending = sending;
    audit.settling = settling;
    Ok(audit)
}

/// Lets redelivery run until nothing is listed as due, or the patience is over.
async fn settle(system: &System, began: Instant) -> io::Result<()> {
    while began.elapsed() < PATIENCE {
        let _ = system.redeliver().await;
        if listed(system).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Does by hand what a person would: look-ups that were refused for good, as an answer was too large, are done
/// again, with the links and owners that wait for them. Of anything else that has failed the audit tells.
/// Returns how many contacts that were.
async fn redo_look_ups(system: &System, contacts: &[Uuid]) -> io::Result<u32> {
    let mut redone = 0;
    for id in contacts {
        let stored = system.store.load(*id).await.map_err(io::Error::other)?;
        let requests = stored.iter().flat_map(|stored| stored.history.in_order());
        let failed: Vec<_> = requests
            .filter(|(_, request)| request.state == State::Failed)
            .collect();
        let is_look_up = |name: &str| matches!(name, "customer" | "new-customer" | "agent");
        let is_of_look_up = failed
            .iter()
            .any(|(key, _)| key.request().is_some_and(is_look_up));
        if is_of_look_up {
            redone += 1;
            let order = json!({"contactId": id});
            system.lambda.invoke(REDELIVERY, &order).await;
        }
    }
    Ok(redone)
}

fn set_chaos(system: &System, table_faults: &Faults, storm: &Storm) {
    let chaos = |effects: &[Effect]| Some(Chaos::new(storm.seed, storm.faults, effects.to_vec()));
    let passing = [
        Effect::status(503),
        Effect::status(502),
        Effect::status(504),
        Effect::CloseBefore,
        Effect::CloseAfter,
        Effect::Delay(200),
    ];
    let mut dynamics = passing.to_vec();
    dynamics.extend([
        Effect::throttled(1),
        Effect::refused(429, "0x80072326"),
        Effect::CloseAfter,
        Effect::CloseAfter,
        Effect::HtmlPage,
        Effect::SignInPage,
        Effect::TruncatedAnswer,
        Effect::LargeAnswer(2_000_000),
        Effect::Delay(5_000),
        Effect::SlowAnswer,
    ]);
    system.dataverse.faults.set_chaos(chaos(&dynamics));
    system.entra.faults.set_chaos(chaos(&passing));
    system.secrets_manager.faults.set_chaos(chaos(&passing));
    system.s3.faults.set_chaos(chaos(&[
        Effect::status(503),
        Effect::status(403),
        Effect::CloseBefore,
        Effect::Delay(200),
    ]));
    table_faults.set_chaos(chaos(&[
        Effect::refused(400, "ProvisionedThroughputExceededException"),
        Effect::refused(400, "ThrottlingException"),
        Effect::refused(500, "InternalServerError"),
        Effect::CloseBefore,
        Effect::CloseAfter,
        Effect::Delay(200),
    ]));
}

#[derive(Default)]
struct Tally {
    replies: Mutex<Vec<Duration>>,
    invocations: AtomicU64,
    kills: AtomicU32,
}

/// The schedule: redelivery, one at a time, again and again.
async fn redeliver_until(system: Arc<System>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        let _ = system.redeliver().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// One contact, and its events in the order they come.
struct Life {
    id: Uuid,
    events: Vec<(&'static str, Json)>,
    chance: Mutex<fastrand::Rng>,
}

impl Life {
    fn new(storm: &Storm, index: u32) -> Life {
        let mut chance = fastrand::Rng::with_seed(
            storm
                .seed
                .wrapping_mul(1_000_003)
                .wrapping_add(index.into()),
        );
        let id = Uuid::from_u128(chance.u128(..));
        let mut events = vec![
            ("contact-start", flow(id)),
            ("contact-answered", flow(id)),
            (
                "contact-end",
                if chance.bool() { flow(id) } else { ended(id) },
            ),
        ];
        // One in ten never comes.
        events.retain(|_| chance.f64() >= EVENTS_LOST);
        events.extend([
            ("recording-available", recorded(id)),
            ("recording-available", analysed(id)),
            (
                "contact-completed",
                stream::batch(&[("1", contact_record(id, 1).to_string())]),
            ),
            (
                "contact-completed",
                stream::batch(&[("2", contact_record(id, 2).to_string())]),
            ),
        ]);
        if chance.f64() < storm.faults {
            // Events come twice ...
            let twice = chance.usize(..events.len());
            events.push(events[twice].clone());
        }
        if chance.f64() < storm.faults {
            // ... and out of order.
            chance.shuffle(&mut events);
        }
        Life {
            id,
            events,
            chance: Mutex::new(chance),
        }
    }

    fn is_hit(&self, rate: f64) -> bool {
        self.chance.lock().expect("no one panics holding it").f64() < rate
    }

    async fn live(&self, system: &System, tally: &Tally, storm: &Storm) {
        for (function, event) in &self.events {
            // As its sender does: Connect repeats a call that failed, AWS an event that was not stored.
            for _ in 0..100 {
                tally.invocations.fetch_add(1, Ordering::Relaxed);
                let is_killed = self.is_hit(storm.faults / 10.0);
                let invocation = system.lambda.invoke(function, event);
                let killer = async {
                    if is_killed {
                        let pause = self
                            .chance
                            .lock()
                            .expect("no one panics holding it")
                            .u64(0..60);
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                        for name in [*function, REDELIVERY] {
                            tally.kills.fetch_add(
                                u32::from(system.lambda.kill_one(name)),
                                Ordering::Relaxed,
                            );
                        }
                    }
                };
                let (invoked, ()) = tokio::join!(invocation, killer);
                let Some(invoked) = invoked else {
                    continue;
                };
                // A process that was killed here is no reply; one that Lambda had to stop is a late one.
                let is_late = invoked.payload["errorType"] == "Sandbox.Timedout";
                if event.get("Details").is_some() && (is_late || !invoked.is_error) {
                    tally
                        .replies
                        .lock()
                        .expect("no one panics holding it")
                        .push(invoked.duration);
                }
                if invoked.is_error {
                    continue;
                }
                // A flow that is told that its event was not stored can only go on; here, as from the
                // log, the event is replayed. Of a stream, Lambda reads again what was not.
                let again = invoked.payload["batchItemFailures"].as_array();
                if invoked.payload["status"] != "failed" && again.is_none_or(Vec::is_empty) {
                    break;
                }
            }
        }
    }
}

/// Who calls.
#[derive(Clone, Copy, PartialEq)]
enum Caller {
    /// A contact has the number.
    Known,
    /// Nobody has it.
    Unknown,
    /// There is no number.
    Withheld,
}

impl Caller {
    fn of(id: Uuid) -> Caller {
        match id.as_u128() % 5 {
            0 => Caller::Withheld,
            1 | 2 => Caller::Unknown,
            _ => Caller::Known,
        }
    }
}

/// The user that the agent is in Dynamics.
const AGENT: Uuid = Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0001);

fn phone(id: Uuid) -> String {
    format!("+1555{:07}", id.as_u128() % 10_000_000)
}

fn flow(id: Uuid) -> Json {
    json!({"Name": "ContactFlowEvent", "Details": {"Parameters": {"Username": "agent.example"}, "ContactData": {
        "ContactId": id, "Channel": "VOICE", "InitiationMethod": "INBOUND", "Attributes": {},
        "CustomerEndpoint": endpoint(id)
    }}})
}

fn endpoint(id: Uuid) -> Json {
    let address = match Caller::of(id) {
        Caller::Withheld => "anonymous".to_owned(),
        Caller::Known | Caller::Unknown => phone(id),
    };
    json!({"Address": address, "Type": "TELEPHONE_NUMBER"})
}

fn ended(id: Uuid) -> Json {
    json!({"source": "aws.connect", "detail-type": "Amazon Connect Contact Event", "detail": {
        "eventType": "DISCONNECTED", "contactId": id, "channel": "VOICE",
        "disconnectTimestamp": "2026-02-04T21:20:30.000Z"
    }})
}

fn recorded(id: Uuid) -> Json {
    json!({"source": "aws.s3", "detail-type": "Object Created", "region": "us-east-1", "detail": {
        "bucket": {"name": "example-connect-recordings"},
        "object": {"key": format!("CallRecordings/2026/02/04/{id}_20260204T21:14_UTC.wav")}
    }})
}

fn analysis_key(id: Uuid) -> String {
    format!("Analysis/Voice/Redacted/2026/02/04/{id}_analysis_redacted_2026-02-04T21:24:16Z.json")
}

fn analysed(id: Uuid) -> Json {
    json!({"source": "aws.s3", "detail-type": "Object Created", "region": "us-east-1", "detail": {
        "bucket": {"name": "example-connect-recordings"}, "object": {"key": analysis_key(id)}
    }})
}

fn analysis(id: Uuid) -> Json {
    json!({
        "JobStatus": "COMPLETED", "LanguageCode": "en-US", "Transcript": [],
        "ConversationCharacteristics": {"ContactSummary": {"PostContactSummary": {"Content": summary(id)}}}
    })
}

fn summary(id: Uuid) -> String {
    format!("What was said in {id}.")
}

/// A contact's record; the second time with more than the first.
fn contact_record(id: Uuid, version: u8) -> Json {
    json!({
        "ContactId": id, "Channel": "VOICE", "InitiationMethod": "INBOUND",
        "InitiationTimestamp": "2026-02-04T21:14:05Z", "DisconnectTimestamp": "2026-02-04T21:20:30Z",
        "ConnectedToSystemTimestamp": "2026-02-04T21:14:05Z",
        "LastUpdateTimestamp": format!("2026-02-04T21:2{version}:00Z"),
        "CustomerEndpoint": endpoint(id), "Attributes": {"wrapUp": version.to_string()},
        "Agent": {"Username": "agent.example", "ConnectedToAgentTimestamp": "2026-02-04T21:15:00Z"}
    })
}

/// How many contacts the table lists as having something pending.
async fn listed(system: &System) -> io::Result<usize> {
    let lines = system.store.lines().await.map_err(io::Error::other)?;
    let mut contacts = 0;
    for line in lines {
        let list = system.store.list(&List::Line(line)).await;
        contacts += list.map_err(io::Error::other)?.len();
    }
    Ok(contacts)
}

async fn audit(system: &System, contacts: &[Uuid]) -> io::Result<Audit> {
    let mut records: BTreeMap<String, Vec<Map<String, Json>>> = BTreeMap::new();
    let held = system.dataverse.records("phonecalls");
    let others = Others {
        customers: ["contacts", "leads"]
            .map(|set| system.dataverse.records(set))
            .concat(),
        tasks: system.dataverse.records("tasks"),
        notes: system.dataverse.records("annotations"),
    };
    let mut audit = Audit {
        contacts: contacts.len().try_into().unwrap_or(u32::MAX),
        records: held.len(),
        ..Audit::default()
    };
    for record in held {
        records
            .entry(record["subject"].as_str().unwrap_or_default().to_owned())
            .or_default()
            .push(record);
    }
    for id in contacts {
        let mut note = |what: String| {
            if audit.examples.len() < 5 {
                audit.examples.push(format!("{id}: {what}"));
            }
        };
        let stored = system.store.load(*id).await.map_err(io::Error::other)?;
        let steps = stored.iter().flat_map(|stored| stored.history.in_order());
        let mut states = Vec::new();
        for (key, step) in steps {
            if matches!(step.state, State::Pending | State::Failed) {
                note(format!(
                    "{key} is {}: {}",
                    step.state.as_str(),
                    step.reason.as_deref().unwrap_or_default()
                ));
            }
            states.push(step.state);
        }
        audit.pending += u32::from(states.contains(&State::Pending));
        audit.failed += u32::from(states.contains(&State::Failed));
        match records.remove(&id.to_string()) {
            None => {
                audit.lost += 1;
                note("there is no record".into());
            }
            Some(found) => {
                audit.doubled += found.len() - 1;
                let parties = system.dataverse.parties(*id).len();
                let expected = usize::from(Caller::of(*id) != Caller::Withheld);
                let wrong = difference(*id, &found[0], &others).or_else(|| {
                    (parties != expected)
                        .then(|| format!("it has {parties} parties, not {expected}"))
                });
                if let Some(wrong) = wrong {
                    audit.wrong += 1;
                    note(wrong);
                }
            }
        }
    }
    // Records of nobody.
    audit.doubled += records.values().map(Vec::len).sum::<usize>();
    // One lead, and one task, for each caller who is not known.
    let unknown = contacts
        .iter()
        .filter(|id| Caller::of(**id) == Caller::Unknown);
    let unknown = unknown.count();
    let leads = system.dataverse.records("leads").len();
    audit.doubled += leads.saturating_sub(unknown) + others.tasks.len().saturating_sub(unknown);
    Ok(audit)
}

/// What Dynamics holds besides the contacts' records.
struct Others {
    customers: Vec<Map<String, Json>>,
    tasks: Vec<Map<String, Json>>,
    notes: Vec<Map<String, Json>>,
}

fn difference(id: Uuid, record: &Map<String, Json>, others: &Others) -> Option<String> {
    let number = endpoint(id)["Address"].clone();
    let named = match Caller::of(id) {
        Caller::Withheld => None,
        Caller::Unknown => Some(phone(id)),
        Caller::Known => Some(id.to_string()),
    };
    let customer = named.map_or(Some(Json::Null), |name| {
        let mut customers = others.customers.iter();
        let customer = customers.find(|customer| customer["lastname"] == name)?;
        let key = if customer.contains_key("leadid") {
            "leadid"
        } else {
            "contactid"
        };
        customer.get(key).cloned()
    });
    let Some(customer) = customer else {
        return Some("the caller is no customer".into());
    };
    let is_regarding = record
        .get("_regardingobjectid_value")
        .unwrap_or(&Json::Null);
    if *is_regarding != customer {
        return Some(format!("it is regarding {is_regarding}, not {customer}"));
    }
    let tasks = others
        .tasks
        .iter()
        .filter(|task| task["subject"] == id.to_string());
    let expected = usize::from(Caller::of(id) == Caller::Unknown);
    if tasks.clone().count() != expected {
        return Some(format!("there are {} tasks, not {expected}", tasks.count()));
    }
    let notes: Vec<&Json> = others
        .notes
        .iter()
        .filter(|note| note["subject"] == id.to_string())
        .map(|note| &note["notetext"])
        .collect();
    if notes != [&Json::from(summary(id))] {
        return Some(format!("its notes are {notes:?}"));
    }
    if record["actualdurationminutes"] != 7 {
        let minutes = &record["actualdurationminutes"];
        return Some(format!("actualdurationminutes is {minutes}, not 7"));
    }
    let url = format!(
        "https://example-connect-recordings.s3.us-east-1.amazonaws.com/CallRecordings/2026/02/04/{id}_20260204T21%3A14_UTC.wav"
    );
    for (column, expected) in [
        ("activityid", id.to_string()),
        (
            "phonenumber",
            number.as_str().unwrap_or_default().to_owned(),
        ),
        ("_ownerid_value", AGENT.to_string()),
        ("category", "VOICE".into()),
        ("subcategory", "2".into()),
        ("description", format!("Your Recording URI is {url}")),
    ] {
        if record[column] != expected {
            return Some(format!("{column} is {}, not {expected}", record[column]));
        }
    }
    record["actualstart"]
        .is_null()
        .then(|| "actualstart is missing".into())
}

/// Prints what the audit found.
pub fn print(storm: &Storm, audit: &Audit) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let lives = f64::from(audit.contacts) / audit.sending.as_secs_f64().max(0.001);
    for (what, value) in [
        ("contacts", audit.contacts.to_string()),
        ("records", audit.records.to_string()),
        ("lost", audit.lost.to_string()),
        ("doubled", audit.doubled.to_string()),
        ("wrong", audit.wrong.to_string()),
        ("still pending", audit.pending.to_string()),
        ("failed", audit.failed.to_string()),
        ("look-ups done again by hand", audit.redone.to_string()),
        ("flow replies over their budget", audit.late.to_string()),
        (
            "slowest flow reply",
            format!("{} ms", audit.slowest_reply.as_millis()),
        ),
        ("invocations", audit.invocations.to_string()),
        ("processes killed", audit.kills.to_string()),
        ("requests to Dynamics", audit.requests.to_string()),
        (
            "time of the storm",
            format!(
                "{:.1} s, {lives:.0} contacts a second",
                audit.sending.as_secs_f64()
            ),
        ),
        (
            "time to settle",
            format!("{:.1} s", audit.settling.as_secs_f64()),
        ),
    ] {
        table.add_row([
            Cell::new(what),
            Cell::new(value).set_alignment(CellAlignment::Right),
        ]);
    }
    for line in table.to_string().lines() {
        println!("{}", line.trim_end());
    }
    println!();
    if audit.is_clean() {
        println!(
            "{}",
            "Nothing was lost, doubled, wrong, left or late."
                .green()
                .bold()
        );
    }
    for example in &audit.examples {
        println!("{} {example}", "wrong:".red().bold());
    }
    println!(
        "The same storm again: cargo run -p local -- storm --contacts {} --concurrency {} --faults {} --seed {} --processes {}",
        storm.contacts, storm.concurrency, storm.faults, storm.seed, storm.processes
    );
}
