//! Trying it: one request of a step, or a whole test contact through the functions.
//!
//! Owns what was tried. Both write to the environment, and say so before. A test contact goes the way of a real
//! one: its events are sent to the functions, with the configuration in force. What it has made can be deleted
//! afterwards.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Form, Json as JsonBody,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use connect_dynamics::{
    dataverse::Method,
    history::{RequestKey, State as RequestState},
    integration::Integration,
    recording::{ObjectKind, RecordedObject},
    step::Step,
    store::{Stored, recent::Forgotten, versions::Version},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    App, Editing, PageError, Section, Shared, Tone,
    environment::{sentence, usable},
    notice, page, sample, see,
    step::{form_of, parse},
};
use crate::{
    form::{Pairs, StepForm, filled},
    preview::{Walk, is_made_up},
    sample::{Changes, LIVES, Life, SampleSource, life},
    web::Shown,
};

/// The test contacts that were placed.
#[derive(Debug, Default)]
pub(crate) struct Trials(Mutex<BTreeMap<Uuid, Arc<Mutex<Run>>>>);

/// No more of them are remembered.
const MOST_RUNS: usize = 50;

/// A test contact. Its id is the contact's.
#[derive(Debug, Clone)]
struct Run {
    contact_id: Uuid,
    /// The leg before it, where it is a later leg.
    first_leg: Option<Uuid>,
    /// What was in force when it was placed, and where its records are looked for afterwards.
    integration: Arc<Integration>,
    title: &'static str,
    /// When that was published.
    published_at: Option<Timestamp>,
    started_at: Timestamp,
    events: Vec<Sent>,
    is_over: bool,
    cleans_up: bool,
    /// What was deleted, or why something was not.
    cleaned: Vec<Result<String, String>>,
}

/// An event of a test contact.
#[derive(Debug, Clone)]
struct Sent {
    step: Step,
    event: Json,
    reply: Option<Result<Json, String>>,
    took: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trials {
    fn get(&self, id: Uuid) -> Option<Arc<Mutex<Run>>> {
        lock(&self.0).get(&id).cloned()
    }

    fn add(&self, run: Run) -> Arc<Mutex<Run>> {
        let mut runs = lock(&self.0);
        while runs.len() >= MOST_RUNS {
            let oldest = runs.iter().min_by_key(|(_, run)| lock(run).started_at);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                break;
            };
            runs.remove(&oldest);
        }
        let id = run.contact_id;
        let run = Arc::new(Mutex::new(run));
        runs.insert(id, run.clone());
        run
    }
}

