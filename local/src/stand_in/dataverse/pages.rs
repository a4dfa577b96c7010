//! The pages for people: a record's form, the search, and a model-driven app with a side panel for the agent's page.
//!
//! Owns what they show and who may show them in a frame. They are plausible, not Dynamics': what counts is that a form
//! loses what is not saved, that a page can refuse to be framed, and that the side panel has the calls of the Channel
//! Integration Framework.
//! <https://learn.microsoft.com/power-apps/developer/model-driven-apps/open-forms-views-dialogs-reports-url>

use std::collections::BTreeMap;

use axum::{
    Form, Json as JsonBody, Router,
    extract::{Path, Query, RawQuery, State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, patch, put},
};
use maud::{DOCTYPE, Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    Dataverse, Inner, RecordKey,
    control::{Refused, unreadable},
    error::Refusal,
    query,
    records::Conditions,
    request::{self, Preferences},
    schema::{Access, KnownTable, Table},
};
use crate::stand_in::connect::pages::{STYLE, asset, sources};

/// Where the pages are that belong to an agent's desk.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    pub agent_page: String,
    pub connect: String,
}

/// What of the pages can be changed.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) desk: Option<Desk>,
    /// Who may show a page in a frame, besides this environment; the desk's pages unless it is set.
    frame_ancestors: Option<Vec<String>>,
    is_signed_in: bool,
}

impl Default for Pages {
    fn default() -> Pages {
        Pages {
            desk: None,
            frame_ancestors: None,
            is_signed_in: true,
        }
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The tables that a search looks in.
const SEARCHED: [&str; 6] = [
    "contacts",
    "accounts",
    "leads",
    "phonecalls",
    "tasks",
    "emails",
];
/// The library of the Channel Integration Framework: our own, for this app.
const LIBRARY: &str = "/webresources/Widget/msdyn_ciLibrary.js";

pub(super) fn router() -> Router<Dataverse> {
    Router::new()
        .route("/main.aspx", get(main_page))
        .route("/apps/example", get(app))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route(LIBRARY, get(library))
        .route(
            "/stand-in/assets/style.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/stand-in/assets/form.js",
            get(async || asset(SCRIPT, include_str!("pages/form.js"))),
        )
        .route(
            "/stand-in/assets/app.js",
            get(async || asset(SCRIPT, include_str!("pages/app.js"))),
        )
        .route("/stand-in/records/{entity_set}/{id}", patch(save))
        .route("/stand-in/query/{logical_name}", get(find))
        .route("/stand-in/frame-ancestors", put(set_frame_ancestors))
        .route("/stand-in/signed-in", put(set_signed_in))
}

impl Pages {
    /// The sources of `frame-ancestors`.
    fn ancestors(&self) -> String {
        let desk = self.desk.iter();
        let desk = || desk.clone().flat_map(|it| [&it.agent_page, &it.connect]);
        let named: Vec<&str> = match &self.frame_ancestors {
            Some(named) if named.is_empty() => return "'none'".into(),
            Some(named) => named.iter().map(String::as_str).collect(),
            None => desk().map(String::as_str).collect(),
        };
        let all = std::iter::once("'self'").chain(named);
        all.collect::<Vec<_>>().join(" ")
    }

    /// A page, with what it is served with.
    fn page(&self, title: &str, script: &str, frames: &str, body: &Markup) -> Response {
        let text = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · Dynamics 365 (stand-in)" }
                    link rel="icon" href="data:,";
                    link rel="stylesheet" href="/stand-in/assets/style.css";
                    @if !script.is_empty() {
                        script type="module" src={ "/stand-in/assets/" (script) } {}
                    }
                }
                (body)
            }
        };
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
             frame-src {frames}; form-action 'self'; base-uri 'none'; frame-ancestors {}",
            self.ancestors()
        );
        let policy = HeaderValue::try_from(policy).expect("origins are ASCII");
        (
            [
                (header::CONTENT_SECURITY_POLICY, policy),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ],
            text,
        )
            .into_response()
    }
}

