//! A stand-in for the Dataverse Web API: the requests this product makes, answered and refused as
//! documented.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/overview>. What it does not
//! model it refuses with 501 and [`NOT_MODELLED`]. Tables and columns that it does not know it holds
//! as they come, and says so in [`Exchange::notes`]. A request goes through [`request`], which reads it, then
//! [`records`] or [`query`], or [`metadata`] or [`users`], and what they refuse is worded by [`error`]. [`control`] has the pages
//! that are the stand-in's own, and [`pages`] those that people see.

mod control;
mod error;
mod metadata;
mod pages;
mod payload;
mod query;
mod records;
mod request;
mod schema;
mod users;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header},
    routing::any,
};
use connect_dynamics::dataverse;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

pub use self::{error::NOT_MODELLED, pages::Desk};
use self::{
    error::{Refusal, refuse},
    records::{Conditions, Records, Upserted},
    request::{Options, Preferences, RecordKey},
    schema::{KnownTable, Table, Tables},
};
use super::{entra::Entra, fault::Faults};
use crate::http::CloseConnection;

/// One environment.
#[derive(Debug, Clone)]
pub struct Dataverse {
    pub faults: Faults,
    entra: Entra,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// `http://127.0.0.1:<port>`, once it is served.
    origin: String,
    records: Records,
    exchanges: Vec<Exchange>,
    tables: Tables,
    has_application_user: bool,
    user_is_disabled: bool,
    /// The names of the application user's security roles.
    roles: Vec<String>,
    missing_privilege: Option<String>,
    pages: pages::Pages,
}

/// A request and its answer, for the timeline and the audit.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    pub method: String,
    /// The path and query, below the service root.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Json,
    /// 0 when the connection was closed without an answer.
    pub status: u16,
    pub answer: Json,
    /// What of the request could not be checked, and was taken as it came.
    pub notes: Vec<String>,
    pub duration: Duration,
}

/// The application user.
const USER: &str = "00000000-0000-4000-8000-000000000002";
const SERVICE_ROOT: &str = "/api/data/v9.2/";
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview#url-length-limitations>
const LONGEST_URL: usize = 32_768;
/// The headers that an [`Exchange`] keeps.
const KEPT_HEADERS: [&str; 5] = [
    "if-match",
    "prefer",
    "content-type",
    "odata-version",
    "accept",
];

type Answer = Result<Response<Body>, Refusal>;

impl Dataverse {
    /// An environment that has one user, the application's.
    pub fn new(entra: Entra) -> Dataverse {
        let dataverse = Dataverse {
            faults: Faults::default(),
            entra,
            inner: Arc::new(Mutex::new(Inner {
                origin: String::new(),
                records: Records::default(),
                exchanges: Vec::new(),
                tables: Tables::default(),
                has_application_user: true,
                user_is_disabled: false,
                roles: vec!["Amazon Connect contacts".to_owned()],
                missing_privilege: None,
                pages: pages::Pages::default(),
            })),
        };
        let application = Uuid::try_parse(&dataverse.entra.client_id()).ok();
        let user = json!({
            "systemuserid": USER,
            "applicationid": application,
            "firstname": "#",
            "lastname": "Application user",
            // It signs in on its own.
            "accessmode": 4,
        });
        let user = dataverse.insert("systemusers", user);
        user.expect("a user has these columns");
        dataverse
    }

    pub fn router(&self) -> Router {
        control::router()
            .merge(pages::router())
            .fallback(any(answer))
            .with_state(self.clone())
    }

    /// Where the agent's desk is, whose pages may show this environment's.
    pub fn set_desk(&self, desk: Desk) {
        self.lock().pages.desk = Some(desk);
    }

    /// The environment's URI, which tokens are for.
    pub fn set_origin(&self, origin: &str) {
        self.lock().origin = origin.to_owned();
    }

    /// The names of tables that do not follow Dataverse's rules: of those that the stand-in does not know
    /// itself.
    pub fn set_tables(&self, tables: Vec<dataverse::Table>) {
        self.lock().tables.named = tables;
    }

    /// Gives the environment a table of its own.
    pub fn add_table(&self, table: &'static KnownTable) {
        self.lock().tables.own.push(table);
    }

    /// Whether the application is a user of the environment.
    pub fn set_application_user(&self, exists: bool) {
        self.lock().has_application_user = exists;
    }

    /// Disables the application user, or enables it.
    pub fn set_user_disabled(&self, disabled: bool) {
        self.lock().user_is_disabled = disabled;
    }

