//! Where the Amazon Connect instance stores recordings and the like, and whether its buckets tell of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value as Json;

use super::{
    Check, Failure, Ground, Verdict,
    calls::{GET_BUCKET_NOTIFICATION, LIST_INSTANCE_STORAGE_CONFIGS, read_xml},
    functions::configuration_of,
    instance::instance_id,
};
use crate::aws::{AwsError, encoded};

/// What an instance stores: the API's resource types, and what the functions call the objects. As in
/// `functions/recording-storage`, which learns it at the deployment.
const KINDS: [(&str, &str, &str); 5] = [
    ("CALL_RECORDINGS", "recording", "call recordings"),
    ("CHAT_TRANSCRIPTS", "transcript", "chat transcripts"),
    ("ATTACHMENTS", "attachment", "attachments"),
    ("SCREEN_RECORDINGS", "screen-recording", "screen recordings"),
    ("EMAIL_MESSAGES", "email-message", "e-mails"),
];

/// A bucket and what the keys begin with, by the kind of the objects.
type Places = BTreeMap<String, (String, String)>;

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    vec![
        Check::of_stack(
            ground,
            "storage",
            "The functions know where the instance stores",
            storage(ground.clone()),
        ),
        Check::of_stack(
            ground,
            "bucket-events",
            "The buckets tell of new recordings",
            bucket_events(ground.clone()),
        ),
    ]
}

/// What the functions were told at the last deployment.
async fn told(ground: &Ground<'_>) -> Result<Places, Failure> {
    let configuration = configuration_of(ground, "RecordingAvailable").await?;
    let folders = &configuration["Environment"]["Variables"]["RECORDING_FOLDERS"];
    read_folders(folders.as_str().unwrap_or("{}"))
}

fn read_folders(folders: &str) -> Result<Places, Failure> {
    let folders: BTreeMap<String, Json> = serde_json::from_str(folders)
        .map_err(|error| Failure::Unreadable(format!("RECORDING_FOLDERS: {error}")))?;
    let text = |folder: &Json, name: &str| folder[name].as_str().unwrap_or_default().to_owned();
    let places = folders.iter().map(|(kind, folder)| {
        (
            kind.clone(),
            (text(folder, "bucket"), text(folder, "prefix")),
        )
    });
    Ok(places.collect())
}

/// What Amazon Connect says now.
/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_ListInstanceStorageConfigs.html>
async fn now(ground: &Ground<'_>) -> Result<Places, Failure> {
    let mut places = Places::new();
    // One after the other: Amazon Connect takes few requests at a time.
    for (resource, kind, _) in KINDS {
        let configs = match storage_configs(ground, resource).await {
            Ok(configs) => configs,
            // The region does not know it.
            Err(Failure::Aws {
                error: AwsError::Refused { status: 400, .. },
                ..
            }) => continue,
            Err(failure) => return Err(failure),
        };
        let in_s3 = configs.iter().find(|config| config["StorageType"] == "S3");
        if let Some(config) = in_s3 {
            places.insert(
                kind.to_owned(),
                read_place(config, ground.parameter("RecordingBucket")),
            );
        }
    }
    Ok(places)
}

/// Where the instance stores one kind of resource.
pub(super) async fn storage_configs(
    ground: &Ground<'_>,
    resource: &str,
) -> Result<Vec<Json>, Failure> {
    let path = format!("/instance/{}/storage-configs", encoded(instance_id(ground)));
    ground
        .asking
        .pages(
            LIST_INSTANCE_STORAGE_CONFIGS,
            &path,
            &[("resourceType", resource)],
            "StorageConfigs",
        )
        .await
}

/// A place, as the functions are told it. `named` is the bucket that the customer names in place of all.
fn read_place(config: &Json, named: &str) -> (String, String) {
    let text = |name: &str| config["S3Config"][name].as_str().unwrap_or_default();
    let bucket = if named.is_empty() {
        text("BucketName")
    } else {
        named
    };
    let prefix = format!("{}/", text("BucketPrefix").trim_end_matches('/'));
    (bucket.to_owned(), prefix)
}

async fn storage(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.is_on("TakeRecordings") {
        return Ok(Verdict::does_not_apply(
            "The stack takes no recordings (TakeRecordings=false).",
        ));
    }
    let (told, now) = (told(&ground).await?, now(&ground).await?);
    let command = ground.deploy_with(&format!(
        "StorageChange={}",
        another(ground.parameter("StorageChange"))
    ));
    Ok(judge(&told, &now, &command))
}

/// Another text than the parameter has.
fn another(change: &str) -> String {
    match change.parse::<u32>() {
        Ok(number) => number.saturating_add(1).to_string(),
        Err(_) => format!("{change}-2"),
    }
}

fn judge(told: &Places, now: &Places, command: &str) -> Verdict {
    let place = |places: &Places, kind: &str| {
        let place = places.get(kind);
        place.map(|(bucket, prefix)| format!("{bucket}/{prefix}"))
    };
    let changes = KINDS.iter().filter_map(|(_, kind, name)| {
        let finding = match (place(told, kind), place(now, kind)) {
            (before, now) if before == now => return None,
            (None, Some(now)) => {
                format!("The instance stores {name} in {now} now, which the functions do not know.")
            }
            (Some(before), None) => format!(
                "The instance stores no {name} any more; the functions look for them in {before}."
            ),
            (Some(before), Some(now)) => format!(
                "The instance stores {name} in {now} now; the functions look for them in {before}."
            ),
            (None, None) => return None,
        };
        let verdict = Verdict::warning(finding);
        Some(verdict.run("Have the stack ask Amazon Connect again.", command))
    });
    Verdict::of(
        changes.collect::<Vec<_>>(),
        format!(
            "The functions know where the instance stores: {}.",
            listed(told)
        ),
    )
}

