//! AMF3 values, as they appear in AMF0 messages behind the switch marker.
//!
//! Every value that is switched to starts with empty reference tables (ER v2, "AMF0 and AMF3"), so
//! a value is complete in itself and can be moved between messages.

mod decode;
mod encode;

use super::{Object as Amf0Object, Properties, Value as Amf0};

pub use decode::decode;
pub(super) use decode::decode_from;
pub use encode::encode;

const UNDEFINED: u8 = 0x00;
const NULL: u8 = 0x01;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const INTEGER: u8 = 0x04;
const DOUBLE: u8 = 0x05;
const STRING: u8 = 0x06;
const XML_DOC: u8 = 0x07;
const DATE: u8 = 0x08;
const ARRAY: u8 = 0x09;
const OBJECT: u8 = 0x0a;
const XML: u8 = 0x0b;
const BYTE_ARRAY: u8 = 0x0c;
const VECTOR_INT: u8 = 0x0d;
const VECTOR_UINT: u8 = 0x0e;
const VECTOR_DOUBLE: u8 = 0x0f;
const VECTOR_OBJECT: u8 = 0x10;
const DICTIONARY: u8 = 0x11;

/// An AMF3 value (AMF3 §3). Text that is not UTF-8 is replaced as in AMF0.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Undefined.
    Undefined,
    /// Null.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer of 29 bits, −2²⁸ to 2²⁸−1; one beyond is encoded as a double.
    Integer(i32),
    /// A double.
    Double(f64),
    /// Text.
    String(String),
    /// The text of a `flash.xml.XMLDocument`.
    XmlDoc(String),
    /// Milliseconds since 1970 in UTC.
    Date(f64),
    /// An array.
    Array {
        /// Elements by name.
        assoc: Properties<Value>,
        /// Elements by position.
        dense: Vec<Value>,
    },
    /// An object.
    Object(Object),
    /// The text of an E4X `XML`.
    Xml(String),
    /// Bytes.
    ByteArray(Vec<u8>),
    /// A `Vector.<int>`.
    VectorInt {
        /// Whether its length is fixed.
        fixed: bool,
        /// Its elements.
        items: Vec<i32>,
    },
    /// A `Vector.<uint>`.
    VectorUint {
        /// Whether its length is fixed.
        fixed: bool,
        /// Its elements.
        items: Vec<u32>,
    },
    /// A `Vector.<Number>`.
    VectorDouble {
        /// Whether its length is fixed.
        fixed: bool,
        /// Its elements.
        items: Vec<f64>,
    },
    /// A `Vector` of objects.
    VectorObject {
        /// Registered name of the elements' class; empty is `Object`.
        class: String,
        /// Whether its length is fixed.
        fixed: bool,
        /// Its elements.
        items: Vec<Value>,
    },
    /// A `flash.utils.Dictionary`.
    Dictionary {
        /// Whether its keys are weak references.
        weak_keys: bool,
        /// Keys and values in the order of the wire.
        entries: Vec<(Value, Value)>,
    },
}

/// An AMF3 object (AMF3 §3.12).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    /// Registered name of the class; empty is anonymous.
    pub class: String,
    /// Members that the class declares, in its order.
    pub sealed: Vec<(String, Value)>,
    /// Members that this object adds; `None` if its class does not allow any.
    pub dynamic: Option<Properties<Value>>,
}

impl Object {
    /// The member called `name`, a sealed one before a dynamic one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Sealed members, then dynamic ones, each in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let sealed = self.sealed.iter().map(|(name, value)| (name.as_str(), value));
        sealed.chain(self.dynamic.iter().flat_map(Properties::iter))
    }
}

impl Value {
    /// This value in the terms of AMF0, for a peer that knows no AMF3.
    ///
    /// Integers become numbers, vectors strict arrays, and an array with names an ECMA array whose
    /// dense elements are called "0", "1" and so on. A byte array and a dictionary have no
    /// counterpart and become [`Unsupported`](super::Value::Unsupported).
    pub fn into_amf0(self) -> Amf0 {
        match self {
            Value::Undefined => Amf0::Undefined,
            Value::Null => Amf0::Null,
            Value::Boolean(truth) => Amf0::Boolean(truth),
            Value::Integer(number) => Amf0::Number(f64::from(number)),
            Value::Double(number) => Amf0::Number(number),
            Value::String(text) => Amf0::String(text),
            Value::XmlDoc(text) | Value::Xml(text) => Amf0::Xml(text),
            Value::Date(ms) => Amf0::Date { ms, zone_min: 0 },
            Value::Array { assoc, dense } if assoc.is_empty() => {
                Amf0::StrictArray(dense.into_iter().map(Value::into_amf0).collect())
            }
            Value::Array { assoc, dense } => {
                let by_position = dense.into_iter().enumerate();
                let by_position = by_position.map(|(index, value)| (index.to_string(), value));
                Amf0::EcmaArray(properties_into_amf0(assoc.into_iter().chain(by_position)))
            }
            Value::Object(Object { class, sealed, dynamic }) => {
                let dynamic = dynamic.into_iter().flatten();
                let object = properties_into_amf0(sealed.into_iter().chain(dynamic));
                if class.is_empty() {
                    Amf0::Object(object)
                } else {
                    Amf0::TypedObject { class, object }
                }
            }
            Value::VectorInt { items, .. } => numbers_into_amf0(items),
            Value::VectorUint { items, .. } => numbers_into_amf0(items),
            Value::VectorDouble { items, .. } => numbers_into_amf0(items),
            Value::VectorObject { items, .. } => {
                Amf0::StrictArray(items.into_iter().map(Value::into_amf0).collect())
            }
            Value::ByteArray(_) | Value::Dictionary { .. } => Amf0::Unsupported,
        }
    }
}

fn properties_into_amf0(pairs: impl Iterator<Item = (String, Value)>) -> Amf0Object {
    pairs.map(|(name, value)| (name, value.into_amf0())).collect()
}

fn numbers_into_amf0<N: Into<f64>>(numbers: Vec<N>) -> Amf0 {
    Amf0::StrictArray(numbers.into_iter().map(|number| Amf0::Number(number.into())).collect())
}
