//! An integration: a configuration document, compiled.
//!
//! Owns what delivery asks of a configuration: what an event asks for, which requests a step has and which of
//! them needs which, a rendered request, the page to open, the contact's record and its customer, and what of a
//! response may still be needed. Templates, addresses and bodies stay behind these.
//!
//! Besides the requests that its author writes a step may have four more: one that looks for the customer
//! (`customer`), one that creates the customer who was not found (`new_customer`), one that looks for the
//! agent's user (`agent`), and one that links the step's record to a customer who was found later (`link`,
//! and `link-parties` for the parties of an activity, which no update takes).

mod advice;
mod agent;
mod compile;
mod conversation;
mod customer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use self::customer::{CustomerSearch, NoQuery};
use crate::{
    configuration::{
        AGENT, CUSTOMER, Configuration, Connection, NEW_CUSTOMER, NewCustomer, Opening, Recorded,
        ScreenPopTarget, StepView, WithoutStart,
    },
    dataverse::{Kind, Method, Request, Response, Table},
    history::{History, Need, RequestKey, Rules, State},
    recording::RecordedObject,
    request::{Address, AddressError, Body, Condition, Gap, RequestTemplate, record_id},
    step::Step,
    template::{Scope, Sight, TemplateError, Templates},
};

pub use self::{
    advice::Findings, agent::AgentQuery, conversation::Conversation, customer::CustomerQuery,
};

/// An integration, compiled.
#[derive(Debug)]
pub struct Integration {
    configuration: Configuration,
    templates: Templates,
    steps: BTreeMap<Step, CompiledStep>,
    /// The fields of each response that anything uses; none of them where it is used as a whole.
    used: BTreeMap<Place, Option<BTreeSet<String>>>,
}

/// A request's place: its step and, unless it is the step's main request, its name.
type Place = (Step, Option<String>);

#[derive(Debug, Default)]
struct CompiledStep {
    /// In the order in which they are sent.
    requests: Vec<CompiledRequest>,
    /// What tells the main request's record of a customer who was found after it was made.
    links: Vec<CompiledRequest>,
    screen_pop: Option<ScreenPop>,
}

#[derive(Debug)]
struct CompiledRequest {
    place: Place,
    when: Option<Condition>,
    what: What,
    needs: BTreeMap<Place, Need>,
    /// Whether it uses what was said in the contact.
    reads_conversation: bool,
}

/// What a request does.
#[derive(Debug)]
enum What {
    Customer(CustomerSearch),
    NewCustomer(RequestTemplate),
    Agent,
    Request(RequestTemplate),
    /// An update of the main request's record with these fields.
    Link(Body),
    /// New parties of the main request's record, an activity.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>
    LinkParties(Body),
    /// Nothing: opening the page is the agent's side.
    Page,
}

#[derive(Debug)]
struct ScreenPop {
    open: Vec<Opening>,
    address: Option<Address>,
    target: ScreenPopTarget,
}

/// What the configuration wants done for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Requests are sent.
    Request,
    /// No request is sent: opening the page is the agent's side.
    Page,
    /// Nothing, and why.
    Nothing(String),
}

/// What is to be sent, and what its body goes without.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub sending: Sending,
    pub gaps: Vec<Gap>,
    /// The requests that can tell the record of its customer later.
    pub links: Vec<RequestKey>,
    /// Whether they are needed, as the customer is not known yet.
    pub is_unlinked: bool,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Sending {
    Request(Request),
    Customer(CustomerQuery),
    Agent(AgentQuery),
    /// Nothing, and that is all that is to be done.
    Nothing,
}

/// Why a request is not sent for a contact.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderError {
    /// The configuration has no such request.
    #[error("{0}")]
    NotConfigured(String),
    /// The configuration does not want it for this contact.
    #[error("{0}")]
    NotWanted(String),
    /// A condition cannot be worked out.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Its address lacks a value or would be changed by one.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl From<NoQuery> for RenderError {
    fn from(reason: NoQuery) -> RenderError {
        match reason {
            NoQuery::NotWanted(reason) => RenderError::NotWanted(reason),
            NoQuery::Template(error) => RenderError::Template(error),
            NoQuery::Address(error) => RenderError::Address(error),
        }
    }
}

