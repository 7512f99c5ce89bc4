//! The layer rule, checked on the source text: a module imports from a strictly lower layer or from its own folder.
//!
//! The table in the documentation of the library is the rule; this file reads it. Along with it go the rules that
//! keep the core pure: below `cli` nobody reads the environment, prints or exits, and only `clock.rs` reads a clock.
//! The source is taken apart into tokens, so that comments and texts neither hide nor fake an import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Directories that only one machine has.
const MACHINE_PATHS: [&str; 6] = ["/home/", "/root/", "/work/", "/tmp/", "/Users/", "/mnt/"];

#[test]
fn the_source_keeps_to_the_layers() {
    let sources = sources_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let violations = violations(&sources);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// What a check may use of another one: quoting for lines to paste, the handshake that TLS behind INFO needs, too, the
/// finding that two of them have in common, and the judgement of what was heard while connections were watched.
const SHARED_BY_CHECKS: [(&str, &str); 5] = [
    ("checks::flow", "checks::paste"),
    ("checks::info", "checks::tls"),
    ("checks::jetstream", "checks::paste"),
    ("checks::round_trip", "checks::permissions"),
    ("checks::watch", "checks::flow"),
];

#[test]
fn the_modules_of_the_doctor_do_not_import_each_other_in_circles() {
    let sources = sources_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in &sources {
        if let Some(module) = doctor_module(path)
            && !path.ends_with("tests.rs")
        {
            let others = doctor_imports(&tokens_of(text)).into_iter();
            let others = others.filter(|other| *other != module);
            imports.entry(module.clone()).or_default().extend(others);
        }
    }
    let checks = imports.keys().filter(|name| name.starts_with("checks::"));
    let checks: BTreeSet<String> = checks.cloned().collect();
    for check in &checks {
        for other in imports[check].intersection(&checks) {
            assert!(
                SHARED_BY_CHECKS.contains(&(check, other)),
                "`{check}` reaches into `{other}`: what they share belongs below both"
            );
        }
    }
    imports
        .entry("checks".to_owned())
        .or_default()
        .extend(checks);
    // Whoever imports nothing that is left is in no circle.
    loop {
        let left: BTreeSet<String> = imports.keys().cloned().collect();
        imports.retain(|_, others| others.iter().any(|other| left.contains(other)));
        if imports.len() == left.len() {
            break;
        }
    }
    assert!(imports.is_empty(), "in circles, or above one: {imports:#?}");
}

/// The module of the doctor that a file belongs to; each check is one.
fn doctor_module(path: &str) -> Option<String> {
    let below = path.strip_prefix("doctor/")?;
    let name = |part: &str| part.trim_end_matches(".rs").to_owned();
    let (first, rest) = below.split_once('/').unwrap_or((below, ""));
    match (first, rest) {
        ("mod.rs", _) => None,
        ("checks", "mod.rs") => Some("checks".to_owned()),
        ("checks", rest) => Some(format!("checks::{}", name(rest.split('/').next()?))),
        (first, _) => Some(name(first)),
    }
}

/// The modules of the doctor that code refers to, tests apart.
fn doctor_imports(tokens: &[Token]) -> Vec<String> {
    const BEGINNING: [&str; 4] = ["crate", "::", "doctor", "::"];
    let mut imports = Vec::new();
    for idx in 0..tokens.len() {
        let text_at = |idx: usize| tokens.get(idx).map_or("", |token| token.text.as_str());
        let begins = (0..4).all(|n| text_at(idx + n) == BEGINNING[n]);
        if !begins || tokens[idx].is_test {
            continue;
        }
        if text_at(idx + 4) == "checks" && text_at(idx + 5) == "::" {
            let names = heads_of(tokens, idx + 6).into_iter();
            imports.extend(names.map(|(_, name)| format!("checks::{name}")));
        } else {
            imports.extend(heads_of(tokens, idx + 4).into_iter().map(|(_, name)| name));
        }
    }
    imports
}

/// One file: its path below `src`, with `/` between the parts, and its text.
type Source = (String, String);

fn sources_of(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source is readable") {
            let path = entry.expect("the source is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root).expect("was found below it");
                let parts: Vec<_> = below.iter().filter_map(|part| part.to_str()).collect();
                sources.push((
                    parts.join("/"),
                    fs::read_to_string(&path).expect("a source file is UTF-8"),
                ));
            }
        }
    }
    sources.sort();
    assert!(
        sources.len() > 10,
        "the sources are not where they should be"
    );
    sources
}

