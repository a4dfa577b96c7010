//! The whole system on one machine: `cargo run -p local`.

use std::{
    io,
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use anstream::{eprintln, println};
use clap::{Args, Parser, Subcommand};
use connect_dynamics::integration::Integration;
use console::{deployment::Deployment, web::Console};
use local::{
    build::{self, With},
    credential::Credential,
    desk::{Desk, DeskOptions},
    life::{self, Outcome},
    outage::{self, Outage},
    storm::{self, Storm},
    system::{Options, REDELIVERY, System},
};
use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json};

/// Runs the functions on this machine, with an embedded DynamoDB and stand-ins for Dynamics, Entra ID
/// and the services of AWS that credentials come from.
#[derive(Parser)]
#[command(name = "local", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    life: Files,
}

#[derive(Args)]
struct Files {
    /// The integration's configuration; the first of the recipes unless given, with records of its own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the events of a contact's life.
    #[arg(long, value_name = "FOLDER", default_value = "events")]
    events: PathBuf,
    /// Records that Dynamics holds beforehand: a JSON object of entity sets, each with a list of records.
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// How the application proves to Entra ID who it is; as the configuration says unless given.
    #[arg(long, value_name = "WAY")]
    credential: Option<Credential>,
}

#[derive(Subcommand)]
enum Command {
    /// Sends the events of one contact's life and shows what happens (the default).
    Life {
        /// Which life: inbound, outbound, missed, transfer, chat, ...; each is a folder of the events.
        #[arg(default_value = "inbound")]
        name: String,
        #[command(flatten)]
        files: Files,
    },
    /// Keeps the system up, for events of your own.
    Serve {
        /// The port of the Invoke API. AWS's other services, Dataverse, Entra ID, the console, the agent's page
        /// and Amazon Connect have the next six. 0 for free ones.
        #[arg(long, default_value_t = 9001, value_parser = port)]
        port: u16,
        /// An IP address besides loopback to listen at, such as the one that containers reach this
        /// machine by.
        #[arg(long, value_name = "ADDRESS", value_parser = ip_address)]
        listen: Option<IpAddr>,
        /// Saves no integration: the console's wizard makes the first one.
        #[arg(long)]
        empty: bool,
        /// When the agent's page opens a contact's record: connecting (it rings) or connected (it is
        /// answered).
        #[arg(long, value_name = "WHEN", default_value = "connected", value_parser = ["connecting", "connected"])]
        open_on: String,
        /// How many seconds the agent's page waits for what the flows set; as it does by itself unless given.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=120))]
        wait_seconds: Option<u16>,
        /// The session template that the agent's page opens records with, where Dynamics has sessions.
        #[arg(long, value_name = "NAME", default_value = "")]
        session_template: String,
        #[command(flatten)]
        files: Files,
    },
    /// Sends many contacts' events with faults at every boundary, and audits what Dynamics holds.
    Storm {
        /// How many contacts.
        #[arg(long, default_value = "100", value_parser = at_least_one::<NonZeroU32>)]
        contacts: NonZeroU32,
        /// How many of them at the same time.
        #[arg(long, default_value = "8", value_parser = at_least_one::<NonZeroUsize>)]
        concurrency: NonZeroUsize,
        /// The part of requests that meet a fault, from 0 to 0.9.
        #[arg(long, default_value_t = 0.2, value_parser = rate)]
        faults: f64,
        /// Decides the contacts and their faults; by chance unless given.
        #[arg(long)]
        seed: Option<u64>,
        /// Processes of each function.
        #[arg(long, default_value = "3", value_parser = at_least_one::<NonZeroUsize>)]
        processes: NonZeroUsize,
    },
    /// Lets one environment of several not answer for some minutes, while calls go on, and measures how
    /// that is made good.
    Outage {
        /// How many contacts come during the outage, over all environments.
        #[arg(long, default_value = "600", value_parser = at_least_one::<NonZeroU32>)]
        contacts: NonZeroU32,
        /// How long the outage lasts.
        #[arg(long, default_value_t = 1.0, value_parser = minutes)]
        minutes: f64,
        /// How many environments there are.
        #[arg(long, default_value = "3", value_parser = at_least_one::<NonZeroUsize>)]
        environments: NonZeroUsize,
        /// The environment takes requests and does not answer, instead of answering 503.
        #[arg(long)]
        hangs: bool,
        /// Processes of each function, where AWS starts as many as it takes.
        #[arg(long, default_value = "16", value_parser = at_least_one::<NonZeroUsize>)]
        processes: NonZeroUsize,
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
    let inbound = Command::Life {
        name: "inbound".into(),
        files: arguments.life,
    };
    match arguments.command.unwrap_or(inbound) {
        Command::Life { name, mut files } => {
            files.events = life::folder(&files.events, &name)?;
            life(&files).await
        }
        Command::Storm {
            contacts,
            concurrency,
            faults,
            seed,
            processes,
        } => {
            let storm = Storm {
                contacts: contacts.get(),
                concurrency: concurrency.get(),
                faults,
                seed: seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
                processes: processes.get(),
            };
            let options = Options::new()?;
            build_functions(&options)?;
            let audit = storm::run(&storm, options).await?;
            storm::print(&storm, &audit);
            Ok(code(audit.is_clean()))
        }
        Command::Outage {
            contacts,
            minutes,
            environments,
            hangs,
            processes,
        } => {
            let outage = Outage {
                contacts: contacts.get(),
                minutes,
                environments: environments.get(),
                hangs,
                processes: processes.get(),
            };
            let options = Options::new()?;
            build_functions(&options)?;
            let findings = outage::run(&outage, options).await?;
            outage::print(&outage, &findings);
            Ok(code(findings.are_good()))
        }
        Command::Serve {
            port,
            listen,
            empty,
            open_on,
            wait_seconds,
            session_template,
            files,
        } => {
            let Prepared {
                mut options,
                records,
                ..
            } = prepare(&files)?;
            options.port = port;
            options.listen = listen;
            options.is_empty = empty;
            let configuration = options.configuration.clone();
            build_functions(&options)?;
            let system = System::start(options).await.map_err(other_ports)?;
            system.put(&records)?;
            if !empty {
                system.save_for_containers(configuration).await?;
            }
            let console = Console::bind(
                Deployment::of_local(&system.local_system).await,
                if port == 0 { 0 } else { port + 4 },
            );
            let console = console.await.map_err(other_ports)?;
            let desk = DeskOptions {
                port: if port == 0 { 0 } else { port + 5 },
                open_on,
                wait_seconds: wait_seconds.map(|it| it.to_string()).unwrap_or_default(),
                session_template,
            };
            let desk = Desk::set_up(&system, &desk).await.map_err(other_ports)?;
            serve(&system, &desk, console, listen, &files.events).await
        }
    }
}

fn code(is_right: bool) -> ExitCode {
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=120.0).contains(&minutes) => Ok(minutes),
        _ => Err("it must be a number of minutes from 0.1 to 120".into()),
    }
}

