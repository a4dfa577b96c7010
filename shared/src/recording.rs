//! What the key of an object in the recording bucket tells: its kind, its contact and its URL.
//!
//! Amazon Connect writes the key as `<prefix>/[sub-folders/]yyyy/mm/dd/<contact id>_<rest>`. Each kind has a
//! prefix, which the instance's storage configuration names:
//! <https://docs.aws.amazon.com/connect/latest/APIReference/API_S3Config.html>. It ends with the folders of
//! <https://docs.aws.amazon.com/connect/latest/adminguide/about-recording-behavior.html> unless the customer
//! has changed it. Contact Lens writes to one folder at the bucket's root:
//! <https://docs.aws.amazon.com/connect/latest/adminguide/example-contact-lens-output-locations.html>.

use std::{collections::BTreeMap, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::ObjectCreated;

/// What kind of object Amazon Connect wrote.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// The audio of a call with an agent.
    Recording,
    /// The audio of a call with personal data silenced by Contact Lens.
    RedactedRecording,
    /// The audio of the automated part of a call, before an agent.
    IvrRecording,
    /// A chat's transcript.
    Transcript,
    /// A chat's transcript with personal data removed.
    RedactedTranscript,
    /// Contact Lens' analysis; a call's transcript is inside.
    Analysis,
    /// Contact Lens' analysis with personal data removed.
    RedactedAnalysis,
    /// The agent's screen.
    ScreenRecording,
    /// An e-mail.
    EmailMessage,
    /// A file that was attached to a chat, an e-mail, a task or a case.
    Attachment,
}

impl ObjectKind {
    /// Whether personal data was removed from it.
    pub fn is_redacted(self) -> bool {
        matches!(
            self,
            ObjectKind::RedactedRecording
                | ObjectKind::RedactedTranscript
                | ObjectKind::RedactedAnalysis
        )
    }

    /// The name in configuration and in the attribute `objectKind`.
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::Recording => "recording",
            ObjectKind::RedactedRecording => "redacted-recording",
            ObjectKind::IvrRecording => "ivr-recording",
            ObjectKind::Transcript => "transcript",
            ObjectKind::RedactedTranscript => "redacted-transcript",
            ObjectKind::Analysis => "analysis",
            ObjectKind::RedactedAnalysis => "redacted-analysis",
            ObjectKind::ScreenRecording => "screen-recording",
            ObjectKind::EmailMessage => "email-message",
            ObjectKind::Attachment => "attachment",
        }
    }
}

/// An object that belongs to a contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedObject {
    pub kind: ObjectKind,
    pub bucket: String,
    pub key: String,
    pub url: String,
}

/// Why an object is none of ours.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ObjectError {
    #[error(
        "no folder of this key is one that the Amazon Connect instance writes recordings, transcripts or \
         analyses to, nor has it such a folder's usual name (CallRecordings, ChatTranscripts, Analysis, \
         ScreenRecordings, EmailMessages, Attachments)"
    )]
    UnknownFolder,
    #[error("the file name does not begin with a contact id (a UUID)")]
    NoContactId,
}

/// Where an Amazon Connect instance stores objects of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    pub bucket: String,
    /// What the keys begin with.
    pub prefix: String,
}

/// Where an Amazon Connect instance stores what, as the stack's function `recording-storage` learns it. The
/// default knows none; then the names that Amazon Connect gives its folders by default tell the kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Folders(BTreeMap<ObjectKind, Folder>);

/// The kinds that an instance has folders for. The other kinds are in sub-folders of these, or are Contact
/// Lens', which has one folder for all instances.
const STORED: [ObjectKind; 5] = [
    ObjectKind::Recording,
    ObjectKind::Transcript,
    ObjectKind::ScreenRecording,
    ObjectKind::EmailMessage,
    ObjectKind::Attachment,
];

/// Why a text does not tell folders.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "{0}; it is a JSON object such as {{\"recording\": {{\"bucket\": \"...\", \"prefix\": \"connect/example/CallRecordings/\"}}}}"
)]
pub struct FoldersError(String);

impl FromStr for Folders {
    type Err = FoldersError;

    fn from_str(text: &str) -> Result<Folders, FoldersError> {
        let folders: BTreeMap<ObjectKind, Folder> =
            serde_json::from_str(text).map_err(|error| FoldersError(error.to_string()))?;
        for (kind, folder) in &folders {
            if !STORED.contains(kind) {
                let kind = kind.as_str();
                return Err(FoldersError(format!("{kind} has no folder of its own")));
            }
            if folder.bucket.is_empty() || folder.prefix.is_empty() {
                let kind = kind.as_str();
                return Err(FoldersError(format!(
                    "the folder of {kind} has an empty bucket or prefix"
                )));
            }
        }
        Ok(Folders(folders))
    }
}

