//! What the integrations' configurations say, and what lies in their drafts.

use std::sync::Arc;

use connect_dynamics::{
    integration::{Findings, Integration},
    store::versions::{Draft, Version},
};

use super::{Check, Failure, Ground, Verdict};

/// How many of a configuration's findings are told; the page of the integration has all.
const TOLD: usize = 10;

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let all = {
        let ground = ground.clone();
        async move {
            match &ground.integrations {
                Ok(names) => judge_names(
                    names.iter().map(String::as_str),
                    &ground.deployment.default_integration,
                ),
                Err(failure) => failure.clone().into(),
            }
        }
    };
    let mut checks = vec![Check::new("integrations", "The integrations", all)];
    for name in ground.integrations.iter().flatten() {
        let (ground, name) = (ground.clone(), name.clone());
        checks.push(Check::new(
            format!("configuration:{name}"),
            format!("The configuration of {name}"),
            async move {
                configuration(&ground, &name)
                    .await
                    .unwrap_or_else(Verdict::from)
            },
        ));
    }
    checks
}

fn judge_names<'a>(names: impl Iterator<Item = &'a str>, default: &str) -> Verdict {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Verdict::broken("There is no integration, so no contact is recorded.")
            .open("Make the first one in the console.", "/");
    }
    let listed = names.join(", ");
    if names.contains(&default) {
        return Verdict::ok(format!("There is {listed}."));
    }
    Verdict::broken(format!(
        "There is {listed}, but no `{default}`, which events that name no integration are for: contact events, recordings and contact records never name one."
    ))
    .open(format!("Make the integration {default} in the console."), "/")
    .mend(format!("Or deploy the stack with the parameter Integration={}.", names[0]))
}

async fn configuration(ground: &Ground<'_>, name: &str) -> Result<Verdict, Failure> {
    let store = &ground.deployment.store;
    let version = store.version_in_force(name).await?;
    let Some(version) = version else {
        return Ok(
            Verdict::broken(format!("The integration {name} was deleted meanwhile."))
                .mend("Check again."),
        );
    };
    let draft = store.draft(name).await?;
    Ok(judge(name, &version, draft.as_ref()))
}

fn judge(name: &str, version: &Version, draft: Option<&Draft>) -> Verdict {
    let verdict = judge_document(name, &version.document);
    let published_at = version.published_at.unwrap_or_default();
    let is_newer =
        |draft: &&Draft| draft.saved_at > published_at && draft.document != version.document;
    match draft.filter(is_newer) {
        None => verdict,
        Some(draft) => verdict.noting(format!(
            "A draft of {} is newer than what is in force. Functions do not read it until it is published.",
            draft.saved_at.strftime("%Y-%m-%d %H:%M UTC")
        )),
    }
}

fn judge_document(name: &str, document: &str) -> Verdict {
    let Findings { errors, warnings } = Integration::check(document);
    let own_name = Integration::load(document).map(|integration| integration.name().to_owned());
    if let Ok(own) = own_name
        && own != name
    {
        return Verdict::broken(format!(
            "The document is saved as {name} and calls itself {own}: no function loads it."
        ))
        .open("Save it under its own name.", "/");
    }
    let told = |verdict: Verdict, lines: &[String]| {
        let verdict = lines
            .iter()
            .take(TOLD)
            .fold(verdict, |verdict, line| verdict.noting(line.clone()));
        match lines.len().saturating_sub(TOLD) {
            0 => verdict,
            more => verdict.noting(format!("And {more} more.")),
        }
    };
    let edit = "Open the integration, correct what is named, and publish it.";
    if !errors.is_empty() {
        return told(
            Verdict::broken(format!(
                "The configuration of {name} cannot be loaded, so its contacts are not recorded; those of running functions go on with the last one that was good."
            )),
            &errors,
        )
        .open(edit, "/");
    }
    if !warnings.is_empty() {
        return told(
            Verdict::warning(format!(
                "The configuration of {name} loads. This is probably not meant:"
            )),
            &warnings,
        )
        .open(edit, "/");
    }
    Verdict::ok(format!("The configuration of {name} loads."))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::doctor::Outcome;

    const GOOD: &str = include_str!("../../../local/reference-integration.json");

    fn version(document: &str) -> Version {
        Version {
            document: document.into(),
            published_at: Some(Timestamp::from_second(1000).unwrap()),
            published_by: None,
        }
    }

    #[test]
    fn the_default_integration_must_be_there() {
        assert_eq!(
            judge_names(["default"].into_iter(), "default").outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge_names([].into_iter(), "default").outcome,
            Outcome::Broken
        );
        let verdict = judge_names(["emea"].into_iter(), "default");
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(
            verdict.what_to_do[1].text.contains("Integration=emea"),
            "{verdict:?}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_told_line_by_line() {
        let name = serde_json::from_str::<serde_json::Value>(GOOD).unwrap();
        let name = name["name"].as_str().unwrap();
        assert_ne!(judge(name, &version(GOOD), None).outcome, Outcome::Broken);
        let verdict = judge(name, &version("{}"), None);
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(verdict.findings.len() > 1, "{verdict:?}");
        assert_eq!(
            judge("another", &version(GOOD), None).outcome,
            Outcome::Broken
        );
    }

    #[test]
    fn a_draft_is_told_of_when_it_is_newer_and_another() {
        let draft = |second, document: &str| Draft {
            document: document.into(),
            saved_at: Timestamp::from_second(second).unwrap(),
            version: 1,
        };
        let notes = |draft: &Draft| {
            let verdict = judge("default", &version(GOOD), Some(draft));
            verdict
                .findings
                .iter()
                .any(|finding| finding.contains("draft"))
        };
        assert!(notes(&draft(2000, "{}")));
        assert!(!notes(&draft(500, "{}")));
        assert!(!notes(&draft(2000, GOOD)));
    }
}
