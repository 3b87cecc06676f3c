//! What a client may be told next, by what it has been told so far.
//!
//! Answers and callbacks come in the order in which things happen at the gateway, so that each of them is judged by those before it,
//! however late it comes: whatever was on its way when a command was given comes before the answer to that.

use std::time::Duration;

use super::{
    plan::Command,
    report::{Callback, Ordered, Talk, TalkEnd},
};

/// Who has a call already is told so.
const PENDING: &str = "Already in an active or pending call";
/// Why a digit may not be dialled in a call that is up.
const NO_DIGITS: &str = "The other end takes no digits";

/// How far the client's call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    None,
    /// It calls.
    Calling,
    /// It is called.
    Invited,
    /// It has taken the call.
    Accepting,
    Up,
}

/// A client's calls.
#[derive(Debug)]
pub(super) struct Talks {
    stage: Stage,
    /// Who has called last, and whom.
    invited: Option<(String, String)>,
    /// What was said last while it rings.
    ringing: Option<String>,
    /// The other end holds the call.
    is_held: bool,
    /// Words in which a call was just said to be impossible, whose command is answered next.
    impossible: Option<String>,
    /// Whether its registration is there; `None` if it has none.
    is_registered: Option<bool>,
    pub(super) talks: Vec<Talk>,
    pub(super) surprises: Vec<String>,
}

impl Talks {
    /// No calls yet, of one who registers or does not.
    pub(super) fn new(registers: bool) -> Self {
        Self {
            stage: Stage::None,
            invited: None,
            ringing: None,
            is_held: false,
            impossible: None,
            is_registered: registers.then_some(true),
            talks: Vec::new(),
            surprises: Vec::new(),
        }
    }

    fn begin(&mut self, stage: Stage, peer: &str, at: Duration) {
        self.stage = stage;
        (self.ringing, self.is_held) = (None, false);
        let is_incoming = stage == Stage::Invited;
        let (peer, began_at) = (peer.to_owned(), at);
        self.talks.push(Talk { peer, is_incoming, began_at, up_at: None, ended: None });
    }

    fn end(&mut self, end: TalkEnd, at: Duration) {
        self.stage = Stage::None;
        if let Some(talk) = self.talks.last_mut() {
            talk.ended = Some((at, end));
        }
    }

    /// Something is told, and `is_due`.
    fn expect(&mut self, is_due: bool, at: Duration, what: impl std::fmt::Debug) {
        if !is_due {
            self.surprises.push(format!("at {at:?} came {what:?}, its call was {:?}", self.stage));
        }
    }

    /// A command was answered.
    pub(super) fn on_answer(
        &mut self,
        command: &Command,
        answer: &Result<(), String>,
        at: Duration,
    ) {
        let stage = self.stage;
        let impossible = self.impossible.take();
        if let Some(words) = &impossible {
            let is_it = matches!(command, Command::Invite(_)) && answer.as_ref() == Err(words);
            self.expect(is_it, at, (command, answer));
        }
        let fits = match command {
            Command::Invite(_) => stage == Stage::None,
            Command::Accept | Command::Reject(_) => stage == Stage::Invited,
            Command::Bye => stage != Stage::None,
            Command::SendDtmf(_) | Command::Hold(_) => stage == Stage::Up,
        };
        match answer {
            Ok(()) => {
                self.expect(fits, at, (command, answer));
                match command {
                    Command::Invite(to) => self.begin(Stage::Calling, to, at),
                    Command::Accept => self.stage = Stage::Accepting,
                    Command::Reject(_) | Command::Bye => self.end(TalkEnd::Own, at),
                    Command::SendDtmf(_) | Command::Hold(_) => {}
                }
            }
            Err(words) => {
                let may_fail = match command {
                    Command::Invite(_) => impossible.is_some() && (words == PENDING) != fits,
                    // It has nothing in common with who calls.
                    Command::Accept => true,
                    Command::SendDtmf(_) => !fits || words == NO_DIGITS,
                    Command::Reject(_) | Command::Bye | Command::Hold(_) => !fits,
                };
                self.expect(may_fail, at, (command, answer));
            }
        }
    }

    /// The client is called back; `ordered` is what it wanted so far.
    pub(super) fn on_callback(&mut self, callback: &Callback, ordered: &[Ordered], at: Duration) {
        let stage = self.stage;
        let accepts = |it: &Ordered| it.command == Command::Accept && it.answered.is_none();
        let is_due = self.impossible.is_none()
            && match callback {
                Callback::Invited(..) => stage == Stage::None,
                Callback::Cancelled(from, to) => {
                    let same = |(caller, called): &(String, String)| caller == from && called == to;
                    stage == Stage::Invited && self.invited.as_ref().is_some_and(same)
                }
                Callback::Ringing(words) => {
                    stage == Stage::Calling && self.ringing.as_ref() != Some(words)
                }
                Callback::Accepted(_) => matches!(stage, Stage::Calling | Stage::Accepting),
                Callback::Rejected(words) => {
                    let mut orders = ordered.iter().filter(|it| it.answered.is_none());
                    let asks = orders.any(|it| matches!(it.command, Command::Invite(_)));
                    stage == Stage::Calling && words != PENDING || asks
                }
                Callback::Byed => {
                    matches!(stage, Stage::Accepting | Stage::Up)
                        || stage == Stage::Invited && ordered.iter().any(accepts)
                }
                Callback::Holded(is_held) => stage == Stage::Up && *is_held != self.is_held,
                Callback::Dtmf(_) => stage == Stage::Up,
                Callback::RegistrationLost(_) => self.is_registered == Some(true),
                Callback::Registered => self.is_registered == Some(false),
            };
        self.expect(is_due, at, callback);
        match callback {
            Callback::Invited(from, to) => {
                self.invited = Some((from.clone(), to.clone()));
                self.begin(Stage::Invited, from, at);
            }
            Callback::Cancelled(..) | Callback::Byed => self.end(TalkEnd::Told, at),
            Callback::Ringing(words) => self.ringing = Some(words.clone()),
            Callback::Accepted(_) => {
                self.stage = Stage::Up;
                if let Some(talk) = self.talks.last_mut() {
                    talk.up_at = Some(at);
                }
            }
            Callback::Rejected(words) if stage == Stage::Calling && words != PENDING => {
                self.end(TalkEnd::Told, at);
            }
            Callback::Rejected(words) => self.impossible = Some(words.clone()),
            Callback::Holded(is_held) => self.is_held = *is_held,
            Callback::Dtmf(_) => {}
            Callback::RegistrationLost(_) => self.is_registered = Some(false),
            Callback::Registered => self.is_registered = Some(true),
        }
    }

