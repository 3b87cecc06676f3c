//! Captures of runs, looked at by tshark, which knows nothing of this project.
//!
//! Skipped without tshark, unless `CI` is set.

#![allow(clippy::disallowed_methods, reason = "runs real programs on real files")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rehearsal_scenarios::{
    catalogue::{self, Scenario},
    run::{self, Net, Watch},
};

const SEED: u64 = 1;
/// tshark verifies checksums only when told to.
const CHECKSUMS: [&str; 6] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
];
const BAD: &str = "_ws.malformed or _ws.expert.severity == error or ip.checksum.status == Bad \
                   or tcp.checksum.status == Bad or udp.checksum.status == Bad";
/// tshark's own limit for an RTMP message or chunk is 32,768 bytes. And without the second, it takes
/// what is sent again in the middle of a message for an error of reassembly.
const LIMITS: [&str; 4] =
    ["-o", "rtmpt.max_packet_size:8388608", "-o", "tcp.reassemble_out_of_order:TRUE"];
/// Leaves HTTP alone: putting a body together takes tshark a time that grows with the square of its
/// length, minutes for some, and pieces of a body it takes for heads.
const HTTP_AS_DATA: [&str; 2] = ["-d", "tcp.port==8080,data"];
/// [`LIMITS`] and [`HTTP_AS_DATA`].
const WITHOUT_HTTP: [&str; 6] =
    [LIMITS[0], LIMITS[1], LIMITS[2], LIMITS[3], HTTP_AS_DATA[0], HTTP_AS_DATA[1]];
/// In captures of up to this length HTTP is looked at, too.
const HTTP_CAPTURE_BYTES_MAX: usize = 9_000_000;

/// A short stream whose every byte has a segment of its own, the last of each response, too.
static SHORT_ONE_BYTE: Scenario = Scenario {
    name: "pcap/short-one-byte",
    about: "",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = (scenario("segments/one-byte").plan)(seed);
        plan.publishers[0].plan.duration_ms = 200;
        plan
    },
    check: |_| Vec::new(),
};

/// True when there is no tshark, and the test can only say so. In CI that is a failure.
fn is_missing() -> bool {
    let runs = Command::new("tshark").arg("--version").output();
    if runs.is_ok_and(|output| output.status.success()) {
        return false;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "tshark is missing, and CI is set: install it, these tests must not be skipped there"
    );
    eprintln!("skipped: tshark is not installed");
    true
}

fn scenario(name: &str) -> &'static Scenario {
    catalogue::find(name).expect("it is in the catalogue")
}

