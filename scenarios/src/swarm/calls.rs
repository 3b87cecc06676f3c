//! Calls: phones that call numbers of their own or the same, phones that are called, and what befalls them, their messages and
//! their lines. Other than the rest of the swarm it has clients of RTMP only as far as calls need them.
//!
//! Whatever is drawn is allowed; what oracles cannot hold anybody to follows from the plan: those whose hosts a fault befalls for
//! good are faulty.

use std::net::{IpAddr, Ipv4Addr};

use rehearsal_core::{
    config::{Password, User},
    rtp::source::Follow,
};
use rehearsal_sim::{
    Direction, GilbertElliott, LinkConfig, Rng,
    clients::{
        phone::{
            self, Act, Answer, Cancel, Change, Close, Codec, Deed, Dialled, Fault, MessageFault,
            Numbering, OverTcp, PhonePlan, Registers, Reply, Session, Video, Voice, Way,
        },
        rtmp_player::PlayPlan,
    },
};

use super::{moments::delay_ms, user_agents};
use crate::{
    catalogue::Scenario,
    fault::Lever,
    plan::{Plan, Protocol, VANISHED_CALM_MS, VANISHED_LOSSY_CALM_MS},
    sip::{
        LINGER_MS, any_way, call, call_by_name, call_out, callee, calm_ms, publish_on,
        video::{video, with_pictures},
    },
};

/// At most so many phones call, and are called.
const PHONES: u64 = 8;
const CALLEES: u64 = 3;
/// And so many register, and may be called by their names.
const REGISTERED: u64 = 2;
/// At most so many digits are dialled in a call.
const DIGITS: u64 = 4;
/// Streams that phones can hear.
const STREAMS: u64 = 2;
/// Whoever comes does so within this time.
const BUSY_MS: u64 = 12_000;
/// Longest call that a phone means to make.
const TALK_MS_MAX: u64 = 30_000;
/// Who hears calls is there from the begin to the end of the last.
const LEAVE_MS: u64 = BUSY_MS + TALK_MS_MAX + 10_000;

/// A connection over TCP on which nothing comes for so long is closed: longer than a session, and over before the end.
const TCP_IDLE_MS: u64 = 130_000;

/// Calls of every kind.
pub const CALLS: Scenario = Scenario {
    name: "swarm/calls",
    about: "a seed draws phones and user agents over RTMP that call and are called, what they do in their calls, and what befalls them",
    parity: false,
    heavy: false,
    plan: draw,
    check: |_| Vec::new(),
};

/// What a plan has.
struct Features {
    /// Numbers that are called.
    numbers: u64,
    far: bool,
    lossy: bool,
    uneven: bool,
    message_faults: bool,
    changes: bool,
    acts: bool,
    gives_up: bool,
    mute: bool,
    short: bool,
    glare: bool,
    digits: bool,
    passwords: bool,
    nats: bool,
    hosts: bool,
    gateway: bool,
    wall_clock: bool,
    speex: bool,
    video: bool,
    sessions: bool,
}

impl Features {
    fn draw(seed: u64) -> Self {
        let mut rng = Rng::named(seed, "scenario/swarm/calls/features");
        let numbers = rng.range(1..=PHONES);
        let mut has = |percent: u32| rng.chance_ppm(percent * 10_000);
        Self {
            numbers,
            far: has(40),
            lossy: has(35),
            uneven: has(20),
            message_faults: has(50),
            changes: has(60),
            acts: has(40),
            gives_up: has(40),
            mute: has(30),
            short: has(40),
            glare: has(30),
            hosts: has(25),
            gateway: has(20),
            digits: has(40),
            passwords: has(50),
            nats: has(30),
            wall_clock: has(20),
            speex: has(30),
            video: has(40),
            sessions: has(30),
        }
    }
}

