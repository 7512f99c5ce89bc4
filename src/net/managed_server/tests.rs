//! Against the real nats-server that `scripts/nats-server` finds or fetches.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command as StdCommand, Stdio as StdStdio};

use super::*;

/// Set for a copy of this test binary that is to become nats-server: the arguments, a line each.
const BECOME_ENV: &str = "NATSBENCH_TEST_BECOME";
/// Set for a copy of this test binary that is to hold a server until it is killed.
const HOLD_ENV: &str = "NATSBENCH_TEST_HOLD";

fn manifest_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn server() -> PathBuf {
    find_server(FindServer {
        env_bin: env::var_os("NATS_SERVER_BIN").map(PathBuf::from),
        path_env: env::var_os("PATH"),
        tools_dir: Some(manifest_dir().join(".tools")),
        ..FindServer::default()
    })
    .unwrap_or_else(|missing| panic!("{missing}"))
}

fn config() -> ManagedServerConfig {
    ManagedServerConfig::new(server())
}

/// An executable shell script.
fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A stand-in for natsbench: hands its arguments to [`becomes_nats_server`] in a copy of this test binary.
fn supervisor(dir: &Path) -> PathBuf {
    let this = env::current_exe().unwrap();
    let entry = "net::managed_server::tests::becomes_nats_server";
    let body = format!(
        "[ \"$1\" = {EXEC_SERVER_ARG} ] || exit 9\nshift\n\
         {BECOME_ENV}=$(printf '%s\\n' \"$@\") exec '{}' --exact {entry} --nocapture",
        this.display()
    );
    script(dir, "supervisor", &body)
}

/// Not a test by itself: what [`supervisor`] runs.
#[test]
fn becomes_nats_server() {
    if let Ok(args) = env::var(BECOME_ENV) {
        let failure = exec_supervised(args.lines().map(OsString::from));
        panic!("{failure}");
    }
}

