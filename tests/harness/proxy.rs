//! nginx and haproxy in front of a broker, on a free port each, from a configuration of the test's own.
//!
//! A port is chosen by binding to it, and free again when the proxy takes it: whoever takes it in between makes the
//! proxy fail to start, and another port is tried.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;

/// Where distributions put what only administrators start.
const SYSTEM_DIRS: &str = "/usr/sbin:/usr/local/sbin";
/// How often another port is tried.
const MAX_ATTEMPTS: usize = 5;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Proxy {
    /// nginx, with this content of the `http` block. `@PORT@` stands for its port, `@DIR@` for its directory.
    pub(crate) fn nginx(http: &str) -> Self {
        Self::nginx_with_files(http, &[])
    }

    /// The same, with files beside the configuration.
    pub(crate) fn nginx_with_files(http: &str, files: &[(&str, &str)]) -> Self {
        let config = format!(
            "daemon off;\nworker_processes 1;\npid @DIR@/nginx.pid;\nerror_log @DIR@/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n  access_log off;\n  client_body_temp_path @DIR@/body;\n  proxy_temp_path @DIR@/proxy;\n  \
             fastcgi_temp_path @DIR@/fastcgi;\n  uwsgi_temp_path @DIR@/uwsgi;\n  scgi_temp_path @DIR@/scgi;\n{http}\n}}\n"
        );
        start(&config, files, |dir, config| {
            let mut command = Command::new(program("nginx"));
            command.arg("-p").arg(dir).arg("-c").arg(config);
            command.arg("-e").arg(dir.join("error.log"));
            command
        })
    }

    /// haproxy, with this configuration.
    pub(crate) fn haproxy(config: &str) -> Self {
        start(config, &[], |_, config| {
            let mut command = Command::new(program("haproxy"));
            command.arg("-db").arg("-f").arg(config);
            command
        })
    }

    /// `ws://127.0.0.1:<port>`.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx stops its worker on SIGTERM and leaves it alone on SIGKILL.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

fn start(config: &str, files: &[(&str, &str)], command: impl Fn(&Path, &Path) -> Command) -> Proxy {
    for _ in 0..MAX_ATTEMPTS {
        let dir = TempDir::new().expect("a temporary directory");
        let dir_text = dir.path().to_str().expect("a UTF-8 path").to_owned();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).expect("a file beside the configuration");
        }
        let port = free_port();
        let text = config
            .replace("@PORT@", &port.to_string())
            .replace("@DIR@", &dir_text);
        let path = dir.path().join("proxy.conf");
        fs::write(&path, text).expect("the configuration");
        let log = File::create(dir.path().join("out.log")).expect("the log");
        let child = command(dir.path(), &path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("the proxy runs");
        let mut proxy = Proxy { child, port, dir };
        let is_up = eventually("the proxy to listen", || {
            let ended = proxy.child.try_wait().expect("the child can be waited for");
            if ended.is_some() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
        });
        if is_up {
            return proxy;
        }
        let log = fs::read_to_string(proxy.dir.path().join("out.log")).unwrap_or_default();
        assert!(
            log.contains("bind") || log.contains("in use"),
            "the proxy does not start: {log}"
        );
    }
    panic!("no proxy got a port in {MAX_ATTEMPTS} attempts");
}

/// The path of a program.
///
/// # Panics
/// When there is none: a test that skips in silence passes falsely.
fn program(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let dirs = format!("{path}:{SYSTEM_DIRS}");
    std::env::split_paths(&dirs)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("{name} is not installed: run the tests with `scripts/test`, which installs it")
        })
}
