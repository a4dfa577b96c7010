//! How events come to the functions: EventBridge's rules, the queues, and what was given up.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::{
    Check, Failure, Ground, Verdict,
    calls::{DESCRIBE_RULE, GET_QUEUE_ATTRIBUTES, LIST_TARGETS_BY_RULE},
    functions::metric,
};

/// What a rule is there for.
struct Rule {
    logical_id: &'static str,
    /// The events that it takes.
    takes: &'static str,
    /// The queue that it sends them to, and the function that takes them there.
    queue: &'static str,
    function: &'static str,
    /// The stack's parameter that wants the rule.
    parameter: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        logical_id: "AnsweredRule",
        takes: "answered contacts",
        queue: "ContactAnsweredQueue",
        function: "ContactAnswered",
        parameter: "TakeContactEvents",
    },
    Rule {
        logical_id: "EndedRule",
        takes: "ended contacts",
        queue: "ContactEndQueue",
        function: "ContactEnd",
        parameter: "TakeContactEvents",
    },
    Rule {
        logical_id: COMPLETED,
        takes: "completed contacts",
        queue: "ContactCompletedQueue",
        function: "ContactCompleted",
        parameter: "TakeContactEvents",
    },
    Rule {
        logical_id: "RecordingsRule",
        takes: "recordings",
        queue: "RecordingAvailableQueue",
        function: "RecordingAvailable",
        parameter: "TakeRecordings",
    },
    Rule {
        logical_id: "TranscriptsRule",
        takes: "transcripts and analyses",
        queue: "RecordingAvailableQueue",
        function: "RecordingAvailable",
        parameter: "TakeRecordings",
    },
    Rule {
        logical_id: "FilesRule",
        takes: "e-mails and attachments",
        queue: "RecordingAvailableQueue",
        function: "RecordingAvailable",
        parameter: "TakeRecordings",
    },
];
const COMPLETED: &str = "CompletedRule";

/// The queues of the functions' events.
const QUEUES: [(&str, &str); 5] = [
    ("ContactStartQueue", "ContactStart"),
    ("ContactAnsweredQueue", "ContactAnswered"),
    ("ContactEndQueue", "ContactEnd"),
    ("RecordingAvailableQueue", "RecordingAvailable"),
    ("ContactCompletedQueue", "ContactCompleted"),
];
/// An event that waits for longer is late. The alarm EventsWaiting says so, too.
const LATE_AFTER: f64 = 900.0;

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let mut checks = Vec::new();
    for rule in &RULES {
        checks.push(Check::of_stack(
            ground,
            format!("rule:{}", rule.logical_id),
            format!("EventBridge hands over {}", rule.takes),
            self::rule(ground.clone(), rule),
        ));
    }
    for (logical_id, function) in QUEUES {
        checks.push(Check::of_stack(
            ground,
            format!("queue:{logical_id}"),
            format!("The queue of {function}"),
            queue(ground.clone(), logical_id, function),
        ));
    }
    checks.push(Check::of_stack(
        ground,
        "dead-letters",
        "Events that were given up",
        dead_letters(ground.clone()),
    ));
    checks.push(Check::of_stack(
        ground,
        "given-up-records",
        "Contact records that were given up",
        given_up_records(ground.clone()),
    ));
    checks
}

/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeRule.html>
async fn rule(ground: Arc<Ground<'_>>, rule: &Rule) -> Result<Verdict, Failure> {
    if !ground.is_on(rule.parameter) {
        return Ok(Verdict::does_not_apply(format!(
            "The stack leaves them to another one ({}=false).",
            rule.parameter
        )));
    }
    if rule.logical_id == COMPLETED && ground.takes_contact_records() {
        return Ok(Verdict::does_not_apply(
            "Contact records out of the stream tell more.",
        ));
    }
    let name = ground.physical(rule.logical_id)?;
    let asking = ground.asking;
    let told = match asking.json(DESCRIBE_RULE, json!({"Name": name})).await {
        Ok(told) => told,
        Err(failure) if failure.is_not_found() => {
            return Ok(Verdict::broken(format!("The rule of {} is gone, so they are lost.", rule.takes)).run(
                "Take the rules out of the stack, and deploy it once more with the parameter as it was.",
                ground.deploy_with(&format!("{}=false", rule.parameter)),
            ));
        }
        Err(failure) => return Err(failure),
    };
    let state = judge_rule(rule, name, &told, &ground.region_option());
    let targets = match asking
        .json(LIST_TARGETS_BY_RULE, json!({"Rule": name}))
        .await
    {
        Ok(targets) => judge_targets(rule, name, &targets, ground.physical(rule.queue)?),
        Err(failure) => failure.into(),
    };
    Ok(Verdict::of(
        [state, targets],
        format!(
            "Events of {} go to the queue of {}.",
            rule.takes, rule.function
        ),
    ))
}

