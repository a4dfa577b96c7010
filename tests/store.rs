//! The store against a real table: the embedded DynamoDB and, where `tests/run` has started it,
//! Amazon's own DynamoDB Local.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use connect_dynamics::{
    history::{History, RequestKey, State},
    integrations::{Integrations, IntegrationsError},
    sources::Sources,
    step::Step,
    store::{
        Line, List, Store, StoreError, Stored,
        recent::{Customer, Filter, Forgotten, Place},
    },
};
use end_to_end::rewritten;
use jiff::{Timestamp, civil::Date};
use local::{system, table};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + second).unwrap()
}

fn history(contact: Uuid) -> History {
    let mut history = History::new(contact, "default", at(0));
    history.intend(&RequestKey::of(Step::ContactStart), at(0));
    history
}

async fn a_history_is_read_back_as_it_was_written(store: &Store) {
    let contact = Uuid::new_v4();
    assert_eq!(store.load(contact).await.unwrap(), None);
    let mut stored = Stored::new(history(contact));
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(store.load(contact).await.unwrap().as_ref(), Some(&stored));
    stored.history.delivered(
        &RequestKey::of(Step::ContactStart),
        Some(contact),
        Some(Map::new()),
        at(1),
    );
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(store.load(contact).await.unwrap(), Some(stored));
}

async fn a_late_writer_never_overwrites_a_newer_state(store: &Store) {
    let contact = Uuid::new_v4();
    let mut first = Stored::new(history(contact));
    let mut second = Stored::new(history(contact));
    second
        .history
        .intend(&RequestKey::of(Step::ContactEnd), at(0));
    store.save(&mut first, 30).await.unwrap();
    assert_eq!(store.save(&mut second, 30).await, Err(StoreError::Conflict));

    let mut late = store.load(contact).await.unwrap().unwrap();
    first.history.delivered(
        &RequestKey::of(Step::ContactStart),
        Some(contact),
        None,
        at(1),
    );
    store.save(&mut first, 30).await.unwrap();
    late.history
        .failed(&RequestKey::of(Step::ContactStart), "late".into(), at(2));
    assert_eq!(store.save(&mut late, 30).await, Err(StoreError::Conflict));
    assert_eq!(store.load(contact).await.unwrap(), Some(first));
}

async fn a_write_that_is_repeated_after_a_lost_answer_is_done(store: &Store) {
    let contact = Uuid::new_v4();
    let mut first = Stored::new(history(contact));
    for second in [5, 6] {
        let reason = format!("at {second}");
        let start = RequestKey::of(Step::ContactStart);
        first.history.postponed(&start, reason, at(60), at(second));
        let mut repeated = first.clone();
        store.save(&mut first, 30).await.unwrap();
        store.save(&mut repeated, 30).await.unwrap();
        assert_eq!(repeated, first);
        assert_eq!(store.load(contact).await.unwrap().as_ref(), Some(&first));
    }
}

async fn an_item_larger_than_dynamodb_holds_is_told(store: &Store) {
    let contact = Uuid::new_v4();
    let mut stored = Stored::new(history(contact));
    let response = Map::from_iter([("filler".to_owned(), Json::from("x".repeat(410_000)))]);
    stored.history.delivered(
        &RequestKey::of(Step::ContactStart),
        None,
        Some(response),
        at(1),
    );
    assert_eq!(store.save(&mut stored, 30).await, Err(StoreError::TooLarge));
    let response = Map::from_iter([("filler".to_owned(), Json::from("x".repeat(390_000)))]);
    stored
        .history
        .shrink_responses(|_, kept| kept.clone_from(&response));
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(store.load(contact).await.unwrap(), Some(stored));
}

async fn configurations_are_kept_by_name(store: &Store) {
    assert_eq!(store.integration("example").await.unwrap(), None);
    store.save_integration("example", "{}").await.unwrap();
    store
        .save_integration("example", "{\"a\": 1}")
        .await
        .unwrap();
    assert_eq!(
        store.integration("example").await.unwrap().as_deref(),
        Some("{\"a\": 1}")
    );
}

