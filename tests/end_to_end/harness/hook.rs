//! The receiver of webhooks: answers as the test says, hangs, or is not there.
//! Remembers every request that came in whole.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::sink::lock;
use super::{free_port, wait_for};

/// The header with the signature of the body.
pub(crate) const SIGNATURE: &str = "X-Connguard-Signature";

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// This status.
    Status(u16),
    /// No answer, for as long as the test likes.
    Hang,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What it met.
    pub(crate) mood: Mood,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// Whether the signature in the header is that of the body with this secret.
    #[track_caller]
    pub(crate) fn is_signed_with(&self, secret: &[u8]) -> bool {
        let header = self.header(SIGNATURE);
        let header = header.unwrap_or_else(|| panic!("no {SIGNATURE} in {:?}", self.headers));
        let digits = header.strip_prefix("sha256=").unwrap_or(header);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
        mac.update(&self.body);
        let octets = mac.finalize().into_bytes();
        let expected: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        digits == expected
    }
}

struct Shared {
    mood: Mutex<Mood>,
    posts: Mutex<Vec<Post>>,
    closed: AtomicBool,
}

/// The receiver; it stops when dropped.
pub(crate) struct Hook {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Hook {
    /// A receiver that says yes.
    pub(crate) fn start() -> Self {
        let shared = Shared {
            mood: Mutex::new(Mood::Status(200)),
            posts: Mutex::default(),
            closed: AtomicBool::new(true),
        };
        let mut hook = Self { port: free_port(), shared: Arc::new(shared), listener: None };
        hook.up();
        hook
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/connguard", self.port)
    }

    /// From now on requests meet this. Those that hang are let go without an
    /// answer.
    pub(crate) fn mood(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }

    /// Nobody listens any more.
    pub(crate) fn down(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        self.shared.closed.store(true, Ordering::Relaxed);
        // Wakes the listener, which then ends.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        listener.join().expect("the receiver of webhooks");
    }

    /// Listens (again), at the same port.
    pub(crate) fn up(&mut self) {
        let listener =
            wait_for("the port of the receiver of webhooks", super::SOON, String::new, || {
                TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).ok()
            });
        self.shared.closed.store(false, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        self.listener = Some(thread::spawn(move || serve(&listener, &shared)));
    }

    /// All requests so far.
    pub(crate) fn posts(&self) -> Vec<Post> {
        lock(&self.shared.posts).clone()
    }

    /// The requests that met a yes.
    pub(crate) fn taken(&self) -> Vec<Post> {
        let mut posts = self.posts();
        posts.retain(|post| matches!(post.mood, Mood::Status(200..=299)));
        posts
    }

    /// Waits until so many requests met a yes; more are a failure.
    #[track_caller]
    pub(crate) fn wait_taken(&self, n: usize, deadline: Duration) -> Vec<Post> {
        let taken = wait_for(
            &format!("{n} webhooks that are taken"),
            deadline,
            || format!("{:#?}", self.bodies()),
            || Some(self.taken()).filter(|posts| posts.len() >= n),
        );
        assert_eq!(taken.len(), n, "{:#?}", self.bodies());
        taken
    }

    /// Waits until so many requests came, whatever they met.
    #[track_caller]
    pub(crate) fn wait_tried(&self, n: usize, deadline: Duration) {
        wait_for(
            &format!("{n} requests to the webhook"),
            deadline,
            || format!("{:#?}", self.bodies()),
            || Some(()).filter(|()| self.posts().len() >= n),
        );
    }

    fn bodies(&self) -> Vec<(Mood, String)> {
        let body = |post: &Post| (post.mood, String::from_utf8_lossy(&post.body).into_owned());
        self.posts().iter().map(body).collect()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.mood(Mood::Status(500));
        self.down();
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.closed.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A request that breaks off is the client's affair.
        thread::spawn(move || drop(session(stream, &shared)));
    }
}

/// One request, and its answer.
fn session(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut stream = BufReader::new(stream);
    let Some(post) = read(&mut stream, *lock(&shared.mood))? else { return Ok(()) };
    let mood = post.mood;
    lock(&shared.posts).push(post);
    match mood {
        Mood::Status(status) => {
            let answer = format!(
                "HTTP/1.1 {status} So be it\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.get_mut().write_all(answer.as_bytes())
        }
        Mood::Hang => {
            let hangs = || *lock(&shared.mood) == Mood::Hang;
            while hangs() && !shared.closed.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
    }
}

/// Reads a request; nothing where nobody asks for anything.
fn read(stream: &mut BufReader<TcpStream>, mood: Mood) -> std::io::Result<Option<Post>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut post = Post { line, headers: Vec::new(), body: Vec::new(), mood };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        post.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = post.header("Content-Length").expect("the length of the body");
    post.body = vec![0; length.parse().expect("a number of octets")];
    stream.read_exact(&mut post.body)?;
    Ok(Some(post))
}