fn draw(seed: u64) -> Plan {
    let features = Features::draw(seed);
    let of = |element: &str| Rng::named(seed, &format!("scenario/swarm/calls/{element}"));
    let mut plan = Plan::empty();
    configure(&mut plan, &features, &mut of("config"));
    for index in 0..STREAMS {
        let mut rng = of(&format!("publisher-{index}"));
        let codec = if rng.below(2) == 0 { Codec::Pcmu } else { Codec::Pcma };
        let media = &mut of(&format!("publisher-{index}/media"));
        let codec = spoken(media, &features, codec);
        let publish = publish_on(&format!("live/{index}"), rng.below(3_000), 20_000, codec);
        let publish = match features.video && media.below(2) == 0 {
            true => with_pictures(media, publish),
            false => publish,
        };
        plan.publisher(&format!("publisher-{index}"), LinkConfig::lan(), publish);
    }
    for index in 0..PHONES {
        let host = format!("phone-{index}");
        let mut rng = of(&host);
        let link = link(&mut rng, &features);
        let phone = caller(&mut rng, &features, index);
        let phone = media(&mut of(&format!("{host}/media")), &features, phone);
        let phone = session(&mut of(&format!("{host}/session")), &features, phone);
        if rng.below(3) > 0 || index == 0 {
            plan.phone(&host, link, phone);
        }
    }
    for index in 0..CALLEES {
        let host = format!("callee-{index}");
        let mut rng = of(&host);
        let link = link(&mut rng, &features);
        let phone = called(&mut rng, &features, &host);
        let phone = media(&mut of(&format!("{host}/media")), &features, phone);
        let phone = session(&mut of(&format!("{host}/session")), &features, phone);
        if rng.below(2) == 0 {
            call_out(&mut plan, link, phone);
        }
    }
    for index in 0..REGISTERED {
        let user = format!("registered-{index}");
        let mut rng = of(&user);
        let link = link(&mut rng, &features);
        let phone = registered(&mut rng, &features, &user);
        let redial_ms = (rng.below(2) == 0).then(|| rng.range(1_000..=60_000));
        if rng.below(2) == 0 {
            plan.phone(&user, link, phone);
            call_by_name(&mut plan, &user).redial_ms = redial_ms;
        }
    }
    if features.passwords {
        users(&mut plan);
    }
    hear(&mut plan);
    strike(&mut plan, &features, &mut of("strikes"));
    over_tcp(&mut plan, &features, seed);
    plan.terms.slack_ms = if features.lossy { 1_000 } else { 0 };
    // A phone that has nothing to say may be gone for as long as a session lasts.
    plan.terms.calm_ms += calm_ms(&plan.config) + plan.config.sip.session_expires_ms + 40_000;
    // As long as a connection to one who has vanished, and then what is left of it.
    if plan.phones.iter().any(|phone| phone.plan.tcp.is_some()) {
        let vanished_ms = if features.lossy { VANISHED_LOSSY_CALM_MS } else { VANISHED_CALM_MS };
        plan.terms.calm_ms = plan.terms.calm_ms.max(TCP_IDLE_MS + vanished_ms);
    }
    user_agents::draw(&mut plan, seed);
    plan
}

fn configure(plan: &mut Plan, features: &Features, rng: &mut Rng) {
    let (rtp, sip) = (&mut plan.config.rtp, &mut plan.config.sip);
    rtp.follow =
        [Follow::Nobody, Follow::SameIp, Follow::SameIp, Follow::Anyone][rng.below(4) as usize];
    rtp.silence_ms = if features.short { rng.range(3_000..=8_000) } else { 30_000 };
    sip.ring_ms = rng.range(2_000..=20_000);
    sip.session_expires_ms = 120_000;
    if features.glare {
        sip.session_expires_ms = 40_000;
        sip.session_expires_min_ms = 20_000;
    }
}

