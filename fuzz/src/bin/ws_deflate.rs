//! permessage-deflate: no message inflates beyond the limit, none that does not is refused for it, and a message is the
//! same whatever came before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use natsbench::net::ws::deflate::{DeflateError, Deflater, Inflater};

/// Far beyond the other limits; what inflates to more would make every execution slow.
const LARGE_LIMIT_BYTES: usize = 128 << 10;

fuzz_target!(|message: &[u8]| {
    let mut inflater = Inflater::new(LARGE_LIMIT_BYTES);
    let inflated = inflater.inflate(message).map(<[u8]>::to_vec);
    check_limits(message, inflated.as_deref());
    check_independence(message, &inflated);
    round_trip(message);
    if let Ok(inflated) = inflated {
        round_trip(&inflated);
    }
});

/// The limit is what decides, to the byte.
fn check_limits(message: &[u8], inflated: Result<&[u8], &DeflateError>) {
    let Ok(inflated) = inflated else {
        for limit_bytes in [1, 100, 5000] {
            // What is corrupt may be too long before that shows, and what is too long for that is so for less.
            assert!(Inflater::new(limit_bytes).inflate(message).is_err());
        }
        return;
    };
    let length = inflated.len();
    for limit_bytes in [
        length / 2,
        length.saturating_sub(1),
        length,
        length + 1,
        1000,
    ] {
        let expected = if length <= limit_bytes {
            Ok(inflated)
        } else {
            Err(DeflateError::TooLong { limit_bytes })
        };
        let mut limited = Inflater::new(limit_bytes);
        assert_eq!(limited.inflate(message), expected, "limit {limit_bytes}");
    }
}

/// Both sides are without memory, though a thread has one state for all of its connections.
fn check_independence(message: &[u8], expected: &Result<Vec<u8>, DeflateError>) {
    let mut inflater = Inflater::new(LARGE_LIMIT_BYTES);
    for before in [&[0xFF; 20][..], b"", message, &message[..message.len() / 2]] {
        // Whether it can be inflated makes no difference.
        let _ = inflater.inflate(before);
        let again = inflater.inflate(message).map(<[u8]>::to_vec);
        // Of a message that is both corrupt and too long it depends on the room that is there which shows first.
        assert_eq!(again.ok().as_ref(), expected.as_ref().ok());
    }
}

fn round_trip(plain: &[u8]) {
    let mut wire = Vec::new();
    Deflater::default().deflate(plain, &mut wire);
    let mut inflater = Inflater::new(plain.len());
    assert_eq!(inflater.inflate(&wire), Ok(plain));
}
