//! What a raw client sends over RTMP, read a second time: how far it comes, and where it goes wrong beyond doubt.
//!
//! It shares nothing with the gateway's reader. Where a server may forgive or has to guess (headers repeated in the middle of
//! a message, extended timestamps on continuations, aggregates), the reading ends without a judgement.

use std::collections::BTreeMap;

use rehearsal_core::config::Rtmp;

use crate::wire::handshake;

/// How far somebody comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The handshake is whole.
    pub(super) is_shaken: bool,
    /// Count of bytes after which nobody can go on.
    pub(super) fatal_at: Option<usize>,
    /// Commands that came whole as far as was read.
    pub(super) commands: usize,
}

/// Why the reading ends.
enum Stop {
    /// There are no more bytes, or what they mean is a matter of taste.
    Open,
    /// Nobody can make sense of the last bytes read.
    Fatal,
}

#[derive(Default)]
struct ChunkStream {
    length: usize,
    type_id: u8,
    body: Vec<u8>,
    is_unfinished: bool,
    is_extended: bool,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    rtmp: &'a Rtmp,
    chunk_bytes: usize,
    streams: BTreeMap<u32, ChunkStream>,
    commands: usize,
    is_connected: bool,
}

impl Reading {
    /// Reads `bytes`, sent to a gateway with the limits of `rtmp`.
    pub(super) fn of(bytes: &[u8], rtmp: &Rtmp) -> Self {
        let streams = BTreeMap::new();
        let mut reader = Reader {
            bytes,
            at: 0,
            rtmp,
            chunk_bytes: 128,
            streams,
            commands: 0,
            is_connected: false,
        };
        let fatal_at = match reader.read() {
            Stop::Open => None,
            Stop::Fatal => Some(reader.at),
        };
        let is_shaken = bytes.len() >= handshake().len();
        Self { is_shaken, fatal_at, commands: reader.commands }
    }
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Stop {
        let begun = self.take(1).and_then(|version| match version {
            [3] => self.take(handshake().len() - 1),
            _ => Err(Stop::Fatal),
        });
        if let Err(stop) = begun {
            return stop;
        }
        loop {
            if let Err(stop) = self.chunk() {
                return stop;
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let taken = self.bytes.get(self.at..self.at + count).ok_or(Stop::Open)?;
        self.at += count;
        Ok(taken)
    }

    fn chunk(&mut self) -> Result<(), Stop> {
        let first = self.take(1)?[0];
        let form = first >> 6;
        let id = match first & 0x3f {
            0 => 64 + u32::from(self.take(1)?[0]),
            1 => {
                let more = self.take(2)?;
                64 + u32::from(more[0]) + 256 * u32::from(more[1])
            }
            id => id.into(),
        };
        let fields = self.take([11, 7, 3, 0][usize::from(form)])?;
        let is_extended = fields.starts_with(&[0xff; 3]);
        if is_extended {
            self.take(4)?;
        }
        let used = self.streams.len();
        if !self.streams.contains_key(&id) && (form >= 2 || used >= self.rtmp.max_chunk_streams) {
            return Err(Stop::Fatal);
        }
        let pending: usize = self.streams.values().map(|stream| stream.body.len()).sum();
        let stream = self.streams.entry(id).or_default();
        if form == 3 && stream.is_extended {
            return Err(Stop::Open);
        }
        let announced = fields.get(3..7).map(|f| (be(&f[..3]), f[3]));
        if stream.is_unfinished && form < 3 {
            let repeats = form > 0
                && announced.is_none_or(|announced| announced == (stream.length, stream.type_id));
            return Err(if repeats { Stop::Open } else { Stop::Fatal });
        }
        if form < 3 {
            stream.is_extended = is_extended;
        }
        (stream.length, stream.type_id) = announced.unwrap_or((stream.length, stream.type_id));
        let is_new = !std::mem::replace(&mut stream.is_unfinished, true);
        if is_new && stream.length + pending > self.rtmp.max_message_bytes as usize {
            return Err(Stop::Fatal);
        }
        let count = (stream.length - stream.body.len()).min(self.chunk_bytes);
        let piece = self.take(count)?;
        let stream = self.streams.get_mut(&id).expect("was just used");
        stream.body.extend_from_slice(piece);
        if stream.body.len() < stream.length {
            return Ok(());
        }
        stream.is_unfinished = false;
        let (type_id, body) = (stream.type_id, std::mem::take(&mut stream.body));
        self.message(type_id, &body)
    }

    fn message(&mut self, type_id: u8, body: &[u8]) -> Result<(), Stop> {
        let least = match type_id {
            1..=3 | 5 | 6 => 4,
            4 => 2,
            _ => 0,
        };
        if body.len() < least {
            return Err(Stop::Fatal);
        }
        match type_id {
            1 => {
                let size = be(&body[..4]) & 0x7fff_ffff;
                if size == 0 || size > self.rtmp.max_chunk_bytes as usize {
                    return Err(Stop::Fatal);
                }
                self.chunk_bytes = size;
            }
            2 => {
                if let Some(stream) = self.streams.get_mut(&(be(&body[..4]) as u32)) {
                    stream.body.clear();
                    stream.is_unfinished = false;
                }
            }
            17 => self.command(body.strip_prefix(b"\0").unwrap_or(body))?,
            20 => self.command(body)?,
            22 => return Err(Stop::Open),
            _ => {}
        }
        Ok(())
    }

    /// A command begins with its name, and the first is connect.
    fn command(&mut self, body: &[u8]) -> Result<(), Stop> {
        let name = match body {
            [2, high, low, rest @ ..] => rest.get(..be(&[*high, *low])).ok_or(Stop::Fatal)?,
            // Names in other forms.
            [12 | 17, ..] => return Err(Stop::Open),
            _ => return Err(Stop::Fatal),
        };
        if !self.is_connected && name != b"connect" {
            return Err(Stop::Fatal);
        }
        self.is_connected = true;
        self.commands += 1;
        Ok(())
    }
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::opening;

    fn read(more: &[u8]) -> (Option<usize>, usize) {
        let bytes = [&opening("publish", "x")[..], more].concat();
        let reading = Reading::of(&bytes, &Rtmp::default());
        let before = bytes.len() - more.len();
        (reading.fatal_at.map(|at| at - before), reading.commands)
    }

    #[test]
    fn what_is_well_formed_is_read_to_its_end() {
        assert_eq!(read(&[]), (None, 3));
        assert_eq!(read(&[4, 0, 0, 0, 0, 0, 2, 9, 1, 0, 0, 0, 0x17, 0]), (None, 3));
    }

    #[test]
    fn what_nobody_can_read_is_fatal_where_it_stands() {
        assert_eq!(read(&[0xc9, 1, 2]), (Some(1), 3), "a continuation of nothing");
        let size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(read(&size), (Some(16), 3), "chunks of no length");
        let nameless = [3, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 0, 5, 9];
        assert_eq!(read(&nameless), (Some(13), 3), "a command without a name");
        let inside = [9, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0];
        let inside = [&inside[..], &[7; 128], &inside].concat();
        assert_eq!(read(&inside), (Some(152), 3), "a message inside a message");
        let long = [9, 0, 0, 0, 0xff, 0, 0, 9, 1, 0, 0, 0, 1];
        assert_eq!(read(&long), (Some(12), 3), "a message beyond the limit");
        assert_eq!(Reading::of(b"GET", &Rtmp::default()).fatal_at, Some(1));
    }
}