fn judge_rule(rule: &Rule, name: &str, told: &Json, region: &str) -> Verdict {
    match told["State"].as_str().unwrap_or_default() {
        state if state.starts_with("ENABLED") => Verdict::ok("The rule is enabled."),
        _ => Verdict::broken(format!(
            "The rule of {} is disabled, so they are lost while it is.",
            rule.takes
        ))
        .run(
            "Enable it.",
            format!("aws events enable-rule --name {name} {region}"),
        ),
    }
}

/// The queue's physical id is its URL, which ends with its name; so does its ARN.
fn name_of(queue: &str) -> &str {
    queue.rsplit(['/', ':']).next().unwrap_or(queue)
}

fn judge_targets(rule: &Rule, name: &str, told: &Json, queue: &str) -> Verdict {
    let targets = told["Targets"].as_array();
    let targets = targets.into_iter().flatten();
    let arns: Vec<&str> = targets
        .filter_map(|target| target["Arn"].as_str())
        .collect();
    let queue = name_of(queue);
    let edit =
        format!("AWS console, EventBridge, Rules, {name}, Targets, Edit: SQS queue, {queue}.");
    if !arns.iter().any(|arn| name_of(arn) == queue) {
        return Verdict::broken(format!(
            "The rule of {} does not send them to the queue of {}, so they are lost.",
            rule.takes, rule.function
        ))
        .mend(edit);
    }
    match arns.iter().find(|arn| name_of(arn) != queue) {
        None => Verdict::ok("It has the right target."),
        Some(other) => Verdict::warning(format!(
            "The rule of {} sends them to {other}, too.",
            rule.takes
        ))
        .mend(format!("Leave it if that is meant. {edit}")),
    }
}

/// A queue's attributes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>
async fn attributes(ground: &Ground<'_>, logical_id: &str) -> Result<Json, Failure> {
    let url = ground.physical(logical_id)?;
    let names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "Policy",
        "QueueArn",
    ];
    let body = json!({"QueueUrl": url, "AttributeNames": names});
    let told = ground.asking.json(GET_QUEUE_ATTRIBUTES, body).await?;
    Ok(told["Attributes"].clone())
}

