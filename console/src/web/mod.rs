//! The console in the browser.
//!
//! Owns its addresses and how a page is made. A page is HTML that is rendered here (`page`), behind a guard
//! that lets in only the browser that was opened for it (`guard`). Each group of pages is a module of its own:
//!
//! | module | pages |
//! |---|---|
//! | `home` | the integrations that there are |
//! | `wizard` | an integration's configuration |
//! | `contacts` | contacts: the list and the search, what became of each, forgetting |
//! | `doctor` | what the doctor finds |

mod contacts;
mod doctor;
mod guard;
mod home;
mod page;
mod wizard;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, routing::get};
use tokio::net::TcpListener;

use self::guard::Guard;
pub(crate) use self::page::{PageError, Section, Shown, Tone, badge, notice, page, time};
pub(crate) use crate::words::count;
use crate::{deployment::Deployment, environment::Environment, sample::Sample};
use connect_dynamics::configuration::Connection;

/// What every page has.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) deployment: Deployment,
    /// The sample contact of each integration's previews.
    pub(crate) samples: Mutex<BTreeMap<String, Sample>>,
    /// The environments that were asked, by their connections, with what they told.
    environments: Mutex<BTreeMap<String, Arc<Environment>>>,
    /// The test contacts that were placed.
    pub(crate) trials: crate::trial::Trials,
}

impl App {
    /// The environment that a connection leads to. What it told is remembered for a while.
    pub(crate) fn environment(&self, connection: &Connection) -> Arc<Environment> {
        let key = serde_json::to_string(connection).unwrap_or_default();
        let environments = self.environments.lock();
        let mut environments = environments.unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Environment::new(connection, self.deployment.aws.config()));
        environments.entry(key).or_insert_with(new).clone()
    }
}

pub(crate) type Shared = Arc<App>;

/// A console that is up.
#[derive(Debug)]
pub struct Console {
    /// Its address with the one-time token: who opens it first is let in.
    pub address: String,
    listener: TcpListener,
    router: Router,
}

impl Console {
    /// Listens on loopback, at a port or at any that is free.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(deployment: Deployment, port: u16) -> io::Result<Console> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let port = listener.local_addr()?.port();
        let guard = Guard::new(port);
        let address = format!("http://127.0.0.1:{port}/?token={}", guard.token());
        let app = Arc::new(App {
            deployment,
            samples: Mutex::default(),
            environments: Mutex::default(),
            trials: crate::trial::Trials::default(),
        });
        Ok(Console {
            address,
            listener,
            router: guard.protect(router(app)),
        })
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self) -> io::Result<()> {
        axum::serve(self.listener, self.router).await
    }
}

fn router(app: Shared) -> Router {
    Router::new()
        .route("/", get(home::home))
        .merge(contacts::router())
        .route("/doctor", get(doctor::doctor))
        .route("/doctor/checks", get(doctor::checks))
        .route("/assets/{name}", get(page::asset))
        .merge(wizard::router())
        .fallback(page::not_found)
        .with_state(app)
}
