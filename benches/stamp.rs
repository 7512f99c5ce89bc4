//! Writing a stamp, and reading it back: where it was put, and from JSON that was re-encoded on the way.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use natsbench::measure::stamp::{self, PLACEHOLDER_TAIL, TailWriter};
use natsbench::measure::{Phase, RunId, Stamp};

const STAMP: Stamp = Stamp {
    phase: Phase::Measured,
    run: RunId(0x89ab_cdef),
    publisher: 3,
    stream: 2,
    seq: 123_456_789,
    intended_ns: 1_705_314_600_000_000_000,
    sent_ns: 1_705_314_600_000_050_000,
};

fn stamps(c: &mut Criterion) {
    let head = br#"{"id":1,"game_slug":"crash","game_type":"multiplier","extras":{"point":"2.47"}"#;
    let mut payload = [head.as_slice(), PLACEHOLDER_TAIL.as_slice()].concat();
    c.bench_function("stamp/write", |b| {
        b.iter(|| black_box(STAMP).write_tail(black_box(&mut payload)));
    });
    c.bench_function("stamp/write_next", |b| {
        let (mut tail, mut stamp) = (TailWriter::default(), STAMP);
        b.iter(|| {
            stamp.seq += 1;
            tail.write(black_box(&stamp), black_box(&mut payload))
        });
    });
    c.bench_function("stamp/read_fixed", |b| {
        b.iter(|| Stamp::read_fixed(black_box(&payload)));
    });
    // A blank before the closing brace is enough to move it from its place.
    let mut moved = payload.clone();
    moved.insert(moved.len() - 1, b' ');
    assert!(Stamp::read_fixed(&moved).is_none());
    c.bench_function("stamp/read_reencoded", |b| {
        b.iter(|| stamp::read(black_box(&moved)));
    });
}

criterion_group!(benches, stamps);
criterion_main!(benches);
