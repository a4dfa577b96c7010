//! Where the Amazon Connect instance stores recordings, transcripts and files, as Amazon Connect tells.
//!
//! It asks the API `ListInstanceStorageConfigs`, once for each kind, by a request that it signs itself: the
//! SDK's client of Amazon Connect has hundreds of operations, and this is one.
//!
//! <https://docs.aws.amazon.com/connect/latest/APIReference/API_ListInstanceStorageConfigs.html>

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use backon::{ExponentialBuilder, Retryable};
use connect_dynamics::{
    cause,
    recording::{Folder, Folders, ObjectKind},
};
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

/// What an instance stores: the API's resource type, the attributes' first word, and the kind of the objects.
const RESOURCES: [(&str, &str, ObjectKind); 5] = [
    (RECORDINGS, "Recordings", ObjectKind::Recording),
    (TRANSCRIPTS, "Transcripts", ObjectKind::Transcript),
    ("ATTACHMENTS", "Attachments", ObjectKind::Attachment),
    (
        "SCREEN_RECORDINGS",
        "ScreenRecordings",
        ObjectKind::ScreenRecording,
    ),
    (EMAILS, "EmailMessages", ObjectKind::EmailMessage),
];
const RECORDINGS: &str = "CALL_RECORDINGS";
const TRANSCRIPTS: &str = "CHAT_TRANSCRIPTS";
const EMAILS: &str = "EMAIL_MESSAGES";

/// A name that no bucket can have, for what is stored in none. Rules and policies of the template name
/// buckets by attributes, and an attribute must have a value.
const NO_BUCKET: &str = "no-bucket-";
/// A prefix for what is stored in no bucket.
const NO_PREFIX: &str = "not-stored/";

/// An instance, by its ARN.
#[derive(Debug, PartialEq)]
pub(crate) struct Instance<'a> {
    pub(crate) arn: &'a str,
    partition: &'a str,
    pub(crate) region: &'a str,
    account: &'a str,
    id: &'a str,
}

impl<'a> Instance<'a> {
    /// Takes an ARN apart: `arn:aws:connect:<region>:<account>:instance/<id>`.
    pub(crate) fn parse(arn: &'a str) -> Option<Instance<'a>> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, partition, "connect", region, account, resource] = parts[..] else {
            return None;
        };
        let id = resource.strip_prefix("instance/")?;
        Some(Instance {
            arn,
            partition,
            region,
            account,
            id,
        })
    }
}

/// What keeps the storage from being learnt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "there is no Amazon Connect instance {instance}: {why}. Correct InstanceArn; it stands in the AWS \
         console, Amazon Connect, your instance, Overview"
    )]
    NoInstance { instance: String, why: String },
    #[error(
        "this stack may not ask where the Amazon Connect instance {instance} stores its recordings: {why}. Its \
         role allows connect:ListInstanceStorageConfigs, so a permissions boundary or a policy of the \
         organisation denies it; let that allow it too"
    )]
    Denied { instance: String, why: String },
    #[error(
        "Amazon Connect does not tell where the instance {instance} stores its objects ({resource}): {why}. \
         Deploy again; if that does not help, ask AWS with the words above"
    )]
    NoAnswer {
        instance: String,
        resource: &'static str,
        why: String,
    },
    #[error(
        "the Amazon Connect instance {0} stores no call recordings in S3. In the AWS console, Amazon Connect, \
         your instance, Data storage, turn Call recordings on, and deploy again. If it is to have none, deploy \
         with RecordingBucket, the bucket of what it does store"
    )]
    NoRecordings(String),
    #[error(
        "the Amazon Connect instance {instance} stores objects ({resource}) under {prefix}. A rule or a policy \
         would take that for more than this folder. Give it a prefix without *, ? and $ in the AWS console, \
         Amazon Connect, your instance, Data storage, and deploy again"
    )]
    OddPrefix {
        instance: String,
        resource: &'static str,
        prefix: String,
    },
}

/// Where the instance stores one kind.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    bucket: String,
    /// It ends with `/`.
    prefix: String,
    /// The KMS key's ARN, where there is one.
    key: Option<String>,
}

/// Where the instance stores what.
#[derive(Debug, PartialEq)]
pub(crate) struct Storage {
    places: HashMap<&'static str, Place>,
    /// The bucket of the calls' recordings, or the one that the customer names.
    main_bucket: String,
    /// A key that encrypts nothing.
    no_key: String,
}

