//! What is being edited: an integration's configuration that need not be valid yet.
//!
//! Owns the form in which the table keeps a draft, where a new one begins, and what the library says of it, by the
//! place in the document that it speaks of.

use connect_dynamics::{integration::Integration, step::Step};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::deployment::Deployment;

/// What is being edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    /// The configuration as it would be published.
    pub configuration: Json,
    /// Steps that are left out for now, with what they said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub off: Map<String, Json>,
}

/// Where a new configuration begins.
#[derive(Debug)]
pub struct Beginning {
    pub name: &'static str,
    pub title: &'static str,
    pub what: &'static str,
    document: &'static str,
}

/// The recipes, and the reference's examples.
pub const BEGINNINGS: [Beginning; 8] = [
    Beginning {
        name: "phone-call",
        title: "A phone call for each call",
        what: "Creates a phone call for each call in either direction, links it to the customer, gives it to the agent who answers and opens it, and notes its end, its recording and how it ended.",
        document: include_str!("../../docs/recipes/phone-call.json"),
    },
    Beginning {
        name: "chat",
        title: "Chats",
        what: "Records each chat, with its transcript and what Contact Lens says of it.",
        document: include_str!("../../docs/recipes/chat.json"),
    },
    Beginning {
        name: "conversation",
        title: "What was said",
        what: "As the phone call, with the summary, the sentiment and the transcript of Contact Lens.",
        document: include_str!("../../docs/recipes/conversation.json"),
    },
    Beginning {
        name: "case-for-queue",
        title: "A case for calls of some queues",
        what: "As the phone call, and opens a case for the calls that a queue takes.",
        document: include_str!("../../docs/recipes/case-for-queue.json"),
    },
    Beginning {
        name: "lead-for-unknown",
        title: "A lead for unknown callers",
        what: "As the phone call, and makes a lead of a caller whom nobody knows.",
        document: include_str!("../../docs/recipes/lead-for-unknown.json"),
    },
    Beginning {
        name: "task-for-missed",
        title: "A task for missed calls",
        what: "As the phone call, and makes a task of a call that nobody answered.",
        document: include_str!("../../docs/recipes/task-for-missed.json"),
    },
    Beginning {
        name: "note-with-transcript",
        title: "A note with the transcript",
        what: "As the phone call, and adds a note with what was said.",
        document: include_str!("../../docs/recipes/note-with-transcript.json"),
    },
    Beginning {
        name: "reference",
        title: "The reference's examples",
        what: "The five steps as the reference shows them: create a phone call, open it, note the channel and the recording.",
        document: include_str!("../../local/reference-integration.json"),
    },
];

impl Beginning {
    /// A new configuration, with the connection that the deployment suggests.
    pub fn configuration(&self, name: &str, deployment: &Deployment) -> Json {
        let mut configuration: Json =
            serde_json::from_str(self.document).expect("the recipes are JSON");
        configuration["name"] = name.into();
        configuration["connection"] = suggested_connection(deployment);
        configuration
    }
}

/// What is known of the connection before anybody has said anything.
fn suggested_connection(deployment: &Deployment) -> Json {
    if let Some(connection) = &deployment.local_connection {
        return connection.clone();
    }
    let mut connection = Map::new();
    if let Some(secret_id) = &deployment.secret_id {
        connection.insert("clientSecretId".into(), secret_id.as_str().into());
    }
    connection.into()
}

/// Something that the library says of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The place in the document: `steps.contact-start.request.body.subject`. Empty where it names none.
    pub place: String,
    pub message: String,
    pub is_error: bool,
}

impl Edited {
    pub fn new(configuration: Json) -> Edited {
        Edited {
            configuration,
            off: Map::new(),
        }
    }

