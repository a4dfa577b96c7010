//! A step's form: what a person fills in, and what it says in the document.
//!
//! Owns the way from a step's JSON to its form and back. What has no field here stays in the JSON as it is.
//! Nothing that was typed is lost: what is not valid is kept as it was typed, and the library says what is wrong
//! with it.
//!
//! Every field has a *slot*, the name by which messages find it in the page: `r0.when` is the condition of the
//! first request, `r0.row2` the third line of its body. [`StepForm::slot`] says which slot a place in the document
//! is shown at.

use std::collections::BTreeMap;

use connect_dynamics::step::Step;
use serde_json::{Map, Value as Json, json};

/// What was sent of a page's form: names and values, in the page's order.
pub type Pairs = Vec<(String, String)>;

/// Browsers send a line's end as two characters, and a document has one.
fn in_unix_lines(pairs: &Pairs) -> Pairs {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.clone(), value.replace("\r\n", "\n")))
        .collect()
}

/// What was filled in under a name, without space around it; nothing where it was not sent.
pub fn filled<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    let found = pairs.iter().rev().find(|(each, _)| each == name);
    found.map_or("", |(_, value)| value.as_str()).trim()
}

/// A line of a body: a column and its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub value: String,
    /// Whether the value is JSON. Otherwise it is a text, or a template of one.
    pub is_json: bool,
}

/// A body, as lines or as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyForm {
    Rows(Vec<Row>),
    Text(String),
}

impl Default for BodyForm {
    fn default() -> BodyForm {
        BodyForm::Rows(Vec::new())
    }
}

/// A request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestForm {
    pub name: String,
    pub method: String,
    pub entity_set: String,
    pub query: String,
    pub when: String,
    pub is_main: bool,
    pub body: BodyForm,
    /// Its fields that the form does not show.
    pub rest: Map<String, Json>,
}

/// How the customer is found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CustomerForm {
    pub value: String,
    pub kind: String,
    pub country: String,
    /// Entity sets, divided by commas.
    pub tables: String,
    /// `skip` or `create`.
    pub none: String,
    pub new_entity_set: String,
    pub new_body: BodyForm,
    /// `none`, `newest` or `orderby`.
    pub many: String,
    pub order: String,
    pub when: String,
    pub is_linked_later: bool,
    /// The tables as the document says them, and what else it says.
    pub known_tables: Vec<Json>,
    pub new_rest: Map<String, Json>,
    pub rest: Map<String, Json>,
}

/// The page that opens for the agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PopForm {
    pub open: Vec<String>,
    pub query: String,
    pub target: String,
    pub rest: Map<String, Json>,
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepForm {
    pub is_on: bool,
    pub customer: Option<CustomerForm>,
    /// What a customer block says that is switched off.
    pub customer_off: Option<CustomerForm>,
    pub pop: Option<PopForm>,
    /// What is said of a page that is not opened.
    pub pop_off: Option<PopForm>,
    pub requests: Vec<RequestForm>,
    /// Whether the document has `requests` for what could be one `request`.
    pub is_list: bool,
    /// Fields of the response, divided by commas.
    pub reply: String,
    pub object_kinds: Vec<String>,
    pub rest: Map<String, Json>,
}

/// The kinds of object that can trigger the step recording-available, with what each is.
pub const OBJECT_KINDS: [(&str, &str); 10] = [
    ("recording", "Call recordings"),
    ("redacted-recording", "Redacted call recordings"),
    (
        "ivr-recording",
        "Recordings of the automated part of a call",
    ),
    ("transcript", "Chat transcripts"),
    ("redacted-transcript", "Redacted chat transcripts"),
    ("analysis", "Contact Lens analyses"),
    ("redacted-analysis", "Redacted Contact Lens analyses"),
    ("screen-recording", "Screen recordings"),
    ("email-message", "E-mail messages"),
    ("attachment", "Attachments"),
];

/// What can be opened for the agent.
pub const OPENINGS: [(&str, &str); 3] = [
    ("customer", "the customer who was found"),
    ("search", "the search, when several customers were found"),
    ("record", "the contact's record"),
];

/// A value as an input shows it; nothing where there is none.
fn text_of(value: Option<&Json>) -> String {
    value.map(crate::words::text_of).unwrap_or_default()
}

