//! Telephone numbers: the one that is calling, and the many ways in which people write it.
//!
//! Owns what a caller's number is, the texts and patterns by which it is looked for in a column,
//! and whether a column's text is that number. Amazon Connect gives a number in E.164; in Dataverse
//! it stands as somebody typed it.
//!
//! What is known of the countries (codes, prefixes, lengths, groups of digits) is libphonenumber's.
//! A number is taken by its length alone: which ranges a country has assigned changes every month,
//! and fictional numbers are in none.

use rlibphonenumber::{
    NumberFormat, NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat,
    PhoneNumberUtil, Region, ValidationError, get_national_significant_number_owned,
};
use thiserror::Error;

/// The longest text that is read. No column for a telephone number is this long, and no number.
const LONGEST: usize = 250;

/// A number with fewer digits and no country code is an extension.
const SHORTEST: usize = 7;

/// The country code of the North American Numbering Plan, which is its trunk prefix too.
const NANP: i32 = 1;

/// What is sent in place of a withheld number, without spaces.
const WITHHELD: &[&str] = &[
    "anonymous",
    "blocked",
    "hidden",
    "nocallerid",
    "notavailable",
    "private",
    "restricted",
    "unavailable",
    "unknown",
    "withheld",
];

/// The same where only digits can be sent: the keys that the letters of `anonymous`, `blocked`,
/// `private`, `restricted`, `unavailable` and `unknown` are on.
const WITHHELD_IN_DIGITS: &[&str] = &[
    "+266696687",
    "+2562533",
    "+7748483",
    "+7378742833",
    "+86282452253",
    "+8656696",
];

/// Loads what is known of the countries, once for the life of the process. It takes some
/// milliseconds, which the first number read takes unless this has run before, on whatever thread.
pub fn load() {
    util();
}

fn util() -> &'static PhoneNumberUtil {
    &PHONE_NUMBER_UTIL
}

/// Whether `country` is a region that numbers can be read for, such as `US`: two letters of ISO
/// 3166-1.
pub fn is_country(country: &str) -> bool {
    region(country).is_some()
}

/// Why nobody is looked for by a caller's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotLookedFor {
    #[error("the caller withheld the number, or the carrier did not pass it on")]
    Withheld,
    #[error(
        "the number is too short to be looked for: an extension, or a number without its area code"
    )]
    Internal,
    #[error("the text is no telephone number")]
    NoNumber,
    #[error("the number has no country code, and no country is known whose number it could be")]
    NoCountry,
}

/// A telephone number, without an extension.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    number: PhoneNumber,
    e164: String,
    region: Option<Region>,
    /// The country of those who wrote the column, where that is known to be another one.
    foreign_to: Option<Region>,
    /// What is dialled before the national number within its country; empty where nothing is.
    trunk: String,
    /// Whether those who wrote the column dial 011 to reach another country.
    exit_011: bool,
}

