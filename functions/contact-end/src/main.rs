//! The Lambda function of the step `contact-end`.

use connect_dynamics::{function, step::Step};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    function::run(Step::ContactEnd).await
}
