//! The agent's page: its files, as they are built from `agent/page`, and what they are served with.
//!
//! Owns the page's settings, which a deployment gives as parameters, and what follows from them: the file
//! `settings.json` that the page reads, its content security policy, and the record that registers it as a channel
//! provider in Dynamics. The stack and the local system both serve it from here.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::json;
use url::{Host, Url};

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Where it is served, without a leading slash.
    pub path: &'static str,
    pub content_type: &'static str,
    pub bytes: &'static [u8],
}

/// The page's files, the one that loads the others last.
pub const FILES: [File; 5] = [
    File {
        path: "streams.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../dist/streams.js"),
    },
    File {
        path: "workspace.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../dist/workspace.js"),
    },
    File {
        path: "page.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../dist/page.css"),
    },
    File {
        path: "page.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../dist/page.js"),
    },
    File {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        bytes: include_bytes!("../dist/index.html"),
    },
];

/// The file of the settings, beside the page's own.
pub const SETTINGS_PATH: &str = "settings.json";
/// The file with the record of Dynamics' table `msdyn_ciproviders`.
pub const CHANNEL_PROVIDER_PATH: &str = "channel-provider.json";

/// The headers that every file is served with, besides the policies that follow from the settings.
pub const SECURITY_HEADERS: [(&str, &str); 2] = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

/// How long a content security policy may be with CloudFront.
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>
const MAX_POLICY: usize = 1783;

/// The library of the Channel Integration Framework, which an environment serves.
/// <https://learn.microsoft.com/dynamics365/channel-integration-framework/v1/administer/pass-url-widget-library>
const CHANNEL_LIBRARY: &str = "/webresources/Widget/msdyn_ciLibrary.js";

/// The settings as a deployment gives them: texts, by the names of the stack's parameters. What is left out is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Parameters {
    /// The access URL of the Amazon Connect instance.
    pub instance_url: String,
    /// The environment URIs, with commas between them.
    pub environments: String,
    /// The id of the model-driven app for searches.
    pub app_id: String,
    /// `connecting` or `connected`; empty for `connected`.
    pub open_on: String,
    /// Seconds; empty for 10.
    pub wait_seconds: String,
    /// Where agents sign in, when that is not the instance.
    pub sign_in_url: String,
    /// Such as `+1`.
    pub country_calling_code: String,
    /// The name of a session template of Dynamics.
    pub session_template: String,
}

/// What the page is told, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// An origin.
    instance_url: String,
    /// Origins, at least one.
    environments: Vec<String>,
    app_id: String,
    open_on: OpenOn,
    wait_seconds: u16,
    sign_in_url: String,
    country_calling_code: String,
    session_template: String,
}

/// When a contact's record opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum OpenOn {
    Connecting,
    Connected,
}

/// Everything that is wrong with the parameters, each with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the agent's page cannot be set up: {}", .0.join("; "))]
pub struct SettingsError(pub Vec<String>);

impl Settings {
    /// Reads parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them, and what to write instead.
    pub fn new(parameters: &Parameters) -> Result<Settings, SettingsError> {
        let mut wrong = Vec::new();
        let instance_url = origin("InstanceUrl", &parameters.instance_url, &mut wrong);
        let environments: Vec<String> = parameters
            .environments
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .filter_map(|text| origin("Environments", text, &mut wrong))
            .collect();
        if environments.is_empty() && parameters.environments.trim().is_empty() {
            wrong.push("Environments: it is empty; write the environment URI of your Dynamics, such as https://example.crm.dynamics.com".into());
        }
        let open_on = match parameters.open_on.trim() {
            "" | "connected" => OpenOn::Connected,
            "connecting" => OpenOn::Connecting,
            other => {
                wrong.push(format!(
                    "OpenOn: there is no `{other}`; write connecting or connected"
                ));
                OpenOn::Connected
            }
        };
        let wait_seconds = match parameters.wait_seconds.trim() {
            "" => 10,
            text => match text.parse() {
                Ok(seconds) if (1..=120).contains(&seconds) => seconds,
                _ => {
                    wrong.push(format!("WaitSeconds: `{text}` is no number from 1 to 120"));
                    10
                }
            },
        };
        let sign_in_url = parameters.sign_in_url.trim();
        match Url::parse(sign_in_url) {
            _ if sign_in_url.is_empty() => {}
            Ok(url) if is_safe(&url) => {}
            Ok(_) => wrong.push(not_safe("SignInUrl", sign_in_url)),
            Err(_) => wrong.push(format!("SignInUrl: `{sign_in_url}` is no address")),
        }
        let code = parameters.country_calling_code.trim();
        let digits = code.strip_prefix('+').unwrap_or_default();
        let is_code = (1..=3).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
        if !code.is_empty() && !is_code {
            wrong.push(format!(
                "CountryCallingCode: `{code}` is none; write it with its plus sign, such as +1"
            ));
        }
        match (instance_url, wrong.is_empty()) {
            (Some(instance_url), true) => Settings {
                instance_url,
                environments,
                app_id: parameters.app_id.trim().to_owned(),
                open_on,
                wait_seconds,
                sign_in_url: sign_in_url.to_owned(),
                country_calling_code: code.to_owned(),
                session_template: parameters.session_template.trim().to_owned(),
            }
            .of_a_length(),
            _ => Err(SettingsError(wrong)),
        }
    }

