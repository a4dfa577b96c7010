//! A request to the Web API: what is sent, and what repeating it does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

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

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Patch,
    /// No request of a configuration: what it replaces as a whole is the business of this library.
    #[serde(skip)]
    Put,
    /// No request of a configuration: only the operators' tool deletes, and only what it made to try something.
    #[serde(skip)]
    Delete,
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
    /// Replaces a list that belongs to a record.
    Replace,
    /// Deletes a record. Repeating it finds none.
    Delete,
    /// A POST to anything else than an entity set: it is not known what repeating it does.
    Action,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

impl Request {
    /// The headers that it is sent with, besides the token.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#http-headers>
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![
            ("Accept", "application/json"),
            ("OData-Version", "4.0"),
            ("OData-MaxVersion", "4.0"),
        ];
        if self.body.is_some() {
            headers.push(("Content-Type", "application/json; charset=utf-8"));
            headers.push(("Prefer", "return=representation"));
        } else if self.kind == Kind::Action {
            headers.push(("Content-Length", "0"));
        }
        if self.kind == Kind::Update {
            headers.push(("If-Match", "*"));
        }
        headers
    }

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

    /// The entity set, as the path begins with it.
    pub(super) fn entity_set(&self) -> &str {
        self.path.split(['(', '?']).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_create_knows_its_id_and_only_an_action_is_not_repeated() {
        let id = Uuid::from_u128(5);
        let request = |method: Method, kind: Kind| Request {
            method,
            path: "phonecalls(5)?$select=subject".into(),
            body: None,
            kind,
            primary_key: "activityid".into(),
        };
        let create = request(
            Method::Post,
            Kind::Create {
                record_id: id,
                record_path: format!("phonecalls({id})"),
            },
        );
        assert_eq!(create.record_id(), Some(id));
        assert_eq!(
            Json::from(create.only_its_id()),
            json!({"activityid": id.to_string()})
        );
        assert!(create.is_repeatable());
        for (method, kind, repeatable) in [
            (Method::Patch, Kind::Update, true),
            (Method::Get, Kind::Read, true),
            (Method::Delete, Kind::Delete, true),
            (Method::Post, Kind::Action, false),
        ] {
            let request = request(method, kind);
            assert_eq!(request.is_repeatable(), repeatable, "{method:?}");
            assert_eq!(request.record_id(), None);
            assert!(request.only_its_id().is_empty());
            assert_eq!(request.entity_set(), "phonecalls");
        }
        assert_eq!(
            [Method::Get, Method::Post, Method::Patch].map(Method::as_str),
            ["GET", "POST", "PATCH"]
        );
    }

    #[test]
    fn no_configuration_can_delete_or_replace() {
        for method in ["DELETE", "PUT"] {
            assert!(serde_json::from_value::<Method>(json!(method)).is_err());
        }
    }
}
