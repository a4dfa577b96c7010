//! The delivery of one contact, checked by model: every interleaving of two events, a redelivery and
//! a crash, with requests that are lost, answers that are lost and a configuration that cannot be
//! loaded, over the real [`History`].
//!
//! The model's table, workers and Dynamics are simple; what a worker writes is decided by the same
//! code that decides it in the functions. Time passes only when nobody is alive: a function is stopped
//! before its lease ends.
//!
//! The start's event names the integration `b`, the end's none, so that it goes to the default `a`; and
//! the end is an update, which may be repeated, or an action, which may not.
//!
//! The start has two requests: one looks for the customer, the main one makes the record. The look-up comes
//! first, or the record does and is linked to the customer by a third. A look-up can be refused for good, and
//! a person may then have what failed done again.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use connect_dynamics::{
    configuration::WithoutStart,
    history::{History, Need, Next, RequestKey, Rules, State as StepState},
    step::Step,
};
use jiff::{SignedDuration, Timestamp};
use stateright::{Checker, Model, Property};
use uuid::Uuid;

const CONTACT: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);
/// What a worker that is alive may take.
const LEASE: i64 = 10;

/// A history that can be told from another and hashed.
#[derive(Clone, Debug, PartialEq)]
struct Kept(History);

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        serde_json::to_string(&self.0)
            .expect("a history serialises")
            .hash(state);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    table: Option<(Kept, u32)>,
    clock: i64,
    workers: Vec<Worker>,
    dynamics: Dynamics,
    crashes: u8,
    faults: u8,
    /// How often the integration can still turn out not to load.
    unloadable: u8,
    /// How often Dynamics still refuses the look-up for good.
    refusals: u8,
    /// How often a person still has what failed done again.
    by_hand: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Dynamics {
    /// How many records there are: as the id is ours, one for each environment that was asked.
    records: Vec<String>,
    /// How often the end was carried out.
    ended: u8,
    ended_before_started: bool,
    /// Whether the record says who the customer is.
    is_linked: bool,
    linked_before_started: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    event: Event,
    at: Phase,
    /// A run of a worker is told from the next by its number.
    run: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Step(Key),
    Redelivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Look,
    Start,
    Link,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Its event has not come, or is sent again.
    Idle,
    /// It has read the table.
    Read(Option<(Kept, u32)>),
    /// It holds the lease and is to note that it sends the end, an action.
    Notes(Kept, u32),
    /// It holds the lease and is to send this step's request.
    Holds(Key, Kept, u32),
    /// The request has arrived, and may have met the record that one before it made.
    Sent(Key, Kept, u32, bool),
    /// The answer is there.
    Answered(Key, Answer, Kept, u32),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Taken {
        was_there: bool,
    },
    /// It was never sent, or refused for now.
    NotDone,
    /// It may have been done.
    Unknown,
    Refused,
    /// It cannot be sent, as another has given no response.
    Unmet,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Begin(usize),
    Write(usize),
    /// It finds that the contact's integration cannot be loaded.
    Park(usize),
    /// The request arrives.
    Arrives(usize),
    /// The request is lost on its way.
    IsLost(usize),
    Answer(usize),
    /// Dynamics refuses it for good.
    Refuse(usize),
    /// The answer is lost: the worker takes the request for failed.
    AnswerIsLost(usize),
    Store(usize),
    /// As Store, with responses made smaller because the item would be too large.
    StoreShrunk(usize),
    Crash(usize),
    TimePasses,
    /// A person has what failed done again.
    ByHand,
}

#[derive(Clone, Copy, Debug)]
struct Contact {
    /// Whether the end is an action: doing it twice is worse than not doing it.
    end_is_action: bool,
    /// Whether the record is made before the customer is looked for.
    links_later: bool,
    /// How many requests or answers are lost.
    faults: u8,
    /// How often the integration cannot be loaded.
    unloadable: u8,
    /// How often the look-up is refused, and a person then has what failed done again.
    refusals: u8,
}

/// The end needs the response of the start; the start waits for the look-up, unless that comes later.
struct Needs {
    links_later: bool,
    without_start: WithoutStart,
}

impl Rules for Needs {
    fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need> {
        let needs = match key_of(key) {
            Key::Look => vec![],
            Key::Start if self.links_later => vec![],
            Key::Start => vec![(Key::Look, Need::Welcome)],
            Key::Link => vec![(Key::Look, Need::Required), (Key::Start, Need::Required)],
            Key::End => vec![(Key::Start, Need::Required)],
        };
        let needs = needs.into_iter();
        needs.map(|(key, need)| (step_key(key), need)).collect()
    }

