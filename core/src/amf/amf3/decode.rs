//! Bytes to AMF3 values, with the three reference tables (AMF3 §2.2).
//!
//! Strings and the names in traits stay offsets until a value needs its copy; objects are referred
//! to by offset as in AMF0.

use std::{ops::Range, rc::Rc};

use super::{
    ARRAY, BYTE_ARRAY, DATE, DICTIONARY, DOUBLE, FALSE, INTEGER, NULL, OBJECT, Object, STRING,
    TRUE, UNDEFINED, VECTOR_DOUBLE, VECTOR_INT, VECTOR_OBJECT, VECTOR_UINT, Value, XML, XML_DOC,
};
use crate::amf::{DecodeError, Properties, input::Input, references::References};

/// Decodes the value at the beginning of `bytes`, which is the byte behind the switch marker, and
/// moves `bytes` behind it.
///
/// # Errors
/// Any [`DecodeError`] but that of an AMF0 marker; `bytes` then stays as it was.
pub fn decode(bytes: &mut &[u8]) -> Result<Value, DecodeError> {
    let mut input = Input::new(bytes);
    let value = decode_from(&mut input)?;
    *bytes = input.rest();
    Ok(value)
}

/// Decodes one value within the limits of the message around it.
pub(in crate::amf) fn decode_from(input: &mut Input<'_>) -> Result<Value, DecodeError> {
    let mut decoder =
        Decoder { input, objects: References::default(), strings: Vec::new(), traits: Vec::new() };
    decoder.value()
}

struct Decoder<'i, 'a> {
    input: &'i mut Input<'a>,
    objects: References,
    strings: Vec<Range<usize>>,
    traits: Vec<Rc<Traits>>,
}

/// What the objects of a class have in common; names are offsets of their text.
struct Traits {
    class: Range<usize>,
    sealed: Vec<Range<usize>>,
    is_dynamic: bool,
}

/// The number in front of most values: its lowest bit says what the others are.
enum Head {
    Reference(usize),
    /// A length, a count, or nothing of meaning.
    Inline(usize),
}

impl Decoder<'_, '_> {
    fn value(&mut self) -> Result<Value, DecodeError> {
        self.input.enter()?;
        let start = self.input.at();
        let value = match self.input.u8()? {
            UNDEFINED => Value::Undefined,
            NULL => Value::Null,
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            INTEGER => Value::Integer(((self.u29()? << 3) as i32) >> 3),
            DOUBLE => Value::Double(self.input.f64()?),
            STRING => Value::String(self.text()?),
            marker @ (XML_DOC | DATE | ARRAY | OBJECT | XML | BYTE_ARRAY | VECTOR_INT
            | VECTOR_UINT | VECTOR_DOUBLE | VECTOR_OBJECT | DICTIONARY) => match self.head()? {
                Head::Reference(index) => self.reference(index)?,
                Head::Inline(head) => {
                    let open = self.objects.open(start);
                    let value = self.complex(marker, head)?;
                    self.objects.close(open);
                    value
                }
            },
            unknown => return Err(DecodeError::UnknownAmf3Marker(unknown)),
        };
        self.input.leave();
        Ok(value)
    }

    /// A value that a reference can point to, from behind its head.
    fn complex(&mut self, marker: u8, head: usize) -> Result<Value, DecodeError> {
        Ok(match marker {
            XML_DOC => Value::XmlDoc(self.text_of(head)?),
            XML => Value::Xml(self.text_of(head)?),
            DATE => Value::Date(self.input.f64()?),
            ARRAY => Value::Array { assoc: self.pairs()?, dense: self.elements(head)? },
            OBJECT => Value::Object(self.object(head)?),
            BYTE_ARRAY => Value::ByteArray(self.input.take(head)?.to_vec()),
            VECTOR_INT => Value::VectorInt {
                fixed: self.flag()?,
                items: self.numbers(head, i32::from_be_bytes)?,
            },
            VECTOR_UINT => Value::VectorUint {
                fixed: self.flag()?,
                items: self.numbers(head, u32::from_be_bytes)?,
            },
            VECTOR_DOUBLE => Value::VectorDouble {
                fixed: self.flag()?,
                items: self.numbers(head, f64::from_be_bytes)?,
            },
            VECTOR_OBJECT => {
                let fixed = self.flag()?;
                Value::VectorObject { class: self.text()?, fixed, items: self.elements(head)? }
            }
            _ => Value::Dictionary { weak_keys: self.flag()?, entries: self.entries(head)? },
        })
    }

