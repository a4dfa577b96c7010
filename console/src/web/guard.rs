//! Who may ask for pages: the browser that was opened for it, and pages of this console only.
//!
//! Owns the session, and what is checked of every request before a page sees it:
//!
//! - the `Host` is this console's own, so that no other name leads here (DNS rebinding),
//! - what changes something comes from this console's own pages (`Origin`, `Sec-Fetch-Site`), so that no other
//!   page can have a browser send it (CSRF),
//! - the cookie is that of the session. It is given once, for the token in the address that was opened.
//!
//! Every answer says that it is not to be kept, framed or run with anything from elsewhere.
//! <https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html>

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN,
            REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use uuid::Uuid;

use super::page;

/// What a page may load: what this console serves, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Debug, Clone)]
pub(super) struct Guard {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    port: u16,
    /// 244 bits of chance, each.
    token: String,
    session: String,
    is_used: AtomicBool,
}

impl Guard {
    pub(super) fn new(port: u16) -> Guard {
        let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Guard {
            inner: Arc::new(Inner {
                port,
                token: secret(),
                session: secret(),
                is_used: AtomicBool::new(false),
            }),
        }
    }

    pub(super) fn token(&self) -> &str {
        &self.inner.token
    }

    pub(super) fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, check))
    }
}

impl Inner {
    fn hosts(&self) -> [String; 2] {
        ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", self.port))
    }

    /// Cookies know no ports: another console of this machine has its own.
    fn cookie(&self) -> String {
        format!("connect-dynamics-{}", self.port)
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter();
        let mut cookies = cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'));
        let name = self.cookie();
        cookies.any(|cookie| {
            cookie
                .trim()
                .split_once('=')
                .is_some_and(|(key, value)| key == name && is_same(value, &self.session))
        })
    }

    fn refuses(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        let header = |name| {
            let value: Option<&HeaderValue> = request.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        let hosts = self.hosts();
        if !header(HOST).is_some_and(|host| hosts.iter().any(|ours| ours == host)) {
            return Some((
                StatusCode::MISDIRECTED_REQUEST,
                "The console answers at its own address only.",
            ));
        }
        let is_own = |origin: &str| hosts.iter().any(|host| origin == format!("http://{host}"));
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let from_elsewhere = match header(ORIGIN) {
            Some(origin) => !is_own(origin),
            None => changes,
        };
        let site = request.headers().get("sec-fetch-site");
        let is_other_site = site.is_some_and(|site| site != "same-origin" && site != "none");
        if from_elsewhere || changes && is_other_site {
            return Some((
                StatusCode::FORBIDDEN,
                "The request comes from a page that is not the console's.",
            ));
        }
        None
    }
}

/// Compares in a time that does not tell where the difference is.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .fold(0, |difference, (one, other)| difference | (one ^ other))
            == 0
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let inner = &guard.inner;
    let mut response = if let Some((status, reason)) = inner.refuses(&request) {
        (status, reason).into_response()
    } else if inner.has_session(request.headers()) || is_public(request.uri().path()) {
        next.run(request).await
    } else if let Some(token) = token(&request) {
        let is_right = is_same(&token, &inner.token);
        if is_right && !inner.is_used.swap(true, Ordering::SeqCst) {
            let cookie = format!(
                "{}={}; Path=/; HttpOnly; SameSite=Strict",
                inner.cookie(),
                inner.session
            );
            (
                StatusCode::SEE_OTHER,
                [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())],
            )
                .into_response()
        } else {
            page::signed_out(
                "This address has been used already, or is of a console that has ended.",
            )
        }
    } else {
        page::signed_out("This browser has not been let in.")
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer` browsers send `Origin: null` with the console's own forms, too.
        // https://fetch.spec.whatwg.org/#append-a-request-origin-header
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The style of the page that tells a browser that it has not been let in.
fn is_public(path: &str) -> bool {
    path.starts_with("/assets/")
}

fn token(request: &Request) -> Option<String> {
    let query = request.uri().query()?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, token) = pairs.find(|(name, _)| name == "token")?;
    Some(token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    const PORT: u16 = 9005;

    fn console() -> (Guard, Router) {
        let guard = Guard::new(PORT);
        let pages = Router::new()
            .route("/", get(|| async { "a page" }).post(|| async { "done" }))
            .route("/assets/{name}", get(|| async { "a style" }));
        (guard.clone(), guard.protect(pages))
    }

    async fn ask(
        router: &Router,
        method: Method,
        address: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request = axum::http::Request::builder().method(method).uri(address);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:9005");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    /// The cookie of a browser that was let in.
    async fn let_in(guard: &Guard, router: &Router) -> String {
        let address = format!("/?token={}", guard.token());
        let answer = ask(router, Method::GET, &address, &[]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()[LOCATION], "/");
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
            "{cookie}"
        );
        cookie.split(';').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn an_address_lets_one_browser_in_once() {
        let (guard, router) = console();
        for address in ["/", "/?token=", "/?token=wrong"] {
            let answer = ask(&router, Method::GET, address, &[]).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{address}");
        }
        let cookie = let_in(&guard, &router).await;
        let answer = ask(&router, Method::GET, "/", &[("cookie", &cookie)]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let again = format!("/?token={}", guard.token());
        let answer = ask(&router, Method::GET, &again, &[]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let other = format!("{cookie}0");
        let answer = ask(&router, Method::GET, "/", &[("cookie", &other)]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        // What tells a browser that it is not let in may look as it should.
        let answer = ask(&router, Method::GET, "/assets/console.css", &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn only_the_consoles_own_pages_change_anything_and_by_its_own_name() {
        let (guard, router) = console();
        let cookie = let_in(&guard, &router).await;
        let own = "http://127.0.0.1:9005";
        for (headers, status) in [
            (vec![("origin", own)], StatusCode::OK),
            (
                vec![("origin", own), ("sec-fetch-site", "same-origin")],
                StatusCode::OK,
            ),
            (vec![], StatusCode::FORBIDDEN),
            (vec![("origin", "null")], StatusCode::FORBIDDEN),
            (
                vec![("origin", "http://127.0.0.1:9006")],
                StatusCode::FORBIDDEN,
            ),
            (
                vec![("origin", "http://127.0.0.1.example.com:9005")],
                StatusCode::FORBIDDEN,
            ),
            (
                vec![("origin", own), ("sec-fetch-site", "cross-site")],
                StatusCode::FORBIDDEN,
            ),
            (
                vec![("origin", own), ("host", "example.com:9005")],
                StatusCode::MISDIRECTED_REQUEST,
            ),
            (
                vec![("origin", own), ("host", "127.0.0.1")],
                StatusCode::MISDIRECTED_REQUEST,
            ),
        ] {
            let mut headers = headers;
            headers.push(("cookie", &cookie));
            let answer = ask(&router, Method::POST, "/", &headers).await;
            assert_eq!(answer.status(), status, "{headers:?}");
        }
        let headers = [
            ("cookie", cookie.as_str()),
            ("host", "rebound.example.com:9005"),
        ];
        let answer = ask(&router, Method::GET, "/", &headers).await;
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    }

    #[tokio::test]
    async fn every_answer_is_bare_of_what_is_not_the_consoles() {
        let (guard, router) = console();
        let cookie = let_in(&guard, &router).await;
        for headers in [
            vec![],
            vec![("cookie", cookie.as_str())],
            vec![("host", "x")],
        ] {
            let answer = ask(&router, Method::GET, "/", &headers).await;
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self';"),
                "{policy}"
            );
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
            assert_eq!(answer.headers()[X_FRAME_OPTIONS], "DENY");
            assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        }
    }
}
