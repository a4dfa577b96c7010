//! Finding the customer: what is looked for, where, and who it is.
//!
//! Owns the requests of a look-up and the reading of their answers. One request a table, all at once: the
//! first table, in the configuration's order, that holds a match decides. A phone number is compared in the
//! notations that people use for it ([`crate::number`]); as wildcards may find more than was meant, each record
//! found is looked at again here.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    configuration::{ValueKind, WithMany},
    dataverse::{
        Kind, Method, Request, Response, Table,
        columns::KnownTable,
        literal::{encode_option, quote},
    },
    number::Number,
    request::{AddressError, OptionValue},
    template::{Found, ResponseUse, Scope, Template, TemplateError, Templates},
};

/// How many records of a table are looked at. Of more matches nobody can tell how many there are.
const MOST: usize = 50;

/// A compiled `customer`.
#[derive(Debug)]
pub(super) struct CustomerSearch {
    pub(super) value: Template,
    pub(super) kind: Option<ValueKind>,
    pub(super) country: Option<String>,
    pub(super) tables: Vec<SearchedTable>,
    pub(super) many: WithMany,
}

/// A table in which to look.
#[derive(Debug)]
pub(super) struct SearchedTable {
    pub(super) table: Table,
    pub(super) phone: Vec<String>,
    pub(super) email: Vec<String>,
    pub(super) text: Vec<String>,
    pub(super) filter: Option<OptionValue>,
    pub(super) select: Vec<String>,
    pub(super) name_column: Option<String>,
}

/// The columns of Dynamics' own tables that hold phone numbers.
pub(super) fn phone_columns(table: &KnownTable) -> Option<&'static [&'static str]> {
    match table.logical_name {
        "contact" | "lead" => Some(&["mobilephone", "telephone1", "telephone2", "telephone3"]),
        "account" => Some(&["telephone1", "telephone2", "telephone3"]),
        _ => None,
    }
}

/// The columns of Dynamics' own tables that hold e-mail addresses.
pub(super) fn email_columns(table: &KnownTable) -> Option<&'static [&'static str]> {
    match table.logical_name {
        "contact" | "lead" | "account" => {
            Some(&["emailaddress1", "emailaddress2", "emailaddress3"])
        }
        _ => None,
    }
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
enum Sought {
    Phone(Number),
    Email(String),
    Text(String),
}

/// A look-up of one contact's customer.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomerQuery {
    sought: Sought,
    /// The place of each table in the configuration, and the request to it.
    requests: Vec<(usize, Request)>,
}

/// Why no customer is looked for.
#[derive(Debug)]
pub(super) enum NoQuery {
    NotWanted(String),
    Template(TemplateError),
    Address(AddressError),
}

impl CustomerQuery {
    /// What is looked for, as it is compared.
    pub fn value(&self) -> String {
        self.sought.text()
    }

    /// The requests, which do not need each other.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().map(|(_, request)| request)
    }
}

impl CustomerSearch {
    /// Whether what is looked for may be a phone number.
    pub(super) fn reads_phone_numbers(&self) -> bool {
        self.kind.is_none_or(|kind| kind == ValueKind::Phone)
            && self.tables.iter().any(|table| !table.phone.is_empty())
    }

    /// The responses that it uses.
    pub(super) fn responses(&self) -> impl Iterator<Item = &ResponseUse> {
        let filters = self.tables.iter().filter_map(|table| table.filter.as_ref());
        let filters = filters.flat_map(OptionValue::responses);
        self.value.responses().iter().chain(filters)
    }

    /// What is looked for in a contact's name, and where.
    pub(super) fn query(
        &self,
        templates: &Templates,
        scope: &Arc<Scope>,
    ) -> Result<CustomerQuery, NoQuery> {
        let sought = self.sought(templates, scope)?;
        let mut requests = Vec::new();
        for (index, table) in self.tables.iter().enumerate() {
            let columns = table.columns(&sought);
            if !columns.is_empty() {
                let filter = table.filter.as_ref();
                let filter = filter
                    .map(|filter| filter.render(templates, scope))
                    .transpose();
                let filter = filter.map_err(NoQuery::Address)?;
                requests.push((index, self.request(table, columns, &sought, filter)));
            }
        }
        if requests.is_empty() {
            return Err(NoQuery::NotWanted(format!(
                "no table is configured to be searched for {}",
                sought.what()
            )));
        }
        Ok(CustomerQuery { sought, requests })
    }

