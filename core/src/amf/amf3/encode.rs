//! AMF3 values to bytes. Everything is written where it stands, nothing by reference, which every
//! decoder has to accept.

use bytes::{BufMut, BytesMut};

use super::{
    ARRAY, BYTE_ARRAY, DATE, DICTIONARY, DOUBLE, FALSE, INTEGER, NULL, OBJECT, Object, STRING,
    TRUE, UNDEFINED, VECTOR_DOUBLE, VECTOR_INT, VECTOR_OBJECT, VECTOR_UINT, Value, XML, XML_DOC,
};
use crate::amf::Properties;

/// Appends `value` to `out`, without the marker that switches AMF0 to AMF3.
///
/// A named element or dynamic member with an empty name, for which AMF3 has no form, is left out.
/// Recursion is as deep as `value`; a decoded one is at most
/// [`MAX_DEPTH`](crate::amf::MAX_DEPTH).
///
/// # Panics
/// If a text or an array has 2²⁸ bytes or elements, or an object 2²⁵ sealed members; no message can
/// hold them.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Undefined => out.put_u8(UNDEFINED),
        Value::Null => out.put_u8(NULL),
        Value::Boolean(false) => out.put_u8(FALSE),
        Value::Boolean(true) => out.put_u8(TRUE),
        Value::Integer(number) if (-1 << 28..1 << 28).contains(number) => {
            out.put_u8(INTEGER);
            put_u29(*number as u32 & 0x1fff_ffff, out);
        }
        Value::Integer(number) => {
            out.put_u8(DOUBLE);
            out.put_f64(f64::from(*number));
        }
        Value::Double(number) => {
            out.put_u8(DOUBLE);
            out.put_f64(*number);
        }
        Value::String(text) => {
            out.put_u8(STRING);
            put_bytes(text.as_bytes(), out);
        }
        Value::XmlDoc(text) => {
            out.put_u8(XML_DOC);
            put_bytes(text.as_bytes(), out);
        }
        Value::Xml(text) => {
            out.put_u8(XML);
            put_bytes(text.as_bytes(), out);
        }
        Value::ByteArray(bytes) => {
            out.put_u8(BYTE_ARRAY);
            put_bytes(bytes, out);
        }
        Value::Date(ms) => {
            out.put_u8(DATE);
            put_inline(0, out);
            out.put_f64(*ms);
        }
        Value::Array { assoc, dense } => {
            out.put_u8(ARRAY);
            put_inline(dense.len(), out);
            put_pairs(assoc, out);
            dense.iter().for_each(|element| encode(element, out));
        }
        Value::Object(object) => put_object(object, out),
        Value::VectorInt { fixed, items } => {
            put_vector(VECTOR_INT, items.len(), *fixed, out);
            items.iter().for_each(|&item| out.put_i32(item));
        }
        Value::VectorUint { fixed, items } => {
            put_vector(VECTOR_UINT, items.len(), *fixed, out);
            items.iter().for_each(|&item| out.put_u32(item));
        }
        Value::VectorDouble { fixed, items } => {
            put_vector(VECTOR_DOUBLE, items.len(), *fixed, out);
            items.iter().for_each(|&item| out.put_f64(item));
        }
        Value::VectorObject { class, fixed, items } => {
            put_vector(VECTOR_OBJECT, items.len(), *fixed, out);
            put_bytes(class.as_bytes(), out);
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Dictionary { weak_keys, entries } => {
            put_vector(DICTIONARY, entries.len(), *weak_keys, out);
            for (key, value) in entries {
                encode(key, out);
                encode(value, out);
            }
        }
    }
}

fn put_object(object: &Object, out: &mut BytesMut) {
    let is_dynamic = usize::from(object.dynamic.is_some());
    out.put_u8(OBJECT);
    put_inline(object.sealed.len() << 3 | is_dynamic << 2 | 1, out);
    put_bytes(object.class.as_bytes(), out);
    object.sealed.iter().for_each(|(name, _)| put_bytes(name.as_bytes(), out));
    object.sealed.iter().for_each(|(_, value)| encode(value, out));
    if let Some(dynamic) = &object.dynamic {
        put_pairs(dynamic, out);
    }
}

fn put_vector(marker: u8, len: usize, flag: bool, out: &mut BytesMut) {
    out.put_u8(marker);
    put_inline(len, out);
    out.put_u8(u8::from(flag));
}

fn put_pairs(pairs: &Properties<Value>, out: &mut BytesMut) {
    for (name, value) in pairs.iter().filter(|(name, _)| !name.is_empty()) {
        put_bytes(name.as_bytes(), out);
        encode(value, out);
    }
    put_bytes(b"", out);
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_inline(bytes.len(), out);
    out.put_slice(bytes);
}

/// The head of a value that stands here: a length, a count or flags.
fn put_inline(head: usize, out: &mut BytesMut) {
    assert!(head < 1 << 28, "an AMF3 length has 28 bits");
    put_u29((head as u32) << 1 | 1, out);
}

fn put_u29(number: u32, out: &mut BytesMut) {
    let low = number as u8 & 0x7f;
    let seven_bits = |shift: u32| (number >> shift) as u8 | 0x80;
    match number {
        0..0x80 => out.put_u8(low),
        0x80..0x4000 => out.put_slice(&[seven_bits(7), low]),
        0x4000..0x20_0000 => out.put_slice(&[seven_bits(14), seven_bits(7), low]),
        _ => out.put_slice(&[seven_bits(22), seven_bits(15), seven_bits(8), number as u8]),
    }
}
