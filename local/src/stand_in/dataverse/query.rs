//! Reading records: `$filter`, `$orderby`, `$top`, `$count` and `$select`.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview>

mod filter;
mod like;

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use self::filter::Filter;
use super::{
    error::Refusal,
    records::Record,
    request::{Options, Preferences, unsupported},
    schema::Table,
};

/// The records that a query names, and how many there would be without `$top`, if it asks.
pub(super) struct Found {
    pub(super) records: Vec<Json>,
    pub(super) count: Option<usize>,
}

/// The annotation that tells the table of a lookup's record.
pub(super) const LOGICAL_NAME: &str = "Microsoft.Dynamics.CRM.lookuplogicalname";

/// The most rows that an answer has, or counts.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/count-rows>
const MOST: usize = 5000;

/// Of a table's records those that the options name, in their order, with the selected columns.
pub(super) fn query<'a>(
    table: &Table,
    records: impl Iterator<Item = &'a Record>,
    options: &Options,
    preferences: &Preferences,
) -> Result<Found, Refusal> {
    let filter = options
        .get("$filter")
        .map(|text| Filter::parse(table, text, options))
        .transpose()?;
    let fits = |record: &&Record| {
        filter
            .as_ref()
            .is_none_or(|filter| filter.matches(&record.fields))
    };
    let mut records: Vec<&Record> = records.filter(fits).collect();
    if let Some(order) = options.get("$orderby") {
        sort(table, &mut records, order, options)?;
    }
    let count = match options.get("$count").map(String::as_str) {
        None | Some("false") => None,
        Some("true") => Some(records.len().min(MOST)),
        Some(other) => {
            return Err(Refusal::malformed(format!(
                "Invalid value '{other}' for $count query option found."
            )));
        }
    };
    if let Some(top) = options.get("$top") {
        let number = top.parse().ok().filter(|top| (1..=MOST).contains(top));
        let number = number.ok_or_else(|| {
            Refusal::malformed(format!(
                "Invalid value '{top}' for $top query option found."
            ))
        })?;
        records.truncate(number);
    }
    // A wrong $select is refused also when nothing is found.
    check_select(table, options)?;
    let selected = records.iter().take(MOST);
    let selected = selected.map(|record| select(table, record, options, preferences));
    Ok(Found {
        records: selected.collect(),
        count,
    })
}

/// One record with the selected columns.
pub(super) fn read(
    table: &Table,
    record: &Record,
    options: &Options,
    preferences: &Preferences,
) -> Result<Json, Refusal> {
    check_select(table, options)?;
    Ok(select(table, record, options, preferences))
}

/// A read by key takes nothing but `$select`.
pub(super) fn check_read(options: &Options) -> Result<(), Refusal> {
    let mut options = options.keys();
    match options.find(|option| *option != "$select" && !option.starts_with('@')) {
        Some(option) => Err(unsupported(option)),
        None => Ok(()),
    }
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/order-rows>
fn sort(
    table: &Table,
    records: &mut [&Record],
    order: &str,
    options: &Options,
) -> Result<(), Refusal> {
    // The sort is stable, so the last column comes first.
    for part in order.split(',').rev() {
        let mut words = part.split_whitespace();
        let written = words.next().unwrap_or_default();
        let column = options.get(written).map_or(written, |column| column.trim());
        if !table.has(column) {
            return Err(Refusal::no_property(table, column));
        }
        if column.starts_with('_') {
            return Err(Refusal::not_modelled(
                "$orderby with a lookup, which sorts by the other records' names",
            ));
        }
        let is_descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => {
                return Err(Refusal::malformed(format!(
                    "Syntax error at '{other}' in $orderby."
                )));
            }
        };
        records.sort_by(|left, right| {
            let value = |record: &Record| record.fields.get(column).cloned().unwrap_or_default();
            let order = filter::compare(&value(left), &value(right)).unwrap_or(Ordering::Equal);
            if is_descending {
                order.reverse()
            } else {
                order
            }
        });
    }
    Ok(())
}

fn check_select(table: &Table, options: &Options) -> Result<(), Refusal> {
    let columns = options.get("$select").into_iter();
    let mut columns = columns.flat_map(|select| select.split(',')).map(str::trim);
    match columns.find(|column| !table.has(column)) {
        Some(unknown) => Err(Refusal::no_property(table, unknown)),
        None => Ok(()),
    }
}

fn select(table: &Table, record: &Record, options: &Options, preferences: &Preferences) -> Json {
    let mut fields = match options.get("$select") {
        None => record.fields.clone(),
        Some(columns) => {
            let columns: Vec<&str> = columns.split(',').map(str::trim).collect();
            let is_wanted = |name: &str| name == table.primary_key || columns.contains(&name);
            let wanted = record.fields.iter().filter(|(name, _)| is_wanted(name));
            wanted
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<Map<String, Json>>()
        }
    };
    annotate(&mut fields, record, preferences);
    fields.insert("@odata.etag".into(), record.etag().into());
    fields.into()
}

/// Adds what the lookups name, where the request asks for it.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#lookup-property-data>
fn annotate(fields: &mut Map<String, Json>, record: &Record, preferences: &Preferences) {
    for (column, reference) in &record.references {
        let field = format!("_{column}_value");
        if !fields.contains_key(&field) {
            continue;
        }
        for (annotation, value) in [
            (
                "Microsoft.Dynamics.CRM.associatednavigationproperty",
                &reference.property,
            ),
            (LOGICAL_NAME, &reference.logical_name),
        ] {
            if preferences.wants(annotation) {
                fields.insert(format!("{field}@{annotation}"), value.as_str().into());
            }
        }
    }
}
