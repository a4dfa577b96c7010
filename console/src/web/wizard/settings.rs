//! The settings that hold for all steps, and the whole document as JSON.

use axum::{
    Form,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_dynamics::configuration::INITIATION_METHODS;
use maud::{Markup, html};
use serde_json::{Map, Value as Json, json};

use super::{
    App, Editing, PageError, Shared, Stage,
    fields::{Field, Says},
};
use crate::{form::Pairs, web::Shown, words::text_of};

/// Numbers: their place, label, hint and default.
const NUMBERS: [(&str, &str, &str); 3] = [
    (
        "retentionDays",
        "Days that a contact is remembered",
        "After its last change. 30 unless given.",
    ),
    (
        "giveUpAfterHours",
        "Hours that delivery is tried",
        "After these a request has failed, and waits to be delivered again by hand. 72 unless given.",
    ),
    (
        "flowBudgetMilliseconds",
        "Milliseconds within which a flow is answered",
        "Whatever hangs. 3000 unless given.",
    ),
];

pub(super) async fn show(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Shown {
    let editing = Editing::load(&app, &name).await?;
    let is_saved = query.as_deref() == Some("saved");
    Ok(render(&app, &editing, is_saved, &html! {}))
}

fn render(app: &App, editing: &Editing, is_saved: bool, told: &Markup) -> Markup {
    let all = &editing.edited.configuration;
    let remarks = editing.edited.remarks();
    let says = Says::of(&remarks, |remark| {
        if !Stage::Settings.has(remark) {
            return None;
        }
        let place = remark.place.as_str();
        let known = [
            "retentionDays",
            "giveUpAfterHours",
            "flowBudgetMilliseconds",
            "withoutStart.action",
            "withoutStart.afterMinutes",
            "contactLens.file",
            "contactLens.excludeCategories",
            "agent.column",
            "agent.defaultOwner",
            "agent.rememberMinutes",
        ];
        let known = known.into_iter().find(|it| place.starts_with(it));
        let method = place.strip_prefix("contacts.");
        Some(match (known, method) {
            (Some(known), _) => known.to_owned(),
            (None, Some(method)) if INITIATION_METHODS.contains(&method) => {
                format!("contacts.{method}")
            }
            _ => String::new(),
        })
    });
    let values: Vec<(String, String)> = [
        "/withoutStart/action",
        "/withoutStart/afterMinutes",
        "/contactLens/file",
        "/agent/column",
        "/agent/rememberMinutes",
    ]
    .iter()
    .map(|pointer| {
        let value = all.pointer(pointer).map(text_of).unwrap_or_default();
        (pointer[1..].replace('/', "."), value)
    })
    .collect();
    let field = |name: &'static str, label: &'static str| {
        let value = values.iter().find(|(each, _)| each == name);
        Field::new(
            &says,
            name,
            label,
            value.map_or("", |(_, value)| value.as_str()),
        )
    };
    let categories = all["contactLens"]["excludeCategories"].as_array();
    let categories: Vec<String> = categories.into_iter().flatten().map(text_of).collect();
    let categories = categories.join("\n");
    let owner = &all["agent"]["defaultOwner"];
    let (owner_kind, owner_id) = match owner.as_object().and_then(|owner| owner.iter().next()) {
        Some((kind, id)) => (kind.clone(), text_of(id)),
        None => (String::new(), text_of(owner)),
    };
    let numbers = NUMBERS.map(|(name, label, hint)| (name, label, hint, text_of(&all[name])));
    let methods = INITIATION_METHODS.map(|method| {
        (
            format!("contacts.{method}"),
            method,
            text_of(&all["contacts"][method]),
        )
    });
    let form = html! {
        (told)
        h1 { "More settings" }
        p.lead { "They hold for all steps, and all of them can stay as they are." }
        form #wizard method="post" action=(editing.address(Stage::Settings)) novalidate data-dirty {
            (editing.hidden())
            (says.summary())
            section.card aria-labelledby="which" {
                h2 #which { "Which contacts are recorded" }
                p.muted.small { "By how Amazon Connect says that they began." }
                div.row {
                    @for (name, method, value) in &methods {
                        (Field::new(&says, name, method, value).select(&[
                            ("", "as usual"),
                            ("own-record", "on a record of their own"),
                            ("when-a-flow-starts-it", "when a flow starts the record"),
                            ("first-record", "on the first contact's record"),
                            ("ignored", "not at all"),
                        ]))
                    }
                }
            }
            section.card aria-labelledby="said" {
                h2 #said { "What was said" }
                (field("contactLens.file", "File of Contact Lens that is read").select(&[
                    ("", "the redacted one when there is one"),
                    ("redacted-first", "the redacted one when there is one"),
                    ("redacted", "the redacted one only"),
                    ("original", "the original one"),
                ]))
                (Field::new(&says, "contactLens.excludeCategories", "Categories of which nothing is read", &categories).hint("One a line.").area(3))
            }
            section.card aria-labelledby="agents" {
                h2 #agents { "Agents" }
                div.row {
                    (field("agent.column", "Column with the user name").hint("Of the table systemuser. domainname unless given.").text())
                    (field("agent.rememberMinutes", "Minutes that an agent is remembered").hint("60 unless given.").text())
                }
                div.row {
                    (Field::new(&says, "agent.ownerKind", "When there is no such user, Agent.Owner is", &owner_kind).at("agent.defaultOwner").select(&[("", "nobody"), ("user", "this user"), ("team", "this team")]))
                    (Field::new(&says, "agent.ownerId", "Its id", &owner_id).at("agent.defaultOwner.id").text())
                }
            }
            section.card aria-labelledby="times" {
                h2 #times { "Times" }
                @for (name, label, hint, value) in &numbers {
                    (Field::new(&says, name, label, value).hint(hint).input("text"))
                }
                div.row {
                    (field("withoutStart.action", "When a step needs the contact's start, and none comes").select(&[("", "the step is skipped"), ("skip", "the step is skipped"), ("start", "the start is done first")]))
                    (field("withoutStart.afterMinutes", "After so many minutes").hint("15 unless given.").text())
                }
            }
            (editing.buttons())
        }
    };
    editing.page(app, Stage::Settings, is_saved, &form, None)
}

pub(super) async fn save(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let mut editing = Editing::load(&app, &name).await?;
    apply(&mut editing.edited.configuration, &pairs);
    editing
        .save_and_go(&app, &pairs, Stage::Settings, |editing, told| {
            render(&app, editing, false, told)
        })
        .await
}

/// A number where it is one; else what was typed, for the library to say what is wrong with it.
fn number(text: &str) -> Json {
    text.parse::<u64>().map_or_else(|_| text.into(), Json::from)
}

fn apply(all: &mut Json, pairs: &Pairs) {
    let of = |name: &str| {
        let found = pairs.iter().find(|(each, _)| each == name);
        found.map(|(_, value)| value.trim())
    };
    let set = |all: &mut Json, place: &str, value: Option<Json>| {
        let Some(all) = all.as_object_mut() else {
            return;
        };
        let (object, name) = match place.split_once('.') {
            Some((outer, name)) => {
                if value.is_none() && !all.contains_key(outer) {
                    return;
                }
                let inner = all.entry(outer).or_insert_with(|| json!({}));
                if !inner.is_object() {
                    return;
                }
                (inner, name)
            }
            None => {
                match value {
                    Some(value) => all.insert(place.to_owned(), value),
                    None => all.shift_remove(place),
                };
                return;
            }
        };
        if let Some(object) = object.as_object_mut() {
            match value {
                Some(value) => object.insert(name.to_owned(), value),
                None => object.shift_remove(name),
            };
        }
        let outer = place.split('.').next().unwrap_or_default();
        if all
            .get(outer)
            .and_then(Json::as_object)
            .is_some_and(Map::is_empty)
        {
            all.shift_remove(outer);
        }
    };
    let filled = |value: &str| (!value.is_empty()).then(|| Json::from(value));
    for (name, ..) in NUMBERS {
        if let Some(value) = of(name) {
            set(all, name, (!value.is_empty()).then(|| number(value)));
        }
    }
    for place in ["withoutStart.afterMinutes", "agent.rememberMinutes"] {
        if let Some(value) = of(place) {
            set(all, place, (!value.is_empty()).then(|| number(value)));
        }
    }
    for place in ["withoutStart.action", "contactLens.file", "agent.column"] {
        if let Some(value) = of(place) {
            set(all, place, filled(value));
        }
    }
    for method in INITIATION_METHODS {
        let place = format!("contacts.{method}");
        if let Some(value) = of(&place) {
            set(all, &place, filled(value));
        }
    }
    if let Some(value) = of("contactLens.excludeCategories") {
        let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
        let categories: Vec<&str> = lines.collect();
        let categories = (!categories.is_empty()).then(|| json!(categories));
        set(all, "contactLens.excludeCategories", categories);
    }
    if let Some(kind) = of("agent.ownerKind") {
        let id = of("agent.ownerId").unwrap_or_default();
        let owner = (!kind.is_empty()).then(|| json!({kind: id}));
        set(all, "agent.defaultOwner", owner);
    }
}

pub(super) async fn show_json(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Shown {
    let editing = Editing::load(&app, &name).await?;
    let text = editing.edited.document();
    let is_saved = query.as_deref() == Some("saved");
    Ok(render_json(
        &app,
        &editing,
        &text,
        is_saved,
        None,
        &html! {},
    ))
}

fn render_json(
    app: &App,
    editing: &Editing,
    text: &str,
    is_saved: bool,
    error: Option<&str>,
    told: &Markup,
) -> Markup {
    let remarks = editing.edited.remarks();
    let mut says = Says::default();
    if let Some(error) = error {
        says.add("document", error.to_owned(), true);
    } else {
        says = Says::of(&remarks, |_| Some(String::new()));
    }
    let form = html! {
        (told)
        h1 { "The whole document" }
        p.lead { "All that a configuration can say, also what has no field on the other pages. The functions read it in this form." }
        form #wizard method="post" action={ "/integrations/" (editing.name) "/json" } novalidate data-dirty {
            (editing.hidden())
            (says.summary())
            (Field::new(&says, "document", "Configuration as JSON", text).area(30))
            div.actions {
                button.primary type="submit" name="go" value="publish" { "Save and review" }
                button type="submit" name="go" value="json?saved" { "Save" }
            }
        }
    };
    editing.page(app, Stage::Settings, is_saved, &form, None)
}

pub(super) async fn save_json(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let mut editing = Editing::load(&app, &name).await?;
    let text = pairs.iter().find(|(each, _)| each == "document");
    let text = text.map_or("", |(_, value)| value.as_str());
    let wrong = |editing: &Editing, error: &str| {
        let page = render_json(&app, editing, text, false, Some(error), &html! {});
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    };
    match serde_json::from_str::<Json>(text) {
        Ok(Json::Object(mut configuration)) => {
            if configuration.get("name").and_then(Json::as_str) != Some(&name) {
                // The name is the integration's address; another one would be another integration.
                let said = configuration.get("name").map(text_of).unwrap_or_default();
                if !said.is_empty() {
                    return wrong(
                        &editing,
                        &format!(
                            "The name is `{said}`, and this is the integration `{name}`. Write \"name\": \"{name}\"."
                        ),
                    );
                }
                configuration.insert("name".into(), name.as_str().into());
            }
            editing.edited.configuration = configuration.into();
        }
        Ok(_) => {
            return wrong(
                &editing,
                "It must be a JSON object: it begins with { and ends with }.",
            );
        }
        Err(error) => return wrong(&editing, &format!("It is no JSON: {error}.")),
    }
    editing
        .save_and_go(&app, &pairs, Stage::Settings, |editing, told| {
            render_json(&app, editing, text, false, None, told)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emptied_goes_and_what_is_wrong_stays_to_be_told() {
        let mut all = json!({"name": "x", "retentionDays": 5, "agent": {"column": "a"}, "contacts": {"TRANSFER": "ignored"}});
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        apply(
            &mut all,
            &vec![
                pair("retentionDays", ""),
                pair("giveUpAfterHours", "many"),
                pair("agent.column", ""),
                pair("agent.ownerKind", "team"),
                pair("agent.ownerId", "1"),
                pair("contacts.TRANSFER", ""),
                pair("contacts.MONITOR", "own-record"),
                pair("contactLens.excludeCategories", " a \n\n b"),
            ],
        );
        assert_eq!(
            all,
            json!({"name": "x", "giveUpAfterHours": "many", "agent": {"defaultOwner": {"team": "1"}},
                "contacts": {"MONITOR": "own-record"}, "contactLens": {"excludeCategories": ["a", "b"]}})
        );
    }
}
