//! Connections that are lost, and peers that cannot be reached: what becomes of requests that wait for an answer.

use std::time::Duration;

use super::{
    ClientId, Failure, Timer, Timers, TransactionEvent, Transactions,
    client::{Client, Lost},
};
use crate::sip::transport::{Hop, Transmit};

impl Transactions {
    /// The connection `hop` is lost, and what was on its way with it. What waits for an answer is sent again, by another
    /// connection, if there is a way; otherwise it gets one only from a peer that works on it already.
    pub fn handle_lost_way(&mut self, now: Duration, hop: Hop) {
        self.lose(now, hop, Client::lose_way);
        for (_, _, server) in self.servers.values_mut() {
            server.handle_lost_way(hop);
        }
    }

    /// Nothing can be sent to `hop`: requests that wait for an answer from it get none, unless it works on them already.
    pub fn handle_unreachable(&mut self, now: Duration, hop: Hop) {
        self.lose(now, hop, Client::lose_peer);
    }

    fn lose(&mut self, now: Duration, hop: Hop, lose: fn(&mut Client, Duration, &Timers) -> Lost) {
        let (timers, mut waiting, mut failed) = (self.config.timers, Vec::new(), Vec::new());
        let clients = self.clients.iter_mut().map(|(id, (_, client))| (*id, client));
        for (id, client) in clients.filter(|(_, it)| it.hop() == hop && !it.has_final()) {
            match lose(client, now, &timers) {
                Lost::Again => {
                    sometimes!("a request is made again whose connection is lost");
                    self.counters.copies_sent += 1;
                    let again = Transmit { hop: client.hop(), bytes: client.bytes() };
                    self.transmits.push_back(again);
                }
                Lost::Waits => waiting.push(id),
                Lost::Failed => failed.push(id),
            }
        }
        for id in waiting {
            self.retime(Timer::Client(id));
        }
        self.fail(failed);
    }

    /// Requests get no answer.
    fn fail(&mut self, failed: Vec<u64>) {
        for id in failed {
            self.remove_client(id);
            let failure = Failure::Unreachable;
            self.events.push_back(TransactionEvent::Failed { id: ClientId(id), failure });
        }
    }
}
