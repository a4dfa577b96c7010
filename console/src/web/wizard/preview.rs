//! What a step would send for a sample contact, beside the step's form.
//!
//! Owns the page's part that shows it, and the answer to the script that asks for it anew while one types.

use std::sync::PoisonError;

use axum::{
    Form, Json as JsonBody,
    extract::{Path, State},
    response::Response,
};
use connect_dynamics::{
    contact::RECORD_NAMES,
    dataverse::{Method, Request},
    step::Step,
    store::{
        StoreError,
        recent::{Filter, Place},
    },
};
use jiff::{SignedDuration, Timestamp, tz::Offset};
use maud::{Markup, PreEscaped, html};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    App, Editing, PageError, Shared,
    fields::Says,
    see,
    step::{form_of, parse},
};
use crate::{
    form::{Pairs, StepForm, filled},
    preview::{Outcome, Preview, Previewed, Walk},
    sample::{Changes, Finds, LIVES, Sample, SampleSource, attribute_names, life},
};

/// A step's preview, and what is said of its form.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) says: Says,
    preview: Option<Preview>,
    service_root: String,
    environment: String,
    /// The sample contact's id, and what it is.
    sample: (Uuid, String),
    /// Names that templates can use, each with what it means for the sample contact.
    names: Vec<(String, String)>,
}

/// Looks at what a step's form would send.
pub(super) fn look(app: &App, editing: &Editing, step: Step, form: &StepForm) -> Look {
    let own = format!("steps.{step}");
    let mut look = Look::default();
    // A step that is left out has no remarks; what is filled in for it is looked at all the same.
    let mut shown = editing.edited.clone();
    shown.set_step(step, form.json(step), true);
    let is_empty = form.json(step).as_object().is_some_and(Map::is_empty);
    let remarks = shown.remarks();
    let ours = remarks
        .iter()
        .filter(|remark| remark.place.starts_with(&own) && (form.is_on || !is_empty));
    let ours: Vec<_> = ours.cloned().collect();
    look.says = Says::of(&ours, |remark| {
        let slot = form.slot_of(step, &remark.place, &remark.message);
        Some(slot.unwrap_or_default())
    });
    for (slot, messages) in form.problems() {
        for message in messages {
            look.says.add(&slot, message, true);
        }
    }
    let sample = super::sample(app, &editing.name);
    look.sample = (sample.id, sample.title());
    match shown.for_preview(step) {
        Ok(integration) => {
            look.service_root = integration.connection().service_root();
            look.environment = integration.connection().environment_uri.clone();
            let walk = Walk::new(&integration, &sample, Timestamp::now());
            look.names = names(&walk, &integration, step);
            let preview = walk.step(step);
            for (place, value) in preview.values(step) {
                if let Some(slot) = form.slot(step, &place) {
                    look.says.values.insert(slot, value);
                }
            }
            look.preview = Some(preview);
        }
        Err(wrong) => {
            for remark in wrong {
                let slot = form.slot_of(step, &remark.place, &remark.message);
                let slot = slot.unwrap_or_default();
                look.says.add(&slot, remark.message, true);
            }
        }
    }
    look
}

/// The names that a step's templates can use: attributes, the product's own, responses of the steps before.
fn names(
    walk: &Walk,
    integration: &connect_dynamics::integration::Integration,
    step: Step,
) -> Vec<(String, String)> {
    let history = walk.history();
    let attributes = history.attributes();
    let mut names = attribute_names(&attributes);
    for (name, value) in attributes.derived() {
        names.push((name, crate::sample::shown(&value)));
    }
    for name in connect_dynamics::template::product_names() {
        names.push((name.to_owned(), "set by the product".into()));
    }
    for (key, request) in history.in_order() {
        if key.step() > step || key.is_of_object() && key.step() != step {
            continue;
        }
        let Some(response) = &request.response else {
            continue;
        };
        let root = match key.request() {
            None => key.step().response_name(),
            Some("customer" | "new-customer") => "Customer".into(),
            Some("agent") => "Agent.Owner".into(),
            Some(name) => format!("Responses.{name}"),
        };
        if key.step() == step && key.request().is_none() {
            continue;
        }
        for (field, value) in response {
            if !value.is_object() && !value.is_array() {
                names.push((format!("{root}.{field}"), crate::sample::shown(value)));
            }
        }
    }
    if integration.configuration().steps.look_for_customers() {
        names.push((
            "Customer".into(),
            "the customer who was found, for a lookup".into(),
        ));
    }
    names.push(("Agent.Owner".into(), "the agent's user, for ownerid".into()));
    for name in RECORD_NAMES {
        if !names.iter().any(|(known, _)| known == name) {
            names.push((
                (*name).to_owned(),
                "not known of this sample contact".into(),
            ));
        }
    }
    names.sort();
    names.dedup_by(|one, other| one.0 == other.0);
    names
}

