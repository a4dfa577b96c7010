//! The whole system on one machine: `cargo run -p local`.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{eprintln, println};
use aws_config::{BehaviorVersion, Region};
use clap::{Parser, Subcommand};
use connect_dynamics::{configuration, integration::Integration, store::Store};
use local::{
    life,
    storm::{self, Storm},
    system::{FUNCTIONS, Options, REDELIVERY, System},
};
use owo_colors::OwoColorize;

/// Runs the functions on this machine, with an embedded DynamoDB and stand-ins for Dynamics, Entra ID
/// and Secrets Manager.
#[derive(Parser)]
#[command(name = "local")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The integration's configuration; the reference's examples unless given.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the events of a contact's life.
    #[arg(long, global = true, value_name = "FOLDER", default_value = "events")]
    events: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Sends the events of one contact's life and shows what happens (the default).
    Life,
    /// Keeps the system up, for events of your own.
    Serve {
        /// The port of the Invoke API. AWS's other services, Dataverse and Entra ID have the next three.
        #[arg(long, default_value_t = 9001)]
        port: u16,
        /// An address besides loopback to listen at, such as the one that containers reach this machine
        /// by.
        #[arg(long)]
        listen: Option<IpAddr>,
    },
    /// Sends many contacts' events with faults at every boundary, and audits what Dynamics holds.
    Storm {
        /// How many contacts.
        #[arg(long, default_value_t = 100)]
        contacts: u32,
        /// How many of them at the same time.
        #[arg(long, default_value_t = 8)]
        concurrency: usize,
        /// The part of requests that meet a fault, from 0 to 1.
        #[arg(long, default_value_t = 0.2, value_parser = rate)]
        faults: f64,
        /// Decides the contacts and their faults; by the clock unless given.
        #[arg(long)]
        seed: Option<u64>,
        /// Processes of each function.
        #[arg(long, default_value_t = 3)]
        processes: usize,
    },
    /// Validates a configuration and says everything that is wrong with it.
    Check,
    /// Prints the JSON Schema of a configuration.
    Schema,
    /// Validates a configuration and saves it in a deployed stack's table, with your AWS credentials.
    Save {
        /// The table, by the stack's output TableName.
        #[arg(long)]
        table: String,
        /// The stack's region; by AWS_REGION or the profile unless given.
        #[arg(long)]
        region: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error}", "error:".red().bold());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<ExitCode> {
    match arguments.command.unwrap_or(Command::Life) {
        Command::Schema => {
            println!("{:#}", configuration::schema());
            Ok(ExitCode::SUCCESS)
        }
        Command::Check => {
            let path = arguments.config.ok_or_else(which)?;
            load(&path)?;
            println!("{} is valid.", path.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Save { table, region } => {
            let path = arguments.config.ok_or_else(which)?;
            save(&path, &table, region).await
        }
        Command::Life => {
            build()?;
            let system = System::start(options(arguments.config.as_deref())?).await?;
            let problems = life::run(&system, &arguments.events).await?;
            println!();
            if problems.is_empty() {
                println!(
                    "{}",
                    "The record is what the configuration says it must be.".green()
                );
                return Ok(ExitCode::SUCCESS);
            }
            for problem in problems {
                println!("{} {problem}", "wrong:".red().bold());
            }
            Ok(ExitCode::FAILURE)
        }
        Command::Storm {
            contacts,
            concurrency,
            faults,
            seed,
            processes,
        } => {
            build()?;
            let storm = Storm {
                contacts,
                concurrency,
                faults,
                seed: seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
                processes,
            };
            let audit = storm::run(&storm, Options::new()?).await?;
            storm::print(&storm, &audit);
            Ok(match audit.is_clean() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            })
        }
        Command::Serve { port, listen } => {
            build()?;
            let mut options = options(arguments.config.as_deref())?;
            options.port = port;
            options.listen = listen;
            let configuration = options.configuration.clone();
            let system = System::start(options).await?;
            system.save_for_containers(configuration).await?;
            serve(&system, &arguments.events).await
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=0.9).contains(&rate) => Ok(rate),
        _ => Err("it must be from 0 to 0.9".into()),
    }
}

