//! `connect-dynamics`, the operators' tool.

mod command;

use std::{io, process::ExitCode};

use anstream::{eprintln, println};
use clap::{Args, Parser, Subcommand};
use console::{
    deployment::{Account, Deployment, DeploymentError, LOCAL_PORT},
    web::Console,
};
use owo_colors::OwoColorize;

/// Configures the integration of Amazon Connect with Dynamics 365, tries it, and shows what became of every
/// contact. Without a command it opens the console in the browser.
#[derive(Parser)]
#[command(name = "connect-dynamics", version)]
struct Arguments {
    #[command(flatten)]
    on: On,
    /// The console's port; any that is free unless given.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Prints the console's address, and leaves it to you to open it.
    #[arg(long)]
    no_browser: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What the tool is used on.
#[derive(Args)]
struct On {
    /// The stack; the local system, which `cargo run -p local -- serve` keeps up, unless given.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CONNECT_DYNAMICS_STACK"
    )]
    stack: Option<String>,
    /// The stack's region; by AWS_REGION or the profile unless given.
    #[arg(long, global = true)]
    region: Option<String>,
    /// The profile of your AWS credentials; by AWS_PROFILE unless given.
    #[arg(long, global = true)]
    profile: Option<String>,
    /// The port of the local system's Invoke API.
    #[arg(long, global = true, value_name = "PORT", default_value_t = LOCAL_PORT)]
    local_port: u16,
}

impl On {
    fn account(&self) -> Account {
        Account {
            profile: self.profile.clone(),
            region: self.region.clone(),
        }
    }

    async fn deployment(&self) -> Result<Deployment, DeploymentError> {
        match &self.stack {
            Some(stack) => Deployment::stack(stack, &self.account()).await,
            None => Deployment::local(self.local_port).await,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    Check(command::configuration::Check),
    Apply(command::configuration::Apply),
    Export(command::configuration::Export),
    /// Prints the JSON Schema of a configuration, for an editor.
    Schema,
    Contacts(command::contacts::List),
    Deliver(command::contacts::Deliver),
    Forget(command::contacts::Forget),
    /// Looks at everything that contacts go through, and says what to mend.
    Doctor(command::doctor::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            let error = command::plain(&error.to_string());
            eprintln!("{} {error}", "error:".red().bold());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let on = &arguments.on;
    match arguments.command {
        Some(Command::Doctor(asked)) => {
            let deployment = on.deployment().await?;
            Ok(command::doctor::run(&deployment, &asked).await?)
        }
        None => {
            let deployment = on.deployment().await?;
            open(deployment, arguments.port, !arguments.no_browser).await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Schema) => Ok(command::configuration::schema()),
        Some(Command::Check(check)) => check.run(async || on.account().config().await).await,
        Some(Command::Apply(apply)) => apply.run(&on.deployment().await?).await,
        Some(Command::Export(export)) => export.run(&on.deployment().await?).await,
        Some(Command::Contacts(list)) => list.run(&on.deployment().await?).await,
        Some(Command::Deliver(deliver)) => deliver.run(&on.deployment().await?).await,
        Some(Command::Forget(forget)) => forget.run(&on.deployment().await?).await,
    }
}

async fn open(deployment: Deployment, port: u16, with_browser: bool) -> io::Result<()> {
    println!("The console of {}:", deployment.title().bold());
    let console = Console::bind(deployment, port).await?;
    println!("  {}", console.address.underline());
    println!("The address lets one browser in, once. Ctrl-C ends the console.");
    if with_browser && open::that_detached(&console.address).is_err() {
        println!("No browser can be started here: open the address yourself.");
    }
    tokio::select! {
        ended = console.serve() => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
