//! Contacts: how they are found, and how their failed requests are delivered again. Pages and commands show
//! the same, and get it here.
//!
//! | module | what it owns |
//! |---|---|
//! | [`timeline`] | what became of one contact, event by event and request by request |
//! | [`reason`] | a request's reason in plain words, and what to do about it |
//! | [`forget`] | what goes when a contact is forgotten, and what stays |

pub mod forget;
pub mod reason;
pub mod timeline;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use connect_dynamics::{
    history::{History, State},
    integration::Integration,
    store::{
        StoreError,
        recent::{Customer, Filter, Found, Place, Recent},
    },
};
use jiff::{Timestamp, ToSpan, civil::Date};
use uuid::Uuid;

use crate::deployment::Deployment;

/// A contact is remembered for ten years at the most.
const LONGEST_DAYS: i64 = 3650;

/// What an operator looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// The id of a contact or of a record.
    Id(Uuid),
    /// A customer's number or address.
    Customer(String),
}

impl Sought {
    /// Reads what was typed or pasted: an id, a number or an address; also the address of a page, of Amazon
    /// Connect or of Dynamics, that shows a contact or a record. None when there is nothing.
    pub fn read(text: &str) -> Option<Sought> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if let Ok(id) = Uuid::try_parse(text) {
            return Some(Sought::Id(id));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let parts = text.split(|it: char| !it.is_ascii_hexdigit() && it != '-');
            let mut ids = parts.filter_map(|part| Uuid::try_parse(part).ok());
            if let Some(id) = ids.next_back() {
                return Some(Sought::Id(id));
            }
        }
        Some(Sought::Customer(text.to_owned()))
    }

    /// The contacts that are meant.
    pub fn filter(&self) -> Filter {
        match self {
            Sought::Id(id) => Filter {
                id: Some(*id),
                ..Filter::default()
            },
            Sought::Customer(text) => Filter {
                customer: Some(Customer::like(text)),
                ..Filter::default()
            },
        }
    }
}

/// Lists contacts, the newest first: those of a day, or all from a place on.
///
/// # Errors
/// [`StoreError`], never [`StoreError::Conflict`].
pub async fn list(
    deployment: &Deployment,
    filter: &Filter,
    day: Option<Date>,
    from: Option<Place>,
    most: usize,
) -> Result<Found, StoreError> {
    let newest = Place::newest(Timestamp::now());
    let from = from.unwrap_or_else(|| day.map_or(newest, Place::of_day));
    let oldest = newest.day().saturating_sub(LONGEST_DAYS.days());
    let until = day.unwrap_or(oldest);
    deployment.store.recent(filter, from, until, most).await
}

/// A contact by its id, whether or not it is in the index.
///
/// # Errors
/// [`StoreError`], never [`StoreError::Conflict`].
pub async fn by_id(deployment: &Deployment, id: Uuid) -> Result<Option<Recent>, StoreError> {
    let stored = deployment.store.load(id).await?;
    Ok(stored.and_then(|stored| Recent::of(&stored.history)))
}

/// What has become of a contact that was to be delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveredAgain {
    /// Its failed requests were tried. This is how the contact stands now.
    Tried(State),
    /// No request of it has failed; this is how it stands.
    NothingFailed(State),
    /// A request of it may have been carried out, and could be done twice. Nobody has tried it.
    LeftOut,
    /// Nothing is known of it.
    Unknown,
    /// It could not be tried, and why.
    NotTried(String),
}

/// Has a contact's failed requests delivered again. Those that may have been done already are sent again only
/// if `also_in_doubt` says so.
///
/// # Errors
/// [`StoreError`] when the contact cannot be read, never [`StoreError::Conflict`].
pub async fn deliver_again(
    deployment: &Deployment,
    id: Uuid,
    also_in_doubt: bool,
) -> Result<DeliveredAgain, StoreError> {
    let state = async || {
        let stored = deployment.store.load(id).await?;
        Ok::<_, StoreError>(stored.map(|stored| stored.history))
    };
    let Some(before) = state().await? else {
        return Ok(DeliveredAgain::Unknown);
    };
    if before.state_of_all() != State::Failed {
        return Ok(DeliveredAgain::NothingFailed(before.state_of_all()));
    }
    if has_doubt(&before) && !also_in_doubt {
        return Ok(DeliveredAgain::LeftOut);
    }
    if let Err(error) = deployment.deliver_again(id).await {
        return Ok(DeliveredAgain::NotTried(error.to_string()));
    }
    let after = state().await?;
    Ok(match after {
        Some(after) => DeliveredAgain::Tried(after.state_of_all()),
        None => DeliveredAgain::Unknown,
    })
}

/// Whether a request of a contact has failed that may have been carried out.
pub fn has_doubt(history: &History) -> bool {
    let requests = history.in_order();
    let mut failed = requests
        .iter()
        .filter(|(_, request)| request.state == State::Failed);
    failed.any(|(_, request)| request.sent_at.is_some())
}

/// A record that is in Dynamics.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Record {
    pub id: Uuid,
    /// Its table's logical name; none where nobody knows it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The page that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The integrations that contacts belong to, each read once.
#[derive(Debug)]
pub struct Integrations<'a> {
    deployment: &'a Deployment,
    loaded: HashMap<String, Result<Arc<Integration>, String>>,
}

impl<'a> Integrations<'a> {
    pub fn of(deployment: &'a Deployment) -> Integrations<'a> {
        Integrations {
            deployment,
            loaded: HashMap::new(),
        }
    }

    /// An integration as it is in force; in place of it, why there is none to work with.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer, never [`StoreError::Conflict`].
    pub async fn get(
        &mut self,
        name: &str,
    ) -> Result<Result<Arc<Integration>, String>, StoreError> {
        Ok(match self.loaded.entry(name.to_owned()) {
            Entry::Occupied(loaded) => loaded.get().clone(),
            Entry::Vacant(place) => {
                let document = self.deployment.store.integration(name).await?;
                let loaded = match document {
                    None => Err(format!("there is no integration `{name}`")),
                    Some(document) => Integration::load(&document)
                        .map(Arc::new)
                        .map_err(|error| format!("the integration `{name}`: {error}")),
                };
                place.insert(loaded).clone()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_form_in_which_they_are_copied() {
        let id = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);
        for text in [
            "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90",
            " {5D3F6A1E-9C7B-4E52-8F0A-2B1C4D6E8F90} ",
            "https://example.crm.dynamics.com/main.aspx?appid=00000000-0000-0000-0000-000000000001&pagetype=entityrecord&etn=phonecall&id=5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90",
            "https://example.my.connect.aws/contact-trace-records/details/5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90?tz=UTC",
        ] {
            assert_eq!(Sought::read(text), Some(Sought::Id(id)), "{text}");
        }
        assert_eq!(
            Sought::read(" +1 555 555 0100"),
            Some(Sought::Customer("+1 555 555 0100".into()))
        );
        assert_eq!(Sought::read("  "), None);
    }
}
