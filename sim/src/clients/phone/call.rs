//! A phone's side of one call, without I/O: messages and time in; messages, and what was agreed on, out.

mod answers;
mod requests;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use rehearsal_core::sip::{
    fields::{CSeq, NameAddr},
    headers::HeaderName,
    message::{Message, Request},
    method::Method,
    uri::{SipUri, Uri},
};

use super::{
    answering::Answered,
    asking::Asking,
    callee::Waiting,
    carrier::Carrier,
    plan::{Change, Direction, PhonePlan},
    post::read,
    report::{CallEnd, Keyed},
    screen::AgreedVideo,
    sdp::{Description, Events, Format, VideoLine},
    session::Timer,
    show::described,
    voice::Agreed,
};

pub(super) const SDP: &str = "application/sdp";
/// What says that a key was pressed.
const DTMF_RELAY: &str = "application/dtmf-relay";
/// What asks for a keyframe (RFC 5168).
const MEDIA_CONTROL: &str = "application/media_control+xml";
const FAST_UPDATE: &str = "<?xml version=\"1.0\"?><media_control><vc_primitive><to_encoder>\
    <picture_fast_update></picture_fast_update></to_encoder></vc_primitive></media_control>";
/// The number of what is dialled, as phones offer it beside audio of 8,000 samples a second, and beside that of 16,000.
const EVENTS: u8 = 101;
const WIDE_EVENTS: u8 = 103;
/// The number of H.264, as phones want to see it.
pub const PICTURES: u8 = 97;

/// Whether it is the number of what is dialled, as phones want to hear it.
pub fn is_dialled(number: u8) -> bool {
    [EVENTS, WIDE_EVENTS].contains(&number)
}

/// From one look for the ACK to the next.
const UNTIL_ACKNOWLEDGED: Duration = Duration::from_millis(100);

/// Names that nobody else has.
pub(super) struct Names {
    pub(super) call_id: String,
    pub(super) tag: String,
    /// What branches begin with, behind what all branches begin with.
    pub(super) branch: String,
    /// The session of SDP.
    pub(super) session: u32,
    /// By how many milliseconds an offer that met another one is made again later than after 2.1 s.
    pub(super) patience_ms: u64,
}

/// Where the phone is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) sip: SocketAddr,
    pub(super) rtp: SocketAddr,
    /// The port of its pictures, if it can have any.
    pub(super) video: Option<u16>,
    pub(super) gateway: SocketAddr,
    pub(super) carrier: Carrier,
}

/// What is to be told of a call.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) rang_at: Option<Duration>,
    pub(super) expired_at: Option<Duration>,
    pub(super) answered_at: Option<Duration>,
    pub(super) ended: Option<(Duration, CallEnd)>,
    pub(super) keyed: Vec<Keyed>,
    /// How often it was asked for a keyframe by INFO.
    pub(super) keyframes_asked: u32,
}

/// One who has taken a call that another one has taken, too.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) tag: String,
    /// Number of the newest request that the gateway has made to him.
    pub(super) their_number: Option<u32>,
}

pub(super) struct Call {
    pub(super) plan: PhonePlan,
    pub(super) names: Names,
    pub(super) place: Place,
    /// Name of the call, and of its ends as its messages have them.
    pub(super) call_id: String,
    pub(super) own_uri: Uri,
    pub(super) peer_uri: Uri,
    asking: Vec<Asking>,
    pub(super) answered: Vec<Answered>,
    pub(super) out: VecDeque<Bytes>,
    /// Number of the newest own request, and of the newest one of the gateway.
    number: u32,
    pub(super) their_number: Option<u32>,
    /// How many branches there were.
    branches: u32,
    pub(super) their_tag: Option<String>,
    /// Where requests within the call go.
    pub(super) target: Option<Uri>,
    /// How many descriptions were sent, and the newest one of the peer.
    versions: u32,
    pub(super) peer: Option<Description>,
    /// How the phone says that it is, and how it has asked to be.
    pub(super) direction: Direction,
    asked: Direction,
    /// Where the phone hears, as the gateway knows, and as it was asked to believe.
    rtp: SocketAddr,
    asked_rtp: SocketAddr,
    /// What is left to be changed, and when.
    changes: VecDeque<(Duration, Direction)>,
    /// What is left to be dialled by INFO, and when.
    keys: VecDeque<(Duration, char)>,
    /// Since when a keyframe is to be asked for by INFO.
    wants_keyframe_at: Option<Duration>,
    cancels_at: Option<Duration>,
    hangs_up_at: Option<Duration>,
    has_cancelled: bool,
    has_hung_up: bool,
    /// It is called, and does not call.
    pub(super) waiting: Option<Waiting>,
    /// Another one who has taken the call, too, as long as he is in it.
    pub(super) fork: Option<Fork>,
    pub(super) session: Option<Timer>,
    pub(super) told: Told,
}

