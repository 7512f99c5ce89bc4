//! What does not change during a run.

use std::fs;

use super::parse;

/// The machine, as a result should name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The processor's own name.
    pub cpu_model: Option<String>,
    /// The processors that this process may use: affinity and quota are taken into account.
    pub n_cpus: Option<usize>,
    /// The kernel release.
    pub kernel: Option<String>,
    /// Where the kernel takes time from. Anything but `tsc`, `kvm-clock` or `arch_sys_counter` makes
    /// reading the clock a system call, which is much slower.
    pub clocksource: Option<String>,
}

impl HostFacts {
    /// Reads them.
    pub fn read() -> Self {
        Self {
            cpu_model: read_text("/proc/cpuinfo").and_then(|text| parse::cpu_model(&text)),
            n_cpus: std::thread::available_parallelism().ok().map(usize::from),
            kernel: read_line("/proc/sys/kernel/osrelease"),
            clocksource: read_line(
                "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            ),
        }
    }
}

pub(super) fn read_text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn read_line(path: &str) -> Option<String> {
    let text = read_text(path)?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_names_its_kernel_and_processors() {
        let facts = HostFacts::read();
        assert!(facts.n_cpus.is_some_and(|n_cpus| n_cpus > 0));
        assert!(facts.kernel.is_some());
    }
}
