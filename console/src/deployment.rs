//! What the tool is used on: a stack in an AWS account, or the system that `local serve` keeps up.
//!
//! Owns how either is found, and how its functions are invoked.

use std::{collections::BTreeMap, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use connect_dynamics::{delivery::Report, store::Store};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::aws::{Aws, AwsError, encoded};

/// Where the Invoke API of `local serve` listens unless it is told otherwise.
pub const LOCAL_PORT: u16 = 9001;

/// What the tool is used on.
#[derive(Debug)]
pub struct Deployment {
    /// The stack's name; none for the local system.
    pub stack: Option<String>,
    pub aws: Aws,
    pub store: Store,
    pub table: String,
    /// The integration of events that name none.
    pub default_integration: String,
    /// The secret that the stack has made or was given, for a configuration's `clientSecretId`.
    pub secret_id: Option<String>,
    /// The outputs of the stack by their names.
    pub outputs: BTreeMap<String, String>,
    /// The stack's parameters by their names.
    pub parameters: BTreeMap<String, String>,
    /// Where the local system's Lambda is.
    invoke_endpoint: Option<String>,
    /// The local system's connection, which every integration there has: `environmentUri`, `authority`, ...
    pub local_connection: Option<Json>,
}

/// Why there is nothing to use the tool on.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error("{0}")]
    Region(String),
    #[error(
        "there is no stack `{stack}` in {region}; give its name with --stack and its region with --region"
    )]
    NoStack { stack: String, region: String },
    #[error("the stack `{stack}` has no output {output}; is it one of this product?")]
    NoOutput { stack: String, output: &'static str },
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("the answer of CloudFormation cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "no local system answers at {0}. Name a stack with --stack NAME, or start the local system with `cargo run -p local -- serve`"
    )]
    NoLocalSystem(String),
}

/// How the operator's AWS credentials are found.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub profile: Option<String>,
    pub region: Option<String>,
}

impl Account {
    /// The AWS configuration of the operator: environment, profiles, single sign-on.
    /// <https://docs.aws.amazon.com/sdk-for-rust/latest/dg/credproviders.html>
    pub async fn config(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        loader.load().await
    }
}