impl Call {
    /// A call that begins at `now`, or is waited for.
    pub(super) fn begin(plan: PhonePlan, names: Names, place: Place, now: Duration) -> Self {
        // Who calls back has not begun to.
        let cancel = plan.cancel.filter(|_| plan.calls_back_ms.is_none());
        let cancels_at = cancel.map(|cancel| now + Duration::from_millis(cancel.after_ms));
        let (direction, rtp) = (plan.direction, place.rtp);
        let dialled = Uri::Sip(SipUri::new(Some(&plan.dial), place.gateway));
        let is_over_tcp = place.carrier.is_tcp && plan.calls_back_ms.is_none();
        let target = is_over_tcp.then(|| place.carrier.uri(&plan.dial, place.gateway));
        let mut call = Self {
            call_id: names.call_id.clone(),
            own_uri: Uri::Sip(SipUri::new(Some("phone"), place.sip)),
            peer_uri: dialled,
            waiting: plan.called.clone().map(Waiting::new),
            fork: None,
            session: plan.session.map(Timer::new),
            // The INVITE has the next one.
            number: plan.numbering.map_or(0, |numbering| numbering.cseq.saturating_sub(1)),
            plan,
            names,
            place,
            asking: Vec::new(),
            answered: Vec::new(),
            out: VecDeque::new(),
            their_number: None,
            branches: 0,
            their_tag: None,
            target,
            versions: 0,
            peer: None,
            direction,
            asked: direction,
            rtp,
            asked_rtp: rtp,
            changes: VecDeque::new(),
            keys: VecDeque::new(),
            wants_keyframe_at: None,
            cancels_at,
            hangs_up_at: None,
            has_cancelled: false,
            has_hung_up: false,
            told: Told::default(),
        };
        if call.waiting.is_none() {
            call.invite(direction, now);
        }
        call
    }

