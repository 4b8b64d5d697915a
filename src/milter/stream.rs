//! A connection of the MTA, which at shutdown ends between two messages.
//!
//! The milter library would cut off a message in hand. So the stream follows
//! the frames that it carries and, once a shutdown has begun, reports the end
//! of the stream as soon as no message is in hand: from `M` (MAIL) to `E` (end
//! of message), `A` (abort) or `Q` (quit) one is. The library reads a command
//! only after it has answered the one before, so the answer to `E` is always
//! out by then.
//!
//! An MTA writes a frame at once, so one that stopped in the middle of it will hardly
//! go on: during a shutdown such a stream ends at once where no message is in hand, as
//! an idle one does (the MTA finds the connection closed either way), and else a second
//! after its last octet. One that does not take its answer is waited for as long.
//!
//! A frame: four octets of length, most significant first; a letter for the
//! command; data. The length counts the letter and the data.

use super::{seat::Waiting, shared::Place};
use indymilter::{EitherStream, Listener};
use std::{
    io,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::{Sleep, sleep},
};

/// How long the rest of a frame or of an answer is waited for in a shutdown.
const REST: Duration = Duration::from_secs(1);

/// A listening socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection of either kind.
pub(super) type Io = EitherStream<TcpStream, UnixStream>;

impl Listener for Socket {
    type Io = Io;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Io>> {
        match self {
            Self::Unix(socket) => Listener::poll_accept(socket, cx).map_ok(EitherStream::Unix),
            Self::Tcp(socket) => {
                let stream = ready!(Listener::poll_accept(socket, cx))?;
                // Answers are small and waited for; without this they are
                // only late.
                let _ = stream.set_nodelay(true);
                Poll::Ready(Ok(EitherStream::Tcp(stream)))
            }
        }
    }
}

/// See the head of this module.
pub(super) struct Stream<S> {
    inner: S,
    frames: Frames,
    waiting: Option<Waiting>,
    /// Until when the rest of a frame or an answer is waited for. Only during a shutdown.
    rest: Option<Pin<Box<Sleep>>>,
    place: Place,
}

impl<S> Stream<S> {
    pub(super) fn new(inner: S, place: Place) -> Self {
        Self { inner, frames: Frames::default(), waiting: None, rest: None, place }
    }

    /// Nothing came: whether that is the end, because a shutdown has begun.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.frames.may_be_woken() {
            return false;
        }
        Waiting::renew(&mut self.waiting, self.place.seat(), cx.waker());
        if !self.place.shared().is_draining() {
            return false;
        }
        !self.frames.in_message || self.is_late(cx)
    }

    /// Whether nothing went on for as long as a shutdown waits.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(REST)));
        rest.as_mut().poll(cx).is_ready()
    }

    /// What came of writing: an answer that nobody takes does not hold up a shutdown.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.rest = None;
            return written;
        }
        Waiting::renew(&mut self.waiting, self.place.seat(), cx.waker());
        if self.place.shared().is_draining() && self.is_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        Waiting::end(&mut self.waiting, self.place.seat());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.frames.between_messages() && this.place.shared().is_draining() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf)? {
            Poll::Ready(()) => {
                this.rest = None;
                this.frames.read(buf.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.is_over(cx) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Where in the stream of commands we are.
#[derive(Debug, Default)]
struct Frames {
    /// Octets read of the next frame's length and command letter.
    head: usize,
    /// The length, as far as it is read.
    length: u32,
    /// Octets left of the present frame's data.
    left: usize,
    in_message: bool,
}

impl Frames {
    fn between_messages(&self) -> bool {
        self.head == 0 && self.left == 0 && !self.in_message
    }

    /// Whether a shutdown may end it before its message ends: it is between two
    /// messages or in the middle of a frame.
    fn may_be_woken(&self) -> bool {
        !self.in_message || self.head > 0 || self.left > 0
    }

    fn read(&mut self, mut bytes: &[u8]) {
        loop {
            let (data, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= data.len();
            // A head that came whole, as nearly all do: to take it byte by byte
            // is 1,000 instructions more for a message of 20 frames.
            if self.head == 0
                && let Some((&[a, b, c, d, letter], rest)) = rest.split_first_chunk()
            {
                self.length = u32::from_be_bytes([a, b, c, d]);
                self.command(letter);
                bytes = rest;
                continue;
            }
            let Some((byte, rest)) = rest.split_first() else {
                return;
            };
            bytes = rest;
            if self.head < 4 {
                self.length = self.length << 8 | u32::from(*byte);
                self.head += 1;
            } else {
                self.command(*byte);
            }
        }
    }

    fn command(&mut self, letter: u8) {
        // The length counts the letter too.
        self.left = usize::try_from(self.length.saturating_sub(1)).unwrap_or(usize::MAX);
        self.head = 0;
        self.length = 0;
        match letter {
            b'M' => self.in_message = true,
            b'E' | b'A' | b'Q' | b'K' => self.in_message = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn frame(letter: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len() + 1).unwrap_or(0).to_be_bytes();
        [&length[..], &[letter], data].concat()
    }

    proptest! {
        #[test]
        fn a_message_is_in_hand_from_mail_to_its_end(
            chunk in 1usize..40,
            data in proptest::collection::vec(any::<u8>(), 0..600),
            end in prop::sample::select(vec![b'E', b'A', b'Q']),
        ) {
            let mut frames = Frames::default();
            let mut read = |bytes: &[u8]| {
                for chunk in bytes.chunks(chunk) {
                    frames.read(chunk);
                }
                frames.between_messages()
            };
            prop_assert!(read(&[frame(b'O', &data), frame(b'C', b"x\0")].concat()));
            prop_assert!(read(&frame(b'D', &data)));
            prop_assert!(!read(&[frame(b'D', b"Mi\0"), frame(b'M', b"<a>\0")].concat()));
            prop_assert!(!read(&frame(b'L', &data)));
            prop_assert!(!read(&frame(b'R', &data)));
            prop_assert!(read(&frame(end, b"")));
            prop_assert!(!read(&frame(b'H', &data)[..4]), "half a frame");
        }
    }
}
