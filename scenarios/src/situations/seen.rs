//! Situations that show in what a run leaves.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_sim::clients::{
    publisher::PublishReport,
    sip_client::{Callback, TalkEnd},
    verify::Kind,
};

use super::{Situation, Witness};
use crate::{
    fault::Lever,
    plan::Protocol,
    run::{Evidence, Life},
};

/// Where the times of RTMP need an extended timestamp, and where they are negative for those who read them as signed.
const EXTENDED_MS: u32 = 0x00FF_FFFF;
const NEGATIVE_MS: u32 = 1 << 31;

/// All of them.
pub(super) const SITUATIONS: [Situation; 31] = [
    Situation {
        name: "a stream is published again while a player stays",
        families: &["live", "churn", "leak"],
        witness: Witness::Evidence(|run| {
            run.players.iter().any(|player| {
                let epochs = player.received.iter().filter_map(|seen| Some(seen.stamp?.epoch));
                let mut epochs: Vec<u32> = epochs.collect();
                epochs.dedup();
                epochs.len() > 1
            })
        }),
    },
    Situation {
        name: "a publisher is refused because the name is taken",
        families: &["churn", "leak"],
        witness: Witness::Evidence(|run| is_refused(run, "NetStream.Publish.BadName")),
    },
    Situation {
        name: "a publisher is refused because there are too many streams",
        families: &["exhaust", "leak"],
        witness: Witness::Evidence(|run| is_refused(run, "NetStream.Publish.Denied")),
    },
    Situation {
        name: "two publishers of one name come within 10 ms",
        families: &["churn"],
        witness: Witness::Evidence(|run| {
            let mut starts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            for publisher in &run.plan.publishers {
                let plan = &publisher.plan;
                starts.entry(&plan.stream).or_default().push(plan.start_ms);
            }
            starts.values_mut().any(|starts| {
                starts.sort_unstable();
                starts.windows(2).any(|pair| pair[1] - pair[0] <= 10)
            })
        }),
    },
    Situation {
        name: "a player waits for its publisher",
        families: &["live"],
        witness: Witness::Evidence(|run| {
            run.plan.players.iter().zip(&run.players).any(|(player, report)| {
                let first = report.received.first();
                let waited = Duration::from_millis(player.plan.start_ms + 2_000);
                first.is_some_and(|first| first.at > waited)
            })
        }),
    },
    Situation {
        name: "a player resynchronises at a keyframe after a gap",
        families: &["live", "slow", "lossy"],
        witness: Witness::Evidence(|run| run.players.iter().any(|player| player.gaps > 0)),
    },
    Situation {
        name: "a player over RTMP stalls, and goes on",
        families: &["live", "slow", "leak"],
        witness: Witness::Evidence(|run| stalls_and_goes_on(run, Protocol::Rtmp)),
    },
    Situation {
        name: "a viewer over HTTP-FLV stalls, and goes on",
        families: &["live", "slow", "leak"],
        witness: Witness::Evidence(|run| stalls_and_goes_on(run, Protocol::HttpFlv)),
    },
    Situation {
        name: "a viewer is answered that nobody publishes",
        families: &["live", "churn", "leak"],
        witness: Witness::Evidence(|run| {
            run.players.iter().any(|player| player.end == "status 404")
        }),
    },
    Situation {
        name: "a viewer is answered that there is no room",
        families: &["exhaust", "leak"],
        witness: Witness::Evidence(|run| {
            run.players.iter().any(|player| player.end == "status 503")
        }),
    },
    Situation {
        name: "a publisher that falls silent is closed",
        families: &["churn"],
        witness: Witness::Evidence(|run| {
            run.publishers.iter().any(|p| is_there(p) && p.end == "closed by the server")
        }),
    },
    Situation {
        name: "a publisher is reset",
        families: &["churn", "leak"],
        witness: Witness::Evidence(|run| {
            pulled(run, "publisher", |lever| *lever == Lever::ResetConnections)
        }),
    },
    Situation {
        name: "a client vanishes into a black hole",
        families: &["close", "slow", "churn", "leak"],
        witness: Witness::Evidence(|run| pulled(run, "", |lever| *lever == Lever::BlackHole(true))),
    },
    Situation {
        name: "a player's host crashes",
        families: &["churn", "leak"],
        witness: Witness::Evidence(|run| run.players.iter().any(|player| player.end == "crashed")),
    },
    Situation {
        name: "a NAT forgets a publisher's connection",
        families: &["churn"],
        witness: Witness::Evidence(|run| {
            pulled(run, "publisher", |lever| *lever == Lever::RebindNat)
        }),
    },
    Situation {
        name: "the gateway is told to end while somebody publishes",
        families: &["stop", "leak"],
        witness: Witness::Evidence(|run| {
            ends_while_published(run, |lever| *lever == Lever::ShutDown)
        }),
    },
    Situation {
        name: "the gateway crashes while somebody publishes",
        families: &["stop", "leak"],
        witness: Witness::Evidence(|run| ends_while_published(run, |lever| *lever == Lever::Crash)),
    },
    Situation {
        name: "the gateway comes back and serves",
        families: &["stop", "leak"],
        witness: Witness::Evidence(|run| {
            run.lives.len() > 1
                && matches!(run.lives[0], Life::Crashed | Life::ToldToEnd { .. })
                && run.publishers.last().is_some_and(|publisher| publisher.refused.is_none())
        }),
    },
    Situation {
        name: "the gateway stands still for a while",
        families: &["stop"],
        witness: Witness::Evidence(|run| {
            pulled(run, "gateway", |lever| *lever == Lever::Frozen(true))
        }),
    },
    Situation {
        name: "the gateway runs out of descriptors",
        families: &["exhaust"],
        witness: Witness::Evidence(|run| {
            pulled(run, "gateway", |lever| matches!(lever, Lever::DescriptorLimit(Some(_))))
        }),
    },
    Situation {
        name: "connections die before they are accepted",
        families: &["exhaust"],
        witness: Witness::Evidence(|run| {
            pulled(run, "gateway", |lever| matches!(lever, Lever::FailAccepts(1..)))
        }),
    },
    Situation {
        name: "the wall clock is set back",
        families: &["clock"],
        witness: Witness::Evidence(|run| {
            pulled(run, "gateway", |lever| matches!(lever, Lever::StepWallClock(..0)))
        }),
    },
    Situation {
        name: "reads and writes move a byte or so",
        families: &["segments"],
        witness: Witness::Evidence(|run| {
            pulled(run, "", |lever| matches!(lever, Lever::ShortIo(Some(_))))
        }),
    },
    Situation {
        name: "what was lost is sent again after a timeout",
        families: &["lossy", "close", "slow"],
        witness: Witness::Evidence(|run| {
            run.host.as_ref().is_some_and(|host| !host.waits.is_empty())
        }),
    },
    Situation {
        name: "bytes of the gateway's wait for a second and more",
        families: &["lossy", "slow"],
        witness: Witness::Evidence(|run| {
            let unsent = run.host.iter().flat_map(|host| host.unsent.values());
            unsent.max().is_some_and(|longest| *longest >= Duration::from_secs(1))
        }),
    },
    Situation {
        name: "a stream's times need extended timestamps",
        families: &["wrap"],
        witness: Witness::Evidence(|run| {
            has_sent(run, |before, after| before < EXTENDED_MS && EXTENDED_MS <= after)
        }),
    },
    Situation {
        name: "a stream's times pass 2^31",
        families: &["wrap"],
        witness: Witness::Evidence(|run| {
            has_sent(run, |before, after| before < NEGATIVE_MS && NEGATIVE_MS <= after)
        }),
    },
    Situation {
        name: "a stream's times begin again at 0",
        families: &["wrap"],
        witness: Witness::Evidence(|run| {
            has_sent(run, |before, after| before > after && before - after > NEGATIVE_MS)
        }),
    },
    Situation {
        name: "a stream has one track only",
        families: &["live"],
        witness: Witness::Evidence(|run| {
            let has = |kinds: &[Kind], publisher: &PublishReport| {
                publisher.sent.iter().any(|sent| kinds.contains(&sent.kind))
            };
            run.publishers.iter().filter(|publisher| !publisher.sent.is_empty()).any(|publisher| {
                has(&[Kind::Audio], publisher) != has(&[Kind::Keyframe, Kind::Inter], publisher)
            })
        }),
    },
    Situation {
        name: "a user agent loses its registration, and has it again",
        families: &["sip"],
        witness: Witness::Evidence(|run| {
            let mut told = run.sip_clients.iter().flat_map(|client| &client.callbacks);
            told.any(|(_, callback)| *callback == Callback::Registered)
        }),
    },
    Situation {
        name: "the connection of a user agent is over in mid-call",
        families: &["sip", "swarm"],
        witness: Witness::Evidence(|run| {
            let mut talks = run.sip_clients.iter().flat_map(|client| &client.talks);
            talks.any(|talk| {
                let end = talk.ended.map(|(_, end)| end);
                talk.up_at.is_some() && end == Some(TalkEnd::Disconnected)
            })
        }),
    },
];

