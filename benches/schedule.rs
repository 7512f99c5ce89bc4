//! When a round is due, and how many are due by now: asked for every round and every wake-up.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use natsbench::measure::Schedule;
use natsbench::units::Rate;

fn schedule(c: &mut Criterion) {
    // A period of whole nanoseconds, and one that is none.
    for (name, count) in [("10k", 10_000), ("30k", 30_000)] {
        let schedule = Schedule::new(Rate::new(count, 1).expect("within the range of rates"));
        let mut k = 0;
        c.bench_function(&format!("schedule/due_ns/{name}"), |b| {
            b.iter(|| {
                k += 1;
                schedule.due_ns(black_box(k))
            });
        });
        let mut elapsed_ns = 0;
        c.bench_function(&format!("schedule/due_by/{name}"), |b| {
            b.iter(|| {
                elapsed_ns += 100_000;
                schedule.due_by(black_box(elapsed_ns))
            });
        });
    }
}

criterion_group!(benches, schedule);
criterion_main!(benches);