impl Number {
    /// Reads a caller's number.
    ///
    /// `country` is an ISO region such as `US`. By its rules a text without `+` is read: its trunk
    /// prefix, and what is dialled there to reach another country.
    ///
    /// # Errors
    ///
    /// [`NotLookedFor`], when the text is not a number that a contact could have.
    pub fn read(text: &str, country: Option<&str>) -> Result<Number, NotLookedFor> {
        let text = plain(text);
        let text = address(&text);
        if is_withheld(text) {
            return Err(NotLookedFor::Withheld);
        }
        let digits = count_digits(text);
        if text.len() > LONGEST || digits == 0 || !has_only_an_extension_behind(text) {
            return Err(NotLookedFor::NoNumber);
        }
        let is_international = text.contains('+');
        if !is_international && digits < SHORTEST {
            return Err(NotLookedFor::Internal);
        }
        let home = country.and_then(region);
        let number = parse(text, home).map_err(|error| match error {
            ParseError::InvalidCountryCode if !is_international && home.is_none() => {
                NotLookedFor::NoCountry
            }
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => NotLookedFor::Internal,
            ParseError::InvalidCountryCode | ParseError::NotANumber(_) | ParseError::TooLongNsn => {
                NotLookedFor::NoNumber
            }
        })?;
        match util().is_possible_number_with_reason(&number) {
            Ok(NumberLengthType::IsPossible) => Ok(Number::of(number, home)),
            Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
                Err(NotLookedFor::Internal)
            }
            Err(_) => Err(NotLookedFor::NoNumber),
        }
    }

    fn of(number: PhoneNumber, home: Option<Region>) -> Number {
        let util = util();
        let code_of = |region: &Region| util.get_country_code_for_region(*region);
        let code = number.country_code;
        let region = util
            .get_region_for_number(&number)
            .or(home.filter(|home| code_of(home) == Some(code)))
            .or_else(|| util.get_region_for_country_code(code))
            .filter(|region| *region != Region::World);
        Number {
            e164: e164(&number),
            trunk: trunk(&number),
            exit_011: code == NANP || home.as_ref().and_then(code_of) == Some(NANP),
            foreign_to: home.filter(|home| code_of(home).is_some_and(|home| home != code)),
            number,
            region,
        }
    }

    /// The number in E.164, such as `+12065550100`.
    pub fn e164(&self) -> &str {
        &self.e164
    }

    /// The ISO region that the number belongs to; none for a number of no country, such as `+800`.
    ///
    /// Where several regions share a country code and the number is in no range of theirs, it is
    /// the country that the number was read for, or else the main one.
    pub fn country(&self) -> Option<String> {
        self.region.map(|region| region.to_string())
    }

    /// The ISO region of a number in E.164; none when it has none, or the text is no such number.
    pub fn country_of(e164: &str) -> Option<String> {
        Number::read(e164, None).ok()?.country()
    }

    /// The texts that a column most likely holds for this number, each to be compared as a whole:
    /// the most usual notations, always in the same order, none twice.
    pub fn notations(&self) -> Vec<String> {
        let (code, digits) = (self.code(), self.national_digits());
        let international = self.format(PhoneNumberFormat::International);
        let mut notations = vec![self.e164.clone(), format!("{code}{digits}")];
        if !self.is_nanp() {
            notations.push(format!("00{code}{digits}"));
        }
        notations.push(international.clone());
        notations.extend([' ', '-'].map(|separator| separated(&international, separator)));
        if self.is_nanp() {
            notations.push(separated(&international, '.'));
            notations.push(separated(&international, '-').replacen('+', "", 1));
        }
        if self.is_written_nationally() {
            notations.extend(self.national_notations(&international));
        }
        notations.retain(|notation| !self.is_possible_at_home(notation));
        deduplicated(notations)
    }

    /// The notations that begin with the trunk prefix or the national number, or show that prefix
    /// besides the country code.
    fn national_notations(&self, international: &str) -> Vec<String> {
        let (code, trunk) = (self.code(), &self.trunk);
        let national = self.format(PhoneNumberFormat::National);
        let mut notations = match self.mobile_digits() {
            Some(_) => vec![digits_of(&national)],
            None => vec![
                self.national_digits(),
                format!("{trunk}{}", self.national_digits()),
            ],
        };
        notations.push(national.clone());
        notations.extend([' ', '-', '.'].map(|separator| separated(&national, separator)));
        // +1 (206) 555-0100, +7 (495) 123-45-67
        let behind_trunk = national
            .strip_prefix(trunk)
            .unwrap_or(&national)
            .trim_start();
        if behind_trunk.starts_with('(')
            && (trunk.is_empty() || !behind_trunk.starts_with(&format!("({trunk}")))
        {
            notations.push(format!("+{code} {behind_trunk}"));
        }
        if trunk == "0" && national.starts_with('0') {
            let rest = international.strip_prefix(&format!("+{code} "));
            if let (Some(rest), None) = (rest, self.mobile_digits()) {
                notations.push(format!("+{code} (0){rest}"));
            }
            if let Some((area, rest)) = separated(&national, ' ').split_once(' ') {
                notations.push(format!("({area}) {rest}"));
                notations.push(format!("{area}/{}", rest.replace(' ', "")));
            }
        }
        notations
    }

    /// The patterns of Dataverse's `startswith` by which the number is found however its digits are
    /// grouped: one for each way of beginning it, always in the same order. `%` stands for any
    /// characters, also none, and no pattern begins with it, because that would have the whole
    /// table read.
    ///
    /// They find other numbers too, as `%` matches digits and the text may go on:
    /// [`Number::is_written_as`] tells which hits are this number.
    pub fn patterns(&self) -> Vec<String> {
        let code = self.code();
        // Argentina's 9 and 15 of a mobile number, and Mexico's former 1, 01, 044 and 045, are left
        // to the `%`.
        let digits = self
            .mobile_digits()
            .unwrap_or_else(|| self.national_digits());
        let digits = digits
            .chars()
            .map(String::from)
            .collect::<Vec<_>>()
            .join("%");
        let trunk = match self.region {
            Some(Region::MX) => "0",
            _ => &self.trunk,
        };
        let mut begins = vec![format!("+{code}%"), format!("00%{code}%")];
        if self.exit_011 {
            begins.push(format!("011%{code}%"));
        }
        begins.push(format!("{code}%"));
        if self.is_written_nationally() {
            if !trunk.is_empty() {
                begins.push(format!("{trunk}%"));
            }
            begins.push(String::new());
            if !trunk.is_empty() && !self.is_nanp() {
                begins.push(format!("({trunk}%"));
            }
            begins.push("(".to_owned());
        }
        begins.push(format!("(+{code}%"));
        begins.push("tel:%".to_owned());
        deduplicated(
            begins
                .iter()
                .map(|begin| format!("{begin}{digits}"))
                .collect(),
        )
    }

    /// Whether a column's text is this number: in any notation, with an extension behind it or
    /// words around it, or as one of several numbers. A national notation is read as one of the
    /// country that the caller's number was read for, and of the caller's own where none is known.
    pub fn is_written_as(&self, candidate: &str) -> bool {
        let candidate = plain(candidate);
        if candidate.len() > LONGEST {
            return false;
        }
        if self.is_read_from(&candidate) {
            return true;
        }
        let mut parts = candidate
            .split(|c: char| {
                c.is_alphabetic() || matches!(c, '/' | ',' | ';' | '|' | '&' | ':' | '\n')
            })
            .map(str::trim)
            .filter(|part| count_digits(part) > 0)
            .peekable();
        // A first part this short is the beginning of one number: +44 / 20 7946 0958.
        parts
            .peek()
            .is_some_and(|first| count_digits(first) >= SHORTEST)
            && parts.any(|part| self.is_read_from(part))
    }

    /// Whether the text, as one number, is this one.
    fn is_read_from(&self, text: &str) -> bool {
        let reader = self.foreign_to.or(self.region);
        let is_this =
            |text: &str| parse(text, reader).is_ok_and(|number| e164(&number) == self.e164);
        if self.has_the_digits_of(text) || is_this(text) {
            return true;
        }
        let Some(start) = text.find(|c: char| c == '+' || c.is_ascii_digit()) else {
            return false;
        };
        let text = &text[start..];
        let code = self.code();
        // What the number's own country does not dial, but a colleague abroad does, and a country
        // code without +.
        let without_exit = ["00", "011"]
            .iter()
            .filter_map(|exit| text.strip_prefix(exit));
        let bare = (!self.is_possible_at_home(text)).then_some(text);
        let without_exit = without_exit.map(str::trim_start).chain(bare);
        without_exit
            .filter(|rest| rest.starts_with(&code))
            .any(|rest| is_this(&format!("+{rest}")))
    }

    /// Whether the text's digits are this number's behind one of the usual beginnings: what most
    /// columns hold, told without parsing, and also of a number that is in none of its country's
    /// ranges.
    fn has_the_digits_of(&self, text: &str) -> bool {
        if text.contains(|c: char| c.is_alphabetic() || matches!(c, '#' | '*' | ';')) {
            return false;
        }
        let digits = digits_of(text);
        if text.contains('+') {
            return text.starts_with(['+', '(']) && digits == self.e164[1..];
        }
        let Some(begin) = digits.strip_suffix(&self.national_digits()) else {
            return self.mobile_digits().is_some()
                && digits == digits_of(&self.format(PhoneNumberFormat::National));
        };
        let without_exit = begin
            .strip_prefix("00")
            .or(begin.strip_prefix("011"))
            .unwrap_or(begin);
        let has_code = without_exit == self.code();
        if begin == without_exit && has_code {
            return !self.is_possible_at_home(text);
        }
        has_code || self.is_written_nationally() && (begin.is_empty() || begin == self.trunk)
    }

    /// Whether a column holds it without its country code.
    fn is_written_nationally(&self) -> bool {
        self.region.is_some() && self.foreign_to.is_none()
    }

    /// Whether a text without `+` is rather a number of the column's country than this foreign one.
    fn is_possible_at_home(&self, text: &str) -> bool {
        let is_possible = |number: PhoneNumber| {
            let reason = util().is_possible_number_with_reason(&number);
            number.country_code != self.number.country_code
                && matches!(reason, Ok(NumberLengthType::IsPossible))
        };
        self.foreign_to.is_some()
            && !text.contains('+')
            && parse(text, self.foreign_to).is_ok_and(is_possible)
    }

    fn is_nanp(&self) -> bool {
        self.number.country_code == NANP
    }

    fn code(&self) -> String {
        self.number.country_code.to_string()
    }

    /// The national number's digits, without trunk prefix but with Italy's leading zero.
    fn national_digits(&self) -> String {
        get_national_significant_number_owned(&self.number)
    }

    /// The digits of an Argentine mobile number without the 9, which stands in the international
    /// notation only.
    fn mobile_digits(&self) -> Option<String> {
        let digits = (self.region == Some(Region::AR)).then(|| self.national_digits())?;
        digits
            .strip_prefix('9')
            .filter(|rest| rest.len() == 10)
            .map(str::to_owned)
    }

    fn format(&self, format: PhoneNumberFormat) -> String {
        util().format(&self.number, format).into_owned()
    }
}

