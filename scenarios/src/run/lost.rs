//! What links have dropped of calls, and what came of them, as the fabric knows it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use rehearsal_core::sip::{
    ParseLimits,
    message::{Fields, Message},
    parse,
};
use rehearsal_sim::{ArrivedDatagram, LostDatagram, World};

use super::evidence::{Arrived, Lost, LostInCall, LostMessage};
use crate::plan::Plan;

/// Bytes of the fixed header of RTP (RFC 3550, 5.1).
const RTP_HEAD_BYTES: usize = 12;
/// Types of RTCP packets, where RTP has a marker and a payload type (RFC 5761, section 4).
const RTCP: std::ops::RangeInclusive<u8> = 192..=223;

/// What was lost in `world`, where `plan` began at `origin`, by the name of the phone's host.
pub(super) fn of_calls(
    world: &World,
    plan: &Plan,
    origin: Duration,
) -> BTreeMap<String, LostInCall> {
    let hosts = hosts(world, plan);
    let sip_port = plan.config.sip.listen.port();
    let mut lost: BTreeMap<String, LostInCall> = BTreeMap::new();
    for LostDatagram { at, from, to, content } in world.lost_datagrams() {
        let [own, other] = [from, to].map(|address| hosts.get(&IpAddr::V4(*address.ip())));
        let Some(host) = own.or(other) else { continue };
        let (at, is_of_phone) = (at.saturating_sub(origin), own.is_some());
        let its = lost.entry((*host).clone()).or_default();
        if from.port() != sip_port && to.port() != sip_port {
            its.packets.push(Lost { at, is_of_phone, packet: numbered(&content) });
        } else if let Some((is_request, method, branch)) = named(&content) {
            its.messages.push(LostMessage { at, is_of_phone, is_request, method, branch });
        }
    }
    lost
}

/// What came of phones over RTP, in `world`, where `plan` began at `origin`, by the name of the phone's host.
pub(super) fn arrived(
    world: &World,
    plan: &Plan,
    origin: Duration,
) -> BTreeMap<String, Vec<Arrived>> {
    let hosts = hosts(world, plan);
    let mut arrived: BTreeMap<String, Vec<Arrived>> = BTreeMap::new();
    for ArrivedDatagram { at, from, to, head } in world.arrived_datagrams() {
        let Some(host) = hosts.get(&IpAddr::V4(*from.ip())) else { continue };
        if to.port() == plan.config.sip.listen.port() {
            continue;
        }
        if let Some((ssrc, sequence)) = numbered(&head) {
            let timestamp = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            let at = at.saturating_sub(origin);
            let its = arrived.entry((*host).clone()).or_default();
            its.push(Arrived { at, ssrc, sequence, timestamp });
        }
    }
    arrived
}

/// The names of the hosts of phones, by their addresses.
fn hosts<'p>(world: &World, plan: &'p Plan) -> BTreeMap<IpAddr, &'p String> {
    let ip_of =
        |name: &str| world.hosts().iter().find(|host| host.name() == name).map(|it| it.ip());
    let hosts = plan.phones.iter().filter_map(|phone| Some((ip_of(&phone.host)?, &phone.host)));
    hosts.collect()
}

/// The source and the number of a packet of RTP.
fn numbered(content: &[u8]) -> Option<(u32, u16)> {
    let head = content.first_chunk::<RTP_HEAD_BYTES>()?;
    let is_rtp = head[0] >> 6 == 2 && !RTCP.contains(&head[1]);
    let sequence = u16::from_be_bytes([head[2], head[3]]);
    let ssrc = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    is_rtp.then_some((ssrc, sequence))
}

/// Whether a message asks, its method, and its branch.
fn named(content: &[u8]) -> Option<(bool, String, String)> {
    let limits = ParseLimits { message_bytes: content.len(), headers: content.len() };
    let (is_request, method, via) = match parse(content, &limits).ok()? {
        Message::Request(request) => (true, request.method.clone(), request.top_via()),
        Message::Response(response) => (false, response.cseq()?.method, response.top_via()),
    };
    Some((is_request, method.to_string(), via?.params.get("branch")?))
}
