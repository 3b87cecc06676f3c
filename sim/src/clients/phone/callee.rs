//! A phone's side of calls that come: it rings, answers, refuses, and is given up; and what an exchange says to who registers.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::sip::{
    fields::NameAddr,
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
    uri::Uri,
};

use super::{
    answering::Answered,
    call::{Call, Fork, SDP},
    called::{Answer, Called, Registrar, Reply},
    plan::Direction,
    proof::{Guard, Verdict},
    report::{Binding, CallEnd},
    sdp::Description,
};

/// How long a call is taken after it was given up, if it is.
const TOO_LATE: Duration = Duration::from_millis(50);

/// Who waits for calls.
pub(super) struct Waiting {
    called: Called,
    guard: Option<Guard>,
    /// Calls there were.
    calls: usize,
    ringing: Option<Ringing>,
    /// Whom to call back, and when.
    calls_back: Option<(Duration, Uri)>,
    /// Registrations that were granted.
    pub(super) bindings: Vec<Binding>,
}

/// A call that is not answered yet.
struct Ringing {
    invite: Request,
    reply: Reply,
    rings_at: Option<Duration>,
    answers_at: Option<Duration>,
    /// What was said last.
    said: Option<Bytes>,
    /// Where it speaks to already, and what.
    early: Option<Description>,
    is_given_up: bool,
}

/// What becomes of a request that is of no call.
pub(super) enum Outside {
    Answered(Box<Response>),
    /// It is answered when it is time to, or never.
    Later,
    /// It is nothing for who waits for calls.
    Unknown,
}

impl Waiting {
    pub(super) fn new(called: Called) -> Self {
        let guard = called.proof.clone().map(Guard::new);
        Self { called, guard, calls: 0, ringing: None, calls_back: None, bindings: Vec::new() }
    }

    /// Whether nobody is there at `now`.
    pub(super) fn is_away(&self, now: Duration) -> bool {
        let ms = now.as_millis() as u64;
        self.called.away_ms.iter().any(|(from, to)| (*from..*to).contains(&ms))
    }

    /// Where it speaks to before it has answered, and what.
    pub(super) fn early(&self) -> Option<&Description> {
        self.ringing.as_ref()?.early.as_ref()
    }

    /// Whether others register here.
    pub(super) fn is_registrar(&self) -> bool {
        self.called.registrar.is_some()
    }

    pub(super) fn next(&self) -> Option<Duration> {
        let ringing = self.ringing.as_ref();
        let ringing =
            ringing.and_then(|it| [it.rings_at, it.answers_at].into_iter().flatten().min());
        let calls_back = self.calls_back.as_ref().map(|(at, _)| *at);
        [ringing, calls_back].into_iter().flatten().min()
    }
}

impl Call {
    /// A request that is of no call, as far as the phone knows.
    pub(super) fn on_outside(&mut self, request: &Request, now: Duration) -> Outside {
        let registrar = self.waiting.as_ref().and_then(|waiting| waiting.called.registrar);
        let is_new = request.to().is_some_and(|to| to.tag().is_none());
        match (&request.method, registrar) {
            (Method::Cancel, _) => Outside::Answered(Box::new(self.on_cancel(request, now))),
            (Method::Register, Some(registrar)) => {
                Outside::Answered(Box::new(self.on_register(request, registrar, now)))
            }
            (Method::Invite, _) if is_new => {
                let response = self.challenge(request).or_else(|| self.on_call(request, now));
                response.map_or(Outside::Later, |response| Outside::Answered(Box::new(response)))
            }
            _ => Outside::Unknown,
        }
    }

    /// What says that `request` lacks a proof.
    fn challenge(&mut self, request: &Request) -> Option<Response> {
        let guard = self.waiting.as_mut()?.guard.as_mut()?;
        match guard.judge(request) {
            Verdict::Proven => None,
            Verdict::Challenged(status, name, value) => {
                Some(request.response(status, Some(&self.names.tag)).with_header(name, value))
            }
            Verdict::Forbidden => Some(request.response(403, Some(&self.names.tag))),
        }
    }

    /// Somebody calls. The answer, if that is given at once.
    fn on_call(&mut self, invite: &Request, now: Duration) -> Option<Response> {
        let tag = self.names.tag.clone();
        let is_taken = self.told.answered_at.is_some();
        if let Some(response) = self.refuses_session(invite) {
            return Some(response);
        }
        let waiting = self.waiting.as_mut()?;
        if is_taken || waiting.ringing.is_some() {
            return Some(invite.response(486, Some(&tag)));
        }
        let replies = &waiting.called.replies;
        let reply = *replies.get(waiting.calls).or(replies.last())?;
        waiting.calls += 1;
        let at = |ms| now + Duration::from_millis(ms);
        let answers_at = (reply.answer != Answer::Never).then(|| at(reply.after_ms));
        let mut ringing = Ringing {
            invite: invite.clone(),
            reply,
            rings_at: reply.rings_ms.map(at),
            answers_at,
            said: None,
            early: None,
            is_given_up: false,
        };
        if reply.rings_ms.is_some() {
            let trying = invite.response(100, None).to_bytes();
            ringing.said = Some(trying.clone());
            self.out.push_back(trying);
        }
        waiting.ringing = Some(ringing);
        None
    }

