//! The questions that the doctor asks AWS.
//!
//! Owns which they are and the right that each needs, so that a refusal names it, and so that
//! `docs/operator-policy.json` can be held against the list. What an answer means is the checks'.

use reqwest::Method;
use roxmltree::{Document, Node};
use serde_json::Value as Json;

use super::Failure;
use crate::aws::{Aws, AwsError};

/// An operation of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// The right that it needs, as an IAM policy names it.
    pub(super) right: &'static str,
    service: &'static str,
    /// As the service's protocol names it: the target of JSON, or the action of a query.
    operation: &'static str,
    /// The query protocol's version of the service.
    version: &'static str,
}

macro_rules! calls {
    ($($name:ident: $right:literal, $service:literal, $operation:literal, $version:literal;)*) => {
        $(pub(super) const $name: Call = Call {
            right: $right,
            service: $service,
            operation: $operation,
            version: $version,
        };)*
        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[Call] = &[$($name),*];
    };
}

calls! {
    // name: the right, the service, what the protocol calls it, the version of a query
    LIST_STACK_RESOURCES: "cloudformation:ListStackResources", "cloudformation", "ListStackResources", "2010-05-15";
    DESCRIBE_STACKS: "cloudformation:DescribeStacks", "cloudformation", "DescribeStacks", "2010-05-15";
    DESCRIBE_TABLE: "dynamodb:DescribeTable", "dynamodb", "DynamoDB_20120810.DescribeTable", "";
    DESCRIBE_TIME_TO_LIVE: "dynamodb:DescribeTimeToLive", "dynamodb", "DynamoDB_20120810.DescribeTimeToLive", "";
    DESCRIBE_CONTINUOUS_BACKUPS: "dynamodb:DescribeContinuousBackups", "dynamodb", "DynamoDB_20120810.DescribeContinuousBackups", "";
    DESCRIBE_SECRET: "secretsmanager:DescribeSecret", "secretsmanager", "secretsmanager.DescribeSecret", "";
    DESCRIBE_KEY: "kms:DescribeKey", "kms", "TrentService.DescribeKey", "";
    GET_FUNCTION_CONFIGURATION: "lambda:GetFunctionConfiguration", "lambda", "", "";
    GET_FUNCTION_CONCURRENCY: "lambda:GetFunctionConcurrency", "lambda", "", "";
    GET_EVENT_SOURCE_MAPPING: "lambda:GetEventSourceMapping", "lambda", "", "";
    DESCRIBE_RULE: "events:DescribeRule", "events", "AWSEvents.DescribeRule", "";
    LIST_TARGETS_BY_RULE: "events:ListTargetsByRule", "events", "AWSEvents.ListTargetsByRule", "";
    GET_QUEUE_ATTRIBUTES: "sqs:GetQueueAttributes", "sqs", "AmazonSQS.GetQueueAttributes", "";
    GET_SCHEDULE: "scheduler:GetSchedule", "scheduler", "", "";
    GET_METRIC_STATISTICS: "cloudwatch:GetMetricStatistics", "cloudwatch", "GetMetricStatistics", "2010-08-01";
    DESCRIBE_ALARMS: "cloudwatch:DescribeAlarms", "cloudwatch", "DescribeAlarms", "2010-08-01";
    LIST_SUBSCRIPTIONS_BY_TOPIC: "sns:ListSubscriptionsByTopic", "sns", "ListSubscriptionsByTopic", "2010-03-31";
    GET_BUCKET_NOTIFICATION: "s3:GetBucketNotification", "s3", "", "";
    LIST_INSTANCE_STORAGE_CONFIGS: "connect:ListInstanceStorageConfigs", "connect", "", "";
    LIST_LAMBDA_FUNCTIONS: "connect:ListLambdaFunctions", "connect", "", "";
    LIST_CONTACT_FLOW_MODULES: "connect:ListContactFlowModules", "connect", "", "";
    LIST_CONTACT_FLOWS: "connect:ListContactFlows", "connect", "", "";
    DESCRIBE_CONTACT_FLOW: "connect:DescribeContactFlow", "connect", "", "";
    LIST_QUEUES: "connect:ListQueues", "connect", "", "";
    DESCRIBE_QUEUE: "connect:DescribeQueue", "connect", "", "";
}

/// What else the doctor does, by the library: the rights that this needs.
pub(super) const READ_ITEM: &str = "dynamodb:GetItem";
pub(super) const READ_LISTS: &str = "dynamodb:Query";
pub(super) const READ_SECRET: &str = "secretsmanager:GetSecretValue";
pub(super) const INVOKE: &str = "lambda:InvokeFunction";

/// Asks AWS, and keeps the right that a question needs with what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a>(pub(super) &'a Aws);

