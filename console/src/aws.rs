//! Signed calls of AWS's services, for those of which a call or two is all that is needed: a client crate for
//! each would be most of the build.
//!
//! Owns how a request is addressed and signed, and how a refusal is read. What is called, and what an answer
//! means, is the caller's.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value as Json;
use url::Url;

/// Calls AWS's services with an operator's credentials.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    region: String,
    http: reqwest::Client,
}

/// Why a service did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum AwsError {
    #[error(
        "there are no AWS credentials: {0}. Sign in with `aws login`, `aws sso login` or `aws configure`, or give --profile"
    )]
    NoCredentials(String),
    #[error("{service} refused {action}: {code}: {message}")]
    Refused {
        service: String,
        action: String,
        status: u16,
        code: String,
        message: String,
    },
    #[error("{service} does not answer {action}: {reason}")]
    Unavailable {
        service: String,
        action: String,
        reason: String,
    },
}

impl AwsError {
    /// Whether the operator's identity lacks a right.
    pub fn is_denied(&self) -> bool {
        matches!(
            self,
            AwsError::Refused {
                status: 401 | 403,
                ..
            }
        ) || matches!(self, AwsError::Refused { code, .. } if code.contains("AccessDenied") || code == "UnauthorizedOperation" || code == "AuthorizationError")
    }

    /// Whether there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, AwsError::Refused { status: 404, .. })
            || matches!(self, AwsError::Refused { code, .. } if code.contains("NotFound") || code.contains("NonExistent") || code.contains("NoSuch"))
    }
}

/// How long a call may take. A function that is invoked answers after its own time at the latest.
const WITHIN: Duration = Duration::from_secs(65);

