//! The wizard: an integration's configuration, page by page.
//!
//! Owns the draft that its pages work on, and the frame around them. What is filled in is saved in the draft with
//! every step through the pages; nothing is in force before it is published ([`publish`]).
//!
//! | module | pages |
//! |---|---|
//! | [`begin`] | how a new integration begins |
//! | [`connection`] | step 1: the environment |
//! | [`environment`] | what the environment says of it, and the client secret |
//! | [`step`] | the steps with their requests |
//! | [`preview`] | what a step would send, beside its form |
//! | [`send`] | one request of a step, sent |
//! | [`trial`] | a test contact |
//! | [`settings`] | the other settings, and the whole document as JSON |
//! | [`publish`] | the difference, publishing, earlier versions |
//! | [`fields`] | the parts that forms are made of |

mod begin;
mod connection;
mod environment;
mod fields;
mod preview;
mod publish;
mod send;
mod settings;
mod step;
mod trial;

use axum::{
    Router,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use connect_dynamics::{
    step::Step,
    store::{
        StoreError,
        versions::{Draft, Version},
    },
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value as Json;

use super::{App, PageError, Section, Shared, Tone, notice, page};
use crate::{
    draft::{Edited, Remark, step_of},
    form::Pairs,
    sample::Sample,
};

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/integrations/new", get(begin::new).post(begin::create))
        .route("/integrations/{name}", get(begin::open))
        .route(
            "/integrations/{name}/connection",
            get(connection::show).post(connection::save),
        )
        .route(
            "/integrations/{name}/connection/test",
            post(environment::test),
        )
        .route(
            "/integrations/{name}/secret",
            post(environment::save_secret),
        )
        .route(
            "/integrations/{name}/steps/{step}/marks",
            post(environment::marks),
        )
        .route("/integrations/{name}/steps/{step}/send", post(send::send))
        .route(
            "/integrations/{name}/try",
            get(trial::show).post(trial::place),
        )
        .route("/integrations/{name}/try/{run}", get(trial::run))
        .route("/integrations/{name}/try/{run}/clean", post(trial::clean))
        .route(
            "/integrations/{name}/steps/{step}",
            get(step::show).post(step::save),
        )
        .route(
            "/integrations/{name}/steps/{step}/preview",
            post(preview::preview),
        )
        .route("/integrations/{name}/sample", post(preview::choose))
        .route(
            "/integrations/{name}/settings",
            get(settings::show).post(settings::save),
        )
        .route(
            "/integrations/{name}/json",
            get(settings::show_json).post(settings::save_json),
        )
        .route(
            "/integrations/{name}/publish",
            get(publish::show).post(publish::publish),
        )
        .route("/integrations/{name}/discard", post(publish::discard))
        .route("/integrations/{name}/versions", get(publish::versions))
        .route(
            "/integrations/{name}/versions/{at}",
            get(publish::version).post(publish::go_back),
        )
}

/// A page of the wizard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connection,
    Step(Step),
    Settings,
    Publish,
}

const STAGES: [Stage; 8] = [
    Stage::Connection,
    Stage::Step(Step::ContactStart),
    Stage::Step(Step::ContactAnswered),
    Stage::Step(Step::ContactEnd),
    Stage::Step(Step::RecordingAvailable),
    Stage::Step(Step::ContactCompleted),
    Stage::Settings,
    Stage::Publish,
];

impl Stage {
    /// What stands behind the integration's address.
    fn path(self) -> String {
        match self {
            Stage::Connection => "connection".into(),
            Stage::Step(step) => format!("steps/{step}"),
            Stage::Settings => "settings".into(),
            Stage::Publish => "publish".into(),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Stage::Connection => "Connection",
            Stage::Step(Step::ContactStart) => "A contact starts",
            Stage::Step(Step::ContactAnswered) => "An agent answers",
            Stage::Step(Step::ContactEnd) => "A contact ends",
            Stage::Step(Step::RecordingAvailable) => "A recording is there",
            Stage::Step(Step::ContactCompleted) => "A contact is complete",
            Stage::Settings => "More settings",
            Stage::Publish => "Review and publish",
        }
    }

