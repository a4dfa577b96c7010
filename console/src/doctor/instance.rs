//! The Amazon Connect instance: what it lets flows invoke, and what its flows and queues use.
//!
//! Owns how many flows are read: Amazon Connect takes two such requests a second, and an instance may have
//! hundreds.
//! <https://docs.aws.amazon.com/connect/latest/adminguide/amazon-connect-service-limits.html>

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use super::{
    Check, Failure, Ground, Verdict,
    calls::{
        DESCRIBE_CONTACT_FLOW, DESCRIBE_QUEUE, LIST_CONTACT_FLOW_MODULES, LIST_CONTACT_FLOWS,
        LIST_LAMBDA_FUNCTIONS, LIST_QUEUES,
    },
    storage::storage_configs,
};
use crate::aws::{AwsError, encoded};

/// The functions that flows invoke.
const INVOKED: [&str; 3] = ["ContactStart", "ContactAnswered", "ContactEnd"];
/// The stack's modules and flows, and how their names end.
const MODULES: [(&str, &str); 3] = [
    ("ContactStartModule", "contact start"),
    ("ContactAnsweredModule", "contact answered"),
    ("ContactEndModule", "contact end"),
];
const WHISPERS: [(&str, &str); 2] = [
    ("AgentWhisper", "agent whisper"),
    ("OutboundWhisper", "outbound whisper"),
];
/// No more flows or queues are read.
const MOST: usize = 60;
/// How long they are read, and how long the check may take.
const READ_WITHIN: Duration = Duration::from_secs(40);
const CHECK_WITHIN: Duration = Duration::from_secs(60);
/// How long to wait when Amazon Connect has had too many requests.
const REST: Duration = Duration::from_millis(1500);

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    vec![
        Check::of_stack(
            ground,
            "association",
            "The instance may invoke the functions",
            association(ground.clone()),
        ),
        Check::of_stack(
            ground,
            "flow-modules",
            "The flow modules and whispers exist",
            modules(ground.clone()),
        ),
        Check::of_stack(ground, "flows", "Flows use them", flows(ground.clone()))
            .within(CHECK_WITHIN),
        Check::of_stack(
            ground,
            "outbound-whisper",
            "Agents' own calls are recorded",
            outbound(ground.clone()),
        )
        .within(CHECK_WITHIN),
        Check::of_stack(
            ground,
            "contact-records",
            "The instance's contact records",
            contact_records(ground.clone()),
        ),
    ]
}

/// The id in the instance's ARN.
pub(super) fn instance_id<'b>(ground: &'b Ground<'_>) -> &'b str {
    let arn = ground.parameter("InstanceArn");
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The id in the ARN of a flow or a module: what comes last, without a version.
fn id(arn: &str) -> &str {
    let last = arn.rsplit('/').next().unwrap_or(arn);
    last.split(':').next().unwrap_or(last)
}

fn names<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    Vec::from_iter(ids).join(", ")
}

/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_ListLambdaFunctions.html>
async fn association(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let path = format!(
        "/instance/{}/lambda-functions",
        encoded(instance_id(&ground))
    );
    let listed = ground
        .asking
        .pages(LIST_LAMBDA_FUNCTIONS, &path, &[], "LambdaFunctions")
        .await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(failure) if failure.is_not_found() => {
            return Ok(Verdict::broken(format!(
                "There is no Amazon Connect instance {}.",
                ground.parameter("InstanceArn")
            ))
            .mend("Deploy the stack for another instance: docs/setup.md, Change the stack's instance."));
        }
        Err(failure) => return Err(failure),
    };
    let mut own = Vec::new();
    for logical_id in INVOKED {
        own.push((logical_id, ground.physical(logical_id)?));
    }
    let listed = listed.iter().filter_map(Json::as_str);
    Ok(judge_association(
        &own,
        &listed.collect::<Vec<_>>(),
        ground.is_on("AttachToConnect"),
    ))
}

fn judge_association(own: &[(&str, &str)], listed: &[&str], attaches: bool) -> Verdict {
    let is_listed = |name: &str| {
        listed
            .iter()
            .any(|arn| arn.rsplit(':').next() == Some(name))
    };
    let missing: Vec<&str> = own
        .iter()
        .filter(|(_, name)| !is_listed(name))
        .map(|(logical_id, _)| *logical_id)
        .collect();
    if missing.is_empty() {
        return Verdict::ok("The instance may invoke the three functions of flows.");
    }
    let finding = format!(
        "The instance may not invoke {}: a flow's block that does takes its error branch at once.",
        names(missing)
    );
    let by_hand = "AWS console, Amazon Connect, your instance, Flows, AWS Lambda: choose the function, Add Lambda Function.";
    if attaches {
        Verdict::broken(finding).mend(by_hand)
    } else {
        Verdict::warning(format!(
            "{finding} The stack leaves that to you (AttachToConnect=false)."
        ))
        .mend(by_hand)
    }
}

