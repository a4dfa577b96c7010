//! What is remembered of one contact: its attributes, its objects and the state of each step.
//!
//! Owns every change of a step's state; nothing here waits, reads a clock or reaches the network, so
//! it can be read as the specification of delivery:
//!
//! ```text
//!            intend                    delivered
//!   (none) ---------> pending -----------------------> delivered
//!                     |  ^  |                               (for good)
//!          postponed  |  |  |  failed: Dynamics will never take it, or it waited too long
//!          (due later)+--+  +-----------------------> failed ---- intended again ----> pending
//!
//!   (none) ---------> skipped: the step is not configured
//!
//!                     pending ------------------------> skipped: the step it needs never happened
//!                        ^                                  |
//!                        +----------------------------------+ and then it happens after all
//! ```
//!
//! - A step is *pending* from before Dynamics is called until its answer is stored. Whatever dies in
//!   between, it is found pending and done again, and doing it again is harmless (see
//!   [`crate::request`]).
//! - Steps are delivered in the contact's order: `contact-start`, `contact-answered`, `contact-end`,
//!   then each recording as it came. A step that uses another's response waits for it.
//! - One worker at a time delivers a contact's steps: it holds the [`Lease`]. A worker that dies lets
//!   its lease run out.
//!
//! What a worker that dies leaves behind, by where it dies:
//!
//! | it dies | the table | Dynamics | what follows |
//! |---|---|---|---|
//! | before the intent is stored | nothing | nothing | whoever sent the event is told and sends it again |
//! | after it, before the request | pending | nothing | the lease ends, [`crate::redelivery`] sends the request |
//! | after the request left, before the answer | pending | done, or not | the request is sent again and finds what it did |
//! | after the answer, before it is stored | pending | done | the same |

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use jiff::{SignedDuration, Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    contact::Attributes,
    integration::{Integration, StepName, WithoutStart, WithoutStartAction},
    recording::{ObjectKind, RecordedObject},
    request::record_id,
    template::Scope,
};

/// One contact's history. It is one item of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    pub contact_id: Uuid,
    /// The integration that the contact belongs to.
    pub integration: String,
    /// When a function was first invoked for the contact: the `InitiationTimestamp` of a contact
    /// whose events bear none.
    pub first_invoked: Timestamp,
    /// What each step's events told. A later step's lie over an earlier one's, in whichever order
    /// they came.
    pub attributes: BTreeMap<StepName, Attributes>,
    /// The recording bucket's objects, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, RecordedObject>,
    pub steps: BTreeMap<StepKey, StepHistory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// When somebody is to look at the contact again; none when nothing is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Timestamp>,
}

/// A step of one contact: `recording-available` is done once for each object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepKey {
    pub step: StepName,
    pub object_key: Option<String>,
}

/// The state of a step of one contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepHistory {
    pub state: State,
    /// The place in which the step was intended among the contact's steps.
    pub sequence: u32,
    pub intended_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When it is to be tried next, while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// How often a worker has tried.
    #[serde(default)]
    pub attempts: u32,
    /// Why it is not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Map<String, Json>>,
}

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Pending,
    Delivered,
    Skipped,
    Failed,
}

/// Why a step is skipped that needed another.
const ORPHANED: &str = "it needs the response of a step that never ran for this contact";

/// A worker's right to deliver this contact's steps, until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: String,
    pub until: Timestamp,
}

/// What can be done for a contact now.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Deliver(StepKey),
    /// The first pending step in order is not due before then.
    At(Timestamp),
    /// Only steps that wait for one that has not happened yet.
    Waiting,
    Nothing,
}

impl StepKey {
    pub fn of(step: StepName) -> StepKey {
        StepKey {
            step,
            object_key: None,
        }
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object_key {
            None => write!(f, "{}", self.step),
            Some(key) => write!(f, "{}/{key}", self.step),
        }
    }
}

impl From<StepKey> for String {
    fn from(key: StepKey) -> String {
        key.to_string()
    }
}

impl TryFrom<String> for StepKey {
    type Error = String;

    fn try_from(text: String) -> Result<StepKey, String> {
        text.parse()
    }
}

impl FromStr for StepKey {
    type Err = String;

