//! An agent's desk, for a system that is kept up: an Amazon Connect instance whose contacts invoke the system's
//! functions, and the agent's page beside it.

use std::{io, net::SocketAddr};

use agent_page::Parameters;

use crate::{
    agent_page::{self as page, Origin},
    http,
    stand_in::{
        connect::{Connect, Origins},
        dataverse,
    },
    system::System,
};

/// How to set up a desk.
#[derive(Debug, Clone, Default)]
pub struct DeskOptions {
    /// The port of the agent's page; Amazon Connect's follows it. 0 for free ones.
    pub port: u16,
    /// When the page opens a record: `connecting` or `connected`, or empty for what it does by itself.
    pub open_on: String,
    /// How many seconds the page waits for what the flows set, or empty.
    pub wait_seconds: String,
    /// The session template that the page opens records with in an app with sessions, or empty.
    pub session_template: String,
}

/// A desk, with its pages served.
#[derive(Debug)]
pub struct Desk {
    pub connect: Connect,
    pub page_address: SocketAddr,
    pub connect_address: SocketAddr,
}

impl Desk {
    /// Serves the agent's page and the instance, and lets Dynamics be shown in the page and the page in Dynamics.
    ///
    /// # Errors
    /// When a port is taken, or the page's settings are wrong.
    pub async fn set_up(system: &System, options: &DeskOptions) -> io::Result<Desk> {
        let connection = system.integration.connection();
        let bucket = connection.recording_bucket.as_deref();
        let connect = Connect::new(system.lambda.clone(), system.s3.clone(), bucket);
        let behind = if options.port == 0 {
            0
        } else {
            options.port + 1
        };
        let connect_address = http::serve(behind, connect.router()).await?;
        let instance = format!("http://{connect_address}");
        let dataverse = format!("http://{}", system.addresses.dataverse);
        let parameters = Parameters {
            instance_url: instance.clone(),
            environments: dataverse.clone(),
            app_id: connection.app_id.to_string(),
            open_on: options.open_on.clone(),
            wait_seconds: options.wait_seconds.clone(),
            country_calling_code: "+1".into(),
            session_template: options.session_template.clone(),
            ..Parameters::default()
        };
        let origin = Origin::default();
        let page_address = http::serve(options.port, page::router(&parameters, &origin)?).await?;
        let agent_page = format!("http://{page_address}");
        origin.get_or_init(|| agent_page.clone());
        system.dataverse.set_desk(dataverse::Desk {
            agent_page: agent_page.clone(),
            connect: instance,
        });
        connect.set_origins(Origins {
            agent_page,
            dataverse,
        });
        Ok(Desk {
            connect,
            page_address,
            connect_address,
        })
    }
}
