//! Session timers: a call whose peer has silently gone ends (RFC 4028).

use std::time::Duration;

use crate::sip::{
    fields::decimal,
    headers::{HeaderName, Headers},
    message::{Fields, Request, Response},
};

/// Option tag of the extension.
pub(super) const TIMER: &str = "timer";

/// Longest time for which a peer may be gone unnoticed, whatever it asks for.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Answers 422 in one call that are followed: each proxy on the way, and the peer, may have a least interval of its own.
const TOO_SMALL_MAX: u32 = 10;

/// Which end keeps the session up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresher {
    /// This one.
    Us,
    /// The peer.
    Peer,
}

/// How long a session lasts without being refreshed, and by whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) refresher: Refresher,
    /// Whether the peer knows of it.
    pub(super) is_required: bool,
}

/// When what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionDue {
    /// What was agreed on; a refresh asks for the same.
    pub(super) asks: Asked,
    pub(super) refresh_at: Option<Duration>,
    pub(super) expires_at: Duration,
}

/// What a request of ours asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) interval: Duration,
    /// Nothing before the first agreement: whoever is called says.
    pub(super) refresher: Option<Refresher>,
}

/// The least interval that those on the way want, as their answers 422 say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Least {
    interval: Option<Duration>,
    times: u32,
}

impl Least {
    /// Takes an answer 422 to a request that has asked for `asked`; false if there is no use in asking once more.
    pub(super) fn take(&mut self, response: &Response, asked: Duration) -> bool {
        self.times += 1;
        let wanted = seconds(&response.headers, &HeaderName::MIN_SE).map(|(least, _)| least);
        let Some(wanted) = wanted.filter(|it| *it > asked && *it <= INTERVAL_MAX) else {
            return false;
        };
        self.interval = self.interval.max(Some(wanted));
        self.times <= TOO_SMALL_MAX
    }

    /// Asks for a session in a request of ours: for `asked`, or for what those on the way want at least (sections 7.1 and 7.4).
    pub(super) fn ask(&self, asked: Asked, request: &mut Request) {
        let interval = self.interval.map_or(asked.interval, |least| least.max(asked.interval));
        let refresher = match asked.refresher {
            None => "",
            Some(Refresher::Us) => ";refresher=uac",
            Some(Refresher::Peer) => ";refresher=uas",
        };
        let value = format!("{}{refresher}", interval.as_secs());
        request.headers.set(HeaderName::SESSION_EXPIRES, value);
        if let Some(least) = self.interval {
            request.headers.set(HeaderName::MIN_SE, least.as_secs().to_string());
        }
    }
}

/// What `request` asks for; nothing if it does not ask.
pub(super) fn asked_for(request: &Request) -> Duration {
    seconds(&request.headers, &HeaderName::SESSION_EXPIRES).unwrap_or_default().0
}

/// `Session-Expires` or `Min-SE`: seconds and who refreshes.
fn seconds(headers: &Headers, name: &HeaderName) -> Option<(Duration, Option<String>)> {
    let value = headers.get(name)?;
    let (number, params) = value.split_once(';').unwrap_or((value, ""));
    let interval = Duration::from_secs(decimal(number.trim())?.into());
    let refresher = params.split(';').find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("refresher").then(|| value.trim().to_ascii_lowercase())
    });
    Some((interval, refresher))
}

impl SessionTimer {
    /// What an INVITE gets that asks for a session; `Err` is the least interval, when it asks for less (section 9).
    pub(super) fn answer(
        invite: &Request,
        own: Duration,
        least: Duration,
    ) -> Result<Self, Duration> {
        let is_required = invite.has_token(&HeaderName::SUPPORTED, TIMER)
            || invite.has_token(&HeaderName::REQUIRE, TIMER);
        match seconds(&invite.headers, &HeaderName::SESSION_EXPIRES) {
            Some((asked, _)) if asked < least && is_required => Err(least),
            Some((asked, refresher)) => {
                let refresher = match refresher.as_deref() {
                    Some("uas") => Refresher::Us,
                    _ if is_required => Refresher::Peer,
                    _ => Refresher::Us,
                };
                // It may be shortened, but not below what the client can bear (section 9).
                let bearable =
                    seconds(&invite.headers, &HeaderName::MIN_SE).map_or(least, |min| min.0);
                let interval = asked.min(own.max(bearable)).max(least).min(INTERVAL_MAX);
                Ok(Self { interval, refresher, is_required })
            }
            // What the client would have taken at least must not be undercut.
            None => {
                let least =
                    seconds(&invite.headers, &HeaderName::MIN_SE).map_or(least, |min| min.0);
                let interval = own.max(least).min(INTERVAL_MAX);
                Ok(Self { interval, refresher: Refresher::Us, is_required })
            }
        }
    }

    /// What holds after our INVITE was answered with `response` (section 7.2).
    pub(super) fn agreed(response: &Response, own: Duration) -> Self {
        match seconds(&response.headers, &HeaderName::SESSION_EXPIRES) {
            Some((interval, refresher)) => {
                let is_peer = refresher.as_deref() == Some("uas");
                let refresher = if is_peer { Refresher::Peer } else { Refresher::Us };
                Self { interval: interval.min(INTERVAL_MAX), refresher, is_required: true }
            }
            None => Self { interval: own, refresher: Refresher::Us, is_required: false },
        }
    }

    /// Says it in the answer to the peer's INVITE.
    pub(super) fn write(&self, response: &mut Response) {
        let refresher = match self.refresher {
            Refresher::Us => "uas",
            Refresher::Peer => "uac",
        };
        let value = format!("{};refresher={refresher}", self.interval.as_secs());
        response.headers.push(HeaderName::SESSION_EXPIRES, value);
        if self.is_required {
            response.headers.push(HeaderName::REQUIRE, TIMER);
        }
    }

    /// What is due when, after it was agreed upon or refreshed at `now` (section 10).
    pub(super) fn due(&self, now: Duration) -> SessionDue {
        let margin = (self.interval / 3).min(Duration::from_secs(32));
        let refresh_at = (self.refresher == Refresher::Us).then_some(now + self.interval / 2);
        let asks = Asked { interval: self.interval, refresher: Some(self.refresher) };
        SessionDue { asks, refresh_at, expires_at: now + self.interval - margin }
    }
}