/// A line, which may be far, lose packets alone or in bursts, or deliver them unevenly.
fn link(rng: &mut Rng, features: &Features) -> LinkConfig {
    let (kind, delay_ms) = (rng.below(6), delay_ms(rng));
    let loss_ppm = [5_000, 50_000, 200_000][rng.below(3) as usize];
    let (is_burst, jitter_ms, is_mixed) = (rng.below(2) == 0, rng.below(40), rng.below(2) == 0);
    let near = if kind < 3 { LinkConfig::lan() } else { LinkConfig::dsl() };
    match kind {
        1 | 2 if features.far => near.with_delay_ms(delay_ms),
        3 | 4 if features.lossy => near.with(|direction: &mut Direction| {
            let bursts = GilbertElliott {
                to_bad_ppm: loss_ppm / 2,
                to_good_ppm: 250_000,
                good_loss_ppm: 0,
                bad_loss_ppm: 500_000,
            };
            direction.loss_ppm = if is_burst { 0 } else { loss_ppm };
            direction.burst_loss = is_burst.then_some(bursts);
        }),
        5 if features.uneven => near.with(|direction: &mut Direction| {
            direction.jitter_ns = jitter_ms * 1_000_000;
            direction.reorder_ppm = if is_mixed { 50_000 } else { 0 };
            direction.reorder_ns = 2 * jitter_ms * 1_000_000;
        }),
        _ => near,
    }
}

/// Somebody who calls a number, or hears a stream.
fn caller(rng: &mut Rng, features: &Features, index: u64) -> PhonePlan {
    let start_ms = rng.below(BUSY_MS);
    let talk_ms = rng.range(200..=if features.glare { TALK_MS_MAX } else { 12_000 });
    let (number, stream) = (rng.below(features.numbers), rng.below(STREAMS));
    let epoch = index as u32 + 1;
    let (dial, stream) = match rng.below(3) {
        0 => (format!("play-{stream}"), format!("live/{stream}")),
        _ => (format!("talk-{number}"), format!("call/talk-{number}")),
    };
    let numbering = Numbering {
        cseq: [1, (1 << 31) - 20][rng.below(2) as usize],
        sequence: 0_u16.wrapping_sub(rng.below(200) as u16),
        timestamp: 0_u32.wrapping_sub(rng.below(40_000) as u32),
    };
    let cancel = Cancel { after_ms: rng.below(1_500), hasty: rng.below(2) == 0 };
    let (gives_up, is_numbered) = (rng.below(4) == 0, rng.below(3) == 0);
    let phone = PhonePlan {
        dial,
        voice: Some(Voice { stream, epoch }),
        numbering: is_numbered.then_some(numbering),
        cancel: (features.gives_up && gives_up).then_some(cancel),
        leave_ms: start_ms + talk_ms + LINGER_MS + 40_000,
        ..call(start_ms, talk_ms)
    };
    in_call(rng, features, phone)
}

/// The codec of somebody who publishes, or `codec`.
fn spoken(rng: &mut Rng, features: &Features, codec: Codec) -> Codec {
    let own = [codec, Codec::Narrowband, Codec::Wideband][rng.below(3) as usize];
    if features.speex { own } else { codec }
}

/// The same phone with Speex, and with pictures.
fn media(rng: &mut Rng, features: &Features, phone: PhonePlan) -> PhonePlan {
    use Codec::{Narrowband, Pcma, Pcmu, Wideband};
    let lists =
        [vec![Narrowband], vec![Wideband], vec![Narrowband, Wideband, Pcma], vec![Pcmu, Wideband]];
    let (speaks, codecs) = (rng.below(2) == 0, lists[rng.below(4) as usize].clone());
    let codecs = if features.speex && speaks { codecs } else { phone.codecs.clone() };
    // Sets that are told only once may be lost, or left out while a call changes.
    let is_befallen = features.hosts || features.gateway || features.changes;
    let is_sure = !(features.lossy || features.uneven || is_befallen);
    let (has_video, shown) = (rng.below(3) > 0, video(rng, !is_sure));
    let watches = phone.dial.starts_with("play-");
    let mut asks_ms: Vec<u64> = (0..rng.below(3)).map(|_| rng.range(500..=8_000)).collect();
    asks_ms.sort_unstable();
    let shows = shown.shows.clone().filter(|_| !watches && phone.voice.is_some());
    let whole_units = shows.is_none() && rng.below(3) == 0;
    let pictures = Video { shows, asks_ms, whole_units, ..shown };
    PhonePlan { video: (features.video && has_video).then_some(pictures), codecs, ..phone }
}