/// The preview's part of the page.
pub(super) fn aside(
    app: &App,
    editing: &Editing,
    step: Step,
    look: &Look,
    recent: &[(Uuid, String)],
) -> Markup {
    let sample = super::sample(app, &editing.name);
    html! {
        aside.preview aria-labelledby="preview-title" {
            h2 #preview-title tabindex="-1" { "What would be sent" }
            (chooser(editing, step, &sample, recent))
            p.small role="status" data-preview-status {}
            div data-preview-content { (content(editing, step, look)) }
            p.muted.small role="status" data-note {}
            script type="application/json" data-names { (PreEscaped(script_json(&names_json(look)))) }
        }
    }
}

/// JSON that is safe inside a script element: no `<` can end it.
fn script_json(value: &Json) -> String {
    value.to_string().replace('<', "\\u003c")
}

fn names_json(look: &Look) -> Json {
    let names = look.names.iter();
    names.map(|(name, value)| json!([name, value])).collect()
}

/// Contacts that were recorded lately and can be the sample. Nothing is shown of them but what they are; none
/// where they cannot be listed.
pub(super) async fn recent(app: &App, integration: &str) -> Vec<(Uuid, String)> {
    let filter = Filter {
        integration: Some(integration.to_owned()),
        ..Filter::default()
    };
    let now = Timestamp::now();
    let week_ago = now - SignedDuration::from_hours(7 * 24);
    let until = Offset::UTC.to_datetime(week_ago).date();
    let store = &app.deployment.store;
    let found = store.recent(&filter, Place::newest(now), until, 10).await;
    let contacts = found.map(|found| found.contacts).unwrap_or_default();
    let contacts = contacts.into_iter().map(|contact| {
        let at = contact.started_at.strftime("%Y-%m-%d %H:%M UTC");
        let parts = [contact.channel, contact.direction];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (
            contact.contact_id,
            format!("{} of {at}", parts.join(", ").to_lowercase()),
        )
    });
    contacts.collect()
}

fn chooser(editing: &Editing, step: Step, sample: &Sample, recent: &[(Uuid, String)]) -> Markup {
    let chosen = match &sample.source {
        SampleSource::Life(name) => name.clone(),
        SampleSource::Contact(history) => history.contact_id().to_string(),
    };
    let is_contact = matches!(sample.source, SampleSource::Contact(_));
    let attributes = sample.changes.attributes.iter();
    let attributes: Vec<String> = attributes
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let has_customer = editing.edited.configuration["steps"]
        .to_string()
        .contains("\"customer\"");
    html! {
        form.sample method="post" action={ "/integrations/" (editing.name) "/sample" } data-sample {
            input type="hidden" name="step" value=(step.as_str());
            div.row {
                div.field {
                    label for="s-life" { "Sample contact" }
                    select #s-life name="life" data-submits {
                        @for life in &LIVES { option value=(life.name) selected[life.name == chosen] { (life.title) } }
                        @if is_contact { option value=(chosen) selected { "Contact " (chosen) } }
                    }
                }
                @if has_customer {
                    div.field {
                        label for="s-finds" { "Customers found" }
                        select #s-finds name="finds" data-submits {
                            @for (value, title) in [("one", "one"), ("nobody", "none"), ("several", "several")] {
                                option value=(value) selected[value == finds(sample.finds)] { (title) }
                            }
                        }
                    }
                }
            }
            details open[!sample.changes.is_empty()] {
                summary { "Change the sample contact" }
                @if is_contact {
                    p.muted.small { "These are the values of a real contact. They cannot be changed." }
                } @else {
                    div.row {
                        div.field { label for="s-customer" { "Customer's number or address" } input #s-customer type="text" name="customer" value=(sample.changes.customer) autocomplete="off"; }
                        div.field { label for="s-agent" { "Agent's user name" } input #s-agent type="text" name="agent" value=(sample.changes.agent) autocomplete="off"; }
                        div.field { label for="s-queue" { "Queue" } input #s-queue type="text" name="queue" value=(sample.changes.queue) autocomplete="off"; }
                    }
                    div.field {
                        label for="s-attributes" { "User-defined attributes" }
                        textarea.code #s-attributes name="attributes" rows="3" { (attributes.join("\n")) }
                        p.hint { "One a line: tier = gold" }
                    }
                }
                div.field {
                    label for="s-contact" { "Or a contact that was recorded, by its id" }
                    input.code #s-contact type="text" name="contact" value="" placeholder="00000000-0000-..." autocomplete="off" list="recent-contacts";
                    datalist #recent-contacts { @for (id, what) in recent { option value=(id) { (what) } } }
                    p.hint { "Its values are shown on this page. That you ask for them is logged. " a href="/contacts" { "Recent contacts" } }
                }
            }
            div.actions.small-actions { button type="submit" { "Use this sample" } }
        }
    }
}

fn finds(finds: Finds) -> &'static str {
    match finds {
        Finds::One => "one",
        Finds::Nobody => "nobody",
        Finds::Several => "several",
    }
}

