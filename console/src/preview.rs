//! What would be sent: a sample contact taken through an integration, without Dynamics.
//!
//! Owns the answers that Dynamics is taken to give. All else is what the functions do: the event is added to
//! a history ([`Task::remember`]), the history says what is next, and the integration renders it
//! ([`Integration::render`]).

use std::collections::BTreeMap;

use connect_dynamics::{
    analysis,
    configuration::PastedObject,
    dataverse::{Kind, Request, Response, Table, part_played},
    history::{History, Next, RequestKey},
    integration::{Conversation, Integration, RenderError, Sending},
    request::record_id,
    step::Step,
};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::sample::{ANALYSIS, Finds, Remembered, Sample, Told, shown};

/// What would be done in one step for a sample contact.
#[derive(Debug, Default)]
pub struct Preview {
    pub requests: Vec<Previewed>,
    /// The page that opens for the agent, and where: `embedded` or `tab`.
    pub page: Option<Result<(String, &'static str), String>>,
    /// Why nothing is done, where nothing is.
    pub nothing: Option<String>,
}

/// A request as a preview shows it.
#[derive(Debug)]
pub struct Previewed {
    pub key: RequestKey,
    /// Its place in the document, `steps.contact-start.request`; none for one that its author has not written.
    pub place: Option<String>,
    pub outcome: Outcome,
    /// The table of its record.
    pub table: Option<Table>,
    /// The fields of the body as its author has written them.
    pub fields: Vec<String>,
    /// What is sent, with what is needed to read the answer.
    pub sending: Option<Sending>,
    /// What of the body goes without a value, by field, and why.
    pub gaps: Vec<(String, String)>,
    /// What Dynamics is taken to answer.
    pub answer: Option<Map<String, Json>>,
    /// Whether Dynamics has answered that.
    pub is_answered: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// These are sent: one, or one for each table where a customer is looked for.
    Sent(Vec<Request>),
    /// There is nothing to send.
    Nothing,
    /// It is not wanted for this contact.
    NotWanted(String),
    /// It cannot be made.
    Failed(String),
}

/// A sample contact that has been taken through an integration.
#[derive(Debug)]
pub struct Walk<'a> {
    integration: &'a Integration,
    sample: &'a Sample,
    history: History,
    now: Timestamp,
    previewed: Vec<Previewed>,
    /// The page that opens for the agent, after contact-answered.
    page: Option<Result<(String, &'static str), String>>,
    heard: Vec<Step>,
}

impl<'a> Walk<'a> {
    /// Takes the sample through all steps.
    pub fn new(integration: &'a Integration, sample: &'a Sample, now: Timestamp) -> Walk<'a> {
        let (history, told) = sample.begin(integration, now);
        let mut walk = Walk {
            integration,
            sample,
            history,
            now,
            previewed: Vec::new(),
            page: None,
            heard: Vec::new(),
        };
        for told in told {
            let step = match told {
                Told::Event(task) => {
                    task.remember(&mut walk.history, integration, walk.now);
                    task.key.step()
                }
                Told::Remembered(remembered) => {
                    let Remembered {
                        key,
                        attributes,
                        object,
                    } = *remembered;
                    if let Some(attributes) = attributes {
                        walk.history.learn(key.step(), &attributes);
                    }
                    if let Some(object) = object {
                        walk.history.learn_object(object);
                    }
                    walk.history.intend(&key, walk.now);
                    key.step()
                }
            };
            walk.heard.push(step);
            walk.deliver();
            if step == Step::ContactAnswered {
                walk.open_page();
            }
        }
        // What waits for something is done without it in the end, or is left.
        walk.now = walk
            .now
            .saturating_add(SignedDuration::from_hours(24))
            .unwrap_or(walk.now);
        walk.deliver();
        walk
    }

    /// What is done in a step.
    pub fn step(self, step: Step) -> Preview {
        let page = self.page.filter(|_| step == Step::ContactAnswered);
        let nothing = if self.heard.contains(&step) {
            let main = RequestKey::of(step);
            let skipped = self.history.request(&main);
            let reason = skipped.and_then(|request| request.reason.clone());
            reason.filter(|_| self.previewed.iter().all(|it| it.key.step() != step))
        } else {
            Some(format!(
                "{} has no event of this step. Choose another sample contact.",
                self.sample.title()
            ))
        };
        let requests: Vec<Previewed> = self
            .previewed
            .into_iter()
            .filter(|previewed| previewed.key.step() == step)
            .collect();
        Preview {
            requests,
            page,
            nothing,
        }
    }

