//! A phone's side of its registration, without I/O: messages and time in, messages and what became of them out.
//!
//! One request is answered before the next goes out. A nonce is used again and again, and counted, until the gateway wants
//! another one.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rehearsal_core::sip::{
    fields::{CSeq, NameAddr},
    headers::HeaderName,
    message::{Fields, Message, Request, Response},
    method::Method,
    uri::{SipUri, Uri},
};

use super::{
    asking::Asking,
    call::{Names, Place},
    post::read,
    proof::{Challenge, Prover},
    registers::Registers,
    report::Registration,
};

/// All that anybody has registered as the user.
pub const ALL: &str = "*";

/// How often one request may be told that its nonce is stale.
const STALE_MAX: u32 = 2;

/// Who registers.
pub(super) struct Registering {
    plan: Registers,
    call_id: String,
    tag: String,
    branch: String,
    place: Place,
    /// Of the newest request, which names its branch as well.
    number: u32,
    prover: Option<Prover>,
    challenge: Option<Challenge>,
    round: Option<Round>,
    /// For how long is asked, in seconds: as planned, or what the gateway wants at least.
    expires_s: u32,
    next_at: Option<Duration>,
    leaves_at: Option<Duration>,
    errs_at: Option<Duration>,
    out: VecDeque<Bytes>,
    /// What came of it so far.
    pub(super) told: Vec<Registration>,
}

/// A request on its way, with those that it took before it.
struct Round {
    asking: Asking,
    asked_at: Duration,
    asked_s: u32,
    contacts: Vec<String>,
    /// It has a proof, and how often that was of a stale nonce.
    is_proven: bool,
    stale: u32,
}

impl Registering {
    /// Begins to register at `now`.
    pub(super) fn begin(plan: Registers, names: Names, place: Place, now: Duration) -> Self {
        let password = plan.password.clone();
        let prover = password.map(|password| Prover { user: plan.user.clone(), password });
        let mut registering = Self {
            call_id: names.call_id,
            tag: names.tag,
            branch: names.branch,
            place,
            number: 0,
            prover,
            challenge: None,
            round: None,
            expires_s: plan.expires_s,
            next_at: None,
            leaves_at: plan.leaves_ms.map(Duration::from_millis),
            errs_at: plan.errs_ms.map(Duration::from_millis),
            out: VecDeque::new(),
            told: Vec::new(),
            plan,
        };
        let contacts = registering.contacts();
        registering.ask(registering.expires_s, contacts, now);
        registering
    }