    /// The names of the application user's security roles. Without one it may do nothing.
    pub fn set_roles(&self, roles: &[&str]) {
        self.lock().roles = roles.iter().map(|&role| role.to_owned()).collect();
    }

    /// Takes a privilege (`prvCreateActivity`) from the application user, or gives it back.
    pub fn set_missing_privilege(&self, privilege: Option<&str>) {
        self.lock().missing_privilege = privilege.map(str::to_owned);
    }

    /// The status that comes with the code of a duplicate key.
    pub fn set_duplicate_key_status(&self, status: u16) {
        self.lock().records.duplicate_key_status = status;
    }

    /// A record, as a read gives it.
    pub fn record(&self, entity_set: &str, id: Uuid) -> Option<Map<String, Json>> {
        let inner = self.lock();
        let table = Table::of(entity_set, &inner.tables)?;
        let record = inner.records.get(&table, id)?;
        Some(record.fields.clone())
    }

    /// All records of a table.
    pub fn records(&self, entity_set: &str) -> Vec<Map<String, Json>> {
        let inner = self.lock();
        let records = inner.records.of_table(entity_set);
        records.map(|record| record.fields.clone()).collect()
    }

    /// The parties of an activity, each with its columns, the id of the record that it names
    /// (`_partyid_value`), and that record's table
    /// (`_partyid_value@Microsoft.Dynamics.CRM.lookuplogicalname`).
    pub fn parties(&self, activity: Uuid) -> Vec<Map<String, Json>> {
        let inner = self.lock();
        let parties = inner.records.parties(activity).into_iter();
        let described = parties.map(|party| {
            let mut fields = party.fields.clone();
            if let Some(named) = party.references.get("partyid") {
                let name = format!("_partyid_value@{}", query::LOGICAL_NAME);
                fields.insert(name, named.logical_name.as_str().into());
            }
            fields
        });
        described.collect()
    }

    /// Puts a record in, as someone else would have: also a user, a team or a queue, which the
    /// application user may only read. Its primary key among the fields is its id.
    ///
    /// # Errors
    /// Why Dataverse would not take it, in its words.
    pub fn insert(&self, entity_set: &str, fields: Json) -> Result<Uuid, String> {
        let mut inner = self.lock();
        let Some(table) = Table::of(entity_set, &inner.tables) else {
            return Err(no_entity_set(entity_set).message);
        };
        let Json::Object(fields) = fields else {
            return Err("a record is a JSON object of columns".into());
        };
        let created = inner.records.create(&table, fields, None, &mut Vec::new());
        created.map_err(|refusal| refusal.message)
    }

