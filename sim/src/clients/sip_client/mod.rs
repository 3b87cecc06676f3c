//! A client of the RTMP application `sip`: it connects as somebody, gives commands when it is time to, publishes what it says and
//! plays what its calls say, and tells all that it was told.
//!
//! Of the core it uses how chunks and commands are read and written, and nothing else: what it may be told when is its own
//! (`talks`), so that the two check each other.

mod plan;
mod report;
mod session;
mod talks;

use std::{future::pending, net::SocketAddr, time::Duration};

use rehearsal_core::{env::Env, rtmp::message::type_id};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

pub use self::{
    plan::{Command, Order, Reaction, SipClientPlan},
    report::{Callback, Ordered, SipClientReport, Talk, TalkEnd},
};
use self::{
    session::{Event, Session},
    talks::Talks,
};
use super::{
    media::{Generated, Item, MediaPlan},
    publisher::Notes,
    rtmp_socket::{RtmpSocket, SocketEnd},
    verify::{self, Verifier},
};

/// How long the other end may take to close the connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of audio in a message of 20 ms.
const AUDIO_BYTES: usize = 160;
/// The gateway ends the connection.
const CLOSED: &str = "NetConnection.Connect.Closed";
/// What publishers say before metadata, and nobody else sees.
const WRAPPER: &[u8] = b"\x02\0\x0d@setDataFrame";

/// Carries out `plan`; times count from `origin`.
pub async fn run<E: Env>(
    env: E,
    gateway: SocketAddr,
    plan: SipClientPlan,
    origin: Instant,
    notes: Notes,
) -> SipClientReport {
    let at = |ms| origin + Duration::from_millis(ms);
    sleep_until(at(plan.start_ms)).await;
    notes(&format!("connects as {}", plan.address));
    let mut client = Client::new(plan, origin, notes);
    let leave = at(client.plan.leave_ms);
    let end = timeout_at(leave, client.connect(&env, gateway)).await;
    let end = match end {
        Err(_) => "left before the connection was made".to_owned(),
        Ok(Err(end)) => end.to_string(),
        Ok(Ok(mut socket)) => match timeout_at(leave, client.talk(&mut socket)).await {
            Ok(Ok(end)) => end.to_owned(),
            Ok(Err(end)) => end.to_string(),
            Err(_) => {
                client.talks.on_end(origin.elapsed());
                match timeout(PATIENCE, socket.close()).await {
                    Ok(Ok(())) => "left".to_owned(),
                    Ok(Err(end)) => format!("left, {end}"),
                    Err(_) => "left, and nobody took note".to_owned(),
                }
            }
        },
    };
    client.finish(end)
}

/// A client and what it knows.
struct Client {
    plan: SipClientPlan,
    origin: Instant,
    notes: Notes,
    report: SipClientReport,
    talks: Talks,
    verifier: Verifier,
    /// What is left to be wanted, and when; in order.
    orders: Vec<(Duration, Command)>,
    /// Calls that came.
    invited: usize,
    /// Since when it publishes, and what is next.
    voice: Option<(Instant, Generated, Item)>,
}

/// What woke a client.
enum Woken {
    Event(Event),
    Order,
    Voice,
}

impl Client {
    fn new(plan: SipClientPlan, origin: Instant, notes: Notes) -> Self {
        let orders = plan.orders.iter();
        let orders = orders.map(|it| (Duration::from_millis(it.at_ms), it.command.clone()));
        Self {
            orders: orders.collect(),
            talks: Talks::new(plan.password.is_some()),
            verifier: Verifier::new(plan.listens.as_deref().unwrap_or_default()),
            report: SipClientReport::default(),
            invited: 0,
            voice: None,
            plan,
            origin,
            notes,
        }
    }

    async fn connect<E: Env>(
        &self,
        env: &E,
        gateway: SocketAddr,
    ) -> Result<RtmpSocket<E, Session>, SocketEnd> {
        let plan = self.plan.clone();
        RtmpSocket::open(env, gateway, |now, entropy| Session::new(plan, now, entropy)).await
    }

