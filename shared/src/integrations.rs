//! The integrations that a function has loaded.
//!
//! Owns when a configuration is read from the table: at the first need, and in a warm function at
//! most once a minute, in the background, so that no contact waits for it. A configuration that
//! does not load leaves the last good one in force.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    configuration::ConfigurationError,
    dynamics::{Dynamics, Http},
    integration::Integration,
    secret::Secrets,
    store::{Store, StoreError},
};

const REFRESH: Duration = Duration::from_secs(60);

/// An integration and the client of its environment.
#[derive(Debug)]
pub struct Loaded {
    pub integration: Integration,
    pub dynamics: Arc<Dynamics>,
    document: String,
}

/// Why there is no such integration.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum IntegrationsError {
    #[error(
        "there is no integration `{0}`; save its configuration, or correct the flow's parameter `integration` or the function's environment variable INTEGRATION"
    )]
    Unknown(String),
    #[error("the integration `{name}`: {error}")]
    Invalid {
        name: String,
        error: ConfigurationError,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Integrations {
    store: Arc<Store>,
    http: Http,
    secrets: Arc<Secrets>,
    loaded: Mutex<HashMap<String, (Arc<Loaded>, Instant)>>,
    refresh_after: Duration,
}

impl Integrations {
    pub fn new(store: Arc<Store>, secrets: Arc<Secrets>) -> Integrations {
        Integrations {
            store,
            http: Http::default(),
            secrets,
            loaded: Mutex::default(),
            refresh_after: REFRESH,
        }
    }

    /// Looks for a changed configuration after another time than a minute.
    #[must_use]
    pub fn refresh_after(self, refresh_after: Duration) -> Integrations {
        Integrations {
            refresh_after,
            ..self
        }
    }

    /// An integration by its name.
    ///
    /// # Errors
    /// [`IntegrationsError`] when it does not exist, is not valid or cannot be read.
    pub async fn get(self: &Arc<Self>, name: &str) -> Result<Arc<Loaded>, IntegrationsError> {
        let known = {
            let mut loaded = self
                .loaded
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            loaded.get_mut(name).map(|(integration, checked_at)| {
                let stale = checked_at.elapsed() > self.refresh_after;
                if stale {
                    // Now, so that the next contact does not ask as well.
                    *checked_at = Instant::now();
                }
                (integration.clone(), stale)
            })
        };
        match known {
            None => self.load(name, None).await,
            Some((integration, stale)) => {
                if stale {
                    let (integrations, name, last) =
                        (self.clone(), name.to_owned(), integration.clone());
                    tokio::spawn(async move {
                        if let Err(error) = integrations.load(&name, Some(last)).await {
                            tracing::error!(integration = name, %error, "the configuration was not refreshed; the last one stays in force");
                        }
                    });
                }
                Ok(integration)
            }
        }
    }

    async fn load(
        &self,
        name: &str,
        last: Option<Arc<Loaded>>,
    ) -> Result<Arc<Loaded>, IntegrationsError> {
        let document = self
            .store
            .integration(name)
            .await?
            .ok_or_else(|| IntegrationsError::Unknown(name.to_owned()))?;
        if let Some(last) = last.as_ref().filter(|last| last.document == document) {
            return Ok(last.clone());
        }
        let integration =
            Integration::load(&document).map_err(|error| IntegrationsError::Invalid {
                name: name.to_owned(),
                error,
            })?;
        let connection = &integration.configuration().connection;
        let dynamics = match last {
            // The token and the open connections stay good.
            Some(last) if last.integration.configuration().connection == *connection => {
                last.dynamics.clone()
            }
            _ => Arc::new(Dynamics::new(
                self.http.clone(),
                connection,
                self.secrets.clone(),
            )),
        };
        let loaded = Arc::new(Loaded {
            integration,
            dynamics,
            document,
        });
        let mut integrations = self
            .loaded
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        integrations.insert(name.to_owned(), (loaded.clone(), Instant::now()));
        Ok(loaded)
    }
}