/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_ListContactFlowModules.html>
async fn modules(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.is_on("AttachToConnect") {
        return Ok(Verdict::does_not_apply(
            "The stack makes none (AttachToConnect=false).",
        ));
    }
    let instance = encoded(instance_id(&ground));
    let path = format!("/contact-flow-modules-summary/{instance}");
    let modules = ground
        .asking
        .pages(
            LIST_CONTACT_FLOW_MODULES,
            &path,
            &[],
            "ContactFlowModulesSummaryList",
        )
        .await?;
    let flows = list_flows(&ground).await?;
    let ids = |list: &[Json]| -> BTreeSet<String> {
        let ids = list.iter().filter_map(|one| one["Id"].as_str());
        ids.map(str::to_owned).collect()
    };
    let (modules, flows) = (ids(&modules), ids(&flows));
    let mut missing = Vec::new();
    for (wanted, there) in [(&MODULES[..], &modules), (&WHISPERS[..], &flows)] {
        for (logical_id, name) in wanted {
            if !there.contains(id(ground.physical(logical_id)?)) {
                missing.push(*name);
            }
        }
    }
    let stack = ground.deployment.stack.as_deref().unwrap_or_default();
    Ok(judge_modules(stack, &missing))
}

fn judge_modules(stack: &str, missing: &[&str]) -> Verdict {
    let all = missing.iter().map(|name| {
        Verdict::broken(format!(
            "`{stack} {name}` is gone from the instance: a flow that uses it leads nowhere."
        ))
        .mend("Deploy the stack with AttachToConnect=false and then with AttachToConnect=true, which makes all of them anew; then choose them again in your flows, and publish these.")
    });
    Verdict::of(
        all.collect::<Vec<_>>(),
        "The three modules, the agent whisper and the outbound whisper are there.",
    )
}

/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_ListContactFlows.html>
async fn list_flows(ground: &Ground<'_>) -> Result<Vec<Json>, Failure> {
    let path = format!("/contact-flows-summary/{}", encoded(instance_id(ground)));
    ground
        .asking
        .pages(LIST_CONTACT_FLOWS, &path, &[], "ContactFlowSummaryList")
        .await
}

/// A thing of the instance as it is in full; tried again while Amazon Connect has too many requests.
async fn described(
    ground: &Ground<'_>,
    call: super::calls::Call,
    path: &str,
    until: Instant,
) -> Result<Json, Failure> {
    loop {
        match ground.asking.rest(call, path, &[]).await {
            Err(Failure::Aws {
                error: AwsError::Refused { status: 429, .. },
                ..
            }) if Instant::now() + REST < until => {
                sleep(REST).await;
            }
            answer => return answer,
        }
    }
}

/// What was read of a list, and how long the list is.
struct Part<T> {
    read: Vec<T>,
    of: usize,
}