impl Integration {
    /// The document as it was read.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub fn name(&self) -> &str {
        &self.configuration.name
    }

    pub fn connection(&self) -> &Connection {
        &self.configuration.connection
    }

    /// What the configuration wants done in a step, for an object where the step is done for one.
    pub fn wants(&self, step: Step, object: Option<&RecordedObject>) -> Wanted {
        let Some(StepView { object_kinds, .. }) = self.configuration.steps.get(step) else {
            return Wanted::Nothing("the step is not configured".into());
        };
        if let (Some(object), Some(kinds)) = (object, object_kinds) {
            if !self.connection().is_recording_bucket(&object.bucket) {
                return Wanted::Nothing(
                    "the bucket is not the integration's recordingBucket".into(),
                );
            }
            if !kinds.contains(&object.kind) {
                return Wanted::Nothing(format!(
                    "objects of the kind {} do not trigger the step; its URL is remembered",
                    object.kind.as_str()
                ));
            }
        }
        let mut requests = self
            .steps
            .get(&step)
            .into_iter()
            .flat_map(CompiledStep::all);
        if requests.any(|request| !matches!(request.what, What::Page)) {
            Wanted::Request
        } else {
            Wanted::Page
        }
    }

    /// How the contact is recorded, by how it began.
    fn recorded(&self, history: &History) -> Recorded {
        self.configuration.contacts.of(history.initiation_method())
    }

    /// Why no step is done for the contact at all; none when its steps are.
    pub fn ignores(&self, history: &History) -> Option<String> {
        (self.recorded(history) == Recorded::Ignored).then(|| {
            let method = history.initiation_method().unwrap_or_default();
            format!("contacts that begin with {method} are not recorded")
        })
    }

    /// The contact on whose record this one is recorded; none when that is its own.
    pub fn first_contact(&self, history: &History) -> Option<Uuid> {
        let shares = self.configuration.contacts.share_records();
        if !shares || self.recorded(history) != Recorded::FirstRecord {
            return None;
        }
        let attributes = history.attributes();
        let first = attributes.get("InitialContactId")?.as_str()?;
        let first = Uuid::try_parse(first).ok()?;
        (first != history.contact_id()).then_some(first)
    }

    /// Whether customers are looked for by phone number.
    pub fn reads_phone_numbers(&self) -> bool {
        let mut requests = self.steps.values().flat_map(CompiledStep::all);
        requests.any(|request| match &request.what {
            What::Customer(search) => search.reads_phone_numbers(),
            _ => false,
        })
    }

    /// Renders a request. `said` is what was said in the contact, where the request needs it
    /// ([`Integration::conversation`]).
    ///
    /// # Errors
    /// [`RenderError`] when none is wanted, or it cannot be written with what is known.
    pub fn render(
        &self,
        key: &RequestKey,
        history: &History,
        said: Option<&Map<String, Json>>,
    ) -> Result<Rendered, RenderError> {
        if let Wanted::Nothing(reason) = self.wants(key.step(), history.object(key)) {
            return Err(RenderError::NotConfigured(reason));
        }
        let not_wanted = self
            .ignores(history)
            .or_else(|| self.waits_for_a_flow(key, history));
        if let Some(reason) = not_wanted {
            return Err(RenderError::NotWanted(reason));
        }
        let Some(request) = self.compiled(key) else {
            return Err(RenderError::NotConfigured(match key.request() {
                Some(name) => format!("the step has no request `{name}` any more"),
                None => "the step sends no request".into(),
            }));
        };
        let mut scope = self.scope(history, Some(key));
        if let Some(said) = said {
            scope.add_conversation(said);
        }
        let scope = Arc::new(scope);
        if let Some(when) = &request.when
            && !when.holds(&self.templates, &scope)?
        {
            let condition = when.source();
            return Err(RenderError::NotWanted(format!(
                "its condition does not hold: {condition}"
            )));
        }
        let reads_conversation = request.reads_conversation;
        let id = record_id(history.contact_id(), key);
        let (sending, gaps) = match &request.what {
            What::Page => (Sending::Nothing, Vec::new()),
            What::Customer(search) => {
                let query = search.query(&self.templates, &scope)?;
                (Sending::Customer(query), Vec::new())
            }
            What::Agent => {
                let username = scope.get("Username").and_then(Json::as_str);
                let username = username.ok_or_else(|| {
                    RenderError::NotWanted("nobody has told the agent's user name".into())
                })?;
                let query = agent::query(&self.configuration.agent, username);
                (Sending::Agent(query), Vec::new())
            }
            What::NewCustomer(request) => {
                let id = self.new_customer_id(request, history, &scope)?;
                let (request, gaps) = request.render(&self.templates, &scope, id)?;
                (Sending::Request(request), gaps)
            }
            What::Request(request) => {
                if request
                    .address
                    .uses(|used| used.source == crate::template::Source::Customer)
                    && customer_id(&scope).is_none()
                {
                    return Err(RenderError::NotWanted("there is no customer".into()));
                }
                let links = request.body.as_ref().is_some_and(Body::has_links);
                let (request, gaps) = request.render(&self.templates, &scope, id)?;
                let is_empty = request.body.as_ref().is_some_and(Map::is_empty);
                let may_be_empty = links || reads_conversation;
                let sending = if request.kind == Kind::Update && may_be_empty && is_empty {
                    // There is nobody to link the record to, or nothing was said, and nothing else to write.
                    Sending::Nothing
                } else {
                    Sending::Request(request)
                };
                (sending, gaps)
            }
            What::Link(body) | What::LinkParties(body) => {
                let is_parties = matches!(request.what, What::LinkParties(_));
                self.render_link(key, body, is_parties, history, &scope)?
            }
        };
        Ok(Rendered {
            sending,
            gaps,
            links: self.links(key),
            is_unlinked: self.is_unlinked(key, history),
        })
    }

    /// Whether a record for the contact is made only when a flow asks for one.
    pub fn leaves_start_to_flows(&self, history: &History) -> bool {
        self.recorded(history) == Recorded::WhenAFlowStartsIt
    }

    /// Why the record is not made, when only a flow is to make it and none has.
    fn waits_for_a_flow(&self, key: &RequestKey, history: &History) -> Option<String> {
        let start = Step::ContactStart;
        let is_waiting = key.step() == start
            && !history.has_heard_of(start)
            && self.leaves_start_to_flows(history);
        is_waiting.then(|| "no flow has started the contact's record".to_owned())
    }

    /// The id of the customer who is created, when the look-up has found nobody.
    fn new_customer_id(
        &self,
        request: &RequestTemplate,
        history: &History,
        scope: &Scope,
    ) -> Result<Uuid, RenderError> {
        let not_wanted = |reason: &str| RenderError::NotWanted(reason.to_owned());
        let customer = scope.get("Customer");
        let customer = customer.ok_or_else(|| not_wanted("no customer was looked for"))?;
        if customer.get("count") != Some(&0.into()) {
            return Err(not_wanted("there is such a customer"));
        }
        let sought = customer
            .get("value")
            .and_then(Json::as_str)
            .unwrap_or_default();
        let day = history.first_invoked().to_string();
        let day = day.split('T').next().unwrap_or_default();
        let environment = &self.connection().environment_uri;
        Ok(CustomerSearch::new_id(
            &request.table,
            environment,
            sought,
            day,
        ))
    }

    /// The update of a step's record with what its customer adds to it.
    fn render_link(
        &self,
        key: &RequestKey,
        body: &Body,
        is_parties: bool,
        history: &History,
        scope: &Arc<Scope>,
    ) -> Result<(Sending, Vec<Gap>), RenderError> {
        let main = key.main();
        let made = history.request(&main).and_then(|made| made.record_id);
        let (Some(id), Some(What::Request(request))) =
            (made, self.compiled(&main).map(|main| &main.what))
        else {
            let reason = "the step's record was not created".to_owned();
            return Err(RenderError::NotWanted(reason));
        };
        if customer_id(scope).is_none() {
            let reason = "there is no customer to link the record to".to_owned();
            return Err(RenderError::NotWanted(reason));
        }
        // What later steps or people have written meanwhile is left as it is.
        let is_late = history
            .in_order()
            .into_iter()
            .any(|(other, request)| other.step() > key.step() && request.state == State::Delivered);
        let only_links = (is_late && !is_parties).then(|| body.only_links());
        let body = only_links.as_ref().unwrap_or(body);
        let mut rendered = body.render(&self.templates, scope);
        if rendered.json.is_empty() {
            return Ok((Sending::Nothing, rendered.gaps));
        }
        let table = &request.table;
        let mut update = Request {
            method: Method::Patch,
            path: format!("{}({id})", table.entity_set),
            body: None,
            kind: Kind::Update,
            primary_key: table.primary_key.clone(),
        };
        if is_parties {
            let property = body.parties_property();
            let parties = rendered
                .json
                .shift_remove(property)
                .unwrap_or_else(|| json!([]));
            rendered.json.insert("value".into(), parties);
            update.path = format!("{}/{property}", update.path);
            (update.method, update.kind) = (Method::Put, Kind::Replace);
        }
        update.body = Some(rendered.json);
        Ok((Sending::Request(update), rendered.gaps))
    }

    /// The requests that can tell a main request's record of its customer later.
    fn links(&self, key: &RequestKey) -> Vec<RequestKey> {
        let step = self.steps.get(&key.step());
        let links = step.filter(|_| key.request().is_none());
        let links = links.into_iter().flat_map(|step| &step.links);
        links
            .filter_map(|link| Some(key.named(link.place.1.as_ref()?)))
            .collect()
    }

    /// Whether a main request is sent before its customer is known: who is looked for after it, or whose
    /// look-up has failed and may be repeated.
    fn is_unlinked(&self, key: &RequestKey, history: &History) -> bool {
        [CUSTOMER, NEW_CUSTOMER].iter().any(|name| {
            let state = history.state(&key.named(name));
            matches!(state, Some(State::Pending | State::Failed))
        })
    }

    /// Who was found, as templates see it.
    ///
    /// # Errors
    /// Why nobody was.
    pub fn found_customer(
        &self,
        key: &RequestKey,
        query: &CustomerQuery,
        answers: &[Response],
    ) -> Result<Map<String, Json>, String> {
        match self.compiled(key).map(|request| &request.what) {
            Some(What::Customer(search)) => Ok(search.found(query, answers)),
            _ => Err("the step looks for no customer any more".into()),
        }
    }

    /// The agent's user, as templates see it.
    ///
    /// # Errors
    /// Why nobody is meant.
    pub fn found_agent(&self, answer: &Response) -> Result<Map<String, Json>, String> {
        agent::found(&self.configuration.agent, answer)
    }

    /// The page to open for the agent, and where; none when none is configured, or there is none to open.
    ///
    /// While `contact-start` is pending its response holds the record id that it will have: enough to
    /// open the record, never used to write one.
    ///
    /// # Errors
    /// [`AddressError`] when the page's address lacks a value.
    pub fn page(
        &self,
        history: &History,
    ) -> Result<Option<(String, ScreenPopTarget)>, AddressError> {
        let mut pops = self
            .steps
            .values()
            .filter_map(|step| step.screen_pop.as_ref());
        let Some(pop) = pops.next() else {
            return Ok(None);
        };
        let mut scope = self.scope(history, None);
        for opening in &pop.open {
            let customer = scope.get("Customer");
            let text = |name: &str| customer?.get(name)?.as_str();
            let url = match opening {
                Opening::Record => self.record(history).map(|(_, url)| url),
                Opening::Customer => customer_id(&scope)
                    .zip(text("logicalName"))
                    .map(|(id, table)| self.connection().record_url(table, id)),
                Opening::Search => {
                    let count = customer.and_then(|customer| customer.get("count")?.as_u64());
                    let several =
                        count.is_some_and(|count| count > 1) && customer_id(&scope).is_none();
                    text("value")
                        .filter(|_| several)
                        .map(|sought| self.connection().search_url(sought))
                }
            };
            if let Some(url) = url {
                return Ok(Some((url, pop.target)));
            }
        }
        let Some(address) = &pop.address else {
            return Ok(None);
        };
        let start = Step::ContactStart;
        if scope.get(&start.response_name()).is_none()
            && let (Some(id), Some(request)) = (self.record_id(history), self.main(start))
        {
            let key = request.table.primary_key.clone();
            scope.respond(start, Map::from_iter([(key, id.to_string().into())]));
        }
        let root = self.connection().page_url();
        let url = address.render(&root, &self.templates, &Arc::new(scope))?;
        Ok(Some((url, pop.target)))
    }

    /// The record that `contact-start` makes, has made or has found, and the page that shows it. It is
    /// known before it is delivered when the id is ours to choose.
    pub fn record(&self, history: &History) -> Option<(Uuid, String)> {
        let id = self.record_id(history)?;
        let table = &self.main(Step::ContactStart)?.table;
        Some((id, self.connection().record_url(&table.logical_name, id)))
    }

    /// The record that a request has made, changed or found: its id, its table's logical name, and the page that
    /// shows it. None for a look-up, or when it has none.
    pub fn record_of(&self, key: &RequestKey, history: &History) -> Option<(Uuid, &str, String)> {
        let id = history.request(key)?.record_id?;
        let template = self
            .template(key)
            .or_else(|| match self.compiled(key)?.what {
                What::Link(_) | What::LinkParties(_) => self.template(&key.main()),
                _ => None,
            });
        let table = template?.table.logical_name.as_str();
        Some((id, table, self.connection().record_url(table, id)))
    }

    fn record_id(&self, history: &History) -> Option<Uuid> {
        let key = RequestKey::of(Step::ContactStart);
        let start = history.request(&key);
        if let Some(id) = start.and_then(|start| start.record_id) {
            return Some(id);
        }
        // Whether a request with a condition is sent at all is not known beforehand.
        let is_certain = self.compiled(&key)?.when.is_none();
        let request = self.main(Step::ContactStart)?;
        (is_certain
            && request.creates_with_our_id()
            && start.is_none_or(|start| start.state == State::Pending)
            // Which record a later leg has is known when its first one's is.
            && self.first_contact(history).is_none())
        .then(|| record_id(history.contact_id(), &key))
    }

    /// The customer, as templates see it; none where none was looked for.
    pub fn customer(&self, history: &History) -> Option<Map<String, Json>> {
        if !self.configuration.steps.look_for_customers() {
            return None;
        }
        let scope = self.scope(history, None);
        scope.get("Customer")?.as_object().cloned()
    }

    /// The fields of a step's response that its reply names, with their values.
    pub fn reply_fields(&self, key: &RequestKey, history: &History) -> Vec<(String, Json)> {
        let step = self.configuration.steps.get(key.step());
        let names = step.map_or(&[][..], |step| step.reply);
        if names.is_empty() || key.is_of_object() {
            return Vec::new();
        }
        let scope = self.scope(history, None);
        let Some(response) = scope.get(&key.step().response_name()) else {
            return Vec::new();
        };
        let field = |name: &String| Some((name.clone(), response.get(name)?.clone()));
        names.iter().filter_map(field).collect()
    }

    /// Leaves of a response what may still be needed: the fields that templates and the reply name, and
    /// the record's id; of a list the first record's, unless a template names the list itself. Returns
    /// false, and leaves all of it, when a template uses the response as a whole.
    pub fn reduce(&self, key: &RequestKey, response: &mut Map<String, Json>) -> bool {
        if matches!(key.request(), Some(CUSTOMER | AGENT)) {
            return false;
        }
        let Some(fields) = self.used_fields(key) else {
            return false;
        };
        if !fields.contains("value")
            && let Some(Json::Array(mut records)) = response.shift_remove("value")
            && !records.is_empty()
            && let Json::Object(first) = records.swap_remove(0)
        {
            for (name, value) in first {
                response.entry(name).or_insert(value);
            }
        }
        response.retain(|field, _| fields.contains(field));
        true
    }

    /// What is left of a response that is too large to be kept: the record's id.
    pub fn only_the_id(&self, key: &RequestKey, response: &Map<String, Json>) -> Map<String, Json> {
        if matches!(key.request(), Some(CUSTOMER | AGENT)) {
            let mut found = response.clone();
            found.shift_remove("record");
            return found;
        }
        let id = self.template(key).and_then(|request| {
            let key = &request.table.primary_key;
            let first = response.get("value").and_then(|records| records.get(0));
            let id = response.get(key).or_else(|| first?.get(key))?;
            Some((key.clone(), id.clone()))
        });
        id.into_iter().collect()
    }

    /// The id that a request gives the record which it creates for this contact and no other; none for a request
    /// that creates none, whose body names the id, or whose record other contacts share.
    pub fn own_record_id(&self, contact_id: Uuid, key: &RequestKey) -> Option<Uuid> {
        let is_own = key.request() != Some(NEW_CUSTOMER)
            && self
                .template(key)
                .is_some_and(RequestTemplate::creates_with_our_id);
        is_own.then(|| record_id(contact_id, key))
    }

    /// The fields of a request's response that anything names; the record's id is one of them.
    pub fn named_fields(&self, key: &RequestKey) -> BTreeSet<String> {
        self.used_fields(key).unwrap_or_default()
    }

    /// The table that a request's record is of; none for one that its author has not written.
    pub fn table(&self, key: &RequestKey) -> Option<&Table> {
        Some(&self.template(key)?.table)
    }

    /// Whether a later request may name the response.
    pub fn keeps(&self, key: &RequestKey) -> bool {
        !key.is_of_object()
            || matches!(key.request(), Some(CUSTOMER | NEW_CUSTOMER | AGENT))
            || self.used.contains_key(&place_of(key))
    }

    fn used_fields(&self, key: &RequestKey) -> Option<BTreeSet<String>> {
        let mut fields = match self.used.get(&place_of(key)) {
            Some(fields) => fields.clone()?,
            None => BTreeSet::new(),
        };
        if key.request().is_none()
            && let Some(step) = self.configuration.steps.get(key.step())
        {
            fields.extend(step.reply.iter().cloned());
        }
        if let Some(request) = self.template(key) {
            fields.insert(request.table.primary_key.clone());
        }
        if key.request() == Some(NEW_CUSTOMER) {
            let step = self.configuration.steps.get(key.step());
            let new = step.and_then(|step| step.new_customer());
            fields.extend(new.and_then(NewCustomer::name_column));
        }
        Some(fields)
    }

    fn compiled(&self, key: &RequestKey) -> Option<&CompiledRequest> {
        let step = self.steps.get(&key.step())?;
        let mut requests = step.all();
        requests.find(|request| request.place.1.as_deref() == key.request())
    }

    fn template(&self, key: &RequestKey) -> Option<&RequestTemplate> {
        match &self.compiled(key)?.what {
            What::Request(request) | What::NewCustomer(request) => Some(request),
            _ => None,
        }
    }

    fn main(&self, step: Step) -> Option<&RequestTemplate> {
        self.template(&RequestKey::of(step))
    }

    fn scope(&self, history: &History, key: Option<&RequestKey>) -> Scope {
        Scope::of(Sight {
            configuration: &self.configuration,
            history,
            key,
        })
    }
}