fn is_refused(run: &Evidence, code: &str) -> bool {
    run.publishers.iter().any(|publisher| publisher.refused.as_deref() == Some(code))
}

fn is_there(publisher: &PublishReport) -> bool {
    publisher.refused.is_none() && !publisher.sent.is_empty()
}

fn stalls_and_goes_on(run: &Evidence, protocol: Protocol) -> bool {
    run.plan.players.iter().zip(&run.players).any(|(player, report)| {
        let again = player.plan.stall.map(|stall| Duration::from_millis(stall.to_ms + 1_000));
        let last = report.received.last().map(|last| last.at);
        player.protocol == protocol && again.is_some() && last > again
    })
}

/// Whether a lever was pulled at a host whose name begins so.
fn pulled(run: &Evidence, host: &str, is_it: impl Fn(&Lever) -> bool) -> bool {
    run.plan.faults.iter().any(|fault| fault.host.starts_with(host) && is_it(&fault.lever))
}

fn ends_while_published(run: &Evidence, is_it: impl Fn(&Lever) -> bool) -> bool {
    let ends =
        run.plan.faults.iter().filter(|fault| fault.host == "gateway" && is_it(&fault.lever));
    ends.map(|fault| fault.at_ms).any(|at_ms| {
        run.plan.publishers.iter().any(|publisher| {
            let start_ms = publisher.plan.start_ms;
            (start_ms..start_ms + publisher.plan.duration_ms).contains(&at_ms)
        })
    })
}

/// Whether a publisher sent two messages of a kind one after the other with such times.
fn has_sent(run: &Evidence, is_it: impl Fn(u32, u32) -> bool) -> bool {
    run.publishers.iter().any(|publisher| {
        let video =
            publisher.sent.iter().filter(|sent| matches!(sent.kind, Kind::Keyframe | Kind::Inter));
        let times: Vec<u32> = video.map(|sent| sent.timestamp_ms).collect();
        times.windows(2).any(|pair| is_it(pair[0], pair[1]))
    })
}
