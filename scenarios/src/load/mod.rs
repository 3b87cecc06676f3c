//! `rehearse load`: what a real gateway costs, on real sockets and in real time.
//!
//! A gateway is started as a process of its own ([`gateway`]), callers of this process call it ([`caller`], whose messages are in
//! [`signalling`]), and while all of them talk ([`speakers`]) its processor time and memory are read ([`meter`]). [`figures`] has what
//! comes of it.
//! Nothing here is simulated, and nothing repeats to the last digit.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes, sockets and time are what this is for"
)]

mod caller;
mod figures;
mod gateway;
mod measure;
mod meter;
mod signalling;
mod speakers;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use tokio::{runtime::Builder, time::timeout};

use self::gateway::Gateway;
use crate::explore::duration;

/// Time for what is done before and behind the measurement.
const LIMIT_BEYOND: Duration = Duration::from_secs(60);
/// Time for the gateway to tell what it counted, once all calls are over.
const TELLS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct LoadArguments {
    #[command(subcommand)]
    what: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Phone calls of G.711, each of which publishes what it says and hears it again
    Calls(CallsArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo build --release --package rehearsal-core --bin gateway    the gateway that is measured
  cargo rehearse load calls                                       50 calls for 10 s
  cargo rehearse load calls --calls 200 --for 30s
  cargo rehearse load calls --gateway target/debug/gateway

Each call takes two sockets here and two in the gateway: for more than 500 raise the limit, `ulimit -n`.
Cycles are processor time times the frequency that /proc/cpuinfo tells; Linux only.
Exit codes: 0 all calls were served and all was measured, 1 not so, 2 wrong usage.")]
struct CallsArguments {
    /// Calls at a time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    calls: u32,
    /// How long all of them talk while the gateway is measured, such as 10s; an hour at most
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = window)]
    window: Duration,
    /// The gateway's program; the one beside this program without it
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,
}

/// A time that is worth to be measured, and that comes to an end.
fn window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3_600);
    if allowed.contains(&window) { Ok(window) } else { Err("100ms to 1h".to_owned()) }
}

/// Carries out what `arguments` say and prints what was measured.
///
/// # Errors
/// There is no gateway, it does not start, or does not answer; or those of `out`.
pub fn load(out: &mut impl Write, arguments: &LoadArguments) -> io::Result<ExitCode> {
    let Load::Calls(arguments) = &arguments.what;
    let program = match &arguments.gateway {
        Some(program) => program.clone(),
        None => beside()?,
    };
    // One thread, and that of the speakers: the other cores are for what is measured.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let limit = arguments.window + LIMIT_BEYOND;
    let measured = runtime.block_on(async {
        let measuring = calls(program, arguments.calls, arguments.window);
        timeout(limit, measuring).await.unwrap_or_else(|_| {
            Err(io::Error::other(format!("the calls were not over after {limit:?}")))
        })
    })?;
    writeln!(out, "{measured}")?;
    let problems = measured.problems();
    for problem in &problems {
        writeln!(out, "    {problem}")?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The gateway of the same build.
fn beside() -> io::Result<PathBuf> {
    let program = env::current_exe()?.with_file_name("gateway");
    if program.is_file() {
        return Ok(program);
    }
    let profile = if cfg!(debug_assertions) { "" } else { "--release " };
    Err(io::Error::other(format!(
        "there is no gateway at {}: build it by `cargo build {profile}--package rehearsal-core --bin gateway`, or say where one is \
         by --gateway",
        program.display()
    )))
}

async fn calls(program: PathBuf, calls: u32, window: Duration) -> io::Result<figures::Figures> {
    let mut gateway = Gateway::start(&program, calls).await?;
    let mut figures = measure::measure(gateway.pid(), gateway.sip(), calls, window).await?;
    // One for each call that was up; if not all come, the table shows it.
    let telling = async {
        while figures.told.calls < figures.up {
            let Some(media) = gateway.next_call_over().await else { break };
            figures.told.add(&media);
        }
    };
    let _ = timeout(TELLS_WITHIN, telling).await;
    gateway.end().await?;
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArguments,
    }

    fn parsed(words: &[&str]) -> Result<CallsArguments, String> {
        let line = Line::try_parse_from(["rehearse", "calls"].iter().chain(words));
        let Load::Calls(arguments) = line.map_err(|error| error.to_string())?.load.what;
        Ok(arguments)
    }

    #[test]
    fn without_arguments_fifty_calls_talk_for_ten_seconds() {
        let arguments = parsed(&[]).unwrap();
        assert_eq!((arguments.calls, arguments.window), (50, Duration::from_secs(10)));
        assert_eq!(arguments.gateway, None);
        let arguments =
            parsed(&["--calls", "7", "--for", "500ms", "--gateway", "/usr/bin/gateway"]).unwrap();
        assert_eq!((arguments.calls, arguments.window), (7, Duration::from_millis(500)));
        assert_eq!(arguments.gateway, Some(PathBuf::from("/usr/bin/gateway")));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for wrong in [["--calls", "0"], ["--calls", "5000"], ["--for", "10ms"], ["--for", "2h"]] {
            let error = parsed(&wrong).unwrap_err();
            assert!(error.contains("invalid value"), "{error}");
        }
    }

    #[test]
    fn who_has_no_gateway_is_told_how_to_get_one() {
        // Beside a test there is none.
        let error = beside().unwrap_err().to_string();
        assert!(error.contains("--package rehearsal-core --bin gateway"), "{error}");
    }
}
