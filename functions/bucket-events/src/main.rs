//! The Lambda function behind the stack's custom resource `RecordingBucketEvents`.

mod bucket;
mod custom_resource;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    custom_resource::run().await
}
