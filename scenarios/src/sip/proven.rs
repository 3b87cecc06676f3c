//! Who may register at the gateway, and how much: passwords that are right, wrong and missing, floods of them, and what there is
//! no room for.

use rehearsal_core::config::{Password, User};
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{PhonePlan, Registers},
        stranger::{StrangerPlan, Target},
    },
};

use super::{
    CALLED, ends, hear, hear_on,
    registered::{BUSY, TAKES, call_by_name, heard_whole, of, registered, registers, was_told},
};
use crate::{catalogue::Scenario, live::unless, oracles::Violation, plan::Plan, run::Evidence};

/// What each user proves who it is with.
const PASSWORD: &str = "sesame";

/// Only those called `names` may register.
fn users(plan: &mut Plan, names: &[&str]) {
    let user =
        |name: &&str| User { name: (*name).to_owned(), password: Password(PASSWORD.to_owned()) };
    plan.config.sip.users = names.iter().map(user).collect();
}

/// Proves who it is with `password`.
fn proven(registers: Registers, password: &str) -> Registers {
    Registers { password: Some(password.to_owned()), ..registers }
}

/// When everybody leaves who has come.
const LEAVES_MS: u64 = 1_250_000;
/// How long one asks for that is longer than a nonce is good for.
const LONG_S: u32 = 600;

/// Two phones of one user, and those who would be another.
pub const REGISTRAR_PROOFS: Scenario = Scenario {
    name: "sip/registrar-proofs",
    about: "phones prove who they are, by nonces that grow old; nobody registers who cannot, and whoever asks for too little is told so",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        users(&mut plan, &["pair", "alone", "talk"]);
        plan.config.sip.digest_sha256 = rng.below(2) == 0;
        let mut start = || rng.below(2_000);
        let long = Registers {
            expires_s: LONG_S,
            margin_s: Some(30),
            ..proven(registers("pair", LEAVES_MS), PASSWORD)
        };
        // Whose nonces make those of the other one old.
        let also = Registers { expires_s: 240, leaves_ms: Some(LEAVES_MS + 5_000), ..long.clone() };
        // And one whose nonces nobody else makes old.
        let alone = Registers { user: "alone".to_owned(), ..long.clone() };
        let brief = Registers { expires_s: 5, ..proven(registers("talk", 50_000), PASSWORD) };
        let wrong = Registers {
            retry_ms: Some(20_000),
            leaves_ms: None,
            ..proven(registers("talk", 0), "other")
        };
        let without = Registers { password: None, ..wrong.clone() };
        for (host, registers, reply) in [
            ("long", long, BUSY),
            ("also", also, BUSY),
            ("alone", alone, BUSY),
            ("brief", brief, TAKES),
            ("wrong", wrong, TAKES),
            ("without", without, TAKES),
        ] {
            let mut phone = PhonePlan { start_ms: start(), ..registered(registers, vec![reply]) };
            // Only one is whom the stream is of.
            phone.voice = phone.voice.filter(|_| host == "brief");
            plan.phone(host, LinkConfig::lan(), phone);
        }
        call_by_name(&mut plan, "talk");
        hear(&mut plan, 60_000);
        plan
    },
    check: |evidence| {
        let granted = |granted_s| (Some(200), Some(granted_s));
        let gone = (Some(200), None);
        let long = granted(LONG_S);
        let told = [
            was_told(evidence, "long", &[long, long, long, gone]),
            was_told(evidence, "alone", &[long, long, long, gone]),
            was_told(evidence, "also", &[&[granted(240); 6][..], &[gone]].concat()),
            was_told(evidence, "brief", &[(Some(423), None), granted(60), gone]),
            was_told(evidence, "wrong", &[(Some(401), None); 7]),
            was_told(evidence, "without", &[(Some(401), None); 7]),
        ];
        let stale = ["long", "alone"].map(|host| {
            let stale = of(evidence, host).registrations.iter().map(|it| it.stale);
            let stale: Vec<u32> = stale.collect();
            unless(stale == [0, 1, 1, 0], || {
                format!("nonces of {host} were too old {stale:?} times")
            })
        });
        let (said, has) = (of(evidence, "brief").spoken.len(), evidence.players[0].received.len());
        let whole = unless(said >= 290 && said == has, || {
            format!("brief said {said} packets, {CALLED} had {has}")
        });
        let over = ends("brief", of(evidence, "brief"), &["hung up"]);
        told.into_iter().chain(stale).chain([whole, over]).flatten().collect()
    },
};

