//! What a call needs before it is up: a stream at each end of it, ports, and the task that carries its media.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tracing::debug;

use super::{
    Call, Owner, Phones,
    media::{Change, Line, Media, changes},
    notices::Over,
    refusal::Refusal,
    route::Destination,
    sockets::SocketPair,
};
use crate::{
    env::{Env, UdpSocket},
    sdp::{Codec, DescriptionLimits, Local, Negotiator},
    sip::{agent::CallRef, transport::Hop},
};

/// Port pairs that are tried for one call: others on this machine may have some.
const PORT_TRIES: usize = 20;
/// Formats of one media line.
const FORMATS_MAX: usize = 64;
/// Where nothing is received (RFC 863).
const DISCARD_PORT: u16 = 9;

/// All that a call needs, before anything has been agreed on.
pub(super) struct Prepared<E: Env> {
    pub(super) negotiator: Negotiator,
    line: Line,
    audio: SocketPair<E::UdpSocket>,
    video: Option<SocketPair<E::UdpSocket>>,
}

impl<E: Env> Phones<E> {
    /// Connects a call with its streams, as far as it is up with `talks`, and opens its ports. Without `codecs`, all that its
    /// streams let it carry may be agreed on.
    pub(super) async fn prepare(
        &mut self,
        destination: &Destination,
        codecs: Option<Vec<Codec>>,
        talks: bool,
    ) -> Result<Prepared<E>, Refusal> {
        let shared = Arc::clone(&self.shared);
        let codecs = match codecs {
            Some(codecs) => codecs,
            None => destination.codecs(&shared.live, &shared.config.sip.codecs)?,
        };
        let line = Line::connect(&shared, destination, talks)?;
        let audio = self.bind().await?;
        let negotiator = self.negotiator(codecs, audio.rtp.local_addr().port());
        Ok(Prepared { negotiator, line, audio, video: None })
    }

    /// Opens ports for video, too. Without them a call has none.
    pub(super) async fn prepare_video(&mut self, prepared: &mut Prepared<E>) {
        prepared.video = self.bind_video().await;
        let port = prepared.video.as_ref().map(|video| video.rtp.local_addr().port());
        prepared.negotiator.set_video_port(port);
    }

    /// The next free ports, for video; `None` if there are none.
    pub(super) async fn bind_video(&mut self) -> Option<SocketPair<E::UdpSocket>> {
        let bound = self.bind().await;
        bound.inspect_err(|refusal| debug!(%refusal, "a call has no video")).ok()
    }

    /// Whether anything that `offer` has can be carried here.
    pub(super) fn is_carried(&self, offer: &[u8]) -> bool {
        // No port is told to anybody.
        let mut negotiator = self.negotiator(self.shared.config.sip.codecs.clone(), DISCARD_PORT);
        negotiator.handle_offer(offer).is_ok()
    }

    fn negotiator(&self, codecs: Vec<Codec>, audio_port: u16) -> Negotiator {
        let sip = &self.shared.config.sip;
        let mut origin_id = [0; 8];
        self.shared.env.fill_random(&mut origin_id);
        Negotiator::new(Local {
            address: self.own_ip,
            audio_port,
            video_port: None,
            codecs,
            prefer_peers_order: false,
            h264_parameters: crate::sdp::Codec::H264_PARAMETERS.to_owned(),
            // As others do, small enough for a signed number of 64 bits.
            origin_id: u64::from_be_bytes(origin_id) >> 2,
            limits: DescriptionLimits {
                body_bytes: sip.max_message_bytes,
                media_lines: sip.max_media_lines,
                formats: FORMATS_MAX,
            },
        })
    }

    /// The call has come to nothing; its ports were never told to anybody.
    pub(super) fn give_back(&mut self, prepared: Prepared<E>) {
        for sockets in [Some(prepared.audio), prepared.video].into_iter().flatten() {
            self.ports.put_back(sockets.into_ports());
        }
    }

    /// The call is made, or taken: from now on a task carries what is agreed on, to and from a peer at `source`. If its phone has
    /// to answer first, it is heard on `awaits` then.
    pub(super) fn connect(
        &mut self,
        call: CallRef,
        owner: Owner,
        prepared: Prepared<E>,
        source: Hop,
        awaits: Option<Box<str>>,
    ) {
        let Prepared { negotiator, line, audio, video } = prepared;
        let only_hears = awaits.is_none() && line.publisher.is_none();
        let (media, changes) = changes();
        let carrying = Media::new(
            Arc::clone(&self.shared),
            call,
            source.address.ip(),
            line,
            (audio, video),
            changes,
            Arc::clone(&self.notices),
        );
        let over = Over::new(Arc::clone(&self.notices), call);
        self.tasks.spawn_paced(async move {
            // Told of however it ends.
            let _over = over;
            carrying.run().await;
        });
        let own = Call { owner, rings: false, awaits, only_hears, negotiator, media, source };
        self.calls.insert(call, own);
    }

    /// Opens the next free ports.
    async fn bind(&mut self) -> Result<SocketPair<E::UdpSocket>, Refusal> {
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
                Ok(sockets) => {
                    return Ok(SocketPair::new(Arc::clone(&self.notices), pair, sockets));
                }
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
    pub(super) fn instruct(&mut self, call: CallRef, change: Change<E::UdpSocket>) {
        let Some(own) = self.calls.get(&call) else { return };
        if !own.media.tell(change) {
            tracing::warn!(peer = %own.source, "a call ends: it changes faster than it can be followed");
            self.hang_up(call);
        }
    }
}
