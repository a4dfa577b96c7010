//! The steps of a contact's life.
//!
//! Owns what tells one step from another: its name, its number in the reference, what triggers it and
//! whether its reply names the page to open. A new step is a variant and an entry here; from there the
//! compiler leads to the configuration's part of it.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A step. Their order is the order in which a contact's steps are delivered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    ContactStart,
    ContactAnswered,
    ContactEnd,
    RecordingAvailable,
    ContactCompleted,
}

/// What tells one step from another.
#[derive(Debug)]
struct Description {
    name: &'static str,
    number: u8,
    trigger: Trigger,
    opens_page: bool,
}

/// Which events a step is done at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// An invocation by a flow, or a contact event of one of these types.
    /// <https://docs.aws.amazon.com/connect/latest/adminguide/contact-events.html>
    Contact(&'static [&'static str]),
    /// An object of the recording bucket. The step is done once for each.
    Object,
    /// The contact record, which tells all of a contact that is over, or, where none comes, a contact event of
    /// one of these types. The step is done again when a newer record comes.
    /// <https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html>
    Record(&'static [&'static str]),
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 5] = [
        Step::ContactStart,
        Step::ContactAnswered,
        Step::ContactEnd,
        Step::RecordingAvailable,
        Step::ContactCompleted,
    ];

    const fn description(self) -> Description {
        match self {
            Step::ContactStart => Description {
                name: "contact-start",
                number: 2,
                trigger: Trigger::Contact(&["INITIATED"]),
                opens_page: true,
            },
            Step::ContactAnswered => Description {
                name: "contact-answered",
                number: 3,
                trigger: Trigger::Contact(&["CONNECTED_TO_AGENT"]),
                opens_page: true,
            },
            Step::ContactEnd => Description {
                name: "contact-end",
                number: 4,
                trigger: Trigger::Contact(&["DISCONNECTED", "COMPLETED"]),
                opens_page: false,
            },
            Step::RecordingAvailable => Description {
                name: "recording-available",
                number: 5,
                trigger: Trigger::Object,
                opens_page: false,
            },
            Step::ContactCompleted => Description {
                name: "contact-completed",
                number: 6,
                trigger: Trigger::Record(&["COMPLETED"]),
                opens_page: false,
            },
        }
    }

    /// The name in the configuration, in the table and in the log; also the function's.
    pub const fn as_str(self) -> &'static str {
        self.description().name
    }

    /// The step's number in the reference: 2 for `contact-start`, whose response is `STEP2-Response`.
    pub const fn number(self) -> u8 {
        self.description().number
    }

    /// The step with a number; none when no step has it.
    pub fn from_number(number: u8) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.number() == number)
    }

    /// Which events the step is done at.
    pub const fn trigger(self) -> Trigger {
        self.description().trigger
    }

    /// Whether the reply names the page to open: an agent is there to see it, or soon will be.
    pub const fn opens_page(self) -> bool {
        self.description().opens_page
    }

    /// The name of the step's response in templates: `STEP2-Response` for `contact-start`.
    pub fn response_name(self) -> String {
        format!("STEP{}-Response", self.number())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(name: &str) -> Result<Step, String> {
        Step::ALL
            .into_iter()
            .find(|step| step.as_str() == name)
            .ok_or_else(|| format!("`{name}` is no step"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_by_its_name_and_its_number_and_written_by_its_name() {
        for step in Step::ALL {
            assert_eq!(step.as_str().parse(), Ok(step));
            assert_eq!(Step::from_number(step.number()), Some(step));
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
        assert!(Step::ALL.is_sorted_by_key(|step| (*step, step.number())));
        assert!("contact-strat".parse::<Step>().is_err());
        assert_eq!(Step::from_number(1), None);
    }
}