/// The way to the sign-in page, for who is not signed in.
fn ask_to_sign_in(uri: &Uri) -> Response {
    let wanted = uri.path_and_query().map_or("/", |it| it.as_str());
    let wanted = utf8_percent_encode(wanted, NON_ALPHANUMERIC);
    Redirect::to(&format!("/sign-in?to={wanted}")).into_response()
}

async fn sign_in_page(
    State(dataverse): State<Dataverse>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let body = html! {
        body {
            main.alone {
                h1 { "Sign in to Dynamics 365" }
                p { "This is a stand-in. There is one user, and no password." }
                form method="post" action="/sign-in" {
                    input type="hidden" name="to" value=(asked.get("to").map_or("", String::as_str));
                    button.primary { "Sign in" }
                }
            }
        }
    };
    let mut response = dataverse.lock().pages.page("Sign in", "", "'none'", &body);
    // As Entra ID does: nobody signs in inside of another page.
    let deny = HeaderValue::from_static("DENY");
    let headers = response.headers_mut();
    headers.insert(header::X_FRAME_OPTIONS, deny);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    response
}

async fn sign_in(
    State(dataverse): State<Dataverse>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Redirect {
    dataverse.lock().pages.is_signed_in = true;
    let wanted = form.get("to").map_or("", String::as_str);
    let is_ours = (wanted.starts_with("/main.aspx") || wanted.starts_with("/apps/"))
        && wanted.parse::<Uri>().is_ok();
    Redirect::to(if is_ours { wanted } else { "/main.aspx" })
}

async fn main_page(
    State(dataverse): State<Dataverse>,
    uri: Uri,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let inner = dataverse.lock();
    if !inner.pages.is_signed_in {
        return ask_to_sign_in(&uri);
    }
    let asked = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    match asked("pagetype") {
        "entityrecord" => record(&inner, asked("etn"), asked("id")),
        "search" => search(&inner, asked("searchText")),
        _ => {
            let body = html! {
                body {
                    main {
                        h1 { "Dynamics 365" }
                        p.lead { "What this environment holds. A record opens here when the agent's page asks for it." }
                        (found(&inner, ""))
                    }
                }
            };
            inner.pages.page("Home", "", "'none'", &body)
        }
    }
}

/// The address of a record's form.
fn address(table: &Table, id: &str) -> String {
    let etn = &table.logical_name;
    format!("/main.aspx?pagetype=entityrecord&etn={etn}&id={id}")
}

/// A record's name for people.
fn name_of<'a>(table: &Table, fields: &'a Map<String, Json>) -> &'a str {
    let named = table.known.and_then(|it| fields.get(it.primary_name));
    let named = named.or_else(|| fields.get("name"));
    let named = named.and_then(Json::as_str).unwrap_or_default();
    if named.is_empty() { "(no name)" } else { named }
}

fn title_of(logical_name: &str) -> &str {
    match logical_name {
        "contact" => "Contact",
        "account" => "Account",
        "lead" => "Lead",
        "phonecall" => "Phone Call",
        "task" => "Task",
        "email" => "Email",
        "incident" => "Case",
        "systemuser" => "User",
        other => other,
    }
}

/// The records that hold a text; all, where it is empty.
fn found(inner: &Inner, text: &str) -> Markup {
    let wanted = text.to_lowercase();
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let number = digits(text);
    let holds = |value: &Json| {
        let held = value.as_str().unwrap_or_default().to_lowercase();
        let is_number = number.len() >= 7 && {
            let held = digits(&held);
            // With and without the country's code.
            held.len() >= 7 && (held.ends_with(&number) || number.ends_with(&held))
        };
        held.contains(&wanted) || is_number
    };
    let mut tables = Vec::new();
    for set in SEARCHED {
        let Some(table) = Table::of(set, &inner.tables) else {
            continue;
        };
        let records = inner.records.of_table(set);
        let fits = records.filter(|record| {
            let mut columns = record.fields.iter();
            wanted.is_empty() || columns.any(|(name, value)| !name.starts_with('_') && holds(value))
        });
        let links: Vec<(String, String)> = fits
            .filter_map(|record| {
                let id = record.fields.get(&table.primary_key)?.as_str()?;
                let name = name_of(&table, &record.fields).to_owned();
                Some((address(&table, id), name))
            })
            .collect();
        if !links.is_empty() {
            tables.push((title_of(&table.logical_name).to_owned(), links));
        }
    }
    html! {
        @if tables.is_empty() {
            p { "No records were found." }
        }
        @for (title, links) in tables {
            h2 { (title) }
            ul.found {
                @for (address, name) in links {
                    li { a href=(address) { (name) } }
                }
            }
        }
    }
}

