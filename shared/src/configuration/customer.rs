//! Who a contact is with: how the customer is found, and how the agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::RequestConfiguration;
use crate::dataverse::{Table, columns::KnownTable};

/// The names of the requests that a step sends besides those that its author writes. No request of theirs is
/// called so.
pub(crate) const CUSTOMER: &str = "customer";
pub(crate) const NEW_CUSTOMER: &str = "new-customer";
pub(crate) const AGENT: &str = "agent";
pub(crate) const LINK: &str = "link";
pub(crate) const LINK_PARTIES: &str = "link-parties";

/// How the customer of a contact is found, before the step's requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerConfiguration {
    /// What is looked for: a template of a phone number, an e-mail address, or another text.
    #[serde(default = "default_value")]
    pub value: String,
    /// What `value` is. Unless given, what holds an `@` is an e-mail address and anything else a phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueKind>,
    /// The country of phone numbers without a country code, by its two letters (ISO 3166), like `US`. Unless
    /// given, that of the instance's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Where to look. The first table that holds a match decides.
    pub tables: Vec<CustomerTable>,
    /// What to do when nobody is found.
    #[serde(default)]
    pub none: WithNone,
    /// Whom to take when that table holds several.
    #[serde(default)]
    pub many: WithMany,
    /// When to look: an expression. Unless given, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether the step's main request is sent at once, and its record linked to the customer later, when
    /// one was found.
    #[serde(default, skip_serializing_if = "is_false")]
    pub link_later: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

fn default_value() -> String {
    "{{ CustomerEndpoint }}".into()
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValueKind {
    /// A phone number, in whatever notation.
    Phone,
    /// An e-mail address.
    Email,
    /// Any other text, compared as it is: a customer number.
    Text,
}

/// A table in which to look for the customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerTable {
    /// The table's entity set name: `contacts`.
    pub entity_set: String,
    /// The columns to compare with a phone number. Known for contacts, accounts and leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_columns: Option<Vec<String>>,
    /// The columns to compare with an e-mail address. Known for contacts, accounts and leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_columns: Option<Vec<String>>,
    /// The columns to compare with any other text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text_columns: Vec<String>,
    /// A condition that a record must meet besides, as in `$filter`; only active ones unless given. An empty
    /// text is no condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Further columns to read: `Customer.record.<column>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub select: Vec<String>,
    /// The column that holds the customer's name. Known for Dynamics' own tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_column: Option<String>,
    /// As in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<String>,
    /// As in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_name: Option<String>,
}

/// What to do when no customer is found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WithNone {
    /// The contact has no customer.
    #[default]
    Skip,
    /// One is created.
    Create(Box<NewCustomer>),
}

/// The customer who is created when none is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCustomer {
    /// The table's entity set name: `leads`.
    pub entity_set: String,
    /// The columns of the new record.
    pub body: super::PastedObject,
    /// The column that holds the customer's name. Known for Dynamics' own tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_column: Option<String>,
    /// As in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<String>,
    /// As in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_name: Option<String>,
}

impl NewCustomer {
    /// The column that holds the customer's name.
    pub fn name_column(&self) -> Option<String> {
        name_column(self.name_column.as_ref(), &self.request().table())
    }

    /// The request that creates the record.
    pub fn request(&self) -> RequestConfiguration {
        RequestConfiguration {
            name: None,
            when: None,
            main: false,
            method: crate::dataverse::Method::Post,
            entity_set: self.entity_set.clone(),
            query_string: super::PastedObject::default(),
            body: Some(self.body.clone()),
            primary_key: self.primary_key.clone(),
            logical_name: self.logical_name.clone(),
        }
    }
}

/// The column of a table that holds the customer's name: the one that is given, or else Dynamics' own.
fn name_column(given: Option<&String>, table: &Table) -> Option<String> {
    let known = || KnownTable::by_logical_name(&table.logical_name);
    given
        .cloned()
        .or_else(|| Some(known()?.primary_name.to_owned()))
}

impl CustomerTable {
    /// The table's three names.
    pub fn table(&self) -> Table {
        Table::new(
            &self.entity_set,
            self.primary_key.clone(),
            self.logical_name.clone(),
        )
    }

    /// The column that holds the customer's name.
    pub fn name_column(&self) -> Option<String> {
        name_column(self.name_column.as_ref(), &self.table())
    }
}

/// Whom to take when several customers are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WithMany {
    /// Nobody: the contact has no customer.
    #[default]
    None,
    /// The record that was created last.
    Newest,
    /// The first in this order, written as in `$orderby`: `modifiedon desc`.
    Orderby(String),
}

/// How an agent is found among Dynamics' users: `Agent.User` and `Agent.Owner` in templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentConfiguration {
    /// The column of the table `systemuser` that holds the agent's user name in Amazon Connect.
    pub column: String,
    /// Who owns what `Agent.Owner` is to own when there is no such user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_owner: Option<DefaultOwner>,
    /// How long a function remembers who an agent is, in minutes.
    pub remember_minutes: u32,
}

impl Default for AgentConfiguration {
    fn default() -> AgentConfiguration {
        AgentConfiguration {
            column: "domainname".into(),
            default_owner: None,
            remember_minutes: 60,
        }
    }
}

/// A user or a team of the environment, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultOwner {
    User(Uuid),
    Team(Uuid),
}
