//! NATS headers (`HPUB`, `HMSG`), with the inline status that servers use.
//!
//! A block is `NATS/1.0[ status[ description]]`, then `Name: value` lines, then an empty line (ADR-4).

use super::encode::EncodeError;

const VERSION: &str = "NATS/1.0";

/// A header block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Inline status and its description, such as 503 for "no responders".
    pub status: Option<(u16, String)>,
    entries: Vec<(String, String)>,
}

/// What is wrong with a header block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin with the version.
    #[error("a header block does not begin with `NATS/1.0`")]
    NoVersion,
    /// A status that is no number.
    #[error("`{text}` is not a header status")]
    BadStatus {
        /// The text behind the version.
        text: String,
    },
    /// A line without colon.
    #[error("a header line has no colon: `{line}`")]
    NoColon {
        /// The line.
        line: String,
    },
}

impl Headers {
    /// Reads a block; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// A block that is not of the form above.
    pub fn parse(block: &[u8]) -> Result<Self, HeaderError> {
        let text = String::from_utf8_lossy(block);
        let mut lines = text.split("\r\n");
        let first = lines
            .next()
            .and_then(|line| line.strip_prefix(VERSION))
            .ok_or(HeaderError::NoVersion)?;
        let status = match first.trim() {
            "" => None,
            inline => {
                let (code, description) = inline.split_once(' ').unwrap_or((inline, ""));
                let bad = || HeaderError::BadStatus {
                    text: inline.to_owned(),
                };
                Some((
                    code.parse().map_err(|_| bad())?,
                    description.trim().to_owned(),
                ))
            }
        };
        let mut entries = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| HeaderError::NoColon {
                line: line.to_owned(),
            })?;
            entries.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Self { status, entries })
    }

    /// Adds a header.
    ///
    /// # Errors
    /// A name or value that would break the block.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let is_bad_name = name.is_empty()
            || name
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || c == ':');
        if is_bad_name {
            let reason = "is empty, or contains a blank or colon";
            return Err(EncodeError {
                argument: name.to_owned(),
                role: "a header name",
                reason,
            });
        }
        if value.contains(['\r', '\n']) {
            let reason = "contains a line break";
            return Err(EncodeError {
                argument: value.to_owned(),
                role: "a header value",
                reason,
            });
        }
        self.entries.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// The first value of a header, by name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Appends the block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(VERSION.as_bytes());
        if let Some((code, description)) = &self.status {
            out.extend_from_slice(format!(" {code}").as_bytes());
            if !description.is_empty() {
                out.push(b' ');
                out.extend_from_slice(description.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        for (name, value) in &self.entries {
            for part in [name.as_str(), ": ", value.as_str(), "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_inline_status_is_read() {
        let headers = Headers::parse(b"NATS/1.0 503\r\nNats-Subject: a.b\r\n\r\n").unwrap();
        assert_eq!(headers.status, Some((503, String::new())));
        assert_eq!(headers.get("nats-subject"), Some("a.b"));
        let headers = Headers::parse(b"NATS/1.0 408 Request Timeout\r\n\r\n").unwrap();
        assert_eq!(headers.status, Some((408, "Request Timeout".to_owned())));
    }

    #[test]
    fn broken_blocks_are_refused() {
        assert_eq!(
            Headers::parse(b"HTTP/1.1\r\n\r\n"),
            Err(HeaderError::NoVersion)
        );
        assert!(matches!(
            Headers::parse(b"NATS/1.0 abc\r\n\r\n"),
            Err(HeaderError::BadStatus { .. })
        ));
        assert!(matches!(
            Headers::parse(b"NATS/1.0\r\nx\r\n\r\n"),
            Err(HeaderError::NoColon { .. })
        ));
        let mut headers = Headers::default();
        assert!(headers.push("a b", "x").is_err());
        assert!(headers.push("a", "x\r\ny").is_err());
    }

    proptest! {
        #[test]
        fn encode_then_parse_gives_the_headers_back(
            entries in prop::collection::vec(("[A-Za-z-]{1,10}", "[!-~]{0,10}"), 0..5), status in prop::option::of(100_u16..600),
        ) {
            let mut headers = Headers { status: status.map(|code| (code, String::new())), ..Headers::default() };
            for (name, value) in &entries {
                headers.push(name, value).unwrap();
            }
            let mut block = Vec::new();
            headers.encode(&mut block);
            prop_assert_eq!(Headers::parse(&block).unwrap(), headers);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Headers::parse(&bytes);
        }
    }
}