fn search(inner: &Inner, text: &str) -> Response {
    let body = html! {
        body {
            main {
                h1 { "Search" }
                form method="get" action="/main.aspx" {
                    input type="hidden" name="pagetype" value="search";
                    label for="text" { "Search Dynamics 365" }
                    div.row {
                        input #text type="search" name="searchText" value=(text);
                        button { "Search" }
                    }
                }
                @if !text.trim().is_empty() {
                    p.muted { "Results for “" (text) "”" }
                    (found(inner, text.trim()))
                }
            }
        }
    };
    inner.pages.page("Search", "", "'none'", &body)
}

fn not_available(inner: &Inner) -> Response {
    let body = html! {
        body {
            main.alone {
                h1 { "Record not available" }
                p { "The requested record was not found, or you do not have permission to see it." }
            }
        }
    };
    inner
        .pages
        .page("Record not available", "", "'none'", &body)
}

/// The table of a logical name: one that is known, or one that there are records of.
fn table_of(inner: &Inner, logical_name: &str) -> Option<Table> {
    if let Some(known) = KnownTable::by_logical_name(logical_name) {
        return Table::of(known.entity_set, &inner.tables);
    }
    let mut sets = inner.records.entity_sets();
    sets.find_map(|set| {
        Table::of(set, &inner.tables).filter(|table| table.logical_name == logical_name)
    })
}

/// Columns that a form has also when they are empty.
const ALWAYS: [&str; 9] = [
    "firstname",
    "lastname",
    "subject",
    "name",
    "phonenumber",
    "mobilephone",
    "telephone1",
    "emailaddress1",
    "description",
];

/// As Dynamics calls them.
const LABELS: [(&str, &str); 14] = [
    ("actualdurationminutes", "Duration"),
    ("actualend", "Actual End"),
    ("actualstart", "Actual Start"),
    ("createdon", "Created On"),
    ("directioncode", "Direction"),
    ("emailaddress1", "Email"),
    ("firstname", "First Name"),
    ("lastname", "Last Name"),
    ("mobilephone", "Mobile Phone"),
    ("modifiedon", "Modified On"),
    ("phonenumber", "Phone Number"),
    ("prioritycode", "Priority"),
    ("statuscode", "Status Reason"),
    ("telephone1", "Business Phone"),
];
/// What no form shows.
const HIDDEN: [&str; 3] = ["activitytypecode", "statecode", "versionnumber"];

/// A column of a form.
struct Field<'a> {
    name: &'a str,
    value: String,
    /// What the script makes of the text: `text`, `number` or `boolean`.
    kind: &'static str,
    is_editable: bool,
}

impl Field<'_> {
    fn is_phone(&self) -> bool {
        self.name.contains("phone") && !self.value.is_empty()
    }

    fn label(&self) -> String {
        let known = LABELS.iter().find(|(name, _)| *name == self.name);
        if let Some((_, label)) = known {
            return (*label).to_owned();
        }
        let mut letters = self.name.chars();
        let first = letters.next().map(char::to_uppercase);
        first.into_iter().flatten().chain(letters).collect()
    }
}

