//! The pages of contacts: the list and the search, one contact's timeline (`timeline`), and forgetting
//! (`forget`).
//!
//! Owns what these pages show and ask. What a contact is and what can be done for one is
//! [`crate::contacts`]'s.

mod forget;
mod timeline;

use axum::{
    Router,
    extract::{RawForm, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use connect_dynamics::{
    history::State as ContactState,
    store::recent::{Filter, Found, MOST_QUERIES, Place, Recent},
};
use futures_util::{StreamExt, stream};
use jiff::civil::Date;
use maud::{Markup, html};
use url::form_urlencoded;
use uuid::Uuid;

use super::{PageError, Section, Shared, Shown, Tone, badge, count, notice, page, time};
use crate::contacts::{self, DeliveredAgain, Sought};

/// How many contacts a page of the list has.
const PAGE: usize = 50;
/// How many contacts are delivered again, or forgotten, at once.
const MOST_AT_ONCE: usize = 100;
/// How many of them at the same time.
const CONCURRENCY: usize = 4;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/contacts", get(list))
        .route("/contacts/deliver", post(deliver))
        .route("/contacts/delivered", get(delivered))
        .route(
            "/contacts/forget",
            get(forget::number).post(forget::several),
        )
        .route("/contacts/forgotten", get(forget::forgotten))
        .route("/contacts/{id}", get(timeline::show))
        .route("/contacts/{id}/values", post(timeline::values))
        .route("/contacts/{id}/deliver", post(timeline::deliver))
        .route(
            "/contacts/{id}/forget",
            get(forget::one).post(forget::forget),
        )
}

/// What a query or a form holds. A name can be there several times.
#[derive(Debug, Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(encoded: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(encoded).into_owned().collect())
    }

    fn of_query(query: Option<&str>) -> Fields {
        Fields::read(query.unwrap_or_default().as_bytes())
    }

    /// What a field holds; none when it is missing or empty.
    fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter().filter(|(field, _)| field == name);
        let (_, value) = fields.next()?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |(field, _)| field == name);
        fields.map(|(_, value)| value.as_str())
    }

    /// The contacts that are named, each once.
    fn contacts(&self, name: &str) -> Result<Vec<Uuid>, PageError> {
        let mut ids = Vec::new();
        for text in self.all(name) {
            let id = contact_id(text)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, PageError> {
        let parse = |text: &str| {
            let parsed = text.parse().ok();
            parsed.ok_or_else(|| PageError::BadRequest(format!("`{text}` is no {what}.")))
        };
        self.get(name).map(parse).transpose()
    }
}

fn contact_id(text: &str) -> Result<Uuid, PageError> {
    Uuid::try_parse(text)
        .map_err(|_| PageError::BadRequest(format!("`{text}` is no contact id: it is a UUID.")))
}

/// An address with a query.
fn with_query<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// A state as a badge. Its word tells it, its colour only underlines it.
fn state_badge(state: ContactState) -> Markup {
    let tone = match state {
        ContactState::Failed => Tone::Bad,
        ContactState::Pending => Tone::Warn,
        ContactState::Delivered => Tone::Good,
        ContactState::Skipped => Tone::Plain,
    };
    badge(tone, state.as_str())
}

/// What a contact is, in words: `Voice, inbound`.
fn kind_of(contact: &Recent) -> String {
    let channel = contact.channel.as_deref().unwrap_or("Contact");
    let mut letters = channel.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    let channel: String = first
        .into_iter()
        .chain(letters.map(|it| it.to_ascii_lowercase()))
        .collect();
    match &contact.direction {
        Some(direction) => format!("{channel}, {direction}"),
        None => channel,
    }
}

fn address_of(id: Uuid) -> String {
    format!("/contacts/{id}")
}

/// What the list is asked for.
#[derive(Debug, Default)]
struct Asked {
    text: Option<String>,
    state: Option<ContactState>,
    integration: Option<String>,
    day: Option<Date>,
    from: Option<Place>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Asked, PageError> {
        let fields = Fields::of_query(query);
        Ok(Asked {
            text: fields.get("q").map(str::to_owned),
            state: fields.parse("state", "state")?,
            integration: fields.get("integration").map(str::to_owned),
            day: fields.parse("day", "day, such as 2026-11-28")?,
            from: fields.parse("from", "place in the list")?,
        })
    }

    fn filter(&self) -> Filter {
        let sought = self.text.as_deref().and_then(Sought::read);
        Filter {
            state: self.state,
            integration: self.integration.clone(),
            ..sought.map(|sought| sought.filter()).unwrap_or_default()
        }
    }

    fn is_narrowed(&self) -> bool {
        self.day.is_some() || self.filter() != Filter::default()
    }

    /// The address of the same, from a place on.
    fn address(&self, from: Option<Place>) -> String {
        let state = self.state.map(|state| state.as_str().to_owned());
        let fields = [
            ("q", self.text.clone()),
            ("state", state),
            ("integration", self.integration.clone()),
            ("day", self.day.map(|day| day.to_string())),
            ("from", from.map(|from| from.to_string())),
        ];
        let fields = fields.into_iter();
        with_query(
            "/contacts",
            fields.filter_map(|(name, value)| Some((name, value?))),
        )
    }
}

async fn list(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, PageError> {
    let asked = Asked::read(query.as_deref())?;
    if asked.from.is_none()
        && let Some(Sought::Id(id)) = asked.text.as_deref().and_then(Sought::read)
        && contacts::by_id(&app.deployment, id).await?.is_some()
    {
        return Ok(Redirect::to(&address_of(id)).into_response());
    }
    let filter = asked.filter();
    let deployment = &app.deployment;
    let (found, names) = tokio::join!(
        contacts::list(deployment, &filter, asked.day, asked.from, PAGE),
        deployment.store.integration_names(),
    );
    let (found, mut names) = (found?, names?);
    names.extend(asked.integration.clone());
    let main = html! {
        div.heading {
            div {
                h1 { "Contacts" }
                p.lead { "What became of every contact, the newest first." }
            }
            p.actions { a.button href="/contacts/forget" { "Forget a customer" } }
        }
        form.card.contacts-search method="get" action="/contacts" role="search" {
            div.field.contacts-sought {
                label for="q" { "Find" }
                input #q type="search" name="q" value=[asked.text.as_deref()] aria-describedby="q-hint" autocomplete="off" spellcheck="false";
                p.hint #q-hint { "A contact id, a record's id, a customer's number or address" }
            }
            div.row {
                div.field {
                    label for="state" { "State" }
                    select #state name="state" {
                        option value="" { "Any" }
                        @for state in [ContactState::Failed, ContactState::Pending, ContactState::Delivered, ContactState::Skipped] {
                            option value=(state.as_str()) selected[asked.state == Some(state)] { (state.as_str()) }
                        }
                    }
                }
                div.field {
                    label for="integration" { "Integration" }
                    select #integration name="integration" {
                        option value="" { "Any" }
                        @for name in &names {
                            option value=(name) selected[asked.integration.as_ref() == Some(name)] { (name) }
                        }
                    }
                }
                div.field {
                    label for="day" { "Day (UTC)" }
                    input #day type="date" name="day" value=[asked.day.map(|day| day.to_string())];
                }
            }
            div.actions {
                button.primary type="submit" { "Show" }
                @if asked.is_narrowed() { a href="/contacts" { "Show all" } }
            }
        }
        @if found.contacts.is_empty() {
            (nothing(&asked, &found))
        } @else {
            (table(&found))
        }
        nav.contacts-pager aria-label="Pages of contacts" {
            @if asked.from.is_some() { a.button href=(asked.address(None)) { "Newest contacts" } }
            @if let Some(next) = found.next {
                a.button href=(asked.address(Some(next))) rel="next" {
                    @if found.contacts.len() >= PAGE { "Earlier contacts" } @else { "Look further back" }
                }
            }
        }
    };
    Ok(page(&app, Section::Contacts, "Contacts", &main).into_response())
}

