//! The stack, as CloudFormation tells of it.
//!
//! Owns what each of its resources is really called: the other checks ask for a logical id of the template, and
//! guess no name.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Check, Failure, Ground, Verdict,
    calls::{Asking, DESCRIBE_STACKS, LIST_STACK_RESOURCES, child, members, read_xml},
};

/// A resource of the stack.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) logical_id: String,
    pub(super) physical_id: String,
    kind: String,
    status: String,
    /// When the stack has changed it last.
    pub(super) changed_at: Option<Timestamp>,
}

/// The resources of the stack.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Resources(BTreeMap<String, Resource>);

#[cfg(test)]
impl Resource {
    /// A resource that the stack has changed at this time.
    pub(super) fn for_test(logical_id: &str, changed_at: &str) -> Resource {
        Resource {
            logical_id: logical_id.into(),
            physical_id: "x".into(),
            kind: String::new(),
            status: "CREATE_COMPLETE".into(),
            changed_at: changed_at.parse().ok(),
        }
    }
}

impl Resources {
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html>
    pub(super) async fn of(asking: Asking<'_>, stack: &str) -> Result<Resources, Failure> {
        let mut resources = BTreeMap::new();
        let mut token = String::new();
        loop {
            let mut parameters = vec![("StackName", stack)];
            if !token.is_empty() {
                parameters.push(("NextToken", &token));
            }
            let page = asking.query(LIST_STACK_RESOURCES, &parameters).await?;
            let (found, next) = read(&page)?;
            resources.extend(found);
            if next.is_empty() || next == token {
                return Ok(Resources(resources));
            }
            token = next;
        }
    }

    pub(super) fn get(&self, logical_id: &str) -> Option<&Resource> {
        let resource = self.0.get(logical_id)?;
        let is_there = resource.status != "DELETE_COMPLETE" && !resource.physical_id.is_empty();
        is_there.then_some(resource)
    }

    pub(super) fn physical(&self, logical_id: &str) -> Option<&str> {
        Some(&self.get(logical_id)?.physical_id)
    }

    /// Those of a type, by their logical ids.
    pub(super) fn of_type(&self, kind: &str) -> Vec<&Resource> {
        let ids = self.0.keys();
        ids.filter_map(|id| self.get(id))
            .filter(|resource| resource.kind == kind)
            .collect()
    }

    /// Those that a deployment could not make, change or delete.
    fn failed(&self) -> Vec<&Resource> {
        let failed = |resource: &&Resource| resource.status.ends_with("_FAILED");
        self.0.values().filter(failed).collect()
    }
}

/// A page of the resources, and the token of the next one.
fn read(page: &str) -> Result<(BTreeMap<String, Resource>, String), Failure> {
    read_xml(page, |document| {
        let resources = members(document.root(), "StackResourceSummaries").map(|member| {
            let logical_id = child(member, "LogicalResourceId");
            let resource = Resource {
                logical_id: logical_id.clone(),
                physical_id: child(member, "PhysicalResourceId"),
                kind: child(member, "ResourceType"),
                status: child(member, "ResourceStatus"),
                changed_at: child(member, "LastUpdatedTimestamp").parse().ok(),
            };
            (logical_id, resource)
        });
        let resources = resources.collect();
        let mut nodes = document.descendants();
        let next = nodes.find(|node| node.tag_name().name() == "NextToken");
        let next = next.and_then(|next| next.text()).unwrap_or_default();
        (resources, next.to_owned())
    })
}

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    vec![Check::of_stack(
        ground,
        "stack",
        "The stack",
        stack(ground.clone()),
    )]
}

/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
async fn stack(ground: Arc<Ground<'_>>) -> Result<Verdict, Failure> {
    let name = ground.deployment.stack.as_deref().unwrap_or_default();
    let parameters = [("StackName", name)];
    let answer = ground.asking.query(DESCRIBE_STACKS, &parameters).await?;
    let (status, reason) = read_xml(&answer, |document| {
        let stack = members(document.root(), "Stacks").next();
        let text = |name| stack.map(|stack| child(stack, name)).unwrap_or_default();
        (text("StackStatus"), text("StackStatusReason"))
    })?;
    let resources = ground.resources.as_ref().map_err(Clone::clone)?;
    Ok(judge(name, &status, &reason, resources))
}

