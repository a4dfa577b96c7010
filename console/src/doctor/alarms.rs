//! The alarms: which have gone off, and whom they tell.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Check, Failure, Ground, Outcome, Verdict,
    calls::{DESCRIBE_ALARMS, LIST_SUBSCRIPTIONS_BY_TOPIC, child, members, read_xml},
};

/// How many alarms CloudWatch takes in one question.
const AT_A_TIME: usize = 100;
/// Alarms that tell of something that goes by itself, or has time.
const CAN_WAIT: [&str; 2] = ["SecretEndingAlarm", "DynamicsThrottlesAlarm"];

/// An alarm, as CloudWatch tells of it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Alarm {
    name: String,
    state: String,
    /// What the template says that it means.
    meaning: String,
    tells: bool,
    topics: Vec<String>,
}

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    vec![
        Check::of_stack(ground, "alarms", "The alarms", alarms(ground.clone())),
        Check::of_stack(
            ground,
            "alarm-mail",
            "Somebody is told of alarms",
            told(ground.clone()),
        ),
    ]
}

/// The stack's alarms: logical id and name of each.
fn own(ground: &Ground<'_>) -> Result<Vec<(String, String)>, Failure> {
    let resources = ground.resources.as_ref().map_err(Clone::clone)?;
    let alarms = resources.of_type("AWS::CloudWatch::Alarm").into_iter();
    Ok(alarms
        .map(|alarm| (alarm.logical_id.clone(), alarm.physical_id.clone()))
        .collect())
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>
async fn described(ground: &Ground<'_>, own: &[(String, String)]) -> Result<Vec<Alarm>, Failure> {
    let keys: Vec<String> = (1..=own.len().min(AT_A_TIME))
        .map(|place| format!("AlarmNames.member.{place}"))
        .collect();
    let mut parameters = vec![("MaxRecords", "100")];
    parameters.extend(
        keys.iter()
            .zip(own)
            .map(|(key, (_, name))| (key.as_str(), name.as_str())),
    );
    let answer = ground.asking.query(DESCRIBE_ALARMS, &parameters).await?;
    read(&answer)
}

fn read(answer: &str) -> Result<Vec<Alarm>, Failure> {
    read_xml(answer, |document| {
        let alarms = members(document.root(), "MetricAlarms").map(|alarm| Alarm {
            name: child(alarm, "AlarmName"),
            state: child(alarm, "StateValue"),
            meaning: child(alarm, "AlarmDescription"),
            tells: child(alarm, "ActionsEnabled") != "false",
            topics: members(alarm, "AlarmActions")
                .filter_map(|action| action.text())
                .map(str::to_owned)
                .collect(),
        });
        alarms.collect()
    })
}

async fn alarms(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.is_on("MakeAlarms") {
        return Ok(Verdict::does_not_apply(
            "The stack makes no alarms (MakeAlarms=false).",
        ));
    }
    let own = own(&ground)?;
    let found = described(&ground, &own).await?;
    Ok(judge(&own, &found))
}

fn judge(own: &[(String, String)], found: &[Alarm]) -> Verdict {
    let all = own.iter().map(|(logical_id, name)| {
        let short = logical_id.trim_end_matches("Alarm");
        match found.iter().find(|alarm| alarm.name == *name) {
            None => Verdict::warning(format!("The alarm {short} is gone, so nobody is told of what it watches."))
                .mend("Deploy the stack with MakeAlarms=false and then with MakeAlarms=true, which makes all of them anew."),
            Some(alarm) if alarm.state == "ALARM" => {
                let outcome = if CAN_WAIT.contains(&logical_id.as_str()) {
                    Outcome::Warning
                } else {
                    Outcome::Broken
                };
                Verdict::new(outcome, format!("The alarm {short} has gone off. {}", alarm.meaning))
                    .mend(format!("docs/troubleshooting.md, Alarms, {short}, says what to look at."))
            }
            Some(_) => Verdict::ok(""),
        }
    });
    if own.is_empty() {
        return Verdict::warning("The stack has no alarms.")
            .mend("Deploy the newest template, with MakeAlarms=true.");
    }
    let unknown = found
        .iter()
        .filter(|alarm| alarm.state == "INSUFFICIENT_DATA")
        .count();
    let verdict = Verdict::of(
        all.collect::<Vec<_>>(),
        format!("None of the {} alarms has gone off.", own.len()),
    );
    if unknown > 0 && verdict.outcome == Outcome::Ok {
        return verdict.noting(format!(
            "{unknown} of them have seen nothing yet, which is so while nothing happens."
        ));
    }
    verdict
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html>
async fn told(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.is_on("MakeAlarms") {
        return Ok(Verdict::does_not_apply(
            "The stack makes no alarms (MakeAlarms=false).",
        ));
    }
    let found = described(&ground, &own(&ground)?).await?;
    let topics: BTreeSet<&str> = found
        .iter()
        .flat_map(|alarm| &alarm.topics)
        .map(String::as_str)
        .collect();
    let muted = found.iter().filter(|alarm| !alarm.tells).count();
    let mut all = vec![judge_actions(topics.len(), muted, &ground)];
    for topic in topics.iter().filter(|topic| topic.contains(":sns:")) {
        all.push(
            match ground
                .asking
                .query(LIST_SUBSCRIPTIONS_BY_TOPIC, &[("TopicArn", topic)])
                .await
            {
                Ok(answer) => judge_topic(topic, &read_subscriptions(&answer)?),
                Err(failure) if failure.is_not_found() => Verdict::broken(format!(
                    "Alarms are sent to the topic {topic}, which there is not."
                ))
                .run(
                    "Deploy with another address.",
                    ground.deploy_with("AlarmEmail=<address>"),
                ),
                Err(failure) => failure.into(),
            },
        );
    }
    Ok(Verdict::of(
        all,
        "Alarms are sent to somebody who has confirmed it.",
    ))
}

fn judge_actions(topics: usize, muted: usize, ground: &Ground<'_>) -> Verdict {
    if topics == 0 {
        return Verdict::warning(
            "Nobody is told when an alarm goes off: AlarmEmail and AlarmTopicArn are empty.",
        )
        .run(
            "Have it mailed to somebody.",
            ground.deploy_with("AlarmEmail=<address>"),
        );
    }
    if muted > 0 {
        return Verdict::warning(format!(
            "The actions of {muted} alarms are turned off, so nobody is told of them."
        ))
        .mend("AWS console, CloudWatch, Alarms, choose them, Actions, Alarm actions, Enable.");
    }
    Verdict::ok("")
}

/// The state of each subscription: what receives it, and its ARN or what is in the ARN's place.
fn read_subscriptions(answer: &str) -> Result<Vec<(String, String)>, Failure> {
    read_xml(answer, |document| {
        let subscriptions = members(document.root(), "Subscriptions");
        subscriptions
            .map(|one| (child(one, "Protocol"), child(one, "SubscriptionArn")))
            .collect()
    })
}

fn judge_topic(topic: &str, subscriptions: &[(String, String)]) -> Verdict {
    let is_confirmed = |arn: &str| arn.starts_with("arn:");
    if subscriptions.iter().any(|(_, arn)| is_confirmed(arn)) {
        return Verdict::ok("");
    }
    if subscriptions.is_empty() {
        return Verdict::warning(format!(
            "Nobody is subscribed to the topic {topic} that alarms are sent to."
        ))
        .mend(format!(
            "AWS console, SNS, Topics, {topic}, Create subscription."
        ));
    }
    Verdict::warning(format!("Nobody who is subscribed to the topic {topic} has confirmed it, so nobody is told when an alarm goes off."))
        .mend("Confirm by the link in the mail AWS Notification - Subscription Confirmation. Where it is lost: AWS console, SNS, Subscriptions, the subscription, Request confirmation.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><DescribeAlarmsResult>
      <MetricAlarms>
        <member><AlarmName>cd-FailedStepsAlarm-1</AlarmName><StateValue>ALARM</StateValue><ActionsEnabled>true</ActionsEnabled>
          <AlarmDescription>There are contacts with a step that failed.</AlarmDescription>
          <AlarmActions><member>arn:aws:sns:us-east-1:123456789012:cd-AlarmTopic-1</member></AlarmActions></member>
        <member><AlarmName>cd-SecretEndingAlarm-1</AlarmName><StateValue>INSUFFICIENT_DATA</StateValue><AlarmActions/></member>
      </MetricAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>"#;

    fn own(names: &[&str]) -> Vec<(String, String)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), format!("cd-{name}-1")))
            .collect()
    }

    #[test]
    fn an_alarm_that_has_gone_off_is_told_of_with_its_meaning() {
        let alarms = read(ANSWER).unwrap();
        assert_eq!(
            alarms[0].topics,
            ["arn:aws:sns:us-east-1:123456789012:cd-AlarmTopic-1"]
        );
        let verdict = judge(&own(&["FailedStepsAlarm", "SecretEndingAlarm"]), &alarms);
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert_eq!(
            verdict.findings,
            ["The alarm FailedSteps has gone off. There are contacts with a step that failed."]
        );
        assert_eq!(
            judge(&own(&["SecretEndingAlarm"]), &alarms).outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge(&own(&["ErrorsAlarm"]), &alarms).outcome,
            Outcome::Warning
        );
        assert_eq!(judge(&[], &alarms).outcome, Outcome::Warning);
        let ending = Alarm {
            state: "ALARM".into(),
            ..alarms[1].clone()
        };
        assert_eq!(
            judge(&own(&["SecretEndingAlarm"]), &[ending]).outcome,
            Outcome::Warning
        );
    }

    #[test]
    fn somebody_must_have_confirmed_that_they_want_to_be_told() {
        let read = |arn: &str| {
            read_subscriptions(&format!(
                r#"<ListSubscriptionsByTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListSubscriptionsByTopicResult><Subscriptions>
                  <member><Protocol>email</Protocol><SubscriptionArn>{arn}</SubscriptionArn></member></Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"#
            ))
            .unwrap()
        };
        assert_eq!(
            judge_topic("t", &read("arn:aws:sns:us-east-1:1:t:2")).outcome,
            Outcome::Ok
        );
        assert_eq!(
            judge_topic("t", &read("PendingConfirmation")).outcome,
            Outcome::Warning
        );
        assert_eq!(judge_topic("t", &[]).outcome, Outcome::Warning);
    }
}
