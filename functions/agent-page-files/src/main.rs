//! The Lambda function behind two custom resources of the stack: `AgentPageSettings`, which checks the agent's
//! page's settings and tells the policies that follow from them, and `AgentPageContent`, which puts the page into
//! its bucket.
//!
//! They are two because the page names its own address, which there is no sooner than the distribution, and the
//! distribution needs the policies.

mod bucket;
mod resources;

use connect_dynamics::custom_resource;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    custom_resource::run::<resources::Resource>().await
}