fn content(editing: &Editing, step: Step, look: &Look) -> Markup {
    let Some(preview) = &look.preview else {
        return html! {
            div.notice.bad {
                p { strong { "This step cannot be previewed yet." } " Mend what is marked in red first." }
            }
        };
    };
    let is_on = editing.edited.is_on(step);
    html! {
        p.muted.small { "For the sample contact: " (look.sample.1) }
        @if let Some(reason) = &preview.nothing {
            div.notice { p { (reason) } }
        }
        @if !is_on && preview.nothing.is_none() {
            div.notice.warn { p { "The step is left out: nothing of this is sent." } }
        }
        @for (index, previewed) in preview.requests.iter().enumerate() {
            (card(index + 1, previewed, look))
        }
        @match &preview.page {
            Some(Ok((url, target))) => {
                article.sent {
                    h3 { "The agent's page " span.badge.good { (target) } }
                    p.address { code { (url) } }
                }
            }
            Some(Err(error)) => {
                article.sent { h3 { "The agent's page " span.badge.bad { "cannot be opened" } } p.error { (error) } }
            }
            None => {}
        }
    }
}

fn card(number: usize, previewed: &Previewed, look: &Look) -> Markup {
    let root = look.service_root.as_str();
    let badge = match &previewed.outcome {
        Outcome::Sent(_) => html! { span.badge.good { "sent" } },
        Outcome::Nothing => html! { span.badge { "nothing to send" } },
        Outcome::NotWanted(_) => html! { span.badge { "not sent" } },
        Outcome::Failed(_) => html! { span.badge.bad { "cannot be made" } },
    };
    html! {
        article.sent {
            h3 { (number) ". " (previewed.title()) " " (badge) }
            @match &previewed.outcome {
                Outcome::Sent(requests) => { @for request in requests { (sent(request, root)) } }
                Outcome::NotWanted(reason) => { p.muted { (reason) } }
                Outcome::Failed(reason) => { p.error { (reason) } }
                Outcome::Nothing => {}
            }
            @if !previewed.gaps.is_empty() {
                p.small { strong { "Left out of the body:" } }
                ul.small {
                    @for (field, reason) in &previewed.gaps { li { code { (field.rsplit(".body.").next().unwrap_or(field)) } ": " (reason) } }
                }
            }
            @if !previewed.requests().is_empty() {
                @let writes = previewed.requests().iter().any(|request| request.method != Method::Get);
                @let ask = if writes {
                    format!("This writes to {}. Send it?", look.environment)
                } else {
                    format!("This asks {}, and changes nothing there. Send it?", look.environment)
                };
                div.actions.small-actions {
                    button type="button" data-send=(previewed.key) data-sample-id=(look.sample.0) data-ask=(ask) { "Send this request" }
                    span.muted.small { @if writes { "It writes to " (look.environment) } @else { "It changes nothing" } }
                }
                div data-told {}
            }
            @if let Some(answer) = &previewed.answer {
                details open[previewed.is_answered] {
                    summary { @if previewed.is_answered { "What Dynamics has answered" } @else { "What Dynamics is taken to answer" } }
                    pre tabindex="0" { code { (format!("{:#}", Json::from(answer.clone()))) } }
                }
            }
        }
    }
}

