//! Between RTMP connections of the application `sip` and the phone gateway: what clients want, and what happens to them.
//!
//! A client has a [`Seat`] as long as its connection asks to be one, and gives its orders there; the phone gateway takes those of
//! all clients in their order. The other way round each client has a few notices that its connection has still to pass on. One
//! that does not take them is overrun, and its connection ends.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use thiserror::Error;
use tokio::sync::Notify;

use crate::{
    sdp::Codec,
    sip::{digest::Credentials, fields::NameAddr},
};

/// Orders of one client that are not answered yet; one more is refused.
const ORDERS_MAX: usize = 32;
/// Notices that one client has not taken besides the answers to its orders; one more overruns it.
const NOTICES_MAX: usize = 64;

/// A client of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientRef(u64);

impl ClientRef {
    /// The stream that the client publishes, and its calls hear.
    pub(crate) fn local(self) -> String {
        self.stream("local")
    }

    /// The stream that the client's calls publish, and it plays.
    pub(crate) fn remote(self) -> String {
        self.stream("remote")
    }

    /// Nobody else can name it: names of streams have no control characters, in no protocol.
    fn stream(self, name: &str) -> String {
        format!("\0sip/{}/{name}", self.0)
    }
}

/// What a client is attached with.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// As whom it calls, and is called.
    pub(crate) address: NameAddr,
    /// What proves it; without, the client is not registered and not called.
    pub(crate) credentials: Option<Credentials>,
    /// What is agreed on in calls for which it says nothing else.
    pub(crate) codecs: Vec<Codec>,
    /// Where its connection comes from.
    pub(crate) ip: IpAddr,
}

/// What a client wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// To be attached, which [`CallNotice::Attached`] answers, or [`CallNotice::NotAttached`].
    Attach(Box<Attachment>),
    /// To be forgotten, with its call.
    Detach,
    /// To do something, which [`CallNotice::Done`] answers, or [`CallNotice::NotDone`].
    Do {
        /// Number of the client's command.
        transaction: f64,
        /// What.
        action: Action,
    },
}

/// What a client wants to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// To call somebody. Without codecs those of the attachment are meant.
    Invite { to: NameAddr, codecs: Option<Vec<Codec>> },
    /// To take the call that comes in.
    Accept { codecs: Option<Vec<Codec>> },
    /// Not to take it.
    Reject { status: u16 },
    /// To end the call, however far it has come.
    Bye,
    /// To dial a digit in the call.
    SendDtmf(crate::rtp::dtmf::Digit),
    /// To hold the call, or to go on with it.
    Hold(bool),
}

/// What has happened to a client.
#[derive(Debug, PartialEq)]
pub(crate) enum CallNotice {
    /// It is attached.
    Attached,
    /// It is not, and forgotten; why.
    NotAttached(String),
    /// Another has attached with its address, and it is forgotten.
    Replaced,
    /// What it wanted is done, or on its way.
    Done { transaction: f64, after: After },
    /// What it wanted cannot be; why. Of a call that cannot be made it is told in another way, too.
    NotDone { transaction: f64, reason: String, is_invite: bool },
    /// Somebody calls.
    Invited { from: String, to: String },
    /// Who called does not wait any longer.
    Cancelled,
    /// The one who is called is told so, in words such as "180 Ringing".
    Ringing(String),
    /// The call is up; with what, if the client said what it can.
    Accepted(Option<Agreed>),
    /// The one who is called does not take the call.
    Rejected(String),
    /// The call is over.
    Byed,
    /// The other end holds the call, or goes on with it.
    Holded(bool),
    /// The other end has dialled a digit.
    Dtmf(char),
    /// The registration could not be refreshed.
    RegistrationLost(String),
    /// It is refreshed again.
    Registered,
}

/// What becomes of a client's call by something that it wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It is being made.
    Calling,
    /// It is taken.
    Taken,
    /// It is over.
    Over,
    /// It is as it was.
    Same,
}

