//! A stand-in for the Dataverse Web API: the requests this product makes, answered and refused as
//! documented.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/overview>. What it does not
//! model it refuses with 501 and says so. Error codes are those of
//! <https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes>.

mod filter;
pub mod schema;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json as JsonBody, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header},
    routing::{any, delete, get},
};
use jiff::{Timestamp, Unit};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use self::{
    filter::Filter,
    schema::{Kind, TABLES, Table},
};
use super::{
    entra::Entra,
    fault::{Fault, Faults},
};

/// One environment.
#[derive(Debug, Clone)]
pub struct Dataverse {
    pub faults: Faults,
    entra: Entra,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// `http://127.0.0.1:<port>`, once it is served.
    origin: String,
    records: BTreeMap<(&'static str, Uuid), Record>,
    version: u64,
    exchanges: Vec<Exchange>,
    has_application_user: bool,
    missing_privilege: Option<String>,
    duplicate_key_status: u16,
}

#[derive(Debug, Clone)]
struct Record {
    fields: Map<String, Json>,
    version: u64,
    /// How often it was written, its creation included.
    writes: u32,
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
    pub duration: Duration,
}

/// A refusal.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

type Answer = Result<Response<Body>, Refusal>;

fn refuse<T>(status: u16, code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        status,
        code,
        message: message.into(),
    })
}

pub(super) fn no_property(table: &Table, name: &str) -> String {
    format!(
        "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
        table.logical_name
    )
}

impl Dataverse {
    pub fn new(entra: Entra) -> Dataverse {
        Dataverse {
            faults: Faults::default(),
            entra,
            inner: Arc::new(Mutex::new(Inner {
                has_application_user: true,
                duplicate_key_status: 412,
                ..Inner::default()
            })),
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/stand-in/records", get(records))
            .route("/stand-in/exchanges", get(exchanges))
            .route("/stand-in/faults", axum::routing::post(add_fault))
            .route("/stand-in/faults", delete(clear_faults))
            .fallback(any(answer))
            .with_state(self.clone())
    }

    /// The environment's URI, which tokens are for.
    pub fn set_origin(&self, origin: &str) {
        self.lock().origin = origin.to_owned();
    }

    /// Whether the application is a user of the environment.
    pub fn set_application_user(&self, exists: bool) {
        self.lock().has_application_user = exists;
    }

    /// Takes a privilege (`prvCreateActivity`) from the application user, or gives it back.
    pub fn set_missing_privilege(&self, privilege: Option<&str>) {
        self.lock().missing_privilege = privilege.map(str::to_owned);
    }

    /// The status that comes with the code of a duplicate key.
    pub fn set_duplicate_key_status(&self, status: u16) {
        self.lock().duplicate_key_status = status;
    }

    /// A record, as a read gives it.
    pub fn record(&self, entity_set: &str, id: Uuid) -> Option<Map<String, Json>> {
        let inner = self.lock();
        let (_, record) = inner
            .records
            .iter()
            .find(|((set, key), _)| *set == entity_set && *key == id)?;
        Some(record.fields.clone())
    }

    /// All records of a table.
    pub fn records(&self, entity_set: &str) -> Vec<Map<String, Json>> {
        let inner = self.lock();
        let records = inner
            .records
            .iter()
            .filter(|((set, _), _)| *set == entity_set);
        records.map(|(_, record)| record.fields.clone()).collect()
    }

    /// Puts a record in, as someone else would have.
    ///
    /// # Panics
    /// When the table is none of the stand-in's or the record is not valid.
    pub fn insert(&self, entity_set: &str, fields: Json) -> Uuid {
        let table = Table::by_entity_set(entity_set).expect("a table of the stand-in");
        let Json::Object(fields) = fields else {
            panic!("a record is an object")
        };
        let mut inner = self.lock();
        match inner.create(table, fields, None) {
            Ok(id) => id,
            Err(refusal) => panic!("{}", refusal.message),
        }
    }

    /// Takes the exchanges since the last call.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.lock().exchanges)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics holding it")
    }

