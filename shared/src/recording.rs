//! What the key of an object in the recording bucket tells: its kind, its contact and its URL.
//!
//! Amazon Connect writes the key as `[prefix/]<folder>/[sub-folders/]yyyy/mm/dd/<contact id>_<rest>`.
//! The folders are those of
//! <https://docs.aws.amazon.com/connect/latest/adminguide/about-recording-behavior.html> and, for
//! Contact Lens, <https://docs.aws.amazon.com/connect/latest/adminguide/example-contact-lens-output-locations.html>.

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
        "no folder of this key is one that Amazon Connect writes recordings, transcripts or analyses to \
         (CallRecordings, ChatTranscripts, Analysis, ScreenRecordings, EmailMessages, Attachments)"
    )]
    UnknownFolder,
    #[error("the file name does not begin with a contact id (a UUID)")]
    NoContactId,
}

impl RecordedObject {
    /// Reads an object's key: returns the contact it belongs to and the object.
    ///
    /// # Errors
    /// [`ObjectError`] when the key is not one that Amazon Connect writes for a contact.
    pub fn read(event: &ObjectCreated) -> Result<(Uuid, RecordedObject), ObjectError> {
        let mut folders: Vec<&str> = event.key.split('/').collect();
        let file = folders.pop().unwrap_or_default();
        let kind = kind(&folders, file).ok_or(ObjectError::UnknownFolder)?;
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

fn kind(folders: &[&str], file: &str) -> Option<ObjectKind> {
    // The last known folder decides, so that a prefix that happens to bear such a name does not.
    let (at, folder) = folders.iter().enumerate().rev().find(|(_, folder)| {
        matches!(
            **folder,
            "CallRecordings"
                | "ChatTranscripts"
                | "Analysis"
                | "ScreenRecordings"
                | "EmailMessages"
                | "Attachments"
        )
    })?;
    let below = &folders[at + 1..];
    let redacted = below.contains(&"Redacted");
    Some(match *folder {
        "CallRecordings" if below.first() == Some(&"ivr") => ObjectKind::IvrRecording,
        "CallRecordings" => ObjectKind::Recording,
        "ChatTranscripts" if redacted => ObjectKind::RedactedTranscript,
        "ChatTranscripts" => ObjectKind::Transcript,
        // Contact Lens writes the redacted audio beside the redacted analysis.
        "Analysis" if file.contains("_call_recording_redacted_") => ObjectKind::RedactedRecording,
        "Analysis" if file.contains("_transcript_redacted_") => ObjectKind::RedactedTranscript,
        "Analysis" if redacted => ObjectKind::RedactedAnalysis,
        "Analysis" => ObjectKind::Analysis,
        "ScreenRecordings" => ObjectKind::ScreenRecording,
        "EmailMessages" => ObjectKind::EmailMessage,
        _ => ObjectKind::Attachment,
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
        RecordedObject::read(&ObjectCreated {
            bucket: "recordings".into(),
            key: key.into(),
            region: "us-east-1".into(),
        })
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
        }
    }
}