/// The same phone, with session timers of its own: shorter and longer ones than the gateway's.
fn session(rng: &mut Rng, features: &Features, phone: PhonePlan) -> PhonePlan {
    let interval_s = rng.range(5..=60) as u32;
    let least_s = rng.range(5..=u64::from(interval_s)) as u32;
    let [has_session, refreshes] = [(); 2].map(|()| rng.below(2) == 0);
    let session = Session { interval_s, least_s, refreshes, refreshes_max: None };
    PhonePlan { session: (features.sessions && has_session).then_some(session), ..phone }
}

/// Somebody who is called.
fn called(rng: &mut Rng, features: &Features, host: &str) -> PhonePlan {
    let rings_ms = (rng.below(3) > 0).then(|| rng.below(1_000));
    let after_ms = rng.range(10..=6_000);
    let status = [302, 404, 480, 486, 503, 603][rng.below(6) as usize];
    let answers = [
        Answer::Accept,
        Answer::Accept,
        Answer::Accept,
        Answer::AcceptLate,
        Answer::Fork,
        Answer::Never,
        Answer::Refuse(status),
    ];
    let answer = answers[rng.below(answers.len() as u64) as usize];
    let talk_ms = rng.range(200..=12_000);
    let phone = PhonePlan {
        talk_ms: Some(talk_ms),
        leave_ms: LEAVE_MS + LINGER_MS + 40_000,
        speaks_early: rng.below(3) == 0,
        ..callee(host, vec![Reply { rings_ms, after_ms, answer }])
    };
    in_call(rng, features, phone)
}

/// Somebody who registers, and is called by his name.
fn registered(rng: &mut Rng, features: &Features, user: &str) -> PhonePlan {
    let phone = called(rng, features, user);
    let start_ms = rng.below(BUSY_MS);
    let leaves_ms = start_ms + rng.range(500..=LEAVE_MS);
    let password = ["sesame", "sesame", "other"][rng.below(3) as usize].to_owned();
    let registers = Registers {
        user: user.to_owned(),
        password: features.passwords.then_some(password),
        expires_s: [5, 60, 120][rng.below(3) as usize],
        margin_s: [None, Some(1), Some(30)][rng.below(3) as usize],
        retry_ms: (rng.below(2) == 0).then(|| rng.range(500..=20_000)),
        leaves_ms: (rng.below(3) > 0).then_some(leaves_ms),
        takes_all_back: false,
        errs_ms: None,
        knows_sha256: false,
        others: if rng.below(3) == 0 { vec![format!("sip:{user}@other.invalid")] } else { vec![] },
    };
    // Who registers is known to be behind a NAT; of another one nobody can tell, unless its address says so by itself.
    let private = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
    let says_ip = if rng.below(2) == 0 { Some(private) } else { phone.says_ip };
    let says_ip = says_ip.filter(|_| features.nats);
    PhonePlan { start_ms, registers: Some(registers), says_ip, ..phone }
}

/// Only those who register may do so, and only if they know this password.
fn users(plan: &mut Plan) {
    let named = plan.phones.iter().filter_map(|phone| phone.plan.registers.as_ref());
    let user = |registers: &Registers| User {
        name: registers.user.clone(),
        password: Password("sesame".to_owned()),
    };
    plan.config.sip.users = named.map(user).collect();
}

