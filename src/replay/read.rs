//! Logs into a sink: the loop around input, order and assembler.

use super::{Assembler, Input, Kept, Next, Order, Tidings, mail::Sink};
use crate::timestamp::Timestamp;

/// Lines between two looks at whether somebody wants it to stop.
const LOOK: u64 = 1024;

/// How far reading is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Lines that were read.
    pub lines: u64,
    /// Octets of the files that were read, as they are on disk.
    pub octets: u64,
    /// All octets, where they are known.
    pub total: Option<u64>,
    /// Time of the last line.
    pub at: Option<Timestamp>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// Time of the oldest and of the youngest line that was understood.
    pub span: Option<(Timestamp, Timestamp)>,
    /// It was stopped before the end.
    pub stopped: bool,
    /// What the assembler tells.
    pub tidings: Tidings,
}

/// Reads all of `input` into `sink`, or until `look`, which is called from time
/// to time, says that it should stop.
pub fn read(
    input: &mut Input,
    sink: &mut dyn Sink,
    mut look: impl FnMut(&Progress) -> bool,
) -> Ended {
    let (mut order, mut assembler) = (Order::default(), Assembler::default());
    let mut ended = Ended::default();
    let mut next_look = 0;
    loop {
        match input.next_line() {
            Next::Line(at, line) => {
                let (from, to) = ended.span.unwrap_or((at, at));
                ended.span = Some((from.min(at), to.max(at)));
                order.push(at, line);
            }
            Next::NotYet => {}
            Next::End => {
                // A pipe ends when it is told to.
                ended.stopped = !look(&progress(input, &ended));
                break;
            }
        }
        while let Some((at, line)) = order.pop() {
            take(&mut assembler, at, &line, sink);
        }
        let lines = input.counts().lines;
        if lines >= next_look {
            next_look = lines + LOOK;
            if !look(&progress(input, &ended)) {
                ended.stopped = true;
                break;
            }
        }
    }
    while let Some((at, line)) = order.flush() {
        take(&mut assembler, at, &line, sink);
    }
    assembler.finish(sink);
    ended.tidings = assembler.tidings();
    ended
}

fn take(assembler: &mut Assembler, at: Timestamp, kept: &Kept, sink: &mut dyn Sink) {
    if let Some(line) = kept.line() {
        assembler.take(at, line, sink);
    }
}

fn progress(input: &Input, ended: &Ended) -> Progress {
    let (octets, total) = input.octets();
    let at = ended.span.map(|(_, to)| to);
    Progress { lines: input.counts().lines, octets, total, at }
}
