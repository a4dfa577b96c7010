//! A step's request, rendered: exactly what is sent to Dynamics.
//!
//! Owns what kind of request it is and, for a create, the record id that we choose: so a create
//! that is repeated meets the record it made itself, and nothing is doubled.

mod address;
mod body;
mod pasted;
mod reference;

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

pub use self::{
    address::{Address, AddressError, Convention},
    body::{Body, BodyError, Gap, RenderedBody},
    pasted::{JsonSyntaxError, parse_object},
};
use crate::{
    configuration::Method,
    history::StepKey,
    step::Step,
    template::{ResponseUse, Scope, Templates},
};

/// A request to the Web API.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub method: Method,
    /// What follows the service's root: `phonecalls(...)`, encoded.
    pub path: String,
    pub body: Option<Map<String, Json>>,
    pub kind: Kind,
    /// The column that holds a record's id in the answer.
    pub primary_key: String,
}

/// What a request does, and so whether it may be repeated.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Creates the record with this id. Repeating it cannot create a second one.
    Create {
        record_id: Uuid,
        /// The path that reads that record.
        record_path: String,
    },
    /// Updates a record that exists; sent with `If-Match: *`, so it can never create one.
    Update,
    Read,
    /// A POST to anything else than an entity set: it is not known what repeating it does.
    Action,
}

impl Request {
    /// Whether sending it twice has the effect of sending it once.
    pub fn is_repeatable(&self) -> bool {
        self.kind != Kind::Action
    }

    /// A record of which nothing is known but the id that the request created it with.
    pub fn only_its_id(&self) -> Map<String, Json> {
        let id = self
            .record_id()
            .map(|id| (self.primary_key.clone(), id.to_string().into()));
        id.into_iter().collect()
    }

    /// The id of the record that the request creates.
    pub fn record_id(&self) -> Option<Uuid> {
        match self.kind {
            Kind::Create { record_id, .. } => Some(record_id),
            _ => None,
        }
    }
}

/// The id of the record that a step creates, unless its body names one.
///
/// `contact-start`'s is the contact id. All activities share one key space, so another's is a UUIDv5 of
/// the contact id and the step's key.
pub fn record_id(contact_id: Uuid, key: &StepKey) -> Uuid {
    if *key == StepKey::of(Step::ContactStart) {
        contact_id
    } else {
        Uuid::new_v5(&contact_id, key.to_string().as_bytes())
    }
}

/// A request's compiled form.
#[derive(Debug)]
pub struct RequestTemplate {
    pub method: Method,
    pub table: Table,
    pub address: Address,
    pub body: Option<Body>,
}

impl RequestTemplate {
    /// Whether it creates a record whose id is ours to choose, and so known beforehand.
    pub fn creates_with_our_id(&self) -> bool {
        let named = self
            .body
            .as_ref()
            .is_some_and(|body| body.names(&self.table.primary_key));
        self.creates() && !named
    }

    /// A POST to an entity set creates a record; a query after it only says what is answered.
    fn creates(&self) -> bool {
        self.method == Method::Post && !self.address.has_path()
    }

    /// The steps' responses that its templates use.
    pub fn responses(&self) -> Vec<&ResponseUse> {
        let body = self.body.iter().flat_map(Body::responses);
        self.address.responses().chain(body).collect()
    }

    /// Renders the request. `record_id` is used by a create whose body names none.
    ///
    /// Also returns what its body had to go without.
    ///
    /// # Errors
    /// [`AddressError`] when the address lacks a value or would be changed by one.
    pub fn render(
        &self,
        templates: &Templates,
        scope: &Arc<Scope>,
        record_id: Uuid,
    ) -> Result<(Request, Vec<Gap>), AddressError> {
        let path = self
            .address
            .render(&self.table.entity_set, templates, scope)?;
        let rendered = self.body.as_ref().map(|body| body.render(templates, scope));
        let (mut body, gaps) = match rendered {
            Some(rendered) => (Some(rendered.json), rendered.gaps),
            None => (None, Vec::new()),
        };
        let kind = match self.method {
            Method::Get => Kind::Read,
            Method::Patch => Kind::Update,
            Method::Post if !self.creates() => Kind::Action,
            Method::Post => {
                let body = body.get_or_insert_default();
                let primary_key = &self.table.primary_key;
                let named = body
                    .get(primary_key)
                    .and_then(Json::as_str)
                    .and_then(|id| Uuid::try_parse(id).ok());
                let record_id = named.unwrap_or_else(|| {
                    body.insert(primary_key.clone(), record_id.to_string().into());
                    record_id
                });
                let set = &self.table.entity_set;
                let query = path.strip_prefix(set.as_str()).unwrap_or_default();
                Kind::Create {
                    record_id,
                    record_path: format!("{set}({record_id}){query}"),
                }
            }
        };
        Ok((
            Request {
                method: self.method,
                path,
                body,
                kind,
                primary_key: self.table.primary_key.clone(),
            },
            gaps,
        ))
    }
}

/// A Dataverse table's three names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub entity_set: String,
    pub logical_name: String,
    pub primary_key: String,
}

impl Table {
    /// A table by its entity set's name. Activities share the primary key `activityid`; another
    /// table's is its logical name with `id`.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/about-entity-reference>
    pub(crate) fn new(
        entity_set: &str,
        primary_key: Option<String>,
        logical_name: Option<String>,
    ) -> Table {
        let logical_name = logical_name.unwrap_or_else(|| {
            // The plurals Dataverse makes: opportunities, faxes, addresses, phonecalls.
            match entity_set {
                set if set.ends_with("ies") => format!("{}y", &set[..set.len() - 3]),
                set if ["xes", "sses", "shes", "ches"]
                    .iter()
                    .any(|end| set.ends_with(end)) =>
                {
                    set[..set.len() - 2].to_owned()
                }
                set => set.strip_suffix('s').unwrap_or(set).to_owned(),
            }
        });
        let is_activity = matches!(
            logical_name.as_str(),
            "phonecall"
                | "task"
                | "email"
                | "appointment"
                | "letter"
                | "fax"
                | "socialactivity"
                | "serviceappointment"
                | "activitypointer"
        );
        let primary_key = primary_key.unwrap_or_else(|| match is_activity {
            true => "activityid".to_owned(),
            false => format!("{logical_name}id"),
        });
        Table {
            entity_set: entity_set.to_owned(),
            logical_name,
            primary_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_dataverse_names_them() {
        for (entity_set, logical_name, primary_key) in [
            ("phonecalls", "phonecall", "activityid"),
            ("tasks", "task", "activityid"),
            ("contacts", "contact", "contactid"),
            ("incidents", "incident", "incidentid"),
            ("opportunities", "opportunity", "opportunityid"),
            ("faxes", "fax", "activityid"),
            ("new_calls", "new_call", "new_callid"),
        ] {
            let table = Table::new(entity_set, None, None);
            assert_eq!(
                (table.logical_name.as_str(), table.primary_key.as_str()),
                (logical_name, primary_key)
            );
        }
    }
}