    /// The draft as the table holds it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(document: &str) -> Result<Edited, String> {
        serde_json::from_str(document).map_err(|error| format!("the draft cannot be read: {error}"))
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("JSON serialises")
    }

    /// The document that would be published.
    pub fn document(&self) -> String {
        format!("{:#}\n", self.configuration)
    }

    /// What a step says, whether or not it is left out; none where it says nothing.
    pub fn step(&self, step: Step) -> Option<&Json> {
        let said = &self.configuration["steps"][step.as_str()];
        if said.is_null() {
            self.off.get(step.as_str())
        } else {
            Some(said)
        }
    }

    /// The blocks of a step that are switched off, with what they say.
    pub fn blocks_off(&self, step: Step) -> Map<String, Json> {
        let blocks = self.off.get(&format!("{step}.blocks"));
        blocks
            .and_then(Json::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// Keeps the blocks of a step that are switched off.
    pub fn set_blocks_off(&mut self, step: Step, blocks: Map<String, Json>) {
        let name = format!("{step}.blocks");
        if blocks.is_empty() {
            self.off.shift_remove(&name);
        } else {
            self.off.insert(name, blocks.into());
        }
    }

    pub fn is_on(&self, step: Step) -> bool {
        !self.configuration["steps"][step.as_str()].is_null()
    }

    /// Says what a step says, and whether it is done. The steps stand in their order.
    pub fn set_step(&mut self, step: Step, said: Json, is_on: bool) {
        let mut steps = Map::new();
        self.off.shift_remove(step.as_str());
        for each in Step::ALL {
            let name = each.as_str();
            if each != step {
                let known = &self.configuration["steps"][name];
                if !known.is_null() {
                    steps.insert(name.into(), known.clone());
                }
            } else if is_on {
                steps.insert(name.into(), said.clone());
            } else {
                self.off.insert(name.into(), said.clone());
            }
        }
        // What is no step is an error that is shown, and not lost here.
        for (name, value) in self.configuration["steps"]
            .as_object()
            .into_iter()
            .flatten()
        {
            if name.parse::<Step>().is_err() {
                steps.insert(name.clone(), value.clone());
            }
        }
        self.configuration["steps"] = steps.into();
    }

    /// Everything that there is to say about it.
    pub fn remarks(&self) -> Vec<Remark> {
        remarks(&self.configuration)
    }

    /// An integration that does what a step says, as far as that can be told: with a connection that is made up
    /// where it lacks something, and without the other steps that are not right.
    ///
    /// # Errors
    /// What is wrong with the step itself, or with something that it needs.
    pub fn for_preview(&self, step: Step) -> Result<Integration, Vec<Remark>> {
        let mut document = self.configuration.clone();
        let made_up = json!({
            "environmentUri": "https://example.crm.dynamics.com",
            "appId": "a0c1d2e3-0000-4000-8000-00000000a001",
            "tenantId": "b0c1d2e3-0000-4000-8000-00000000b001",
            "clientId": "c0c1d2e3-0000-4000-8000-00000000c001",
            "clientSecretId": "made-up",
        });
        if !document["steps"].is_object() {
            document["steps"] = Map::new().into();
        }
        if let (Some(said), true) = (self.step(step), !self.is_on(step)) {
            document["steps"][step.as_str()] = said.clone();
        }
        let own = format!("steps.{step}");
        // Each round takes something out of the document, or is the last.
        loop {
            let errors = match Integration::load(&document.to_string()) {
                Ok(integration) => return Ok(integration),
                Err(error) => error.0,
            };
            let errors = errors.iter().map(|problem| remark(problem, true));
            let (ours, others): (Vec<_>, Vec<_>) = errors.partition(|it| is_below(&it.place, &own));
            if others.is_empty() {
                return Err(ours);
            }
            let before = document.clone();
            for other in &others {
                if is_below(&other.place, "connection") {
                    document["connection"] = made_up.clone();
                } else if let Some(name) = step_of(&other.place) {
                    if let Some(steps) = document["steps"].as_object_mut() {
                        steps.shift_remove(name);
                    }
                } else if let Some(field) = other.place.split(['.', '[']).next()
                    && !field.is_empty()
                    && field != "name"
                    && let Some(fields) = document.as_object_mut()
                {
                    fields.shift_remove(field);
                } else {
                    document["name"] = "preview".into();
                }
            }
            if document == before {
                return Err(others);
            }
        }
    }
}

/// Everything that there is to say about a configuration.
pub fn remarks(configuration: &Json) -> Vec<Remark> {
    let findings = Integration::check(&configuration.to_string());
    let errors = findings.errors.iter().map(|message| remark(message, true));
    let warnings = findings.warnings.iter();
    let warnings = warnings.map(|message| remark(message, false));
    errors.chain(warnings).collect()
}

fn is_below(place: &str, above: &str) -> bool {
    place
        .strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The name of the step that a place is below.
pub fn step_of(place: &str) -> Option<&str> {
    place.strip_prefix("steps.")?.split(['.', '[']).next()
}

/// Divides what the library says into the place and the rest: `connection.appId: not a GUID`, or
/// `steps.contact-start.request.body.subject, line 1, column 4: ...`.
fn remark(text: &str, is_error: bool) -> Remark {
    let is_of_place = |c: char| c.is_alphanumeric() || "_.-[]@".contains(c);
    let end = text.find(|c| !is_of_place(c)).unwrap_or(text.len());
    let (place, rest) = text.split_at(end);
    let (place, message) = if let Some(message) = rest.strip_prefix(": ") {
        (place.to_owned(), message.to_owned())
    } else if let Some(message) = rest.strip_prefix(", line ") {
        (place.to_owned(), format!("line {message}"))
    } else {
        (String::new(), text.to_owned())
    };
    // What is missing is shown where it is to be said.
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let place = match missing {
        Some(field) if place.is_empty() => field.to_owned(),
        Some(field) => format!("{place}.{field}"),
        None => place,
    };
    let message = if missing.is_some() {
        "this is missing".to_owned()
    } else {
        message
    };
    Remark {
        place,
        message,
        is_error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_is_told_from_its_place() {
        for (text, place, message) in [
            ("connection.appId: no GUID", "connection.appId", "no GUID"),
            (
                "connection: missing field `tenantId`",
                "connection.tenantId",
                "this is missing",
            ),
            (
                "steps.contact-start.requests[0].body.subject, line 1, column 4: unknown filter",
                "steps.contact-start.requests[0].body.subject",
                "line 1, column 4: unknown filter",
            ),
            ("the document is empty", "", "the document is empty"),
        ] {
            let remark = remark(text, true);
            assert_eq!(
                (remark.place.as_str(), remark.message.as_str()),
                (place, message)
            );
        }
    }

    #[test]
    fn a_step_is_previewed_whatever_is_wrong_elsewhere() {
        let document: Json = serde_json::from_str(BEGINNINGS[0].document).unwrap();
        let mut edited = Edited::new(document);
        edited.configuration["connection"] = json!({});
        edited.configuration["name"] = "".into();
        edited.configuration["retentionDays"] = "long".into();
        edited.configuration["steps"]["contact-end"]["request"]["body"] =
            json!({"subject": "{{ x | nothing }}"});
        edited.configuration["steps"]["contact-strat"] = json!({});
        assert!(edited.for_preview(Step::ContactStart).is_ok());
        let wrong = edited.for_preview(Step::ContactEnd).unwrap_err();
        assert_eq!(wrong[0].place, "steps.contact-end.request.body.subject");
        let said = edited.step(Step::ContactStart).unwrap().clone();
        edited.set_step(Step::ContactStart, said.clone(), false);
        assert!(!edited.is_on(Step::ContactStart));
        assert_eq!(edited.step(Step::ContactStart), Some(&said));
        assert!(edited.for_preview(Step::ContactStart).is_ok());
        assert_eq!(edited.configuration["steps"]["contact-strat"], json!({}));
    }
}
