//! The Lambda function of the step `contact-completed`.

use connect_dynamics::{function, step::Step};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    function::run(Step::ContactCompleted).await
}
