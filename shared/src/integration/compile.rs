//! Compiling: a configuration's steps made into templates, addresses and bodies.
//!
//! Owns every check that needs a template to be compiled, which requests a step has and in what order, and
//! that a request only uses responses which are there when it is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CompiledRequest, CompiledStep, Integration, Place, ScreenPop, What,
    customer::{CustomerSearch, SearchedTable, email_columns, phone_columns},
};
use crate::{
    configuration::{
        self, AGENT, CUSTOMER, Configuration, ConfigurationError, ContactLensFile,
        CustomerConfiguration, CustomerTable, LINK, LINK_PARTIES, NEW_CUSTOMER, NewCustomer,
        Opening, PastedObject, Reading, ReplyKey, RequestConfiguration, ScreenPopConfiguration,
        StepView, ValueKind, WithMany, is_identifier, is_name,
    },
    dataverse::{Method, Table, columns::KnownTable},
    history::Need,
    number,
    recording::ObjectKind,
    request::{
        Address, Body, Condition, Convention, Linkable, OptionValue, RequestTemplate, as_template,
        parse_object,
    },
    step::{Step, Trigger},
    template::{ResponseUse, Source, Strictness, Templates},
};

/// Dataverse takes 500 conditions in a query, and a phone number makes some twenty of each column.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows>
const MAX_SEARCHED_COLUMNS: usize = 16;

/// How many comparisons a phone number makes of each column, and how long one is beside the column's name.
/// A URL is too long with more than 32,768 characters.
const COMPARISONS: usize = 30;
const COMPARISON_LENGTH: usize = 33;
const LONGEST_COMPARISONS: usize = 32_000;

/// What a customer's record must meet besides, unless the configuration says otherwise: it is in use.
fn in_use(table: Option<&KnownTable>) -> &'static str {
    let has = |column| table.is_none_or(|table| table.column(column).is_some());
    if has("statecode") {
        "statecode eq 0"
    } else if has("isdisabled") {
        "isdisabled eq false"
    } else {
        ""
    }
}

/// What is looked for: a template, or an expression without double curly braces.
fn value_template(value: &str) -> String {
    if value.contains("{{") || value.contains("{%") {
        value.to_owned()
    } else {
        as_template(value)
    }
}

impl Integration {
    /// Reads and compiles a configuration document.
    ///
    /// # Errors
    /// [`ConfigurationError`] with every mistake found, each with its place.
    pub fn load(document: &str) -> Result<Integration, ConfigurationError> {
        let Reading {
            configuration,
            mistakes,
            ..
        } = configuration::read(document);
        let Some(configuration) = configuration else {
            return Err(ConfigurationError(mistakes));
        };
        let mut compiler = Compiler {
            names_requests: configuration.steps.name_requests(),
            looks_for_customers: configuration.steps.look_for_customers(),
            templates: Templates::default(),
            problems: mistakes,
            linkable: Linkable::default(),
            names: BTreeMap::new(),
            customer: None,
            used: BTreeMap::new(),
            by_look_up: BTreeSet::new(),
        };
        compiler
            .problems
            .extend(configuration::check_settings(&configuration));
        compiler.names(&configuration);
        let mut steps = BTreeMap::new();
        for (step, view) in configuration.steps.iter() {
            let compiled = compiler.step(step, &view, &configuration);
            if compiled.all().any(|request| request.reads_conversation)
                && let Some(kinds) = view.object_kinds
            {
                compiler.check_files(step, kinds, configuration.contact_lens.file);
            }
            steps.insert(step, compiled);
        }
        if compiler.problems.is_empty() {
            Ok(Integration {
                configuration,
                templates: compiler.templates,
                steps,
                used: compiler.used,
            })
        } else {
            Err(ConfigurationError(compiler.problems))
        }
    }
}

struct Compiler {
    names_requests: bool,
    looks_for_customers: bool,
    templates: Templates,
    problems: Vec<String>,
    /// What a body can link to, as far as the steps have been compiled.
    linkable: Linkable,
    /// Every request that has a name, and whether it only reads.
    names: BTreeMap<String, (Place, bool)>,
    /// The step whose customer is known, as far as the steps have been compiled, and whether one is created.
    customer: Option<(Step, bool)>,
    used: BTreeMap<Place, Option<BTreeSet<String>>>,
    /// The requests whose condition goes by a look-up: when that fails, they fail with it.
    by_look_up: BTreeSet<Place>,
}

/// What a request uses, and how much it needs each.
#[derive(Default)]
struct Uses {
    uses: Vec<(ResponseUse, Need)>,
    /// What must be known for certain: what a condition or a search goes by. With a look-up that has failed it
    /// would be as with one that found nobody, and somebody would be lost, or made twice.
    strict: Vec<ResponseUse>,
    /// Whether they are an update's: it fails with the look-up of the agent, and is sent when that is done
    /// again. A record that is created does not wait for it.
    are_of_update: bool,
}

impl Uses {
    fn add<'a>(&mut self, uses: impl IntoIterator<Item = &'a ResponseUse>, need: Need) {
        self.uses
            .extend(uses.into_iter().map(|used| (used.clone(), need)));
    }

    fn add_strict<'a>(&mut self, uses: impl IntoIterator<Item = &'a ResponseUse>) {
        self.strict.extend(uses.into_iter().cloned());
    }

    /// Each use, how much it is needed, and whether a look-up that has failed will not do.
    fn all(&self) -> impl Iterator<Item = (&ResponseUse, Need, bool)> {
        let uses = self.uses.iter().map(|(used, need)| (used, *need, false));
        let strict = self.strict.iter().map(|used| (used, Need::Expected, true));
        uses.chain(strict)
    }

    fn go_by_look_up(&self) -> bool {
        let mut strict = self.strict.iter();
        strict.any(|used| matches!(used.source, Source::Customer | Source::Agent))
    }

    fn read_conversation(&self) -> bool {
        self.all()
            .any(|(used, ..)| used.source == Source::ContactLens)
    }

    fn name_agent(&self) -> bool {
        self.all().any(|(used, ..)| used.source == Source::Agent)
    }
}

