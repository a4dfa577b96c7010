//! Telephone numbers: the one that is calling, and the many ways in which people write it.
//!
//! Owns what a caller's number is, the texts and patterns by which it is looked for in a column, and whether a
//! column's text is that number. Amazon Connect gives a number in E.164; in Dataverse it stands as somebody typed it.
//!
//! What is known of the countries (codes, prefixes, lengths, groups of digits) is libphonenumber's. A number is taken
//! by its length alone: which ranges a country has assigned changes every month, and fictional numbers are in none.

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

/// What carriers send in place of a withheld number, as a word or in the keypad's digits behind a `+`.
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

/// Loads what is known of the countries, once for the life of the process. It takes some milliseconds, which the
/// first number read takes unless this has run before, on whatever thread.
pub fn load() {
    util();
}

fn util() -> &'static PhoneNumberUtil {
    &PHONE_NUMBER_UTIL
}

/// Whether `country` is a region that numbers can be read for, such as `US`: two letters of ISO 3166-1.
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
    /// Whether those who wrote the column dial 011 to reach another country.
    exit_011: bool,
}

impl Number {
    /// Reads a caller's number.
    ///
    /// `country` is an ISO region such as `US`. By its rules a text without `+` is read: its trunk prefix, and what
    /// is dialled there to reach another country.
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
            exit_011: code == NANP || home.as_ref().and_then(code_of) == Some(NANP),
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
    /// Where several regions share a country code and the number is in no range of theirs, it is the country that
    /// the number was read for, or else the main one.
    pub fn country(&self) -> Option<String> {
        self.region.map(|region| region.to_string())
    }

    /// The ISO region of a number in E.164; none when it has none, or the text is no such number.
    pub fn country_of(e164: &str) -> Option<String> {
        Number::read(e164, None).ok()?.country()
    }

    /// The texts that a column most likely holds for this number, each to be compared as a whole: the most usual
    /// notations, always in the same order, none twice.
    pub fn notations(&self) -> Vec<String> {
        let (code, national_digits, trunk) = (self.code(), self.national_digits(), self.trunk());
        let international = self.format(PhoneNumberFormat::International);
        let national = self.format(PhoneNumberFormat::National);
        let has_zero = trunk == "0" && national.starts_with('0');
        let mut notations = vec![self.e164.clone(), format!("{code}{national_digits}")];
        if !trunk.is_empty() && self.mobile_digits().is_none() {
            notations.push(format!("{trunk}{national_digits}"));
        }
        notations.push(national_digits);
        if !self.is_nanp() {
            notations.push(format!("00{}", &self.e164[1..]));
        }
        notations.push(international.clone());
        notations.extend([' ', '-'].map(|separator| separated(&international, separator)));
        notations.push(national.clone());
        notations.extend([' ', '-', '.'].map(|separator| separated(&national, separator)));
        if self.is_nanp() {
            notations.push(separated(&international, '-').replacen('+', "", 1));
            notations.push(separated(&international, '.'));
        }
        // +1 (206) 555-0100, +7 (495) 123-45-67
        let behind_trunk = national
            .strip_prefix(&trunk)
            .unwrap_or(&national)
            .trim_start();
        if behind_trunk.starts_with('(') && !behind_trunk.starts_with(&format!("({trunk}")) {
            notations.push(format!("+{code} {behind_trunk}"));
        }
        if has_zero {
            if let Some(rest) = international.strip_prefix(&format!("+{code} ")) {
                notations.push(format!("+{code} (0){rest}"));
            }
            if let Some((area, rest)) = separated(&national, ' ').split_once(' ') {
                notations.push(format!("({area}) {rest}"));
                notations.push(format!("{area}/{}", rest.replace(' ', "")));
            }
        }
        deduplicated(notations)
    }