    fn from_str(text: &str) -> Result<StepKey, String> {
        let (step, object_key) = match text.split_once('/') {
            Some((step, key)) => (step, Some(key.to_owned())),
            None => (text, None),
        };
        StepName::ALL
            .into_iter()
            .find(|name| name.as_str() == step)
            .map(|step| StepKey { step, object_key })
            .ok_or_else(|| format!("`{text}` is no step"))
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Skipped => "skipped",
            State::Failed => "failed",
        }
    }
}

impl History {
    pub fn new(contact_id: Uuid, integration: &str, now: Timestamp) -> History {
        History {
            contact_id,
            integration: integration.to_owned(),
            first_invoked: now.round(Unit::Second).unwrap_or(now),
            attributes: BTreeMap::new(),
            objects: BTreeMap::new(),
            steps: BTreeMap::new(),
            lease: None,
            wake_at: None,
        }
    }

    /// Adds what a step's event tells of the contact.
    pub fn learn(&mut self, step: StepName, attributes: &Attributes) {
        self.attributes.entry(step).or_default().merge(attributes);
    }

    /// Adds an object of the recording bucket.
    pub fn learn_object(&mut self, object: RecordedObject) {
        self.objects.insert(object.key.clone(), object);
    }

    /// Makes a step pending that has not been, or has failed and is asked for again. A step that is
    /// delivered stays so: its event has come twice.
    pub fn intend(&mut self, key: &StepKey, now: Timestamp) {
        let sequence = self.next_sequence();
        let step = self
            .steps
            .entry(key.clone())
            .or_insert_with(|| StepHistory {
                state: State::Skipped,
                sequence,
                intended_at: now,
                updated_at: now,
                due_at: None,
                attempts: 0,
                reason: None,
                record_id: None,
                response: None,
            });
        if matches!(step.state, State::Skipped | State::Failed) {
            step.state = State::Pending;
            step.intended_at = now;
            step.updated_at = now;
            step.due_at = Some(now);
            step.reason = None;
        }
    }

    /// Notes that a step was asked for and is not configured.
    pub fn skip(&mut self, key: &StepKey, reason: &str, now: Timestamp) {
        if self.steps.contains_key(key) {
            return;
        }
        self.intend(key, now);
        self.skipped(key, reason.to_owned(), now);
    }

    /// A pending step turns out not to be configured.
    pub fn skipped(&mut self, key: &StepKey, reason: String, now: Timestamp) {
        self.change(key, State::Skipped, Some(reason), now);
    }

    /// Dynamics has taken the step.
    pub fn delivered(
        &mut self,
        key: &StepKey,
        record_id: Option<Uuid>,
        response: Option<Map<String, Json>>,
        now: Timestamp,
    ) {
        if let Some(step) = self.change(key, State::Delivered, None, now) {
            step.record_id = record_id;
            step.response = response;
        }
    }

    /// Dynamics could not take the step now; it stays pending until `due`.
    pub fn postponed(&mut self, key: &StepKey, reason: String, due: Timestamp, now: Timestamp) {
        if let Some(step) = self.change(key, State::Pending, Some(reason), now) {
            step.due_at = Some(due);
        }
    }

    /// Dynamics will not take the step.
    pub fn failed(&mut self, key: &StepKey, reason: String, now: Timestamp) {
        self.change(key, State::Failed, Some(reason), now);
    }

    /// Ends a try of a pending step; of any other, nothing changes.
    fn change(
        &mut self,
        key: &StepKey,
        to: State,
        reason: Option<String>,
        now: Timestamp,
    ) -> Option<&mut StepHistory> {
        let step = self.steps.get_mut(key)?;
        if step.state != State::Pending {
            return None;
        }
        step.attempts += u32::from(to != State::Skipped);
        step.state = to;
        step.reason = reason;
        step.due_at = None;
        step.updated_at = now;
        Some(step)
    }

    fn next_sequence(&self) -> u32 {
        self.steps
            .values()
            .map(|step| step.sequence + 1)
            .max()
            .unwrap_or(0)
    }

