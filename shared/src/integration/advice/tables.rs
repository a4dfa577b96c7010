//! Advice on what a request says to its table: columns, lookups, filters, and the fields of responses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::{
    Advice, SHORT, expression, filters_behind, is_often_long, is_text, is_whole, name_meant,
    nearest, place, pointer_of,
};
use crate::{
    configuration::{Configuration, CustomerTable, RequestConfiguration},
    dataverse::{
        LookupError, Method,
        columns::{Access, Column, Kind, KnownTable, TABLES, is_own_option},
        lookup::{PARTY, navigation_property, part_played},
    },
    step::Step,
    template::Template,
};

/// The tables whose records the steps' responses are, by the responses' names. A response is missing
/// that is an action's, or that its query shapes.
pub(super) fn answers(
    configuration: &Configuration,
    mended: &[String],
) -> BTreeMap<String, &'static KnownTable> {
    let table = |step: Step| {
        let view = configuration.steps.get(step)?;
        let (field, request) = view.requests.get(view.main()?)?;
        if !is_whole(&pointer_of(field), mended) {
            return None;
        }
        let query = request.query_string.text();
        let is_action = request.method == Method::Post && !request.creates();
        let query = query.to_lowercase();
        let is_shaped = ["fetchxml", "$expand", "$apply", ")/"]
            .iter()
            .any(|option| query.contains(option));
        let known = KnownTable::by_logical_name(&request.table().logical_name)?;
        (!is_action && !is_shaped).then(|| (step.response_name(), known))
    };
    Step::ALL.into_iter().filter_map(table).collect()
}

