//! A step's request, rendered: exactly what is sent to Dynamics.
//!
//! Owns what kind of request it is, whether a contact's is wanted at all (`condition`), what its record is
//! linked to (`link`) and, for a create, the record id that we choose: so a create that is repeated meets the
//! record it made itself, and nothing is doubled.

mod address;
mod body;
mod condition;
mod link;
mod pasted;
mod reference;

use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

pub(crate) use self::condition::as_template;
pub use self::{
    address::{Address, AddressError, Convention, OptionValue},
    body::{Body, BodyError, Gap, RenderedBody, is_template},
    condition::Condition,
    link::Linkable,
    pasted::{JsonSyntaxError, parse_object},
};
use crate::{
    dataverse::{Kind, Method, Request, Table},
    history::RequestKey,
    step::Step,
    template::{Scope, Templates},
};

/// The id of the record that a request creates, unless its body names one.
///
/// That of `contact-start`'s main request is the contact id. All activities share one key space, so another's
/// is a UUIDv5 of the contact id and the request's key.
pub fn record_id(contact_id: Uuid, key: &RequestKey) -> Uuid {
    if *key == RequestKey::of(Step::ContactStart) {
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
            Method::Put => Kind::Replace,
            Method::Delete => Kind::Delete,
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
