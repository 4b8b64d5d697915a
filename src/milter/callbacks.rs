//! What is agreed with the MTA, and the glue from the library's callbacks to
//! the dialogue.
//!
//! Asked for: connect, helo, mail, rcpt (those that Postfix refused too),
//! header, end of message, abort. Never sent: data, end of headers, body,
//! unknown commands. Answered: rcpt and end of message only. The one action is
//! to quarantine. An MTA that offers less than that gets replies where it wants
//! them and stages that we do nothing with.

use super::{answer, dialogue::Dialogue, shared::Shared};
use crate::{
    fault,
    verdict::{Reply, Verdict},
};
use indymilter::{
    Actions, CallbackFuture, Callbacks, ContextActions, EomContext, MacroStage, NegotiateContext,
    ProtoOpts, SetErrorReply, Status,
};
use std::{ffi::CStr, future, sync::Arc};

/// Options that we make use of where they are offered.
const WANTED: ProtoOpts = ProtoOpts::NOREPLY_CONNECT
    .union(ProtoOpts::NOREPLY_HELO)
    .union(ProtoOpts::NOREPLY_MAIL)
    .union(ProtoOpts::NOREPLY_HEADER)
    .union(ProtoOpts::REJECTED_RCPT);

/// Macros by stage. `j`, this host's name, is always defined, so that new
/// values come with every stage and none stays from the last message.
///
/// Sendmail's own MTA knows the queue id from MAIL on, and sends at the end of a
/// message what its sendmail.cf lists, whatever was asked for; Postfix knows it only
/// later.
const MACROS: [(MacroStage, &CStr); 5] = [
    (MacroStage::Connect, c"j {daemon_addr} {daemon_port} {client_addr}"),
    (MacroStage::Helo, c"j {cert_subject} {cert_issuer} {verify} {cn_subject} {cn_issuer}"),
    (
        MacroStage::Mail,
        c"j i {mail_addr} {auth_authen} {cert_subject} {cert_issuer} {verify} {cn_subject} {cn_issuer}",
    ),
    (MacroStage::Rcpt, c"j {rcpt_mailer} {rcpt_host} {rcpt_addr}"),
    (MacroStage::Eom, c"j i"),
];

/// What the library keeps of a session. In a box: it moves it out and in again at
/// the end of each message.
type Data = Box<Dialogue>;

/// The callbacks of every session.
pub(super) fn callbacks(shared: &Arc<Shared>) -> Callbacks<Data> {
    let [first, second, third, fourth, fifth] = std::array::from_fn(|_| Arc::clone(shared));
    let [sixth, seventh] = std::array::from_fn(|_| Arc::clone(shared));
    Callbacks::new()
        .on_negotiate(move |cx, actions, opts| ready(negotiate(&first, cx, actions, opts)))
        .on_connect(move |cx, _, from| {
            let dialogue = dialogue(&mut cx.data, &second);
            let macros = &cx.macros;
            dialogue.tell(ProtoOpts::NOREPLY_CONNECT, |it| it.meet(&from, macros));
            ready(dialogue.tell(ProtoOpts::NOREPLY_CONNECT, |it| it.connect(macros)))
        })
        .on_helo(move |cx, name| {
            let dialogue = dialogue(&mut cx.data, &third);
            ready(dialogue.tell(ProtoOpts::NOREPLY_HELO, |it| it.helo(&name)))
        })
        .on_mail(move |cx, arguments| {
            let dialogue = dialogue(&mut cx.data, &fourth);
            let macros = &cx.macros;
            ready(dialogue.tell(ProtoOpts::NOREPLY_MAIL, |it| it.mail(&arguments, macros)))
        })
        .on_rcpt(move |cx, arguments| {
            let dialogue = dialogue(&mut cx.data, &fifth);
            let macros = &cx.macros;
            let ask = || dialogue.ask(|it| it.rcpt(&arguments, macros));
            let verdict = fifth.time(&fifth.recipients, ask);
            ready(match &verdict {
                Verdict::Refuse(reply) => refuse(&fifth, &mut cx.reply, reply),
                // Holding is for whole messages, at their end.
                Verdict::Pass | Verdict::Hold(_) => Status::Continue,
            })
        })
        .on_header(move |cx, name, value| {
            let dialogue = dialogue(&mut cx.data, &sixth);
            ready(dialogue.tell(ProtoOpts::NOREPLY_HEADER, |it| it.header(&name, &value)))
        })
        .on_eom(move |cx| {
            let dialogue = dialogue(&mut cx.data, &seventh);
            let macros = &cx.macros;
            let ask = || dialogue.ask(|it| it.end(macros));
            match seventh.time(&seventh.ends, ask) {
                Verdict::Pass => ready(Status::Continue),
                Verdict::Refuse(reply) => ready(refuse(&seventh, &mut cx.reply, &reply)),
                Verdict::Hold(reason) => Box::pin(hold(Arc::clone(&seventh), cx, reason)),
            }
        })
        .on_abort(move |cx| {
            if let Some(dialogue) = &mut cx.data {
                dialogue.tell(ProtoOpts::empty(), Dialogue::abandon);
            }
            ready(Status::Continue)
        })
}

/// A refusal stands, whatever becomes of its text.
fn refuse(shared: &Shared, slot: &mut impl SetErrorReply, reply: &Reply) -> Status {
    let refuse = || {
        fault::point("milter reply");
        answer::refuse(slot, reply)
    };
    shared.guard(refuse).unwrap_or(Status::Tempfail)
}

/// What is agreed. Where that fails, the stages are as the library has them, and each
/// is answered.
fn negotiate(
    shared: &Arc<Shared>,
    cx: &mut NegotiateContext<Data>,
    actions: Actions,
    opts: ProtoOpts,
) -> Status {
    let status = shared.guard(|| agree(shared, cx, actions, opts));
    status.unwrap_or(Status::Continue)
}

fn agree(
    shared: &Arc<Shared>,
    cx: &mut NegotiateContext<Data>,
    actions: Actions,
    opts: ProtoOpts,
) -> Status {
    fault::point("milter negotiate");
    // The library has set the stages that have no callback. To ask for
    // something that is not offered ends the session.
    cx.requested_opts |= WANTED;
    cx.requested_opts &= opts;
    cx.requested_actions = Actions::QUARANTINE & actions;
    if actions.contains(Actions::REQUEST_MACROS) {
        let macros = MACROS.map(|(stage, names)| (stage, names.to_owned()));
        cx.requested_macros.extend(macros);
    }
    cx.data = Some(Dialogue::new(Arc::clone(shared), cx.requested_opts).into());
    Status::Continue
}

/// The dialogue of this session; a new one where negotiation never came.
fn dialogue<'a>(data: &'a mut Option<Data>, shared: &Arc<Shared>) -> &'a mut Dialogue {
    data.get_or_insert_with(|| Dialogue::new(Arc::clone(shared), ProtoOpts::empty()).into())
}

/// Puts the message into the hold queue. One that can't be put there must not
/// pass: it belongs to a restricted entity.
async fn hold(shared: Arc<Shared>, cx: &EomContext<Data>, reason: String) -> Status {
    match cx.actions.quarantine(reason).await {
        Ok(()) => Status::Continue,
        Err(error) => {
            if shared.quiet_hold.allows(shared.last_time()) {
                tracing::error!(%error, "can't hold a message of a restricted entity: it is tempfailed instead");
            }
            Status::Tempfail
        }
    }
}

fn ready<'a>(status: Status) -> CallbackFuture<'a> {
    Box::pin(future::ready(status))
}
