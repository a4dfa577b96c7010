//! The Lambda function of the step `contact-answered`.

use connect_dynamics::{function, integration::StepName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    function::run(StepName::ContactAnswered).await
}
