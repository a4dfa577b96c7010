//! `$filter`: `eq`, `ne`, `gt`, `ge`, `lt`, `le`, `and`, `or`, `not`, `contains`, `startswith`,
//! `endswith`, `Microsoft.Dynamics.CRM.In` and `NotIn`, parentheses and `null`.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows>

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    super::{
        error::Refusal,
        request::Options,
        schema::{Kind, Table, is_date_time},
    },
    like::like,
};

/// A parsed filter.
#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare(String, Operator, Json),
    /// Two columns of the record.
    Columns(String, Operator, String),
    Text(Function, String, String),
    In(String, Vec<Json>),
}

/// The most conditions that a query has.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#condition-limits>
const MOST_CONDITIONS: usize = 500;

/// What is said of a list that is no JSON, such as one with a single quote too many.
const INVALID_LIST: &str = "Invalid JSON. A comma character ',' was expected in scope 'Array'. Every two elements in an array and properties of an object must be separated by commas.";

const FUNCTIONS: &str = "Microsoft.Dynamics.CRM.";

#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) enum Function {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug, PartialEq, Clone)]
enum Token {
    Open,
    Close,
    Comma,
    OpenList,
    CloseList,
    Is,
    Word(String),
    Text(String),
}

impl Filter {
    /// Parses a filter against a table. The options hold the values of its parameter aliases (`@p`).
    /// One that has no value is null.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview#use-parameter-aliases-with-query-options>
    ///
    /// # Errors
    /// What Dataverse answers to a filter that it cannot read.
    pub(super) fn parse(table: &Table, text: &str, options: &Options) -> Result<Filter, Refusal> {
        let mut written = Vec::new();
        for token in tokens(text)? {
            match token {
                Token::Word(alias) if alias.starts_with('@') => {
                    let value = options.get(&alias).map_or("null", String::as_str);
                    written.extend(tokens(value)?);
                }
                token => written.push(token),
            }
        }
        let mut parser = Parser {
            table,
            tokens: written,
            at: 0,
        };
        let filter = parser.or()?;
        match parser.peek() {
            None if filter.conditions() > MOST_CONDITIONS => Err(Refusal::new(
                400,
                "0x8004430C",
                "Number of conditions in query exceeded maximum limit.",
            )),
            None => Ok(filter),
            Some(_) => Err(Refusal::malformed(format!(
                "Syntax error at position {} in '{text}'.",
                parser.at
            ))),
        }
    }

    fn conditions(&self) -> usize {
        match self {
            Filter::And(left, right) | Filter::Or(left, right) => {
                left.conditions() + right.conditions()
            }
            Filter::Not(inner) => inner.conditions(),
            _ => 1,
        }
    }

    /// Whether a record fits. Text is compared without regard to case, as Dataverse does.
    pub(super) fn matches(&self, record: &Map<String, Json>) -> bool {
        match self {
            Filter::And(left, right) => left.matches(record) && right.matches(record),
            Filter::Or(left, right) => left.matches(record) || right.matches(record),
            Filter::Not(inner) => !inner.matches(record),
            Filter::Compare(column, operator, wanted) => {
                let value = record.get(column).unwrap_or(&Json::Null);
                operator.holds(value, wanted)
            }
            Filter::Columns(left, operator, right) => {
                let value = |column: &String| record.get(column).filter(|value| !value.is_null());
                match (value(left), value(right)) {
                    (Some(left), Some(right)) => operator.holds(left, right),
                    _ => false,
                }
            }
            Filter::Text(function, column, wanted) => {
                let pattern = match function {
                    Function::Contains => format!("%{wanted}%"),
                    Function::StartsWith => format!("{wanted}%"),
                    Function::EndsWith => format!("%{wanted}"),
                };
                let value = record.get(column).and_then(Json::as_str);
                value.is_some_and(|value| like(value, &pattern))
            }
            Filter::In(column, wanted) => {
                let value = record.get(column).unwrap_or(&Json::Null);
                let mut wanted = wanted.iter();
                wanted.any(|wanted| compare(value, wanted) == Some(Ordering::Equal))
            }
        }
    }
}

