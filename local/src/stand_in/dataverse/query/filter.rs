//! `$filter`: `eq`, `ne`, `gt`, `ge`, `lt`, `le`, `and`, `or`, `not`, `contains`, `startswith`,
//! `endswith`, parentheses and `null`.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows>

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::super::{
    error::Refusal,
    request::Options,
    schema::{Kind, Table, is_date_time},
};

/// A parsed filter.
#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare(String, Operator, Json),
    Text(Function, String, String),
}

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
    Word(String),
    Text(String),
}

impl Filter {
    /// Parses a filter against a table. The options hold the values of its parameter aliases (`@p`).
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#use-parameter-aliases-with-query-options>
    ///
    /// # Errors
    /// What Dataverse answers to a filter that it cannot read.
    pub(super) fn parse(table: &Table, text: &str, options: &Options) -> Result<Filter, Refusal> {
        let mut written = Vec::new();
        for token in tokens(text)? {
            match token {
                Token::Word(alias) if alias.starts_with('@') => match options.get(&alias) {
                    Some(value) => written.extend(tokens(value)?),
                    None => {
                        return Err(Refusal::malformed(format!(
                            "Missing value for the parameter alias '{alias}'."
                        )));
                    }
                },
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
            None => Ok(filter),
            Some(_) => Err(Refusal::malformed(format!(
                "Syntax error at position {} in '{text}'.",
                parser.at
            ))),
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
                match operator {
                    Operator::Equal => compare(value, wanted) == Some(Ordering::Equal),
                    Operator::NotEqual => compare(value, wanted) != Some(Ordering::Equal),
                    _ if value.is_null() || wanted.is_null() => false,
                    Operator::Greater => compare(value, wanted) == Some(Ordering::Greater),
                    Operator::GreaterOrEqual => matches!(
                        compare(value, wanted),
                        Some(Ordering::Greater | Ordering::Equal)
                    ),
                    Operator::Less => compare(value, wanted) == Some(Ordering::Less),
                    Operator::LessOrEqual => matches!(
                        compare(value, wanted),
                        Some(Ordering::Less | Ordering::Equal)
                    ),
                }
            }
            Filter::Text(function, column, wanted) => {
                let value = record
                    .get(column)
                    .and_then(Json::as_str)
                    .unwrap_or_default()
                    .to_lowercase();
                let wanted = wanted.to_lowercase();
                match function {
                    Function::Contains => value.contains(&wanted),
                    Function::StartsWith => value.starts_with(&wanted),
                    Function::EndsWith => value.ends_with(&wanted),
                }
            }
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
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_whitespace() => {
                chars.next();
            }
            '(' | ')' | ',' => {
                chars.next();
                tokens.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                chars.next();
                let mut literal = String::new();
                loop {
                    match chars.next() {
                        None => {
                            return Err(Refusal::malformed(format!(
                                "There is an unterminated string literal in '{text}'."
                            )));
                        }
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            literal.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => literal.push(c),
                    }
                }
                tokens.push(Token::Text(literal));
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || matches!(c, '(' | ')' | ',' | '\'') {
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
        if word.starts_with("Microsoft.Dynamics.CRM.") || word.contains('/') {
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
            Err(Refusal::malformed(format!(
                "A binary operator with incompatible types was detected. Found operand types '{}' and another for operator kind '{operator:?}'.",
                kind.map_or("", Kind::edm)
            )))
        }
    }

    fn check_column(&self, column: &str) -> Result<(), Refusal> {
        if self.table.has(column) {
            return Ok(());
        }
        Err(Refusal::no_property(self.table, column))
    }
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
    use serde_json::json;

    const ID: &str = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";

    fn parse(filter: &str) -> Result<Filter, Refusal> {
        let table = Table::of("phonecalls", &[]).unwrap();
        let aliases = [("@p", "'+15550100'"), ("@id", ID)];
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
            ("phonenumber eq @q", "Missing value for the parameter alias"),
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
}