    /// Talks until the connection is over.
    async fn talk<E: Env>(
        &mut self,
        socket: &mut RtmpSocket<E, Session>,
    ) -> Result<&'static str, SocketEnd> {
        loop {
            let is_connected = matches!(self.report.connected, Some((_, Ok(()))));
            let order = self.orders.first().filter(|_| is_connected).map(|(at, _)| *at);
            let order = order.map(|at| self.origin + at);
            let voice = self.voice.as_ref().map(|(since, _, item)| *since + item.due);
            let woken = tokio::select! {
                biased;
                event = socket.event() => Woken::Event(event?),
                () = until(order) => Woken::Order,
                () = until(voice) => Woken::Voice,
            };
            match woken {
                Woken::Event(Event::Connected(Err(words))) => {
                    (self.notes)(&format!("refused: {words}"));
                    self.report.connected = Some((self.origin.elapsed(), Err(words)));
                    return Ok("refused");
                }
                Woken::Event(event) => self.take(event),
                Woken::Order => {
                    let (_, command) = self.orders.remove(0);
                    (self.notes)(&format!("wants {command:?}"));
                    socket.session().give(&command);
                    let at = self.origin.elapsed();
                    self.report.ordered.push(Ordered { at, command, answered: None });
                }
                Woken::Voice => self.say(socket.session()),
            }
        }
    }

    fn take(&mut self, event: Event) {
        let at = self.origin.elapsed();
        match event {
            Event::Connected(answer) => {
                (self.notes)("is connected");
                self.report.connected = Some((at, answer));
            }
            Event::Published => self.begin_to_speak(),
            Event::Answered(index, answer) => {
                let ordered = &mut self.report.ordered[index];
                if let Err(words) = &answer {
                    (self.notes)(&format!("may not {:?}: {words}", ordered.command));
                }
                if ordered.answered.is_some() {
                    let command = &ordered.command;
                    self.talks.surprises.push(format!("at {at:?} {command:?} was answered again"));
                    return;
                }
                ordered.answered = Some((at, answer.clone()));
                self.talks.on_answer(&ordered.command, &answer, at);
            }
            Event::Called(callback) => {
                (self.notes)(&format!("is told {callback:?}"));
                self.talks.on_callback(&callback, &self.report.ordered, at);
                if matches!(callback, Callback::Invited(..)) {
                    self.react(at);
                }
                self.report.callbacks.push((at, callback));
            }
            Event::Strange(what) => self.talks.surprises.push(format!("at {at:?} {what}")),
            Event::Status(code) => {
                if code == CLOSED {
                    (self.notes)("is told that the connection is over");
                    self.talks.on_farewell(at);
                }
                self.report.statuses.push((at, code));
            }
            Event::Media(message) => {
                // The gateway says so on every stream that is played.
                if !message.payload.starts_with(b"\x02\0\x11|RtmpSampleAccess") {
                    let (type_id, time_ms) = (message.type_id, message.timestamp_ms);
                    self.verifier.receive(type_id, time_ms, &message.payload, at);
                }
            }
        }
    }

    /// A call has come.
    fn react(&mut self, at: Duration) {
        let reactions = &self.plan.reactions;
        let reaction = reactions.get(self.invited).or(reactions.last()).cloned();
        self.invited += 1;
        let Some(Reaction { after_ms, command }) = reaction else { return };
        let due = at + Duration::from_millis(after_ms);
        let place = self.orders.partition_point(|(at, _)| *at <= due);
        self.orders.insert(place, (due, command));
    }

    fn begin_to_speak(&mut self) {
        let Some(voice) = &self.plan.voice else { return };
        let media = MediaPlan {
            gop_frames: 0,
            audio_bytes: AUDIO_BYTES,
            telephone: self.plan.codecs.first().copied(),
            ..MediaPlan::default()
        };
        let mut items = Generated::new(media, &voice.stream, voice.epoch);
        self.voice = items.next().map(|first| (Instant::now(), items, first));
    }

    /// Says what is due.
    fn say(&mut self, session: &mut Session) {
        let Some((since, mut items, Item { type_id, timestamp_ms, payload, .. })) =
            self.voice.take()
        else {
            return;
        };
        let has_wrapper = type_id == type_id::DATA_AMF0 && payload.starts_with(WRAPPER);
        let seen = if has_wrapper { payload.slice(WRAPPER.len()..) } else { payload.clone() };
        let logged = verify::log(type_id, timestamp_ms, &seen, self.origin.elapsed());
        self.report.sent.push(logged.expect("a client says what it knows"));
        session.send_media(type_id, timestamp_ms, payload);
        self.voice = items.next().map(|next| (since, items, next));
    }

    fn finish(mut self, end: String) -> SipClientReport {
        let at = self.origin.elapsed();
        self.talks.on_end(at);
        let (received, violations, _) = self.verifier.finish();
        let (said, heard) = (self.report.sent.len(), received.len());
        (self.notes)(&format!("connection ends, {said} messages said, {heard} heard: {end}"));
        let Talks { talks, surprises, .. } = self.talks;
        let (end, ended_at) = (end, at);
        SipClientReport { received, violations, talks, surprises, end, ended_at, ..self.report }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
