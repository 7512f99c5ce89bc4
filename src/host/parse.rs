//! The texts of `/proc` and `/sys`, read without touching the machine.
//!
//! Units: nanoseconds and bytes, converted from whatever each file uses.

/// Time of all processors together, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTicks {
    /// Time in which the hypervisor ran something else although we had work.
    pub(super) steal: u64,
    /// All time, `steal` included.
    pub(super) total: u64,
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest nice.
pub(super) fn cpu_ticks(stat: &str) -> Option<CpuTicks> {
    // The guest columns are left out: the kernel has counted them under user and nice already.
    const N_COLUMNS: usize = 8;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut total = 0_u64;
    let mut steal = None;
    for (idx, word) in line.split_ascii_whitespace().take(N_COLUMNS).enumerate() {
        let ticks = word.parse().ok()?;
        total = total.checked_add(ticks)?;
        if idx == N_COLUMNS - 1 {
            steal = Some(ticks);
        }
    }
    steal.map(|steal| CpuTicks { steal, total })
}

/// The processor's name from `/proc/cpuinfo`; the key differs between architectures.
pub(super) fn cpu_model(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "Hardware", "cpu"]
        .into_iter()
        .find_map(|wanted| {
            let value = cpuinfo.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == wanted).then(|| value.trim())
            })?;
            (!value.is_empty()).then(|| value.to_owned())
        })
}

/// The resident memory from `/proc/self/status`.
pub(super) fn rss_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The time that a control group was held back, from its `cpu.stat`: version 2 counts microseconds
/// (`throttled_usec`), version 1 nanoseconds (`throttled_time`). `None` where the group has no quota to count.
pub(super) fn throttled_ns(cpu_stat: &str) -> Option<u64> {
    cpu_stat.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        let value: u64 = value.trim().parse().ok()?;
        match key {
            "throttled_usec" => value.checked_mul(1_000),
            "throttled_time" => Some(value),
            _ => None,
        }
    })
}

/// The `cpu.stat` files to look at for a process, from its `/proc/self/cgroup`: its own group and every group
/// above, since a quota anywhere on the way holds it back.
pub(super) fn cpu_stat_paths(cgroup: &str) -> Vec<String> {
    let v1 = cgroup.lines().find_map(|line| {
        let (controllers, group) = split_cgroup_line(line)?;
        let is_cpu = controllers.split(',').any(|controller| controller == "cpu");
        is_cpu.then_some(("/sys/fs/cgroup/cpu", group))
    });
    // A hybrid machine has the empty version 2 line too; the processor controller then lives in version 1.
    let v2 = || {
        cgroup.lines().find_map(|line| {
            let (controllers, group) = split_cgroup_line(line)?;
            controllers.is_empty().then_some(("/sys/fs/cgroup", group))
        })
    };
    let Some((mount, group)) = v1.or_else(v2) else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    let mut rest = group.trim_end_matches('/');
    loop {
        paths.push(format!("{mount}{rest}/cpu.stat"));
        let Some((parent, _)) = rest.rsplit_once('/') else {
            return paths;
        };
        rest = parent;
    }
}

/// `4:cpu,cpuacct:/group` as controllers and group.
fn split_cgroup_line(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    // A group outside of our namespace reads `/../…` and cannot be found under our mount.
    (group.starts_with('/') && !group.contains("/..")).then_some((controllers, group))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steal_is_the_eighth_column_and_guests_are_not_counted_twice() {
        let stat = "cpu  10 1 5 80 2 0 1 4 7 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(
            cpu_ticks(stat),
            Some(CpuTicks {
                steal: 4,
                total: 103
            })
        );
        assert_eq!(cpu_ticks("cpu  1 2 3 4\n"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn both_versions_of_control_groups_report_nanoseconds() {
        let v2 = "usage_usec 5\nnr_throttled 2\nthrottled_usec 1234\n";
        assert_eq!(throttled_ns(v2), Some(1_234_000));
        let v1 = "nr_periods 9\nnr_throttled 2\nthrottled_time 987\n";
        assert_eq!(throttled_ns(v1), Some(987));
        assert_eq!(throttled_ns("usage_usec 5\n"), None);
    }

    #[test]
    fn a_quota_anywhere_above_is_looked_at() {
        assert_eq!(
            cpu_stat_paths("0::/a.slice/b.scope\n"),
            [
                "/sys/fs/cgroup/a.slice/b.scope/cpu.stat",
                "/sys/fs/cgroup/a.slice/cpu.stat",
                "/sys/fs/cgroup/cpu.stat"
            ]
        );
        assert_eq!(cpu_stat_paths("0::/\n"), ["/sys/fs/cgroup/cpu.stat"]);
        assert_eq!(
            cpu_stat_paths("5:cpuset:/x\n4:cpu,cpuacct:/docker\n0::/y\n"),
            [
                "/sys/fs/cgroup/cpu/docker/cpu.stat",
                "/sys/fs/cgroup/cpu/cpu.stat"
            ]
        );
        assert!(cpu_stat_paths("0::/../outside\n").is_empty());
    }

    #[test]
    fn a_processor_is_named_on_every_architecture() {
        let intel = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(cpu_model(intel).as_deref(), Some("Some CPU @ 2 GHz"));
        let arm = "processor\t: 0\nCPU part\t: 0xd08\nModel\t\t: Board 4\n";
        assert_eq!(cpu_model(arm).as_deref(), Some("Board 4"));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(
            rss_bytes("VmPeak:\t 9 kB\nVmRSS:\t    20 kB\n"),
            Some(20_480)
        );
        assert_eq!(rss_bytes("Name:\tx\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_any_of_them_panic(text in "(cpu |VmRSS:|throttled_usec |0::/)?[ -~\n\t]{0,80}") {
            let _ = (cpu_ticks(&text), cpu_model(&text), rss_bytes(&text), throttled_ns(&text), cpu_stat_paths(&text));
        }
    }
}
