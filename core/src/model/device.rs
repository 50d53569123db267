//! Where to compute: `auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n]`.

use super::{ModelError, gpu, remote};
use burn::tensor::Device;
use std::fmt;
use std::str::FromStr;

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A real GPU when there is one and this build can use it, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// Any GPU, through whatever graphics interface the system has.
    Wgpu,
    Vulkan,
    /// The n-th CUDA GPU.
    Cuda(usize),
    /// The n-th device that another machine lends at `HOST:PORT`.
    Remote {
        address: String,
        index: usize,
    },
}

/// Something to compute on, for lists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// What to give to `--device`.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether `auto` picks it.
    pub default: bool,
}

impl FromStr for DeviceChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let fault = |reason: &str| ModelError::Device { name: text.to_owned(), reason: reason.to_owned() };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu),
            "vulkan" => Ok(Self::Vulkan),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                if let Some(place) = text.strip_prefix("remote:") {
                    return lent(place).ok_or_else(|| {
                        fault("expected remote:HOST:PORT, or remote:HOST:PORT/N for the N-th device there")
                    });
                }
                let index = text.strip_prefix("cuda:").and_then(|index| index.parse().ok());
                index.map(Self::Cuda).ok_or_else(|| {
                    fault("unknown; use auto, cpu, wgpu, vulkan, cuda, cuda:N or remote:HOST:PORT")
                })
            }
        }
    }
}

/// `HOST:PORT[/n]`.
fn lent(place: &str) -> Option<DeviceChoice> {
    let (address, index) = place.split_once('/').unwrap_or((place, "0"));
    let (host, port) = address.rsplit_once(':')?;
    let known = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    known.then_some(DeviceChoice::Remote { address: address.to_owned(), index: index.parse().ok()? })
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Wgpu => f.write_str("wgpu"),
            Self::Vulkan => f.write_str("vulkan"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Remote { address, index: 0 } => write!(f, "remote:{address}"),
            Self::Remote { address, index } => write!(f, "remote:{address}/{index}"),
        }
    }
}

impl DeviceChoice {
    /// The device, without autodiff.
    ///
    /// # Errors
    /// This build or this machine does not have it, or nobody lends it.
    pub fn open(&self) -> Result<Device, ModelError> {
        match self {
            Self::Auto => Ok(best_gpu().unwrap_or_else(Device::flex)),
            Self::Cpu => Ok(Device::flex()),
            Self::Wgpu => gpu::wgpu(),
            Self::Vulkan => gpu::vulkan(),
            Self::Cuda(index) => gpu::cuda(*index),
            Self::Remote { address, index } => remote::open(address, *index),
        }
    }
}

/// Devices by their names, separated by commas. The CPU may be named several times: it then computes several parts of a
/// batch side by side.
///
/// # Errors
/// One of them is not there, or a GPU is named twice.
pub fn open_all(names: &str) -> Result<Vec<Device>, ModelError> {
    let mut devices: Vec<Device> = Vec::new();
    for name in names.split(',').map(str::trim) {
        let device = name.parse::<DeviceChoice>()?.open()?;
        if device != Device::flex() && devices.contains(&device) {
            let reason = format!("named twice in {names}; name each GPU once");
            return Err(ModelError::Device { name: name.to_owned(), reason });
        }
        devices.push(device);
    }
    Ok(devices)
}

/// One line about a device, for logs and headings.
pub fn describe(device: &Device) -> String {
    let device = device.clone().without_autodiff();
    if device == Device::flex() {
        return format!(
            "CPU ({} threads)",
            std::thread::available_parallelism().map_or(1, |count| count.get())
        );
    }
    let elsewhere = || remote::describe(&device).unwrap_or_else(|| format!("{device:?}"));
    gpu::describe(&device).unwrap_or_else(elsewhere)
}

/// To how many tokens the sequences of a training step are rounded up. A graphics card compiles kernels for widths that it has
/// not met, which takes longer than computing some padding; the CPU has nothing to compile.
pub fn padding_multiple(device: &Device) -> usize {
    if is_cpu(device) { 1 } else { 32 }
}

pub fn is_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// Whether it is a CUDA GPU. Its name is all that a device tells of its runtime.
pub fn is_cuda(device: &Device) -> bool {
    format!("{device:?}").contains("Cuda")
}

/// Everything this build can compute on here. The first is what `auto` stands for: a real GPU if there
/// is one (software rasterisers are not listed), else the CPU.
pub fn list() -> Vec<DeviceInfo> {
    let cpu = DeviceInfo { name: "cpu".into(), description: describe(&Device::flex()), default: false };
    let mut devices = gpu::list();
    devices.push(cpu);
    devices[0].default = true;
    devices
}

fn best_gpu() -> Option<Device> {
    let choice: DeviceChoice = gpu::list().first()?.name.parse().ok()?;
    match choice.open() {
        Ok(device) => Some(device),
        Err(error) => {
            log::warn!("{error}; computing on the CPU instead");
            None
        }
    }
}

/// What `work` returns, or what it said as it panicked: Burn has no other way to tell that a device is lost or has no memory
/// left. Only some of its calls return errors, and not where memory runs out. Bugs are caught with that, and told in their
/// words.
pub fn unless_it_panics<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    // What was half done is not to be used again: a run goes on from its checkpoint, and who answers loads the model anew.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|said| {
        let text = said.downcast_ref::<String>().map(String::as_str).or(said.downcast_ref::<&str>().copied());
        text.unwrap_or("it did not say why").replace('\n', " ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_faults_are_named() {
        for name in
            ["auto", "cpu", "wgpu", "vulkan", "cuda:0", "cuda:3", "remote:gpu:3000", "remote:[::1]:3000/2"]
        {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for name in [
            "abacus",
            "cuda:x",
            "remote:",
            "remote:gpu",
            "remote:gpu:70000",
            "remote::3000",
            "remote:gpu:1/x",
        ] {
            let error = name.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("remote:HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn several_devices_are_opened_in_their_order() {
        assert_eq!(open_all("cpu, cpu").unwrap(), [Device::flex(), Device::flex()]);
        assert!(open_all("cpu,").is_err());
    }
}