    fn handle(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Answer {
        let mut inner = self.lock();
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .unwrap_or_default();
        if !self.entra.accepts(token, &inner.origin) {
            return refuse(401, "", "");
        }
        if !inner.has_application_user {
            return refuse(
                403,
                "0x80072560",
                "The user is not a member of the organization.",
            );
        }
        let Some(path) = uri.path().strip_prefix("/api/data/v9.2/") else {
            return refuse(404, "", "");
        };
        // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#http-headers
        for name in ["OData-Version", "OData-MaxVersion"] {
            if let Some(version) = headers.get(name).filter(|version| *version != "4.0") {
                return refuse(
                    400,
                    "0x80060888",
                    format!("{name} {version:?} is not supported."),
                );
            }
        }
        let (set, key) = split_path(path)?;
        let Some(table) = Table::by_entity_set(&set) else {
            return refuse(
                404,
                "0x8006088a",
                format!("Resource not found for the segment '{set}'."),
            );
        };
        if let Some(privilege) = &inner.missing_privilege {
            let verb = match *method {
                Method::GET => "prvRead",
                Method::POST => "prvCreate",
                _ => "prvWrite",
            };
            if privilege.starts_with(verb) {
                let message = format!(
                    "Principal user (Id=00000000-0000-4000-8000-000000000002, type=8, roleCount=1) is missing {privilege} privilege (Id=00000000-0000-4000-8000-000000000003) on OTC=4200 for entity '{}'.",
                    table.logical_name
                );
                return refuse(403, "0x80040220", message);
            }
        }
        let options = query_options(uri.query().unwrap_or_default())?;
        match (method, key) {
            (&Method::GET, None) => inner.query(table, &options),
            (&Method::GET, Some(key)) => {
                let id = inner.find(table, &key)?;
                inner.read(table, id, &options, StatusCode::OK, true)
            }
            (&Method::POST, None) => {
                let fields = read_body(headers, body)?;
                let id = inner.create(table, fields, None)?;
                inner.written(table, id, headers, &options, StatusCode::CREATED)
            }
            (&Method::PATCH, Some(key)) => {
                let fields = read_body(headers, body)?;
                let id = inner.upsert(table, &key, fields, headers)?;
                let status = if inner.records[&(table.entity_set, id)].writes == 1 {
                    StatusCode::CREATED
                } else {
                    StatusCode::OK
                };
                inner.written(table, id, headers, &options, status)
            }
            (method, _) => refuse(
                405,
                "0x80060888",
                format!("The requested resource does not support http method '{method}'."),
            ),
        }
    }
}

async fn answer(
    State(dataverse): State<Dataverse>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let started = Instant::now();
    let mut seen = None;
    let path = uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    let response = dataverse
        .faults
        .answer(method.as_str(), &path, &body, || {
            let response = match dataverse.handle(&method, &uri, &headers, &body) {
                Ok(response) => response,
                Err(refusal) => {
                    let status = StatusCode::from_u16(refusal.status)
                        .expect("a refusal's status is one of HTTP's");
                    match refusal.code {
                        // The gateway's 401 and 404 have no body.
                        "" => Response::builder()
                            .status(status)
                            .body(Body::empty())
                            .expect("a status is valid"),
                        code => {
                            let body = json!({"error": {"code": code, "message": refusal.message}});
                            with_answer(super::json(status, &body), body)
                        }
                    }
                }
            };
            seen = Some(
                response
                    .extensions()
                    .get::<Json>()
                    .cloned()
                    .unwrap_or(Json::Null),
            );
            response
        })
        .await;
    let closed = response
        .extensions()
        .get::<crate::http::CloseConnection>()
        .is_some();
    let kept = [
        "if-match",
        "prefer",
        "content-type",
        "odata-version",
        "accept",
    ];
    let exchange = Exchange {
        method: method.to_string(),
        target: path
            .strip_prefix("/api/data/v9.2/")
            .unwrap_or(&path)
            .to_owned(),
        headers: headers
            .iter()
            .filter(|(name, _)| kept.contains(&name.as_str()))
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or(Json::Null),
        status: if closed {
            0
        } else {
            response.status().as_u16()
        },
        answer: seen.unwrap_or(Json::Null),
        duration: started.elapsed(),
    };
    dataverse.lock().exchanges.push(exchange);
    response
}

async fn records(State(dataverse): State<Dataverse>) -> JsonBody<Json> {
    let records: Map<String, Json> = TABLES
        .iter()
        .map(|table| {
            (
                table.entity_set.to_owned(),
                json!(dataverse.records(table.entity_set)),
            )
        })
        .collect();
    JsonBody(records.into())
}

async fn exchanges(State(dataverse): State<Dataverse>) -> JsonBody<Json> {
    JsonBody(json!(dataverse.lock().exchanges))
}

async fn add_fault(
    State(dataverse): State<Dataverse>,
    JsonBody(fault): JsonBody<Fault>,
) -> StatusCode {
    dataverse.faults.add(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(dataverse): State<Dataverse>) -> StatusCode {
    dataverse.faults.clear();
    StatusCode::NO_CONTENT
}

/// A record's key: its id, or a column that identifies it.
enum RecordKey {
    Id(Uuid),
    Column(String, String),
}

fn split_path(path: &str) -> Result<(String, Option<RecordKey>), Refusal> {
    let syntax = || Refusal {
        status: 400,
        code: "0x80060888",
        message: "Bad Request - Error in query syntax.".into(),
    };
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| syntax())?
        .into_owned();
    let Some((set, key)) = decoded.split_once('(') else {
        if decoded.contains('/') {
            return refuse(
                501,
                "0x80060888",
                "The stand-in knows no paths below an entity set.",
            );
        }
        return Ok((decoded, None));
    };
    let key = key.strip_suffix(')').ok_or_else(syntax)?;
    if let Ok(id) = Uuid::try_parse(key) {
        return Ok((set.to_owned(), Some(RecordKey::Id(id))));
    }
    let (column, value) = key.split_once('=').ok_or_else(syntax)?;
    if let Ok(id) = Uuid::try_parse(value) {
        return Ok((
            set.to_owned(),
            Some(RecordKey::Column(column.to_owned(), id.to_string())),
        ));
    }
    let value = value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''))
        .ok_or_else(syntax)?;
    if value.replace("''", "").contains('\'') {
        return Err(syntax());
    }
    Ok((
        set.to_owned(),
        Some(RecordKey::Column(
            column.to_owned(),
            value.replace("''", "'"),
        )),
    ))
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview#odata-query-options>
fn query_options(query: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let mut options = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (name, value) = (decode(name), decode(value));
        match name.as_str() {
            "$select" | "$filter" | "$top" | "$orderby" => {}
            "$expand" | "$count" | "$apply" => {
                return refuse(
                    501,
                    "0x80060888",
                    format!("The stand-in does not know {name}."),
                );
            }
            name => {
                return refuse(
                    400,
                    "0x80060888",
                    format!("The query parameter {name} is not supported."),
                );
            }
        }
        if options.insert(name.clone(), value).is_some() {
            return refuse(
                400,
                "0x80060888",
                format!("Query option '{name}' was specified more than once."),
            );
        }
    }
    Ok(options)
}

