//! The whole system on loopback: DynamoDB, the stand-ins and the functions.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region};
use axum::{Router, routing::get};
use connect_dynamics::{
    dataverse::Table, delivery::Report, integration::Integration, store::Store,
};
use console::deployment::LocalSystem;
use serde_json::{Map, Value as Json};

use crate::{
    aws::Aws,
    credential::{CLIENT_SECRET, Sources},
    http,
    lambda::{Function, Lambda},
    stand_in::{
        dataverse::Dataverse, entra::Entra, fault::Faults, kms::Kms, s3::S3,
        secrets_manager::SecretsManager, sts::Sts,
    },
    table::{self, TABLE_NAME},
};

/// The reference's examples as a configuration, word for word.
pub const REFERENCE: &str = include_str!("../reference-integration.json");

/// The integration of functions that `sam local invoke` runs in containers.
pub const FOR_CONTAINERS: &str = "sam-local";

/// The function that delivers what was left behind.
pub const REDELIVERY: &str = "redelivery";

/// The functions and their timeouts in seconds: a flow waits 8 at the most, AWS's other services do
/// not mind.
pub const FUNCTIONS: [(&str, u64); 6] = [
    ("contact-start", 10),
    ("contact-answered", 10),
    ("contact-end", 10),
    ("recording-available", 30),
    ("contact-completed", 30),
    (REDELIVERY, 55),
];

/// How to start a system.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration; the environment's and Entra ID's addresses in it are replaced by the
    /// stand-ins', and so is the thumbprint of a key in KMS.
    pub configuration: Json,
    /// The folder of the functions' binaries.
    pub binaries: PathBuf,
    /// How many processes each function has.
    pub processes: usize,
    /// An address besides loopback to listen at.
    pub listen: Option<IpAddr>,
    /// The port of the Invoke API; those of AWS's other services, Dataverse and Entra ID follow it. 0
    /// for free ones.
    pub port: u16,
    /// Whether the table is empty: the configuration is not saved, and only tells the stand-ins what to know.
    pub is_empty: bool,
    /// Faults between the functions and the table.
    pub table_faults: Faults,
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
            listen: None,
            port: 0,
            is_empty: false,
            table_faults: Faults::default(),
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
    pub kms: Kms,
    pub sts: Sts,
    pub s3: S3,
    pub aws: Aws,
    pub lambda: Lambda,
    pub store: Arc<Store>,
    pub integration: Integration,
    pub addresses: Addresses,
    /// What it says of itself to the operators' tool.
    pub local_system: LocalSystem,
}