/// Everything that breaks a rule, as `file:line: what`.
fn violations(sources: &[Source]) -> Vec<String> {
    let lib = sources.iter().find(|(path, _)| path == "lib.rs");
    let layers = layers_of(&lib.expect("there is a lib.rs").1);
    let mut found = Vec::new();
    for (path, text) in sources {
        let module = path.split('/').next().unwrap_or(path);
        let module = module.strip_suffix(".rs").unwrap_or(module);
        let mut say = |line: usize, what: String| found.push(format!("src/{path}:{line}: {what}"));
        if !text.starts_with("//!") {
            say(1, "does not begin with `//!`".to_owned());
        }
        for (idx, line) in text.lines().enumerate() {
            if let Some(machine_path) = MACHINE_PATHS.iter().find(|path| line.contains(**path)) {
                say(
                    idx + 1,
                    format!("mentions `{machine_path}`, which is a place of one machine"),
                );
            }
        }
        let tokens = tokens_of(text);
        if !matches!(module, "lib" | "main") {
            if !layers.contains_key(module) {
                say(1, format!("`{module}` is not in the table of layers"));
            }
            for (line, import) in imports_of(path, &tokens) {
                if let Some(what) = import_fault(&layers, module, &import) {
                    say(line, what);
                }
            }
        }
        let is_test_file = path.ends_with("tests.rs");
        if !is_test_file {
            for (line, what) in effects_of(path, &tokens) {
                say(line, what);
            }
        }
    }
    for module in layers.keys() {
        let is_there = |(path, _): &Source| {
            *path == format!("{module}.rs") || path.starts_with(&format!("{module}/"))
        };
        if !sources.iter().any(is_there) {
            found.push(format!(
                "src/lib.rs:1: the table names `{module}`, which does not exist"
            ));
        }
    }
    found
}

/// The table of layers: a row `//! | 3 | [`net`], [`host`] |` for each layer.
fn layers_of(lib: &str) -> BTreeMap<String, u32> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut layers = BTreeMap::new();
    for row in rows {
        let (layer, modules) = row.split_once('|').unwrap_or((row, ""));
        let Ok(layer) = layer.trim().parse() else {
            continue;
        };
        let modules = modules
            .split("[`")
            .skip(1)
            .filter_map(|rest| rest.split_once("`]"));
        for (module, _) in modules {
            layers.insert(module.to_owned(), layer);
        }
    }
    layers
}

fn import_fault(layers: &BTreeMap<String, u32>, module: &str, import: &str) -> Option<String> {
    if import == module {
        return None;
    }
    let (Some(own), Some(other)) = (layers.get(module), layers.get(import)) else {
        return Some(format!(
            "`{module}` imports `{import}`, which is not in the table of layers"
        ));
    };
    (other >= own).then(|| {
        format!(
            "`{module}` (layer {own}) imports `{import}` (layer {other}), which is not below it"
        )
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    /// An identifier, `::`, or one other character.
    text: String,
    /// Whether it stands in code that is only built for tests.
    is_test: bool,
}

/// The top-level modules that a file refers to, by `crate::` or by climbing with `super::`.
fn imports_of(path: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let depth_of_file = path
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| *part != "mod")
        .count();
    let mut imports = Vec::new();
    // The brace depths at which inline modules began.
    let mut inline_modules = Vec::new();
    let mut depth = 0;
    let text_at = |idx: usize| tokens.get(idx).map_or("", |token| token.text.as_str());
    for idx in 0..tokens.len() {
        match text_at(idx) {
            "{" => {
                depth += 1;
                if idx >= 2 && text_at(idx - 2) == "mod" {
                    inline_modules.push(depth);
                }
            }
            "}" => {
                if inline_modules.last() == Some(&depth) {
                    inline_modules.pop();
                }
                depth -= 1;
            }
            "crate" if text_at(idx + 1) == "::" => {
                imports.extend(heads_of(tokens, idx + 2));
            }
            "super" if idx == 0 || text_at(idx - 1) != "::" => {
                let mut n_climbs = 0;
                while text_at(idx + 2 * n_climbs) == "super"
                    && text_at(idx + 2 * n_climbs + 1) == "::"
                {
                    n_climbs += 1;
                }
                if n_climbs >= depth_of_file + inline_modules.len() {
                    imports.extend(heads_of(tokens, idx + 2 * n_climbs));
                }
            }
            _ => {}
        }
    }
    imports
}

/// The first name of a path, or of each path of a group in braces, at `idx`.
fn heads_of(tokens: &[Token], idx: usize) -> Vec<(usize, String)> {
    let Some(first) = tokens.get(idx) else {
        return Vec::new();
    };
    if first.text != "{" {
        return vec![(first.line, first.text.clone())];
    }
    let mut depth = 0;
    let mut heads = Vec::new();
    for (at, token) in tokens.iter().enumerate().skip(idx) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        let begins = depth == 1 && matches!(tokens[at - 1].text.as_str(), "{" | ",");
        if begins && !matches!(token.text.as_str(), "self" | "}" | ",") {
            heads.push((token.line, token.text.clone()));
        }
    }
    heads
}

