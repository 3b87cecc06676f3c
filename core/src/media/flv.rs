//! FLV files (FLV 10.1 §E.2 to §E.4.1): what HTTP-FLV players receive and publishers may send.
//!
//! Encoding gives the framing only, so that a body is sent from where it is; [`Demuxer`] turns bytes
//! in any segmentation back into tags.

use bytes::{Buf, Bytes, BytesMut};

/// The largest body of a tag; its length has 24 bits.
pub const BODY_BYTES_MAX: usize = 0xff_ffff;

const SIGNATURE: &[u8; 3] = b"FLV";
const VERSION: u8 = 1;
const HAS_AUDIO: u8 = 0x04;
const HAS_VIDEO: u8 = 0x01;
const FILE_HEADER_BYTES: usize = 9;
const TAG_HEADER_BYTES: usize = 11;
const PREVIOUS_TAG_SIZE_BYTES: usize = 4;
const IS_ENCRYPTED: u8 = 0x20;

/// What the body of a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// An audio payload (type 8).
    Audio,
    /// A video payload (type 9).
    Video,
    /// AMF0 values, such as `onMetaData` (type 18).
    Script,
}

/// One tag of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What the body is.
    pub kind: TagKind,
    /// Time in milliseconds modulo 2³².
    pub timestamp_ms: u32,
    /// The payload, at most [`BODY_BYTES_MAX`].
    pub body: Bytes,
}

/// What the header of a file announces. Files exist that announce wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Whether there are audio tags.
    pub has_audio: bool,
    /// Whether there are video tags.
    pub has_video: bool,
}

/// The beginning of a file: its header and the size of no previous tag.
pub fn encode_header(has_audio: bool, has_video: bool) -> [u8; 13] {
    let audio = if has_audio { HAS_AUDIO } else { 0 };
    let video = if has_video { HAS_VIDEO } else { 0 };
    let [f, l, v] = *SIGNATURE;
    [f, l, v, VERSION, audio | video, 0, 0, 0, FILE_HEADER_BYTES as u8, 0, 0, 0, 0]
}

/// The bytes in front of a body of `body_len` bytes.
///
/// # Panics
/// If `body_len` is above [`BODY_BYTES_MAX`].
pub fn tag_header(kind: TagKind, timestamp_ms: u32, body_len: usize) -> [u8; 11] {
    assert!(
        body_len <= BODY_BYTES_MAX,
        "the body of an FLV tag has at most {BODY_BYTES_MAX} bytes"
    );
    let kind = match kind {
        TagKind::Audio => 8,
        TagKind::Video => 9,
        TagKind::Script => 18,
    };
    let [_, size_2, size_1, size_0] = (body_len as u32).to_be_bytes();
    let [time_3, time_2, time_1, time_0] = timestamp_ms.to_be_bytes();
    [kind, size_2, size_1, size_0, time_2, time_1, time_0, time_3, 0, 0, 0]
}

/// The number that follows a body of `body_len` bytes, as four big-endian bytes.
///
/// # Panics
/// If `body_len` is above [`BODY_BYTES_MAX`].
pub fn previous_tag_size(body_len: usize) -> u32 {
    assert!(
        body_len <= BODY_BYTES_MAX,
        "the body of an FLV tag has at most {BODY_BYTES_MAX} bytes"
    );
    (TAG_HEADER_BYTES + body_len) as u32
}

/// Why bytes are not an FLV file this can read. Where the next tag begins is then unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DemuxError {
    /// The bytes do not begin with "FLV".
    #[error("bytes do not begin with the FLV signature")]
    NoSignature,
    /// The file is of another version than 1.
    #[error("FLV version {0} is unknown")]
    UnknownVersion(u8),
    /// The header claims to end within its own nine bytes.
    #[error("FLV header has a length of {0} bytes")]
    HeaderTooShort(u32),
    /// A tag is encrypted or otherwise filtered (FLV 10.1 §E.4.1, Filter).
    #[error("FLV tag is encrypted")]
    Encrypted,
    /// A tag is neither audio nor video nor script data; most likely the bytes are no tag at all.
    #[error("FLV tag type {0} is unknown")]
    UnknownTagType(u8),
    /// A body is longer than the demuxer was told to accept.
    #[error("FLV tag has a body of {body_bytes} bytes, more than {limit_bytes}")]
    TagTooLarge {
        /// Length of the body.
        body_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
}