fn place_of(key: &RequestKey) -> Place {
    (key.step(), key.request().map(str::to_owned))
}

fn customer_id(scope: &Scope) -> Option<Uuid> {
    let id = scope.get("Customer")?.get("id")?;
    Uuid::try_parse(id.as_str()?).ok()
}

impl Rules for Integration {
    fn needs(&self, key: &RequestKey) -> BTreeMap<RequestKey, Need> {
        let Some(request) = self.compiled(key) else {
            return BTreeMap::new();
        };
        let needed = |((step, name), need): (&Place, &Need)| {
            // Another request for the same object, or what a step before has done for the contact.
            let main = if *step == key.step() {
                key.main()
            } else {
                RequestKey::of(*step)
            };
            let needed = name.as_ref().map_or(main.clone(), |name| main.named(name));
            (needed, *need)
        };
        request.needs.iter().map(needed).collect()
    }

    fn requests(&self, key: &RequestKey) -> Vec<RequestKey> {
        let Some(step) = self.steps.get(&key.step()) else {
            return vec![key.main()];
        };
        let names = step.requests.iter().map(|request| &request.place.1);
        names
            .map(|name| name.as_ref().map_or(key.main(), |name| key.named(name)))
            .collect()
    }

    fn is_look_up(&self, key: &RequestKey) -> bool {
        self.compiled(key)
            .is_some_and(|request| match &request.what {
                What::Customer(_) | What::Agent => true,
                What::Request(request) => request.method == Method::Get,
                What::NewCustomer(_) | What::Link(_) | What::LinkParties(_) | What::Page => false,
            })
    }