    /// Takes the exchanges since the last call.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.lock().exchanges)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics holding it")
    }

    fn handle(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        notes: &mut Vec<String>,
    ) -> Answer {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        if inner.origin.len() + target.len() > LONGEST_URL {
            return Err(Refusal::gateway(414));
        }
        let token = request::text(headers, &header::AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if !self.entra.accepts(token, &inner.origin) {
            return Err(Refusal::gateway(401));
        }
        if !inner.has_application_user {
            return refuse(
                403,
                "0x80072560",
                "The user is not a member of the organization.",
            );
        }
        // The message is Dataverse's own; which of its codes comes with it, is not documented for a case.
        if inner.user_is_disabled {
            let message = format!(
                "The specified user(Id = {USER}, type=8) is disabled. Consider enabling this user."
            );
            return refuse(403, "0x80040225", message);
        }
        let Some(path) = uri.path().strip_prefix(SERVICE_ROOT) else {
            return Err(Refusal::gateway(404));
        };
        // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#http-headers
        for name in ["OData-Version", "OData-MaxVersion"] {
            if let Some(version) = headers.get(name).filter(|version| *version != "4.0") {
                return Err(Refusal::malformed(format!(
                    "{name} {version:?} is not supported."
                )));
            }
        }
        if (method, path) == (&Method::GET, "WhoAmI") {
            return Ok(answered(
                StatusCode::OK,
                json!({
                    "@odata.context": format!("{}{SERVICE_ROOT}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", inner.origin),
                    "BusinessUnitId": "00000000-0000-4000-8000-000000000004",
                    "UserId": USER,
                    "OrganizationId": "00000000-0000-4000-8000-000000000005",
                }),
            ));
        }
        if inner.roles.is_empty() {
            return refuse(
                403,
                "0x80042f09",
                format!(
                    "SecLib::RetrievePrivilegeForUser failed - no roles are assigned to user. Returned hr = -2147209463, User: {USER}"
                ),
            );
        }
        let query = uri.query().unwrap_or_default();
        if method == Method::GET
            && let Some(described) = metadata::answer(&inner.tables, path, query)
        {
            return Ok(answered(StatusCode::OK, described?));
        }
        if method == Method::GET
            && let Some(told) = users::answer(inner, path, query)
        {
            return Ok(answered(StatusCode::OK, told?));
        }
        let parties = request::parties_of(path).filter(|_| *method == Method::PUT);
        let (set, key) = request::read_path(parties.map_or(path, |(record, _)| record))?;
        let Some(table) = &Table::of(&set, &inner.tables) else {
            return Err(no_entity_set(&set));
        };
        if table.known.is_none() {
            notes.push(format!(
                "the stand-in does not know the table `{}`: its columns were not checked",
                table.logical_name
            ));
        }
        inner.check_privilege(table, method)?;
        if table.is_written_by_others() && *method != Method::GET {
            return refuse(
                405,
                "0x80040800",
                format!(
                    "The 'Create' method does not support entities of type '{}'.",
                    table.logical_name
                ),
            );
        }
        let options = request::read_options(query)?;
        if let Some((_, list)) = parties {
            return inner.put_parties(table, key, list, headers, body, notes);
        }
        match (method, key) {
            (&Method::GET, None) => inner.query(table, headers, &options),
            (&Method::GET, Some(key)) => {
                let id = inner.records.find(table, &key, notes)?;
                query::check_read(&options)?;
                inner.read(table, id, headers, &options, StatusCode::OK)
            }
            (&Method::POST, None) => {
                let fields = request::read_body(headers, body)?;
                let id = inner.records.create(table, fields, None, notes)?;
                inner.written(table, id, headers, &options, StatusCode::CREATED)
            }
            (&Method::PATCH, Some(key)) => {
                let fields = request::read_body(headers, body)?;
                let conditions = Conditions {
                    if_match: request::text(headers, &header::IF_MATCH),
                    if_none_match: request::text(headers, &header::IF_NONE_MATCH),
                };
                let records = &mut inner.records;
                let (id, status) = match records.upsert(table, &key, fields, &conditions, notes)? {
                    Upserted::Created(id) => (id, StatusCode::CREATED),
                    Upserted::Updated(id) => (id, StatusCode::OK),
                };
                inner.written(table, id, headers, &options, status)
            }
            (&Method::DELETE, Some(key)) => {
                let if_match = request::text(headers, &header::IF_MATCH);
                if !options.is_empty() || if_match.is_some_and(|etag| etag != "*") {
                    return Err(Refusal::not_modelled("a delete with options or conditions"));
                }
                inner.records.delete(table, &key, notes)?;
                Ok(nothing())
            }
            (method, _) => refuse(
                404,
                "",
                format!("The requested resource does not support http method '{method}'."),
            ),
        }
    }
}

impl Inner {
    fn check_privilege(&self, table: &Table, method: &Method) -> Result<(), Refusal> {
        // https://learn.microsoft.com/power-apps/developer/data-platform/queue-entities#inherit-privileges-and-provide-limited-access-to-a-queue
        let verb = match *method {
            Method::GET => "prvRead",
            _ if table.logical_name == "queueitem" => "prvAppendTo",
            Method::POST => "prvCreate",
            Method::DELETE => "prvDelete",
            _ => "prvWrite",
        };
        let needed = format!("{verb}{}", table.privilege);
        let is_refused = table.is_administered() && *method != Method::GET;
        if !is_refused && self.missing_privilege.as_ref() != Some(&needed) {
            return Ok(());
        }
        refuse(
            403,
            "0x80040220",
            format!(
                "Principal user (Id={USER}, type=8, roleCount=1) is missing {needed} privilege (Id=00000000-0000-4000-8000-000000000003) on OTC=4200 for entity '{}'.",
                table.logical_name
            ),
        )
    }

    fn query(&self, table: &Table, headers: &HeaderMap, options: &Options) -> Answer {
        let preferences = Preferences::of(headers);
        let records = self.records.of_table(&table.entity_set);
        let found = query::query(table, records, options, &preferences)?;
        let mut body = json!({
            "@odata.context": format!("{}{SERVICE_ROOT}$metadata#{}", self.origin, table.entity_set),
            "value": found.records,
        });
        if let Some(count) = found.count {
            body["@odata.count"] = count.into();
        }
        Ok(applied(answered(StatusCode::OK, body), &preferences))
    }

