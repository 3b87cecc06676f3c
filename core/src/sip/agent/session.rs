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
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3_600);

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
    pub(super) interval: Duration,
    pub(super) refresh_at: Option<Duration>,
    pub(super) expires_at: Duration,
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
        // Who refreshes has until the end; who only waits ends it a little earlier.
        SessionDue { interval: self.interval, refresh_at, expires_at: now + self.interval - margin }
    }
}

/// The least interval that a 422 asks for.
pub(super) fn least_of(response: &Response) -> Option<Duration> {
    seconds(&response.headers, &HeaderName::MIN_SE).map(|(least, _)| least)
}
