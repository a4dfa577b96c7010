//! The delivery of one contact, checked by model: every interleaving of two events, a redelivery and
//! a crash, with requests that are lost and answers that are lost, over the real [`History`].
//!
//! The model's table, workers and Dynamics are simple; what a worker writes is decided by the same
//! code that decides it in the functions. Time passes only when nobody is alive: a function is stopped
//! before its lease ends.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
};

use connect_dynamics::{
    history::{History, Next, State as StepState, StepKey},
    integration::{StepName, WithoutStart},
};
use jiff::Timestamp;
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
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Dynamics {
    /// How often the record was made under a new id, and how often the request came.
    records: u8,
    is_ended: bool,
    ended_before_started: bool,
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
    Start,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Its event has not come, or is sent again.
    Idle,
    /// It has read the table.
    Read(Option<(Kept, u32)>),
    /// It holds the lease and is to send this step's request.
    Holds(Key, Kept, u32),
    /// The request has left.
    Sent(Key, Kept, u32),
    /// The answer is there: taken, or not.
    Answered(Key, bool, Kept, u32),
    Done,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Begin(usize),
    Write(usize),
    /// The request arrives.
    Arrives(usize),
    /// The request is lost on its way.
    IsLost(usize),
    Answer(usize),
    /// The answer is lost: the worker takes the request for failed.
    AnswerIsLost(usize),
    Store(usize),
    Crash(usize),
    TimePasses,
}

struct Contact;

fn at(clock: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + clock).expect("a time")
}

fn needs(step: StepName) -> BTreeSet<StepName> {
    match step {
        StepName::ContactStart => BTreeSet::new(),
        _ => BTreeSet::from([StepName::ContactStart]),
    }
}

fn step_key(key: Key) -> StepKey {
    StepKey::of(match key {
        Key::Start => StepName::ContactStart,
        Key::End => StepName::ContactEnd,
    })
}

impl World {
    fn history(&self) -> Option<&History> {
        self.table.as_ref().map(|(kept, _)| &kept.0)
    }

    fn is_due(&self) -> bool {
        self.history()
            .and_then(|history| history.wake_at)
            .is_some_and(|wake_at| wake_at <= at(self.clock))
    }

    /// Whether every event was taken and nobody need look again.
    fn is_settled(&self) -> bool {
        self.workers.iter().all(|worker| match worker.event {
            Event::Step(_) => worker.at == Phase::Done,
            Event::Redelivery => matches!(worker.at, Phase::Idle | Phase::Done),
        }) && self
            .history()
            .is_some_and(|history| history.wake_at.is_none())
    }