/// The region of that code, if it has numbers.
fn region(country: &str) -> Option<Region> {
    let region = Region::from_code(country.trim()).ok()?;
    util().get_country_code_for_region(region)?;
    Some(region)
}

/// Parses a number, without its extension, whether or not its length is possible.
fn parse(text: &str, home: Option<Region>) -> Result<PhoneNumber, ParseError> {
    let mut number = util().parse(text, home)?;
    number.extension = None;
    if number.country_code == 52
        && let Some(digits) = without_former_mexican_prefix(&number)
    {
        return util().parse(format!("+52{digits}"), None);
    }
    Ok(number)
}

/// A Mexican number without what had to be dialled before it until 2019; none when it begins with
/// nothing of it.
fn without_former_mexican_prefix(number: &PhoneNumber) -> Option<String> {
    let digits = get_national_significant_number_owned(number);
    let mut rests = ["044", "045", "01", "1"]
        .iter()
        .filter_map(|prefix| digits.strip_prefix(prefix));
    rests.find(|rest| rest.len() == 10).map(str::to_owned)
}

/// What is dialled before a number within its country; empty where nothing is.
fn trunk(number: &PhoneNumber) -> String {
    // The library tells it only as part of a format.
    #[expect(
        deprecated,
        reason = "what is deprecated is to read the pattern of a format of the library's"
    )]
    let whole = NumberFormat {
        pattern: "^(?:(\\d+))$".into(),
        format: "$1".into(),
        national_prefix_formatting_rule: Some("$NP$FG".into()),
        ..NumberFormat::default()
    };
    let dialled = util().format_by_pattern(number, PhoneNumberFormat::National, &[whole.into()]);
    dialled
        .strip_suffix(&get_national_significant_number_owned(number))
        .unwrap_or_default()
        .to_owned()
}

