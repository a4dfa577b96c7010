//! A Dynamics environment, as the console looks at it and tries it.
//!
//! | module | what it owns |
//! |---|---|
//! | [`connection`] | whether the connection works, and what to do where it does not |
//! | [`metadata`] | what the environment says of its tables, and for how long that is remembered |
//! | [`check`] | what of a configuration the environment would refuse |
//! | [`privileges`] | which privileges the requests need that the application user has not |
//! | [`secret`] | the client secret in Secrets Manager: whether there is one, and giving it another |
//!
//! Requests go through the library's client, so what is tried here is what the functions do. Nothing of a
//! secret or a token is in an answer, an error or a report. Nothing here writes to the environment but
//! [`Environment::send`] and [`Environment::delete`].

pub mod check;
pub mod connection;
pub mod metadata;
pub mod privileges;
pub mod secret;

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use connect_dynamics::{
    configuration::Connection,
    dataverse::{Dynamics, DynamicsError, Http, Kind, Method, Repeats, Request, Response},
    sources::Sources,
};
use serde_json::{Map, Value as Json};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use self::metadata::Remembered;

/// How long a call may take: somebody is waiting.
const WITHIN: Duration = Duration::from_secs(15);
/// The descriptions of all tables of an environment with many, in several languages.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;

/// An environment, reached by a connection as a configuration has it.
#[derive(Debug)]
pub struct Environment {
    connection: Connection,
    aws: SdkConfig,
    http: Http,
    dynamics: Dynamics,
    remembered: Mutex<Remembered>,
}

impl Environment {
    /// The environment of a connection. `aws` is where its secret, key or role is: the operator's own rights are
    /// what counts, not the functions'. Nothing is asked for yet.
    pub fn new(connection: &Connection, aws: &SdkConfig) -> Environment {
        let http = Http::default().with_largest_answer(LARGEST_ANSWER);
        Environment {
            dynamics: dynamics(&http, connection, aws),
            connection: connection.clone(),
            aws: aws.clone(),
            http,
            remembered: Mutex::default(),
        }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends a request as it is, and returns what Dynamics answers.
    ///
    /// # Errors
    /// [`DynamicsError`]: it says whether the request may have been done all the same.
    pub async fn send(&self, request: &Request) -> Result<Response, DynamicsError> {
        // Whoever looks on would rather see the refusal than wait for another try.
        let deadline = Instant::now() + WITHIN;
        let sent = self
            .dynamics
            .send_with(request, Repeats::AfterALimit, deadline);
        // Futures of futures grow beyond what the compiler lays out.
        Box::pin(sent).await
    }

    /// Deletes a record, one that was made to try something. Returns whether it was there.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api#basic-delete>
    ///
    /// # Errors
    /// [`DynamicsError`] when it may be there still.
    pub async fn delete(&self, entity_set: &str, id: Uuid) -> Result<bool, DynamicsError> {
        let request = Request {
            method: Method::Delete,
            path: format!("{entity_set}({id})"),
            body: None,
            kind: Kind::Delete,
            primary_key: String::new(),
        };
        // Deleting twice is deleting once, so that it is tried again where nobody knows.
        let sent = self.dynamics.send(&request, Instant::now() + WITHIN);
        match Box::pin(sent).await {
            Ok(_) => Ok(true),
            // Also an unknown table is answered with this status, and then nothing was deleted.
            Err(DynamicsError::Refused(refusal))
                if refusal.status == 404 && refusal.code.eq_ignore_ascii_case(NO_SUCH_RECORD) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A client that remembers nothing: neither a token, a secret nor a failure.
    fn fresh(&self) -> Dynamics {
        dynamics(&self.http, &self.connection, &self.aws)
    }

    async fn read(&self, path: String) -> Result<Map<String, Json>, DynamicsError> {
        let response = self.send(&reading(path)).await?;
        Ok(response.body)
    }
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes>
const NO_SUCH_RECORD: &str = "0x80040217";

fn dynamics(http: &Http, connection: &Connection, aws: &SdkConfig) -> Dynamics {
    Dynamics::new(http.clone(), connection, Arc::new(Sources::new(aws)))
}

fn reading(path: String) -> Request {
    Request {
        method: Method::Get,
        path,
        body: None,
        kind: Kind::Read,
        primary_key: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;
    use connect_dynamics::integration::Integration;

    use super::*;
    use crate::aws::Aws;

    /// A page's handler may be moved from one thread to another while it waits.
    #[test]
    fn whatever_is_awaited_can_be_awaited_in_a_page() {
        fn is_send(_: impl Send) {}
        let reference = include_str!("../../../local/reference-integration.json");
        let integration = Integration::load(reference).unwrap();
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(aws_config::Region::new("us-east-1"))
            .build();
        let environment = Environment::new(integration.connection(), &config);
        is_send(environment.test_connection());
        is_send(environment.tables());
        is_send(environment.table("phonecalls"));
        is_send(environment.refresh());
        is_send(environment.check(integration.configuration()));
        is_send(environment.missing_privileges(integration.configuration()));
        is_send(environment.delete("phonecalls", Uuid::nil()));
        is_send(environment.send(&reading("WhoAmI".into())));
        let aws = Aws::new(&config).unwrap();
        is_send(secret::secret_state(&aws, "example"));
        is_send(secret::set_secret(&aws, "example", "made-up", None));
    }
}
