//! The floor: what the same measurement costs when it is written for nothing else.
//!
//! Blocking sockets, one thread that writes and one that reads, a frame and `MSG` parser for the good case only, and
//! the accounting of natsbench by hand: the stamp is decoded, three latencies are recorded, sequence numbers are
//! checked. It breaks on whatever a broker does not usually send; that is what makes it a floor.
//! `scripts/bench-peers` runs it and natsbench in turn and compares.
//!
//! ```text
//! blocking_reference receive URL SUBJECT COUNT    reads COUNT messages as fast as they come
//! blocking_reference latency URL RATE SECS        publishes and reads, after one second of warm-up
//! blocking_reference sleep RATE SECS              only sleeps: how late does this machine wake a thread
//! ```
//!
//! Prints one line of JSON. Only what is not compared comes from the library: clock, schedule, generator, histogram,
//! and writing the stamp. Units: nanoseconds; CPU time is user and system time of the process.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use memchr::{memchr, memchr_iter, memrchr};
use natsbench::clock::{Clock, mono_now, sharpen_sleeps, sleep_until};
use natsbench::measure::stamp::PLACEHOLDER_TAIL;
use natsbench::measure::{LatencyHistogram, Phase, RunId, Schedule, Stamp};
use natsbench::rounds::{ExtrasForm, GameMix, Generator, GeneratorConfig};
use natsbench::units::Rate;
use rustix::time::{ClockId, clock_gettime};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// As much as natsbench reads at once.
const READ_BYTES: usize = 64 << 10;
/// How long before its first due time a schedule is started.
const LEAD_NS: u64 = 1_000_000;
const WARMUP_SECS: u64 = 1;
const SUBJECT: &str = "bench.reference";
/// Masking is part of the cost; an unguessable key is not.
const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
/// What a stamp takes at the end of a payload, with its closing quote and brace.
const STAMP_END_BYTES: usize = 60 + 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["receive", url, subject, count] => receive(url, subject, count),
        ["latency", url, rate, secs] => latency(url, rate, secs),
        ["sleep", rate, secs] => bare_sleep(rate, secs),
        _ => Err("usage: blocking_reference receive URL SUBJECT COUNT | latency URL RATE SECS | sleep RATE SECS".into()),
    };
    match result {
        Ok(line) => {
            // Nobody is left to be told when standard output is closed.
            let _ = writeln!(io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "blocking_reference: {error}");
            ExitCode::FAILURE
        }
    }
}

fn receive(url: &str, subject: &str, count: &str) -> Result<String, AnyError> {
    let count: u64 = count.parse()?;
    let mut reader = Reader::subscribe(url, subject)?;
    let mut account = Account::new(Clock::start());
    let cpu_before_ns = cpu_ns();
    while account.n_received < count {
        reader.read(|payload, received_ns| account.take(payload, received_ns))?;
    }
    let cpu_ns = cpu_ns() - cpu_before_ns;
    Ok(format!(
        r#"{{"received":{},"missed":{},"unstamped":{},"cpu_ns":{cpu_ns},"cpu_per_message_ns":{}}}"#,
        account.n_received,
        account.n_missed,
        account.n_unstamped,
        cpu_ns / account.n_received.max(1),
    ))
}

fn latency(url: &str, rate: &str, secs: &str) -> Result<String, AnyError> {
    let schedule = Schedule::new(rate_of(rate)?);
    let n_warmup = schedule.count_within(WARMUP_SECS * 1_000_000_000);
    let n_total = schedule.count_within((WARMUP_SECS + secs.parse::<u64>()?) * 1_000_000_000);
    let clock = Clock::start();
    let mut reader = Reader::subscribe(url, SUBJECT)?;
    // What is lost must not hang the reader.
    reader
        .stream
        .set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut writer = Writer::open(url)?;

    let reading = std::thread::spawn(move || {
        let mut account = Account::new(clock);
        while account.n_received + account.n_warmup < n_total
            && reader
                .read(|payload, received_ns| account.take(payload, received_ns))
                .is_ok()
        {}
        account
    });
    sharpen_sleeps();
    let start = mono_now().plus(LEAD_NS);
    for k in 0..n_total {
        let due = start.plus(schedule.due_ns(k));
        sleep_until(due);
        let stamp = Stamp {
            phase: if k < n_warmup {
                Phase::WarmUp
            } else {
                Phase::Measured
            },
            run: RunId(1),
            publisher: 0,
            stream: 0,
            seq: k.saturating_sub(n_warmup),
            intended_ns: clock.wall_at(due).0,
            sent_ns: clock.wall_now().0,
        };
        writer.publish(&stamp)?;
    }
    let account = reading.join().map_err(|_| "the reading thread panicked")?;
    let value = |histogram: &LatencyHistogram, ratio| histogram.value_at_ns(ratio).unwrap_or(-1);
    Ok(format!(
        r#"{{"sent":{},"received":{},"missed":{},"response_p50_ns":{},"response_p99_ns":{},"lateness_p50_ns":{},"lateness_p99_ns":{}}}"#,
        n_total - n_warmup,
        account.n_received,
        account.n_missed,
        value(&account.response, 0.5),
        value(&account.response, 0.99),
        value(&account.lateness, 0.5),
        value(&account.lateness, 0.99),
    ))
}

