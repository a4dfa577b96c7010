//! The contact record, checked by model: a record that is delivered twice, a newer one in any order with it,
//! the start's event, which may never come, a redelivery and a crash, with requests that are lost, answers
//! that are lost, a refusal and a configuration that cannot be loaded, over the real [`History`].
//!
//! As in `model.rs`, the table, the workers and Dynamics are simple, and time passes only when nobody is
//! alive. That a write which somebody else was faster than is made again on top of theirs is checked there; here
//! every write is made on top of the newest history at once. What an event adds to the history is what `delivery/task.rs` adds, and what a request was made of is
//! noted as `delivery/visit.rs` notes it.
//!
//! An update that was given up on may be carried out later, until Dynamics' own time limit.
//!
//! The contact's end never has an event of its own: it is left to the record, as the start is where its event
//! does not come. The step `contact-completed` has two requests. The main one updates the record with what
//! the contact record told, and a newer one has it sent again. The other creates something beside it, under an
//! id of our own, once.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use connect_dynamics::{
    configuration::WithoutStart,
    contact::Attributes,
    history::{History, MAY_STILL_BE_DONE, Need, Next, RequestKey, Rules, State as StepState},
    step::Step,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model, Property};
use uuid::Uuid;

const CONTACT: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);
/// What a worker that is alive may take.
const LEASE: i64 = 10;

/// A history that can be told from another and hashed, by its text.
#[derive(Clone, Debug)]
struct Kept(Arc<(History, String)>);

impl Kept {
    fn new(history: History) -> Kept {
        let text = serde_json::to_string(&history).expect("a history serialises");
        Kept(Arc::new((history, text)))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        self.0.1 == other.0.1
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.1.hash(state);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    table: Option<Kept>,
    clock: i64,
    workers: Vec<Worker>,
    dynamics: Dynamics,
    /// The newest version that was stored; 0 when none was.
    newest: u8,
    /// Whether the newer record was stored while an update with the older one was under way.
    is_overtaken: bool,
    /// The content of each request whose delivery was stored.
    stored: BTreeMap<Key, u8>,
    crashes: u8,
    faults: u8,
    /// How often the integration can still turn out not to load.
    unloadable: u8,
    /// How often Dynamics still refuses for good what was made of the first version.
    refusals: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Dynamics {
    is_started: bool,
    is_ended: bool,
    is_created: bool,
    /// The version that was written last; 0 when none was.
    content: u8,
    was_updated_before_started: bool,
    /// Whether an older version was written over a newer one by an update whose sender waited for the answer.
    went_back: bool,
    /// Updates that were given up on: their versions, and until when they may still be carried out.
    late: Vec<(u8, i64)>,
    /// Whether no answer has come to an update, so that a newer one may be sent twice.
    outlasts: bool,
    /// Whether such an update wrote an older version over a newer one.
    was_late: bool,
    /// Whether something was sent once more after its delivery was stored, for no newer record's sake.
    was_sent_again: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    event: Event,
    /// How often its event still comes.
    comes: u8,
    at: Phase,
    /// A run of a worker is told from the next by its number.
    run: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Start,
    /// The contact record of this version.
    Record(u8),
    Redelivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Start,
    End,
    Update,
    Create,
}

const KEYS: [Key; 4] = [Key::Start, Key::End, Key::Update, Key::Create];

/// A request that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Request {
    key: Key,
    /// The version in its body; 0 when no record has come.
    content: u8,
    /// The contact record that the history had when it was made.
    made_of: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Its event has not come, or comes again, or was taken.
    Idle,
    /// It holds the lease and is to send this request.
    Holds(Request),
    /// The request has arrived.
    Sent(Request),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Taken,
    /// It was never sent, or may have been done: sending it again is harmless.
    Lost,
    /// It is slow, and has not been done yet.
    Slow,
    /// Dynamics refuses it for good, and has done nothing.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    /// Its event comes and is stored.
    Comes(usize),
    /// So it is while the contact's integration cannot be loaded.
    Parks(usize),
    /// The request arrives.
    Arrives(usize),
    /// What the worker takes for the answer is stored.
    Stores(usize, Answer),
    /// An update that was given up on is carried out: that in this place.
    Lands(usize),
    Crash(usize),
    TimePasses,
}

#[derive(Clone, Copy, Debug)]
struct Contact {
    /// Whether the start's event comes at all.
    has_start: bool,
    /// How many requests or answers are lost.
    faults: u8,
    /// How often the integration cannot be loaded.
    unloadable: u8,
    /// How often Dynamics refuses what was made of the first version.
    refusals: u8,
}

/// All need the response of the start. Updates may be sent again, and nothing that creates.
#[derive(Default)]
struct Needs(WithoutStart);

impl Rules for Needs {
    fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need> {
        let start = step_key(Key::Start);
        let start = [start].into_iter().filter(|start| start != key);
        start.map(|start| (start, Need::Required)).collect()
    }

