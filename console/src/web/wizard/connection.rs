//! Step 1: the environment, and how it is reached.

use std::collections::BTreeMap;

use axum::{
    Form,
    extract::{Path, RawQuery, State},
    response::Response,
};
use maud::{Markup, html};
use serde_json::{Map, Value as Json, json};

use super::{
    App, Editing, PageError, Shared, Stage, Tone, environment,
    fields::{Field, Says},
};
use crate::{
    form::Pairs,
    web::{Shown, notice},
    words::text_of,
};

/// The fields that are plain texts, and what each is sent as.
const TEXTS: [&str; 9] = [
    "environmentUri",
    "apiVersion",
    "appId",
    "tenantId",
    "clientId",
    "scope",
    "authority",
    "recordingBucket",
    "instanceUrl",
];

const CREDENTIALS: [(&str, &str, &str); 3] = [
    (
        "clientSecretId",
        "A client secret",
        "The quickest way to a first call. It ends one day.",
    ),
    (
        "federation",
        "A role of AWS",
        "Recommended in production: there is no secret, and nothing that ends.",
    ),
    (
        "certificate",
        "A certificate",
        "Its key is in Secrets Manager or in KMS.",
    ),
];

pub(super) async fn show(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Shown {
    let editing = Editing::load(&app, &name).await?;
    let is_saved = query.as_deref() == Some("saved");
    let told = html! {
        @if query.as_deref() == Some("secret") {
            (notice(Tone::Good, &html! { p role="status" { "The client secret is in Secrets Manager. Functions take it when Entra ID refuses the one that they have, or within an hour." } }))
        }
    };
    let aside = environment::aside(&app, &editing).await;
    Ok(render(&app, &editing, is_saved, &told, &aside))
}

/// The values of the fields that are plain texts. One that is no text is shown as JSON, for its author to mend.
fn texts(connection: &Json) -> BTreeMap<&'static str, String> {
    let text = |name: &'static str| (name, text_of(&connection[name]));
    TEXTS.into_iter().map(text).collect()
}

