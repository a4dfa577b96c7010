//! Who the agents are in Dynamics, as far as this process has looked them up.
//!
//! Owns for how long that is remembered: an agent answers call after call, and is looked for once. That
//! somebody was not found is remembered for a minute, as an administrator may just be adding them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::clock::Clock;

/// How long it is remembered that nobody was found.
const NOBODY: Duration = Duration::from_secs(60);
/// Of more agents than this the process forgets all, and looks for them again.
const MOST: usize = 5000;

/// A user, as templates see it, or why nobody is meant.
type User = Result<Map<String, Json>, String>;

/// See the [module](self).
#[derive(Debug)]
pub struct Agents {
    users: Mutex<HashMap<String, (User, Timestamp)>>,
    remember: Duration,
    clock: Clock,
}

impl Agents {
    /// Remembers users for so long.
    pub fn new(remember: Duration, clock: Clock) -> Agents {
        Agents {
            users: Mutex::default(),
            remember,
            clock,
        }
    }

    /// The user of an agent who has been looked for; none when it has been too long ago.
    pub fn get(&self, username: &str) -> Option<User> {
        let (user, looked_at) = self.lock().get(username).cloned()?;
        let life = if user.is_ok() {
            self.remember
        } else {
            self.remember.min(NOBODY)
        };
        (self.clock.since(looked_at) < life).then_some(user)
    }

    pub fn remember(&self, username: &str, user: &User) {
        let mut users = self.lock();
        if users.len() >= MOST {
            users.clear();
        }
        users.insert(username.to_owned(), (user.clone(), self.clock.now()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (User, Timestamp)>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
