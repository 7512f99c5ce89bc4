//! What a message costs between the schedule and the socket: round, stamp, operation, frame, mask.
//!
//! Batches are as large as the pacing thread makes them. The kernel's part of sending is in `scripts/bench-peers` only.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use natsbench::measure::stamp::{PLACEHOLDER_TAIL, TailWriter};
use natsbench::measure::{Phase, RunId, Stamp};
use natsbench::net::ws::frame::{FrameOptions, HEADROOM_BYTES, opcode, seal};
use natsbench::net::ws::upgrade::masking_key;
use natsbench::protocol::encode;
use natsbench::rounds::{ExtrasForm, GameMix, Generator, GeneratorConfig};

const BATCH_BYTES: usize = 32 << 10;
/// Natural rounds with their operation are 300 bytes long, within a tenth.
const ROUNDS_PER_BATCH: u64 = BATCH_BYTES as u64 / 300;

fn generator() -> Generator {
    Generator::new(GeneratorConfig {
        seed: 1,
        mix: GameMix::default(),
        extras: ExtrasForm::Object,
        size_bytes: None,
        tail: PLACEHOLDER_TAIL.to_vec(),
    })
    .expect("no size is asked for")
}

fn stamp(seq: u64) -> Stamp {
    Stamp {
        phase: Phase::Measured,
        run: RunId(0x89ab_cdef),
        publisher: 0,
        stream: 0,
        seq,
        intended_ns: 1_705_314_600_000_000_000 + seq,
        // The same for a whole batch.
        sent_ns: 1_705_314_600_000_050_000,
    }
}

fn publish_path(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish_path");
    group.throughput(Throughput::Elements(ROUNDS_PER_BATCH));

    group.bench_function("rounds", |b| {
        let mut generator = generator();
        b.iter(|| {
            for _ in 0..ROUNDS_PER_BATCH {
                black_box(generator.next_round().bytes);
            }
        });
    });
    for (name, is_masked) in [("everything_masked", true), ("everything_unmasked", false)] {
        group.bench_function(name, |b| {
            let mut generator = generator();
            let prefix = encode::publish_prefix("rounds.game.crash");
            let (mut seq, mut tail) = (0, TailWriter::default());
            let mut batch = Vec::new();
            b.iter(|| {
                batch.clear();
                batch.resize(HEADROOM_BYTES, 0);
                for _ in 0..ROUNDS_PER_BATCH {
                    let payload = generator.next_round().bytes;
                    tail.write(&stamp(seq), payload);
                    encode::append_publish(&mut batch, &prefix, payload);
                    seq += 1;
                }
                let options = FrameOptions {
                    opcode: opcode::BINARY,
                    is_compressed: false,
                    mask: is_masked.then(masking_key),
                };
                let start = seal(&mut batch, HEADROOM_BYTES, options);
                black_box(&batch[start..]);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish_path);
criterion_main!(benches);