impl Operator {
    fn holds(self, value: &Json, wanted: &Json) -> bool {
        let order = compare(value, wanted);
        match self {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            _ if value.is_null() || wanted.is_null() => false,
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
        }
    }
}

/// The order of two values of one column.
pub(super) fn compare(left: &Json, right: &Json) -> Option<Ordering> {
    match (left, right) {
        (Json::Null, Json::Null) => Some(Ordering::Equal),
        (Json::Null, _) => Some(Ordering::Less),
        (_, Json::Null) => Some(Ordering::Greater),
        (Json::Number(left), Json::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Json::Bool(left), Json::Bool(right)) => Some(left.cmp(right)),
        (Json::String(left), Json::String(right)) => {
            match (
                left.parse::<jiff::Timestamp>(),
                right.parse::<jiff::Timestamp>(),
            ) {
                (Ok(left), Ok(right)) => Some(left.cmp(&right)),
                _ => Some(left.to_lowercase().cmp(&right.to_lowercase())),
            }
        }
        _ => None,
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    let mut is_in_list = false;
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_whitespace() => {
                chars.next();
            }
            '(' | ')' | ',' | '=' | '[' | ']' => {
                chars.next();
                is_in_list = c == '[' || is_in_list && c != ']';
                tokens.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    '=' => Token::Is,
                    '[' => Token::OpenList,
                    ']' => Token::CloseList,
                    _ => Token::Comma,
                });
            }
            '\'' | '"' => {
                chars.next();
                let mut literal = String::new();
                loop {
                    match chars.next() {
                        None if is_in_list => return Err(Refusal::malformed(INVALID_LIST)),
                        None => {
                            return Err(Refusal::malformed(format!(
                                "There is an unterminated string literal in '{text}'."
                            )));
                        }
                        // A list is JSON, where a quote is not doubled.
                        Some('\'') if c == '\'' && !is_in_list && chars.peek() == Some(&'\'') => {
                            chars.next();
                            literal.push('\'');
                        }
                        Some('\\') if is_in_list => literal.extend(chars.next()),
                        Some(end) if end == c => break,
                        Some(c) => literal.push(c),
                    }
                }
                tokens.push(Token::Text(literal));
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || matches!(c, '(' | ')' | ',' | '\'' | '=' | '[' | ']') {
                        break;
                    }
                    word.push(c);
                    chars.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    table: &'a Table,
    tokens: Vec<Token>,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), Refusal> {
        match self.next() {
            Some(next) if next == *token => Ok(()),
            _ => Err(Refusal::malformed(format!(
                "Syntax error at token {} of the filter.",
                self.at
            ))),
        }
    }

    fn or(&mut self) -> Result<Filter, Refusal> {
        let mut left = self.and()?;
        while self.take_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, Refusal> {
        let mut left = self.not()?;
        while self.take_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Filter, Refusal> {
        if self.take_word("not") {
            return Ok(Filter::Not(Box::new(self.not()?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            return Ok(inner);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Filter, Refusal> {
        let Some(Token::Word(word)) = self.next() else {
            return Err(Refusal::malformed(
                "Syntax error: a column or a function is expected in the filter.",
            ));
        };
        let function = match word.as_str() {
            "contains" => Some(Function::Contains),
            "startswith" => Some(Function::StartsWith),
            "endswith" => Some(Function::EndsWith),
            _ => None,
        };
        if let Some(function) = function {
            self.expect(&Token::Open)?;
            let Some(Token::Word(column)) = self.next() else {
                return Err(Refusal::malformed(format!(
                    "Syntax error: `{word}` needs a column."
                )));
            };
            self.check_column(&column)?;
            self.expect(&Token::Comma)?;
            let Some(Token::Text(wanted)) = self.next() else {
                return Err(Refusal::malformed(format!(
                    "Syntax error: `{word}` needs a text in single quotes."
                )));
            };
            self.expect(&Token::Close)?;
            return Ok(Filter::Text(function, column, wanted));
        }
        match word.strip_prefix(FUNCTIONS) {
            Some("In") => return self.list(),
            Some("NotIn") => return Ok(Filter::Not(Box::new(self.list()?))),
            _ => {}
        }
        if word.starts_with(FUNCTIONS) || word.contains('/') {
            return Err(Refusal::not_modelled(&format!("`{word}` in $filter")));
        }
        if self.peek() == Some(&Token::Open) {
            return Err(Refusal::malformed(format!(
                "An unknown function with name '{word}' was found."
            )));
        }
        self.check_column(&word)?;
        let kind = self.table.kind(&word);
        let operator = match self.next() {
            Some(Token::Word(operator)) => match operator.as_str() {
                "eq" => Operator::Equal,
                "ne" => Operator::NotEqual,
                "gt" => Operator::Greater,
                "ge" => Operator::GreaterOrEqual,
                "lt" => Operator::Less,
                "le" => Operator::LessOrEqual,
                other => {
                    return Err(Refusal::malformed(format!(
                        "Syntax error: there is no operator '{other}'."
                    )));
                }
            },
            _ => {
                return Err(Refusal::malformed(format!(
                    "Syntax error: an operator is expected after '{word}'."
                )));
            }
        };
        let literal = match self.next() {
            Some(Token::Text(text)) => (Json::String(text), true),
            // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#column-comparison
            Some(Token::Word(other)) if self.table.known.is_some() && self.table.has(&other) => {
                if self.table.kind(&other).map(Kind::edm) != kind.map(Kind::edm) {
                    return Err(incompatible(kind, operator));
                }
                return Ok(Filter::Columns(word, operator, other));
            }
            Some(Token::Word(word)) => (literal(&word)?, false),
            _ => return Err(Refusal::malformed("Syntax error: a literal is expected.")),
        };
        let (literal, is_quoted) = literal;
        // Of a column that is not described nobody knows what fits.
        let fits = kind.is_none_or(|kind| match (&literal, kind) {
            (Json::Null, _) => true,
            (Json::String(_), Kind::Text(_)) => is_quoted,
            // A date or a GUID in quotes is a text.
            (Json::String(text), Kind::DateTime) => !is_quoted && is_date_time(text),
            (Json::String(text), Kind::Guid) => !is_quoted && Uuid::try_parse(text).is_ok(),
            (Json::Number(_), Kind::Integer(_) | Kind::Choice(_))
            | (Json::Bool(_), Kind::Boolean) => true,
            _ => false,
        });
        if fits {
            Ok(Filter::Compare(word, operator, literal))
        } else {
            Err(incompatible(kind, operator))
        }
    }

    /// What stands behind `In`: `(PropertyName='lastname',PropertyValues=["Ada","O'Hara"])`.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#manage-single-quotes>
    fn list(&mut self) -> Result<Filter, Refusal> {
        self.expect(&Token::Open)?;
        self.parameter("PropertyName")?;
        let Some(Token::Text(name)) = self.next() else {
            return Err(Refusal::malformed(
                "Syntax error: `PropertyName` is a column in single quotes.",
            ));
        };
        let known = self.table.known;
        let column = if known.is_some_and(|known| known.has_lookup(&name)) {
            format!("_{name}_value")
        } else {
            name
        };
        self.check_column(&column)?;
        self.expect(&Token::Comma)?;
        self.parameter("PropertyValues")?;
        self.expect(&Token::OpenList)?;
        let mut values = Vec::new();
        loop {
            match self.next() {
                Some(Token::Text(text)) => values.push(self.value_of(&column, text)?),
                _ => {
                    return Err(Refusal::malformed(
                        "Syntax error: `PropertyValues` is a list of texts.",
                    ));
                }
            }
            match self.next() {
                Some(Token::Comma) => {}
                Some(Token::CloseList) => break,
                _ => {
                    return Err(Refusal::malformed(INVALID_LIST));
                }
            }
        }
        self.expect(&Token::Close)?;
        Ok(Filter::In(column, values))
    }

    fn parameter(&mut self, name: &str) -> Result<(), Refusal> {
        self.expect(&Token::Word(name.to_owned()))?;
        self.expect(&Token::Is)
    }

    /// A column's value as it is written in a list, where all values are texts.
    fn value_of(&self, column: &str, text: String) -> Result<Json, Refusal> {
        let kind = self.table.kind(column);
        let value = match kind {
            None | Some(Kind::Text(_)) => Some(Json::from(text.as_str())),
            Some(Kind::Integer(_) | Kind::Choice(_)) => text.parse().ok().map(|n: i64| n.into()),
            Some(Kind::Boolean) => text.parse().ok().map(|is: bool| is.into()),
            Some(Kind::Guid) => Uuid::try_parse(&text).ok().map(|id| id.to_string().into()),
            Some(Kind::DateTime) => is_date_time(&text).then(|| text.as_str().into()),
        };
        value.ok_or_else(|| {
            Refusal::malformed(format!(
                "Cannot convert the literal '{text}' to the expected type '{}'.",
                kind.map_or("", Kind::edm)
            ))
        })
    }

    fn check_column(&self, column: &str) -> Result<(), Refusal> {
        if self.table.has(column) {
            return Ok(());
        }
        Err(Refusal::no_property(self.table, column))
    }
}

fn incompatible(kind: Option<Kind>, operator: Operator) -> Refusal {
    Refusal::malformed(format!(
        "A binary operator with incompatible types was detected. Found operand types '{}' and another for operator kind '{operator:?}'.",
        kind.map_or("", Kind::edm)
    ))
}

fn literal(word: &str) -> Result<Json, Refusal> {
    if let Ok(number) = word.parse::<i64>() {
        return Ok(number.into());
    }
    match word {
        "null" => Ok(Json::Null),
        "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        word if Uuid::try_parse(word).is_ok() || is_date_time(word) => Ok(word.into()),
        word => Err(Refusal::malformed(format!(
            "Could not find a property or a literal named '{word}'."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::dataverse::schema::Tables;
    use serde_json::json;

    const ID: &str = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";

    fn parse(filter: &str) -> Result<Filter, Refusal> {
        let table = Table::of("phonecalls", &Tables::default()).unwrap();
        let aliases = [
            ("@p", "'+15550100'"),
            ("@id", ID),
            ("@name", "'phonenumber'"),
            ("@list", "[\"x\",\"+15550100\"]"),
        ];
        let aliases = aliases.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Filter::parse(&table, filter, &Options::from(aliases))
    }

    fn matches(filter: &str) -> bool {
        let record = json!({
            "subject": "Call about O'Hara", "phonenumber": "+15550100", "actualdurationminutes": 5,
            "leftvoicemail": false, "actualstart": "2026-02-04T21:14:16Z",
            "activityid": ID, "new_score": 7
        });
        parse(filter)
            .unwrap_or_else(|refusal| panic!("{filter}: {}", refusal.message))
            .matches(record.as_object().unwrap())
    }

    // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
    #[test]
    fn filters_select_as_documented() {
        for (filter, expected) in [
            ("phonenumber eq '+15550100'", true),
            ("phonenumber ne '+15550100'", false),
            ("subject eq 'call about o''hara'", true),
            ("category eq null", true),
            ("category ne null", false),
            (
                "actualdurationminutes eq 5 and (leftvoicemail eq true or phonenumber eq '+15550100')",
                true,
            ),
            ("not contains(subject,'nobody')", true),
            (
                "startswith(phonenumber,'+1555') and endswith(phonenumber,'0100')",
                true,
            ),
            ("contains(subject,'O''Hara')", true),
            ("actualstart lt 2026-02-05T00:00:00Z", true),
            ("actualstart ge 2026-02-05T00:00:00Z", false),
            ("activityid eq 5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90", true),
            ("phonenumber eq @p and activityid eq @id", true),
            ("new_score gt 6 and new_name eq null", true),
            ("category eq @nothing", true),
            ("not contains(category,'x')", true),
            ("contains(subject,'call%hara')", true),
            ("startswith(phonenumber,'+1_55')", true),
            ("endswith(phonenumber,'010[^1-9]')", true),
            ("contains(subject,'100[%]')", false),
            ("subject eq phonenumber", false),
            ("subject ne phonenumber", true),
            ("category eq subcategory", false),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='phonenumber',PropertyValues=['15550100','+15550100'])",
                true,
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='subject',PropertyValues=[\"x\",\"Call about O'Hara\"])",
                true,
            ),
            (
                "not Microsoft.Dynamics.CRM.In(PropertyName='subject',PropertyValues=['x'])",
                true,
            ),
            (
                "Microsoft.Dynamics.CRM.NotIn(PropertyName='phonenumber',PropertyValues=['+15550100'])",
                false,
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='actualdurationminutes',PropertyValues=[\"4\",\"5\"])",
                true,
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='activityid',PropertyValues=['5D3F6A1E-9C7B-4E52-8F0A-2B1C4D6E8F90'])",
                true,
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='regardingobjectid',PropertyValues=['5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90'])",
                false,
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName=@name,PropertyValues=@list) and leftvoicemail eq false",
                true,
            ),
            (
                "leftvoicemail eq false or actualdurationminutes gt 100",
                true,
            ),
        ] {
            assert_eq!(matches(filter), expected, "{filter}");
        }
    }

    #[test]
    fn filters_that_dataverse_refuses_are_refused() {
        for (filter, message) in [
            ("nothing eq 1", "Could not find a property named 'nothing'"),
            ("subject eq 5", "incompatible types"),
            ("actualdurationminutes eq '5'", "incompatible types"),
            ("leftvoicemail eq 'true'", "incompatible types"),
            (
                "activityid eq '5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90'",
                "incompatible types was detected. Found operand types 'Edm.Guid'",
            ),
            (
                "_regardingobjectid_value eq '5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90'",
                "incompatible types",
            ),
            (
                "actualstart gt '2026-02-05T00:00:00Z'",
                "incompatible types was detected. Found operand types 'Edm.DateTimeOffset'",
            ),
            ("subject eq 2026-02-05", "incompatible types"),
            ("subject eq leftvoicemail", "incompatible types"),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='subject',PropertyValues=['O'Hara'])",
                "A comma character ',' was expected in scope 'Array'",
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='subject',PropertyValues=['O''Hara'])",
                "A comma character ',' was expected in scope 'Array'",
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='subjekt',PropertyValues=['x'])",
                "Could not find a property named 'subjekt'",
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='leftvoicemail',PropertyValues=['x'])",
                "expected type 'Edm.Boolean'",
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='subject',PropertyValues=[])",
                "list of texts",
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='subject')",
                "Syntax error",
            ),
            (
                "Microsoft.Dynamics.CRM.Like(PropertyName='subject',PropertyValue='x')",
                "does not model `Microsoft.Dynamics.CRM.Like`",
            ),
            (
                "subjekt eq 'x'",
                "Could not find a property named 'subjekt'",
            ),
            ("subject eq 'x", "unterminated"),
            ("subject like 'x'", "no operator 'like'"),
            ("(subject eq 'x'", "Syntax error"),
            ("subject eq 'x' subject", "Syntax error"),
            ("length(subject) eq 1", "unknown function"),
            ("subject eq x", "Could not find"),
            ("", "Syntax error"),
        ] {
            let refused = parse(filter).unwrap_err().message;
            assert!(refused.contains(message), "{filter}: {refused}");
        }
    }
    #[test]
    fn a_filter_has_five_hundred_conditions_at_the_most() {
        let conditions = |count| vec!["subject eq 'x'"; count].join(" or ");
        assert!(parse(&conditions(500)).is_ok());
        let refused = parse(&conditions(501)).unwrap_err();
        assert_eq!(
            (refused.status, refused.message.as_str()),
            (400, "Number of conditions in query exceeded maximum limit.")
        );
    }
}