/// Sends a request of a step, as it is filled in, for the sample contact.
pub(super) async fn send(
    State(app): State<Shared>,
    Path((name, step)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<JsonBody<Json>, PageError> {
    let step = parse(&step)?;
    let key: RequestKey = filled(&pairs, "send")
        .parse()
        .map_err(PageError::BadRequest)?;
    let mut editing = Editing::load(&app, &name).await?;
    let form = StepForm::read(&pairs, &form_of(&editing, step));
    editing.edited.set_step(step, form.json(step), true);
    let told = |tone, text: &str| {
        let markup = notice(tone, &html! { p { (text) } });
        Ok(JsonBody(json!({"told": markup.into_string()})))
    };
    let connection = match usable(&editing) {
        Ok(connection) => connection,
        Err(problems) => {
            let problems = problems.join("; ");
            return told(
                Tone::Bad,
                &format!("The connection is not complete yet: {problems}"),
            );
        }
    };
    let Ok(integration) = editing.edited.for_preview(step) else {
        return told(Tone::Bad, "Mend what is marked in red first.");
    };
    if !form.problems().is_empty() {
        return told(Tone::Bad, "Mend what is marked in red first.");
    }
    let sample = sample(&app, &name);
    if filled(&pairs, "sample") != sample.id.to_string() {
        return told(
            Tone::Warn,
            "The sample contact was changed in another window. Look at what would be sent now, and send it again.",
        );
    }
    let preview = Walk::new(&integration, &sample, Timestamp::now()).step(step);
    let previewed = preview.requests.into_iter().find(|it| it.key == key);
    let Some(previewed) = previewed.filter(|it| !it.requests().is_empty()) else {
        return told(Tone::Warn, "Nothing is sent for this sample contact.");
    };
    let writes = previewed
        .requests()
        .iter()
        .any(|request| request.method != Method::Get);
    if writes && matches!(sample.source, SampleSource::Contact(_)) {
        return told(
            Tone::Bad,
            "The sample is a contact that was recorded: this would change its record in Dynamics. Choose a made-up sample contact to send it.",
        );
    }
    if previewed.requests().iter().any(is_made_up) {
        return told(
            Tone::Warn,
            "This request names a record that this preview has made up, such as the customer. Send the requests before it first; what Dynamics answers is then used here.",
        );
    }
    let environment = app.environment(&connection);
    let operator = app.deployment.operator().await;
    let mut answers = Vec::new();
    for request in previewed.requests() {
        eprintln!(
            "{operator} sends a {} to {} from the wizard",
            request.method.as_str(),
            connection.environment_uri
        );
        match environment.send(request).await {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                let detail = error.detail().filter(|detail| !detail.is_empty());
                let markup = notice(
                    Tone::Bad,
                    &html! {
                        p { strong { "Dynamics has not taken it. " } (sentence(&error.to_string())) }
                        @if let Some(detail) = detail { p.small { "Dynamics says: " (detail) } }
                    },
                );
                return Ok(JsonBody(json!({"told": markup.into_string()})));
            }
        }
    }
    let was_there = answers.iter().any(|answer| answer.was_there);
    let status = answers.last().map_or(0, |answer| answer.status);
    let read = previewed.read(&integration, &answers);
    let (record, told) = match read {
        Err(reason) => (None, format!("Dynamics has answered {status}: {reason}.")),
        Ok((id, body)) => {
            let mut samples = lock(&app.samples);
            if let Some(sample) = samples.get_mut(&name) {
                sample.answers.insert(key.to_string(), (id, body));
            }
            let told = if was_there {
                "The record was there already, from an earlier try. Dynamics has it as it was; choose a new sample contact to make another."
            } else {
                "Dynamics has taken it. What it has answered is used in the previews of the steps that follow."
            };
            (id, told.to_owned())
        }
    };
    let link = record.zip(previewed.table.as_ref());
    let link = link.map(|(id, table)| integration.connection().record_url(&table.logical_name, id));
    let markup = notice(
        Tone::Good,
        &html! {
            p { strong { "Status " (status) ". " } (told) }
            @if let Some(url) = link { p { a href=(url) target="_blank" rel="noopener" { "Open the record in Dynamics" } } }
        },
    );
    Ok(JsonBody(json!({"told": markup.into_string()})))
}

/// The integration in force, whose functions a test contact goes through.
async fn in_force(
    app: &App,
    name: &str,
) -> Result<Option<(Integration, Option<Timestamp>)>, PageError> {
    let version = app.deployment.store.version_in_force(name).await?;
    let Some(Version {
        document,
        published_at,
        ..
    }) = version
    else {
        if app.deployment.store.draft(name).await?.is_none() {
            return Err(PageError::NotFound(format!(
                "There is no integration `{name}`."
            )));
        }
        return Ok(None);
    };
    let integration = Integration::load(&document);
    let integration = integration.map_err(|error| PageError::BadRequest(error.to_string()))?;
    Ok(Some((integration, published_at)))
}

/// How long a function that is in use may go by the version before: it looks for a new one once a minute, while it
/// answers by the one that it has.
const UNTIL_TAKEN: SignedDuration = SignedDuration::from_mins(2);

/// Says that functions may go by another version than the one in force.
fn too_early(published_at: Option<Timestamp>, now: Timestamp) -> Markup {
    let age = published_at.map(|at| now.duration_since(at));
    let is_early = age.is_some_and(|age| age < UNTIL_TAKEN);
    html! {
        @if is_early {
            (notice(Tone::Warn, &html! {
                p { strong { "This version was published less than two minutes ago." } " Functions that are in use may still go by the version before, for this test contact too. Wait until two minutes are over to be sure." }
            }))
        }
    }
}

pub(super) async fn show(State(app): State<Shared>, Path(name): Path<String>) -> Shown {
    let integration = in_force(&app, &name).await?;
    let has_draft = app.deployment.store.draft(&name).await?.is_some();
    let sample = sample(&app, &name);
    let main = html! {
        p.small { a href="/" { "Integrations" } " / " a href={ "/integrations/" (name) "/connection" } { (name) } }
        h1 { "Place a test contact" }
        @match &integration {
            None => {
                div.empty {
                    p { "Nothing of this integration is in force yet. A test contact goes through the functions, which read what is published." }
                    p { a.button.primary href={ "/integrations/" (name) "/publish" } { "Review and publish" } }
                }
            }
            Some((integration, published_at)) => {
                p.lead { "A made-up contact goes through the functions as a real one does: it starts, is answered, ends, and its recording and its contact record come." }
                (notice(Tone::Warn, &html! {
                    p { strong { "This writes to " (integration.connection().environment_uri) "." } " What it makes there you can have deleted afterwards, if the application's security role may delete it." }
                }))
                (too_early(*published_at, Timestamp::now()))
                @if has_draft { (notice(Tone::Plain, &html! { p { "There is a draft. The test contact goes by what is in force, not by the draft." } })) }
                form.card method="post" action={ "/integrations/" (name) "/try" } {
                    div.field {
                        label for="t-life" { "Kind of contact" }
                        select #t-life name="life" { @for life in &LIVES { option value=(life.name) { (life.title) } } }
                    }
                    div.row {
                        div.field {
                            label for="t-customer" { "Customer's number or address" }
                            input #t-customer type="text" name="customer" value=(sample.changes.customer) autocomplete="off";
                            p.hint { "A made-up one unless given. With one of a customer in Dynamics you see that customer found." }
                        }
                        div.field {
                            label for="t-agent" { "Agent's user name" }
                            input #t-agent type="text" name="agent" value=(sample.changes.agent) autocomplete="off";
                            p.hint { "As in Amazon Connect. A made-up one unless given." }
                        }
                    }
                    (super::fields::tick("clean", "Delete what it makes when it is over", false, "The records in Dynamics, and what the table remembers of the contact."))
                    div.actions { button.primary type="submit" { "Place the test contact" } }
                }
            }
        }
    };
    Ok(page(
        &app,
        Section::Integrations,
        "Place a test contact",
        &main,
    ))
}

/// The events of a test contact. Files of what was said are not there, so events of objects whose step reads one
/// are left out.
fn events(
    life: &Life,
    contact_id: Uuid,
    integration: &Integration,
    changes: &Changes,
    now: Timestamp,
) -> Vec<Sent> {
    let mut events = Vec::new();
    let first_leg = life.first_leg_of(contact_id, now);
    for (step, mut event) in first_leg.into_iter().chain(life.events_of(contact_id, now)) {
        changes.apply(&mut event);
        if let Some(parameters) = event.pointer_mut("/Details/Parameters")
            && let Some(parameters) = parameters.as_object_mut()
        {
            parameters.insert("integration".into(), integration.name().into());
        }
        if let Some(bucket) = &integration.connection().recording_bucket
            && let Some(name) = event.pointer_mut("/detail/bucket/name")
        {
            *name = bucket.as_str().into();
        }
        if step == Step::RecordingAvailable {
            let object = RecordedObject {
                kind: ObjectKind::Recording,
                bucket: String::new(),
                key: String::new(),
                url: String::new(),
            };
            let key = RequestKey::of_object(step, &object);
            let names = integration.configuration().steps.get(step);
            let names = names.into_iter().flat_map(|view| view.requests);
            let named = names.filter_map(|(_, request)| Some(key.named(request.name.as_ref()?)));
            let reads = |key: &RequestKey| integration.reads_conversation(key);
            if reads(&key) || named.into_iter().any(|key| reads(&key)) {
                continue;
            }
        }
        events.push(Sent {
            step,
            event,
            reply: None,
            took: Duration::ZERO,
        });
    }
    events
}

/// Places a test contact.
pub(super) async fn place(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let Some((integration, published_at)) = in_force(&app, &name).await? else {
        return Err(PageError::BadRequest(
            "Nothing of this integration is in force yet. Publish it first.".into(),
        ));
    };
    let life = life(filled(&pairs, "life"))
        .ok_or_else(|| PageError::BadRequest("There is no such kind of contact.".into()))?;
    let changes = Changes {
        customer: filled(&pairs, "customer").to_owned(),
        agent: filled(&pairs, "agent").to_owned(),
        ..Changes::default()
    };
    let (contact_id, now) = (Uuid::new_v4(), Timestamp::now());
    let operator = app.deployment.operator().await;
    eprintln!("{operator} places the test contact {contact_id} in the integration {name}");
    let integration = Arc::new(integration);
    let run = app.trials.add(Run {
        contact_id,
        first_leg: life.first_leg(contact_id),
        integration: integration.clone(),
        title: life.title,
        published_at,
        started_at: now,
        events: events(life, contact_id, &integration, &changes, now),
        is_over: false,
        cleans_up: !filled(&pairs, "clean").is_empty(),
        cleaned: Vec::new(),
    });
    tokio::spawn(carry_out(app.clone(), run));
    Ok(see(&format!("/integrations/{name}/try/{contact_id}")))
}

async fn carry_out(app: Shared, run: Arc<Mutex<Run>>) {
    let number = lock(&run).events.len();
    for index in 0..number {
        let sent = lock(&run).events[index].clone();
        let began = Instant::now();
        let reply = app.deployment.invoke(sent.step.as_str(), &sent.event).await;
        let mut run = lock(&run);
        run.events[index].took = began.elapsed();
        run.events[index].reply = Some(reply.map_err(|error| error.to_string()));
    }
    let cleans_up = lock(&run).cleans_up;
    if cleans_up {
        delete(&app, &run).await;
    }
    lock(&run).is_over = true;
}

/// Deletes what a test contact has made: its records in Dynamics, the last one first, and its history.
///
/// Only records are deleted whose id is made of this contact's id. What was found or updated stays. A customer who
/// was created, and a record that is another contact's, stay and are named.
async fn delete(app: &App, run: &Mutex<Run>) {
    let (ids, integration) = {
        let run = lock(run);
        let ids: Vec<Uuid> = [Some(run.contact_id), run.first_leg]
            .into_iter()
            .flatten()
            .collect();
        (ids, run.integration.clone())
    };
    let mut cleaned = Vec::new();
    // What is pending of one contact may need the other's record.
    for id in &ids {
        let stored = app.deployment.store.load(*id).await;
        let is_pending = |stored: Stored| stored.history.count(RequestState::Pending) > 0;
        if stored.is_ok_and(|stored| stored.is_some_and(is_pending)) {
            let why = "something of the contact is still pending, and would be made after all; delete it when everything is delivered or has failed";
            lock(run).cleaned = vec![Err(why.to_owned())];
            return;
        }
    }
    for id in &ids {
        delete_contact(app, &integration, *id, &ids, &mut cleaned).await;
    }
    if cleaned.is_empty() {
        cleaned.push(Ok("nothing is known of the contact any more".to_owned()));
    }
    lock(run).cleaned = cleaned;
}

/// Deletes what a contact has made. Records of the other contacts of the same test are theirs to delete.
async fn delete_contact(
    app: &App,
    integration: &Integration,
    contact_id: Uuid,
    of_test: &[Uuid],
    cleaned: &mut Vec<Result<String, String>>,
) {
    let stored = match app.deployment.store.load(contact_id).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return,
        Err(error) => {
            cleaned.push(Err(error.to_string()));
            return;
        }
    };
    let history = &stored.history;
    let environment = app.environment(integration.connection());
    let mut is_all_gone = true;
    for (key, request) in history.in_order().into_iter().rev() {
        let own = integration.own_record_id(contact_id, key);
        let is_delivered = request.state == RequestState::Delivered;
        let (Some(id), Some(table)) = (own, integration.table(key)) else {
            if key.request() == Some("new-customer") && is_delivered {
                let id = request.record_id.unwrap_or_default();
                cleaned.push(Ok(format!(
                    "the customer {id}, who was created, stays: other contacts of the same number share this record"
                )));
            }
            continue;
        };
        if is_delivered && request.record_id != Some(id) {
            let is_of_test =
                |other: &Uuid| integration.own_record_id(*other, key) == request.record_id;
            if !of_test.iter().any(is_of_test) {
                cleaned.push(Ok(format!(
                    "the record of {key} stays: it is another contact's, or was there before"
                )));
            }
            continue;
        }
        let name = &table.logical_name;
        match environment.delete(&table.entity_set, id).await {
            Ok(true) => cleaned.push(Ok(format!("{name} {id} is deleted in Dynamics"))),
            // What has failed was not made as a rule.
            Ok(false) if !is_delivered => {}
            Ok(false) => {
                is_all_gone = false;
                cleaned.push(Err(format!(
                    "there is no {name} {id} in Dynamics: it was deleted by somebody, or a function has made it by a configuration that is not in force any more"
                )));
            }
            Err(error) => {
                is_all_gone = false;
                cleaned.push(Err(format!("{name} {id} is still in Dynamics: {error}")));
            }
        }
    }
    if !is_all_gone {
        cleaned.push(Err(
            "what is remembered of the contact was kept, so that it can be tried again".into(),
        ));
        return;
    }
    cleaned.push(match app.deployment.store.forget(contact_id).await {
        Ok(Forgotten::Gone(_) | Forgotten::Unknown) => Ok(format!(
            "what was remembered of the contact {contact_id} is deleted"
        )),
        Ok(Forgotten::InUse(until)) => Err(format!(
            "the contact is still remembered: a function is at work on it until {until}"
        )),
        Err(error) => Err(format!("the contact is still remembered: {error}")),
    });
}

