//! The integrations that a function has loaded.
//!
//! Owns when a configuration is read from the table: at the first need, and in a warm function at
//! most once a minute, in the background, so that no contact waits for it. After a longer rest of the
//! function a contact does wait, a second at the most, so that it is not sent where the configuration
//! no longer says. A configuration that does not load leaves the last good one in force.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    agents::Agents,
    clock::Clock,
    configuration::ConfigurationError,
    dataverse::{Dynamics, Http},
    integration::Integration,
    number,
    sources::Sources,
    store::{Store, StoreError},
};

const REFRESH: Duration = Duration::from_secs(60);
/// An older configuration is not used before it has been refreshed, if that can be done in time.
const TOO_OLD: Duration = Duration::from_secs(120);
const WAIT_FOR_REFRESH: Duration = Duration::from_secs(1);

/// An integration and the client of its environment.
#[derive(Debug)]
pub struct Loaded {
    pub integration: Integration,
    pub dynamics: Arc<Dynamics>,
    pub agents: Agents,
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

/// What came of trying a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    pub integration: String,
    /// The hosts that the configuration leads to; empty when it cannot be loaded.
    pub environment: String,
    pub authority: String,
    /// Entra ID has given a token, and Dynamics has answered.
    pub works: bool,
    /// The application user in Dynamics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    /// Why it does not work, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Integrations {
    store: Arc<Store>,
    http: Http,
    sources: Arc<Sources>,
    /// The last good ones, and when each was last looked for in the table.
    loaded: Mutex<HashMap<String, (Arc<Loaded>, Timestamp)>>,
    refresh_after: Duration,
    clock: Clock,
}

impl Integrations {
    pub fn new(store: Arc<Store>, sources: Arc<Sources>) -> Integrations {
        Integrations {
            store,
            http: Http::default(),
            sources,
            loaded: Mutex::default(),
            refresh_after: REFRESH,
            clock: Clock::default(),
        }
    }

    /// Counts a configuration's age by another clock than the system's, and what its clients count.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Integrations {
        Integrations { clock, ..self }
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
        let Some((last, looked_at)) = self.lock().get(name).cloned() else {
            return self.load(name, None).await;
        };
        let age = self.clock.since(looked_at);
        if age > TOO_OLD {
            let refreshed = timeout(WAIT_FOR_REFRESH, self.refresh(name, last.clone())).await;
            if refreshed.is_err() {
                // The next contact does not wait for the same table again.
                self.looked(name);
                tracing::warn!(
                    integration = name,
                    "the configuration was not refreshed in time; the last one stays in force meanwhile"
                );
            }
            return Ok(self
                .lock()
                .get(name)
                .map_or(last, |(loaded, _)| loaded.clone()));
        }
        if age > self.refresh_after {
            // Now, so that the next contact does not ask as well.
            self.looked(name);
            self.refresh(name, last.clone());
        }
        Ok(last)
    }

    /// Reads a configuration again, whether or not anyone waits for it.
    fn refresh(self: &Arc<Self>, name: &str, last: Arc<Loaded>) -> JoinHandle<()> {
        let (integrations, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            if let Err(error) = integrations.load(&name, Some(last)).await {
                tracing::error!(integration = name, %error, "the configuration was not refreshed; the last one stays in force");
            }
            integrations.looked(&name);
        })
    }

    fn looked(&self, name: &str) {
        if let Some((_, looked_at)) = self.lock().get_mut(name) {
            *looked_at = self.clock.now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Arc<Loaded>, Timestamp)>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries an integration's connection as a function would that starts now: with the configuration, the
    /// secret and the role as they are, and nothing that is in memory.
    pub async fn try_connection(&self, name: &str, deadline: Instant) -> Trial {
        let mut trial = Trial {
            integration: name.to_owned(),
            ..Trial::default()
        };
        let integration = match self.store.integration(name).await {
            Ok(Some(document)) => compiled(name, &document),
            Ok(None) => Err(IntegrationsError::Unknown(name.to_owned())),
            Err(error) => Err(error.into()),
        };
        let answer = match integration {
            Err(error) => Err(error.to_string()),
            Ok(integration) => {
                let connection = integration.connection();
                let (environment, authority) = connection.hosts();
                (trial.environment, trial.authority) = (environment, authority);
                let sources = Arc::new(self.sources.fresh());
                let dynamics = Dynamics::new(Http::default(), connection, sources);
                let answer = dynamics.who_am_i(deadline).await;
                answer.map_err(|error| error.to_string())
            }
        };
        match answer {
            Ok(answer) => {
                trial.works = true;
                trial.user_id = answer.record_id;
            }
            Err(error) => trial.message = Some(error),
        }
        trial
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
        let integration = compiled(name, &document)?;
        let connection = integration.connection();
        let dynamics = match last {
            // The token and the open connections stay good.
            Some(last) if last.integration.connection() == connection => last.dynamics.clone(),
            _ => {
                let client = Dynamics::new(self.http.clone(), connection, self.sources.clone());
                Arc::new(client.with_clock(self.clock.clone()))
            }
        };
        let (environment, authority) = connection.hosts();
        tracing::info!(
            integration = name,
            environment,
            authority,
            "the configuration is loaded"
        );
        if integration.reads_phone_numbers() {
            // It takes some milliseconds, and is wanted when the token is there.
            tokio::task::spawn_blocking(number::load);
        }
        let remember = integration.configuration().agent.remember_minutes;
        let remember = Duration::from_secs(60 * u64::from(remember));
        let loaded = Arc::new(Loaded {
            integration,
            dynamics,
            agents: Agents::new(remember, self.clock.clone()),
            document,
        });
        let now = self.clock.now();
        let mut all = self.lock();
        // Several may have loaded it at once: all go on with one client, its token and its pace.
        if let Some((first, _)) = all
            .get(name)
            .filter(|(first, _)| first.document == loaded.document)
        {
            return Ok(first.clone());
        }
        all.insert(name.to_owned(), (loaded.clone(), now));
        Ok(loaded)
    }
}

fn compiled(name: &str, document: &str) -> Result<Integration, IntegrationsError> {
    let invalid = |error| IntegrationsError::Invalid {
        name: name.to_owned(),
        error,
    };
    let integration = Integration::load(document).map_err(invalid)?;
    if integration.name() == name {
        return Ok(integration);
    }
    // Contacts are stored under the name that the document gives itself.
    Err(invalid(ConfigurationError(vec![format!(
        "name: the document is saved as `{name}` and calls itself `{}`; save it under its own name",
        integration.name()
    )])))
}