    fn next(self) -> Stage {
        let place = STAGES.iter().position(|stage| *stage == self);
        let next = place.and_then(|place| STAGES.get(place + 1));
        next.copied().unwrap_or(Stage::Publish)
    }

    /// Whether a remark is shown on this page.
    fn has(self, remark: &Remark) -> bool {
        match self {
            Stage::Connection => remark.place.starts_with("connection") || remark.place == "name",
            Stage::Step(step) => step_of(&remark.place) == Some(step.as_str()),
            Stage::Publish => false,
            Stage::Settings => {
                !Stage::Connection.has(remark)
                    && step_of(&remark.place).is_none_or(|step| step.parse::<Step>().is_err())
            }
        }
    }
}

/// An integration that is being edited.
#[derive(Debug)]
struct Editing {
    name: String,
    edited: Edited,
    /// The draft as the table holds it; none when what is in force has not been changed.
    draft: Option<Draft>,
    in_force: Option<Version>,
}

impl Editing {
    /// The draft of an integration or, without one, what is in force.
    async fn load(app: &App, name: &str) -> Result<Editing, PageError> {
        let store = &app.deployment.store;
        let draft = store.draft(name).await?;
        let in_force = store.version_in_force(name).await?;
        let edited = match (&draft, &in_force) {
            (Some(draft), _) => Edited::read(&draft.document).map_err(PageError::BadRequest)?,
            (None, Some(version)) => {
                let configuration: Json =
                    serde_json::from_str(&version.document).map_err(|error| {
                        PageError::BadRequest(format!(
                            "The configuration in force is no JSON: {error}"
                        ))
                    })?;
                Edited::new(configuration)
            }
            (None, None) => {
                return Err(PageError::NotFound(format!(
                    "There is no integration `{name}`."
                )));
            }
        };
        Ok(Editing {
            name: name.to_owned(),
            edited,
            draft,
            in_force,
        })
    }

    /// The number of the draft's writes, which a form sends back.
    fn version(&self) -> u64 {
        self.draft.as_ref().map_or(0, |draft| draft.version)
    }

    /// Saves the draft, unless it has been saved since the page with this version was shown.
    async fn save(&mut self, app: &App, version: u64) -> Result<(), StoreError> {
        let mut draft = Draft {
            document: self.edited.write(),
            saved_at: Timestamp::now(),
            version,
        };
        let is_same = |known: &Draft| known.version == version && known.document == draft.document;
        if self.draft.as_ref().is_some_and(is_same) || self.is_what_is_in_force() {
            return Ok(());
        }
        app.deployment
            .store
            .save_draft(&self.name, &mut draft)
            .await?;
        self.draft = Some(draft);
        Ok(())
    }

    /// Whether there is nothing to keep: no draft, and nothing that differs from what is in force.
    fn is_what_is_in_force(&self) -> bool {
        let in_force = self.in_force.as_ref().filter(|_| self.draft.is_none());
        let in_force = in_force.and_then(|it| serde_json::from_str::<Json>(&it.document).ok());
        self.edited.off.is_empty()
            && in_force.is_some_and(|in_force| in_force == self.edited.configuration)
    }

    /// The address of one of its pages.
    fn address(&self, stage: Stage) -> String {
        format!("/integrations/{}/{}", self.name, stage.path())
    }

