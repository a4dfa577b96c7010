//! The bucket that the page is served from: what is put into it, and taken out again.
//!
//! The bucket is the page's alone: nobody else puts anything there, and with the page all of it goes.

use std::hash::{DefaultHasher, Hash, Hasher};

use agent_page::{CHANNEL_PROVIDER_PATH, FILES, SETTINGS_PATH, Settings};
use aws_sdk_s3::{Client, error::ProvideErrorMetadata, primitives::ByteStream};
use connect_dynamics::cause;

/// Browsers and CloudFront ask each time whether there is a newer file, so that a page never has parts of two
/// versions for long.
const CACHE_CONTROL: &str = "no-cache";
const JSON: &str = "application/json";

/// S3's refusal.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot put {path} in the bucket {bucket}, which the agent's page is served from: {why}. The function's \
     role allows it, so a permissions boundary or a policy of the organisation may deny it; let that allow it too, \
     and deploy again"
)]
pub(crate) struct Error {
    path: &'static str,
    bucket: String,
    why: String,
}

/// Puts the page into the bucket, with its settings. `index.html`, which loads the others, comes last.
///
/// It ends with a mark of the policies, so that it is another file when they are others: a browser that hears of no
/// newer file may go on with the headers that it had.
///
/// # Errors
/// When S3 refuses a file.
pub(crate) async fn fill(
    s3: &Client,
    bucket: &str,
    settings: &Settings,
    page_url: &str,
) -> Result<(), Error> {
    let of_the_settings = [
        (SETTINGS_PATH, settings.json()),
        (CHANNEL_PROVIDER_PATH, settings.channel_provider(page_url)),
    ];
    let of_the_settings = of_the_settings
        .into_iter()
        .map(|(path, text)| (path, JSON, ByteStream::from(text.into_bytes())));
    let of_the_page = FILES.iter().map(|file| {
        let content = match file.path {
            "index.html" => [file.bytes, mark(settings).as_bytes()].concat().into(),
            _ => ByteStream::from_static(file.bytes),
        };
        (file.path, file.content_type, content)
    });
    for (path, content_type, content) in of_the_settings.chain(of_the_page) {
        let put = s3
            .put_object()
            .bucket(bucket)
            .key(path)
            .content_type(content_type)
            .cache_control(CACHE_CONTROL)
            .body(content)
            .send()
            .await;
        put.map_err(|error| Error {
            path,
            bucket: bucket.to_owned(),
            why: cause::of_aws(&error),
        })?;
    }
    Ok(())
}

fn mark(settings: &Settings) -> String {
    let mut hasher = DefaultHasher::new();
    settings.content_security_policy().hash(&mut hasher);
    settings.permissions_policy().hash(&mut hasher);
    format!("<!-- {:016x} -->\n", hasher.finish())
}