impl Advice<'_> {
    /// The table of a request, if it is known. An entity set that is probably misspelt is told.
    pub(super) fn table(
        &mut self,
        field: &str,
        request: &RequestConfiguration,
    ) -> Option<&'static KnownTable> {
        let entity_set = &request.entity_set;
        if let Some(meant) = KnownTable::meant_by(entity_set) {
            self.say(
                &format!("{field}.entitySet"),
                &format!(
                    "Dataverse has no entity set `{entity_set}` of its own; did you mean `{}`?",
                    meant.entity_set
                ),
            );
        }
        KnownTable::by_logical_name(&request.table().logical_name)
    }

    /// What a request tells and asks of a table that is known. `has_path` says that more than a query
    /// follows the entity set.
    pub(super) fn body(
        &mut self,
        field: &str,
        request: &RequestConfiguration,
        known: &KnownTable,
        body: &Map<String, Json>,
        has_path: bool,
    ) {
        self.filter(field, &request.query_string.text(), known);
        let creates = request.method == Method::Post && !has_path;
        // What follows a record's key may be an action, whose parameters are no columns.
        if !creates && request.method != Method::Patch {
            return;
        }
        let field = format!("{field}.body");
        let primary_key = request.table().primary_key;
        for (name, value) in body.iter().filter(|(name, _)| **name != primary_key) {
            if self.link(&format!("{field}.{name}"), name, value, request, known) {
                continue;
            }
            self.column(&format!("{field}.{name}"), name, value, known, creates);
        }
        match known.logical_name {
            "phonecall" if creates && !body.contains_key("directioncode") => self.say(
                &field,
                "it creates a phone call without `directioncode`, and Dataverse takes that for an outgoing call; add \"directioncode\": false for incoming calls",
            ),
            "incident" if creates && !body.keys().any(|name| name.starts_with("customerid")) => self.say(
                &field,
                "it creates a case without a customer, and Dynamics refuses that; add \"customerid_contact@odata.bind\": \"/contacts(...)\" or \"customerid_account@odata.bind\": \"/accounts(...)\"",
            ),
            "incident" if !creates && body.get("statecode") == Some(&1.into()) => self.say(
                &format!("{field}.statecode"),
                "no update resolves a case, and Dynamics refuses it; only the action CloseIncident does; leave `statecode` and `statuscode` out",
            ),
            _ => {}
        }
    }

    /// A line that links to other records. Tells whether it is one: then its column is no matter of a value.
    fn link(
        &mut self,
        field: &str,
        name: &str,
        value: &Json,
        request: &RequestConfiguration,
        known: &KnownTable,
    ) -> bool {
        let part = part_played(&request.table(), name);
        let values = match value {
            Json::Array(values) if part.is_some() => values.iter().collect(),
            value => vec![value],
        };
        let targets: Vec<Vec<String>> = values
            .iter()
            .filter_map(|value| self.linkable.targets(value))
            .collect();
        if targets.is_empty() {
            if part.is_some() && known.column(name).is_none() {
                self.say(
                    field,
                    &format!("`{name}` holds parties, and no text; write \"{name}\": \"{{{{ Customer }}}}\" or \"{{{{ Agent.User }}}}\""),
                );
                return true;
            }
            return false;
        }
        if let Some(part) = part
            && !known.party_types.contains(&part.into())
        {
            let table = known.logical_name;
            self.say(
                field,
                &format!("{table} has no parties of the kind `{name}`; leave it out"),
            );
        }
        let (table, column) = match part {
            Some(_) => (PARTY, "partyid"),
            None => (known.logical_name, name),
        };
        if name.contains('@') {
            return true;
        }
        let refused = |target: &&String| {
            let property = navigation_property(table, column, target);
            matches!(property, Err(LookupError::Target { .. }))
        };
        let refused: BTreeSet<&String> = targets.iter().flatten().filter(refused).collect();
        if !refused.is_empty() {
            let refused: Vec<&str> = refused.into_iter().map(String::as_str).collect();
            self.say(
                field,
                &format!(
                    "the lookup takes no record of {}; the field is left out for such a one",
                    refused.join(" and of ")
                ),
            );
        }
        true
    }

    /// A table in which a customer is looked for.
    pub(super) fn searched_table(&mut self, field: &str, table: &CustomerTable) {
        if let Some(meant) = KnownTable::meant_by(&table.entity_set) {
            self.say(
                &format!("{field}.entitySet"),
                &format!(
                    "Dataverse has no entity set `{}` of its own; did you mean `{}`?",
                    table.entity_set, meant.entity_set
                ),
            );
        }
        let Some(known) = KnownTable::by_logical_name(&table.table().logical_name) else {
            return;
        };
        let given = |columns: &Option<Vec<String>>| columns.clone().unwrap_or_default();
        for (name, columns, is_compared) in [
            ("phoneColumns", given(&table.phone_columns), true),
            ("emailColumns", given(&table.email_columns), true),
            ("textColumns", table.text_columns.clone(), true),
            ("select", table.select.clone(), false),
            (
                "nameColumn",
                table.name_column.iter().cloned().collect(),
                false,
            ),
        ] {
            for column in columns {
                let place = format!("{field}.{name}");
                let kind = known.kind(&column);
                if kind.is_none() && !known.may_answer(&column) {
                    self.unknown_column(&place, &column, known);
                } else if is_compared && kind.is_some_and(|kind| !matches!(kind, Kind::Text(_))) {
                    self.say(
                        &place,
                        &format!("the column `{column}` holds no text, and Dataverse refuses to compare it with one"),
                    );
                }
            }
        }
        if let Some(filter) = &table.filter {
            self.filter(field, filter, known);
        }
    }

    /// Columns that a filter compares with a text although they hold none.
    fn filter(&mut self, field: &str, query: &str, known: &KnownTable) {
        let query = query.replace("%20", " ").replace("%27", "'");
        for name in compared_with_a_text(&query) {
            match known.kind(name) {
                None | Some(Kind::Text(_)) => {}
                Some(kind) => self.say(
                    &format!("{field}.queryString"),
                    &format!(
                        "the column `{name}` holds {}, and Dataverse refuses to compare it with a text; leave out the single quotes around the value",
                        wanted(kind)
                    ),
                ),
            }
        }
    }

    /// A field of a step's response.
    pub(super) fn response_field(&mut self, place: &str, response: &str, field: &str) {
        let Some(known) = self.answers.get(response).copied() else {
            return;
        };
        // A query's answer is a list.
        if known.may_answer(field) || field == "value" {
            return;
        }
        let table = known.logical_name;
        let fields = known.columns().map(|column| column.name);
        let is_a_key = TABLES.iter().any(|other| other.primary_key == field);
        let right = if is_a_key || field.to_lowercase() == format!("{table}id") {
            Some(known.primary_key)
        } else {
            nearest(field, fields.chain([known.primary_key]), 2)
        };
        let advice = match right {
            Some(right) => format!("did you mean `{right}`?"),
            None if known.has_lookup(field) => {
                format!("it is a lookup, whose value is `_{field}_value`")
            }
            None => "a column of your own has a prefix, like new_x".to_owned(),
        };
        self.say(
            place,
            &format!("a record of {table} has no field `{field}` that is known; {advice}"),
        );
    }

    fn column(&mut self, field: &str, name: &str, value: &Json, known: &KnownTable, creates: bool) {
        let logical_name = known.logical_name;
        if let Some(property) = name.strip_suffix("@odata.bind") {
            return self.lookup(field, property, value, known);
        }
        let Some(column) = known.column(name) else {
            // What has an @ is an annotation.
            if !name.contains('@') {
                self.unknown_column(field, name, known);
            }
            return;
        };
        match column.access {
            Access::ReadOnly => {
                return self.say(
                    field,
                    &format!("the column `{name}` of {logical_name} is read-only; leave it out"),
                );
            }
            Access::NotOnCreate if creates => {
                return self.say(
                    field,
                    &format!(
                        "the column `{name}` of {logical_name} cannot be set when a record is created; set it in a later step"
                    ),
                );
            }
            Access::NotOnUpdate if !creates => {
                return self.say(
                    field,
                    &format!(
                        "the column `{name}` of {logical_name} can only be set when a record is created; leave it out"
                    ),
                );
            }
            Access::NotOnCreate | Access::NotOnUpdate | Access::Writable => {}
        }
        let template = match value {
            Json::String(source) => match self.template(field, source) {
                Some(template) => Some((source, template)),
                None => return,
            },
            _ => None,
        };
        match template {
            Some((source, template)) if template.text() != *source => {
                self.template_in_column(field, source, &template, column);
            }
            _ => self.constant_in_column(field, value, column),
        }
    }

    fn unknown_column(&mut self, field: &str, name: &str, known: &KnownTable) {
        let table = known.logical_name;
        if known.has_lookup(name) {
            let of_column = known.lookups.iter().filter(|lookup| lookup.column == name);
            let ways = of_column.map(|lookup| {
                format!(
                    "\"{}@odata.bind\": \"/{}(...)\"",
                    lookup.name, lookup.target
                )
            });
            let mut ways: Vec<String> = ways.collect();
            if name == "ownerid" {
                ways.insert(0, "\"ownerid\": \"{{ Agent.Owner }}\"".to_owned());
            } else if self.looks_for_customers {
                ways.insert(0, format!("\"{name}\": \"{{{{ Customer }}}}\""));
            }
            if ways.is_empty() {
                ways.push(format!("\"{name}@odata.bind\": \"/<entity set>(...)\""));
            }
            return self.say(
                field,
                &format!(
                    "`{name}` of {table} is a lookup, and no value sets it by this name; write {}",
                    ways.join(" or ")
                ),
            );
        }
        if known.may_have(name) {
            return;
        }
        let columns = known.columns().map(|column| column.name);
        // `telephone4` is no misspelt `telephone1`.
        let only_the_number_differs = |right: &str| {
            let digit = |c: char| c.is_ascii_digit();
            right.trim_end_matches(digit) == name.trim_end_matches(digit)
        };
        let message = match nearest(name, columns, 2) {
            Some(right) if !only_the_number_differs(right) => {
                format!("did you mean `{right}`?")
            }
            _ => "a column of your own has a prefix, like new_x, and a lookup is written as <name>@odata.bind".into(),
        };
        self.say(
            field,
            &format!("{table} has no column `{name}` that is known; {message}"),
        );
    }

    /// A lookup, by its navigation property.
    fn lookup(&mut self, field: &str, property: &str, value: &Json, known: &KnownTable) {
        let table = known.logical_name;
        let of_property = known
            .lookups
            .iter()
            .filter(|lookup| lookup.name == property);
        let targets: Vec<&str> = of_property.map(|lookup| lookup.target).collect();
        if !targets.is_empty() {
            let target = value.as_str().and_then(entity_set_of);
            if let Some(target) = target.filter(|target| !targets.contains(target)) {
                self.say(
                    field,
                    &format!(
                        "`{property}` names a record of {}, not of {target}",
                        targets.join(" or of ")
                    ),
                );
            }
            return;
        }
        if known.may_bind(property) {
            return;
        }
        let names = || known.lookups.iter().map(|lookup| lookup.name);
        let of_column = known.lookups.iter().filter(|lookup| {
            let rest = property.strip_prefix(lookup.column);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        let mut meant: Vec<&str> = of_column.map(|lookup| lookup.name).collect();
        if meant.is_empty() {
            meant.extend(nearest(property, names(), 2));
        }
        let message = if meant.is_empty() {
            "a lookup's navigation property stands in the reference of its table, and one of your own has a prefix, like new_X".to_owned()
        } else {
            format!("did you mean `{}`?", meant.join("`, `"))
        };
        self.say(
            field,
            &format!("{table} has no navigation property `{property}` that is known; {message}"),
        );
    }

    fn constant_in_column(&mut self, field: &str, value: &Json, column: &Column) {
        let name = column.name;
        if !column.kind.accepts(value) {
            self.say(
                field,
                &format!(
                    "the column `{name}` takes {}, not {value}",
                    wanted(column.kind)
                ),
            );
            return;
        }
        match (column.kind, value) {
            (Kind::Text(max), Json::String(text)) => self.length(field, text, name, max),
            (kind @ (Kind::Integer(_) | Kind::Choice(_)), Json::Number(number)) => {
                let number = number.as_i64().unwrap_or_default();
                let is_own = matches!(kind, Kind::Choice(_)) && is_own_option(number);
                if !kind.has_in_range(number) && !is_own {
                    self.say(
                        field,
                        &format!("the column `{name}` takes {}, not {number}", range(kind)),
                    );
                }
            }
            _ => {}
        }
    }

    fn length(&mut self, field: &str, text: &str, name: &str, max: usize) {
        let length = text.encode_utf16().count();
        if length > max {
            self.say(
                field,
                &format!(
                    "the text is {length} characters long, and the column `{name}` takes {max} at the most; shorten it"
                ),
            );
        }
    }

    fn template_in_column(
        &mut self,
        field: &str,
        source: &str,
        template: &Template,
        column: &Column,
    ) {
        let name = column.name;
        match column.kind {
            Kind::Text(max) => {
                self.length(field, &template.text(), name, max);
                for used in template.names(&self.templates) {
                    let filters = filters_behind(source, &used);
                    let longest = filters.as_ref().and_then(|filters| {
                        filters
                            .iter()
                            .filter_map(|filter| length_kept(filter))
                            .min()
                    });
                    if let Some(longest) = longest.filter(|longest| *longest > max) {
                        self.say(
                            &place(&used),
                            &format!(
                                "truncate({longest}) leaves more than the {max} characters that the column `{name}` takes; write truncate({max}), or less where there is other text"
                            ),
                        );
                    }
                    let is_cut = filters.is_none_or(|filters| {
                        filters.iter().any(|filter| filter.starts_with("truncate"))
                    });
                    if max <= SHORT
                        && is_often_long(&used.name)
                        && !is_cut
                        && name_meant(&used.name).is_none()
                    {
                        self.say(
                            &place(&used),
                            &format!(
                                "the value of `{}` may be longer than the {max} characters of the column `{name}`, and Dataverse would refuse the whole request; write {{{{ {} | truncate({max}) }}}}, or less than {max} where there is other text",
                                used.name,
                                expression(&used.name)
                            ),
                        );
                    }
                }
            }
            Kind::Integer(_) | Kind::Choice(_) | Kind::Boolean => {
                let names = template.names(&self.templates);
                let expression = match names.as_slice() {
                    [used] if template.is_single_expression() => {
                        let is_bare = filters_behind(source, used).is_some_and(|f| f.is_empty());
                        if !is_bare || !is_text(&used.name) {
                            return;
                        }
                        expression(&used.name)
                    }
                    _ if template.is_single_expression() => return,
                    _ => "name".to_owned(),
                };
                let example = if column.kind == Kind::Boolean {
                    format!("{{{{ {expression} == 'yes' }}}}")
                } else {
                    format!("{{{{ {expression} | int }}}}")
                };
                self.say(
                    field,
                    &format!(
                        "it gives a text, and the column `{name}` takes {}; write one expression that gives it, like {example}",
                        wanted(column.kind)
                    ),
                );
            }
            Kind::DateTime | Kind::Guid => {
                let belongs = |c: char| match column.kind {
                    Kind::Guid => c.is_ascii_hexdigit() || c == '-',
                    _ => c.is_ascii_digit() || "-:.+TZ".contains(c),
                };
                // Parts may make up a value, as a date and T00:00:00Z do.
                if !template.text().trim().chars().all(belongs) {
                    self.say(
                        field,
                        &format!(
                            "there is text around the value, and the column `{name}` takes {} alone; leave the text out",
                            wanted(column.kind)
                        ),
                    );
                }
            }
        }
    }
}

/// The entity set of a record's URL, as far as it is no template's.
fn entity_set_of(url: &str) -> Option<&str> {
    let (path, _) = url.split_once('(')?;
    let set = path.rsplit('/').next()?.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!set.is_empty() && set.chars().all(is_name)).then_some(set)
}

