//! Forgetting contacts: a page says what will go and what stays, a form does it, and a page says what was done.

use std::time::Duration;

use axum::{
    extract::{Path, RawForm, RawQuery, State},
    response::Redirect,
};
use connect_dynamics::store::recent::Scanned;
use jiff::Timestamp;
use maud::{Markup, html};
use uuid::Uuid;

use super::{
    super::{PageError, Section, Shared, Shown, Tone, count, notice, page, time},
    Fields, MOST_AT_ONCE, address_of, contact_id, kind_of, state_badge,
    timeline::{record_link, unknown},
    with_query,
};
use crate::contacts::{
    Integrations, Record,
    forget::{self, Known, Outcome, STAYS},
};

/// How long one page looks through the table.
const TIME: Duration = Duration::from_secs(15);
/// A page that is told what has gone has no longer address than browsers and servers take.
const MOST_RECORDS: usize = 400;

/// What forgetting one contact would do.
pub(super) async fn one(State(app): State<Shared>, Path(id): Path<String>) -> Shown {
    let id = contact_id(&id)?;
    let mut known = forget::known(&app.deployment, &[id]).await?;
    let known = known.pop().ok_or_else(|| unknown(id))?;
    let main = html! {
        h1 { "Forget this contact?" }
        (what_goes(std::slice::from_ref(&known)))
        form.actions method="post" action={ (address_of(id)) "/forget" } {
            button.danger type="submit" { "Forget the contact for good" }
            a.button href=(address_of(id)) { "Keep it" }
        }
    };
    Ok(page(&app, Section::Contacts, "Forget a contact", &main))
}

