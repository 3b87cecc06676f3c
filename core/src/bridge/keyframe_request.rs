//! The body of an INFO request that asks for a key frame (RFC 5168 §7).

/// The media type of the body.
pub const CONTENT_TYPE: &str = "application/media_control+xml";

/// The body that asks for a picture which needs no other.
pub const BODY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
    <media_control>\
    <vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive>\
    </media_control>\r\n";

const ELEMENT: &[u8] = b"<picture_fast_update";

/// Whether a body of media type `content_type` asks for a key frame. The element is looked for by its
/// name; the rest of the document is not judged.
pub fn is_keyframe_request(content_type: &str, body: &[u8]) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(CONTENT_TYPE)
        && body.windows(ELEMENT.len() + 1).any(|window| {
            window.starts_with(ELEMENT)
                && matches!(window[ELEMENT.len()], b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_and_other_forms_are_recognised() {
        assert!(is_keyframe_request(CONTENT_TYPE, BODY.as_bytes()));
        let spaced = b"<media_control><vc_primitive>\n<to_encoder>\n <picture_fast_update>\n </picture_fast_update>";
        assert!(is_keyframe_request("Application/Media_Control+XML; charset=utf-8", spaced));
    }

    #[test]
    fn other_bodies_are_not() {
        assert!(!is_keyframe_request("application/dtmf-relay", BODY.as_bytes()));
        assert!(!is_keyframe_request(CONTENT_TYPE, b"<general_error>x</general_error>"));
        assert!(!is_keyframe_request(CONTENT_TYPE, b"<picture_fast_update_not/>"));
        assert!(!is_keyframe_request(CONTENT_TYPE, b"<picture_fast_update"));
    }
}