    /// Saves what was filled in, and goes where the form says. When somebody else has saved the draft meanwhile,
    /// `again` shows the form once more, with what was filled in.
    async fn save_and_go(
        mut self,
        app: &App,
        pairs: &Pairs,
        stage: Stage,
        again: impl FnOnce(&Editing, &Markup) -> Markup,
    ) -> Result<Response, PageError> {
        let version = pairs.iter().find(|(name, _)| name == "version");
        let version = version.and_then(|(_, version)| version.parse().ok());
        match self.save(app, version.unwrap_or_default()).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => {
                self.draft = app.deployment.store.draft(&self.name).await?;
                let told = match &self.draft {
                    Some(_) => {
                        "Somebody else has saved this draft meanwhile. This page shows what you have filled in. Save it once more to put it over what they have saved here; the other pages are theirs."
                    }
                    None => {
                        "The draft was published or discarded meanwhile. This page shows what you have filled in. Save it once more to begin a new draft with it; the other pages are as they are in force."
                    }
                };
                let told = notice(
                    Tone::Warn,
                    &html! { p tabindex="-1" data-focus { strong { "Not saved. " } (told) } },
                );
                let page = again(&self, &told);
                return Ok((StatusCode::CONFLICT, page).into_response());
            }
            Err(error) => return Err(error.into()),
        }
        let go = pairs.iter().rev().find(|(name, _)| name == "go");
        let go = go.map_or("", |(_, go)| go.as_str());
        let to = STAGES.into_iter().find(|stage| stage.path() == go);
        let to = match (to, go) {
            (Some(stage), _) => self.address(stage),
            (None, "next") => self.address(stage.next()),
            (None, "json" | "json?saved") => format!("/integrations/{}/{go}", self.name),
            (None, _) => format!("{}?saved", self.address(stage)),
        };
        Ok(see(&to))
    }

    /// A page of the wizard: its stages at the side, the form, and what stands beside it.
    fn page(
        &self,
        app: &App,
        stage: Stage,
        is_saved: bool,
        form: &Markup,
        aside: Option<&Markup>,
    ) -> Markup {
        let remarks = self.edited.remarks();
        let title = format!("{}: {}", self.name, stage.title());
        let main = html! {
            div.wizard.with-aside[aside.is_some()] {
                (self.stages(stage, &remarks))
                div.wizard-form {
                    @if is_saved {
                        (notice(Tone::Good, &html! { p role="status" { "Saved in the draft. It is in force once you publish it." } }))
                    }
                    (form)
                }
                @if let Some(aside) = aside {
                    (aside)
                }
            }
        };
        page(app, Section::Integrations, &title, &main)
    }

    fn stages(&self, current: Stage, remarks: &[Remark]) -> Markup {
        html! {
            nav.stages aria-label={ "Steps of " (self.name) } {
                p.stages-of { "Integration " strong { (self.name) } br; (self.state()) }
                ol {
                    @for (index, stage) in STAGES.into_iter().enumerate() {
                        @let errors = remarks.iter().filter(|it| it.is_error && stage.has(it)).count();
                        @let is_off = matches!(stage, Stage::Step(step) if !self.edited.is_on(step));
                        li {
                            a href=(self.address(stage)) data-go=(stage.path()) aria-current=[(stage == current).then_some("step")] {
                                span.number aria-hidden="true" { (index + 1) }
                                span { (stage.title()) }
                                @if errors > 0 {
                                    span.badge.bad { (super::count(errors, "error")) }
                                } @else if is_off {
                                    span.badge { "left out" }
                                }
                            }
                        }
                    }
                }
                p.small { a href={ "/integrations/" (self.name) "/versions" } { "Earlier versions" } }
                p.small { a href={ "/integrations/" (self.name) "/json" } data-go="json" { "The whole document as JSON" } }
            }
        }
    }

    fn state(&self) -> Markup {
        match (&self.draft, &self.in_force) {
            (Some(_), Some(_)) => super::badge(Tone::Warn, "changed, not published"),
            (Some(_), None) => super::badge(Tone::Warn, "draft, not published"),
            (None, _) => super::badge(Tone::Good, "in force"),
        }
    }

    /// What a form of the wizard holds besides its fields.
    fn hidden(&self) -> Markup {
        html! { input type="hidden" name="version" value=(self.version()); }
    }

    /// The buttons at the end of a form.
    fn buttons(&self) -> Markup {
        html! {
            div.actions {
                button.primary type="submit" name="go" value="next" { "Save and continue" }
                button type="submit" name="go" value="" { "Save" }
            }
        }
    }
}

/// Says that what was filled in could not be saved as it is.
fn not_saved() -> Markup {
    notice(
        Tone::Bad,
        &html! { p tabindex="-1" data-focus { strong { "Not saved. " } "Mend what is marked in red, and save it again." } },
    )
}

/// Sends the browser to another page.
fn see(address: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, address.to_owned())]).into_response()
}

/// The sample contact that an integration's previews are rendered for.
fn sample(app: &App, name: &str) -> Sample {
    let samples = app.samples.lock();
    let mut samples = samples.unwrap_or_else(std::sync::PoisonError::into_inner);
    samples.entry(name.to_owned()).or_default().clone()
}
