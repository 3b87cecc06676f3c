//! `--pcap FILE`: the packets at one host of one run, written for Wireshark.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use rehearsal_scenarios::catalogue::Scenario;
use rehearsal_sim::CaptureFile;

use crate::WRONG_USAGE;

/// The file to be written, open before the run so that a wrong path costs no run.
#[derive(Debug)]
pub struct Pcap {
    host: String,
    path: PathBuf,
    file: File,
}

/// Why there will be no file.
#[derive(Debug)]
pub enum Refused {
    /// What was asked for makes no sense.
    Usage(String),
    /// The system does not let us write there.
    Create(PathBuf, io::Error),
}

impl Refused {
    /// Tells the user and gives the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(what) => {
                eprintln!("rehearse: {what}");
                ExitCode::from(WRONG_USAGE)
            }
            Self::Create(path, error) => {
                eprintln!("rehearse: cannot write {}: {error}", path.display());
                ExitCode::FAILURE
            }
        }
    }
}

impl Pcap {
    /// Opens the file at `path`, if one is asked for, for the packets at `host`.
    ///
    /// # Errors
    /// [`Refused`], when there is not exactly one scenario, it has no such host, or the file cannot be
    /// created.
    #[allow(clippy::disallowed_methods, reason = "outside of the simulation, for people")]
    pub fn create(
        path: Option<PathBuf>,
        host: String,
        scenarios: &[&'static Scenario],
        seed: u64,
    ) -> Result<Option<Self>, Refused> {
        let Some(path) = path else { return Ok(None) };
        let [scenario] = scenarios else {
            let count = scenarios.len();
            return Err(Refused::Usage(format!(
                "--pcap writes the packets of one scenario, and {count} are to run; name one"
            )));
        };
        let hosts = (scenario.plan)(seed).hosts();
        if !hosts.contains(&host) {
            let (name, hosts) = (scenario.name, hosts.join(", "));
            return Err(Refused::Usage(format!("{name} has no host {host}, but {hosts}")));
        }
        match File::create(&path) {
            Ok(file) => Ok(Some(Self { host, path, file })),
            Err(error) => Err(Refused::Create(path, error)),
        }
    }

    /// The host whose packets are wanted.
    pub fn host(&self) -> String {
        self.host.clone()
    }
}

/// Writes `capture` to the file that was asked for, if one was, and tells of it; false if it cannot.
#[must_use]
pub fn write(pcap: Option<Pcap>, capture: Option<CaptureFile>) -> bool {
    let (Some(Pcap { path, mut file, .. }), Some(capture)) = (pcap, capture) else { return true };
    if let Err(error) = file.write_all(&capture.pcapng) {
        Refused::Create(path, error).report();
        return false;
    }
    eprintln!("{} packets in {}", capture.packets, path.display());
    if capture.left_out > 0 {
        let bytes = capture.pcapng.len();
        eprintln!("the capture is full with {bytes} bytes; {} packets left out", capture.left_out);
    }
    true
}