    /// The contact's history as it is in the end.
    pub fn history(&self) -> &History {
        &self.history
    }

    fn open_page(&mut self) {
        let page = self.integration.page(&self.history);
        self.page = match page {
            Ok(None) => None,
            Ok(Some((url, target))) => Some(Ok((url, target.as_str()))),
            Err(error) => Some(Err(error.to_string())),
        };
    }

    /// Does what can be done now.
    fn deliver(&mut self) {
        // A step has a handful of requests; a mistake here must not hang the console.
        for _ in 0..200 {
            let until = self.now + SignedDuration::from_hours(1);
            self.history
                .claim("preview", until, self.integration, self.now);
            match self.history.next(self.integration, self.now) {
                Next::Deliver(key) => self.preview(&key),
                Next::At(at) if at > self.now => self.now = at,
                Next::At(_) | Next::Waiting | Next::Nothing => break,
            }
        }
    }

    fn preview(&mut self, key: &RequestKey) {
        let now = self.now;
        if let Some(unmet) = self.history.unmet(key, self.integration) {
            self.history.cannot_be_sent(key, self.integration, now);
            let outcome = if unmet.is_not_wanted {
                Outcome::NotWanted(unmet.to_string())
            } else {
                Outcome::Failed(unmet.to_string())
            };
            return self.add(key, outcome);
        }
        if key.step() == Step::ContactStart
            && let Some(first) = self.integration.first_contact(&self.history)
        {
            return self.adopt(key, first);
        }
        let said = match self.integration.conversation(key, &self.history, now) {
            Conversation::None => None,
            Conversation::Wait(left) => {
                let due = now.saturating_add(left).unwrap_or(now);
                self.history.postponed(key, "it waits".into(), due, now);
                return;
            }
            Conversation::NotWanted(reason) => {
                self.history.not_wanted(key, &reason, now);
                return self.add(key, Outcome::NotWanted(reason));
            }
            Conversation::Read(_) => analysis::read(ANALYSIS.as_bytes())
                .ok()
                .map(|analysis| self.integration.said(analysis)),
        };
        let rendered = match self.integration.render(key, &self.history, said.as_ref()) {
            Ok(rendered) => rendered,
            Err(RenderError::NotWanted(reason) | RenderError::NotConfigured(reason)) => {
                self.history.not_wanted(key, &reason, now);
                return self.add(key, Outcome::NotWanted(reason));
            }
            Err(error) => {
                let reason = error.to_string();
                self.history.failed(key, reason.clone(), now);
                return self.add(key, Outcome::Failed(reason));
            }
        };
        let answered = self.sample.answers.get(&key.to_string());
        let sending = rendered.sending.clone();
        let (outcome, answer) = match rendered.sending {
            Sending::Nothing => {
                self.history.delivered(key, None, None, now);
                return self.add(key, Outcome::Nothing);
            }
            Sending::Customer(query) => {
                let answers = self.found(&query.value(), query.requests());
                let found = self.integration.found_customer(key, &query, &answers);
                let requests = query.requests().cloned().collect();
                (Outcome::Sent(requests), found.map(|found| (None, found)))
            }
            Sending::Agent(query) => {
                let user = json!({
                    "systemuserid": sample_id(1), "fullname": "Grace Agent",
                    "domainname": query.username, "internalemailaddress": "agent@example.com",
                    &self.integration.configuration().agent.column: query.username,
                });
                let answer = answer([user]);
                let found = self.integration.found_agent(&answer);
                (
                    Outcome::Sent(vec![query.request]),
                    found.map(|found| (None, found)),
                )
            }
            Sending::Request(request) => {
                let (id, body) = self.answer_to(key, &request);
                (Outcome::Sent(vec![request]), Ok((id, body)))
            }
        };
        let answer = answered.cloned().map_or(answer, Ok);
        let shown = match answer {
            Ok((id, body)) => {
                let kept = self.integration.keeps(key).then(|| body.clone());
                self.history.delivered(key, id, kept, now);
                if rendered.is_unlinked {
                    for link in &rendered.links {
                        self.history.owe(link, now);
                    }
                }
                Some(body)
            }
            Err(reason) => {
                self.history.not_wanted(key, &reason, now);
                None
            }
        };
        self.add(key, outcome);
        if let Some(last) = self.previewed.last_mut() {
            let gaps = rendered.gaps.into_iter();
            last.gaps = gaps.map(|gap| (gap.field, gap.reason)).collect();
            last.sending = Some(sending);
            last.is_answered = answered.is_some();
            last.answer = shown;
        }
    }

