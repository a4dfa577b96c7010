//! The doctor: looks at a deployment from end to end, and says what to mend.
//!
//! Owns what a check is, what it can come to, and how all of them are run: at the same time, each within its
//! time, so that one that hangs or fails never hides another. What is looked at is in a module for each part:
//!
//! | module | what is looked at |
//! |---|---|
//! | `stack` | the stack, and what each of its resources is really called |
//! | `table` | the table, its indexes, and what keeps and deletes its items |
//! | `configuration` | what the integrations' configurations say, and their drafts |
//! | `credential` | secrets and keys, the token, and whether Dynamics answers |
//! | `dynamics` | what Dynamics would refuse of the configurations, and which privileges are missing |
//! | `functions` | the functions, their triggers, and the schedule of redelivery |
//! | `events` | EventBridge's rules, the queues, and what was given up |
//! | `storage` | where the instance stores, and whether its buckets tell |
//! | `instance` | what flows and queues of the Amazon Connect instance use |
//! | `alarms` | the alarms, and whom they tell |
//! | `contacts` | contacts that wait for too long, or have failed |
//! | `clock` | this machine's clock |
//!
//! A check is a future that comes to a [`Verdict`]. Its judgement is a function of AWS's answers, and tested
//! as one. [`checks`] makes the list; another part of the console adds its own there. AWS's operations, and the
//! right that each needs, are listed in `calls`.

mod alarms;
mod calls;
mod clock;
mod configuration;
mod contacts;
mod credential;
mod dynamics;
mod events;
mod functions;
mod instance;
mod stack;
mod storage;
mod table;

use std::{
    collections::BTreeSet, fmt, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration,
};

use connect_dynamics::store::StoreError;
use futures_util::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::time::timeout;

use self::{calls::Asking, stack::Resources};
use crate::{aws::AwsError, deployment::Deployment};

/// How many checks run at the same time.
const AT_A_TIME: usize = 8;
/// How long a check may take unless it says otherwise.
const WITHIN: Duration = Duration::from_secs(20);
/// How long one may take that asks for much.
const PATIENT: Duration = Duration::from_secs(45);

/// What a check comes to, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It does not work, and somebody has to mend it.
    Broken,
    /// It works, and will not for long, or tells less than it could.
    Warning,
    /// Nobody knows: the operator lacks a right, or AWS does not answer.
    CannotBeChecked,
    Ok,
    /// There is nothing to look at, as the stack is deployed without it.
    DoesNotApply,
}

impl Outcome {
    pub const ALL: [Outcome; 5] = [
        Outcome::Broken,
        Outcome::Warning,
        Outcome::CannotBeChecked,
        Outcome::Ok,
        Outcome::DoesNotApply,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Broken => "broken",
            Outcome::Warning => "warning",
            Outcome::CannotBeChecked => "cannot be checked",
            Outcome::Ok => "ok",
            Outcome::DoesNotApply => "does not apply",
        })
    }
}

/// Something to do about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What to do, in words: where to click, or what the command does.
    pub text: String,
    /// A command for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The path of a page of the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// What a check has found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub outcome: Outcome,
    /// What was found, each a sentence or several. Never empty.
    #[serde(rename = "finding", serialize_with = "in_one")]
    pub findings: Vec<String>,
    pub what_to_do: Vec<Remedy>,
}

fn in_one<S: Serializer>(findings: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&findings.join("\n"))
}

impl Verdict {
    pub fn new(outcome: Outcome, finding: impl Into<String>) -> Verdict {
        Verdict {
            outcome,
            findings: vec![finding.into()],
            what_to_do: Vec::new(),
        }
    }

    pub fn ok(finding: impl Into<String>) -> Verdict {
        Verdict::new(Outcome::Ok, finding)
    }

    pub fn warning(finding: impl Into<String>) -> Verdict {
        Verdict::new(Outcome::Warning, finding)
    }

    pub fn broken(finding: impl Into<String>) -> Verdict {
        Verdict::new(Outcome::Broken, finding)
    }