    fn sought(&self, templates: &Templates, scope: &Arc<Scope>) -> Result<Sought, NoQuery> {
        let rendered = templates.render(&self.value, scope);
        let value = rendered.map_err(NoQuery::Template)?.value;
        let text = match value {
            Some(Json::String(text)) => text.trim().to_owned(),
            Some(value @ (Json::Number(_) | Json::Bool(_))) => value.to_string(),
            _ => String::new(),
        };
        if text.is_empty() {
            let reason = "the contact has no number or address to look for";
            return Err(NoQuery::NotWanted(reason.into()));
        }
        let kind = self.kind.unwrap_or(if is_email(&text) {
            ValueKind::Email
        } else {
            ValueKind::Phone
        });
        Ok(match kind {
            ValueKind::Text => Sought::Text(text),
            ValueKind::Email if address_of(&text).is_empty() => {
                let reason = "the contact has no address to look for";
                return Err(NoQuery::NotWanted(reason.into()));
            }
            ValueKind::Email => Sought::Email(address_of(&text).to_owned()),
            ValueKind::Phone => {
                let own = scope
                    .get("SystemEndpoint")
                    .and_then(|own| own.get("Address"));
                let own = own.and_then(Json::as_str);
                let country = self.country.clone().or_else(|| Number::country_of(own?));
                let number = Number::read(&text, country.as_deref());
                let number = number.map_err(|error| NoQuery::NotWanted(error.to_string()))?;
                if own.is_some_and(|own| own == number.e164()) {
                    let reason = "the number is the contact centre's own";
                    return Err(NoQuery::NotWanted(reason.into()));
                }
                Sought::Phone(number)
            }
        })
    }

    fn request(
        &self,
        searched: &SearchedTable,
        columns: &[String],
        sought: &Sought,
        filter: Option<String>,
    ) -> Request {
        let comparisons: Vec<String> = columns
            .iter()
            .flat_map(|column| sought.comparisons(column))
            .collect();
        let any = encode_option(&format!("({})", comparisons.join(" or ")));
        let filter = filter.map_or(String::new(), |filter| format!("%20and%20({filter})"));
        let order = match &self.many {
            WithMany::None => String::new(),
            WithMany::Newest => "&$orderby=createdon%20desc".to_owned(),
            WithMany::Orderby(order) => format!("&$orderby={}", encode_option(order)),
        };
        let table = &searched.table;
        let mut select = vec![table.primary_key.as_str()];
        let further = searched
            .name_column
            .iter()
            .chain(columns)
            .chain(&searched.select);
        for column in further {
            if !select.contains(&column.as_str()) {
                select.push(column);
            }
        }
        Request {
            method: Method::Get,
            path: format!(
                "{}?$select={}&$filter={any}{filter}{order}&$top={MOST}",
                table.entity_set,
                select.join(","),
            ),
            body: None,
            kind: Kind::Read,
            primary_key: table.primary_key.clone(),
        }
    }

    /// Who was found, as templates see it: `Customer.count` and, of one, the rest. `answers` are those to the
    /// query's requests, in their order.
    pub(super) fn found(&self, query: &CustomerQuery, answers: &[Response]) -> Map<String, Json> {
        let mut customer = Map::new();
        customer.insert("value".into(), query.sought.text().into());
        customer.insert("count".into(), 0.into());
        for ((index, _), answer) in query.requests.iter().zip(answers) {
            let searched = &self.tables[*index];
            let columns = searched.columns(&query.sought);
            let listed = answer.body.get("value").and_then(Json::as_array);
            let records: Vec<&Map<String, Json>> = listed
                .into_iter()
                .flatten()
                .filter_map(Json::as_object)
                .filter(|record| query.sought.is_in(record, columns))
                .collect();
            if records.is_empty() {
                continue;
            }
            customer.insert("count".into(), records.len().into());
            if let Some(record) = self.choose(&records) {
                let mut record = record.clone();
                record.retain(|name, _| !name.starts_with('@'));
                if let Some(id) = id_of(&record, &searched.table) {
                    let name = searched.name_column.as_deref();
                    Found::of(&searched.table, id, name, &record).tell(&mut customer);
                }
            }
            break;
        }
        customer
    }

