//! The floor: an indymilter with the callbacks, options, actions and macros of
//! connguard, whose callbacks do nothing.
//!
//! It is as a milter is that anybody writes with the library: on one runtime of
//! tokio for all threads, with the allocator of the C library. That connguard
//! serves on a runtime for each processor and takes memory from mimalloc is part of
//! what is compared: so it can be faster than nothing.
//!
//! It is a process of its own: the bench started again with a hidden argument.
//! What `src/milter/callbacks.rs` asks for is repeated here: a test
//! (`round_trips`) fails when the two differ in it.

#[path = "../support/mortal.rs"]
pub(crate) mod mortal;

use indymilter::{
    Actions, CallbackFuture, Callbacks, Config, MacroStage, NegotiateContext, ProtoOpts, Status,
};
use std::{
    future, io,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};
use tokio::{net::UnixListener, sync::Semaphore};

/// The argument that makes a bench this server; its socket follows.
pub(crate) const ARGUMENT: &str = "--serve-noop";

/// Serves in this process if its arguments say so: to be called first in `main`.
pub(crate) fn serve_if_asked() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return false;
    }
    let Some(socket) = arguments.next().map(PathBuf::from) else { return false };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(&socket)));
    served.is_ok()
}

/// Starts this program again as the server on `socket`.
pub(crate) fn start(socket: &Path) -> io::Result<Child> {
    let mut command = mortal::command(std::env::current_exe()?);
    command.arg(ARGUMENT).arg(socket).stdin(Stdio::null()).spawn()
}

/// Serves for ever.
pub(crate) async fn serve(socket: &Path) -> io::Result<()> {
    let config = Config { max_connections: Semaphore::MAX_PERMITS, ..Config::default() };
    let listener = UnixListener::bind(socket)?;
    indymilter::run(listener, callbacks(), config, future::pending::<()>()).await
}

/// Nothing done at each stage.
pub(crate) fn callbacks() -> Callbacks<()> {
    Callbacks::new()
        .on_negotiate(|cx, actions, opts| ready(negotiate(cx, actions, opts)))
        .on_connect(|_, _, _| ready(Status::Noreply))
        .on_helo(|_, _| ready(Status::Noreply))
        .on_mail(|_, _| ready(Status::Noreply))
        .on_rcpt(|_, _| ready(Status::Continue))
        .on_header(|_, _, _| ready(Status::Noreply))
        .on_eom(|_| ready(Status::Continue))
        .on_abort(|_| ready(Status::Continue))
}

fn negotiate(cx: &mut NegotiateContext<()>, actions: Actions, opts: ProtoOpts) -> Status {
    cx.requested_opts |= ProtoOpts::NOREPLY_CONNECT
        | ProtoOpts::NOREPLY_HELO
        | ProtoOpts::NOREPLY_MAIL
        | ProtoOpts::NOREPLY_HEADER
        | ProtoOpts::REJECTED_RCPT;
    cx.requested_opts &= opts;
    cx.requested_actions = Actions::QUARANTINE & actions;
    let macros = [
        (MacroStage::Connect, c"j {daemon_addr} {daemon_port} {client_addr}"),
        (MacroStage::Helo, c"j {cert_subject} {cert_issuer} {verify} {cn_subject} {cn_issuer}"),
        (
            MacroStage::Mail,
            c"j i {mail_addr} {auth_authen} {cert_subject} {cert_issuer} {verify} {cn_subject} {cn_issuer}",
        ),
        (MacroStage::Rcpt, c"j {rcpt_mailer} {rcpt_host} {rcpt_addr}"),
        (MacroStage::Eom, c"j i"),
    ];
    cx.requested_macros.extend(macros.map(|(stage, names)| (stage, names.to_owned())));
    Status::Continue
}

fn ready<'a>(status: Status) -> CallbackFuture<'a> {
    Box::pin(future::ready(status))
}
