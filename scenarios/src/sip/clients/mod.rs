//! Clients of the RTMP application `sip`, and the phones that they talk to.

mod calls;
mod ends;
mod holds;
mod nothing;
mod registered;

pub use calls::{CLIENT_CALLED, CLIENT_CALLS};
pub use ends::{CLIENT_CUT, CLIENT_OUTLIVES, CLIENT_SHUTDOWN};
pub use holds::CLIENT_HOLDS;
pub use nothing::{CLIENT_GIVES_UP, CLIENT_REFUSES};
pub use registered::{CLIENT_REGISTRATION, CLIENT_REPLACED};

use rehearsal_sim::{
    LinkConfig,
    clients::{
        phone::{Answer, Called, Codec, PhonePlan, Proof, Registrar, Reply, Voice},
        sip_client::{Callback, Command, Order, SipClientPlan, SipClientReport},
    },
};

use crate::{live::unless, oracles::Violation, plan::Plan};

/// What proves who a client is.
const PASSWORD: &str = "sesame";

/// Who calls as `user@domain` and is called as nobody, from the begin to `leave_ms`.
pub(crate) fn client(user: &str, domain: &str, leave_ms: u64) -> SipClientPlan {
    SipClientPlan {
        address: format!("{user}@{domain}"),
        codecs: vec![Codec::Pcmu],
        voice: Some(Voice { stream: format!("{user}/local"), epoch: 1 }),
        listens: Some(format!("{user}/remote")),
        leave_ms,
        ..SipClientPlan::default()
    }
}

/// The same, registered with the exchange on the host of its domain.
pub(crate) fn registered(user: &str, domain: &str, leave_ms: u64) -> SipClientPlan {
    SipClientPlan { password: Some(PASSWORD.to_owned()), ..client(user, domain, leave_ms) }
}

/// What a client wants at `at_ms`.
pub(crate) fn order(at_ms: u64, command: Command) -> Order {
    Order { at_ms, command }
}

/// To call who waits on `host`.
pub(crate) fn invite(host: &str) -> Command {
    Command::Invite(format!("sip:{host}@{host}"))
}

/// Somebody whom `user` calls, and who says something that it hears; he waits for the other end to hang up.
pub(crate) fn called_by(user: &str, epoch: u32, host: &str, reply: Reply) -> PhonePlan {
    let voice = Some(Voice { stream: format!("{user}/remote"), epoch });
    PhonePlan { voice, talk_ms: None, ..super::callee(host, vec![reply]) }
}

/// The exchange on `host` where `user` registers. It takes no calls.
pub(crate) fn exchange(user: &str, host: &str, epoch: u32) -> PhonePlan {
    let nobody = Reply { rings_ms: None, after_ms: 0, answer: Answer::Refuse(404) };
    let (name, password) = (user.to_owned(), PASSWORD.to_owned());
    let proof = Proof { status: 401, user: name, password, requests_per_nonce: 3 };
    PhonePlan {
        called: Some(Called {
            replies: vec![nobody],
            proof: Some(proof),
            registrar: Some(Registrar { expires_s: 180, min_expires_s: 0, refuses_ms: None }),
            away_ms: Vec::new(),
        }),
        ..called_by(user, epoch, host, nobody)
    }
}

/// Adds who is called, on a host of his name.
fn add(plan: &mut Plan, link: LinkConfig, phone: PhonePlan) {
    let host = phone.dial.clone();
    plan.phone(&host, link, phone);
}

/// Names of what the client was told, in order.
fn told(report: &SipClientReport) -> Vec<String> {
    let names = report.callbacks.iter().map(|(_, callback)| match callback {
        Callback::Invited(..) => "invited".to_owned(),
        Callback::Cancelled(..) => "cancelled".to_owned(),
        Callback::Ringing(words) => format!("ringing {}", status_of(words)),
        Callback::Accepted(audio) => format!("accepted {}", audio.as_deref().unwrap_or("nothing")),
        Callback::Rejected(words) => format!("rejected {}", status_of(words)),
        Callback::Byed => "byed".to_owned(),
        Callback::Holded(is_held) => format!("holded {is_held}"),
        Callback::Dtmf(digit) => format!("dtmf {digit}"),
        Callback::RegistrationLost(words) => format!("lost {}", status_of(words)),
        Callback::Registered => "registered".to_owned(),
    });
    names.collect()
}

fn status_of(words: &str) -> &str {
    words.split(' ').next().unwrap_or_default()
}

/// A violation unless the client on `host` was told just that.
fn is_told(host: &str, report: &SipClientReport, expected: &[&str]) -> Option<Violation> {
    let told = told(report);
    unless(told == expected, || format!("{host} was told {told:?}, not {expected:?}"))
}

/// Violations unless each of its commands was carried out, but for so many that were not.
fn are_done(host: &str, report: &SipClientReport, refused: usize) -> Option<Violation> {
    let of = |is_done: bool| {
        let is_it = |it: &&rehearsal_sim::clients::sip_client::Ordered| {
            it.answered.as_ref().is_some_and(|(_, answer)| answer.is_ok() == is_done)
        };
        report.ordered.iter().filter(is_it).count()
    };
    let is_right = of(false) == refused && of(true) + refused == report.ordered.len();
    unless(is_right, || format!("{host} wanted {:?}", report.ordered))
}