    /// What is to be sent next.
    pub(super) fn next_message(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Whether nothing more is to be done.
    pub(super) fn is_over(&self) -> bool {
        let waits = [self.next_at, self.leaves_at, self.errs_at];
        self.round.is_none() && waits.iter().all(Option::is_none)
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Duration> {
        match &self.round {
            // It is answered first.
            Some(round) => round.asking.next(),
            None => [self.next_at, self.leaves_at, self.errs_at].into_iter().flatten().min(),
        }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Duration) {
        if let Some(round) = &mut self.round {
            self.out.extend(round.asking.take_copy(now));
            if round.asking.has_given_up(now) {
                self.on_result(None, now);
            }
        }
        if self.round.is_some() {
            return;
        }
        if self.leaves_at.take_if(|at| *at <= now).is_some() {
            (self.next_at, self.errs_at) = (None, None);
            let all = vec![ALL.to_owned()];
            let contacts = if self.plan.takes_all_back { all } else { self.contacts() };
            self.ask(0, contacts, now);
        } else if self.errs_at.take_if(|at| *at <= now).is_some() {
            self.ask(self.expires_s, vec![ALL.to_owned()], now);
        } else if self.next_at.take_if(|at| *at <= now).is_some() {
            let contacts = self.contacts();
            self.ask(self.expires_s, contacts, now);
        }
    }

    fn ask(&mut self, asked_s: u32, contacts: Vec<String>, now: Duration) {
        let asking = self.send(asked_s, &contacts, now);
        let (asked_at, stale) = (now, 0);
        let is_proven = self.challenge.is_some();
        self.round = Some(Round { asking, asked_at, asked_s, contacts, is_proven, stale });
    }

    /// A REGISTER of `contacts` for so many seconds.
    fn send(&mut self, asked_s: u32, contacts: &[String], now: Duration) -> Asking {
        self.number += 1;
        let domain = Uri::Sip(SipUri::new(None, self.place.gateway));
        let address = Uri::Sip(SipUri::new(Some(&self.plan.user), self.place.gateway));
        let address = NameAddr::new(address);
        let branch = self.newest_branch();
        let cseq = CSeq { number: self.number, method: Method::Register };
        let mut request = Request::new(Method::Register, domain);
        for (name, value) in [
            (HeaderName::VIA, self.place.carrier.via(self.place.sip, &branch)),
            (HeaderName::MAX_FORWARDS, "70".to_owned()),
            (HeaderName::FROM, address.clone().with_tag(&self.tag).to_string()),
            (HeaderName::TO, address.to_string()),
            (HeaderName::CALL_ID, self.call_id.clone()),
            (HeaderName::CSEQ, cseq.to_string()),
            (HeaderName::EXPIRES, asked_s.to_string()),
        ] {
            request.headers.push(name, value);
        }
        for contact in contacts {
            let written = if contact == ALL { ALL.to_owned() } else { format!("<{contact}>") };
            request.headers.push(HeaderName::CONTACT, written);
        }
        if let (Some(prover), Some(challenge)) = (&self.prover, &mut self.challenge) {
            let proof = prover.prove(challenge, "REGISTER", &request.uri.to_string());
            request.headers.push(HeaderName::AUTHORIZATION, proof);
        }
        let asking = Asking::new(request, branch, self.place.carrier, now);
        self.out.push_back(asking.bytes());
        asking
    }

    /// Of its newest request.
    fn newest_branch(&self) -> String {
        format!("z9hG4bK{}-{}", self.branch, self.number)
    }

    /// Where it can be called: itself, and wherever else.
    fn contacts(&self) -> Vec<String> {
        let own = self.place.carrier.uri(&self.plan.user, self.place.sip).to_string();
        std::iter::once(own).chain(self.plan.others.iter().cloned()).collect()
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, datagram: &[u8], now: Duration) {
        let Some(Message::Response(response)) = read(datagram) else { return };
        let branch = response.top_via().and_then(|via| via.params.get("branch"));
        let Some(round) = &mut self.round else { return };
        if branch.as_ref() != Some(&round.asking.branch) {
            return;
        }
        match response.status {
            100..200 => round.asking.is_worked_on(),
            401 => self.on_challenge(&response, now),
            423 if round.asked_s > 0 => self.on_too_brief(&response, now),
            _ => self.on_result(Some(&response), now),
        }
    }

    /// A proof is wanted: it is given once, and again only if its nonce was too old.
    fn on_challenge(&mut self, response: &Response, now: Duration) {
        let mut offered = response.headers.all(&HeaderName::WWW_AUTHENTICATE);
        let challenge = offered.find_map(|value| Challenge::read(value, self.plan.knows_sha256));
        let (Some(round), Some(challenge)) = (self.round.take(), challenge) else { return };
        let may_prove = !round.is_proven || challenge.is_stale && round.stale < STALE_MAX;
        if self.prover.is_none() || !may_prove {
            self.challenge = None;
            self.round = Some(round);
            return self.on_result(Some(response), now);
        }
        let stale = round.stale + u32::from(round.is_proven);
        self.challenge = Some(challenge);
        let asking = self.send(round.asked_s, &round.contacts, now);
        self.round = Some(Round { asking, is_proven: true, stale, ..round });
    }

    fn on_too_brief(&mut self, response: &Response, now: Duration) {
        let least = response.headers.get(&HeaderName::MIN_EXPIRES);
        let least: Option<u32> = least.and_then(|least| least.trim().parse().ok());
        let asked_s = self.round.as_ref().map_or(0, |round| round.asked_s);
        self.on_result(Some(response), now);
        if let Some(least) = least.filter(|least| *least > asked_s) {
            self.expires_s = least;
            self.next_at = None;
            let contacts = self.contacts();
            self.ask(least, contacts, now);
        }
    }

    /// A connection is lost by which requests of these branches went: what is open goes by another one, and who was reached by it
    /// registers again.
    pub(super) fn on_lost(&mut self, asked: &[String], now: Duration) {
        match &mut self.round {
            Some(round) => self.out.extend(round.asking.on_lost(asked)),
            None => {
                let is_registered = self.told.last().is_some_and(|it| it.granted_s.is_some());
                if is_registered && asked.contains(&self.newest_branch()) {
                    self.next_at = Some(now);
                }
            }
        }
    }

    /// The request was answered finally, or never.
    fn on_result(&mut self, response: Option<&Response>, now: Duration) {
        let Some(round) = self.round.take() else { return };
        let Round { asking, asked_at, asked_s, contacts, stale, .. } = round;
        let listed = response.map(listed).unwrap_or_default();
        let own = self.contacts().swap_remove(0);
        let granted = listed.iter().find(|(uri, _)| *uri == own);
        let status = response.map(|response| response.status);
        let granted_s = granted.filter(|_| status == Some(200)).map(|(_, granted_s)| *granted_s);
        let after = |wait| now + wait;
        self.next_at = match (granted_s, status) {
            _ if asked_s == 0 => None,
            // What means nothing changes nothing.
            _ if contacts == [ALL] => self.next_at,
            (Some(granted_s), _) => self.plan.margin_s.map(|margin_s| {
                after(Duration::from_secs(granted_s.saturating_sub(margin_s).max(1).into()))
            }),
            (None, _) => self.plan.retry_ms.map(|ms| after(Duration::from_millis(ms))),
        };
        let registration = Registration {
            user: self.plan.user.clone(),
            asked_at,
            at: now,
            asked_s,
            contacts,
            status,
            is_again: asking.is_again(),
            stale,
            granted_s,
            listed,
        };
        self.told.push(registration);
    }

    /// What has not been answered when the phone goes.
    pub(super) fn unanswered(&self, now: Duration) -> Option<Registration> {
        let round = self.round.as_ref()?;
        Some(Registration {
            user: self.plan.user.clone(),
            asked_at: round.asked_at,
            at: now,
            asked_s: round.asked_s,
            contacts: round.contacts.clone(),
            status: None,
            is_again: round.asking.is_again(),
            stale: round.stale,
            granted_s: None,
            listed: Vec::new(),
        })
    }
}

/// Where the user can be called, and for how many seconds.
fn listed(response: &Response) -> Vec<(String, u32)> {
    let contacts = response.headers.list(&HeaderName::CONTACT);
    let contacts = contacts.into_iter().filter_map(NameAddr::parse);
    let listed = contacts.map(|contact| {
        let expires = contact.params.get("expires").and_then(|it| it.parse().ok());
        (contact.uri.to_string(), expires.unwrap_or(0))
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{
        super::{carrier::Carrier, timers::T1},
        *,
    };

    const S: Duration = Duration::from_secs(1);

    fn begin(plan: Registers) -> Registering {
        let at = |port| SocketAddr::from(([10, 0, 0, 2], port));
        let word = || "w".to_owned();
        let names =
            Names { call_id: word(), tag: word(), branch: word(), session: 0, patience_ms: 0 };
        let (sip, rtp, gateway) = (at(5060), at(40_000), at(5061));
        let carrier = Carrier { is_tcp: false, t1: T1 };
        let place = Place { sip, rtp, video: None, gateway, carrier };
        Registering::begin(plan, names, place, S)
    }

    fn plan() -> Registers {
        Registers {
            user: "a".to_owned(),
            password: Some("b".to_owned()),
            expires_s: 60,
            margin_s: Some(5),
            retry_ms: None,
            leaves_ms: Some(100_000),
            takes_all_back: false,
            errs_ms: None,
            knows_sha256: false,
            others: Vec::new(),
        }
    }

    /// The newest request.
    fn asked(own: &mut Registering) -> Request {
        let sent = std::iter::from_fn(|| own.next_message()).last().expect("it asks");
        match read(&sent) {
            Some(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn answer(own: &mut Registering, response: Response, at: Duration) {
        own.receive(&response.to_bytes(), at);
    }

    fn challenge(request: &Request, nonce: u32, stale: &str) -> Response {
        let value = format!("Digest realm=\"r\", nonce=\"n{nonce}\", qop=\"auth\"{stale}");
        request.response(401, Some("t")).with_header(HeaderName::WWW_AUTHENTICATE, value)
    }

    fn granted(request: &Request, seconds: u32) -> Response {
        let contact = format!("<sip:a@10.0.0.2:5060>;expires={seconds}");
        request.response(200, Some("t")).with_header(HeaderName::CONTACT, contact)
    }

    fn proof(request: &Request) -> String {
        request.headers.get(&HeaderName::AUTHORIZATION).unwrap_or_default().to_owned()
    }

    #[test]
    fn a_nonce_is_counted_and_a_stale_one_replaced() {
        let mut own = begin(plan());
        let first = asked(&mut own);
        assert_eq!(proof(&first), "");
        answer(&mut own, challenge(&first, 1, ""), S);
        let proven = asked(&mut own);
        assert!(proof(&proven).contains("nonce=\"n1\"") && proof(&proven).contains("nc=00000001"));
        answer(&mut own, granted(&proven, 60), 2 * S);
        assert_eq!(own.next(), Some(57 * S));
        own.on_time(57 * S);
        let again = asked(&mut own);
        assert!(proof(&again).contains("nc=00000002"));
        answer(&mut own, challenge(&again, 2, ", stale=true"), 57 * S);
        let again = asked(&mut own);
        assert!(proof(&again).contains("nonce=\"n2\"") && proof(&again).contains("nc=00000001"));
        answer(&mut own, granted(&again, 60), 57 * S);
        own.on_time(112 * S);
        let last = asked(&mut own);
        assert_eq!(last.headers.get(&HeaderName::EXPIRES), Some("0"));
        answer(&mut own, last.response(200, Some("t")), 112 * S);
        assert!(own.is_over());
        let told: Vec<_> = own.told.iter().map(|it| (it.status, it.stale, it.granted_s)).collect();
        assert_eq!(
            told,
            [(Some(200), 0, Some(60)), (Some(200), 1, Some(60)), (Some(200), 0, None)]
        );
    }

    #[test]
    fn all_is_taken_back_and_what_means_nothing_changes_nothing() {
        let plan = Registers { takes_all_back: true, errs_ms: Some(10_000), ..plan() };
        let mut own = begin(plan);
        let first = asked(&mut own);
        answer(&mut own, granted(&first, 60), S);
        own.on_time(10 * S);
        let wrong = asked(&mut own);
        assert_eq!(wrong.headers.get(&HeaderName::CONTACT), Some("*"));
        answer(&mut own, wrong.response(400, Some("t")), 10 * S);
        assert_eq!(own.next(), Some(56 * S), "it goes on");
        own.on_time(100 * S);
        let last = asked(&mut own);
        assert_eq!(last.headers.get(&HeaderName::CONTACT), Some("*"));
        assert_eq!(last.headers.get(&HeaderName::EXPIRES), Some("0"));
        answer(&mut own, last.response(200, Some("t")), 100 * S);
        assert!(own.is_over() && own.told[2].contacts == [ALL]);
    }

    #[test]
    fn who_is_not_believed_gives_up_and_who_asks_for_too_little_asks_for_more() {
        let mut own = begin(Registers { leaves_ms: None, ..plan() });
        let first = asked(&mut own);
        answer(&mut own, challenge(&first, 1, ""), S);
        let proven = asked(&mut own);
        answer(&mut own, challenge(&proven, 2, ""), S);
        assert!(own.is_over() && own.told[0].status == Some(401));
        let mut own = begin(Registers { expires_s: 5, ..plan() });
        let first = asked(&mut own);
        let least = HeaderName::parse("Min-Expires").unwrap();
        answer(&mut own, first.response(423, Some("t")).with_header(least, "60"), S);
        let longer = asked(&mut own);
        assert_eq!(longer.headers.get(&HeaderName::EXPIRES), Some("60"));
        // Nobody answers.
        own.on_time(40 * S);
        assert_eq!(own.told.iter().map(|it| it.status).collect::<Vec<_>>(), [Some(423), None]);
    }
}
