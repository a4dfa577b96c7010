//! `contacts`, `deliver` and `forget`.

use std::{error::Error, process::ExitCode, time::Duration};

use anstream::{eprintln, println};
use clap::Args;
use comfy_table::{Table, presets};
use connect_dynamics::{
    delivery::Report,
    history::State,
    store::recent::{Filter, Found, Recent, Scanned},
};
use console::{
    contacts::{
        self, DeliveredAgain, Integrations, Record, Sought,
        forget::{self, Known, Outcome, STAYS},
        timeline::{Event, RequestStory, Timeline, WouldSend, address, does},
    },
    deployment::Deployment,
};
use jiff::{SignedDuration, Timestamp, civil::Date};
use owo_colors::OwoColorize;
use serde_json::json;
use uuid::Uuid;

use super::plain;

type Done = Result<ExitCode, Box<dyn Error>>;

/// How long one look through the table takes before it is told how far it is.
const TIME: Duration = Duration::from_secs(10);
/// How many contacts are listed unless told otherwise.
const LISTED: usize = 50;

/// Lists contacts, the newest first, or tells what became of one.
#[derive(Args)]
pub(crate) struct List {
    /// A contact's id tells all of it. A record's id, a customer's number or address finds contacts.
    #[arg(value_name = "ID|NUMBER|RECORD")]
    sought: Option<String>,
    /// Only contacts in this state: failed, pending, delivered or skipped.
    #[arg(long)]
    state: Option<State>,
    /// Only contacts of this integration.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Only contacts of this day (UTC), such as 2026-11-28.
    #[arg(long, value_name = "DAY")]
    day: Option<Date>,
    /// How many contacts at the most.
    #[arg(long, value_name = "NUMBER", default_value_t = LISTED)]
    limit: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Also tells the values of attributes, bodies and answers of one contact.
    #[arg(long)]
    values: bool,
}

