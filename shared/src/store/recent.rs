//! Contacts by the day on which they began, for whoever looks for one: the index `recent`.
//!
//! Owns what the index holds of a contact, how it is searched, and how a contact is forgotten. A contact's
//! entry is part of its item and so is written with it. Contacts that were stored before there was the index
//! are not in it; their next write adds them.
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `day` | S, partition key | the UTC day on which a function was first invoked for the contact: `2026-11-28` |
//! | `startedAt` | N, sort key | when that was, in ms |
//! | `state` | S | the worst of its requests' states: failed, pending, delivered, skipped |
//! | `integration` | S | its integration's name |
//! | `customer` | S | the customer's number or address |
//! | `channel`, `direction` | S | `VOICE`, `CHAT`, ...; `inbound` or `outbound` |
//! | `records` | SS | ids of its records in Dynamics, but for one that is the contact's own id |
//!
//! A search goes back day by day from a [`Place`], and each call reads so much at the most
//! ([`MOST_QUERIES`], [`MOST_ENTRIES`]) and says where the next one goes on. What it compares, it compares
//! here and not in DynamoDB, which reads as much either way.

use std::{fmt, str::FromStr, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::Value as Json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Item, Store, StoreError, contact_key, number, text};
use crate::{
    contact,
    history::{History, State},
};

/// The most queries of one call: with no contacts it looks back so many days.
pub const MOST_QUERIES: usize = 45;
/// By how much the clock of an operator's machine may be ahead of the functions'.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);
/// The most entries that one call reads before it says where the next one goes on.
pub const MOST_ENTRIES: usize = 20_000;
/// How many entries of a day are read at a time when only some of them are wanted.
const PAGE: usize = 1000;
/// How often a contact that changes while it is forgotten is read again.
const TRIES: usize = 3;

/// What the index holds of a contact.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    pub contact_id: Uuid,
    pub started_at: Timestamp,
    pub state: State,
    pub integration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Uuid>,
}

/// Which contacts are wanted: those that are all of this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<State>,
    pub integration: Option<String>,
    pub customer: Option<Customer>,
    /// The id of the contact, of one of its records in Dynamics or, in a chat, of the customer.
    pub id: Option<Uuid>,
}

/// A customer's number or address, to compare others with: `+1 (555) 555-0100` and `0015555550100` are one
/// number, and the case of an address does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    comparable: String,
    /// Whether a number without a country code means whatever ends with it.
    is_loose: bool,
}

/// A number of fewer digits is not taken for the end of another one.
const LEAST_DIGITS: usize = 6;

/// Where a search goes on: on this day, after this contact. As text it is opaque to all but this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    day: Date,
    after: Option<(i64, Uuid)>,
}

/// What a call of a search has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The newest first.
    pub contacts: Vec<Recent>,
    /// Where to go on; none when everything has been looked at.
    pub next: Option<Place>,
}

/// What a call of a scan has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Contacts with this customer.
    pub contacts: Vec<Uuid>,
    /// Contacts with another customer in which the number or address stands somewhere all the same.
    pub mentions: Vec<Uuid>,
    /// Items of contacts that cannot be read, by their keys.
    pub unreadable: Vec<String>,
    /// How many contacts were looked at.
    pub looked_at: usize,
    /// Where to go on; none when the whole table has been looked at.
    pub next: Option<String>,
}

/// What has become of a contact that is to be forgotten.
#[derive(Debug, Clone, PartialEq)]
pub enum Forgotten {
    /// It is gone. This is what was known of it.
    Gone(Box<History>),
    /// Nothing was known of it.
    Unknown,
    /// A worker is at work on it until then at the latest; nothing has changed.
    InUse(Timestamp),
}

