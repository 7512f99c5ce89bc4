//! Eight lower-case hexadecimal digits at a time, as the bytes of one machine word.
//!
//! The first digit is the most significant byte. Encoding and decoding are a dozen word operations each, without
//! a table and without a branch for each digit.

const ONES: u64 = 0x0101_0101_0101_0101;
/// What lies between `'9' + 1` and `'a'`.
const LETTER_STEP: u64 = 0x27;

/// The eight digits of `value`.
#[inline]
fn digits_of(value: u32) -> u64 {
    let mut nibbles = u64::from(value);
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & (0x0f * ONES);
    spell(nibbles)
}

/// Turns bytes of 0 to 15 into digits.
#[inline]
fn spell(nibbles: u64) -> u64 {
    // Adding six carries into the upper half of the byte for ten and above.
    let letters = (nibbles + 0x06 * ONES) >> 4 & ONES;
    nibbles + u64::from(b'0') * ONES + letters * LETTER_STEP
}

/// Writes eight digits to the start of `out`; nothing if it is shorter.
#[inline]
pub(super) fn encode8(value: u32, out: &mut [u8]) {
    if let Some(out) = out.first_chunk_mut::<8>() {
        *out = digits_of(value).to_be_bytes();
    }
}

/// Writes sixteen digits to the start of `out`.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is written in two halves"
)]
pub(super) fn encode16(value: u64, out: &mut [u8]) {
    encode8((value >> 32) as u32, out);
    if let Some(rest) = out.get_mut(8..) {
        encode8(value as u32, rest);
    }
}

/// Reads eight digits; `None` if one of them is not `0`-`9` or `a`-`f`.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the value was folded into the low half"
)]
pub(super) fn decode8(digits: [u8; 8]) -> Option<u32> {
    let word = u64::from_be_bytes(digits);
    // Letters have bit 6 set, and their low half counts from one. No byte exceeds 24, so nothing carries over.
    let nibbles = (word & (0x0f * ONES)) + 9 * (word >> 6 & ONES);
    // Whatever was no digit is not what its value would be spelled as.
    if nibbles & (0xf0 * ONES) != 0 || spell(nibbles) != word {
        return None;
    }
    let pairs = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    Some((quads | quads >> 16) as u32)
}

/// Reads sixteen digits.
#[inline]
pub(super) fn decode16(digits: [u8; 16]) -> Option<u64> {
    let high = decode8(*digits.first_chunk()?)?;
    let low = decode8(*digits.last_chunk()?)?;
    Some(u64::from(high) << 32 | u64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_lower_case_hexadecimal_digits_are_digits() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut digits = *b"00000000";
                digits[at] = byte;
                let expected = match byte {
                    b'0'..=b'9' | b'a'..=b'f' => {
                        u32::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).ok()
                    }
                    _ => None,
                };
                assert_eq!(decode8(digits), expected, "byte {byte:#x} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn digits_are_what_the_standard_library_writes(value in any::<u64>()) {
            let mut digits = [0; 16];
            encode16(value, &mut digits);
            prop_assert_eq!(std::str::from_utf8(&digits).unwrap(), format!("{value:016x}"));
            prop_assert_eq!(decode16(digits), Some(value));
        }

        #[test]
        fn any_eight_bytes_decode_as_the_standard_library_does(digits in any::<[u8; 8]>()) {
            let text = std::str::from_utf8(&digits).ok();
            let is_lower = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let expected = text.filter(|_| is_lower).and_then(|text| u32::from_str_radix(text, 16).ok());
            prop_assert_eq!(decode8(digits), expected);
        }
    }
}