fn fields<'a>(table: &Table, held: &'a Map<String, Json>) -> Vec<Field<'a>> {
    let shown = held.iter().filter(|(name, value)| {
        let is_lookup = name.starts_with('_') || name.contains('@');
        let is_scalar = !value.is_array() && !value.is_object();
        let is_hidden = HIDDEN.contains(&name.as_str()) || **name == table.primary_key;
        !is_lookup
            && !is_hidden
            && is_scalar
            && (!value.is_null() || ALWAYS.contains(&name.as_str()))
    });
    let fields = shown.map(|(name, value)| {
        let column = table.column(name);
        let is_writable = match table.known {
            Some(_) => {
                column.is_some_and(|it| matches!(it.access, Access::Writable | Access::NotOnCreate))
            }
            None => !["createdon", "modifiedon"].contains(&name.as_str()),
        };
        Field {
            name,
            value: match value {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            },
            kind: match value {
                Json::Number(_) => "number",
                Json::Bool(_) => "boolean",
                _ => "text",
            },
            is_editable: is_writable,
        }
    });
    let mut fields: Vec<Field<'_>> = fields.collect();
    let place = |field: &Field<'_>| {
        let first = ALWAYS.iter().position(|name| *name == field.name);
        first.unwrap_or(if field.is_editable { 100 } else { 200 })
    };
    fields.sort_by_key(place);
    fields
}

fn record(inner: &Inner, logical_name: &str, id: &str) -> Response {
    let id = id.trim_matches(['{', '}']);
    let table = table_of(inner, logical_name);
    let named = table.zip(Uuid::try_parse(id).ok());
    let held = named
        .as_ref()
        .and_then(|(table, id)| inner.records.get(table, *id));
    let (Some((table, id)), Some(held)) = (named, held) else {
        return not_available(inner);
    };
    let name = name_of(&table, &held.fields);
    let references = held.references.iter().filter_map(|(column, reference)| {
        let value = held.fields.get(&format!("_{column}_value"))?.as_str()?;
        let named = table_of(inner, &reference.logical_name)?;
        let other = inner.records.get(&named, Uuid::try_parse(value).ok()?);
        let text = other.map_or(value, |other| name_of(&named, &other.fields));
        Some((column.clone(), address(&named, value), text.to_owned()))
    });
    let saved = format!("/stand-in/records/{}/{id}", table.entity_set);
    let body = html! {
        body data-etn=(table.logical_name) data-id=(id) data-saved=(saved) {
            main {
                p.muted.kind { (title_of(&table.logical_name)) }
                h1 { (name) }
                p #said.said role="alert" {}
                form #record {
                    div.row {
                        button.primary #save { "Save" }
                        span #unsaved role="status" { }
                    }
                    div.columns.fields {
                        @for field in fields(&table, &held.fields) {
                            div {
                                label for={ "column-" (field.name) } { (field.label()) }
                                @if field.name == "description" {
                                    textarea id={ "column-" (field.name) } name=(field.name) rows="5" data-kind=(field.kind) { (field.value) }
                                } @else {
                                    input id={ "column-" (field.name) } name=(field.name) value=(field.value) data-kind=(field.kind) readonly[!field.is_editable] autocomplete="off";
                                }
                                @if field.is_phone() {
                                    a.dial-link href={ "tel:" (field.value) } data-name=(field.name) data-value=(field.value) { "Call " (field.value) }
                                }
                            }
                        }
                    }
                }
                h2 { "Related" }
                dl.related {
                    @for (column, address, text) in references {
                        dt { (column) }
                        dd { a href=(address) { (text) } }
                    }
                }
            }
        }
    };
    inner.pages.page(name, "form.js", "'none'", &body)
}