/// What a file does to the outside world that only `cli`, or only `clock.rs`, may do.
fn effects_of(path: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    const ENVIRONMENT: [&str; 9] = [
        "args",
        "args_os",
        "current_dir",
        "remove_var",
        "set_var",
        "temp_dir",
        "var",
        "var_os",
        "vars",
    ];
    const PRINTING: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];
    let is_cli = path.starts_with("cli/") || path == "main.rs";
    let is_clock = path == "clock.rs";
    // The live view is a thing of standard error, and nothing else may go there.
    let may_write_stderr = is_cli || path == "report/progress.rs";
    let mut effects = Vec::new();
    for (idx, token) in tokens.iter().enumerate() {
        let text_at = |idx: usize| tokens.get(idx).map_or("", |token| token.text.as_str());
        let name = token.text.as_str();
        let owner = if idx >= 2 && text_at(idx - 1) == "::" {
            text_at(idx - 2)
        } else {
            ""
        };
        let next = text_at(idx + 1);
        // A method of that name belongs to a child process.
        let is_function = next == "(" && (idx == 0 || text_at(idx - 1) != ".");
        let what = match name {
            _ if token.is_test => continue,
            _ if !is_cli && owner == "env" && ENVIRONMENT.contains(&name) => {
                "reads the environment"
            }
            _ if !is_cli && PRINTING.contains(&name) && next == "!" => "prints",
            "stdout" if !is_cli && is_function => "writes to standard output",
            "stderr" if !may_write_stderr && is_function => "writes to standard error",
            "exit" | "abort" if !is_cli && owner == "process" => "exits",
            "now" if !is_clock && matches!(owner, "Instant" | "SystemTime") => "reads a clock",
            "clock_gettime" if !is_clock => "reads a clock",
            _ => continue,
        };
        effects.push((token.line, format!("{what} (`{name}`)")));
    }
    effects
}

/// Takes Rust source apart. Comments, texts, characters and numbers are left out: none of them can import anything.
fn tokens_of(source: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
    };
    let mut tokens: Vec<Token> = Vec::new();
    while let Some((line, text)) = lexer.next_token() {
        tokens.push(Token {
            line,
            text,
            is_test: false,
        });
    }
    mark_tests(&mut tokens);
    tokens
}

/// Marks what belongs to an item under `#[cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut idx = 0;
    while idx < tokens.len() {
        let is_attribute = tokens[idx..]
            .iter()
            .map(|token| &token.text)
            .take(7)
            .eq(ATTRIBUTE);
        if !is_attribute {
            idx += 1;
            continue;
        }
        let mut depth = 0;
        while let Some(token) = tokens.get_mut(idx) {
            token.is_test = true;
            idx += 1;
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
                break;
            }
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    fn next_token(&mut self) -> Option<(usize, String)> {
        loop {
            let first = self.rest.chars().next()?;
            let line = self.line;
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip(comment_bytes(self.rest));
            } else if let Some(n_bytes) = text_bytes(self.rest) {
                self.skip(n_bytes);
            } else if first.is_alphabetic() || first == '_' {
                let n_bytes = word_bytes(self.rest);
                let word = self.rest[..n_bytes].to_owned();
                self.skip(n_bytes);
                return Some((line, word));
            } else if first.is_numeric() {
                self.skip(word_bytes(self.rest));
            } else if self.rest.starts_with("::") {
                self.skip(2);
                return Some((line, "::".to_owned()));
            } else {
                self.skip(first.len_utf8());
                if !first.is_whitespace() {
                    return Some((line, first.to_string()));
                }
            }
        }
    }

    fn skip(&mut self, n_bytes: usize) {
        self.line += self.rest[..n_bytes].matches('\n').count();
        self.rest = &self.rest[n_bytes..];
    }
}

