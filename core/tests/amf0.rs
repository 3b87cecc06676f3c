//! AMF0 against bytes computed by hand, hostile bytes, and itself.

use bytes::BytesMut;
use proptest::prelude::*;
use rehearsal_core::amf::{
    DecodeError, MAX_DEPTH, MAX_NODES, MAX_REPEATED_BYTES, Object, Value, amf0, amf3,
};

fn encoded(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| amf0::encode(value, &mut out));
    out
}

fn one(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut rest = bytes;
    let value = amf0::decode(&mut rest)?;
    assert!(rest.is_empty(), "{} bytes left over", rest.len());
    Ok(value)
}

/// A strict array of `values`, each already encoded.
fn strict_array(values: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0x0a];
    bytes.extend((values.len() as u32).to_be_bytes());
    bytes.extend(values.concat());
    bytes
}

#[test]
fn values_have_the_bytes_of_the_specification() {
    let name_x = Object::new().with("x", true);
    let vectors: [(Value, &[u8]); 13] = [
        (1.5.into(), b"\x00\x3f\xf8\0\0\0\0\0\0"),
        (true.into(), b"\x01\x01"),
        ("live".into(), b"\x02\x00\x04live"),
        (name_x.clone().into(), b"\x03\x00\x01x\x01\x01\x00\x00\x09"),
        (Value::Null, b"\x05"),
        (Value::Undefined, b"\x06"),
        (Value::EcmaArray(name_x.clone()), b"\x08\0\0\0\x01\x00\x01x\x01\x01\x00\x00\x09"),
        (Value::StrictArray(vec![Value::Null, false.into()]), b"\x0a\0\0\0\x02\x05\x01\x00"),
        (Value::Date { ms: 2.0, zone_min: -60 }, b"\x0b\x40\0\0\0\0\0\0\0\xff\xc4"),
        (Value::Unsupported, b"\x0d"),
        (Value::Xml("<a/>".into()), b"\x0f\0\0\0\x04<a/>"),
        (
            Value::TypedObject { class: "C".into(), object: name_x },
            b"\x10\x00\x01C\x00\x01x\x01\x01\x00\x00\x09",
        ),
        (Value::Amf3(amf3::Value::Integer(5)), b"\x11\x04\x05"),
    ];
    for (value, bytes) in vectors {
        assert_eq!(encoded(std::slice::from_ref(&value)), bytes, "{value:?}");
        assert_eq!(one(bytes), Ok(value));
    }
}

#[test]
fn command_decodes_into_its_values() {
    let bytes = b"\x02\x00\x0ccreateStream\x00\x40\x10\0\0\0\0\0\0\x05";
    let values = amf0::decode_all(bytes).unwrap();
    assert_eq!(values, ["createStream".into(), 4.0.into(), Value::Null]);
    assert_eq!(encoded(&values), bytes.as_slice());
    assert_eq!(amf0::decode_all(b""), Ok(vec![]));
}

#[test]
fn one_value_leaves_the_rest() {
    let mut rest: &[u8] = b"\x05\x01\x01";
    assert_eq!(amf0::decode(&mut rest), Ok(Value::Null));
    assert_eq!(rest, b"\x01\x01");
    assert_eq!(amf0::decode(&mut &b"\x01"[..]), Err(DecodeError::Truncated));
}

#[test]
fn properties_keep_the_order_of_the_wire() {
    let object = Object::new().with("z", 1.0).with("a", 2.0).with("m", 3.0);
    let Ok(Value::Object(decoded)) = one(&encoded(&[object.into()])) else { panic!("an object") };
    assert!(decoded.iter().map(|(name, _)| name).eq(["z", "a", "m"]));
}

#[test]
fn empty_name_is_not_an_object_end() {
    let value = Value::Object(Object::new().with("", 1.0).with("b", Value::Null));
    assert_eq!(one(&encoded(std::slice::from_ref(&value))), Ok(value));
}