fn e164(number: &PhoneNumber) -> String {
    util().format(number, PhoneNumberFormat::E164).into_owned()
}

/// The text with ASCII's digits, spaces and dashes in place of others, and without invisible
/// characters.
fn plain(text: &str) -> String {
    let chars = text.chars().filter_map(|c| match c {
        '\n' => Some(c),
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10),
        '＋' => Some('+'),
        '（' => Some('('),
        '）' => Some(')'),
        '／' => Some('/'),
        '．' => Some('.'),
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '－'
        | 'ー' => Some('-'),
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => None,
        _ if c.is_whitespace() || c.is_control() => Some(' '),
        _ => Some(c),
    });
    chars.collect::<String>().trim().to_owned()
}

/// The number or the user in a `tel` or `sip` URI, without its parameters; other text as it is.
fn address(text: &str) -> &str {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let rest = match scheme.to_ascii_lowercase().as_str() {
        "tel" | "sip" | "sips" => rest,
        _ => text,
    };
    let end = rest.find(['@', ';']).unwrap_or(rest.len());
    rest[..end].trim()
}

fn is_withheld(text: &str) -> bool {
    let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
    let letters = letters.to_lowercase();
    let is_word = || WITHHELD.iter().any(|word| letters.starts_with(word));
    WITHHELD_IN_DIGITS.contains(&text) || count_digits(text) == 0 && is_word()
}

/// Whether no letters stand in the text but those before an extension.
fn has_only_an_extension_behind(text: &str) -> bool {
    let Some(start) = text.find(char::is_alphabetic) else {
        return true;
    };
    let behind = text[start..].to_ascii_lowercase();
    let words = behind.trim_end_matches(|c: char| !c.is_alphabetic());
    count_digits(&text[..start]) > 0 && matches!(words, "x" | "ext" | "extn" | "extension")
}