/// Forgets one contact.
pub(super) async fn forget(
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<Redirect, PageError> {
    forget_all(&app, &[contact_id(&id)?]).await
}

/// Forgets several contacts.
pub(super) async fn several(
    State(app): State<Shared>,
    RawForm(form): RawForm,
) -> Result<Redirect, PageError> {
    let mut ids = Fields::read(&form).contacts("contact")?;
    ids.truncate(MOST_AT_ONCE);
    forget_all(&app, &ids).await
}

async fn forget_all(app: &Shared, ids: &[Uuid]) -> Result<Redirect, PageError> {
    let deployment = &app.deployment;
    let who = deployment.operator().await;
    let mut integrations = Integrations::of(deployment);
    let mut told = Vec::new();
    for id in ids {
        match forget::forget(*id, &mut integrations).await? {
            Outcome::Gone(known) => {
                eprintln!("{} {who} has the contact {id} forgotten", Timestamp::now());
                told.push(("gone", id.to_string()));
                for record in known.in_dynamics {
                    let table = record.table.unwrap_or_default();
                    let integration = &known.contact.integration;
                    told.push(("record", format!("{integration}/{table}/{}", record.id)));
                }
            }
            Outcome::Unknown => told.push(("unknown", id.to_string())),
            Outcome::InUse(_) | Outcome::Changing => told.push(("kept", id.to_string())),
        }
    }
    // What became of each contact is told of all, what Dynamics holds of as many as an address has room for.
    told.sort_by_key(|(what, _)| *what == "record");
    told.truncate(MOST_AT_ONCE + MOST_RECORDS);
    Ok(Redirect::to(&with_query("/contacts/forgotten", told)))
}

/// What was forgotten, and what Dynamics still holds.
pub(super) async fn forgotten(State(app): State<Shared>, RawQuery(query): RawQuery) -> Shown {
    let fields = Fields::of_query(query.as_deref());
    let gone = fields.contacts("gone")?;
    let kept = fields.contacts("kept")?;
    let unknown = fields.contacts("unknown")?;
    let mut integrations = Integrations::of(&app.deployment);
    let mut records: Vec<Record> = Vec::new();
    for told in fields.all("record").take(MOST_RECORDS) {
        let mut parts = told.splitn(3, '/');
        let (Some(integration), Some(table), Some(id)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let id = contact_id(id)?;
        let is_name = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
        let table = Some(table).filter(|it| !it.is_empty() && it.bytes().all(is_name));
        let integration = integrations.get(integration).await?.ok();
        let url = table
            .zip(integration)
            .map(|(table, integration)| integration.connection().record_url(table, id));
        let table = table.map(str::to_owned);
        if !records.iter().any(|record| record.id == id) {
            records.push(Record { id, table, url });
        }
    }
    let main = html! {
        h1 { "Forgotten" }
        @if gone.is_empty() {
            (notice(Tone::Warn, &html! { p { "No contact was forgotten." } }))
        } @else {
            (notice(Tone::Good, &html! { p { (count(gone.len(), "contact")) " forgotten. Nothing is known here of " @if gone.len() == 1 { "it" } @else { "them" } " any more." } }))
        }
        @if !kept.is_empty() {
            (notice(Tone::Warn, &html! {
                p { (count(kept.len(), "contact")) " stayed, as a function is at work on " @if kept.len() == 1 { "it" } @else { "them" } ". Try again in a minute:" }
                (ids(&kept))
            }))
        }
        @if !unknown.is_empty() {
            (notice(Tone::Plain, &html! { p { "Of " (count(unknown.len(), "contact")) " nothing was known." } (ids(&unknown)) }))
        }
        @if !gone.is_empty() {
            h2 { "What Dynamics still holds" }
            (in_dynamics(&records))
        }
        p.actions { a.button href="/contacts" { "Back to the contacts" } }
    };
    Ok(page(&app, Section::Contacts, "Forgotten", &main))
}

fn ids(ids: &[Uuid]) -> Markup {
    html! { ul { @for id in ids { li { a href=(address_of(*id)) { code.contacts-id { (id) } } } } } }
}

fn in_dynamics(records: &[Record]) -> Markup {
    html! {
        @if records.is_empty() {
            p { "No record of it." }
        } @else {
            ul { @for record in records { li { (record_link(record)) } } }
        }
    }
}

/// What will go and what will stay.
fn what_goes(known: &[Known]) -> Markup {
    let records: Vec<Record> = known
        .iter()
        .flat_map(|known| known.in_dynamics.clone())
        .collect();
    let pending = known.iter().filter(|known| known.is_pending()).count();
    let in_use = known.iter().filter_map(|known| known.in_use_until).max();
    html! {
        @if pending > 0 {
            (notice(Tone::Warn, &html! { p { strong { "Not everything is delivered yet." } " Of " (count(pending, "contact")) " something is pending, and will not be delivered." } }))
        }
        @if let Some(until) = in_use {
            (notice(Tone::Warn, &html! { p { "A function is at work here until " (time(until)) " at the latest. What it works on stays." } }))
        }
        h2 { "What goes" }
        p { "All that is known here: the contact's attributes, where its files are, its requests' states and what Dynamics has answered." }
        ul.contacts-outcomes {
            @for known in known {
                @let contact = &known.contact;
                li.card {
                    p {
                        a href=(address_of(contact.contact_id)) { (kind_of(contact)) } ", " (time(contact.started_at)) " " (state_badge(contact.state))
                        br;
                        code.contacts-id { (contact.contact_id) }
                    }
                }
            }
        }
        h2 { "What stays" }
        ul { @for stays in STAYS { li { (stays) } } }
        h3 { "Records that stay in Dynamics" }
        (in_dynamics(&records))
    }
}

/// Looks for all contacts of a number, and asks whether they are to be forgotten.
pub(super) async fn number(State(app): State<Shared>, RawQuery(query): RawQuery) -> Shown {
    let fields = Fields::of_query(query.as_deref());
    let number = fields.get("number");
    let mut found = Scanned::default();
    let mut known = Vec::new();
    if let Some(number) = number {
        let from = fields.get("from").map(str::to_owned);
        let before = fields.contacts("contact")?;
        found = forget::look_for(&app.deployment, number, from, TIME).await?;
        found.contacts.splice(0..0, before);
        let chosen = &found.contacts[..found.contacts.len().min(MOST_AT_ONCE)];
        known = forget::known(&app.deployment, chosen).await?;
    }
    let main = html! {
        h1 { "Forget a customer" }
        p.lead { "Every contact of a customer's number or address is forgotten: the whole table is looked through. In a large one this takes minutes, and costs a read of each contact." }
        form.card method="get" action="/contacts/forget" {
            div.field {
                label for="number" { "The customer's number or address" }
                input #number type="text" name="number" value=[number] required aria-describedby="number-hint" autocomplete="off" spellcheck="false";
                p.hint #number-hint { "The whole number with its country code, such as +15555550100" }
            }
            button type="submit" { "Look for contacts" }
        }
        @if let Some(number) = number {
            (result(number, &found, &known))
        }
    };
    Ok(page(&app, Section::Contacts, "Forget a customer", &main))
}

fn result(number: &str, found: &Scanned, known: &[Known]) -> Markup {
    let more = found.contacts.len().saturating_sub(known.len());
    html! {
        @if let Some(next) = found.next.as_ref().filter(|_| more == 0) {
            (notice(Tone::Warn, &html! {
                p { strong { "The table has not been looked through yet." } " " (count(found.contacts.len(), "contact")) " so far; " (count(found.looked_at, "contact")) " looked at on this page." }
                form method="get" action="/contacts/forget" {
                    input type="hidden" name="number" value=(number);
                    input type="hidden" name="from" value=(next);
                    @for id in found.contacts.iter().take(MOST_AT_ONCE) { input type="hidden" name="contact" value=(id); }
                    button.primary type="submit" { "Go on looking" }
                }
            }))
        } @else if known.is_empty() {
            div.empty {
                h2 { "No contact has this number" }
                p { "All contacts were looked at." }
            }
        }
        @if !found.unreadable.is_empty() {
            (notice(Tone::Bad, &html! {
                p { "These items of the table cannot be read. Look at them yourself:" }
                ul { @for key in &found.unreadable { li { code { (key) } } } }
            }))
        }
        @if !found.mentions.is_empty() {
            (notice(Tone::Plain, &html! {
                p { "In these contacts of other customers the number stands somewhere. They are not forgotten; open each to decide." }
                (ids(&found.mentions))
            }))
        }
        @if !known.is_empty() {
            (what_goes(known))
            @if more > 0 {
                (notice(Tone::Warn, &html! {
                    p { strong { "There are at least " (more) " more." } " No more than " (MOST_AT_ONCE) " are forgotten at a time. Look for the number again afterwards, until there are none." }
                }))
            }
            form.actions method="post" action="/contacts/forget" {
                @for known in known { input type="hidden" name="contact" value=(known.contact.contact_id); }
                button.danger type="submit" { "Forget " (count(known.len(), "contact")) " for good" }
                a.button href="/contacts" { "Keep them" }
            }
        }
    }
}