fn render(app: &App, editing: &Editing, is_saved: bool, told: &Markup, aside: &Markup) -> Markup {
    let connection = &editing.edited.configuration["connection"];
    let remarks = editing.edited.remarks();
    let says = Says::of(&remarks, |remark| {
        let field = remark.place.strip_prefix("connection")?;
        let field = field.trim_start_matches('.');
        let field = field.split(['.', '[']).next().unwrap_or_default();
        let is_shown = TEXTS.contains(&field) || CREDENTIALS.iter().any(|it| it.0 == field);
        Some(if is_shown {
            field.to_owned()
        } else {
            String::new()
        })
    });
    let texts = texts(connection);
    let field = |name: &'static str, label: &'static str| {
        Field::new(&says, name, label, texts[name].as_str())
    };
    let uri = texts["environmentUri"].trim_end_matches('/');
    let scope = if uri.is_empty() {
        "Filled in from the environment's address: that address with /.default behind it."
            .to_owned()
    } else {
        format!("Leave it empty for {uri}/.default.")
    };
    let chosen = CREDENTIALS
        .iter()
        .find(|(name, ..)| !connection[*name].is_null())
        .map_or("clientSecretId", |(name, ..)| name);
    let details = |name: &str| match &connection[name] {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    let secret_hint = match &app.deployment.secret_id {
        Some(secret) => format!("Its name or ARN in Secrets Manager. The stack's is {secret}"),
        None => "Its name or ARN in Secrets Manager.".into(),
    };
    let federation = details("federation");
    let federation = if federation.is_empty() {
        let role = app.deployment.outputs.get("FederationRoleArn");
        role.map(|role| format!("{:#}", json!({"roleArn": role})))
            .unwrap_or_default()
    } else {
        federation
    };
    let (secret, certificate) = (details("clientSecretId"), details("certificate"));
    let form = html! {
        (told)
        h1 { "Connection" }
        p.lead { "Which Dynamics environment contacts are written to, and how the functions prove who they are." }
        form #wizard method="post" action=(editing.address(Stage::Connection)) novalidate data-dirty {
            (editing.hidden())
            (says.summary())
            section.card aria-labelledby="environment" {
                h2 #environment { "Dynamics" }
                (field("environmentUri", "Environment URI").hint("The address of Dynamics, like https://example.crm.dynamics.com").input("url"))
                div.row {
                    (field("appId", "App id").hint("Open the app that agents work in. Its address holds appid=...").text())
                    (field("apiVersion", "API version").hint("9.2 unless given.").text())
                }
                (field("instanceUrl", "Amazon Connect address").hint("Where agents sign in, like https://example.my.connect.aws. With it, records link to the contact's page there.").input("url"))
            }
            section.card aria-labelledby="application" {
                h2 #application { "Application in Entra ID" }
                div.row {
                    (field("tenantId", "Directory (tenant) id").text())
                    (field("clientId", "Application (client) id").text())
                }
                (field("scope", "Scope").hint(&scope).text())
                fieldset {
                    legend { "Credential" }
                    @for (name, title, what) in CREDENTIALS {
                        div.choice {
                            input type="radio" name="credential" id={ "c-" (name) } value=(name) checked[name == chosen] data-shows={ "credential-" (name) };
                            label for={ "c-" (name) } { strong { (title) } br; span.muted.small { (what) } }
                        }
                    }
                }
                div #credential-clientSecretId hidden[chosen != "clientSecretId"] {
                    (Field::new(&says, "clientSecretId", "Secret", &secret).hint(&secret_hint).text())
                }
                div #credential-federation hidden[chosen != "federation"] {
                    (Field::new(&says, "federation", "Role, as JSON", &federation).hint("{\"roleArn\": \"...\"}, the stack's output FederationRoleArn.").area(4))
                }
                div #credential-certificate hidden[chosen != "certificate"] {
                    (Field::new(&says, "certificate", "Certificate, as JSON", &certificate).hint("{\"secretId\": \"...\"}, or {\"kmsKeyId\": \"...\", \"thumbprint\": \"...\"}.").area(4))
                }
            }
            details.card open[!texts["recordingBucket"].is_empty() || says.errors.contains_key("authority")] {
                summary { "Rarely needed" }
                (field("recordingBucket", "Recording bucket").hint("Only the objects of this bucket are taken. Empty for those that the Amazon Connect instance stores in.").text())
                (field("authority", "Entra ID's address").hint("https://login.microsoftonline.com unless given. Another one is that of a national cloud.").input("url"))
            }
            (editing.buttons())
        }
    };
    editing.page(app, Stage::Connection, is_saved, &form, Some(aside))
}

pub(super) async fn save(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, PageError> {
    let mut editing = Editing::load(&app, &name).await?;
    apply(&mut editing.edited.configuration["connection"], &pairs);
    let aside = environment::aside(&app, &editing).await;
    editing
        .save_and_go(&app, &pairs, Stage::Connection, |editing, told| {
            render(&app, editing, false, told, &aside)
        })
        .await
}

/// Puts what was filled in into the connection. What has no field stays.
pub(super) fn apply(connection: &mut Json, pairs: &Pairs) {
    if !connection.is_object() {
        *connection = Map::new().into();
    }
    let Some(connection) = connection.as_object_mut() else {
        return;
    };
    let of = |name: &str| {
        let found = pairs.iter().find(|(each, _)| each == name);
        found.map(|(_, value)| value.trim())
    };
    for name in TEXTS {
        match of(name) {
            Some("") => {
                connection.shift_remove(name);
            }
            Some(value) => {
                connection.insert(name.into(), value.into());
            }
            None => {}
        }
    }
    let Some(chosen) = of("credential") else {
        return;
    };
    for (name, ..) in CREDENTIALS {
        let said = of(name).unwrap_or_default();
        if name != chosen || said.is_empty() {
            connection.shift_remove(name);
        } else if name == "clientSecretId" {
            connection.insert(name.into(), said.into());
        } else {
            let said = serde_json::from_str(said).unwrap_or_else(|_| said.into());
            connection.insert(name.into(), said);
        }
    }
}