fn word_bytes(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// The length of a block comment; they nest.
fn comment_bytes(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a text or character literal that begins here, in any of its forms; `None` if none does.
fn text_bytes(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            rest.starts_with('"')
                || (prefix.ends_with('r')
                    && rest.trim_start_matches('#').starts_with('"')
                    && rest.starts_with('#'))
                || (matches!(*prefix, "b" | "") && rest.starts_with('\''))
        })
    })?;
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let n_hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(n_hashes));
        let body = n_hashes + 1;
        let n_body = rest[body..]
            .find(&end)
            .map_or(rest.len() - body, |at| at + end.len());
        return Some(prefix.len() + body + n_body);
    }
    let quote = rest.chars().next()?;
    if quote == '\'' {
        // A lifetime is a quote and a word without a closing quote.
        let mut chars = rest.chars().skip(1);
        let (first, second) = (chars.next()?, chars.next());
        if first != '\\' && second != Some('\'') {
            return None;
        }
    }
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// What a tree with the modules `cli` 6, `load` 4, `net` 3, `host` 3 and `units` 0 says about one more file.
fn said_about(path: &str, body: &str) -> Vec<String> {
    let lib = "//! | layer | modules |\n//! | 6 | [`cli`] |\n//! | 4 | [`load`] |\n\
               //! | 3 | [`net`], [`host`] |\n//! | 0 | [`units`], [`clock`] |\n";
    let mut sources: Vec<Source> = [
        "cli/mod.rs",
        "load/mod.rs",
        "net/mod.rs",
        "host/mod.rs",
        "units.rs",
        "clock.rs",
    ]
    .map(|path| (path.to_owned(), "//! Doc.\n".to_owned()))
    .into();
    sources.push(("lib.rs".to_owned(), lib.to_owned()));
    sources.retain(|(known, _)| known != path);
    sources.push((path.to_owned(), format!("//! Doc.\n{body}")));
    violations(&sources)
}

fn assert_fine(path: &str, body: &str) {
    assert_eq!(said_about(path, body), [""; 0], "{path}: {body}");
}

fn assert_broken(path: &str, body: &str, expected: &str) {
    let said = said_about(path, body);
    assert_eq!(said.len(), 1, "{path}: {body}: {said:?}");
    assert!(said[0].contains(expected), "{said:?}");
}

#[test]
fn an_import_from_below_or_from_the_own_folder_is_fine() {
    assert_fine(
        "load/a.rs",
        "use crate::net::x;\nuse crate::load::b;\nuse super::c;",
    );
    assert_fine(
        "net/a/b.rs",
        "use super::super::c; use super::d; use crate::net::e;",
    );
    assert_fine(
        "units.rs",
        "mod tests { use super::*; mod deeper { use super::super::*; } }",
    );
    assert_fine(
        "net/a.rs",
        "fn f() { crate::units::g(); } pub(crate) struct A; pub(in crate::net) struct B;",
    );
}

#[test]
fn an_import_from_above_or_beside_is_found_in_every_form() {
    for body in [
        "use crate::load::plan;",
        "use crate::{units, load::{plan, pacer}};",
        "use crate::{\n    units::Rate,\n    load,\n};",
        "fn f() { let x = crate::load::plan::X; }",
        "use super::super::load;",
        "use super::super::{units, load};",
        "mod tests { use super::super::super::load; }",
        "macro_rules! m { () => { $crate::load::x } }",
        "#[cfg(test)] mod tests { use crate::load; }",
    ] {
        assert_broken("net/a.rs", body, "`net` (layer 3) imports `load` (layer 4)");
    }
    assert_broken(
        "net/a.rs",
        "use crate::host;",
        "`host` (layer 3), which is not below it",
    );
    assert_broken("net/mod.rs", "use super::host;", "`host` (layer 3)");
    assert_broken(
        "units.rs",
        "use super::clock;",
        "`units` (layer 0) imports `clock` (layer 0)",
    );
    assert_broken("net/a.rs", "\nuse crate::cli;", "src/net/a.rs:3:");
}