/// Some of the phones speak SIP over TCP, and lose connections, but no messages. Their draws move no others.
fn over_tcp(plan: &mut Plan, features: &Features, seed: u64) {
    if !Rng::named(seed, "scenario/swarm/calls/tcp").chance_ppm(400_000) {
        return;
    }
    // Who vanishes leaves its connection.
    plan.config.sip.idle_ms = TCP_IDLE_MS;
    // Part of a message may be lost, again and again.
    if features.lossy {
        plan.config.sip.message_ms = 64 * plan.config.sip.t1_ms;
    }
    let mut resets = Vec::new();
    for phone in &mut plan.phones {
        let mut rng = Rng::named(seed, &format!("scenario/swarm/calls/tcp/{}", phone.host));
        let mut tcp = OverTcp { is_hidden: rng.below(3) == 0, ..any_way(&mut rng) };
        let close = |rng: &mut Rng| Close {
            way: if rng.below(2) == 0 { Way::Sent } else { Way::Received },
            index: rng.below(8) as u32,
            is_behind: rng.below(2) == 0,
        };
        let closes: Vec<Close> = (0..rng.below(3)).map(|_| close(&mut rng)).collect();
        let (at_ms, is_reset, is_it) = (rng.below(BUSY_MS), rng.below(4) == 0, rng.below(2) == 0);
        // Nobody could call it.
        tcp.is_hidden &= phone.plan.called.is_none() || phone.plan.registers.is_some();
        tcp.closes = if features.message_faults { closes } else { Vec::new() };
        if !is_it {
            continue;
        }
        if is_reset && features.message_faults {
            resets.push((at_ms, phone.host.clone()));
        }
        let was = phone.address();
        phone.plan.message_faults = Vec::new();
        phone.plan.tcp = Some(tcp);
        let own = plan.config.sip.calls.iter_mut().filter(|call| call.to == was);
        own.for_each(|call| call.to = phone.address());
    }
    for (at_ms, host) in resets {
        plan.fault(at_ms, &host, Lever::ResetConnections);
    }
}

/// What a phone does in its call, and what befalls its messages.
fn in_call(rng: &mut Rng, features: &Features, phone: PhonePlan) -> PhonePlan {
    use phone::Direction;
    let talk_ms = phone.talk_ms.unwrap_or(TALK_MS_MAX);
    let directions =
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    let direction = |rng: &mut Rng| directions[rng.below(4) as usize];
    // Around the time at which the gateway refreshes the call, too.
    let change = |rng: &mut Rng| {
        let refresh_ms = 20_000_u64.saturating_sub(rng.below(100));
        let any_ms = rng.below(talk_ms);
        let at_ms = if features.glare && rng.below(2) == 0 { refresh_ms } else { any_ms };
        Change { at_ms, direction: direction(rng) }
    };
    let act = |rng: &mut Rng| {
        let deed = [Deed::NewSource, Deed::Move, Deed::Rebind][rng.below(3) as usize];
        Act { at_ms: rng.below(talk_ms), deed }
    };
    let fault = |rng: &mut Rng| {
        let way = if rng.below(2) == 0 { Way::Sent } else { Way::Received };
        let fault = [Fault::Drop, Fault::Duplicate, Fault::DelayPastNext][rng.below(3) as usize];
        MessageFault { way, index: rng.below(8) as u32, fault }
    };
    let mut changes: Vec<Change> = (0..rng.below(4)).map(|_| change(rng)).collect();
    changes.sort_by_key(|change| change.at_ms);
    let mut acts: Vec<Act> = (0..rng.below(3)).map(|_| act(rng)).collect();
    acts.sort_by_key(|act| act.at_ms);
    let message_faults: Vec<MessageFault> = (0..rng.below(3)).map(|_| fault(rng)).collect();
    let dialled = |rng: &mut Rng| Dialled {
        at_ms: rng.below(talk_ms),
        digit: char::from(b"0123456789*#ABCD"[rng.below(16) as usize]),
        lost: if rng.below(3) == 0 { rng.below(64) as u8 } else { 0 },
    };
    let mut digits: Vec<Dialled> = (0..rng.below(DIGITS + 1)).map(|_| dialled(rng)).collect();
    digits.sort_by_key(|dialled| dialled.at_ms);
    let dials_by_info = rng.below(2) == 0;
    let private = Ipv4Addr::new(if phone.called.is_some() { 127 } else { 192 }, 168, 1, 7);
    let hidden = [private, Ipv4Addr::LOCALHOST];
    let says_ip = (rng.below(2) == 0).then(|| IpAddr::V4(hidden[rng.below(2) as usize]));
    let (asks, is_mute, asks_less) = (direction(rng), rng.below(4) == 0, rng.below(5) == 0);
    PhonePlan {
        direction: if features.changes && asks_less { asks } else { Direction::SendRecv },
        voice: phone.voice.clone().filter(|_| !(features.mute && is_mute)),
        changes: if features.changes { changes } else { Vec::new() },
        acts: if features.acts { acts } else { Vec::new() },
        message_faults: if features.message_faults { message_faults } else { Vec::new() },
        digits: if features.digits { digits } else { Vec::new() },
        dials_by_info: features.digits && dials_by_info,
        says_ip: says_ip.filter(|_| features.nats),
        ..phone
    }
}