    /// The contact is recorded on the record of its first one, which is taken to be there.
    fn adopt(&mut self, key: &RequestKey, first: Uuid) {
        let now = self.now;
        let reason = "the contact is recorded on the record of its first leg";
        if key.request().is_some() {
            self.history.not_wanted(key, reason, now);
        } else {
            let id = record_id(first, key);
            let table = self.integration.table(key);
            let primary_key = table.map(|table| table.primary_key.clone());
            let mut record = Map::new();
            record.extend(primary_key.map(|key| (key, Json::from(id.to_string()))));
            self.history.delivered(key, Some(id), Some(record), now);
        }
        self.add(key, Outcome::NotWanted(reason.into()));
    }

    fn add(&mut self, key: &RequestKey, outcome: Outcome) {
        self.previewed.retain(|previewed| previewed.key != *key);
        self.previewed.push(Previewed {
            key: key.clone(),
            place: place(self.integration, key),
            outcome,
            sending: None,
            table: self.integration.table(key).cloned(),
            fields: fields(self.integration, key),
            gaps: Vec::new(),
            answer: None,
            is_answered: false,
        });
    }

    /// What Dynamics is taken to answer to each table's look-up of a customer.
    fn found<'r>(&self, value: &str, requests: impl Iterator<Item = &'r Request>) -> Vec<Response> {
        let number = match self.sample.finds {
            Finds::Nobody => 0,
            Finds::One => 1,
            Finds::Several => 2,
        };
        let record = |request: &Request, number: u8| {
            let mut record = Map::new();
            let select = request.path.split(['?', '&']);
            let select = select.filter_map(|option| option.strip_prefix("$select="));
            for column in select.flat_map(|columns| columns.split(',')) {
                let answer = if column == request.primary_key {
                    json!(sample_id(number))
                } else if column.contains("name") || column == "subject" {
                    json!("Ada Example")
                } else {
                    // The columns that were compared hold what was looked for.
                    json!(value)
                };
                record.insert(column.to_owned(), answer);
            }
            Json::from(record)
        };
        let mut answers = Vec::new();
        for (index, request) in requests.enumerate() {
            let number = if index == 0 { number } else { 0 };
            answers.push(answer(
                (0..number).map(|number| record(request, 2 + number)),
            ));
        }
        answers
    }

    /// What Dynamics is taken to answer to a request, and the record's id.
    fn answer_to(&self, key: &RequestKey, request: &Request) -> (Option<Uuid>, Map<String, Json>) {
        let mut body = request.body.clone().unwrap_or_default();
        body.retain(|name, _| !name.contains('@'));
        let id = match &request.kind {
            Kind::Create { record_id, .. } => Some(*record_id),
            Kind::Action => None,
            _ => Some(id_in(&request.path).unwrap_or_else(|| sample_id(9))),
        };
        if let Some(id) = id {
            body.entry(request.primary_key.clone())
                .or_insert_with(|| id.to_string().into());
        }
        for field in self.integration.named_fields(key) {
            let is_id = field.ends_with("id") || field.starts_with('_');
            body.entry(field.clone()).or_insert_with(|| {
                if is_id {
                    sample_id(8).to_string().into()
                } else {
                    format!("sample {field}").into()
                }
            });
        }
        if request.kind == Kind::Read && !request.path.contains('(') {
            body = Map::from_iter([("value".to_owned(), json!([body]))]);
        }
        (id, body)
    }
}

/// Whether a request names a record that only a preview knows.
pub fn is_made_up(request: &Request) -> bool {
    let made_up = "00000000-0000-4000-8000-00000000a00";
    let body = request
        .body
        .clone()
        .map(|body| Json::from(body).to_string());
    request.path.contains(made_up) || body.is_some_and(|body| body.contains(made_up))
}

/// An id that nothing has.
fn sample_id(number: u8) -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_a000 + u128::from(number))
}