    /// A copy of an INVITE that is not answered yet; whether it is one.
    pub(super) fn is_ringing_for(&mut self, request: &Request) -> bool {
        let Some(ringing) = self.waiting.as_ref().and_then(|waiting| waiting.ringing.as_ref())
        else {
            return false;
        };
        let is_it = request.method == Method::Invite && branch(request) == branch(&ringing.invite);
        if is_it {
            self.out.extend(ringing.said.clone());
        }
        is_it
    }

    /// Rings, or answers, when it is time to.
    pub(super) fn on_waited(&mut self, now: Duration) {
        let tag = self.names.tag.clone();
        let Some(waiting) = &mut self.waiting else { return };
        if let Some((_, contact)) = waiting.calls_back.take_if(|(at, _)| *at <= now) {
            return self.call_back(contact, now);
        }
        let Some(ringing) = &mut waiting.ringing else { return };
        if ringing.rings_at.take_if(|at| *at <= now).is_some() {
            self.ring(now);
        }
        let Some(waiting) = &mut self.waiting else { return };
        let Some(ringing) = &mut waiting.ringing else { return };
        if ringing.answers_at.is_none_or(|at| at > now) {
            return;
        }
        let Some(Ringing { invite, reply, .. }) = waiting.ringing.take() else { return };
        match reply.answer {
            Answer::Refuse(status) => {
                let mut response = invite.response(status, Some(&tag));
                if (300..400).contains(&status) {
                    response = response.with_header(HeaderName::CONTACT, self.contact());
                }
                self.give(&invite, &response, now);
            }
            Answer::Never => {}
            Answer::Accept | Answer::AcceptLate => self.take(&invite, now),
            Answer::Fork => {
                self.take(&invite, now);
                let other = format!("{tag}-fork");
                let response = self.acceptance(&invite, &other, now);
                self.give(&invite, &response, now);
                self.fork = Some(Fork { tag: other, their_number: self.their_number });
            }
        }
    }

    /// Says that it rings.
    fn ring(&mut self, now: Duration) {
        let tag = self.names.tag.clone();
        let early = self.ringing().map(|it| it.invite.clone()).filter(|_| self.plan.speaks_early);
        let early = early.and_then(|invite| Some((self.choose(&invite)?, invite)));
        let response = early.map(|(chosen, invite)| {
            self.ringing()?.early = Some(chosen);
            let body = self.describe(Direction::SendRecv);
            let response = invite.response(183, Some(&tag));
            Some(response.with_header(HeaderName::CONTACT, self.contact()).with_body(SDP, body))
        });
        let Some(ringing) = self.ringing() else { return };
        let response =
            response.flatten().unwrap_or_else(|| ringing.invite.response(180, Some(&tag)));
        let said = response.to_bytes();
        ringing.said = Some(said.clone());
        self.out.push_back(said);
        self.told.rang_at.get_or_insert(now);
    }

    fn ringing(&mut self) -> Option<&mut Ringing> {
        self.waiting.as_mut()?.ringing.as_mut()
    }

    /// What `invite` offers, with that alone which it will speak.
    pub(super) fn choose(&self, invite: &Request) -> Option<Description> {
        let offer = Description::read(&invite.body)?;
        let codec = offer.codecs.iter().find(|it| self.plan.codecs.contains(&it.codec)).copied()?;
        Some(Description { codecs: vec![codec], ..offer })
    }

    /// Gives a final answer.
    pub(super) fn give(&mut self, request: &Request, response: &Response, now: Duration) {
        let answered = Answered::new(request, response, self.place.carrier, now);
        self.out.push_back(answered.answer.clone());
        self.answered.push(answered);
    }

    /// Takes a call.
    fn take(&mut self, invite: &Request, now: Duration) {
        let Some(offer) = self.choose(invite) else {
            let response = invite.response(488, Some(&self.names.tag));
            self.give(invite, &response, now);
            return;
        };
        self.direction = self.plan.direction.facing(offer.direction);
        self.peer = Some(offer);
        self.call_id = invite.call_id().unwrap_or_default().to_owned();
        let (from, to) = (invite.from(), invite.to());
        self.their_tag = from.as_ref().and_then(NameAddr::tag);
        self.their_number = invite.cseq().map(|cseq| cseq.number);
        self.target = invite.contact().map(|contact| contact.uri);
        if let (Some(from), Some(to)) = (from, to) {
            (self.peer_uri, self.own_uri) = (from.uri, to.uri);
        }
        self.told.answered_at = Some(now);
        let response = self.acceptance(invite, &self.names.tag.clone(), now);
        self.give(invite, &response, now);
        self.begin_to_talk(now);
    }

