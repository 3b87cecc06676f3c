//! The connect command: what the client asks for and what it is told.

use super::{Phase, ServerEvent, ServerSession, SessionError};
use crate::{
    amf::{Object, Value},
    rtmp::{
        command::{Command, Encoding, Level, Status},
        message::Control,
    },
};

/// Version string in the reply; clients parse its form.
const FMS_VERSION: &str = "FMS/3,0,1,123";
/// Capability bits that servers of this family answer with.
const CAPABILITIES: f64 = 127.0;
/// Codecs of Enhanced RTMP that pass through, as FourCC.
const FOURCC_LIST: [&str; 12] = [
    "avc1", "hvc1", "vvc1", "av01", "vp09", "vp08", "Opus", "fLaC", "ac-3", "ec-3", ".mp3", "mp4a",
];
/// `FourCcInfoMask.CanForward` of Enhanced RTMP.
const CAN_FORWARD: f64 = 4.0;
/// `CapsExMask`: multitrack, ModEx and nanosecond offsets pass through.
const CAPS_EX: f64 = (2 + 4 + 8) as f64;

/// Arguments besides that an application may be told.
const ARGUMENTS_MAX: usize = 8;

/// What a client says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Application, without query and slashes at its ends.
    pub app: String,
    /// Whole URL as the client knows it.
    pub tc_url: String,
    /// The client's version string.
    pub flash_version: String,
    /// What it says besides, as the application wants it; `None` for what is no text.
    pub arguments: Vec<Option<String>>,
}

/// `name` without its query and without slashes at its ends.
pub(super) fn plain_name(name: &str) -> &str {
    name.split('?').next().unwrap_or_default().trim_matches('/')
}

impl ServerSession {
    /// Reads connect.
    pub(super) fn handle_connect(
        &mut self,
        command: &Command,
    ) -> Result<Option<ServerEvent>, SessionError> {
        let empty = Object::new();
        let object = command.object().unwrap_or(&empty);
        self.connect_transaction = command.transaction;
        self.object_encoding = object.get_number("objectEncoding").unwrap_or(0.0);
        self.enhanced = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"]
            .iter()
            .any(|name| object.get(name).is_some());
        let text = |name: &str| object.get_str(name).unwrap_or_default().to_owned();
        let arguments = command.values.iter().skip(1).take(ARGUMENTS_MAX);
        let request = ConnectRequest {
            app: plain_name(&text("app")).to_owned(),
            tc_url: text("tcUrl"),
            flash_version: text("flashVer"),
            arguments: arguments.map(|own| own.as_str().map(str::to_owned)).collect(),
        };
        if self.object_encoding != 0.0 && self.object_encoding != 3.0 {
            self.reject_connect("objectEncoding must be 0 (AMF0) or 3 (AMF3)");
            return Ok(None);
        }
        if !self.is_usable_name(&request.app) {
            self.reject_connect(
                "the application name is missing, too long or has control characters",
            );
            return Ok(None);
        }
        self.phase = Phase::Deciding;
        Ok(Some(ServerEvent::Connect(request)))
    }

    /// Answers connect: the client may create streams.
    pub fn accept_connect(&mut self) {
        self.phase = Phase::Connected;
        self.link.send_window_ack_size(self.config.window_ack_bytes);
        self.link.send_control(Control::SetPeerBandwidth {
            window_bytes: self.config.window_ack_bytes,
            limit_type: 2,
        });
        // Before the reply, because some peers take each reply for one chunk; ffmpeg adopts the size.
        self.link.send_set_chunk_size(self.config.chunk_bytes);
        let mut properties = Object::new()
            .with("fmsVer", FMS_VERSION)
            .with("capabilities", CAPABILITIES)
            .with("mode", 1.0);
        if self.enhanced {
            let list = FOURCC_LIST.iter().map(|&codec| Value::from(codec)).collect();
            let any = || Object::new().with("*", CAN_FORWARD);
            properties = properties
                .with("fourCcList", Value::StrictArray(list))
                .with("videoFourCcInfoMap", any())
                .with("audioFourCcInfoMap", any())
                .with("capsEx", CAPS_EX);
        }
        let information = Status::ok("NetConnection.Connect.Success", "Connection succeeded.")
            .to_object()
            .with("objectEncoding", self.object_encoding);
        let reply =
            Command::result(self.connect_transaction, vec![properties.into(), information.into()]);
        self.link.send_command(0, &reply, Encoding::Amf0);
        if self.object_encoding == 3.0 {
            self.encoding = Encoding::Amf3;
        }
        self.link.send_command(0, &Command::notice("onBWDone", vec![Value::Null]), self.encoding);
    }

    /// Answers connect: the client is not served. The session's deadline for a command runs on.
    pub fn reject_connect(&mut self, description: &str) {
        self.phase = Phase::Unconnected;
        let status =
            Status { level: Level::Error, code: "NetConnection.Connect.Rejected", description };
        let reply = Command {
            name: "_error".to_owned(),
            transaction: self.connect_transaction,
            values: vec![Value::Null, status.to_object().into()],
        };
        self.link.send_command(0, &reply, Encoding::Amf0);
    }
}
