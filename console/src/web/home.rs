//! The first page: the integrations that there are, and what is going on with each.

use std::collections::BTreeMap;

use axum::extract::State;
use connect_dynamics::store::{Line, List, StoreError};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value as Json;

use super::{App, Section, Shared, Shown, Tone, badge, count, page, time};

/// An integration, as the first page shows it.
struct Summary {
    name: String,
    environment: String,
    is_in_force: bool,
    changed_at: Option<Timestamp>,
    waiting: usize,
}

pub(super) async fn home(State(app): State<Shared>) -> Shown {
    let (summaries, failed) = summaries(&app).await?;
    let main = if summaries.is_empty() {
        empty()
    } else {
        html! {
            div.heading {
                div {
                    h1 { "Integrations" }
                    p.lead { "Each writes contacts into one Dynamics environment. A flow chooses one by its parameter " code { "integration" } "; contacts without one go to " code { (app.deployment.default_integration) } "." }
                }
                div.actions { a.button href="/integrations/new" { "Set up another" } }
            }
            @if failed > 0 {
                div.notice.bad {
                    p { strong { (count(failed, "contact")) @if failed == 1 { " has" } @else { " have" } " failed." } " Nothing is lost: mend the cause, and deliver again. " a href="/contacts?state=failed" { "Look at them" } }
                }
            }
            ul.cards {
                @for summary in &summaries { (card(summary)) }
            }
        }
    };
    Ok(page(&app, Section::Integrations, "Integrations", &main))
}

fn empty() -> Markup {
    html! {
        div.empty {
            h1 { "Record every contact in Dynamics 365" }
            p.lead { "Set up an integration: where Dynamics is, and what is written when a contact starts, is answered and ends. You see what would be sent while you type, and nothing is in force before you publish it." }
            p { a.button.primary href="/integrations/new" { "Set up an integration" } }
        }
    }
}

fn card(summary: &Summary) -> Markup {
    html! {
        li.card {
            h2 { a href={ "/integrations/" (summary.name) "/connection" } { (summary.name) } }
            p.muted.small { @if summary.environment.is_empty() { "no environment yet" } @else { (summary.environment) } }
            p {
                @if summary.is_in_force { (badge(Tone::Good, "in force")) } @else { (badge(Tone::Warn, "not published")) }
                @if summary.is_in_force && summary.changed_at.is_some() { " " (badge(Tone::Warn, "changed, not published")) }
                @if summary.waiting > 0 { " " a href="/contacts?state=pending" { (badge(Tone::Warn, &format!("{} waiting", count(summary.waiting, "contact")))) } }
            }
            @if let Some(at) = summary.changed_at { p.muted.small { "Draft of " (time(at)) } }
            div.actions {
                a.button href={ "/integrations/" (summary.name) "/connection" } { "Edit" span.visually-hidden { " " (summary.name) } }
                @if summary.is_in_force { a.button href={ "/integrations/" (summary.name) "/try" } { "Try it" span.visually-hidden { ": " (summary.name) } } }
                a href={ "/integrations/" (summary.name) "/versions" } { "Versions" span.visually-hidden { " of " (summary.name) } }
            }
        }
    }
}

async fn summaries(app: &App) -> Result<(Vec<Summary>, usize), StoreError> {
    let store = &app.deployment.store;
    let drafts: BTreeMap<String, Timestamp> = store.drafts().await?.into_iter().collect();
    let mut names = store.integration_names().await?;
    names.extend(drafts.keys().cloned());
    let mut summaries = Vec::new();
    for name in names {
        let in_force = store.integration(&name).await?;
        let draft = if drafts.contains_key(&name) {
            store.draft(&name).await?
        } else {
            None
        };
        let environment = |document: &str, pointer: &str| {
            let document: Json = serde_json::from_str(document).unwrap_or_default();
            let environment = document.pointer(pointer).and_then(Json::as_str);
            environment.unwrap_or_default().to_owned()
        };
        let environment = match (&draft, &in_force) {
            (_, Some(document)) => environment(document, "/connection/environmentUri"),
            (Some(draft), None) => {
                environment(&draft.document, "/configuration/connection/environmentUri")
            }
            (None, None) => String::new(),
        };
        summaries.push(Summary {
            waiting: store.list(&List::Line(Line::of(&name))).await?.len(),
            environment,
            is_in_force: in_force.is_some(),
            changed_at: drafts.get(&name).copied(),
            name,
        });
    }
    let failed = store.list(&List::Failed).await?.len();
    Ok((summaries, failed))
}
