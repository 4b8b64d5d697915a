//! HTTP/1: see the head of [`metrics`](super).

use super::{
    Params,
    text::{Family, classic, open},
};
use crate::socket::{BindError, Inherited, Listen, Listening, Socket};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// Connections at a time.
pub const CONNECTIONS: usize = 16;
/// How long the head of a request may take.
pub const HEAD_TAKES: Duration = Duration::from_secs(5);
/// How long a connection may last.
pub const ALL_TAKES: Duration = Duration::from_secs(30);
/// Most octets of a head.
const HEAD: usize = 8192;
/// After an error of accept.
const PAUSE: Duration = Duration::from_millis(500);

const OPEN_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN_TYPE: &str = "text/plain; charset=utf-8";

/// A socket that listens: connections wait until it is served.
#[derive(Debug)]
pub struct Metrics {
    listening: Listening,
}

impl Metrics {
    /// Binds the socket, or takes it where it is `inherited`.
    ///
    /// # Errors
    /// If it can't be had, with the key that names it.
    pub fn bind(params: Params, inherited: &mut Inherited) -> Result<Self, BindError> {
        let listening = Listening::new("metrics.listen", &Listen::Inet(params.listen), inherited)?;
        Ok(Self { listening })
    }

    /// Serves what `gather` gives, which is called on a thread where it may take its
    /// time, never twice at once. Ends only by an error.
    ///
    /// # Errors
    /// If the runtime does not take the socket.
    pub async fn serve(
        self,
        gather: impl Fn() -> Vec<Family> + Send + Sync + 'static,
    ) -> io::Result<Infallible> {
        let listener: TcpListener = match self.listening.socket {
            Socket::Tcp(socket) => socket.try_into()?,
            Socket::Unix(_) => return Err(io::Error::other("no place for HTTP")),
        };
        let gather = Arc::new(Gather { gather: Box::new(gather), turn: Mutex::default() });
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return Err(io::Error::other("no place is left"));
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let gather = Arc::clone(&gather);
                    // One that panics ends its own connection; the panic is told.
                    tokio::spawn(async move {
                        // Who is too slow, or goes, is nobody's trouble.
                        let _ = timeout(ALL_TAKES, connection(stream, gather)).await;
                        drop(place);
                    });
                }
                // No descriptor is left, or who connected has gone.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// Who has the figures.
struct Gather {
    gather: Box<dyn Fn() -> Vec<Family> + Send + Sync>,
    turn: Mutex<()>,
}

impl Gather {
    /// OpenMetrics text; nothing where gathering panicked.
    async fn text(self: Arc<Self>) -> Option<String> {
        spawn_blocking(move || {
            let _turn = self.turn.blocking_lock();
            open((self.gather)()).ok()
        })
        .await
        .ok()
        .flatten()
    }
}

async fn connection(stream: TcpStream, gather: Arc<Gather>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let gather = Arc::clone(&gather);
        async move { Ok::<_, Infallible>(answer(&request, gather).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TAKES)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(request: &Request<Incoming>, gather: Arc<Gather>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/" | "/metrics") {
        return response(StatusCode::NOT_FOUND, PLAIN_TYPE, "not here: see /metrics\n".into());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut refused = response(status, PLAIN_TYPE, "GET or HEAD\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if path == "/" {
        return response(StatusCode::OK, PLAIN_TYPE, "connguard: figures are at /metrics\n".into());
    }
    let accepted = request.headers().get_all(ACCEPT).iter();
    let wants_open = accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"));
    match gather.text().await {
        Some(text) if wants_open => response(StatusCode::OK, OPEN_TYPE, text),
        Some(text) => response(StatusCode::OK, CLASSIC_TYPE, classic(&text)),
        None => response(
            StatusCode::INTERNAL_SERVER_ERROR,
            PLAIN_TYPE,
            "a fault of connguard: see its log and connguard status\n".into(),
        ),
    }
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::metrics::Sample;
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicBool, Ordering},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn start(gather: impl Fn() -> Vec<Family> + Send + Sync + 'static) -> SocketAddr {
        let metrics = Metrics::bind(
            Params { listen: "127.0.0.1:0".parse().unwrap() },
            &mut Inherited::none(),
        )
        .unwrap();
        let Listen::Inet(address) = metrics.listening.listen else { unreachable!() };
        tokio::spawn(metrics.serve(gather));
        address
    }

    fn one() -> Vec<Family> {
        vec![Family::counter("messages", "Messages.", Sample::only(1.0))]
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Who is refused may be cut off while it still sends.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(address: SocketAddr, what: &str) -> String {
        ask(address, format!("{what} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn only_figures_and_where_they_are() {
        let address = start(one);
        let figures = get(address, "GET /metrics").await;
        assert!(figures.starts_with("HTTP/1.1 200"), "{figures}");
        assert!(figures.contains("text/plain; version=0.0.4"), "{figures}");
        assert!(figures.contains("\nconnguard_messages_total 1.0\n"), "{figures}");
        let head = get(address, "HEAD /metrics").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(get(address, "GET /").await.contains("/metrics"));
        assert!(get(address, "GET /other").await.starts_with("HTTP/1.1 404"));
        let posted = get(address, "POST /metrics").await;
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
        assert!(posted.contains("allow: GET, HEAD"), "{posted}");
        let open = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
        let open = ask(address, open.as_bytes()).await;
        assert!(open.contains("application/openmetrics-text"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
    }

    #[tokio::test]
    async fn a_huge_head_and_what_is_no_http_are_refused() {
        let address = start(one);
        let huge = format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(3 * HEAD));
        let answer = ask(address, huge.as_bytes()).await;
        assert!(!answer.contains(" 200 "), "{answer}");
        let answer = ask(address, b"\x16\x03\x01\x00\xff hello\r\n\r\n").await;
        assert!(!answer.contains(" 200 "), "{answer}");
        assert!(get(address, "GET /metrics").await.contains(" 200 "));
    }

    #[tokio::test]
    async fn slow_ones_occupy_all_places_only_for_a_while() {
        let address = start(one);
        let mut slow = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nA: ").await.unwrap();
            slow.push(stream);
        }
        // Each of two rounds of them ends by its deadline.
        let answer = timeout(ALL_TAKES, get(address, "GET /metrics")).await.unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        drop(slow);
    }

    #[tokio::test]
    async fn a_panic_costs_its_scrape_only() {
        let failed = AtomicBool::new(false);
        let address = start(move || {
            assert!(failed.swap(true, Ordering::SeqCst), "the first one fails");
            one()
        });
        assert!(get(address, "GET /metrics").await.contains(" 500 "));
        assert!(get(address, "GET /metrics").await.contains(" 200 "));
    }

    #[tokio::test]
    async fn a_port_in_use_is_said_with_its_key() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error =
            Metrics::bind(Params { listen: other.local_addr().unwrap() }, &mut Inherited::none())
                .unwrap_err();
        let error = error.to_string();
        assert!(error.contains("metrics.listen") && error.contains("in use"), "{error}");
    }
}
