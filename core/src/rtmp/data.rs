//! Data messages of a publisher: what is metadata, and what is passed on.
//!
//! Publishers wrap metadata as `@setDataFrame("onMetaData", {...})`; players get `onMetaData({...})`.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::{
    command::{amf0_body, normalised},
    message::Message,
};
use crate::amf::{DecodeError, Value, amf0};

/// Which tracks the metadata announces; `None` when it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeclaredTracks {
    /// An audio track.
    pub audio: Option<bool>,
    /// A video track.
    pub video: Option<bool>,
}

/// A data message in the form that players get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// `onMetaData`, to be kept for players who join later.
    Metadata {
        /// AMF0 body, beginning with the name.
        payload: Bytes,
        /// Tracks it announces.
        declared: DeclaredTracks,
    },
    /// The publisher withdraws its metadata (`@clearDataFrame`).
    ClearMetadata,
    /// Anything else, such as cue points and captions.
    Other(Bytes),
}

/// Why a data message cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("data message: {0}")]
pub struct DataError(#[from] DecodeError);

/// Reads a message of type 15 or 18.
///
/// # Errors
/// Malformed AMF.
pub fn parse(message: &Message) -> Result<Data, DataError> {
    let mut body = amf0_body(message);
    let mut rest = &body[..];
    let mut name = amf0::decode(&mut rest)?;
    if name.as_str() == Some("@clearDataFrame") {
        return Ok(Data::ClearMetadata);
    }
    if name.as_str() == Some("@setDataFrame") {
        let stripped = body.len() - rest.len();
        name = amf0::decode(&mut rest)?;
        body = body.slice(stripped..);
    }
    let values = amf0::decode_all(&body)?;
    let is_metadata = name.as_str() == Some("onMetaData");
    let rewritten = values.iter().any(|value| matches!(value, Value::Amf3(_)))
        || (is_metadata && matches!(values.get(1), Some(Value::Object(_))));
    let values: Vec<Value> = values
        .into_iter()
        .map(normalised)
        // ffmpeg finds the codec ids of metadata only in an ECMA array.
        .map(|value| match value {
            Value::Object(object) if is_metadata => Value::EcmaArray(object),
            other => other,
        })
        .collect();
    if rewritten {
        let mut bytes = BytesMut::new();
        values.iter().for_each(|value| amf0::encode(value, &mut bytes));
        body = bytes.freeze();
    }
    Ok(match is_metadata {
        true => Data::Metadata { declared: declared_tracks(values.get(1)), payload: body },
        false => Data::Other(body),
    })
}

/// Reads `hasAudio` and `hasVideo`, or else takes a codec id for a track. That a codec is not named says nothing: some
/// encoders name one and describe the other in other words.
fn declared_tracks(metadata: Option<&Value>) -> DeclaredTracks {
    let Some(metadata) = metadata.and_then(Value::as_object) else {
        return DeclaredTracks::default();
    };
    let declared = |flag: &str, codec: &str| {
        let flag = metadata.get(flag).and_then(Value::as_bool);
        flag.or(metadata.get(codec).map(|_| true))
    };
    DeclaredTracks {
        audio: declared("hasAudio", "audiocodecid"),
        video: declared("hasVideo", "videocodecid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amf::Object;

    fn data(type_id: u8, values: &[Value]) -> Message {
        let mut body = BytesMut::new();
        if type_id == 15 {
            body.extend_from_slice(&[0]);
        }
        values.iter().for_each(|value| amf0::encode(value, &mut body));
        Message { type_id, stream_id: 1, timestamp_ms: 0, payload: body.freeze() }
    }

    fn metadata() -> Object {
        Object::new().with("width", 640.0).with("videocodecid", 7.0)
    }

    #[test]
    fn set_data_frame_is_stripped_and_the_rest_passed_on_untouched() {
        let inner = data(18, &["onMetaData".into(), Value::EcmaArray(metadata())]);
        for type_id in [15, 18] {
            let wrapped = data(
                type_id,
                &["@setDataFrame".into(), "onMetaData".into(), Value::EcmaArray(metadata())],
            );
            let declared = DeclaredTracks { audio: None, video: Some(true) };
            let payload = inner.payload.clone();
            assert_eq!(parse(&wrapped), Ok(Data::Metadata { payload, declared }));
        }
    }

    #[test]
    fn metadata_in_an_object_becomes_an_array() {
        let sent = data(18, &["onMetaData".into(), metadata().into()]);
        let array = data(18, &["onMetaData".into(), Value::EcmaArray(metadata())]);
        assert!(
            matches!(parse(&sent), Ok(Data::Metadata { payload, .. }) if payload == array.payload)
        );
    }

    #[test]
    fn other_data_is_passed_on_and_clearing_is_told_apart() {
        let cue = data(18, &["onCuePoint".into(), Object::new().with("name", "x").into()]);
        assert_eq!(parse(&cue), Ok(Data::Other(cue.payload.clone())));
        // What is written anew because some of it was AMF3 keeps its kind.
        let amf3 = Value::Amf3(crate::amf::amf3::Value::String("y".into()));
        let object = || Object::new().with("name", "x").into();
        let mixed = data(18, &["onCuePoint".into(), object(), amf3]);
        let plain = data(18, &["onCuePoint".into(), object(), "y".into()]);
        assert_eq!(parse(&mixed), Ok(Data::Other(plain.payload)));
        let clear = data(18, &["@clearDataFrame".into(), "onMetaData".into()]);
        assert_eq!(parse(&clear), Ok(Data::ClearMetadata));
    }

    #[test]
    fn silent_metadata_declares_nothing() {
        let sent = data(18, &["onMetaData".into(), Value::EcmaArray(Object::new())]);
        let Ok(Data::Metadata { declared, .. }) = parse(&sent) else { panic!("metadata") };
        assert_eq!(declared, DeclaredTracks::default());
    }
}