/// The attributes of a contact's item that the index is made of.
pub(super) fn attributes(history: &History) -> Vec<(&'static str, AttributeValue)> {
    let started_at = history.first_invoked();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut attributes = vec![
        ("day", text(&day_of(started_at).to_string())),
        (
            "startedAt",
            AttributeValue::N(started_at.as_millisecond().to_string()),
        ),
        ("state", text(history.state_of_all().as_str())),
        ("integration", text(history.integration())),
    ];
    let channel = history.channel();
    let direction = history.initiation_method();
    let direction = direction.map(|method| contact::direction(method, channel));
    for (name, value) in [
        ("customer", history.customer_address()),
        ("channel", channel),
        ("direction", direction),
    ] {
        attributes.extend(value.map(|value| (name, text(value))));
    }
    let mut records = history.record_ids();
    records.remove(&history.contact_id());
    if !records.is_empty() {
        let records = records.into_iter().map(|id| id.to_string()).collect();
        attributes.push(("records", AttributeValue::Ss(records)));
    }
    attributes
}

/// The UTC day of a moment.
fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

impl Recent {
    /// What the index would hold of a history.
    pub fn of(history: &History) -> Option<Recent> {
        let mut item: Item = attributes(history)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let key = AttributeValue::S(contact_key(history.contact_id()));
        item.insert("pk".into(), key);
        Recent::read(&item)
    }

    fn read(item: &Item) -> Option<Recent> {
        let records = item.get("records").and_then(|it| it.as_ss().ok());
        let records = records.into_iter().flatten();
        let owned = |name: &str| text(item, name).map(str::to_owned);
        Some(Recent {
            contact_id: Uuid::try_parse(text(item, "pk")?.strip_prefix("CONTACT#")?).ok()?,
            started_at: Timestamp::from_millisecond(number(item, "startedAt")?).ok()?,
            state: text(item, "state")?.parse().ok()?,
            integration: owned("integration")?,
            customer: owned("customer"),
            channel: owned("channel"),
            direction: owned("direction"),
            records: records.filter_map(|id| Uuid::try_parse(id).ok()).collect(),
        })
    }

    fn place(&self) -> Place {
        Place {
            day: day_of(self.started_at),
            after: Some((self.started_at.as_millisecond(), self.contact_id)),
        }
    }
}

impl Filter {
    fn takes_all(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether a contact is wanted.
    pub fn takes(&self, contact: &Recent) -> bool {
        let is_id = |id: &Uuid| {
            let customer = contact.customer.as_deref().map(Uuid::try_parse);
            contact.contact_id == *id || contact.records.contains(id) || customer == Some(Ok(*id))
        };
        let is_customer = |customer: &Customer| {
            let address = contact.customer.as_deref();
            address.is_some_and(|address| customer.is(address))
        };
        self.state.is_none_or(|state| contact.state == state)
            && self
                .integration
                .as_ref()
                .is_none_or(|name| contact.integration == *name)
            && self.customer.as_ref().is_none_or(is_customer)
            && self.id.as_ref().is_none_or(is_id)
    }
}

impl Customer {
    /// This number or address and no other.
    pub fn exactly(text: &str) -> Customer {
        Customer {
            comparable: comparable(text),
            is_loose: false,
        }
    }

    /// This number or address; without a country code, any number that ends so.
    pub fn like(text: &str) -> Customer {
        let whole = comparable(text);
        let national = whole.trim_start_matches('0');
        let is_loose =
            national.len() >= LEAST_DIGITS && national.bytes().all(|it| it.is_ascii_digit());
        Customer {
            comparable: if is_loose { national.to_owned() } else { whole },
            is_loose,
        }
    }

    /// Whether an address is this customer's.
    pub fn is(&self, address: &str) -> bool {
        let other = comparable(address);
        !self.comparable.is_empty()
            && (other == self.comparable || self.is_loose && other.ends_with(&self.comparable))
    }
}

/// A number without what only divides it, and anything else without its case.
fn comparable(address: &str) -> String {
    let address = address.trim();
    let address = address.strip_prefix("tel:").unwrap_or(address);
    let dividers = [' ', '-', '(', ')', '.', '/', '\u{a0}'];
    let is_number = address.bytes().any(|it| it.is_ascii_digit())
        && address
            .chars()
            .all(|it| it.is_ascii_digit() || it == '+' || dividers.contains(&it));
    if !is_number {
        return address.to_lowercase();
    }
    let number = address.replace(dividers, "");
    match number.strip_prefix("00") {
        Some(international) => format!("+{international}"),
        None => number,
    }
}

impl Place {
    /// The newest contact of a day.
    pub fn of_day(day: Date) -> Place {
        Place { day, after: None }
    }