    /// Itself, unless its policy is longer than a header may be.
    fn of_a_length(self) -> Result<Settings, SettingsError> {
        let length = self.content_security_policy().len();
        if length <= MAX_POLICY {
            return Ok(self);
        }
        Err(SettingsError(vec![format!(
            "Environments: there are too many for one page: its content security policy would have {length} \
             characters, and CloudFront takes {MAX_POLICY}; name fewer, and deploy another stack for the others"
        )]))
    }

    /// The text of the file `settings.json`.
    ///
    /// # Panics
    /// Never: the settings are texts and numbers.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("settings serialise")
    }

    /// The content security policy that the page is served with: scripts and styles of its own, the library of the
    /// Channel Integration Framework, the control panel and the environments in frames, and in no other page's
    /// frame than theirs.
    ///
    /// # Panics
    /// Never: a text can be written to.
    pub fn content_security_policy(&self) -> String {
        let instance = &self.instance_url;
        let environments = self.environments.join(" ");
        let mut signing_in: Vec<&str> = self
            .environments
            .iter()
            .filter_map(|it| sign_in(it))
            .collect();
        signing_in.sort_unstable();
        signing_in.dedup();
        // An environment whose session has ended goes to the sign-in, which may send it back without asking.
        let records = format!("{environments} {}", signing_in.join(" "));
        let records = records.trim_end();
        let libraries: Vec<String> = self
            .environments
            .iter()
            .map(|environment| format!("{environment}{CHANNEL_LIBRARY}"))
            .collect();
        let mut policy = String::new();
        for (directive, sources) in [
            ("default-src", "'none'".to_owned()),
            ("script-src", format!("'self' {}", libraries.join(" "))),
            ("style-src", "'self'".to_owned()),
            ("img-src", "'self' data:".to_owned()),
            ("connect-src", "'self'".to_owned()),
            ("frame-src", format!("{instance} {records}")),
            // Records stand in <object>, which tells when a page may not be framed; <iframe> does not.
            ("object-src", records.to_owned()),
            ("base-uri", "'none'".to_owned()),
            ("form-action", "'none'".to_owned()),
            ("frame-ancestors", format!("{instance} {environments}")),
        ] {
            write!(policy, "{directive} {sources}; ").expect("a text can be written to");
        }
        policy.trim_end_matches("; ").to_owned()
    }

    /// The header `Permissions-Policy`: the control panel's frame may use what a softphone needs.
    pub fn permissions_policy(&self) -> String {
        let instance = &self.instance_url;
        ["microphone", "camera", "autoplay", "clipboard-write"]
            .map(|feature| format!("{feature}=(self \"{instance}\")"))
            .join(", ")
    }

    /// The record that registers the page with the Channel Integration Framework 1, as the body of a `PATCH` of
    /// `msdyn_ciproviders`. Which app and which roles it is for, an administrator chooses in Dynamics.
    /// <https://learn.microsoft.com/dynamics365/developer/reference/entities/msdyn_ciprovider>
    pub fn channel_provider(&self, page_url: &str) -> String {
        let landing = format!(
            "{}/index.html?host=dynamics",
            page_url.trim_end_matches('/')
        );
        let mut record = json!({
            "msdyn_name": "Amazon Connect",
            "msdyn_label": "Amazon Connect",
            "msdyn_landingurl": landing,
            "msdyn_clicktoact": true,
            "msdyn_sortorder": 0,
            "msdyn_ciproviderapiversion": 0,
            "msdyn_enableanalytics": false,
            "msdyn_roleselector": "",
        });
        if !self.app_id.is_empty() {
            record["msdyn_appselector"] = self.app_id.as_str().into();
        }
        format!("{record:#}\n")
    }
}