fn id_in(path: &str) -> Option<Uuid> {
    let (_, key) = path.split_once('(')?;
    Uuid::try_parse(key.split(')').next()?).ok()
}

fn answer(records: impl IntoIterator<Item = Json>) -> Response {
    let records: Vec<Json> = records.into_iter().collect();
    Response {
        status: 200,
        body: Map::from_iter([("value".to_owned(), records.into())]),
        record_id: None,
        attempts: 1,
        was_there: false,
    }
}

/// What a field that links to a record has become: Dataverse has other names for these.
fn linked(name: &str, table: Option<&Table>, body: &Map<String, Json>) -> String {
    let is_of = |key: &str| {
        let key = key.split('@').next().unwrap_or_default();
        key == name
            || key
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('_'))
    };
    let bound = body.iter().find(|(key, _)| key.contains('@') && is_of(key));
    if let Some((key, value)) = bound {
        return format!("{key}: {}", shown(value));
    }
    let parties = body
        .iter()
        .find(|(key, _)| key.ends_with("_activity_parties"));
    let part = table
        .and_then(|table| part_played(table, name))
        .map(i64::from);
    let party = parties.and_then(|(_, parties)| {
        let mut parties = parties.as_array()?.iter();
        parties.find(|party| part.is_some() && party["participationtypemask"].as_i64() == part)
    });
    match party {
        Some(party) => {
            let fields = party.as_object().into_iter().flatten();
            let mut links = fields.filter(|(key, _)| key.ends_with("@odata.bind"));
            links
                .next()
                .map_or_else(|| shown(party), |(_, record)| shown(record))
        }
        None => "left out".into(),
    }
}

/// The fields of a request's body, where it is an object.
fn fields(integration: &Integration, key: &RequestKey) -> Vec<String> {
    let request = place(integration, key).and_then(|place| {
        let view = integration.configuration().steps.get(key.step())?;
        let mut requests = view.requests.into_iter();
        requests.find(|(other, _)| *other == place)
    });
    let body = request.and_then(|(_, request)| request.body.as_ref());
    match body {
        Some(PastedObject::Object(body)) => body.keys().cloned().collect(),
        Some(PastedObject::Text(text)) => match serde_json::from_str(text) {
            Ok(Json::Object(body)) => body.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        },
        None => Vec::new(),
    }
}

/// Where a request stands in the document.
fn place(integration: &Integration, key: &RequestKey) -> Option<String> {
    let view = integration.configuration().steps.get(key.step())?;
    let index = match key.request() {
        None => view.main()?,
        Some(name) => view
            .requests
            .iter()
            .position(|(_, request)| request.name.as_deref() == Some(name))?,
    };
    Some(view.requests.get(index)?.0.clone())
}

/// A record's id and what an answer holds: what a preview goes on with.
pub type Answered = (Option<Uuid>, Map<String, Json>);

impl Previewed {
    /// The requests that are sent.
    pub fn requests(&self) -> &[Request] {
        match &self.outcome {
            Outcome::Sent(requests) => requests,
            _ => &[],
        }
    }

    /// What Dynamics' answers to the requests mean, as the functions take them.
    ///
    /// # Errors
    /// Why they mean nothing: nobody was found.
    pub fn read(
        &self,
        integration: &Integration,
        answers: &[Response],
    ) -> Result<Answered, String> {
        let first = answers.first().ok_or("nothing was answered")?;
        match &self.sending {
            Some(Sending::Customer(query)) => {
                let found = integration.found_customer(&self.key, query, answers)?;
                Ok((None, found))
            }
            Some(Sending::Agent(_)) => Ok((None, integration.found_agent(first)?)),
            _ => Ok((first.record_id, first.body.clone())),
        }
    }

    /// What the request is, in a few words.
    pub fn title(&self) -> String {
        match self.key.request() {
            None => "The step's main request".into(),
            Some("customer") => "Look for the customer".into(),
            Some("new-customer") => "Create the customer, who was not found".into(),
            Some("agent") => "Look for the agent's user".into(),
            Some("link" | "link-parties") => "Link the record to its customer".into(),
            Some(name) => format!("Request {name}"),
        }
    }
}