fn find(app: &App, id: &str) -> Result<Arc<Mutex<Run>>, PageError> {
    let none = || {
        PageError::NotFound(
            "This console knows no such test contact: it was placed before the console was started."
                .into(),
        )
    };
    let id = Uuid::try_parse(id).map_err(|_| none())?;
    app.trials.get(id).ok_or_else(none)
}

/// How a test contact goes.
pub(super) async fn run(
    State(app): State<Shared>,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let run = lock(&*find(&app, &id)?).clone();
    let stored = app.deployment.store.load(run.contact_id).await?;
    let record = stored.as_ref();
    let record = record.and_then(|stored| run.integration.record(&stored.history));
    let progress = progress(&name, &run, record.as_ref().map(|(_, url)| url.as_str()));
    if query.as_deref() == Some("part") {
        return Ok(progress.into_response());
    }
    let main = html! {
        p.small { a href="/" { "Integrations" } " / " a href={ "/integrations/" (name) "/try" } { "Place a test contact" } }
        h1 { "Test contact: " (run.title) }
        p.muted { "Contact " code { (run.contact_id) } }
        div #progress data-poll=[(!run.is_over).then(|| format!("/integrations/{name}/try/{id}?part"))] { (progress) }
        noscript { p { a href={ "/integrations/" (name) "/try/" (id) } { "Look again" } } }
    };
    Ok(page(&app, Section::Integrations, "Test contact", &main).into_response())
}