fn judge(name: &str, status: &str, reason: &str, resources: &Resources) -> Verdict {
    let events = format!(
        "AWS console, CloudFormation, Stacks, {name}, Events: the first event that ends with _FAILED says why. docs/troubleshooting.md, The stack, has what to do about it."
    );
    let because = if reason.is_empty() {
        String::new()
    } else {
        format!(": {}", reason.trim_end_matches('.'))
    };
    let failed = resources.failed();
    let verdict = match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" if failed.is_empty() => {
            Verdict::ok(format!("The stack is deployed ({status})."))
        }
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Verdict::warning(
            "The stack is deployed, but not all of its resources are as they should be.",
        )
        .mend(events),
        "UPDATE_ROLLBACK_COMPLETE" => Verdict::warning(format!(
            "The last deployment failed, and the stack is as it was before{because}."
        ))
        .mend(events),
        status if status.ends_with("_IN_PROGRESS") => Verdict::warning(format!(
            "The stack is being deployed ({status}), so other findings may be over in a minute."
        ))
        .mend("Wait until the deployment is done, and check again."),
        status => Verdict::broken(format!(
            "The stack is not as it should be: {status}{because}."
        ))
        .mend(events),
    };
    failed.into_iter().fold(verdict, |verdict, resource| {
        verdict.noting(format!(
            "{} is in the state {}.",
            resource.logical_id, resource.status
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    const PAGE: &str = r#"<ListStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
      <ListStackResourcesResult><StackResourceSummaries>
        <member><LogicalResourceId>Table</LogicalResourceId><PhysicalResourceId>connect-dynamics-Table-1ABC</PhysicalResourceId>
          <ResourceType>AWS::DynamoDB::Table</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>
          <LastUpdatedTimestamp>2026-02-04T21:14:16.123Z</LastUpdatedTimestamp></member>
        <member><LogicalResourceId>Gone</LogicalResourceId><PhysicalResourceId>x</PhysicalResourceId>
          <ResourceType>AWS::SQS::Queue</ResourceType><ResourceStatus>DELETE_COMPLETE</ResourceStatus></member>
        <member><LogicalResourceId>AnsweredRule</LogicalResourceId><PhysicalResourceId>r</PhysicalResourceId>
          <ResourceType>AWS::Events::Rule</ResourceType><ResourceStatus>UPDATE_FAILED</ResourceStatus></member>
      </StackResourceSummaries><NextToken>more</NextToken></ListStackResourcesResult></ListStackResourcesResponse>"#;

    #[test]
    fn resources_are_known_by_their_logical_ids() {
        let (resources, next) = read(PAGE).unwrap();
        let resources = Resources(resources);
        assert_eq!(next, "more");
        assert_eq!(
            resources.physical("Table"),
            Some("connect-dynamics-Table-1ABC")
        );
        assert_eq!(resources.physical("Gone"), None);
        assert_eq!(resources.of_type("AWS::DynamoDB::Table").len(), 1);
        assert!(resources.get("Table").unwrap().changed_at.is_some());
    }

    #[test]
    fn a_stack_is_judged_by_its_state_and_its_resources() {
        let none = Resources::default();
        let some = Resources(read(PAGE).unwrap().0);
        for (status, resources, expected) in [
            ("CREATE_COMPLETE", &none, Outcome::Ok),
            ("UPDATE_COMPLETE", &some, Outcome::Warning),
            ("UPDATE_ROLLBACK_COMPLETE", &none, Outcome::Warning),
            ("UPDATE_IN_PROGRESS", &none, Outcome::Warning),
            ("UPDATE_ROLLBACK_FAILED", &none, Outcome::Broken),
            ("ROLLBACK_COMPLETE", &none, Outcome::Broken),
        ] {
            let verdict = judge("connect-dynamics", status, "", resources);
            assert_eq!(verdict.outcome, expected, "{status}");
        }
        let verdict = judge("connect-dynamics", "UPDATE_COMPLETE", "", &some);
        assert!(verdict.findings[1].contains("AnsweredRule"), "{verdict:?}");
    }
}
