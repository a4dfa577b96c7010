//! A step's request, rendered: exactly what is sent to Dynamics.
//!
//! Owns what kind of request it is and, for a create, the record id that we choose: so a create
//! that is repeated meets the record it made itself, and nothing is doubled.

use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    address::AddressError,
    body::Gap,
    dataverse::{Kind, Method, Request},
    integration::{RequestTemplate, StepName},
    scope::Scope,
    template::Templates,
};

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