    fn requests(&self, key: &RequestKey) -> Vec<RequestKey> {
        let keys = match key.step() {
            Step::ContactStart => vec![Key::Start],
            Step::ContactEnd => vec![Key::End],
            _ => vec![Key::Update, Key::Create],
        };
        keys.into_iter().map(step_key).collect()
    }

    fn is_revisable(&self, key: &RequestKey) -> bool {
        matches!(key_of(key), Key::End | Key::Update)
    }

    fn without_start(&self) -> &WithoutStart {
        &self.0
    }
}

fn at(clock: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + clock).expect("a time")
}

fn step_key(key: Key) -> RequestKey {
    let completed = RequestKey::of(Step::ContactCompleted);
    match key {
        Key::Start => RequestKey::of(Step::ContactStart),
        Key::End => RequestKey::of(Step::ContactEnd),
        Key::Update => completed,
        Key::Create => completed.named("survey"),
    }
}

fn key_of(key: &RequestKey) -> Key {
    let keys = KEYS.into_iter();
    let mut keys = keys.filter(|it| step_key(*it) == *key);
    keys.next().expect("a key of the model")
}

fn record(version: u8) -> (Attributes, Option<Timestamp>) {
    let attributes = json!({"record": {"Version": version.to_string()}});
    let attributes = serde_json::from_value(attributes).expect("attributes");
    (attributes, Some(at(i64::from(version) - 100)))
}

impl Request {
    fn new(key: Key, history: &History) -> Request {
        let attributes = history.attributes();
        let version = attributes.get("Version").and_then(|it| it.as_str());
        Request {
            key,
            content: version.map_or(0, |version| version.parse().expect("a version")),
            made_of: history.record_revision(),
        }
    }
}

impl World {
    fn history(&self) -> Option<&History> {
        self.table.as_ref().map(|kept| &kept.0.0)
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.history().and_then(History::wake_at)
    }

    fn state(&self, key: Key) -> Option<StepState> {
        self.history()?.state(&step_key(key))
    }

    fn is_anyone_alive(&self) -> bool {
        self.workers.iter().any(|worker| worker.at != Phase::Idle)
    }

    /// Whether nobody is at work, and nobody need look again at what the records that came have told.
    fn is_at_rest(&self) -> bool {
        self.newest > 0 && !self.is_anyone_alive() && self.wake_at().is_none()
    }

    /// Whether moreover every event was taken.
    fn is_settled(&self) -> bool {
        self.is_at_rest() && self.workers.iter().all(|worker| worker.comes == 0)
    }

    fn is_all_delivered(&self) -> bool {
        KEYS.into_iter()
            .all(|key| self.state(key) == Some(StepState::Delivered))
    }

    /// Whether Dynamics holds all that the newest record that came tells.
    fn is_complete(&self) -> bool {
        let dynamics = &self.dynamics;
        dynamics.is_started
            && dynamics.is_ended
            && dynamics.is_created
            && dynamics.content == self.newest
    }

    /// Whether something was refused, and no newer record has come.
    fn is_refused(&self) -> bool {
        let has_failed = |key| self.state(key) == Some(StepState::Failed);
        self.newest == 1 && (has_failed(Key::Update) || has_failed(Key::Create))
    }

    /// Changes the history, stores it with the worker's claim, and sends what is next if the lease is its own.
    fn write(&mut self, worker: usize, change: impl FnOnce(&mut History, Timestamp)) {
        let (now, until) = (at(self.clock), at(self.clock + LEASE));
        let holder = format!("{worker}.{}", self.workers[worker].run);
        let mut history = self.newest_history();
        change(&mut history, now);
        history.claim(&holder, until, &Needs::default(), now);
        let is_ours = history.is_held_by(&holder, now);
        self.workers[worker].at = match history.next(&Needs::default(), now) {
            Next::Deliver(next) if is_ours => Phase::Holds(Request::new(key_of(&next), &history)),
            _ => Phase::Idle,
        };
        self.table = Some(Kept::new(history));
    }

    fn newest_history(&self) -> History {
        let history = self.history().cloned();
        history.unwrap_or_else(|| History::new(CONTACT, "a", at(0)))
    }

    /// A worker's event comes. Returns it.
    fn begin(&mut self, worker: usize) -> Event {
        let under_way: Vec<Phase> = self.workers.iter().map(|worker| worker.at).collect();
        let worker = &mut self.workers[worker];
        worker.comes = worker.comes.saturating_sub(1);
        worker.run += 1;
        if let Event::Record(version) = worker.event {
            self.newest = self.newest.max(version);
            self.is_overtaken |= under_way.iter().any(|at| {
                matches!(at, Phase::Sent(request)
                    if request.key == Key::Update && request.content < version)
            });
        }
        worker.event
    }
}