    /// The patterns of Dataverse's `startswith` by which the number is found however its digits are grouped: one for
    /// each way of beginning it, always in the same order. `%` stands for any characters, also none, and no pattern
    /// begins with it, because that would have the whole table read.
    ///
    /// They find other numbers too, as `%` matches digits and the text may go on: [`Number::is_written_as`] tells
    /// which hits are this number.
    pub fn patterns(&self) -> Vec<String> {
        let code = self.code();
        // Argentina's 9 and 15 of a mobile number, and Mexico's former 1, 01, 044 and 045, are left to the `%`.
        let digits = self
            .mobile_digits()
            .unwrap_or_else(|| self.national_digits());
        let digits: Vec<_> = digits.chars().map(String::from).collect();
        let digits = digits.join("%");
        let trunk = match self.region {
            Some(Region::MX) => "0".to_owned(),
            _ => self.trunk(),
        };
        let mut patterns = vec![format!("+{code}%{digits}"), format!("00%{code}%{digits}")];
        if self.exit_011 {
            patterns.push(format!("011%{code}%{digits}"));
        }
        patterns.push(format!("{code}%{digits}"));
        if !trunk.is_empty() {
            patterns.push(format!("{trunk}%{digits}"));
        }
        patterns.push(digits.clone());
        if !trunk.is_empty() && !self.is_nanp() {
            patterns.push(format!("({trunk}%{digits}"));
        }
        patterns.push(format!("({digits}"));
        patterns.push(format!("(+{code}%{digits}"));
        patterns.push(format!("tel:%{digits}"));
        deduplicated(patterns)
    }

    /// Whether a column's text is this number: in any notation, with an extension behind it or words around it, or
    /// as one of several numbers. A national notation is read as one of this number's country.
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
        let is_this =
            |text: &str| parse(text, self.region).is_ok_and(|number| e164(&number) == self.e164);
        if is_this(text) {
            return true;
        }
        let Some(start) = text.find(|c: char| c == '+' || c.is_ascii_digit()) else {
            return false;
        };
        let text = &text[start..];
        let code = self.code();
        // What the number's own country does not dial, but a colleague abroad does, and a country code without +.
        let without_exit = ["00", "011"]
            .iter()
            .filter_map(|exit| text.strip_prefix(exit));
        let without_exit = without_exit.map(str::trim_start).chain([text]);
        without_exit
            .filter(|rest| rest.starts_with(&code))
            .any(|rest| is_this(&format!("+{rest}")))
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

    /// The digits of an Argentine mobile number without the 9, which stands in the international notation only.
    fn mobile_digits(&self) -> Option<String> {
        let digits = (self.region == Some(Region::AR)).then(|| self.national_digits())?;
        digits.strip_prefix('9').map(str::to_owned)
    }

    /// What is dialled before the national number within its country; empty where nothing is.
    fn trunk(&self) -> String {
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
        let dialled =
            util().format_by_pattern(&self.number, PhoneNumberFormat::National, &[whole.into()]);
        dialled
            .strip_suffix(&self.national_digits())
            .unwrap_or_default()
            .to_owned()
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

/// A Mexican number without what had to be dialled before it until 2019; none when it begins with nothing of it.
fn without_former_mexican_prefix(number: &PhoneNumber) -> Option<String> {
    let digits = get_national_significant_number_owned(number);
    let mut rests = ["044", "045", "01", "1"]
        .iter()
        .filter_map(|prefix| digits.strip_prefix(prefix));
    rests.find(|rest| rest.len() == 10).map(str::to_owned)
}

fn e164(number: &PhoneNumber) -> String {
    util().format(number, PhoneNumberFormat::E164).into_owned()
}

/// The text with ASCII's digits, spaces and dashes in place of others, and without invisible characters.
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
    if let Some(digits) = text.strip_prefix('+') {
        return WITHHELD
            .iter()
            .any(|word| word.chars().map(key).eq(digits.chars()));
    }
    let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
    let letters = letters.to_lowercase();
    count_digits(text) == 0 && WITHHELD.iter().any(|word| letters.starts_with(word))
}

/// The key that a lower-case letter is on.
fn key(letter: char) -> char {
    match letter {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        _ => '9',
    }
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
