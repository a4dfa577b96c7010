//! The agent's page as the local system serves it: the files of the package `agent-page` with the settings of this
//! system, under the policies that the stack serves them with.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::{Arc, OnceLock},
};

use agent_page::{
    CHANNEL_PROVIDER_PATH, FILES, Parameters, SECURITY_HEADERS, SETTINGS_PATH, Settings,
};
use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use bytes::Bytes;

/// Where the page is, once it is served.
pub type Origin = Arc<OnceLock<String>>;

/// A router of the page's files. Its own origin, which the record of the channel provider names, is known later.
///
/// # Errors
/// What of the parameters is wrong.
pub fn router(parameters: &Parameters, origin: &Origin) -> io::Result<Router> {
    let settings = Settings::new(parameters).map_err(io::Error::other)?;
    let headers = headers(&settings);
    let mut router = Router::new();
    for file in FILES {
        let served = served(file.content_type, Bytes::from_static(file.bytes), &headers);
        router = router.route(&format!("/{}", file.path), served.clone());
        if file.path == "index.html" {
            router = router.route("/", served);
        }
    }
    let json = "application/json; charset=utf-8";
    let text = settings.json();
    router = router.route(
        &format!("/{SETTINGS_PATH}"),
        served(json, text.into(), &headers),
    );
    let origin = origin.clone();
    let provider = async move || {
        let origin = origin.get().map(String::as_str).unwrap_or_default();
        let record = settings.channel_provider(origin);
        (headers, [(header::CONTENT_TYPE, json)], record)
    };
    Ok(router.route(&format!("/{CHANNEL_PROVIDER_PATH}"), get(provider)))
}

/// What every file is served with.
fn headers(settings: &Settings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = |text: String| HeaderValue::try_from(text).expect("settings are checked");
    for (name, text) in SECURITY_HEADERS {
        let name = HeaderName::try_from(name).expect("it is a header's name");
        headers.insert(name, value(text.to_owned()));
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        value(settings.content_security_policy()),
    );
    headers.insert("permissions-policy", value(settings.permissions_policy()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}

/// A file as it is answered: whole, or as the one that the browser has already.
#[derive(Clone)]
struct Served {
    bytes: Bytes,
    headers: HeaderMap,
}

impl Served {
    fn new(content_type: &'static str, bytes: Bytes, headers: &HeaderMap) -> Served {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let mut headers = headers.clone();
        let etag = HeaderValue::try_from(etag).expect("digits are ASCII");
        headers.insert(header::ETAG, etag);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Served { bytes, headers }
    }

    fn answer(self, asked: &HeaderMap) -> Response {
        let is_known = asked.get(header::IF_NONE_MATCH) == self.headers.get(header::ETAG);
        if is_known {
            return (StatusCode::NOT_MODIFIED, self.headers).into_response();
        }
        (self.headers, self.bytes).into_response()
    }
}

fn served(content_type: &'static str, bytes: Bytes, headers: &HeaderMap) -> MethodRouter {
    let served = Served::new(content_type, bytes, headers);
    get(async move |asked: HeaderMap| served.answer(&asked))
}
