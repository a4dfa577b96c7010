//! Why a request is not delivered, in plain words, and what to do about it.
//!
//! Owns no message: they are the library's. Each is known here by the words that it always has; one that is
//! not known is shown as it is.

use crate::words::sentence;
use connect_dynamics::history::State;

/// A reason, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What is the matter.
    pub what: String,
    /// What somebody is to do; none where there is nothing to do.
    pub fix: Option<String>,
}

/// What a message means that has all of these words, and what to do. The first that fits counts. `{}` stands for
/// what the message names after the first of them.
const KNOWN: &[(&[&str], &str, &str)] = &[
    (
        &["may have been carried out"],
        "Nobody knows whether Dynamics has carried this out: there was no answer, and doing it twice would do harm.",
        "Look in Dynamics whether it was done. If it was not, deliver the contact again; if it was, leave it.",
    ),
    // Dynamics.
    (
        &["lacks the privilege ", "access mode"],
        "Dynamics does not let the application user do this: it lacks the privilege {}, or its access mode does not allow it.",
        "In the Power Platform admin center, add the privilege to the application user's security role, and see that the user's access mode is Read-Write or Non-interactive.",
    ),
    (
        &["lacks the privilege "],
        "Dynamics does not let the application user do this: it lacks the privilege {}.",
        "In the Power Platform admin center, add the privilege to the application user's security role (Settings, Users + permissions, Security roles).",
    ),
    (
        &["the application user lacks"],
        "Dynamics does not let the application user do this: it lacks a privilege.",
        "In the Power Platform admin center, give the application user a security role that allows this. Dynamics' own words may name the privilege.",
    ),
    (
        &["is no user of this environment"],
        "Dynamics does not know the app registration: it is no user of this environment.",
        "In the Power Platform admin center, add it as an application user with a security role (Environments, Settings, Users + permissions, Application users).",
    ),
    (
        &["no access to that record"],
        "The application user may not reach this record, though it may reach others.",
        "Let its security role reach further (Organization instead of User), or share the record with it.",
    ),
    (
        &["the application user is disabled"],
        "Somebody has disabled the application user.",
        "Enable it in the Power Platform admin center.",
    ),
    (
        &["may not do this; check its security role"],
        "Dynamics does not let the application user do this.",
        "Check the application user's security role in the Power Platform admin center.",
    ),
    (
        &["the record is read-only"],
        "The record in Dynamics was completed or deactivated, and takes no change any more.",
        "Activate the record in Dynamics first, or take the update out of the integration.",
    ),
    (
        &["is no column of"],
        "The integration writes a column that this table of Dynamics does not have.",
        "Correct the column's name in the integration: its logical name, or for a look-up the navigation property's.",
    ),
    (
        &["not of the column's type"],
        "A value does not fit its column's type in Dynamics.",
        "Correct the field in the integration: `| int` for a whole number; a choice takes its number.",
    ),
    (
        &["longer than its column"],
        "A value is longer than its column in Dynamics allows.",
        "Shorten it in the integration with `| truncate(200)`.",
    ),
    (
        &["a case needs a customer"],
        "Dynamics takes no case without a customer, and the contact has none.",
        "Set the customer in the integration, or give it a new customer where none is found.",
    ),
    (
        &["no update takes the record to this state"],
        "Dynamics resolves a case by an action of its own; no update does it.",
        "Leave statecode and statuscode out of the integration's step.",
    ),
    (
        &["there is no entity set"],
        "The environment has no such table under this name.",
        "Correct the entity set in the integration: a plural such as `phonecalls`.",
    ),
    (
        &["there is no such record"],
        "The record is not in Dynamics any more, or one that the request refers to is not.",
        "If it was deleted on purpose, nothing. Otherwise restore it in Dynamics.",
    ),
    (
        &["another record has the same key"],
        "Dynamics has such a record already, or a rule for duplicates forbids a second one.",
        "Change the duplicate detection rule, or let the integration find the record first.",
    ),
    (
        &["changed by someone else meanwhile"],
        "Somebody else has changed the record at the same moment.",
        "",
    ),
    (
        &["the token is not accepted"],
        "Dynamics does not accept our token: it is for another tenant or another environment.",
        "Correct the tenant and the environment's address in the integration's connection.",
    ),
    (
        &["Dynamics limits our requests"],
        "Dynamics has had more requests than it takes at once (service protection limits).",
        "",
    ),
    (
        &["nothing is sent to Dynamics for another"],
        "Dynamics did not answer the last requests, so it is left alone for some seconds.",
        "",
    ),
    (
        &["Dynamics is not available at the moment"],
        "Dynamics was not available.",
        "",
    ),
    (
        &["there was no answer within the time"],
        "Dynamics did not answer in time.",
        "",
    ),
    (
        &["cannot be reached"],
        "The environment cannot be reached.",
        "If this lasts, check the environment's address in the integration's connection.",
    ),
    (
        &["nothing is found at this address"],
        "Dynamics knows nothing at this address.",
        "Correct the environment's address, the API version, the method or the query in the integration.",
    ),
    (
        &["it redirects elsewhere"],
        "The environment's address leads elsewhere, and that is never followed.",
        "Correct the environment's address in the integration's connection.",
    ),
    (
        &["is larger than 1 MB"],
        "Dynamics has answered with more than can be kept.",
        "Name the columns that you need with `$select`, and limit the records with `$top`.",
    ),
    (
        &["is no JSON object"],
        "Something else than Dynamics has answered: a proxy or a sign-in page.",
        "Correct the environment's address in the integration's connection.",
    ),
    (
        &["no HTTPS connection can be made"],
        "The functions can make no HTTPS connection: their certificates cannot be read.",
        "Correct SSL_CERT_FILE or SSL_CERT_DIR, or remove them.",
    ),
    // Entra ID.
    (
        &["AADSTS7000222"],
        "The client secret has ended.",
        "Make a new one in Entra ID and put it into the secret in AWS (docs/rotate-the-secret.md).",
    ),
    (
        &["AADSTS7000215"],
        "Entra ID does not accept the client secret.",
        "Put the secret's Value into the secret in AWS, not its ID.",
    ),
    (
        &["AADSTS700016"],
        "There is no such application in this tenant of Entra ID.",
        "Correct clientId or tenantId in the integration's connection.",
    ),
    (
        &["AADSTS90002"],
        "There is no such tenant of Entra ID.",
        "Correct tenantId in the integration's connection.",
    ),
    (
        &["Entra ID refused to give a token"],
        "Entra ID does not let the application sign in.",
        "The message says why; docs/troubleshooting.md has what to do for each code.",
    ),
    (
        &["Entra ID is not available"],
        "Entra ID was not available.",
        "",
    ),
    (
        &["holds no client secret"],
        "The secret in AWS holds no client secret.",
        "Put the client secret's Value into it (docs/setup.md).",
    ),
    (
        &["may not read the secret"],
        "The functions may not read the secret in AWS.",
        "Deploy the stack with the secret's ARN, and that of its key if it has one of its own.",
    ),
    (
        &["there is no secret"],
        "There is no such secret in AWS.",
        "Correct the secret's name in the integration's connection: the stack's output SecretArn.",
    ),
    (
        &["no certificate"],
        "The certificate for Entra ID cannot be used.",
        "Put the private key and the certificate into the secret in AWS (docs/credentials.md).",
    ),
    (
        &["no signature"],
        "KMS does not sign for the application.",
        "The message says which: the key, its state, its usage or its policy.",
    ),
    (
        &["no token of AWS"],
        "AWS gives no token with which the application could sign in.",
        "The message says which right or role is wrong (docs/credentials.md).",
    ),
    // The integration.
    (
        &["there is no integration"],
        "The integration of this contact does not exist.",
        "Publish it, or correct the flow's parameter `integration`.",
    ),
    (
        &["the integration `"],
        "The integration of this contact is not valid.",
        "Correct it; the message says where.",
    ),
    (
        &["never ran for this contact"],
        "It belongs to a step that never happened for this contact.",
        "If this should have been recorded: have the flow invoke contact-start, or take contact records (docs/setup.md).",
    ),
    (
        &["it waits for ", "which has not run for this contact"],
        "It waits for the step {}, which has not happened yet.",
        "If it never does, have the flow invoke it, or take contact records (docs/setup.md).",
    ),
    (
        &["it needs the response of ", "which is failed"],
        "It needs what the request {} would have answered, and that has failed.",
        "See to that request first.",
    ),
    (
        &["it needs the response of ", "which is skipped"],
        "It needs what the request {} would have answered, and that was not sent.",
        "See why that request was skipped.",
    ),
    (
        &["it needs the response of ", "which was not sent"],
        "It needs what the request {} would have answered, and that was not wanted for this contact.",
        "",
    ),
    (
        &["a value outside single quotes"],
        "A text stands in an address without quotes.",
        "Put single quotes around it in the integration.",
    ),
    (
        &["its condition does not hold"],
        "The integration's condition for this request does not hold for this contact.",
        "",
    ),
    (
        &["there is no customer"],
        "There is no customer for whom this could be done.",
        "",
    ),
    (
        &["there is such a customer"],
        "The customer was found, so none is created.",
        "",
    ),
    (
        &["are not recorded"],
        "Contacts of this kind are not recorded.",
        "",
    ),
    (
        &["no flow has started the contact's record"],
        "Contacts of this kind are recorded only when a flow starts it, and none did.",
        "",
    ),
    (
        &["the step is not configured"],
        "The integration does nothing in this step.",
        "",
    ),
    (
        &["do not trigger the step"],
        "The integration does nothing for files of this kind.",
        "",
    ),
    (
        &["is not the integration's recordingBucket"],
        "The file is in a bucket that is not the integration's.",
        "If it should be, correct recordingBucket in the integration's connection.",
    ),
    (
        &["ended more than retentionDays ago"],
        "It is a late change of a contact that is not remembered any more.",
        "",
    ),
    (
        &["first leg has no record yet"],
        "The first leg of this contact has no record yet.",
        "Deliver the first leg again.",
    ),
    (
        &["has failed for the contact's first leg"],
        "The same request has failed for the first leg of this contact.",
        "Deliver the first leg again, then this contact.",
    ),
    (
        &["first leg"],
        "It goes by the record of the contact's first leg.",
        "",
    ),
    // What was said.
    (
        &["it waits for the redacted file"],
        "It waits for the redacted file, if there is to be one.",
        "",
    ),
    (
        &["redelivery reads what was said"],
        "It is read and delivered within a minute or so.",
        "",
    ),
    (
        &["the function may not read", "in the bucket"],
        "The functions may not read the file in S3, or it is gone.",
        "Check the bucket's policy and the policy of its key (docs/troubleshooting.md, Recordings).",
    ),
    (
        &["is not in the bucket"],
        "The file was deleted before it was read.",
        "Nothing: there is nothing left to read.",
    ),
    (
        &["S3 did not give"],
        "S3 did not give the file in time.",
        "",
    ),
];