    fn choose<'a>(&self, records: &[&'a Map<String, Json>]) -> Option<&'a Map<String, Json>> {
        match (records, &self.many) {
            ([one], _) => Some(one),
            (_, WithMany::None) => None,
            (records, WithMany::Newest | WithMany::Orderby(_)) => records.first().copied(),
        }
    }

    /// The id of the customer who is created for this contact. It is made of what was looked for, and of the
    /// day: so two calls of one unknown caller at the same moment make one customer, and a call after that one
    /// was deleted or closed makes another.
    pub(super) fn new_id(table: &Table, environment: &str, sought: &str, day: &str) -> Uuid {
        let name = format!("{environment}/{}/{sought}/{day}", table.entity_set);
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
    }
}

fn id_of(record: &Map<String, Json>, table: &Table) -> Option<Uuid> {
    Uuid::try_parse(record.get(&table.primary_key)?.as_str()?).ok()
}

impl SearchedTable {
    fn columns(&self, sought: &Sought) -> &[String] {
        match sought {
            Sought::Phone(_) => &self.phone,
            Sought::Email(_) => &self.email,
            Sought::Text(_) => &self.text,
        }
    }

    /// All columns that are compared with anything.
    pub(super) fn all_columns(&self) -> BTreeSet<&String> {
        let columns = self.phone.iter().chain(&self.email);
        columns.chain(&self.text).collect()
    }
}

impl Sought {
    fn what(&self) -> &'static str {
        match self {
            Sought::Phone(_) => "phone numbers",
            Sought::Email(_) => "e-mail addresses",
            Sought::Text(_) => "other texts",
        }
    }

    fn text(&self) -> String {
        match self {
            Sought::Phone(number) => number.e164().to_owned(),
            Sought::Email(text) | Sought::Text(text) => text.clone(),
        }
    }

    /// The comparisons of a column with what is looked for, as OData writes them.
    fn comparisons(&self, column: &str) -> Vec<String> {
        let equals = |text: &String| format!("{column} eq {}", quote(text));
        match self {
            Sought::Email(text) | Sought::Text(text) => vec![equals(text)],
            Sought::Phone(number) => {
                let patterns = number.patterns();
                let likes = patterns
                    .iter()
                    .map(|pattern| format!("startswith({column},{})", quote(pattern)));
                number.notations().iter().map(equals).chain(likes).collect()
            }
        }
    }

    /// Whether a record is one that was looked for, and not merely like it.
    fn is_in(&self, record: &Map<String, Json>, columns: &[String]) -> bool {
        let Sought::Phone(number) = self else {
            return true;
        };
        let mut texts = columns
            .iter()
            .filter_map(|column| record.get(column)?.as_str());
        texts.any(|text| number.is_written_as(text))
    }
}

/// Whether a text is an e-mail address, and not the address of a call: those have a scheme or a number, and
/// `anonymous.invalid` where the number is withheld (RFC 3323).
fn is_email(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_call = ["sip:", "sips:", "tel:", "+"]
        .iter()
        .any(|start| lower.starts_with(start));
    text.contains('@') && !is_call && !lower.ends_with(".invalid")
}

/// The address of `"A name" <name@example.com>`.
fn address_of(text: &str) -> &str {
    match (text.rfind('<'), text.rfind('>')) {
        (Some(open), Some(close)) if open < close => text[open + 1..close].trim(),
        _ => text.strip_prefix("mailto:").unwrap_or(text),
    }
}
