//! What the environment itself says while one configures: whether it is reached, and what it would refuse. And the
//! client secret, which is set here and never shown.

use axum::{
    Form, Json as JsonBody,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_dynamics::{configuration::Connection, dataverse::columns::KnownTable};
use maud::{Markup, html};
use serde_json::{Map, Value as Json, json};

use super::{
    App, Editing, PageError, Shared, Stage, Tone, connection, notice, see,
    step::{filled_in, parse},
};
use crate::{
    environment::{
        connection::{ConnectionReport, Outcome},
        leads_elsewhere,
        secret::{SecretState, SetSecretError, secret_state, set_secret},
    },
    form::{Pairs, StepForm, filled},
    words::sentence,
};

/// What stands beside the connection's form: the secret, and the test.
pub(super) async fn aside(app: &App, editing: &Editing) -> Markup {
    let secret = editing.edited.configuration["connection"]["clientSecretId"].as_str();
    html! {
        aside.beside {
            @if let Some(secret) = secret { (secret_card(app, editing, secret).await) }
            section.card aria-labelledby="test" {
                h2 #test { "Test connection" }
                p.muted { "Gets a token from Entra ID, asks Dynamics who the application is, and which roles it has. It changes nothing." }
                div.actions {
                    button.primary type="button" data-post={ (editing.address(Stage::Connection)) "/test" } data-into="connection-test" data-busy="Asking Entra ID and Dynamics ..." { "Test connection" }
                }
                div #connection-test role="status" {}
            }
        }
    }
}

async fn secret_card(app: &App, editing: &Editing, secret: &str) -> Markup {
    let state = secret_state(&app.deployment.aws, secret).await;
    let today = jiff::tz::Offset::UTC
        .to_datetime(jiff::Timestamp::now())
        .date();
    let (tone, told) = match &state {
        Ok(SecretState::Filled { expires_on: None }) => {
            (Tone::Good, "It holds a client secret. When that ends, it does not say.".to_owned())
        }
        Ok(SecretState::Filled {
            expires_on: Some(day),
        }) if *day < today => (Tone::Bad, format!("Its client secret has ended on {day}.")),
        Ok(SecretState::Filled {
            expires_on: Some(day),
        }) => (Tone::Good, format!("It holds a client secret, which ends on {day}.")),
        Ok(SecretState::Empty) => (Tone::Warn, "There is no client secret in it yet.".into()),
        Ok(SecretState::Missing) => {
            (Tone::Warn, "There is no such secret yet. It is made when you set it.".into())
        }
        Ok(SecretState::Malformed { reason }) => (Tone::Bad, reason.clone()),
        Ok(SecretState::NoRight { .. }) => (
            Tone::Plain,
            "Your AWS identity may not read it, so nothing can be said of it. The functions may all the same.".into(),
        ),
        Err(error) => (Tone::Bad, error.to_string()),
    };
    let own = app.deployment.secret_id.as_deref();
    let is_another = own.is_some_and(|own| own != secret);
    let is_filled = matches!(state, Ok(SecretState::Filled { .. }));
    html! {
        section.card aria-labelledby="secret" {
            h2 #secret { "Client secret" }
            (notice(tone, &html! { p { (told) } }))
            details open[!is_filled] {
                summary { @if is_filled { "Set another one" } @else { "Set the client secret" } }
                form method="post" action={ "/integrations/" (editing.name) "/secret" } data-secret {
                    input type="hidden" name="clientSecretId" value=(secret);
                    p.small { "Into the secret " code { (secret) } @if is_another { ", which is not the stack's own" } "." }
                    div.field {
                        label for="s-secret" { "Value" }
                        input #s-secret type="password" name="clientSecret" autocomplete="off" required;
                        p.hint { "Its value from Entra ID, not its id. It goes into Secrets Manager, and is never shown again." }
                    }
                    div.field {
                        label for="s-expires" { "The day it ends" }
                        input #s-expires type="date" name="expiresOn";
                        p.hint { "An alarm tells you thirty days before." }
                    }
                    div.actions { button type="submit" { "Put it into Secrets Manager" } }
                    div data-told role="status" {}
                }
            }
        }
    }
}

/// Puts a client secret into the secret that the form names, which is the one that its page has shown.
pub(super) async fn save_secret(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    Editing::load(&app, &name).await?;
    let secret = filled(&pairs, "clientSecretId");
    if secret.is_empty() {
        let error = "The connection names no secret. Fill in its name or ARN first.";
        return Err(PageError::BadRequest(error.into()));
    }
    let day = filled(&pairs, "expiresOn");
    let day = if day.is_empty() {
        None
    } else {
        let parsed = day.parse().map_err(|_| {
            PageError::BadRequest(format!("`{day}` is no day, such as 2027-01-31."))
        })?;
        Some(parsed)
    };
    let value = pairs.iter().find(|(each, _)| each == "clientSecret");
    let value = value.map_or("", |(_, value)| value.as_str());
    match set_secret(&app.deployment.aws, secret, value, day).await {
        Ok(()) => Ok(see(&format!("/integrations/{name}/connection?secret"))),
        Err(error @ (SetSecretError::Nothing | SetSecretError::AnId)) => {
            Err(PageError::BadRequest(sentence(&error.to_string())))
        }
        Err(error) => Err(PageError::Refused(sentence(&error.to_string()))),
    }
}

/// Tests the connection as it is filled in. Nothing is saved.
pub(super) async fn test(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let mut editing = Editing::load(&app, &name).await?;
    connection::apply(&mut editing.edited.configuration["connection"], &pairs);
    let connection = match usable(&editing) {
        Ok(connection) => connection,
        Err(problems) => {
            let page = notice(
                Tone::Bad,
                &html! {
                    p { strong { "The connection cannot be tried yet." } }
                    ul { @for problem in problems { li { (problem) } } }
                },
            );
            return Ok((StatusCode::OK, page).into_response());
        }
    };
    let report = app.environment(&connection).test_connection().await;
    Ok(report_of(&report).into_response())
}

/// The connection of a draft, or why it cannot be used.
pub(super) fn usable(editing: &Editing) -> Result<Connection, Vec<String>> {
    let remarks = editing.edited.remarks();
    let wrong = remarks.iter();
    let wrong = wrong.filter(|it| it.is_error && Stage::Connection.has(it) && it.place != "name");
    let problems: Vec<String> = wrong
        .map(|it| {
            let field = it
                .place
                .trim_start_matches("connection")
                .trim_start_matches('.');
            format!("{field}: {}", it.message)
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let connection = editing.edited.configuration["connection"].clone();
    let connection: Connection =
        serde_json::from_value(connection).map_err(|error| vec![error.to_string()])?;
    match leads_elsewhere(&connection) {
        Some(problem) => Err(vec![problem]),
        None => Ok(connection),
    }
}

fn report_of(report: &ConnectionReport) -> Markup {
    html! {
        @if report.works() {
            (notice(Tone::Good, &html! {
                p { strong { "The connection works." } }
            }))
        } @else {
            (notice(Tone::Bad, &html! { p { strong { "The connection does not work yet." } } }))
        }
        ol.checks {
            @for step in &report.steps {
                @let (class, word) = match step.outcome {
                    Outcome::Done => ("good", "done"),
                    Outcome::Failed => ("bad", "failed"),
                    Outcome::NotTried => ("", "not tried"),
                };
                li {
                    p { strong { (step.step.title()) } " " span class={ "badge " (class) } { (word) } }
                    @if !step.message.is_empty() { p.small { (sentence(&step.message)) } }
                    @if let Some(fix) = &step.fix { p.small { strong { "What to do: " } (sentence(fix)) } }
                }
            }
        }
        @if let Some(user) = &report.user {
            dl.facts {
                dt { "Application user" } dd { (user.full_name) }
                @if let Some(unit) = &user.business_unit { dt { "Business unit" } dd { (unit) } }
                dt { "Security roles" }
                dd { @if user.roles.is_empty() { "none" } @else { (user.roles.join(", ")) } }
            }
        }
    }
}

/// What the environment would refuse of a step as it is filled in, and its tables' columns.
pub(super) async fn marks(
    State(app): State<Shared>,
    Path((name, step)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<JsonBody<Json>, PageError> {
    let step = parse(&step)?;
    let (editing, form) = filled_in(&app, &name, step, &pairs).await?;
    let mut columns = known_columns(&form);
    let answer = |says: Map<String, Json>, columns: Map<String, Json>, note: String| {
        Ok(JsonBody(
            json!({"says": says, "columns": columns, "note": note}),
        ))
    };
    let Ok(connection) = usable(&editing) else {
        let note = "Dynamics has not been asked: the connection is not complete yet.";
        return answer(Map::new(), columns, note.into());
    };
    let Ok(integration) = editing.edited.for_preview(step) else {
        return answer(Map::new(), columns, String::new());
    };
    let environment = app.environment(&connection);
    let known = match environment.known(integration.configuration()).await {
        Ok(known) => known,
        Err(error) => {
            let note = format!("Dynamics could not be asked what it would take: {error}.");
            return answer(Map::new(), columns, note);
        }
    };
    for (entity_set, definition) in &known.definitions {
        if let Ok(definition) = definition {
            let mut names: Vec<String> = Vec::new();
            for column in &definition.columns {
                if column.can_create || column.can_update {
                    names.push(column.name.clone());
                }
            }
            for property in &definition.navigation {
                names.push(format!("{}@odata.bind", property.name));
            }
            columns.insert(entity_set.clone(), names.into());
        }
    }
    let marks = crate::environment::check::marks(integration.configuration(), &known);
    let mut says: Map<String, Json> = Map::new();
    let mut count = 0;
    for mark in &marks {
        let Some(slot) = form.slot(step, &mark.place) else {
            continue;
        };
        count += 1;
        let message = html! { p.warning { span.visually-hidden { "Warning: " } "Dynamics: " (mark.message) } };
        let said = says.get(&slot).and_then(Json::as_str).unwrap_or_default();
        let said = format!("{said}{}", message.into_string());
        says.insert(slot, said.into());
    }
    let note = match count {
        0 => format!(
            "Checked against the tables of {}.",
            connection.environment_uri
        ),
        _ => format!(
            "{} would refuse {}. See the fields.",
            connection.environment_uri,
            super::super::count(count, "value")
        ),
    };
    answer(says, columns, note)
}

/// The columns of Dynamics' own tables, for the tables of a form.
fn known_columns(form: &StepForm) -> Map<String, Json> {
    let mut columns = Map::new();
    for request in &form.requests {
        let set = &request.entity_set;
        if let Some(table) = KnownTable::by_entity_set(set) {
            let names = table.columns().map(|column| Json::from(column.name));
            columns.insert(set.clone(), names.collect::<Vec<_>>().into());
        }
    }
    columns
}