fn read_body(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Json>, Refusal> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !is_json {
        return refuse(
            415,
            "0x80060888",
            "A supported MIME type could not be found that matches the content type of the request.",
        );
    }
    match serde_json::from_slice(body) {
        Ok(Json::Object(fields)) => Ok(fields),
        _ => refuse(
            400,
            "0x80048d19",
            "Error identified in Payload provided by the user: the body is no JSON object.",
        ),
    }
}

impl Inner {
    fn find(&self, table: &Table, key: &RecordKey) -> Result<Uuid, Refusal> {
        match key {
            RecordKey::Id(id) => {
                if self.records.contains_key(&(table.entity_set, *id)) {
                    return Ok(*id);
                }
                refuse(
                    404,
                    "0x80040217",
                    format!(
                        "Entity '{}' With Id = {id} Does Not Exist",
                        table.logical_name
                    ),
                )
            }
            RecordKey::Column(column, value) => {
                if *column == table.primary_key {
                    let id = Uuid::try_parse(value).map_err(|_| Refusal {
                        status: 400,
                        code: "0x80060888",
                        message: "Bad Request - Error in query syntax.".into(),
                    })?;
                    return self.find(table, &RecordKey::Id(id));
                }
                if !table.alternate_keys.contains(&column.as_str()) {
                    return refuse(
                        400,
                        "0x80060888",
                        format!(
                            "The specified key properties '{column}' do not form an alternate key of '{}'.",
                            table.logical_name
                        ),
                    );
                }
                match self.by_alternate_key(table, column, value) {
                    Some(id) => Ok(id),
                    None => refuse(
                        404,
                        "0x80060891",
                        format!(
                            "A record with the specified key values does not exist in {} entity",
                            table.logical_name
                        ),
                    ),
                }
            }
        }
    }

    fn by_alternate_key(&self, table: &Table, column: &str, value: &str) -> Option<Uuid> {
        self.records.iter().find_map(|((set, id), record)| {
            let held = record.fields.get(column).and_then(Json::as_str);
            (*set == table.entity_set && held.is_some_and(|held| held.eq_ignore_ascii_case(value)))
                .then_some(*id)
        })
    }