    /// What is to be sent next.
    pub(super) fn next_message(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Whether the call is up, as far as the phone knows.
    pub(super) fn is_up(&self) -> bool {
        self.told.answered_at.is_some() && self.told.ended.is_none() && !self.has_hung_up
    }

    /// What was agreed on about the phone's audio; `None` unless the call is up, or it speaks before that.
    pub(super) fn audio(&self) -> Option<Agreed> {
        let is_early = !self.is_up();
        let peer = if is_early { self.early()? } else { self.peer.as_ref()? };
        let direction = match is_early {
            true => Direction::SendOnly,
            false => self.direction.facing(peer.direction),
        };
        let Format { number, codec } = peer.codecs[0];
        // Those of its own clock alone.
        let mut events = peer.events.iter().filter(|_| self.dials());
        let events = events.find(|it| it.is_wide == codec.is_wide()).map(|it| it.number);
        let to = peer.address;
        Some(Agreed { to, codec, number, events, direction, is_early })
    }

    /// Where it speaks to before it has answered, and what.
    fn early(&self) -> Option<&Description> {
        self.waiting.as_ref()?.early()
    }

    /// What was agreed on about its pictures; `None` unless the call is up and has any.
    pub(super) fn video(&self) -> Option<AgreedVideo> {
        let peer = self.peer.as_ref().filter(|_| self.is_up())?;
        let line =
            peer.video.as_ref().filter(|line| line.port > 0 && self.place.video.is_some())?;
        let tells_by_rtcp = self.plan.video.as_ref().is_some_and(|video| video.tells_by_rtcp);
        Some(AgreedVideo {
            to: SocketAddr::new(peer.address.ip(), line.port),
            number: line.number,
            direction: self.video_direction(self.direction).facing(line.direction),
            tells_by_rtcp: tells_by_rtcp && line.tells_by_rtcp,
        })
    }

    /// Who shows, while `direction` says who speaks.
    fn video_direction(&self, direction: Direction) -> Direction {
        let shows = self.plan.video.as_ref().is_some_and(|video| video.shows.is_some());
        direction.facing(if shows { Direction::SendRecv } else { Direction::SendOnly })
    }

    /// Where the phone hears, as far as the gateway has agreed.
    pub(super) fn rtp(&self) -> SocketAddr {
        self.rtp
    }

    /// The phone will hear at `port`, of `ip` if that is another address, and says so.
    pub(super) fn move_to(&mut self, ip: Option<IpAddr>, port: u16, now: Duration) {
        self.place.rtp.set_ip(ip.unwrap_or(self.place.rtp.ip()));
        self.place.rtp.set_port(port);
        self.changes.push_front((now, self.direction));
    }

    /// Whether it dials by RTP.
    fn dials(&self) -> bool {
        !self.plan.digits.is_empty() && !self.plan.dials_by_info
    }

    /// Whether nothing more is to be done, not even for copies.
    pub(super) fn is_forgotten(&self) -> bool {
        let is_registrar = self.waiting.as_ref().is_some_and(Waiting::is_registrar);
        !is_registrar
            && self.told.ended.is_some()
            && self.asking.is_empty()
            && self.answered.is_empty()
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Duration> {
        let changes = self.changes.front().map(|(at, _)| *at).filter(|_| self.may_change());
        let keys = self.keys.front().map(|(at, _)| *at);
        let change = [changes, keys, self.wants_keyframe_at]
            .into_iter()
            .flatten()
            .min()
            .filter(|_| !self.is_asking());
        let session = self.session.as_ref().filter(|_| self.is_up());
        let refresh = session.and_then(|it| it.refresh_at).filter(|_| self.may_change());
        let expiry = session.and_then(|it| it.expires_at);
        let asking = self.asking.iter().filter_map(Asking::next);
        let answered = self.answered.iter().map(Answered::next);
        let waiting = self.waiting.as_ref().and_then(Waiting::next);
        let own = [self.cancels_at, self.hangs_up_at, change, waiting, refresh, expiry];
        let own = own.into_iter().flatten();
        asking.chain(answered).chain(own).min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Duration) {
        self.out.extend(self.asking.iter_mut().filter_map(|asking| asking.take_copy(now)));
        self.out.extend(self.answered.iter_mut().filter_map(|answered| answered.take_copy(now)));
        self.asking.retain(|asking| !asking.is_forgotten(now));
        let mut over = self.answered.iter().filter(|answered| answered.is_forgotten(now));
        let is_unacknowledged = over.any(Answered::is_open);
        self.answered.retain(|answered| !answered.is_forgotten(now));
        if is_unacknowledged {
            self.on_unacknowledged(now);
        }
        self.on_waited(now);
        let (given_up, left): (Vec<_>, Vec<_>) =
            self.asking.drain(..).partition(|asking| asking.has_given_up(now));
        self.asking = left;
        for asking in given_up {
            self.on_no_answer(&asking.request.method, now);
        }
        if self.cancels_at.take_if(|at| *at <= now).is_some() {
            match self.told.answered_at {
                None => self.cancel(now),
                Some(_) => self.hang_up(now),
            }
        }
        if self.hangs_up_at.take_if(|at| *at <= now).is_some() {
            self.hang_up(now);
        }
        self.keep_up(now);
        if self.is_up()
            && !self.is_asking()
            && self.wants_keyframe_at.take_if(|at| *at <= now).is_some()
        {
            self.ask_for_keyframe(now);
        }
        if self.is_up()
            && !self.is_asking()
            && let Some((_, digit)) = self.keys.pop_front_if(|(at, _)| *at <= now)
        {
            self.key(digit, now);
        }
        if self.is_up()
            && self.may_change()
            && let Some((_, direction)) = self.changes.pop_front_if(|(at, _)| *at <= now)
        {
            self.invite(direction, now);
        }
    }

    /// Refreshes the session when it is time to, and hangs up when nobody has.
    fn keep_up(&mut self, now: Duration) {
        let (is_up, may_change) = (self.is_up(), self.may_change());
        let Some(session) = self.session.as_mut().filter(|_| is_up) else { return };
        if session.expires_at.take_if(|at| *at <= now).is_some() {
            self.told.expired_at = Some(now);
            return self.hang_up(now);
        }
        if may_change && session.take_refresh(now) {
            self.invite(self.direction, now);
        }
    }

    fn on_no_answer(&mut self, method: &Method, now: Duration) {
        match method {
            Method::Invite if self.told.answered_at.is_some() => self.hang_up(now),
            Method::Invite => {
                let end = if self.has_cancelled { CallEnd::Cancelled } else { CallEnd::NoAnswer };
                self.end(end, now);
            }
            Method::Bye => self.end(CallEnd::HungUpUnanswered, now),
            _ => {}
        }
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, datagram: &[u8], now: Duration) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_away(now)) {
            return;
        }
        match read(datagram) {
            Some(Message::Request(request)) => self.on_request(&request, now),
            Some(Message::Response(response)) => self.on_response(&response, now),
            None => {}
        }
    }