    pub fn cannot_be_checked(finding: impl Into<String>) -> Verdict {
        Verdict::new(Outcome::CannotBeChecked, finding)
    }

    pub fn does_not_apply(finding: impl Into<String>) -> Verdict {
        Verdict::new(Outcome::DoesNotApply, finding)
    }

    /// With something that was found besides, and changes nothing about the outcome.
    #[must_use]
    pub fn noting(mut self, finding: impl Into<String>) -> Verdict {
        self.findings.push(finding.into());
        self
    }

    /// With something to do, in words.
    #[must_use]
    pub fn mend(self, text: impl Into<String>) -> Verdict {
        self.remedy(text, None, None)
    }

    /// With a command to run, and what it does.
    #[must_use]
    pub fn run(self, text: impl Into<String>, command: impl Into<String>) -> Verdict {
        self.remedy(text, Some(command.into()), None)
    }

    /// With a page of the console to open.
    #[must_use]
    pub fn open(self, text: impl Into<String>, page: impl Into<String>) -> Verdict {
        self.remedy(text, None, Some(page.into()))
    }

    fn remedy(
        mut self,
        text: impl Into<String>,
        command: Option<String>,
        page: Option<String>,
    ) -> Verdict {
        let remedy = Remedy {
            text: text.into(),
            command,
            page,
        };
        if !self.what_to_do.contains(&remedy) {
            self.what_to_do.push(remedy);
        }
        self
    }

    /// One verdict of several about the same thing: as bad as the worst. It tells those that are not well; when
    /// all are, it says `well`.
    pub fn of(all: impl IntoIterator<Item = Verdict>, well: impl Into<String>) -> Verdict {
        let is_well = |verdict: &Verdict| verdict.outcome >= Outcome::Ok;
        let mut all: Vec<Verdict> = all.into_iter().collect();
        if all.iter().all(is_well) {
            return Verdict::ok(well);
        }
        all.retain(|verdict| !is_well(verdict));
        all.sort_by_key(|verdict| verdict.outcome);
        let mut all = all.into_iter();
        let first = all.next().expect("one of them is not well");
        all.fold(first, |mut sum, other| {
            for finding in other.findings {
                if !sum.findings.contains(&finding) {
                    sum.findings.push(finding);
                }
            }
            for remedy in other.what_to_do {
                sum = sum.remedy(remedy.text, remedy.command, remedy.page);
            }
            sum
        })
    }
}

type Running<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something to look at.
pub struct Check<'a> {
    /// It stays the same from version to version.
    id: String,
    title: String,
    within: Duration,
    run: Running<'a, Verdict>,
}

impl fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'a> Check<'a> {
    pub fn new(
        id: impl Into<String>,
        title: impl Into<String>,
        run: impl Future<Output = Verdict> + Send + 'a,
    ) -> Check<'a> {
        Check {
            id: id.into(),
            title: title.into(),
            within: WITHIN,
            run: Box::pin(run),
        }
    }

    /// With another time than 20 seconds.
    #[must_use]
    pub fn within(self, within: Duration) -> Check<'a> {
        Check { within, ..self }
    }

    /// A check of what only a stack in AWS has.
    fn of_stack(
        ground: &Arc<Ground<'a>>,
        id: impl Into<String>,
        title: impl Into<String>,
        run: impl Future<Output = Result<Verdict, Failure>> + Send + 'a,
    ) -> Check<'a> {
        let is_local = ground.deployment.is_local();
        Check::new(id, title, async move {
            if is_local {
                return Verdict::does_not_apply("This does not apply on the local system.");
            }
            run.await.unwrap_or_else(Verdict::from)
        })
    }
}

/// A check and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub id: String,
    pub title: String,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What the doctor has found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was looked at.
    pub deployment: String,
    pub checked_at: Timestamp,
    /// In the checks' order.
    pub checks: Vec<Finding>,
}

impl Report {
    /// The findings of one outcome.
    pub fn of(&self, outcome: Outcome) -> Vec<&Finding> {
        let all = self.checks.iter();
        all.filter(|finding| finding.verdict.outcome == outcome)
            .collect()
    }

