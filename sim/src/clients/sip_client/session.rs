//! The client's side of an RTMP connection to the application `sip`, without I/O: what is called and called back is read here, and
//! not judged.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::{
    amf::{Object, Value},
    rtmp::{
        client::ClientError,
        command::{Command as RtmpCommand, Encoding},
        handshake::{ClientForm, ClientHandshake, Entropy},
        link::{Incoming, Link},
        message::{Message, chunk_stream, type_id},
    },
};

use super::{
    super::rtmp_socket::{ClientSide, LIMITS},
    plan::{Command, SipClientPlan},
    report::Callback,
};

/// Numbers of what is asked for by itself; commands have greater ones.
const CONNECT: u32 = 1;
const CREATE_LOCAL: u32 = 2;
const CREATE_REMOTE: u32 = 3;
const USE_STREAM: u32 = 4;
const FIRST_ORDER: u32 = 10;

/// What the gateway does or says.
#[derive(Debug)]
pub(super) enum Event {
    /// Connect was answered, with these words if it was refused.
    Connected(Result<(), String>),
    /// What the client says is heard from now on.
    Published,
    /// Command `index` was answered.
    Answered(usize, Result<(), String>),
    /// It calls back.
    Called(Callback),
    /// It says something that is not to be expected.
    Strange(String),
    /// A status code.
    Status(String),
    /// Audio or data of a call.
    Media(Message),
}

/// One connection.
pub(super) struct Session {
    plan: SipClientPlan,
    handshake: ClientHandshake,
    link: Link,
    shook_hands: bool,
    /// Commands that were given.
    orders: u32,
    local: u32,
}

impl Session {
    /// A session whose connection was established at `now`.
    pub(super) fn new(plan: SipClientPlan, now: Duration, entropy: Entropy<'_>) -> Self {
        let mut link = Link::new(LIMITS, now);
        let handshake = ClientHandshake::start(ClientForm::Simple, entropy, link.output_mut());
        Self { plan, handshake, link, shook_hands: false, orders: 0, local: 0 }
    }

    /// Gives a command, whose index is how many were given before.
    pub(super) fn give(&mut self, command: &Command) {
        let own = |codec: &super::super::phone::Codec| Value::from(codec.rtmp_name());
        let codecs = || self.plan.codecs.iter().map(own).chain([Value::from("dtmf")]);
        let (name, arguments): (&str, Vec<Value>) = match command {
            Command::Invite(to) => {
                ("invite", std::iter::once(to.as_str().into()).chain(codecs()).collect())
            }
            Command::Accept => ("accept", codecs().collect()),
            Command::Reject(None) => ("reject", Vec::new()),
            Command::Reject(Some(status)) => {
                ("reject", vec![format!("{status} Said So").as_str().into()])
            }
            Command::Bye => ("bye", Vec::new()),
            Command::SendDtmf(digit) => ("sendDTMF", vec![digit.to_string().as_str().into()]),
            Command::Hold(is_held) => ("hold", vec![(*is_held).into()]),
        };
        let transaction = FIRST_ORDER + self.orders;
        self.orders += 1;
        self.call(0, name, transaction, std::iter::once(Value::Null).chain(arguments).collect());
    }

    /// Sends audio or data of the client's voice.
    pub(super) fn send_media(&mut self, type_id: u8, timestamp_ms: u32, payload: Bytes) {
        let chunk_stream_id = match type_id {
            type_id::AUDIO => chunk_stream::AUDIO,
            _ => chunk_stream::DATA,
        };
        let message = Message { type_id, stream_id: self.local, timestamp_ms, payload };
        self.link.send_message(chunk_stream_id, &message);
    }

    fn call(&mut self, stream_id: u32, name: &str, transaction: u32, values: Vec<Value>) {
        let (name, transaction) = (name.to_owned(), f64::from(transaction));
        let command = RtmpCommand { name, transaction, values };
        self.link.send_command(stream_id, &command, Encoding::Amf0);
    }

    fn connect(&mut self) {
        let app = format!("sip/{}", self.plan.address);
        let object = Object::new().with("app", app.as_str()).with("flashVer", "WIN 11,0,1,152");
        let mut values = vec![object.into()];
        if let Some(password) = &self.plan.password {
            let (user, _) = self.plan.user_and_domain();
            values.extend([Value::from(user), Value::from(password.as_str())]);
        }
        self.call(0, "connect", CONNECT, values);
    }

