//! Where output goes: the result to standard output and nothing else, everything beside it to standard error.

use std::fs;
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use natsbench::cli::exit;
use serde_json::Value;

use crate::harness::{Broker, Finished, Natsbench};

/// A short run that has enough samples for its percentiles.
fn latency(broker: &Broker, args: &[&str]) -> Natsbench {
    let url = broker.ws_url();
    let head = [
        "latency",
        "--slo",
        "lost==0",
        "--server",
        &url,
        "--rate",
        "1000",
        "--warmup",
        "0s",
        "--duration",
        "500ms",
    ];
    Natsbench::new([&head, args].concat())
}

/// Checks a result against the schema that the repository publishes.
#[track_caller]
fn assert_matches_schema(result: &Value) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/natsbench.result-1.schema.json"
    );
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let schema = compiler
        .compile(path, &mut schemas)
        .unwrap_or_else(|error| panic!("the schema cannot be used: {error:#}"));
    if let Err(error) = schemas.validate(result, schema) {
        panic!("{error:#}\n{result:#}");
    }
}

fn has_escapes(text: &str) -> bool {
    text.contains('\u{1b}')
}

#[test]
fn results_of_latency_match_the_published_schema() {
    let broker = Broker::start();
    let finished = latency(
        &broker,
        &[
            "-o",
            "json",
            "--slo",
            "p50<10s",
            "--slo",
            "lost==0",
            "--slo",
            "p99.99<10s",
            "--publishers",
            "2",
            "--subscribers",
            "3",
            "--route",
            "both",
            "--size",
            "600",
        ],
    )
    .run()
    .exits(exit::INCONCLUSIVE);
    assert_matches_schema(&finished.json());
}

#[test]
fn results_of_pub_and_sub_match_the_published_schema() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let sub =
        Natsbench::new(["sub", "rounds.>", "--count", "40", "-o", "json", "-s", &url]).spawn();
    broker.await_subscriptions(2);
    let published = Natsbench::new(["pub", "--count", "20", "-o", "json", "-s", &url])
        .run()
        .exits(exit::PASSED);
    assert_matches_schema(&published.json());
    assert_matches_schema(&sub.wait().exits(exit::PASSED).json());
}

#[test]
fn a_result_without_data_matches_the_published_schema() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let finished = Natsbench::new([
        "sub",
        "nothing",
        "--duration",
        "100ms",
        "-o",
        "json",
        "-s",
        &url,
    ])
    .run()
    .exits(exit::INCONCLUSIVE);
    assert_matches_schema(&finished.json());
}

#[test]
fn the_saved_file_is_the_json_of_stdout() {
    let broker = Broker::start();
    let finished = latency(&broker, &["-o", "json", "--save", "result.json"])
        .run()
        .exits(exit::PASSED);
    let saved = fs::read_to_string(finished.home().join("result.json")).unwrap();
    assert_eq!(saved, finished.stdout);
}

#[test]
fn the_saved_file_is_json_whatever_is_printed_and_replaces_what_was_there() {
    let broker = Broker::start();
    let run = latency(&broker, &["--save", "result.json", "--color", "always"]);
    // Longer than any result, so that a rest would show.
    fs::write(run.home().join("result.json"), "x".repeat(1 << 20)).unwrap();
    let finished = run.run().exits(exit::PASSED);
    let saved = fs::read_to_string(finished.home().join("result.json")).unwrap();
    let result: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(result["command"], "latency");
    assert_eq!(result["load"]["received"], 500);
}

#[test]
fn markdown_is_a_document_of_its_own() {
    let broker = Broker::start();
    let finished = latency(&broker, &["-o", "markdown", "--slo", "lost==0"])
        .run()
        .exits(exit::PASSED);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines[0], "## natsbench latency");
    assert!(
        lines.contains(&"| objective | observed | verdict |"),
        "{lines:#?}"
    );
    // Every table has a rule below its head, and every row of it as many cells.
    for table in lines
        .split(|line| !line.starts_with('|'))
        .filter(|table| !table.is_empty())
    {
        let n_cells = |row: &&str| row.matches('|').count();
        assert!(table.len() >= 3, "{table:#?}");
        assert!(table[1].contains("---"), "{table:#?}");
        assert!(
            table.iter().all(|row| n_cells(row) == n_cells(&table[0])),
            "{table:#?}"
        );
    }
}

