//! What was measured, as a table, and what of it is not as it should be.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::gateway::MediaOfCall;

/// Parts in a hundred that may be missing until a measurement says nothing: a busy machine is late now and then.
const MISSING_PERCENT_MAX: u64 = 1;

/// Packets within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packets {
    /// What the callers should have sent.
    pub(super) due: u64,
    pub(super) sent: u64,
    /// Of those sent, those that were late.
    pub(super) late: u64,
    /// What they heard.
    pub(super) received: u64,
}

/// What the gateway has told of calls that are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GatewayTold {
    pub(super) calls: u32,
    pub(super) media: MediaOfCall,
}

impl GatewayTold {
    /// One call more.
    pub(super) fn add(&mut self, media: &MediaOfCall) {
        self.calls += 1;
        self.media.sent += media.sent;
        self.media.received += media.received;
        self.media.lost += media.lost;
        self.media.late += media.late;
        self.media.dropped += media.dropped;
    }
}

/// A measurement.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Calls that were made, those that came up, and those that were over before they should be.
    pub(super) calls: u32,
    pub(super) up: u32,
    pub(super) ended_early: u32,
    pub(super) window: Duration,
    pub(super) in_window: Packets,
    /// From the first call to the last: what callers sent, heard, and missed.
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    /// The gateway's own view of the same.
    pub(super) told: GatewayTold,
    /// Processor time of the gateway in the window.
    pub(super) cpu: Duration,
    /// Cycles in a microsecond.
    pub(super) mhz: Option<f64>,
    /// Memory of the gateway before the first call, and at the end of the window.
    pub(super) idle_bytes: u64,
    pub(super) loaded_bytes: u64,
    /// What was wrong with calls, and with how many.
    pub(super) problems: BTreeMap<String, u32>,
}

impl Figures {
    /// Millions of cycles that a second of a call costs; `None` where nobody knows how fast the processor is.
    pub(super) fn megacycles_per_call_second(&self) -> Option<f64> {
        let call_seconds = f64::from(self.up) * self.window.as_secs_f64();
        let cycles = self.mhz? * self.cpu.as_secs_f64();
        (call_seconds > 0.0).then(|| cycles / call_seconds)
    }

    /// Bytes of memory that a call has cost.
    pub(super) fn bytes_per_call(&self) -> u64 {
        self.loaded_bytes.saturating_sub(self.idle_bytes) / u64::from(self.up.max(1))
    }

    /// Why it says little, a line each.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut found: Vec<_> =
            self.problems.iter().map(|(what, calls)| format!("{calls} calls: {what}")).collect();
        let is_much = |missing: u64, of: u64| missing * 100 > of * MISSING_PERCENT_MAX;
        let Packets { due, sent, late, received } = self.in_window;
        if is_much(due.saturating_sub(sent), due) || is_much(late, due) {
            found.push(format!(
                "the callers were too slow: of {due} packets due {sent} were sent, {late} of them late"
            ));
        }
        if is_much(due.saturating_sub(received), due) {
            found.push(format!("of {due} packets that were due to the callers {received} came"));
        }
        if is_much(self.lost + self.told.media.lost, self.sent) {
            found.push("more than one packet in a hundred was lost".to_owned());
        }
        if self.told.calls < self.up {
            let (told, up) = (self.told.calls, self.up);
            found.push(format!("the gateway has told what came of {told} of {up} calls"));
        }
        found
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, up, ended_early, sent, received, lost, .. } = self;
        let Packets { due, sent: in_time, late, received: heard } = self.in_window;
        let told = &self.told.media;
        let seconds = self.window.as_secs_f64();
        let cpu_ms = self.cpu.as_secs_f64() * 1_000.0;
        let of_core = self.cpu.as_secs_f64() / seconds.max(f64::MIN_POSITIVE) * 100.0;
        writeln!(
            f,
            "calls             {up} of {calls} up, {ended_early} ended early; measured for {seconds:.1} s"
        )?;
        writeln!(
            f,
            "packets           {due} due, {in_time} sent by the callers ({late} late), {heard} heard by them"
        )?;
        writeln!(
            f,
            "  to the gateway  {sent} sent, {} received, {} lost, {} too late, all the time",
            told.received, told.lost, told.late
        )?;
        writeln!(
            f,
            "  to the callers  {} sent, {received} received, {lost} lost, {} left out, all the time",
            told.sent, told.dropped
        )?;
        writeln!(
            f,
            "CPU               {cpu_ms:.0} ms, {of_core:.1} % of a core, {:.0} us for a second of a call",
            cpu_ms * 1_000.0 / (seconds * f64::from((*up).max(1)))
        )?;
        match self.megacycles_per_call_second().zip(self.mhz) {
            Some((megacycles, mhz)) => writeln!(
                f,
                "cycles            {megacycles:.2} million for a second of a call (CPU time at {mhz:.0} MHz)"
            )?,
            None => writeln!(
                f,
                "cycles            unknown: /proc/cpuinfo does not tell how fast the processor is"
            )?,
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "memory            {:.1} MiB before, {:.1} MiB with all calls, {:.1} KiB for each",
            mib(self.idle_bytes),
            mib(self.loaded_bytes),
            self.bytes_per_call() as f64 / 1_024.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Figures {
        let mut told = GatewayTold::default();
        for _ in 0..50 {
            told.add(&MediaOfCall { sent: 600, received: 600, ..MediaOfCall::default() });
        }
        Figures {
            calls: 50,
            up: 50,
            window: Duration::from_secs(10),
            in_window: Packets { due: 25_000, sent: 25_000, late: 3, received: 24_998 },
            sent: 30_000,
            received: 30_000,
            told,
            cpu: Duration::from_millis(500),
            mhz: Some(3_000.0),
            idle_bytes: 10 << 20,
            loaded_bytes: (10 << 20) + 50 * 4_096,
            ..Figures::default()
        }
    }

    #[test]
    fn figures_are_for_a_call_and_a_second() {
        let figures = good();
        assert_eq!(figures.megacycles_per_call_second(), Some(3.0));
        assert_eq!(figures.bytes_per_call(), 4_096);
        assert_eq!(figures.problems(), Vec::<String>::new());
        let table = figures.to_string();
        for part in ["50 of 50 up", "3.00 million", "500 ms, 5.0 % of a core, 1000 us", "4.0 KiB"] {
            assert!(table.contains(part), "no {part} in\n{table}");
        }
        let unknown = Figures { mhz: None, ..good() };
        assert_eq!(unknown.megacycles_per_call_second(), None);
        let none = Figures { up: 0, ..good() };
        assert_eq!((none.megacycles_per_call_second(), none.bytes_per_call()), (None, 204_800));
    }

    #[test]
    fn a_measurement_that_says_little_says_so() {
        let with = |change: fn(&mut Figures)| {
            let mut figures = good();
            change(&mut figures);
            figures.problems().join("; ")
        };
        let refused = |figures: &mut Figures| {
            figures.problems.insert("refused with 486".to_owned(), 2);
        };
        assert_eq!(with(refused), "2 calls: refused with 486");
        assert!(with(|figures| figures.in_window.sent = 24_700).contains("too slow"));
        assert!(with(|figures| figures.in_window.late = 251).contains("too slow"));
        assert!(with(|figures| figures.in_window.received = 24_700).contains("24700 came"));
        assert!(with(|figures| figures.lost = 301).contains("was lost"));
        assert!(with(|figures| figures.told.media.lost = 301).contains("was lost"));
        assert!(with(|figures| figures.told.calls = 49).contains("49 of 50 calls"));
    }
}