fn number(attributes: &Json, name: &str) -> u64 {
    let number = attributes[name].as_str();
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

async fn queue(
    ground: Arc<Ground<'_>>,
    logical_id: &str,
    function: &str,
) -> Result<Verdict, Failure> {
    let told = match attributes(&ground, logical_id).await {
        Ok(told) => told,
        Err(failure) if failure.is_not_found() => {
            return Ok(Verdict::broken(format!("The queue of {function} is gone, so its events are lost."))
                .mend("Deploy the stack under another name, with this one's table as TableName: docs/setup.md, Go on with the table of a stack that is gone."));
        }
        Err(failure) => return Err(failure),
    };
    let wants_rules = RULES.iter().any(|rule| rule.queue == logical_id);
    let policy = judge_policy(function, &told, wants_rules);
    let waiting = number(&told, "ApproximateNumberOfMessages");
    let age = if waiting == 0 {
        Ok(None)
    } else {
        let name = name_of(ground.physical(logical_id)?);
        metric(
            &ground,
            ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
            ("QueueName", name),
            "Maximum",
            SignedDuration::from_mins(10),
        )
        .await
    };
    let age = match age {
        Ok(age) => judge_age(function, waiting, age),
        Err(failure) => failure.into(),
    };
    Ok(Verdict::of(
        [policy, age],
        judge_age(function, waiting, None).findings.remove(0),
    ))
}

fn judge_policy(function: &str, attributes: &Json, wants_rules: bool) -> Verdict {
    let policy = attributes["Policy"].as_str().unwrap_or_default();
    if !wants_rules || policy.contains("events.amazonaws.com") {
        return Verdict::ok("EventBridge may send there.");
    }
    Verdict::broken(format!(
        "The queue of {function} does not let EventBridge send events, so they are lost."
    ))
    .mend("AWS console, SQS, the queue, Access policy: allow the service events.amazonaws.com the action sqs:SendMessage, as QueuesPolicy in template.yaml does.")
}

fn judge_age(function: &str, waiting: u64, age: Option<f64>) -> Verdict {
    match age {
        Some(age) if age > LATE_AFTER => Verdict::broken(format!(
            "{waiting} events wait for {function}, the oldest for {:.0} minutes: nobody takes them.",
            age / 60.0
        ))
        .mend(format!(
            "See what is said of the trigger and of the function {function}. If both are well, there is too little concurrency: AWS console, Service Quotas, Lambda, Concurrent executions; or a larger EventConcurrency."
        )),
        _ if waiting == 0 => Verdict::ok("No event waits."),
        _ => Verdict::ok(format!("{waiting} events wait for {function}, not for long yet.")),
    }
}

async fn dead_letters(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let told = attributes(&ground, "DeadLetters").await?;
    Ok(judge_dead_letters(&told, &ground.region_option()))
}

fn judge_dead_letters(attributes: &Json, region: &str) -> Verdict {
    let waiting = number(attributes, "ApproximateNumberOfMessages")
        + number(attributes, "ApproximateNumberOfMessagesNotVisible");
    if waiting == 0 {
        return Verdict::ok("No event was given up.");
    }
    let arn = attributes["QueueArn"]
        .as_str()
        .unwrap_or("<DeadLettersArn>");
    let events = if waiting == 1 { "event" } else { "events" };
    Verdict::broken(format!(
        "{waiting} {events} could not be stored for two days. They are kept for 14 days from when they came."
    ))
    .mend("Mend the cause first: the other findings, or `reason` in the functions' logs.")
    .run(
        "Then send them back to the queues that they came from.",
        format!("aws sqs start-message-move-task --source-arn {arn} {region}"),
    )
}

async fn given_up_records(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.takes_contact_records() {
        return Ok(Verdict::does_not_apply(
            "The stack reads no stream of contact records.",
        ));
    }
    let told = attributes(&ground, "GivenUpRecords").await?;
    Ok(judge_given_up_records(&told, &ground.region_option()))
}

fn judge_given_up_records(attributes: &Json, region: &str) -> Verdict {
    let waiting = number(attributes, "ApproximateNumberOfMessages")
        + number(attributes, "ApproximateNumberOfMessagesNotVisible");
    if waiting == 0 {
        return Verdict::ok("No contact record was given up.");
    }
    Verdict::broken(format!(
        "Contact records at {waiting} places of the stream could not be stored for 18 hours. The stream keeps them for a day, where the stack made it."
    ))
    .run(
        "Have the stream keep them for longer, now.",
        format!("aws kinesis increase-stream-retention-period --stream-name <stream> --retention-period-hours 168 {region}"),
    )
    .mend("Mend the cause, and read them again as docs/troubleshooting.md says, Contact records that were given up.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    const QUEUE: &str =
        "https://sqs.us-east-1.amazonaws.com/123456789012/connect-dynamics-ContactEndQueue-1AB";
    const ARN: &str = "arn:aws:sqs:us-east-1:123456789012:connect-dynamics-ContactEndQueue-1AB";

    #[test]
    fn a_rule_must_be_enabled_and_send_to_its_queue() {
        let rule = &RULES[1];
        assert_eq!(
            judge_rule(rule, "r", &json!({"State": "ENABLED"}), "").outcome,
            Outcome::Ok
        );
        let disabled = judge_rule(rule, "r", &json!({"State": "DISABLED"}), "--region x");
        assert_eq!(disabled.outcome, Outcome::Broken);
        assert_eq!(
            disabled.what_to_do[0].command.as_deref(),
            Some("aws events enable-rule --name r --region x")
        );
        for (targets, expected) in [
            (json!([{"Id": "queue", "Arn": ARN}]), Outcome::Ok),
            (
                json!([{"Id": "queue", "Arn": ARN}, {"Id": "x", "Arn": "arn:aws:sqs:us-east-1:1:other"}]),
                Outcome::Warning,
            ),
            (
                json!([{"Id": "x", "Arn": "arn:aws:sqs:us-east-1:1:other"}]),
                Outcome::Broken,
            ),
            (json!([]), Outcome::Broken),
        ] {
            let verdict = judge_targets(rule, "r", &json!({"Targets": targets}), QUEUE);
            assert_eq!(verdict.outcome, expected, "{targets}");
        }
    }

    #[test]
    fn a_queue_lets_eventbridge_send_and_does_not_fill() {
        let policy = json!({"Policy": r#"{"Statement": [{"Principal": {"Service": "events.amazonaws.com"}}]}"#});
        assert_eq!(
            judge_policy("ContactEnd", &policy, true).outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge_policy("ContactEnd", &json!({}), true).outcome,
            Outcome::Broken
        );
        assert_eq!(
            judge_policy("ContactStart", &json!({}), false).outcome,
            Outcome::Ok
        );
        assert_eq!(judge_age("ContactEnd", 0, None).outcome, Outcome::Ok);
        assert_eq!(judge_age("ContactEnd", 5, Some(60.0)).outcome, Outcome::Ok);
        assert_eq!(
            judge_age("ContactEnd", 5, Some(1800.0)).outcome,
            Outcome::Broken
        );
    }

    #[test]
    fn dead_letters_are_told_of_with_the_command_that_sends_them_back() {
        let told = |number: &str| json!({"ApproximateNumberOfMessages": number, "QueueArn": ARN});
        assert_eq!(judge_dead_letters(&told("0"), "").outcome, Outcome::Ok);
        let verdict = judge_dead_letters(&told("3"), "--region us-east-1");
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(verdict.findings[0].starts_with("3 events"), "{verdict:?}");
        let command = verdict.what_to_do[1].command.as_deref().unwrap();
        assert_eq!(
            command,
            format!("aws sqs start-message-move-task --source-arn {ARN} --region us-east-1")
        );
        assert_eq!(
            judge_given_up_records(&told("1"), "").outcome,
            Outcome::Broken
        );
    }
}