impl Event {
    /// What the event adds to the history when the integration can be loaded, and when it cannot.
    fn apply(self, history: &mut History, is_loaded: bool, now: Timestamp) {
        let completed = step_key(Key::Update);
        match self {
            Event::Start => {
                history.learn(Step::ContactStart, &Attributes::default());
                history.intend(&step_key(Key::Start), now);
            }
            Event::Record(version) => {
                let (attributes, updated_at) = record(version);
                let is_new = history.learn_record(&attributes, updated_at);
                for key in [Key::End, Key::Start].map(step_key) {
                    if history.state(&key).is_none() {
                        history.intend(&key, now);
                    }
                }
                match (is_new, is_loaded) {
                    (true, true) => history.revise(&completed, &Needs::default(), now),
                    (true, false) => history.revise_later(),
                    (false, _) => {}
                }
                history.intend(&completed, now);
            }
            Event::Redelivery => {}
        }
    }
}

impl Dynamics {
    fn take(&mut self, request: Request, stored: Option<u8>) {
        let is_newer = |content| request.key == Key::Update && request.content > content;
        let outlasts = request.key == Key::Update && self.outlasts;
        self.was_sent_again |= stored.is_some_and(|content| !is_newer(content)) && !outlasts;
        self.was_updated_before_started |= request.key != Key::Start && !self.is_started;
        match request.key {
            // The id is ours: the second time the record is there already.
            Key::Start => self.is_started = true,
            Key::End => self.is_ended = true,
            Key::Update => {
                self.went_back |= request.content < self.content;
                self.content = request.content;
            }
            Key::Create => self.is_created = true,
        }
    }
}

