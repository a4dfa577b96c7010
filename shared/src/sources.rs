//! Where a credential for Entra ID may come from: three services of AWS.

use aws_config::SdkConfig;

use crate::{clock::Clock, federation::Federation, secret::Secrets, signing::Keys};

/// The services, each of which is called only when a configuration needs it.
#[derive(Debug)]
pub struct Sources {
    pub secrets: Secrets,
    pub keys: Keys,
    pub federation: Federation,
    config: SdkConfig,
}

impl Sources {
    pub fn new(config: &SdkConfig) -> Sources {
        Sources {
            secrets: Secrets::new(config),
            keys: Keys::new(config),
            federation: Federation::new(config),
            config: config.clone(),
        }
    }

    /// The same services, with nothing in memory of what they gave.
    #[must_use]
    pub fn fresh(&self) -> Sources {
        Sources::new(&self.config)
    }

    /// Counts the age of what they gave by another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Sources {
        Sources {
            secrets: self.secrets.with_clock(clock.clone()),
            federation: self.federation.with_clock(clock),
            ..self
        }
    }
}
