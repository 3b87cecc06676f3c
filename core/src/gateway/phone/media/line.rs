//! The streams that a call is connected with.

use tokio::time::Instant;

use crate::{
    env::Env,
    gateway::{
        Shared,
        phone::route::{Destination, Unreachable},
    },
    live::{Publisher, Subscriber},
};

/// What the phone is heard on, and what it hears.
#[derive(Debug, Default)]
pub(in crate::gateway::phone) struct Line {
    pub(in crate::gateway::phone) publisher: Option<Publisher>,
    pub(super) subscriber: Option<Subscriber>,
}

impl Line {
    /// Plays what `destination` says, and publishes what it does if the phone `talks` already; one that is called does so when it
    /// has answered.
    ///
    /// # Errors
    /// Somebody else publishes it, or there are too many streams; nothing has changed then.
    pub(in crate::gateway::phone) fn connect<E: Env>(
        shared: &Shared<E>,
        destination: &Destination,
        talks: bool,
    ) -> Result<Self, Unreachable> {
        let publish = |name: &String| {
            let published = match talks {
                true => shared.live.publish(name).map(Some),
                false => shared.live.may_publish(name).map(|()| None),
            };
            published.map_err(|error| Unreachable::Publish(name.clone(), error))
        };
        let play = |name: &String| shared.live.subscribe(name, Instant::now());
        let subscriber = destination.play.as_ref().map(play).transpose()?;
        let publisher = destination.publish.as_ref().map(publish).transpose()?.flatten();
        Ok(Self { publisher, subscriber })
    }
}
