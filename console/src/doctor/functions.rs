//! The functions, what starts them, and the schedule of redelivery.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::{
    Check, Failure, Ground, Verdict,
    calls::{
        GET_EVENT_SOURCE_MAPPING, GET_FUNCTION_CONCURRENCY, GET_FUNCTION_CONFIGURATION,
        GET_METRIC_STATISTICS, GET_SCHEDULE, child, members, read_xml,
    },
    stack::Resource,
};
use crate::aws::encoded;

/// The functions by their logical ids, and what each does.
const FUNCTIONS: [(&str, &str); 6] = [
    ("ContactStart", "creates records"),
    ("ContactAnswered", "finds the agent's page"),
    ("ContactEnd", "notes the end of contacts"),
    ("RecordingAvailable", "notes recordings"),
    ("ContactCompleted", "completes records"),
    ("Redelivery", "delivers what waits"),
];
/// The logical id that SAM gives the schedule.
const SCHEDULE: &str = "RedeliveryEveryMinute";
/// How far back runs are counted. The alarm RedeliveryStopped looks as far.
const RUNS_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// How long after a deployment a function's own time may lie.
const DEPLOYED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let mut checks = Vec::new();
    for (logical_id, does) in FUNCTIONS {
        checks.push(Check::of_stack(
            ground,
            format!("function:{logical_id}"),
            format!("The function {logical_id}, which {does}"),
            function(ground.clone(), logical_id),
        ));
    }
    for (logical_id, _) in FUNCTIONS.iter().filter(|(id, _)| *id != "Redelivery") {
        checks.push(Check::of_stack(
            ground,
            format!("trigger:{logical_id}"),
            format!("The trigger of {logical_id} by its queue"),
            trigger(ground.clone(), format!("{logical_id}FromQueue"), logical_id),
        ));
    }
    let records = {
        let ground = ground.clone();
        async move {
            if !ground.takes_contact_records() {
                return Ok(Verdict::does_not_apply(
                    "The stack reads no stream of contact records.",
                ));
            }
            trigger(ground, "ContactRecordsTrigger".into(), "ContactCompleted").await
        }
    };
    checks.push(Check::of_stack(
        ground,
        "trigger:ContactRecords",
        "The trigger of ContactCompleted by the stream",
        records,
    ));
    checks.push(Check::of_stack(
        ground,
        "schedule",
        "The schedule of redelivery",
        schedule(ground.clone()),
    ));
    checks.push(Check::of_stack(
        ground,
        "redelivery-runs",
        "Redelivery has run of late",
        runs(ground.clone()),
    ));
    checks
}

/// The configuration of a function of the stack.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>
pub(super) async fn configuration_of(
    ground: &Ground<'_>,
    logical_id: &str,
) -> Result<Json, Failure> {
    let name = encoded(ground.physical(logical_id)?);
    let path = format!("/2015-03-31/functions/{name}/configuration");
    ground
        .asking
        .rest(GET_FUNCTION_CONFIGURATION, &path, &[])
        .await
}

async fn function(ground: Arc<Ground<'_>>, logical_id: &str) -> Result<Verdict, Failure> {
    let told = match configuration_of(&ground, logical_id).await {
        Ok(told) => told,
        Err(failure) if failure.is_not_found() => {
            return Ok(Verdict::broken(format!("The function {logical_id} is gone."))
                .mend("Deploy the stack again under another name, or have CloudFormation make it anew: docs/troubleshooting.md, The stack."));
        }
        Err(failure) => return Err(failure),
    };
    let resources = ground.resources.as_ref().map_err(Clone::clone)?;
    let state = judge_function(logical_id, &told, resources.get(logical_id));
    let name = ground.physical(logical_id)?;
    // https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConcurrency.html
    let path = format!("/2019-09-30/functions/{}/concurrency", encoded(name));
    let reserved = match ground
        .asking
        .rest(GET_FUNCTION_CONCURRENCY, &path, &[])
        .await
    {
        Ok(told) => judge_concurrency(logical_id, name, &told, &ground.region_option()),
        Err(failure) => failure.into(),
    };
    Ok(Verdict::of(
        [state, reserved],
        format!("{logical_id} can be invoked."),
    ))
}

