//! A pipe from which nothing may come for long: whoever waits for it can be told
//! to stop.
//!
//! A thread opens and reads it, a few blocks ahead; it ends with the process, or
//! when nobody takes what it reads.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

/// Octets that are read at once, and blocks that wait.
const BLOCK: usize = 64 * 1024;
const BLOCKS: usize = 8;
/// How often it is asked whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// See the head of this module.
pub(super) struct Patient {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    /// What of the block was given.
    given: usize,
    stop: Arc<AtomicBool>,
}

impl Patient {
    /// What `open` opens; it ends where it ends, or when `stop` is set.
    pub(super) fn new<R: Read>(
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
        stop: &Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (send, blocks) = sync_channel(BLOCKS);
        let read = move || {
            let mut reader = match open() {
                Ok(reader) => reader,
                Err(error) => return drop(send.send(Err(error))),
            };
            loop {
                let mut block = vec![0; BLOCK];
                match reader.read(&mut block) {
                    Ok(0) => return,
                    Ok(octets) => block.truncate(octets),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return drop(send.send(Err(error))),
                }
                if send.send(Ok(block)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("read a pipe".into()).spawn(read)?;
        Ok(Self { blocks, block: Vec::new(), given: 0, stop: Arc::clone(stop) })
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.block.len() {
            if self.stop.load(Relaxed) {
                return Ok(0);
            }
            match self.blocks.recv_timeout(LOOK) {
                Ok(block) => (self.block, self.given) = (block?, 0),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let mut rest = self.block.get(self.given..).unwrap_or_default();
        let octets = rest.read(buffer)?;
        self.given += octets;
        Ok(octets)
    }
}
