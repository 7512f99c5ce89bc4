//! A run second by second, for a picture of it: CSV with a header, or JSON lines.
//!
//! Numbers are plain integers in the units of [`SeriesRow`]. What was not measured is an empty cell, or an absent field;
//! a percentile that the samples of the second cannot support is an empty cell, or `null`. Each line is flushed, so
//! that the file can be followed, and an interrupted run leaves a readable one.

use std::io::{self, Write};
use std::path::Path;

use crate::results::outages::SeriesRow;

/// The header of the CSV form.
const COLUMNS: &str = "at_ns,phase,due,sent,skipped,received,lost,connections_up,connections,\
                       p50_ns,p90_ns,p99_ns,max_ns";

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesFormat {
    /// Comma-separated values (RFC 4180) with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl SeriesFormat {
    /// The format that the name of a file asks for: CSV by `.csv`, JSON lines by any other.
    pub fn of(path: &Path) -> Self {
        let extension = path.extension();
        if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            Self::Csv
        } else {
            Self::JsonLines
        }
    }
}

/// Writes rows as they come.
#[derive(Debug)]
pub struct SeriesWriter<W> {
    out: W,
    format: SeriesFormat,
}

impl<W: Write> SeriesWriter<W> {
    /// Begins the file: the CSV form has a header.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn begin(mut out: W, format: SeriesFormat) -> io::Result<Self> {
        if format == SeriesFormat::Csv {
            writeln!(out, "{COLUMNS}")?;
            out.flush()?;
        }
        Ok(Self { out, format })
    }

    /// Writes one second.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn row(&mut self, row: &SeriesRow) -> io::Result<()> {
        // In one piece: a reader who follows the file sees whole lines.
        let mut line = match self.format {
            SeriesFormat::Csv => csv_line(row).into_bytes(),
            SeriesFormat::JsonLines => serde_json::to_vec(row)?,
        };
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

fn csv_line(row: &SeriesRow) -> String {
    fn cell(value: Option<impl ToString>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    [
        row.at_ns.to_string(),
        quoted(&row.phase),
        cell(row.due),
        cell(row.sent),
        cell(row.skipped),
        row.received.to_string(),
        row.lost.to_string(),
        row.connections_up.to_string(),
        row.connections.to_string(),
        cell(row.p50_ns),
        cell(row.p90_ns),
        cell(row.p99_ns),
        cell(row.max_ns),
    ]
    .join(",")
}

/// Text as a cell: in quotes where it would end the cell or the line.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> SeriesRow {
        SeriesRow {
            at_ns: 3_000_000_000,
            phase: "warming up".to_owned(),
            due: Some(200),
            sent: Some(190),
            skipped: Some(10),
            received: 1_380,
            lost: -2,
            connections_up: 2,
            connections: 3,
            p50_ns: Some(96_000),
            p90_ns: Some(192_000),
            p99_ns: Some(842_000),
            max_ns: Some(1_310_000_000),
        }
    }

    fn sparse() -> SeriesRow {
        SeriesRow {
            at_ns: 4_000_000_000,
            phase: "receiving".to_owned(),
            ..SeriesRow::default()
        }
    }

    fn written(format: SeriesFormat, rows: &[SeriesRow]) -> String {
        let mut writer = SeriesWriter::begin(Vec::new(), format).unwrap();
        for row in rows {
            writer.row(row).unwrap();
        }
        String::from_utf8(writer.out).unwrap()
    }

    #[test]
    fn the_name_of_the_file_says_the_format() {
        for (name, format) in [
            ("a.csv", SeriesFormat::Csv),
            ("dir.json/A.CSV", SeriesFormat::Csv),
            ("a.jsonl", SeriesFormat::JsonLines),
            ("a.ndjson", SeriesFormat::JsonLines),
            ("a.csv.json", SeriesFormat::JsonLines),
            ("csv", SeriesFormat::JsonLines),
            ("/dev/stderr", SeriesFormat::JsonLines),
        ] {
            assert_eq!(SeriesFormat::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn csv_has_a_header_plain_numbers_and_empty_cells() {
        let text = written(SeriesFormat::Csv, &[full(), sparse()]);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                COLUMNS,
                "3000000000,warming up,200,190,10,1380,-2,2,3,96000,192000,842000,1310000000",
                "4000000000,receiving,,,,0,0,0,0,,,,",
            ]
        );
        assert!(text.ends_with('\n'));
        assert_eq!(
            written(SeriesFormat::Csv, &[]).lines().collect::<Vec<_>>(),
            [COLUMNS]
        );
    }

    #[test]
    fn the_csv_header_names_the_fields_of_a_row_in_their_order() {
        // The JSON of a full row has every field, in the order of the type.
        let text = serde_json::to_string(&full()).unwrap();
        let places: Vec<_> = COLUMNS
            .split(',')
            .map(|column| text.find(&format!("\"{column}\":")).expect(column))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        let fields = serde_json::to_value(full()).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), places.len());
    }

    #[test]
    fn json_lines_read_back_and_leave_out_what_was_not_measured() {
        let text = written(SeriesFormat::JsonLines, &[full(), sparse()]);
        let read: Vec<SeriesRow> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, [full(), sparse()]);
        let line = text.lines().nth(1).unwrap();
        assert!(!line.contains("due"), "{line}");
        assert!(line.contains("\"p99_ns\":null"), "{line}");
    }

    #[test]
    fn text_cannot_end_a_cell() {
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("draining"), "draining");
    }

    #[test]
    fn every_line_is_flushed() {
        let mut writer =
            SeriesWriter::begin(io::BufWriter::new(Vec::new()), SeriesFormat::Csv).unwrap();
        writer.row(&sparse()).unwrap();
        assert!(writer.out.buffer().is_empty());
    }
}
