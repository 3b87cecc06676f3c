//! What befalls a phone's messages on their way, and the log of them.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::sip::{
    ParseLimits,
    message::{Fields, Message},
    parse,
};

use super::{
    plan::{Fault, MessageFault, Way},
    report::{Saying, Signal},
};

/// More than any message has.
const LIMITS: ParseLimits = ParseLimits { message_bytes: 65_535, headers: 512 };

/// What `bytes` are, if the phone can read them.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    parse(bytes, &LIMITS).ok()
}

/// Every message goes through it, before it goes to the gateway or after it came from there.
pub(super) struct Post {
    faults: Vec<MessageFault>,
    sent: Lane,
    received: Lane,
    log: Vec<Signal>,
}

/// One way.
#[derive(Default)]
struct Lane {
    /// Messages that went it.
    count: u32,
    /// Those that wait for the next one, with their places in the log.
    held: Vec<(Bytes, usize)>,
}

impl Post {
    pub(super) fn new(faults: Vec<MessageFault>) -> Self {
        Self { faults, sent: Lane::default(), received: Lane::default(), log: Vec::new() }
    }

    /// What of `message` and those before it arrives now, in order.
    pub(super) fn pass(&mut self, way: Way, message: Bytes, at: Duration) -> Vec<Bytes> {
        let lane = match way {
            Way::Sent => &mut self.sent,
            Way::Received => &mut self.received,
        };
        let is_it = |fault: &&MessageFault| fault.way == way && fault.index == lane.count;
        let fault = self.faults.iter().find(is_it).map(|fault| fault.fault);
        lane.count += 1;
        let place = self.log.len();
        self.log.push(signal(at, way, fault, &message));
        let mut arriving = match fault {
            None => vec![message],
            Some(Fault::Duplicate) => vec![message.clone(), message],
            Some(Fault::Drop) => Vec::new(),
            Some(Fault::DelayPastNext) => {
                lane.held.push((message, place));
                return Vec::new();
            }
        };
        if !arriving.is_empty() {
            self.log[place].arrived_at = Some(at);
        }
        // Also behind one that is lost: it was the next one.
        for (held, place) in lane.held.drain(..) {
            self.log[place].arrived_at = Some(at);
            arriving.push(held);
        }
        arriving
    }

    /// `message` goes, or has come, by the connection `over`, where nothing befalls it.
    pub(super) fn note(&mut self, way: Way, message: &Bytes, at: Duration, over: u32) {
        let passed = signal(at, way, None, message);
        self.log.push(Signal { arrived_at: Some(at), over: Some(over), ..passed });
    }

    pub(super) fn into_log(self) -> Vec<Signal> {
        self.log
    }
}

fn signal(at: Duration, way: Way, fault: Option<Fault>, raw: &Bytes) -> Signal {
    let unreadable = Signal {
        at,
        arrived_at: None,
        way,
        fault,
        what: Saying::Unreadable,
        number: 0,
        method: String::new(),
        branch: String::new(),
        call_id: String::new(),
        from_tag: None,
        to_tag: None,
        over: None,
        raw: raw.clone(),
    };
    match read(raw) {
        None => unreadable,
        Some(Message::Request(request)) => {
            Signal { what: Saying::Request, ..with_fields(unreadable, &request) }
        }
        Some(Message::Response(response)) => {
            Signal { what: Saying::Response(response.status), ..with_fields(unreadable, &response) }
        }
    }
}

fn with_fields(signal: Signal, message: &impl Fields) -> Signal {
    let cseq = message.cseq();
    let branch = message.top_via().and_then(|via| via.params.get("branch"));
    Signal {
        number: cseq.as_ref().map_or(0, |cseq| cseq.number),
        method: cseq.map_or_else(String::new, |cseq| cseq.method.to_string()),
        branch: branch.unwrap_or_default(),
        call_id: message.call_id().unwrap_or_default().to_owned(),
        from_tag: message.from().and_then(|from| from.tag()),
        to_tag: message.to().and_then(|to| to.tag()),
        ..signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_befall_the_messages_they_are_for() {
        let fault = |index, fault| MessageFault { way: Way::Sent, index, fault };
        let mut post = Post::new(vec![
            fault(1, Fault::DelayPastNext),
            fault(3, Fault::Duplicate),
            fault(4, Fault::Drop),
        ]);
        let mut pass = |way, name: &'static [u8]| {
            post.pass(way, Bytes::from_static(name), Duration::ZERO).concat()
        };
        assert_eq!(pass(Way::Sent, b"a"), b"a");
        assert_eq!(pass(Way::Sent, b"b"), b"");
        assert_eq!(pass(Way::Received, b"x"), b"x");
        assert_eq!(pass(Way::Sent, b"c"), b"cb");
        assert_eq!(pass(Way::Sent, b"d"), b"dd");
        assert_eq!(pass(Way::Sent, b"e"), b"");
        assert_eq!(pass(Way::Sent, b"f"), b"f");
        let faults: Vec<_> = post.into_log().iter().map(|signal| signal.fault).collect();
        let (late, twice, lost) = (Fault::DelayPastNext, Fault::Duplicate, Fault::Drop);
        assert_eq!(faults, [None, Some(late), None, None, Some(twice), Some(lost), None]);
    }
}