fn listed(places: &Places) -> String {
    let buckets: BTreeSet<&str> = places.values().map(|(bucket, _)| bucket.as_str()).collect();
    if buckets.is_empty() {
        return "nowhere".into();
    }
    Vec::from_iter(buckets).join(", ")
}

async fn bucket_events(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    if !ground.is_on("TakeRecordings") {
        return Ok(Verdict::does_not_apply(
            "The stack takes no recordings (TakeRecordings=false).",
        ));
    }
    // Those of now as well: a new one must be switched on, too. Who may not ask Amazon Connect sees the others.
    let mut places: Vec<(String, String)> = told(&ground).await?.into_values().collect();
    places.extend(now(&ground).await.unwrap_or_default().into_values());
    let mut buckets: BTreeSet<String> = places.into_iter().map(|(bucket, _)| bucket).collect();
    let named = ground.parameter("RecordingBucket");
    if !named.is_empty() {
        buckets.insert(named.to_owned());
    }
    let mut all = Vec::new();
    for bucket in &buckets {
        all.push(bucket_verdict(&ground, bucket).await);
    }
    if all.is_empty() {
        return Ok(Verdict::warning("No bucket is known that the instance stores in.")
            .mend("AWS console, Amazon Connect, your instance, Data storage: turn Call recordings on, and deploy with another StorageChange."));
    }
    let buckets = Vec::from_iter(buckets).join(", ");
    Ok(Verdict::of(
        all,
        format!("EventBridge is told what is stored in {buckets}."),
    ))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketNotificationConfiguration.html>
async fn bucket_verdict(ground: &Ground<'_>, bucket: &str) -> Verdict {
    let path = format!("/{bucket}");
    let answer = ground
        .asking
        .xml(GET_BUCKET_NOTIFICATION, &path, &[("notification", "")]);
    match answer.await.and_then(|answer| judge_bucket(bucket, &answer)) {
        Ok(verdict) => verdict,
        Err(failure) if failure.is_not_found() => Verdict::broken(format!("There is no bucket {bucket}."))
            .mend("AWS console, Amazon Connect, your instance, Data storage: choose a bucket that there is, and deploy with another StorageChange."),
        Err(Failure::Aws { error: AwsError::Refused { status: 301, .. }, .. }) => {
            Verdict::broken(format!("The bucket {bucket} is of another region, and its events come to EventBridge there only."))
                .mend("AWS console, Amazon Connect, your instance, Data storage: choose a bucket of the stack's region, and deploy with another StorageChange.")
        }
        Err(failure) => failure.into(),
    }
}

fn judge_bucket(bucket: &str, answer: &str) -> Result<Verdict, Failure> {
    let is_on = read_xml(answer, |document| {
        let mut nodes = document.descendants();
        nodes.any(|node| node.tag_name().name() == "EventBridgeConfiguration")
    })?;
    if is_on {
        return Ok(Verdict::ok("It tells EventBridge."));
    }
    Ok(Verdict::broken(format!(
        "The bucket {bucket} sends no events to EventBridge, so no recording that is stored there is noted."
    ))
    .mend(format!(
        "AWS console, S3, Buckets, {bucket}, Properties, Amazon EventBridge, Edit: On. Other notifications of the bucket stay as they are."
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    fn config(bucket: &str, prefix: &str) -> Json {
        json!({"AssociationId": "1", "StorageType": "S3", "S3Config": {"BucketName": bucket, "BucketPrefix": prefix}})
    }

    #[test]
    fn what_the_functions_were_told_is_compared_with_what_is_so_now() {
        let told = read_folders(
            r#"{"recording": {"bucket": "b", "prefix": "connect/x/CallRecordings/"}}"#,
        )
        .unwrap();
        let of = |place: (String, String)| Places::from([("recording".to_owned(), place)]);
        let same = of(read_place(&config("b", "connect/x/CallRecordings"), ""));
        assert_eq!(judge(&told, &same, "").outcome, Outcome::Ok);
        let moved = of(read_place(&config("c", "connect/x/CallRecordings"), ""));
        let verdict = judge(&told, &moved, "sam deploy");
        assert_eq!(verdict.outcome, Outcome::Warning);
        assert!(
            verdict.findings[0].contains("call recordings in c/"),
            "{verdict:?}"
        );
        assert_eq!(verdict.what_to_do[0].command.as_deref(), Some("sam deploy"));
        // A bucket that the customer names stands for all.
        let named = of(read_place(&config("c", "connect/x/CallRecordings/"), "b"));
        assert_eq!(judge(&told, &named, "").outcome, Outcome::Ok);
        assert_eq!(judge(&told, &Places::new(), "").outcome, Outcome::Warning);
        assert_eq!(judge(&Places::new(), &moved, "").outcome, Outcome::Warning);
    }

    #[test]
    fn a_parameter_is_changed_to_another_text() {
        for (change, expected) in [("1", "2"), ("9", "10"), ("x", "x-2")] {
            assert_eq!(another(change), expected);
        }
    }

    #[test]
    fn a_bucket_must_tell_eventbridge() {
        let on = r#"<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EventBridgeConfiguration/></NotificationConfiguration>"#;
        let off = r#"<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><QueueConfiguration/></NotificationConfiguration>"#;
        assert_eq!(judge_bucket("b", on).unwrap().outcome, Outcome::Ok);
        let verdict = judge_bucket("b", off).unwrap();
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(
            verdict.what_to_do[0]
                .text
                .contains("b, Properties, Amazon EventBridge"),
            "{verdict:?}"
        );
    }
}