impl Compiler {
    fn problem(&mut self, problem: impl Into<String>) {
        let problem = problem.into();
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Collects the requests' names, and checks them.
    fn names(&mut self, configuration: &Configuration) {
        for (step, view) in configuration.steps.iter() {
            let main = view.main();
            if view.is_ambiguous {
                self.problem(format!(
                    "steps.{step}: it has a `request` and `requests`; put the one into the other's list"
                ));
            }
            let mains = view.requests.iter().filter(|(_, request)| request.main);
            if mains.count() > 1 {
                self.problem(format!(
                    "steps.{step}.requests: several say that they are the `main` one; only one can be"
                ));
            }
            for (index, (field, request)) in view.requests.iter().enumerate() {
                let is_main = main == Some(index);
                let name = request.name.clone().filter(|_| !is_main);
                let place = (step, name);
                let reads = request.method == Method::Get;
                if is_main {
                    let known = (place.clone(), reads);
                    self.names.insert(step.as_str().to_owned(), known);
                }
                let Some(name) = &request.name else {
                    if field.ends_with(']') {
                        self.problem(format!(
                            "{field}.name: each of a step's requests needs a name, like \"call\""
                        ));
                    }
                    continue;
                };
                if !is_name(name) {
                    self.problem(format!(
                        "{field}.name: it must be letters, digits, `-` and `_`"
                    ));
                } else if [CUSTOMER, NEW_CUSTOMER, AGENT, LINK, LINK_PARTIES]
                    .contains(&name.as_str())
                    || name.parse::<Step>().is_ok()
                {
                    self.problem(format!(
                        "{field}.name: `{name}` means something already; choose another name"
                    ));
                } else if self.names.insert(name.clone(), (place, reads)).is_some() {
                    self.problem(format!(
                        "{field}.name: another request is called `{name}`, too; a name is unique in the whole configuration"
                    ));
                }
            }
        }
    }

    fn step(&mut self, step: Step, view: &StepView, configuration: &Configuration) -> CompiledStep {
        if view.requests.is_empty() && view.screen_pop.is_none() && view.customer.is_none() {
            let screen_pop = match step {
                Step::ContactAnswered => "a `screenPop`, ",
                _ => "",
            };
            self.problem(format!(
                "steps.{step}: it does nothing; give it {screen_pop}a `request`, `requests`, or a `customer`"
            ));
        }
        self.check_reply(step, view.reply);
        let main = view.main();
        let links_later = view.customer.is_some_and(|customer| customer.link_later);
        let mut found = Vec::new();
        let mut requests = Vec::new();
        let mut links = Vec::new();
        if let Some(customer) = view.customer {
            let place = format!("steps.{step}.customer");
            self.customer_of_step(step, &place, customer, &mut found);
            let creates = main.is_some_and(|index| view.requests[index].1.creates());
            if links_later && !creates {
                self.problem(format!(
                    "{place}.linkLater: the step's main request creates no record that could be linked later; leave it out"
                ));
            }
        }
        let mut is_found = !links_later;
        if is_found {
            requests.append(&mut found);
        }
        let has_customer = view.customer.is_some();
        let mut names_agent = false;
        for (index, (field, request)) in view.requests.iter().enumerate() {
            let is_main = main == Some(index);
            let name = request.name.clone().filter(|_| !is_main);
            let mut uses = Uses {
                are_of_update: request.method == Method::Patch,
                ..Uses::default()
            };
            let when = self.condition(&format!("{field}.when"), request.when.as_deref(), &mut uses);
            let template = self.request(field, request);
            let mut divided = None;
            if let Some(template) = &template
                && is_main
                && has_customer
                && request.creates()
                && let Some(body) = &template.body
            {
                divided = Some(body.divide(|used| used.source == Source::Customer));
            }
            if let Some(template) = &template {
                uses.add(template.address.responses(), Need::Required);
                let body = template.body.iter().flat_map(Body::responses);
                // Until its customer is known, the record is written as one without.
                let is_later =
                    |used: &ResponseUse| used.source == Source::Customer && is_main && links_later;
                uses.add(body.filter(|used| !is_later(used)), Need::Expected);
            }
            names_agent |= uses.name_agent();
            let place = (step, name);
            let sent: Vec<Place> = requests
                .iter()
                .map(|sent: &CompiledRequest| sent.place.clone())
                .collect();
            let needs = self.needs(field, &place, &sent, &uses);
            if uses.go_by_look_up() {
                self.by_look_up.insert(place.clone());
            }
            let reads_conversation = uses.read_conversation();
            if let Some(template) = template {
                if is_main && self.names_requests {
                    self.linkable
                        .responses
                        .insert(step.as_str().to_owned(), template.table.clone());
                }
                if let Some(name) = &request.name {
                    self.linkable
                        .responses
                        .insert(name.clone(), template.table.clone());
                }
                let what = What::Request(template);
                requests.push(CompiledRequest {
                    place,
                    when,
                    what,
                    needs,
                    reads_conversation,
                });
            }
            if is_main && !is_found {
                is_found = true;
                requests.append(&mut found);
            }
            if let Some(parts) = divided {
                let fields = parts.with.map(|body| (LINK, What::Link(body)));
                let parties = parts
                    .parties
                    .map(|body| (LINK_PARTIES, What::LinkParties(body)));
                for (name, what) in fields.into_iter().chain(parties) {
                    links.push(self.link(step, field, name, what, &sent));
                }
            }
        }
        // Nothing went before the look-up.
        requests.append(&mut found);
        if view.requests.is_empty() {
            requests.push(CompiledRequest {
                place: (step, None),
                when: None,
                what: What::Page,
                needs: BTreeMap::new(),
                reads_conversation: false,
            });
        }
        let agent = (step, Some(AGENT.to_owned()));
        names_agent |= links
            .iter()
            .any(|link: &CompiledRequest| link.needs.contains_key(&agent));
        let sent: Vec<Place> = requests.iter().map(|sent| sent.place.clone()).collect();
        let screen_pop = view
            .screen_pop
            .and_then(|pop| self.screen_pop(step, pop, &sent));
        let pop_uses = screen_pop.as_ref().and_then(|pop| pop.address.as_ref());
        names_agent |= pop_uses.is_some_and(|page| page.uses(|used| used.source == Source::Agent));
        if names_agent {
            requests.insert(0, self.agent(step, configuration));
        }
        CompiledStep {
            requests,
            links,
            screen_pop,
        }
    }

    fn agent(&mut self, step: Step, configuration: &Configuration) -> CompiledRequest {
        let column = &configuration.agent.column;
        if !is_identifier(column) {
            self.problem("agent.column: it must be a column's name, like `domainname`");
        }
        CompiledRequest {
            place: (step, Some(AGENT.to_owned())),
            when: None,
            what: What::Agent,
            needs: BTreeMap::new(),
            reads_conversation: false,
        }
    }

    /// What a record is told of a customer who was found after it was made.
    fn link(
        &mut self,
        step: Step,
        field: &str,
        name: &str,
        what: What,
        sent: &[Place],
    ) -> CompiledRequest {
        let mut uses = Uses::default();
        if let What::Link(body) | What::LinkParties(body) = &what {
            uses.add(body.responses(), Need::Expected);
        }
        let place = (step, Some(name.to_owned()));
        // The look-up is none that a link could do without.
        uses.uses
            .retain(|(used, _)| used.source != Source::Customer);
        let mut needs = self.needs(field, &place, sent, &uses);
        needs.insert((step, None), Need::Required);
        needs.extend(self.customer_needs(Need::Required));
        CompiledRequest {
            place,
            when: None,
            what,
            needs,
            reads_conversation: false,
        }
    }

    /// A request's condition, and what it goes by.
    fn condition(&mut self, field: &str, when: Option<&str>, uses: &mut Uses) -> Option<Condition> {
        let condition = Condition::compile(field, when?, &mut self.templates);
        let condition = condition.map_err(|error| self.problem(error.to_string()));
        let condition = condition.ok()?;
        uses.add_strict(condition.responses());
        Some(condition)
    }

    /// The requests that find a step's customer.
    fn customer_of_step(
        &mut self,
        step: Step,
        field: &str,
        customer: &CustomerConfiguration,
        found: &mut Vec<CompiledRequest>,
    ) {
        let mut uses = Uses::default();
        let when = format!("{field}.when");
        let when = self.condition(&when, customer.when.as_deref(), &mut uses);
        let search = self.search(field, customer);
        if let Some(search) = &search {
            uses.add_strict(search.responses());
        }
        let place = (step, Some(CUSTOMER.to_owned()));
        // What is looked for can be a field of the customer whom a step before has found.
        let needs = self.needs(field, &place, &[], &uses);
        let new = match &customer.none {
            configuration::WithNone::Skip => None,
            configuration::WithNone::Create(new) => Some(new),
        };
        self.customer = Some((step, new.is_some()));
        let new_table = new.iter().map(|new| new.request().table());
        let tables = customer.tables.iter().map(CustomerTable::table);
        self.linkable.customers = tables.chain(new_table).collect();
        if let Some(search) = search {
            found.push(CompiledRequest {
                place: place.clone(),
                when,
                what: What::Customer(search),
                needs,
                reads_conversation: false,
            });
        }
        if let Some(new) = new {
            let new = self.new_customer(step, &format!("{field}.none.create"), new, &place);
            found.extend(new);
        }
    }

    fn new_customer(
        &mut self,
        step: Step,
        field: &str,
        new: &NewCustomer,
        look_up: &Place,
    ) -> Option<CompiledRequest> {
        let template = self.request(field, &new.request())?;
        let place = (step, Some(NEW_CUSTOMER.to_owned()));
        let mut uses = Uses::default();
        let body = template.body.iter().flat_map(Body::responses);
        uses.add(
            body.filter(|used| used.source != Source::Customer),
            Need::Expected,
        );
        if uses.name_agent() {
            self.problem(format!(
                "{field}.body: the agent is not known when a customer is created; leave Agent.User and Agent.Owner out"
            ));
        }
        let mut needs = self.needs(field, &place, &[], &uses);
        needs.insert(look_up.clone(), Need::Required);
        Some(CompiledRequest {
            place,
            when: None,
            what: What::NewCustomer(template),
            needs,
            reads_conversation: false,
        })
    }

    fn search(&mut self, field: &str, customer: &CustomerConfiguration) -> Option<CustomerSearch> {
        let before = self.problems.len();
        let CustomerConfiguration {
            value,
            kind,
            country,
            tables,
            many,
            ..
        } = customer;
        let place = format!("{field}.value");
        let value = self
            .templates
            .add(&place, &value_template(value), Strictness::Lenient);
        let value = value.map_err(|error| self.problem(error.to_string())).ok();
        if let Some(country) = country
            && !number::is_country(country)
        {
            self.problem(format!(
                "{field}.country: `{country}` is no country; write its two letters (ISO 3166), like \"US\""
            ));
        }
        if let WithMany::Orderby(order) = many
            && !is_order(order)
        {
            self.problem(format!(
                "{field}.many.orderby: it must be columns with or without `asc` or `desc`, like \"modifiedon desc\""
            ));
        }
        if tables.is_empty() {
            self.problem(format!(
                "{field}.tables: name at least one table to look in, like {{\"entitySet\": \"contacts\"}}"
            ));
        }
        let searched = tables.iter().enumerate().filter_map(|(index, table)| {
            self.searched_table(&format!("{field}.tables[{index}]"), table)
        });
        let searched: Vec<SearchedTable> = searched.collect();
        let of_kind = |table: &SearchedTable| match kind {
            None => true,
            Some(ValueKind::Phone) => !table.phone.is_empty(),
            Some(ValueKind::Email) => !table.email.is_empty(),
            Some(ValueKind::Text) => !table.text.is_empty(),
        };
        if !tables.is_empty() && !searched.iter().any(of_kind) {
            self.problem(format!(
                "{field}.kind: no table has columns that would be searched for it; name `phoneColumns`, `emailColumns` or `textColumns`"
            ));
        }
        if self.problems.len() > before {
            return None;
        }
        Some(CustomerSearch {
            value: value?,
            kind: *kind,
            country: country.as_ref().map(|country| country.to_ascii_uppercase()),
            tables: searched,
            many: many.clone(),
        })
    }

    fn searched_table(&mut self, field: &str, table: &CustomerTable) -> Option<SearchedTable> {
        self.check_names(
            field,
            &table.entity_set,
            table.primary_key.as_ref(),
            table.logical_name.as_ref(),
        );
        let names = table.table();
        let known = KnownTable::by_logical_name(&names.logical_name);
        let columns = |given: &Option<Vec<String>>, known: Option<&'static [&'static str]>| {
            let known = || {
                known
                    .unwrap_or_default()
                    .iter()
                    .map(|column| (*column).to_owned())
            };
            given.clone().unwrap_or_else(|| known().collect())
        };
        let searched = SearchedTable {
            phone: columns(&table.phone_columns, known.and_then(phone_columns)),
            email: columns(&table.email_columns, known.and_then(email_columns)),
            text: table.text_columns.clone(),
            filter: match table.filter.as_deref().unwrap_or(in_use(known)).trim() {
                "" => None,
                filter => {
                    let field = format!("{field}.filter");
                    let filter = OptionValue::compile(&field, filter, &mut self.templates);
                    filter.map_err(|error| self.problem(error.to_string())).ok()
                }
            },
            select: table.select.clone(),
            name_column: table.name_column(),
            table: names,
        };
        let all = searched.all_columns();
        if all.is_empty() {
            self.problem(format!(
                "{field}: it is not known which columns of `{}` hold numbers or addresses; name `phoneColumns`, `emailColumns` or `textColumns`",
                table.entity_set
            ));
        }
        let named = all
            .into_iter()
            .chain(&table.select)
            .chain(&table.name_column);
        for column in named {
            // A lookup's value is read as `_parentcustomerid_value`.
            if !is_identifier(column.strip_prefix('_').unwrap_or(column)) {
                self.problem(format!("{field}: `{column}` is no column's name"));
            }
        }
        for (name, columns) in [
            ("phoneColumns", &searched.phone),
            ("emailColumns", &searched.email),
            ("textColumns", &searched.text),
        ] {
            if columns.len() > MAX_SEARCHED_COLUMNS {
                self.problem(format!(
                    "{field}.{name}: Dataverse takes 500 conditions in a query, which is enough for {MAX_SEARCHED_COLUMNS} columns"
                ));
            }
        }
        let length = |column: &String| COMPARISONS * (column.len() + COMPARISON_LENGTH);
        let length: usize = searched.phone.iter().map(length).sum();
        if length > LONGEST_COMPARISONS && searched.phone.len() <= MAX_SEARCHED_COLUMNS {
            self.problem(format!(
                "{field}.phoneColumns: with names this long, the query would have more than the 32,768 characters that Dataverse takes; name fewer columns"
            ));
        }
        Some(searched)
    }

