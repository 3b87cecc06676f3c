//! When the packets of pictures go to a phone: a few at a time, so that a large picture does not overrun the way there.
//!
//! Pictures go out as they come, for who publishes them does it as they are taken. Only within a picture, and where several come
//! at once, is there a pause.

use std::{collections::VecDeque, time::Duration};

use super::RtpPayload;

/// How packets of pictures are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PicturePacerConfig {
    /// Packets that go out at once, at least 1.
    pub burst: usize,
    /// Time from one burst to the next.
    pub pause: Duration,
    /// Bytes that may wait.
    pub queue_bytes_max: usize,
}

impl Default for PicturePacerConfig {
    /// Up to 19 Mbps in packets of 1,200 bytes, of which 2 MiB are 0.9 s.
    fn default() -> Self {
        Self { burst: 10, pause: Duration::from_millis(5), queue_bytes_max: 2 << 20 }
    }
}

/// Holds the packets of pictures until it is time for them.
#[derive(Debug)]
pub struct PicturePacer {
    config: PicturePacerConfig,
    queue: VecDeque<RtpPayload>,
    queued_bytes: usize,
    /// When the present burst began, and what it has left.
    burst: Option<(Duration, usize)>,
}

impl PicturePacer {
    /// A pacer with nothing to send.
    pub fn new(config: PicturePacerConfig) -> Self {
        Self { config, queue: VecDeque::new(), queued_bytes: 0, burst: None }
    }

    /// One more picture. False if it finds no room: nothing of it is kept.
    #[must_use]
    pub fn push(&mut self, packets: Vec<RtpPayload>) -> bool {
        let bytes: usize = packets.iter().map(|packet| packet.payload.len()).sum();
        let has_room = self.queued_bytes + bytes <= self.config.queue_bytes_max;
        if has_room {
            self.queued_bytes += bytes;
            self.queue.extend(packets);
        }
        has_room
    }

    /// Drops what is held.
    pub fn clear(&mut self) {
        (self.queue, self.queued_bytes) = (VecDeque::new(), 0);
    }

    /// The next packet, if it is time for it.
    pub fn poll(&mut self, now: Duration) -> Option<RtpPayload> {
        if self.poll_timeout()? > now {
            return None;
        }
        let burst = self.burst.filter(|(began_at, _)| now < *began_at + self.config.pause);
        let (began_at, left) = burst.unwrap_or((now, self.config.burst));
        let packet = self.queue.pop_front()?;
        self.queued_bytes -= packet.payload.len();
        self.burst = Some((began_at, left - 1));
        Some(packet)
    }

    /// When the next packet may go out.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.queue.front()?;
        Some(match self.burst {
            Some((began_at, 0)) => began_at + self.config.pause,
            _ => Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn picture(packets: usize) -> Vec<RtpPayload> {
        let payload = Bytes::from_static(&[0; 100]);
        vec![RtpPayload { payload, timestamp: 0, marker: false }; packets]
    }

    fn pacer() -> PicturePacer {
        PicturePacer::new(PicturePacerConfig { queue_bytes_max: 5_000, ..Default::default() })
    }

    /// How many packets go out in each millisecond.
    fn sent(pacer: &mut PicturePacer, from_ms: u64, ms: u64) -> Vec<usize> {
        let at = |ms| Duration::from_millis(ms);
        (from_ms..from_ms + ms)
            .map(|now| std::iter::from_fn(|| pacer.poll(at(now))).count())
            .collect()
    }

    #[test]
    fn a_large_picture_goes_out_in_bursts() {
        let mut pacer = pacer();
        assert!(pacer.push(picture(25)));
        assert_eq!(pacer.poll_timeout(), Some(Duration::ZERO));
        assert_eq!(sent(&mut pacer, 7, 4), [10, 0, 0, 0]);
        assert_eq!(pacer.poll_timeout(), Some(Duration::from_millis(12)));
        assert_eq!(sent(&mut pacer, 11, 7), [0, 10, 0, 0, 0, 0, 5]);
        assert_eq!(pacer.poll_timeout(), None);
    }

    #[test]
    fn small_pictures_at_once_are_as_one_large() {
        let mut pacer = pacer();
        (0..6).for_each(|_| assert!(pacer.push(picture(2))));
        assert_eq!(sent(&mut pacer, 0, 6), [10, 0, 0, 0, 0, 2]);
        assert!(pacer.push(picture(9)));
        assert_eq!(sent(&mut pacer, 6, 5), [8, 0, 0, 0, 1], "what the burst has left, then on");
    }

    #[test]
    fn a_picture_without_room_is_left_out_whole() {
        let mut pacer = pacer();
        assert!(pacer.push(picture(40)) && !pacer.push(picture(11)) && pacer.push(picture(10)));
        assert_eq!(sent(&mut pacer, 0, 100).iter().sum::<usize>(), 50);
        assert!(pacer.push(picture(50)), "what is sent makes room");
        pacer.clear();
        assert_eq!(pacer.poll_timeout(), None);
    }
}