    /// Object `index` once more. The marker in front of the reference is not compared with that of
    /// its target.
    fn reference(&mut self, index: usize) -> Result<Value, DecodeError> {
        let start = self.objects.replay(index)?;
        let resume = self.input.at();
        self.input.seek(start);
        let value = self.value()?;
        self.input.seek(resume);
        self.objects.replayed();
        Ok(value)
    }

    fn object(&mut self, head: usize) -> Result<Object, DecodeError> {
        let traits = self.traits(head)?;
        let class = self.input.text(traits.class.clone())?;
        let mut sealed = Vec::new();
        for name in &traits.sealed {
            sealed.push((self.input.text(name.clone())?, self.value()?));
        }
        let dynamic = if traits.is_dynamic { Some(self.pairs()?) } else { None };
        Ok(Object { class, sealed, dynamic })
    }

    /// Traits, from an object's head without its lowest bit.
    fn traits(&mut self, head: usize) -> Result<Rc<Traits>, DecodeError> {
        if head & 1 == 0 {
            let index = head >> 1;
            return self.traits.get(index).cloned().ok_or(DecodeError::UnknownReference(index));
        }
        if head & 2 != 0 {
            return Err(DecodeError::Externalizable);
        }
        let class = self.text_range()?;
        let mut sealed = Vec::new();
        for _ in 0..head >> 3 {
            self.input.node()?;
            sealed.push(self.text_range()?);
        }
        let traits = Rc::new(Traits { class, sealed, is_dynamic: head & 4 != 0 });
        if !self.objects.is_replaying() {
            self.traits.push(Rc::clone(&traits));
        }
        Ok(traits)
    }

    /// Named values up to the empty name.
    fn pairs(&mut self) -> Result<Properties<Value>, DecodeError> {
        let mut pairs = Vec::new();
        loop {
            let name = self.text()?;
            if name.is_empty() {
                return Ok(pairs.into_iter().collect());
            }
            pairs.push((name, self.value()?));
        }
    }

    fn elements(&mut self, count: usize) -> Result<Vec<Value>, DecodeError> {
        self.expect_bytes(count, 1)?;
        (0..count).map(|_| self.value()).collect()
    }

    fn entries(&mut self, count: usize) -> Result<Vec<(Value, Value)>, DecodeError> {
        self.expect_bytes(count, 2)?;
        (0..count).map(|_| Ok((self.value()?, self.value()?))).collect()
    }

    fn numbers<const N: usize, T>(
        &mut self,
        count: usize,
        from_be_bytes: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, DecodeError> {
        self.expect_bytes(count, N)?;
        for _ in 0..count {
            self.input.node()?;
        }
        let (numbers, _) = self.input.take(count * N)?.as_chunks();
        Ok(numbers.iter().map(|&number| from_be_bytes(number)).collect())
    }

    /// Whether `count` things of at least `each_bytes` can follow at all.
    fn expect_bytes(&self, count: usize, each_bytes: usize) -> Result<(), DecodeError> {
        let possible = self.input.rest().len() / each_bytes;
        if count > possible { Err(DecodeError::Truncated) } else { Ok(()) }
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        Ok(self.input.u8()? != 0)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let range = self.text_range()?;
        self.input.text(range)
    }

    fn text_of(&mut self, len: usize) -> Result<String, DecodeError> {
        let range = self.input.skip(len)?;
        self.input.text(range)
    }

    /// Where the text of a string is that stands here or is referred to from here. Empty strings
    /// are never referred to (AMF3 §1.3.2).
    fn text_range(&mut self) -> Result<Range<usize>, DecodeError> {
        match self.head()? {
            Head::Reference(index) => {
                self.strings.get(index).cloned().ok_or(DecodeError::UnknownReference(index))
            }
            Head::Inline(len) => {
                let range = self.input.skip(len)?;
                if !range.is_empty() && !self.objects.is_replaying() {
                    self.strings.push(range.clone());
                }
                Ok(range)
            }
        }
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let head = self.u29()?;
        let rest = (head >> 1) as usize;
        Ok(if head & 1 == 0 { Head::Reference(rest) } else { Head::Inline(rest) })
    }

    /// An integer of 29 bits: seven in each byte that has the highest bit set, eight in a fourth.
    fn u29(&mut self) -> Result<u32, DecodeError> {
        let mut number = 0;
        for _ in 0..3 {
            let byte = self.input.u8()?;
            number = number << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Ok(number << 8 | u32::from(self.input.u8()?))
    }
}