    /// The findings of one outcome, those that say the same together: the titles of each, and what is said.
    pub fn alike(&self, outcome: Outcome) -> Vec<(Vec<&str>, &[String])> {
        let mut alike: Vec<(Vec<&str>, &[String])> = Vec::new();
        for finding in self.of(outcome) {
            let said = finding.verdict.findings.as_slice();
            match alike.iter_mut().find(|(_, other)| *other == said) {
                Some((titles, _)) => titles.push(&finding.title),
                None => alike.push((vec![&finding.title], said)),
            }
        }
        alike
    }

    pub fn is_broken(&self) -> bool {
        !self.of(Outcome::Broken).is_empty()
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq)]
enum Failure {
    Aws {
        /// The right that the question needs.
        right: &'static str,
        error: AwsError,
    },
    Store(StoreError),
    /// The stack has no resource of this logical id.
    NotInStack(String),
    /// An answer is not as it is documented.
    Unreadable(String),
}

impl Failure {
    /// Whether AWS says that there is no such thing.
    fn is_not_found(&self) -> bool {
        matches!(self, Failure::Aws { error, .. } if error.is_not_found() && !error.is_denied())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Verdict {
        match failure {
            Failure::Aws { right, error } if error.is_denied() => denied(right),
            Failure::Aws { error, .. } => Verdict::cannot_be_checked(format!(
                "AWS does not tell: {error}."
            ))
            .mend("Check again. If that does not help, look into it by hand in the AWS console."),
            Failure::Store(StoreError::AccessDenied(_)) => {
                Verdict::of([denied(calls::READ_LISTS), denied(calls::READ_ITEM)], "")
            }
            Failure::Store(StoreError::NoTable(table)) => {
                Verdict::broken(format!("There is no table `{table}`."))
                    .mend("See what is said of the table.")
            }
            Failure::Store(error) => {
                Verdict::cannot_be_checked(format!("The table does not tell: {error}."))
                    .mend("Check again.")
            }
            Failure::NotInStack(logical_id) => Verdict::broken(format!(
                "The stack has no `{logical_id}`, which its template makes."
            ))
            .mend("Deploy the newest template: `sam build && sam deploy`."),
            Failure::Unreadable(reason) => {
                Verdict::cannot_be_checked(format!("AWS's answer cannot be read: {reason}."))
            }
        }
    }
}

/// What is found where the operator lacks a right.
fn denied(right: &str) -> Verdict {
    Verdict::cannot_be_checked(format!(
        "Your AWS identity may not look at this: it lacks the right {right}."
    ))
    .mend(format!(
        "Give your AWS identity the right {right} (AWS console, IAM, your user or role, Permissions). docs/operator-policy.json has all that this tool uses."
    ))
}

/// What the checks of one examination have in common.
#[derive(Debug)]
struct Ground<'a> {
    deployment: &'a Deployment,
    asking: Asking<'a>,
    /// The stack's resources; none of the local system.
    resources: Result<Resources, Failure>,
    integrations: Result<BTreeSet<String>, Failure>,
    now: Timestamp,
}