    fn query(&self, table: &Table, options: &BTreeMap<String, String>) -> Answer {
        let bad = |message: String| Refusal {
            status: 400,
            code: "0x80060888",
            message,
        };
        let filter = options
            .get("$filter")
            .map(|text| Filter::parse(table, text))
            .transpose()
            .map_err(bad)?;
        let mut records: Vec<(&Uuid, &Record)> = self
            .records
            .iter()
            .filter(|((set, _), record)| {
                *set == table.entity_set
                    && filter
                        .as_ref()
                        .is_none_or(|filter| filter.matches(&record.fields))
            })
            .map(|((_, id), record)| (id, record))
            .collect();
        if let Some(order) = options.get("$orderby") {
            for part in order.split(',').rev() {
                let mut words = part.split_whitespace();
                let column = words.next().unwrap_or_default();
                if table.kind(column).is_none() {
                    return Err(bad(no_property(table, column)));
                }
                let is_descending = match words.next() {
                    None | Some("asc") => false,
                    Some("desc") => true,
                    Some(other) => {
                        return Err(bad(format!("Syntax error at '{other}' in $orderby.")));
                    }
                };
                records.sort_by(|(_, left), (_, right)| {
                    let null = Json::Null;
                    let value = |record: &Record| {
                        record.fields.get(column).cloned().unwrap_or(null.clone())
                    };
                    let order = filter::compare(&value(left), &value(right))
                        .unwrap_or(std::cmp::Ordering::Equal);
                    if is_descending {
                        order.reverse()
                    } else {
                        order
                    }
                });
            }
        }
        if let Some(top) = options.get("$top") {
            let top: usize = top
                .parse()
                .ok()
                .filter(|top| (1..=5000).contains(top))
                .ok_or_else(|| {
                    bad(format!(
                        "Invalid value '{top}' for $top query option found."
                    ))
                })?;
            records.truncate(top);
        }
        let selected: Result<Vec<Json>, Refusal> = records
            .iter()
            .map(|(_, record)| select(table, record, options))
            .collect();
        // A wrong $select is refused also when nothing is found.
        check_select(table, options)?;
        let body = json!({
            "@odata.context": format!("{}/api/data/v9.2/$metadata#{}", self.origin, table.entity_set),
            "value": selected?,
        });
        Ok(with_answer(super::json(StatusCode::OK, &body), body))
    }

    fn read(
        &self,
        table: &Table,
        id: Uuid,
        options: &BTreeMap<String, String>,
        status: StatusCode,
        is_get: bool,
    ) -> Answer {
        check_select(table, options)?;
        if is_get && let Some(option) = options.keys().find(|option| *option != "$select") {
            return refuse(
                400,
                "0x80060888",
                format!("The query parameter {option} is not supported."),
            );
        }
        let record = &self.records[&(table.entity_set, id)];
        let mut body = select(table, record, options)?;
        body["@odata.context"] = format!(
            "{}/api/data/v9.2/$metadata#{}/$entity",
            self.origin, table.entity_set
        )
        .into();
        Ok(with_answer(super::json(status, &body), body))
    }

    /// The answer to a create or an update.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api#create-with-data-returned>
    fn written(
        &self,
        table: &Table,
        id: Uuid,
        headers: &HeaderMap,
        options: &BTreeMap<String, String>,
        status: StatusCode,
    ) -> Answer {
        let wants_record = headers
            .get("Prefer")
            .and_then(|prefer| prefer.to_str().ok())
            .is_some_and(|prefer| {
                prefer
                    .split(',')
                    .any(|part| part.trim() == "return=representation")
            });
        let mut response = match wants_record {
            true => self.read(table, id, options, status, false)?,
            false => Response::builder()
                .status(StatusCode::NO_CONTENT)
                .body(Body::empty())
                .expect("a status is valid"),
        };
        let uri = format!("{}/api/data/v9.2/{}({id})", self.origin, table.entity_set);
        let headers = response.headers_mut();
        headers.insert(
            "OData-EntityId",
            HeaderValue::from_str(&uri).expect("a URI of ASCII"),
        );
        headers.insert("OData-Version", HeaderValue::from_static("4.0"));
        if wants_record {
            headers.insert(
                "Preference-Applied",
                HeaderValue::from_static("return=representation"),
            );
        }
        Ok(response)
    }