/// Where the parts listen.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub invoke: SocketAddr,
    /// DynamoDB, Secrets Manager, KMS, STS and S3.
    pub aws: SocketAddr,
    pub dataverse: SocketAddr,
    pub entra: SocketAddr,
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
        let sources = Sources::default();
        sources.prepare(connection, &entra);

        let serve = async |offset: u16, router: Router| -> io::Result<SocketAddr> {
            let port = match options.port {
                0 => 0,
                port => port.saturating_add(offset),
            };
            let address = http::serve(port, router.clone()).await?;
            if let Some(other) = options.listen {
                http::serve_at(SocketAddr::new(other, address.port()), router).await?;
            }
            Ok(address)
        };
        let s3 = S3::default();
        let dynamodb = table::serve(0).await?;
        let aws = Aws::new(dynamodb, options.table_faults, sources.clone(), s3.clone());
        let aws_address = serve(1, aws.router()).await?;
        let dataverse_address = serve(2, dataverse.router()).await?;
        let entra_address = serve(3, entra.router()).await?;
        let environment_uri = format!("http://{dataverse_address}");
        dataverse.set_origin(&environment_uri);
        connection["scope"] = format!("{environment_uri}/.default").into();
        connection["environmentUri"] = environment_uri.into();
        connection["authority"] = format!("http://{entra_address}").into();

        let document = configuration.to_string();
        let integration = Integration::load(&document).map_err(io::Error::other)?;
        dataverse.set_tables(tables(&integration));
        let store = Arc::new(store(dynamodb, TABLE_NAME).await);
        let name = integration.name();
        if !options.is_empty {
            let saved = store.save_integration(name, &document).await;
            saved.map_err(io::Error::other)?;
        }

        let mut environment = BTreeMap::from([
            ("TABLE_NAME".to_owned(), TABLE_NAME.to_owned()),
            ("INTEGRATION".to_owned(), name.to_owned()),
            (
                "AWS_ENDPOINT_URL".to_owned(),
                format!("http://{aws_address}"),
            ),
        ]);
        environment.extend(options.environment);
        let functions = FUNCTIONS
            .into_iter()
            .map(|(name, seconds)| Function {
                name: name.to_owned(),
                binary: options.binaries.join(name),
                timeout: Duration::from_secs(seconds),
                // As in AWS, whose schedule never starts two at a time.
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
        let itself = Arc::new(OnceLock::<LocalSystem>::new());
        let tell = {
            let itself = itself.clone();
            move || async move { axum::Json(itself.get().cloned()) }
        };
        let router = lambda.router().route("/stand-in/system", get(tell));
        let invoke = serve(0, router).await?;
        let local_system = LocalSystem {
            invoke: format!("http://{invoke}"),
            aws: format!("http://{aws_address}"),
            table: TABLE_NAME.to_owned(),
            integration: name.to_owned(),
            connection: configuration["connection"].clone(),
        };
        let local_system = itself.get_or_init(|| local_system).clone();
        Ok(System {
            local_system,
            entra,
            dataverse,
            secrets_manager: sources.secrets_manager,
            kms: sources.kms,
            sts: sources.sts,
            s3,
            aws,
            lambda,
            store,
            integration,
            addresses: Addresses {
                invoke,
                aws: aws_address,
                dataverse: dataverse_address,
                entra: entra_address,
            },
        })
    }
}

impl System {
    /// Saves the configuration a second time, as the integration `sam-local`, with the addresses that a
    /// container knows this machine by. env.json names it to `sam local invoke`.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub async fn save_for_containers(&self, mut configuration: Json) -> io::Result<()> {
        let address =
            |address: SocketAddr| format!("http://host.docker.internal:{}", address.port());
        let connection = &mut configuration["connection"];
        // The stand-in's tokens are for the address that it knows itself by.
        connection["scope"] = format!("http://{}/.default", self.addresses.dataverse).into();
        connection["environmentUri"] = address(self.addresses.dataverse).into();
        connection["authority"] = address(self.addresses.entra).into();
        let certificate = self.integration.connection().certificate.as_ref();
        if let Some(thumbprint) = certificate.and_then(|it| it.thumbprint.as_ref()) {
            connection["certificate"]["thumbprint"] = thumbprint.as_str().into();
        }
        configuration["name"] = FOR_CONTAINERS.into();
        let document = configuration.to_string();
        Integration::load(&document).map_err(io::Error::other)?;
        let saved = self.store.save_integration(FOR_CONTAINERS, &document).await;
        saved.map_err(io::Error::other)
    }

    /// Puts records into the stand-in for Dataverse: by entity set, each a list.
    ///
    /// # Errors
    /// Which record Dataverse would not take, and why.
    pub fn put(&self, records: &Map<String, Json>) -> io::Result<()> {
        for (entity_set, records) in records {
            let Json::Array(records) = records else {
                return Err(io::Error::other(format!(
                    "the records of {entity_set} must be a list"
                )));
            };
            for (index, record) in records.iter().enumerate() {
                let id = self.dataverse.insert(entity_set, record.clone());
                let place = |error| format!("the record {entity_set}[{index}]: {error}");
                id.map_err(|error| io::Error::other(place(error)))?;
            }
        }
        Ok(())
    }

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
        if invoked.is_error {
            Err(invoked.payload.to_string())
        } else {
            serde_json::from_value(invoked.payload).map_err(|error| error.to_string())
        }
    }
}

/// The tables that an integration's requests name.
fn tables(integration: &Integration) -> Vec<Table> {
    let steps = integration.configuration().steps.iter();
    let tables = steps.flat_map(|(_, step)| step.tables());
    tables.collect()
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
