//! The stand-in for Amazon Connect, with the functions' binaries behind it: what an agent sees of a contact, and what
//! Dynamics holds of it.

use end_to_end::system_with;
use local::{
    desk::{Desk, DeskOptions},
    system::System,
};
use reqwest::{Client, Method, StatusCode, redirect::Policy};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

const ADA: &str = "+15555550100";
const PHONE_CALL: &str = include_str!("../docs/recipes/phone-call.json");
const CHAT: &str = include_str!("../docs/recipes/chat.json");

/// A system that is kept up, with a desk, and what it is asked with.
struct Served {
    system: System,
    desk: Desk,
    client: Client,
}

async fn served(recipe: &str) -> Served {
    let configuration: Json = serde_json::from_str(recipe).unwrap();
    let change = |given: &mut Json| {
        let budget = given["flowBudgetMilliseconds"].clone();
        *given = configuration;
        given["flowBudgetMilliseconds"] = budget;
    };
    let system = system_with(change, |_| {}).await;
    let records = json!({
        "contacts": [{"firstname": "Ada", "lastname": "Example", "mobilephone": "(555) 555-0100"}],
        "systemusers": [{
            "firstname": "Grace", "lastname": "Agent", "domainname": "agent.example",
            "internalemailaddress": "agent@example.com",
        }],
    });
    system.put(records.as_object().unwrap()).unwrap();
    let desk = Desk::set_up(&system, &DeskOptions::default())
        .await
        .unwrap();
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    Served {
        system,
        desk,
        client,
    }
}

impl Served {
    /// Asks the instance; answers with the status and the JSON.
    async fn ask(&self, method: Method, path: &str, body: Json) -> (StatusCode, Json) {
        let url = format!("http://{}/stand-in/{path}", self.desk.connect_address);
        let asked = self.client.request(method, url).json(&body);
        let answer = asked.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        let json = if text.is_empty() {
            Json::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {status} {text}"))
        };
        (status, json)
    }

    async fn place(&self, new: Json) -> Json {
        let (status, contact) = self.ask(Method::POST, "contacts", new).await;
        assert_eq!(status, StatusCode::CREATED, "{contact}");
        contact
    }

    async fn act(&self, contact: &Json, action: &str) -> Json {
        self.act_how(contact, action, json!({})).await
    }

    async fn act_how(&self, contact: &Json, action: &str, how: Json) -> Json {
        let path = format!("contacts/{}/{action}", id(contact));
        let (status, contact) = self.ask(Method::POST, &path, how).await;
        assert_eq!(status, StatusCode::OK, "{action}: {contact}");
        contact
    }

    async fn contact(&self, id: &str) -> Json {
        let path = format!("contacts/{id}");
        self.ask(Method::GET, &path, json!({})).await.1
    }

    async fn refusal(&self, method: Method, path: &str, body: Json) -> (StatusCode, String) {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status.is_client_error(), "{path}: {status} {answer}");
        let message = answer["error"]["message"].as_str();
        (status, message.unwrap_or_default().to_owned())
    }

    /// The record that the contact's attributes name.
    fn record(&self, entity_set: &str, contact: &Json) -> Map<String, Json> {
        let id = contact["attributes"]["recordId"].as_str().unwrap();
        let id = Uuid::try_parse(id).unwrap();
        let record = self.system.dataverse.record(entity_set, id);
        record.unwrap_or_else(|| panic!("{entity_set}({id}) is not there"))
    }

    fn agent(&self) -> Json {
        let users = self.system.dataverse.records("systemusers");
        let agent = users.iter().find(|user| user["lastname"] == "Agent");
        agent.unwrap()["systemuserid"].clone()
    }

    /// A page, without following where it leads.
    async fn page(&self, url: &str) -> reqwest::Response {
        self.client.get(url).send().await.unwrap()
    }

    fn connect(&self, path: &str) -> String {
        format!("http://{}{path}", self.desk.connect_address)
    }

    fn dataverse(&self, path: &str) -> String {
        format!("http://{}{path}", self.system.addresses.dataverse)
    }
}

