//! What a call needs before it is up: a stream at each end of it, ports, and the task that carries its media.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    Call, Owner, Phones,
    media::{Change, Line, Media},
    notices::Over,
    refusal::Refusal,
    route::Destination,
};
use crate::{
    env::{Env, UdpSocket},
    rtp::ports::PortPair,
    sdp::{DescriptionLimits, Local, Negotiator},
    sip::{agent::CallRef, transport::Hop},
};

/// Port pairs that are tried for one call: others on this machine may have some.
const PORT_TRIES: usize = 20;
/// Changes of a call that its media task has not made yet; one more ends the call.
const CHANGES_MAX: usize = 8;
/// Formats of one media line.
const FORMATS_MAX: usize = 64;

/// All that a call needs, before anything has been agreed on.
pub(super) struct Prepared<E: Env> {
    pub(super) negotiator: Negotiator,
    line: Line,
    ports: PortPair,
    sockets: (E::UdpSocket, E::UdpSocket),
}

impl<E: Env> Phones<E> {
    /// Connects a call with its streams, and opens its ports.
    pub(super) async fn prepare(
        &mut self,
        destination: &Destination,
    ) -> Result<Prepared<E>, Refusal> {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let codecs = destination.codecs(&shared.live, &config.sip.codecs)?;
        let line = Line::connect(&shared, destination)?;
        let (ports, rtp, rtcp) = self.bind().await?;
        let mut origin_id = [0; 8];
        shared.env.fill_random(&mut origin_id);
        let negotiator = Negotiator::new(Local {
            address: self.own_ip,
            audio_port: ports.rtp(),
            video_port: None,
            codecs,
            prefer_peers_order: false,
            h264_parameters: crate::sdp::Codec::H264_PARAMETERS.to_owned(),
            // As others do, small enough for a signed number of 64 bits.
            origin_id: u64::from_be_bytes(origin_id) >> 2,
            limits: DescriptionLimits {
                body_bytes: config.sip.max_message_bytes,
                media_lines: config.sip.max_media_lines,
                formats: FORMATS_MAX,
            },
        });
        Ok(Prepared { negotiator, line, ports, sockets: (rtp, rtcp) })
    }

    /// The call has come to nothing; its ports were never told to anybody.
    pub(super) fn give_back(&mut self, prepared: Prepared<E>) {
        drop(prepared.sockets);
        self.ports.put_back(prepared.ports);
    }

    /// The call is made, or taken: from now on a task carries what is agreed on, to and from a peer at `source`.
    pub(super) fn connect(
        &mut self,
        call: CallRef,
        owner: Owner,
        prepared: Prepared<E>,
        source: Hop,
    ) {
        let Prepared { negotiator, line, ports, sockets } = prepared;
        let (media, changes) = mpsc::channel(CHANGES_MAX);
        let carrying = Media::new(
            Arc::clone(&self.shared),
            call,
            source.address.ip(),
            line,
            sockets,
            changes,
            Arc::clone(&self.notices),
        );
        let over = Over::new(Arc::clone(&self.notices), call, ports);
        self.tasks.spawn(async move {
            // Told of however it ends.
            let _over = over;
            carrying.run().await;
        });
        self.calls.insert(call, Call { owner, negotiator, media, source });
    }

    /// Opens the next free ports.
    async fn bind(&mut self) -> Result<(PortPair, E::UdpSocket, E::UdpSocket), Refusal> {
        let ip: IpAddr = self.socket.local_addr().ip();
        let mut tries = 0;
        loop {
            let pair = self.ports.allocate(self.now())?;
            let rtp = self.shared.env.bind_udp(SocketAddr::new(ip, pair.rtp())).await;
            let bound = match rtp {
                Ok(rtp) => {
                    let rtcp = self.shared.env.bind_udp(SocketAddr::new(ip, pair.rtcp())).await;
                    rtcp.map(|rtcp| (rtp, rtcp))
                }
                Err(error) => Err(error),
            };
            tries += 1;
            match bound {
                Ok((rtp, rtcp)) => return Ok((pair, rtp, rtcp)),
                Err(error) => {
                    self.ports.release(self.now(), pair);
                    if tries == PORT_TRIES {
                        return Err(Refusal::Bind(error));
                    }
                }
            }
        }
    }

    /// What is agreed on for a call, or that its peer knows it, goes to the task that carries its media.
    pub(super) fn instruct(&mut self, call: CallRef, change: Change) {
        let Some(own) = self.calls.get(&call) else { return };
        if own.media.try_send(change).is_err() {
            tracing::warn!(peer = %own.source, "a call ends: it changes faster than it can be followed");
            self.hang_up(call);
        }
    }
}
