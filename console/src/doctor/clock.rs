//! This machine's clock: AWS takes no request that is signed minutes early or late.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Check, Ground, Verdict};

/// From here on it is worth a word, and from there on AWS refuses requests.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>
const WORTH_A_WORD: SignedDuration = SignedDuration::from_secs(60);
const REFUSED: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let ground = ground.clone();
    let clock = {
        let ground = ground.clone();
        async move {
            Ok(match ground.deployment.aws.date().await {
                Ok(theirs) => judge(Timestamp::now(), theirs),
                Err(error) => {
                    Verdict::cannot_be_checked(format!("AWS does not tell the time: {error}."))
                }
            })
        }
    };
    vec![Check::of_stack(
        &ground,
        "clock",
        "This machine's clock",
        clock,
    )]
}

fn judge(ours: Timestamp, theirs: Timestamp) -> Verdict {
    let difference = ours.duration_since(theirs);
    let seconds = difference.as_secs().abs();
    let how = if difference.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let set = "Let the machine set its clock by the network: `timedatectl set-ntp true`, or the system's settings, Date and time.";
    let finding = format!("This machine's clock is {seconds} seconds {how} AWS's.");
    match difference.abs() {
        difference if difference >= REFUSED => {
            Verdict::broken(format!("{finding} AWS refuses what is signed by it.")).mend(set)
        }
        difference if difference >= WORTH_A_WORD => Verdict::warning(finding).mend(set),
        _ => Verdict::ok("This machine's clock is right."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off_either_way() {
        let theirs = Timestamp::from_second(10_000).unwrap();
        for (seconds, expected) in [
            (0, Outcome::Ok),
            (-30, Outcome::Ok),
            (90, Outcome::Warning),
            (-90, Outcome::Warning),
            (400, Outcome::Broken),
            (-400, Outcome::Broken),
        ] {
            let ours = Timestamp::from_second(10_000 + seconds).unwrap();
            assert_eq!(judge(ours, theirs).outcome, expected, "{seconds}");
        }
    }
}