impl Deployment {
    /// A stack, by its outputs.
    ///
    /// # Errors
    /// [`DeploymentError`] when there is no such stack, it is none of this product, or AWS does not answer.
    pub async fn stack(name: &str, account: &Account) -> Result<Deployment, DeploymentError> {
        let config = account.config().await;
        let aws = Aws::new(&config).map_err(DeploymentError::Region)?;
        let answer = aws
            .query(
                "cloudformation",
                &[
                    ("Action", "DescribeStacks"),
                    ("Version", "2010-05-15"),
                    ("StackName", name),
                ],
            )
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(AwsError::Refused { code, message, .. })
                if code == "ValidationError" && message.contains("does not exist") =>
            {
                return Err(DeploymentError::NoStack {
                    stack: name.to_owned(),
                    region: aws.region().to_owned(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        let outputs = pairs(&answer, "Outputs", "OutputKey", "OutputValue")?;
        let parameters = pairs(&answer, "Parameters", "ParameterKey", "ParameterValue")?;
        let table = outputs
            .get("TableName")
            .cloned()
            .ok_or_else(|| DeploymentError::NoOutput {
                stack: name.to_owned(),
                output: "TableName",
            })?;
        Ok(Deployment {
            stack: Some(name.to_owned()),
            store: Store::new(&config, &table),
            aws,
            table,
            default_integration: parameters
                .get("Integration")
                .cloned()
                .unwrap_or_else(|| "default".into()),
            secret_id: outputs.get("SecretArn").cloned(),
            outputs,
            parameters,
            invoke_endpoint: None,
            local_connection: None,
        })
    }

    /// The system that `local serve` keeps up, by the port of its Invoke API.
    ///
    /// # Errors
    /// [`DeploymentError::NoLocalSystem`] when none answers.
    pub async fn local(port: u16) -> Result<Deployment, DeploymentError> {
        let invoke = format!("http://127.0.0.1:{port}");
        let none = |_| DeploymentError::NoLocalSystem(invoke.clone());
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(none)?;
        let answer = client
            .get(format!("{invoke}/stand-in/system"))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(none)?;
        let told: LocalSystem = answer.json().await.map_err(none)?;
        Ok(Deployment::of_local(&told).await)
    }

    /// The local system that says this of itself.
    pub async fn of_local(told: &LocalSystem) -> Deployment {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(&told.aws)
            .test_credentials()
            .load()
            .await;
        Deployment {
            stack: None,
            store: Store::new(&config, &told.table),
            aws: Aws::new(&config).expect("a region is given"),
            table: told.table.clone(),
            default_integration: told.integration.clone(),
            secret_id: told.connection["clientSecretId"]
                .as_str()
                .map(str::to_owned),
            outputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            invoke_endpoint: Some(told.invoke.clone()),
            local_connection: Some(told.connection.clone()),
        }
    }

    pub fn is_local(&self) -> bool {
        self.stack.is_none()
    }

    /// What the tool is used on, for a person.
    pub fn title(&self) -> String {
        match &self.stack {
            Some(stack) => format!("{stack} in {}", self.aws.region()),
            None => "the local system".into(),
        }
    }

    /// The name or ARN of a function: `contact-start`, `redelivery`, ...
    fn function(&self, name: &str) -> String {
        let output = match name {
            "redelivery" => "RedeliveryName".to_owned(),
            // contact-start: ContactStartArn
            step => {
                let words = step.split('-').map(|word| {
                    let (first, rest) = word.split_at(word.len().min(1));
                    first.to_uppercase() + rest
                });
                words.collect::<String>() + "Arn"
            }
        };
        self.outputs
            .get(&output)
            .cloned()
            .unwrap_or_else(|| name.to_owned())
    }

    /// Invokes a function and returns what it answers.
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
    ///
    /// # Errors
    /// [`AwsError`] when it cannot be invoked, or fails.
    pub async fn invoke(&self, name: &str, event: &Json) -> Result<Json, AwsError> {
        let function = self.function(name);
        let path = format!("/2015-03-31/functions/{}/invocations", encoded(&function));
        let aws = match &self.invoke_endpoint {
            None => self.aws.clone(),
            Some(endpoint) => {
                let config = self
                    .aws
                    .config()
                    .to_builder()
                    .endpoint_url(endpoint)
                    .build();
                Aws::new(&config).expect("its region is given")
            }
        };
        let answer = aws
            .rest("lambda", Method::POST, &path, &[], Some(event))
            .await?;
        // A function that fails is answered with status 200 and this form.
        if let Some(message) = answer.get("errorMessage").and_then(Json::as_str) {
            return Err(AwsError::Refused {
                service: "lambda".into(),
                action: format!("the invocation of {name}"),
                status: 200,
                code: answer["errorType"].as_str().unwrap_or("error").to_owned(),
                message: message.to_owned(),
            });
        }
        Ok(answer)
    }

    /// Has `redelivery` deliver a contact's failed requests again.
    ///
    /// # Errors
    /// [`AwsError`] when it cannot be invoked, or fails.
    pub async fn deliver_again(&self, contact_id: uuid::Uuid) -> Result<Report, AwsError> {
        let answer = self
            .invoke("redelivery", &json!({"contactId": contact_id}))
            .await?;
        serde_json::from_value(answer).map_err(|error| AwsError::Unavailable {
            service: "lambda".into(),
            action: "the invocation of redelivery".into(),
            reason: error.to_string(),
        })
    }

    /// Who the operator is: the ARN of the AWS identity, or the user's name on the local system.
    pub async fn operator(&self) -> String {
        if self.is_local() {
            return std::env::var("USER").unwrap_or_else(|_| "local".into());
        }
        let answer = self
            .aws
            .query(
                "sts",
                &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")],
            )
            .await;
        let arn = answer.ok().and_then(|answer| {
            let document = roxmltree::Document::parse(&answer).ok()?;
            let mut nodes = document.descendants();
            let arn = nodes.find(|node| node.tag_name().name() == "Arn")?;
            Some(arn.text()?.to_owned())
        });
        match arn {
            Some(arn) => arn,
            None => self
                .aws
                .access_key()
                .await
                .unwrap_or_else(|| "unknown".into()),
        }
    }
}

/// What the local system says of itself at `/stand-in/system`.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct LocalSystem {
    /// The URL of its Invoke API.
    pub invoke: String,
    /// The URL of AWS's other services.
    pub aws: String,
    pub table: String,
    pub integration: String,
    /// The connection that integrations have there, as a configuration says it.
    pub connection: Json,
}

/// The pairs of a list in CloudFormation's answer.
fn pairs(
    answer: &str,
    list: &str,
    key: &str,
    value: &str,
) -> Result<BTreeMap<String, String>, DeploymentError> {
    let document = roxmltree::Document::parse(answer)
        .map_err(|error| DeploymentError::Unreadable(error.to_string()))?;
    let mut nodes = document.descendants();
    let list = nodes.find(|node| node.tag_name().name() == list);
    let members = list.into_iter().flat_map(|list| list.children());
    let text = |member: roxmltree::Node, name: &str| {
        let mut children = member.children();
        let child = children.find(|child| child.tag_name().name() == name)?;
        Some(child.text().unwrap_or_default().to_owned())
    };
    Ok(members
        .filter_map(|member| Some((text(member, key)?, text(member, value)?)))
        .collect())
}