    fn requests(&self, key: &RequestKey) -> Vec<RequestKey> {
        let keys = match (key.step(), self.links_later) {
            (Step::ContactStart, false) => vec![Key::Look, Key::Start],
            (Step::ContactStart, true) => vec![Key::Start, Key::Look],
            _ => vec![Key::End],
        };
        keys.into_iter().map(step_key).collect()
    }

    fn is_look_up(&self, key: &RequestKey) -> bool {
        key_of(key) == Key::Look
    }

    fn without_start(&self) -> &WithoutStart {
        &self.without_start
    }
}

impl Contact {
    fn rules(self) -> Needs {
        Needs {
            links_later: self.links_later,
            without_start: WithoutStart::default(),
        }
    }
}

fn at(clock: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + clock).expect("a time")
}

fn step_key(key: Key) -> RequestKey {
    let start = RequestKey::of(Step::ContactStart);
    match key {
        Key::Look => start.named("customer"),
        Key::Start => start,
        Key::Link => start.named("link"),
        Key::End => RequestKey::of(Step::ContactEnd),
    }
}

fn key_of(key: &RequestKey) -> Key {
    match (key.step(), key.request()) {
        (Step::ContactStart, Some("customer")) => Key::Look,
        (Step::ContactStart, Some(_)) => Key::Link,
        (Step::ContactStart, None) => Key::Start,
        _ => Key::End,
    }
}

impl World {
    fn history(&self) -> Option<&History> {
        self.table.as_ref().map(|(kept, _)| &kept.0)
    }

    fn is_due(&self) -> bool {
        self.history()
            .and_then(History::wake_at)
            .is_some_and(|wake_at| wake_at <= at(self.clock))
    }

    /// Whether every event was taken and nobody need look again.
    fn is_settled(&self) -> bool {
        self.workers.iter().all(|worker| match worker.event {
            Event::Step(_) => worker.at == Phase::Done,
            Event::Redelivery => matches!(worker.at, Phase::Idle | Phase::Done),
        }) && self
            .history()
            .is_some_and(|history| history.wake_at().is_none())
    }

    fn state(&self, key: Key) -> Option<StepState> {
        self.history()?.state(&step_key(key))
    }

    /// Whether one environment holds one record with all that the requests say of it, and the table knows.
    fn is_complete(&self) -> bool {
        let delivered = Some(StepState::Delivered);
        self.dynamics.records.len() == 1
            && self.dynamics.ended == 1
            && self.dynamics.is_linked
            && [Key::Look, Key::Start, Key::End]
                .iter()
                .all(|key| self.state(*key) == delivered)
            && matches!(self.state(Key::Link), None | Some(StepState::Delivered))
    }

    /// Whether the record is there, and something was left to a person: the end, as nobody knows whether it
    /// was carried out, or the customer, as the look-up was refused.
    fn is_left_to_a_person(&self, end_is_action: bool) -> bool {
        let is_delivered = |key| self.state(key) == Some(StepState::Delivered);
        let has_failed = |key| self.state(key) == Some(StepState::Failed);
        let is_end_left = end_is_action && has_failed(Key::End);
        let is_customer_left = has_failed(Key::Look) && has_failed(Key::Link);
        self.dynamics.records.len() == 1
            && is_delivered(Key::Start)
            && (is_delivered(Key::End) || is_end_left)
            && (self.dynamics.is_linked || is_customer_left)
            && (is_end_left || is_customer_left)
    }

    /// A conditional write: into the table if it is still at `version`.
    fn write(&mut self, history: History, version: u32) -> Option<u32> {
        let current = self.table.as_ref().map_or(0, |(_, version)| *version);
        if current != version {
            return None;
        }
        self.table = Some((Kept(history), version + 1));
        Some(version + 1)
    }

    fn holder(&self, worker: usize) -> String {
        format!("{worker}.{}", self.workers[worker].run)
    }

    fn claim(&self, worker: usize, history: &mut History, model: Contact) {
        let (now, until) = (at(self.clock), at(self.clock + LEASE));
        history.claim(&self.holder(worker), until, &model.rules(), now);
    }

