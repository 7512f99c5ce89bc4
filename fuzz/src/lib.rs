//! What the fuzz targets share: how a stream is cut, and what counts as a secret in a text.
//!
//! A target reads its input as it is, without a header of its own, so that a corpus file is what a peer would send or a
//! user would write. What else a target needs (where to cut) is derived from those bytes.

/// Ways to cut a stream into the pieces in which it arrives: whole, byte by byte, and at places that depend on its bytes.
pub fn cuts(stream: &[u8]) -> [Vec<&[u8]>; 4] {
    // FNV-1a: the same input is always cut in the same way, and one that is changed a little in another.
    let seed = stream.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    [
        vec![stream],
        stream.chunks(1).collect(),
        pieces(stream, seed, 16),
        pieces(stream, seed, 256),
    ]
}

/// Pieces of 0 to `longest - 1` bytes.
fn pieces(stream: &[u8], seed: u64, longest: u64) -> Vec<&[u8]> {
    let mut state = seed | 1;
    let mut rest = stream;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = usize::try_from(state % longest).unwrap_or(0);
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// The words of a text that look like a part of a secret: eight characters or more, with a digit and a letter. No
/// fixed text of natsbench has one, so that one that comes out again was quoted.
pub fn secrets(text: &str) -> impl Iterator<Item = &str> {
    const MIN_BYTES: usize = 8;
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            word.len() >= MIN_BYTES
                && word.bytes().any(|byte| byte.is_ascii_digit())
                && word.bytes().any(|byte| byte.is_ascii_alphabetic())
        })
}

/// Fails if `shown` has a word of `hidden` that looks like a part of a secret.
pub fn assert_hidden(hidden: &str, shown: &str) {
    for secret in secrets(hidden) {
        assert!(!shown.contains(secret), "`{secret}` is shown: {shown}");
    }
}