impl List {
    pub(crate) async fn run(&self, deployment: &Deployment) -> Done {
        let sought = self.sought.as_deref().and_then(Sought::read);
        if let Some(Sought::Id(id)) = sought
            && let Some(timeline) = Timeline::of(deployment, id).await?
        {
            if self.values {
                let who = deployment.operator().await;
                eprintln!(
                    "{} {who} is shown the values of the contact {id}",
                    Timestamp::now()
                );
            }
            if self.json {
                println!("{:#}", timeline.to_json(self.values));
            } else {
                print_timeline(&timeline, self.values);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let filter = Filter {
            state: self.state,
            integration: self.integration.clone(),
            ..sought.as_ref().map(Sought::filter).unwrap_or_default()
        };
        let (mut listed, mut next): (Vec<Recent>, _) = (Vec::new(), None);
        loop {
            let most = self.limit.saturating_sub(listed.len());
            if most == 0 {
                break;
            }
            let found = contacts::list(deployment, &filter, self.day, next, most).await?;
            let Found { contacts, next: on } = found;
            let is_nothing_new = contacts.is_empty();
            listed.extend(contacts);
            next = on;
            // Who looks for something wants it found; a list ends where there is nothing for weeks.
            let Some(on) = next else { break };
            if is_nothing_new && sought.is_none() {
                break;
            }
            if listed.len() < self.limit {
                eprintln!(
                    "{}",
                    format!("Looking further back, from {} on ...", on.day()).dimmed()
                );
            }
        }
        if self.json {
            println!("{:#}", json!(listed));
        } else if listed.is_empty() {
            match next {
                Some(next) => eprintln!("There is no such contact from {} on.", next.day()),
                None => eprintln!("There is no such contact."),
            }
        } else {
            print_list(&listed);
            if next.is_some() {
                println!("{}", "There are earlier ones: --limit, --day.".dimmed());
            }
        }
        let is_found = !listed.is_empty() || sought.is_none();
        Ok(if is_found {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn coloured(state: State) -> String {
    let text = state.as_str();
    match state {
        State::Failed => text.red().bold().to_string(),
        State::Pending => text.yellow().to_string(),
        State::Delivered => text.green().to_string(),
        State::Skipped => text.dimmed().to_string(),
    }
}

fn print_list(contacts: &[Recent]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "Began (UTC)",
        "State",
        "Contact",
        "Customer",
        "Integration",
        "Id",
    ]);
    for contact in contacts {
        let kind = [&contact.channel, &contact.direction];
        let kind = kind.into_iter().flatten().cloned().collect::<Vec<_>>();
        table.add_row([
            time(contact.started_at),
            contact.state.as_str().to_owned(),
            plain(&kind.join(" ")),
            plain(contact.customer.as_deref().unwrap_or_default()),
            plain(&contact.integration),
            contact.contact_id.to_string(),
        ]);
    }
    println!("{table}");
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn print_record(record: &Record) {
    let table = record.table.as_deref().unwrap_or("record");
    let url = record.url.as_deref().unwrap_or_default();
    println!("  {table} {} {}", record.id, url.dimmed());
}

fn print_timeline(timeline: &Timeline, with_values: bool) {
    let contact = &timeline.contact;
    let kind = [&contact.channel, &contact.direction];
    let kind = kind.into_iter().flatten().cloned().collect::<Vec<_>>();
    println!(
        "{} {} {}",
        contact.contact_id.bold(),
        plain(&kind.join(" ")),
        coloured(contact.state)
    );
    println!(
        "Integration {}, customer {}, began {} UTC",
        plain(&contact.integration),
        plain(contact.customer.as_deref().unwrap_or("unknown")),
        time(contact.started_at)
    );
    if let Some(url) = &timeline.contact_url {
        println!("In Amazon Connect: {url}");
    }
    if let Some(reason) = &timeline.no_integration {
        println!("{} {}", "No integration:".red().bold(), plain(reason));
    }
    let records = timeline.records();
    if !records.is_empty() {
        println!("In Dynamics:");
        records.into_iter().for_each(print_record);
    }
    for event in &timeline.events {
        println!();
        print_event(event, with_values);
    }
    if !with_values {
        println!("\n{}", "Values are hidden; --values tells them.".dimmed());
    }
}

fn print_event(event: &Event, with_values: bool) {
    let at = event.at.map(time).unwrap_or_default();
    println!("{at} {} {}", event.title().bold(), event.step.dimmed());
    if let Some(object) = &event.object {
        println!("  {}", plain(&object.url));
    }
    if let Some(attributes) = event.attributes.as_ref().filter(|_| with_values) {
        println!("  told {}", plain(&format!("{:#}", json!(attributes))));
    } else if event.attributes.is_some() {
        let names = plain(&event.attribute_names().join(", "));
        println!("  told {}", names.dimmed());
    }
    for request in &event.requests {
        print_request(request, with_values);
    }
}

fn print_request(request: &RequestStory, with_values: bool) {
    let history = &request.history;
    println!("  {}: {}", request.title(), coloured(history.state));
    if let Some(told) = &request.explanation {
        println!("    {}", plain(&told.what));
        if let Some(fix) = &told.fix {
            println!("    {} {}", "What to do:".bold(), plain(fix));
        }
    }
    if matches!(history.state, State::Failed | State::Pending)
        && let Some(reason) = &request.reason
    {
        println!("    {}", plain(reason).dimmed());
    }
    if let Some(words) = request.words.as_ref().filter(|_| with_values) {
        println!("    Dynamics says: {}", plain(words));
    }
    let first = history.first_tried_at.map(time);
    let tried = match (first, history.attempts) {
        (Some(first), 1) => format!(", tried once {first}"),
        (Some(first), attempts) => format!(", tried {attempts} times, first {first}"),
        (None, _) => ", not tried".into(),
    };
    let due = history.due_at.map(|due| format!(", next {}", time(due)));
    let due = due.unwrap_or_default();
    println!("    asked for {}{tried}{due}", time(history.intended_at));
    match &request.would_send {
        WouldSend::Nothing(reason) => println!("    {}", plain(reason).dimmed()),
        WouldSend::Requests(requests) => {
            for sent in requests {
                let (method, address) = (sent.method.as_str(), address(sent, with_values));
                println!(
                    "    {method} {address} {}, as it would be made now",
                    does(sent)
                );
                if let Some(body) = sent.body.as_ref().filter(|_| with_values) {
                    println!("    {}", plain(&format!("{:#}", json!(body))));
                }
            }
        }
    }
    if let Some(response) = history.response.as_ref().filter(|_| with_values) {
        println!("    answered {}", plain(&format!("{:#}", json!(response))));
    }
}

/// Delivers failed contacts again, once what they failed of is mended.
#[derive(Args)]
pub(crate) struct Deliver {
    /// The contacts' ids.
    #[arg(value_name = "ID", required_unless_present = "failed_since")]
    ids: Vec<Uuid>,
    /// All contacts that have failed since then, whatever they failed of: 2026-11-28T09:00:00Z, or 2h for the
    /// last two hours. Requests that may have been carried out are sent again, too, so say --also-in-doubt.
    #[arg(long, value_name = "TIME", conflicts_with = "ids", requires = "also_in_doubt", value_parser = moment)]
    failed_since: Option<Timestamp>,
    /// Also requests that may have been carried out, and may be so a second time.
    #[arg(long)]
    also_in_doubt: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ago: Option<SignedDuration> = text.parse().ok();
    let at = ago.and_then(|ago| Timestamp::now().checked_sub(ago.abs()).ok());
    at.ok_or_else(|| "it is neither a time (2026-11-28T09:00:00Z) nor a duration (2h)".into())
}

impl Deliver {
    pub(crate) async fn run(&self, deployment: &Deployment) -> Done {
        if let Some(since) = self.failed_since {
            return failed_since(deployment, since).await;
        }
        let mut is_all = true;
        for id in &self.ids {
            let done = contacts::deliver_again(deployment, *id, self.also_in_doubt).await?;
            let (told, is_well) = match done {
                DeliveredAgain::Tried(state) => (coloured(state), state != State::Failed),
                DeliveredAgain::NothingFailed(state) => {
                    (format!("{}; nothing of it had failed", coloured(state)), true)
                }
                DeliveredAgain::LeftOut => (
                    "left out: a request of it may have been carried out. Look in Dynamics, and give --also-in-doubt if it was not".into(),
                    false,
                ),
                DeliveredAgain::Unknown => ("nothing is known of it".into(), false),
                DeliveredAgain::NotTried(reason) => (format!("not tried: {reason}"), false),
            };
            println!("{id} {told}");
            is_all &= is_well;
        }
        Ok(if is_all {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

async fn failed_since(deployment: &Deployment, since: Timestamp) -> Done {
    let order = json!({"failedSince": since});
    let answer = deployment.invoke("redelivery", &order).await?;
    let report: Report = serde_json::from_value(answer)?;
    println!(
        "{} delivered, {} pending, {} failed requests of {} contacts that were looked at.",
        report.delivered, report.pending, report.failed, report.contacts
    );
    if report.complete {
        println!("What is pending is delivered by itself.");
        Ok(ExitCode::SUCCESS)
    } else {
        eprintln!("Not everything was looked at: there was more than one run could do. Repeat it.");
        Ok(ExitCode::FAILURE)
    }
}

/// Forgets a contact, or all contacts of a customer, for good. What is in Dynamics stays there.
#[derive(Args)]
pub(crate) struct Forget {
    /// The contact's id.
    #[arg(value_name = "ID", required_unless_present = "number")]
    id: Option<Uuid>,
    /// All contacts of this customer: the whole number with its country code, or an address.
    #[arg(long, value_name = "NUMBER", conflicts_with = "id")]
    number: Option<String>,
    /// Does it. Without, it is only told what would be done.
    #[arg(long)]
    yes: bool,
}

impl Forget {
    pub(crate) async fn run(&self, deployment: &Deployment) -> Done {
        let mut ids: Vec<Uuid> = self.id.into_iter().collect();
        let mut unreadable = Vec::new();
        if let Some(number) = &self.number {
            let found = look_through(deployment, number).await?;
            for id in &found.mentions {
                println!(
                    "{} {id} of another customer has the number somewhere, and is kept",
                    "note:".yellow().bold()
                );
            }
            for key in &found.unreadable {
                println!("{} the item {key} cannot be read", "note:".yellow().bold());
            }
            (ids, unreadable) = (found.contacts, found.unreadable);
        }
        let known = forget::known(deployment, &ids).await?;
        if known.is_empty() {
            eprintln!("There is no such contact.");
            return Ok(ExitCode::FAILURE);
        }
        for known in &known {
            let (id, state) = (known.contact.contact_id, known.contact.state);
            println!(
                "{id} {} {}",
                time(known.contact.started_at),
                coloured(state)
            );
        }
        if !self.yes {
            println!("These would be forgotten. What stays:");
            STAYS.iter().for_each(|stays| println!("  {stays}"));
            print_in_dynamics(&known);
            eprintln!("Nothing was done. Give --yes to do it.");
            return Ok(ExitCode::FAILURE);
        }
        let mut integrations = Integrations::of(deployment);
        let (mut gone, mut is_all) = (Vec::new(), unreadable.is_empty());
        for known in &known {
            let id = known.contact.contact_id;
            match forget::forget(id, &mut integrations).await? {
                Outcome::Gone(known) => gone.push(*known),
                Outcome::Unknown => {}
                Outcome::InUse(until) => {
                    eprintln!(
                        "{id} stays: a function is at work on it until {until} at the latest"
                    );
                    is_all = false;
                }
                Outcome::Changing => {
                    eprintln!("{id} stays: it changes all the time");
                    is_all = false;
                }
            }
        }
        println!("{} forgotten.", gone.len());
        print_in_dynamics(&gone);
        Ok(if is_all {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn print_in_dynamics(known: &[Known]) {
    let mut records = known.iter().flat_map(|known| &known.in_dynamics).peekable();
    if records.peek().is_some() {
        println!("Dynamics holds:");
        records.for_each(print_record);
    }
}

async fn look_through(deployment: &Deployment, number: &str) -> Result<Scanned, Box<dyn Error>> {
    let mut all = Scanned::default();
    loop {
        let from = all.next.take();
        let found = forget::look_for(deployment, number, from, TIME).await?;
        all.contacts.extend(found.contacts);
        all.mentions.extend(found.mentions);
        all.unreadable.extend(found.unreadable);
        all.looked_at += found.looked_at;
        all.next = found.next;
        if all.next.is_none() {
            return Ok(all);
        }
        eprintln!("{} contacts looked at ...", all.looked_at);
    }
}