impl Storage {
    /// The buckets, each once.
    pub(crate) fn buckets(&self) -> BTreeSet<&str> {
        let buckets = self.places.values().map(|place| place.bucket.as_str());
        buckets.chain([self.main_bucket.as_str()]).collect()
    }

    /// What the template reads by `Fn::GetAtt`. All are texts; those of what is not stored match nothing.
    ///
    /// | attribute | what |
    /// |---|---|
    /// | `BucketName` | the bucket of the calls' recordings, or the one that the customer names |
    /// | `Buckets` | all buckets, with commas between them |
    /// | `RecordingsBucket`, `RecordingsPrefix` and so on for each of [`RESOURCES`] | the bucket, and what the keys begin with |
    /// | `ChatAnalysesBucket`, `EmailAnalysesBucket` | where Contact Lens writes the analyses of chats and e-mails, if not to `BucketName` |
    /// | `KeyArn`, `TranscriptsKeyArn`, `EmailMessagesKeyArn` | the KMS key of recordings, of transcripts and of e-mails |
    /// | `Folders` | for the functions: where is what, as `Folders` reads it |
    pub(crate) fn attributes(&self) -> HashMap<String, String> {
        let mut attributes = HashMap::new();
        for (resource, name, _) in RESOURCES {
            let place = self.places.get(resource);
            let bucket = place.map_or(NO_BUCKET, |place| &place.bucket);
            let prefix = place.map_or(NO_PREFIX, |place| &place.prefix);
            attributes.insert(format!("{name}Bucket"), bucket.to_owned());
            attributes.insert(format!("{name}Prefix"), prefix.to_owned());
        }
        // A rule that named a bucket's folder twice might not be taken.
        let mut named = BTreeSet::from([self.main_bucket.as_str()]);
        for (resource, name) in [
            (TRANSCRIPTS, "ChatAnalysesBucket"),
            (EMAILS, "EmailAnalysesBucket"),
        ] {
            let bucket = self.places.get(resource).map(|place| place.bucket.as_str());
            let bucket = bucket.filter(|bucket| named.insert(bucket));
            attributes.insert(name.into(), bucket.unwrap_or(NO_BUCKET).to_owned());
        }
        for (resource, name) in [
            (RECORDINGS, "KeyArn"),
            (TRANSCRIPTS, "TranscriptsKeyArn"),
            (EMAILS, "EmailMessagesKeyArn"),
        ] {
            let key = self
                .places
                .get(resource)
                .and_then(|place| place.key.as_ref());
            attributes.insert(name.into(), key.unwrap_or(&self.no_key).clone());
        }
        attributes.insert("BucketName".into(), self.main_bucket.clone());
        let buckets: Vec<&str> = self.buckets().into_iter().collect();
        attributes.insert("Buckets".into(), buckets.join(","));
        attributes.insert("Folders".into(), self.folders());
        attributes
    }

    fn folders(&self) -> String {
        let folders: Folders = RESOURCES
            .into_iter()
            .filter_map(|(resource, _, kind)| {
                let Place { bucket, prefix, .. } = self.places.get(resource)?.clone();
                Some((kind, Folder { bucket, prefix }))
            })
            .collect();
        serde_json::to_string(&folders).expect("kinds, buckets and prefixes are texts")
    }
}

/// A page of the API's answer. Other members are of no use here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    storage_configs: Vec<Config>,
    next_token: Option<String>,
}

/// <https://docs.aws.amazon.com/connect/latest/APIReference/API_InstanceStorageConfig.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    /// `S3`, or one of Kinesis' three.
    storage_type: String,
    s3_config: Option<S3Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Config {
    bucket_name: String,
    bucket_prefix: String,
    encryption_config: Option<EncryptionConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptionConfig {
    key_id: String,
}

/// Why a request came to nothing.
#[derive(Debug)]
struct Refusal {
    /// None when there was no answer.
    status: Option<StatusCode>,
    why: String,
}

impl Refusal {
    fn unanswered(why: impl ToString) -> Refusal {
        Refusal {
            status: None,
            why: why.to_string(),
        }
    }

    /// Whether it may be over in some seconds. That holds for a denial too: a role that was made seconds ago
    /// may not be known everywhere yet.
    fn may_pass(&self) -> bool {
        self.status.is_none_or(|status| {
            status.is_server_error()
                || matches!(
                    status,
                    StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
                )
        })
    }
}

/// Amazon Connect's API.
#[derive(Debug)]
pub(crate) struct Connect {
    http: reqwest::Client,
    config: SdkConfig,
    endpoint: Url,
    backoff: ExponentialBuilder,
}

/// Half a minute in all.
pub(crate) const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(1))
    .with_max_times(5);