#[test]
fn string_is_long_from_65536_bytes() {
    for (len, marker, head) in [(65_535, 2, 3), (65_536, 12, 5)] {
        let text: Value = "x".repeat(len).into();
        let bytes = encoded(std::slice::from_ref(&text));
        assert_eq!((bytes[0], bytes.len()), (marker, head + len));
        assert_eq!(one(&bytes), Ok(text));
    }
}

#[test]
fn name_beyond_its_length_field_is_cut_at_a_character() {
    let object = Object::new().with("é".repeat(40_000), 1.0);
    let Ok(Value::Object(decoded)) = one(&encoded(&[object.into()])) else { panic!("an object") };
    assert_eq!(decoded.get_number(&"é".repeat(32_767)), Some(1.0));
}

#[test]
fn text_that_is_not_utf8_is_replaced() {
    assert_eq!(one(b"\x02\x00\x03a\xffb"), Ok("a\u{fffd}b".into()));
}

#[test]
fn count_of_an_ecma_array_is_a_hint() {
    let expected = Ok(Value::EcmaArray(Object::new().with("x", true)));
    assert_eq!(one(b"\x08\0\0\0\0\x00\x01x\x01\x01\x00\x00\x09"), expected);
    assert_eq!(one(b"\x08\xff\xff\xff\xff\x00\x01x\x01\x01\x00\x00\x09"), expected);
}

#[test]
fn object_at_the_top_may_end_with_the_message() {
    assert_eq!(one(b"\x03\x00\x01x\x01\x01"), Ok(Object::new().with("x", true).into()));
    assert_eq!(one(b"\x08\0\0\0\0"), Ok(Value::EcmaArray(Object::new())));
    let inner_lacks_its_end = b"\x03\x00\x01x\x03\x00\x01y\x05";
    assert_eq!(one(inner_lacks_its_end), Err(DecodeError::Truncated));
}