/// The longest address that is shown whole: a look-up for a phone number has dozens of comparisons.
const LONGEST: usize = 300;
/// How much of a look-up's is shown: it is not what somebody who configures a record wants to see first.
const LONGEST_LOOK_UP: usize = 110;

fn sent(request: &Request, root: &str) -> Markup {
    let url = format!("{root}{}", request.path);
    let readable = percent_decode_str(&url).decode_utf8_lossy().into_owned();
    let longest = if request.method == Method::Get {
        LONGEST_LOOK_UP
    } else {
        LONGEST
    };
    let is_long = readable.chars().count() > longest;
    let short: String = readable.chars().take(longest).collect();
    html! {
        p.address { strong { (request.method.as_str()) } " " code { (short) @if is_long { " ..." } } }
        @if let Some(body) = &request.body {
            pre tabindex="0" { code { (format!("{:#}", Json::from(body.clone()))) } }
        }
        details {
            summary { "Address and headers as they are sent" }
            pre tabindex="0" {
                code {
                    (request.method.as_str()) " " (url) "\n"
                    "Authorization: Bearer ...\n"
                    @for (name, value) in request.headers() { (name) ": " (value) "\n" }
                }
            }
        }
    }
}

/// What a step would send with what is filled in now. Nothing is saved.
pub(super) async fn preview(
    State(app): State<Shared>,
    Path((name, step)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<JsonBody<Json>, PageError> {
    let step = parse(&step)?;
    let mut editing = Editing::load(&app, &name).await?;
    let form = StepForm::read(&pairs, &form_of(&editing, step));
    editing.edited.set_step(step, form.json(step), form.is_on);
    let look = look(&app, &editing, step, &form);
    let mut says = Map::new();
    let slots = look.says.errors.keys().chain(look.says.warnings.keys());
    for slot in slots {
        says.insert(slot.clone(), look.says.messages(slot).into_string().into());
    }
    let errors: usize = look.says.errors.values().map(Vec::len).sum();
    Ok(JsonBody(json!({
        "content": look.preview.is_some().then(|| content(&editing, step, &look).into_string()),
        "says": says,
        "wrong": look.says.errors.keys().collect::<Vec<_>>(),
        "values": look.says.values,
        "names": names_json(&look),
        "status": match errors {
            0 => "The preview is up to date.".to_owned(),
            errors => format!("{} to mend.", super::super::count(errors, "error")),
        },
    })))
}

/// Chooses the sample contact of an integration's previews.
pub(super) async fn choose(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let step = parse(filled(&pairs, "step"))?;
    let editing = Editing::load(&app, &name).await?;
    let before = super::sample(&app, &name);
    let source = if !filled(&pairs, "contact").is_empty() {
        contact(&app, filled(&pairs, "contact")).await?
    } else if life(filled(&pairs, "life")).is_some() {
        SampleSource::Life(filled(&pairs, "life").to_owned())
    } else {
        before.source.clone()
    };
    let attributes = filled(&pairs, "attributes").lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
    });
    let sample = Sample {
        id: Uuid::new_v4(),
        source,
        changes: Changes {
            customer: filled(&pairs, "customer").to_owned(),
            agent: filled(&pairs, "agent").to_owned(),
            queue: filled(&pairs, "queue").to_owned(),
            attributes: attributes.collect(),
        },
        finds: match filled(&pairs, "finds") {
            "nobody" => Finds::Nobody,
            "several" => Finds::Several,
            "one" => Finds::One,
            _ => before.finds,
        },
        answers: std::collections::BTreeMap::new(),
    };
    let mut samples = app.samples.lock().unwrap_or_else(PoisonError::into_inner);
    samples.insert(name, sample);
    Ok(see(&editing.address(super::Stage::Step(step))))
}

/// A contact that the table remembers, whose values are shown from now on.
async fn contact(app: &App, id: &str) -> Result<SampleSource, PageError> {
    let id = Uuid::try_parse(id)
        .map_err(|_| PageError::BadRequest(format!("`{id}` is no contact id.")))?;
    let stored: Result<_, StoreError> = app.deployment.store.load(id).await;
    let stored = stored?.ok_or_else(|| {
        PageError::NotFound(format!("The contact {id} is not known, or not any more."))
    })?;
    let operator = app.deployment.operator().await;
    eprintln!("{operator} has asked for the values of the contact {id}, as a sample");
    Ok(SampleSource::Contact(Box::new(stored.history)))
}