fn id(contact: &Json) -> &str {
    contact["id"].as_str().unwrap()
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_call_rings_with_its_page_and_belongs_to_who_answers_it() {
    let served = served(PHONE_CALL).await;
    let call = served.place(json!({"kind": "call", "number": ADA})).await;
    assert_eq!(call["state"], "connecting");
    assert_eq!(call["attributes"]["recordStatus"], "delivered");
    let page = call["attributes"]["screenPopUrl"].as_str().unwrap();
    let record = served.record("phonecalls", &call);
    let expected = format!(
        "{}?appid=a0c1d2e3-0000-4000-8000-00000000a001&pagetype=entityrecord&etn=phonecall&id={}",
        served.dataverse("/main.aspx"),
        record["activityid"].as_str().unwrap()
    );
    assert_eq!(page, expected);
    assert_eq!(record["subject"], "Call from Ada Example");
    assert_ne!(record["_ownerid_value"], served.agent());

    let call = served.act(&call, "accept").await;
    assert_eq!(call["state"], "connected");
    let owner = served.record("phonecalls", &call)["_ownerid_value"].clone();
    assert_eq!(owner, served.agent());

    let call = served.act(&call, "hangUp").await;
    assert_eq!(call["state"], "ended");
    let record = served.record("phonecalls", &call);
    assert!(record["actualend"].is_string(), "{record:?}");
    let description = record["description"].as_str().unwrap_or_default();
    assert!(description.contains("CallRecordings"), "{description}");
    assert!(record["category"].is_null());

    let call = served.act(&call, "clear").await;
    assert_eq!(call["state"], "gone");
    let record = served.record("phonecalls", &call);
    assert_eq!(record["category"], "answered");
}

#[tokio::test]
async fn a_transferred_call_is_a_second_contact_that_has_the_firsts_attributes() {
    let served = served(PHONE_CALL).await;
    let first = served.place(json!({"kind": "call", "number": ADA})).await;
    served.act(&first, "accept").await;
    let first = served.act(&first, "transfer").await;
    assert_eq!(first["state"], "ended");
    let second = served
        .contact(first["nextContactId"].as_str().unwrap())
        .await;
    assert_eq!(second["state"], "queued", "the agent is at the work after");
    assert_eq!(second["initialContactId"], first["id"]);
    assert_eq!(second["previousContactId"], first["id"]);
    assert_eq!(second["initiationMethod"], "TRANSFER");
    assert_eq!(second["attributes"]["customerName"], "Ada Example");

    served.act(&first, "clear").await;
    let second = served.contact(id(&second)).await;
    assert_eq!(second["state"], "connecting");
    served.act(&second, "accept").await;
    served
        .act_how(&second, "hangUp", json!({"byAgent": true}))
        .await;
    let second = served.act(&second, "clear").await;
    assert_eq!(served.record("phonecalls", &second)["category"], "answered");
}

#[tokio::test]
async fn a_call_that_another_agent_transfers_rings_as_a_second_leg() {
    let served = served(PHONE_CALL).await;
    let new = json!({"kind": "call", "number": ADA, "isTransferred": true});
    let second = served.place(new).await;
    assert_eq!(second["state"], "connecting");
    let first = served
        .contact(second["initialContactId"].as_str().unwrap())
        .await;
    assert_eq!(first["agent"], "agent.two");
    assert_eq!(first["state"], "gone");
    assert!(second["attributes"]["screenPopUrl"].is_string());
}

#[tokio::test]
async fn an_agent_has_several_chats_and_one_call() {
    let served = served(CHAT).await;
    let chats = [
        served.place(json!({"kind": "chat", "name": "Ada"})).await,
        served.place(json!({"kind": "chat", "name": "Bob"})).await,
    ];
    for chat in &chats {
        let chat = served.act(chat, "accept").await;
        assert_eq!(chat["state"], "connected");
    }
    let calls = [
        served.place(json!({"kind": "call", "number": ADA})).await,
        served.place(json!({"kind": "call"})).await,
    ];
    assert_eq!(calls[0]["state"], "connecting");
    assert_eq!(calls[1]["state"], "queued");
    let (_, state) = served.ask(Method::GET, "contacts", json!({})).await;
    assert_eq!(state["selected"], chats[1]["id"]);
    served.act(&chats[0], "select").await;
    let (_, state) = served.ask(Method::GET, "contacts", json!({})).await;
    assert_eq!(state["selected"], chats[0]["id"]);

    served.act(&chats[0], "hangUp").await;
    let chat = served.act(&chats[0], "clear").await;
    let task = served.record("tasks", &chat);
    assert_eq!(task["subject"], "Chat with Ada");
    assert_eq!(task["subcategory"], "answered");
    // What was written is there, and is no call's sound.
    assert_eq!(chat["steps"]["recording-available"]["status"], "delivered");
}

#[tokio::test]
async fn an_agents_call_is_recorded_while_the_customer_is_rung() {
    let served = served(PHONE_CALL).await;
    let dial = |number: &str| json!({"number": number});
    let (status, call) = served.ask(Method::POST, "calls", dial(ADA)).await;
    assert_eq!(status, StatusCode::CREATED, "{call}");
    assert_eq!(call["isDialling"], true);
    let record = served.record("phonecalls", &call);
    assert_eq!(record["subject"], "Call to Ada Example");
    assert_eq!(record["directioncode"], true);
    assert_eq!(record["_ownerid_value"], served.agent());

    let (status, why) = served.refusal(Method::POST, "calls", dial(ADA)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(why.contains("at another call"), "{why}");

    let call = served.act(&call, "customerAnswers").await;
    assert_eq!(call["state"], "connected");
    served.act(&call, "hangUp").await;
    let call = served.act(&call, "clear").await;
    assert_eq!(served.record("phonecalls", &call)["category"], "answered");
}

#[tokio::test]
async fn a_call_of_the_agents_can_be_refused_or_never_answered() {
    let served = served(PHONE_CALL).await;
    let number = || json!({"number": ADA});
    let error =
        json!({"dialError": {"type": "BadEndpointException", "message": "not this country"}});
    served.ask(Method::PUT, "dial-error", error).await;
    let (status, answer) = served.ask(Method::POST, "calls", number()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let expected =
        json!({"error": {"type": "BadEndpointException", "message": "not this country"}});
    assert_eq!(answer, expected);
    served
        .ask(Method::PUT, "dial-error", json!({"dialError": "drop"}))
        .await;
    let (status, answer) = served.ask(Method::POST, "calls", number()).await;
    assert_eq!(
        (status, answer),
        (StatusCode::ACCEPTED, json!({"dropped": true}))
    );
    served
        .ask(Method::PUT, "dial-error", json!({"dialError": null}))
        .await;
    let wrong = json!({"number": "555-0100"});
    let (_, why) = served.refusal(Method::POST, "calls", wrong).await;
    assert!(why.contains("+15555550100"), "{why}");
    let (status, _) = served.ask(Method::POST, "calls", number()).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_callback_rings_the_customer_when_the_agent_has_taken_it() {
    let served = served(PHONE_CALL).await;
    let call = served
        .place(json!({"kind": "callback", "number": ADA}))
        .await;
    assert_eq!(
        (&call["state"], &call["type"]),
        (&json!("incoming"), &json!("queue_callback"))
    );
    let call = served.act(&call, "accept").await;
    assert_eq!(
        (&call["state"], &call["isDialling"]),
        (&json!("connecting"), &json!(true))
    );
    let call = served.act(&call, "customerAnswers").await;
    assert_eq!(call["state"], "connected");
}

#[tokio::test]
async fn what_nobody_takes_waits_until_the_customer_gives_up() {
    let served = served(PHONE_CALL).await;
    let call = served.place(json!({"kind": "call", "number": ADA})).await;
    let call = served
        .act_how(&call, "miss", json!({"asError": true}))
        .await;
    assert_eq!(call["state"], "error");
    let call = served.act(&call, "clear").await;
    assert_eq!(call["state"], "queued");
    let available = json!({"availability": "Available"});
    served.ask(Method::PUT, "agent", available).await;
    let call = served.contact(id(&call)).await;
    assert_eq!(call["state"], "connecting");
    served.act(&call, "reject").await;
    served.act(&call, "hangUp").await;
    let call = served.act(&call, "clear").await;
    assert_eq!(call["state"], "gone");
    let record = served.record("phonecalls", &call);
    assert_eq!(record["category"], "missed");
    assert_ne!(record["_ownerid_value"], served.agent());
}

#[tokio::test]
async fn attributes_can_be_hostile_late_or_missing() {
    let served = served(PHONE_CALL).await;
    let hostile = "javascript:alert(document.domain)";
    let new = json!({"kind": "chat", "attributes": {"screenPopUrl": hostile, "language": "en-US"}});
    let chat = served.place(new).await;
    assert_eq!(chat["attributes"]["screenPopUrl"], hostile);
    assert_eq!(chat["attributes"]["language"], "en-US");
    let chat = served.act(&chat, "accept").await;
    assert_eq!(chat["attributes"]["screenPopUrl"], hostile);
    let path = format!("contacts/{}/attributes", id(&chat));
    let set = json!({"screenPopUrl": null, "another": "one"});
    let (_, chat) = served.ask(Method::PUT, &path, set).await;
    assert!(chat["attributes"].get("screenPopUrl").is_none());
    assert_eq!(chat["attributes"]["another"], "one");

    let late = json!({"kind": "call", "number": ADA, "attributesAfter": "later"});
    let late = served.place(late).await;
    assert_eq!(late["attributes"], json!({}));
    let late = served.act(&late, "releaseAttributes").await;
    assert!(late["attributes"]["screenPopUrl"].is_string());
    served.act(&late, "hangUp").await;

    let never = json!({"kind": "call", "number": ADA, "attributesAfter": "never"});
    let never = served.place(never).await;
    assert_eq!(never["attributes"], json!({}));
    assert_eq!(never["steps"]["contact-start"]["status"], "delivered");
    served.act(&never, "hangUp").await;

    let alone = json!({
        "kind": "call", "number": ADA, "withoutFunctions": true, "attributes": {"screenPopUrl": "https://example.com"}
    });
    let alone = served.place(alone).await;
    assert_eq!(
        alone["attributes"],
        json!({"screenPopUrl": "https://example.com"})
    );
    let alone = served.act(&alone, "accept").await;
    assert_eq!(alone["steps"], json!({}));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_words_that_say_why() {
    let served = served(PHONE_CALL).await;
    let post = |path: &str, body: Json| {
        let path = path.to_owned();
        let served = &served;
        async move { served.refusal(Method::POST, &path, body).await }
    };
    let wrong = [
        (json!({"kind": "fax"}), "fax"),
        (
            json!({"kind": "call", "number": "0555"}),
            "`0555` is no telephone number",
        ),
        (json!({"kind": "call", "colour": "red"}), "colour"),
        (
            json!({"kind": "chat", "number": ADA}),
            "only calls have a `number`",
        ),
        (json!({"kind": "outbound"}), "POST /stand-in/calls"),
    ];
    for (body, expected) in wrong {
        let (status, why) = post("contacts", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(why.contains(expected), "{why}");
    }
    let nobody = "contacts/00000000-0000-4000-8000-00000000dead/accept";
    let (status, why) = post(nobody, json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(why.contains("there is no contact"), "{why}");
    let (status, _) = post("contacts/1/accept", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let call = served.place(json!({"kind": "call", "number": ADA})).await;
    let (status, why) = post(&format!("contacts/{}/clear", id(&call)), json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        why.contains("\"connecting\"") && why.contains("\"accept\""),
        "{why}"
    );
    let (status, why) = post(&format!("contacts/{}/explode", id(&call)), json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        why.contains("explode") && why.contains("`transfer`"),
        "{why}"
    );
}

#[tokio::test]
async fn whoever_looks_is_told_of_every_change() {
    let served = served(PHONE_CALL).await;
    let mut events = served.page(&served.connect("/stand-in/events")).await;
    assert_eq!(header(&events, "content-type"), "text/event-stream");
    let call = served.place(json!({"kind": "call", "number": ADA})).await;
    let call = served.act(&call, "accept").await;
    served.act(&call, "hangUp").await;
    let mut text = String::new();
    let mut states: Vec<String> = Vec::new();
    while states.last().is_none_or(|state| state != "ended") {
        text += std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
        while let Some((event, rest)) = text.split_once("\n\n") {
            let told = event
                .strip_prefix("data: ")
                .map(serde_json::from_str::<Json>);
            if let Some(Ok(told)) = told
                && let Some(state) = told["contacts"][0]["state"].as_str()
                && states.last().is_none_or(|last| last != state)
            {
                states.push(state.to_owned());
            }
            text = rest.to_owned();
        }
    }
    assert_eq!(states, ["queued", "connecting", "connected", "ended"]);
}

#[tokio::test]
async fn another_sites_page_may_ask_for_nothing() {
    let served = served(PHONE_CALL).await;
    let contacts = served.connect("/stand-in/contacts");
    let own = served.connect("");
    for (origin, expected) in [
        ("https://other.example.com", StatusCode::FORBIDDEN),
        (own.as_str(), StatusCode::CREATED),
    ] {
        // As a browser sends a form's text, without asking whether it may.
        let asked = Client::new()
            .post(&contacts)
            .header("origin", origin)
            .header("content-type", "text/plain")
            .body(json!({"kind": "call"}).to_string());
        assert_eq!(asked.send().await.unwrap().status(), expected, "{origin}");
    }
}

#[tokio::test]
async fn the_pages_say_who_may_show_them() {
    let served = served(PHONE_CALL).await;
    let page = format!("http://{}", served.desk.page_address);
    let control_panel = served.page(&served.connect("/ccp-v2/")).await;
    let policy = header(&control_panel, "content-security-policy");
    let ancestors = format!("frame-ancestors 'self' {page} {}", served.dataverse(""));
    assert!(policy.ends_with(&ancestors), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");

    let ended = json!({"signedIn": false, "how": "expired"});
    served.ask(Method::PUT, "session", ended).await;
    let control_panel = served.page(&served.connect("/ccp-v2/")).await;
    assert_eq!(header(&control_panel, "location"), "/login");
    let login = served.page(&served.connect("/login")).await;
    assert_eq!(header(&login, "x-frame-options"), "DENY");
    let url = served.connect("/login");
    let signed_in = served.client.post(url).send().await.unwrap();
    assert_eq!(header(&signed_in, "location"), "/ccp-v2/");
    let control_panel = served.page(&served.connect("/ccp-v2/")).await;
    assert_eq!(control_panel.status(), StatusCode::OK);

    let index = served.page(&page).await;
    assert_eq!(header(&index, "cache-control"), "no-cache");
    let etag = header(&index, "etag").to_owned();
    assert!(!etag.is_empty());
    let again = served.client.get(&page).header("if-none-match", &etag);
    assert_eq!(
        again.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );
    let policy = header(&index, "content-security-policy");
    assert!(policy.contains("frame-ancestors"), "{policy}");
    let settings = served.page(&format!("{page}/settings.json")).await;
    let settings: Json = settings.json().await.unwrap();
    assert_eq!(settings["instanceUrl"], served.connect(""));
    assert_eq!(settings["environments"], json!([served.dataverse("")]));
    let provider = served.page(&format!("{page}/channel-provider.json")).await;
    let provider: Json = provider.json().await.unwrap();
    let landing = provider["msdyn_landingurl"].as_str().unwrap();
    assert!(landing.starts_with(&page), "{landing}");
}

#[tokio::test]
async fn dynamics_shows_a_record_to_those_who_may_frame_it() {
    let served = served(PHONE_CALL).await;
    let hostile = "<img src=x onerror=alert(1)>";
    let dataverse = &served.system.dataverse;
    let added = dataverse.insert(
        "contacts",
        json!({"lastname": hostile, "telephone1": "555 0100"}),
    );
    let form = format!(
        "/main.aspx?pagetype=entityrecord&etn=contact&id={}",
        added.unwrap()
    );
    let form = served.dataverse(&form);
    let page = served.page(&form).await;
    let policy = header(&page, "content-security-policy").to_owned();
    let expected = format!(
        "frame-ancestors 'self' http://{} {}",
        served.desk.page_address,
        served.connect("")
    );
    assert!(policy.ends_with(&expected), "{policy}");
    let text = page.text().await.unwrap();
    assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;") && !text.contains(hostile));
    assert!(text.contains("Call 555 0100"));

    let put = async |what: &str, body: Json| {
        let url = served.dataverse(&format!("/stand-in/{what}"));
        let answer = served.client.put(url).json(&body).send().await.unwrap();
        answer.status()
    };
    assert_eq!(
        put("frame-ancestors", json!([])).await,
        StatusCode::NO_CONTENT
    );
    let page = served.page(&form).await;
    let policy = header(&page, "content-security-policy");
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    let wrong = put("frame-ancestors", json!(["nonsense"])).await;
    assert_eq!(wrong, StatusCode::BAD_REQUEST);

    put("signed-in", json!(false)).await;
    let page = served.page(&form).await;
    assert!(header(&page, "location").starts_with("/sign-in?to=%2Fmain%2Easpx"));
    let sign_in = served.page(&served.dataverse("/sign-in")).await;
    assert_eq!(header(&sign_in, "x-frame-options"), "DENY");
    put("signed-in", json!(true)).await;

    let missing =
        "/main.aspx?pagetype=entityrecord&etn=contact&id=00000000-0000-4000-8000-00000000dead";
    let page = served.page(&served.dataverse(missing)).await;
    assert!(page.text().await.unwrap().contains("Record not available"));
    let search = served.dataverse("/main.aspx?pagetype=search&searchText=%2B15555550100");
    let page = served.page(&search).await;
    assert!(page.text().await.unwrap().contains("Ada Example"));
}
