//! Who talks: a thread sends a packet of G.711 for each call every 20 ms, and counts what has come for it.
//!
//! It must cost less than what it measures, and cost the gateway nothing: what comes is read when it is time to send, so that
//! nobody is woken for it; nothing is allocated for a packet, and what is said is the same all the time. Packets are due on a grid that
//! begins at a time of each call's own, so that calls together are no burst; who is late sends at once what was due. No reports are sent.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// From one packet to the next.
pub(super) const PACKET: Duration = Duration::from_millis(20);
/// Bytes of audio in one.
const AUDIO_BYTES: usize = 160;
const HEAD_BYTES: usize = 12;
/// A packet that goes out later than this is one that a phone would not have sent so.
const LATE: Duration = Duration::from_millis(10);

/// What all of them together have counted by now.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) sent: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) received: AtomicU64,
    /// Of calls that are over.
    pub(super) lost: AtomicU64,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// All who talk.
pub(super) struct Speakers {
    joining: Joining,
    thread: JoinHandle<()>,
}

/// The way in.
#[derive(Clone)]
pub(super) struct Joining(Sender<Speaker>);

impl Joining {
    /// `speaker` talks from now on.
    pub(super) fn join(&self, speaker: Speaker) {
        // Nobody is there any more only where nothing is measured any more.
        let _ = self.0.send(speaker);
    }
}

impl Speakers {
    /// Nobody yet.
    pub(super) fn start(totals: Arc<Totals>) -> Self {
        let (joining, joined) = mpsc::channel();
        let thread = thread::spawn(move || talk(&joined, &totals));
        Self { joining: Joining(joining), thread }
    }

    /// The way in.
    pub(super) fn joining(&self) -> Joining {
        self.joining.clone()
    }

    /// Waits until all are silent, who must have been told so: then everything is counted.
    pub(super) fn finish(self) {
        drop(self.joining);
        self.thread.join().expect("it does not panic");
    }
}

/// Talks until all are silent and nobody can come any more.
fn talk(joined: &Receiver<Speaker>, totals: &Totals) {
    // The first one is due first: all have the same interval, so that their order stays.
    let mut speakers: VecDeque<Speaker> = VecDeque::new();
    loop {
        loop {
            match joined.try_recv() {
                Ok(speaker) => {
                    let place = speakers.partition_point(|other| other.due <= speaker.due);
                    speakers.insert(place, speaker);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if speakers.is_empty() => return,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        let now = Instant::now();
        while let Some(mut speaker) = speakers.pop_front_if(|first| first.due <= now) {
            speaker.listen(totals);
            if speaker.is_over.load(Ordering::Relaxed) {
                count(&totals.lost, speaker.heard.lost());
                continue;
            }
            speaker.say(now, totals);
            let place = speakers.partition_point(|other| other.due <= speaker.due);
            speakers.insert(place, speaker);
        }
        // Whoever joins can wait as long as anybody.
        let next = speakers.front().map_or(now + PACKET, |first| first.due.min(now + PACKET));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Who talks in one call.
pub(super) struct Speaker {
    socket: UdpSocket,
    to: SocketAddr,
    due: Instant,
    packet: [u8; HEAD_BYTES + AUDIO_BYTES],
    sequence: u32,
    heard: Sequences,
    is_over: Arc<AtomicBool>,
}

impl Speaker {
    /// Talks by `socket` to `to` from the next time of `grid` on, until `is_over`.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn new(
        socket: UdpSocket,
        to: SocketAddr,
        grid: Instant,
        is_over: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let mut packet = [0xff; HEAD_BYTES + AUDIO_BYTES];
        // The first one begins a talkspurt.
        packet[..HEAD_BYTES].copy_from_slice(&[0x80, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        // Each call is a source of its own.
        packet[8..10].copy_from_slice(&socket.local_addr()?.port().to_be_bytes());
        let due = next_on_grid(grid, Instant::now());
        Ok(Self { socket, to, due, packet, sequence: 0, heard: Sequences::default(), is_over })
    }

    fn say(&mut self, now: Instant, totals: &Totals) {
        while self.due <= now {
            self.packet[2..4].copy_from_slice(&(self.sequence as u16).to_be_bytes());
            let timestamp = self.sequence.wrapping_mul(AUDIO_BYTES as u32);
            self.packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
            // One that the system does not take is missing in what was sent.
            if self.socket.send_to(&self.packet, self.to).is_ok() {
                count(&totals.sent, 1);
            }
            count(&totals.late, u64::from(now > self.due + LATE));
            self.packet[1] = 0;
            self.sequence = self.sequence.wrapping_add(1);
            self.due += PACKET;
        }
    }

    fn listen(&mut self, totals: &Totals) {
        let mut packet = [0; 2_048];
        while let Ok(length) = self.socket.recv(&mut packet) {
            count(&totals.received, u64::from(self.heard.hear(&packet[..length])));
        }
    }
}

/// The first time of the grid that is not before `now`.
fn next_on_grid(grid: Instant, now: Instant) -> Instant {
    let since = now.saturating_duration_since(grid);
    grid + PACKET * since.as_nanos().div_ceil(PACKET.as_nanos()) as u32
}

/// What is missing in what is heard, by sequence numbers.
#[derive(Debug, Default)]
struct Sequences {
    /// The first one, and how many came.
    first: Option<u16>,
    received: u64,
    /// How far the newest one is from the first.
    reach: u64,
}

impl Sequences {
    /// Whether it is a packet of audio.
    fn hear(&mut self, packet: &[u8]) -> bool {
        if packet.len() != HEAD_BYTES + AUDIO_BYTES || packet[0] != 0x80 || packet[1] & 0x7f != 0 {
            return false;
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let first = *self.first.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(first.wrapping_add(self.reach as u16));
        // Behind the newest one it was out of order.
        if ahead < 0x8000 {
            self.reach += u64::from(ahead);
        }
        self.received += 1;
        true
    }

    fn lost(&self) -> u64 {
        self.first.map_or(0, |_| (self.reach + 1).saturating_sub(self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear_all(sequences: impl IntoIterator<Item = u16>) -> Sequences {
        let mut heard = Sequences::default();
        for sequence in sequences {
            let mut packet = [0; HEAD_BYTES + AUDIO_BYTES];
            packet[0] = 0x80;
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            assert!(heard.hear(&packet));
        }
        heard
    }

    #[test]
    fn what_does_not_come_is_lost() {
        assert_eq!(Sequences::default().lost(), 0);
        assert_eq!(hear_all([65_534, 65_535, 0, 1]).lost(), 0);
        assert_eq!(hear_all([65_534, 1]).lost(), 2);
        assert_eq!(hear_all([1, 3, 2, 4]).lost(), 0);
        assert_eq!(hear_all((0..200_000u32).map(|n| n as u16).filter(|n| *n != 7)).lost(), 4);
        assert!(!Sequences::default().hear(&[0x80, 200, 0, 6]));
    }

    #[test]
    fn packets_are_due_on_the_grid() {
        let grid = Instant::now();
        let at = |ms| grid + Duration::from_millis(ms);
        for (now, due) in [(0, 0), (1, 20), (20, 20), (39, 40), (41, 60)] {
            assert_eq!(next_on_grid(grid, at(now)), at(due), "at {now} ms");
        }
        assert_eq!(next_on_grid(at(7), grid), at(7));
    }
}
