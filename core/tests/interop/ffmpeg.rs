//! ffmpeg as publisher and player, and the packets it sees: `-f framemd5` prints one line for each.
//!
//! Every command has `-copyts`, so that times are those of the source and can be compared as they are.

#![allow(clippy::disallowed_methods, reason = "starts ffmpeg and ffprobe")]

use std::{path::PathBuf, process::Command};

use crate::process::{PATIENCE, Process};

/// True when there is no ffmpeg, and the test can only say so. In CI that is a failure.
pub(crate) fn is_missing() -> bool {
    for tool in ["ffmpeg", "ffprobe"] {
        let runs = Command::new(tool).arg("-version").output();
        if runs.is_ok_and(|output| output.status.success()) {
            continue;
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "{tool} is missing, and CI is set: install ffmpeg, these tests must not be skipped there"
        );
        eprintln!("skipped: {tool} is not installed");
        return true;
    }
    false
}

/// Ten seconds of H.264 with B-frames and a keyframe every two seconds, and AAC.
pub(crate) fn source() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "scenarios", "media", "testsrc.flv"].iter().collect()
}

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Audio,
    Video,
    /// Script data that the demuxer took for subtitles or other data.
    Other,
}

/// One packet as ffmpeg's demuxer gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) track: Track,
    pub(crate) dts_ms: i64,
    pub(crate) pts_ms: i64,
    bytes: usize,
    md5: String,
}

/// The packets of a framemd5 listing.
pub(crate) fn packets(framemd5: &[String]) -> Vec<Packet> {
    let mut tracks: Vec<(&str, Track)> = Vec::new();
    let mut packets = Vec::new();
    for line in framemd5 {
        if let Some(declared) = line.strip_prefix("#media_type ") {
            let track = match declared.split_once(": ") {
                Some((index, "video")) => (index, Track::Video),
                Some((index, "audio")) => (index, Track::Audio),
                Some((index, _)) => (index, Track::Other),
                None => panic!("not a line of framemd5: {line}"),
            };
            tracks.push(track);
        } else if let Some(timebase) = line.strip_prefix("#tb ") {
            assert!(timebase.ends_with(": 1/1000"), "times are not milliseconds: {line}");
        } else if !line.starts_with('#') {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            // Changed headers and the like follow.
            let &[index, dts, pts, _duration, bytes, md5, ..] = fields.as_slice() else {
                panic!("not a line of framemd5: {line}");
            };
            let number = |text: &str| text.parse().expect("a number of framemd5");
            let track = tracks.iter().find(|(known, _)| *known == index);
            packets.push(Packet {
                track: track.expect("tracks are declared first").1,
                dts_ms: number(dts),
                pts_ms: number(pts),
                bytes: number(bytes) as usize,
                md5: md5.to_owned(),
            });
        }
    }
    packets
}

/// The packets of one track, in order.
pub(crate) fn of_track(track: Track, packets: &[Packet]) -> Vec<Packet> {
    packets.iter().filter(|packet| packet.track == track).cloned().collect()
}

/// The packets that a publisher with this `selection` sends, in its order.
pub(crate) fn published(selection: &[&str]) -> Vec<Packet> {
    let mut command = quiet_ffmpeg("error");
    command.arg("-i").arg(source()).args(selection).args(["-c", "copy", "-f", "framemd5", "-"]);
    let listing = Process::start("ffmpeg reading the source", &mut command).wait_success().stdout;
    let packets = packets(&listing);
    assert!(packets.len() >= 50, "the source has only {} packets", packets.len());
    packets
}

/// Presentation times of the source's keyframes, by ffprobe.
pub(crate) fn keyframes_pts_ms() -> Vec<i64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v", "-of", "csv=print_section=0"]);
    command.args(["-show_entries", "packet=pts,flags"]).arg(source());
    let listing = Process::start("ffprobe", &mut command).wait_success().stdout;
    let keyframe = |line: &String| {
        let (pts, flags) = line.split_once(',').expect("a time and flags");
        flags.starts_with('K').then(|| pts.parse().expect("a time in milliseconds"))
    };
    let keyframes: Vec<i64> = listing.iter().filter_map(keyframe).collect();
    assert!(keyframes.len() > 2, "the source has only {} keyframes", keyframes.len());
    keyframes
}