    fn handle_command(&mut self, command: &RtmpCommand) -> Option<Event> {
        let is_done = match command.name.as_str() {
            "_result" => true,
            "_error" => false,
            "onStatus" => {
                let code = text_of(command, "code");
                let is_published = code == "NetStream.Publish.Start";
                return Some(if is_published { Event::Published } else { Event::Status(code) });
            }
            "onBWDone" => return None,
            name => {
                let arguments = command.values.get(1..).unwrap_or_default();
                return Some(match Callback::read(name, arguments) {
                    Some(callback) => Event::Called(callback),
                    None => Event::Strange(format!("{name} was called with {arguments:?}")),
                });
            }
        };
        let answer = || match is_done {
            true => Ok(()),
            false => Err(text_of(command, "description")),
        };
        let number = command.number(0).unwrap_or_default() as u32;
        match command.transaction as u32 {
            CONNECT => {
                if is_done {
                    let (speaks, plays) = (self.plan.voice.is_some(), self.plan.listens.is_some());
                    for (_, transaction) in [(speaks, CREATE_LOCAL), (plays, CREATE_REMOTE)]
                        .into_iter()
                        .filter(|it| it.0)
                    {
                        self.call(0, "createStream", transaction, vec![Value::Null]);
                    }
                }
                Some(Event::Connected(answer()))
            }
            CREATE_LOCAL if is_done => {
                self.local = number;
                let values = vec![Value::Null, "local".into(), "live".into()];
                self.call(number, "publish", USE_STREAM, values);
                None
            }
            CREATE_REMOTE if is_done => {
                self.call(number, "play", USE_STREAM, vec![Value::Null, "remote".into()]);
                None
            }
            transaction if (FIRST_ORDER..FIRST_ORDER + self.orders).contains(&transaction) => {
                Some(Event::Answered((transaction - FIRST_ORDER) as usize, answer()))
            }
            transaction => Some(Event::Strange(format!("{transaction} was answered"))),
        }
    }
}

impl ClientSide for Session {
    type Event = Event;

    fn handle_input(
        &mut self,
        now: Duration,
        input: &mut &[u8],
        entropy: Entropy<'_>,
    ) -> Result<Option<Event>, ClientError> {
        if !self.shook_hands {
            self.handshake.handle_input(input, entropy, self.link.output_mut())?;
            if !self.handshake.is_done() {
                return Ok(None);
            }
            self.shook_hands = true;
            self.connect();
        }
        while let Some(incoming) = self.link.handle_input(now, input)? {
            let event = match incoming {
                Incoming::User(_) => None,
                Incoming::Message(message) => match message.type_id {
                    type_id::COMMAND_AMF0 => self.handle_command(&RtmpCommand::parse(&message)?),
                    _ => Some(Event::Media(message)),
                },
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn poll_output(&mut self) -> Vec<u8> {
        self.link.poll_output()
    }

    fn peer_received_bytes(&self) -> u32 {
        self.link.peer_received_bytes()
    }
}

/// A word of the information object of an answer or a status.
fn text_of(command: &RtmpCommand, name: &str) -> String {
    let information = command.argument(0).and_then(Value::as_object);
    information.and_then(|object| object.get_str(name)).unwrap_or_default().to_owned()
}

impl Callback {
    /// What `name` tells with `arguments`; `None` if it must not be called like that.
    fn read(name: &str, arguments: &[Value]) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(match (name, arguments) {
            ("invited", [from, to]) => Self::Invited(text(from)?, text(to)?),
            ("cancelled", [from, to]) => Self::Cancelled(text(from)?, text(to)?),
            ("ringing", [status]) => Self::Ringing(text(status)?),
            // Every call names codecs.
            ("accepted", [audio, _]) => Self::Accepted(text(audio)),
            ("rejected", [status]) => Self::Rejected(text(status)?),
            ("byed", []) => Self::Byed,
            ("holded", [is_held]) => Self::Holded(is_held.as_bool()?),
            ("dtmf", [digit]) => {
                let digit = text(digit)?;
                Self::Dtmf(digit.chars().next().filter(|_| digit.len() == 1)?)
            }
            ("registrationLost", [status]) => Self::RegistrationLost(text(status)?),
            ("registered", []) => Self::Registered,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_have_the_arguments_that_are_documented_and_no_others() {
        let read = |name: &str, arguments: &[Value]| Callback::read(name, arguments);
        let ringing = Callback::Ringing("180 Ringing".to_owned());
        assert_eq!(read("ringing", &["180 Ringing".into()]), Some(ringing));
        assert_eq!(read("holded", &[true.into()]), Some(Callback::Holded(true)));
        assert_eq!(read("dtmf", &["#".into()]), Some(Callback::Dtmf('#')));
        let accepted = Callback::Accepted(Some("pcmu".to_owned()));
        assert_eq!(read("accepted", &["pcmu".into(), Value::Null]), Some(accepted));
        for (name, arguments) in [
            ("ringing", &[][..]),
            ("ringing", &[180.0.into()]),
            ("byed", &["why".into()]),
            ("holded", &["true".into()]),
            ("dtmf", &["12".into()]),
            ("dtmf", &["".into()]),
            ("accepted", &[]),
            ("whatever", &[]),
        ] {
            assert_eq!(read(name, arguments), None, "{name} {arguments:?}");
        }
    }
}