impl Aws {
    /// # Errors
    /// When the configuration names no region.
    pub fn new(config: &SdkConfig) -> Result<Aws, String> {
        let region = config
            .region()
            .ok_or("which AWS region is the stack in? Give it with --region")?;
        let http = reqwest::Client::builder()
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Aws {
            config: config.clone(),
            region: region.as_ref().to_owned(),
            http,
        })
    }

    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// Calls a service that speaks JSON, by its action's name: `AmazonSQS.GetQueueAttributes`.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn json(&self, service: &str, target: &str, body: &Json) -> Result<Json, AwsError> {
        let version = match service {
            "sqs" | "dynamodb" => "1.0",
            _ => "1.1",
        };
        let headers = [
            ("content-type", format!("application/x-amz-json-{version}")),
            ("x-amz-target", target.to_owned()),
        ];
        let action = target.rsplit('.').next().unwrap_or(target);
        let url = self.url(service, "/", &[])?;
        let answer = self
            .send(
                service,
                action,
                Method::POST,
                url,
                &headers,
                body.to_string(),
            )
            .await?;
        self.read_json(service, action, &answer)
    }

    /// Calls a service that speaks REST with JSON. The path is encoded already.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn rest(
        &self,
        service: &str,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<Json, AwsError> {
        let url = self.url(service, path, query)?;
        let action = format!("{method} {path}");
        let headers = [("content-type", "application/json".to_owned())];
        let body = body.map(Json::to_string).unwrap_or_default();
        let answer = self
            .send(service, &action, method, url, &headers, body)
            .await?;
        if answer.trim().is_empty() {
            return Ok(Json::Null);
        }
        self.read_json(service, &action, &answer)
    }

    /// Calls a service that speaks REST with XML. The path is encoded already.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn xml(
        &self,
        service: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<String, AwsError> {
        let url = self.url(service, path, query)?;
        let action = format!("GET {path}");
        self.send(service, &action, Method::GET, url, &[], String::new())
            .await
    }

    /// Calls a service that speaks the query protocol, and answers in XML. The parameters hold `Action` and
    /// `Version`.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn query(
        &self,
        service: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, AwsError> {
        // The serializer itself cannot be kept across an await.
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let action = parameters.iter().find(|(name, _)| *name == "Action");
        let action = action.map_or("", |(_, action)| *action);
        let headers = [(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
        )];
        let url = self.url(service, "/", &[])?;
        self.send(service, action, Method::POST, url, &headers, body)
            .await
    }

    /// What AWS's clock shows, to a second. Nothing is signed, as a clock that is wrong would spoil the
    /// signature.
    ///
    /// # Errors
    /// [`AwsError::Unavailable`] when there is no answer, or it tells no time.
    pub async fn date(&self) -> Result<Timestamp, AwsError> {
        let (service, action) = ("sts", "the time");
        let url = self.url(service, "/", &[])?;
        let answer = self.http.get(url).send().await.map_err(|error| {
            unavailable(service, action, &connect_dynamics::cause::innermost(&error))
        })?;
        let date = answer.headers().get(reqwest::header::DATE);
        let date = date.and_then(|date| date.to_str().ok());
        date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
            .map(|date| date.timestamp())
            .ok_or_else(|| unavailable(service, action, "its answer has no date"))
    }

    /// Where a service is: at its own endpoint in the environment or at the configuration's, which a test or
    /// a local system sets, or AWS's.
    /// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
    fn url(&self, service: &str, path: &str, query: &[(&str, &str)]) -> Result<Url, AwsError> {
        let region = &self.region;
        let own = std::env::var(format!("AWS_ENDPOINT_URL_{}", service.to_uppercase())).ok();
        let endpoint = own.as_deref().or(self.config.endpoint_url());
        let root = match endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => {
                let domain = if region.starts_with("cn-") {
                    "amazonaws.com.cn"
                } else {
                    "amazonaws.com"
                };
                let host = match service {
                    "cloudwatch" => "monitoring",
                    other => other,
                };
                format!("https://{host}.{region}.{domain}")
            }
        };
        let mut url = Url::parse(&format!("{root}{path}"))
            .map_err(|error| unavailable(service, path, &error.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn send(
        &self,
        service: &str,
        action: &str,
        method: Method,
        url: Url,
        headers: &[(&str, String)],
        body: String,
    ) -> Result<String, AwsError> {
        let signature = self
            .sign(service, &method, &url, headers, body.as_bytes())
            .await?;
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        for (name, value) in &signature {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|error| {
            unavailable(service, action, &connect_dynamics::cause::innermost(&error))
        })?;
        let status = answer.status();
        let code = answer.headers().get("x-amzn-errortype");
        let code = code.and_then(|code| code.to_str().ok()).map(str::to_owned);
        let text = answer.text().await;
        let text = text.map_err(|error| {
            unavailable(service, action, &connect_dynamics::cause::innermost(&error))
        })?;
        if status.is_success() {
            return Ok(text);
        }
        let (told_code, message) = refusal(&text);
        let code = code.unwrap_or(told_code);
        // As in `com.amazonaws.sqs#QueueDoesNotExist` and `ResourceNotFoundException:http://...`.
        let code = code.rsplit('#').next().unwrap_or(&code);
        let code = code.split(':').next().unwrap_or(code);
        Err(AwsError::Refused {
            service: service.to_owned(),
            action: action.to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            message,
        })
    }

    async fn sign(
        &self,
        service: &str,
        method: &Method,
        url: &Url,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Vec<(String, String)>, AwsError> {
        let none =
            |reason: String| AwsError::NoCredentials(reason.trim_end_matches('.').to_owned());
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| none("none are configured".into()))?;
        let credentials = provider.provide_credentials().await;
        let credentials =
            credentials.map_err(|error| none(connect_dynamics::cause::innermost(&error)))?;
        let identity = credentials.into();
        let name = if service == "cloudwatch" {
            "monitoring"
        } else {
            service
        };
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.payload_checksum_kind =
                aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(name)
            .time(SystemTime::now())
            .settings(settings)
            .build();
        let wrong = |error: &dyn std::fmt::Display| {
            unavailable(
                service,
                method.as_str(),
                &format!("it cannot be signed: {error}"),
            )
        };
        let parameters = parameters.map_err(|error| wrong(&error))?.into();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let request = SignableRequest::new(
            method.as_str(),
            url.as_str(),
            headers,
            SignableBody::Bytes(body),
        );
        let signed = request.and_then(|request| sign(request, &parameters));
        let (signed, _) = signed.map_err(|error| wrong(&error))?.into_parts();
        let (headers, _) = signed.into_parts();
        let headers = headers.into_iter();
        Ok(headers
            .map(|header| (header.name().to_owned(), header.value().to_owned()))
            .collect())
    }

    fn read_json(&self, service: &str, action: &str, text: &str) -> Result<Json, AwsError> {
        serde_json::from_str(text).map_err(|error| {
            unavailable(service, action, &format!("its answer is no JSON: {error}"))
        })
    }
}

/// What stands in a path as it is; all else is encoded.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A part of a path, encoded as a signature wants it.
pub(crate) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, UNRESERVED).to_string()
}

fn unavailable(service: &str, action: &str, reason: &str) -> AwsError {
    AwsError::Unavailable {
        service: service.to_owned(),
        action: action.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The code and the message of a refusal, in JSON or in XML.
fn refusal(text: &str) -> (String, String) {
    if let Ok(told) = serde_json::from_str::<Json>(text) {
        let field = |names: [&str; 3]| {
            let mut found = names.iter().filter_map(|name| told[*name].as_str());
            found.next().unwrap_or_default().to_owned()
        };
        return (
            field(["__type", "code", "Code"]),
            field(["message", "Message", "errorMessage"]),
        );
    }
    if let Ok(document) = roxmltree::Document::parse(text) {
        let field = |name: &str| {
            let mut nodes = document.descendants();
            let node = nodes.find(|node| node.has_tag_name(name) || node.tag_name().name() == name);
            node.and_then(|node| node.text())
                .unwrap_or_default()
                .to_owned()
        };
        return (field("Code"), field("Message"));
    }
    (String::new(), text.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_in_every_form_that_services_write() {
        for (text, code, message) in [
            (
                r#"{"__type":"a#ResourceNotFoundException","message":"no"}"#,
                "a#ResourceNotFoundException",
                "no",
            ),
            (r#"{"Message":"no"}"#, "", "no"),
            (
                r#"<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id x does not exist</Message></Error></ErrorResponse>"#,
                "ValidationError",
                "Stack with id x does not exist",
            ),
            ("<html>", "", "<html>"),
        ] {
            assert_eq!(
                refusal(text),
                (code.to_owned(), message.to_owned()),
                "{text}"
            );
        }
    }
}
