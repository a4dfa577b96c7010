//! What all pages share: the frame around them, the parts they are made of, and the assets in `assets/`.
//!
//! maud escapes every value, so nothing that is shown can be taken for markup.

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use connect_dynamics::store::StoreError;
use maud::{DOCTYPE, Markup, html};

use super::App;
use crate::aws::AwsError;

/// The part of the console that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Integrations,
    Contacts,
    Doctor,
}

const SECTIONS: [(Section, &str, &str); 3] = [
    (Section::Integrations, "/", "Integrations"),
    (Section::Contacts, "/contacts", "Contacts"),
    (Section::Doctor, "/doctor", "Doctor"),
];

/// What a page's handler returns.
pub(crate) type Shown = Result<Markup, PageError>;

/// A whole page.
pub(crate) fn page(app: &App, section: Section, title: &str, main: &Markup) -> Markup {
    bare(
        title,
        &html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.brand href="/" {
                    img src="/assets/icon.svg" alt="" width="24" height="24";
                    " Connect for Dynamics"
                }
                nav aria-label="Main" {
                    @for (each, address, name) in SECTIONS {
                        a href=(address) aria-current=[(each == section).then_some("page")] { (name) }
                    }
                }
                p.where { span.visually-hidden { "Working on " } (app.deployment.title()) }
            }
            main #main tabindex="-1" { (main) }
        },
    )
}

fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Connect for Dynamics" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/console.css";
                script src="/assets/console.js" defer {}
            }
            body { (body) }
        }
    }
}

/// How a notice is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

/// A box that says something about the page, or about what was just done.
pub(crate) fn notice(tone: Tone, content: &Markup) -> Markup {
    let role = (tone == Tone::Bad).then_some("alert");
    html! { div class={ "notice " (tone.class()) } role=[role] { (content) } }
}

/// A word that tells a state.
pub(crate) fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// A moment, as UTC tells it. The script shows it in the reader's own time zone.
pub(crate) fn time(at: jiff::Timestamp) -> Markup {
    let text = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(at.to_string()) { (text) } }
}

/// Why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Another service has refused it.
    #[error("{0}")]
    Refused(String),
    /// What was sent cannot be used.
    #[error("{0}")]
    BadRequest(String),
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title) = match &self {
            PageError::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
            PageError::Refused(_) => (StatusCode::BAD_GATEWAY, "This was refused"),
            PageError::BadRequest(_) => (StatusCode::BAD_REQUEST, "This cannot be used"),
            PageError::Store(StoreError::Conflict) => {
                (StatusCode::CONFLICT, "Somebody else was faster")
            }
            PageError::Store(_) => (StatusCode::BAD_GATEWAY, "The table does not answer"),
            PageError::Aws(_) => (StatusCode::BAD_GATEWAY, "AWS does not answer"),
        };
        let message = match &self {
            PageError::Store(StoreError::Conflict) => {
                "What this page showed has been changed meanwhile, and nothing was done. Go back, load the page again, and look at what it says now.".to_owned()
            }
            other => other.to_string(),
        };
        let body = html! {
            main.alone #main {
                h1 { (title) }
                p { (message) }
                p { a.button href="/" { "Back to the start" } }
            }
        };
        (status, bare(title, &body)).into_response()
    }
}

pub(super) async fn not_found() -> PageError {
    PageError::NotFound("There is no such page.".into())
}

/// What a browser without the session sees.
pub(super) fn signed_out(reason: &str) -> Response {
    let body = html! {
        main.alone #main {
            h1 { "Not signed in" }
            p { (reason) }
            p {
                "Start " code { "connect-dynamics" }
                " again, and open the address that it prints. Each address lets one browser in, once."
            }
        }
    };
    (StatusCode::UNAUTHORIZED, bare("Not signed in", &body)).into_response()
}

/// The files that pages load.
const ASSETS: [(&str, &str, &str); 3] = [
    (
        "console.css",
        "text/css; charset=utf-8",
        concat!(
            include_str!("../../assets/base.css"),
            include_str!("../../assets/wizard.css"),
            include_str!("../../assets/contacts.css"),
            include_str!("../../assets/doctor.css"),
        ),
    ),
    (
        "console.js",
        "text/javascript; charset=utf-8",
        concat!(
            include_str!("../../assets/base.js"),
            include_str!("../../assets/wizard.js"),
            include_str!("../../assets/doctor.js"),
        ),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../assets/icon.svg"),
    ),
];

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(asset, ..)| *asset == name) {
        Some((_, kind, content)) => {
            ([(CONTENT_TYPE, HeaderValue::from_static(kind))], *content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