impl Model for Contact {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let worker = |event, comes| Worker {
            event,
            comes,
            at: Phase::Idle,
            run: 0,
        };
        vec![World {
            table: None,
            clock: 0,
            workers: vec![
                worker(Event::Start, u8::from(self.has_start)),
                worker(Event::Record(1), 2),
                worker(Event::Record(2), 1),
                worker(Event::Redelivery, 0),
            ],
            dynamics: Dynamics::default(),
            newest: 0,
            is_overtaken: false,
            stored: BTreeMap::new(),
            crashes: 1,
            faults: self.faults,
            unloadable: self.unloadable,
            refusals: self.refusals,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let wake_at = world.wake_at();
        let is_due = wake_at.is_some_and(|wake_at| wake_at <= at(world.clock));
        for (index, worker) in world.workers.iter().enumerate() {
            if worker.at != Phase::Idle && world.crashes > 0 {
                actions.push(Action::Crash(index));
            }
            let lost = (world.faults > 0).then_some(Action::Stores(index, Answer::Lost));
            match worker.at {
                Phase::Idle => {
                    if worker.comes > 0 || worker.event == Event::Redelivery && is_due {
                        actions.push(Action::Comes(index));
                        if world.unloadable > 0 {
                            actions.push(Action::Parks(index));
                        }
                    }
                }
                Phase::Holds(request) => {
                    actions.push(Action::Arrives(index));
                    actions.extend(lost);
                    let is_of_first =
                        matches!(request.key, Key::Update | Key::Create) && request.content == 1;
                    if world.faults > 0 && request.key == Key::Update {
                        actions.push(Action::Stores(index, Answer::Slow));
                    }
                    if world.refusals > 0 && is_of_first {
                        actions.push(Action::Stores(index, Answer::Refused));
                    }
                }
                Phase::Sent(_) => {
                    actions.push(Action::Stores(index, Answer::Taken));
                    actions.extend(lost);
                }
            }
        }
        actions.extend((0..world.dynamics.late.len()).map(Action::Lands));
        if wake_at.is_some() && !is_due && !world.is_anyone_alive() {
            actions.push(Action::TimePasses);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let now = at(world.clock);
        match action {
            Action::Comes(index) => {
                let event = world.begin(index);
                world.write(index, |history, now| event.apply(history, true, now));
            }
            Action::Parks(index) => {
                let event = world.begin(index);
                let mut history = world.newest_history();
                event.apply(&mut history, false, now);
                history.park("no such", SignedDuration::from_hours(72), now);
                world.table = Some(Kept::new(history));
                world.unloadable -= 1;
            }
            Action::Arrives(index) => {
                let Phase::Holds(request) = world.workers[index].at else {
                    return None;
                };
                let stored = world.stored.get(&request.key).copied();
                world.dynamics.take(request, stored);
                world.workers[index].at = Phase::Sent(request);
            }
            Action::Stores(index, answer) => {
                let (Phase::Holds(request) | Phase::Sent(request)) = world.workers[index].at else {
                    return None;
                };
                let key = step_key(request.key);
                world.write(index, |history, now| {
                    match answer {
                        Answer::Taken => history.delivered(&key, Some(CONTACT), None, now),
                        Answer::Lost | Answer::Slow => {
                            let due = now + SignedDuration::from_secs(5);
                            history.postponed(&key, "lost".into(), due, now);
                            if request.key == Key::Update {
                                history.unanswered(&key, request.made_of, now);
                            }
                        }
                        Answer::Refused => history.failed(&key, "refused".into(), now),
                    }
                    history.made_of(&key, request.made_of, &Needs::default(), now);
                });
                match answer {
                    Answer::Taken => {
                        world.stored.insert(request.key, request.content);
                    }
                    Answer::Lost => {
                        world.faults -= 1;
                        world.dynamics.outlasts |= request.key == Key::Update;
                    }
                    Answer::Slow => {
                        world.faults -= 1;
                        let until = world.clock + MAY_STILL_BE_DONE.as_secs();
                        world.dynamics.late.push((request.content, until));
                        world.dynamics.outlasts = true;
                    }
                    Answer::Refused => world.refusals -= 1,
                }
            }
            Action::Lands(index) => {
                let (content, _) = world.dynamics.late.remove(index);
                world.dynamics.was_late |= content < world.dynamics.content;
                world.dynamics.content = content;
            }
            Action::Crash(index) => {
                world.crashes -= 1;
                world.workers[index].at = Phase::Idle;
            }
            Action::TimePasses => {
                world.clock = last.wake_at()?.as_second() - at(0).as_second();
                let clock = world.clock;
                world.dynamics.late.retain(|(_, until)| *until > clock);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("at rest, the newest record is in Dynamics", |_, world| {
                !world.is_at_rest() || world.is_complete() || world.is_refused()
            }),
            Property::<Self>::always("at rest, the table says so", |_, world| {
                !world.is_at_rest() || world.is_all_delivered() || world.is_refused()
            }),
            Property::<Self>::always("nothing is pending that nobody will look at", |_, world| {
                let is_pending = world
                    .history()
                    .is_some_and(|history| history.count(StepState::Pending) > 0);
                !is_pending || world.wake_at().is_some()
            }),
            Property::<Self>::always("no record is updated before it is made", |_, world| {
                !world.dynamics.was_updated_before_started
            }),
            Property::<Self>::always("no version is written over a newer one", |_, world| {
                !world.dynamics.went_back
            }),
            Property::<Self>::always("only a newer record's update is sent again", |_, world| {
                !world.dynamics.was_sent_again
            }),
            Property::<Self>::always("one worker at a time sends", |_, world| {
                let sending = world
                    .workers
                    .iter()
                    .filter(|worker| matches!(worker.at, Phase::Holds(_) | Phase::Sent(_)));
                sending.count() <= 1
            }),
            Property::<Self>::eventually("the contact is settled", |_, world| {
                world.is_settled() && world.is_complete() && world.is_all_delivered()
            }),
            Property::<Self>::sometimes("a record makes good the start", |model, world| {
                let is_to_come = world.workers[0].comes > 0;
                world.dynamics.is_started && (is_to_come || !model.has_start)
            }),
            Property::<Self>::sometimes("a newer record overtakes and wins", |_, world| {
                world.is_overtaken && world.is_settled() && world.is_complete()
            }),
            Property::<Self>::sometimes("a late update is outlasted", |_, world| {
                world.dynamics.was_late && world.is_settled() && world.is_complete()
            }),
            Property::<Self>::sometimes("all that goes wrong is survived", |_, world| {
                let left = world.crashes + world.faults + world.unloadable + world.refusals;
                left == 0 && world.is_settled() && world.is_complete()
            }),
        ]
    }
}

fn check(model: Contact) {
    let checker = model.checker().threads(2);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > 1_000, "{states}");
    println!("{states} states");
}

#[test]
fn the_newest_of_two_records_wins_in_every_order() {
    check(Contact {
        has_start: true,
        faults: 1,
        unloadable: 0,
        refusals: 0,
    });
}

#[test]
fn a_record_makes_good_a_start_that_never_comes() {
    check(Contact {
        has_start: false,
        faults: 2,
        unloadable: 0,
        refusals: 0,
    });
}

#[test]
fn a_newer_record_makes_good_what_was_refused() {
    check(Contact {
        has_start: false,
        faults: 1,
        unloadable: 0,
        refusals: 1,
    });
}

#[test]
fn a_record_that_comes_while_the_integration_cannot_be_loaded_is_not_lost() {
    check(Contact {
        has_start: false,
        faults: 1,
        unloadable: 1,
        refusals: 0,
    });
}