    /// The gateway says that it ends the connection: what it has to tell has been told.
    pub(super) fn on_farewell(&mut self, at: Duration) {
        self.expect(self.stage == Stage::None, at, "the end of the connection");
    }

    /// The connection is over.
    pub(super) fn on_end(&mut self, at: Duration) {
        if self.stage != Stage::None {
            self.end(TalkEnd::Disconnected, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(1);

    fn order(command: Command) -> Ordered {
        Ordered { at: AT, command, answered: None }
    }

    fn invite() -> Command {
        Command::Invite("sip:alice@a".to_owned())
    }

    fn invited() -> Callback {
        Callback::Invited("sip:alice@a".to_owned(), "sip:bob@b".to_owned())
    }

    fn cancelled(from: &str) -> Callback {
        Callback::Cancelled(from.to_owned(), "sip:bob@b".to_owned())
    }

    fn accepted() -> Callback {
        Callback::Accepted(Some("pcmu".to_owned()))
    }

    #[test]
    fn calls_that_are_made_and_taken_are_no_surprise() {
        let mut talks = Talks::new(true);
        talks.on_answer(&invite(), &Ok(()), AT);
        for callback in [Callback::Ringing("180 Ringing".to_owned()), accepted()] {
            talks.on_callback(&callback, &[], AT);
        }
        let pending = Callback::Rejected(PENDING.to_owned());
        talks.on_callback(&pending, &[order(invite())], AT);
        talks.on_answer(&invite(), &Err(PENDING.to_owned()), AT);
        talks.on_callback(&Callback::Holded(true), &[], AT);
        talks.on_callback(&Callback::Dtmf('5'), &[], AT);
        talks.on_answer(&Command::Bye, &Ok(()), AT);
        talks.on_callback(&invited(), &[], AT);
        talks.on_answer(&Command::Accept, &Ok(()), AT);
        talks.on_callback(&accepted(), &[], AT);
        talks.on_callback(&Callback::RegistrationLost("503".to_owned()), &[], AT);
        talks.on_callback(&Callback::Registered, &[], AT);
        talks.on_callback(&Callback::Byed, &[], AT);
        talks.on_callback(&invited(), &[], AT);
        talks.on_callback(&cancelled("sip:alice@a"), &[], AT);
        talks.on_farewell(AT);
        assert_eq!(talks.surprises, Vec::<String>::new());
        let ends: Vec<_> = talks.talks.iter().map(|talk| (talk.up_at, talk.ended)).collect();
        assert_eq!(
            ends,
            [
                (Some(AT), Some((AT, TalkEnd::Own))),
                (Some(AT), Some((AT, TalkEnd::Told))),
                (None, Some((AT, TalkEnd::Told)))
            ]
        );
    }

    #[test]
    fn what_does_not_follow_is_a_surprise() {
        let said = |words: &str| Err(words.to_owned());
        let told = |callbacks: &[Callback]| {
            let mut talks = Talks::new(true);
            callbacks.iter().for_each(|callback| talks.on_callback(callback, &[], AT));
            talks
        };
        for callbacks in [
            &[accepted()][..],
            &[Callback::Byed],
            &[cancelled("sip:alice@a")],
            &[invited(), cancelled("sip:carol@a")],
            &[Callback::Dtmf('1')],
            &[Callback::Holded(true)],
            &[Callback::Ringing("180 Ringing".to_owned())],
            &[Callback::Rejected("486 Busy Here".to_owned())],
            &[Callback::Registered],
            &[invited(), invited()],
            &[invited(), Callback::Byed],
        ] {
            assert_eq!(told(callbacks).surprises.len(), 1, "{callbacks:?}");
        }
        for (command, answer) in [
            (Command::Accept, Ok(())),
            (Command::Bye, Ok(())),
            (Command::Hold(true), Ok(())),
            // Nothing was said before.
            (invite(), said(PENDING)),
        ] {
            let mut talks = told(&[]);
            talks.on_answer(&command, &answer, AT);
            assert_eq!(talks.surprises.len(), 1, "{command:?} {answer:?}");
        }
        let mut talks = told(&[invited()]);
        talks.on_answer(&Command::Bye, &said("There is no such call"), AT);
        talks.on_farewell(AT);
        assert_eq!(talks.surprises.len(), 2);
    }
}
