//! Reading records: `$filter`, `$orderby`, `$top` and `$select`.
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
    request::{Options, unsupported},
    schema::Table,
};

/// Of a table's records those that the options name, in their order, with the selected columns.
pub(super) fn query<'a>(
    table: &Table,
    records: impl Iterator<Item = &'a Record>,
    options: &Options,
) -> Result<Vec<Json>, Refusal> {
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
        sort(table, &mut records, order)?;
    }
    if let Some(top) = options.get("$top") {
        let number = top.parse().ok().filter(|top| (1..=5000).contains(top));
        let number = number.ok_or_else(|| {
            Refusal::malformed(format!(
                "Invalid value '{top}' for $top query option found."
            ))
        })?;
        records.truncate(number);
    }
    // A wrong $select is refused also when nothing is found.
    check_select(table, options)?;
    let selected = records.iter().map(|record| select(table, record, options));
    Ok(selected.collect())
}

/// One record with the selected columns.
pub(super) fn read(table: &Table, record: &Record, options: &Options) -> Result<Json, Refusal> {
    check_select(table, options)?;
    Ok(select(table, record, options))
}

/// A read by key takes nothing but `$select`.
pub(super) fn check_read(options: &Options) -> Result<(), Refusal> {
    let mut options = options.keys();
    match options.find(|option| *option != "$select" && !option.starts_with('@')) {
        Some(option) => Err(unsupported(option)),
        None => Ok(()),
    }
}

fn sort(table: &Table, records: &mut [&Record], order: &str) -> Result<(), Refusal> {
    // The sort is stable, so the last column comes first.
    for part in order.split(',').rev() {
        let mut words = part.split_whitespace();
        let column = words.next().unwrap_or_default();
        if !table.has(column) {
            return Err(Refusal::no_property(table, column));
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

fn select(table: &Table, record: &Record, options: &Options) -> Json {
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
    fields.insert("@odata.etag".into(), record.etag().into());
    fields.into()
}
