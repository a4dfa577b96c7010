//! Links: one line of a body that makes its record point to another.
//!
//! Owns which lines these are: those whose whole value is `{{ Customer }}`, `{{ Agent.User }}`,
//! `{{ Agent.Owner }}` or `{{ Responses.<name> }}`. Which property a line sets is known when the record is:
//! `"regardingobjectid": "{{ Customer }}"` becomes `regardingobjectid_contact_phonecall@odata.bind` or
//! `regardingobjectid_account_phonecall@odata.bind`. What is not there is linked to nothing: the line is left
//! out. So is `{{ Customer if Direction == 'outbound' }}` of a contact that came in: who called and who was
//! called stand in two lines.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    contact::{INBOUND, OUTBOUND},
    dataverse::{
        Table,
        lookup::{LookupError, navigation_property},
    },
    template::{ResponseUse, Scope, Source},
};

/// The records that a body can link to.
#[derive(Debug, Clone, Default)]
pub struct Linkable {
    /// The tables that a customer can be found in; none where no customer is looked for.
    pub customers: Vec<Table>,
    /// The tables of the requests before, by the requests' names.
    pub responses: BTreeMap<String, Table>,
}

impl Linkable {
    /// The logical names of the tables that the record may be of which a value names; none when the value is
    /// not the whole name of a record.
    pub fn targets(&self, value: &Json) -> Option<Vec<String>> {
        let link = Link::read(value.as_str()?, self)?;
        Some(link.targets().into_iter().map(str::to_owned).collect())
    }
}

