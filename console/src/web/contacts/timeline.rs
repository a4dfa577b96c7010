//! One contact's page: its story, from top to bottom.
//!
//! What was said of the contact, what is sent and what Dynamics has answered is hidden until somebody asks for
//! it, and who has asked is noted where the console runs.

use axum::{
    extract::{Path, RawForm, RawQuery, State},
    response::Redirect,
};
use connect_dynamics::{
    history::{RequestHistory, State as ContactState},
    recording::RecordedObject,
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    super::{PageError, Section, Shared, Shown, Tone, count, notice, page, time},
    Fields, address_of, contact_id, kind_of, state_badge,
};
use crate::contacts::{
    self, DeliveredAgain, Record,
    timeline::{Event, RequestStory, Timeline, WouldSend, address, does},
};

pub(super) async fn show(
    State(app): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Shown {
    let timeline = load(&app, &id).await?;
    let done = Fields::of_query(query.as_deref());
    let state = timeline.contact.state;
    let told = match done.get("delivered") {
        Some("tried") => Some(match state {
            ContactState::Delivered | ContactState::Skipped => (
                Tone::Good,
                "The contact was delivered again, and everything of it is done.",
            ),
            ContactState::Pending => (
                Tone::Warn,
                "The contact was tried again. Something of it waits, and is delivered by itself.",
            ),
            ContactState::Failed => (
                Tone::Bad,
                "The contact was tried again, and has failed again. The reason is below.",
            ),
        }),
        Some("left-out") => Some((
            Tone::Warn,
            "Nothing was done: a request may have been carried out, and you have not said that it is to be sent again.",
        )),
        Some("none-failed") => Some((
            Tone::Plain,
            "Nothing of the contact had failed, so nothing was done.",
        )),
        _ => None,
    };
    let told = told.map(|(tone, text)| notice(tone, &html! { p { (text) } }));
    Ok(render(&app, &timeline, told.as_ref(), false))
}

/// The same page with all values. It is no address that can be opened: each time somebody has to ask.
pub(super) async fn values(State(app): State<Shared>, Path(id): Path<String>) -> Shown {
    let timeline = load(&app, &id).await?;
    let who = app.deployment.operator().await;
    let (now, id) = (Timestamp::now(), timeline.contact.contact_id);
    eprintln!("{now} {who} was shown the values of the contact {id}");
    let told = notice(
        Tone::Plain,
        &html! { p { "Values are shown. That you have asked for them is noted where this console runs." } },
    );
    Ok(render(&app, &timeline, Some(&told), true))
}

pub(super) async fn deliver(
    State(app): State<Shared>,
    Path(id): Path<String>,
    RawForm(form): RawForm,
) -> Result<Redirect, PageError> {
    let id = contact_id(&id)?;
    let also_in_doubt = Fields::read(&form).get("in-doubt").is_some();
    let done = contacts::deliver_again(&app.deployment, id, also_in_doubt).await?;
    let told = match done {
        DeliveredAgain::Tried(_) => "tried",
        DeliveredAgain::NothingFailed(_) => "none-failed",
        DeliveredAgain::LeftOut => "left-out",
        DeliveredAgain::Unknown => return Err(unknown(id)),
        DeliveredAgain::NotTried(reason) => {
            return Err(PageError::BadRequest(format!(
                "The contact was not tried: {reason}"
            )));
        }
    };
    Ok(Redirect::to(&format!(
        "{}?delivered={told}",
        address_of(id)
    )))
}

async fn load(app: &Shared, id: &str) -> Result<Timeline, PageError> {
    let id = contact_id(id)?;
    let timeline = Timeline::of(&app.deployment, id).await?;
    timeline.ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: Uuid) -> PageError {
    PageError::NotFound(format!(
        "Nothing is known of the contact {id}: no function has been invoked for it, or it was forgotten."
    ))
}

fn render(app: &Shared, timeline: &Timeline, told: Option<&Markup>, with_values: bool) -> Markup {
    let contact = &timeline.contact;
    let id = contact.contact_id;
    let main = html! {
        p { a href="/contacts" { "All contacts" } }
        div.heading {
            div {
                h1 { (kind_of(contact)) " " (state_badge(contact.state)) }
                p { code.contacts-id { (id) } }
            }
            div.actions {
                @if let Some(url) = timeline.record.as_ref().and_then(|record| record.url.as_ref()) {
                    a.button href=(url) rel="noreferrer" { "Record in Dynamics" }
                }
                @if let Some(url) = &timeline.contact_url {
                    a.button href=(url) rel="noreferrer" { "Contact in Amazon Connect" }
                }
            }
        }
        @if let Some(told) = told { (told) }
        @if let Some(reason) = &timeline.no_integration {
            (notice(Tone::Bad, &html! {
                p { strong { "The contact's integration cannot be loaded: " } (reason) }
                p { "Nothing is delivered until it can. What the requests would send cannot be shown." }
            }))
        }
        (facts(timeline))
        (actions(timeline, with_values))
        h2 { "What happened" }
        ol.contacts-timeline {
            @for event in &timeline.events { (event_item(event, with_values)) }
        }
    };
    page(
        app,
        Section::Contacts,
        &format!("{}, {}", kind_of(contact), contact.state.as_str()),
        &main,
    )
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn facts(timeline: &Timeline) -> Markup {
    let contact = &timeline.contact;
    let records = timeline.records();
    html! {
        dl.contacts-facts.card {
            (fact("Customer", &html! { (contact.customer.as_deref().unwrap_or("unknown")) }))
            (fact("Began", &time(contact.started_at)))
            (fact("Integration", &html! { (contact.integration) }))
            @if let Some(wake_at) = timeline.wake_at {
                (fact("Looked at again", &time(wake_at)))
            }
            @if let Some(until) = timeline.in_use_until {
                (fact("Being delivered now", &html! { "until " (time(until)) " at the latest" }))
            }
            (fact("Records in Dynamics", &html! {
                @if records.is_empty() { "none" }
                @for record in records { (record_link(record)) }
            }))
        }
    }
}

pub(super) fn record_link(record: &Record) -> Markup {
    let table = record.table.as_deref().unwrap_or("record");
    html! {
        span.contacts-record {
            (table) " "
            @match &record.url {
                Some(url) => a href=(url) rel="noreferrer" { code.contacts-id { (record.id) } },
                None => code.contacts-id { (record.id) },
            }
        }
    }
}

fn actions(timeline: &Timeline, with_values: bool) -> Markup {
    let address = address_of(timeline.contact.contact_id);
    html! {
        @if timeline.has_doubt {
            (notice(Tone::Warn, &html! {
                p { strong { "A request of this contact may have been carried out." } " There was no answer to it, and sending it again could do it twice. Look in Dynamics first." }
            }))
        }
        div.contacts-actions {
            @if timeline.contact.state == ContactState::Failed {
                form method="post" action={ (address) "/deliver" } {
                    @if timeline.has_doubt {
                        div.choice {
                            input #in-doubt type="checkbox" name="in-doubt" value="yes" required;
                            label for="in-doubt" { "It was not carried out, or may be carried out twice" }
                        }
                    }
                    button.primary type="submit" { "Deliver again" }
                }
            }
            @if with_values {
                a.button href=(address) { "Hide values" }
            } @else {
                form method="post" action={ (address) "/values" } {
                    button type="submit" { "Show values" }
                }
            }
            a.button href={ (address) "/forget" } { "Forget this contact" }
        }
    }
}

fn event_item(event: &Event, with_values: bool) -> Markup {
    let names = event.attribute_names();
    html! {
        li {
            div.contacts-event {
                h3 { (event.title()) }
                p.muted.small {
                    @match event.at {
                        Some(at) => (time(at)),
                        None => "no event of its own has come",
                    }
                    " · " code { (event.step) }
                }
                @if let Some(object) = &event.object { (object_line(object)) }
                @if !names.is_empty() {
                    details open[with_values] {
                        summary { "It told " (count(names.len(), "attribute")) }
                        @match event.attributes.as_ref().filter(|_| with_values) {
                            Some(attributes) => (value(attributes)),
                            None => p.small { (names.join(", ")) ". " (hidden("Their values are hidden.")) },
                        }
                    }
                }
                @for request in &event.requests { (request_block(request, with_values)) }
            }
        }
    }
}

fn hidden(text: &str) -> Markup {
    html! { span.muted { (text) } }
}

fn value(value: &impl Serialize) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre tabindex="0" { code { (text) } } }
}

