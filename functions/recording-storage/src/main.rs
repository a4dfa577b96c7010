//! The Lambda function behind two custom resources of the stack: `InstanceStorage`, which learns from Amazon
//! Connect where the instance stores recordings and the like, and `BucketSwitch`, which lets these buckets
//! send their events to EventBridge.

mod bucket;
mod resources;
mod storage;

use connect_dynamics::custom_resource;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    custom_resource::run::<resources::Resource>().await
}