fn at_least_one<T: FromStr>(text: &str) -> Result<T, String> {
    let number = text.parse();
    number.map_err(|_| "it must be a number, and at least 1".into())
}

/// A port that has six more after it, or 0.
fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port <= u16::MAX - 6 => Ok(port),
        _ => Err(format!("it must be a number from 0 to {}", u16::MAX - 6)),
    }
}

fn ip_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        "it must be an IP address of this machine, such as 172.17.0.1, not a name".into()
    })
}

/// Says how to get ports that are free.
fn other_ports(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        io::Error::other(format!(
            "{error}; give the first of seven free ports with --port, or 0 for any"
        ))
    } else {
        error
    }
}

async fn life(files: &Files) -> io::Result<ExitCode> {
    let Prepared {
        options,
        events,
        records,
    } = prepare(files)?;
    let events = events?;
    build_functions(&options)?;
    let system = System::start(options).await?;
    system.put(&records)?;
    let Outcome { problems, untried } =
        life::run(&system, &events, &mut anstream::stdout()).await?;
    println!();
    let done = match (problems.len(), untried.len()) {
        (0, 0) => "All that is configured was done.",
        (0, _) => "All that can be tried here was done.",
        _ => "",
    };
    if !done.is_empty() {
        println!("{}", done.green().bold());
    }
    for untried in &untried {
        println!("{} {untried}", "cannot be tried here:".yellow().bold());
    }
    for problem in &problems {
        println!("{} {problem}", "wrong:".red().bold());
    }
    Ok(code(problems.is_empty()))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=0.9).contains(&rate) => Ok(rate),
        _ => Err("it must be from 0 to 0.9".into()),
    }
}

