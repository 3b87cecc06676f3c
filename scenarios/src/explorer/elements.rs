//! What a plan consists of, one by one, so that any of it can be taken away.

use crate::plan::Plan;

/// Something in a plan, by its index among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A fault.
    Fault(usize),
    /// A fault point of the gateway, by its place among their names.
    FaultPoint(usize),
    /// A stranger.
    Stranger(usize),
    /// A raw client.
    RawClient(usize),
    /// What befalls a message of a phone, by the phone's index and its own.
    MessageFault(usize, usize),
    /// Something that a client of the application `sip` wants, by the client's index and its own.
    Order(usize, usize),
    /// A client of the application `sip`.
    SipClient(usize),
    /// A phone.
    Phone(usize),
    /// A crowd.
    Crowd(usize),
    /// A player.
    Player(usize),
    /// A publisher.
    Publisher(usize),
}

/// Everything in `plan`, what matters least first.
pub fn all(plan: &Plan) -> Vec<Element> {
    let mut all: Vec<_> = (0..plan.faults.len()).map(Element::Fault).collect();
    all.extend((0..plan.fault_points.len()).map(Element::FaultPoint));
    all.extend((0..plan.strangers.len()).map(Element::Stranger));
    all.extend((0..plan.raw_clients.len()).map(Element::RawClient));
    for (phone, index) in plan.phones.iter().zip(0..) {
        let faults = 0..phone.plan.message_faults.len();
        all.extend(faults.map(|fault| Element::MessageFault(index, fault)));
    }
    for (client, index) in plan.sip_clients.iter().zip(0..) {
        let orders = 0..client.plan.orders.len();
        all.extend(orders.map(|order| Element::Order(index, order)));
    }
    all.extend((0..plan.sip_clients.len()).map(Element::SipClient));
    all.extend((0..plan.phones.len()).map(Element::Phone));
    all.extend((0..plan.crowds.len()).map(Element::Crowd));
    all.extend((0..plan.players.len()).map(Element::Player));
    all.extend((0..plan.publishers.len()).map(Element::Publisher));
    all
}

/// `plan` with nothing but `kept`, which is in order; faults of hosts that are gone go with them. All else is as it was.
pub fn only(plan: &Plan, kept: &[Element]) -> Plan {
    let has = |element: Element| kept.binary_search(&element).is_ok();
    let mut less = plan.clone();
    less.faults = of(&plan.faults, |index| has(Element::Fault(index)));
    let mut points = (0..).map(Element::FaultPoint);
    less.fault_points.retain(|_, _| points.next().is_some_and(has));
    less.strangers = of(&plan.strangers, |index| has(Element::Stranger(index)));
    less.raw_clients = of(&plan.raw_clients, |index| has(Element::RawClient(index)));
    for (phone, index) in less.phones.iter_mut().zip(0..) {
        let faults = &phone.plan.message_faults;
        phone.plan.message_faults = of(faults, |fault| has(Element::MessageFault(index, fault)));
    }
    for (client, index) in less.sip_clients.iter_mut().zip(0..) {
        let orders = &client.plan.orders;
        client.plan.orders = of(orders, |order| has(Element::Order(index, order)));
    }
    less.sip_clients = of(&less.sip_clients, |index| has(Element::SipClient(index)));
    less.phones = of(&less.phones, |index| has(Element::Phone(index)));
    less.crowds = of(&plan.crowds, |index| has(Element::Crowd(index)));
    less.players = of(&plan.players, |index| has(Element::Player(index)));
    less.publishers = of(&plan.publishers, |index| has(Element::Publisher(index)));
    let hosts = less.hosts();
    less.faults.retain(|fault| fault.hosts().all(|host| hosts.iter().any(|name| name == host)));
    less
}

fn of<T: Clone>(all: &[T], is_kept: impl Fn(usize) -> bool) -> Vec<T> {
    all.iter().enumerate().filter(|(index, _)| is_kept(*index)).map(|(_, it)| it.clone()).collect()
}