    /// The newest contact there is. Clocks differ, so it is looked for a little in the future.
    pub fn newest(now: Timestamp) -> Place {
        let soon = now.saturating_add(1.hour()).unwrap_or(now);
        Place::of_day(day_of(soon))
    }

    /// The day on which the search goes on.
    pub fn day(&self) -> Date {
        self.day
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.day)?;
        match self.after {
            Some((at, contact_id)) => write!(f, ".{at}.{contact_id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let wrong = || "it is no place in the list of contacts".to_owned();
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next();
        let day = part().and_then(|day| day.parse().ok()).ok_or_else(wrong)?;
        let after = match (part(), part()) {
            (None, _) => None,
            (Some(at), Some(id)) => {
                let after = at.parse().ok().zip(Uuid::try_parse(id).ok());
                Some(after.ok_or_else(wrong)?)
            }
            (Some(_), None) => return Err(wrong()),
        };
        Ok(Place { day, after })
    }
}

impl Store {
    /// Looks for contacts from a place back to a day, the newest first, until `most` are found, or as much was
    /// read as one call may.
    ///
    /// # Errors
    /// [`StoreError`], [`StoreError::NotListed`] where the table has no such index; never
    /// [`StoreError::Conflict`].
    pub async fn recent(
        &self,
        filter: &Filter,
        from: Place,
        until: Date,
        most: usize,
    ) -> Result<Found, StoreError> {
        let mut contacts: Vec<Recent> = Vec::new();
        let mut place = from;
        let mut read = 0;
        for _ in 0..MOST_QUERIES {
            if place.day < until {
                return Ok(Found {
                    contacts,
                    next: None,
                });
            }
            if read >= MOST_ENTRIES {
                break;
            }
            let limit = if filter.takes_all() {
                (most - contacts.len()).saturating_add(1)
            } else {
                PAGE
            };
            let (entries, after) = self.day(place, limit).await?;
            read += entries.len();
            for entry in entries.into_iter().filter(|entry| filter.takes(entry)) {
                match contacts.last() {
                    Some(last) if contacts.len() >= most => {
                        let next = Some(last.place());
                        return Ok(Found { contacts, next });
                    }
                    _ => contacts.push(entry),
                }
            }
            place = match after {
                Some(after) => after,
                None => match place.day.yesterday() {
                    Ok(day) => Place::of_day(day),
                    Err(_) => {
                        return Ok(Found {
                            contacts,
                            next: None,
                        });
                    }
                },
            };
        }
        Ok(Found {
            contacts,
            next: Some(place),
        })
    }

    /// The entries of a day from a place on, the newest first, and where the day goes on.
    async fn day(
        &self,
        place: Place,
        limit: usize,
    ) -> Result<(Vec<Recent>, Option<Place>), StoreError> {
        let day = AttributeValue::S(place.day.to_string());
        let after = place.after.map(|(at, contact_id)| {
            Item::from([
                ("pk".into(), AttributeValue::S(contact_key(contact_id))),
                ("day".into(), day.clone()),
                ("startedAt".into(), AttributeValue::N(at.to_string())),
            ])
        });
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("recent")
            .key_condition_expression("#day = :day")
            // It is a reserved word.
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":day", day)
            .set_exclusive_start_key(after)
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let page = query.send().await.map_err(|error| self.error(&error))?;
        let entries = page.items().iter().filter_map(Recent::read).collect();
        let key = page.last_evaluated_key();
        let next = key.and_then(|key| {
            let id = text(key, "pk")?.strip_prefix("CONTACT#")?;
            Some(Place {
                day: place.day,
                after: Some((number(key, "startedAt")?, Uuid::try_parse(id).ok()?)),
            })
        });
        Ok((entries, next))
    }