async fn an_item_is_listed_while_it_is_due_or_has_failed_and_expires_otherwise(
    store: &Store,
    address: SocketAddr,
) {
    let contact = Uuid::new_v4();
    let item = async || {
        let request = json!({
            "TableName": table::TABLE_NAME,
            "Key": {"pk": {"S": format!("CONTACT#{contact}")}},
        });
        table::call(address, "GetItem", &request).await.unwrap()["Item"].take()
    };
    let listed = async |list: List| {
        let entries = store.list(&list).await.unwrap().into_iter();
        let mut own = entries.filter(|entry| entry.contact_id == contact);
        own.next().map(|entry| (entry.at, entry.also))
    };
    let line = || List::Line(Line::of("default"));
    let start = RequestKey::of(Step::ContactStart);
    let mut stored = Stored::new(history(contact));
    stored.history = rewritten(&stored.history, |history| {
        history["wakeAt"] = at(60).to_string().into();
    });
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(listed(line()).await, Some((at(60), None)));
    stored.history = rewritten(&stored.history, |history| {
        history["waitingSince"] = at(20).to_string().into();
    });
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(listed(line()).await, Some((at(60), Some(at(20)))));
    assert_eq!(
        item().await["expiresAt"],
        Json::Null,
        "what is pending never expires"
    );

    let expires = |second: i64| at(second + 30 * 86_400);
    stored
        .history
        .failed(&start, "no such column".into(), at(100));
    stored.history = rewritten(&stored.history, |history| history["wakeAt"] = Json::Null);
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(listed(line()).await, None);
    assert_eq!(
        listed(List::Failed).await,
        Some((at(100), Some(expires(100))))
    );

    stored.history.intend(&start, at(200));
    stored.history.delivered(&start, None, None, at(200));
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(
        (listed(line()).await, listed(List::Failed).await),
        (None, None)
    );
    let expires = expires(200).as_second().to_string();
    assert_eq!(item().await["expiresAt"], json!({"N": expires}));
}

async fn each_integration_has_a_line_of_its_own(store: &Store) {
    let mut contacts = Vec::new();
    for integration in ["emea", "apac", "emea", "no name: #", "another/"] {
        let contact = Uuid::new_v4();
        let history = rewritten(&history(contact), |history| {
            history["integration"] = integration.into();
            history["wakeAt"] = at(60).to_string().into();
        });
        store.save(&mut Stored::new(history), 30).await.unwrap();
        contacts.push(contact);
    }
    let in_line = async |integration: &str| {
        let line = Line::of(integration);
        assert!(
            store.lines().await.unwrap().contains(&line),
            "{integration}"
        );
        let entries = store.list(&List::Line(line)).await.unwrap();
        entries
            .iter()
            .map(|entry| entry.contact_id)
            .collect::<BTreeSet<_>>()
    };
    let contacts = |numbers: &[usize]| numbers.iter().map(|number| contacts[*number]).collect();
    assert_eq!(in_line("emea").await, contacts(&[0, 2]));
    assert_eq!(in_line("apac").await, contacts(&[1]));
    assert_eq!(in_line("no name: #").await, contacts(&[3, 4]));
}

/// More contacts than DynamoDB gives in one page.
async fn a_list_of_many_pages_is_read_to_its_end(store: &Store) {
    let line = "x".repeat(64);
    let ids: Vec<Uuid> = (0..1100_u128)
        .map(|number| Uuid::from_u128(number << 8))
        .collect();
    for id in &ids {
        let history = rewritten(&history(*id), |history| {
            history["integration"] = line.clone().into();
            history["wakeAt"] = at(60).to_string().into();
        });
        store.save(&mut Stored::new(history), 30).await.unwrap();
    }
    let entries = store.list(&List::Line(Line::of(&line))).await.unwrap();
    assert_eq!(entries.len(), ids.len());
}

async fn a_missing_table_is_named(address: SocketAddr) {
    let store = system::store(address, "nowhere").await;
    let error = store.load(Uuid::new_v4()).await.unwrap_err();
    assert_eq!(error, StoreError::NoTable("nowhere".into()));
}