    /// The steps in the contact's order.
    pub fn in_order(&self) -> Vec<(&StepKey, &StepHistory)> {
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(key, step)| (key.step, step.sequence));
        steps
    }

    /// Which step is to be delivered now. `needs` tells whose responses a step uses.
    pub fn next(&self, needs: impl Fn(StepName) -> BTreeSet<StepName>, now: Timestamp) -> Next {
        let mut waiting = false;
        for (key, step) in self.in_order() {
            if step.state != State::Pending {
                continue;
            }
            if !needs(key.step)
                .into_iter()
                .all(|needed| self.is_final(needed))
            {
                waiting = true;
                continue;
            }
            return match step.due_at {
                Some(due) if due > now => Next::At(due),
                _ => Next::Deliver(key.clone()),
            };
        }
        match waiting {
            true => Next::Waiting,
            false => Next::Nothing,
        }
    }

    fn is_final(&self, step: StepName) -> bool {
        self.steps
            .get(&StepKey::of(step))
            .is_some_and(|step| step.state != State::Pending)
    }

    /// The first of the steps that `needs` names and that cannot give a response any more.
    pub fn unmet(&self, needs: &BTreeSet<StepName>) -> Option<(StepName, State)> {
        needs.iter().find_map(|needed| {
            let state = self.steps.get(&StepKey::of(*needed))?.state;
            matches!(state, State::Failed | State::Skipped).then_some((*needed, state))
        })
    }

    /// Takes the lease unless another worker holds it.
    pub fn take_lease(&mut self, holder: &str, until: Timestamp, now: Timestamp) -> bool {
        match &self.lease {
            Some(lease) if lease.holder != holder && lease.until > now => false,
            _ => {
                self.lease = Some(Lease {
                    holder: holder.to_owned(),
                    until,
                });
                true
            }
        }
    }

    /// Gives the lease back.
    pub fn release_lease(&mut self, holder: &str) {
        self.lease.take_if(|lease| lease.holder == holder);
    }

    /// Whether another worker than `holder` has the lease now.
    pub fn is_held_by_another(&self, holder: &str, now: Timestamp) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.holder != holder && lease.until > now)
    }

    /// Whether `holder` has the lease.
    pub fn is_held_by(&self, holder: &str) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.holder == holder)
    }

    /// Settles what waits in vain, and sets when the contact is to be looked at again. While a worker
    /// holds the lease, that is not before the lease ends.
    ///
    /// A step that needs one that has not happened waits for it, as events come in any order. When
    /// its time is over it is skipped, or `contact-start` is done first with what is known; should
    /// the event come after all, the step is done after all.
    pub fn plan(
        &mut self,
        needs: impl Fn(StepName) -> BTreeSet<StepName>,
        without_start: &WithoutStart,
        now: Timestamp,
    ) {
        let patience = SignedDuration::from_mins(without_start.after_minutes.into());
        let absent = |history: &History, key: &StepKey| {
            needs(key.step)
                .into_iter()
                .find(|needed| !history.steps.contains_key(&StepKey::of(*needed)))
        };
        let mut wake_at = None;
        for key in self.steps.keys().cloned().collect::<Vec<_>>() {
            let step = &self.steps[&key];
            match (step.state, absent(self, &key)) {
                (State::Skipped, None) if step.reason.as_deref() == Some(ORPHANED) => {
                    self.intend(&key, now);
                }
                (State::Pending, Some(needed)) => {
                    let until = step.intended_at + patience;
                    if now < until {
                        wake_at = Some(wake_at.map_or(until, |at: Timestamp| at.min(until)));
                    } else if needed == StepName::ContactStart
                        && without_start.action == WithoutStartAction::Start
                    {
                        self.intend(&StepKey::of(needed), now);
                    } else {
                        self.change(&key, State::Skipped, Some(ORPHANED.to_owned()), now);
                    }
                }
                _ => {}
            }
        }
        let next = match self.next(&needs, now) {
            Next::Deliver(key) => Some(self.steps[&key].due_at.unwrap_or(now)),
            Next::At(due) => Some(due),
            Next::Waiting => wake_at,
            Next::Nothing => None,
        };
        self.wake_at = match (next, &self.lease) {
            (Some(next), Some(lease)) => Some(next.max(lease.until)),
            (next, _) => next,
        };
    }

    /// What every write of a history does last: [`History::plan`]s, and takes the lease for `holder` when
    /// there is something to deliver now and nobody else is at it, or gives it back when there is not.
    pub fn claim(
        &mut self,
        holder: &str,
        until: Timestamp,
        needs: impl Fn(StepName) -> BTreeSet<StepName>,
        without_start: &WithoutStart,
        now: Timestamp,
    ) {
        self.plan(&needs, without_start, now);
        match self.next(&needs, now) {
            Next::Deliver(_) if self.is_held_by(holder) => {}
            Next::Deliver(_) => {
                self.take_lease(holder, until, now);
            }
            _ => self.release_lease(holder),
        }
        self.plan(&needs, without_start, now);
    }

    /// Makes every failed step pending again; tells whether there was one.
    pub fn retry_failed(&mut self, now: Timestamp) -> bool {
        let failed: Vec<StepKey> = self
            .steps
            .iter()
            .filter(|(_, step)| step.state == State::Failed)
            .map(|(key, _)| key.clone())
            .collect();
        failed.iter().for_each(|key| self.intend(key, now));
        !failed.is_empty()
    }

    /// When a step failed last; none when none has.
    pub fn failed_at(&self) -> Option<Timestamp> {
        let failed = self
            .steps
            .values()
            .filter(|step| step.state == State::Failed);
        failed.map(|step| step.updated_at).max()
    }

    /// Whether Dynamics has taken a step.
    pub fn has_delivered(&self) -> bool {
        self.steps
            .values()
            .any(|step| step.state == State::Delivered)
    }

    /// When the oldest pending step was intended.
    pub fn oldest_pending(&self) -> Option<Timestamp> {
        let pending = self
            .steps
            .values()
            .filter(|step| step.state == State::Pending);
        pending.map(|step| step.intended_at).min()
    }

    /// The last change: what the item's lifetime is counted from.
    pub fn updated_at(&self) -> Timestamp {
        let steps = self.steps.values().map(|step| step.updated_at);
        steps.max().unwrap_or(self.first_invoked)
    }

    /// The record that `contact-start` makes or has made, known before it is delivered.
    pub fn record_id(&self, integration: &Integration) -> Option<Uuid> {
        let start = self.steps.get(&StepKey::of(StepName::ContactStart));
        if let Some(id) = start.and_then(|start| start.record_id) {
            return Some(id);
        }
        let request = integration.step(StepName::ContactStart)?.request.as_ref()?;
        (request.creates_with_our_id() && start.is_none_or(|start| start.state == State::Pending))
            .then(|| record_id(self.contact_id, StepName::ContactStart, None))
    }

    /// What templates see of the contact, for the step done for `object`.
    ///
    /// With `foresee`, the response of a pending `contact-start` holds the record id that it will
    /// have: enough to open the record, never used to write one.
    pub fn scope(
        &self,
        integration: &Integration,
        object: Option<&RecordedObject>,
        foresee: bool,
    ) -> Scope {
        let mut attributes = Attributes::default();
        for layer in self.attributes.values() {
            attributes.merge(layer);
        }
        attributes.set_default("ContactId", self.contact_id.to_string());
        attributes.set_default("InitiationTimestamp", self.first_invoked.to_string());
        let mut scope = Scope::new(attributes);
        integration.add_settings(&mut scope);
        for (key, step) in &self.steps {
            if let (None, Some(response)) = (&key.object_key, &step.response) {
                scope.set_response(key.step.number(), &Json::Object(response.clone()));
            }
        }
        let started = scope
            .get(&crate::template::response_name(
                StepName::ContactStart.number(),
            ))
            .is_some();
        if foresee
            && !started
            && let Some(id) = self.record_id(integration)
            && let Some(request) = integration
                .step(StepName::ContactStart)
                .and_then(|step| step.request.as_ref())
        {
            let response =
                Map::from_iter([(request.table.primary_key.clone(), id.to_string().into())]);
            scope.set_response(StepName::ContactStart.number(), &response.into());
        }
        for (name, kinds) in [
            (
                "recordingUrl",
                [ObjectKind::RedactedRecording, ObjectKind::Recording],
            ),
            (
                "transcriptUrl",
                [ObjectKind::RedactedTranscript, ObjectKind::Transcript],
            ),
            (
                "analysisUrl",
                [ObjectKind::RedactedAnalysis, ObjectKind::Analysis],
            ),
        ] {
            let url = kinds.iter().rev().find_map(|kind| {
                let object = self.objects.values().find(|object| object.kind == *kind)?;
                Some(object.url.clone())
            });
            if let Some(url) = url {
                scope.set(name, url);
            }
        }
        if let Some(object) = object {
            scope.set("objectUrl", object.url.clone());
            scope.set("objectKey", object.key.clone());
            scope.set("bucket", object.bucket.clone());
            scope.set("objectKind", object.kind.as_str());
        }
        scope
    }
}

