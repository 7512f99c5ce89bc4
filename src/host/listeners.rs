//! Which processes of this machine listen on which TCP ports, as far as `/proc` shows it.
//!
//! A process of another user, or of another container, is not seen: what is missing here says nothing. On systems
//! without `/proc` the list is empty.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::facts::read_text;

/// Most processes looked at.
const MAX_PROCESSES: usize = 8_192;
/// Most open files looked at, of all processes together.
const MAX_FILES: usize = 200_000;
/// Most sockets of one table.
const MAX_SOCKETS: usize = 100_000;
/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// It does not run on: a signal, a debugger or a paused container holds it.
    pub is_frozen: bool,
}

impl Process {
    /// Whether it is a NATS server.
    pub fn is_nats_server(&self) -> bool {
        ["nats-server", "gnatsd"]
            .iter()
            .any(|name| self.name.starts_with(name))
    }
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; perhaps on every address of the machine.
    pub address: SocketAddr,
    /// Whose it is.
    pub process: Process,
}

/// The listening sockets whose processes could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners(Vec<Listener>);

impl Listeners {
    /// Looks. Takes milliseconds, and longer where there are thousands of processes.
    pub fn read() -> Self {
        let mut sockets = HashMap::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = read_text(table).unwrap_or_default();
            sockets.extend(listening(&text));
        }
        if sockets.is_empty() {
            return Self::default();
        }
        let mut found = Vec::new();
        let mut n_files = 0;
        for pid in pids().into_iter().take(MAX_PROCESSES) {
            let mut owned: Vec<SocketAddr> = Vec::new();
            let files = fs::read_dir(format!("/proc/{pid}/fd"));
            let left = MAX_FILES.saturating_sub(n_files);
            for file in files.into_iter().flatten().flatten().take(left) {
                n_files += 1;
                let link = fs::read_link(file.path()).unwrap_or_default();
                let inode = link.to_str().and_then(socket_inode);
                owned.extend(inode.and_then(|inode| sockets.get(&inode)));
            }
            if let Some(process) = (!owned.is_empty()).then(|| process(pid)).flatten() {
                found.extend(owned.into_iter().map(|address| Listener {
                    address,
                    process: process.clone(),
                }));
            }
            if n_files >= MAX_FILES {
                break;
            }
        }
        Self(found)
    }

    /// The process that takes connections to an address of this machine.
    pub fn owner_of(&self, address: SocketAddr) -> Option<&Process> {
        let takes = |listener: &&Listener| takes(listener.address, address);
        // A socket of one address goes before one of all addresses.
        let mut found: Vec<_> = self.0.iter().filter(takes).collect();
        found.sort_by_key(|listener| listener.address.ip().is_unspecified());
        found.first().map(|listener| &listener.process)
    }

    /// Where a process listens.
    pub fn of_process(&self, pid: u32) -> impl Iterator<Item = SocketAddr> {
        let listeners = self.0.iter();
        listeners
            .filter(move |listener| listener.process.pid == pid)
            .map(|listener| listener.address)
    }

    /// Who listens at a port, at whichever address.
    pub fn at_port(&self, port: u16) -> Vec<(SocketAddr, Process)> {
        let listeners = self.0.iter();
        listeners
            .filter(|listener| listener.address.port() == port)
            .map(|listener| (listener.address, listener.process.clone()))
            .collect()
    }

    /// The NATS servers, each once.
    pub fn nats_servers(&self) -> Vec<&Process> {
        let mut servers: Vec<&Process> = Vec::new();
        for listener in &self.0 {
            let process = &listener.process;
            if process.is_nats_server() && !servers.iter().any(|known| known.pid == process.pid) {
                servers.push(process);
            }
        }
        servers
    }

    /// Whether anything could be seen at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether an address is one of this machine.
pub fn is_own_address(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// Whether this looks like the inside of a container, where `localhost` is the container itself.
pub fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|path| fs::exists(path).unwrap_or(false))
        || read_text("/proc/1/cgroup").is_some_and(|text| {
            ["docker", "kubepods", "containerd", "libpod"]
                .iter()
                .any(|name| text.contains(name))
        })
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