impl Asking<'_> {
    /// Asks a service that speaks JSON.
    pub(super) async fn json(self, call: Call, body: Json) -> Result<Json, Failure> {
        let answer = self.0.json(call.service, call.operation, &body).await;
        answer.map_err(|error| refused(call, error))
    }

    /// Asks a service that speaks REST with JSON, at a path that is encoded already.
    pub(super) async fn rest(
        self,
        call: Call,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Json, Failure> {
        let answer = self.0.rest(call.service, Method::GET, path, query, None);
        answer.await.map_err(|error| refused(call, error))
    }

    /// All pages of a list of REST with JSON: the members of `list` in each.
    pub(super) async fn pages(
        self,
        call: Call,
        path: &str,
        query: &[(&str, &str)],
        list: &str,
    ) -> Result<Vec<Json>, Failure> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let mut query = query.to_vec();
            if !token.is_empty() {
                query.push(("nextToken", &token));
            }
            let page = self.rest(call, path, &query).await?;
            found.extend(page[list].as_array().into_iter().flatten().cloned());
            match page["NextToken"].as_str() {
                Some(next) if !next.is_empty() && next != token => token = next.to_owned(),
                _ => return Ok(found),
            }
        }
    }

    /// Asks a service that speaks the query protocol. The answer is XML.
    pub(super) async fn query(
        self,
        call: Call,
        parameters: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let mut all = vec![("Action", call.operation), ("Version", call.version)];
        all.extend(parameters);
        let answer = self.0.query(call.service, &all).await;
        answer.map_err(|error| refused(call, error))
    }

    /// Asks a service that speaks REST with XML, at a path that is encoded already.
    pub(super) async fn xml(
        self,
        call: Call,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let answer = self.0.xml(call.service, path, query).await;
        answer.map_err(|error| refused(call, error))
    }
}

fn refused(call: Call, error: AwsError) -> Failure {
    Failure::Aws {
        right: call.right,
        error,
    }
}

/// What an answer in XML is read as, by a function of its document.
pub(super) fn read_xml<T>(text: &str, read: impl FnOnce(&Document) -> T) -> Result<T, Failure> {
    let document = Document::parse(text).map_err(|error| Failure::Unreadable(error.to_string()))?;
    Ok(read(&document))
}

/// The `member`s of the first list of a name.
pub(super) fn members<'a, 'input>(
    within: Node<'a, 'input>,
    list: &str,
) -> impl Iterator<Item = Node<'a, 'input>> + use<'a, 'input> {
    let mut nodes = within.descendants();
    let list = nodes.find(|node| node.tag_name().name() == list);
    let children = list.into_iter().flat_map(|list| list.children());
    children.filter(|child| child.tag_name().name() == "member")
}

/// The text of a child element; empty where there is none.
pub(super) fn child(node: Node, name: &str) -> String {
    let mut children = node.children();
    let child = children.find(|child| child.tag_name().name() == name);
    child
        .and_then(|child| child.text())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The actions that the operators' policy allows, by its statements.
    fn policy() -> Vec<(String, BTreeSet<String>)> {
        let policy: Json =
            serde_json::from_str(include_str!("../../../docs/operator-policy.json")).unwrap();
        assert_eq!(policy["Version"], "2012-10-17");
        let statements = policy["Statement"].as_array().unwrap();
        let allowed = statements.iter().map(|statement| {
            assert_eq!(statement["Effect"], "Allow", "{statement}");
            assert!(
                statement["Resource"].is_string() || statement["Resource"].is_array(),
                "{statement}"
            );
            let actions = match &statement["Action"] {
                Json::String(action) => vec![action.clone()],
                actions => serde_json::from_value(actions.clone()).unwrap(),
            };
            let sid = statement["Sid"].as_str().unwrap();
            (sid.to_owned(), BTreeSet::from_iter(actions))
        });
        allowed.collect()
    }

    #[test]
    fn the_operators_policy_allows_what_the_doctor_asks() {
        let policy = policy();
        let library = [READ_ITEM, READ_LISTS, READ_SECRET, INVOKE];
        for right in ALL.iter().map(|call| call.right).chain(library) {
            assert!(
                policy.iter().any(|(_, allowed)| allowed.contains(right)),
                "docs/operator-policy.json allows no {right}"
            );
        }
    }

    #[test]
    fn what_the_policy_allows_the_doctor_it_asks() {
        let asked: BTreeSet<&str> = ALL.iter().map(|call| call.right).collect();
        for (sid, allowed) in policy() {
            if !sid.starts_with("Doctor") {
                continue;
            }
            for right in &allowed {
                assert!(asked.contains(right.as_str()), "{sid}: {right}");
            }
        }
    }

    #[test]
    fn each_statement_of_the_policy_has_a_name_of_its_own() {
        let policy = policy();
        let names: BTreeSet<&String> = policy.iter().map(|(sid, _)| sid).collect();
        assert_eq!(names.len(), policy.len());
        for (sid, _) in &policy {
            assert!(
                sid.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{sid}"
            );
        }
    }
}
