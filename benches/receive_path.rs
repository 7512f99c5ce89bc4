//! What a message costs between the socket and the histograms: WebSocket frames, operations, stamp, accounting.
//!
//! The bytes are those of a server that is behind: frames of 64 KiB with natural rounds. The kernel's part of
//! receiving is in `scripts/bench-peers` only.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use natsbench::clock::{Clock, mono_now};
use natsbench::load::accounting::RunSink;
use natsbench::load::receiver::{LiveReceived, Sink as _};
use natsbench::measure::stamp::PLACEHOLDER_TAIL;
use natsbench::measure::{Phase, Recorder, RunId, Stamp};
use natsbench::net::ws::deframe::{Deframer, Piece};
use natsbench::net::ws::frame::{FrameOptions, HEADROOM_BYTES, opcode, seal};
use natsbench::protocol::{Limits, Parser};
use natsbench::rounds::{ExtrasForm, GameMix, Generator, GeneratorConfig};

const RUN: RunId = RunId(0x89ab_cdef);
const N_MESSAGES: u64 = 2000;
const READ_BYTES: usize = 64 << 10;

/// Operations as the server delivers them.
fn operations(clock: &Clock) -> Vec<u8> {
    let mut generator = Generator::new(GeneratorConfig {
        seed: 1,
        mix: GameMix::default(),
        extras: ExtrasForm::Object,
        size_bytes: None,
        tail: PLACEHOLDER_TAIL.to_vec(),
    })
    .expect("no size is asked for");
    let mut out = Vec::new();
    let mut next_seq = [0; 8];
    for _ in 0..N_MESSAGES {
        let round = generator.next_round();
        let stream = round.game as u8;
        let seq = &mut next_seq[usize::from(stream)];
        let now_ns = clock.wall_now().0;
        let stamp = Stamp {
            phase: Phase::Measured,
            run: RUN,
            publisher: 0,
            stream,
            seq: *seq,
            intended_ns: now_ns - 50_000,
            sent_ns: now_ns,
        };
        *seq += 1;
        stamp.write_tail(round.bytes);
        let slug = round.game.slug();
        out.extend_from_slice(
            format!("MSG rounds.game.{slug} 1 {}\r\n", round.bytes.len()).as_bytes(),
        );
        out.extend_from_slice(round.bytes);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn frames(operations: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in operations.chunks(READ_BYTES) {
        let mut frame = vec![0; HEADROOM_BYTES];
        frame.extend_from_slice(payload);
        let options = FrameOptions {
            opcode: opcode::BINARY,
            is_compressed: false,
            mask: None,
        };
        let start = seal(&mut frame, HEADROOM_BYTES, options);
        out.extend_from_slice(&frame[start..]);
    }
    out
}

/// What a session does with the bytes of one read.
fn feed(deframer: &mut Deframer, parser: &mut Parser, mut bytes: &[u8]) {
    while let Some(piece) = deframer.next_piece(&mut bytes).expect("frames are whole") {
        if let Piece::Data(data) = piece {
            parser.feed(data);
        }
    }
}

fn receive_path(c: &mut Criterion) {
    let clock = Clock::start();
    let operations = operations(&clock);
    let frames = frames(&operations);
    let mut group = c.benchmark_group("receive_path");
    group.throughput(Throughput::Elements(N_MESSAGES));

    group.bench_function("frames", |b| {
        let mut deframer = Deframer::new(1 << 30);
        b.iter(|| {
            for mut bytes in frames.chunks(READ_BYTES) {
                while let Some(piece) = deframer.next_piece(&mut bytes).expect("frames are whole") {
                    black_box(&piece);
                }
            }
        });
    });
    group.bench_function("frames_and_operations", |b| {
        let (mut deframer, mut parser) = (Deframer::new(1 << 30), Parser::new(Limits::default()));
        b.iter(|| {
            for bytes in frames.chunks(READ_BYTES) {
                feed(&mut deframer, &mut parser, bytes);
                while let Some(op) = parser.next_op().expect("operations are whole") {
                    black_box(&op);
                }
            }
        });
    });
    group.bench_function("everything", |b| {
        let (mut deframer, mut parser) = (Deframer::new(1 << 30), Parser::new(Limits::default()));
        let mut recorder = Recorder::new();
        let live = Arc::new(LiveReceived::default());
        // A sink of its own for each pass: the numbers begin anew.
        let sink = || RunSink::new(RUN, clock, Arc::clone(&live));
        let receive_all = |mut sink: RunSink| {
            for bytes in frames.chunks(READ_BYTES) {
                feed(&mut deframer, &mut parser, bytes);
                sink.begin_read(mono_now());
                while let Some(message) = parser.next_plain_message() {
                    sink.on_message(&message, &mut recorder);
                }
                sink.end_read();
            }
            assert_eq!(sink.deliveries().totals().received, N_MESSAGES);
            sink
        };
        b.iter_batched(sink, receive_all, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, receive_path);
criterion_main!(benches);
