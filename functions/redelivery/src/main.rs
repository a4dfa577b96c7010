//! The Lambda function that delivers what Dynamics could not take at once.

use connect_dynamics::function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    function::run_redelivery().await
}