fn judge_function(logical_id: &str, told: &Json, resource: Option<&Resource>) -> Verdict {
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    let page = format!("AWS console, Lambda, Functions, {}", text("FunctionName"));
    let mut all = Vec::new();
    match text("State") {
        // A function that nobody has invoked for long rests, and wakes by itself.
        "" | "Active" | "Inactive" => {}
        state @ ("Pending" | "ActiveNonInvocable") => all.push(
            Verdict::warning(format!("{logical_id} is being made ready ({state})."))
                .mend("Wait a minute, and check again."),
        ),
        state => all.push(
            Verdict::broken(format!(
                "{logical_id} cannot be invoked: its state is {state}. {}",
                text("StateReason")
            ))
            .mend(format!(
                "{page}: it says what is wrong. Then deploy the stack again."
            )),
        ),
    }
    match text("LastUpdateStatus") {
        "" | "Successful" => {}
        "InProgress" => all.push(
            Verdict::warning(format!("{logical_id} is being changed."))
                .mend("Wait a minute, and check again."),
        ),
        _ => all.push(
            Verdict::broken(format!(
                "The last change of {logical_id} failed, so it runs as it was before. {}",
                text("LastUpdateStatusReason")
            ))
            .run(
                "Deploy the stack again.",
                "sam build && sam deploy --config-file samconfig.local.toml",
            ),
        ),
    }
    let deployed = resource.and_then(|resource| resource.changed_at);
    // Lambda writes the zone without a colon.
    let changed = text("LastModified").replace("+0000", "Z");
    let changed = changed.parse::<Timestamp>().ok();
    if let (Some(deployed), Some(changed)) = (deployed, changed)
        && changed.duration_since(deployed) > DEPLOYED_WITHIN
    {
        let at = changed.strftime("%Y-%m-%d %H:%M UTC");
        all.push(
            Verdict::warning(format!(
                "{logical_id} was changed at {at}, and not by the stack: its code or its settings may be others than the template's."
            ))
            .run(
                "If nobody knows why, see what differs, and deploy the stack again with a change to the function, such as another LogLevel.",
                format!(
                    "aws cloudformation detect-stack-resource-drift --stack-name <stack> --logical-resource-id {logical_id}"
                ),
            ),
        );
    }
    Verdict::of(all, format!("{logical_id} is active."))
}