fn progress(name: &str, run: &Run, record: Option<&str>) -> Markup {
    let replied = |sent: &&Sent| sent.reply.is_some();
    let done = run.events.iter().filter(replied).count();
    let is_delivered = |sent: &Sent| {
        let reply = sent.reply.as_ref().and_then(|reply| reply.as_ref().ok());
        reply.is_some_and(|reply| matches!(reply["status"].as_str(), Some("delivered" | "skipped")))
    };
    let is_good = run.events.iter().all(is_delivered);
    html! {
        (too_early(run.published_at, run.started_at))
        @if !run.is_over {
            p.busy role="status" { (done) " of " (run.events.len()) " events are answered ..." }
            progress value=(done) max=(run.events.len()) aria-label="Events that are answered" {}
        } @else if is_good {
            (notice(Tone::Good, &html! {
                p role="status" { strong { "Everything was delivered." } }
                p {
                    @if let Some(url) = record { a.button.primary href=(url) target="_blank" rel="noopener" { "Open the record in Dynamics" } " " }
                    @if run.cleaned.is_empty() { a href={ "/contacts/" (run.contact_id) } { "Its timeline" } }
                }
            }))
        } @else {
            (notice(Tone::Bad, &html! {
                p role="status" { strong { "Not everything was delivered." } " The timeline tells why, and what to do." }
                p { a.button.primary href={ "/contacts/" (run.contact_id) } { "Look at the timeline" } }
            }))
        }
        ol.events {
            @for (index, sent) in run.events.iter().enumerate() { (event(sent, index == done && !run.is_over)) }
        }
        @if !run.cleaned.is_empty() {
            h2 { "Cleaned up" }
            ul {
                @for what in &run.cleaned {
                    @match what {
                        Ok(what) => { li { (sentence(what)) } }
                        Err(why) => { li { p.error { (sentence(why)) } } }
                    }
                }
            }
        }
        @let is_clean = run.cleaned.iter().all(Result::is_ok) && !run.cleaned.is_empty();
        @if run.is_over && !is_clean {
            form method="post" action={ "/integrations/" (name) "/try/" (run.contact_id) "/clean" } {
                div.actions { button type="submit" { "Delete what it has made" } a href={ "/integrations/" (name) "/try" } { "Place another" } }
            }
        } @else if run.is_over {
            p { a href={ "/integrations/" (name) "/try" } { "Place another" } }
        }
    }
}

