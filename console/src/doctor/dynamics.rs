//! What Dynamics itself says of each configuration in force: what it would refuse, and which privileges the
//! application user lacks. Nothing is written there.

use std::sync::Arc;

use connect_dynamics::integration::Integration;

use super::{Check, Failure, Ground, Outcome, Verdict, credential::OF_CONTAINERS};
use crate::environment::{
    Environment,
    check::Mark,
    leads_elsewhere,
    privileges::{Lack, MissingPrivilege},
};

/// How many findings are told.
const TOLD: usize = 10;

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let mut checks = Vec::new();
    for name in ground.integrations.iter().flatten() {
        let (schema, rights) = (
            (ground.clone(), name.clone()),
            (ground.clone(), name.clone()),
        );
        checks.push(
            Check::new(
                format!("schema:{name}"),
                format!("What Dynamics would take of {name}"),
                async move {
                    let (ground, name) = schema;
                    let (integration, environment) = match reach(&ground, &name).await {
                        Ok(reached) => reached,
                        Err(verdict) => return verdict,
                    };
                    match environment.check(integration.configuration()).await {
                        Ok(marks) => judge_marks(&name, &marks),
                        Err(error) => unknown(&error.to_string()),
                    }
                },
            )
            .within(super::PATIENT),
        );
        checks.push(
            Check::new(
                format!("privileges:{name}"),
                format!("The privileges that {name} needs"),
                async move {
                    let (ground, name) = rights;
                    let (integration, environment) = match reach(&ground, &name).await {
                        Ok(reached) => reached,
                        Err(verdict) => return verdict,
                    };
                    let missing = environment.missing_privileges(integration.configuration());
                    match missing.await {
                        Ok(missing) => judge_privileges(&missing),
                        Err(error) => unknown(&error.to_string()),
                    }
                },
            )
            .within(super::PATIENT),
        );
    }
    checks
}

/// The integration in force and its environment, as the operator reaches it.
async fn reach(ground: &Ground<'_>, name: &str) -> Result<(Integration, Environment), Verdict> {
    let document = ground.deployment.store.integration(name).await;
    let document = document.map_err(|error| Verdict::from(Failure::from(error)))?;
    let document = document.unwrap_or_default();
    let integration = Integration::load(&document).map_err(|_| {
        Verdict::new(
            Outcome::CannotBeChecked,
            "The configuration is not valid; see there.",
        )
    })?;
    let (host, _) = integration.connection().hosts();
    if ground.deployment.is_local() && host.starts_with(OF_CONTAINERS) {
        return Err(Verdict::does_not_apply(
            "Only functions in containers can use this connection.",
        ));
    }
    if let Some(problem) = leads_elsewhere(integration.connection()) {
        return Err(Verdict::broken(format!(
            "The connection is not asked: {problem}."
        )));
    }
    let environment = Environment::new(integration.connection(), ground.deployment.aws.config());
    Ok((integration, environment))
}

/// Dynamics does not say: the connection is another check's.
fn unknown(error: &str) -> Verdict {
    Verdict::new(
        Outcome::CannotBeChecked,
        format!("Dynamics could not be asked with your own AWS identity: {error}."),
    )
    .mend("See what is said of the connection. Where the functions reach Dynamics and this does not, your AWS identity lacks the right to read the secret, or to use the key or the role, of the connection.")
}

fn judge_marks(name: &str, marks: &[Mark]) -> Verdict {
    if marks.is_empty() {
        return Verdict::ok(
            "Its tables have what the configuration names, as far as that can be told without a contact.",
        );
    }
    let verdict = Verdict::broken("Dynamics would refuse something of this configuration.");
    let verdict = marks.iter().take(TOLD).fold(verdict, |verdict, mark| {
        verdict.noting(format!("{}: {}", mark.place, mark.message))
    });
    verdict.open(
        "Open the integration, correct what is named, and publish it.",
        format!("/integrations/{name}"),
    )
}

fn judge_privileges(missing: &[MissingPrivilege]) -> Verdict {
    if missing.is_empty() {
        return Verdict::ok(
            "The application user has the privileges that the requests need, as far as that can be told without a contact.",
        );
    }
    let is_broken = missing.iter().any(|lack| lack.lack == Lack::Whole);
    let outcome = if is_broken {
        Outcome::Broken
    } else {
        Outcome::Warning
    };
    let verdict = Verdict::new(outcome, "The application user lacks privileges.");
    let verdict = missing.iter().take(TOLD).fold(verdict, |verdict, lack| {
        let what = match lack.lack {
            Lack::Whole => "is missing",
            Lack::Reach => "is for the user's own records only, and those of others are to be read",
        };
        verdict.noting(format!(
            "{} ({} of {}) {what}. Needed by {}.",
            lack.privilege,
            lack.kind,
            lack.tables.join(", "),
            lack.needed_by.join(", ")
        ))
    });
    verdict.mend("Power Platform admin center, Environments, your environment, Settings, Users + permissions, Security roles: open the application user's role, and give it these privileges.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_needs_it() {
        let lack = |lack| MissingPrivilege {
            privilege: "prvCreateActivity".into(),
            kind: "Create".into(),
            tables: vec!["phonecall".into()],
            lack,
            needed_by: vec!["steps.contact-start.request".into()],
        };
        assert_eq!(judge_privileges(&[]).outcome, Outcome::Ok);
        assert_eq!(
            judge_privileges(&[lack(Lack::Reach)]).outcome,
            Outcome::Warning
        );
        let verdict = judge_privileges(&[lack(Lack::Reach), lack(Lack::Whole)]);
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(verdict.findings.join(" ").contains(
            "prvCreateActivity (Create of phonecall) is missing. Needed by steps.contact-start.request."
        ));
        let mark = Mark {
            place: "steps.contact-start.request.body.x".into(),
            message: "there is no column `x`".into(),
            right: None,
        };
        assert_eq!(judge_marks("a", &[]).outcome, Outcome::Ok);
        assert_eq!(judge_marks("a", &[mark]).outcome, Outcome::Broken);
    }
}
