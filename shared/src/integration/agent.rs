//! Finding the agent among Dynamics' users.
//!
//! Owns the request of that look-up and the reading of its answer.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    configuration::AgentConfiguration,
    dataverse::{
        Kind, Method, Request, Response, Table,
        literal::{encode_option, quote},
    },
    template::Found,
};

/// A look-up of an agent's user.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentQuery {
    /// The agent's user name in Amazon Connect.
    pub username: String,
    pub request: Request,
}

/// The request that looks for an agent's user.
pub(super) fn query(configuration: &AgentConfiguration, username: &str) -> AgentQuery {
    let column = &configuration.column;
    let filter = format!("{column} eq {} and isdisabled eq false", quote(username));
    let mut select = vec![
        "systemuserid",
        "fullname",
        "domainname",
        "internalemailaddress",
    ];
    if !select.contains(&column.as_str()) {
        select.push(column);
    }
    AgentQuery {
        username: username.to_owned(),
        request: Request {
            method: Method::Get,
            // Two are enough to know that the column names nobody.
            path: format!(
                "systemusers?$select={}&$filter={}&$top=2",
                select.join(","),
                encode_option(&filter)
            ),
            body: None,
            kind: Kind::Read,
            primary_key: "systemuserid".into(),
        },
    }
}

/// The user, as templates see it.
///
/// # Errors
/// Why nobody is meant.
pub(super) fn found(
    configuration: &AgentConfiguration,
    answer: &Response,
) -> Result<Map<String, Json>, String> {
    let column = &configuration.column;
    let listed = answer.body.get("value").and_then(Json::as_array);
    let record = match listed.map(Vec::as_slice) {
        Some([one]) => one.as_object(),
        Some([_, ..]) => {
            return Err(format!(
                "several enabled users have the agent's user name as their {column}"
            ));
        }
        _ => None,
    };
    let found = record.and_then(|record| {
        let id = Uuid::try_parse(record.get("systemuserid")?.as_str()?).ok()?;
        let mut record = record.clone();
        record.retain(|name, _| !name.starts_with('@'));
        let table = Table::new("systemusers", None, None);
        let mut user = Map::new();
        Found::of(&table, id, Some("fullname"), &record).tell(&mut user);
        Some(user)
    });
    found.ok_or_else(|| format!("no enabled user has the agent's user name as their {column}"))
}
