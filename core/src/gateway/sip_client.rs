//! The application `sip` on an RTMP connection: a client is a user agent that calls and is called.
//!
//! It connects to `sip/user@domain`, is registered as that if it has a password, gives commands and is called back. Here words of
//! RTMP become orders at the phone gateway's desk ([`super::phone::desk`]), and its notices become words; what is published
//! and played goes the way of all streams.
//!
//! | command | arguments | |
//! |---|---|---|
//! | `invite` | address, codec… | call somebody |
//! | `accept` | codec… | take the call that comes in |
//! | `reject` | `"486 Busy Here"` | do not take it; 603 without a number |
//! | `bye` | | end the call, however far it has come |
//! | `sendDTMF` | one character | dial a digit in the call |
//! | `hold` | boolean | hold the call, or go on with it |
//!
//! | callback | arguments | |
//! |---|---|---|
//! | `invited` | from, to | somebody calls |
//! | `cancelled` | from, to | and does not wait any longer |
//! | `ringing` | `"180 Ringing"` | the one who is called is told |
//! | `accepted` | audio codec, video codec | the call is up; with arguments if codecs were named |
//! | `rejected` | `"486 Busy Here"` | the one who is called does not take the call, or it cannot be made |
//! | `byed` | | the call is over |
//! | `holded` | boolean | the other end holds the call, or goes on with it |
//! | `dtmf` | one character | the other end has dialled a digit |
//! | `registrationLost` | `"503 Service Unavailable"` | nobody can call until `registered` |
//! | `registered` | | a lost registration is there again |

mod arguments;

use std::{
    mem,
    net::IpAddr,
    task::{Context, Poll},
};

use thiserror::Error;

use self::arguments::{Refused, action, attachment};
use super::phone::desk::{After, Agreed, CallNotice, ClientRef, Desk, Overrun, Seat};
use crate::{
    amf::Value,
    config,
    rtmp::server::{ConnectRequest, ServerSession},
    sip::transport::customer,
};

/// Why a client is not served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Dismissed {
    #[error("the same user agent has connected elsewhere")]
    Replaced,
    #[error(transparent)]
    Overrun(#[from] Overrun),
}

/// How far the client's call has come, as far as it was told.
#[derive(Debug)]
enum Told {
    Nothing,
    Calling,
    /// From and to. In a box: most connections are no user agent's, and have room for this all the same.
    Invited(Box<(String, String)>),
    /// By the client, or by whom it has called.
    Taken,
}

/// A client of the application.
#[derive(Debug)]
pub(super) struct SipClient {
    seat: Seat,
    told: Told,
}

/// Whether `app` is an address of the application.
pub(super) fn is_sip(app: &str) -> bool {
    app == "sip" || app.starts_with("sip/")
}

impl SipClient {
    /// Asks for a client to be attached; its connect is answered later.
    ///
    /// # Errors
    /// It cannot be.
    pub(super) fn connect(
        config: &config::Sip,
        desk: Option<&Desk>,
        request: &ConnectRequest,
        ip: IpAddr,
    ) -> Result<Self, Refused> {
        let desk = desk.ok_or(Refused::Disabled)?;
        if config.client_domains.is_empty() {
            return Err(Refused::NoDomains);
        }
        let attachment = attachment(request, customer(ip))?;
        let domain = attachment.address.uri.as_sip().map(|uri| &uri.host);
        if !domain.is_some_and(|domain| config.serves_domain(domain)) {
            return Err(Refused::Domain);
        }
        let seat = desk.attach(attachment)?;
        Ok(Self { seat, told: Told::Nothing })
    }

    /// Who it is at the desk.
    pub(super) fn client(&self) -> ClientRef {
        self.seat.client()
    }

    /// Takes a command of the client's; one that nobody knows is answered and has no effect.
    pub(super) fn handle_command(
        &mut self,
        session: &mut ServerSession,
        name: &str,
        transaction: f64,
        arguments: &[Value],
    ) {
        let Some(action) = action(name, arguments) else {
            session.accept_command(transaction);
            return;
        };
        let ordered = action.and_then(|action| {
            self.seat.order(transaction, action).map_err(|busy| busy.to_string())
        });
        if let Err(reason) = ordered {
            refuse(session, transaction, &reason, name == "invite");
        }
    }

    /// Passes on the next thing that has happened, if there is one. False when the client is attached no more, or not at all, and
    /// knows it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut ServerSession,
    ) -> Poll<Result<bool, Dismissed>> {
        self.seat.poll_notice(cx).map(|notice| self.pass_on(session, notice?))
    }

    fn pass_on(
        &mut self,
        session: &mut ServerSession,
        notice: CallNotice,
    ) -> Result<bool, Dismissed> {
        let mut call = |name: &str, arguments: Vec<Value>| session.call_client(name, arguments);
        match notice {
            CallNotice::Attached => session.accept_caller(),
            CallNotice::NotAttached(reason) => {
                session.reject_connect(&reason);
                return Ok(false);
            }
            CallNotice::Replaced => return Err(Dismissed::Replaced),
            CallNotice::Done { transaction, after } => {
                match after {
                    After::Calling => self.told = Told::Calling,
                    After::Taken => self.told = Told::Taken,
                    After::Over => self.told = Told::Nothing,
                    After::Same => {}
                }
                session.accept_command(transaction);
            }
            CallNotice::NotDone { transaction, reason, is_invite } => {
                refuse(session, transaction, &reason, is_invite);
            }
            CallNotice::Invited { from, to } => {
                call("invited", vec![from.clone().into(), to.clone().into()]);
                self.told = Told::Invited(Box::new((from, to)));
            }
            CallNotice::Cancelled => {
                if let Told::Invited(both) = mem::replace(&mut self.told, Told::Nothing) {
                    call("cancelled", vec![both.0.into(), both.1.into()]);
                }
            }
            CallNotice::Ringing(status) => call("ringing", vec![status.into()]),
            CallNotice::Accepted(agreed) => {
                self.told = Told::Taken;
                let name = |codec: Option<&str>| codec.map_or(Value::Null, Value::from);
                let both = |Agreed { audio, video }| vec![name(audio), name(video)];
                call("accepted", agreed.map_or(Vec::new(), both));
            }
            CallNotice::Rejected(status) => {
                self.told = Told::Nothing;
                call("rejected", vec![status.into()]);
            }
            CallNotice::Byed => {
                self.told = Told::Nothing;
                call("byed", vec![]);
            }
            CallNotice::Holded(is_held) => call("holded", vec![is_held.into()]),
            CallNotice::Dtmf(digit) => call("dtmf", vec![digit.to_string().into()]),
            CallNotice::RegistrationLost(status) => call("registrationLost", vec![status.into()]),
            CallNotice::Registered => call("registered", vec![]),
        }
        Ok(true)
    }

    /// Tells the client that its call is over, because its connection is.
    pub(super) fn part(&mut self, session: &mut ServerSession) {
        match mem::replace(&mut self.told, Told::Nothing) {
            Told::Nothing => {}
            Told::Calling => {
                session.call_client("rejected", vec!["503 Service Unavailable".into()]);
            }
            Told::Invited(both) => {
                session.call_client("cancelled", vec![both.0.into(), both.1.into()]);
            }
            Told::Taken => session.call_client("byed", vec![]),
        }
    }
}

/// Answers a command that is not carried out. Of a call that cannot be made the client is told in its own way, too; one that it has
/// already goes on.
fn refuse(session: &mut ServerSession, transaction: f64, reason: &str, is_invite: bool) {
    if is_invite {
        session.call_client("rejected", vec![reason.into()]);
    }
    session.refuse_command(transaction, reason);
}
