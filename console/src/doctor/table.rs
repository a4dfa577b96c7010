//! The table: that it is as the template makes it.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{
    Check, Failure, Ground, Verdict,
    calls::{DESCRIBE_CONTINUOUS_BACKUPS, DESCRIBE_TABLE, DESCRIBE_TIME_TO_LIVE},
};

/// The indexes, and what is not possible without each.
const DUE: &str = "due";
const RECENT: &str = "recent";
/// The attribute by which items are deleted.
const EXPIRES: &str = "expiresAt";

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let table = {
        let ground = ground.clone();
        async move { table(&ground).await.unwrap_or_else(Verdict::from) }
    };
    vec![
        Check::new("table", "The table and its indexes", table),
        Check::of_stack(
            ground,
            "table-time-to-live",
            "Old contacts are deleted",
            time_to_live(ground.clone()),
        ),
        Check::of_stack(
            ground,
            "table-recovery",
            "The table can be restored",
            recovery(ground.clone()),
        ),
    ]
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html>
async fn table(ground: &Ground<'_>) -> Result<Verdict, Failure> {
    let name = &ground.deployment.table;
    let answer = ground
        .asking
        .json(DESCRIBE_TABLE, json!({"TableName": name}));
    match answer.await {
        Ok(answer) => Ok(judge(name, &answer["Table"], ground.deployment.is_local())),
        Err(failure) if failure.is_not_found() => Ok(Verdict::broken(format!(
            "There is no table `{name}`, so nothing can be stored: events wait in their queues for two days."
        ))
        .mend("Restore it from a backup under the same name: AWS console, DynamoDB, Backups, or Point-in-time recovery of the deleted table.")
        .mend("If it is gone for good, deploy the stack anew; docs/outages.md says what becomes of events meanwhile.")),
        Err(failure) => Err(failure),
    }
}

