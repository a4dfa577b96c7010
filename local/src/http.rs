//! Serving HTTP on loopback, with the one thing frameworks do not offer: a connection that closes
//! without an answer.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    response::IntoResponse,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// In a response's extensions: close the connection instead of sending the response.
#[derive(Debug, Clone, Copy)]
pub struct CloseConnection;

/// A response that closes the connection.
pub fn close_connection() -> Response<Body> {
    let mut response = ().into_response();
    response.extensions_mut().insert(CloseConnection);
    response
}

/// Serves a router on a free port of loopback, or on `port`, until the process ends; returns the
/// address.
///
/// # Errors
/// When the port is taken.
pub async fn serve(port: u16, router: Router) -> io::Result<SocketAddr> {
    serve_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), router).await
}

/// [`serve`], at any address of this machine.
///
/// # Errors
/// When the address is taken, or none of this machine's.
pub async fn serve_at(address: SocketAddr, router: Router) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use".into(),
            io::ErrorKind::AddrNotAvailable => "it is no address of this machine".into(),
            io::ErrorKind::PermissionDenied => "this user may not use the port".into(),
            _ => error.to_string(),
        };
        io::Error::new(
            error.kind(),
            format!("cannot listen at {address}: {reason}"),
        )
    })?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let router = router.clone();
            let answer = move |request: Request<Incoming>| {
                let router = router.clone();
                async move {
                    let answered: Result<Response<Body>, Infallible> =
                        router.oneshot(request).await;
                    let Ok(response) = answered;
                    match response.extensions().get::<CloseConnection>() {
                        Some(_) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                        None => Ok(response),
                    }
                }
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move {
                // A connection that was closed on purpose is no news.
                let _ = connection.await;
            });
        }
    });
    Ok(address)
}
