//! The steps with their requests: the form, and beside it what it would send.

use axum::{
    Form,
    extract::{Path, RawQuery, State},
    response::Response,
};
use connect_dynamics::step::Step;
use maud::{Markup, html};

use super::{
    App, Editing, PageError, Shared, Stage,
    fields::{Field, Says, tick},
    preview,
};
use crate::{
    form::{
        BodyForm, CustomerForm, OBJECT_KINDS, OPENINGS, Pairs, PopForm, RequestForm, Row, StepForm,
        in_order_of,
    },
    web::Shown,
};

pub(super) async fn show(
    State(app): State<Shared>,
    Path((name, step)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Shown {
    let step = parse(&step)?;
    let editing = Editing::load(&app, &name).await?;
    let form = form_of(&editing, step);
    let is_saved = query.as_deref() == Some("saved");
    let recent = preview::recent(&app, &name).await;
    let around = Around {
        is_saved,
        recent,
        ..Around::default()
    };
    Ok(render(&app, &editing, step, &form, &around))
}

pub(super) fn parse(step: &str) -> Result<Step, PageError> {
    step.parse()
        .map_err(|_| PageError::NotFound(format!("There is no step `{step}`.")))
}

pub(super) fn form_of(editing: &Editing, step: Step) -> StepForm {
    let edited = &editing.edited;
    StepForm::of(
        edited.step(step),
        edited.is_on(step),
        &edited.blocks_off(step),
    )
}

/// The draft with what is filled in of a step, as if the step were done. Nothing is saved.
pub(super) async fn filled_in(
    app: &App,
    name: &str,
    step: Step,
    pairs: &Pairs,
) -> Result<(Editing, StepForm), PageError> {
    let mut editing = Editing::load(app, name).await?;
    let form = StepForm::read(pairs, &form_of(&editing, step));
    editing.edited.set_step(step, form.json(step), true);
    Ok((editing, form))
}

pub(super) async fn save(
    State(app): State<Shared>,
    Path((name, step)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let step = parse(&step)?;
    let mut editing = Editing::load(&app, &name).await?;
    let form = StepForm::read(&pairs, &form_of(&editing, step));
    editing.edited.set_step(step, form.json(step), form.is_on);
    editing.edited.set_blocks_off(step, form.off());
    if !form.problems().is_empty() {
        // It could not be kept as it was typed.
        let around = Around {
            told: super::not_saved(),
            is_dirty: true,
            ..Around::default()
        };
        let page = render(&app, &editing, step, &form, &around);
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(axum::response::IntoResponse::into_response((status, page)));
    }
    editing
        .save_and_go(&app, &pairs, Stage::Step(step), |editing, told| {
            let around = Around {
                told: told.clone(),
                is_dirty: true,
                ..Around::default()
            };
            render(&app, editing, step, &form, &around)
        })
        .await
}

/// What the step is, for somebody who has not read anything.
fn lead(step: Step) -> &'static str {
    match step {
        Step::ContactStart => {
            "Done when a flow starts the contact. Creates the contact's record, or finds one."
        }
        Step::ContactAnswered => {
            "Done when an agent answers, or makes the call. Opens the record for the agent, and can write to it."
        }
        Step::ContactEnd => "Done when the contact ends. Updates the record.",
        Step::RecordingAvailable => {
            "Done when a recording, a transcript or an analysis is there. Updates the record."
        }
        Step::ContactCompleted => {
            "Done when the contact record comes, some minutes after the contact and its after-contact work. Completes the record, and updates it again when something changes later."
        }
    }
}

/// What a page shows besides the form.
#[derive(Default)]
struct Around {
    is_saved: bool,
    /// Whether what is filled in is not saved.
    is_dirty: bool,
    told: Markup,
    /// Contacts that can be the sample: their ids, and what they are.
    recent: Vec<(uuid::Uuid, String)>,
}

fn render(app: &App, editing: &Editing, step: Step, form: &StepForm, around: &Around) -> Markup {
    let stage = Stage::Step(step);
    let shown = preview::look(app, editing, step, form);
    let says = &shown.says;
    let body = html! {
        (around.told)
        p.small.to-preview { a href="#preview-title" { "What would be sent" } }
        div.heading {
            div {
                h1 { (stage.title()) }
                p.lead { (lead(step)) }
            }
        }
        form #wizard method="post" action=(editing.address(stage)) novalidate data-dirty=(if around.is_dirty { "now" } else { "" })
            data-preview={ (editing.address(stage)) "/preview" } {
            (editing.hidden())
            div.card.switch {
                (tick("on", "Do this step", form.is_on, "Without it, nothing is sent when this happens. What is filled in below is kept."))
            }
            (says.summary())
            (customer(step, form, says))
            @if step == Step::ContactAnswered {
                (pop(form, says))
            }
            @if step == Step::RecordingAvailable {
                (kinds(form, says))
            }
            section aria-labelledby="requests" {
                h2 #requests { "Requests to Dynamics" }
                p.muted.small { @if step == Step::ContactStart { "The record of the main request is the contact's record." } @else { "In their order. STEP2-Response is what Dynamics has answered to the main request of step 2." } }
                div data-requests {
                    @for (index, request) in form.requests.iter().enumerate() {
                        (request_card(&index.to_string(), request, form.requests.len(), says))
                    }
                }
                @if form.requests.len() > 1 {
                    div.choice {
                        input type="radio" id="f-main-none" name="main" value="" checked[form.requests.iter().all(|request| !request.is_main)];
                        label for="f-main-none" { "Choose the main request by itself" br; span.muted.small { "The first that creates a record, or else the first." } }
                    }
                }
                template data-new-request { (request_card("NEW", &RequestForm::new(step), 2, &Says::default())) }
                p { button type="button" data-add-request { "Add a request" } }
            }
            @if step != Step::RecordingAvailable {
                details.card open[!form.reply.is_empty() || says.errors.contains_key("reply")] {
                    summary { "What the flow is told" }
                    (Field::new(says, "reply", "Fields of the response", &form.reply)
                        .hint("Names divided by commas. The flow gets them beside status, recordId and recordUrl.").text())
                }
            }
            (editing.buttons())
        }
        (suggestions())
    };
    let aside = preview::aside(app, editing, step, &shown, &around.recent);
    editing.page(app, stage, around.is_saved, &body, Some(&aside))
}

/// Entity sets and columns that Dynamics has of its own.
fn suggestions() -> Markup {
    html! {
        datalist #entity-sets {
            @for table in &connect_dynamics::dataverse::columns::TABLES { option value=(table.entity_set) {} }
        }
        div data-columns {}
    }
}

fn customer(step: Step, form: &StepForm, says: &Says) -> Markup {
    let suggested = CustomerForm::suggested();
    let customer = form.customer.as_ref().or(form.customer_off.as_ref());
    let customer = customer.unwrap_or(&suggested);
    let field = |name, label, value| Field::new(says, name, label, value);
    let is_on = form.customer.is_some();
    let has_errors = says.errors.keys().any(|slot| slot.starts_with("customer."));
    html! {
        details.card open[is_on && (step == Step::ContactStart || has_errors)] {
            summary { h2 { "Customer" } span.muted.small { @if is_on { "looked for before the requests" } @else { "not looked for in this step" } } }
            (tick("customer.on", "Look for the customer", is_on, "Found by phone number or e-mail address, in whatever notation. Templates name who was found as Customer."))
            div.row {
                (field("customer.tables", "Tables", &customer.tables).hint("Entity sets divided by commas. The first that holds a match decides.").text())
                (field("customer.value", "What is looked for", &customer.value).hint("The customer's number or address unless given.").completes("template").area(1))
            }
            div.row {
                (field("customer.many", "When several are found", &customer.many).select(&[("none", "take nobody"), ("newest", "take the newest"), ("orderby", "take the first by an order")]))
                (field("customer.none", "When nobody is found", &customer.none).select(&[("skip", "go on without a customer"), ("create", "create one")]))
            }
            div data-when="customer.many" data-is="orderby" hidden[customer.many != "orderby"] {
                (field("customer.order", "Order", &customer.order).at("customer.many").hint("As in $orderby: modifiedon desc").text())
            }
            div data-when="customer.none" data-is="create" hidden[customer.none != "create"] {
                (field("customer.newEntitySet", "Table of the new customer", &customer.new_entity_set).suggested("entity-sets").text())
                (body_editor("customer.new", &customer.new_body, says))
            }
            details {
                summary { "More" }
                div.row {
                    (field("customer.kind", "Kind", &customer.kind).select(&[("", "by its form"), ("phone", "phone number"), ("email", "e-mail address"), ("text", "another text")]))
                    (field("customer.country", "Country", &customer.country).hint("Two letters, like US, for numbers without a country code. That of the instance's number unless given.").text())
                }
                (field("customer.when", "Only when", &customer.when).hint("An expression, like Channel == 'VOICE'.").completes("expression").area(1))
                (tick("customer.linkLater", "Do not wait for the customer", customer.is_linked_later, "The record is made at once, and linked to the customer later."))
            }
        }
    }
}

fn pop(form: &StepForm, says: &Says) -> Markup {
    let is_on = form.pop.is_some();
    let suggested = PopForm {
        open: vec!["record".into()],
        target: "embedded".into(),
        ..PopForm::default()
    };
    let pop = form.pop.as_ref().or(form.pop_off.as_ref());
    let pop = pop.unwrap_or(&suggested);
    let target = if pop.target.is_empty() {
        "embedded"
    } else {
        &pop.target
    };
    let usual = OPENINGS.map(|(value, _)| value.to_owned());
    let title = |value: &String| OPENINGS.iter().find(|(each, _)| each == value);
    let openings: Vec<(String, &str)> = in_order_of(&pop.open, usual.to_vec())
        .into_iter()
        .filter_map(|value| title(&value).map(|(_, title)| (value, *title)))
        .collect();
    html! {
        section.card aria-labelledby="page" {
            h2 #page { "The agent's page" }
            (tick("pop.on", "Open a page for the agent", is_on, ""))
            fieldset {
                legend { "Where" }
                @for (value, title, what) in [
                    ("embedded", "Embedded", "Inside the page that the agent takes contacts in."),
                    ("tab", "In a new tab", "In a browser tab of its own."),
                ] {
                    div.choice {
                        input type="radio" name="pop.target" id={ "pop-" (value) } value=(value) checked[value == target];
                        label for={ "pop-" (value) } { strong { (title) } br; span.muted.small { (what) } }
                    }
                }
                div.says data-says="pop.target" { (says.messages("pop.target")) }
            }
            fieldset {
                legend { "What" }
                p.muted.small { "The first of these that there is." }
                @for (value, title) in &openings {
                    (tick(&format!("pop.open.{value}"), title, pop.open.contains(value), ""))
                }
                div.says data-says="pop.open" { (says.messages("pop.open")) }
            }
            (Field::new(says, "pop.query", "Otherwise, the page with this query string", &pop.query)
                .hint("A JSON object, as in the reference: {\"pagetype\": \"entityrecord\", \"etn\": \"phonecall\", \"id\": \"{{STEP2-Response.activityid}}\"}")
                .completes("template").area(5))
        }
    }
}

fn kinds(form: &StepForm, says: &Says) -> Markup {
    html! {
        fieldset.card {
            legend { "Which objects" }
            @for (kind, title) in OBJECT_KINDS {
                (tick(&format!("kind.{kind}"), title, form.object_kinds.iter().any(|each| each == kind), ""))
            }
            div.says data-says="kinds" { (says.messages("kinds")) }
        }
    }
}

fn request_card(index: &str, request: &RequestForm, of: usize, says: &Says) -> Markup {
    let prefix = format!("r{index}");
    let name = |part: &str| format!("{prefix}.{part}");
    let names = [
        name("requestName"),
        name("method"),
        name("entitySet"),
        name("query"),
        name("when"),
    ];
    let [request_name, method, entity_set, query, when] = &names;
    let field = |name, label, value| Field::new(says, name, label, value);
    let title = if request.name.is_empty() {
        "Request".to_owned()
    } else {
        format!("Request {}", request.name)
    };
    let is_more_open = !request.name.is_empty() || !request.when.is_empty() || of > 1;
    html! {
        fieldset.card.request data-request=(index) {
            legend { (title) }
            input type="hidden" name="request" value=(index);
            input type="hidden" name=(name("rest")) value=(serde_json::Value::from(request.rest.clone()).to_string());
            div.says data-says={ (prefix) ".request" } data-part="request" { (says.messages(&format!("{prefix}.request"))) }
            div.row.address {
                (field(method, "Method", &request.method).select(&[("POST", "POST: create"), ("PATCH", "PATCH: update"), ("GET", "GET: read")]))
                (field(entity_set, "Table", &request.entity_set).hint("Its entity set name.").suggested("entity-sets").text())
                (field(query, "Query string", &request.query).hint("The record's key in parentheses, query options, or both.").completes("template").area(1))
            }
            (body_editor(&name("body"), &request.body, says))
            details open[is_more_open] {
                summary { "Condition and name" }
                div.row {
                    (field(when, "Only when", &request.when).hint("An expression, like Outcome == 'missed'.").completes("expression").area(1))
                    (field(request_name, "Name", &request.name).hint("Later templates name its response as Responses.<name>.").text())
                }
                div.choice {
                    input type="radio" id={ "f-main-" (index) } name="main" value=(index) checked[request.is_main];
                    label for={ "f-main-" (index) } { "This is the step's main request" br; span.muted.small { "Its record is the contact's. Unless one is chosen, it is the first that creates a record, or else the first." } }
                }
            }
            div.actions.small-actions {
                button.plain type="button" data-move="up" { "Move up" }
                button.plain type="button" data-move="down" { "Move down" }
                button.plain.danger type="button" data-remove-request { "Remove this request" }
            }
        }
    }
}

/// A body: lines of columns and values, or one text.
fn body_editor(prefix: &str, body: &BodyForm, says: &Says) -> Markup {
    let slot = prefix.strip_suffix(".body").unwrap_or(prefix);
    let empty = Vec::new();
    let (rows, text) = match body {
        BodyForm::Rows(rows) => (rows, None),
        BodyForm::Text(text) => (&empty, Some(text)),
    };
    let body_slot = format!("{slot}.body");
    let text_slot = format!("{slot}.text");
    let text_name = format!("{prefix}.text");
    html! {
        div.body-editor data-body=(prefix) {
            p.body-title { "Fields that are written" }
            div.says data-says=(body_slot) { (says.messages(&body_slot)) }
            div data-mode="rows" hidden[text.is_some()] {
                div.rows data-rows {
                    @for (index, row) in rows.iter().enumerate() {
                        (body_row(prefix, &format!("{slot}.row{index}"), row, says))
                    }
                }
                template data-new-row { (body_row(prefix, "", &Row::default(), &Says::default())) }
                div.actions.small-actions {
                    button type="button" data-add-row { "Add a field" }
                    button.plain type="button" data-as-text { "Edit as text" }
                }
            }
            div data-mode="text" hidden[text.is_none()] {
                input type="hidden" name={ (prefix) ".mode" } value="text" disabled[text.is_none()];
                (Field::new(says, &text_name, "Body", text.map_or("", String::as_str)).at(&text_slot)
                    .hint("A JSON object, as in the reference. Values in double curly braces are templates.").completes("template").area(8))
                div.actions.small-actions { button.plain type="button" data-as-rows { "Edit as fields" } }
            }
        }
    }
}

fn body_row(prefix: &str, slot: &str, row: &Row, says: &Says) -> Markup {
    let is_wrong = says.errors.contains_key(slot).then_some("true");
    let label = |what: &str| {
        if row.name.is_empty() {
            what.to_owned()
        } else {
            format!("{what} of {}", row.name)
        }
    };
    html! {
        div.body-row data-slot=(slot) data-row {
            input.code type="text" name={ (prefix) ".name" } value=(row.name) aria-label="Column" placeholder="column" data-column autocomplete="off" spellcheck="false" aria-invalid=[is_wrong];
            textarea.code rows="1" name={ (prefix) ".value" } aria-label=(label("Value")) placeholder="value, or {{ attribute }}" data-completes="template" autocomplete="off" spellcheck="false" aria-invalid=[is_wrong] { "\n" (row.value) }
            select name={ (prefix) ".kind" } aria-label=(label("Form")) {
                option value="text" selected[!row.is_json] { "Text" }
                option value="json" selected[row.is_json] { "JSON" }
            }
            button.plain type="button" data-remove-row aria-label=(if row.name.is_empty() { "Remove this field".to_owned() } else { format!("Remove {}", row.name) }) { "✕" }
            p.comes data-comes { @if let Some(value) = says.values.get(slot) { (value) } }
            div.says data-says=(slot) { (says.messages(slot)) }
        }
    }
}