/// Takes everything out of the bucket again, whichever version of the page has put it there, so that the bucket can
/// be deleted. Both may be gone already. What S3 refuses is logged: where anything is left, deleting the bucket fails
/// and says so, and where nothing was ever put, nothing is in the way.
pub(crate) async fn empty(s3: &Client, bucket: &str) {
    let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        let objects = match page {
            Ok(page) => page.contents.unwrap_or_default(),
            Err(error) => {
                if error.code() != Some("NoSuchBucket") {
                    let why = cause::of_aws(&error);
                    tracing::warn!(bucket, why, "the bucket's objects cannot be listed");
                }
                return;
            }
        };
        for key in objects.into_iter().filter_map(|object| object.key) {
            let deleted = s3.delete_object().bucket(bucket).key(&key).send().await;
            if let Err(error) = deleted {
                let why = cause::of_aws(&error);
                tracing::warn!(bucket, key, why, "an object cannot be deleted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use agent_page::Parameters;
    use axum::{
        Router,
        body::to_bytes,
        extract::Request,
        http::{Method, StatusCode},
        response::{IntoResponse, Response},
    };

    use super::*;

    /// What the stand-in for S3 was asked.
    #[derive(Debug)]
    struct Asked {
        method: Method,
        path: String,
        content_type: String,
        cache_control: String,
        content: Vec<u8>,
    }

    /// What a bucket holds that another version of the page was in.
    const LISTED: &str = "<ListBucketResult><IsTruncated>false</IsTruncated>\
        <Contents><Key>index.html</Key></Contents><Contents><Key>of-before.js</Key></Contents></ListBucketResult>";

    fn asked_is_list(log: &Mutex<Vec<Asked>>) -> bool {
        log.lock()
            .unwrap()
            .last()
            .is_some_and(|asked| asked.method == "GET")
    }

    async fn answer(
        request: Request,
        log: Arc<Mutex<Vec<Asked>>>,
        status: StatusCode,
        code: &'static str,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let header = |name: &str| {
            let value = parts.headers.get(name);
            value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let asked = Asked {
            content_type: header("content-type"),
            cache_control: header("cache-control"),
            path: parts.uri.path().to_owned(),
            content: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
            method: parts.method,
        };
        log.lock().unwrap().push(asked);
        let is_list = asked_is_list(&log);
        match code {
            "" if is_list => LISTED.into_response(),
            "" => status.into_response(),
            code => (status, format!("<Error><Code>{code}</Code></Error>")).into_response(),
        }
    }

    /// A client of a stand-in that answers everything with this status and error code, and what it will have been
    /// asked.
    async fn stand_in(status: StatusCode, code: &'static str) -> (Client, Arc<Mutex<Vec<Asked>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let answer = move |request: Request| answer(request, log.clone(), status, code);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                "test", "test", None, None, "test",
            ))
            .endpoint_url(format!("http://{address}"))
            .force_path_style(true)
            .build();
        (Client::from_conf(config), asked)
    }

    fn settings() -> Settings {
        Settings::new(&Parameters {
            instance_url: "https://example.my.connect.aws".into(),
            environments: "https://example.crm.dynamics.com".into(),
            ..Parameters::default()
        })
        .unwrap()
    }

    const URL: &str = "https://d111111abcdef8.cloudfront.net";

    #[tokio::test]
    async fn every_file_is_put_with_its_type_and_is_asked_for_again_each_time() {
        let (s3, asked) = stand_in(StatusCode::OK, "").await;
        fill(&s3, "example", &settings(), URL).await.unwrap();
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), FILES.len() + 2);
        assert!(
            asked
                .iter()
                .all(|put| put.method == "PUT" && put.cache_control == "no-cache")
        );
        let of = |path: &str| {
            asked
                .iter()
                .find(|put| put.path == format!("/example/{path}"))
        };
        for file in &FILES {
            let put = of(file.path).unwrap();
            assert_eq!(put.content_type, file.content_type, "{}", file.path);
            assert!(put.content.starts_with(file.bytes), "{}", file.path);
        }
        let put = of("settings.json").unwrap();
        assert_eq!(put.content_type, "application/json");
        assert_eq!(put.content, settings().json().as_bytes());
        let put = of("channel-provider.json").unwrap();
        assert_eq!(put.content_type, "application/json");
        let record = String::from_utf8(put.content.clone()).unwrap();
        assert!(
            record.contains("https://d111111abcdef8.cloudfront.net/index.html?host=dynamics"),
            "{record}"
        );
        // What loads the others comes when they are there.
        assert_eq!(asked.last().unwrap().path, "/example/index.html");
    }

    #[tokio::test]
    async fn whatever_is_there_is_deleted() {
        let (s3, asked) = stand_in(StatusCode::NO_CONTENT, "").await;
        empty(&s3, "example").await;
        let asked = asked.lock().unwrap();
        let deleted: Vec<&str> = asked
            .iter()
            .filter(|one| one.method == "DELETE")
            .map(|one| one.path.as_str())
            .collect();
        assert_eq!(deleted, ["/example/index.html", "/example/of-before.js"]);
    }

    #[tokio::test]
    async fn with_other_policies_the_first_file_is_another() {
        let others = Settings::new(&Parameters {
            instance_url: "https://example.my.connect.aws".into(),
            environments: "https://other.crm.dynamics.com".into(),
            ..Parameters::default()
        });
        let mut firsts = Vec::new();
        for settings in [settings(), others.unwrap()] {
            let (s3, asked) = stand_in(StatusCode::OK, "").await;
            fill(&s3, "example", &settings, URL).await.unwrap();
            firsts.push(asked.lock().unwrap().pop().unwrap().content);
        }
        assert_ne!(firsts[0], firsts[1]);
    }

    #[tokio::test]
    async fn a_bucket_that_is_gone_has_nothing_to_delete() {
        let (s3, asked) = stand_in(StatusCode::NOT_FOUND, "NoSuchBucket").await;
        empty(&s3, "example").await;
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_refusal_says_what_of_and_why() {
        let (s3, _) = stand_in(StatusCode::FORBIDDEN, "AccessDenied").await;
        let error = fill(&s3, "example", &settings(), URL).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("cannot put settings.json in the bucket example"),
            "{text}"
        );
        assert!(text.contains("AccessDenied"), "{text}");
    }

    #[tokio::test]
    async fn a_refusal_keeps_nothing_from_being_deleted() {
        let (s3, asked) = stand_in(StatusCode::FORBIDDEN, "AccessDenied").await;
        empty(&s3, "example").await;
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}