/// Where users of an environment sign in; none of this machine's.
/// <https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud>
fn sign_in(environment: &str) -> Option<&'static str> {
    let url = Url::parse(environment).ok()?;
    let host = url.domain()?;
    if host == "localhost" {
        None
    } else if host.ends_with(".cn") {
        Some("https://login.partner.microsoftonline.cn")
    } else if host.ends_with(".us") {
        Some("https://login.microsoftonline.us")
    } else {
        Some("https://login.microsoftonline.com")
    }
}

/// An address's origin. What is wrong is noted.
fn origin(name: &str, text: &str, wrong: &mut Vec<String>) -> Option<String> {
    let text = text.trim();
    let Ok(url) = Url::parse(text) else {
        wrong.push(format!(
            "{name}: `{text}` is no address; write it whole, with https:// at its beginning"
        ));
        return None;
    };
    if !is_safe(&url) {
        wrong.push(not_safe(name, text));
        return None;
    }
    Some(url.origin().ascii_serialization())
}

/// Whether an address is of HTTPS, or of this machine.
fn is_safe(url: &Url) -> bool {
    // A policy would take a star for every name.
    let is_name = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) if !is_name(name) => return false,
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || url.scheme() == "http" && is_loopback)
}

fn not_safe(name: &str, text: &str) -> String {
    format!("{name}: `{text}` must begin with https://, name one host and carry no user name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        Parameters {
            instance_url: "https://example.my.connect.aws/".into(),
            environments: "https://a.crm.dynamics.com/, https://b.crm4.dynamics.com".into(),
            ..Parameters::default()
        }
    }

    #[test]
    fn the_policy_names_what_is_configured_and_nothing_else() {
        let settings = Settings::new(&parameters()).unwrap();
        let policy = settings.content_security_policy();
        assert_eq!(
            policy,
            "default-src 'none'; \
             script-src 'self' https://a.crm.dynamics.com/webresources/Widget/msdyn_ciLibrary.js https://b.crm4.dynamics.com/webresources/Widget/msdyn_ciLibrary.js; \
             style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             frame-src https://example.my.connect.aws https://a.crm.dynamics.com https://b.crm4.dynamics.com https://login.microsoftonline.com; \
             object-src https://a.crm.dynamics.com https://b.crm4.dynamics.com https://login.microsoftonline.com; \
             base-uri 'none'; form-action 'none'; \
             frame-ancestors https://example.my.connect.aws https://a.crm.dynamics.com https://b.crm4.dynamics.com"
        );
    }

    #[test]
    fn an_address_cannot_add_to_the_policy() {
        for hostile in [
            "https://a.example.com; script-src *",
            "https://*.example.com",
            "https://a.example.com 'unsafe-inline'",
            "https://user:word@a.example.com",
            "http://a.example.com",
            "javascript:alert(1)",
            "a.example.com",
        ] {
            let parameters = Parameters {
                environments: hostile.into(),
                ..parameters()
            };
            let error = Settings::new(&parameters).unwrap_err().to_string();
            assert!(error.contains("Environments: "), "{hostile}: {error}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let wrong = Parameters {
            instance_url: String::new(),
            environments: String::new(),
            open_on: "answered".into(),
            wait_seconds: "0".into(),
            sign_in_url: "http://example.com".into(),
            country_calling_code: "1".into(),
            ..Parameters::default()
        };
        let SettingsError(wrong) = Settings::new(&wrong).unwrap_err();
        let names: Vec<&str> = wrong.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(
            names,
            [
                "InstanceUrl",
                "Environments",
                "OpenOn",
                "WaitSeconds",
                "SignInUrl",
                "CountryCallingCode"
            ]
        );
    }

    #[test]
    fn more_environments_than_a_policy_takes_are_refused() {
        let named = |count: usize| {
            let environments: Vec<String> = (0..count)
                .map(|number| format!("https://environment-{number}.crm.dynamics.com"))
                .collect();
            Settings::new(&Parameters {
                environments: environments.join(","),
                ..parameters()
            })
        };
        assert!(named(5).is_ok());
        let error = named(12).unwrap_err().to_string();
        assert!(error.contains("too many for one page"), "{error}");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let json: serde_json::Value =
            serde_json::from_str(&Settings::new(&parameters()).unwrap().json()).unwrap();
        assert_eq!(json["openOn"], "connected");
        assert_eq!(json["waitSeconds"], 10);
        assert_eq!(json["instanceUrl"], "https://example.my.connect.aws");
    }
}
