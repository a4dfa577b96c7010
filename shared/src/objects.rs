//! The objects of the recording bucket, and reading one.
//!
//! Owns the S3 client. An object is streamed to whoever reads it, so that its size does not matter. Only the
//! functions that may read objects have one of these: the others leave what needs one to them.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, error::ProvideErrorMetadata};
use tokio::sync::Semaphore;
use tokio_util::io::SyncIoBridge;

use crate::{
    analysis::{self, Analysis, AnalysisError},
    cause,
    recording::RecordedObject,
};

/// A future of whatever reads objects.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Analysis, ReadError>> + Send + 'a>>;

/// Where objects are read.
pub trait Objects: fmt::Debug + Send + Sync {
    /// What an analysis or a transcript tells.
    ///
    /// # Errors
    /// [`ReadError`], with what to do.
    fn read<'a>(&'a self, object: &'a RecordedObject) -> Reading<'a>;
}

/// Why an object was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the object {key} is not in the bucket {bucket} any more")]
    Gone { bucket: String, key: String },
    #[error(
        "the function may not read {key} in the bucket {bucket} ({reason}); its role needs s3:GetObject for it, and kms:Decrypt for the bucket's key, if it has one of its own. S3 says the same of an object that is gone"
    )]
    Forbidden {
        bucket: String,
        key: String,
        reason: String,
    },
    #[error("S3 did not give {key}: {reason}")]
    Unavailable { key: String, reason: String },
    #[error("{key}: {reason}")]
    Unreadable { key: String, reason: AnalysisError },
}

impl ReadError {
    /// Whether trying again changes nothing.
    pub fn is_permanent(&self) -> bool {
        matches!(self, ReadError::Gone { .. } | ReadError::Unreadable { .. })
    }
}

/// How many objects are read at the same time. Of each some megabytes are held.
const READERS: usize = 2;

/// S3.
#[derive(Debug)]
pub struct S3 {
    client: Client,
    readers: Arc<Semaphore>,
}

impl S3 {
    pub fn new(config: &SdkConfig) -> S3 {
        // An address that is given is this machine's, where no bucket has a name of its own.
        let is_local = config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(is_local);
        S3 {
            client: Client::from_conf(config.build()),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    async fn get(&self, object: &RecordedObject) -> Result<Analysis, ReadError> {
        let RecordedObject { bucket, key, .. } = object;
        let unavailable = |reason: String| ReadError::Unavailable {
            key: key.clone(),
            reason,
        };
        let reader = self.readers.clone().acquire_owned().await;
        let reader = reader.map_err(|error| unavailable(error.to_string()))?;
        let got = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await;
        let got = got.map_err(|error| {
            let status = error
                .raw_response()
                .map(|response| response.status().as_u16());
            let reason = cause::of_aws(&error);
            let (bucket, key) = (bucket.clone(), key.clone());
            match (status, error.code()) {
                (_, Some("NoSuchKey")) => ReadError::Gone { bucket, key },
                // Whoever may not list the bucket is not told that an object is gone.
                (Some(403), _) => ReadError::Forbidden {
                    bucket,
                    key,
                    reason,
                },
                _ => unavailable(reason),
            }
        })?;
        let body = SyncIoBridge::new(got.body.into_async_read());
        let read = tokio::task::spawn_blocking(move || {
            // Also when nobody waits for it any more.
            let _reader = reader;
            analysis::read(body)
        });
        let read = read.await;
        match read {
            Ok(Ok(analysis)) => Ok(analysis),
            Ok(Err(error)) if matches!(error, AnalysisError::Io(_)) => {
                Err(unavailable(error.to_string()))
            }
            Ok(Err(reason)) => Err(ReadError::Unreadable {
                key: key.clone(),
                reason,
            }),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }
}

impl Objects for S3 {
    fn read<'a>(&'a self, object: &'a RecordedObject) -> Reading<'a> {
        Box::pin(self.get(object))
    }
}
