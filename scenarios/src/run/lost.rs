//! What links have dropped of the audio of calls, as the fabric knows it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use rehearsal_sim::{LostDatagram, World};

use super::evidence::Lost;
use crate::plan::Plan;

/// Types of RTCP packets, where RTP has a marker and a payload type (RFC 5761, section 4).
const RTCP: std::ops::RangeInclusive<u8> = 192..=223;

/// What was lost in `world`, where `plan` began at `origin`, by the name of the phone's host.
pub(super) fn of_calls(
    world: &World,
    plan: &Plan,
    origin: Duration,
) -> BTreeMap<String, Vec<Lost>> {
    let ip_of =
        |name: &str| world.hosts().iter().find(|host| host.name() == name).map(|it| it.ip());
    let hosts = plan.phones.iter().filter_map(|phone| Some((ip_of(&phone.host)?, &phone.host)));
    let hosts: BTreeMap<IpAddr, &String> = hosts.collect();
    let sip_port = plan.config.sip.listen.port();
    let mut lost: BTreeMap<String, Vec<Lost>> = BTreeMap::new();
    for LostDatagram { at, from, to, head } in world.lost_datagrams() {
        let [own, other] = [from, to].map(|address| hosts.get(&IpAddr::V4(*address.ip())));
        let Some(host) = own.or(other) else { continue };
        if from.port() == sip_port || to.port() == sip_port {
            continue;
        }
        let is_rtp = head[0] >> 6 == 2 && !RTCP.contains(&head[1]);
        let sequence = u16::from_be_bytes([head[2], head[3]]);
        let ssrc = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let (at, packet) = (at.saturating_sub(origin), is_rtp.then_some((ssrc, sequence)));
        let it = Lost { at, is_of_phone: own.is_some(), packet };
        lost.entry((*host).clone()).or_default().push(it);
    }
    lost
}