/// Builds the functions' binaries into the folder this binary stands in.
fn build() -> io::Result<()> {
    let mut cargo = std::process::Command::new(option_env!("CARGO").unwrap_or("cargo"));
    // With this package, so that dependencies are built with the features they have already.
    cargo.args(["build", "--quiet", "--package", "local"]);
    for (function, _) in FUNCTIONS {
        cargo.args(["--package", function]);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    println!("Building the functions ...");
    match cargo.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("the functions do not build")),
    }
}

fn options(config: Option<&Path>) -> io::Result<Options> {
    let mut options = Options::new()?;
    if let Some(path) = config {
        options.configuration = serde_json::from_str(&read(path)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(options)
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn which() -> io::Error {
    io::Error::other("which configuration? give it with --config FILE")
}

/// A configuration's text, and the integration it makes.
fn load(path: &Path) -> io::Result<(String, Integration)> {
    let document = read(path)?;
    let integration = Integration::load(&document)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    Ok((document, integration))
}

/// <https://docs.aws.amazon.com/sdk-for-rust/latest/dg/credproviders.html>
async fn save(path: &Path, table: &str, region: Option<String>) -> io::Result<ExitCode> {
    let (document, integration) = load(path)?;
    let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Some(region) = region {
        config = config.region(Region::new(region));
    }
    let config = config.load().await;
    if config.region().is_none() {
        return Err(io::Error::other(
            "which region is the stack in? give it with --region",
        ));
    }
    let name = integration.name();
    let store = Store::new(&config, table);
    store
        .save_integration(name, &document)
        .await
        .map_err(io::Error::other)?;
    println!("The integration `{name}` is saved in {table}. The functions use it within a minute.");
    Ok(ExitCode::SUCCESS)
}

async fn serve(system: &System, events: &Path) -> io::Result<ExitCode> {
    let addresses = &system.addresses;
    println!("\n{}", "The system is up. Ctrl-C ends it.".green().bold());
    for (name, address) in [
        ("Invoke API", addresses.invoke),
        ("DynamoDB and Secrets Manager", addresses.aws),
        ("Dataverse", addresses.dataverse),
        ("Entra ID", addresses.entra),
    ] {
        println!("  {name:<28} http://{address}");
    }
    println!("\nInvoke a function with an event of your own:");
    for (step, file, _) in life::EVENTS {
        let url = format!(
            "http://{}/2015-03-31/functions/{step}/invocations",
            addresses.invoke
        );
        println!("  curl -d @{} {url}", events.join(file).display());
    }
    println!(
        "  curl -d '{{}}' http://{}/2015-03-31/functions/{REDELIVERY}/invocations",
        addresses.invoke
    );
    println!("\nor with the AWS command line:");
    println!(
        "  aws lambda invoke --endpoint-url http://{} --no-sign-request --region us-east-1 \\",
        addresses.invoke
    );
    println!(
        "    --function-name contact-start --payload fileb://{} /dev/stdout",
        events.join("contact-start.json").display()
    );
    println!("\nWhat Dynamics holds, what it was sent, and how to make it fail:");
    let stand_in = format!("http://{}/stand-in", addresses.dataverse);
    println!("  curl {stand_in}/records");
    println!("  curl {stand_in}/exchanges");
    println!(
        "  curl -H 'Content-Type: application/json' -d '{{\"times\": 3, \"effect\": {{\"status\": {{\"status\": 503}}}}}}' {stand_in}/faults"
    );
    println!("\nThe functions' log:");
    let mut printed = 0;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {
                let logs = system.lambda.logs();
                for line in logs.iter().skip(printed) {
                    println!("{line}");
                }
                printed = logs.len();
            }
        }
    }
}