fn event(sent: &Sent, is_going: bool) -> Markup {
    let status = match &sent.reply {
        None => None,
        Some(Ok(reply)) => Some(reply["status"].as_str().unwrap_or("answered").to_owned()),
        Some(Err(_)) => Some("failed".to_owned()),
    };
    html! {
        li.card {
            p {
                strong { (super::Stage::Step(sent.step).title()) } " "
                @match &status {
                    Some(status) => { span class={ "badge " (status) } { (status) } span.muted.small { " after " (sent.took.as_millis()) " ms" } }
                    None if is_going => { span.busy { "is being sent" } }
                    None => { span.badge { "not sent yet" } }
                }
            }
            @match &sent.reply {
                Some(Ok(reply)) => {
                    dl.facts {
                        @for (name, value) in reply.as_object().into_iter().flatten() {
                            @if name != "status" { dt { (name) } dd { (value.as_str().unwrap_or_default()) } }
                        }
                    }
                }
                Some(Err(error)) => { p.error { (sentence(error)) } }
                None => {}
            }
        }
    }
}

/// Deletes what a test contact has made.
pub(super) async fn clean(
    State(app): State<Shared>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let run = find(&app, &id)?;
    if !lock(&run).is_over {
        return Err(PageError::BadRequest(
            "The test contact is still on its way.".into(),
        ));
    }
    delete(&app, &run).await;
    Ok(see(&format!("/integrations/{name}/try/{id}")))
}