    /// A connection is lost by which requests of these branches went.
    pub(super) fn on_lost(&mut self, asked: &[String]) {
        self.out.extend(self.asking.iter_mut().filter_map(|asking| asking.on_lost(asked)));
    }

    fn end(&mut self, end: CallEnd, now: Duration) {
        self.told.ended.get_or_insert((now, end));
        (self.cancels_at, self.hangs_up_at) = (None, None);
        self.changes.clear();
        self.keys.clear();
        self.wants_keyframe_at = None;
        if let Some(session) = &mut self.session {
            session.end();
        }
    }

    /// Whether it may ask for a change: not before what it has taken is acknowledged (RFC 3261, section 14.1).
    fn may_change(&self) -> bool {
        !self.is_asking() && !self.answered.iter().any(Answered::is_open)
    }

    /// Whether something is on its way within the call: what comes behind it could overtake it, and would count as newer.
    fn is_asking(&self) -> bool {
        self.asking.iter().any(Asking::is_open)
    }

    fn has_open_invite(&self) -> bool {
        self.asking.iter().any(|asking| asking.is_invite() && asking.is_open())
    }

    /// What the phone says of its audio.
    pub(super) fn describe(&mut self, direction: Direction) -> String {
        let peer = self.peer.as_ref().filter(|_| self.told.answered_at.is_some());
        let codecs = match peer.or(self.early()) {
            Some(peer) => vec![peer.codecs[0].codec],
            None => self.plan.codecs.clone(),
        };
        let events = [(EVENTS, false), (WIDE_EVENTS, true)].into_iter().filter(|(_, is_wide)| {
            self.dials() && codecs.iter().any(|codec| codec.is_wide() == *is_wide)
        });
        let events = events.map(|(number, is_wide)| Events { number, is_wide }).collect();
        let codecs = codecs.into_iter().map(Format::from).collect();
        let video = self.describe_video(direction);
        self.versions += 1;
        let address = self.place.rtp;
        let description = Description { address, codecs, events, direction, video };
        description.write(self.names.session, self.versions)
    }

    /// What the phone says of its pictures: where it is asked about them, and where it calls and has some.
    fn describe_video(&self, direction: Direction) -> Option<VideoLine> {
        let asked = self.peer.as_ref().or(self.early()).map(|peer| peer.video.as_ref());
        let is_closed = asked.is_some_and(|line| line.is_none_or(|line| line.port == 0));
        let own = self.plan.video.as_ref().zip(self.place.video).filter(|_| !is_closed);
        let Some((video, port)) = own else {
            let number = asked??.number;
            return Some(VideoLine { number, ..VideoLine::default() });
        };
        let shows = video.shows.as_ref().zip(self.plan.voice.as_ref());
        Some(VideoLine {
            port,
            number: PICTURES,
            direction: self.video_direction(direction),
            sets: shows.and_then(|(shows, voice)| described(shows, voice)),
            tells_by_rtcp: video.tells_by_rtcp,
            whole_units: video.whole_units,
        })
    }

    /// Asks with `request`, which gets its way, its ends and its number.
    fn ask(&mut self, mut request: Request, number: u32, branch: String) -> Request {
        let (sip, contact) = (self.place.sip, self.contact());
        let headers = &mut request.headers;
        let mut to = NameAddr::new(self.peer_uri.clone());
        if let Some(tag) = self.their_tag.as_ref().filter(|_| request.method != Method::Cancel) {
            to = to.with_tag(tag);
        }
        let from = NameAddr::new(self.own_uri.clone()).with_tag(&self.names.tag);
        let cseq = CSeq { number, method: request.method.clone() };
        headers.push(HeaderName::VIA, self.place.carrier.via(sip, &branch));
        headers.push(HeaderName::MAX_FORWARDS, "70");
        headers.push(HeaderName::FROM, from.to_string());
        headers.push(HeaderName::TO, to.to_string());
        headers.push(HeaderName::CALL_ID, self.call_id.clone());
        headers.push(HeaderName::CSEQ, cseq.to_string());
        if request.method == Method::Invite {
            headers.push(HeaderName::CONTACT, contact);
            let info = if self.plan.video.is_some() { ", INFO" } else { "" };
            let allowed = format!("INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE{info}");
            headers.push(HeaderName::ALLOW, allowed);
        }
        if let Some(session) = &self.session {
            session.ask(&mut request);
        }
        request
    }