    fn create(
        &mut self,
        table: &'static Table,
        mut fields: Map<String, Json>,
        key: Option<Uuid>,
    ) -> Result<Uuid, Refusal> {
        let mut stored = self.check(table, &mut fields)?;
        let named = stored
            .get(table.primary_key)
            .and_then(Json::as_str)
            .and_then(|id| Uuid::try_parse(id).ok());
        let id = key.or(named).unwrap_or_else(Uuid::new_v4);
        let is_taken = self.records.keys().any(|(set, taken)| {
            let other = Table::by_entity_set(set);
            *taken == id
                && (*set == table.entity_set
                    || table.is_activity && other.is_some_and(|other| other.is_activity))
        });
        if is_taken {
            return refuse(
                self.duplicate_key_status,
                "0x80040237",
                "A record with matching key values already exists.",
            );
        }
        self.check_alternate_keys(table, &stored, None)?;
        for column in table.columns.iter().chain(schema::COMMON) {
            stored.entry(column.name).or_insert(Json::Null);
        }
        for lookup in table.lookups {
            stored.entry(lookup.column).or_insert(Json::Null);
        }
        let state = [
            ("statecode", 0),
            (
                "statuscode",
                if table.logical_name == "task" { 2 } else { 1 },
            ),
        ];
        for (name, default) in state {
            if stored[name].is_null() {
                stored.insert(name.into(), default.into());
            }
        }
        if table.is_activity {
            stored.insert("activitytypecode".into(), table.logical_name.into());
        }
        let now = now();
        stored.insert(table.primary_key.into(), id.to_string().into());
        stored.insert("createdon".into(), now.clone().into());
        self.store(table, id, stored, now, 1);
        Ok(id)
    }