/// What a line links to.
#[derive(Debug, Clone)]
pub(super) struct Link {
    to: To,
    uses: ResponseUse,
    /// The one direction of contacts that it is for.
    direction: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum To {
    Customer(Vec<Table>),
    Agent(&'static str),
    Response(String, Table),
}

/// A record to link to.
struct Record {
    id: Uuid,
    entity_set: String,
    logical_name: String,
}

impl Link {
    /// Reads a value; none when it is not the whole name of a record.
    pub(super) fn read(source: &str, linkable: &Linkable) -> Option<Link> {
        let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let (inner, direction) = match inner.split_once(" if ") {
            Some((name, condition)) => (name.trim(), Some(direction(condition)?)),
            None => (inner, None),
        };
        let (to, source, field) = match inner {
            "Customer" if !linkable.customers.is_empty() => {
                let to = To::Customer(linkable.customers.clone());
                (to, Source::Customer, "id".to_owned())
            }
            "Agent.User" => (To::Agent("User"), Source::Agent, "id".to_owned()),
            "Agent.Owner" => (To::Agent("Owner"), Source::Agent, "id".to_owned()),
            inner => {
                let name = inner.strip_prefix("Responses.").or_else(|| {
                    let name = inner.strip_prefix("Responses[")?.strip_suffix(']')?.trim();
                    let in_quotes = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
                    in_quotes('\'').or_else(|| in_quotes('"'))
                })?;
                let table = linkable.responses.get(name)?;
                let to = To::Response(name.to_owned(), table.clone());
                (
                    to,
                    Source::Request(name.to_owned()),
                    table.primary_key.clone(),
                )
            }
        };
        Some(Link {
            to,
            uses: ResponseUse {
                source,
                field: Some(field),
            },
            direction,
        })
    }

    /// The response that it uses.
    pub(super) fn uses(&self) -> &ResponseUse {
        &self.uses
    }

    /// Checks that a lookup can point to at least one of the tables that the record may be of.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn check(&self, table: &str, column: &str) -> Result<(), LookupError> {
        let mut refusal = None;
        for target in self.targets() {
            match navigation_property(table, column, target) {
                Ok(_) => return Ok(()),
                Err(error) => refusal = Some(error),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Checks that the record can be of the table that a navigation property points to.
    ///
    /// # Errors
    /// [`LookupError::Property`] when it cannot.
    pub(super) fn check_target(
        &self,
        property: &str,
        target: Option<&str>,
    ) -> Result<(), LookupError> {
        let targets = self.targets();
        match (target, targets.first()) {
            (Some(target), Some(first)) if !targets.contains(&target) => {
                Err(LookupError::of_property(property, target, first))
            }
            _ => Ok(()),
        }
    }

    /// The logical names of the tables that the record may be of.
    fn targets(&self) -> Vec<&str> {
        match &self.to {
            To::Customer(tables) => tables
                .iter()
                .map(|table| table.logical_name.as_str())
                .collect(),
            To::Agent("User") => vec!["systemuser"],
            To::Agent(_) => vec!["systemuser", "team"],
            To::Response(_, table) => vec![&table.logical_name],
        }
    }

    /// The record's URL, as a reference takes it: `/contacts(...)`; none when there is no such record.
    ///
    /// # Errors
    /// [`LookupError::Property`] when the record is of another table than `target`, which the property
    /// points to.
    pub(super) fn url(
        &self,
        scope: &Scope,
        property: &str,
        target: Option<&str>,
    ) -> Result<Option<String>, LookupError> {
        let Some(record) = self.record(scope) else {
            return Ok(None);
        };
        match target {
            Some(target) if target != record.logical_name => Err(LookupError::of_property(
                property,
                target,
                &record.logical_name,
            )),
            _ => Ok(Some(record.url())),
        }
    }

    /// The property that the line sets, and its value; none when there is no such record.
    ///
    /// # Errors
    /// [`LookupError`] when the lookup takes no record of that table.
    pub(super) fn render(
        &self,
        table: &str,
        column: &str,
        scope: &Scope,
    ) -> Result<Option<(String, Json)>, LookupError> {
        let Some(record) = self.record(scope) else {
            return Ok(None);
        };
        let property = navigation_property(table, column, &record.logical_name)?;
        Ok(Some((
            format!("{property}@odata.bind"),
            record.url().into(),
        )))
    }

    fn record(&self, scope: &Scope) -> Option<Record> {
        let is_outbound = scope.get("Direction").and_then(Json::as_str) == Some(OUTBOUND);
        if self
            .direction
            .is_some_and(|wanted| is_outbound != (wanted == OUTBOUND))
        {
            return None;
        }
        match &self.to {
            To::Customer(_) => Record::found(scope.get("Customer")?),
            To::Agent(who) => Record::found(scope.get("Agent")?.get(who)?),
            To::Response(name, table) => {
                let response = scope.get("Responses")?.get(name)?;
                Some(Record {
                    id: id(response.get(&table.primary_key)?)?,
                    entity_set: table.entity_set.clone(),
                    logical_name: table.logical_name.clone(),
                })
            }
        }
    }
}

/// The direction that a condition asks for: `Direction == 'outbound'`.
fn direction(condition: &str) -> Option<&'static str> {
    let wanted = condition.trim().strip_prefix("Direction")?.trim_start();
    let wanted = wanted.strip_prefix("==")?.trim();
    let in_quotes = |quote| wanted.strip_prefix(quote)?.strip_suffix(quote);
    match in_quotes('\'').or_else(|| in_quotes('"'))? {
        INBOUND => Some(INBOUND),
        OUTBOUND => Some(OUTBOUND),
        _ => None,
    }
}

impl Record {
    fn found(found: &Json) -> Option<Record> {
        let text = |name: &str| Some(found.get(name)?.as_str()?.to_owned());
        Some(Record {
            id: id(found.get("id")?)?,
            entity_set: text("entitySet")?,
            logical_name: text("logicalName")?,
        })
    }

    fn url(&self) -> String {
        format!("/{}({})", self.entity_set, self.id)
    }
}

fn id(value: &Json) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}

/// An activity's party: who it is, and the part that they play.
pub(super) fn party(reference: (String, Json), part: u8) -> Json {
    let (property, url) = reference;
    let fields = [
        (property, url),
        ("participationtypemask".to_owned(), part.into()),
    ];
    Map::from_iter(fields).into()
}