    /// Where the phone is reached.
    pub(super) fn contact(&self) -> String {
        NameAddr::new(self.place.carrier.uri("phone", self.place.sip)).to_string()
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}-{}", self.names.branch, self.branches)
    }

    fn target(&self) -> Uri {
        self.target.clone().unwrap_or_else(|| self.peer_uri.clone())
    }

    /// Calls who is registered at `contact`.
    pub(super) fn call_back(&mut self, contact: Uri, now: Duration) {
        self.peer_uri = contact;
        let cancel = self.plan.cancel;
        self.cancels_at = cancel.map(|cancel| now + Duration::from_millis(cancel.after_ms));
        self.invite(self.direction, now);
    }

    /// Calls, or changes the call.
    fn invite(&mut self, direction: Direction, now: Duration) {
        (self.asked, self.asked_rtp) = (direction, self.place.rtp);
        self.number += 1;
        let request = Request::new(Method::Invite, self.target());
        let body = self.describe(direction);
        self.send_request(request.with_body(SDP, body), now);
    }

    fn send_request(&mut self, request: Request, now: Duration) {
        let branch = self.branch();
        let request = self.ask(request, self.number, branch.clone());
        let asking = Asking::new(request, branch, self.place.carrier, now);
        self.out.push_back(asking.bytes());
        self.asking.push(asking);
    }

    /// Says that a key was pressed.
    fn key(&mut self, digit: char, now: Duration) {
        self.number += 1;
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        let request = Request::new(Method::Info, self.target()).with_body(DTMF_RELAY, body);
        self.send_request(request, now);
        self.told.keyed.push(Keyed { at: now, digit, status: None, is_again: false });
    }

    /// A keyframe is to be asked for, as soon as nothing else is asked.
    pub(super) fn want_keyframe(&mut self, now: Duration) {
        self.wants_keyframe_at.get_or_insert(now);
    }

    fn ask_for_keyframe(&mut self, now: Duration) {
        self.number += 1;
        let request =
            Request::new(Method::Info, self.target()).with_body(MEDIA_CONTROL, FAST_UPDATE);
        self.send_request(request, now);
    }

    /// Gives up before the answer.
    fn cancel(&mut self, now: Duration) {
        let is_hasty = self.plan.cancel.is_some_and(|cancel| cancel.hasty);
        let Some(invite) = self.asking.iter_mut().find(|asking| asking.is_invite()) else { return };
        if self.has_cancelled || !invite.is_open() {
            return;
        }
        if !is_hasty && !invite.is_at_it {
            // With the first provisional answer.
            return;
        }
        self.has_cancelled = true;
        invite.give_up_at(now + self.place.carrier.patience());
        let (branch, uri) = (invite.branch.clone(), invite.request.uri.clone());
        let request = self.ask(Request::new(Method::Cancel, uri), self.number, branch.clone());
        let asking = Asking::new(request, branch, self.place.carrier, now);
        self.out.push_back(asking.bytes());
        self.asking.push(asking);
    }

    pub(super) fn hang_up(&mut self, now: Duration) {
        if self.has_hung_up || self.told.ended.is_some() {
            return;
        }
        // Who was called waits for the ACK (RFC 3261, section 15).
        if self.waiting.is_some() && self.answered.iter().any(Answered::is_open) {
            self.hangs_up_at = Some(now + UNTIL_ACKNOWLEDGED);
            return;
        }
        self.has_hung_up = true;
        (self.hangs_up_at, self.cancels_at) = (None, None);
        self.changes.clear();
        self.keys.clear();
        self.wants_keyframe_at = None;
        self.number += 1;
        let request = Request::new(Method::Bye, self.target());
        self.send_request(request, now);
    }

    /// What is to be done in the call is due from now on.
    pub(super) fn begin_to_talk(&mut self, now: Duration) {
        let at = |ms: u64| now + Duration::from_millis(ms);
        self.hangs_up_at = self.plan.talk_ms.map(at);
        self.changes =
            self.plan.changes.iter().map(|it: &Change| (at(it.at_ms), it.direction)).collect();
        let keys = self.plan.digits.iter().filter(|_| self.plan.dials_by_info);
        self.keys = keys.map(|dialled| (at(dialled.at_ms), dialled.digit)).collect();
    }

    fn take_description(&mut self, body: &[u8]) {
        if let Some(description) = Description::read(body) {
            self.peer = Some(description);
        }
    }
}
