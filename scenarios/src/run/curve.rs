//! What the gateway's host holds over time, for whoever looks at a run.

use std::time::Duration;

use rehearsal_sim::Netstat;

/// Samples of a run; of one that lasts longer every other one is let go, and from then on every other one is left out.
const SAMPLES_MAX: usize = 2_000;

/// What the gateway's host held at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, after the start of the run.
    pub at: Duration,
    /// Bytes of the gateway's on the heap beyond those when it began to serve; 0 unless the process counts.
    pub heap_bytes: i64,
    /// What lay in the queues of its connections; nothing where the host has too many sockets to look at each of them.
    pub queues: Option<Queues>,
}

/// The queues of all connections of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Bytes that wait for the reader.
    pub unread_bytes: u64,
    /// Bytes that were written and are not acknowledged.
    pub unacknowledged_bytes: u64,
}

impl Queues {
    /// Those of a host.
    pub fn of(netstat: &Netstat) -> Self {
        let connections = netstat.rows.iter().filter(|row| row.remote.is_some());
        let mut all = Self { unread_bytes: 0, unacknowledged_bytes: 0 };
        for row in connections {
            all.unread_bytes += row.rx_queue as u64;
            all.unacknowledged_bytes += row.tx_queue as u64;
        }
        all
    }
}

/// The samples so far, spread over the whole run.
#[derive(Debug)]
pub(super) struct Curve {
    samples: Vec<Sample>,
    /// One of so many is kept.
    one_of: u64,
    seen: u64,
}

impl Default for Curve {
    fn default() -> Self {
        Self { samples: Vec::new(), one_of: 1, seen: 0 }
    }
}

impl Curve {
    /// Adds one, unless it is one of those that are left out.
    pub(super) fn add(&mut self, sample: Sample) {
        let is_due = self.seen.is_multiple_of(self.one_of);
        self.seen += 1;
        if !is_due {
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.one_of *= 2;
        }
        self.samples.push(sample);
    }

    /// In order.
    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_sampled_more_seldom_over_its_whole_length() {
        let mut curve = Curve::default();
        let count = 10 * SAMPLES_MAX as u64;
        for second in 0..count {
            curve.add(Sample { at: Duration::from_secs(second), heap_bytes: 0, queues: None });
        }
        let samples = curve.samples();
        assert!((SAMPLES_MAX / 2..=SAMPLES_MAX).contains(&samples.len()), "{}", samples.len());
        assert_eq!(samples[0].at, Duration::ZERO);
        let every = samples[1].at;
        assert!(samples.windows(2).all(|pair| pair[1].at - pair[0].at == every));
        assert!(samples.last().expect("there are some").at + every >= Duration::from_secs(count));
    }
}
