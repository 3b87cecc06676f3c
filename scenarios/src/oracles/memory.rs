//! O6 bounded memory: the gateway never held more than what its configuration allows the clients of the plan.

use std::collections::BTreeMap;

use rehearsal_sim::clients::{
    media::MediaPlan,
    phone::{PhonePlan, Shows},
    publisher::{PublishPlan, Source},
    stranger::Target,
};

use crate::{
    plan::{ASSETS, Listener, Phone, Plan, RawClient},
    run::Evidence,
};

/// What the gateway needs besides its clients, in bytes: tables that grow by doubling.
const BASE_BYTES: u64 = 64 << 10;
/// What a connection needs besides what it carries: its task, its session, and the buffers of an HTTP request.
const CONNECTION_BYTES: u64 = 32 << 10;
/// What one of a crowd needs that keeps up: frames are in the ring for all of them, and buffers have long been grown. As
/// `tests/catalogue/budgets` has it.
const CROWD_MEMBER_BYTES: u64 = 8 << 10;
/// What a frame needs besides its payload, in the ring and in the queues.
const FRAME_BYTES: u64 = 256;
/// Frames that a subscriber takes at a time.
const BATCH_FRAMES: u64 = 16;
/// What is reserved for a message when its first bytes come. Others that are begun beside it have much less.
const FIRST_RESERVE_BYTES: u64 = 64 << 10;
/// What a phone needs: the task of its media, its ports, its dialog with what was said of late, and the packets that are held to
/// be put in order.
const PHONE_BYTES: u64 = 46 << 10;
/// What the pictures of a call need, however small they are: two sockets and a session.
const VIDEO_BYTES: u64 = 24 << 10;
/// Pictures of either end that may be on their way through a call at once.
const HELD_PICTURES: u64 = 12;
/// What a request of SIP needs until copies of it are not expected any more.
const REQUEST_BYTES: u64 = 8 << 10;
/// What a call is asked for with.
const CALL: &[u8] = b"INVITE";
/// What a connection for SIP needs: its task, with what is read at a time, and messages that wait to be written.
const SIP_STREAM_BYTES: u64 = 10 << 10;
/// What a client of the application `sip` needs besides its connection and its call, which is its phone's: who it is, its
/// registration, and what it has still to be told.
const SIP_CLIENT_BYTES: u64 = 16 << 10;
/// Packets, or messages, of audio of telephony.
const PACKETS_PER_SECOND: u64 = 50;
/// Bytes of audio in each, with the one byte before it.
const PACKET_BYTES: u64 = 161;
/// Answers are joined to runs of this length.
const RUN_BYTES: u64 = 64 << 10;

/// Nothing to say where nobody counts.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let Some(host) = &evidence.host else { return Vec::new() };
    let bound = bytes_max(&evidence.plan);
    let is_over = u64::try_from(host.heap_bytes_max).is_ok_and(|held| held > bound);
    let what = || format!("the gateway held {} bytes, {bound} are allowed", host.heap_bytes_max);
    is_over.then(what).into_iter().collect()
}

/// The most that clients of `plan` can make the gateway hold, in bytes.
pub fn bytes_max(plan: &Plan) -> u64 {
    let frame_max =
        plan.publishers.iter().map(|p| frame_bytes_max(&p.plan)).max().unwrap_or_default();
    // A subscriber pins one batch, which ends with the frame that fills it.
    let batch = (BATCH_FRAMES * frame_max).min(plan.config.live.in_flight_bytes as u64 + frame_max);
    let of_crowds: usize = plan.crowds.iter().map(|crowd| crowd.count).sum();
    let crowds = of_crowds as u64 * CROWD_MEMBER_BYTES;
    let bytes_of = |phone: &Phone| match &phone.plan.called {
        // It is registered with, and may call nobody.
        Some(called) if called.registrar.is_some() => {
            REQUEST_BYTES + phone.plan.calls_back_ms.map_or(0, |_| PHONE_BYTES)
        }
        _ => PHONE_BYTES + phone.plan.video.as_ref().map_or(0, |_| video_bytes(phone, frame_max)),
    };
    let phones: u64 = plan.phones.iter().map(bytes_of).sum();
    let strangers = strangers_bytes(plan);
    let streams: u64 = plan.phones.iter().map(|phone| sip_streams_bytes(plan, phone)).sum();
    BASE_BYTES
        + rings_bytes(plan)
        + connections_bytes(plan, batch)
        + crowds
        + phones
        + strangers
        + streams
}

/// Connections of a phone that speaks SIP over TCP: one of its own, one of the gateway's, and those that take the place of lost ones,
/// which the gateway may not have noticed.
fn sip_streams_bytes(plan: &Plan, phone: &Phone) -> u64 {
    let Some(tcp) = &phone.plan.tcp else { return 0 };
    let hosts = [&phone.host[..], "gateway"];
    let faults = plan.faults.iter().filter(|fault| hosts.contains(&&fault.host[..]));
    (2 + tcp.closes.len() + 2 * faults.count()) as u64 * SIP_STREAM_BYTES
}