fn object_line(object: &RecordedObject) -> Markup {
    html! {
        p.small {
            a href=(object.url) rel="noreferrer" { "Open the " (object.kind.as_str().replace('-', " ")) " in S3" }
            " · " code { (object.key) }
        }
    }
}

fn request_block(request: &RequestStory, with_values: bool) -> Markup {
    let history = &request.history;
    let is_wrong = matches!(history.state, ContactState::Failed | ContactState::Pending);
    html! {
        section.contacts-request.(history.state.as_str()) {
            h4 { (request.title()) " " (state_badge(history.state)) }
            @if let Some(told) = &request.explanation {
                div.contacts-reason {
                    p { (with_code(&told.what)) }
                    @if let Some(fix) = &told.fix { p { strong { "What to do: " } (with_code(fix)) } }
                    @if is_wrong && let Some(reason) = &request.reason {
                        details {
                            summary { "In the function's own words" }
                            p.small { (reason) }
                            @match (&request.words, with_values) {
                                (Some(words), true) => p.small { "Dynamics says: " (words) },
                                (Some(_), false) => p.small { (hidden("What Dynamics says may quote a value, and is hidden.")) },
                                (None, _) => {},
                            }
                        }
                    }
                }
            }
            p.small { (when(history)) }
            @if let Some(record) = &request.record { p.small { "Record: " (record_link(record)) } }
            details open[with_values] {
                summary { "What it sends, as it would be made now" }
                (would_send(&request.would_send, with_values))
            }
            @if let Some(response) = &history.response {
                details open[with_values] {
                    summary { "What Dynamics has answered" }
                    @if with_values {
                        (value(response))
                    } @else {
                        p.small {
                            (response.keys().cloned().collect::<Vec<_>>().join(", ")) ". "
                            (hidden("Their values are hidden."))
                        }
                    }
                }
            }
        }
    }
}