/// What was agreed on, in the words of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// `speex`, `pcmu` or `pcma`.
    pub(crate) audio: Option<&'static str>,
    /// `h264`.
    pub(crate) video: Option<&'static str>,
}

/// Nobody more can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Full {
    #[error("there are {0} clients already, the limit sip.max_clients")]
    All(usize),
    #[error("there are {0} clients at this address already, the limit sip.max_clients_per_address")]
    Address(usize),
}

/// Too many orders at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many commands at a time")]
pub(crate) struct Busy;

/// A client has not taken its notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the client does not take what it is told of its calls")]
pub(crate) struct Overrun;

/// A handle; all clones are of one desk.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clients_max: usize,
    clients_per_address_max: usize,
    state: Mutex<State>,
    is_told: Notify,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    mailboxes: BTreeMap<ClientRef, Mailbox>,
    orders: VecDeque<(ClientRef, Order)>,
}

/// What one client has still to be told.
#[derive(Debug)]
struct Mailbox {
    notices: VecDeque<CallNotice>,
    ip: IpAddr,
    /// Its connection.
    waker: Option<Waker>,
    /// Orders that are not answered.
    unanswered: usize,
    is_overrun: bool,
}

impl Desk {
    /// A desk for so many clients, and for so many that come from one address.
    pub(crate) fn new(clients_max: usize, clients_per_address_max: usize) -> Self {
        let (state, is_told) = (Mutex::default(), Notify::new());
        let shared = Shared { clients_max, clients_per_address_max, state, is_told };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a client to be attached.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn attach(&self, attachment: Attachment) -> Result<Seat, Full> {
        let mut state = self.state();
        let clients = state.mailboxes.len();
        if clients >= self.shared.clients_max {
            return Err(Full::All(clients));
        }
        let ip = attachment.ip;
        let own = state.mailboxes.values().filter(|mailbox| mailbox.ip == ip).count();
        if own >= self.shared.clients_per_address_max {
            return Err(Full::Address(own));
        }
        state.last += 1;
        let client = ClientRef(state.last);
        let (notices, waker) = (VecDeque::new(), None);
        let mailbox = Mailbox { notices, ip, waker, unanswered: 0, is_overrun: false };
        state.mailboxes.insert(client, mailbox);
        state.orders.push_back((client, Order::Attach(Box::new(attachment))));
        drop(state);
        self.shared.is_told.notify_one();
        Ok(Seat { desk: self.clone(), client })
    }

    /// Waits for orders. Cancel safe.
    pub(super) async fn told(&self) {
        self.shared.is_told.notified().await;
    }

    /// All orders, in the order in which they were given.
    pub(super) fn take(&self) -> VecDeque<(ClientRef, Order)> {
        std::mem::take(&mut self.state().orders)
    }

    /// Tells a client something, if it is still there.
    pub(super) fn tell(&self, client: ClientRef, notice: CallNotice) {
        let mut state = self.state();
        let Some(mailbox) = state.mailboxes.get_mut(&client) else { return };
        if mailbox.notices.len() >= NOTICES_MAX + ORDERS_MAX {
            mailbox.is_overrun = true;
        } else {
            mailbox.notices.push_back(notice);
        }
        let waker = mailbox.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A client's place at the desk, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    desk: Desk,
    client: ClientRef,
}

impl Seat {
    /// The client.
    pub(crate) fn client(&self) -> ClientRef {
        self.client
    }

    /// Gives an order.
    ///
    /// # Errors
    /// Too many are not answered.
    pub(crate) fn order(&self, transaction: f64, action: Action) -> Result<(), Busy> {
        let mut state = self.desk.state();
        let mailbox = state.mailboxes.get_mut(&self.client).expect("a seat has a mailbox");
        if mailbox.unanswered >= ORDERS_MAX {
            return Err(Busy);
        }
        mailbox.unanswered += 1;
        state.orders.push_back((self.client, Order::Do { transaction, action }));
        drop(state);
        self.desk.shared.is_told.notify_one();
        Ok(())
    }

    /// The next thing that has happened; the task of `cx` is woken for one that comes later.
    pub(crate) fn poll_notice(&self, cx: &mut Context<'_>) -> Poll<Result<CallNotice, Overrun>> {
        let mut state = self.desk.state();
        let mailbox = state.mailboxes.get_mut(&self.client).expect("a seat has a mailbox");
        if mailbox.is_overrun {
            return Poll::Ready(Err(Overrun));
        }
        let Some(notice) = mailbox.notices.pop_front() else {
            // What waits for nothing holds nothing.
            mailbox.notices = VecDeque::new();
            mailbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if matches!(notice, CallNotice::Done { .. } | CallNotice::NotDone { .. }) {
            mailbox.unanswered -= 1;
        }
        Poll::Ready(Ok(notice))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.mailboxes.remove(&self.client);
        // An empty map would keep its last node.
        if state.mailboxes.is_empty() {
            state.mailboxes = BTreeMap::new();
        }
        state.orders.push_back((self.client, Order::Detach));
        drop(state);
        self.desk.shared.is_told.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::uri::Uri;

    fn seat(desk: &Desk) -> Result<Seat, Full> {
        let address = NameAddr::new(Uri::parse("sip:bob@192.0.2.1").unwrap());
        let ip = IpAddr::from([192, 0, 2, 9]);
        desk.attach(Attachment { address, credentials: None, codecs: Vec::new(), ip })
    }

    fn next(seat: &Seat) -> Poll<Result<CallNotice, Overrun>> {
        seat.poll_notice(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_client_more_of_an_address_has_no_seat_but_others_have() {
        let desk = Desk::new(9, 1);
        let _first = seat(&desk).unwrap();
        assert_eq!(seat(&desk).err(), Some(Full::Address(1)));
        let address = NameAddr::new(Uri::parse("sip:bob@192.0.2.1").unwrap());
        let ip = IpAddr::from([192, 0, 2, 8]);
        desk.attach(Attachment { address, credentials: None, codecs: Vec::new(), ip }).unwrap();
    }

    #[test]
    fn one_client_more_than_allowed_has_no_seat_until_another_leaves() {
        let desk = Desk::new(1, 9);
        let first = seat(&desk).unwrap();
        assert_eq!(seat(&desk).err(), Some(Full::All(1)));
        drop(first);
        let second = seat(&desk).unwrap();
        let orders: Vec<_> = desk.take().into_iter().collect();
        assert!(
            matches!(
                &orders[..],
                [(a, Order::Attach(_)), (b, Order::Detach), (c, Order::Attach(_))]
                    if a == b && *c == second.client()
            ),
            "{orders:?}"
        );
    }

    #[test]
    fn a_client_has_so_many_orders_until_they_are_answered() {
        let desk = Desk::new(1, 9);
        let seat = seat(&desk).unwrap();
        for number in 0..ORDERS_MAX {
            assert_eq!(seat.order(number as f64, Action::Bye), Ok(()));
        }
        assert_eq!(seat.order(99.0, Action::Bye), Err(Busy));
        let done = || CallNotice::Done { transaction: 0.0, after: After::Over };
        desk.tell(seat.client(), done());
        assert_eq!(next(&seat), Poll::Ready(Ok(done())));
        assert_eq!(seat.order(99.0, Action::Bye), Ok(()));
        assert_eq!(next(&seat), Poll::Pending);
    }

    #[test]
    fn a_client_that_does_not_take_its_notices_is_overrun() {
        let desk = Desk::new(1, 9);
        let seat = seat(&desk).unwrap();
        for _ in 0..NOTICES_MAX + ORDERS_MAX {
            desk.tell(seat.client(), CallNotice::Dtmf('5'));
        }
        assert_eq!(next(&seat), Poll::Ready(Ok(CallNotice::Dtmf('5'))));
        desk.tell(seat.client(), CallNotice::Dtmf('6'));
        desk.tell(seat.client(), CallNotice::Dtmf('7'));
        assert_eq!(next(&seat), Poll::Ready(Err(Overrun)));
    }
}