fn judge_concurrency(logical_id: &str, name: &str, told: &Json, region: &str) -> Verdict {
    match told["ReservedConcurrentExecutions"].as_i64() {
        Some(0) => Verdict::broken(format!(
            "{logical_id} is switched off: its reserved concurrency is 0."
        ))
        .run(
            "Somebody has stopped it by hand. Let it run again.",
            format!("aws lambda delete-function-concurrency --function-name {name} {region}"),
        ),
        _ => Verdict::ok("It may run."),
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html>
async fn trigger(
    ground: Arc<Ground<'_>>,
    logical_id: String,
    function: &str,
) -> Result<Verdict, Failure> {
    let id = ground.physical(&logical_id)?;
    let path = format!("/2015-03-31/event-source-mappings/{}", encoded(id));
    match ground.asking.rest(GET_EVENT_SOURCE_MAPPING, &path, &[]).await {
        Ok(told) => Ok(judge_trigger(function, id, &told, &ground.region_option())),
        Err(failure) if failure.is_not_found() => Ok(Verdict::broken(format!(
            "{function} has lost its trigger, so nobody takes its events."
        ))
        .mend("Deploy the stack with another EventConcurrency, which makes CloudFormation look at it; docs/troubleshooting.md, The stack.")),
        Err(failure) => Err(failure),
    }
}

fn judge_trigger(function: &str, id: &str, told: &Json, region: &str) -> Verdict {
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    let state = text("State");
    let last = text("LastProcessingResult");
    match state {
        "Enabled" if last.starts_with("PROBLEM") => Verdict::warning(format!(
            "The trigger of {function} is enabled, and its last run had a problem: {last}"
        ))
        .mend(format!(
            "The function's log says why: `sam logs --stack-name <stack> --name {function}`."
        )),
        "Enabled" => Verdict::ok(format!("{function} takes what comes in.")),
        "Enabling" | "Updating" | "Creating" => Verdict::warning(format!(
            "The trigger of {function} is being made ready ({state})."
        ))
        .mend("Wait a minute, and check again."),
        _ => Verdict::broken(format!(
            "The trigger of {function} is {state}, so its events wait. {}",
            text("StateTransitionReason")
        ))
        .run(
            "Enable it.",
            format!("aws lambda update-event-source-mapping --uuid {id} --enabled {region}"),
        ),
    }
}

/// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_GetSchedule.html>
async fn schedule(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let name = ground.physical(SCHEDULE)?;
    // CloudFormation names one by its group, too.
    let name = name.rsplit(['|', '/']).next().unwrap_or(name);
    let path = format!("/schedules/{}", encoded(name));
    match ground.asking.rest(GET_SCHEDULE, &path, &[("groupName", "default")]).await {
        Ok(told) => Ok(judge_schedule(&told, name)),
        Err(failure) if failure.is_not_found() => Ok(Verdict::broken(
            "The schedule of redelivery is gone, so nothing that waits is delivered.",
        )
        .mend("AWS console, EventBridge, Scheduler, Schedules, Create schedule: rate(1 minute), target the stack's function Redelivery; or deploy the stack anew.")),
        Err(failure) => Err(failure),
    }
}

fn judge_schedule(told: &Json, name: &str) -> Verdict {
    let state = told["State"].as_str().unwrap_or_default();
    let rate = told["ScheduleExpression"].as_str().unwrap_or_default();
    if state == "DISABLED" {
        return Verdict::broken(
            "The schedule of redelivery is disabled, so nothing that waits is delivered.",
        )
        .mend(format!(
            "AWS console, EventBridge, Scheduler, Schedules, {name}, Enable."
        ));
    }
    if rate == "rate(1 minute)" {
        return Verdict::ok("Redelivery is scheduled each minute.");
    }
    Verdict::warning(format!("Redelivery is scheduled at {rate}, and not each minute as the template says: what waits is delivered later."))
        .mend(format!("AWS console, EventBridge, Scheduler, Schedules, {name}, Edit: rate(1 minute)."))
}

/// The sum of a metric over the last minutes; none where nothing was measured.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html>
pub(super) async fn metric(
    ground: &Ground<'_>,
    (namespace, name): (&str, &str),
    (dimension, value): (&str, &str),
    statistic: &str,
    within: SignedDuration,
) -> Result<Option<f64>, Failure> {
    let start = (ground.now - within)
        .strftime("%Y-%m-%dT%H:%M:00Z")
        .to_string();
    let end = ground.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let parameters = [
        ("Namespace", namespace),
        ("MetricName", name),
        ("Dimensions.member.1.Name", dimension),
        ("Dimensions.member.1.Value", value),
        ("StartTime", &start),
        ("EndTime", &end),
        ("Period", "60"),
        ("Statistics.member.1", statistic),
    ];
    let answer = ground
        .asking
        .query(GET_METRIC_STATISTICS, &parameters)
        .await?;
    read_points(&answer, statistic)
}

fn read_points(answer: &str, statistic: &str) -> Result<Option<f64>, Failure> {
    let points: Vec<f64> = read_xml(answer, |document| {
        members(document.root(), "Datapoints")
            .filter_map(|point| child(point, statistic).parse().ok())
            .collect()
    })?;
    Ok(match statistic {
        "Sum" => points.into_iter().reduce(|sum, point| sum + point),
        _ => points.into_iter().reduce(f64::max),
    })
}

async fn runs(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let name = ground.physical("Redelivery")?;
    let of = |metric_name| {
        let ground = ground.clone();
        async move {
            metric(
                &ground,
                ("AWS/Lambda", metric_name),
                ("FunctionName", name),
                "Sum",
                RUNS_WITHIN,
            )
            .await
        }
    };
    let (runs, errors) = (of("Invocations").await?, of("Errors").await?);
    let resources = ground.resources.as_ref().map_err(Clone::clone)?;
    let made_at = resources
        .get(SCHEDULE)
        .and_then(|schedule| schedule.changed_at);
    let is_new = made_at.is_some_and(|at| ground.now.duration_since(at) < RUNS_WITHIN);
    Ok(judge_runs(
        runs.unwrap_or_default(),
        errors.unwrap_or_default(),
        is_new,
    ))
}

fn judge_runs(runs: f64, errors: f64, is_new: bool) -> Verdict {
    let minutes = RUNS_WITHIN.as_mins();
    if runs < 1.0 && is_new {
        return Verdict::warning(
            "The schedule was made or changed minutes ago, and no run is measured yet.",
        )
        .mend(format!("Check again in {minutes} minutes."));
    }
    if runs < 1.0 {
        return Verdict::broken(format!(
            "Redelivery has not run for {minutes} minutes, so nothing that waits is delivered, and most alarms are blind."
        ))
        .mend("See what is said of the schedule and of the function Redelivery: the one is enabled, the other has no reserved concurrency of 0. AWS console, EventBridge, Scheduler, Schedules has the schedule.");
    }
    if errors >= runs {
        return Verdict::broken(format!(
            "Each run of redelivery in the last {minutes} minutes has failed."
        ))
        .mend("Its log says why: `sam logs --stack-name <stack> --name Redelivery`.");
    }
    if errors >= 1.0 {
        return Verdict::warning(format!(
            "Of {runs:.0} runs of redelivery in the last {minutes} minutes {errors:.0} have failed."
        ))
        .mend("Its log says why: `sam logs --stack-name <stack> --name Redelivery`.");
    }
    Verdict::ok(format!(
        "Redelivery has run {runs:.0} times in the last {minutes} minutes."
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_function_must_be_active_and_as_the_stack_has_left_it() {
        let good = json!({"FunctionName": "f", "State": "Active", "LastUpdateStatus": "Successful", "LastModified": "2026-02-04T21:14:16.000+0000"});
        let resource = Resource::for_test("ContactStart", "2026-02-04T21:14:30Z");
        let judged = |change: Json| {
            let mut told = good.clone();
            for (name, value) in change.as_object().unwrap() {
                told[name] = value.clone();
            }
            judge_function("ContactStart", &told, Some(&resource)).outcome
        };
        assert_eq!(judged(json!({})), Outcome::Ok);
        assert_eq!(judged(json!({"State": "Inactive"})), Outcome::Ok);
        assert_eq!(judged(json!({"State": "Pending"})), Outcome::Warning);
        assert_eq!(judged(json!({"State": "Failed"})), Outcome::Broken);
        assert_eq!(
            judged(json!({"LastUpdateStatus": "Failed"})),
            Outcome::Broken
        );
        assert_eq!(
            judged(json!({"LastModified": "2026-02-05T09:00:00.000+0000"})),
            Outcome::Warning
        );
    }

    #[test]
    fn a_reserved_concurrency_of_0_switches_a_function_off() {
        let judged = |told: Json| judge_concurrency("ContactEnd", "f", &told, "").outcome;
        assert_eq!(judged(json!({})), Outcome::Ok);
        assert_eq!(
            judged(json!({"ReservedConcurrentExecutions": 10})),
            Outcome::Ok
        );
        assert_eq!(
            judged(json!({"ReservedConcurrentExecutions": 0})),
            Outcome::Broken
        );
    }

    #[test]
    fn a_trigger_must_be_enabled_and_its_last_run_good() {
        let judged = |told: Json| judge_trigger("ContactEnd", "id", &told, "").outcome;
        assert_eq!(judged(json!({"State": "Enabled"})), Outcome::Ok);
        assert_eq!(
            judged(json!({"State": "Enabled", "LastProcessingResult": "OK"})),
            Outcome::Ok
        );
        assert_eq!(
            judged(
                json!({"State": "Enabled", "LastProcessingResult": "PROBLEM: Function call failed"})
            ),
            Outcome::Warning
        );
        assert_eq!(
            judged(json!({"State": "Disabled", "StateTransitionReason": "USER_INITIATED"})),
            Outcome::Broken
        );
    }

    #[test]
    fn redelivery_is_scheduled_each_minute_and_runs() {
        let schedule = |state, rate| {
            judge_schedule(&json!({"State": state, "ScheduleExpression": rate}), "s").outcome
        };
        assert_eq!(schedule("ENABLED", "rate(1 minute)"), Outcome::Ok);
        assert_eq!(schedule("ENABLED", "rate(1 hour)"), Outcome::Warning);
        assert_eq!(schedule("DISABLED", "rate(1 minute)"), Outcome::Broken);
        for (runs, errors, is_new, expected) in [
            (14.0, 0.0, false, Outcome::Ok),
            (14.0, 2.0, false, Outcome::Warning),
            (14.0, 14.0, false, Outcome::Broken),
            (0.0, 0.0, false, Outcome::Broken),
            (0.0, 0.0, true, Outcome::Warning),
        ] {
            assert_eq!(
                judge_runs(runs, errors, is_new).outcome,
                expected,
                "{runs} {errors}"
            );
        }
    }

    #[test]
    fn what_was_measured_is_summed() {
        let answer = r#"<GetMetricStatisticsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><GetMetricStatisticsResult>
          <Datapoints><member><Timestamp>2026-02-04T21:14:00Z</Timestamp><Sum>1.0</Sum></member>
          <member><Sum>2.0</Sum></member></Datapoints><Label>Invocations</Label></GetMetricStatisticsResult></GetMetricStatisticsResponse>"#;
        assert_eq!(read_points(answer, "Sum").unwrap(), Some(3.0));
        assert_eq!(read_points("<a><Datapoints/></a>", "Sum").unwrap(), None);
    }
}