fn build_functions(options: &Options) -> io::Result<()> {
    eprintln!("{}", "Building the functions ...".dimmed());
    build::functions(&options.binaries, With::Local)
}

/// The configuration of a run that names none, and what Dynamics holds then.
const DEFAULT: &str = include_str!("../../docs/recipes/phone-call.json");
const FOR_CHATS: &str = include_str!("../../docs/recipes/chat.json");
const SAMPLE_RECORDS: &str = include_str!("../sample-records.json");

/// What a life or a system needs, read and found right before anything is built.
struct Prepared {
    options: Options,
    /// None of them can be read when the system is started elsewhere, to be sent other events.
    events: io::Result<Vec<life::Event>>,
    records: Map<String, Json>,
}

fn prepare(files: &Files) -> io::Result<Prepared> {
    let mut options = Options::new()?;
    let document = match &files.config {
        Some(path) => load(path)?.0,
        None if files.events.ends_with("chat") => FOR_CHATS.to_owned(),
        None => DEFAULT.to_owned(),
    };
    options.configuration = serde_json::from_str(&document)?;
    if let Some(credential) = files.credential {
        credential.name_in(&mut options.configuration);
    }
    let mut events = life::events(&files.events);
    if let Ok(events) = &mut events {
        life::fit(&mut options.configuration, events, &files.events)?;
    }
    let records = match &files.records {
        None if files.config.is_none() => serde_json::from_str(SAMPLE_RECORDS)?,
        None => Map::new(),
        Some(path) => serde_json::from_str(&read(path)?).map_err(|error| {
            io::Error::other(format!(
                "{}: it must be a JSON object of entity sets, each with a list of records: {error}",
                path.display()
            ))
        })?,
    };
    Ok(Prepared {
        options,
        events,
        records,
    })
}

/// A configuration's text, and the integration it makes.
fn load(path: &Path) -> io::Result<(String, Integration)> {
    let document = read(path)?;
    let integration = Integration::load(&document)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    Ok((document, integration))
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

async fn serve(
    system: &System,
    desk: &Desk,
    console: Console,
    listen: Option<IpAddr>,
    events: &Path,
) -> io::Result<ExitCode> {
    let addresses = &system.addresses;
    println!("\n{}", "The system is up. Ctrl-C ends it.".green().bold());
    for (name, address) in [
        ("Invoke API", addresses.invoke),
        ("AWS's other services", addresses.aws),
        ("Dataverse", addresses.dataverse),
        ("Entra ID", addresses.entra),
    ] {
        println!("  {name:<28} http://{address}");
    }
    if let Some(listen) = listen {
        println!("They listen at {listen} too, at the same ports.");
    }
    for (name, address) in [
        ("The agent's page", desk.page_address),
        ("Amazon Connect", desk.connect_address),
    ] {
        println!("  {name:<28} http://{address}");
    }
    println!("\nThe switchboard, where a call is placed that an agent answers. Open it first:");
    println!(
        "  {}",
        format!("http://{}", desk.connect_address).underline()
    );
    println!(
        "  It has the ways to the agent's page: on its own, in the agent workspace, in Dynamics."
    );
    println!("\nThe console, where the integration is configured and contacts are seen:");
    println!("  {}", console.address.underline());
    println!("  It lets one browser in, once. `cargo run --bin connect-dynamics` opens another.");
    tokio::spawn(console.serve());
    println!("\nInvoke a function with an event of your own:");
    for event in life::events(events).unwrap_or_default() {
        let step = event.step;
        let url = format!(
            "http://{}/2015-03-31/functions/{step}/invocations",
            addresses.invoke
        );
        println!("  curl -d @{} {url}", event.path.display());
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
    println!(
        "  curl -H 'Content-Type: application/json' -d '{{\"lastname\": \"Example\"}}' {stand_in}/records/contacts"
    );
    println!("  curl {stand_in}/exchanges");
    println!(
        "  curl -H 'Content-Type: application/json' -d '{{\"times\": 3, \"effect\": {{\"status\": {{\"status\": 503}}}}}}' {stand_in}/faults"
    );
    println!(
        "  curl -X PUT -H 'Content-Type: application/json' -d '\"prvCreateActivity\"' {stand_in}/missing-privilege"
    );
    println!("\nThe functions' log:");
    let mut printed = 0;
    // One for all rounds: a signal that comes while lines are printed would meet nobody.
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            _ = &mut interrupted => return Ok(ExitCode::SUCCESS),
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