    /// Replaces an activity's parties.
    fn put_parties(
        &mut self,
        table: &Table,
        key: Option<RecordKey>,
        list: &str,
        headers: &HeaderMap,
        body: &[u8],
        notes: &mut Vec<String>,
    ) -> Answer {
        let known = table.known.filter(|known| known.is_parties(list));
        let (Some(_), Some(key)) = (known, key) else {
            return Err(no_entity_set(list));
        };
        let id = self.records.find(table, &key, notes)?;
        let mut fields = request::read_body(headers, body)?;
        let parties = fields.remove("value").unwrap_or_default();
        self.records.put_parties(table, id, parties, notes)?;
        Ok(nothing())
    }

    fn read(
        &self,
        table: &Table,
        id: Uuid,
        headers: &HeaderMap,
        options: &Options,
        status: StatusCode,
    ) -> Answer {
        let preferences = Preferences::of(headers);
        let record = self.records.get(table, id);
        let record = record.expect("its id was found or made");
        let mut body = query::read(table, record, options, &preferences)?;
        body["@odata.context"] = format!(
            "{}{SERVICE_ROOT}$metadata#{}/$entity",
            self.origin, table.entity_set
        )
        .into();
        Ok(applied(answered(status, body), &preferences))
    }

    /// The answer to a create or an update: the record, or its address where nobody asks for it.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api#create-with-data-returned>
    fn written(
        &self,
        table: &Table,
        id: Uuid,
        headers: &HeaderMap,
        options: &Options,
        status: StatusCode,
    ) -> Answer {
        let (name, value, mut response) = if Preferences::of(headers).representation {
            let applied = HeaderValue::from_static("return=representation");
            let record = self.read(table, id, headers, options, status)?;
            ("Preference-Applied", applied, record)
        } else {
            let uri = format!("{}{SERVICE_ROOT}{}({id})", self.origin, table.entity_set);
            let uri = HeaderValue::from_str(&uri).expect("a URI of ASCII");
            ("OData-EntityId", uri, nothing())
        };
        let headers = response.headers_mut();
        headers.append(name, value);
        headers.insert("OData-Version", HeaderValue::from_static("4.0"));
        Ok(response)
    }
}

/// Says which annotations an answer has.
fn applied(mut response: Response<Body>, preferences: &Preferences) -> Response<Body> {
    let names = preferences.annotations.as_ref();
    let value = names.map(|names| format!("odata.include-annotations=\"{names}\""));
    if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
        response.headers_mut().append("Preference-Applied", value);
    }
    response
}

fn nothing() -> Response<Body> {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header("OData-Version", "4.0")
        .body(Body::empty())
        .expect("a status is valid")
}

fn no_entity_set(name: &str) -> Refusal {
    let message = format!("Resource not found for the segment '{name}'.");
    Refusal::new(404, "0x8006088a", message)
}

/// Answers a request, and keeps both.
async fn answer(
    State(dataverse): State<Dataverse>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let started = Instant::now();
    let mut seen = None;
    let mut notes = Vec::new();
    let path = uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    let handle = || {
        let handled = dataverse.handle(&method, &uri, &headers, &body, &mut notes);
        let response = handled.unwrap_or_else(Refusal::into_response);
        seen = response.extensions().get::<Json>().cloned();
        response
    };
    let faults = &dataverse.faults;
    let response = faults.answer(method.as_str(), &path, &body, handle).await;
    let is_closed = response.extensions().get::<CloseConnection>().is_some();
    let kept = headers
        .iter()
        .filter(|(name, _)| KEPT_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        });
    let exchange = Exchange {
        method: method.to_string(),
        target: path.strip_prefix(SERVICE_ROOT).unwrap_or(&path).to_owned(),
        headers: kept.collect(),
        body: serde_json::from_slice(&body).unwrap_or(Json::Null),
        status: if is_closed {
            0
        } else {
            response.status().as_u16()
        },
        answer: seen.unwrap_or(Json::Null),
        notes,
        duration: started.elapsed(),
    };
    dataverse.lock().exchanges.push(exchange);
    response
}

/// A JSON answer, with the JSON in its extensions for the [`Exchange`].
fn answered(status: StatusCode, body: Json) -> Response<Body> {
    let mut response = super::json(status, &body);
    response.extensions_mut().insert(body);
    response
}