#[test]
fn comments_and_texts_are_no_imports() {
    assert_fine(
        "net/a.rs",
        r##"// use crate::load;
/// See [`crate::load::plan`].
/* use crate::load; /* println!() */ exit */
fn f<'a>(x: &'a str) -> char {
    let _ = ("crate::load \" println!()", r#"crate::load " "#, b"crate::cli", '"', '\'', b'"', 'x');
    x
}
"##,
    );
    assert_broken(
        "net/a.rs",
        "const Q: char = '\"'; use crate::load;",
        "imports `load`",
    );
    assert_broken(
        "net/a.rs",
        "fn f<'a>() {} use crate::load;",
        "imports `load`",
    );
    assert_broken(
        "net/a.rs",
        "const R: &str = r#\"\"\"#; use crate::load;",
        "imports `load`",
    );
}

#[test]
fn a_module_that_is_not_in_the_table_or_only_there_is_found() {
    assert_broken("stray.rs", "", "`stray` is not in the table of layers");
    assert_broken(
        "net/a.rs",
        "use crate::stray;",
        "imports `stray`, which is not in the table",
    );
    let lib = "//! | 0 | [`units`], [`gone`] |\n".to_owned();
    let sources = [
        ("lib.rs".to_owned(), lib),
        ("units.rs".to_owned(), "//!".to_owned()),
    ];
    assert_eq!(
        violations(&sources),
        ["src/lib.rs:1: the table names `gone`, which does not exist"]
    );
}

#[test]
fn effects_below_the_command_line_are_found() {
    for (body, what) in [
        ("fn f() { std::env::var(\"X\"); }", "reads the environment"),
        ("fn f() { env::args(); }", "reads the environment"),
        ("fn f() { println!(); }", "prints"),
        ("fn f() { dbg!(1); }", "prints"),
        ("fn f() { std::io::stdout(); }", "writes to standard output"),
        ("fn f() { std::io::stderr(); }", "writes to standard error"),
        ("fn f() { std::process::exit(1); }", "exits"),
        ("fn f() { Instant::now(); }", "reads a clock"),
        ("fn f() { tokio::time::Instant::now(); }", "reads a clock"),
        ("fn f() { SystemTime::now(); }", "reads a clock"),
        (
            "fn f() { rustix::time::clock_gettime(x); }",
            "reads a clock",
        ),
    ] {
        assert_broken("load/a.rs", body, what);
        // Tests may look at the world.
        assert_fine(
            "load/a.rs",
            &format!("#[cfg(test)]\nmod tests {{ {body} }}"),
        );
        assert_fine("load/a/tests.rs", body);
        let is_clock = what == "reads a clock";
        if is_clock {
            assert_fine("clock.rs", body);
            assert_broken("cli/a.rs", body, what);
        } else {
            assert_fine("cli/a.rs", body);
        }
    }
    assert_fine(
        "load/a.rs",
        "const V: &str = env!(\"V\"); fn f() { std::env::consts::OS; exit::code(); c.stdout(p); }",
    );
    // What comes after the tests is no test.
    assert_broken(
        "load/a.rs",
        "#[cfg(test)] mod tests; fn f() { print!(); }",
        "prints",
    );
    assert_broken(
        "load/a.rs",
        "#[cfg(test)] mod tests { fn g() {} } fn f() { print!(); }",
        "prints",
    );
}

#[test]
fn a_file_without_documentation_or_with_a_place_of_one_machine_is_found() {
    let lib = "//! | 0 | [`units`] |\n".to_owned();
    let sources = [
        ("lib.rs".to_owned(), lib),
        ("units.rs".to_owned(), "fn f() {}".to_owned()),
    ];
    assert_eq!(
        violations(&sources),
        ["src/units.rs:1: does not begin with `//!`"]
    );
    assert_broken(
        "units.rs",
        "// See /home/me/notes.",
        "src/units.rs:2: mentions `/home/`",
    );
}
