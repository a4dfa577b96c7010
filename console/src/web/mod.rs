//! The console in the browser.
//!
//! Owns its addresses and how a page is made. A page is HTML that is rendered here (`page`), behind a guard
//! that lets in only the browser that was opened for it (`guard`). Each group of pages is a module of its own:
//!
//! | module | pages |
//! |---|---|
//! | `doctor` | what the doctor finds |
//! | `home` | the integrations, and how a new one begins |

mod doctor;
mod guard;
mod home;
mod page;

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use tokio::net::TcpListener;

use self::guard::Guard;
pub(crate) use self::page::{PageError, Section, Shown, Tone, badge, count, notice, page, time};
use crate::deployment::Deployment;

/// What every page has.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) deployment: Deployment,
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
        let app = Arc::new(App { deployment });
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
        .route("/doctor", get(doctor::doctor))
        .route("/doctor/checks", get(doctor::checks))
        .route("/assets/{name}", get(page::asset))
        .fallback(page::not_found)
        .with_state(app)
}
