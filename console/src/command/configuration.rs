//! `check`, `apply`, `export` and `schema`: for people who keep configurations in files.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{eprintln, println};
use clap::Args;
use connect_dynamics::{
    configuration,
    integration::{Findings, Integration},
};
use console::{
    deployment::Deployment,
    environment::{Environment, leads_elsewhere},
    words::{count, in_lines},
};
use jiff::Timestamp;
use owo_colors::OwoColorize;
use similar::{ChangeTag, TextDiff};

use super::plain;

type Done = Result<ExitCode, Box<dyn Error>>;

/// Says everything that is wrong with a configuration, or probably wrong. Needs no AWS account.
#[derive(Args)]
pub(crate) struct Check {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also asks the Dynamics environment what it would refuse, and which privileges the application lacks. It
    /// changes nothing there. Needs AWS credentials that may read the secret.
    #[arg(long)]
    online: bool,
}

/// Puts a configuration in force, after showing what changes.
#[derive(Args)]
pub(crate) struct Apply {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
}

/// Prints the configuration of an integration.
#[derive(Args)]
pub(crate) struct Export {
    /// The integration; that of contacts whose flow names none unless given.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The version that was published at this time, as `--versions` lists it.
    #[arg(long, value_name = "TIME")]
    version: Option<Timestamp>,
    /// Lists the versions instead.
    #[arg(long)]
    versions: bool,
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn code(is_right: bool) -> ExitCode {
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints what the library says; errors first.
fn tell(findings: &Findings) {
    for error in &findings.errors {
        println!("{} {}", "error:".red().bold(), plain(error));
    }
    for warning in &findings.warnings {
        println!("{} {}", "warning:".yellow().bold(), plain(warning));
    }
}

/// Prints the JSON Schema of a configuration.
pub(crate) fn schema() -> ExitCode {
    println!("{:#}", configuration::schema());
    ExitCode::SUCCESS
}

impl Check {
    /// `config` are the operator's AWS credentials, which only `--online` needs.
    pub(crate) async fn run(&self, config: impl AsyncFnOnce() -> aws_config::SdkConfig) -> Done {
        let document = read(&self.file)?;
        let mut findings = Integration::check(&document);
        if self.online && findings.errors.is_empty() {
            let integration = Integration::load(&document)?;
            if let Some(problem) = leads_elsewhere(integration.connection()) {
                return Err(format!("connection.{problem}").into());
            }
            let environment = Environment::new(integration.connection(), &config().await);
            let marks = environment.check(integration.configuration()).await?;
            let refused = marks.iter();
            findings
                .errors
                .extend(refused.map(|mark| format!("{}: {}", mark.place, mark.message)));
            let lacks = environment
                .missing_privileges(integration.configuration())
                .await?;
            for lack in lacks {
                findings.errors.push(format!(
                    "{}: the application user lacks the privilege {}",
                    lack.needed_by.join(", "),
                    lack.privilege
                ));
            }
        }
        tell(&findings);
        let file = self.file.display();
        let Findings { errors, warnings } = &findings;
        let told = match (errors.len(), warnings.len()) {
            (0, 0) => format!("{file} is valid."),
            (0, warnings) => format!("{file} is valid, with {}.", count(warnings, "warning")),
            (errors, 0) => format!("{file} is not valid: {}.", count(errors, "error")),
            (errors, warnings) => format!(
                "{file} is not valid: {} and {}.",
                count(errors, "error"),
                count(warnings, "warning")
            ),
        };
        println!("{told}");
        Ok(code(errors.is_empty()))
    }
}

/// Prints the difference; false when there is none.
fn print_difference(before: &str, after: &str) -> bool {
    let diff = TextDiff::from_lines(before, after);
    let groups = diff.grouped_ops(3);
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            println!("{}", "...".dimmed());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = plain(change.value().trim_end_matches('\n'));
            match change.tag() {
                ChangeTag::Delete => println!("{}", format!("- {line}").red()),
                ChangeTag::Insert => println!("{}", format!("+ {line}").green()),
                ChangeTag::Equal => println!("  {line}"),
            }
        }
    }
    !groups.is_empty()
}

impl Apply {
    pub(crate) async fn run(&self, deployment: &Deployment) -> Done {
        let document = read(&self.file)?;
        let findings = Integration::check(&document);
        tell(&findings);
        if !findings.errors.is_empty() {
            eprintln!("{} is not valid; nothing was changed.", self.file.display());
            return Ok(ExitCode::FAILURE);
        }
        let integration = Integration::load(&document)?;
        let name = integration.name();
        let store = &deployment.store;
        let in_force = store.version_in_force(name).await?;
        let before = in_force.as_ref().map(|it| in_lines(&it.document));
        match &before {
            None => println!("The integration {} is new.", name.bold()),
            Some(_) => println!("What changes in the integration {}:\n", name.bold()),
        }
        if !print_difference(before.as_deref().unwrap_or_default(), &in_lines(&document)) {
            println!("Nothing: this is in force already.");
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(draft) = store.draft(name).await? {
            println!(
                "\n{} There is a draft of {} in the console, made of what was in force before. It stays; whoever publishes it replaces this.",
                "warning:".yellow().bold(),
                draft.saved_at
            );
        }
        if !self.yes && !confirm(&format!("Put it in force on {}?", deployment.title()))? {
            println!("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
        let by = deployment.operator().await;
        let published = store
            .publish(
                name,
                &document,
                in_force.as_ref(),
                None,
                &by,
                Timestamp::now(),
            )
            .await;
        match published {
            Ok(()) => {}
            Err(connect_dynamics::store::StoreError::Conflict) => {
                return Err("somebody else has published meanwhile; nothing was changed: apply it again to see the difference".into());
            }
            Err(error) => return Err(error.into()),
        }
        println!(
            "The integration {} is in force. Functions look for a changed configuration once a minute: contacts of about a minute from now on go by it.",
            name.bold()
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks a yes-or-no question at the terminal.
fn confirm(question: &str) -> Result<bool, Box<dyn Error>> {
    if !io::stdin().is_terminal() {
        return Err("there is no terminal to ask at; say --yes".into());
    }
    eprintln!("\n{question} [y/N]");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl Export {
    pub(crate) async fn run(&self, deployment: &Deployment) -> Done {
        let default = &deployment.default_integration;
        let name = self.name.as_ref().unwrap_or(default);
        let store = &deployment.store;
        if self.versions {
            let times = store.versions(name).await?;
            if times.is_empty() {
                eprintln!("No version of {name} is kept: none was published with this tool.");
            }
            for at in times {
                println!("{at}");
            }
            return Ok(ExitCode::SUCCESS);
        }
        let version = match self.version {
            Some(at) => store.version(name, at).await?,
            None => store.version_in_force(name).await?,
        };
        let Some(version) = version else {
            let names = store.integration_names().await?;
            let names: Vec<String> = names.into_iter().collect();
            return Err(match (self.version, names.is_empty()) {
                (Some(at), _) => {
                    format!("no version of {name} was published at {at}; --versions lists them")
                }
                (None, true) => "there is no integration yet".to_owned(),
                (None, false) => format!(
                    "there is no integration {name}; there are {}",
                    names.join(", ")
                ),
            }
            .into());
        };
        let document = in_lines(&version.document);
        if io::stdout().is_terminal() {
            print!("{}", plain(&document));
        } else {
            print!("{document}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