/// Explains the reason of a request that is in this state.
pub fn explain(state: State, reason: &str) -> Explanation {
    let given_up = reason
        .strip_prefix("given up after ")
        .and_then(|rest| rest.split_once(": "));
    let (hours, reason) = match given_up {
        Some((hours, reason)) => (Some(hours), reason),
        None => (None, reason),
    };
    let mut known = KNOWN.iter();
    let known = known.find(|(words, ..)| words.iter().all(|words| reason.contains(words)));
    let (mut what, fix) = match known {
        Some((words, what, fix)) => {
            let named = reason.split_once(words[0]).map_or("", |(_, rest)| rest);
            let named = named
                .split([',', ';', ' ', '\n'])
                .next()
                .unwrap_or_default();
            // As keys of the table name them: `contact-start#customer`.
            let named = match named.split_once('#') {
                Some((step, request)) => format!("{request} of {step}"),
                None => named.to_owned(),
            };
            (what.replace("{}", &named), *fix)
        }
        None => (sentence(reason), ""),
    };
    if let Some(hours) = hours {
        what = format!("{what} It was tried for {hours} and then given up.");
    }
    let is_to_be_done = match state {
        State::Failed | State::Pending => true,
        State::Skipped => !fix.is_empty(),
        State::Delivered => false,
    };
    let fix = is_to_be_done.then(|| {
        let then = match state {
            State::Failed if fix.contains("eliver the") || fix.starts_with("Nothing") => "",
            State::Failed if fix.is_empty() => "Deliver the contact again.",
            State::Failed => "Then deliver the contact again.",
            State::Pending if fix.is_empty() => "Nothing: it is tried again by itself.",
            State::Pending => "It is delivered by itself then.",
            State::Skipped | State::Delivered => "",
        };
        format!("{fix} {then}").trim().to_owned()
    });
    Explanation { what, fix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_dynamics::dataverse::{DynamicsError, HttpError, Refusal};

    fn refusal(advice: &str) -> String {
        let refusal = Refusal {
            status: 403,
            code: "0x80040220".into(),
            message: String::new(),
            advice: advice.into(),
        };
        DynamicsError::Refused(refusal).to_string()
    }

    #[test]
    fn reasons_of_every_kind_are_told_with_what_to_do() {
        use State::{Failed, Pending, Skipped};
        let throttled = DynamicsError::Throttled {
            code: "0x80072322".into(),
            retry_after: None,
        };
        let no_answer = DynamicsError::Http(HttpError::Timeout);
        for (state, reason, what, fix) in [
            (
                Pending,
                refusal("the application user lacks the privilege prvCreateActivity; add it"),
                "it lacks the privilege prvCreateActivity.",
                Some("It is delivered by itself then."),
            ),
            (
                Failed,
                format!(
                    "given up after 72 hours: {}",
                    refusal("the token is not accepted; check")
                ),
                "It was tried for 72 hours and then given up.",
                Some("Then deliver the contact again."),
            ),
            (
                Pending,
                throttled.to_string(),
                "more requests than it takes at once",
                Some("Nothing: it is tried again by itself."),
            ),
            (
                Failed,
                format!(
                    "{no_answer}. The request may have been carried out, and repeating it could do it twice"
                ),
                "Nobody knows whether",
                Some(
                    "Look in Dynamics whether it was done. If it was not, deliver the contact again; if it was, leave it.",
                ),
            ),
            (
                Failed,
                "it needs the response of contact-start#customer, which is failed".into(),
                "the request customer of contact-start would",
                Some("See to that request first. Then deliver the contact again."),
            ),
            (
                Skipped,
                "it needs the response of a step that never ran for this contact".into(),
                "never happened for this contact",
                Some("have the flow invoke contact-start"),
            ),
            (
                Skipped,
                "it is not wanted: its condition does not hold: x == 1".into(),
                "condition for this request does not hold",
                None,
            ),
            (
                Pending,
                "it waits for contact-start, which has not run for this contact".into(),
                "waits for the step contact-start,",
                Some("have the flow invoke it"),
            ),
            (
                Failed,
                "no client secret: Entra ID refused to give a token (AADSTS7000222): ended".into(),
                "secret has ended",
                Some("Make a new one"),
            ),
            (
                Failed,
                "something new".into(),
                "Something new.",
                Some("Deliver the contact again."),
            ),
        ] {
            let told = explain(state, &reason);
            assert!(told.what.contains(what), "{reason}: {}", told.what);
            match (fix, &told.fix) {
                (None, None) => {}
                (Some(expected), Some(fix)) => {
                    assert!(fix.contains(expected), "{reason}: {fix}");
                }
                (_, fix) => panic!("{reason}: {fix:?}"),
            }
        }
    }

    /// What is explained is what the library says: every message of the table is in its source or guide.
    #[test]
    fn every_message_that_is_known_is_one_of_the_librarys() {
        let sources = [
            include_str!("../../../shared/src/dataverse/error.rs"),
            include_str!("../../../shared/src/dataverse/http.rs"),
            include_str!("../../../shared/src/history.rs"),
            include_str!("../../../docs/troubleshooting.md"),
            include_str!("../../../shared/src/integration/mod.rs"),
            include_str!("../../../shared/src/integrations.rs"),
            include_str!("../../../shared/src/delivery/attempt.rs"),
            include_str!("../../../shared/src/delivery/task.rs"),
            include_str!("../../../shared/src/objects.rs"),
            include_str!("../../../shared/src/dataverse/token.rs"),
        ];
        // Written with what they name.
        let assembled = ["which is failed", "which is skipped", "it waits for "];
        for words in KNOWN.iter().flat_map(|(words, ..)| *words) {
            let is_there = sources.iter().any(|source| source.contains(words));
            assert!(is_there || assembled.contains(words), "{words}");
        }
    }
}
