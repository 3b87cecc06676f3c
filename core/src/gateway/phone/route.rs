//! What a number that was dialled stands for.

use thiserror::Error;

use crate::{
    config::Config,
    live::{PublishError, Registry, TooManyStreams},
    media::{AudioCodec, VideoCodec, video::VideoInfo},
    sdp::{Codec, MediaKind},
};

/// Why a call is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Unreachable {
    /// No route leads there.
    #[error("nothing is called {0:?}: add it to sip.routes")]
    Unknown(String),
    /// Its stream cannot be published.
    #[error("{0}: {1}")]
    Publish(String, PublishError),
    /// Its stream has sound that is never passed on to phones as it is.
    #[error("{0} carries {1:?}, which would have to be transcoded")]
    Codec(String, AudioCodec),
    /// There are too many streams.
    #[error(transparent)]
    TooManyStreams(#[from] TooManyStreams),
}

impl Unreachable {
    /// What the caller is told.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Unknown(_) => 404,
            Self::Publish(_, PublishError::Taken) => 486,
            Self::Codec(..) => 488,
            Self::Publish(_, PublishError::TooManyStreams(_)) | Self::TooManyStreams(_) => 503,
        }
    }
}

/// What a call is connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// Stream that the caller is heard on.
    pub(super) publish: Option<String>,
    /// Stream that the caller hears.
    pub(super) play: Option<String>,
}

impl Destination {
    /// Where `number` leads.
    ///
    /// # Errors
    /// No route has it, or a name that follows from it is too long or has control characters.
    pub(super) fn of(config: &Config, number: &str) -> Result<Self, Unreachable> {
        let routes = config.sip.routes.iter();
        let mut found = routes.filter_map(|route| Some((route, route.matches(number)?)));
        let (route, rest) = found.next().ok_or_else(|| Unreachable::Unknown(number.to_owned()))?;
        let fill = |stream: &Option<String>| stream.as_ref().map(|name| name.replace('*', rest));
        let found = Self { publish: fill(&route.publish), play: fill(&route.play) };
        // As in all other protocols; user agents have streams that only control characters name.
        let is_unusable = |name: &String| {
            name.len() > config.live.max_name_bytes || name.chars().any(char::is_control)
        };
        match found.publish.iter().chain(&found.play).any(is_unusable) {
            true => Err(Unreachable::Unknown(number.to_owned())),
            false => Ok(found),
        }
    }

    /// Of `codecs`, those that can be carried: all, unless the stream to be heard is there and says what it has.
    ///
    /// # Errors
    /// It has something else.
    pub(super) fn codecs(
        &self,
        registry: &Registry,
        codecs: &[Codec],
    ) -> Result<Vec<Codec>, Unreachable> {
        let Some(play) = &self.play else { return Ok(codecs.to_vec()) };
        let (sound, pictures) = (registry.audio_codec(play), registry.video_info(play));
        let is_carried = |codec: &Codec| match codec {
            Codec::Pcmu => sound.is_none_or(|sound| sound == AudioCodec::Pcmu),
            Codec::Pcma => sound.is_none_or(|sound| sound == AudioCodec::Pcma),
            Codec::Narrowband | Codec::Wideband => {
                sound.is_none_or(|sound| sound == AudioCodec::Speex)
            }
            Codec::H264 => pictures.is_none_or(|info| is_h264(&info)),
            Codec::Dtmf | Codec::WidebandDtmf => true,
        };
        let carried: Vec<_> = codecs.iter().copied().filter(is_carried).collect();
        let is_sound = |codec: &Codec| codec.kind() == MediaKind::Audio && codec.is_stream();
        match sound.filter(|_| !carried.iter().any(is_sound)) {
            Some(sound) => Err(Unreachable::Codec(play.clone(), sound)),
            None => Ok(carried),
        }
    }

    /// Whether a phone that is called is to be offered video: the stream that it is to see has pictures that it can be sent.
    pub(super) fn has_pictures(&self, registry: &Registry) -> bool {
        let pictures = self.play.as_ref().and_then(|play| registry.video_info(play));
        pictures.is_some_and(|info| is_h264(&info))
    }
}

/// Whether pictures are H.264 in the form that goes to phones.
fn is_h264(info: &VideoInfo) -> bool {
    info.codec == Some(VideoCodec::Avc) && !info.enhanced
}