/// A file of this test's own, gone with it.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn capture(name: &str, scenario: &'static Scenario, host: &str) -> Self {
        let file = Self::new(name);
        let watch = Watch { capture_at: Some(host.to_owned()), ..Watch::default() };
        let outcome = run::run_on(Net::Fabric, scenario, SEED, &watch);
        assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
        let capture = outcome.capture.expect("a capture was asked for");
        assert_eq!(capture.left_out, 0);
        fs::write(&file.0, &capture.pcapng).expect("the temporary folder takes files");
        file
    }

    fn bytes(&self) -> usize {
        fs::metadata(&self.0).expect("it was written").len() as usize
    }

    /// What tshark prints for the packets that `filter` lets through, a line each.
    fn packets(&self, filter: &str) -> Vec<String> {
        self.packets_with(&[], filter)
    }

    /// The same for packets with something wrong, without those where the fault is tshark's, of HTTP alone.
    fn bad_packets(&self) -> Vec<String> {
        let bad = self.packets_with(&LIMITS, BAD);
        let known = |packet: &String| {
            let number = packet.split_whitespace().next().expect("lines begin with it");
            let elsewhere = format!("frame.number == {number} and ({BAD})");
            is_cut_before_last_line_feed(&self.stream_until(number))
                && self.packets_with(&WITHOUT_HTTP, &elsewhere) == [] as [&str; 0]
        };
        bad.into_iter().filter(|packet| !known(packet)).collect()
    }

    /// What the sender of the TCP packet `number` has sent on its connection, to the end of that packet.
    fn stream_until(&self, number: &str) -> Vec<u8> {
        let fields = |fields: &[&str], filter: &str| {
            let names = fields.iter().flat_map(|field| ["-e", field]);
            let options: Vec<_> = ["-T", "fields"].into_iter().chain(names).collect();
            self.packets_with(&[&HTTP_AS_DATA[..], &options].concat(), filter)
        };
        let ends = fields(&["tcp.stream", "tcp.srcport"], &format!("frame.number == {number}"));
        let Some((stream, port)) = ends.first().and_then(|ends| ends.split_once('\t')) else {
            return Vec::new();
        };
        let filter = format!(
            "tcp.stream == {stream} and tcp.srcport == {port} and tcp.len > 0 and frame.number <= {number}"
        );
        let mut bytes = Vec::new();
        for segment in fields(&["tcp.seq", "tcp.payload"], &filter) {
            let (seq, payload) = segment.split_once('\t').expect("two fields");
            // Numbers are relative: the first byte has 1.
            let start = seq.parse::<usize>().expect("a number") - 1;
            let payload: Vec<u8> = (0..payload.len() / 2)
                .map(|byte| u8::from_str_radix(&payload[2 * byte..2 * byte + 2], 16).expect("hex"))
                .collect();
            bytes.resize(bytes.len().max(start + payload.len()), 0);
            bytes[start..start + payload.len()].copy_from_slice(&payload);
        }
        bytes
    }

    fn packets_with(&self, options: &[&str], filter: &str) -> Vec<String> {
        let output = Command::new("tshark")
            .arg("-r")
            .arg(&self.0)
            .args(CHECKSUMS)
            .args(options)
            .args(["-Y", filter])
            .output()
            .expect("tshark starts");
        assert!(output.status.success(), "{filter}: {output:?}");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        lines.lines().map(str::to_owned).collect()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A test that failed before there was a file leaves none.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether `stream` is a chunked response (RFC 9112, 7.1) that is whole but for its last byte: it ends
/// with `0 CR LF CR`, and the LF comes in another segment.
///
/// There tshark reads past the end of what it has, whoever sent it; a capture of real sockets shows
/// the same. Its `req_resp_hdrs_do_reassembly` looks for the end of the last line in as many bytes as
/// were left before the line `0`. Seen with 4.0.17.
fn is_cut_before_last_line_feed(stream: &[u8]) -> bool {
    let line = |from: &[u8]| from.windows(2).position(|two| two == b"\r\n");
    let Some(head_bytes) = stream.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&stream[..head_bytes]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ok\r\n") || !head.contains("\r\ntransfer-encoding: chunked")
    {
        return false;
    }
    let mut rest = &stream[head_bytes + 4..];
    while rest != b"0\r\n\r" {
        let Some(digits) = line(rest) else { return false };
        let size = String::from_utf8_lossy(&rest[..digits]);
        let Ok(size @ 1..) = usize::from_str_radix(&size, 16) else { return false };
        let Some((chunk, after)) = rest[digits + 2..].split_at_checked(size + 2) else {
            return false;
        };
        if !chunk.ends_with(b"\r\n") {
            return false;
        }
        rest = after;
    }
    true
}

fn rehearse(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(arguments).output();
    output.expect("the command starts")
}

/// Of every other scenario, from `first` on: tshark takes a while for all, and there is more than one core.
fn nothing_is_malformed(first: usize) {
    if is_missing() {
        return;
    }
    // What these send is malformed.
    let sends_nonsense =
        |scenario: &Scenario| scenario.is_named("fuzz") || scenario.is_named("leak/bad-input");
    let scenarios = catalogue::light().filter(|scenario| !sends_nonsense(scenario));
    for scenario in scenarios.skip(first).step_by(2) {
        let file_name = format!("whole-{}.pcapng", scenario.name.replace('/', "-"));
        let file = Temporary::capture(&file_name, scenario, "gateway");
        // With HTTP tshark looks at all that it looks at without.
        let found = match file.bytes() <= HTTP_CAPTURE_BYTES_MAX {
            true => file.bad_packets(),
            false => file.packets_with(&WITHOUT_HTTP, BAD),
        };
        assert!(found.is_empty(), "{}: {found:#?}", scenario.name);
    }
}

#[test]
fn tshark_finds_nothing_malformed_in_one_half() {
    nothing_is_malformed(0);
}

#[test]
fn tshark_finds_nothing_malformed_in_the_other_half() {
    nothing_is_malformed(1);
}

#[test]
fn tshark_stumbles_over_the_last_line_feed_of_a_response_and_nothing_else() {
    if is_missing() {
        return;
    }
    let file = Temporary::capture("short-one-byte.pcapng", &SHORT_ONE_BYTE, "gateway");
    // A tshark that has been repaired finds none.
    let found = file.packets_with(&LIMITS, BAD);
    assert!(found.len() <= 1, "{found:#?}");
    assert_eq!(file.bad_packets(), [] as [&str; 0]);
}

#[test]
fn only_a_whole_response_without_its_last_byte_is_excused() {
    let response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for end in 0..=response.len() {
        let is_excused = is_cut_before_last_line_feed(&response[..end]);
        assert_eq!(is_excused, end == response.len() - 1, "{end} bytes");
    }
    let text = String::from_utf8_lossy(&response[..response.len() - 1]);
    for (right, wrong) in [
        ("5\r\n", "4\r\n"),
        ("5\r\n", "6\r\n"),
        ("5\r\n", "five\r\n"),
        ("hello\r\n", "hello\n\r"),
        ("transfer-encoding", "content-type"),
        ("HTTP/1.1", "RTSP/1.0"),
    ] {
        let changed = text.replace(right, wrong);
        assert!(changed != text && !is_cut_before_last_line_feed(changed.as_bytes()), "{changed}");
    }
}

#[test]
fn tshark_recognises_rtmp_messages_and_http() {
    if is_missing() {
        return;
    }
    let one_stream = scenario("live/one-publisher-three-players");
    let file = Temporary::capture("recognised.pcapng", one_stream, "gateway");
    let rtmp = file.packets("rtmpt").join("\n");
    for message in [
        "Handshake C0+C1",
        "Handshake S0+S1+S2",
        "Set Chunk Size 32000",
        "connect('live')",
        "createStream()",
        "publish('cam')",
        "onStatus('NetStream.Publish.Start')",
        "play('cam')",
        "onStatus('NetStream.Play.Start')",
        "onMetaData()",
        "Audio Data",
        "Video Data",
        "deleteStream()",
    ] {
        assert!(rtmp.contains(message), "{message} is not in:\n{rtmp}");
    }
    let http = file.packets("http");
    let [get, answer] = http.as_slice() else { panic!("not a request and its answer: {http:#?}") };
    assert!(get.contains("GET /live/cam.flv HTTP/1.1"), "{get}");
    assert!(answer.contains("HTTP/1.1 200 OK") && answer.contains("video/x-flv"), "{answer}");
    // Window fields are scaled by the SYN's option: the receive buffer shows as it is.
    let true_windows = file.packets("tcp.window_size == 131072");
    assert!(true_windows.len() > 100, "{} packets", true_windows.len());
    let start = file.packets("frame.time_epoch >= 1767225600 and frame.time_epoch < 1767225601");
    assert!(!start.is_empty(), "the run does not begin when the hosts' wall clocks do");
}

#[test]
fn any_host_can_be_captured_and_sees_its_own_packets_only() {
    if is_missing() {
        return;
    }
    let one_stream = scenario("live/one-publisher-three-players");
    let file = Temporary::capture("viewer.pcapng", one_stream, "viewer-dsl");
    assert!(file.packets("http").iter().any(|line| line.contains("GET /live/cam.flv")));
    assert_eq!(file.packets("rtmpt"), [] as [&str; 0]);
}

#[test]
fn a_capture_and_a_look_at_sockets_change_nothing() {
    for scenario in catalogue::light() {
        let watch = Watch {
            capture_at: Some("gateway".to_owned()),
            netstat_at: Some(std::time::Duration::from_micros(4_000_123)),
            keep_events: 5_000..6_000,
        };
        let watched = run::run_on(Net::Fabric, scenario, 7, &watch);
        let alone = run::run(scenario, 7);
        assert_eq!(watched.trace_hash(), alone.trace_hash(), "{}", scenario.name);
        assert!(watched.capture.is_some() && alone.capture.is_none());
        let sockets = watched.netstat.expect("the run is longer than 4 s");
        assert_eq!(sockets[0].0, "gateway");
        // A gateway that ends has no listeners any more, but somebody to tell.
        let open: usize = sockets.iter().map(|(_, netstat)| netstat.rows.len()).sum();
        assert!(open > 2, "{}: {sockets:?}", scenario.name);
    }
}

#[test]
fn the_command_writes_the_file_that_it_is_told_to() {
    let by_replay = Temporary::new("replay.pcapng");
    let by_run = Temporary::new("run.pcapng");
    for (command, file) in [("replay", &by_replay), ("run", &by_run)] {
        let path = file.0.to_str().expect("UTF-8");
        let output = rehearse(&[command, "live/republish", "--seed", "3", "--pcap", path]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("packets in"), "{stderr}");
    }
    let [replayed, ran] =
        [by_replay, by_run].map(|file| fs::read(&file.0).expect("it was written"));
    assert_eq!(replayed[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    assert_eq!(replayed, ran);
}

#[test]
fn what_cannot_be_captured_is_told_clearly() {
    let refused = |arguments: &[&str]| {
        let output = rehearse(arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = refused(&["run", "live", "--pcap", "never.pcapng"]);
    assert!(code == Some(2) && told.contains("one scenario"), "{told}");
    let host = ["--pcap", "never.pcapng", "--pcap-host", "nobody"];
    let (code, told) = refused(&[&["replay", "live/republish"][..], &host].concat());
    assert!(code == Some(2) && told.contains("no host nobody, but gateway, publisher-1"), "{told}");
    let (code, told) = refused(&["replay", "live/republish", "--pcap", "/nowhere/never.pcapng"]);
    assert!(code == Some(1) && told.contains("cannot write /nowhere/never.pcapng"), "{told}");
    assert!(!Path::new("never.pcapng").exists());
}

#[test]
fn the_command_prints_the_sockets_of_every_host() {
    let sockets = |at_ms| {
        let output = rehearse(&["replay", "live/republish", "--netstat-at", at_ms]);
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let early = sockets("3000");
    assert!(early.contains("sockets of gateway at 3000 ms"), "{early}");
    assert!(early.contains("sockets of publisher-1 at 3000 ms"), "{early}");
    assert!(early.contains("LISTEN") && early.contains("ESTABLISHED"), "{early}");
    let late = sockets("9000000");
    assert!(late.contains("no sockets at 9000000 ms: the run was over at"), "{late}");
}
