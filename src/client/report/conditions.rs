//! The machine that a run's figures depend on.

use std::env::consts;
use std::fs;
use std::thread;

use serde::Serialize;

/// The machine that this client ran on.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    pub os: String,
    pub arch: String,
    /// The release of the kernel, if the system reports it.
    pub kernel: Option<String>,
    /// The model of the processor, if the system reports it.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub logical_cpus: Option<u64>,
}

impl Conditions {
    /// The conditions of this machine.
    pub fn here() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            os: consts::OS.into(),
            arch: consts::ARCH.into(),
            kernel: release.map(|text| text.trim().into()),
            cpu: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model(&text)),
            logical_cpus: thread::available_parallelism().ok().map(|n| n.get() as u64),
        }
    }
}

/// The model of the first processor in the text of /proc/cpuinfo, see proc(5). Some architectures name none.
fn model(cpuinfo: &str) -> Option<String> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().into())
    };
    cpuinfo.lines().find_map(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_gives_its_model() {
        let text =
            "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2.80GHz\n\nmodel name : B";
        assert_eq!(model(text), Some("Some CPU @ 2.80GHz".into()));
        assert_eq!(model("processor : 0\nBogoMIPS : 50.00\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let here = Conditions::here();
        assert!(
            here.kernel.is_some_and(|release| release.starts_with(|c: char| c.is_ascii_digit()))
        );
        assert!(here.logical_cpus >= Some(1));
    }
}
