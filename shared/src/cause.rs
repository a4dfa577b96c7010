//! Why a call of another service failed, in words for a log or a person.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;

/// Why an AWS service failed: what it said, `code: message`; or the innermost cause when it did not answer, such as
/// "connection refused".
pub fn of_aws<E>(error: &E) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
        (Some(code), None) => code.to_owned(),
        _ => innermost(error),
    }
}

/// The innermost cause: "connection refused", not "error sending request".
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().unwrap_or(error).to_string()
}
