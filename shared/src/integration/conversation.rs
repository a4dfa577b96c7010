//! What is read of a conversation, and what is not.
//!
//! Owns the choice between an original file and a redacted one, and the categories whose conversations stay
//! where they are. What a file holds is [`crate::analysis`]'s.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};

use super::Integration;
use crate::{
    analysis::Analysis,
    configuration::ContactLensFile,
    history::{History, RequestKey},
    recording::{ObjectKind, RecordedObject},
};

/// How long an original file waits for a redacted one, when nobody has told whether there will be one.
/// Contact Lens writes both analyses when its job is done; a chat's transcript is there minutes before.
/// An event that could not be stored at once comes again after three minutes.
const ANALYSIS_WITHIN: SignedDuration = SignedDuration::from_mins(10);
const TRANSCRIPT_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// What is to be read before a request is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Conversation<'a> {
    /// Nothing: the request needs nothing of what was said, or nothing was said in its object.
    None,
    Read(&'a RecordedObject),
    /// Nothing, and the request is not wanted for this object.
    NotWanted(String),
    /// It is not known yet. So long it takes to be.
    Wait(SignedDuration),
}

/// Which files Contact Lens writes of a contact, as far as the contact's attributes tell.
/// <https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html#ctr-RedactionConfiguration>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redaction {
    Unknown,
    None,
    Some,
}

impl Integration {
    /// Whether a request uses what was said in the contact.
    pub fn reads_conversation(&self, key: &RequestKey) -> bool {
        self.compiled(key).is_some_and(|it| it.reads_conversation)
    }

    /// What is to be read before a request is made.
    pub fn conversation<'a>(
        &self,
        key: &RequestKey,
        history: &'a History,
        now: Timestamp,
    ) -> Conversation<'a> {
        let reads = self.reads_conversation(key);
        let Some(object) = history.object(key).filter(|_| reads) else {
            return Conversation::None;
        };
        let not_wanted = |reason: &str| Conversation::NotWanted(reason.to_owned());
        let file = self.configuration.contact_lens.file;
        match object.kind {
            ObjectKind::Transcript | ObjectKind::RedactedTranscript
                if !self
                    .configuration
                    .contact_lens
                    .exclude_categories
                    .is_empty() =>
            {
                not_wanted("a transcript alone does not tell its categories, and some are excluded")
            }
            ObjectKind::RedactedAnalysis | ObjectKind::RedactedTranscript => match file {
                ContactLensFile::Original => not_wanted("the original file is read"),
                ContactLensFile::Redacted | ContactLensFile::RedactedFirst => {
                    Conversation::Read(object)
                }
            },
            ObjectKind::Analysis | ObjectKind::Transcript => match file {
                ContactLensFile::Original => Conversation::Read(object),
                ContactLensFile::Redacted => not_wanted("only redacted files are read"),
                ContactLensFile::RedactedFirst => match redaction(history) {
                    Redaction::Some => not_wanted("the redacted file is read in its place"),
                    Redaction::None => Conversation::Read(object),
                    Redaction::Unknown => {
                        let since = history.request(key).map_or(now, |it| it.intended_at);
                        let within = if object.kind == ObjectKind::Transcript {
                            TRANSCRIPT_WITHIN
                        } else {
                            ANALYSIS_WITHIN
                        };
                        let left = within - now.duration_since(since);
                        if left.is_positive() {
                            Conversation::Wait(left)
                        } else {
                            Conversation::Read(object)
                        }
                    }
                },
            },
            _ => Conversation::None,
        }
    }

    /// What templates see of a conversation; nothing when it is of an excluded category, or may be.
    pub fn said(&self, analysis: Analysis) -> Map<String, Json> {
        let excluded = &self.configuration.contact_lens.exclude_categories;
        let mut categories = analysis.categories().iter();
        let is_certain = excluded.is_empty() || analysis.has_all_categories();
        if !is_certain || categories.any(|category| excluded.contains(category)) {
            Map::new()
        } else {
            analysis.into_json()
        }
    }
}

fn redaction(history: &History) -> Redaction {
    if history.objects().any(|object| object.kind.is_redacted()) {
        return Redaction::Some;
    }
    let attributes = history.attributes();
    let settings = attributes.get("ContactLens");
    let path = [
        "ConversationalAnalytics",
        "Configuration",
        "RedactionConfiguration",
    ];
    let redaction = path.iter().try_fold(settings, |value, name| {
        Some(field(value?, name)).filter(Option::is_some)
    });
    let text = |name| redaction.flatten().and_then(|it| field(it, name)?.as_str());
    let is =
        |text: Option<&str>, value: &str| text.is_some_and(|it| it.eq_ignore_ascii_case(value));
    let (behavior, policy) = (text("Behavior"), text("Policy"));
    if is(behavior, "disable") || is(policy, "none") {
        Redaction::None
    } else if policy.is_some() || is(behavior, "enable") {
        Redaction::Some
    } else if history.record_updated_at().is_some() && settings.is_none() {
        // A contact record tells of Contact Lens wherever it was on.
        Redaction::None
    } else {
        Redaction::Unknown
    }
}

/// A field by its name in the contact record; a contact event's begins with a small letter.
fn field<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    let mut fields = value.as_object()?.iter();
    let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
    field.map(|(_, value)| value)
}
