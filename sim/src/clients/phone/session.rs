//! A phone's side of session timers (RFC 4028): what it asks for and agrees to, when it refreshes, and when it gives up.

use std::time::Duration;

use rehearsal_core::sip::{
    headers::{HeaderName, Headers},
    message::{Request, Response},
    method::Method,
};
use serde::{Deserialize, Serialize};

/// Option tag of the extension.
const TIMER: &str = "timer";
/// After this a refresh is tried again that was refused.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a phone wants of sessions. Without, it knows nothing of them, and takes every refresh for what else it is. It refreshes by
/// INVITE: the gateway does not say that it allows UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// How long one lasts that is not refreshed: what it asks for, and the most that it agrees to, if the caller can bear it.
    pub interval_s: u32,
    /// Whoever asks for less is told so.
    pub least_s: u32,
    /// It refreshes, unless the gateway wants to; otherwise the gateway does.
    pub refreshes: bool,
    /// After so many times it neither refreshes nor minds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshes_max: Option<u32>,
}

/// The session of a call.
#[derive(Debug)]
pub(super) struct Timer {
    plan: Session,
    /// What it asks for.
    interval_s: u32,
    /// Whether the phone is the one who refreshes.
    is_own: bool,
    /// How often it did.
    refreshed: u32,
    pub(super) refresh_at: Option<Duration>,
    pub(super) expires_at: Option<Duration>,
}

impl Timer {
    pub(super) fn new(plan: Session) -> Self {
        let Session { interval_s, refreshes: is_own, .. } = plan;
        Self { plan, interval_s, is_own, refreshed: 0, refresh_at: None, expires_at: None }
    }

    /// Asks for a session, if `request` is an INVITE.
    pub(super) fn ask(&self, request: &mut Request) {
        if request.method != Method::Invite {
            return;
        }
        let refresher = if self.is_own { "uac" } else { "uas" };
        let value = format!("{};refresher={refresher}", self.interval_s);
        request.headers.push(HeaderName::SUPPORTED, TIMER);
        request.headers.push(HeaderName::SESSION_EXPIRES, value);
        request.headers.push(HeaderName::MIN_SE, self.plan.least_s.to_string());
    }

    /// What it has asked for was accepted; or refreshed.
    pub(super) fn accepted(&mut self, response: &Response, now: Duration) {
        match read(&response.headers, &HeaderName::SESSION_EXPIRES) {
            Some((interval_s, refresher)) => {
                self.begin(interval_s, refresher.as_deref() == Some("uac"), now);
            }
            None => self.end(),
        }
    }

    /// It has asked for too little; whether it is to ask for more.
    pub(super) fn is_too_small(&mut self, response: &Response) -> bool {
        let least = read(&response.headers, &HeaderName::MIN_SE).map(|(least_s, _)| least_s);
        let least = least.filter(|least_s| *least_s > self.interval_s);
        self.interval_s = least.unwrap_or(self.interval_s);
        least.is_some()
    }

    /// The least interval, if `request` asks for less.
    pub(super) fn refuses(&self, request: &Request) -> Option<u32> {
        let asked = read(&request.headers, &HeaderName::SESSION_EXPIRES);
        asked.filter(|(asked_s, _)| *asked_s < self.plan.least_s).map(|_| self.plan.least_s)
    }

    /// Says in `response`, which accepts `request`, what holds from now on.
    pub(super) fn agree(
        &mut self,
        request: &Request,
        response: Response,
        now: Duration,
    ) -> Response {
        let Some((asked_s, refresher)) = read(&request.headers, &HeaderName::SESSION_EXPIRES)
        else {
            return response;
        };
        let is_own = refresher.map_or(self.plan.refreshes, |it| it == "uas");
        // Section 9: it may be shortened, but not below what the caller can bear, which is 90 s unless that says something else.
        let bears_s =
            read(&request.headers, &HeaderName::MIN_SE).map_or(90, |(least_s, _)| least_s);
        let wanted_s = self.plan.interval_s.max(self.plan.least_s).max(bears_s);
        let interval_s = asked_s.min(wanted_s);
        self.begin(interval_s, is_own, now);
        let refresher = if is_own { "uas" } else { "uac" };
        let value = format!("{interval_s};refresher={refresher}");
        let response = response.with_header(HeaderName::REQUIRE, TIMER);
        response.with_header(HeaderName::SESSION_EXPIRES, value)
    }

    fn begin(&mut self, interval_s: u32, is_own: bool, now: Duration) {
        (self.interval_s, self.is_own) = (interval_s, is_own);
        let has_enough = self.plan.refreshes_max.is_some_and(|most| self.refreshed >= most);
        if has_enough && is_own {
            return self.end();
        }
        let interval = Duration::from_secs(interval_s.into());
        self.refresh_at = is_own.then_some(now + interval / 2);
        // Section 10: whoever does not refresh says goodbye before the end.
        let margin = (interval / 3).min(Duration::from_secs(32));
        self.expires_at = Some(now + interval - margin);
    }

    /// Whether it is to refresh now.
    pub(super) fn take_refresh(&mut self, now: Duration) -> bool {
        let is_due = self.refresh_at.take_if(|at| *at <= now).is_some();
        self.refreshed += u32::from(is_due);
        is_due
    }

    /// An INVITE could not be taken just now, which may have been to refresh.
    pub(super) fn put_off(&mut self, now: Duration) {
        if self.is_own && self.expires_at.is_some() {
            self.refresh_at.get_or_insert(now + AGAIN_AFTER);
        }
    }

    /// The call is over, or there is no session any more.
    pub(super) fn end(&mut self) {
        (self.refresh_at, self.expires_at) = (None, None);
    }
}

/// Seconds, and who refreshes.
fn read(headers: &Headers, name: &HeaderName) -> Option<(u32, Option<String>)> {
    let mut parts = headers.get(name)?.split(';').map(str::trim);
    let seconds = parts.next()?.parse().ok()?;
    let refresher = parts.find_map(|part| part.strip_prefix("refresher=")).map(str::to_owned);
    Some((seconds, refresher))
}