#[test]
fn message_cut_anywhere_is_truncated() {
    let properties = Object::new()
        .with("text", "abc")
        .with("date", Value::Date { ms: 1.0, zone_min: 0 })
        .with("list", Value::StrictArray(vec![1.0.into(), Value::Xml("<a/>".into())]))
        .with("typed", Value::TypedObject { class: "C".into(), object: Object::new() })
        .with("amf3", Value::Amf3(amf3::Value::String("abc".into())));
    let bytes = encoded(&[Value::StrictArray(vec![properties.into()])]);
    assert!(one(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert_eq!(one(&bytes[..len]), Err(DecodeError::Truncated), "{len} bytes");
    }
}

#[test]
fn reference_repeats_an_earlier_object() {
    let mut bytes = encoded(&[Object::new().with("x", true).into(), Value::StrictArray(vec![])]);
    bytes.extend_from_slice(b"\x07\x00\x00\x07\x00\x01");
    let values = amf0::decode_all(&bytes).unwrap();
    assert_eq!(values[2], values[0]);
    assert_eq!(values[3], values[1]);
}

#[test]
fn objects_are_numbered_as_they_begin() {
    // [ {a: [null]}, reference 2 ]: 0 is the outer array, 1 the object, 2 the inner array.
    let bytes = strict_array(&[
        b"\x03\x00\x01a\x0a\0\0\0\x01\x05\x00\x00\x09".to_vec(),
        b"\x07\x00\x02".to_vec(),
    ]);
    let Ok(Value::StrictArray(elements)) = one(&bytes) else { panic!("an array") };
    assert_eq!(elements[1], Value::StrictArray(vec![Value::Null]));
}

#[test]
fn reference_to_nothing_or_to_its_own_container_is_an_error() {
    assert_eq!(one(b"\x07\x00\x00"), Err(DecodeError::UnknownReference(0)));
    let circular = strict_array(&[b"\x07\x00\x00".to_vec()]);
    assert_eq!(one(&circular), Err(DecodeError::CircularReference(0)));
}

#[test]
fn marker_without_a_value_is_an_error() {
    for marker in [4, 9, 14, 18, 0xff] {
        assert_eq!(one(&[marker, 0]), Err(DecodeError::UnknownAmf0Marker(marker)));
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let mut bytes = b"\x0a\0\0\0\x01".repeat(depth - 1);
        bytes.push(5);
        bytes
    };
    assert!(one(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(one(&nested(MAX_DEPTH + 1)), Err(DecodeError::TooDeep));
    assert_eq!(one(&nested(1_000_000)), Err(DecodeError::TooDeep));

    let amf3_within = [b"\x0a\0\0\0\x01".repeat(MAX_DEPTH - 1), b"\x11\x01".to_vec()].concat();
    assert_eq!(one(&amf3_within), Err(DecodeError::TooDeep));
}

#[test]
fn values_are_bounded() {
    let nulls = |count| strict_array(&vec![vec![5]; count]);
    assert!(one(&nulls(MAX_NODES - 1)).is_ok());
    assert_eq!(one(&nulls(MAX_NODES)), Err(DecodeError::TooManyNodes));
}

#[test]
fn count_beyond_the_message_is_truncated() {
    assert_eq!(one(b"\x0a\xff\xff\xff\xff\x05"), Err(DecodeError::Truncated));
    assert_eq!(one(b"\x0c\xff\xff\xff\xffabc"), Err(DecodeError::Truncated));
}

#[test]
fn references_that_double_each_other_are_bounded() {
    let mut values = vec![strict_array(&[vec![5], vec![5]])];
    for index in 1..30_u8 {
        let reference = vec![7, 0, index];
        values.push(strict_array(&[reference.clone(), reference]));
    }
    assert_eq!(one(&strict_array(&values)), Err(DecodeError::TooManyNodes));
}

#[test]
fn references_that_repeat_a_long_text_are_bounded() {
    let text = encoded(&["x".repeat(60_000).into()]).to_vec();
    let repeated = |times: usize| {
        let mut values = vec![strict_array(std::slice::from_ref(&text))];
        values.extend(vec![b"\x07\x00\x01".to_vec(); times]);
        one(&strict_array(&values)).map(|_| ())
    };
    assert_eq!(repeated(MAX_REPEATED_BYTES / 60_000), Ok(()));
    assert_eq!(repeated(MAX_REPEATED_BYTES / 60_000 + 2), Err(DecodeError::TooMuchRepeated));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (prop::num::f64::NORMAL | prop::num::f64::ZERO).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
        any::<i16>().prop_map(|zone_min| Value::Date { ms: 1e12, zone_min }),
        any::<String>().prop_map(Value::Xml),
        any::<i16>().prop_map(|number| Value::Amf3(amf3::Value::Integer(number.into()))),
        Just(Value::Unsupported),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let object = || {
            prop::collection::vec((any::<String>(), inner.clone()), 0..6)
                .prop_map(|pairs| pairs.into_iter().collect::<Object>())
        };
        prop_oneof![
            object().prop_map(Value::Object),
            object().prop_map(Value::EcmaArray),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::StrictArray),
            (any::<String>(), object())
                .prop_map(|(class, object)| Value::TypedObject { class, object }),
        ]
    })
}

/// Bytes that look enough like AMF0 to get past the first marker.
fn plausible_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => 0..20_u8, 1 => any::<u8>()], 0..200)
}

proptest! {
    #[test]
    fn values_survive_a_round_trip(values in prop::collection::vec(any_value(), 0..4)) {
        prop_assert_eq!(amf0::decode_all(&encoded(&values)), Ok(values));
    }

    #[test]
    fn any_bytes_decode_or_err(bytes in plausible_bytes()) {
        if let Ok(values) = amf0::decode_all(&bytes) {
            amf0::decode_all(&encoded(&values)).unwrap();
        }
    }

    #[test]
    fn damaged_messages_decode_or_err(
        value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encoded(&[value]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = amf0::decode_all(&bytes);
    }
}