fn bare_sleep(rate: &str, secs: &str) -> Result<String, AnyError> {
    let schedule = Schedule::new(rate_of(rate)?);
    let n_total = schedule.count_within(secs.parse::<u64>()? * 1_000_000_000);
    let mut lateness = LatencyHistogram::new();
    sharpen_sleeps();
    let start = mono_now().plus(LEAD_NS);
    for k in 0..n_total {
        let due = start.plus(schedule.due_ns(k));
        sleep_until(due);
        lateness.record(i64::try_from(mono_now().since(due))?);
    }
    let value = |ratio| lateness.value_at_ns(ratio).unwrap_or(-1);
    Ok(format!(
        r#"{{"slept":{n_total},"lateness_p50_ns":{},"lateness_p99_ns":{}}}"#,
        value(0.5),
        value(0.99)
    ))
}

fn rate_of(text: &str) -> Result<Rate, AnyError> {
    Ok(Rate::new(text.parse()?, 1).ok_or("the rate is out of range")?)
}

/// User and system time of this process.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// What natsbench keeps of the messages of one subscriber.
struct Account {
    clock: Clock,
    response: LatencyHistogram,
    service: LatencyHistogram,
    lateness: LatencyHistogram,
    /// The next number of each stream of the one publisher.
    next: [u64; 256],
    n_received: u64,
    n_warmup: u64,
    n_missed: u64,
    n_unstamped: u64,
}

impl Account {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            response: LatencyHistogram::new(),
            service: LatencyHistogram::new(),
            lateness: LatencyHistogram::new(),
            next: [0; 256],
            n_received: 0,
            n_warmup: 0,
            n_missed: 0,
            n_unstamped: 0,
        }
    }

    fn take(&mut self, payload: &[u8], received: natsbench::clock::MonoNanos) {
        let stamp = payload
            .len()
            .checked_sub(STAMP_END_BYTES)
            .map(|at| &payload[at..]);
        let Some(stamp) = stamp.filter(|stamp| stamp.ends_with(b"\"}")) else {
            self.n_received += 1;
            self.n_unstamped += 1;
            return;
        };
        if stamp[1] == b'w' {
            self.n_warmup += 1;
            return;
        }
        self.n_received += 1;
        let stream = usize::try_from(hex(&stamp[14..16])).unwrap_or(0);
        let seq = hex(&stamp[16..28]);
        let received_ns = self.clock.wall_at(received).0;
        let (intended_ns, sent_ns) = (hex(&stamp[28..44]), hex(&stamp[44..60]));
        self.n_missed += seq.abs_diff(self.next[stream]);
        self.next[stream] = seq + 1;
        let diff = |later: u64, earlier: u64| later.wrapping_sub(earlier).cast_signed();
        self.response.record(diff(received_ns, intended_ns));
        self.service.record(diff(received_ns, sent_ns));
        self.lateness.record(diff(sent_ns, intended_ns));
    }
}

/// Digits are not checked.
fn hex(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| {
        value << 4 | u64::from((digit & 0x0f) + 9 * (digit >> 6))
    })
}

/// Opens a TCP stream, upgrades it if the URL says `ws`, and returns it with what came behind the upgrade.
fn connect(url: &str) -> Result<(TcpStream, Vec<u8>, bool), AnyError> {
    let (scheme, address) = url
        .split_once("://")
        .ok_or("a URL begins with ws:// or nats://")?;
    let address = address.trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let is_websocket = scheme == "ws";
    let mut head = Vec::new();
    if is_websocket {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err("the server refused the upgrade".into());
        }
        head.clear();
    }
    Ok((stream, head, is_websocket))
}

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"reference\",\"version\":\"0\",\"protocol\":1,\"echo\":true}\r\n";

/// The reading side: unframes into one buffer and cuts that into messages.
struct Reader {
    stream: TcpStream,
    is_websocket: bool,
    raw: Vec<u8>,
    /// Frame bytes that did not make a whole header.
    header: Vec<u8>,
    /// Payload bytes that the current frame still has.
    frame_left: usize,
    text: Vec<u8>,
    start: usize,
}

impl Reader {
    fn subscribe(url: &str, subject: &str) -> Result<Self, AnyError> {
        let (stream, header, is_websocket) = connect(url)?;
        let mut reader = Self {
            stream,
            is_websocket,
            raw: vec![0; READ_BYTES],
            header,
            frame_left: 0,
            text: Vec::with_capacity(2 * READ_BYTES),
            start: 0,
        };
        write_ops(
            &mut reader.stream,
            is_websocket,
            format!("{CONNECT}SUB {subject} 1\r\nPING\r\n").into_bytes(),
        )?;
        while memchr::memmem::find(&reader.text, b"PONG\r\n").is_none() {
            reader.fill()?;
        }
        reader.text.clear();
        Ok(reader)
    }

