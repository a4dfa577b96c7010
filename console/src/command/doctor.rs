//! `connect-dynamics doctor`: prints what the doctor finds.

use std::{io, process::ExitCode};

use anstream::{eprintln, println};
use clap::Args;
use console::{
    deployment::Deployment,
    doctor::{self, Finding, Outcome, Report},
};
use owo_colors::{OwoColorize, Style};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Prints the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Looks at the deployment, and prints what was found. The code is a failure's when something is broken.
///
/// # Errors
/// When the findings cannot be written as JSON.
pub(crate) async fn run(deployment: &Deployment, arguments: &Arguments) -> io::Result<ExitCode> {
    if !arguments.json {
        eprintln!(
            "Looking at {}. This takes some seconds, and a minute where something does not answer.",
            deployment.title().bold()
        );
    }
    let report = doctor::examine(deployment).await;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.is_broken() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(report: &Report) {
    for outcome in Outcome::ALL {
        let findings = report.of(outcome);
        if findings.is_empty() {
            continue;
        }
        println!(
            "\n{} ({})",
            heading(outcome).style(style(outcome)),
            findings.len()
        );
        if matches!(outcome, Outcome::Ok | Outcome::DoesNotApply) {
            for (titles, said) in report.alike(outcome) {
                // Of dozens that do not apply nobody wants to read.
                let of = match titles.len() {
                    0..=6 => titles.join("; "),
                    number => format!("{number} checks"),
                };
                println!("  {of}: {}", said.join(" "));
            }
        } else {
            findings.into_iter().for_each(print_whole);
        }
    }
    let counts = Outcome::ALL.map(|outcome| (report.of(outcome).len(), outcome));
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, outcome)| format!("{count} {outcome}"))
        .collect();
    println!("\n{}.", counts.join(", "));
}

fn heading(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Broken => "Needs mending",
        Outcome::Warning => "Warnings",
        Outcome::CannotBeChecked => "Cannot be checked",
        Outcome::Ok => "Well",
        Outcome::DoesNotApply => "Does not apply",
    }
}

fn style(outcome: Outcome) -> Style {
    let style = Style::new().bold();
    match outcome {
        Outcome::Broken => style.red(),
        Outcome::Warning => style.yellow(),
        Outcome::CannotBeChecked => style.cyan(),
        Outcome::Ok => style.green(),
        Outcome::DoesNotApply => style.dimmed(),
    }
}

fn print_whole(finding: &Finding) {
    println!("  {} [{}]", finding.title.bold(), finding.id.dimmed());
    for line in &finding.verdict.findings {
        println!("    {line}");
    }
    for remedy in &finding.verdict.what_to_do {
        println!("    {} {}", "->".bold(), remedy.text);
        if let Some(command) = &remedy.command {
            println!("         {}", command.cyan());
        }
        if let Some(page) = &remedy.page {
            println!("         the console's page {}", page.cyan());
        }
    }
}