/// Phones that know different algorithms.
pub const REGISTRAR_ALGORITHMS: Scenario = Scenario {
    name: "sip/registrar-algorithms",
    about: "who knows SHA-256 proves who he is by it, where the gateway asks for it first; who knows MD5 alone does so by that; both are called then",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        users(&mut plan, &["strong", "weak", "wrong"]);
        plan.config.sip.digest_sha256 = true;
        for (host, knows_sha256, password) in
            [("strong", true, PASSWORD), ("weak", false, PASSWORD), ("wrong", true, "other")]
        {
            let registers = proven(registers(host, 70_000), password);
            let registers = Registers { knows_sha256, ..registers };
            let start_ms = rng.below(1_000);
            let phone = PhonePlan { start_ms, ..registered(registers, vec![TAKES]) };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        for host in ["strong", "weak"] {
            call_by_name(&mut plan, host);
            hear_on(&mut plan, &format!("call/{host}"), 20_000);
        }
        plan
    },
    check: |evidence| {
        let (granted, gone) = ((Some(200), Some(60)), (Some(200), None));
        let told = [
            was_told(evidence, "strong", &[granted, granted, gone]),
            was_told(evidence, "weak", &[granted, granted, gone]),
            was_told(evidence, "wrong", &[(Some(401), None); 2]),
        ];
        let cases = [("strong", "SHA-256"), ("weak", "MD5"), ("wrong", "SHA-256")];
        let by = cases.map(|(host, algorithm)| proven_by(evidence, host, algorithm));
        let heard = ["strong", "weak"].map(|host| heard_whole(evidence, host));
        told.into_iter().chain(by).chain(heard).flatten().collect()
    },
};

/// Whoever is on `host` was asked for SHA-256 first and for MD5 then, and has proven it by `algorithm`, each time once more.
fn proven_by(evidence: &Evidence, host: &str, algorithm: &str) -> Option<Violation> {
    let signals = of(evidence, host).signals.iter();
    let texts: Vec<String> =
        signals.map(|it| String::from_utf8_lossy(&it.raw).into_owned()).collect();
    let asks = texts.iter().filter(|text| text.starts_with("SIP/2.0 401"));
    let in_order = |text: &String| {
        let [strong, weak] = ["algorithm=SHA-256", "algorithm=MD5"].map(|it| text.find(it));
        strong.is_some() && strong < weak && text.matches("qop=\"auth\"").count() == 2
    };
    let is_asked = asks.clone().count() > 0 && asks.clone().all(in_order);
    let mut proofs = texts.iter().filter(|text| text.contains("\r\nAuthorization: "));
    let is_proven = proofs.clone().count() > 0
        && proofs
            .all(|text| text.contains(&format!("algorithm={algorithm}, qop=auth, nc=0000000")));
    unless(is_asked && is_proven, || {
        format!("{host} was asked in order: {is_asked}, and proved it by {algorithm}: {is_proven}")
    })
}

/// Contacts of one user that there is room for.
const OF_USER_MAX: usize = 10;
/// All that there is room for: two besides.
const BINDINGS_MAX: usize = OF_USER_MAX + 2;
/// Requests of each who guesses.
const GUESSES: usize = 1_000;

/// Contacts of `user` besides its phone.
fn others(user: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("sip:{user}@other-{index}.invalid")).collect()
}