fn process(pid: u32) -> Option<Process> {
    let name = read_text(&format!("/proc/{pid}/comm"))?.trim().to_owned();
    let stat = read_text(&format!("/proc/{pid}/stat")).unwrap_or_default();
    let cgroup = read_text(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let is_paused = cgroup_path(&cgroup)
        .and_then(|path| read_text(&format!("/sys/fs/cgroup{path}/cgroup.events")))
        .is_some_and(|events| events.lines().any(|line| line == "frozen 1"));
    Some(Process {
        pid,
        name,
        is_frozen: is_paused || matches!(state(&stat), Some('T' | 't')),
    })
}

/// Whether a socket that listens at one address takes connections to another one.
fn takes(listens_at: SocketAddr, address: SocketAddr) -> bool {
    if listens_at.port() != address.port() {
        return false;
    }
    match (listens_at.ip(), address.ip().to_canonical()) {
        (IpAddr::V4(own), IpAddr::V4(ip)) => own.is_unspecified() || own == ip,
        // Usually for both families.
        (IpAddr::V6(own), _) if own.is_unspecified() => true,
        (own, ip) => own.to_canonical() == ip,
    }
}

/// The listening sockets of `/proc/net/tcp` or `/proc/net/tcp6`, by inode.
fn listening(text: &str) -> HashMap<u64, SocketAddr> {
    let lines = text.lines().skip(1).take(MAX_SOCKETS);
    lines.filter_map(listening_socket).collect()
}

fn listening_socket(line: &str) -> Option<(u64, SocketAddr)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTENING)
        .then(|| socket_address(local).map(|address| (inode, address)))
        .flatten()
}

/// `0100007F:20D1`: the bytes of each 32 bits of the address in the order of the machine, the port as a number.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !ip.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let word = |idx: usize| {
        let digits = ip.get(8 * idx..8 * idx + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for idx in 0..4 {
                bytes[4 * idx..4 * idx + 4].copy_from_slice(&word(idx)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `socket:[12345]`.
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// The state in `/proc/<pid>/stat`; the name before it may hold blanks and brackets.
fn state(stat: &str) -> Option<char> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.trim_start().chars().next()
}

/// The group of version 2 in `/proc/<pid>/cgroup`.
fn cgroup_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1151 1 00000000a25b7fae 100 0 0 10 0
   1: 0100007F:20FB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1152 1 00000000a25b7fae 100 0 0 10 0
";
    const TABLE_6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000012345678 100 0 0 10 0
";

    fn listener(address: &str, pid: u32, name: &str) -> Listener {
        Listener {
            address: address.parse().unwrap(),
            process: Process {
                pid,
                name: name.to_owned(),
                is_frozen: false,
            },
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn only_listening_sockets_are_read_of_a_table() {
        let sockets = listening(TABLE);
        assert_eq!(
            sockets,
            HashMap::from([(1151, "127.0.0.1:8443".parse().unwrap())])
        );
        let sockets = listening(TABLE_6);
        assert_eq!(
            sockets,
            HashMap::from([(77, "[::1]:8080".parse().unwrap())])
        );
    }

    #[test]
    fn the_links_of_sockets_name_their_inodes() {
        assert_eq!(socket_inode("socket:[1151]"), Some(1151));
        for link in ["pipe:[1]", "socket:[x]", "/dev/null", "socket:[", ""] {
            assert_eq!(socket_inode(link), None, "{link}");
        }
    }

    #[test]
    fn the_state_comes_behind_the_last_bracket() {
        assert_eq!(state("17 (nats-server) T 1 17 17"), Some('T'));
        assert_eq!(state("17 (odd ) S name) S 1 17 17"), Some('S'));
        assert_eq!(state(""), None);
    }

    #[test]
    fn a_socket_of_one_address_goes_before_one_of_all() {
        let listeners = Listeners(vec![
            listener("[::]:8443", 1, "haproxy"),
            listener("127.0.0.1:8443", 2, "nats-server"),
            listener("127.0.0.1:4222", 2, "nats-server"),
        ]);
        let owner = |address: &str| listeners.owner_of(address.parse().unwrap()).map(|p| p.pid);
        assert_eq!(owner("127.0.0.1:8443"), Some(2));
        assert_eq!(owner("192.0.2.7:8443"), Some(1));
        assert_eq!(owner("[::1]:8443"), Some(1));
        assert_eq!(owner("192.0.2.7:4222"), None);
        assert_eq!(listeners.of_process(2).count(), 2);
        assert_eq!(listeners.nats_servers().len(), 1);
    }

    #[test]
    fn this_process_owns_the_port_that_it_listens_on() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listeners = Listeners::read();
        let owner = listeners.owner_of(address).expect("/proc shows ourselves");
        assert_eq!(owner.pid, std::process::id());
        assert!(!owner.is_frozen);
        assert!(is_own_address(address.ip()));
        assert!(!is_own_address("192.0.2.254".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*", hex in "[0-9A-Fa-f:é ]{0,60}") {
            listening(&format!("head\n{text}\n"));
            listening(&format!("head\n0: {hex} 0 0A 0 0 0 0 0 7 1\n{hex}\n"));
            socket_address(&hex);
            socket_address(&text);
            socket_inode(&text);
            state(&text);
            cgroup_path(&text);
        }
    }
}
