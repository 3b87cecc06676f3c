//! AMF0 to and from bytes (AMF0 specification §2).
//!
//! Decoding is lenient where encoders in the field are wrong: an ECMA array's count is a hint that
//! nothing depends on, and an object at the top of a message may end with the message instead of an
//! object end.

use bytes::{BufMut, BytesMut};

use super::{
    DecodeError, Object, Value, amf3, input::Input, properties::Properties, references::References,
};

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const REFERENCE: u8 = 7;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;
const DATE: u8 = 11;
const LONG_STRING: u8 = 12;
const UNSUPPORTED: u8 = 13;
const XML: u8 = 15;
const TYPED_OBJECT: u8 = 16;
const AMF3: u8 = 17;

/// Decodes the value at the beginning of `bytes` and moves `bytes` behind it.
///
/// References can point to objects inside this value only; for a message of several values use
/// [`decode_all`].
///
/// # Errors
/// Any [`DecodeError`]; `bytes` then stays as it was.
pub fn decode(bytes: &mut &[u8]) -> Result<Value, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value()?;
    *bytes = decoder.input.rest();
    Ok(value)
}

/// Decodes all values of a message. No bytes are no values.
///
/// # Errors
/// Any [`DecodeError`], also if only the last value is malformed.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let mut values = Vec::new();
    while !decoder.input.rest().is_empty() {
        values.push(decoder.value()?);
    }
    Ok(values)
}

struct Decoder<'a> {
    input: Input<'a>,
    references: References,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { input: Input::new(bytes), references: References::default() }
    }

    fn value(&mut self) -> Result<Value, DecodeError> {
        self.input.enter()?;
        let start = self.input.at();
        let value = match self.input.u8()? {
            NUMBER => Value::Number(self.input.f64()?),
            BOOLEAN => Value::Boolean(self.input.u8()? != 0),
            STRING => Value::String(self.short_text()?),
            NULL => Value::Null,
            UNDEFINED => Value::Undefined,
            REFERENCE => self.reference()?,
            DATE => Value::Date { ms: self.input.f64()?, zone_min: self.input.i16()? },
            LONG_STRING => Value::String(self.long_text()?),
            UNSUPPORTED => Value::Unsupported,
            XML => Value::Xml(self.long_text()?),
            AMF3 => Value::Amf3(amf3::decode_from(&mut self.input)?),
            marker => self.complex(marker, start)?,
        };
        self.input.leave();
        Ok(value)
    }

    /// A value that a reference can point to; it began at offset `start`.
    fn complex(&mut self, marker: u8, start: usize) -> Result<Value, DecodeError> {
        let open = self.references.open(start);
        let value = match marker {
            OBJECT => Value::Object(self.properties()?),
            ECMA_ARRAY => {
                self.input.u32()?;
                Value::EcmaArray(self.properties()?)
            }
            STRICT_ARRAY => Value::StrictArray(self.elements()?),
            TYPED_OBJECT => {
                Value::TypedObject { class: self.short_text()?, object: self.properties()? }
            }
            unknown => return Err(DecodeError::UnknownAmf0Marker(unknown)),
        };
        self.references.close(open);
        Ok(value)
    }

    fn reference(&mut self) -> Result<Value, DecodeError> {
        let index = usize::from(self.input.u16()?);
        let start = self.references.replay(index)?;
        let resume = self.input.at();
        self.input.seek(start);
        let value = self.value()?;
        self.input.seek(resume);
        self.references.replayed();
        Ok(value)
    }

    fn properties(&mut self) -> Result<Object, DecodeError> {
        let mut pairs = Vec::new();
        loop {
            let ends_with_message = self.input.depth() == 1 && self.input.rest().is_empty();
            if ends_with_message {
                break;
            }
            if self.input.rest().starts_with(&[0, 0, OBJECT_END]) {
                self.input.skip(3)?;
                break;
            }
            pairs.push((self.short_text()?, self.value()?));
        }
        Ok(pairs.into_iter().collect())
    }

    fn elements(&mut self) -> Result<Vec<Value>, DecodeError> {
        let count = self.input.u32()? as usize;
        if count > self.input.rest().len() {
            return Err(DecodeError::Truncated);
        }
        (0..count).map(|_| self.value()).collect()
    }

    fn short_text(&mut self) -> Result<String, DecodeError> {
        let len = usize::from(self.input.u16()?);
        let range = self.input.skip(len)?;
        self.input.text(range)
    }

    fn long_text(&mut self) -> Result<String, DecodeError> {
        let len = self.input.u32()? as usize;
        let range = self.input.skip(len)?;
        self.input.text(range)
    }
}

/// Appends `value` to `out`.
///
/// No references are written. A property name or class above 65,535 bytes, for which AMF0 has no
/// form, is cut at a character boundary. Recursion is as deep as `value`; a decoded one is at most
/// [`MAX_DEPTH`](super::MAX_DEPTH).
///
/// # Panics
/// If an array or a text has 2³² elements or bytes, more than any message can hold.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(truth) => out.put_slice(&[BOOLEAN, u8::from(*truth)]),
        Value::String(text) if text.len() > usize::from(u16::MAX) => {
            out.put_u8(LONG_STRING);
            put_long_text(text, out);
        }
        Value::String(text) => {
            out.put_u8(STRING);
            put_short_text(text, out);
        }
        Value::Object(object) => {
            out.put_u8(OBJECT);
            put_properties(object, out);
        }
        Value::Null => out.put_u8(NULL),
        Value::Undefined => out.put_u8(UNDEFINED),
        Value::EcmaArray(object) => {
            out.put_u8(ECMA_ARRAY);
            put_count(object.len(), out);
            put_properties(object, out);
        }
        Value::StrictArray(elements) => {
            out.put_u8(STRICT_ARRAY);
            put_count(elements.len(), out);
            elements.iter().for_each(|element| encode(element, out));
        }
        Value::Date { ms, zone_min } => {
            out.put_u8(DATE);
            out.put_f64(*ms);
            out.put_i16(*zone_min);
        }
        Value::Xml(text) => {
            out.put_u8(XML);
            put_long_text(text, out);
        }
        Value::TypedObject { class, object } => {
            out.put_u8(TYPED_OBJECT);
            put_short_text(class, out);
            put_properties(object, out);
        }
        Value::Amf3(value) => {
            out.put_u8(AMF3);
            amf3::encode(value, out);
        }
        Value::Unsupported => out.put_u8(UNSUPPORTED),
    }
}

fn put_properties(object: &Properties<Value>, out: &mut BytesMut) {
    for (name, value) in object.iter() {
        put_short_text(name, out);
        encode(value, out);
    }
    out.put_slice(&[0, 0, OBJECT_END]);
}

fn put_short_text(text: &str, out: &mut BytesMut) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn put_long_text(text: &str, out: &mut BytesMut) {
    put_count(text.len(), out);
    out.put_slice(text.as_bytes());
}

fn put_count(count: usize, out: &mut BytesMut) {
    out.put_u32(u32::try_from(count).expect("an AMF0 count has 32 bits"));
}