    /// The 200 to `invite` of who has `tag`.
    fn acceptance(&mut self, invite: &Request, tag: &str, now: Duration) -> Response {
        let direction = self.direction;
        let body = self.describe(direction);
        let response = invite.response(200, Some(tag));
        let response = match &mut self.session {
            Some(session) => session.agree(invite, response, now),
            None => response,
        };
        response.with_header(HeaderName::CONTACT, self.contact()).with_body(SDP, body)
    }

    /// The caller gives up.
    fn on_cancel(&mut self, cancel: &Request, now: Duration) -> Response {
        let tag = self.names.tag.clone();
        let is_known = self.answered.iter().any(|it| it.is_invite_of(&branch(cancel)));
        let ringing = self.waiting.as_mut().and_then(|waiting| waiting.ringing.as_mut());
        let Some(ringing) = ringing.filter(|it| branch(&it.invite) == branch(cancel)) else {
            return cancel.response(if is_known { 200 } else { 481 }, Some(&tag));
        };
        if ringing.is_given_up {
            return cancel.response(200, Some(&tag));
        }
        ringing.is_given_up = true;
        if ringing.reply.answer == Answer::AcceptLate {
            ringing.answers_at = Some(now + TOO_LATE);
        } else {
            let invite = ringing.invite.clone();
            if let Some(waiting) = &mut self.waiting {
                waiting.ringing = None;
            }
            let response = invite.response(487, Some(&tag));
            self.give(&invite, &response, now);
        }
        cancel.response(200, Some(&tag))
    }

    /// Somebody registers.
    fn on_register(&mut self, request: &Request, registrar: Registrar, now: Duration) -> Response {
        let ms = now.as_millis() as u64;
        let tag = self.names.tag.clone();
        if registrar.refuses_ms.is_some_and(|(from, to)| (from..to).contains(&ms)) {
            return request.response(503, Some(&tag));
        }
        if let Some(response) = self.challenge(request) {
            return response;
        }
        let said = request.headers.get(&HeaderName::EXPIRES);
        let contact = request.contact();
        let of_contact = contact.as_ref().and_then(|contact| contact.params.get("expires"));
        let said = of_contact.or_else(|| said.map(str::to_owned));
        let asked: u32 = said.and_then(|said| said.trim().parse().ok()).unwrap_or(3_600);
        if asked > 0 && asked < registrar.min_expires_s {
            let name = HeaderName::parse("Min-Expires").expect("a token");
            let least = registrar.min_expires_s.to_string();
            return request.response(423, Some(&tag)).with_header(name, least);
        }
        let Some(mut contact) = contact else { return request.response(200, Some(&tag)) };
        let granted = asked.min(registrar.expires_s);
        let binding = Binding { at: now, granted_s: granted, contact: contact.uri.to_string() };
        if let Some(waiting) = &mut self.waiting {
            if let Some(after_ms) = self.plan.calls_back_ms.filter(|_| waiting.bindings.is_empty())
            {
                let at = now + Duration::from_millis(after_ms);
                waiting.calls_back = Some((at, contact.uri.clone()));
            }
            waiting.bindings.push(binding);
        }
        let response = request.response(200, Some(&tag));
        if granted == 0 {
            return response;
        }
        contact.params.set("expires", Some(granted.to_string()));
        response.with_header(HeaderName::CONTACT, contact.to_string())
    }

    /// The answer to who asks for too short a session.
    pub(super) fn refuses_session(&self, request: &Request) -> Option<Response> {
        let least_s = self.session.as_ref()?.refuses(request)?;
        let response = request.response(422, Some(&self.names.tag));
        Some(response.with_header(HeaderName::MIN_SE, least_s.to_string()))
    }

    /// Whether it is for the second one who has taken the call.
    pub(super) fn is_for_fork(&self, request: &Request) -> bool {
        let tag = request.to().and_then(|to| to.tag());
        self.fork.as_ref().is_some_and(|fork| tag.as_ref() == Some(&fork.tag))
    }

    /// What the gateway asks of the second one: that he goes, and as long as it has not decided, nothing else.
    pub(super) fn on_request_to_fork(&mut self, request: &Request, now: Duration) {
        let status = match request.method {
            Method::Bye => {
                self.fork = None;
                200
            }
            _ => 491,
        };
        self.give(request, &request.response(status, None), now);
    }

    /// The call goes on as that of the second one who has taken it.
    pub(super) fn go_on_as(&mut self, fork: Fork) {
        (self.names.tag, self.their_number) = (fork.tag, fork.their_number);
    }

    /// Nobody has acknowledged that the call was taken.
    pub(super) fn on_unacknowledged(&mut self, now: Duration) {
        if self.waiting.is_some() && self.told.ended.is_none() {
            self.hang_up(now);
            self.told.ended.get_or_insert((now, CallEnd::NoAnswer));
        }
    }
}

fn branch(request: &Request) -> String {
    request.top_via().and_then(|via| via.params.get("branch")).unwrap_or_default()
}
