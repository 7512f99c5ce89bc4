//! Readers of this layer as the fuzz targets (`fuzz/`) need them: text in, plain values or the text of the error out. For
//! nobody else; it changes with the targets.

use std::path::{Path, PathBuf};

use crate::cli::connection::parse_target;
use crate::cli::context::Context;

/// A context file as it was read.
#[derive(Debug)]
pub struct ReadContext {
    /// Servers.
    pub urls: Vec<String>,
    /// `tls_first`.
    pub tls_first: bool,
    /// Fields that are texts, by their name in the file.
    pub texts: [(&'static str, Option<String>); 5],
    /// Fields that are paths, expanded.
    pub paths: [(&'static str, Option<PathBuf>); 5],
}

/// Reads the text of a context file.
///
/// # Errors
/// The text that the user sees.
pub fn read_context(text: &str) -> Result<ReadContext, String> {
    let context = Context::parse(text, Path::new("context.json"));
    let context = context.map_err(|error| error.render(false))?;
    Ok(ReadContext {
        urls: context.urls,
        tls_first: context.tls_first,
        texts: [
            ("user", context.user),
            ("password", context.password),
            ("token", context.token),
            ("user_jwt", context.jwt),
            ("user_seed", context.seed),
        ],
        paths: [
            ("ca", context.ca),
            ("cert", context.cert),
            ("key", context.key),
            ("creds", context.creds),
            ("nkey", context.nkey),
        ],
    })
}

/// What the user sees of a server URL with a fault; `None` for one without.
pub fn server_url_error(url: &str) -> Option<String> {
    parse_target(url).err().map(|error| error.render(false))
}
