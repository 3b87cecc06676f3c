//! What an RTMP connection publishes and plays.

use tokio::time::Instant;
use tracing::{debug, info};

use super::Connection;
use crate::{
    env::Env,
    gateway::{DeliveryEvent, count},
    live::{PublishError, Publisher},
    rtmp::{command::Status, message::Message, server::Media},
};

impl<E: Env> Connection<E> {
    pub(super) fn publish(&mut self, stream_id: u32, name: &str, now: Instant) {
        let since_open = now.duration_since(self.opened_at);
        let key = match &self.sip {
            Some(sip) => {
                // A user agent has one voice: the latest.
                for (former, publisher) in std::mem::take(&mut self.publishers) {
                    self.session.end_stream(since_open, former);
                    self.log_unpublish(&publisher);
                }
                sip.client().local()
            }
            None => format!("{}/{name}", self.app),
        };
        match self.shared.live.publish(&key) {
            Ok(publisher) => {
                let epoch = publisher.epoch();
                info!(peer = %self.peer.address, stream = key, epoch, "publish");
                self.publishers.push((stream_id, publisher));
                self.session.accept_publish(since_open, stream_id, name);
            }
            Err(error) => {
                info!(peer = %self.peer.address, stream = key, %error, "publish refused");
                let code = match error {
                    PublishError::Taken => "NetStream.Publish.BadName",
                    PublishError::TooManyStreams(_) => "NetStream.Publish.Denied",
                };
                let text = error.to_string();
                self.session.refuse(since_open, stream_id, Status::error(code, &text));
            }
        }
    }

    /// A stream is no longer published or played.
    pub(super) fn close(&mut self, stream_id: u32) {
        if self.delivery.subscriber().is_some() && self.delivery.stream_id() == stream_id {
            self.delivery.stop();
        }
        let closed = |(id, _): &(u32, Publisher)| *id == stream_id;
        if let Some(index) = self.publishers.iter().position(closed) {
            let (_, publisher) = self.publishers.swap_remove(index);
            self.log_unpublish(&publisher);
        }
    }

    pub(super) fn play(&mut self, stream_id: u32, name: &str, now: Instant) {
        let since_open = now.duration_since(self.opened_at);
        let elsewhere =
            self.delivery.subscriber().is_some() && self.delivery.stream_id() != stream_id;
        let key = match &self.sip {
            Some(sip) => {
                // A user agent listens to one stream: the latest.
                if elsewhere {
                    self.session.end_stream(since_open, self.delivery.stream_id());
                    self.delivery.stop();
                }
                sip.client().remote()
            }
            None => format!("{}/{name}", self.app),
        };
        if elsewhere && self.sip.is_none() {
            let status = Status::error(
                "NetStream.Play.Failed",
                "A connection plays one stream at a time; close the other first.",
            );
            self.session.refuse(since_open, stream_id, status);
            return;
        }
        match self.shared.live.subscribe(&key, now) {
            Ok(subscriber) => {
                info!(peer = %self.peer.address, stream = key, "play");
                self.session.accept_play(since_open, stream_id, name);
                self.delivery.start(subscriber, stream_id);
            }
            Err(error) => {
                info!(peer = %self.peer.address, stream = key, %error, "play refused");
                self.delivery.stop();
                let text = error.to_string();
                let status = Status::error("NetStream.Play.Failed", &text);
                self.session.refuse(since_open, stream_id, status);
            }
        }
    }

    pub(super) fn push(&mut self, stream_id: u32, media: Media, now: Instant) {
        let publisher = self.publishers.iter_mut().find(|(id, _)| *id == stream_id);
        let Some((_, publisher)) = publisher else { return };
        let Media { type_id, timestamp_ms, payload } = media;
        let message = Message { type_id, stream_id, timestamp_ms, payload };
        if let Err(error) = publisher.push(message, now) {
            sometimes!("a message of a publisher makes no sense and is left out");
            count(&self.shared.counters.messages_dropped, 1);
            debug!(peer = %self.peer.address, stream = publisher.name(), %error, "message dropped");
        }
    }

    pub(super) fn handle_delivery(&mut self, event: DeliveryEvent) {
        if !self.shared.config.live.notify_unpublish {
            return;
        }
        let Some(subscriber) = self.delivery.subscriber() else { return };
        let name = subscriber.name().rsplit('/').next().unwrap_or_default();
        match event {
            DeliveryEvent::Began => {
                self.session.notify_publisher_came(self.delivery.stream_id(), name);
            }
            DeliveryEvent::Ended => {
                self.session.notify_publisher_gone(self.delivery.stream_id(), name);
            }
        }
    }

    pub(super) fn log_unpublish(&self, publisher: &Publisher) {
        info!(
            peer = %self.peer.address,
            stream = publisher.name(),
            epoch = publisher.epoch(),
            frames = publisher.frames(),
            "unpublish"
        );
    }
}
