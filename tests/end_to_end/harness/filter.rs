//! A spam filter that Postfix asks before the daemon: a milter that leaves its
//! verdict as headers. What it calls spam has a header `X-Sells`.

use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use indymilter::{Actions, Callbacks, Config, Context, ContextActions, EomContext, Status};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A header that the filter takes for spam.
pub(crate) const SELLS_PILLS: &str = "X-Sells: pills\r\n";

/// The running filter; it stops when dropped.
pub(crate) struct Filter {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Filter {
    pub(crate) fn start() -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the filter");
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let listener = listener.expect("a port for the filter");
                tell.send(listener.local_addr().expect("its port")).expect("who started it");
                let callbacks = Callbacks::new()
                    .on_header(|context, name, _| Box::pin(header(context, name)))
                    .on_eom(|context| Box::pin(end(context)));
                let config = Config { actions: Actions::ADD_HEADER, ..Config::default() };
                let run = indymilter::run(listener, callbacks, config, stopped);
                run.await.expect("a filter that runs");
            });
        });
        let address = told.recv().expect("a filter that listens");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// How Postfix calls it.
    pub(crate) fn endpoint(&self) -> String {
        format!("inet:{}:{}", self.address.ip(), self.address.port())
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A filter that failed has said so.
            let _ = thread.join();
        }
    }
}

/// Remembers that the message sells something.
async fn header(context: &mut Context<bool>, name: CString) -> Status {
    if name.as_bytes().eq_ignore_ascii_case(b"X-Sells") {
        context.data = Some(true);
    }
    Status::Continue
}

async fn end(context: &mut EomContext<bool>) -> Status {
    let spam = context.data.take().unwrap_or(false);
    let (flag, status) = if spam { ("YES", "Yes, score=9.1") } else { ("NO", "No, score=0.3") };
    for (name, value) in [("X-Spam-Flag", flag), ("X-Spam-Status", status)] {
        context.actions.add_header(name, value).await.expect("Postfix takes a header");
    }
    Status::Continue
}
