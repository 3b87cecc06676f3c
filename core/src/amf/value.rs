//! What an AMF0 message is made of.

use super::{Properties, amf3};

/// Properties of an AMF0 object, in the order of the wire.
pub type Object = Properties<Value>;

/// An AMF0 value (AMF0 §2).
///
/// Text is UTF-8; decoding replaces what is not by U+FFFD, so a peer's Latin-1 title does not cost
/// it the session but is not relayed byte for byte either.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double, the only number there is.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// Text; above 65,535 bytes it is a "long string" on the wire.
    String(String),
    /// An anonymous object.
    Object(Object),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// An array with names; metadata is one.
    EcmaArray(Object),
    /// An array of values by position.
    StrictArray(Vec<Value>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970 in UTC.
        ms: f64,
        /// Time zone in minutes; reserved, senders leave it 0.
        zone_min: i16,
    },
    /// The text of an XML document.
    Xml(String),
    /// An object with a class.
    TypedObject {
        /// Registered name of the class.
        class: String,
        /// Its properties.
        object: Object,
    },
    /// A value in AMF3 (marker 17).
    Amf3(amf3::Value),
    /// Something the sender could not express.
    Unsupported,
}

impl Value {
    /// The text of a string in AMF0 or AMF3.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Amf3(amf3::Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The number, also one in AMF3.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) | Value::Amf3(amf3::Value::Double(number)) => Some(*number),
            Value::Amf3(amf3::Value::Integer(number)) => Some(f64::from(*number)),
            _ => None,
        }
    }

    /// The boolean, also one in AMF3.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(truth) | Value::Amf3(amf3::Value::Boolean(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// The properties of an object, an ECMA array or a typed object. One in AMF3 has properties of
    /// another type: [`amf3::Value::into_amf0`] first.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object)
            | Value::EcmaArray(object)
            | Value::TypedObject { object, .. } => Some(object),
            _ => None,
        }
    }
}

impl Properties<Value> {
    /// The string called `name`.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The number called `name`.
    pub fn get_number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_number()
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(object)
    }
}