    fn check_names(
        &mut self,
        field: &str,
        entity_set: &str,
        primary_key: Option<&String>,
        logical_name: Option<&String>,
    ) {
        for (name, value) in [
            ("entitySet", Some(entity_set)),
            ("primaryKey", primary_key.map(String::as_str)),
            ("logicalName", logical_name.map(String::as_str)),
        ] {
            if value.is_some_and(|value| !is_identifier(value)) {
                self.problem(format!(
                    "{field}.{name}: it must be letters, digits and `_`, like `phonecalls`; a key or query options go into queryString"
                ));
            }
        }
    }

    fn request(
        &mut self,
        field: &str,
        configuration: &RequestConfiguration,
    ) -> Option<RequestTemplate> {
        let before = self.problems.len();
        let RequestConfiguration {
            method,
            entity_set,
            query_string,
            body,
            primary_key,
            logical_name,
            ..
        } = configuration;
        self.check_names(
            field,
            entity_set,
            primary_key.as_ref(),
            logical_name.as_ref(),
        );
        let query = query_string.text();
        if *method == Method::Patch && !query.trim_start().starts_with('(') {
            self.problem(format!(
                "{field}.queryString: a PATCH needs the record's key in parentheses, like (STEP2-Response.activityid)"
            ));
        }
        let address = Address::compile(
            &format!("{field}.queryString"),
            &query,
            Convention::OData,
            &mut self.templates,
        )
        .map_err(|error| self.problem(error.to_string()))
        .ok();
        let own = self.own_names();
        let address_text = address
            .iter()
            .flat_map(|address| address.names_in_text(&own));
        for used in address_text.collect::<Vec<_>>() {
            let name = used.name;
            self.problem(format!(
                "{field}.queryString, line {}, column {}: `{name}` stands there without braces and would be sent as that word; write {{{{ {name}... }}}}",
                used.line, used.column
            ));
        }
        if !self.names_requests {
            self.check_step_names(&format!("{field}.queryString"), &query);
            let body = body.as_ref().map(PastedObject::text).unwrap_or_default();
            self.check_step_names(&format!("{field}.body"), &body);
        }
        let table = configuration.table();
        let body = match (method, body) {
            (Method::Get, Some(body)) if !body.is_empty() => {
                self.problem(format!("{field}.body: a GET has no body; leave it out"));
                None
            }
            (Method::Get, _) | (Method::Post | Method::Put | Method::Delete, None) => None,
            (Method::Patch, None) => {
                self.problem(format!(
                    "{field}.body: a PATCH needs a body, the columns to update"
                ));
                None
            }
            (_, Some(body)) => self.body(&format!("{field}.body"), body, &table),
        };
        if *method == Method::Patch && body.as_ref().is_some_and(Body::has_parties) {
            self.problem(format!(
                "{field}.body: an update takes no parties; name them in the request that creates the record"
            ));
        }
        if self.problems.len() > before {
            return None;
        }
        Some(RequestTemplate {
            method: *method,
            table,
            address: address?,
            body,
        })
    }

