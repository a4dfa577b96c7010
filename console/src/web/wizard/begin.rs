//! How an integration begins: from a recipe, or from the reference's examples.

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_dynamics::{configuration::is_integration_name, store::versions::Draft};
use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    App, Editing, Section, Shared, Stage,
    fields::{Field, Says},
    page, see,
};
use crate::{
    draft::{BEGINNINGS, Edited},
    form::{Pairs, filled},
    web::{PageError, Shown},
};

pub(super) async fn new(State(app): State<Shared>) -> Shown {
    let names = app.deployment.store.integration_names().await?;
    let name = if names.is_empty() {
        app.deployment.default_integration.clone()
    } else {
        String::new()
    };
    Ok(form(&app, &name, "phone-call", None))
}

fn form(app: &App, name: &str, chosen: &str, error: Option<&str>) -> Markup {
    let mut says = Says::default();
    if let Some(error) = error {
        says.add("name", error.to_owned(), true);
    }
    let default = &app.deployment.default_integration;
    let hint = format!(
        "Letters, digits, - and _. Contacts whose flow names no integration go to {default}."
    );
    let main = html! {
        h1 { "Set up an integration" }
        p.lead { "Choose where to begin. Everything can be changed on the pages that follow, which show what would be sent to Dynamics while you type." }
        form.card method="post" action="/integrations/new" {
            (Field::new(&says, "name", "Name", name).hint(&hint).text())
            fieldset {
                legend { "Begin with" }
                @for beginning in &BEGINNINGS {
                    div.choice {
                        input type="radio" name="beginning" id={ "b-" (beginning.name) } value=(beginning.name) checked[beginning.name == chosen];
                        label for={ "b-" (beginning.name) } {
                            strong { (beginning.title) } br;
                            span.muted.small { (beginning.what) }
                        }
                    }
                }
            }
            div.actions {
                button.primary type="submit" { "Begin" }
                a.button href="/" { "Cancel" }
            }
        }
    };
    page(app, Section::Integrations, "Set up an integration", &main)
}

pub(super) async fn create(
    State(app): State<Shared>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let (name, chosen) = (filled(&pairs, "name"), filled(&pairs, "beginning"));
    let wrong = |error: &str| {
        let page = form(&app, name, chosen, Some(error));
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    };
    if name == "new" {
        return wrong("This name has a meaning here. Choose another one.");
    }
    if !is_integration_name(name) {
        return wrong("It must be 1 to 64 letters, digits, - and _.");
    }
    let store = &app.deployment.store;
    if store.integration(name).await?.is_some() || store.draft(name).await?.is_some() {
        return wrong("There is such an integration. Choose another name, or open that one.");
    }
    let Some(beginning) = BEGINNINGS.iter().find(|it| it.name == chosen) else {
        return Err(PageError::BadRequest("There is no such beginning.".into()));
    };
    let edited = Edited::new(beginning.configuration(name, &app.deployment));
    let mut draft = Draft {
        document: edited.write(),
        saved_at: Timestamp::now(),
        version: 0,
    };
    store.save_draft(name, &mut draft).await?;
    Ok(see(&format!("/integrations/{name}/connection")))
}

pub(super) async fn open(
    State(app): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let editing = Editing::load(&app, &name).await?;
    Ok(see(&editing.address(Stage::Connection)))
}