/// Reads tags from bytes that arrive in any segmentation.
///
/// Feed bytes, then take tags until there is none. What it holds is what was fed and not yet taken;
/// drained after every feed, that is less than one tag beyond the last segment.
#[derive(Debug)]
pub struct Demuxer {
    body_bytes_max: usize,
    fed: BytesMut,
    header: Option<FileHeader>,
    /// Bytes of an extended file header still to be passed over.
    extension_left: usize,
    /// The size of the previous tag, if that is what comes next.
    previous_size: Option<u32>,
    previous_size_mismatches: u64,
}

impl Demuxer {
    /// A demuxer at the beginning of a file that accepts bodies up to `body_bytes_max`.
    pub fn new(body_bytes_max: usize) -> Self {
        Self {
            body_bytes_max,
            fed: BytesMut::new(),
            header: None,
            extension_left: 0,
            previous_size: Some(0),
            previous_size_mismatches: 0,
        }
    }

    /// What the file announces; `None` until its header has been read by [`Demuxer::next_tag`].
    pub fn header(&self) -> Option<FileHeader> {
        self.header
    }

    /// How often the size behind a tag was not that of the tag. Such files are read all the same.
    pub fn previous_size_mismatches(&self) -> u64 {
        self.previous_size_mismatches
    }

    /// Adds the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.fed.extend_from_slice(bytes);
    }

    /// Takes the next tag, as soon as its body is complete; `None` if that needs more bytes.
    ///
    /// # Errors
    /// Any [`DemuxError`], and the same one again on every later call.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, DemuxError> {
        if !self.pass_file_header()? || !self.pass_previous_size() {
            return Ok(None);
        }
        let Some(&[kind, size_2, size_1, size_0, time_2, time_1, time_0, time_3, ..]) =
            self.fed.first_chunk::<TAG_HEADER_BYTES>()
        else {
            return Ok(None);
        };
        if kind & IS_ENCRYPTED != 0 {
            return Err(DemuxError::Encrypted);
        }
        let kind = match kind {
            8 => TagKind::Audio,
            9 => TagKind::Video,
            18 => TagKind::Script,
            unknown => return Err(DemuxError::UnknownTagType(unknown)),
        };
        let body_bytes = u32::from_be_bytes([0, size_2, size_1, size_0]) as usize;
        if body_bytes > self.body_bytes_max {
            return Err(DemuxError::TagTooLarge { body_bytes, limit_bytes: self.body_bytes_max });
        }
        if self.fed.len() < TAG_HEADER_BYTES + body_bytes {
            return Ok(None);
        }
        self.fed.advance(TAG_HEADER_BYTES);
        self.previous_size = Some(previous_tag_size(body_bytes));
        Ok(Some(Tag {
            kind,
            timestamp_ms: u32::from_be_bytes([time_3, time_2, time_1, time_0]),
            body: self.fed.split_to(body_bytes).freeze(),
        }))
    }

    /// Whether the file header is behind.
    fn pass_file_header(&mut self) -> Result<bool, DemuxError> {
        if self.header.is_none() {
            let known = self.fed.len().min(SIGNATURE.len());
            if self.fed[..known] != SIGNATURE[..known] {
                return Err(DemuxError::NoSignature);
            }
            let Some(&[_, _, _, version, flags, ref length @ ..]) =
                self.fed.first_chunk::<FILE_HEADER_BYTES>()
            else {
                return Ok(false);
            };
            if version != VERSION {
                return Err(DemuxError::UnknownVersion(version));
            }
            let length = u32::from_be_bytes(*length);
            self.extension_left = (length as usize)
                .checked_sub(FILE_HEADER_BYTES)
                .ok_or(DemuxError::HeaderTooShort(length))?;
            self.header = Some(FileHeader {
                has_audio: flags & HAS_AUDIO != 0,
                has_video: flags & HAS_VIDEO != 0,
            });
            self.fed.advance(FILE_HEADER_BYTES);
        }
        let passed = self.extension_left.min(self.fed.len());
        self.fed.advance(passed);
        self.extension_left -= passed;
        Ok(self.extension_left == 0)
    }

    /// Whether the size of the previous tag is behind.
    fn pass_previous_size(&mut self) -> bool {
        if let Some(expected) = self.previous_size {
            if self.fed.len() < PREVIOUS_TAG_SIZE_BYTES {
                return false;
            }
            if self.fed.get_u32() != expected {
                self.previous_size_mismatches += 1;
            }
            self.previous_size = None;
        }
        true
    }
}