    /// What a worker does next with the history that it has just written.
    fn go_on(&mut self, worker: usize, history: History, version: u32, model: Contact) {
        let (now, rules) = (at(self.clock), model.rules());
        let is_ours = history.is_held_by(&self.holder(worker), now);
        let Next::Deliver(next) = history.next(&rules, now) else {
            self.workers[worker].at = Phase::Done;
            return;
        };
        let key = key_of(&next);
        self.workers[worker].at = if !is_ours {
            Phase::Done
        } else if history.unmet(&next, &rules).is_some() {
            Phase::Answered(key, Answer::Unmet, Kept(history), version)
        } else if model.end_is_action && key == Key::End {
            let request = history.request(&next).expect("it is next");
            if request.sent_at.is_some() {
                Phase::Answered(key, Answer::Unknown, Kept(history), version)
            } else {
                Phase::Notes(Kept(history), version)
            }
        } else {
            Phase::Holds(key, Kept(history), version)
        };
    }

    /// The history of a worker that has read this, with what its event adds.
    fn with_event(&self, worker: usize, read: Option<(Kept, u32)>) -> (History, History, u32) {
        let (before, version) = match read {
            Some((kept, version)) => (kept.0, version),
            None => (History::new(CONTACT, "a", at(0)), 0),
        };
        let mut history = before.clone();
        if let Event::Step(key) = self.workers[worker].event {
            if key == Key::Start {
                history.belong_to("b", at(self.clock));
            }
            history.intend(&step_key(key), at(self.clock));
        }
        (before, history, version)
    }
}