/// A text that was pasted, as it is; an object as text over several lines.
fn pasted(value: Option<&Json>) -> String {
    match value {
        Some(object @ Json::Object(_)) => format!("{object:#}"),
        other => text_of(other),
    }
}

/// What was typed: an object where it is one, else the text.
fn as_pasted(text: &str) -> Json {
    match serde_json::from_str(text) {
        Ok(Json::Object(object)) => object.into(),
        _ => text.into(),
    }
}

fn list(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Puts a text under a name, unless it is empty.
fn put(object: &mut Map<String, Json>, name: &str, text: &str) {
    if text.trim().is_empty() {
        object.shift_remove(name);
    } else {
        object.insert(name.into(), text.into());
    }
}

impl BodyForm {
    fn of(value: Option<&Json>) -> BodyForm {
        let object = match value {
            None | Some(Json::Null) => return BodyForm::default(),
            Some(Json::Object(object)) => object.clone(),
            Some(Json::String(text)) => match serde_json::from_str(text) {
                Ok(Json::Object(object)) => object,
                _ => return BodyForm::Text(text.clone()),
            },
            Some(other) => return BodyForm::Text(other.to_string()),
        };
        let rows = object.iter().map(|(name, value)| Row {
            name: name.clone(),
            value: text_of(Some(value)),
            is_json: !value.is_string(),
        });
        BodyForm::Rows(rows.collect())
    }

    fn json(&self) -> Option<Json> {
        match self {
            BodyForm::Text(text) if text.trim().is_empty() => None,
            BodyForm::Text(text) => Some(as_pasted(text)),
            BodyForm::Rows(rows) => {
                let mut object = Map::new();
                for row in rows.iter().filter(|row| !row.name.trim().is_empty()) {
                    let value = if row.is_json {
                        serde_json::from_str(&row.value)
                            .unwrap_or_else(|_| row.value.as_str().into())
                    } else {
                        row.value.as_str().into()
                    };
                    object.insert(row.name.trim().to_owned(), value);
                }
                let is_empty = rows.iter().all(|row| row.name.trim().is_empty());
                (!is_empty).then(|| object.into())
            }
        }
    }

    /// What is wrong with what was typed, by the part of the slot behind the request's.
    fn problems(&self) -> Vec<(String, String)> {
        let BodyForm::Rows(rows) = self else {
            return Vec::new();
        };
        let mut problems = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let mut say =
                |message: &str| problems.push((format!("row{index}"), message.to_owned()));
            let name = row.name.trim();
            if name.is_empty() && !row.value.trim().is_empty() {
                say("Which column is this the value of? Without one the value is not kept.");
            }
            let is_again = rows[..index].iter().any(|other| other.name.trim() == name);
            if !name.is_empty() && is_again {
                say("This column stands here twice. The last one is kept.");
            }
            if row.is_json
                && let Err(error) = serde_json::from_str::<Json>(&row.value)
            {
                say(&format!(
                    "This is no JSON: {error}. Choose Text for a text."
                ));
            }
        }
        problems
    }

    /// Reads the fields that begin with `prefix`.
    fn read(pairs: &Pairs, prefix: &str) -> BodyForm {
        let is_text = last(pairs, &format!("{prefix}.mode")) == "text";
        let texts = |part: &str| {
            let name = format!("{prefix}.{part}");
            let values = pairs.iter().filter(move |(each, _)| *each == name);
            values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        if is_text {
            return BodyForm::Text(texts("text").pop().unwrap_or_default());
        }
        let (names, values, kinds) = (texts("name"), texts("value"), texts("kind"));
        let rows = names.into_iter().enumerate().map(|(index, name)| Row {
            name,
            value: values.get(index).cloned().unwrap_or_default(),
            is_json: kinds.get(index).is_some_and(|kind| kind == "json"),
        });
        BodyForm::Rows(rows.collect())
    }

    /// The part of the slot of a place below the body: `.subject`.
    fn slot(&self, below: &str) -> String {
        let name = below.trim_start_matches('.');
        let BodyForm::Rows(rows) = self else {
            return "text".into();
        };
        let is_at = |row: &Row| {
            let row = row.name.trim();
            name.strip_prefix(row).is_some_and(|rest| {
                !row.is_empty() && (rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        match rows.iter().rposition(is_at) {
            Some(index) => format!("row{index}"),
            None => "body".into(),
        }
    }
}

fn last(pairs: &Pairs, name: &str) -> String {
    let found = pairs.iter().rev().find(|(each, _)| each == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

fn has(pairs: &Pairs, name: &str) -> bool {
    pairs.iter().any(|(each, _)| each == name)
}

impl RequestForm {
    fn of(said: &Json) -> RequestForm {
        let mut rest = said.as_object().cloned().unwrap_or_default();
        let mut take = |name: &str| rest.shift_remove(name);
        RequestForm {
            name: text_of(take("name").as_ref()),
            method: text_of(take("method").as_ref()),
            entity_set: text_of(take("entitySet").as_ref()),
            query: pasted(take("queryString").as_ref()),
            when: text_of(take("when").as_ref()),
            is_main: take("main") == Some(Json::Bool(true)),
            body: BodyForm::of(take("body").as_ref()),
            rest,
        }
    }

    /// A new request of a step.
    pub fn new(step: Step) -> RequestForm {
        let creates = step == Step::ContactStart;
        RequestForm {
            method: if creates { "POST" } else { "PATCH" }.into(),
            entity_set: "phonecalls".into(),
            query: if creates {
                ""
            } else {
                "(STEP2-Response.activityid)"
            }
            .into(),
            body: BodyForm::Rows(vec![Row::default()]),
            ..RequestForm::default()
        }
    }

    fn json(&self) -> Json {
        let mut said = Map::new();
        put(&mut said, "name", self.name.trim());
        put(&mut said, "when", &self.when);
        if self.is_main {
            said.insert("main".into(), true.into());
        }
        said.insert("method".into(), self.method.as_str().into());
        said.insert("entitySet".into(), self.entity_set.trim().into());
        if !self.query.trim().is_empty() {
            said.insert("queryString".into(), as_pasted(&self.query));
        }
        said.extend(self.body.json().map(|body| ("body".to_owned(), body)));
        said.extend(self.rest.clone());
        said.into()
    }

    fn read(pairs: &Pairs, index: &str) -> RequestForm {
        let of = |part: &str| last(pairs, &format!("r{index}.{part}"));
        RequestForm {
            name: of("requestName"),
            method: of("method"),
            entity_set: of("entitySet"),
            query: of("query"),
            when: of("when"),
            is_main: last(pairs, "main") == *index,
            body: BodyForm::read(pairs, &format!("r{index}.body")),
            rest: serde_json::from_str(&of("rest")).unwrap_or_default(),
        }
    }
}

impl CustomerForm {
    fn of(said: &Json) -> CustomerForm {
        let mut rest = said.as_object().cloned().unwrap_or_default();
        let mut take = |name: &str| rest.shift_remove(name);
        let tables = take("tables");
        let known_tables = tables
            .as_ref()
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default();
        let sets = known_tables.iter().map(|it| text_of(it.get("entitySet")));
        let tables = sets.collect::<Vec<_>>().join(", ");
        let none = take("none").unwrap_or_default();
        let mut new_rest = none["create"].as_object().cloned().unwrap_or_default();
        let new_entity_set = text_of(new_rest.shift_remove("entitySet").as_ref());
        let new_body = BodyForm::of(new_rest.shift_remove("body").as_ref());
        let many = take("many").unwrap_or_default();
        CustomerForm {
            value: text_of(take("value").as_ref()),
            kind: text_of(take("kind").as_ref()),
            country: text_of(take("country").as_ref()),
            tables,
            none: if none.is_object() { "create" } else { "skip" }.into(),
            new_entity_set,
            new_body,
            many: match &many {
                Json::Object(_) => "orderby".into(),
                Json::String(many) => many.clone(),
                _ => "none".into(),
            },
            order: text_of(many.get("orderby")),
            when: text_of(take("when").as_ref()),
            is_linked_later: take("linkLater") == Some(Json::Bool(true)),
            known_tables,
            new_rest,
            rest,
        }
    }

    /// What a customer block begins with.
    pub fn suggested() -> CustomerForm {
        CustomerForm {
            tables: "contacts, accounts".into(),
            none: "skip".into(),
            many: "none".into(),
            ..CustomerForm::default()
        }
    }

    fn json(&self) -> Json {
        let mut said = Map::new();
        put(&mut said, "value", &self.value);
        put(&mut said, "kind", &self.kind);
        put(&mut said, "country", self.country.trim());
        // A table can be searched twice, by other columns: each is taken once.
        let mut known_tables = self.known_tables.clone();
        let tables = list(&self.tables).into_iter().map(|entity_set| {
            let mut known = known_tables.iter();
            let known = known.position(|it| text_of(it.get("entitySet")) == entity_set);
            known.map_or_else(
                || json!({"entitySet": entity_set}),
                |index| known_tables.remove(index),
            )
        });
        said.insert("tables".into(), tables.collect::<Vec<_>>().into());
        if self.none == "create" {
            let mut new = Map::new();
            new.insert("entitySet".into(), self.new_entity_set.trim().into());
            let body = self.new_body.json();
            new.insert("body".into(), body.unwrap_or_else(|| Map::new().into()));
            new.extend(self.new_rest.clone());
            said.insert("none".into(), json!({"create": new}));
        }
        match self.many.as_str() {
            "orderby" => {
                said.insert("many".into(), json!({"orderby": self.order}));
            }
            "none" | "" => {}
            other => {
                said.insert("many".into(), other.into());
            }
        }
        put(&mut said, "when", &self.when);
        if self.is_linked_later {
            said.insert("linkLater".into(), true.into());
        }
        said.extend(self.rest.clone());
        said.into()
    }

    fn read(pairs: &Pairs, known: Option<&CustomerForm>) -> CustomerForm {
        let of = |part: &str| last(pairs, &format!("customer.{part}"));
        CustomerForm {
            value: of("value"),
            kind: of("kind"),
            country: of("country"),
            tables: of("tables"),
            none: of("none"),
            new_entity_set: of("newEntitySet"),
            new_body: BodyForm::read(pairs, "customer.new"),
            many: of("many"),
            order: of("order"),
            when: of("when"),
            is_linked_later: has(pairs, "customer.linkLater"),
            known_tables: known.map(|it| it.known_tables.clone()).unwrap_or_default(),
            new_rest: known.map(|it| it.new_rest.clone()).unwrap_or_default(),
            rest: known.map(|it| it.rest.clone()).unwrap_or_default(),
        }
    }

    /// Whether it says anything that another one does not.
    fn says(&self, other: &CustomerForm) -> bool {
        let form = CustomerForm {
            new_body: other.new_body.clone(),
            ..self.clone()
        };
        form != *other || !matches!(self.new_body.json(), None | Some(Json::Null))
    }

    fn slot(&self, below: &str) -> String {
        let part = if let Some(new) = below.strip_prefix("none.create") {
            match new.strip_prefix(".body") {
                Some(column) => format!("new.{}", self.new_body.slot(column)),
                None => "newEntitySet".into(),
            }
        } else {
            let field = below.split(['.', '[']).next().unwrap_or_default();
            let shown = [
                "value",
                "kind",
                "country",
                "tables",
                "none",
                "many",
                "when",
                "linkLater",
            ];
            if shown.contains(&field) {
                field.into()
            } else {
                "tables".into()
            }
        };
        format!("customer.{part}")
    }
}

impl PopForm {
    fn of(said: &Json) -> PopForm {
        let mut rest = said.as_object().cloned().unwrap_or_default();
        let open = rest.shift_remove("open");
        let open = open.as_ref().and_then(Json::as_array);
        PopForm {
            open: open
                .into_iter()
                .flatten()
                .map(|it| text_of(Some(it)))
                .collect(),
            query: pasted(rest.shift_remove("queryString").as_ref()),
            target: text_of(rest.shift_remove("target").as_ref()),
            rest,
        }
    }

    fn json(&self) -> Json {
        let mut said = Map::new();
        if !self.open.is_empty() {
            said.insert("open".into(), self.open.clone().into());
        }
        if !self.query.trim().is_empty() {
            said.insert("queryString".into(), as_pasted(&self.query));
        }
        put(&mut said, "target", &self.target);
        said.extend(self.rest.clone());
        said.into()
    }
}

impl StepForm {
    /// The form of what a step says, with the blocks of it that are switched off.
    pub fn of(said: Option<&Json>, is_on: bool, off: &Map<String, Json>) -> StepForm {
        let mut rest = said.and_then(Json::as_object).cloned().unwrap_or_default();
        let mut take = |name: &str| rest.shift_remove(name);
        let one = take("request");
        let several = take("requests");
        let is_list = several.is_some();
        let several = several.as_ref().and_then(Json::as_array);
        let requests = one.iter().chain(several.into_iter().flatten());
        let requests = requests.map(RequestForm::of).collect();
        let reply = take("reply").and_then(|reply| {
            let names = reply.as_array()?.iter().map(|name| text_of(Some(name)));
            Some(names.collect::<Vec<_>>().join(", "))
        });
        let kinds = take("objectKinds").and_then(|kinds| {
            let kinds = kinds.as_array()?.iter().map(|kind| text_of(Some(kind)));
            Some(kinds.collect())
        });
        StepForm {
            is_on,
            customer: take("customer").as_ref().map(CustomerForm::of),
            customer_off: off.get("customer").map(CustomerForm::of),
            pop: take("screenPop").as_ref().map(PopForm::of),
            pop_off: off.get("screenPop").map(PopForm::of),
            requests,
            is_list,
            reply: reply.unwrap_or_default(),
            object_kinds: kinds
                .unwrap_or_else(|| vec!["recording".to_owned(), "transcript".to_owned()]),
            rest,
        }
    }

    /// What the step says in the document.
    pub fn json(&self, step: Step) -> Json {
        let mut said = Map::new();
        let customer = self.customer.as_ref().map(CustomerForm::json);
        said.extend(customer.map(|customer| ("customer".to_owned(), customer)));
        if step == Step::ContactAnswered {
            let pop = self.pop.as_ref().map(PopForm::json);
            said.extend(pop.map(|pop| ("screenPop".to_owned(), pop)));
        }
        match &self.requests[..] {
            [] => {}
            [one] if !self.is_list || one.name.trim().is_empty() => {
                said.insert("request".into(), one.json());
            }
            several => {
                let several: Vec<Json> = several.iter().map(RequestForm::json).collect();
                said.insert("requests".into(), several.into());
            }
        }
        let reply = list(&self.reply);
        if !reply.is_empty() && step != Step::RecordingAvailable {
            said.insert("reply".into(), reply.into());
        }
        if step == Step::RecordingAvailable {
            said.insert("objectKinds".into(), self.object_kinds.clone().into());
        }
        said.extend(self.rest.clone());
        said.into()
    }

    /// The blocks that are switched off, with what they say.
    pub fn off(&self) -> Map<String, Json> {
        let customer = self.customer_off.as_ref().map(CustomerForm::json);
        let pop = self.pop_off.as_ref().map(PopForm::json);
        let blocks = [("customer", customer), ("screenPop", pop)];
        let blocks = blocks.into_iter();
        blocks
            .filter_map(|(name, said)| Some((name.to_owned(), said?)))
            .collect()
    }

    /// What was filled in. `known` is the form of what the draft says: what it does not show comes from there.
    pub fn read(pairs: &Pairs, known: &StepForm) -> StepForm {
        let pairs = &in_unix_lines(pairs);
        let mut requests = Vec::new();
        for (name, index) in pairs {
            if name == "request" {
                requests.push(RequestForm::read(pairs, index));
            }
        }
        let known_customer = known.customer.as_ref().or(known.customer_off.as_ref());
        let customer = CustomerForm::read(pairs, known_customer);
        let suggested = CustomerForm::suggested();
        let (customer, customer_off) = if has(pairs, "customer.on") {
            (Some(customer), None)
        } else {
            let is_shown = has(pairs, "customer.tables");
            let says_something = known_customer.is_some() || is_shown && customer.says(&suggested);
            (None, says_something.then_some(customer))
        };
        let known_pop = known.pop.as_ref().or(known.pop_off.as_ref());
        let open = |name: &&(&str, &str)| has(pairs, &format!("pop.open.{}", name.0));
        let opened = OPENINGS.iter().filter(open).map(|it| it.0.to_owned());
        let opened: Vec<String> = opened.collect();
        let pop = PopForm {
            // The order of what is opened has no field: that of the document stays, as far as it goes.
            open: match known_pop {
                Some(before) => in_order_of(&before.open, opened),
                None => opened,
            },
            query: last(pairs, "pop.query"),
            target: last(pairs, "pop.target"),
            rest: known_pop.map(|pop| pop.rest.clone()).unwrap_or_default(),
        };
        let (pop, pop_off) = if has(pairs, "pop.on") {
            (Some(pop), None)
        } else {
            let says_something = known_pop.is_some() || !pop.query.trim().is_empty();
            (None, says_something.then_some(pop))
        };
        let kind = |kind: &&(&str, &str)| has(pairs, &format!("kind.{}", kind.0));
        StepForm {
            is_on: has(pairs, "on"),
            customer,
            customer_off,
            pop,
            pop_off,
            is_list: known.is_list,
            requests,
            reply: last(pairs, "reply"),
            object_kinds: OBJECT_KINDS
                .iter()
                .filter(kind)
                .map(|it| it.0.to_owned())
                .collect(),
            rest: known.rest.clone(),
        }
    }

    /// What is wrong with what was typed, before the document is made of it: by slot.
    pub fn problems(&self) -> BTreeMap<String, Vec<String>> {
        let mut problems: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut bodies: Vec<(String, &BodyForm)> = Vec::new();
        for (index, request) in self.requests.iter().enumerate() {
            bodies.push((format!("r{index}"), &request.body));
        }
        if let Some(customer) = &self.customer
            && customer.none == "create"
        {
            bodies.push(("customer.new".into(), &customer.new_body));
        }
        for (slot, body) in bodies {
            for (part, message) in body.problems() {
                problems
                    .entry(format!("{slot}.{part}"))
                    .or_default()
                    .push(message);
            }
        }
        problems
    }

    /// The slot at which a message about a place is shown. One about a whole request that names something which one
    /// line of its body alone uses is shown there.
    pub fn slot_of(&self, step: Step, place: &str, message: &str) -> Option<String> {
        let slot = self.slot(step, place)?;
        let request = slot.strip_suffix(".request");
        let index = request.and_then(|request| request.strip_prefix('r')?.parse::<usize>().ok());
        let request = index.and_then(|index| self.requests.get(index));
        let Some(BodyForm::Rows(rows)) = request.map(|request| &request.body) else {
            return Some(slot);
        };
        let named = message.split('`').skip(1).step_by(2);
        for name in named.filter(|name| name.len() > 2) {
            let mut uses = rows.iter().enumerate();
            let mut uses = uses.by_ref().filter(|(_, row)| row.value.contains(name));
            if let (Some((row, _)), None) = (uses.next(), uses.next()) {
                return Some(slot.replace(".request", &format!(".row{row}")));
            }
        }
        Some(slot)
    }

    /// The slot at which a place of the document is shown; none for one that has no field.
    pub fn slot(&self, step: Step, place: &str) -> Option<String> {
        let below = place.strip_prefix(&format!("steps.{step}"))?;
        let below = below.trim_start_matches('.');
        let (request, below) = if let Some(rest) = below.strip_prefix("requests[") {
            let (index, rest) = rest.split_once(']')?;
            (Some(index.parse::<usize>().ok()?), rest)
        } else if let Some(rest) = below.strip_prefix("request")
            && (rest.is_empty() || rest.starts_with('.'))
        {
            (Some(0), rest)
        } else {
            (None, below)
        };
        if let Some(index) = request {
            let request = self.requests.get(index)?;
            let below = below.trim_start_matches('.');
            let part = match below.split(['.', '[']).next().unwrap_or_default() {
                "body" => request.body.slot(&below["body".len()..]),
                "queryString" => "query".into(),
                "name" => "requestName".into(),
                part @ ("when" | "method" | "entitySet") => part.into(),
                _ => "request".into(),
            };
            return Some(format!("r{index}.{part}"));
        }
        if let Some(below) = below.strip_prefix("customer") {
            let customer = self.customer.as_ref()?;
            return Some(customer.slot(below.trim_start_matches('.')));
        }
        if let Some(below) = below.strip_prefix("screenPop") {
            let part = match below.trim_start_matches('.').split(['.', '[']).next() {
                Some("open") => "open",
                Some("target") => "target",
                _ => "query",
            };
            return Some(format!("pop.{part}"));
        }
        match below.split(['.', '[']).next() {
            Some("reply") => Some("reply".into()),
            Some("objectKinds") => Some("kinds".into()),
            _ => None,
        }
    }
}

/// The same items in the order that they have, unless `order` has some of them otherwise: then those of `order`
/// first, in its order.
pub fn in_order_of(order: &[String], items: Vec<String>) -> Vec<String> {
    let place = |item: &String| order.iter().position(|other| other == item);
    let (mut known, new): (Vec<String>, Vec<String>) = items
        .iter()
        .cloned()
        .partition(|item| place(item).is_some());
    if known.is_sorted_by_key(place) {
        return items;
    }
    known.sort_by_key(place);
    known.extend(new);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes() -> Vec<Json> {
        let mut recipes = Vec::new();
        for recipe in [
            include_str!("../../docs/recipes/phone-call.json"),
            include_str!("../../docs/recipes/chat.json"),
            include_str!("../../docs/recipes/conversation.json"),
            include_str!("../../docs/recipes/case-for-queue.json"),
            include_str!("../../docs/recipes/lead-for-unknown.json"),
            include_str!("../../docs/recipes/task-for-missed.json"),
            include_str!("../../docs/recipes/note-with-transcript.json"),
            include_str!("../../docs/recipes/environments-sales.json"),
        ] {
            recipes.push(serde_json::from_str(recipe).unwrap());
        }
        recipes
    }

    /// The fields that a page with this form would send.
    fn sent(form: &StepForm) -> Pairs {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut say = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
        let body = |say: &mut dyn FnMut(&str, &str), prefix: &str, body: &BodyForm| match body {
            BodyForm::Text(text) => {
                say(&format!("{prefix}.mode"), "text");
                say(&format!("{prefix}.text"), text);
            }
            BodyForm::Rows(rows) => {
                for row in rows {
                    say(&format!("{prefix}.name"), &row.name);
                    say(&format!("{prefix}.value"), &row.value);
                    say(
                        &format!("{prefix}.kind"),
                        if row.is_json { "json" } else { "text" },
                    );
                }
            }
        };
        if form.is_on {
            say("on", "on");
        }
        if let Some(customer) = &form.customer {
            for (part, value) in [
                ("on", "on"),
                ("value", &customer.value),
                ("kind", &customer.kind),
                ("country", &customer.country),
                ("tables", &customer.tables),
                ("none", &customer.none),
                ("newEntitySet", &customer.new_entity_set),
                ("many", &customer.many),
                ("order", &customer.order),
                ("when", &customer.when),
            ] {
                say(&format!("customer.{part}"), value);
            }
            if customer.is_linked_later {
                say("customer.linkLater", "on");
            }
            body(&mut say, "customer.new", &customer.new_body);
        }
        if let Some(pop) = &form.pop {
            say("pop.on", "on");
            for open in &pop.open {
                say(&format!("pop.open.{open}"), "on");
            }
            say("pop.query", &pop.query);
            say("pop.target", &pop.target);
        }
        for (index, request) in form.requests.iter().enumerate() {
            say("request", &index.to_string());
            for (part, value) in [
                ("requestName", &request.name),
                ("method", &request.method),
                ("entitySet", &request.entity_set),
                ("query", &request.query),
                ("when", &request.when),
                ("rest", &Json::from(request.rest.clone()).to_string()),
            ] {
                say(&format!("r{index}.{part}"), value);
            }
            if request.is_main {
                say("main", &index.to_string());
            }
            body(&mut say, &format!("r{index}.body"), &request.body);
        }
        say("reply", &form.reply);
        for kind in &form.object_kinds {
            say(&format!("kind.{kind}"), "on");
        }
        pairs
    }

    #[test]
    fn every_recipe_comes_back_from_its_form_as_it_was() {
        for recipe in recipes() {
            for step in Step::ALL {
                let said = &recipe["steps"][step.as_str()];
                if said.is_null() {
                    continue;
                }
                let form = StepForm::of(Some(said), true, &Map::new());
                let mut expected = said.clone();
                if step == Step::RecordingAvailable && expected["objectKinds"].is_null() {
                    expected["objectKinds"] = json!(["recording", "transcript"]);
                }
                assert_eq!(form.json(step), expected, "{step}");
                assert_eq!(StepForm::read(&sent(&form), &form), form, "{step}");
            }
        }
    }

    #[test]
    fn what_the_form_does_not_show_stays() {
        let said = json!({
            "customer": {"tables": [{"entitySet": "contacts", "phoneColumns": ["x"]}], "many": {"orderby": "modifiedon desc"}, "odd": 1},
            "requests": [{"name": "a", "method": "POST", "entitySet": "new_calls", "primaryKey": "k", "body": "{'odd'}", "main": true}],
            "unknown": true
        });
        let form = StepForm::of(Some(&said), true, &Map::new());
        assert_eq!(form.json(Step::ContactStart), said);
        let read = StepForm::read(&sent(&form), &form);
        assert_eq!(read.json(Step::ContactStart), said);
    }

    #[test]
    fn what_is_opened_keeps_the_order_that_the_page_shows() {
        let list = |items: &str| -> Vec<String> { items.split(' ').map(str::to_owned).collect() };
        for (order, items, expected) in [
            ("record", "customer search record", "customer search record"),
            (
                "customer record",
                "customer search record",
                "customer search record",
            ),
            (
                "record customer",
                "customer search record",
                "record customer search",
            ),
            ("record customer", "customer search", "customer search"),
        ] {
            assert_eq!(
                in_order_of(&list(order), list(items)),
                list(expected),
                "{order}"
            );
        }
    }

    #[test]
    fn a_place_is_shown_where_it_was_filled_in() {
        let recipe = &recipes()[4];
        let step = Step::ContactStart;
        let form = StepForm::of(Some(&recipe["steps"][step.as_str()]), true, &Map::new());
        for (place, slot) in [
            ("steps.contact-start.request.body.subject", "r0.row0"),
            (
                "steps.contact-start.request.body.subject.deep[1]",
                "r0.row0",
            ),
            ("steps.contact-start.request.body.none", "r0.body"),
            ("steps.contact-start.request.queryString", "r0.query"),
            ("steps.contact-start.request.primaryKey", "r0.request"),
            (
                "steps.contact-start.customer.tables[0].entitySet",
                "customer.tables",
            ),
            (
                "steps.contact-start.customer.none.create.entitySet",
                "customer.newEntitySet",
            ),
        ] {
            assert_eq!(form.slot(step, place).as_deref(), Some(slot), "{place}");
        }
        assert_eq!(form.slot(step, "steps.contact-start.unknown"), None);
        assert_eq!(form.slot(step, "connection.appId"), None);
    }

    #[test]
    fn blocks_that_are_switched_off_are_kept_and_lines_end_as_in_a_document() {
        let said = &recipes()[0]["steps"]["contact-start"];
        let form = StepForm::of(Some(said), true, &Map::new());
        let mut pairs = sent(&form);
        pairs.retain(|(name, _)| name != "customer.on");
        for (name, value) in &mut pairs {
            if name == "r0.when" {
                *value = "Channel == 'VOICE'\r\nand true".into();
            }
        }
        let off = StepForm::read(&pairs, &form);
        assert_eq!(off.json(Step::ContactStart)["customer"], Json::Null);
        assert_eq!(off.requests[0].when, "Channel == 'VOICE'\nand true");
        let again = StepForm::of(Some(&off.json(Step::ContactStart)), true, &off.off());
        assert_eq!(again.customer_off, form.customer);
        pairs.push(("customer.on".into(), "on".into()));
        let on = StepForm::read(&pairs, &again);
        assert_eq!(on.json(Step::ContactStart)["customer"], said["customer"]);
        assert!(on.off().is_empty());
        // A block that was never filled in leaves nothing behind.
        let bare = StepForm::of(None, true, &Map::new());
        let suggested = StepForm {
            customer: Some(CustomerForm::suggested()),
            ..bare.clone()
        };
        let mut pairs = sent(&suggested);
        pairs.retain(|(name, _)| name != "customer.on");
        assert!(StepForm::read(&pairs, &bare).off().is_empty());
    }

    #[test]
    fn a_table_that_is_searched_twice_stays_so() {
        let said = json!({"customer": {"tables": [
            {"entitySet": "contacts", "phoneColumns": ["a"]}, {"entitySet": "contacts", "phoneColumns": ["b"]}
        ]}});
        let form = StepForm::of(Some(&said), true, &Map::new());
        assert_eq!(form.json(Step::ContactEnd), said);
    }

    #[test]
    fn what_cannot_be_kept_as_typed_is_told() {
        let rows = [
            ("a", "1", true),
            ("a", "x", false),
            ("", "lost", false),
            ("b", "{", true),
        ];
        let rows = rows.map(|(name, value, is_json)| Row {
            name: name.into(),
            value: value.into(),
            is_json,
        });
        let form = StepForm {
            requests: vec![RequestForm {
                body: BodyForm::Rows(rows.to_vec()),
                ..RequestForm::new(Step::ContactStart)
            }],
            ..StepForm::default()
        };
        let problems = form.problems();
        assert_eq!(
            Vec::from_iter(problems.keys()),
            ["r0.row1", "r0.row2", "r0.row3"]
        );
    }
}