    /// Reads once and hands over every whole message with the moment of the read.
    fn read(
        &mut self,
        mut on_payload: impl FnMut(&[u8], natsbench::clock::MonoNanos),
    ) -> Result<(), AnyError> {
        self.fill()?;
        let received = mono_now();
        let mut is_pinged = false;
        while let Some(line_bytes) = memchr(b'\n', &self.text[self.start..]) {
            let payload_at = self.start + line_bytes + 1;
            let line = &self.text[self.start..payload_at - 2];
            if !line.starts_with(b"MSG ") {
                is_pinged |= line.starts_with(b"PING");
                self.start = payload_at;
                continue;
            }
            let digits = &line[memrchr(b' ', line).map_or(0, |at| at + 1)..];
            let n_bytes = digits
                .iter()
                .fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
            if self.text.len() < payload_at + n_bytes + 2 {
                break;
            }
            on_payload(&self.text[payload_at..payload_at + n_bytes], received);
            self.start = payload_at + n_bytes + 2;
        }
        self.text.drain(..self.start);
        self.start = 0;
        if is_pinged {
            write_ops(&mut self.stream, self.is_websocket, b"PONG\r\n".to_vec())?;
        }
        Ok(())
    }

    /// Reads once and appends what NATS sees of it to the text.
    fn fill(&mut self) -> Result<(), AnyError> {
        let n_read = self.stream.read(&mut self.raw)?;
        if n_read == 0 {
            return Err("the server closed the connection".into());
        }
        let mut bytes = &self.raw[..n_read];
        if !self.is_websocket {
            self.text.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            if self.frame_left > 0 {
                let (payload, rest) = bytes.split_at(self.frame_left.min(bytes.len()));
                self.text.extend_from_slice(payload);
                self.frame_left -= payload.len();
                bytes = rest;
                continue;
            }
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            let announced = match self.header[..] {
                [_, short] if short < 126 => Some(u64::from(short)),
                [_, 126, high, low] => Some(u64::from(u16::from_be_bytes([high, low]))),
                [_, 127, ref long @ ..] if long.len() == 8 => Some(
                    long.iter()
                        .fold(0, |value, byte| value << 8 | u64::from(*byte)),
                ),
                _ => None,
            };
            if let Some(announced) = announced {
                if self.header[0] != 0x82 {
                    return Err("not a whole binary frame".into());
                }
                self.frame_left = usize::try_from(announced)?;
                self.header.clear();
            }
        }
        Ok(())
    }
}

/// The writing side.
struct Writer {
    stream: TcpStream,
    is_websocket: bool,
    generator: Generator,
}

impl Writer {
    fn open(url: &str) -> Result<Self, AnyError> {
        let (mut stream, _, is_websocket) = connect(url)?;
        write_ops(
            &mut stream,
            is_websocket,
            format!("{CONNECT}PING\r\n").into_bytes(),
        )?;
        // INFO, and the PONG; the PING of the server that follows two seconds later stays unanswered, which it
        // forgives for longer than a run lasts.
        let mut lines = 0;
        let mut some = [0; 4096];
        while lines < 2 {
            let n_read = stream.read(&mut some)?;
            if n_read == 0 {
                return Err("the server closed the connection".into());
            }
            lines += memchr_iter(b'\n', &some[..n_read]).count();
        }
        let generator = Generator::new(GeneratorConfig {
            seed: 1,
            mix: GameMix::default(),
            extras: ExtrasForm::Object,
            size_bytes: None,
            tail: PLACEHOLDER_TAIL.to_vec(),
        })?;
        Ok(Self {
            stream,
            is_websocket,
            generator,
        })
    }

    fn publish(&mut self, stamp: &Stamp) -> Result<(), AnyError> {
        let payload = self.generator.next_round().bytes;
        stamp.write_tail(payload);
        let mut ops = format!("PUB {SUBJECT} {}\r\n", payload.len()).into_bytes();
        ops.extend_from_slice(payload);
        ops.extend_from_slice(b"\r\n");
        write_ops(&mut self.stream, self.is_websocket, ops)
    }
}

/// Writes operations, as one masked frame over WebSocket.
fn write_ops(stream: &mut TcpStream, is_websocket: bool, mut ops: Vec<u8>) -> Result<(), AnyError> {
    if is_websocket {
        let mut frame = vec![0x82];
        match u8::try_from(ops.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 0x7e);
                frame.extend_from_slice(&u16::try_from(ops.len())?.to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.extend(
            ops.iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        ops = frame;
    }
    Ok(stream.write_all(&ops)?)
}