#[test]
fn the_human_report_fits_on_a_screen() {
    let broker = Broker::start();
    let finished = latency(&broker, &["--slo", "p50<10s", "--slo", "lost==0"])
        .run()
        .exits(exit::PASSED);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[0].starts_with("PASS: "), "{}", finished.stdout);
    assert!(
        lines.len() <= 30,
        "{} lines:\n{}",
        lines.len(),
        finished.stdout
    );
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{}",
        finished.stdout
    );
}

#[test]
fn nothing_is_coloured_away_from_a_terminal() {
    let broker = Broker::start();
    let finished = latency(&broker, &[]).run().exits(exit::PASSED);
    assert!(!has_escapes(&finished.stdout), "{:?}", finished.stdout);
    assert!(!has_escapes(&finished.stderr), "{:?}", finished.stderr);
}

#[test]
fn colour_is_there_when_it_is_asked_for() {
    let broker = Broker::start();
    let coloured = latency(&broker, &["--color", "always"])
        .run()
        .exits(exit::PASSED);
    assert!(has_escapes(&coloured.stdout), "{:?}", coloured.stdout);
    // What was asked for on the command line wins over the environment.
    let coloured = latency(&broker, &["--color", "always"])
        .env("NO_COLOR", "1")
        .run()
        .exits(exit::PASSED);
    assert!(has_escapes(&coloured.stdout), "{:?}", coloured.stdout);
    // JSON has none in any case.
    let json = latency(&broker, &["--color", "always", "-o", "json"]).run();
    assert!(!has_escapes(&json.exits(exit::PASSED).stdout));
}

#[test]
fn errors_are_coloured_when_it_is_asked_for() {
    let error = |args: &[&str]| {
        let run = Natsbench::new([&["sub", "a..b"], args].concat());
        run.run().exits(exit::USAGE).stderr
    };
    assert!(!has_escapes(&error(&[])));
    assert!(!has_escapes(&error(&["--color", "never"])));
    assert!(has_escapes(&error(&["--color", "always"])));
}

#[test]
fn progress_is_a_plain_line_every_few_seconds() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let finished = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "-s",
        &url,
        "--warmup",
        "0s",
        "--duration",
        "6s",
        "--rate",
        "100",
    ])
    .run()
    .exits(exit::PASSED);
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("measuring 5 s  "), "{lines:#?}");
    assert!(!has_escapes(&finished.stderr) && !finished.stderr.contains('\r'));
}

#[test]
fn quiet_leaves_only_the_result() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let finished = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "-q",
        "-s",
        &url,
        "--warmup",
        "0s",
        "--duration",
        "6s",
        "--rate",
        "100",
    ])
    .run()
    .exits(exit::PASSED);
    assert_eq!(finished.stderr, "");
    assert!(finished.stdout.starts_with("PASS: "));
}

/// One line of an interval log.
struct Interval {
    tag: String,
    begin_s: f64,
    length_s: f64,
    max_ms: f64,
    /// The payload of the compressed V2 histogram.
    histogram: Vec<u8>,
}

/// Reads an interval log as its specification has it, independent of the code that wrote it.
fn read_interval_log(text: &str) -> Vec<Interval> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#[Histogram log format version 1.3]"));
    let start = lines.next().unwrap();
    assert!(
        start.starts_with("#[StartTime: ") && start.ends_with(" (seconds since epoch)]"),
        "{start}"
    );
    assert_eq!(
        lines.next(),
        Some(
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )
    );
    lines.map(read_interval).collect()
}

