//! The offset of a time zone, from the time zone database of this machine.

use std::fs::File;
use std::io::Read as _;

/// Where the database is.
const DIRECTORY: &str = "/usr/share/zoneinfo";
/// The longest file in it has a few kilobytes.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// Bytes of a header (RFC 8536 section 3.1).
const HEADER_BYTES: usize = 44;

/// The offsets from UTC in seconds that a zone may have at a moment (seconds since the epoch): one, or both that it
/// changes between where the file gives only a rule. `None` for a zone that this machine does not know.
pub fn utc_offsets(zone: &str, at: i64) -> Option<Vec<i32>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
    if zone.is_empty() || zone.starts_with('/') || !zone.chars().all(is_name) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(format!("{DIRECTORY}/{zone}"))
        .ok()?
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    offsets_in(&bytes, at)
}

/// The same, of a file as RFC 8536 describes it.
fn offsets_in(bytes: &[u8], at: i64) -> Option<Vec<i32>> {
    let first = Counts::read(bytes)?;
    if first.version < b'2' {
        return Block::read(bytes.get(HEADER_BYTES..)?, first, 4)?.offsets(at, b"");
    }
    // The first block has times of 32 bits and is there for old programs.
    let rest = bytes.get(HEADER_BYTES + first.n_bytes(4)..)?;
    let counts = Counts::read(rest)?;
    let body = rest.get(HEADER_BYTES..)?;
    let footer = body.get(counts.n_bytes(8)..)?;
    Block::read(body, counts, 8)?.offsets(at, footer)
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    version: u8,
    n_ut: usize,
    n_standard: usize,
    n_leaps: usize,
    n_times: usize,
    n_types: usize,
    n_chars: usize,
}

impl Counts {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        let count = |idx: usize| Some(number(header.get(20 + 4 * idx..24 + 4 * idx)?)? as usize);
        let counts = Self {
            version: header[4],
            n_ut: count(0)?,
            n_standard: count(1)?,
            n_leaps: count(2)?,
            n_times: count(3)?,
            n_types: count(4)?,
            n_chars: count(5)?,
        };
        let all = [
            counts.n_ut,
            counts.n_standard,
            counts.n_leaps,
            counts.n_times,
            counts.n_types,
            counts.n_chars,
        ];
        let fits = all.iter().all(|count| *count as u64 <= MAX_FILE_BYTES);
        (header.starts_with(b"TZif") && fits).then_some(counts)
    }

    /// Bytes of the block behind the header, with times of that size.
    fn n_bytes(self, time_bytes: usize) -> usize {
        self.n_times * (time_bytes + 1)
            + self.n_types * 6
            + self.n_chars
            + self.n_leaps * (time_bytes + 4)
            + self.n_standard
            + self.n_ut
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

struct Block {
    /// When the offset changes, and to which.
    changes: Vec<(i64, i32)>,
    /// Before the first change.
    initial: i32,
}

impl Block {
    fn read(bytes: &[u8], counts: Counts, time_bytes: usize) -> Option<Self> {
        let (times, rest) = bytes.split_at_checked(counts.n_times * time_bytes)?;
        let (indices, rest) = rest.split_at_checked(counts.n_times)?;
        let types = rest.get(..counts.n_types * 6)?;
        let offset_of = |idx: usize| Some(number(types.get(idx * 6..idx * 6 + 4)?)?.cast_signed());
        let moment_of = |bytes: &[u8]| match time_bytes {
            4 => Some(i64::from(number(bytes)?.cast_signed())),
            _ => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        };
        let changes: Option<Vec<(i64, i32)>> = times
            .chunks(time_bytes)
            .zip(indices)
            .map(|(time, idx)| Some((moment_of(time)?, offset_of(usize::from(*idx))?)))
            .collect();
        Some(Self {
            changes: changes?,
            initial: offset_of(0)?,
        })
    }

    fn offsets(&self, at: i64, footer: &[u8]) -> Option<Vec<i32>> {
        let n_before = self.changes.partition_point(|(moment, _)| *moment <= at);
        let current = match n_before {
            0 => self.initial,
            n_before => self.changes.get(n_before - 1)?.1,
        };
        // A comma begins a rule of when summer time is.
        let has_rule = n_before == self.changes.len() && footer.contains(&b',');
        let mut offsets = vec![current];
        if has_rule && let Some((_, other)) = self.changes.iter().rev().nth(1) {
            offsets.push(*other);
        }
        Some(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 2 with an empty first block: +1 h from 100 on, +2 h from 200 on.
    fn file(footer: &str) -> Vec<u8> {
        let header = |counts: [u32; 6]| {
            let mut bytes = b"TZif2".to_vec();
            bytes.extend([0; 15]);
            for count in counts {
                bytes.extend(count.to_be_bytes());
            }
            bytes
        };
        let mut bytes = header([0, 0, 0, 0, 1, 1]);
        bytes.extend([0; 7]);
        bytes.extend(header([0, 0, 0, 2, 3, 1]));
        for moment in [100_i64, 200] {
            bytes.extend(moment.to_be_bytes());
        }
        bytes.extend([1, 2]);
        for offset in [0_i32, 3_600, 7_200] {
            bytes.extend(offset.to_be_bytes());
            bytes.extend([0, 0]);
        }
        bytes.push(0);
        bytes.extend(format!("\n{footer}\n").into_bytes());
        bytes
    }

    #[test]
    fn the_offset_is_that_of_the_last_change() {
        for (at, offsets) in [
            (0, vec![0]),
            (100, vec![3_600]),
            (199, vec![3_600]),
            (200, vec![7_200]),
        ] {
            assert_eq!(offsets_in(&file("<+02>-2"), at), Some(offsets), "{at}");
        }
    }

    #[test]
    fn a_rule_leaves_both_offsets_open() {
        let file = file("EST5EDT,M3.2.0,M11.1.0");
        assert_eq!(offsets_in(&file, 300), Some(vec![7_200, 3_600]));
        assert_eq!(offsets_in(&file, 150), Some(vec![3_600]));
    }

    #[test]
    fn a_file_that_is_cut_or_changed_is_read_without_panic() {
        let whole = file("UTC0");
        for at in 0..whole.len() {
            let _ = offsets_in(&whole[..at], 150);
            let mut changed = whole.clone();
            changed[at] = 255;
            let _ = offsets_in(&changed, 150);
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_database() {
        for zone in ["", "/etc/passwd", "../../etc/passwd", "No/Such_Zone"] {
            assert_eq!(utc_offsets(zone, 0), None, "{zone}");
        }
    }
}