fn digits_of(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn count_digits(text: &str) -> usize {
    text.chars().filter(char::is_ascii_digit).count()
}

/// A formatted number with this separator between its groups, and no parentheses.
fn separated(formatted: &str, separator: char) -> String {
    let groups = formatted.split(|c: char| !c.is_ascii_digit() && c != '+');
    let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
    groups.join(&separator.to_string())
}

fn deduplicated(texts: Vec<String>) -> Vec<String> {
    texts
        .iter()
        .enumerate()
        .filter(|(i, text)| !texts[..*i].contains(text))
        .map(|(_, text)| text.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str, country: &str) -> Number {
        Number::read(text, Some(country)).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// What SQL's LIKE says, for patterns with no wildcard but `%`, of a text's beginning.
    fn starts_like(text: &str, pattern: &str) -> bool {
        let mut parts = pattern.split('%');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
            return false;
        };
        parts.all(|part| {
            let found = rest.find(part);
            rest = found.map_or(rest, |at| &rest[at + part.len()..]);
            found.is_some()
        })
    }

    fn is_found(number: &Number, text: &str) -> bool {
        number
            .patterns()
            .iter()
            .any(|pattern| starts_like(text, pattern))
    }

    /// A country, a number of its, and how people there and elsewhere write it.
    const WRITTEN: &[(&str, &str, &[&str])] = &[
        (
            "US",
            "+12065550100",
            &[
                "(206) 555-0100",
                "(206)555-0100",
                "206.555.0100",
                "206-555-0100",
                "+1 206 555 0100",
                "+1 (206) 555-0100",
                "(+1) 206 555 0100",
                "2065550100",
                "12065550100",
                "1-206-555-0100",
                "1 (206) 555-0100",
                "001 206 555 0100",
                "011 1 206 555 0100",
                "tel:+1-206-555-0100",
                "(206) 555-0100 x12",
                "(206) 555-0100 ext. 12",
                "206-555-0100 extension 12",
                "tel:+1-206-555-0100;ext=12",
                "206-555-0100 (home)",
                "206-555-0100 / 206-555-0101",
                "206-555-0101 / 206-555-0100",
                "206-555-0101; 206-555-0100",
            ],
        ),
        (
            "US",
            "+15555550100",
            &["(555) 555-0100", "555-555-0100", "15555550100"],
        ),
        ("CA", "+14165550100", &["416 555 0100", "+1-416-555-0100"]),
        (
            "DE",
            "+49301234567",
            &[
                "030 / 123 45 67",
                "030/1234567",
                "(030) 1234567",
                "(0)30 1234567",
                "0 30 / 1 23 45 67",
                "+49 (0)30 1234567",
                "+49 (30) 1234567",
                "+49(0)30/123 45 67",
                "(+49) 30 1234567",
                "+49 030 1234567",
                "0049 30 1234567",
                "0049 (0)30 1234567",
                "0049(30)1234567",
                "00 49 30 1234567",
                "49 30 1234567",
                "30 1234567",
            ],
        ),
        (
            "DE",
            "+491711234567",
            &[
                "0171 1234567",
                "0171/123 45 67",
                "+49 171 1234567",
                "0171-1234567",
            ],
        ),
        (
            "FR",
            "+33123456789",
            &[
                "01 23 45 67 89",
                "01.23.45.67.89",
                "+33 (0)1 23 45 67 89",
                "+33 1 23 45 67 89",
                "0033 1 23456789",
            ],
        ),
        (
            "GB",
            "+442079460958",
            &[
                "020 7946 0958",
                "(020) 7946 0958",
                "+44 (0)20 7946 0958",
                "+44 (0) 20 7946 0958",
                "0044 20 7946 0958",
                "44 20 7946 0958",
            ],
        ),
        (
            "GB",
            "+447700900123",
            &["07700 900123", "07700 900 123", "+44 7700 900123"],
        ),
        (
            "IT",
            "+390612345678",
            &[
                "06 1234 5678",
                "06/12345678",
                "+39 06 12345678",
                "0039 06 12345678",
                "(06) 12345678",
            ],
        ),
        ("IT", "+393123456789", &["312 345 6789", "+39 312 3456789"]),
        (
            "ES",
            "+34912345678",
            &[
                "912 345 678",
                "91 234 56 78",
                "+34 912 34 56 78",
                "0034 912345678",
            ],
        ),
        (
            "AU",
            "+61298765432",
            &[
                "(02) 9876 5432",
                "02 9876 5432",
                "+61 2 9876 5432",
                "+61 (0)2 9876 5432",
            ],
        ),
        ("AU", "+61412345678", &["0412 345 678", "+61 412 345 678"]),
        (
            "JP",
            "+81312345678",
            &[
                "03-1234-5678",
                "(03) 1234-5678",
                "03(1234)5678",
                "+81 3-1234-5678",
                "+81-3-1234-5678",
            ],
        ),
        (
            "JP",
            "+819012345678",
            &["090-1234-5678", "+81 90 1234 5678"],
        ),
        (
            "BR",
            "+5511912345678",
            &[
                "(11) 91234-5678",
                "11 91234 5678",
                "+55 (11) 91234-5678",
                "0 15 11 91234-5678",
                "(011) 91234-5678",
            ],
        ),
        (
            "MX",
            "+525512345678",
            &[
                "55 1234 5678",
                "+52 55 1234 5678",
                "+52 1 55 1234 5678",
                "01 55 1234 5678",
                "044 55 1234 5678",
            ],
        ),
        (
            "IN",
            "+919876543210",
            &[
                "098765 43210",
                "98765-43210",
                "+91 98765 43210",
                "91 9876543210",
            ],
        ),
        (
            "CH",
            "+41446681800",
            &[
                "044 668 18 00",
                "+41 44 668 18 00",
                "+41 (0)44 668 18 00",
                "0041 44 668 18 00",
            ],
        ),
        (
            "NL",
            "+31201234567",
            &["020 123 4567", "020-1234567", "+31 (0)20 123 4567"],
        ),
        (
            "NL",
            "+31612345678",
            &["06-12345678", "06 1234 5678", "+31 6 12345678"],
        ),
        (
            "SE",
            "+46812345678",
            &["08-123 456 78", "08-12345678", "+46 (0)8-123 456 78"],
        ),
        (
            "RU",
            "+74951234567",
            &[
                "8 (495) 123-45-67",
                "8 495 123 45 67",
                "+7 (495) 123-45-67",
                "84951234567",
                "(495) 123-45-67",
                "(8495) 1234567",
            ],
        ),
        (
            "AR",
            "+5491123456789",
            &[
                "011 15-2345-6789",
                "011 15 2345 6789",
                "+54 9 11 2345-6789",
                "(011) 15-2345-6789",
            ],
        ),
        (
            "AR",
            "+541123456789",
            &["011 2345-6789", "11 2345-6789", "+54 11 2345-6789"],
        ),
        (
            "HU",
            "+3612345678",
            &["06 1 234 5678", "(06 1) 234 5678", "+36 1 234 5678"],
        ),
        (
            "BY",
            "+375171234567",
            &["8 017 123-45-67", "8 (017) 123 45 67", "+375 17 123 45 67"],
        ),
        ("LT", "+37051234567", &["0 5 123 4567", "+370 5 123 4567"]),
        (
            "KZ",
            "+77271234567",
            &["8 (727) 123 4567", "+7 727 123 45 67"],
        ),
    ];

    #[test]
    fn a_number_is_known_and_found_in_all_its_notations() {
        for (country, e164, texts) in WRITTEN {
            let number = number(e164, country);
            assert_eq!(number.e164(), *e164);
            assert_eq!(number.country().as_deref(), Some(*country), "{e164}");
            for text in *texts {
                assert!(number.is_written_as(text), "{e164}: {text}");
                let is_second = text.starts_with("206-555-0101");
                assert!(
                    is_second || is_found(&number, text),
                    "{e164}: {text}: {:?}",
                    number.patterns()
                );
            }
        }
    }

    #[test]
    fn a_number_is_no_other() {
        for (_, e164, _) in WRITTEN {
            for (country, other, texts) in WRITTEN.iter().filter(|(_, other, _)| other != e164) {
                let number = number(e164, country);
                // A national number may be one of any country.
                for text in texts
                    .iter()
                    .filter(|text| text.contains('+'))
                    .chain([other])
                {
                    assert!(!number.is_written_as(text), "{e164}: {text}");
                }
            }
        }
        let us = number("+12065550100", "US");
        for text in [
            "",
            "x",
            "0100",
            "555-0100",
            "206-555-0101",
            "206-555-0100-1",
            "+44 206 555 0100",
            "+44 2065550100",
            "+44 / 2065550100",
            "0044 206 555 0100",
            "+49 206 5550100",
            "206-555-0101 / 206-555-0102",
            "call me",
            "206",
        ] {
            assert!(!us.is_written_as(text), "{text}");
        }
    }

    #[test]
    fn other_digits_spaces_and_dashes_are_read_as_asciis() {
        let jp = number("+81312345678", "JP");
        for text in [
            "０３－１２３４－５６７８",
            "０３ー１２３４ー５６７８",
            "＋８１（３）１２３４．５６７８",
            "03\u{a0}1234\u{202f}5678",
            "\u{202a}+81\u{2011}3\u{2013}1234\u{2212}5678\u{202c}",
            "03\t1234\u{3000}5678",
            "03\u{200b}12345678",
        ] {
            assert!(jp.is_written_as(text), "{text}");
        }
    }

    #[test]
    fn a_caller_is_read_by_the_rules_of_the_country() {
        for (text, country, e164) in [
            ("+12065550100", None, "+12065550100"),
            ("+15555550100", None, "+15555550100"),
            ("+1 (206) 555-0100", None, "+12065550100"),
            ("2065550100", Some("US"), "+12065550100"),
            ("12065550100", Some("us"), "+12065550100"),
            ("01144207946 0958", Some("US"), "+442079460958"),
            ("0012065550100", Some("DE"), "+12065550100"),
            ("0011 1 206 555 0100", Some("AU"), "+12065550100"),
            ("030 1234567", Some("DE"), "+49301234567"),
            ("8 10 1 206 555 0100", Some("RU"), "+12065550100"),
            ("011 15 2345 6789", Some("AR"), "+5491123456789"),
            ("+5215512345678", None, "+525512345678"),
            (
                "sip:+12065550100@example.com;user=phone",
                None,
                "+12065550100",
            ),
            ("tel:+1-206-555-0100;ext=12", None, "+12065550100"),
            ("+12065550100 ext. 12", None, "+12065550100"),
            ("+80012345678", None, "+80012345678"),
        ] {
            let number = Number::read(text, country);
            assert_eq!(number.as_ref().map(Number::e164), Ok(e164), "{text}");
        }
    }

    #[test]
    fn nobody_is_looked_for_by_what_is_no_number_of_a_contact() {
        use NotLookedFor::{Internal, NoCountry, NoNumber, Withheld};
        for (text, country, expected) in [
            ("anonymous", None, Withheld),
            ("Anonymous", Some("US"), Withheld),
            ("unknown", None, Withheld),
            ("Restricted", None, Withheld),
            ("private number", None, Withheld),
            ("UNAVAILABLE", None, Withheld),
            ("blocked", None, Withheld),
            ("No Caller ID", None, Withheld),
            ("sip:anonymous@anonymous.invalid", None, Withheld),
            ("+266696687", Some("US"), Withheld),
            ("+86282452253", None, Withheld),
            ("+7378742833", None, Withheld),
            ("+8656696", None, Withheld),
            ("+2562533", None, Withheld),
            ("+7748483", None, Withheld),
            ("1234", Some("US"), Internal),
            ("1234", Some("DE"), Internal),
            ("1234", None, Internal),
            ("5", None, Internal),
            ("+1234", None, Internal),
            ("5550100", Some("US"), Internal),
            ("", Some("US"), NoNumber),
            ("  ", None, NoNumber),
            ("sip:alice@example.com", None, NoNumber),
            ("sip:alice2065550100@example.com", Some("US"), NoNumber),
            ("1-800-FLOWERS", Some("US"), NoNumber),
            ("+1206555010012345", None, NoNumber),
            ("206555010012345678901", Some("US"), NoNumber),
            ("+999 1234567", None, NoNumber),
            ("+", None, NoNumber),
            ("2065550100", None, NoCountry),
            ("2065550100", Some("Narnia"), NoCountry),
            ("2065550100", Some("ZZ"), NoCountry),
        ] {
            assert_eq!(
                Number::read(text, country).map(|number| number.e164),
                Err(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_country_is_that_of_the_number_or_else_the_one_it_was_read_for() {
        for (text, country, expected) in [
            ("+14165550100", "US", Some("CA")),
            ("+441481256789", "GB", Some("GG")),
            ("+15555550100", "CA", Some("CA")),
            ("+15555550100", "DE", Some("US")),
            ("+77271234567", "RU", Some("KZ")),
            ("+80012345678", "US", None),
        ] {
            assert_eq!(
                number(text, country).country().as_deref(),
                expected,
                "{text} {country}"
            );
        }
        assert_eq!(Number::country_of("+12065550100").as_deref(), Some("US"));
        assert_eq!(Number::country_of("2065550100"), None);
        assert!(["US", "de", " GB "].into_iter().all(is_country));
        assert!(
            ["", "UK", "ZZ", "USA", "001", "Germany"]
                .into_iter()
                .all(|text| !is_country(text))
        );
    }

    #[test]
    fn a_number_is_looked_for_in_its_most_usual_notations() {
        assert_eq!(
            number("+12065550100", "US").notations(),
            [
                "+12065550100",
                "12065550100",
                "+1 206-555-0100",
                "+1 206 555 0100",
                "+1-206-555-0100",
                "+1.206.555.0100",
                "1-206-555-0100",
                "2065550100",
                "(206) 555-0100",
                "206 555 0100",
                "206-555-0100",
                "206.555.0100",
                "+1 (206) 555-0100"
            ]
        );
        assert_eq!(
            number("+49301234567", "DE").notations(),
            [
                "+49301234567",
                "49301234567",
                "0049301234567",
                "+49 30 1234567",
                "+49-30-1234567",
                "301234567",
                "0301234567",
                "030 1234567",
                "030-1234567",
                "030.1234567",
                "+49 (0)30 1234567",
                "(030) 1234567",
                "030/1234567"
            ]
        );
        assert_eq!(
            number("+390612345678", "IT").notations(),
            [
                "+390612345678",
                "390612345678",
                "00390612345678",
                "+39 06 1234 5678",
                "+39-06-1234-5678",
                "0612345678",
                "06 1234 5678",
                "06-1234-5678",
                "06.1234.5678"
            ]
        );
        assert_eq!(
            number("+5491123456789", "AR").notations(),
            [
                "+5491123456789",
                "5491123456789",
                "005491123456789",
                "+54 9 11 2345-6789",
                "+54 9 11 2345 6789",
                "+54-9-11-2345-6789",
                "0111523456789",
                "011 15-2345-6789",
                "011 15 2345 6789",
                "011-15-2345-6789",
                "011.15.2345.6789",
                "(011) 15 2345 6789",
                "011/1523456789"
            ]
        );
        assert_eq!(
            number("+74951234567", "RU").notations(),
            [
                "+74951234567",
                "74951234567",
                "0074951234567",
                "+7 495 123-45-67",
                "+7 495 123 45 67",
                "+7-495-123-45-67",
                "4951234567",
                "84951234567",
                "8 (495) 123-45-67",
                "8 495 123 45 67",
                "8-495-123-45-67",
                "8.495.123.45.67",
                "+7 (495) 123-45-67"
            ]
        );
    }

    #[test]
    fn a_number_is_looked_for_by_every_usual_beginning() {
        assert_eq!(
            number("+12065550100", "US").patterns(),
            [
                "+1%2%0%6%5%5%5%0%1%0%0",
                "00%1%2%0%6%5%5%5%0%1%0%0",
                "011%1%2%0%6%5%5%5%0%1%0%0",
                "1%2%0%6%5%5%5%0%1%0%0",
                "2%0%6%5%5%5%0%1%0%0",
                "(2%0%6%5%5%5%0%1%0%0",
                "(+1%2%0%6%5%5%5%0%1%0%0",
                "tel:%2%0%6%5%5%5%0%1%0%0"
            ]
        );
        assert_eq!(
            number("+49301234567", "DE").patterns(),
            [
                "+49%3%0%1%2%3%4%5%6%7",
                "00%49%3%0%1%2%3%4%5%6%7",
                "49%3%0%1%2%3%4%5%6%7",
                "0%3%0%1%2%3%4%5%6%7",
                "3%0%1%2%3%4%5%6%7",
                "(0%3%0%1%2%3%4%5%6%7",
                "(3%0%1%2%3%4%5%6%7",
                "(+49%3%0%1%2%3%4%5%6%7",
                "tel:%3%0%1%2%3%4%5%6%7"
            ]
        );
        assert_eq!(
            number("+34912345678", "ES").patterns(),
            [
                "+34%9%1%2%3%4%5%6%7%8",
                "00%34%9%1%2%3%4%5%6%7%8",
                "34%9%1%2%3%4%5%6%7%8",
                "9%1%2%3%4%5%6%7%8",
                "(9%1%2%3%4%5%6%7%8",
                "(+34%9%1%2%3%4%5%6%7%8",
                "tel:%9%1%2%3%4%5%6%7%8"
            ]
        );
    }

    /// An example of each region's, and each number above.
    fn examples() -> Vec<Number> {
        let regions = util().get_supported_regions();
        let mut examples: Vec<_> = regions
            .filter_map(|region| {
                util()
                    .get_example_number(region)
                    .ok()
                    .map(|n| Number::of(n, None))
            })
            .collect();
        examples.sort_by(|a, b| a.e164.cmp(&b.e164));
        examples.extend(
            WRITTEN
                .iter()
                .map(|(country, e164, _)| number(e164, country)),
        );
        examples.push(number("+80012345678", "US"));
        examples
    }

    #[test]
    fn every_countrys_notations_are_the_number_and_match_a_pattern() {
        let examples = examples();
        assert!(examples.len() > 240);
        for number in examples {
            let (notations, patterns) = (number.notations(), number.patterns());
            assert!((5..=15).contains(&notations.len()), "{notations:?}");
            assert!((5..=10).contains(&patterns.len()), "{patterns:?}");
            assert!(
                patterns.iter().all(|pattern| !pattern.starts_with('%')),
                "{patterns:?}"
            );
            for notation in notations {
                assert!(
                    number.is_written_as(&notation),
                    "{}: {notation}",
                    number.e164
                );
                assert!(is_found(&number, &notation), "{}: {notation}", number.e164);
            }
        }
    }

    fn example() -> impl Strategy<Value = Number> {
        prop::sample::select(examples())
    }

    #[test]
    fn a_column_without_country_code_holds_numbers_of_the_columns_country() {
        for (caller, home, stranger) in [
            ("+442079460958", "US", "(207) 946-0958"),
            ("+442079460958", "US", "2079460958"),
            ("+442079460958", "DE", "020 79460958"),
            ("+4792345678", "US", "479-234-5678"),
            ("+4792345678", "US", "4792345678"),
            ("+12065550100", "GB", "(206) 555-0100"),
        ] {
            let number = number(caller, home);
            assert!(!number.is_written_as(stranger), "{caller} is no {stranger}");
            let found = number.notations();
            assert!(!found.iter().any(|found| found == stranger), "{found:?}");
        }
        for (caller, home, same) in [
            ("+442079460958", "US", "+44 (0)20 7946 0958"),
            ("+442079460958", "US", "011 44 20 7946 0958"),
            ("+442079460958", "US", "442079460958"),
            ("+442079460958", "DE", "0044 20 79460958"),
            ("+12065550100", "GB", "001 206 555 0100"),
        ] {
            let number = number(caller, home);
            assert!(number.is_written_as(same), "{caller} is {same}");
            assert!(is_found(&number, same), "{caller}: {same}");
        }
        // Nobody knows the country: it is the caller's own.
        let number = Number::read("+442079460958", None).unwrap();
        assert!(number.is_written_as("020 7946 0958"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(
            text in prop_oneof![any::<String>(), r"[+0-9 ()./;:x#*~,-]{0,60}", r"(tel:|sip:|\+|00|011)?[0-9０-９٠-٩ -]{1,20}(;ext=|x|@|;phone-context=)?[+0-9a-z.]{0,9}"],
            country in prop_oneof![Just(None), Just(Some("US")), Just(Some("DE")), Just(Some("AR")), Just(Some("MX")), Just(Some("\u{e9}"))],
        ) {
            if let Ok(number) = Number::read(&text, country) {
                prop_assert!(number.e164().starts_with('+'));
                prop_assert!(number.e164().len() <= 19);
                for notation in number.notations() {
                    prop_assert!(number.is_written_as(&notation), "{:?}: {}", number.e164(), notation);
                    prop_assert!(is_found(&number, &notation), "{:?}: {}", number.e164(), notation);
                }
            }
            number("+12065550100", "US").is_written_as(&text);
            number("+49301234567", "DE").is_written_as(&text);
        }

        #[test]
        fn whatever_separates_the_digits_the_number_is_found(
            number in example(),
            separators in prop::collection::vec(prop_oneof![4 => Just(""), 1 => prop::sample::select(vec![" ", "-", ".", "/", " - ", "  ", ") ", "(", "\u{a0}", "\u{2011}", "\u{2013}", "\u{3000}"])], 20),
            form in 0..4,
        ) {
            let digits = number.national_digits();
            let begin = match form {
                0 => format!("+{}", number.code()),
                1 => format!("00{}", number.code()),
                2 => number.code(),
                _ if number.region.is_none() || number.mobile_digits().is_some() => format!("+{}", number.code()),
                _ => number.trunk.clone(),
            };
            let mut text = begin;
            for (digit, separator) in digits.chars().zip(&separators) {
                if !text.is_empty() {
                    text.push_str(separator);
                }
                text.push(digit);
            }
            prop_assert!(is_found(&number, &text), "{}: {}", number.e164(), text);
            prop_assert!(number.is_written_as(&text), "{}: {}", number.e164(), text);
        }
    }
}
