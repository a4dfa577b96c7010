//! Publishing: the difference, what is wrong, and the versions before.

use axum::{
    Form,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_dynamics::{
    step::Step,
    store::{StoreError, versions::Version},
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};
use uuid::Uuid;

use super::{App, Editing, PageError, Section, Shared, Stage, Tone, notice, page, see};
use crate::{
    draft::{Edited, Remark, step_of},
    form::{Pairs, filled},
    web::{Shown, time},
    words::in_lines,
};

/// The difference between two documents, line by line.
pub(crate) fn difference(before: &str, after: &str) -> Markup {
    let (before, after) = (in_lines(before), in_lines(after));
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let groups = diff.grouped_ops(3);
    html! {
        @if groups.is_empty() {
            p.muted { "Nothing has changed." }
        } @else {
            div.diff tabindex="0" role="region" aria-label="Difference" {
                @for (index, group) in groups.iter().enumerate() {
                    @if index > 0 { p.gap { "..." } }
                    @for op in group {
                        @for change in diff.iter_changes(op) {
                            @let (class, sign, said) = match change.tag() {
                                ChangeTag::Delete => ("gone", "-", "removed: "),
                                ChangeTag::Insert => ("new", "+", "added: "),
                                ChangeTag::Equal => ("same", " ", ""),
                            };
                            div class={ "line " (class) } {
                                span.sign aria-hidden="true" { (sign) }
                                @if !said.is_empty() { span.visually-hidden { (said) } }
                                code { (change.value().trim_end_matches('\n')) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn show(State(app): State<Shared>, Path(name): Path<String>) -> Shown {
    let editing = Editing::load(&app, &name).await?;
    Ok(render(&app, &editing, &html! {}))
}

fn remarks_of(remarks: &[&Remark], editing: &Editing) -> Markup {
    html! {
        ul.remarks {
            @for remark in remarks {
                @let stage = super::STAGES.into_iter().find(|stage| stage.has(remark)).unwrap_or(Stage::Settings);
                li {
                    a href=(editing.address(stage)) { (stage.title()) }
                    ": "
                    @if !remark.place.is_empty() { code { (short(&remark.place)) } " " }
                    (remark.message)
                }
            }
        }
    }
}

/// What is done, step by step, in words.
fn summary(editing: &Editing) -> Markup {
    let did = |request: &Json| {
        let text = |name: &str| request[name].as_str().unwrap_or("?").to_owned();
        let what = match request["method"].as_str() {
            Some("POST") => "creates a record in",
            Some("PATCH") => "updates a record in",
            Some("GET") => "reads from",
            _ => "sends a request to",
        };
        let when = request["when"]
            .as_str()
            .map(|when| format!(", when {when}"));
        format!("{what} {}{}", text("entitySet"), when.unwrap_or_default())
    };
    html! {
        dl.facts {
            @for step in Step::ALL {
                @let said = &editing.edited.configuration["steps"][step.as_str()];
                dt { (Stage::Step(step).title()) }
                dd {
                    @if said.is_null() {
                        "nothing"
                    } @else {
                        @let one = said.get("request").into_iter();
                        @let several = said["requests"].as_array().into_iter().flatten();
                        @let requests: Vec<String> = one.chain(several).map(did).collect();
                        @let customer = (!said["customer"].is_null()).then(|| "looks for the customer".to_owned());
                        @let page = (!said["screenPop"].is_null()).then(|| "opens a page for the agent".to_owned());
                        (customer.into_iter().chain(page).chain(requests).collect::<Vec<_>>().join("; "))
                    }
                }
            }
        }
    }
}

/// A place without the step that stands before it already.
fn short(place: &str) -> &str {
    match step_of(place) {
        Some(step) => place
            .strip_prefix(&format!("steps.{step}"))
            .map(|rest| rest.trim_start_matches('.'))
            .filter(|rest| !rest.is_empty())
            .unwrap_or(place),
        None => place,
    }
}

fn render(app: &App, editing: &Editing, told: &Markup) -> Markup {
    let remarks = editing.edited.remarks();
    let errors: Vec<&Remark> = remarks.iter().filter(|it| it.is_error).collect();
    let warnings: Vec<&Remark> = remarks.iter().filter(|it| !it.is_error).collect();
    let after = editing.edited.document();
    let before = editing.in_force.as_ref();
    let is_changed = before.is_none_or(|before| in_lines(&before.document) != in_lines(&after));
    let form = html! {
        (told)
        h1 { "Review and publish" }
        @if !errors.is_empty() {
            (notice(Tone::Bad, &html! {
                p { strong { "It cannot be published yet: " (super::super::count(errors.len(), "error")) "." } }
                (remarks_of(&errors, editing))
            }))
        }
        @if !warnings.is_empty() {
            (notice(Tone::Warn, &html! {
                p { strong { (super::super::count(warnings.len(), "warning")) ":" } " probably a mistake." }
                (remarks_of(&warnings, editing))
            }))
        }
        @if errors.is_empty() && warnings.is_empty() && is_changed {
            (notice(Tone::Good, &html! { p { "Nothing is wrong with it, as far as can be told without sending anything." } }))
        }
        section aria-labelledby="difference" {
            h2 #difference { @if before.is_some() { "What changes" } @else { "What is published" } }
            @match before {
                Some(before) => { (difference(&before.document, &after)) }
                None => {
                    (summary(editing))
                    details { summary { "The document, as the functions read it" } pre tabindex="0" { code { (after) } } }
                }
            }
        }
        form #wizard method="post" action=(editing.address(Stage::Publish)) {
            (editing.hidden())
            @if let Some(before) = before {
                input type="hidden" name="replaces" value=(stamp(before));
            }
            div.actions {
                @if is_changed {
                    button.primary type="submit" disabled[!errors.is_empty()] { "Publish" }
                    p.muted.small { "Functions look for a changed configuration once a minute: contacts of about a minute from now on go by it." }
                } @else {
                    p { "What is in force is the same as the draft." }
                }
            }
        }
        @if editing.draft.is_some() {
            form.discard method="post" action={ "/integrations/" (editing.name) "/discard" } {
                div.actions { button.danger type="submit" data-confirm=(if before.is_some() { "Discard the draft? What was changed since the last version is lost." } else { "Discard the draft? Nothing of this integration was published, so that all of it is lost." }) { "Discard the draft" } }
            }
        }
    };
    editing.page(app, Stage::Publish, false, &form, None)
}

/// What a version is recognised by.
fn stamp(version: &Version) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, version.document.as_bytes()).to_string()
}

const MEANWHILE: &str = "The draft, or what is in force, has been changed meanwhile. This is what would be published now: look at it once more.";

fn again(app: &App, editing: &Editing, status: StatusCode, text: &str) -> Response {
    let told = notice(Tone::Warn, &html! { p { (text) } });
    (status, render(app, editing, &told)).into_response()
}

pub(super) async fn publish(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let editing = Editing::load(&app, &name).await?;
    let replaces = editing.in_force.as_ref().map(stamp).unwrap_or_default();
    let is_seen = filled(&pairs, "version") == editing.version().to_string()
        && filled(&pairs, "replaces") == replaces;
    if !is_seen {
        return Ok(again(&app, &editing, StatusCode::CONFLICT, MEANWHILE));
    }
    if editing
        .edited
        .remarks()
        .iter()
        .any(|remark| remark.is_error)
    {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(again(
            &app,
            &editing,
            status,
            "What is not valid is not published.",
        ));
    }
    let by = app.deployment.operator().await;
    let document = editing.edited.document();
    let published = app
        .deployment
        .store
        .publish(
            &name,
            &document,
            editing.in_force.as_ref(),
            editing.draft.as_ref(),
            &by,
            Timestamp::now(),
        )
        .await;
    match published {
        Ok(()) => Ok(see(&format!("/integrations/{name}/versions?published"))),
        Err(StoreError::Conflict) => Ok(again(&app, &editing, StatusCode::CONFLICT, MEANWHILE)),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn discard(
    State(app): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    app.deployment.store.delete_draft(&name).await?;
    Ok(see("/"))
}

pub(super) async fn versions(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Shown {
    let store = &app.deployment.store;
    let in_force = store.version_in_force(&name).await?;
    let draft = store.draft(&name).await?;
    if in_force.is_none() && draft.is_none() {
        return Err(PageError::NotFound(format!(
            "There is no integration `{name}`."
        )));
    }
    let times = store.versions(&name).await?;
    let current = in_force.as_ref().and_then(|it| it.published_at);
    let main = html! {
        @match query.as_deref() {
            Some("published") => (notice(Tone::Good, &html! {
                p role="status" { strong { "Published." } " Functions look for a changed configuration once a minute." }
                p { a.button.primary href={ "/integrations/" (name) "/try" } { "Try it with a test contact" } }
            })),
            Some("back") => (notice(Tone::Good, &html! {
                p role="status" { strong { "The earlier version is in force again." } " Functions look for a changed configuration once a minute." }
            })),
            _ => {}
        }
        div.heading {
            div {
                h1 { "Versions of " (name) }
                p.lead { "Every version that was published. One click goes back to an earlier one." }
            }
            div.actions { a.button href={ "/integrations/" (name) "/connection" } { "Edit" } }
        }
        @if times.is_empty() {
            div.empty {
                @if in_force.is_some() { p { "The configuration in force was saved by other means than this console. It is kept as a version when the next one is published." } }
                @else { p { "Nothing has been published yet." } }
                p { a.button href={ "/integrations/" (name) "/publish" } { "Review and publish" } }
            }
        } @else {
            div.scroll {
                table {
                    thead { tr { th scope="col" { "Published" } th scope="col" { "State" } th scope="col" { span.visually-hidden { "Actions" } } } }
                    tbody {
                        @for at in &times {
                            tr {
                                td { @if at.as_millisecond() == 0 { "before versions were kept" } @else { (time(*at)) } }
                                td { @if current == Some(*at) { (super::super::badge(Tone::Good, "in force")) } }
                                td { a href={ "/integrations/" (name) "/versions/" (at.as_millisecond()) } { "Look at it" span.visually-hidden { " (published " (at.to_string()) ")" } } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(page(
        &app,
        Section::Integrations,
        &format!("Versions of {name}"),
        &main,
    ))
}

async fn earlier(app: &App, name: &str, at: i64) -> Result<(Timestamp, Version), PageError> {
    let none = || PageError::NotFound("There is no such version.".into());
    let at = Timestamp::from_millisecond(at).map_err(|_| none())?;
    let version = app.deployment.store.version(name, at).await?;
    Ok((at, version.ok_or_else(none)?))
}

pub(super) async fn version(
    State(app): State<Shared>,
    Path((name, at)): Path<(String, i64)>,
) -> Shown {
    let (at, version) = earlier(&app, &name, at).await?;
    let in_force = app.deployment.store.version_in_force(&name).await?;
    let is_same = in_force
        .as_ref()
        .is_some_and(|it| in_lines(&it.document) == in_lines(&version.document));
    let main = html! {
        p.small { a href={ "/integrations/" (name) "/versions" } { "Versions of " (name) } }
        h1 { "Version of " @if at.as_millisecond() == 0 { "before versions were kept" } @else { (time(at)) } }
        @if let Some(by) = &version.published_by { p.muted { "Published by " (by) } }
        @if is_same {
            p { (super::super::badge(Tone::Good, "in force")) }
        } @else if let Some(in_force) = &in_force {
            h2 { "What going back to it changes" }
            (difference(&in_force.document, &version.document))
        }
        h2 { "The document" }
        pre tabindex="0" { code { (in_lines(&version.document)) } }
        @if !is_same {
            form method="post" action={ "/integrations/" (name) "/versions/" (at.as_millisecond()) } {
                input type="hidden" name="replaces" value=(in_force.as_ref().map(stamp).unwrap_or_default());
                div.actions { button.primary type="submit" { "Go back to this version" } }
            }
        }
    };
    Ok(page(
        &app,
        Section::Integrations,
        &format!("A version of {name}"),
        &main,
    ))
}

pub(super) async fn go_back(
    State(app): State<Shared>,
    Path((name, at)): Path<(String, i64)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let (_, version) = earlier(&app, &name, at).await?;
    let in_force = app.deployment.store.version_in_force(&name).await?;
    let replaces = in_force.as_ref().map(stamp).unwrap_or_default();
    let is_seen = pairs
        .iter()
        .any(|(each, value)| each == "replaces" && *value == replaces);
    let configuration: Json = serde_json::from_str(&version.document)
        .map_err(|error| PageError::BadRequest(format!("The version is no JSON: {error}")))?;
    let edited = Edited::new(configuration);
    let errors: Vec<String> = edited
        .remarks()
        .into_iter()
        .filter(|remark| remark.is_error)
        .map(|remark| format!("{}: {}", remark.place, remark.message))
        .collect();
    if !errors.is_empty() {
        return Err(PageError::BadRequest(format!(
            "This version is not valid any more: {}. Open the integration's document as JSON, paste the version there and mend it.",
            errors.join("; ")
        )));
    }
    if !is_seen {
        return Err(PageError::Store(StoreError::Conflict));
    }
    let by = app.deployment.operator().await;
    app.deployment
        .store
        .publish(
            &name,
            &version.document,
            in_force.as_ref(),
            None,
            &by,
            Timestamp::now(),
        )
        .await?;
    Ok(see(&format!("/integrations/{name}/versions?back")))
}