/// What is shown where there is no contact.
fn nothing(asked: &Asked, found: &Found) -> Markup {
    let is_first = asked.from.is_none();
    html! {
        div.empty {
            @if let Some(next) = &found.next {
                h2 { "Nothing was found so far" }
                @if asked.is_narrowed() || !is_first {
                    p { "No contact from " (next.day()) " on is as you want it. Earlier ones have not been looked at." }
                } @else {
                    p { "No contact was recorded in the last " (MOST_QUERIES) " days." }
                    p { "As soon as a flow or an event invokes a function, its contact is here. Contacts of before the table had the index of days are found by their ids, and are listed with their next change." }
                }
            } @else if asked.is_narrowed() {
                h2 { "No contact is like this" }
                p {
                    "Contacts are forgotten some time after their last change, as the integration says. "
                    a href="/contacts" { "Show all contacts" }
                }
            } @else {
                h2 { "There are no earlier contacts" }
            }
        }
    }
}

fn table(found: &Found) -> Markup {
    let contacts = &found.contacts;
    let is_failed = |contact: &&Recent| contact.state == ContactState::Failed;
    let failed = contacts.iter().filter(is_failed).count();
    html! {
        form method="post" action="/contacts/deliver" {
            // Roles, as a narrow page shows rows as blocks, and browsers then take them for no table.
            table.contacts-list role="table" aria-label="Contacts" {
                thead role="rowgroup" {
                    tr role="row" {
                        @if failed > 0 { th role="columnheader" scope="col" { span.visually-hidden { "Choose" } } }
                        @for name in ["Contact", "State", "Customer", "Began", "Integration"] {
                            th role="columnheader" scope="col" { (name) }
                        }
                    }
                }
                tbody role="rowgroup" {
                    @for contact in contacts {
                        tr role="row" {
                            @if failed > 0 {
                                td.contacts-choose role="cell" {
                                    @if contact.state == ContactState::Failed {
                                        input type="checkbox" name="contact" value=(contact.contact_id) aria-label={ "Choose contact " (contact.contact_id) };
                                        input type="hidden" name="shown" value=(contact.contact_id);
                                    }
                                }
                            }
                            td role="cell" data-label="Contact" {
                                a href=(address_of(contact.contact_id)) { (kind_of(contact)) }
                                br;
                                code.contacts-id { (contact.contact_id) }
                            }
                            td role="cell" data-label="State" { (state_badge(contact.state)) }
                            td role="cell" data-label="Customer" {
                                @match &contact.customer {
                                    Some(customer) => span.contacts-customer { (customer) },
                                    None => span.muted { "unknown" },
                                }
                            }
                            td role="cell" data-label="Began" { (time(contact.started_at)) }
                            td role="cell" data-label="Integration" { (contact.integration) }
                        }
                    }
                }
            }
            @if failed > 0 {
                div.actions {
                    button.primary type="submit" name="which" value="chosen" { "Deliver the chosen again" }
                    @if failed > 1 {
                        button type="submit" name="which" value="shown" { "Deliver all " (count(failed, "failed contact")) " of this page again" }
                    }
                }
            }
        }
    }
}