fn read_interval(line: &str) -> Interval {
    let (tag, rest) = line.strip_prefix("Tag=").unwrap().split_once(',').unwrap();
    let cells: Vec<&str> = rest.split(',').collect();
    assert_eq!(cells.len(), 4, "{line}");
    let number = |idx: usize| cells[idx].parse::<f64>().unwrap();
    let bytes = from_base64(cells[3]);
    // V2 with compression: a cookie, a length, a zlib stream.
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(
        word(&bytes, 0),
        0x1c84_9314,
        "cookie of the compressed form"
    );
    assert_eq!(
        word(&bytes, 4) as usize,
        bytes.len() - 8,
        "length of the zlib stream"
    );
    let mut histogram = Vec::new();
    ZlibDecoder::new(&bytes[8..])
        .read_to_end(&mut histogram)
        .unwrap();
    assert_eq!(word(&histogram, 0), 0x1c84_9313, "cookie of the histogram");
    assert_eq!(
        word(&histogram, 4) as usize,
        histogram.len() - 40,
        "length of the counts"
    );
    Interval {
        tag: tag.to_owned(),
        begin_s: number(0),
        length_s: number(1),
        max_ms: number(2),
        histogram: histogram[40..].to_vec(),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert_eq!(text.len() % 4, 0, "{text}");
    let digits: Vec<u32> = text
        .trim_end_matches('=')
        .chars()
        .map(|c| u32::try_from(ALPHABET.find(c).unwrap()).unwrap())
        .collect();
    digits
        .chunks(4)
        .flat_map(|chunk| {
            let bits =
                chunk.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - chunk.len()));
            bits.to_be_bytes()[1..chunk.len()].to_vec()
        })
        .collect()
}

/// The sum of the counts of a V2 histogram: zigzag LEB128, negative for a run of empty buckets.
fn n_counted(mut bytes: &[u8]) -> i64 {
    let mut sum = 0;
    while !bytes.is_empty() {
        let mut value: u64 = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let count = (value >> 1).cast_signed() ^ -((value & 1).cast_signed());
        sum += count.max(0);
    }
    sum
}

#[test]
fn the_interval_log_holds_every_sample_in_intervals_that_join() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let finished: Finished = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "-s",
        &url,
        "--warmup",
        "300ms",
        "--duration",
        "2500ms",
        "--rate",
        "400",
        "--hdr",
        "run.hlog",
        "-o",
        "json",
    ])
    .run()
    .exits(exit::PASSED);
    let log = fs::read_to_string(finished.home().join("run.hlog")).unwrap();
    let intervals = read_interval_log(&log);
    let result = finished.json();
    for kind in ["response", "service"] {
        let of_kind: Vec<&Interval> = intervals.iter().filter(|one| one.tag == kind).collect();
        assert!(of_kind.len() >= 2, "{log}");
        let n_samples: i64 = of_kind.iter().map(|one| n_counted(&one.histogram)).sum();
        let stats = &result["latency"][kind];
        assert_eq!(n_samples, 1000, "{kind}");
        assert_eq!(stats["count"], 1000, "{kind}");
        for pair in of_kind.windows(2) {
            let gap_s = pair[1].begin_s - (pair[0].begin_s + pair[0].length_s);
            // Both are rounded to milliseconds.
            assert!(gap_s.abs() < 0.0021, "{kind}: {gap_s}");
        }
        let logged_max_ms = of_kind.iter().map(|one| one.max_ms).fold(0.0, f64::max);
        let max_ns = stats["max_ns"].as_f64().unwrap();
        // The histogram rounds to three digits.
        assert!(
            (logged_max_ms * 1e6 / max_ns - 1.0).abs() < 0.01,
            "{logged_max_ms} ms, {max_ns} ns"
        );
    }
}

#[test]
fn an_interrupted_run_leaves_a_readable_interval_log() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let run = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "-s",
        &url,
        "--warmup",
        "0s",
        "--duration",
        "1h",
        "--rate",
        "400",
        "--hdr",
        "run.hlog",
        "-o",
        "json",
    ])
    .spawn();
    broker.await_published(50);
    run.signal(rustix::process::Signal::INT);
    let finished = run.wait().exits(exit::INTERRUPTED);
    let log = fs::read_to_string(finished.home().join("run.hlog")).unwrap();
    let n_samples: i64 = read_interval_log(&log)
        .iter()
        .filter(|one| one.tag == "response")
        .map(|one| n_counted(&one.histogram))
        .sum();
    assert_eq!(finished.json()["latency"]["response"]["count"], n_samples);
}