/// Not a test by itself: the process that the test below kills.
#[tokio::test]
async fn holds_a_server_until_it_is_killed() {
    let Some(dir) = env::var_os(HOLD_ENV) else {
        return;
    };
    let mut config = config();
    config.supervisor = Some(supervisor(Path::new(&dir)));
    let server = ManagedServer::start(config).await.unwrap();
    println!("\npid {}", server.pid());
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

fn process_is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn ends_within(limit: Duration, pid: u32) -> bool {
    let deadline = mono_now().plus(u64::try_from(limit.as_nanos()).unwrap());
    while mono_now() < deadline {
        if !process_is_alive(pid) {
            return true;
        }
        sleep_until(mono_now().plus(5_000_000));
    }
    false
}

fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

#[tokio::test]
async fn a_server_listens_on_all_it_was_asked_for_and_stops() {
    let mut config = config();
    config.ports.monitoring = Some(Port::Free);
    config.jetstream = true;
    let server = ManagedServer::start(config).await.unwrap();
    assert!(server.client_url().starts_with("nats://127.0.0.1:"));
    assert!(server.websocket_url().starts_with("ws://127.0.0.1:"));
    assert!(server.version() >= OLDEST_USABLE);
    for url in [server.websocket_url(), server.monitoring_url().unwrap()] {
        TcpStream::connect(address(url)).unwrap();
    }
    let mut info = [0; 5];
    TcpStream::connect(address(server.client_url()))
        .and_then(|mut socket| socket.read_exact(&mut info))
        .unwrap();
    assert_eq!(&info, b"INFO ");
    let (pid, dir) = (server.pid(), server.running.dir.path().to_owned());
    server.stop().await.unwrap();
    assert!(!process_is_alive(pid));
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_files() {
    let server = ManagedServer::start(config()).await.unwrap();
    let (pid, dir) = (server.pid(), server.running.dir.path().to_owned());
    drop(server);
    assert!(!process_is_alive(pid));
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_port_in_use_is_named_by_the_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for websocket in [false, true] {
        let mut config = config();
        let slot = if websocket {
            &mut config.ports.websocket
        } else {
            &mut config.ports.client
        };
        *slot = Port::Fixed(port);
        let message = ManagedServer::start(config).await.unwrap_err().to_string();
        assert!(message.contains("address already in use"), "{message}");
        assert!(message.contains(&port.to_string()), "{message}");
    }
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_quoted() {
    let mut config = config();
    config.extra_config = "max_payload: \"lots\"".to_owned();
    let message = ManagedServer::start(config).await.unwrap_err().to_string();
    assert!(message.contains("server.conf:5:1"), "{message}");
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_noticed() {
    let mut server = ManagedServer::start(config()).await.unwrap();
    kill_process(server.running.pid, Signal::KILL).unwrap();
    assert!(!server.wait().await.unwrap().success());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_supervised_server_has_the_process_id_of_the_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.supervisor = Some(supervisor(dir.path()));
    let server = ManagedServer::start(config).await.unwrap();
    let pid = server.pid();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let program = command.split(|byte| *byte == 0).next().unwrap();
    assert_eq!(
        program,
        server_path_bytes().as_slice(),
        "{}",
        server.log_tail()
    );
    server.stop().await.unwrap();
    assert!(!process_is_alive(pid));
}

fn server_path_bytes() -> Vec<u8> {
    server().into_os_string().into_encoded_bytes()
}

#[test]
fn killing_the_owner_outright_leaves_no_server_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = StdCommand::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("net::managed_server::tests::holds_a_server_until_it_is_killed")
        .env(HOLD_ENV, dir.path())
        .env("TMPDIR", dir.path())
        .stdout(StdStdio::piped())
        .stderr(StdStdio::null())
        .spawn()
        .unwrap();
    let pid = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("pid ")?.parse::<u32>().ok())
        .expect("the owner prints the process id");
    assert!(process_is_alive(pid));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(ends_within(Duration::from_secs(5), pid));
}

#[test]
fn a_supervised_start_without_its_parent_is_refused() {
    // No process is its own parent.
    let own_pid = std::process::id().to_string();
    let args = [own_pid.as_str(), "/bin/true"].map(OsString::from);
    let failure = exec_supervised(args.into_iter());
    // This ran in the test process itself, where the request must not stay.
    set_no_death_signal();
    assert_eq!(failure.kind(), io::ErrorKind::NotFound);
    let nonsense = exec_supervised(["x"].map(OsString::from).into_iter());
    assert_eq!(nonsense.kind(), io::ErrorKind::InvalidInput);
}

fn set_no_death_signal() {
    rustix::process::set_parent_process_death_signal(None).unwrap();
}

#[test]
fn what_was_named_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("absent");
    let error = find_server(FindServer {
        explicit: Some(missing.clone()),
        env_bin: Some(server()),
        path_env: env::var_os("PATH"),
        tools_dir: Some(manifest_dir().join(".tools")),
        ..FindServer::default()
    })
    .unwrap_err();
    assert_eq!(error.rejected.len(), 1);
    let text = error.to_string();
    assert!(text.contains(missing.to_str().unwrap()), "{text}");
    assert!(text.contains("NATS_SERVER_BIN="), "{text}");
}

#[test]
fn too_old_a_server_on_the_path_gives_way_to_the_newest_in_the_tools_directory() {
    let dir = tempfile::tempdir().unwrap();
    let says = |version: &str| format!("echo 'nats-server: v{version}'");
    script(dir.path(), "bin/nats-server", &says("2.9.10"));
    let tools = dir.path().join("tools");
    for version in ["2.9.1", "2.12.8", "2.15.1", "2.100.0-beta.1"] {
        let name = format!("nats-server-{version}/bin/nats-server");
        script(&tools, &name, &says(version));
    }
    let found = find_server(FindServer {
        path_env: Some(dir.path().join("bin").into_os_string()),
        tools_dir: Some(tools.clone()),
        ..FindServer::default()
    });
    let newest = tools.join("nats-server-2.100.0-beta.1/bin/nats-server");
    assert_eq!(found.unwrap(), newest);
    let only_old = find_server(FindServer {
        path_env: Some(dir.path().join("bin").into_os_string()),
        tools_dir: Some(dir.path().join("none")),
        ..FindServer::default()
    });
    let text = only_old.unwrap_err().to_string();
    assert!(
        text.contains("is version 2.9.10, at least 2.10.0 is needed"),
        "{text}"
    );
}

#[test]
fn a_program_in_a_target_directory_belongs_to_a_checkout_with_tools() {
    let tools = |executable: &str| find::checkout_tools(Path::new(executable));
    assert_eq!(
        tools("/src/natsbench/target/release/natsbench"),
        Some(PathBuf::from("/src/natsbench/.tools"))
    );
    assert_eq!(tools("/usr/local/bin/natsbench"), None);
    assert_eq!(tools("natsbench"), None);
}

#[test]
fn a_binary_that_prints_no_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mute = script(dir.path(), "mute", "exit 0");
    assert!(matches!(find::version_of(&mute), Err(Unusable::NoVersion)));
}

#[test]
fn a_log_is_cut_to_the_lines_that_matter() {
    let log = "[7] [INF] Starting\n[7] [FTL] port taken\n[7] [INF] bye\n";
    assert_eq!(last_lines(log), "[FTL] port taken");
    assert_eq!(last_lines("a\nb\nc\nd\ne\nf\n"), "b\nc\nd\ne\nf");
    assert_eq!(last_lines(""), "its log is empty");
}