/// What the pictures of a call need besides the ring: those that are held to be put in order, one that is put together, and those that
/// wait to be sent.
fn video_bytes(phone: &Phone, frame_max: u64) -> u64 {
    let shown = phone.plan.video.as_ref().and_then(|video| video.shows.as_ref());
    let shown = shown.map_or(0, picture_bytes);
    VIDEO_BYTES + HELD_PICTURES * (shown + frame_max)
}

/// The most that a picture of a phone has, with what each packet of it needs.
fn picture_bytes(shows: &Shows) -> u64 {
    let bytes = u64::from(shows.slices) * (shows.slice_bytes.max(64) as u64) + 256;
    bytes + (bytes / shows.payload_bytes as u64 + 6) * FRAME_BYTES
}

/// Calls and requests of strangers: each datagram may be a request, and one that has the word may be a call.
fn strangers_bytes(plan: &Plan) -> u64 {
    let to_sip = plan.strangers.iter().filter(|it| it.plan.target == Target::Sip);
    let datagrams = to_sip.clone().flat_map(|it| &it.plan.datagrams);
    let calls = datagrams.filter(|it| it.windows(CALL.len()).any(|word| word == CALL)).count();
    let datagrams: usize = to_sip.map(|it| it.plan.datagrams.len()).sum();
    let calls = calls.min(plan.config.sip.max_calls) as u64;
    let requests = datagrams.min(plan.config.sip.max_transactions) as u64;
    calls * PHONE_BYTES + requests * REQUEST_BYTES
}

/// Rings: a stream has one, which begins anew with each publish.
fn rings_bytes(plan: &Plan) -> u64 {
    let mut rings: BTreeMap<&str, u64> = BTreeMap::new();
    for publisher in &plan.publishers {
        let most = rings.entry(&publisher.plan.stream).or_default();
        *most = held_bytes(plan, &publisher.plan).max(*most);
    }
    for client in &plan.sip_clients {
        let Some(voice) = &client.plan.voice else { continue };
        let most = rings.entry(&voice.stream).or_default();
        *most = audio_bytes(plan, client.plan.leave_ms - client.plan.start_ms).max(*most);
    }
    for phone in &plan.phones {
        let Some(voice) = &phone.plan.voice else { continue };
        let most = rings.entry(&voice.stream).or_default();
        *most = said_bytes(plan, &phone.plan).max(*most);
    }
    rings.into_values().sum()
}

/// What of a call is held at a time: audio alone is for as long as is configured, if a call lasts so long.
fn said_bytes(plan: &Plan, phone: &PhonePlan) -> u64 {
    let lasts_ms = phone.leave_ms - phone.start_ms;
    let gives_up_ms = phone.cancel.map(|cancel| cancel.after_ms);
    let talks_ms = gives_up_ms.or(phone.talk_ms).unwrap_or(lasts_ms);
    let shows = phone.video.as_ref().and_then(|video| video.shows.as_ref());
    let pictures = shows.map_or(0, |shows| {
        // Since the keyframe before the last, as that of a publisher.
        let live = &plan.config.live;
        let gop_ms = (u64::from(shows.gop_frames) * shows.frame_ms).min(live.gop_ms);
        let held_ms = (live.keep_ms.max(gop_ms) + gop_ms + plan.terms.slack_ms).min(talks_ms);
        (held_ms / shows.frame_ms + 2) * (picture_bytes(shows) + FRAME_BYTES)
    });
    audio_bytes(plan, talks_ms) + pictures.min(plan.config.live.ring_bytes as u64)
}

/// What is held of audio of telephony that lasts so long.
fn audio_bytes(plan: &Plan, lasts_ms: u64) -> u64 {
    let held_ms = plan.config.live.keep_ms.min(lasts_ms) + plan.terms.slack_ms;
    (held_ms / 1_000 + 1) * PACKETS_PER_SECOND * (PACKET_BYTES + FRAME_BYTES)
}