async fn contacts_are_listed_by_their_days_until_they_are_forgotten(
    store: &Store,
    address: SocketAddr,
) {
    let today: Date = "2031-05-03".parse().unwrap();
    let mut ids = Vec::new();
    for (index, started) in [
        "2031-05-03T10:00:00Z",
        "2031-05-03T09:00:00Z",
        "2031-05-03T09:00:00Z",
        "2031-04-20T00:00:00Z",
    ]
    .iter()
    .enumerate()
    {
        let contact = Uuid::new_v4();
        let mut history = rewritten(&history(contact), |history| {
            history["firstInvoked"] = (*started).into();
            history["integration"] = format!("recent-{}", index % 2).into();
            history["attributes"]["contact-start"]["record"]["CustomerEndpoint"]["Address"] =
                format!("+1555555020{index}").into();
        });
        let start = RequestKey::of(Step::ContactStart);
        match index {
            0 => history.delivered(&start, Some(Uuid::from_u128(9)), None, at(1)),
            1 => history.failed(&start, "no".into(), at(1)),
            _ => {}
        }
        store.save(&mut Stored::new(history), 30).await.unwrap();
        ids.push(contact);
    }
    let until: Date = "2031-04-01".parse().unwrap();
    let all = async |filter: Filter, most: usize| {
        let mut found = Vec::new();
        let mut from = Some(Place::of_day(today));
        while let Some(place) = from {
            let page = store.recent(&filter, place, until, most).await.unwrap();
            assert!(page.contacts.len() <= most);
            found.extend(page.contacts.into_iter().map(|contact| contact.contact_id));
            from = page.next.map(|next| next.to_string().parse().unwrap());
        }
        found
    };
    for most in [1, 2, 3, 10] {
        let found = all(Filter::default(), most).await;
        assert_eq!((found[0], found[3]), (ids[0], ids[3]), "{most} at a time");
        let (found, expected) = (BTreeSet::from_iter(found), BTreeSet::from_iter(ids.clone()));
        assert_eq!(found, expected, "{most} at a time");
    }
    let none = Filter::default;
    for (filter, expected) in [
        (
            Filter {
                state: Some(State::Failed),
                ..none()
            },
            vec![ids[1]],
        ),
        (
            Filter {
                integration: Some("recent-1".into()),
                ..none()
            },
            vec![ids[1], ids[3]],
        ),
        (
            Filter {
                customer: Some(Customer::like("555 555 0203")),
                ..none()
            },
            vec![ids[3]],
        ),
        (
            Filter {
                id: Some(Uuid::from_u128(9)),
                ..none()
            },
            vec![ids[0]],
        ),
        (
            Filter {
                id: Some(ids[2]),
                ..none()
            },
            vec![ids[2]],
        ),
    ] {
        assert_eq!(all(filter.clone(), 1).await, expected, "{filter:?}");
    }

    let held = rewritten(
        &store.load(ids[3]).await.unwrap().unwrap().history,
        |history| {
            history["lease"] = json!({"holder": "x", "until": "2999-01-01T00:00:00Z"});
        },
    );
    let mut stored = store.load(ids[3]).await.unwrap().unwrap();
    stored.history = held;
    store.save(&mut stored, 30).await.unwrap();
    let until = "2999-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(store.forget(ids[3]).await, Ok(Forgotten::InUse(until)));
    assert!(matches!(store.forget(ids[0]).await, Ok(Forgotten::Gone(_))));
    assert_eq!(store.forget(ids[0]).await, Ok(Forgotten::Unknown));
    assert_eq!(all(none(), 10).await.len(), 3);

    // One that was stored before there was the index.
    let key = json!({"pk": {"S": format!("CONTACT#{}", ids[1])}});
    let request = json!({"TableName": table::TABLE_NAME, "Key": key, "UpdateExpression": "REMOVE #day, startedAt", "ExpressionAttributeNames": {"#day": "day"}});
    table::call(address, "UpdateItem", &request).await.unwrap();
    assert_eq!(all(none(), 10).await.len(), 2);
    let number = Customer::exactly("+1 555 555 0201");
    let mut scanned = store.scan_for(&number, None, Duration::ZERO).await.unwrap();
    let mut found = scanned.contacts;
    while let Some(next) = scanned.next {
        scanned = store
            .scan_for(&number, Some(next), Duration::ZERO)
            .await
            .unwrap();
        found.extend(scanned.contacts);
    }
    assert_eq!(found, [ids[1]]);
    let mut stored = store.load(ids[1]).await.unwrap().unwrap();
    store.save(&mut stored, 30).await.unwrap();
    assert_eq!(all(none(), 10).await.len(), 3, "its next write adds it");
}