impl Connect {
    pub(crate) fn new(
        http: reqwest::Client,
        config: SdkConfig,
        endpoint: Url,
        backoff: ExponentialBuilder,
    ) -> Connect {
        Connect {
            http,
            config,
            endpoint,
            backoff,
        }
    }

    /// Asks where the instance stores each kind. `bucket` is the one that the customer names in place of
    /// those that Amazon Connect tells.
    ///
    /// # Errors
    /// When Amazon Connect does not tell, or the instance stores no recordings and the customer names no
    /// bucket.
    pub(crate) async fn storage(
        &self,
        instance: &Instance<'_>,
        bucket: Option<&str>,
    ) -> Result<Storage, Error> {
        let mut places = HashMap::new();
        // One after the other: Amazon Connect takes few requests at a time. Recordings are the first, so that
        // what is wrong with the instance is told by a kind that every region knows.
        for (resource, ..) in RESOURCES {
            if let Some(place) = self.place(instance, resource, bucket).await? {
                tracing::info!(resource, ?place, "the instance stores these");
                places.insert(resource, place);
            }
        }
        let recordings = places.get(RECORDINGS).map(|place| place.bucket.clone());
        let main_bucket = bucket
            .map(str::to_owned)
            .or(recordings)
            .ok_or_else(|| Error::NoRecordings(instance.arn.to_owned()))?;
        Ok(Storage {
            places,
            main_bucket,
            no_key: instance.key_arn("none"),
        })
    }

    async fn place(
        &self,
        instance: &Instance<'_>,
        resource: &'static str,
        named: Option<&str>,
    ) -> Result<Option<Place>, Error> {
        let Some(found) = self.first_in_s3(instance, resource).await? else {
            return Ok(None);
        };
        let prefix = format!("{}/", found.bucket_prefix.trim_end_matches('/'));
        if prefix.contains(['*', '?', '$']) {
            return Err(Error::OddPrefix {
                instance: instance.arn.to_owned(),
                resource,
                prefix,
            });
        }
        let key = found.encryption_config.map(|encryption| encryption.key_id);
        Ok(Some(Place {
            bucket: named.unwrap_or(&found.bucket_name).to_owned(),
            prefix,
            key: key.map(|key| {
                if key.starts_with("arn:") {
                    key
                } else {
                    instance.key_arn(&key)
                }
            }),
        }))
    }

