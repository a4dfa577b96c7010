//! The pages for people: the switchboard, the control panel, the sign-in page and the agent workspace.
//!
//! Owns where they are served and what they are served with. Who may show them in a frame is what Amazon Connect
//! says: the control panel's approved origins, and nobody of the sign-in page.
//! <https://docs.aws.amazon.com/connect/latest/adminguide/app-integration.html>

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use url::Url;

use super::{Connect, Refused};

/// What the stand-ins' pages share.
pub(crate) const STYLE: &str = include_str!("pages/style.css");

const SCRIPTS: [(&str, &str); 7] = [
    ("instance.js", include_str!("pages/instance.js")),
    ("watcher.js", include_str!("pages/watcher.js")),
    ("panel.js", include_str!("pages/panel.js")),
    ("ccp.js", include_str!("pages/ccp.js")),
    ("streams.js", include_str!("pages/streams.js")),
    ("switchboard.js", include_str!("pages/switchboard.js")),
    ("workspace.js", include_str!("pages/workspace.js")),
];

pub(super) fn router() -> Router<Connect> {
    let mut router = Router::new()
        .route("/", get(switchboard))
        .route("/ccp-v2/", get(control_panel))
        .route("/ccp-v2", get(async || Redirect::permanent("/ccp-v2/")))
        .route("/login", get(sign_in_page).post(sign_in))
        .route("/workspace", get(workspace))
        .route(
            "/stand-in/assets/style.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        );
    for (name, text) in SCRIPTS {
        router = router.route(
            &format!("/stand-in/assets/{name}"),
            get(async move || asset("text/javascript; charset=utf-8", text)),
        );
    }
    router
}

/// Origins, each as a policy may name it.
///
/// # Errors
/// The one that is none.
pub(crate) fn sources(origins: Vec<String>) -> Result<Vec<String>, Refused> {
    let source = |text: String| match Url::parse(&text) {
        Ok(url) if url.origin().is_tuple() => Ok(url.origin().ascii_serialization()),
        _ => Err(Refused::wrong(format!(
            "`{text}` is no origin; write it as in http://127.0.0.1:9006"
        ))),
    };
    origins.into_iter().map(source).collect()
}

pub(crate) fn asset(content_type: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        text,
    )
        .into_response()
}

/// A page with scripts of its own alone, that shows `frames` and is shown by `ancestors`.
fn page(text: &'static str, frames: &str, ancestors: &str) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src data:; frame-src {frames}; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
    );
    let mut response = asset("text/html; charset=utf-8", text);
    let policy = HeaderValue::try_from(policy).expect("origins are ASCII");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn switchboard() -> Response {
    page(include_str!("pages/switchboard.html"), "'none'", "'none'")
}

async fn control_panel(State(connect): State<Connect>) -> Response {
    let instance = connect.lock();
    if !instance.is_signed_in {
        return Redirect::to("/login").into_response();
    }
    let ancestors = format!("'self' {}", instance.approved_origins.join(" "));
    page(include_str!("pages/ccp.html"), "'none'", &ancestors)
}

async fn sign_in_page() -> Response {
    let mut response = page(include_str!("pages/login.html"), "'none'", "'none'");
    let headers = response.headers_mut();
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

async fn sign_in(State(connect): State<Connect>) -> Response {
    connect.change(|instance| instance.is_signed_in = true);
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/ccp-v2/")]).into_response()
}

async fn workspace(State(connect): State<Connect>) -> Response {
    let origin = connect.lock().origins.agent_page.clone();
    let frames = if origin.is_empty() {
        "'none'"
    } else {
        origin.as_str()
    };
    page(include_str!("pages/workspace.html"), frames, "'none'")
}
