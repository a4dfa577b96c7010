//! One request of a step, sent to Dynamics from the wizard.

use axum::{
    Form, Json as JsonBody,
    extract::{Path, State},
};
use connect_dynamics::{dataverse::Method, history::RequestKey};
use jiff::Timestamp;
use maud::html;
use serde_json::{Value as Json, json};

use super::{
    PageError, Shared, Tone,
    environment::usable,
    notice, sample,
    step::{filled_in, parse},
};
use crate::{
    form::{Pairs, filled},
    preview::{Walk, is_made_up},
    sample::SampleSource,
    trial::lock,
    words::sentence,
};

/// Sends a request of a step, as it is filled in, for the sample contact.
pub(super) async fn send(
    State(app): State<Shared>,
    Path((name, step)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<JsonBody<Json>, PageError> {
    let step = parse(&step)?;
    let key: RequestKey = filled(&pairs, "send")
        .parse()
        .map_err(PageError::BadRequest)?;
    let (editing, form) = filled_in(&app, &name, step, &pairs).await?;
    let told = |tone, text: &str| {
        let markup = notice(tone, &html! { p { (text) } });
        Ok(JsonBody(json!({"told": markup.into_string()})))
    };
    let connection = match usable(&editing) {
        Ok(connection) => connection,
        Err(problems) => {
            let problems = problems.join("; ");
            return told(
                Tone::Bad,
                &format!("The connection is not complete yet: {problems}"),
            );
        }
    };
    let Ok(integration) = editing.edited.for_preview(step) else {
        return told(Tone::Bad, "Mend what is marked in red first.");
    };
    if !form.problems().is_empty() {
        return told(Tone::Bad, "Mend what is marked in red first.");
    }
    let sample = sample(&app, &name);
    if filled(&pairs, "sample") != sample.id.to_string() {
        return told(
            Tone::Warn,
            "The sample contact was changed in another window. Look at what would be sent now, and send it again.",
        );
    }
    let preview = Walk::new(&integration, &sample, Timestamp::now()).step(step);
    let previewed = preview.requests.into_iter().find(|it| it.key == key);
    let Some(previewed) = previewed.filter(|it| !it.requests().is_empty()) else {
        return told(Tone::Warn, "Nothing is sent for this sample contact.");
    };
    let writes = previewed
        .requests()
        .iter()
        .any(|request| request.method != Method::Get);
    if writes && matches!(sample.source, SampleSource::Contact(_)) {
        return told(
            Tone::Bad,
            "The sample is a contact that was recorded: this would change its record in Dynamics. Choose a made-up sample contact to send it.",
        );
    }
    if previewed.requests().iter().any(is_made_up) {
        return told(
            Tone::Warn,
            "This request names a record that this preview has made up, such as the customer. Send the requests before it first; what Dynamics answers is then used here.",
        );
    }
    let environment = app.environment(&connection);
    let operator = app.deployment.operator().await;
    let mut answers = Vec::new();
    for request in previewed.requests() {
        eprintln!(
            "{operator} sends a {} to {} from the wizard",
            request.method.as_str(),
            connection.environment_uri
        );
        match environment.send(request).await {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                let detail = error.detail().filter(|detail| !detail.is_empty());
                let markup = notice(
                    Tone::Bad,
                    &html! {
                        p { strong { "Dynamics has not taken it. " } (sentence(&error.to_string())) }
                        @if let Some(detail) = detail { p.small { "Dynamics says: " (detail) } }
                    },
                );
                return Ok(JsonBody(json!({"told": markup.into_string()})));
            }
        }
    }
    let was_there = answers.iter().any(|answer| answer.was_there);
    let status = answers.last().map_or(0, |answer| answer.status);
    let read = previewed.read(&integration, &answers);
    let (record, told) = match read {
        Err(reason) => (None, format!("Dynamics has answered {status}: {reason}.")),
        Ok((id, body)) => {
            let mut samples = lock(&app.samples);
            if let Some(sample) = samples.get_mut(&name) {
                sample.answers.insert(key.to_string(), (id, body));
            }
            let told = if was_there {
                "The record was there already, from an earlier try. Dynamics has it as it was; choose a new sample contact to make another."
            } else {
                "Dynamics has taken it. What it has answered is used in the previews of the steps that follow."
            };
            (id, told.to_owned())
        }
    };
    let link = record.zip(previewed.table.as_ref());
    let link = link.map(|(id, table)| integration.connection().record_url(&table.logical_name, id));
    let markup = notice(
        Tone::Good,
        &html! {
            p { strong { "Status " (status) ". " } (told) }
            @if let Some(url) = link { p { a href=(url) target="_blank" rel="noopener" { "Open the record in Dynamics" } } }
        },
    );
    Ok(JsonBody(json!({"told": markup.into_string()})))
}