async fn a_table_without_the_index_is_told(address: SocketAddr) {
    let mut definition = table::definition();
    definition["TableName"] = "former".into();
    definition["GlobalSecondaryIndexes"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    definition["AttributeDefinitions"]
        .as_array_mut()
        .unwrap()
        .truncate(3);
    table::call(address, "CreateTable", &definition)
        .await
        .unwrap();
    let store = system::store(address, "former").await;
    store
        .save(&mut Stored::new(history(Uuid::new_v4())), 30)
        .await
        .unwrap();
    let today = Place::newest(Timestamp::now());
    let found = store
        .recent(&Filter::default(), today, today.day(), 1)
        .await;
    assert!(
        matches!(found, Err(StoreError::NotListed { .. })),
        "{found:?}"
    );
}

async fn all(address: SocketAddr, table: &str) {
    let store = system::store(address, table).await;
    a_history_is_read_back_as_it_was_written(&store).await;
    a_late_writer_never_overwrites_a_newer_state(&store).await;
    a_write_that_is_repeated_after_a_lost_answer_is_done(&store).await;
    an_item_larger_than_dynamodb_holds_is_told(&store).await;
    configurations_are_kept_by_name(&store).await;
    an_item_is_listed_while_it_is_due_or_has_failed_and_expires_otherwise(&store, address).await;
    each_integration_has_a_line_of_its_own(&store).await;
    a_list_of_many_pages_is_read_to_its_end(&store).await;
    contacts_are_listed_by_their_days_until_they_are_forgotten(&store, address).await;
    a_table_without_the_index_is_told(address).await;
    a_missing_table_is_named(address).await;
}

#[tokio::test]
async fn the_embedded_dynamodb() {
    let address = table::serve(0).await.unwrap();
    all(address, table::TABLE_NAME).await;
}

#[tokio::test]
async fn a_warm_function_takes_up_a_changed_configuration_and_never_a_broken_one() {
    let address = table::serve(0).await.unwrap();
    let store = Arc::new(system::store(address, table::TABLE_NAME).await);
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
        .build();
    let sources = Arc::new(Sources::new(&config));
    let integrations = Integrations::new(store.clone(), sources).refresh_after(Duration::ZERO);
    let integrations = Arc::new(integrations);
    let days = async || {
        let loaded = integrations.get("default").await.unwrap();
        loaded.integration.configuration().retention_days
    };
    assert!(matches!(
        integrations.get("default").await,
        Err(IntegrationsError::Unknown(_))
    ));
    let mut document = end_to_end::reference();
    store
        .save_integration("default", &document.to_string())
        .await
        .unwrap();
    assert_eq!(days().await, 30);

    document["retentionDays"] = 60.into();
    store
        .save_integration("default", &document.to_string())
        .await
        .unwrap();
    assert_eq!(days().await, 30, "no contact waits for it");
    end_to_end::eventually("the change is taken up", async || days().await == 60).await;

    let before = integrations.get("default").await.unwrap();
    store.save_integration("default", "{}").await.unwrap();
    for _ in 0..50 {
        assert_eq!(days().await, 60);
    }
    document["retentionDays"] = 90.into();
    store
        .save_integration("default", &document.to_string())
        .await
        .unwrap();
    end_to_end::eventually("the mended one is taken up", async || days().await == 90).await;
    let after = integrations.get("default").await.unwrap();
    assert!(
        Arc::ptr_eq(&before.dynamics, &after.dynamics),
        "the connection has not changed: its token and its open connections stay"
    );
}

/// `tests/run` starts DynamoDB Local and makes the table.
#[tokio::test]
#[ignore = "needs Amazon's DynamoDB Local, which tests/run starts"]
async fn amazons_dynamodb_local() {
    let address = std::env::var("DYNAMODB_LOCAL").expect("DYNAMODB_LOCAL holds its address");
    let address = address.parse().expect("an address with a port");
    table::call(address, "CreateTable", &table::definition())
        .await
        .expect("DynamoDB Local makes the table");
    all(address, table::TABLE_NAME).await;
}