impl Preview {
    /// What each field of the document came to, by its place: what is shown beside the field.
    pub fn values(&self, step: Step) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for previewed in &self.requests {
            if previewed.key.request() == Some("customer") {
                let place = format!("steps.{step}.customer.value");
                let sought = previewed
                    .answer
                    .as_ref()
                    .and_then(|found| found.get("value"));
                values.extend(sought.map(|sought| (place, shown(sought))));
            }
            let Some(place) = &previewed.place else {
                continue;
            };
            match &previewed.outcome {
                Outcome::NotWanted(reason) if reason.starts_with("its condition") => {
                    values.insert(
                        format!("{place}.when"),
                        "does not hold: nothing is sent".into(),
                    );
                }
                Outcome::Sent(requests) => {
                    values.insert(format!("{place}.when"), "holds: the request is sent".into());
                    for request in requests {
                        let path = percent_decode_str(&request.path).decode_utf8_lossy();
                        if path.contains(['(', '?', '/']) {
                            values.insert(format!("{place}.queryString"), path.into_owned());
                        }
                        let body = request.body.clone().unwrap_or_default();
                        for (name, value) in &body {
                            values.insert(format!("{place}.body.{name}"), shown(value));
                        }
                        for name in &previewed.fields {
                            let value = values.entry(format!("{place}.body.{name}"));
                            value.or_insert_with(|| linked(name, previewed.table.as_ref(), &body));
                        }
                    }
                    for (field, reason) in &previewed.gaps {
                        let place = format!("{place}.body.{field}");
                        let value = values.get(&place).filter(|value| *value != "left out");
                        let told = match value {
                            Some(value) => format!("{value} (without {reason})"),
                            None => format!("left out: {reason}"),
                        };
                        values.insert(place, told);
                    }
                }
                _ => {}
            }
        }
        if let Some(Ok((url, _))) = &self.page {
            values.insert(format!("steps.{step}.screenPop.queryString"), url.clone());
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{LIVES, SampleSource};

    const RECIPES: [(&str, &str); 4] = [
        (
            "phone-call",
            include_str!("../../docs/recipes/phone-call.json"),
        ),
        ("chat", include_str!("../../docs/recipes/chat.json")),
        (
            "conversation",
            include_str!("../../docs/recipes/conversation.json"),
        ),
        (
            "lead",
            include_str!("../../docs/recipes/lead-for-unknown.json"),
        ),
    ];

    fn now() -> Timestamp {
        "2026-11-28T10:00:00Z".parse().unwrap()
    }

    fn sample(life: &str, finds: Finds) -> Sample {
        Sample {
            source: SampleSource::Life(life.into()),
            finds,
            ..Sample::default()
        }
    }

    #[test]
    fn every_sample_goes_through_every_recipe() {
        for (name, recipe) in RECIPES {
            let integration = Integration::load(recipe).unwrap();
            for life in &LIVES {
                for finds in [Finds::One, Finds::Nobody, Finds::Several] {
                    let sample = sample(life.name, finds);
                    for step in Step::ALL {
                        let preview = Walk::new(&integration, &sample, now()).step(step);
                        for previewed in &preview.requests {
                            assert!(
                                !matches!(previewed.outcome, Outcome::Failed(_)),
                                "{name} {} {step}: {previewed:?}",
                                life.name
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn fields_are_told_what_they_come_to() {
        let integration = Integration::load(RECIPES[0].1).unwrap();
        let sample = sample("inbound", Finds::One);
        let preview = Walk::new(&integration, &sample, now()).step(Step::ContactStart);
        let values = preview.values(Step::ContactStart);
        let body = |field: &str| values.get(&format!("steps.contact-start.request.body.{field}"));
        assert_eq!(body("subject").unwrap(), "Call from Ada Example");
        assert_eq!(body("phonenumber").unwrap(), "+15555550100");
        assert_eq!(values["steps.contact-start.customer.value"], "+15555550100");
        let contact = "/contacts(00000000-0000-4000-8000-00000000a002)";
        assert_eq!(body("from").unwrap(), contact);
        assert_eq!(body("to").unwrap(), "left out");
        assert!(body("regardingobjectid").unwrap().contains(contact));
        let preview = Walk::new(&integration, &sample, now()).step(Step::ContactAnswered);
        let (url, target) = preview.page.as_ref().unwrap().as_ref().unwrap();
        let record = format!("etn=phonecall&id={}", sample.id);
        assert!(url.contains(&record), "{url}");
        assert_eq!(*target, "embedded");
    }
}