/// How long after a failed try the next one is due: doubling from a second to a quarter of an hour.
/// The caller adds jitter.
pub fn backoff(attempts: u32) -> SignedDuration {
    SignedDuration::from_secs(1 << attempts.min(10)).min(SignedDuration::from_mins(15))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    fn integration() -> Integration {
        Integration::load(include_str!("../../local/reference-integration.json")).unwrap()
    }

    fn needs(step: StepName) -> BTreeSet<StepName> {
        match step {
            StepName::ContactStart => BTreeSet::new(),
            _ => BTreeSet::from([StepName::ContactStart]),
        }
    }

    fn key(step: StepName) -> StepKey {
        StepKey::of(step)
    }

    fn recording(name: &str, kind: ObjectKind) -> RecordedObject {
        RecordedObject {
            kind,
            bucket: "b".into(),
            key: name.into(),
            url: format!("https://example.com/{name}"),
        }
    }

    #[test]
    fn a_step_is_delivered_once_and_stays_so() {
        let start = key(StepName::ContactStart);
        let mut history = History::new(ID, "default", at(0));
        history.intend(&start, at(0));
        assert_eq!(history.next(needs, at(0)), Next::Deliver(start.clone()));
        history.delivered(&start, Some(ID), Some(Map::new()), at(1));
        assert_eq!(history.next(needs, at(1)), Next::Nothing);
        let before = history.clone();
        history.intend(&start, at(2));
        history.failed(&start, "late".into(), at(3));
        history.postponed(&start, "late".into(), at(9), at(3));
        assert_eq!(history, before);
        history.plan(needs, &WithoutStart::default(), at(4));
        assert_eq!(history.wake_at, None);
    }

    #[test]
    fn the_end_waits_for_the_start_whichever_comes_first() {
        let (start, end) = (key(StepName::ContactStart), key(StepName::ContactEnd));
        let mut history = History::new(ID, "default", at(0));
        history.intend(&end, at(0));
        assert_eq!(history.next(needs, at(0)), Next::Waiting);
        history.intend(&start, at(1));
        assert_eq!(history.next(needs, at(1)), Next::Deliver(start.clone()));
        history.postponed(&start, "down".into(), at(60), at(2));
        assert_eq!(
            history.next(needs, at(3)),
            Next::At(at(60)),
            "nothing can be done before the start"
        );
        assert_eq!(history.next(needs, at(60)), Next::Deliver(start.clone()));
        history.delivered(&start, Some(ID), None, at(61));
        assert_eq!(history.next(needs, at(61)), Next::Deliver(end.clone()));
        history.delivered(&end, Some(ID), None, at(62));
        assert_eq!(history.next(needs, at(62)), Next::Nothing);
    }

    #[test]
    fn a_step_without_its_start_waits_and_is_then_skipped_or_started() {
        let (start, end) = (key(StepName::ContactStart), key(StepName::ContactEnd));
        for action in [WithoutStartAction::Skip, WithoutStartAction::Start] {
            let policy = WithoutStart {
                action,
                after_minutes: 1,
            };
            let mut history = History::new(ID, "default", at(0));
            history.intend(&end, at(0));
            history.plan(needs, &policy, at(1));
            assert_eq!(
                (history.wake_at, history.next(needs, at(1))),
                (Some(at(60)), Next::Waiting)
            );
            history.plan(needs, &policy, at(60));
            if action == WithoutStartAction::Start {
                assert_eq!(history.next(needs, at(60)), Next::Deliver(start.clone()));
                continue;
            }
            assert_eq!(
                (history.wake_at, history.steps[&end].state),
                (None, State::Skipped)
            );
            // It comes after all.
            history.intend(&start, at(999));
            history.plan(needs, &policy, at(999));
            assert_eq!(history.next(needs, at(999)), Next::Deliver(start.clone()));
            history.delivered(&start, Some(ID), None, at(1000));
            history.plan(needs, &policy, at(1000));
            assert_eq!(history.next(needs, at(1000)), Next::Deliver(end.clone()));
        }
    }

    #[test]
    fn recordings_follow_the_end_in_the_order_they_came() {
        let mut history = History::new(ID, "default", at(0));
        let recordings: Vec<StepKey> = ["z", "a"]
            .map(|name| StepKey {
                step: StepName::RecordingAvailable,
                object_key: Some(name.into()),
            })
            .to_vec();
        history.intend(&recordings[0], at(0));
        history.intend(&recordings[1], at(1));
        history.intend(&key(StepName::ContactEnd), at(2));
        let order: Vec<String> = history
            .in_order()
            .iter()
            .map(|(key, _)| key.to_string())
            .collect();
        assert_eq!(
            order,
            [
                "contact-end",
                "recording-available/z",
                "recording-available/a"
            ]
        );
        let read: History =
            serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
        assert_eq!(read, history);
    }

    #[test]
    fn a_failed_step_is_done_again_when_it_is_asked_for_again() {
        let start = key(StepName::ContactStart);
        let mut history = History::new(ID, "default", at(0));
        history.intend(&start, at(0));
        history.failed(&start, "no such column".into(), at(1));
        assert_eq!(
            history.unmet(&needs(StepName::ContactEnd)),
            Some((StepName::ContactStart, State::Failed))
        );
        history.intend(&start, at(2));
        assert_eq!(history.next(needs, at(2)), Next::Deliver(start));
    }

    #[test]
    fn one_worker_at_a_time_holds_the_lease_until_it_ends() {
        let mut history = History::new(ID, "default", at(0));
        history.intend(&key(StepName::ContactStart), at(0));
        assert!(history.take_lease("a", at(10), at(0)));
        assert!(!history.take_lease("b", at(20), at(9)));
        history.plan(needs, &WithoutStart::default(), at(9));
        assert_eq!(
            history.wake_at,
            Some(at(10)),
            "nobody need look before the lease ends"
        );
        assert!(
            history.take_lease("b", at(20), at(10)),
            "a dead worker's lease runs out"
        );
        history.release_lease("a");
        assert!(history.is_held_by("b"));
        history.release_lease("b");
        history.plan(needs, &WithoutStart::default(), at(10));
        assert_eq!(history.wake_at, Some(at(0)));
    }

    #[test]
    fn attributes_of_a_later_step_win_in_whichever_order_they_come() {
        let layer = |value: &str| -> Attributes {
            serde_json::from_value(json!({"record": {"Channel": value}, "user": {value: "1"}}))
                .unwrap()
        };
        let mut orders = Vec::new();
        for order in [
            [StepName::ContactStart, StepName::ContactEnd],
            [StepName::ContactEnd, StepName::ContactStart],
        ] {
            let mut history = History::new(ID, "default", at(0));
            for step in order {
                history.learn(step, &layer(step.as_str()));
            }
            let scope = history.scope(&integration(), None, false);
            orders.push((
                scope.get("Channel").cloned(),
                scope.get("contact-start").cloned(),
                scope.get("InitiationTimestamp").cloned(),
            ));
        }
        assert_eq!(
            orders[0],
            (
                Some(json!("contact-end")),
                Some(json!("1")),
                Some(json!("2026-02-02T02:40:00Z"))
            )
        );
        assert_eq!(orders[0], orders[1]);
    }

    #[test]
    fn remembered_urls_are_right_in_whichever_order_objects_come() {
        let objects = [
            recording("1.wav", ObjectKind::Recording),
            recording("2.wav", ObjectKind::RedactedRecording),
            recording("3.json", ObjectKind::Transcript),
            recording("4.json", ObjectKind::RedactedAnalysis),
        ];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut history = History::new(ID, "default", at(0));
            for index in order {
                history.learn_object(objects[index].clone());
            }
            let scope = history.scope(&integration(), Some(&objects[0]), false);
            for (name, value) in [
                ("recordingUrl", "https://example.com/1.wav"),
                ("transcriptUrl", "https://example.com/3.json"),
                ("analysisUrl", "https://example.com/4.json"),
                ("objectUrl", "https://example.com/1.wav"),
                ("objectKind", "recording"),
            ] {
                assert_eq!(scope.get(name), Some(&json!(value)), "{name}");
            }
        }
    }

    #[test]
    fn the_record_is_known_before_it_is_created() {
        let integration = integration();
        let mut history = History::new(ID, "default", at(0));
        history.intend(&key(StepName::ContactStart), at(0));
        assert_eq!(history.record_id(&integration), Some(ID));
        assert_eq!(
            history
                .scope(&integration, None, true)
                .get("STEP2-Response"),
            Some(&json!({"activityid": ID.to_string()}))
        );
        assert_eq!(
            history
                .scope(&integration, None, false)
                .get("STEP2-Response"),
            None
        );
        history.failed(&key(StepName::ContactStart), "no".into(), at(1));
        assert_eq!(history.record_id(&integration), None);
    }
}