    /// The first configuration that is S3's. An instance has one for each kind; others are of Kinesis.
    async fn first_in_s3(
        &self,
        instance: &Instance<'_>,
        resource: &'static str,
    ) -> Result<Option<S3Config>, Error> {
        let mut token = None;
        loop {
            let ask = || self.page(instance, resource, token.as_deref());
            let page = ask
                .retry(self.backoff)
                .sleep(tokio::time::sleep)
                .when(Refusal::may_pass)
                .await;
            let page = match page {
                Ok(page) => page,
                Err(refusal) if refusal.is_of_an_unknown(resource) => {
                    let why = refusal.why;
                    tracing::warn!(resource, why, "Amazon Connect does not know it here");
                    return Ok(None);
                }
                Err(refusal) => return Err(refusal.into_error(instance, resource)),
            };
            let in_s3 = |config: Config| config.s3_config.filter(|_| config.storage_type == "S3");
            if let Some(found) = page.storage_configs.into_iter().find_map(in_s3) {
                return Ok(Some(found));
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    async fn page(
        &self,
        instance: &Instance<'_>,
        resource: &str,
        token: Option<&str>,
    ) -> Result<Page, Refusal> {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("/instance/{}/storage-configs", instance.id));
        url.query_pairs_mut()
            .append_pair("resourceType", resource)
            .append_pair("maxResults", "10")
            .extend_pairs(token.map(|token| ("nextToken", token)));
        let credentials = self
            .config
            .credentials_provider()
            .ok_or_else(|| Refusal::unanswered("there are no AWS credentials"))?;
        let credentials = credentials.provide_credentials().await;
        let credentials = credentials.map_err(Refusal::unanswered)?;
        let headers = signature(&url, credentials, instance.region)?;
        let mut request = self.http.get(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.timeout(Duration::from_secs(5)).send().await;
        let answer = answer.map_err(|error| Refusal::unanswered(cause::innermost(&error)))?;
        let status = answer.status();
        let name = answer.headers().get("x-amzn-errortype");
        // It may go on with a colon and an address.
        let name = name.and_then(|name| name.to_str().ok()?.split(':').next());
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let body = answer.bytes().await;
        let body = body.map_err(|error| Refusal::unanswered(cause::innermost(&error)))?;
        if !status.is_success() {
            let name = name.unwrap_or_else(|| status.to_string());
            let message = message(&body);
            return Err(Refusal {
                status: Some(status),
                why: [name]
                    .into_iter()
                    .chain(message)
                    .collect::<Vec<_>>()
                    .join(": "),
            });
        }
        serde_json::from_slice(&body).map_err(|error| Refusal {
            status: Some(status),
            why: format!("its answer cannot be read: {error}"),
        })
    }
}

impl Instance<'_> {
    fn key_arn(&self, id: &str) -> String {
        let Instance {
            partition,
            region,
            account,
            ..
        } = self;
        format!("arn:{partition}:kms:{region}:{account}:key/{id}")
    }
}

impl Refusal {
    /// Whether the kind of objects is not known in this region. When recordings could be asked for, it is
    /// neither the instance nor the request that is wrong.
    fn is_of_an_unknown(&self, resource: &str) -> bool {
        resource != RECORDINGS
            && matches!(
                self.status,
                Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND)
            )
    }

    fn into_error(self, instance: &Instance<'_>, resource: &'static str) -> Error {
        let instance = instance.arn.to_owned();
        let why = self.why;
        match self.status {
            Some(StatusCode::NOT_FOUND) => Error::NoInstance { instance, why },
            Some(StatusCode::FORBIDDEN) => Error::Denied { instance, why },
            _ => Error::NoAnswer {
                instance,
                resource,
                why,
            },
        }
    }
}

/// The headers that sign a GET of Amazon Connect.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv4.html>
fn signature(
    url: &Url,
    credentials: Credentials,
    region: &str,
) -> Result<Vec<(&'static str, String)>, Refusal> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("connect")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(Refusal::unanswered)?
        .into();
    let request = SignableRequest::new("GET", url.as_str(), [].into_iter(), SignableBody::empty());
    let signed = request.and_then(|request| sign(request, &parameters));
    let (signed, _) = signed.map_err(Refusal::unanswered)?.into_parts();
    let (headers, _) = signed.into_parts();
    let headers = headers.into_iter();
    Ok(headers
        .map(|header| (header.name(), header.value().to_owned()))
        .collect())
}

/// What an error says, without the full stop at its end. Amazon Connect writes `Message`, what stands before
/// it `message`.
fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(alias = "message")]
        #[serde(rename = "Message")]
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    Some(body.message.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_s3::config::SharedCredentialsProvider;
    use axum::{
        Json, Router,
        extract::{Query, State},
        http::HeaderMap,
        response::{IntoResponse, Response},
        routing::get,
    };
    use serde_json::{Value, json};

    use super::*;

    const INSTANCE: &str =
        "arn:aws:connect:us-east-1:123456789012:instance/a0c1d2e3-0000-4000-8000-000000000001";
    const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/1";
    const NO_KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/none";

    /// What stands in for Amazon Connect: the answers by resource type, one for each time that it is asked.
    /// The last is given again; a type that is not here has no configuration.
    struct StandIn {
        answers: HashMap<&'static str, Vec<(u16, Value)>>,
        asked: Vec<(HashMap<String, String>, HeaderMap)>,
    }

    type Shared = Arc<Mutex<StandIn>>;

    async fn answer(
        State(stand_in): State<Shared>,
        Query(query): Query<HashMap<String, String>>,
        headers: HeaderMap,
    ) -> Response {
        let mut stand_in = stand_in.lock().unwrap();
        let resource = query["resourceType"].clone();
        stand_in.asked.push((query, headers));
        let (status, body) = match stand_in.answers.get_mut(resource.as_str()) {
            None => (200, json!({"StorageConfigs": []})),
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
        };
        let name = body["name"].as_str().unwrap_or_default().to_owned();
        let status = StatusCode::from_u16(status).unwrap();
        (status, [("x-amzn-ErrorType", name)], Json(body)).into_response()
    }

    /// Asks the stand-in, with this bucket named by the customer, and returns what it was asked as well.
    async fn ask(
        answers: impl IntoIterator<Item = (&'static str, Vec<(u16, Value)>)>,
        named: Option<&str>,
    ) -> (
        Result<Storage, Error>,
        Vec<(HashMap<String, String>, HeaderMap)>,
    ) {
        let stand_in: Shared = Arc::new(Mutex::new(StandIn {
            answers: answers.into_iter().collect(),
            asked: Vec::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let path = "/instance/a0c1d2e3-0000-4000-8000-000000000001/storage-configs";
        let app = Router::new()
            .route(path, get(answer))
            .with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let credentials =
            Credentials::new("AKIDEXAMPLE", "made-up", Some("token".into()), None, "test");
        let config = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let backoff = BACKOFF.with_min_delay(Duration::from_millis(1));
        let backoff = backoff.with_max_delay(Duration::from_millis(1));
        let http = reqwest::Client::new();
        let connect = Connect::new(http, config, endpoint.parse().unwrap(), backoff);
        let instance = Instance::parse(INSTANCE).unwrap();
        let storage = connect.storage(&instance, named).await;
        let asked = std::mem::take(&mut stand_in.lock().unwrap().asked);
        (storage, asked)
    }

    /// A configuration as Amazon Connect's reference shows it.
    fn in_s3(bucket: &str, prefix: &str) -> Value {
        json!({
            "AssociationId": "1",
            "StorageType": "S3",
            "S3Config": {
                "BucketName": bucket,
                "BucketPrefix": prefix,
                "EncryptionConfig": {"EncryptionType": "KMS", "KeyId": KEY},
            },
        })
    }

    fn page(configs: impl IntoIterator<Item = Value>) -> Vec<(u16, Value)> {
        let configs: Vec<Value> = configs.into_iter().collect();
        vec![(200, json!({"StorageConfigs": configs}))]
    }

    fn refusal(status: u16, name: &str, message: &str) -> (u16, Value) {
        (status, json!({"name": name, "Message": message}))
    }

    fn attributes(storage: &Storage, names: &[&str]) -> Vec<String> {
        let all = storage.attributes();
        names.iter().map(|name| all[*name].clone()).collect()
    }

    #[tokio::test]
    async fn each_kind_has_its_bucket_and_its_prefix() {
        let (storage, asked) = ask(
            [
                (
                    "CALL_RECORDINGS",
                    page([in_s3("calls", "connect/x/call-recordings")]),
                ),
                ("CHAT_TRANSCRIPTS", page([in_s3("chats", "transcripts/")])),
                ("ATTACHMENTS", page([in_s3("calls", "files")])),
                ("EMAIL_MESSAGES", page([in_s3("mails", "mail")])),
            ],
            None,
        )
        .await;
        let storage = storage.unwrap();
        let expected = json!({
            "BucketName": "calls",
            "Buckets": "calls,chats,mails",
            "RecordingsBucket": "calls",
            "RecordingsPrefix": "connect/x/call-recordings/",
            "TranscriptsBucket": "chats",
            "TranscriptsPrefix": "transcripts/",
            "AttachmentsBucket": "calls",
            "AttachmentsPrefix": "files/",
            "ScreenRecordingsBucket": "no-bucket-",
            "ScreenRecordingsPrefix": "not-stored/",
            "EmailMessagesBucket": "mails",
            "EmailMessagesPrefix": "mail/",
            "ChatAnalysesBucket": "chats",
            "EmailAnalysesBucket": "mails",
            "KeyArn": KEY,
            "TranscriptsKeyArn": KEY,
            "EmailMessagesKeyArn": KEY,
            "Folders": storage.folders(),
        });
        assert_eq!(json!(storage.attributes()), expected);
        let folders: Value = serde_json::from_str(&storage.folders()).unwrap();
        assert_eq!(
            folders,
            json!({
                "recording": {"bucket": "calls", "prefix": "connect/x/call-recordings/"},
                "transcript": {"bucket": "chats", "prefix": "transcripts/"},
                "attachment": {"bucket": "calls", "prefix": "files/"},
                "email-message": {"bucket": "mails", "prefix": "mail/"},
            })
        );
        assert!(storage.folders().parse::<Folders>().is_ok());
        let resources: Vec<&str> = asked
            .iter()
            .map(|(query, _)| query["resourceType"].as_str())
            .collect();
        assert_eq!(resources, RESOURCES.map(|(resource, ..)| resource));
    }

    #[tokio::test]
    async fn a_request_is_signed_for_amazon_connect() {
        let (_, asked) = ask([], Some("named")).await;
        let (query, headers) = &asked[0];
        assert_eq!(query["maxResults"], "10");
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
            "{authorization}"
        );
        assert!(
            authorization
                .contains("/us-east-1/connect/aws4_request, SignedHeaders=host;x-amz-date"),
            "{authorization}"
        );
        assert_eq!(headers["x-amz-security-token"], "token");
    }

    #[tokio::test]
    async fn pages_are_followed_and_other_storage_is_passed_over() {
        let kinesis = |kind: &str| json!({"AssociationId": "2", "StorageType": kind});
        let first = json!({
            "StorageConfigs": [
                kinesis("KINESIS_STREAM"),
                kinesis("KINESIS_FIREHOSE"),
                kinesis("KINESIS_VIDEO_STREAM"),
                // It says S3's and is none of it.
                {"StorageType": "KINESIS_STREAM", "S3Config": {"BucketName": "not", "BucketPrefix": "this"}},
            ],
            "NextToken": "a+b/c=",
        });
        let second = json!({"StorageConfigs": [], "NextToken": "last"});
        let mut pages = vec![(200, first), (200, second)];
        pages.extend(page([in_s3("calls", "calls")]));
        let (storage, asked) = ask([("CALL_RECORDINGS", pages)], None).await;
        let names = ["RecordingsBucket", "RecordingsPrefix"];
        assert_eq!(attributes(&storage.unwrap(), &names), ["calls", "calls/"]);
        let tokens: Vec<Option<&str>> = asked
            .iter()
            .take(4)
            .map(|(query, _)| query.get("nextToken").map(String::as_str))
            .collect();
        assert_eq!(tokens, [None, Some("a+b/c="), Some("last"), None]);
    }

    #[tokio::test]
    async fn an_instance_without_recordings_needs_a_bucket_that_the_customer_names() {
        for configs in [vec![], vec![json!({"StorageType": "KINESIS_STREAM"})]] {
            let chats = ("CHAT_TRANSCRIPTS", page([in_s3("chats", "chats")]));
            let calls = ("CALL_RECORDINGS", page(configs));
            let (storage, _) = ask([calls.clone(), chats.clone()], None).await;
            let text = storage.unwrap_err().to_string();
            for expected in [
                INSTANCE,
                "stores no call recordings in S3",
                "RecordingBucket",
            ] {
                assert!(text.contains(expected), "{text}");
            }
            let (storage, _) = ask([calls, chats], Some("named")).await;
            let storage = storage.unwrap();
            let names = [
                "BucketName",
                "RecordingsBucket",
                "TranscriptsBucket",
                "Buckets",
                "KeyArn",
            ];
            assert_eq!(
                attributes(&storage, &names),
                ["named", "no-bucket-", "named", "named", NO_KEY]
            );
        }
    }

    #[tokio::test]
    async fn a_bucket_that_the_customer_names_is_that_of_every_kind() {
        let kinds = [
            ("CALL_RECORDINGS", page([in_s3("calls", "calls")])),
            ("CHAT_TRANSCRIPTS", page([in_s3("chats", "chats")])),
        ];
        let (storage, _) = ask(kinds, Some("named")).await;
        let names = [
            "Buckets",
            "RecordingsBucket",
            "TranscriptsBucket",
            "TranscriptsPrefix",
            "ChatAnalysesBucket",
        ];
        assert_eq!(
            attributes(&storage.unwrap(), &names),
            ["named", "named", "named", "chats/", "no-bucket-"]
        );
    }

    #[tokio::test]
    async fn a_key_is_told_as_its_arn_and_none_as_one_that_encrypts_nothing() {
        let mut bare = in_s3("calls", "calls");
        bare["S3Config"]["EncryptionConfig"]["KeyId"] = "1".into();
        let mut none = in_s3("calls", "chats");
        none["S3Config"]
            .as_object_mut()
            .unwrap()
            .remove("EncryptionConfig");
        let kinds = [
            ("CALL_RECORDINGS", page([bare])),
            ("CHAT_TRANSCRIPTS", page([none])),
        ];
        let (storage, _) = ask(kinds, None).await;
        let names = ["KeyArn", "TranscriptsKeyArn"];
        assert_eq!(attributes(&storage.unwrap(), &names), [KEY, NO_KEY]);
    }

    #[tokio::test]
    async fn a_kind_that_a_region_does_not_know_is_not_stored() {
        for unknown in [
            refusal(
                400,
                "InvalidParameterException",
                "resourceType is not valid",
            ),
            refusal(404, "ResourceNotFoundException", "There is none"),
        ] {
            let kinds = [
                ("CALL_RECORDINGS", page([in_s3("calls", "calls")])),
                ("EMAIL_MESSAGES", vec![unknown]),
            ];
            let (storage, _) = ask(kinds, None).await;
            let names = ["EmailMessagesBucket", "EmailMessagesPrefix"];
            assert_eq!(
                attributes(&storage.unwrap(), &names),
                ["no-bucket-", "not-stored/"]
            );
        }
    }

    #[tokio::test]
    async fn a_failure_says_what_is_wrong_and_what_to_do() {
        for (answer, expected) in [
            (
                refusal(404, "ResourceNotFoundException:", "Instance not found."),
                "there is no Amazon Connect instance {}: ResourceNotFoundException: Instance not found. Correct \
                 InstanceArn",
            ),
            (
                (
                    403,
                    json!({"name": "AccessDeniedException", "message": "not authorized"}),
                ),
                "may not ask where the Amazon Connect instance {} stores its recordings: AccessDeniedException: \
                 not authorized. Its role allows connect:ListInstanceStorageConfigs",
            ),
            (
                refusal(400, "InvalidRequestException", "The request is not valid"),
                "does not tell where the instance {} stores its objects (CALL_RECORDINGS): \
                 InvalidRequestException: The request is not valid. Deploy again",
            ),
            (
                (500, json!([])),
                "(CALL_RECORDINGS): 500 Internal Server Error. Deploy again",
            ),
            (
                (200, json!({"StorageConfigs": "none"})),
                "(CALL_RECORDINGS): its answer cannot be read: ",
            ),
            (
                (200, json!({"StorageConfigs": [in_s3("calls", "calls*")]})),
                "the Amazon Connect instance {} stores objects (CALL_RECORDINGS) under calls*/. ",
            ),
        ] {
            let (storage, _) = ask([("CALL_RECORDINGS", vec![answer])], None).await;
            let text = storage.unwrap_err().to_string();
            assert!(text.contains(&expected.replace("{}", INSTANCE)), "{text}");
        }
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_and_what_does_not_is_not() {
        for (status, tries) in [(429, 6), (500, 6), (403, 6), (404, 1), (400, 1)] {
            let refused = refusal(status, "Exception", "no");
            let (storage, asked) = ask([("CALL_RECORDINGS", vec![refused.clone()])], None).await;
            assert!(storage.is_err());
            assert_eq!(asked.len(), tries, "{status}");
            let mut answers = vec![refused];
            answers.extend(page([in_s3("calls", "calls")]));
            let (storage, _) = ask([("CALL_RECORDINGS", answers)], None).await;
            assert_eq!(storage.is_ok(), tries > 1, "{status}");
        }
    }

    #[test]
    fn only_an_instances_arn_is_one() {
        let instance = Instance::parse(INSTANCE).unwrap();
        assert_eq!(
            (instance.region, instance.id),
            ("us-east-1", "a0c1d2e3-0000-4000-8000-000000000001")
        );
        for arn in [
            "",
            "arn:aws:connect:us-east-1:123456789012",
            "arn:aws:connect:us-east-1:123456789012:queue/1",
            "arn:aws:kms:us-east-1:123456789012:instance/1",
        ] {
            assert_eq!(Instance::parse(arn), None, "{arn}");
        }
    }
}
