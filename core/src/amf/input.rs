//! The bytes of one message while they are decoded, and what they may still cost.

use std::ops::Range;

use super::{DecodeError, MAX_DEPTH, MAX_NODES, MAX_REPEATED_BYTES};

/// A position in the bytes of a message, with the limits that AMF0 and AMF3 share.
///
/// Everything copied out of the bytes is charged. What stands in the message once is covered by its
/// length, so only repetition by references draws on the allowance beyond it.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    nodes_left: usize,
    copied_bytes_left: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let copied_bytes_left = bytes.len() + MAX_REPEATED_BYTES;
        Self { bytes, at: 0, depth: 0, nodes_left: MAX_NODES, copied_bytes_left }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Continues at `at`, an offset that [`Input::at`] once gave.
    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The bytes not yet read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Begins a value: one more node, one level deeper.
    pub(super) fn enter(&mut self) -> Result<(), DecodeError> {
        self.node()?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(DecodeError::TooDeep) } else { Ok(()) }
    }

    /// Ends the value begun last.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Counts something kept that costs as much as a value.
    pub(super) fn node(&mut self) -> Result<(), DecodeError> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(DecodeError::TooManyNodes)?;
        Ok(())
    }

    /// Passes over `len` bytes and says where they are.
    pub(super) fn skip(&mut self, len: usize) -> Result<Range<usize>, DecodeError> {
        if len > self.rest().len() {
            return Err(DecodeError::Truncated);
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    /// The bytes at `range`, to be copied.
    pub(super) fn copy_of(&mut self, range: Range<usize>) -> Result<&'a [u8], DecodeError> {
        self.copied_bytes_left =
            self.copied_bytes_left.checked_sub(range.len()).ok_or(DecodeError::TooMuchRepeated)?;
        Ok(&self.bytes[range])
    }

    /// The text at `range`. What is not UTF-8 becomes U+FFFD.
    pub(super) fn text(&mut self, range: Range<usize>) -> Result<String, DecodeError> {
        Ok(String::from_utf8_lossy(self.copy_of(range)?).into_owned())
    }

    /// The next `len` bytes, to be copied.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let range = self.skip(len)?;
        self.copy_of(range)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.rest().first_chunk().ok_or(DecodeError::Truncated)?;
        self.at += N;
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }
}
