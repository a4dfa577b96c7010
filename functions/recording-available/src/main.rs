//! The Lambda function of the step `recording-available`.

use connect_dynamics::{function, step::Step};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    function::run_with_objects(Step::RecordingAvailable).await
}
