//! AMF3 against bytes computed by hand, hostile bytes, and itself.

use bytes::BytesMut;
use proptest::prelude::*;
use rehearsal_core::amf::{
    self, DecodeError, MAX_DEPTH, MAX_NODES, MAX_REPEATED_BYTES, Properties,
    amf3::{self, Object, Value},
};

fn encoded(value: &Value) -> BytesMut {
    let mut out = BytesMut::new();
    amf3::encode(value, &mut out);
    out
}

fn one(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut rest = bytes;
    let value = amf3::decode(&mut rest)?;
    assert!(rest.is_empty(), "{} bytes left over", rest.len());
    Ok(value)
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn array(dense: impl Into<Vec<Value>>) -> Value {
    Value::Array { assoc: Properties::new(), dense: dense.into() }
}

/// Members that exercise sealed and dynamic ones at once.
fn mixed_object() -> Object {
    Object {
        class: "C".into(),
        sealed: vec![("s".into(), Value::Boolean(true)), ("t".into(), Value::Null)],
        dynamic: Some(Properties::new().with("d", Value::Integer(1))),
    }
}

#[test]
fn values_have_the_bytes_of_the_specification() {
    let assoc = Properties::new().with("k", Value::Null);
    let vectors: [(Value, &[u8]); 19] = [
        (Value::Undefined, b"\x00"),
        (Value::Null, b"\x01"),
        (Value::Boolean(false), b"\x02"),
        (Value::Boolean(true), b"\x03"),
        (Value::Integer(-1), b"\x04\xff\xff\xff\xff"),
        (Value::Double(1.5), b"\x05\x3f\xf8\0\0\0\0\0\0"),
        (text("live"), b"\x06\x09live"),
        (text(""), b"\x06\x01"),
        (Value::XmlDoc("<a/>".into()), b"\x07\x09<a/>"),
        (Value::Date(2.0), b"\x08\x01\x40\0\0\0\0\0\0\0"),
        (array([Value::Null, text("a")]), b"\x09\x05\x01\x01\x06\x03a"),
        (Value::Array { assoc, dense: vec![Value::Null] }, b"\x09\x03\x03k\x01\x01\x01"),
        (Value::Object(mixed_object()), b"\x0a\x2b\x03C\x03s\x03t\x03\x01\x03d\x04\x01\x01"),
        (Value::Xml("<a/>".into()), b"\x0b\x09<a/>"),
        (Value::ByteArray(vec![0, 255]), b"\x0c\x05\x00\xff"),
        (
            Value::VectorInt { fixed: true, items: vec![-2, 1] },
            b"\x0d\x05\x01\xff\xff\xff\xfe\0\0\0\x01",
        ),
        (
            Value::VectorUint { fixed: false, items: vec![u32::MAX] },
            b"\x0e\x03\x00\xff\xff\xff\xff",
        ),
        (
            Value::VectorObject { class: "C".into(), fixed: false, items: vec![Value::Null] },
            b"\x10\x03\x00\x03C\x01",
        ),
        (
            Value::Dictionary { weak_keys: true, entries: vec![(text("k"), Value::Integer(1))] },
            b"\x11\x03\x01\x06\x03k\x04\x01",
        ),
    ];
    for (value, bytes) in vectors {
        assert_eq!(encoded(&value), bytes, "{value:?}");
        assert_eq!(one(bytes), Ok(value));
    }
}

#[test]
fn integers_take_one_to_four_bytes() {
    let vectors: [(i32, &[u8]); 8] = [
        (0x7f, b"\x04\x7f"),
        (0x80, b"\x04\x81\x00"),
        (0x3fff, b"\x04\xff\x7f"),
        (0x4000, b"\x04\x81\x80\x00"),
        (0x1f_ffff, b"\x04\xff\xff\x7f"),
        (0x20_0000, b"\x04\x80\xc0\x80\x00"),
        ((1 << 28) - 1, b"\x04\xbf\xff\xff\xff"),
        (-1 << 28, b"\x04\xc0\x80\x80\x00"),
    ];
    for (number, bytes) in vectors {
        assert_eq!(encoded(&Value::Integer(number)), bytes, "{number}");
        assert_eq!(one(bytes), Ok(Value::Integer(number)));
    }
}

#[test]
fn integer_beyond_29_bits_becomes_a_double() {
    for number in [1 << 28, (-1 << 28) - 1] {
        assert_eq!(one(&encoded(&Value::Integer(number))), Ok(Value::Double(number.into())));
    }
}

#[test]
fn strings_are_referred_to_by_order_and_empty_ones_never() {
    // ["", "ab", "c", reference 0, reference 1]
    let bytes = b"\x09\x0b\x01\x06\x01\x06\x05ab\x06\x03c\x06\x00\x06\x02";
    let expected = ["", "ab", "c", "ab", "c"].map(text);
    assert_eq!(one(bytes), Ok(array(expected)));
    assert_eq!(one(b"\x06\x00"), Err(DecodeError::UnknownReference(0)));
}

#[test]
fn objects_are_referred_to_whatever_their_type() {
    // [date, bytes, reference 1 (the date), reference 2 (the bytes)]; 0 is the array.
    let bytes = b"\x09\x09\x01\x08\x01\0\0\0\0\0\0\0\0\x0c\x03\x2a\x08\x02\x0c\x04";
    let (date, octets) = (Value::Date(0.0), Value::ByteArray(vec![0x2a]));
    assert_eq!(one(bytes), Ok(array([date.clone(), octets.clone(), date, octets])));
    assert_eq!(one(b"\x0a\x00"), Err(DecodeError::UnknownReference(0)));
    assert_eq!(one(b"\x09\x03\x01\x09\x00"), Err(DecodeError::CircularReference(0)));
}

#[test]
fn objects_of_one_class_share_traits() {
    // [{class P, x: 1}, {traits 0, x: 2}, reference 2, reference 1]
    let bytes = b"\x09\x09\x01\x0a\x13\x03P\x03x\x04\x01\x0a\x01\x04\x02\x0a\x04\x0a\x02";
    let point = |x| {
        let sealed = vec![("x".into(), Value::Integer(x))];
        Value::Object(Object { class: "P".into(), sealed, dynamic: None })
    };
    assert_eq!(one(bytes), Ok(array([point(1), point(2), point(2), point(1)])));
    assert_eq!(one(b"\x0a\x05"), Err(DecodeError::UnknownReference(1)));
}

#[test]
fn repeated_object_does_not_shift_later_references() {
    // [{traits: dynamic, a: "v"}, reference 1, "w", string 0 "a", string 2 "w"]
    let bytes = b"\x09\x0b\x01\x0a\x0b\x01\x03a\x06\x03v\x01\x0a\x02\x06\x03w\x06\x00\x06\x04";
    let Ok(Value::Array { dense, .. }) = one(bytes) else { panic!("an array") };
    assert_eq!(dense[1], dense[0]);
    assert_eq!(dense[2..], [text("w"), text("a"), text("w")]);
}

#[test]
fn tables_start_empty_after_each_switch() {
    let first = b"\x11\x06\x03a";
    let second = b"\x11\x06\x00";
    let values = amf::amf0::decode_all(&[&first[..], second].concat());
    assert_eq!(values, Err(DecodeError::UnknownReference(0)));
}

#[test]
fn externalizable_object_is_a_named_error() {
    assert_eq!(one(b"\x0a\x07\x03C\x01"), Err(DecodeError::Externalizable));
}

#[test]
fn members_are_found_sealed_first() {
    let mut object = mixed_object();
    object.dynamic = Some(Properties::new().with("s", Value::Null).with("d", Value::Null));
    assert_eq!(object.get("s"), Some(&Value::Boolean(true)));
    assert!(object.iter().map(|(name, _)| name).eq(["s", "t", "s", "d"]));
}

#[test]
fn unnameable_members_are_left_out() {
    let assoc = Properties::new().with("", Value::Null).with("k", Value::Null);
    let kept = Properties::new().with("k", Value::Null);
    assert_eq!(
        one(&encoded(&Value::Array { assoc, dense: vec![] })),
        Ok(Value::Array { assoc: kept, dense: vec![] }),
    );
}

#[test]
fn value_cut_anywhere_is_truncated() {
    let value = array([
        Value::Object(mixed_object()),
        Value::VectorDouble { fixed: false, items: vec![1.0, 2.0] },
        Value::VectorInt { fixed: false, items: vec![1] },
        Value::Dictionary { weak_keys: false, entries: vec![(text("k"), text("v"))] },
        Value::Integer(1 << 27),
        Value::ByteArray(vec![1, 2, 3]),
        Value::Date(1.0),
    ]);
    let bytes = encoded(&value);
    assert_eq!(one(&bytes), Ok(value));
    for len in 0..bytes.len() {
        assert_eq!(one(&bytes[..len]), Err(DecodeError::Truncated), "{len} bytes");
    }
}

#[test]
fn count_beyond_the_value_is_truncated() {
    for marker in [0x06, 0x07, 0x0b, 0x0c] {
        assert_eq!(one(&[marker, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Truncated));
    }
    for marker in [0x0d, 0x0e, 0x0f, 0x11] {
        assert_eq!(one(&[marker, 0xff, 0xff, 0xff, 0xff, 0, 0]), Err(DecodeError::Truncated));
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| [b"\x09\x03\x01".repeat(depth - 1), vec![1]].concat();
    assert!(one(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(one(&nested(MAX_DEPTH + 1)), Err(DecodeError::TooDeep));
    assert_eq!(one(&nested(1_000_000)), Err(DecodeError::TooDeep));
}

#[test]
fn names_in_traits_count_as_values() {
    // 2^20 sealed names, all empty: more than MAX_NODES.
    let bytes = [b"\x0a\x84\x80\x80\x03\x01".to_vec(), vec![1; 1 << 20]].concat();
    const { assert!(MAX_NODES < 1 << 20) };
    assert_eq!(one(&bytes), Err(DecodeError::TooManyNodes));
}

#[test]
fn references_to_a_long_string_are_bounded() {
    let repeated = |times: usize| {
        let long = encoded(&text(&"x".repeat(100_000)));
        let array_head = encoded(&array(vec![Value::Null; times + 1]));
        let array_head = &array_head[..array_head.len() - times - 1];
        one(&[array_head, &long, &b"\x06\x00".repeat(times)].concat()).map(|_| ())
    };
    assert_eq!(repeated(MAX_REPEATED_BYTES / 100_000), Ok(()));
    assert_eq!(repeated(MAX_REPEATED_BYTES / 100_000 + 2), Err(DecodeError::TooMuchRepeated));
}

#[test]
fn value_translates_to_amf0() {
    use amf::{Object as Object0, Value as Value0};

    let value = Value::Object(Object {
        class: String::new(),
        sealed: vec![("s".into(), Value::Integer(7))],
        dynamic: Some(
            Properties::new().with("d", Value::VectorInt { fixed: false, items: vec![1] }),
        ),
    });
    let expected = Object0::new().with("s", 7.0).with("d", Value0::StrictArray(vec![1.0.into()]));
    assert_eq!(value.into_amf0(), Value0::Object(expected));

    let assoc = Properties::new().with("k", Value::Null);
    let named = Value::Array { assoc, dense: vec![text("v")] };
    let expected = Object0::new().with("k", Value0::Null).with("0", "v");
    assert_eq!(named.into_amf0(), Value0::EcmaArray(expected));

    assert_eq!(Value::ByteArray(vec![1]).into_amf0(), Value0::Unsupported);
}

#[test]
fn scalars_read_alike_in_both_versions() {
    assert_eq!(amf::Value::Amf3(text("a")).as_str(), Some("a"));
    assert_eq!(amf::Value::Amf3(Value::Integer(-3)).as_number(), Some(-3.0));
    assert_eq!(amf::Value::Amf3(Value::Boolean(true)).as_bool(), Some(true));
    assert_eq!(amf::Value::Null.as_number(), None);
}

fn any_double() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::ZERO
}

fn any_properties(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Properties<Value>> {
    let name = any::<String>().prop_filter("a name", |name| !name.is_empty());
    prop::collection::vec((name, value), 0..5).prop_map(|pairs| pairs.into_iter().collect())
}

fn any_value() -> impl Strategy<Value = Value> {
    let numbers = prop::collection::vec(any::<i32>(), 0..5);
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        (-1 << 28..1 << 28).prop_map(Value::Integer),
        any_double().prop_map(Value::Double),
        any::<String>().prop_map(Value::String),
        any::<String>().prop_map(Value::Xml),
        any::<String>().prop_map(Value::XmlDoc),
        any_double().prop_map(Value::Date),
        any::<Vec<u8>>().prop_map(Value::ByteArray),
        (any::<bool>(), numbers).prop_map(|(fixed, items)| Value::VectorInt { fixed, items }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..5);
        let sealed = prop::collection::vec((any::<String>(), inner.clone()), 0..5);
        let entries = prop::collection::vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            (any_properties(inner.clone()), list())
                .prop_map(|(assoc, dense)| Value::Array { assoc, dense }),
            (any::<String>(), sealed, prop::option::of(any_properties(inner.clone()))).prop_map(
                |(class, sealed, dynamic)| Value::Object(Object { class, sealed, dynamic })
            ),
            (any::<String>(), any::<bool>(), list())
                .prop_map(|(class, fixed, items)| Value::VectorObject { class, fixed, items }),
            (any::<bool>(), entries)
                .prop_map(|(weak_keys, entries)| Value::Dictionary { weak_keys, entries }),
        ]
    })
}

/// Bytes that look enough like AMF3 to get past the first marker.
fn plausible_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => 0..20_u8, 1 => any::<u8>()], 0..200)
}

proptest! {
    #[test]
    fn values_survive_a_round_trip(value in any_value()) {
        prop_assert_eq!(one(&encoded(&value)), Ok(value));
    }

    #[test]
    fn any_bytes_decode_or_err(bytes in plausible_bytes()) {
        if let Ok(value) = amf3::decode(&mut &bytes[..]) {
            one(&encoded(&value)).unwrap();
            let _ = value.into_amf0();
        }
    }

    #[test]
    fn damaged_values_decode_or_err(
        value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encoded(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = amf3::decode(&mut &bytes[..]);
    }
}

#[test]
fn numbers_in_vectors_count_as_values() {
    let of = |items: usize| encoded(&Value::VectorInt { fixed: false, items: vec![1; items] });
    assert!(one(&of(MAX_NODES - 1)).is_ok());
    assert_eq!(one(&of(MAX_NODES)), Err(DecodeError::TooManyNodes));
}
