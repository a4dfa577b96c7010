//! Contacts that wait for longer than they should, and those that have failed.

use std::sync::Arc;

use connect_dynamics::{
    history::{History, State},
    integration::Integration,
    store::{Entry, Line, List},
};
use jiff::{SignedDuration, Timestamp};

use super::{Check, Failure, Ground, Verdict};

/// How long a contact may wait. The alarm OldestPending goes off then, too: one that no flow has started waits
/// for a quarter of an hour on purpose.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_mins(20);
/// What redelivery has beyond the time that a configuration lets contacts wait on purpose.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let overdue = {
        let ground = ground.clone();
        async move { overdue(&ground).await.unwrap_or_else(Verdict::from) }
    };
    let failed = {
        let ground = ground.clone();
        async move { failed(&ground).await.unwrap_or_else(Verdict::from) }
    };
    vec![
        Check::new("contacts-overdue", "No contact waits for too long", overdue),
        Check::new("contacts-failed", "No contact has failed", failed),
    ]
}

/// A line's contacts, and how long they may wait.
struct Waiting {
    entries: Vec<Entry>,
    at_most: SignedDuration,
}

async fn overdue(ground: &Ground<'_>) -> Result<Verdict, Failure> {
    let store = &ground.deployment.store;
    let mut all = Vec::new();
    for line in store.lines().await? {
        let at_most = at_most(ground, &line).await;
        let entries = store.list(&List::Line(line)).await?;
        all.push(Waiting { entries, at_most });
    }
    all.push(Waiting {
        entries: store.list(&List::Former).await?,
        at_most: OVERDUE_AFTER,
    });
    let (verdict, oldest) = judge_overdue(&all, ground.now);
    Ok(match oldest {
        Some(entry) => with_reason(ground, verdict, &entry, State::Pending).await,
        None => verdict,
    })
}

/// How long a contact of a line may wait: longer where the configuration wants it.
async fn at_most(ground: &Ground<'_>, line: &Line) -> SignedDuration {
    let document = ground.deployment.store.integration(line.name()).await;
    let integration = document
        .ok()
        .flatten()
        .map(|document| Integration::load(&document));
    let Some(Ok(integration)) = integration else {
        return OVERDUE_AFTER;
    };
    let minutes = integration.configuration().without_start.after_minutes;
    OVERDUE_AFTER.max(SignedDuration::from_mins(i64::from(minutes)) + MARGIN)
}

fn judge_overdue(lines: &[Waiting], now: Timestamp) -> (Verdict, Option<Entry>) {
    let (mut waiting, mut late) = (0, Vec::new());
    for line in lines {
        waiting += line.entries.len();
        late.extend(line.entries.iter().filter(|entry| {
            let since = entry.also.unwrap_or(entry.at);
            now.duration_since(since) > line.at_most
        }));
    }
    late.sort_by_key(|entry| entry.also.unwrap_or(entry.at));
    let Some(oldest) = late.first() else {
        let finding = match waiting {
            0 => "No contact waits.".to_owned(),
            _ => format!("{}, and none for too long.", contacts(waiting, "wait")),
        };
        return (Verdict::ok(finding), None);
    };
    let since = oldest.also.unwrap_or(oldest.at);
    let finding = format!(
        "{} for longer than they should, the first since {}.",
        contacts(late.len(), "wait"),
        since.strftime("%Y-%m-%d %H:%M UTC")
    );
    let verdict = Verdict::broken(finding)
        .mend("Mend what is said of the connection, the schedule and the function Redelivery, if anything is. What waits is delivered by itself then, for `giveUpAfterHours`.")
        .open("The contacts that wait, each with its reason.", "/contacts?state=pending");
    (verdict, Some((*oldest).clone()))
}

/// `1 contact waits`, `3 contacts wait`.
fn contacts(number: usize, verb: &str) -> String {
    match number {
        1 => format!("1 contact {verb}s"),
        _ => format!("{number} contacts {verb}"),
    }
}

