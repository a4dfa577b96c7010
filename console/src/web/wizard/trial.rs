//! Placing a test contact: the page that asks for it, and the page that shows how it goes.

use std::sync::{Arc, Mutex};

use axum::{
    Form,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use connect_dynamics::{integration::Integration, store::versions::Version};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use uuid::Uuid;

use super::{App, PageError, Section, Shared, Tone, notice, page, sample, see};
use crate::{
    form::{Pairs, filled},
    sample::{Changes, LIVES, life},
    trial::{self, Run, Sent, lock},
    web::Shown,
    words::sentence,
};

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
        events: trial::events(life, contact_id, &integration, &changes, now),
        is_over: false,
        cleans_up: !filled(&pairs, "clean").is_empty(),
        cleaned: Vec::new(),
    });
    let working = app.clone();
    tokio::spawn(async move {
        let environment = working.environment(integration.connection());
        trial::carry_out(&working.deployment, &environment, &run).await;
    });
    Ok(see(&format!("/integrations/{name}/try/{contact_id}")))
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
    let integration = lock(&run).integration.clone();
    let environment = app.environment(integration.connection());
    trial::delete(&app.deployment, &environment, &run).await;
    Ok(see(&format!("/integrations/{name}/try/{id}")))
}