/// A model-driven app with a side panel.
async fn app(
    State(dataverse): State<Dataverse>,
    uri: Uri,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let inner = dataverse.lock();
    if !inner.pages.is_signed_in {
        return ask_to_sign_in(&uri);
    }
    let version = match asked.get("cif").map(String::as_str) {
        Some("2") => "2",
        _ => "1",
    };
    let page = inner.pages.desk.as_ref().map(|it| it.agent_page.as_str());
    let body = html! {
        body.app data-version=(version) {
            header.top {
                p.brand { "Dynamics 365 " span.muted { "stand-in" } }
                nav #sessions aria-label="Sessions" hidden[version == "1"] {}
                a href="/main.aspx" target="home" #home { "Home" }
                button type="button" #mode aria-expanded="true" aria-controls="panel" { "Side panel" }
            }
            main #area {
                h1.visually-hidden { "Example app" }
            }
            aside #panel aria-label="Side panel" {
                @match page {
                    Some(page) => iframe #widget title="Amazon Connect" src={ (page) "/index.html?host=dynamics" }
                        allow="microphone; camera; geolocation"
                        sandbox="allow-forms allow-popups allow-scripts allow-same-origin allow-modals" {},
                    None => p { "There is no agent's page: it is served by `local serve`." },
                }
            }
            dialog #leave aria-labelledby="leave-title" {
                h2 #leave-title { "Unsaved changes" }
                p { "The form has changes that are not saved. They are lost when another page opens here." }
                div.row {
                    button type="button" #stay { "Stay on this page" }
                    button type="button" #discard { "Discard changes" }
                }
            }
        }
    };
    let frames = format!("'self' {}", page.unwrap_or_default());
    inner.pages.page("Example app", "app.js", &frames, &body)
}

async fn library(State(dataverse): State<Dataverse>, uri: Uri) -> Response {
    if !dataverse.lock().pages.is_signed_in {
        return ask_to_sign_in(&uri);
    }
    asset(SCRIPT, include_str!("pages/msdyn_ciLibrary.js"))
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    (
        status,
        JsonBody(json!({"error": {"message": refusal.message}})),
    )
        .into_response()
}

/// Saves columns of a record, as the user who sees its form.
async fn save(
    State(dataverse): State<Dataverse>,
    Path((entity_set, id)): Path<(String, String)>,
    body: Result<JsonBody<Map<String, Json>>, JsonRejection>,
) -> Response {
    let fields = match body {
        Ok(JsonBody(fields)) => fields,
        Err(rejection) => return unreadable(rejection).into_response(),
    };
    let mut inner = dataverse.lock();
    let table = Table::of(&entity_set, &inner.tables);
    let (Some(table), Ok(id)) = (table, Uuid::try_parse(&id)) else {
        return refused(&super::no_entity_set(&entity_set));
    };
    // Only what there is.
    let conditions = Conditions {
        if_match: Some("*"),
        if_none_match: None,
    };
    let key = RecordKey::Id(id);
    let records = &mut inner.records;
    match records.upsert(&table, &key, fields, &conditions, &mut Vec::new()) {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(&refusal),
    }
}

/// Records of a table, by its logical name and the options of a query.
async fn find(
    State(dataverse): State<Dataverse>,
    Path(logical_name): Path<String>,
    RawQuery(options): RawQuery,
) -> Response {
    let inner = dataverse.lock();
    let Some(table) = table_of(&inner, &logical_name) else {
        return refused(&super::no_entity_set(&logical_name));
    };
    let found = request::read_options(&options.unwrap_or_default()).and_then(|options| {
        let records = inner.records.of_table(&table.entity_set);
        query::query(&table, records, &options, &Preferences::default())
    });
    match found {
        Ok(found) => {
            let key = &table.primary_key;
            JsonBody(json!({"primaryKey": key, "value": found.records})).into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Who may show the pages in a frame, besides this environment: a list of origins, of which none refuses all, or null
/// for the pages of the agent's desk.
async fn set_frame_ancestors(
    State(dataverse): State<Dataverse>,
    body: Result<JsonBody<Option<Vec<String>>>, JsonRejection>,
) -> Result<StatusCode, Refused> {
    let named = body.map_err(unreadable)?.0.map(sources).transpose();
    let named =
        named.map_err(|error| (StatusCode::BAD_REQUEST, format!("{}\n", error.message())))?;
    dataverse.lock().pages.frame_ancestors = named;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the user is signed in.
async fn set_signed_in(
    State(dataverse): State<Dataverse>,
    body: Result<JsonBody<bool>, JsonRejection>,
) -> Result<StatusCode, Refused> {
    let is_signed_in = body.map_err(unreadable)?.0;
    dataverse.lock().pages.is_signed_in = is_signed_in;
    Ok(StatusCode::NO_CONTENT)
}
