//! The `gateway` command: reads the configuration, serves until a signal, ends in order.
#![forbid(unsafe_code)]

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::Parser;
use rehearsal_core::{
    config::{self, Config, ConfigError, LogFormat, LogLevel},
    env::{Os, read_file},
    gateway::Gateway,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tracing_subscriber::filter::LevelFilter;

#[cfg(feature = "leakcheck")]
mod leakcheck;

/// Live streams in over RTMP and by phone, out over RTMP, HTTP-FLV and by phone.
#[derive(Debug, Parser)]
#[command(
    name = "gateway",
    version,
    after_help = "Examples:
  gateway                                  serve RTMP on 1935, HTTP on 8080, SIP on 5060
  gateway --config gateway.toml            with a configuration
  gateway --print-config > gateway.toml    start a configuration from the defaults
  gateway --config gateway.toml --check    say whether a configuration is right

  ffmpeg -re -i film.mp4 -c copy -f flv rtmp://localhost/live/film     publish
  ffplay rtmp://localhost/live/film                                    play
  ffplay http://localhost:8080/live/film.flv                           play over HTTP

Exit codes: 0 ended in order, 1 could not serve or had to cut connections, 2 wrong usage or configuration."
)]
struct Arguments {
    /// TOML file; without it the defaults are used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say whether the configuration is right, and end
    #[arg(long)]
    check: bool,
    /// Print the configuration with all defaults and what each key means, and end
    #[arg(long)]
    print_config: bool,
}

const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("gateway: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let config = match load(&arguments).await {
            Ok(config) => config,
            Err(error) => {
                eprintln!("gateway: {error}");
                return ExitCode::from(WRONG_CONFIGURATION);
            }
        };
        if arguments.print_config {
            print!("{}", config.to_commented_toml());
            return ExitCode::SUCCESS;
        }
        if arguments.check {
            println!("the configuration is right");
            return ExitCode::SUCCESS;
        }
        start_logging(&config.log);
        serve(config).await
    })
}

async fn load(arguments: &Arguments) -> Result<Config, ConfigError> {
    let Some(path) = &arguments.config else { return Ok(Config::default()) };
    let unreadable = |problem: String| ConfigError {
        file: path.display().to_string(),
        line: None,
        key: None,
        problem: format!("cannot read the configuration: {problem}"),
    };
    let content = read_file(&Os, path, config::FILE_BYTES_MAX)
        .await
        .map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(content).map_err(|error| unreadable(error.to_string()))?;
    Config::parse(path, &text)
}

fn start_logging(log: &config::Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            let lines = lines.with_target(false).with_ansi(std::io::stderr().is_terminal());
            #[cfg(feature = "leakcheck")]
            let lines = lines.map_event_format(leakcheck::Unaccounted);
            lines.init();
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            #[cfg(feature = "leakcheck")]
            let lines = lines.map_event_format(leakcheck::Unaccounted);
            lines.init();
        }
    }
}

async fn serve(config: Config) -> ExitCode {
    let shutdown = CancellationToken::new();
    let binding = Gateway::bind(Os, config, shutdown.clone());
    #[cfg(feature = "leakcheck")]
    let binding = leakcheck::recorded(binding);
    let gateway = match binding.await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("gateway: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("gateway: cannot watch for signals: {error}");
                return ExitCode::FAILURE;
            }
        };
    let signals = async {
        tokio::select! {
            biased;
            _ = terminate.recv() => info!("SIGTERM: ending in order"),
            _ = interrupt.recv() => info!("interrupt: ending in order; once more cuts everything"),
        }
        shutdown.cancel();
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        biased;
        ended = run_until_shut_down(gateway) => ended,
        () = signals => {
            warn!("second signal: connections are cut");
            ExitCode::FAILURE
        }
    }
}

async fn run_until_shut_down(gateway: Gateway<Os>) -> ExitCode {
    let running = gateway.run();
    #[cfg(feature = "leakcheck")]
    let running = leakcheck::recorded(running);
    let ended = running.await;
    info!(cut_connections = ended.cut_connections, "ended");
    match ended.cut_connections {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