    /// Looks through all items for a customer's contacts, also those that are not in the index, for some time.
    /// `from` is where a call before has ended.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn scan_for(
        &self,
        customer: &Customer,
        from: Option<String>,
        time: Duration,
    ) -> Result<Scanned, StoreError> {
        let until = Instant::now() + time;
        let mut scanned = Scanned {
            next: from,
            ..Scanned::default()
        };
        loop {
            let after = scanned.next.take();
            let after = after.map(|key| Item::from([("pk".into(), AttributeValue::S(key))]));
            let scan = self
                .client
                .scan()
                .table_name(&self.table)
                .filter_expression("begins_with(pk, :contact)")
                .expression_attribute_values(":contact", AttributeValue::S("CONTACT#".into()))
                .projection_expression("pk, history")
                .set_exclusive_start_key(after);
            let page = scan.send().await.map_err(|error| self.error(&error))?;
            for item in page.items() {
                scanned.add(item, customer);
            }
            let key = page.last_evaluated_key();
            scanned.next = key.and_then(|key| text(key, "pk").map(str::to_owned));
            if scanned.next.is_none() || Instant::now() >= until {
                return Ok(scanned);
            }
        }
    }

    /// Deletes all that is known of a contact, unless a worker is at work on it. What is in Dynamics stays
    /// there, and an event of the contact that comes afterwards begins anew.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the contact changes all the time.
    pub async fn forget(&self, contact_id: Uuid) -> Result<Forgotten, StoreError> {
        let mut before = None;
        for _ in 0..TRIES {
            let Some(stored) = self.load(contact_id).await? else {
                // An answer was lost, and the client has repeated what was done already.
                return Ok(before.map_or(Forgotten::Unknown, Forgotten::Gone));
            };
            let lease = stored.history.lease();
            let is_held = |until: Timestamp| until + CLOCKS_DIFFER > Timestamp::now();
            if let Some(lease) = lease.filter(|lease| is_held(lease.until)) {
                return Ok(Forgotten::InUse(lease.until));
            }
            let version = AttributeValue::N(stored.version.to_string());
            let delete = self
                .client
                .delete_item()
                .table_name(&self.table)
                .key("pk", AttributeValue::S(contact_key(contact_id)))
                .condition_expression("version = :version")
                .expression_attribute_values(":version", version);
            match delete.send().await.map_err(|error| self.error(&error)) {
                Ok(_) => return Ok(Forgotten::Gone(Box::new(stored.history))),
                Err(StoreError::Conflict) => before = Some(Box::new(stored.history)),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }
}

impl Scanned {
    /// Looks at a contact's item.
    fn add(&mut self, item: &Item, customer: &Customer) {
        self.looked_at += 1;
        let key = text(item, "pk").unwrap_or_default();
        let id = key.strip_prefix("CONTACT#").map(Uuid::try_parse);
        let history = text(item, "history").map(serde_json::from_str::<Json>);
        let (Some(Ok(id)), Some(Ok(history))) = (id, history) else {
            self.unreadable.push(key.to_owned());
            return;
        };
        let layers = history["attributes"].as_object().into_iter().flatten();
        let mut addresses = layers.filter_map(|(_, layer)| {
            let address = &layer["record"]["CustomerEndpoint"]["Address"];
            address.as_str()
        });
        if addresses.any(|address| customer.is(address)) {
            self.contacts.push(id);
        } else if mentions(&history, customer) {
            self.mentions.push(id);
        }
    }
}

/// Whether a text somewhere is the customer's number or address.
fn mentions(value: &Json, customer: &Customer) -> bool {
    match value {
        Json::String(text) => customer.is(text),
        Json::Array(values) => values.iter().any(|value| mentions(value, customer)),
        Json::Object(fields) => fields.values().any(|value| mentions(value, customer)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::RequestKey, step::Step};
    use serde_json::json;

    const ID: Uuid = Uuid::from_u128(7);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    fn told(fields: Json) -> contact::Attributes {
        serde_json::from_value(json!({ "record": fields })).unwrap()
    }

    #[test]
    fn the_entry_says_when_who_what_and_how_it_stands() {
        let mut history = History::new(ID, "emea", at(0));
        let start = RequestKey::of(Step::ContactStart);
        history.learn(
            Step::ContactStart,
            &told(
                json!({"CustomerEndpoint": {"Address": "+15555550100"}, "Channel": "VOICE", "InitiationMethod": "API"}),
            ),
        );
        history.intend(&start, at(0));
        let entry = |history: &History| Recent::of(history).unwrap();
        let first = entry(&history);
        assert_eq!(
            first,
            Recent {
                contact_id: ID,
                started_at: at(0),
                state: State::Pending,
                integration: "emea".into(),
                customer: Some("+15555550100".into()),
                channel: Some("VOICE".into()),
                direction: Some("outbound".into()),
                records: vec![],
            }
        );
        assert_eq!(
            attributes(&history)[0].1,
            AttributeValue::S("2026-02-02".into())
        );
        history.delivered(&start, Some(ID), None, at(1));
        assert_eq!(entry(&history).state, State::Delivered);
        assert!(entry(&history).records.is_empty(), "it is the contact's id");

        let end = RequestKey::of(Step::ContactEnd);
        history.intend(&end, at(2));
        history.delivered(&end, Some(Uuid::from_u128(8)), None, at(3));
        assert_eq!(entry(&history).records, [Uuid::from_u128(8)]);
        let answered = RequestKey::of(Step::ContactAnswered);
        history.intend(&answered, at(2));
        assert_eq!(entry(&history).state, State::Pending);
        history.failed(&answered, "no".into(), at(3));
        assert_eq!(
            entry(&history).state,
            State::Failed,
            "the worst tells of all"
        );
    }

    #[test]
    fn what_nobody_has_told_is_left_out() {
        let mut history = History::new(ID, "default", at(0));
        history.skip(&RequestKey::of(Step::ContactEnd), "no", at(0));
        let names: Vec<_> = attributes(&history).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["day", "startedAt", "state", "integration"]);
        assert_eq!(Recent::of(&history).unwrap().state, State::Skipped);
    }

    #[test]
    fn numbers_are_compared_without_what_divides_them() {
        for (sought, address, exactly, like) in [
            ("+1 (555) 555-0100", "+15555550100", true, true),
            ("0015555550100", "+15555550100", true, true),
            ("tel:+15555550100", "+1 555 555 0100", true, true),
            ("555 555 0100", "+15555550100", false, true),
            ("0171 1234567", "+491711234567", false, true),
            ("0100", "+15555550100", false, false),
            ("+5550100", "+15555550100", false, false),
            ("Ada@Example.com", "ada@example.com", true, true),
            ("example.com", "ada@example.com", false, false),
            ("", "", false, false),
        ] {
            assert_eq!(
                (
                    Customer::exactly(sought).is(address),
                    Customer::like(sought).is(address)
                ),
                (exactly, like),
                "{sought}"
            );
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is_one() {
        for place in [
            Place::newest(at(0)),
            Recent::of(&History::new(ID, "default", at(0)))
                .unwrap()
                .place(),
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "x", "2026-02-02.1", "2026-02-02.x.y", "2026-13-02"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_scan_tells_a_customers_contacts_from_those_that_mention_the_number() {
        let item = |id: u128, history: &str| {
            Item::from([
                (
                    "pk".into(),
                    AttributeValue::S(contact_key(Uuid::from_u128(id))),
                ),
                ("history".into(), AttributeValue::S(history.into())),
            ])
        };
        let customer = Customer::exactly("+15555550100");
        let mut scanned = Scanned::default();
        for (id, history) in [
            (
                1,
                json!({"attributes": {"contact-end": {"record": {"CustomerEndpoint": {"Address": "+1 555 555 0100"}}}}}),
            ),
            (
                2,
                json!({"attributes": {"contact-start": {"user": {"callback": "+15555550100"}}}}),
            ),
            (3, json!({"attributes": {}})),
        ] {
            scanned.add(&item(id, &history.to_string()), &customer);
        }
        scanned.add(&item(4, "{"), &customer);
        assert_eq!(
            scanned,
            Scanned {
                contacts: vec![Uuid::from_u128(1)],
                mentions: vec![Uuid::from_u128(2)],
                unreadable: vec![contact_key(Uuid::from_u128(4))],
                looked_at: 4,
                next: None,
            }
        );
    }
}
