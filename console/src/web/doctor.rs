//! What the doctor finds, as a page: what needs mending first.
//!
//! To look at everything takes some seconds. So the page comes at once and its script fetches the findings into
//! it; without a script a link leads to the page that waits for them.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::{App, Section, Shared, Shown, Tone, badge, count, page, time};
use crate::doctor::{self, Finding, Outcome, Report};

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// Whether the page is to wait for the findings.
    wait: Option<String>,
}

pub(super) async fn doctor(State(app): State<Shared>, Query(asked): Query<Asked>) -> Shown {
    let findings = if asked.wait.is_some() {
        findings(&doctor::examine(&app.deployment).await)
    } else {
        html! {
            p.busy { "Looking at everything that contacts go through. This takes some seconds, and a minute where something does not answer." }
            noscript { p { a href="/doctor?wait=1" { "Look, and wait for the findings" } } }
        }
    };
    let is_empty = asked.wait.is_none();
    Ok(shell(&app, is_empty, &findings))
}

fn shell(app: &App, is_empty: bool, findings: &Markup) -> Markup {
    let main = html! {
        div.heading {
            div {
                h1 { "Doctor" }
                p.lead { "Looks at everything that contacts go through, from Amazon Connect to Dynamics, and says what to mend. It changes nothing." }
            }
            div.actions { a.button.primary href="/doctor" data-doctor-again { "Check again" } }
        }
        // What the script says to a screen reader: that it looks, and what it comes to.
        p.visually-hidden role="status" data-doctor-status {}
        div data-doctor=[is_empty.then_some("/doctor/checks")] { (findings) }
    };
    page(app, Section::Doctor, "Doctor", &main)
}

/// The findings alone, for the script.
pub(super) async fn checks(State(app): State<Shared>) -> Markup {
    findings(&doctor::examine(&app.deployment).await)
}

fn findings(report: &Report) -> Markup {
    let of = |outcome| report.of(outcome);
    let (broken, warnings) = (of(Outcome::Broken), of(Outcome::Warning));
    let unknown = of(Outcome::CannotBeChecked);
    html! {
        (summary(report))
        (group("Needs mending", "doctor-broken", Tone::Bad, &broken))
        (group("Warnings", "doctor-warnings", Tone::Warn, &warnings))
        (group("Could not be checked", "doctor-unknown", Tone::Plain, &unknown))
        (folded("Well", report, Outcome::Ok))
        (folded("Does not apply", report, Outcome::DoesNotApply))
    }
}

fn summary(report: &Report) -> Markup {
    let number = |outcome| report.of(outcome).len();
    let (broken, warnings) = (number(Outcome::Broken), number(Outcome::Warning));
    let unknown = number(Outcome::CannotBeChecked);
    let (tone, said) = match (broken, warnings, unknown) {
        (0, 0, 0) => (Tone::Good, "All is well.".to_owned()),
        (0, 0, unknown) => (
            Tone::Plain,
            format!(
                "Nothing is known to be wrong. {} could not be made.",
                count(unknown, "check")
            ),
        ),
        (0, warnings, _) => (
            Tone::Warn,
            format!(
                "All works. There {} {}.",
                be(warnings),
                count(warnings, "warning")
            ),
        ),
        (1, ..) => (Tone::Bad, "1 thing needs mending.".to_owned()),
        (broken, ..) => (Tone::Bad, format!("{broken} things need mending.")),
    };
    html! {
        div class={ "notice " (tone.class()) } {
            p { strong data-doctor-summary { (said) } " " (count(report.checks.len() - number(Outcome::DoesNotApply), "check")) ", " (time(report.checked_at)) "." }
        }
    }
}

fn be(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

fn group(heading: &str, id: &str, tone: Tone, findings: &[&Finding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            section aria-labelledby=(id) {
                h2 id=(id) { (heading) " " (badge(tone, &findings.len().to_string())) }
                @for finding in findings { (whole(finding, tone)) }
            }
        }
    }
}

fn whole(finding: &Finding, tone: Tone) -> Markup {
    let verdict = &finding.verdict;
    html! {
        article class={ "card finding " (tone.class()) } {
            h3 { (finding.title) }
            @if let [only] = verdict.findings.as_slice() {
                p { (marked(only)) }
            } @else {
                ul { @for line in &verdict.findings { li { (marked(line)) } } }
            }
            @if !verdict.what_to_do.is_empty() {
                h4 { "What to do" }
                ul.remedies {
                    @for remedy in &verdict.what_to_do {
                        li {
                            @if let Some(page) = &remedy.page {
                                a href=(page) { (marked(&remedy.text)) }
                            } @else {
                                (marked(&remedy.text))
                            }
                            @if let Some(command) = &remedy.command {
                                pre { code { (command) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn folded(heading: &str, report: &Report, outcome: Outcome) -> Markup {
    let number = report.of(outcome).len();
    html! {
        @if number > 0 {
            details.card.folded {
                summary { h2 { (heading) " " (badge(Tone::Plain, &number.to_string())) } }
                dl {
                    @for (titles, said) in report.alike(outcome) {
                        @for title in titles { dt { (title) } }
                        dd { @for line in said { p { (marked(line)) } } }
                    }
                }
            }
        }
    }
}

/// A text in which code stands between backquotes.
fn marked(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn what_needs_mending_comes_first_and_nothing_is_taken_for_markup() {
        let finding = |id: &str, verdict: Verdict| Finding {
            id: id.into(),
            title: format!("The {id}"),
            verdict,
        };
        let report = Report {
            deployment: "the local system".into(),
            checked_at: "2026-02-04T21:14:16Z".parse().unwrap(),
            checks: vec![
                finding("good", Verdict::ok("It is `well`.")),
                finding(
                    "odd",
                    Verdict::warning("<script>").open("Open it.", "/contacts"),
                ),
                finding(
                    "bad",
                    Verdict::broken("It is not.").run("Mend it.", "aws mend"),
                ),
                finding("other", Verdict::does_not_apply("There is none.")),
            ],
        };
        let page = findings(&report).into_string();
        let places = [
            "1 thing needs mending",
            "The bad",
            "aws mend",
            "The odd",
            "The good",
        ];
        let places = places.map(|text| page.find(text).unwrap_or_else(|| panic!("{text}: {page}")));
        assert!(places.is_sorted(), "{page}");
        assert!(page.contains("3 checks"), "{page}");
        assert!(
            page.contains("&lt;script&gt;") && !page.contains("<script>"),
            "{page}"
        );
        assert!(
            page.contains(r#"<a href="/contacts">Open it.</a>"#),
            "{page}"
        );
        assert!(page.contains("<code>well</code>"), "{page}");
        assert!(!page.contains("style="), "the policy forbids it");
    }
}