async fn failed(ground: &Ground<'_>) -> Result<Verdict, Failure> {
    let entries = ground.deployment.store.list(&List::Failed).await?;
    let verdict = judge_failed(&entries, ground.now);
    Ok(match entries.last() {
        Some(newest) => with_reason(ground, verdict, newest, State::Failed).await,
        None => verdict,
    })
}

fn judge_failed(entries: &[Entry], now: Timestamp) -> Verdict {
    let Some(first) = entries.iter().filter_map(|entry| entry.also).min() else {
        return Verdict::ok("No contact has a request that failed.");
    };
    let days = first.duration_since(now).as_hours() / 24;
    let contacts = match entries.len() {
        1 => "1 contact has".to_owned(),
        number => format!("{number} contacts have"),
    };
    Verdict::broken(format!(
        "{contacts} a request that Dynamics will not take without somebody's help. The first is deleted in {days} days."
    ))
    .open("The failed contacts, each with its reason. Mend the cause, and deliver them again there.", "/contacts?state=failed")
}

/// With the reason of one of the contacts: the others mostly have the same.
async fn with_reason(
    ground: &Ground<'_>,
    verdict: Verdict,
    entry: &Entry,
    state: State,
) -> Verdict {
    let stored = ground.deployment.store.load(entry.contact_id).await;
    let reason = stored
        .ok()
        .flatten()
        .and_then(|stored| reason(&stored.history, state));
    match reason {
        Some(reason) => verdict.noting(format!("One of them, {}: {reason}.", entry.contact_id)),
        None => verdict,
    }
}

fn reason(history: &History, state: State) -> Option<String> {
    let requests = history.in_order().into_iter();
    let mut reasons = requests
        .filter(|(_, request)| request.state == state)
        .filter_map(|(_, request)| request.reason.clone());
    reasons.next()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::doctor::Outcome;

    fn entry(contact: u128, at: i64, also: Option<i64>) -> Entry {
        let time = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        Entry {
            contact_id: Uuid::from_u128(contact),
            at: time(at),
            also: also.map(time),
        }
    }

    #[test]
    fn a_contact_that_waits_for_long_is_overdue_whenever_it_is_looked_at_next() {
        let now = Timestamp::from_second(100 * 60).unwrap();
        let line = |entries, minutes| Waiting {
            entries,
            at_most: SignedDuration::from_mins(minutes),
        };
        let judged = |lines: &[Waiting]| judge_overdue(lines, now);
        assert_eq!(judged(&[]).0.findings, ["No contact waits."]);
        let (verdict, oldest) = judged(&[line(vec![entry(1, 99, Some(95))], 20)]);
        assert_eq!((verdict.outcome, oldest), (Outcome::Ok, None));
        let late = vec![
            entry(1, 105, Some(70)),
            entry(2, 99, Some(10)),
            entry(3, 99, Some(95)),
        ];
        let (verdict, oldest) = judged(&[line(late.clone(), 20)]);
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(
            verdict.findings[0].starts_with("2 contacts wait for longer"),
            "{verdict:?}"
        );
        assert_eq!(oldest.unwrap().contact_id, Uuid::from_u128(2));
        // The configuration lets them wait for so long.
        assert_eq!(judged(&[line(late, 95)]).0.outcome, Outcome::Ok);
    }

    #[test]
    fn failed_contacts_are_counted() {
        let now = Timestamp::from_second(0).unwrap();
        assert_eq!(judge_failed(&[], now).outcome, Outcome::Ok);
        let verdict = judge_failed(
            &[
                entry(1, 0, Some(3 * 24 * 60)),
                entry(2, 0, Some(9 * 24 * 60)),
            ],
            now,
        );
        assert_eq!(verdict.outcome, Outcome::Broken);
        assert!(
            verdict.findings[0].starts_with("2 contacts have"),
            "{verdict:?}"
        );
        assert!(
            verdict.findings[0].ends_with("deleted in 3 days."),
            "{verdict:?}"
        );
        assert_eq!(
            verdict.what_to_do[0].page.as_deref(),
            Some("/contacts?state=failed")
        );
    }
}