/// The names that a filter compares with a value in single quotes.
fn compared_with_a_text(filter: &str) -> Vec<&str> {
    let mut columns = Vec::new();
    let mut parts: Vec<&str> = filter.split('\'').collect();
    // Nothing is quoted behind the last quote.
    parts.pop();
    for outside in parts.into_iter().step_by(2) {
        let mut words = outside.split_whitespace().rev();
        let operator = words.next().unwrap_or_default();
        let left = words.next().unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = left.rfind(|c| !is_part(c)).map_or(0, |at| at + 1);
        if matches!(operator, "eq" | "ne" | "gt" | "ge" | "lt" | "le") {
            columns.push(&left[start..]);
        }
    }
    columns
}

/// How many characters a filter of a template keeps: 200 of `truncate(200)`.
fn length_kept(filter: &str) -> Option<usize> {
    let arguments = filter.strip_prefix("truncate")?.trim();
    let length = arguments.strip_prefix('(')?.strip_suffix(')')?;
    length.trim().trim_start_matches("length=").parse().ok()
}

/// The numbers that a column takes.
fn range(kind: Kind) -> String {
    match kind {
        Kind::Integer(max) => format!("a number from 0 to {max}"),
        Kind::Choice(options) => {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            format!("one of {}, or an option of your own", options.join(", "))
        }
        kind => wanted(kind).to_owned(),
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) => "a text",
        Kind::Integer(_) => "a whole number",
        Kind::Choice(_) => "the number of a choice",
        Kind::Boolean => "true or false",
        Kind::DateTime => "a date, or a date and a time with their offset",
        Kind::Guid => "a GUID",
    }
}