/// Everything that is said has somebody who hears it.
fn hear(plan: &mut Plan) {
    let voices = plan.phones.iter().filter_map(|phone| phone.plan.voice.as_ref());
    let mut streams: Vec<String> = voices.map(|voice| voice.stream.clone()).collect();
    streams.retain(|stream| stream.starts_with("call/"));
    streams.sort();
    streams.dedup();
    for (stream, index) in streams.into_iter().zip(0..) {
        let play = PlayPlan { stream, start_ms: 0, leave_ms: LEAVE_MS, stall: None, pause: None };
        plan.player(&format!("player-{index}"), LinkConfig::lan(), Protocol::Rtmp, play);
    }
}

/// Faults of some phones, and of the gateway.
fn strike(plan: &mut Plan, features: &Features, rng: &mut Rng) {
    let hosts: Vec<String> = plan.phones.iter().map(|phone| phone.host.clone()).collect();
    let host = &hosts[rng.below(hosts.len() as u64) as usize];
    let at_ms = 1_000 + rng.below(BUSY_MS);
    let (kind, for_ms) = (rng.below(4), rng.range(100..=5_000));
    if features.hosts {
        match kind {
            0 => plan.fault(at_ms, host, Lever::BlackHole(true)),
            1 => plan.fault(at_ms, host, Lever::Crash),
            2 => {
                plan.fault(at_ms, host, Lever::Frozen(true));
                plan.fault(at_ms + for_ms, host, Lever::Frozen(false));
            }
            _ => {
                plan.fault(0, host, Lever::RebindNat);
                plan.fault(at_ms, host, Lever::RebindNat);
            }
        }
        plan.terms.faulty.push(host.clone());
    }
    let (at_ms, for_ms) = (2_000 + rng.below(BUSY_MS), rng.range(100..=8_000));
    let is_crash = rng.below(2) == 0;
    if features.gateway {
        let shutdown_ms = plan.config.limits.shutdown_ms;
        let (lever, back_ms) = match is_crash {
            true => (Lever::Crash, at_ms + for_ms),
            false => (Lever::ShutDown, at_ms + shutdown_ms + for_ms),
        };
        plan.fault(at_ms, "gateway", lever);
        plan.fault(back_ms, "gateway", Lever::Restart);
    }
    let (at_ms, step_ms) = (500 + rng.below(BUSY_MS), rng.range(1_000..=3_600_000) as i64);
    if features.wall_clock {
        plan.fault(at_ms, "gateway", Lever::StepWallClock(step_ms));
        plan.fault(at_ms + for_ms, "gateway", Lever::StepWallClock(-2 * step_ms));
    }
}