fn judge(name: &str, table: &Json, is_local: bool) -> Verdict {
    let status = table["TableStatus"].as_str().unwrap_or("unknown");
    let indexes = table["GlobalSecondaryIndexes"].as_array();
    let index = |name: &str| {
        let mut indexes = indexes.into_iter().flatten();
        let index = indexes.find(|index| index["IndexName"] == name)?;
        Some(index["IndexStatus"].as_str().unwrap_or("ACTIVE").to_owned())
    };
    let newest = |verdict: Verdict| {
        if is_local {
            verdict.mend("Start the local system of the newest version again.")
        } else {
            verdict.run(
                "Deploy the newest template. Where the stack was given its table (TableName), make the index by hand.",
                "sam build && sam deploy --config-file samconfig.local.toml",
            )
        }
    };
    let mut all = Vec::new();
    match status {
        "ACTIVE" => {}
        "UPDATING" => all.push(
            Verdict::warning(format!("The table `{name}` is being changed (UPDATING). It can be used meanwhile."))
                .mend("Wait some minutes, and check again."),
        ),
        _ => all.push(
            Verdict::broken(format!("The table `{name}` cannot be used: its state is {status}."))
                .mend(format!("AWS console, DynamoDB, Tables, {name}: it says what is wrong, such as a KMS key that cannot be used.")),
        ),
    }
    match index(DUE).as_deref() {
        Some("ACTIVE") => {}
        Some(status) => all.push(
            Verdict::broken(format!(
                "The index `{DUE}` is {status}, so nothing that waits is delivered."
            ))
            .mend("Wait until it is ACTIVE, and check again."),
        ),
        None => all.push(newest(Verdict::broken(format!(
            "The table `{name}` has no index `{DUE}`, so nothing that waits is delivered."
        )))),
    }
    match index(RECENT).as_deref() {
        Some("ACTIVE") => {}
        Some(status) => all.push(
            Verdict::warning(format!("The index `{RECENT}` is {status}, so contacts cannot be searched yet."))
                .mend("Wait until it is ACTIVE, and check again."),
        ),
        None => all.push(newest(Verdict::warning(format!(
            "The table `{name}` has no index `{RECENT}`, as the stack is of an earlier version: contacts that are done cannot be listed."
        )))),
    }
    Verdict::of(
        all,
        format!("The table `{name}` is there, with its indexes."),
    )
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html>
async fn time_to_live(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let name = &ground.deployment.table;
    let answer = ground
        .asking
        .json(DESCRIBE_TIME_TO_LIVE, json!({"TableName": name}));
    let answer = answer.await?;
    Ok(judge_time_to_live(
        name,
        &answer["TimeToLiveDescription"],
        &ground.region_option(),
    ))
}

fn judge_time_to_live(table: &str, told: &Json, region: &str) -> Verdict {
    let status = told["TimeToLiveStatus"].as_str().unwrap_or_default();
    let attribute = told["AttributeName"].as_str().unwrap_or_default();
    if matches!(status, "ENABLED" | "ENABLING") && attribute == EXPIRES {
        return Verdict::ok(format!(
            "Items are deleted when their time (`{EXPIRES}`) has come."
        ));
    }
    if matches!(status, "ENABLED" | "ENABLING") {
        return Verdict::warning(format!(
            "Items are deleted by the attribute `{attribute}`, which they do not have: contacts' data is kept for ever."
        ))
        .mend(format!("AWS console, DynamoDB, Tables, {table}, Additional settings, Time to Live (TTL): turn it off, and on again an hour later with the attribute {EXPIRES}."));
    }
    Verdict::warning("Nothing deletes old items: contacts' data is kept for longer than `retentionDays`.").run(
        "Turn it on. DynamoDB deletes nothing that still waits, as such items have no such time.",
        format!(
            "aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification Enabled=true,AttributeName={EXPIRES} {region}"
        ),
    )
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html>
async fn recovery(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let name = &ground.deployment.table;
    let answer = ground
        .asking
        .json(DESCRIBE_CONTINUOUS_BACKUPS, json!({"TableName": name}));
    let answer = answer.await?;
    Ok(judge_recovery(
        name,
        &answer["ContinuousBackupsDescription"],
        &ground.region_option(),
    ))
}

fn judge_recovery(table: &str, told: &Json, region: &str) -> Verdict {
    if told["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED" {
        return Verdict::ok("The table can be restored to any second of the last days.");
    }
    Verdict::warning("Point-in-time recovery is off: configurations and contacts that somebody deletes are gone.").run(
        "Turn it on. It costs some cents a month for each gigabyte.",
        format!(
            "aws dynamodb update-continuous-backups --table-name {table} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true {region}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn index(name: &str, status: &str) -> Json {
        json!({"IndexName": name, "IndexStatus": status})
    }

    #[test]
    fn a_table_wants_to_be_active_with_both_indexes() {
        for (status, indexes, expected, text) in [
            (
                "ACTIVE",
                json!([index("due", "ACTIVE"), index("recent", "ACTIVE")]),
                Outcome::Ok,
                "is there",
            ),
            (
                "ACTIVE",
                json!([index("due", "ACTIVE")]),
                Outcome::Warning,
                "`recent`",
            ),
            (
                "ACTIVE",
                json!([index("due", "ACTIVE"), index("recent", "CREATING")]),
                Outcome::Warning,
                "CREATING",
            ),
            (
                "ACTIVE",
                json!([index("recent", "ACTIVE")]),
                Outcome::Broken,
                "`due`",
            ),
            ("ACTIVE", json!(null), Outcome::Broken, "`due`"),
            (
                "UPDATING",
                json!([index("due", "ACTIVE"), index("recent", "ACTIVE")]),
                Outcome::Warning,
                "UPDATING",
            ),
            (
                "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
                json!([index("due", "ACTIVE"), index("recent", "ACTIVE")]),
                Outcome::Broken,
                "INACCESSIBLE",
            ),
        ] {
            let verdict = judge(
                "t",
                &json!({"TableStatus": status, "GlobalSecondaryIndexes": indexes}),
                false,
            );
            assert_eq!(verdict.outcome, expected, "{verdict:?}");
            assert!(verdict.findings[0].contains(text), "{verdict:?}");
            assert_eq!(
                verdict.what_to_do.is_empty(),
                expected == Outcome::Ok,
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn deletion_goes_by_the_attribute_that_items_have() {
        for (told, expected) in [
            (
                json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}),
                Outcome::Ok,
            ),
            (
                json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}),
                Outcome::Warning,
            ),
            (json!({"TimeToLiveStatus": "DISABLED"}), Outcome::Warning),
        ] {
            let verdict = judge_time_to_live("t", &told, "--region us-east-1");
            assert_eq!(verdict.outcome, expected, "{told}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_restored_is_told_of_with_the_command() {
        let status = |status: &str| json!({"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": status}});
        assert_eq!(
            judge_recovery("t", &status("ENABLED"), "").outcome,
            Outcome::Ok
        );
        let verdict = judge_recovery("t", &status("DISABLED"), "--region us-east-1");
        assert_eq!(verdict.outcome, Outcome::Warning);
        let command = verdict.what_to_do[0].command.as_deref().unwrap();
        assert!(
            command.contains("--table-name t") && command.ends_with("us-east-1"),
            "{command}"
        );
    }
}
