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
    integration::{Method, RequestTemplate, StepName},
    template::{Scope, Templates},
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
/// `contact-start`'s is the contact id. All activities share one key space, so another step's is a
/// UUIDv5 of the contact id and what the step is done for.
pub fn record_id(contact_id: Uuid, step: StepName, object_key: Option<&str>) -> Uuid {
    match (step, object_key) {
        (StepName::ContactStart, _) => contact_id,
        (step, None) => Uuid::new_v5(&contact_id, step.as_str().as_bytes()),
        (step, Some(key)) => Uuid::new_v5(&contact_id, format!("{step}/{key}").as_bytes()),
    }
}

impl RequestTemplate {
    /// Whether it creates a record whose id is ours to choose, and so known beforehand.
    pub fn creates_with_our_id(&self) -> bool {
        let named = self
            .body
            .as_ref()
            .is_some_and(|body| body.names(&self.table.primary_key));
        self.method == Method::Post && self.address.is_empty() && !named
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
            Method::Post if !self.address.is_empty() => Kind::Action,
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
                Kind::Create {
                    record_id,
                    record_path: format!("{}({record_id})", self.table.entity_set),
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