impl<'a> Ground<'a> {
    async fn of(deployment: &'a Deployment) -> Ground<'a> {
        let asking = Asking(&deployment.aws);
        let resources = async {
            match &deployment.stack {
                Some(stack) => Resources::of(asking, stack).await,
                None => Ok(Resources::default()),
            }
        };
        let names = async {
            let names = deployment.store.integration_names().await;
            let mut names = names.map_err(Failure::from)?;
            // One that was saved by other means, before any function ran, is in no list.
            let default = &deployment.default_integration;
            let saved = deployment.store.version_in_force(default).await?;
            if saved.is_some() {
                names.insert(default.clone());
            }
            Ok(names)
        };
        let at_most =
            |what: &'static str| Failure::Unreadable(format!("{what} did not come in time"));
        let (resources, integrations) =
            futures_util::future::join(timeout(WITHIN, resources), timeout(WITHIN, names)).await;
        Ground {
            deployment,
            asking,
            resources: resources.unwrap_or_else(|_| Err(at_most("the stack's resources"))),
            integrations: integrations.unwrap_or_else(|_| Err(at_most("the integrations' names"))),
            now: Timestamp::now(),
        }
    }

    /// What a resource of the stack is really called.
    fn physical(&self, logical_id: &str) -> Result<&str, Failure> {
        let resources = self.resources.as_ref().map_err(Clone::clone)?;
        resources
            .physical(logical_id)
            .ok_or_else(|| Failure::NotInStack(logical_id.to_owned()))
    }

    /// A parameter of the stack; empty where it has none of the name.
    fn parameter(&self, name: &str) -> &str {
        self.deployment
            .parameters
            .get(name)
            .map_or("", String::as_str)
    }

    /// Whether a parameter of the stack is "true". One that the stack does not have yet is, as the template's
    /// defaults are.
    fn is_on(&self, name: &str) -> bool {
        self.parameter(name) != "false"
    }

    /// Whether contact records come out of a stream.
    fn takes_contact_records(&self) -> bool {
        !matches!(self.parameter("ContactRecordStream"), "" | "none")
    }

    /// The option of the AWS command line that names the stack's region.
    fn region_option(&self) -> String {
        format!("--region {}", self.deployment.aws.region())
    }

    /// The command that deploys the stack with parameters of these values, and the others as they are.
    fn deploy_with(&self, parameters: &str) -> String {
        format!(
            "sam build && sam deploy --config-file samconfig.local.toml --parameter-overrides {parameters}"
        )
    }
}

/// Everything that there is to look at. What it takes to know that is asked for here, and takes a second.
pub async fn checks(deployment: &Deployment) -> Vec<Check<'_>> {
    let ground = Arc::new(Ground::of(deployment).await);
    let mut checks = Vec::new();
    checks.extend(stack::checks(&ground));
    checks.extend(table::checks(&ground));
    checks.extend(configuration::checks(&ground));
    checks.extend(credential::checks(&ground));
    checks.extend(dynamics::checks(&ground));
    checks.extend(functions::checks(&ground));
    checks.extend(events::checks(&ground));
    checks.extend(storage::checks(&ground));
    checks.extend(instance::checks(&ground));
    checks.extend(alarms::checks(&ground));
    checks.extend(contacts::checks(&ground));
    checks.extend(clock::checks(&ground));
    checks
}

/// Runs checks, several at the same time, and returns their findings in the checks' order.
pub async fn run(checks: Vec<Check<'_>>) -> Vec<Finding> {
    let places = 0..;
    let running: Vec<_> = places
        .zip(checks)
        .map(|(place, check)| finding(place, check))
        .collect();
    // In any order, so that a slow one does not keep the next from beginning.
    let running = stream::iter(running).buffer_unordered(AT_A_TIME);
    let mut findings: Vec<(usize, Finding)> = running.collect().await;
    findings.sort_by_key(|(place, _)| *place);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

fn finding(place: usize, check: Check<'_>) -> Running<'_, (usize, Finding)> {
    Box::pin(async move {
        let seconds = check.within.as_secs();
        // A mistake in one check is no reason to lose the others.
        let run = AssertUnwindSafe(check.run).catch_unwind();
        let verdict = match timeout(check.within, run).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Verdict::cannot_be_checked(
                "The check itself has failed, which is a mistake of this tool.",
            )
            .mend("Tell us, with the version that `connect-dynamics --version` prints."),
            Err(_) => {
                Verdict::cannot_be_checked(format!("There was no answer within {seconds} seconds."))
                    .mend("Check again.")
            }
        };
        let finding = Finding {
            id: check.id,
            title: check.title,
            verdict,
        };
        (place, finding)
    })
}

/// Looks at a deployment from end to end.
pub async fn examine(deployment: &Deployment) -> Report {
    let checks = run(checks(deployment).await).await;
    Report {
        deployment: deployment.title(),
        checked_at: Timestamp::now(),
        checks,
    }
}