    fn is_told_later(&self, key: &RequestKey, needed: &RequestKey) -> bool {
        *needed == key.named(CUSTOMER) && !self.links(key).is_empty()
    }

    fn holds_up_others(&self, key: &RequestKey) -> bool {
        // A file that cannot be read, or waits for a redacted one, is nobody else's business.
        !self.reads_conversation(key)
    }

    fn is_revisable(&self, key: &RequestKey) -> bool {
        self.template(key).is_some_and(|request| {
            key.request() != Some(NEW_CUSTOMER)
                && matches!(request.method, Method::Get | Method::Patch)
        })
    }

    fn without_start(&self) -> &WithoutStart {
        &self.configuration.without_start
    }
}

impl CompiledStep {
    fn all(&self) -> impl Iterator<Item = &CompiledRequest> {
        self.requests.iter().chain(&self.links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::ObjectKind;
    use jiff::Timestamp;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);
    const START: Step = Step::ContactStart;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    fn reference(change: impl FnOnce(&mut Json)) -> Integration {
        let reference = include_str!("../../../local/reference-integration.json");
        let mut document = serde_json::from_str(reference).unwrap();
        change(&mut document);
        Integration::load(&document.to_string()).unwrap()
    }

    fn started(response: Json) -> History {
        let mut history = History::new(ID, "default", at(0));
        let key = RequestKey::of(START);
        history.intend(&key, at(0));
        history.delivered(&key, Some(ID), response.as_object().cloned(), at(1));
        history
    }

    #[test]
    fn the_record_is_known_before_it_is_created() {
        let integration = reference(|_| {});
        let key = RequestKey::of(START);
        let mut history = History::new(ID, "default", at(0));
        history.intend(&key, at(0));
        let (id, url) = integration.record(&history).unwrap();
        assert_eq!(id, ID);
        assert!(url.ends_with(&format!("etn=phonecall&id={ID}")), "{url}");
        let (page, target) = integration.page(&history).unwrap().unwrap();
        assert!(page.ends_with(&format!("&id={ID}")), "{page}");
        assert_eq!(target, ScreenPopTarget::Embedded);
        let end = RequestKey::of(Step::ContactEnd);
        assert!(
            integration.render(&end, &history, None).is_err(),
            "what is foreseen is never used to write"
        );
        history.failed(&key, "no".into(), at(1));
        assert_eq!(integration.record(&history), None);
        assert!(integration.page(&history).is_err());
    }

    #[test]
    fn a_record_that_contact_start_finds_or_names_itself_is_known_afterwards() {
        for request in [
            json!({"method": "GET", "entitySet": "contacts", "queryString": "?$top=1"}),
            json!({"method": "POST", "entitySet": "tasks", "body": {"activityid": "{{ x }}"}}),
        ] {
            let integration = reference(|document| {
                document["steps"] = json!({"contact-start": {"request": request}});
            });
            let mut history = History::new(ID, "default", at(0));
            assert_eq!(integration.record(&history), None);
            assert_eq!(integration.page(&history), Ok(None));
            history.intend(&RequestKey::of(START), at(0));
            history.delivered(&RequestKey::of(START), Some(ID), None, at(1));
            assert_eq!(integration.record(&history).unwrap().0, ID);
        }
    }

    #[test]
    fn a_request_waits_for_what_it_uses_and_not_for_what_the_page_uses() {
        let integration = reference(|document| {
            document["steps"]["contact-answered"]["request"] = json!({
                "method": "POST", "entitySet": "tasks", "body": {"subject": "{{ Channel }}"}
            });
        });
        let start = BTreeMap::from([(RequestKey::of(START), Need::Required)]);
        for (step, needs) in [
            (START, BTreeMap::new()),
            (Step::ContactAnswered, BTreeMap::new()),
            (Step::ContactEnd, start.clone()),
            (Step::RecordingAvailable, start),
        ] {
            assert_eq!(integration.needs(&RequestKey::of(step)), needs, "{step}");
        }
    }

    #[test]
    fn what_an_event_asks_for_is_decided_by_step_bucket_and_kind() {
        let integration = reference(|document| {
            document["steps"]
                .as_object_mut()
                .unwrap()
                .remove("contact-end");
        });
        let object = |kind, bucket: &str| RecordedObject {
            kind,
            bucket: bucket.into(),
            key: "k".into(),
            url: "u".into(),
        };
        let ours = "example-connect-recordings";
        let recording = Step::RecordingAvailable;
        let reason =
            |step, object: Option<RecordedObject>| match integration.wants(step, object.as_ref()) {
                Wanted::Nothing(reason) => reason,
                wanted => format!("{wanted:?}"),
            };
        assert_eq!(reason(START, None), "Request");
        assert_eq!(reason(Step::ContactAnswered, None), "Page");
        assert_eq!(reason(Step::ContactEnd, None), "the step is not configured");
        assert_eq!(
            reason(recording, Some(object(ObjectKind::Recording, ours))),
            "Request"
        );
        assert!(
            reason(recording, Some(object(ObjectKind::Analysis, ours)))
                .starts_with("objects of the kind analysis")
        );
        assert!(
            reason(recording, Some(object(ObjectKind::Recording, "another")))
                .contains("recordingBucket")
        );
    }

    #[test]
    fn of_a_list_the_first_records_used_fields_are_kept() {
        let integration = reference(|document| {
            document["steps"]["contact-start"] = json!({
                "request": {"method": "GET", "entitySet": "contacts", "queryString": "?$top=9"}, "reply": ["fullname"]
            });
            document["steps"]["contact-answered"]["screenPop"]["queryString"] =
                json!({"id": "{{STEP2-Response.contactid}}"});
            document["steps"]["contact-end"]["request"]["queryString"] =
                "(STEP2-Response.parentid)".into();
            document["steps"]["recording-available"]["request"]["queryString"] =
                "(STEP2-Response.parentid)".into();
        });
        let answer = json!({"@odata.context": "x", "value": [
            {"contactid": "1", "fullname": "Ada Example", "parentid": "2", "other": "y"}, {"contactid": "3"}
        ]});
        let mut response = answer.as_object().unwrap().clone();
        let key = RequestKey::of(START);
        assert!(integration.reduce(&key, &mut response));
        assert_eq!(
            Json::from(response.clone()),
            json!({"contactid": "1", "fullname": "Ada Example", "parentid": "2"})
        );
        for response in [answer.clone(), response.into()] {
            assert_eq!(
                integration.reply_fields(&key, &started(response)),
                [("fullname".to_owned(), json!("Ada Example"))]
            );
        }
        for (query, kept) in [
            ("(STEP2-Response.value)", true),
            ("({{ STEP2-Response }})", false),
        ] {
            let integration = reference(|document| {
                document["steps"]["contact-end"]["request"]["queryString"] = query.into();
            });
            let mut response = answer.as_object().unwrap().clone();
            assert_eq!(integration.reduce(&key, &mut response), kept, "{query}");
            assert_eq!(response["value"], answer["value"], "{query}");
        }
        for response in [answer.clone(), json!({"contactid": "1", "other": "y"})] {
            let id = integration.only_the_id(&RequestKey::of(START), response.as_object().unwrap());
            assert_eq!(Json::from(id), json!({"contactid": "1"}));
        }
    }
}
