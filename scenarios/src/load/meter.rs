//! What the system tells of a process: its processor time and memory, and how fast the processor runs (Linux, proc(5)).

use std::{fs, io, path::Path, time::Duration};

/// What the system says of a thread that ended after its files were opened: no such process.
const ESRCH: i32 = 3;

/// What a process has used by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time of all threads that it has, in user space and in the kernel.
    pub(super) cpu: Duration,
    /// Memory that is there for it.
    pub(super) resident_bytes: u64,
}

impl Usage {
    /// That of the process `pid`.
    ///
    /// # Errors
    /// It has ended, or this system does not tell.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let mut cpu = Duration::ZERO;
        // In nanoseconds; the sum in /proc/PID/stat is in hundredths of a second.
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            cpu += time_of(&thread?.path())?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident_bytes = resident_bytes(&status).ok_or_else(|| untold("status"))?;
        Ok(Self { cpu, resident_bytes })
    }
}

/// Time on a processor of the thread that `folder` tells of; none if it has ended since the folder was listed.
fn time_of(folder: &Path) -> io::Result<Duration> {
    match fs::read_to_string(folder.join("schedstat")) {
        Ok(told) => run_time(&told).ok_or_else(|| untold("schedstat")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Duration::ZERO),
        Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(Duration::ZERO),
        Err(error) => Err(error),
    }
}

fn untold(file: &str) -> io::Error {
    io::Error::other(format!("/proc has nothing to measure by in {file}"))
}

/// Time on a processor, of a thread's schedstat.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Cycles of the processor in a microsecond, now and on the mean of its cores; `None` where the system does not tell.
pub(super) fn frequency_mhz() -> Option<f64> {
    mean_mhz(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn mean_mhz(cpuinfo: &str) -> Option<f64> {
    let lines = cpuinfo.lines().filter_map(|line| line.strip_prefix("cpu MHz")?.split_once(':'));
    let cores: Vec<f64> = lines.filter_map(|(_, mhz)| mhz.trim().parse().ok()).collect();
    (!cores.is_empty()).then(|| cores.iter().sum::<f64>() / cores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        assert_eq!(run_time("1500000 65948 1\n"), Some(Duration::from_micros(1_500)));
        assert_eq!(run_time(""), None);
        let status = "Name:\tgateway\nVmHWM:\t   20000 kB\nVmRSS:\t   12345 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(12_345 * 1_024));
        assert_eq!(resident_bytes("Name:\tgateway\n"), None);
        let cpuinfo =
            "processor\t: 0\ncpu MHz\t\t: 2000.500\n\nprocessor\t: 1\ncpu MHz\t\t: 3000.500\n";
        assert_eq!(mean_mhz(cpuinfo), Some(2_500.5));
        assert_eq!(mean_mhz("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
    }

    #[test]
    fn threads_may_end_while_their_process_is_measured() {
        assert_eq!(time_of(Path::new("/proc/self/task/0")).unwrap(), Duration::ZERO);
        let (pid, mut threads) = (std::process::id(), Vec::new());
        for _ in 0..500 {
            threads.push(std::thread::spawn(std::thread::yield_now));
            Usage::of(pid).unwrap();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let pid = std::process::id();
        let before = Usage::of(pid).unwrap();
        let mut sum = 0u64;
        while Usage::of(pid).unwrap().cpu < before.cpu + Duration::from_millis(5) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(before.resident_bytes > 100_000, "{before:?}");
        assert!(Usage::of(u32::MAX).is_err());
    }
}