    /// Without names there are no `Responses`, and a step's response would be missing without a word.
    fn check_step_names(&mut self, field: &str, text: &str) {
        let is_named = |step: &&Step| text.contains(&format!("Responses.{step}"));
        if let Some(step) = Step::ALL.iter().find(is_named) {
            self.problem(format!(
                "{field}: no request has a name, so there is no Responses.{step}; give the request of {step} a `name` like \"call\", and write Responses.call"
            ));
        }
    }

    /// The names that are the product's in this configuration alone.
    fn own_names(&self) -> Vec<&'static str> {
        let responses = self.names_requests.then_some("Responses");
        let customer = self.looks_for_customers.then_some("Customer");
        responses.into_iter().chain(customer).collect()
    }

    fn body(&mut self, field: &str, body: &PastedObject, table: &Table) -> Option<Body> {
        let fields = match body {
            PastedObject::Object(fields) => fields.clone(),
            PastedObject::Text(text) => parse_object(field, text)
                .map_err(|error| self.problem(error.to_string()))
                .ok()?,
        };
        Body::compile(field, &fields, table, &self.linkable, &mut self.templates)
            .map_err(|errors| {
                errors
                    .iter()
                    .for_each(|error| self.problem(error.to_string()));
            })
            .ok()
    }

    fn screen_pop(
        &mut self,
        step: Step,
        configuration: &ScreenPopConfiguration,
        sent: &[Place],
    ) -> Option<ScreenPop> {
        let place = format!("steps.{step}.screenPop");
        let field = &format!("{place}.queryString");
        let ScreenPopConfiguration {
            open,
            query_string,
            target,
        } = configuration;
        let looks_for_it = |opening: &Opening| *opening != Opening::Record;
        if open.iter().any(looks_for_it) && !self.looks_for_customers {
            self.problem(format!(
                "{place}.open: no step looks for a customer; give one a `customer`"
            ));
        }
        if query_string.is_empty() {
            if open.is_empty() {
                self.problem(format!(
                    "{field}: it is empty; the page's query string says which record to open, like {{\"appid\": \"{{{{appid}}}}\", \"pagetype\": \"entityrecord\", ...}}; or name what to open, as in \"open\": [\"record\"]"
                ));
            }
            return Some(ScreenPop {
                open: open.clone(),
                address: None,
                target: *target,
            });
        }
        let query = query_string.text();
        let address = Address::compile(field, &query, Convention::Page, &mut self.templates);
        let address = address
            .map_err(|error| self.problem(error.to_string()))
            .ok()?;
        let mut uses = Uses::default();
        uses.add(address.responses(), Need::Required);
        self.needs(&place, &(step, None), sent, &uses);
        Some(ScreenPop {
            open: open.clone(),
            address: Some(address),
            target: *target,
        })
    }

    fn check_reply(&mut self, step: Step, fields: &[String]) {
        for field in fields {
            if !is_name(field) {
                self.problem(format!(
                    "steps.{step}.reply: `{field}` cannot be named in a flow; a flow's keys are letters, digits, `-` and `_`"
                ));
            } else if ReplyKey::ALL.iter().any(|key| key.as_str() == field) {
                self.problem(format!(
                    "steps.{step}.reply: `{field}` is a name that every reply has already"
                ));
            }
        }
    }

    /// Which requests a request needs, by what it uses. It can only use what is configured and comes before
    /// it: `before` are the requests of the same step that do.
    fn needs(
        &mut self,
        field: &str,
        place: &Place,
        before: &[Place],
        uses: &Uses,
    ) -> BTreeMap<Place, Need> {
        let mut needs: BTreeMap<Place, Need> = BTreeMap::new();
        let mut add = |needed: Place, need: Need| {
            let known = needs.entry(needed).or_insert(need);
            *known = need.max(*known);
        };
        for (used, need, is_strict) in uses.all() {
            let without_look_up = if is_strict { need } else { lenient(need) };
            match &used.source {
                Source::ContactLens => self.check_contact_lens(field, place.0, used),
                Source::Agent => {
                    let agent = (place.0, Some(AGENT.to_owned()));
                    let is_update = uses.are_of_update;
                    add(agent, if is_update { need } else { without_look_up });
                }
                Source::Customer => {
                    if !self.looks_for_customers {
                        continue;
                    }
                    let of_step = self.customer.map(|(step, _)| step);
                    let look_up = of_step.map(|step| (step, Some(CUSTOMER.to_owned())));
                    let is_known = look_up
                        .is_some_and(|look_up| look_up.0 < place.0 || before.contains(&look_up));
                    if !is_known {
                        self.problem(format!(
                            "{field}: it uses Customer, and no customer has been looked for by then; a `customer` stands in the same step or in one before, and comes after the main request where it has linkLater"
                        ));
                        continue;
                    }
                    for (needed, need) in self.customer_needs(without_look_up) {
                        add(needed, need);
                    }
                }
                Source::Step(number) => {
                    if let Some(needed) = self.step_used(field, place, before, *number) {
                        self.note_use(&needed, used);
                        add(needed, need);
                    }
                }
                Source::Request(name) => {
                    if !self.names_requests {
                        continue;
                    }
                    let Some((needed, reads)) = self.names.get(name).cloned() else {
                        self.unknown_request(field, name);
                        continue;
                    };
                    if needed.0 > place.0 || needed.0 == place.0 && !before.contains(&needed) {
                        self.problem(format!(
                            "{field}: it uses Responses.{name}, which does not come before it"
                        ));
                        continue;
                    }
                    self.note_use(&needed, used);
                    // A case that cannot be made of a customer nobody could look for is no reason to lose the
                    // call that would have named it.
                    let is_by_look_up = !is_strict && self.by_look_up.contains(&needed);
                    let need = match need {
                        _ if reads => without_look_up,
                        Need::Expected if is_by_look_up => Need::UnlessLookUpFails,
                        need => need,
                    };
                    add(needed, need);
                }
            }
        }
        needs
    }

    /// Checks that a step which uses what was said is done for the files that tell it.
    fn check_files(&mut self, step: Step, kinds: &BTreeSet<ObjectKind>, file: ContactLensFile) {
        let originals = [ObjectKind::Analysis, ObjectKind::Transcript];
        let redacted = [ObjectKind::RedactedAnalysis, ObjectKind::RedactedTranscript];
        let names = |of: [ObjectKind; 2]| of.iter().any(|kind| kinds.contains(kind));
        let missing = match file {
            ContactLensFile::Original if !names(originals) => {
                "name `analysis` for calls, `transcript` for chats, or both"
            }
            ContactLensFile::Redacted | ContactLensFile::RedactedFirst if !names(redacted) => {
                "name `redacted-analysis`, which is read where Contact Lens redacts"
            }
            _ => return,
        };
        self.problem(format!(
            "steps.{step}.objectKinds: the step uses ContactLens; {missing} (contactLens.file is `{}`)",
            file.as_str()
        ));
    }

    /// What was said is read when its file comes. Of the rest the contact record tells the settings alone.
    fn check_contact_lens(&mut self, field: &str, step: Step, used: &ResponseUse) {
        let is_setting = used.field.as_deref() == Some("ConversationalAnalytics");
        if step.trigger() != Trigger::Object && !is_setting {
            self.problem(format!(
                "{field}: it uses ContactLens, which is known in recording-available only; write it to the record there"
            ));
        }
    }

    /// What a use of the customer needs: the look-up and, where one is created, that.
    fn customer_needs(&self, need: Need) -> Vec<(Place, Need)> {
        let Some((step, creates)) = self.customer else {
            return Vec::new();
        };
        let mut needs = vec![((step, Some(CUSTOMER.to_owned())), need)];
        if creates {
            // That it was not wanted says that the customer was found.
            let new = (step, Some(NEW_CUSTOMER.to_owned()));
            needs.push((new, need.min(Need::Expected)));
        }
        needs
    }

    fn step_used(
        &mut self,
        field: &str,
        place: &Place,
        before: &[Place],
        number: u8,
    ) -> Option<Place> {
        let Some(step) = Step::from_number(number) else {
            self.problem(format!(
                "{field}: there is no STEP{number}-Response; responses are {}",
                Step::ALL.map(Step::response_name).join(", ")
            ));
            return None;
        };
        let main = (step, None);
        if step > place.0 || step == place.0 && !before.contains(&main) {
            self.problem(format!(
                "{field}: it uses {}, the response of {step}, which does not come before it",
                step.response_name()
            ));
            return None;
        }
        if !self.names.contains_key(step.as_str()) {
            self.problem(format!(
                "{field}: it uses {}, but {step} is not configured with a request",
                step.response_name()
            ));
            return None;
        }
        Some(main)
    }

    fn unknown_request(&mut self, field: &str, name: &str) {
        let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
        let known = known.join(", ");
        self.problem(if name.is_empty() {
            format!(
                "{field}: write which response is meant, like Responses.call or Responses[\"call\"]; there are {known}"
            )
        } else {
            format!("{field}: there is no request `{name}`; there are {known}")
        });
    }

    fn note_use(&mut self, place: &Place, used: &ResponseUse) {
        let empty = || Some(BTreeSet::new());
        let fields = self.used.entry(place.clone()).or_insert_with(empty);
        match (&used.field, fields) {
            (Some(field), Some(fields)) => {
                fields.insert(field.clone());
            }
            (None, fields) => *fields = None,
            (Some(_), None) => {}
        }
    }
}