    /// Whether Dynamics holds one record with both steps, and the table knows.
    fn is_complete(&self) -> bool {
        let is_delivered = |history: &History| {
            history.steps.len() == 2
                && history
                    .steps
                    .values()
                    .all(|step| step.state == StepState::Delivered)
        };
        self.dynamics.records == 1
            && self.dynamics.is_ended
            && self.history().is_some_and(is_delivered)
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

    fn claim(&self, worker: usize, history: &mut History) {
        let now = at(self.clock);
        history.claim(
            &self.holder(worker),
            at(self.clock + LEASE),
            needs,
            &WithoutStart::default(),
            now,
        );
    }

    /// What a worker does next with the history that it has just written.
    fn go_on(&mut self, worker: usize, history: History, version: u32) {
        let next = history.next(needs, at(self.clock));
        self.workers[worker].at = match next {
            Next::Deliver(key) if history.is_held_by(&self.holder(worker)) => {
                let key = if key == step_key(Key::Start) {
                    Key::Start
                } else {
                    Key::End
                };
                Phase::Holds(key, Kept(history), version)
            }
            _ => Phase::Done,
        };
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
            faults: 2,
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
                (Phase::Read(_), _) => actions.push(Action::Write(index)),
                (Phase::Holds(..), _) => {
                    actions.push(Action::Arrives(index));
                    if world.faults > 0 {
                        actions.push(Action::IsLost(index));
                    }
                }
                (Phase::Sent(..), _) => {
                    actions.push(Action::Answer(index));
                    if world.faults > 0 {
                        actions.push(Action::AnswerIsLost(index));
                    }
                }
                (Phase::Answered(..), _) => actions.push(Action::Store(index)),
                _ => {}
            }
        }
        let waits = world.history().is_some_and(|history| {
            history
                .wake_at
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
            Action::Write(index) => {
                let Phase::Read(read) = last.workers[index].at.clone() else {
                    return None;
                };
                let (mut history, version) = match read {
                    Some((kept, version)) => (kept.0, version),
                    None => (History::new(CONTACT, "default", at(0)), 0),
                };
                let before = history.clone();
                if let Event::Step(key) = last.workers[index].event {
                    history.intend(&step_key(key), at(world.clock));
                }
                world.claim(index, &mut history);
                let written = match history == before {
                    true => Some(version),
                    false => world.write(history.clone(), version),
                };
                match written {
                    // Someone was faster: read again.
                    None => world.workers[index].at = Phase::Read(world.table.clone()),
                    Some(version) => world.go_on(index, history, version),
                }
            }
            Action::Arrives(index) => {
                let Phase::Holds(key, kept, version) = last.workers[index].at.clone() else {
                    return None;
                };
                match key {
                    // The id is ours: the second time the record is there already.
                    Key::Start => world.dynamics.records = 1,
                    Key::End => {
                        world.dynamics.ended_before_started |= world.dynamics.records == 0;
                        world.dynamics.is_ended = true;
                    }
                }
                world.workers[index].at = Phase::Sent(key, kept, version);
            }
            Action::IsLost(index) => {
                let Phase::Holds(key, kept, version) = last.workers[index].at.clone() else {
                    return None;
                };
                world.faults -= 1;
                world.workers[index].at = Phase::Answered(key, false, kept, version);
            }
            Action::Answer(index) | Action::AnswerIsLost(index) => {
                let Phase::Sent(key, kept, version) = last.workers[index].at.clone() else {
                    return None;
                };
                let is_taken = matches!(action, Action::Answer(_));
                world.faults -= u8::from(!is_taken);
                world.workers[index].at = Phase::Answered(key, is_taken, kept, version);
            }
            Action::Store(index) => {
                let Phase::Answered(key, is_taken, kept, version) = last.workers[index].at.clone()
                else {
                    return None;
                };
                let mut history = kept.0;
                let now = at(world.clock);
                match is_taken {
                    true => history.delivered(&step_key(key), Some(CONTACT), None, now),
                    false => {
                        history.postponed(&step_key(key), "lost".into(), at(world.clock + 5), now);
                    }
                }
                world.claim(index, &mut history);
                match world.write(history.clone(), version) {
                    Some(version) => world.go_on(index, history, version),
                    None => {
                        let (kept, version) = world.table.clone()?;
                        world.workers[index].at = Phase::Answered(key, is_taken, kept, version);
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
                let wake_at = last.history()?.wake_at?;
                world.clock = wake_at.as_second() - at(0).as_second();
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("what is settled is complete", |_, world| {
                !world.is_settled() || world.is_complete()
            }),
            Property::<Self>::always("nothing is pending that nobody will look at", |_, world| {
                let is_pending = world.history().is_some_and(|history| {
                    history
                        .steps
                        .values()
                        .any(|step| step.state == StepState::Pending)
                });
                let wakes = world
                    .history()
                    .is_some_and(|history| history.wake_at.is_some());
                !is_pending || wakes
            }),
            Property::<Self>::always(
                "the end is never sent before the start is taken",
                |_, world| !world.dynamics.ended_before_started,
            ),
            Property::<Self>::always("one worker at a time sends", |_, world| {
                let sending = world
                    .workers
                    .iter()
                    .filter(|worker| matches!(worker.at, Phase::Holds(..) | Phase::Sent(..)));
                sending.count() <= 1
            }),
            Property::<Self>::eventually("the record is complete", |_, world| {
                world.is_settled() && world.is_complete()
            }),
            Property::<Self>::sometimes("a crash and two faults are survived", |_, world| {
                world.crashes == 0 && world.faults == 0 && world.is_settled()
            }),
        ]
    }
}

#[test]
fn every_interleaving_of_two_events_a_redelivery_and_a_crash_ends_well() {
    let checker = Contact.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(
        checker.unique_state_count() > 1_000,
        "{}",
        checker.unique_state_count()
    );
    println!("{} states", checker.unique_state_count());
}