impl FromIterator<(ObjectKind, Folder)> for Folders {
    fn from_iter<I: IntoIterator<Item = (ObjectKind, Folder)>>(folders: I) -> Folders {
        Folders(folders.into_iter().collect())
    }
}

impl Folders {
    /// The kind of the folder that an object is in, and the rest of its key. Of folders within each other the
    /// innermost decides.
    fn find<'k>(&self, bucket: &str, key: &'k str) -> Option<(ObjectKind, &'k str)> {
        self.0
            .iter()
            .filter(|(_, folder)| folder.bucket == bucket)
            .filter_map(|(kind, folder)| Some((*kind, key.strip_prefix(&folder.prefix)?)))
            .min_by_key(|(_, rest)| rest.len())
    }
}

impl RecordedObject {
    /// Reads an object's key: returns the contact it belongs to and the object. Where the folders do not tell
    /// its kind, Amazon Connect's default names do.
    ///
    /// # Errors
    /// [`ObjectError`] when the key is not one that Amazon Connect writes for a contact.
    pub fn read(
        event: &ObjectCreated,
        folders: &Folders,
    ) -> Result<(Uuid, RecordedObject), ObjectError> {
        let (_, file) = split(&event.key);
        let kind = match folders.find(&event.bucket, &event.key) {
            Some((kind, rest)) => Some(within(kind, &split(rest).0)),
            None => kind_by_name(&event.key),
        };
        let kind = kind.ok_or(ObjectError::UnknownFolder)?;
        let contact_id = file
            .get(..36)
            .filter(|_| {
                file[36..]
                    .chars()
                    .next()
                    .is_none_or(|next| !next.is_ascii_alphanumeric())
            })
            .and_then(|id| Uuid::try_parse(id).ok())
            .ok_or(ObjectError::NoContactId)?;
        Ok((
            contact_id,
            RecordedObject {
                kind,
                bucket: event.bucket.clone(),
                key: event.key.clone(),
                url: object_url(&event.bucket, &event.region, &event.key),
            },
        ))
    }
}

/// The folders of a key, and the file's name.
fn split(key: &str) -> (Vec<&str>, &str) {
    let mut folders: Vec<&str> = key.split('/').collect();
    let file = folders.pop().unwrap_or_default();
    (folders, file)
}

/// The kind of an object by the sub-folders that it is in below the folder of its kind.
fn within(kind: ObjectKind, below: &[&str]) -> ObjectKind {
    match kind {
        ObjectKind::Recording if below.first() == Some(&"ivr") => ObjectKind::IvrRecording,
        ObjectKind::Transcript if below.contains(&"Redacted") => ObjectKind::RedactedTranscript,
        kind => kind,
    }
}

/// The kind of an object by the names that folders have by default.
fn kind_by_name(key: &str) -> Option<ObjectKind> {
    let (folders, file) = split(key);
    // The last known folder decides, so that a prefix that happens to bear such a name does not.
    let (at, kind) = folders
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, folder)| match *folder {
            "CallRecordings" => Some((at, ObjectKind::Recording)),
            "ChatTranscripts" => Some((at, ObjectKind::Transcript)),
            "Analysis" => Some((at, ObjectKind::Analysis)),
            "ScreenRecordings" => Some((at, ObjectKind::ScreenRecording)),
            "EmailMessages" => Some((at, ObjectKind::EmailMessage)),
            "Attachments" => Some((at, ObjectKind::Attachment)),
            _ => None,
        })?;
    let below = &folders[at + 1..];
    Some(match kind {
        // Contact Lens writes the redacted audio beside the redacted analysis.
        ObjectKind::Analysis if file.contains("_call_recording_redacted_") => {
            ObjectKind::RedactedRecording
        }
        ObjectKind::Analysis if file.contains("_transcript_redacted_") => {
            ObjectKind::RedactedTranscript
        }
        ObjectKind::Analysis if below.contains(&"Redacted") => ObjectKind::RedactedAnalysis,
        kind => within(kind, below),
    })
}