/// Publishes what `selection` picks from the source to `url`, in real time.
pub(crate) fn publish(url: &str, selection: &[&str]) -> Process {
    let mut command = quiet_ffmpeg("error");
    command.args(["-progress", "pipe:1", "-stats_period", "0.1", "-re", "-i"]).arg(source());
    command.args(selection).args(["-c", "copy", "-f", "flv", url]);
    Process::start(format!("publisher of {url}"), &mut command)
}

/// Waits until `publisher` has come to `at_ms` of the source.
pub(crate) fn wait_until_published(publisher: &Process, at_ms: i64) {
    let sought = format!("progress to {at_ms} ms");
    publisher.wait_for_line(&publisher.stdout, &sought, |lines| {
        let times = lines.iter().filter_map(|line| line.strip_prefix("out_time_us="));
        let newest_us = times.filter_map(|time| time.parse::<i64>().ok()).max()?;
        (newest_us >= at_ms * 1_000).then_some(())
    });
}

/// A player that lists the packets it gets.
pub(crate) struct Player {
    pub(crate) url: String,
    process: Process,
}

impl Player {
    /// Plays `url` until it ends.
    pub(crate) fn start(url: String) -> Self {
        // The log of level debug says when an HTTP request goes out.
        let mut command = quiet_ffmpeg("debug");
        command.args(["-i", &url, "-map", "0", "-c", "copy", "-flush_packets", "1"]);
        command.args(["-f", "framemd5", "-"]);
        let process = Process::start(format!("player of {url}"), &mut command);
        Self { url, process }
    }

    /// Waits until the HTTP request is on its way.
    pub(crate) fn wait_until_asked(&self) {
        self.process.wait_for_line(&self.process.stderr, "HTTP request", |lines| {
            lines.iter().any(|line| line.contains("request: GET ")).then_some(())
        });
    }

    /// Waits until it has listed a packet of `at_ms` or later.
    pub(crate) fn wait_until_played(&self, at_ms: i64) {
        let sought = format!("packet of {at_ms} ms");
        self.process.wait_for_line(&self.process.stdout, &sought, |lines| {
            packets(lines).iter().any(|packet| packet.dts_ms >= at_ms).then_some(())
        });
    }

    /// Waits until it has listed `count` packets.
    pub(crate) fn wait_until_listed(&self, count: usize) {
        self.process.wait_for_line(&self.process.stdout, &format!("{count} packets"), |lines| {
            (packets(lines).len() >= count).then_some(())
        });
    }

    /// Waits until it has ended, however that may be.
    pub(crate) fn wait_until_over(&mut self) {
        self.process.wait(PATIENCE);
    }

    /// Waits until it has ended by itself and content, and gives what it got.
    pub(crate) fn wait_for_packets(&mut self) -> Vec<Packet> {
        packets(&self.process.wait_success().stdout)
    }
}

/// Fails unless `got` is `expected`, track by track: every packet's bytes and times, and nothing else.
pub(crate) fn assert_same(who: &str, got: &[Packet], expected: &[Packet]) {
    for track in [Track::Video, Track::Audio, Track::Other] {
        let (got, expected) = (of_track(track, got), of_track(track, expected));
        let differs = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        if let Some(at) = differs {
            panic!("{who}: {track:?} packet {at} is {:?}, expected {:?}", got[at], expected[at]);
        }
        let (last, last_expected) = (got.last(), expected.last());
        assert_eq!(
            got.len(),
            expected.len(),
            "{who}: {track:?} ends with {last:?}, expected {last_expected:?}"
        );
    }
}

fn quiet_ffmpeg(level: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", level, "-copyts"]);
    command
}