/// When a request was asked for, tried, and came to what it is.
fn when(history: &RequestHistory) -> Markup {
    let first = history.first_tried_at;
    let late = first.filter(|first| {
        let waited = first.duration_since(history.intended_at);
        waited > SignedDuration::from_secs(2)
    });
    html! {
        @match (history.state, first) {
            (ContactState::Pending, None) => { "Asked for " (time(history.intended_at)) ", not tried yet" }
            (ContactState::Pending, Some(first)) => {
                "Tried in vain " (count(history.attempts as usize, "time")) ", first " (time(first))
            }
            (state, first) => {
                @let mut letters = state.as_str().chars();
                (letters.next().map(|it| it.to_ascii_uppercase()).unwrap_or_default()) (letters.as_str())
                " " (time(history.updated_at))
                @match (history.attempts, first) {
                    (0, _) | (_, None) => {},
                    (1, _) => ", at the first try",
                    (tries, Some(first)) => { ", after " (tries) " tries, first " (time(first)) }
                }
            }
        }
        @if late.is_some() { ", asked for " (time(history.intended_at)) }
        @if let Some(due) = history.due_at { ", next try " (time(due)) }
    }
}

/// An address as a person reads it.
fn decoded(path: &str) -> String {
    let once = percent_encoding::percent_decode_str(path);
    once.decode_utf8_lossy().into_owned()
}

/// A sentence with code between backticks.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn would_send(would_send: &WouldSend, with_values: bool) -> Markup {
    html! {
        @match would_send {
            WouldSend::Nothing(reason) => p.small { (reason) },
            WouldSend::Requests(requests) => {
                @for request in requests {
                    p.small {
                        code { (request.method.as_str()) " " (address(request, false)) }
                        " " (does(request))
                        @if !with_values { ". " (hidden("Values are hidden.")) }
                    }
                    @if with_values && request.path != address(request, false) {
                        p.small { "Its address, decoded:" }
                        pre tabindex="0" { code { (decoded(&request.path)) } }
                    }
                    @if let Some(body) = &request.body {
                        @if with_values {
                            (value(&Json::Object(body.clone())))
                        } @else {
                            p.small { "Fields: " (body.keys().cloned().collect::<Vec<_>>().join(", ")) }
                        }
                    }
                }
            }
        }
    }
}
