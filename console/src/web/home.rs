//! The first page: the integrations that there are.

use axum::extract::State;
use maud::html;

use super::{Section, Shared, Shown, page};

pub(super) async fn home(State(app): State<Shared>) -> Shown {
    let names = app.deployment.store.integration_names().await?;
    let main = html! {
        h1 { "Integrations" }
        ul { @for name in &names { li { (name) } } }
    };
    Ok(page(&app, Section::Integrations, "Integrations", &main))
}