impl Model for Contact {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let worker = |event| Worker {
            event,
            at: Phase::Idle,
            run: 0,
        };
        vec![World {
            table: None,
            clock: 0,
            workers: vec![
                worker(Event::Step(Key::Start)),
                worker(Event::Step(Key::End)),
                worker(Event::Redelivery),
            ],
            dynamics: Dynamics::default(),
            crashes: 1,
            faults: self.faults,
            unloadable: self.unloadable,
            refusals: self.refusals,
            by_hand: self.refusals,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut is_anyone_alive = false;
        for (index, worker) in world.workers.iter().enumerate() {
            let is_alive = !matches!(worker.at, Phase::Idle | Phase::Done);
            is_anyone_alive |= is_alive;
            if is_alive && world.crashes > 0 {
                actions.push(Action::Crash(index));
            }
            match (&worker.at, worker.event) {
                (Phase::Idle, Event::Step(_)) => actions.push(Action::Begin(index)),
                (Phase::Idle | Phase::Done, Event::Redelivery) if world.is_due() => {
                    actions.push(Action::Begin(index));
                }
                (Phase::Read(_), _) => {
                    actions.push(Action::Write(index));
                    if world.unloadable > 0 {
                        actions.push(Action::Park(index));
                    }
                }
                (Phase::Notes(..), _) => actions.push(Action::Write(index)),
                (Phase::Holds(..), _) => {
                    actions.push(Action::Arrives(index));
                    if world.faults > 0 {
                        actions.push(Action::IsLost(index));
                    }
                }
                (Phase::Sent(..), _) => {
                    actions.push(Action::Answer(index));
                    if world.refusals > 0 && matches!(worker.at, Phase::Sent(Key::Look, ..)) {
                        actions.push(Action::Refuse(index));
                    }
                    if world.faults > 0 {
                        actions.push(Action::AnswerIsLost(index));
                    }
                }
                (Phase::Answered(..), _) => {
                    actions.push(Action::Store(index));
                    actions.push(Action::StoreShrunk(index));
                }
                _ => {}
            }
        }
        let has_failed = world.state(Key::Look) == Some(StepState::Failed);
        if has_failed && world.by_hand > 0 {
            actions.push(Action::ByHand);
        }
        let waits = world.history().is_some_and(|history| {
            history
                .wake_at()
                .is_some_and(|wake_at| wake_at > at(world.clock))
        });
        if waits && !is_anyone_alive {
            actions.push(Action::TimePasses);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Begin(index) => {
                world.workers[index].run += 1;
                world.workers[index].at = Phase::Read(world.table.clone());
            }
            Action::Write(index) if matches!(last.workers[index].at, Phase::Notes(..)) => {
                let Phase::Notes(kept, version) = last.workers[index].at.clone() else {
                    return None;
                };
                let mut history = kept.0;
                history.sending(&step_key(Key::End), at(world.clock));
                world.claim(index, &mut history, *self);
                world.workers[index].at = match world.write(history.clone(), version) {
                    Some(version) => Phase::Holds(Key::End, Kept(history), version),
                    None => Phase::Read(world.table.clone()),
                };
            }
            Action::Write(index) => {
                let Phase::Read(read) = last.workers[index].at.clone() else {
                    return None;
                };
                let (before, mut history, version) = world.with_event(index, read);
                world.claim(index, &mut history, *self);
                let written = if history == before {
                    Some(version)
                } else {
                    world.write(history.clone(), version)
                };
                match written {
                    // Someone was faster: read again.
                    None => world.workers[index].at = Phase::Read(world.table.clone()),
                    Some(version) => world.go_on(index, history, version, *self),
                }
            }
            Action::Park(index) => {
                let Phase::Read(read) = last.workers[index].at.clone() else {
                    return None;
                };
                world.unloadable -= 1;
                let (before, mut history, version) = world.with_event(index, read);
                history.park("no such", SignedDuration::from_hours(72), at(world.clock));
                let is_written = history == before || world.write(history, version).is_some();
                world.workers[index].at = if is_written {
                    Phase::Done
                } else {
                    Phase::Read(world.table.clone())
                };
            }
            Action::Arrives(index) => {
                let Phase::Holds(key, kept, version) = last.workers[index].at.clone() else {
                    return None;
                };
                let environment = kept.0.integration().to_owned();
                let knows_customer =
                    kept.0.state(&step_key(Key::Look)) == Some(StepState::Delivered);
                let dynamics = &mut world.dynamics;
                let is_there = dynamics.records.contains(&environment);
                match key {
                    Key::Look => {}
                    // The id is ours: the second time the record is there already, as it was made.
                    Key::Start if is_there => {}
                    Key::Start => {
                        dynamics.records.push(environment);
                        dynamics.is_linked |= knows_customer;
                    }
                    Key::Link => {
                        dynamics.linked_before_started |= !is_there;
                        dynamics.is_linked = true;
                    }
                    Key::End => {
                        dynamics.ended_before_started |= !is_there;
                        // Doing an update again changes nothing.
                        let again = u8::from(self.end_is_action);
                        dynamics.ended = 1.max(dynamics.ended + again);
                    }
                }
                let was_there = is_there && key == Key::Start;
                world.workers[index].at = Phase::Sent(key, kept, version, was_there);
            }
            Action::IsLost(index) => {
                let Phase::Holds(key, kept, version) = last.workers[index].at.clone() else {
                    return None;
                };
                world.faults -= 1;
                world.workers[index].at = Phase::Answered(key, Answer::NotDone, kept, version);
            }
            Action::Answer(index) => {
                let Phase::Sent(key, kept, version, was_there) = last.workers[index].at.clone()
                else {
                    return None;
                };
                let answer = Answer::Taken { was_there };
                world.workers[index].at = Phase::Answered(key, answer, kept, version);
            }
            Action::Refuse(index) => {
                let Phase::Sent(key, kept, version, _) = last.workers[index].at.clone() else {
                    return None;
                };
                world.refusals -= 1;
                world.workers[index].at = Phase::Answered(key, Answer::Refused, kept, version);
            }
            Action::ByHand => {
                let (kept, version) = world.table.clone()?;
                let mut history = kept.0;
                world.by_hand -= 1;
                history.retry_failed(at(world.clock));
                let now = at(world.clock);
                history.claim("person", now, &self.rules(), now);
                world.write(history, version);
            }
            Action::AnswerIsLost(index) => {
                let Phase::Sent(key, kept, version, _) = last.workers[index].at.clone() else {
                    return None;
                };
                world.faults -= 1;
                world.workers[index].at = Phase::Answered(key, Answer::Unknown, kept, version);
            }
            Action::Store(index) | Action::StoreShrunk(index) => {
                let Phase::Answered(key, answer, kept, version) = last.workers[index].at.clone()
                else {
                    return None;
                };
                let mut history = kept.0;
                let now = at(world.clock);
                let is_repeatable = key != Key::End || !self.end_is_action;
                let key_of_step = step_key(key);
                match answer {
                    Answer::Taken { was_there } => {
                        let look_up = history.state(&step_key(Key::Look));
                        let is_unlinked = was_there
                            || matches!(look_up, Some(StepState::Pending | StepState::Failed));
                        let response = Some(serde_json::Map::new());
                        history.delivered(&key_of_step, Some(CONTACT), response, now);
                        if key == Key::Start && is_unlinked {
                            history.owe(&step_key(Key::Link), now);
                        }
                    }
                    Answer::Unknown if !is_repeatable => {
                        history.in_doubt(&key_of_step, "unknown".into(), now);
                    }
                    Answer::NotDone | Answer::Unknown => {
                        let due = at(world.clock + 5);
                        history.postponed(&key_of_step, "lost".into(), due, now);
                    }
                    Answer::Refused => history.failed(&key_of_step, "refused".into(), now),
                    Answer::Unmet => {
                        history.cannot_be_sent(&key_of_step, &self.rules(), now);
                    }
                }
                world.claim(index, &mut history, *self);
                if matches!(action, Action::StoreShrunk(_)) {
                    history.shrink_responses(|_, response| response.clear());
                }
                match world.write(history.clone(), version) {
                    Some(version) => world.go_on(index, history, version, *self),
                    None => {
                        let (kept, version) = world.table.clone()?;
                        world.workers[index].at = Phase::Answered(key, answer, kept, version);
                    }
                }
            }
            Action::Crash(index) => {
                world.crashes -= 1;
                let was_stored = !matches!(last.workers[index].at, Phase::Read(_));
                let is_event = matches!(last.workers[index].event, Event::Step(_));
                // An event that was not stored is sent again by whoever sent it.
                world.workers[index].at = if is_event && !was_stored {
                    Phase::Idle
                } else {
                    Phase::Done
                };
            }
            Action::TimePasses => {
                let wake_at = last.history()?.wake_at()?;
                world.clock = wake_at.as_second() - at(0).as_second();
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("what is settled is complete", |model, world| {
                !world.is_settled()
                    || world.is_complete()
                    || world.is_left_to_a_person(model.end_is_action)
            }),
            Property::<Self>::always("an action is carried out once at the most", |_, world| {
                world.dynamics.ended <= 1
            }),
            Property::<Self>::always("one environment gets the contact", |_, world| {
                world.dynamics.records.len() <= 1
            }),
            Property::<Self>::always("nothing is pending that nobody will look at", |_, world| {
                let is_pending = world
                    .history()
                    .is_some_and(|history| history.count(StepState::Pending) > 0);
                let wakes = world
                    .history()
                    .is_some_and(|history| history.wake_at().is_some());
                !is_pending || wakes
            }),
            Property::<Self>::always(
                "the end is never sent before the start is taken",
                |_, world| !world.dynamics.ended_before_started,
            ),
            Property::<Self>::always("no record is linked before it is made", |_, world| {
                !world.dynamics.linked_before_started
            }),
            Property::<Self>::always("one worker at a time sends", |_, world| {
                let sending = world
                    .workers
                    .iter()
                    .filter(|worker| matches!(worker.at, Phase::Holds(..) | Phase::Sent(..)));
                sending.count() <= 1
            }),
            Property::<Self>::eventually("the contact is settled", |model, world| {
                world.is_settled()
                    && (world.is_complete() || world.is_left_to_a_person(model.end_is_action))
            }),
            Property::<Self>::sometimes("what a person had done again is complete", |_, world| {
                world.by_hand == 0 && world.is_complete()
            }),
            Property::<Self>::sometimes("a crash and the faults are survived", |_, world| {
                world.crashes == 0 && world.faults == 0 && world.is_complete()
            }),
        ]
    }
}

fn check(model: Contact) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > 1_000, "{states}");
    println!("{states} states");
}

#[test]
fn every_interleaving_of_two_events_a_redelivery_and_a_crash_ends_well() {
    check(Contact {
        end_is_action: false,
        links_later: false,
        faults: 2,
        unloadable: 0,
        refusals: 0,
    });
}

#[test]
fn a_contact_whose_integration_cannot_be_loaded_ends_well() {
    check(Contact {
        end_is_action: false,
        links_later: false,
        faults: 1,
        unloadable: 1,
        refusals: 0,
    });
}

#[test]
fn a_customer_whose_look_up_was_refused_is_linked_when_a_person_has_it_done_again() {
    check(Contact {
        end_is_action: false,
        links_later: false,
        faults: 1,
        unloadable: 0,
        refusals: 1,
    });
}

#[test]
fn a_record_that_is_made_at_once_is_linked_later_whatever_happens() {
    check(Contact {
        end_is_action: false,
        links_later: true,
        faults: 1,
        unloadable: 0,
        refusals: 0,
    });
}

#[test]
fn an_action_is_never_repeated_whatever_is_lost() {
    check(Contact {
        end_is_action: true,
        links_later: false,
        faults: 2,
        unloadable: 0,
        refusals: 0,
    });
}