/// How much a body needs what was looked for: a record without it is better than no record.
fn lenient(need: Need) -> Need {
    match need {
        Need::Expected => Need::Welcome,
        need => need,
    }
}

/// Whether a text is the value of `$orderby`.
fn is_order(order: &str) -> bool {
    order.split(',').all(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        matches!(words.as_slice(), [column] | [column, "asc" | "desc"] if is_identifier(column))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn reference() -> Json {
        serde_json::from_str(include_str!("../../../local/reference-integration.json")).unwrap()
    }

    fn problems(change: impl FnOnce(&mut Json)) -> Vec<String> {
        let mut document = reference();
        change(&mut document);
        match Integration::load(&document.to_string()) {
            Ok(_) => Vec::new(),
            Err(error) => error.0,
        }
    }

    #[test]
    fn the_references_configuration_loads_and_survives_being_saved() {
        let integration = Integration::load(&reference().to_string()).unwrap();
        let saved = serde_json::to_string(integration.configuration()).unwrap();
        assert_eq!(
            Integration::load(&saved).unwrap().configuration(),
            integration.configuration()
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        for (change, expected) in [
            (json!({"/conection": {}}), "unknown field `conection`"),
            (
                json!({"/connection/environmentURI": "x"}),
                "connection.environmentURI: unknown field `environmentURI`",
            ),
            (
                json!({"/connection/environmentUri": "http://example.com"}),
                "connection.environmentUri: it must begin with https://",
            ),
            (
                json!({"/connection/environmentUri": "https://example.com/api"}),
                "it must end after the host",
            ),
            (
                json!({"/contacts": {"TRANFSER": "first-record"}}),
                "contacts.TRANFSER: it is no initiation method",
            ),
            (
                json!({"/contacts": {"TRANSFER": "first"}}),
                "contacts.TRANSFER: unknown variant `first`",
            ),
            (
                json!({"/contactLens": {"file": "both"}}),
                "contactLens.file: unknown variant `both`",
            ),
            (
                json!({"/steps/recording-available": {"objectKinds": ["analysis"], "request": {
                    "method": "POST", "entitySet": "tasks", "body": {"description": "{{ ContactLens.Summary }}"}
                }}}),
                "steps.recording-available.objectKinds: the step uses ContactLens; name `redacted-analysis`",
            ),
            (
                json!({"/steps/contact-completed": {"request": {
                    "method": "POST", "entitySet": "tasks", "body": {"description": "{{ ContactLens.Summary }}"}
                }}}),
                "it uses ContactLens, which is known in recording-available only",
            ),
            (json!({"/connection/appId": "x"}), "connection.appId: "),
            (json!({"/connection/apiVersion": "v9.2"}), "without a `v`"),
            (
                json!({"/connection/clientId": "x"}),
                "connection.clientId: ",
            ),
            (
                json!({"/connection/tenantId": "a/b"}),
                "connection.tenantId: ",
            ),
            (
                json!({"/connection/scope": "https://example.com"}),
                "connection.scope: ",
            ),
            (
                json!({"/connection/instanceUrl": "example.my.connect.aws"}),
                "connection.instanceUrl: ",
            ),
            (
                json!({"/connection/instanceUrl": "https://example.my.connect.aws/home"}),
                "connection.instanceUrl: it must end after the host",
            ),
            (json!({"/name": "a b"}), "name: it must be"),
            (json!({"/giveUpAfterHours": 0}), "giveUpAfterHours: "),
            (
                json!({"/retentionDays": 3}),
                "retentionDays: a contact must be remembered longer",
            ),
            (
                json!({"/withoutStart": {"action": "guess"}}),
                "withoutStart.action: unknown variant `guess`",
            ),
            (
                json!({"/flowBudgetMilliseconds": 9000}),
                "flowBudgetMilliseconds: ",
            ),
            (
                json!({"/steps/contact-strat": {}}),
                "steps.contact-strat: unknown field `contact-strat`",
            ),
            (
                json!({"/steps/contact-start/request/method": "PUT"}),
                "steps.contact-start.request.method: unknown variant `PUT`",
            ),
            (
                json!({"/steps/contact-start/request/entitySet": "phonecalls(1)"}),
                "steps.contact-start.request.entitySet: ",
            ),
            (
                json!({"/steps/contact-start/request/body": "{\"a\": \"{{ x | nope }}\"}"}),
                "steps.contact-start.request.body.a, line 1, column 8: there is no filter `nope`",
            ),
            (
                json!({"/steps/contact-start/request/body": "{"}),
                "steps.contact-start.request.body, line 1, column",
            ),
            (
                json!({"/steps/contact-start/request/body": 5}),
                "a JSON object, or a string",
            ),
            (
                json!({"/steps/contact-end/request/queryString": "STEP2-Response.activityid"}),
                "a PATCH needs the record's key in parentheses",
            ),
            (
                json!({"/steps/contact-end/request/queryString": "(STEP5-Response.activityid)"}),
                "which does not come before it",
            ),
            (
                json!({"/steps/contact-end/request/queryString": "(STEP9-Response.activityid)"}),
                "there is no STEP9-Response",
            ),
            (
                json!({"/steps/contact-start": null}),
                "contact-start is not configured",
            ),
            (
                json!({"/steps/contact-start/reply": ["a.b"]}),
                "cannot be named in a flow",
            ),
            (
                json!({"/steps/contact-start/reply": ["status"]}),
                "a name that every reply has",
            ),
            (
                json!({"/steps/contact-answered": {}}),
                "steps.contact-answered: it does nothing; give it a `screenPop`",
            ),
            (
                json!({"/steps/contact-answered/screenPop/queryString": ""}),
                "screenPop.queryString: it is empty",
            ),
            (
                json!({"/steps/recording-available/objectKinds": ["video"]}),
                "steps.recording-available.objectKinds[0]: unknown variant `video`",
            ),
        ] {
            let (pointer, value) = change.as_object().unwrap().iter().next().unwrap();
            let problems = problems(|document| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                document.pointer_mut(parent).unwrap()[name] = value.clone();
            });
            assert!(
                problems.iter().any(|problem| problem.contains(expected)),
                "{pointer}: {problems:?}"
            );
        }
    }

    /// The problems of a configuration that looks for customers, with another value in contact-start.
    fn problems_of_start(pointer: &str, value: &Json) -> Vec<String> {
        let recipe = include_str!("../../../docs/recipes/phone-call.json");
        let mut document: Json = serde_json::from_str(recipe).unwrap();
        let start = &mut document["steps"]["contact-start"];
        match start.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                start.pointer_mut(parent).unwrap()[name] = value.clone();
            }
        }
        Integration::load(&document.to_string()).map_or_else(|error| error.0, |_| Vec::new())
    }

    #[test]
    fn what_can_be_looked_for_and_linked_is_taken() {
        for (pointer, value) in [
            ("/customer/value", json!("+1{{ Attributes.number }}")),
            (
                "/customer/tables",
                json!([{"entitySet": "contacts"}, {"entitySet": "systemusers", "emailColumns": ["internalemailaddress"]}]),
            ),
            (
                "/customer/tables/0/select",
                json!(["_parentcustomerid_value"]),
            ),
        ] {
            assert_eq!(problems_of_start(pointer, &value), [""; 0], "{pointer}");
        }
        // A record that is linked later can be made of an earlier response, too.
        let recipe = include_str!("../../../docs/recipes/phone-call.json");
        let mut document: Json = serde_json::from_str(recipe).unwrap();
        let start = document["steps"]["contact-start"].as_object_mut().unwrap();
        let mut call = start.remove("request").unwrap();
        call["name"] = "call".into();
        call["main"] = true.into();
        call["body"]["description"] = "{{ Customer.name }} {{ Responses.find.title }}".into();
        call["body"]["to"] = "{{ Responses.find }}".into();
        call["body"]["regardingobjectid"] = "{{ Responses['order'] }}".into();
        let find = |name: &str, set: &str| json!({"name": name, "method": "GET", "entitySet": set, "queryString": "?$top=1"});
        start.insert(
            "requests".into(),
            json!([find("find", "contacts"), find("order", "salesorders"), call]),
        );
        let loaded = Integration::load(&document.to_string());
        loaded.unwrap_or_else(|error| panic!("{:#?}", error.0));
    }

    #[test]
    fn every_mistake_with_customers_links_and_several_requests_is_told_with_its_place() {
        let call = |change: Json| {
            let mut call =
                json!({"name": "call", "method": "POST", "entitySet": "phonecalls", "body": {}});
            for (name, value) in change.as_object().unwrap() {
                call[name] = value.clone();
            }
            call
        };
        for (pointer, value, expected) in [
            (
                "/requests",
                json!([call(json!({}))]),
                "steps.contact-start: it has a `request` and `requests`",
            ),
            (
                "/request/name",
                json!("customer"),
                "steps.contact-start.request.name: `customer` means something already",
            ),
            (
                "/request/name",
                json!("contact-end"),
                "`contact-end` means something already",
            ),
            (
                "/request/name",
                json!("a b"),
                "it must be letters, digits, `-` and `_`",
            ),
            (
                "/request/when",
                json!("Customer.count =="),
                "steps.contact-start.request.when, line 1",
            ),
            (
                "/request/body/customerid",
                json!("{{ Customer }}"),
                "steps.contact-start.request.body.customerid: ",
            ),
            (
                "/request/body/subject",
                json!("{{ Customer }}"),
                "`phonecall` has no lookup `subject`",
            ),
            (
                "/request/body/from",
                json!(["{{ Customer }}", "x"]),
                "a list of parties holds records only",
            ),
            (
                "/customer/tables",
                json!([]),
                "steps.contact-start.customer.tables: name at least one table",
            ),
            (
                "/customer/tables/0",
                json!({"entitySet": "new_patients"}),
                "steps.contact-start.customer.tables[0]: it is not known which columns of `new_patients`",
            ),
            (
                "/customer/tables/0/phoneColumns",
                json!(["a b"]),
                "`a b` is no column's name",
            ),
            (
                "/customer/tables/0/filter",
                json!("name eq 'x"),
                "customer.tables[0].filter: a single quote is opened",
            ),
            (
                "/request/body/regardingobjectid_lead_phonecall@odata.bind",
                json!("{{ Agent.User }}"),
                "points to lead, and this is a record of systemuser",
            ),
            (
                "/request/body/phonecall_tasks",
                json!([{"subject": "x", "regardingobjectid": "{{ Customer }}"}]),
                "which record `regardingobjectid` belongs to is not known here",
            ),
            (
                "/request/body/description",
                json!("{{ Responses.contact-start.activityid }}"),
                "no request has a name, so there is no Responses.contact-start",
            ),
            (
                "/request",
                json!({"method": "PATCH", "entitySet": "phonecalls", "queryString": "({{ contactId }})", "body": {"from": "{{ Customer }}"}}),
                "an update takes no parties",
            ),
            (
                "/customer/kind",
                json!("text"),
                "customer.kind: no table has columns",
            ),
            (
                "/customer/country",
                json!("Germany"),
                "customer.country: `Germany` is no country",
            ),
            (
                "/customer/many",
                json!({"orderby": "modifiedon downwards"}),
                "customer.many.orderby: it must be columns",
            ),
            (
                "/customer/many",
                json!("oldest"),
                "steps.contact-start.customer.many: unknown variant `oldest`",
            ),
            (
                "/customer/none",
                json!({"create": {"entitySet": "leads", "body": {"ownerid": "{{ Agent.Owner }}"}}}),
                "customer.none.create.body: the agent is not known",
            ),
            (
                "/customer/value",
                json!("{{ STEP4-Response.x }}"),
                "steps.contact-start.customer: it uses STEP4-Response",
            ),
        ] {
            let problems = problems_of_start(pointer, &value);
            assert!(
                problems.iter().any(|problem| problem.contains(expected)),
                "{pointer}: {problems:?}"
            );
        }
        for (requests, expected) in [
            (
                json!([call(json!({})), call(json!({}))]),
                "steps.contact-start.requests[1].name: another request is called `call`, too",
            ),
            (
                json!([{"method": "GET", "entitySet": "contacts"}]),
                "steps.contact-start.requests[0].name: each of a step's requests needs a name",
            ),
            (
                json!([
                    call(json!({"main": true})),
                    call(json!({"name": "b", "main": true}))
                ]),
                "several say that they are the `main` one",
            ),
            (
                json!([
                    call(json!({"body": {"subject": "{{ Responses.task.subject }}"}})),
                    call(json!({"name": "task", "entitySet": "tasks"}))
                ]),
                "steps.contact-start.requests[0]: it uses Responses.task, which does not come before it",
            ),
            (
                json!([call(
                    json!({"body": {"subject": "{{ Responses.cal.subject }}"}})
                )]),
                "there is no request `cal`; there are ",
            ),
            (
                json!([
                    call(json!({})),
                    call(json!({
                        "name": "b", "method": "PATCH", "queryString": "(Responses.call.activityid)", "body": {}
                    }))
                ]),
                "requests[1].queryString, line 1, column 2: `Responses` stands there without braces",
            ),
            (
                json!([
                    call(json!({})),
                    call(json!({"name": "b", "body": {"subject": "{{ Responses }}"}}))
                ]),
                "write which response is meant",
            ),
        ] {
            let problems = problems(|document| {
                document["steps"]["contact-start"] = json!({"requests": requests});
            });
            assert!(
                problems.iter().any(|problem| problem.contains(expected)),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_customer_must_be_looked_for_before_it_is_used() {
        let end = |change: fn(&mut Json)| {
            let recipe = include_str!("../../../docs/recipes/phone-call.json");
            let mut document: Json = serde_json::from_str(recipe).unwrap();
            change(&mut document["steps"]);
            Integration::load(&document.to_string()).map_or_else(|error| error.0, |_| Vec::new())
        };
        let moved = end(|steps| {
            let customer = steps["contact-start"]
                .as_object_mut()
                .unwrap()
                .remove("customer");
            steps["contact-end"]["customer"] = customer.unwrap();
        });
        assert!(
            moved.iter().any(|problem| problem.starts_with(
                "steps.contact-start.request: it uses Customer, and no customer has been looked for"
            )),
            "{moved:?}"
        );
        let later = end(|steps| {
            steps["contact-start"]["customer"]["linkLater"] = true.into();
            steps["contact-start"]["request"]["when"] = "Customer.id".into();
        });
        assert!(
            later
                .iter()
                .any(|problem| problem.contains("it uses Customer")),
            "{later:?}"
        );
        let nothing_to_link = end(|steps| {
            steps["contact-end"]["customer"] =
                json!({"tables": [{"entitySet": "contacts"}], "linkLater": true});
        });
        assert!(
            nothing_to_link
                .iter()
                .any(|problem| problem.starts_with("steps.contact-end.customer.linkLater: ")),
            "{nothing_to_link:?}"
        );
        let without = end(|steps| {
            steps["contact-start"]
                .as_object_mut()
                .unwrap()
                .remove("customer");
            steps["contact-answered"]["screenPop"]["open"] = json!(["customer"]);
        });
        assert!(
            without.iter().any(|problem| problem.starts_with(
                "steps.contact-answered.screenPop.open: no step looks for a customer"
            )),
            "{without:?}"
        );
    }

    #[test]
    fn several_mistakes_are_told_at_once() {
        let problems = problems(|document| {
            document["connection"]["clientId"] = "x".into();
            document["steps"]["contact-start"]["request"]["body"] =
                json!({"a": "{{", "b": "{{ c | nope }}"});
            document["steps"]["contact-end"]["request"]["queryString"] = "x".into();
        });
        assert!(problems.len() >= 4, "{problems:?}");
    }
}
