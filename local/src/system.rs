//! The whole system on loopback: DynamoDB, the stand-ins and the functions.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_config::{BehaviorVersion, Region};
use connect_dynamics::{integration::Integration, redelivery::Report, store::Store};
use serde_json::Value as Json;

use crate::{
    http,
    lambda::{Function, Lambda},
    stand_in::{
        dataverse::Dataverse, entra::Entra, fault::Faults, secrets_manager::SecretsManager,
    },
    table::{self, TABLE_NAME},
};

/// The reference's examples as a configuration, word for word.
pub const REFERENCE: &str = include_str!("../reference-integration.json");
/// The made-up client secret of a local run.
pub const CLIENT_SECRET: &str = "made-up-client-secret-for-this-machine";

/// The function that delivers what was left behind.
pub const REDELIVERY: &str = "redelivery";

/// The functions and their timeouts in seconds: a flow waits 8 at the most, AWS's other services do
/// not mind.
pub const FUNCTIONS: [(&str, u64); 5] = [
    ("contact-start", 10),
    ("contact-answered", 10),
    ("contact-end", 10),
    ("recording-available", 30),
    (REDELIVERY, 50),
];

/// How to start a system.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration; the environment's and Entra ID's addresses in it are replaced by the
    /// stand-ins'.
    pub configuration: Json,
    /// The folder of the functions' binaries.
    pub binaries: PathBuf,
    /// How many processes each function has.
    pub processes: usize,
    /// The port of the Invoke API; 0 for a free one.
    pub port: u16,
    /// Faults between the functions and the table.
    pub table_faults: Option<Faults>,
    /// By how many seconds Lambda's clock is ahead of the functions'.
    pub clock_skew: i64,
    /// Environment variables for the functions, besides those they need.
    pub environment: BTreeMap<String, String>,
}

impl Options {
    /// The reference's configuration, with the binaries that stand beside this one.
    ///
    /// # Errors
    /// When this process does not know its own path.
    pub fn new() -> io::Result<Options> {
        let own = std::env::current_exe()?;
        let folder = own.parent().unwrap_or(Path::new("."));
        // A test's binary is one folder below.
        let folder = if folder.ends_with("deps") {
            folder.parent().unwrap_or(folder)
        } else {
            folder
        };
        Ok(Options {
            configuration: serde_json::from_str(REFERENCE).map_err(io::Error::other)?,
            binaries: folder.to_owned(),
            processes: 1,
            port: 0,
            table_faults: None,
            clock_skew: 0,
            environment: BTreeMap::new(),
        })
    }
}

/// A running system.
#[derive(Debug)]
pub struct System {
    pub entra: Entra,
    pub dataverse: Dataverse,
    pub secrets_manager: SecretsManager,
    pub lambda: Lambda,
    pub store: Arc<Store>,
    pub integration: Integration,
    pub addresses: Addresses,
}

/// Where the parts listen.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub invoke: SocketAddr,
    pub dynamodb: SocketAddr,
    pub dataverse: SocketAddr,
    pub entra: SocketAddr,
    pub secrets_manager: SocketAddr,
}

impl System {
    /// Starts everything and saves the configuration.
    ///
    /// # Errors
    /// When the configuration is not valid, a binary is missing or a port is taken.
    pub async fn start(options: Options) -> io::Result<System> {
        let mut configuration = options.configuration;
        let connection = &mut configuration["connection"];
        let setting = |name: &str| connection[name].as_str().unwrap_or_default().to_owned();
        let entra = Entra::new(&setting("tenantId"), &setting("clientId"), CLIENT_SECRET);
        let dataverse = Dataverse::new(entra.clone());
        let secrets_manager = SecretsManager::default();
        let secret = serde_json::json!({"clientSecret": CLIENT_SECRET, "expiresOn": "2030-01-31"});
        secrets_manager.set(&setting("clientSecretId"), &secret.to_string());

        let entra_address = http::serve(0, entra.router()).await?;
        let dataverse_address = http::serve(0, dataverse.router()).await?;
        let secrets_manager_address = http::serve(0, secrets_manager.router()).await?;
        let dynamodb_address = table::serve(0).await?;
        let functions_dynamodb = match options.table_faults {
            Some(faults) => table::serve_with_faults(dynamodb_address, faults).await?,
            None => dynamodb_address,
        };
        let environment_uri = format!("http://{dataverse_address}");
        dataverse.set_origin(&environment_uri);
        connection["scope"] = format!("{environment_uri}/.default").into();
        connection["environmentUri"] = environment_uri.into();
        connection["authority"] = format!("http://{entra_address}").into();

        let document = configuration.to_string();
        let integration = Integration::load(&document).map_err(io::Error::other)?;
        let store = Arc::new(store(dynamodb_address, TABLE_NAME).await);
        let name = &integration.configuration.name;
        store
            .save_integration(name, &document)
            .await
            .map_err(io::Error::other)?;

        let mut environment = BTreeMap::from([
            ("TABLE_NAME".to_owned(), TABLE_NAME.to_owned()),
            ("INTEGRATION".to_owned(), name.clone()),
            (
                "AWS_ENDPOINT_URL_DYNAMODB".to_owned(),
                format!("http://{functions_dynamodb}"),
            ),
            (
                "AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(),
                format!("http://{secrets_manager_address}"),
            ),
        ]);
        environment.extend(options.environment);
        let functions = FUNCTIONS
            .into_iter()
            .map(|(name, seconds)| Function {
                name: name.to_owned(),
                binary: options.binaries.join(name),
                timeout: Duration::from_secs(seconds),
                // As in AWS: one at a time.
                processes: if name == REDELIVERY {
                    1
                } else {
                    options.processes
                },
                clock_skew: options.clock_skew,
                environment: environment.clone(),
            })
            .collect();
        let lambda = Lambda::start(functions).await?;
        let invoke = http::serve(options.port, lambda.router()).await?;
        Ok(System {
            entra,
            dataverse,
            secrets_manager,
            lambda,
            store,
            integration,
            addresses: Addresses {
                invoke,
                dynamodb: dynamodb_address,
                dataverse: dataverse_address,
                entra: entra_address,
                secrets_manager: secrets_manager_address,
            },
        })
    }
}

impl System {
    /// Invokes `redelivery`, as its schedule does.
    ///
    /// # Errors
    /// What the function says when it fails.
    pub async fn redeliver(&self) -> Result<Report, String> {
        let event = serde_json::json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}});
        let invoked = self
            .lambda
            .invoke(REDELIVERY, &event)
            .await
            .ok_or("there is no such function")?;
        match invoked.is_error {
            true => Err(invoked.payload.to_string()),
            false => serde_json::from_value(invoked.payload).map_err(|error| error.to_string()),
        }
    }
}

/// The library's own store, at a DynamoDB on loopback.
pub async fn store(dynamodb: SocketAddr, table: &str) -> Store {
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{dynamodb}"))
        .test_credentials()
        .load()
        .await;
    Store::new(&config, table)
}