const KEEP_IN_KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The object's https URL: virtual-hosted, or path-style for a bucket with a dot in its name, which
/// the wildcard certificate of the virtual host does not cover.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
fn object_url(bucket: &str, region: &str, key: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let key = utf8_percent_encode(key, KEEP_IN_KEY);
    if bucket.contains('.') {
        format!("https://s3.{region}.{domain}/{bucket}/{key}")
    } else {
        format!("https://{bucket}.s3.{region}.{domain}/{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";

    fn read(key: &str) -> Result<(Uuid, RecordedObject), ObjectError> {
        read_from("recordings", key, &Folders::default())
    }

    fn read_from(
        bucket: &str,
        key: &str,
        folders: &Folders,
    ) -> Result<(Uuid, RecordedObject), ObjectError> {
        let event = ObjectCreated {
            bucket: bucket.into(),
            key: key.into(),
            region: "us-east-1".into(),
        };
        RecordedObject::read(&event, folders)
    }

    #[test]
    fn knows_every_kind_by_its_folder() {
        let cases = [
            (
                "CallRecordings/2026/02/04/ID_20260204T21:14_UTC.wav",
                ObjectKind::Recording,
            ),
            (
                "connect/example/CallRecordings/2026/02/04/ID_20260204T21_14_UTC.wav",
                ObjectKind::Recording,
            ),
            (
                "connect/example/CallRecordings/ivr/2026/02/04/ID_20260204T21:14_UTC.wav",
                ObjectKind::IvrRecording,
            ),
            (
                "ChatTranscripts/2026/02/04/ID_20260204T21:14_UTC.json",
                ObjectKind::Transcript,
            ),
            (
                "Analysis/Voice/2026/02/04/ID_analysis_2026-02-04T21:14:16Z.json",
                ObjectKind::Analysis,
            ),
            (
                "Analysis/Chat/2026/02/04/ID_analysis_2026-02-04T21:14:16Z.json",
                ObjectKind::Analysis,
            ),
            (
                "Analysis/Voice/Redacted/2026/02/04/ID_analysis_redacted_2026-02-04T21:14:16Z.json",
                ObjectKind::RedactedAnalysis,
            ),
            (
                "Analysis/Voice/Redacted/2026/02/04/ID_call_recording_redacted_2026-02-04T21:14:16Z.wav",
                ObjectKind::RedactedRecording,
            ),
            (
                "ScreenRecordings/2026/02/04/ID_20260204T21:14_UTC.mp4",
                ObjectKind::ScreenRecording,
            ),
            (
                "EmailMessages/2026/02/04/ID_20260204T21:14_UTC.json",
                ObjectKind::EmailMessage,
            ),
            (
                "Attachments/chat/2026/02/04/ID_attachment.pdf",
                ObjectKind::Attachment,
            ),
        ];
        for (key, kind) in cases {
            let (contact, object) =
                read(&key.replace("ID", ID)).unwrap_or_else(|e| panic!("{key}: {e}"));
            assert_eq!(
                (contact.to_string().as_str(), object.kind),
                (ID, kind),
                "{key}"
            );
        }
    }

    /// An instance whose folders have names of the customer's own, those of chats in another bucket.
    fn own_folders() -> Folders {
        r#"{
            "recording": {"bucket": "recordings", "prefix": "connect/x/call-recordings/"},
            "attachment": {"bucket": "recordings", "prefix": "connect/x/"},
            "screen-recording": {"bucket": "recordings", "prefix": "connect/x/CallRecordings/"},
            "email-message": {"bucket": "recordings", "prefix": "mail/"},
            "transcript": {"bucket": "chats", "prefix": "connect/x/call-recordings/"}
        }"#
        .parse()
        .unwrap()
    }

    #[test]
    fn a_folder_of_the_instance_tells_the_kind_whatever_its_name() {
        let cases = [
            (
                "recordings",
                "connect/x/call-recordings/2026/02/04/ID_20260204T21:14_UTC.wav",
                ObjectKind::Recording,
            ),
            (
                "recordings",
                "connect/x/call-recordings/ivr/2026/02/04/ID_20260204T21:14_UTC.wav",
                ObjectKind::IvrRecording,
            ),
            // Of folders within each other the innermost decides.
            (
                "recordings",
                "connect/x/2026/02/04/ID_attachment.pdf",
                ObjectKind::Attachment,
            ),
            // The instance's folder wins over what is usual for its name.
            (
                "recordings",
                "connect/x/CallRecordings/2026/02/04/ID_20260204T21:14_UTC.mp4",
                ObjectKind::ScreenRecording,
            ),
            (
                "recordings",
                "mail/CallRecordings/2026/02/04/ID_20260204T21:14_UTC.json",
                ObjectKind::EmailMessage,
            ),
            // The same prefix means something else in another bucket.
            (
                "chats",
                "connect/x/call-recordings/2026/02/04/ID_20260204T21:14_UTC.json",
                ObjectKind::Transcript,
            ),
            (
                "chats",
                "connect/x/call-recordings/Redacted/2026/02/04/ID_20260204T21:14_UTC.json",
                ObjectKind::RedactedTranscript,
            ),
            // Contact Lens' folder, and usual names where the instance has no folder.
            (
                "recordings",
                "Analysis/Voice/2026/02/04/ID_analysis_2026-02-04T21:14:16Z.json",
                ObjectKind::Analysis,
            ),
            (
                "chats",
                "ChatTranscripts/2026/02/04/ID_20260204T21:14_UTC.json",
                ObjectKind::Transcript,
            ),
        ];
        for (bucket, key, kind) in cases {
            let (contact, object) = read_from(bucket, &key.replace("ID", ID), &own_folders())
                .unwrap_or_else(|e| panic!("{bucket}/{key}: {e}"));
            assert_eq!(
                (contact.to_string().as_str(), object.kind),
                (ID, kind),
                "{bucket}/{key}"
            );
        }
    }

    #[test]
    fn a_folder_of_the_instance_means_nothing_without_its_bucket_or_its_whole_prefix() {
        for (bucket, key) in [
            ("another", "connect/x/call-recordings/2026/ID_x.wav"),
            ("recordings", "connect/y/call-recordings/2026/ID_x.wav"),
            ("chats", "connect/x/call-recordings-of-old/2026/ID_x.json"),
        ] {
            let read = read_from(bucket, &key.replace("ID", ID), &own_folders());
            assert_eq!(
                read.unwrap_err(),
                ObjectError::UnknownFolder,
                "{bucket}/{key}"
            );
        }
    }

    #[test]
    fn folders_survive_being_written_as_text() {
        let text = serde_json::to_string(&own_folders()).unwrap();
        assert_eq!(text.parse(), Ok(own_folders()));
        assert_eq!("{}".parse(), Ok(Folders::default()));
    }

    #[test]
    fn what_is_wrong_with_folders_is_told() {
        for (text, expected) in [
            ("", "EOF while parsing"),
            ("[]", "expected a map"),
            (r#"{"reports": {}}"#, "unknown variant `reports`"),
            (
                r#"{"recording": {"bucket": "b"}}"#,
                "missing field `prefix`",
            ),
            (
                r#"{"recording": {"bucket": "b", "prefix": ""}}"#,
                "the folder of recording has an empty bucket or prefix",
            ),
            (
                r#"{"recording": {"bucket": "", "prefix": "p/"}}"#,
                "the folder of recording has an empty bucket or prefix",
            ),
            (
                r#"{"ivr-recording": {"bucket": "b", "prefix": "p/"}}"#,
                "ivr-recording has no folder of its own",
            ),
        ] {
            let error = text.parse::<Folders>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.contains("it is a JSON object such as"), "{error}");
        }
    }

    #[test]
    fn refuses_what_is_no_object_of_a_contact() {
        assert_eq!(
            read(&format!("Reports/2026/{ID}_queue.csv")).unwrap_err(),
            ObjectError::UnknownFolder
        );
        for file in ["", "notes.txt", "5d3f6a1e-9c7b", &format!("{ID}0_x.wav")] {
            assert_eq!(
                read(&format!("CallRecordings/2026/{file}")).unwrap_err(),
                ObjectError::NoContactId,
                "{file}"
            );
        }
    }

    #[test]
    fn urls_are_right_for_region_bucket_and_odd_names() {
        assert_eq!(
            object_url("recordings", "eu-central-1", "a b/c+d_ü:1.wav"),
            "https://recordings.s3.eu-central-1.amazonaws.com/a%20b/c%2Bd_%C3%BC%3A1.wav"
        );
        assert_eq!(
            object_url("my.recordings", "us-east-1", "a.wav"),
            "https://s3.us-east-1.amazonaws.com/my.recordings/a.wav"
        );
        assert_eq!(
            object_url("recordings", "cn-north-1", "a.wav"),
            "https://recordings.s3.cn-north-1.amazonaws.com.cn/a.wav"
        );
    }

    proptest! {
        #[test]
        fn any_key_survives_its_url(key in "[^/\u{0}]{1,40}(/[^/\u{0}]{1,40}){0,3}") {
            prop_assume!(!key.split('/').any(|part| part == "." || part == ".."));
            let url = url::Url::parse(&object_url("recordings", "us-east-1", &key)).unwrap();
            let decoded = percent_encoding::percent_decode_str(&url.path()[1..]).decode_utf8().unwrap();
            prop_assert_eq!(decoded, key);
            prop_assert_eq!(url.query(), None);
            prop_assert_eq!(url.fragment(), None);
        }

        #[test]
        fn no_key_panics(key in ".{0,80}") {
            let _ = read(&format!("CallRecordings/{key}"));
            let _ = read_from("recordings", &format!("mail/{key}"), &own_folders());
        }
    }
}