/// The most that those who are there at a time need besides the rings; crowds are counted by themselves.
fn connections_bytes(plan: &Plan, batch: u64) -> u64 {
    let publishers = plan.publishers.iter().map(|publisher| {
        let of = &publisher.plan;
        // The message on its way in, in a buffer that grows by doubling.
        let bytes = CONNECTION_BYTES + 2 * frame_bytes_max(of);
        (of.start_ms, of.start_ms + of.duration_ms, bytes)
    });
    let players = plan.players.iter().map(|player| {
        // What keeps up has its frames in the ring.
        let is_behind = plan.may_skip(&player.host) || player.plan.stall.is_some();
        let bytes = CONNECTION_BYTES + if is_behind { batch } else { 0 };
        (player.plan.start_ms, player.plan.leave_ms, bytes)
    });
    let raw_clients = plan.raw_clients.iter();
    let raw_clients =
        raw_clients.map(|raw| (raw.plan.start_ms, raw.plan.leave_ms, raw_bytes(plan, raw, batch)));
    let sip_clients = plan.sip_clients.iter().map(|client| {
        let bytes = CONNECTION_BYTES + SIP_CLIENT_BYTES;
        (client.plan.start_ms, client.plan.leave_ms, bytes)
    });
    let connections = publishers.chain(players).chain(raw_clients).chain(sip_clients);
    let connections: Vec<(u64, u64, u64)> = connections.collect();
    let linger_ms = linger_ms(plan);
    let at = |ms: u64| {
        let is_there = |(from, to, _): &&(u64, u64, u64)| *from <= ms && ms <= to + linger_ms;
        connections.iter().filter(is_there).map(|(.., bytes)| bytes).sum()
    };
    connections.iter().map(|(from, ..)| at(*from)).max().unwrap_or(0)
}

/// How long a connection may outlive what its client does.
fn linger_ms(plan: &Plan) -> u64 {
    let config = &plan.config;
    let silence_ms = config.rtmp.publisher_silence_ms.max(config.live.player_stall_ms);
    let unnoticed_ms = config.rtmp.ping_ms + config.rtmp.ping_timeout_ms;
    let is_befallen = !plan.faults.is_empty();
    plan.terms.slack_ms + silence_ms + if is_befallen { unnoticed_ms } else { 0 }
}

/// What of a publish is held at a time: what is younger than configured, or since the last keyframe.
fn held_bytes(plan: &Plan, publish: &PublishPlan) -> u64 {
    let live = &plan.config.live;
    let most = live.ring_bytes as u64 + frame_bytes_max(publish);
    match &publish.source {
        Source::FlvFile(_) => frame_bytes_max(publish).min(most),
        Source::Generated(media) => {
            let gop_ms = u64::from(media.gop_frames) * 40;
            let gop_ms = gop_ms.min(live.gop_ms);
            let span_ms = live.keep_ms.max(gop_ms) + gop_ms;
            let held_ms = (span_ms + plan.terms.slack_ms).min(publish.duration_ms);
            let bytes = bytes_per_second(media) * (held_ms + 1_000) / 1_000;
            (bytes + media.keyframe_bytes as u64).min(most)
        }
    }
}

fn bytes_per_second(media: &MediaPlan) -> u64 {
    let (keyframe, audio) = (media.keyframe_bytes as u64, media.audio_bytes as u64);
    let per_gop = |gop: u64| (keyframe + (gop - 1) * (keyframe / 5)) * 25 / gop + 25 * FRAME_BYTES;
    let video = if media.gop_frames > 0 { per_gop(media.gop_frames.into()) } else { 0 };
    let frames = if media.telephone.is_some() { PACKETS_PER_SECOND } else { 47 };
    let audio = if audio > 0 { frames * (audio + FRAME_BYTES) } else { 0 };
    video + audio
}

fn frame_bytes_max(publish: &PublishPlan) -> u64 {
    match &publish.source {
        Source::Generated(media) => {
            media.keyframe_bytes.max(media.audio_bytes) as u64 + FRAME_BYTES
        }
        // No frame is longer than its file.
        Source::FlvFile(path) => {
            let asset = ASSETS.iter().find(|(name, _)| path.as_os_str() == *name);
            asset.map_or(0, |(_, content)| content.len() as u64)
        }
    }
}

/// A message of any length that is allowed, as far as it was sent, in a buffer that grows by doubling; answers until no more
/// is read; and what a subscriber pins that does not read at once, which it may be as well.
fn raw_bytes(plan: &Plan, raw: &RawClient, batch: u64) -> u64 {
    let sent: u64 = raw.plan.pieces.iter().map(|piece| piece.len() as u64).sum();
    let config = &plan.config;
    let unfinished = match raw.listener {
        Listener::Rtmp => {
            let message_max = u64::from(config.rtmp.max_message_bytes);
            // What it publishes is held, too.
            let held = 2 * sent.min(config.live.ring_bytes as u64);
            2 * sent.min(message_max) + held + FIRST_RESERVE_BYTES
        }
        Listener::Http => 2 * sent.min(config.http.max_head_bytes as u64),
    };
    let answers = (16 * sent).min(config.live.in_flight_bytes as u64 + RUN_BYTES);
    let is_behind = raw.plan.read_from_ms > raw.plan.start_ms;
    CONNECTION_BYTES + unfinished + answers + if is_behind { batch } else { 0 }
}