    fn upsert(
        &mut self,
        table: &'static Table,
        key: &RecordKey,
        mut fields: Map<String, Json>,
        headers: &HeaderMap,
    ) -> Result<Uuid, Refusal> {
        let found = self.find(table, key);
        let if_match = headers
            .get(header::IF_MATCH)
            .and_then(|value| value.to_str().ok());
        let if_none_match = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok());
        let id = match found {
            Ok(id) => id,
            // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api#prevent-create-in-upsert
            Err(missing) if missing.status != 404 || if_match.is_some() => return Err(missing),
            Err(_) => {
                let id = match key {
                    RecordKey::Id(id) => Some(*id),
                    RecordKey::Column(column, value) => {
                        fields.insert(column.clone(), value.clone().into());
                        None
                    }
                };
                return self.create(table, fields, id);
            }
        };
        // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api#prevent-update-in-upsert
        if if_none_match == Some("*") {
            return refuse(
                412,
                "0x80040237",
                "A record with matching key values already exists.",
            );
        }
        let record = self.records[&(table.entity_set, id)].clone();
        if let Some(etag) = if_match.filter(|etag| *etag != "*")
            && etag != format!("W/\"{}\"", record.version)
        {
            return refuse(
                412,
                "0x80060882",
                "The version of the existing record doesn't match the RowVersion property provided.",
            );
        }
        let changed = self.check(table, &mut fields)?;
        self.check_alternate_keys(table, &changed, Some(id))?;
        if changed
            .get(table.primary_key)
            .is_some_and(|named| *named != id.to_string())
        {
            return refuse(
                400,
                "0x80048d19",
                "The primary key of a record cannot be changed.",
            );
        }
        let mut stored = record.fields;
        stored.extend(changed);
        self.store(table, id, stored, now(), record.writes + 1);
        Ok(id)
    }

    fn store(
        &mut self,
        table: &'static Table,
        id: Uuid,
        mut fields: Map<String, Json>,
        now: String,
        writes: u32,
    ) {
        self.version += 1;
        fields.insert("modifiedon".into(), now.into());
        fields.insert("versionnumber".into(), self.version.into());
        let record = Record {
            fields,
            version: self.version,
            writes,
        };
        self.records.insert((table.entity_set, id), record);
    }

    fn check_alternate_keys(
        &self,
        table: &Table,
        fields: &Map<String, Json>,
        own: Option<Uuid>,
    ) -> Result<(), Refusal> {
        for column in table.alternate_keys {
            let value = fields.get(*column).and_then(Json::as_str);
            if let Some(holder) =
                value.and_then(|value| self.by_alternate_key(table, column, value))
                && Some(holder) != own
            {
                return refuse(
                    412,
                    "0x80060892",
                    format!(
                        "Entity Key {column} violated. A record with the same value for {column} already exists. A duplicate record cannot be created."
                    ),
                );
            }
        }
        Ok(())
    }

    /// Checks a body's fields against the table; returns what is to be stored.
    fn check(
        &self,
        table: &Table,
        fields: &mut Map<String, Json>,
    ) -> Result<Map<String, Json>, Refusal> {
        let payload = |message: String| Refusal {
            status: 400,
            code: "0x80048d19",
            message: format!(
                "Error identified in Payload provided by the user for Entity :'{}' ----> InnerException : {message}",
                table.entity_set
            ),
        };
        let mut stored = Map::new();
        for (name, value) in std::mem::take(fields) {
            if let Some(property) = name.strip_suffix("@odata.bind") {
                let Some(lookup) = table.lookups.iter().find(|lookup| lookup.name == property)
                else {
                    return Err(payload(format!(
                        "An undeclared property '{property}' which only has property annotations in the payload but no property value was found in the payload."
                    )));
                };
                let path = value.as_str().unwrap_or_default();
                let path = path.strip_prefix('/').unwrap_or(path);
                let (set, key) = split_path(path)?;
                let (Some(target), Some(key)) = (
                    Table::by_entity_set(&set).filter(|target| target.entity_set == lookup.target),
                    key,
                ) else {
                    return Err(payload(format!(
                        "'{path}' is no reference to a record of {}.",
                        lookup.target
                    )));
                };
                let id = self.find(target, &key)?;
                stored.insert(lookup.column.to_owned(), id.to_string().into());
                continue;
            }
            if name.contains('@') {
                continue;
            }
            let Some(kind) = table.kind(&name) else {
                return Err(payload(format!(
                    "Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{}'.",
                    table.logical_name
                )));
            };
            if table
                .column(&name)
                .is_some_and(|column| column.is_read_only)
                || name.starts_with('_')
            {
                return Err(payload(format!("The property '{name}' is read-only.")));
            }
            if !kind.accepts(&value) {
                return Err(payload(format!(
                    "Cannot convert the literal '{}' of the property '{name}' to the expected type '{}'.",
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                    kind.edm()
                )));
            }
            match (kind, &value) {
                (Kind::Text(max), Json::String(text)) if text.encode_utf16().count() > max => {
                    return refuse(
                        400,
                        "0x80044331",
                        format!(
                            "A validation error occurred. The length of the '{name}' attribute of the '{}' entity exceeded the maximum allowed length of '{max}'.",
                            table.logical_name
                        ),
                    );
                }
                (Kind::Choice(options), Json::Number(number))
                    if !options.contains(&number.as_i64().unwrap_or(-1)) =>
                {
                    return refuse(
                        400,
                        "0x80044327",
                        format!(
                            "A validation error occurred. The value {number} of '{name}' on record of type '{}' is outside the valid range.",
                            table.logical_name
                        ),
                    );
                }
                _ => {}
            }
            // Dataverse keeps whole seconds, in UTC.
            let value = match (kind, value) {
                (Kind::DateTime, Json::String(text)) => match text.parse::<Timestamp>() {
                    Ok(time) => Timestamp::from_second(time.as_second())
                        .unwrap_or(time)
                        .to_string()
                        .into(),
                    Err(_) => format!("{text}T00:00:00Z").into(),
                },
                (_, value) => value,
            };
            stored.insert(name, value);
        }
        Ok(stored)
    }
}

fn check_select(table: &Table, options: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for column in options
        .get("$select")
        .into_iter()
        .flat_map(|select| select.split(','))
        .map(str::trim)
    {
        if table.kind(column).is_none() {
            return refuse(400, "0x80060888", no_property(table, column));
        }
    }
    Ok(())
}

fn select(
    table: &Table,
    record: &Record,
    options: &BTreeMap<String, String>,
) -> Result<Json, Refusal> {
    let mut fields = match options.get("$select") {
        None => record.fields.clone(),
        Some(columns) => {
            let columns: Vec<&str> = columns.split(',').map(str::trim).collect();
            let wanted = |name: &str| name == table.primary_key || columns.contains(&name);
            record
                .fields
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        }
    };
    fields.insert(
        "@odata.etag".into(),
        format!("W/\"{}\"", record.version).into(),
    );
    Ok(fields.into())
}

fn with_answer(mut response: Response<Body>, answer: Json) -> Response<Body> {
    response.extensions_mut().insert(answer);
    response
}

fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}