/// A request with a password that was guessed, of a nonce that was made up; or one without.
fn guess(rng: &mut Rng, host: &str, index: usize) -> Vec<u8> {
    let number = rng.below(1 << 32);
    let proof = format!(
        "Authorization: Digest username=\"talk\", realm=\"rehearsal\", nonce=\"{number:016x}{number:032x}\", \
         uri=\"sip:gateway\", response=\"{number:032x}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"1\"\r\n"
    );
    let proof = if rng.below(4) == 0 { String::new() } else { proof };
    let text = format!(
        "REGISTER sip:gateway SIP/2.0\r\nVia: SIP/2.0/UDP {host}.invalid;branch=z9hG4bK{host}{index};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:talk@gateway>;tag={index}\r\nTo: <sip:talk@gateway>\r\n\
         Call-ID: {host}{index}\r\nCSeq: 1 REGISTER\r\nContact: <sip:talk@{host}.invalid>\r\nExpires: 600\r\n\
         {proof}Content-Length: 0\r\n\r\n"
    );
    text.into_bytes()
}

/// Guesses in great numbers, more phones than there is room for, and one whom the gateway calls.
pub const REGISTER_FLOOD: Scenario = Scenario {
    name: "sip/register-flood",
    about: "passwords are guessed in floods, and more is registered than there is room for: who has come stays, and is called",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        users(&mut plan, &["talk", "full", "greedy", "leaves", "waits"]);
        plan.config.sip.max_bindings = BINDINGS_MAX;
        let proven = |user: &str, leaves_ms| proven(registers(user, leaves_ms), PASSWORD);
        let full = Registers { others: others("full", OF_USER_MAX - 1), ..proven("full", 70_000) };
        let greedy =
            Registers { others: others("greedy", OF_USER_MAX), ..proven("greedy", 70_000) };
        // There is room for it when another has left.
        let waits = Registers { retry_ms: Some(10_000), ..proven("waits", 70_000) };
        for (host, start_ms, registers, replies) in [
            ("greedy", 0, greedy, vec![BUSY]),
            ("full", 200, full, vec![BUSY]),
            ("talk", 400, proven("talk", 70_000), vec![BUSY, TAKES]),
            ("leaves", 600, proven("leaves", 25_000), vec![BUSY]),
            ("waits", 800, waits, vec![BUSY]),
        ] {
            let start_ms = start_ms + rng.below(150);
            let phone = PhonePlan { start_ms, ..registered(registers, replies) };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        call_by_name(&mut plan, "talk").redial_ms = Some(3_000);
        for host in ["guesses", "tries"] {
            let mut rng = Rng::named(seed, &format!("scenario/sip/{host}"));
            let datagrams = (0..GUESSES).map(|index| guess(&mut rng, host, index)).collect();
            let flood = StrangerPlan {
                start_ms: 1_500 + rng.below(1_000),
                port: 0,
                target: Target::Sip,
                datagrams,
                every_us: 5_000,
                leave_ms: 60_000,
            };
            plan.stranger(host, LinkConfig::lan(), flood);
        }
        hear(&mut plan, 60_000);
        plan
    },
    check: |evidence| {
        let (granted, gone, no_room) =
            ((Some(200), Some(60)), (Some(200), None), (Some(503), None));
        let told = [
            was_told(evidence, "greedy", &[no_room, gone]),
            was_told(evidence, "full", &[granted, granted, gone]),
            was_told(evidence, "talk", &[granted, granted, gone]),
            was_told(evidence, "leaves", &[granted, gone]),
            was_told(evidence, "waits", &[no_room, no_room, no_room, granted, gone]),
        ];
        let (said, has) = (of(evidence, "talk").spoken.len(), evidence.players[0].received.len());
        let whole = unless(said >= 290 && said == has, || {
            format!("talk said {said} packets, {CALLED} had {has}")
        });
        let over = ends("talk", of(evidence, "talk"), &["hung up"]);
        told.into_iter().chain([whole, over]).flatten().chain(guessed(evidence)).collect()
    },
};

/// Nobody has guessed right, and everybody was answered.
fn guessed(evidence: &Evidence) -> Vec<Violation> {
    let strangers = evidence.plan.strangers.iter().zip(&evidence.strangers);
    let found = strangers.filter_map(|(stranger, report)| {
        let refused =
            report.received.iter().filter(|(.., bytes)| bytes.starts_with(b"SIP/2.0 401 "));
        let (refused, all) = (refused.count(), report.received.len());
        unless(refused == GUESSES && all == GUESSES, || {
            format!(
                "{} was told {all} times, {refused} times that it has to prove it",
                stranger.host
            )
        })
    });
    found.collect()
}