/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_DescribeContactFlow.html>
async fn flows(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let own = Own::of(&ground)?;
    let listed = in_order(list_flows(&ground).await?, &own);
    let until = Instant::now() + READ_WITHIN;
    let mut flows = Part {
        read: Vec::new(),
        of: listed.len(),
    };
    for flow in listed.iter().take(MOST) {
        if Instant::now() > until {
            break;
        }
        let flow_id = flow["Id"].as_str().unwrap_or_default();
        let path = format!(
            "/contact-flows/{}/{}",
            encoded(instance_id(&ground)),
            encoded(flow_id)
        );
        match described(&ground, DESCRIBE_CONTACT_FLOW, &path, until).await {
            Ok(told) => flows.read.push(
                told["ContactFlow"]["Content"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            ),
            // One that was never published is used by nobody.
            Err(failure) if is_not_published(&failure) || failure.is_not_found() => flows.of -= 1,
            // What was read so far may be enough.
            Err(failure) if flows.read.is_empty() => return Err(failure),
            Err(_) => break,
        }
    }
    let stack = ground.deployment.stack.as_deref().unwrap_or_default();
    Ok(judge_flows(
        stack,
        &own,
        &flows,
        ground.takes_contact_records(),
    ))
}

fn is_not_published(failure: &Failure) -> bool {
    matches!(failure, Failure::Aws { error: AwsError::Refused { code, .. }, .. } if code == "ContactFlowNotPublishedException")
}

/// What flows may name of the stack.
#[derive(Debug, Default)]
struct Own {
    start: Vec<String>,
    whisper: Vec<String>,
    /// The stack's own flows, which are not read.
    flows: BTreeSet<String>,
}

impl Own {
    fn of(ground: &Ground<'_>) -> Result<Own, Failure> {
        let resources = ground.resources.as_ref().map_err(Clone::clone)?;
        let ids = |logical_ids: &[&str]| -> Vec<String> {
            let found = logical_ids
                .iter()
                .filter_map(|logical_id| resources.physical(logical_id));
            found.map(|found| id(found).to_owned()).collect()
        };
        Ok(Own {
            start: ids(&["ContactStartModule", "ContactStart"]),
            whisper: ids(&["AgentWhisper", "ContactAnsweredModule", "ContactAnswered"]),
            flows: ids(&["AgentWhisper", "OutboundWhisper"])
                .into_iter()
                .collect(),
        })
    }
}

/// The flows to read, those first that customers have made for their contacts. Neither the stack's own nor
/// those that are archived are among them.
fn in_order(mut flows: Vec<Json>, own: &Own) -> Vec<Json> {
    flows.retain(|flow| {
        flow["ContactFlowState"] != "ARCHIVED"
            && !flow["Id"].as_str().is_some_and(|id| own.flows.contains(id))
    });
    flows.sort_by_key(|flow| {
        let name = flow["Name"].as_str().unwrap_or_default();
        let is_amazons = name.starts_with("Default ") || name.starts_with("Sample ");
        (is_amazons, flow["ContactFlowType"] != "CONTACT_FLOW")
    });
    flows
}

fn judge_flows(
    stack: &str,
    own: &Own,
    flows: &Part<String>,
    takes_contact_records: bool,
) -> Verdict {
    let Part { read, of } = flows;
    let using = |ids: &[String]| {
        let names = |flow: &&String| ids.iter().any(|id| flow.contains(id.as_str()));
        read.iter().filter(names).count()
    };
    let (starting, whispering) = (using(&own.start), using(&own.whisper));
    let of_all = if read.len() == *of {
        format!("the {of} published flows")
    } else {
        format!(
            "{} of the instance's {of} flows, which is as many as were read,",
            read.len()
        )
    };
    let mut all = Vec::new();
    if starting == 0 {
        let so = if takes_contact_records {
            "Contacts are recorded only when their contact records come, minutes after they have ended."
        } else {
            "Contacts that no flow starts have no record, as no contact records are taken."
        };
        all.push(
            Verdict::warning(format!("None of {of_all} uses `{stack} contact start`. {so}"))
                .mend(format!("Amazon Connect admin website, Routing, Flows, your inbound flow: as its first block Invoke module, {stack} contact start; connect both its branches to what came next, and publish."))
        );
    }
    if whispering == 0 {
        all.push(
            Verdict::warning(format!("None of {of_all} uses `{stack} agent whisper`. The agent's name and page are not known when a contact is answered."))
                .mend(format!("Amazon Connect admin website, Routing, Flows, your inbound flow, before the contact is queued: Set whisper flow, To agent, {stack} agent whisper; and publish."))
        );
    }
    Verdict::of(
        all,
        format!("Of {of_all} {starting} start the record and {whispering} tell of the agent."),
    )
}

/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_DescribeQueue.html>
async fn outbound(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.is_on("AttachToConnect") {
        return Ok(Verdict::does_not_apply(
            "The stack makes no outbound whisper (AttachToConnect=false).",
        ));
    }
    let own = id(ground.physical("OutboundWhisper")?);
    let instance = encoded(instance_id(&ground));
    let path = format!("/queues-summary/{instance}");
    // Agents' own queues have no outbound calls.
    let listed = ground
        .asking
        .pages(
            LIST_QUEUES,
            &path,
            &[("queueTypes", "STANDARD")],
            "QueueSummaryList",
        )
        .await?;
    let until = Instant::now() + READ_WITHIN;
    let mut queues = Part {
        read: Vec::new(),
        of: listed.len(),
    };
    for queue in listed.iter().take(MOST) {
        if Instant::now() > until {
            break;
        }
        let queue_id = queue["Id"].as_str().unwrap_or_default();
        let path = format!("/queues/{instance}/{}", encoded(queue_id));
        match described(&ground, DESCRIBE_QUEUE, &path, until).await {
            Ok(told) => {
                let queue = &told["Queue"];
                let name = queue["Name"].as_str().unwrap_or_default();
                let flow = queue["OutboundCallerConfig"]["OutboundFlowId"].as_str();
                queues
                    .read
                    .push((name.to_owned(), flow.map(|flow| id(flow).to_owned())));
            }
            Err(failure) if failure.is_not_found() => queues.of -= 1,
            Err(failure) if queues.read.is_empty() => return Err(failure),
            Err(_) => break,
        }
    }
    let stack = ground.deployment.stack.as_deref().unwrap_or_default();
    Ok(judge_queues(stack, own, &queues))
}

fn judge_queues(stack: &str, own: &str, queues: &Part<(String, Option<String>)>) -> Verdict {
    let Part { read, of } = queues;
    let with = |is_wanted: fn(Option<&str>, &str) -> bool| {
        read.iter()
            .filter(|(_, flow)| is_wanted(flow.as_deref(), own))
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
    };
    let ours = with(|flow, own| flow == Some(own));
    let none = with(|flow, _| flow.is_none());
    let read = read.len();
    if ours.is_empty() {
        return Verdict::warning(format!(
            "None of {read} queues (of {of}) has `{stack} outbound whisper`: calls that agents make have no record, or a late one."
        ))
        .mend(format!("Amazon Connect admin website, Routing, Queues, each queue that agents call out of: Outbound whisper flow, {stack} outbound whisper; and save. Leave it if agents make no calls, or your own outbound whisper has this one's blocks."));
    }
    let verdict = Verdict::ok(format!(
        "Of {read} queues (of {of}) {} have `{stack} outbound whisper`.",
        ours.len()
    ));
    if none.is_empty() {
        return verdict;
    }
    verdict.noting(format!("Without an outbound whisper are: {}.", names(none)))
}

async fn contact_records(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let configs = storage_configs(&ground, "CONTACT_TRACE_RECORDS").await?;
    let own = match ground.parameter("ContactRecordStream") {
        "" | "none" => None,
        "new" => Some(ground.physical("ContactRecords")?.to_owned()),
        arn => Some(arn.to_owned()),
    };
    Ok(judge_contact_records(own.as_deref(), &configs))
}

/// `own` is the stream that the stack reads: its name or its ARN.
fn judge_contact_records(own: Option<&str>, configs: &[Json]) -> Verdict {
    let stream = configs
        .iter()
        .find_map(|config| config["KinesisStreamConfig"]["StreamArn"].as_str());
    let firehose = configs
        .iter()
        .find_map(|config| config["KinesisFirehoseConfig"]["FirehoseArn"].as_str());
    let name = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
    let page = "AWS console, Amazon Connect, your instance, Data streaming, Contact records";
    match (own, stream) {
        (None, None) => Verdict::does_not_apply(
            "The stack takes the contact event COMPLETED in the place of contact records (ContactRecordStream=none). It tells less: docs/setup.md, Contact records.",
        ),
        (None, Some(arn)) => Verdict::ok(format!(
            "The stack takes the contact event COMPLETED in the place of contact records. The instance writes these to {arn}: deployed with ContactRecordStream={arn}, the stack would read them, which tell more."
        )),
        (Some(own), Some(arn)) if name(own) == name(arn) => Verdict::ok(format!(
            "The instance writes its contact records to {}, which the stack reads.",
            name(arn)
        )),
        (Some(own), other) => {
            let instead = match (other, firehose) {
                (Some(arn), _) | (None, Some(arn)) => format!("to {arn}"),
                (None, None) => "nowhere".to_owned(),
            };
            Verdict::broken(format!(
                "The stack reads contact records out of {}, and the instance writes them {instead}. No contact is completed.",
                name(own)
            ))
            .mend(format!("{page}: choose the Kinesis stream {}. Or deploy with ContactRecordStream=<the ARN of the stream that the instance has>.", name(own)))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn functions_that_flows_invoke_must_be_associated() {
        let own = [
            ("ContactStart", "cd-ContactStart-1"),
            ("ContactEnd", "cd-ContactEnd-2"),
        ];
        let arn = |name: &str| format!("arn:aws:lambda:us-east-1:123456789012:function:{name}");
        let (start, end) = (arn("cd-ContactStart-1"), arn("cd-ContactEnd-2"));
        assert_eq!(
            judge_association(&own, &[&start, &end], true).outcome,
            Outcome::Ok
        );
        let verdict = judge_association(&own, &[&start], true);
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(verdict.findings[0].contains("ContactEnd"), "{verdict:?}");
        assert_eq!(
            judge_association(&own, &[], false).outcome,
            Outcome::Warning
        );
    }

    fn own() -> Own {
        Own {
            start: vec!["module-1".into(), "cd-ContactStart-1".into()],
            whisper: vec!["whisper-1".into()],
            flows: BTreeSet::from(["whisper-1".into()]),
        }
    }

    #[test]
    fn flows_must_start_the_record_and_tell_of_the_agent() {
        let start = r#"{"Type": "InvokeFlowModule", "Parameters": {"FlowModuleId": "arn:aws:connect:x:1:instance/i/flow-module/module-1"}}"#;
        let whisper = r#"{"Type": "UpdateContactEventHooks", "Parameters": {"EventHooks": {"AgentWhisper": "arn:aws:connect:x:1:instance/i/contact-flow/whisper-1"}}}"#;
        let other = r#"{"Type": "MessageParticipant"}"#;
        for (read, of, expected, findings) in [
            (vec![start, whisper], 2, Outcome::Ok, 1),
            (vec![start, other], 2, Outcome::Warning, 1),
            (vec![other], 90, Outcome::Warning, 2),
            (vec![], 0, Outcome::Warning, 2),
        ] {
            let read = read.into_iter().map(str::to_owned).collect();
            let verdict = judge_flows("cd", &own(), &Part { read, of }, false);
            assert_eq!(verdict.outcome, expected, "{verdict:?}");
            assert_eq!(verdict.findings.len(), findings, "{verdict:?}");
        }
        let few = judge_flows(
            "cd",
            &own(),
            &Part {
                read: vec![other.into()],
                of: 90,
            },
            true,
        );
        assert!(
            few.findings[0].contains("1 of the instance's 90 flows"),
            "{few:?}"
        );
        assert!(few.findings[0].contains("minutes after"), "{few:?}");
    }

    #[test]
    fn flows_of_customers_are_read_first_and_the_stacks_own_not_at_all() {
        let flow = |id: &str, name: &str, kind: &str| json!({"Id": id, "Name": name, "ContactFlowType": kind, "ContactFlowState": "ACTIVE"});
        let flows = in_order(
            vec![
                flow("1", "Default customer queue", "CUSTOMER_QUEUE"),
                flow("2", "Our whisper", "AGENT_WHISPER"),
                flow("3", "Main line", "CONTACT_FLOW"),
                flow("whisper-1", "cd agent whisper", "AGENT_WHISPER"),
            ],
            &own(),
        );
        let order: Vec<&str> = flows
            .iter()
            .filter_map(|flow| flow["Id"].as_str())
            .collect();
        assert_eq!(order, ["3", "2", "1"]);
    }

    #[test]
    fn a_queue_that_agents_call_out_of_needs_the_whisper() {
        let queues = |flows: &[(&str, Option<&str>)]| Part {
            of: flows.len(),
            read: flows
                .iter()
                .map(|(name, flow)| ((*name).to_owned(), flow.map(str::to_owned)))
                .collect(),
        };
        assert_eq!(
            judge_queues("cd", "w", &queues(&[("a", Some("w"))])).outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge_queues("cd", "w", &queues(&[("a", Some("x")), ("b", None)])).outcome,
            Outcome::Warning
        );
        let some = judge_queues("cd", "w", &queues(&[("a", Some("w")), ("b", None)]));
        assert_eq!(some.outcome, Outcome::Ok);
        assert!(some.findings[1].ends_with("are: b."), "{some:?}");
    }

    #[test]
    fn contact_records_must_come_out_of_the_stream_that_is_read() {
        let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/cd-ContactRecords-1";
        let stream =
            [json!({"StorageType": "KINESIS_STREAM", "KinesisStreamConfig": {"StreamArn": arn}})];
        let firehose = [
            json!({"StorageType": "KINESIS_FIREHOSE", "KinesisFirehoseConfig": {"FirehoseArn": "arn:x"}}),
        ];
        assert_eq!(
            judge_contact_records(Some("cd-ContactRecords-1"), &stream).outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge_contact_records(Some(arn), &stream).outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge_contact_records(Some("another"), &stream).outcome,
            Outcome::Broken
        );
        assert_eq!(
            judge_contact_records(Some(arn), &firehose).outcome,
            Outcome::Broken
        );
        assert_eq!(
            judge_contact_records(Some(arn), &[]).outcome,
            Outcome::Broken
        );
        assert_eq!(
            judge_contact_records(None, &[]).outcome,
            Outcome::DoesNotApply
        );
        assert_eq!(judge_contact_records(None, &stream).outcome, Outcome::Ok);
    }
}