/// Delivers several contacts again.
async fn deliver(State(app): State<Shared>, RawForm(form): RawForm) -> Result<Redirect, PageError> {
    let fields = Fields::read(&form);
    let which = if fields.get("which") == Some("shown") {
        "shown"
    } else {
        "contact"
    };
    let mut ids = fields.contacts(which)?;
    ids.truncate(MOST_AT_ONCE);
    let deployment = &app.deployment;
    let done: Vec<_> = stream::iter(ids)
        .map(|id| async move { (id, contacts::deliver_again(deployment, id, false).await) })
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let mut told = Vec::new();
    for (id, done) in done {
        let what = match done? {
            DeliveredAgain::Tried(_) => "tried",
            DeliveredAgain::NothingFailed(_) => "none-failed",
            DeliveredAgain::LeftOut => "left-out",
            DeliveredAgain::Unknown => "unknown",
            DeliveredAgain::NotTried(reason) => {
                eprintln!("The contact {id} was not delivered again: {reason}");
                "not-tried"
            }
        };
        told.push((what, id.to_string()));
    }
    Ok(Redirect::to(&with_query("/contacts/delivered", told)))
}

/// What came of delivering several contacts again: how each stands now.
async fn delivered(State(app): State<Shared>, RawQuery(query): RawQuery) -> Shown {
    let fields = Fields::of_query(query.as_deref());
    let mut rows = Vec::new();
    let mut delivered = 0;
    for (what, told) in [
        ("tried", ""),
        ("none-failed", "Nothing of it had failed any more."),
        (
            "left-out",
            "It was left out: a request of it may have been carried out. Open it to decide.",
        ),
        ("unknown", "Nothing is known of it any more."),
        (
            "not-tried",
            "It could not be tried; the terminal of this console says why.",
        ),
    ] {
        for id in fields.contacts(what)?.into_iter().take(MOST_AT_ONCE) {
            let contact = contacts::by_id(&app.deployment, id).await?;
            let state = contact.map(|contact| contact.state);
            let told = match (what, state) {
                ("tried", Some(ContactState::Delivered | ContactState::Skipped)) => {
                    delivered += 1;
                    "Everything of it is done."
                }
                ("tried", Some(ContactState::Pending)) => {
                    "Something of it waits, and is delivered by itself."
                }
                ("tried", Some(ContactState::Failed)) => "It has failed again. Open it to see why.",
                ("tried", None) => "Nothing is known of it any more.",
                (_, _) => told,
            };
            rows.push((id, state, told));
        }
    }
    let main = html! {
        h1 { "Delivered again" }
        @if rows.is_empty() {
            (notice(Tone::Warn, &html! { p { "No contact was chosen, so nothing was done." } }))
        } @else {
            @let tone = if delivered == rows.len() { Tone::Good } else { Tone::Warn };
            (notice(tone, &html! { p { (delivered) " of " (count(rows.len(), "contact")) " delivered." } }))
            ul.contacts-outcomes {
                @for (id, state, told) in &rows {
                    li.card {
                        a href=(address_of(*id)) { code.contacts-id { (id) } }
                        @if let Some(state) = state { " " (state_badge(*state)) }
                        p { (told) }
                    }
                }
            }
        }
        p.actions { a.button href="/contacts" { "Back to the contacts" } }
    };
    Ok(page(&app, Section::Contacts, "Delivered again", &main))
}
