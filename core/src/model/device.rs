//! Where to compute: `auto | cpu | wgpu | vulkan | cuda[:n]`.

use super::{ModelError, gpu};
use burn::tensor::Device;
use std::fmt;
use std::str::FromStr;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu),
            "vulkan" => Ok(Self::Vulkan),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").and_then(|index| index.parse().ok());
                index.map(Self::Cuda).ok_or_else(|| ModelError::Device {
                    name: text.to_owned(),
                    reason: "unknown; use auto, cpu, wgpu, vulkan, cuda or cuda:N".into(),
                })
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Wgpu => f.write_str("wgpu"),
            Self::Vulkan => f.write_str("vulkan"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The device, without autodiff.
    ///
    /// # Errors
    /// This build or this machine does not have it.
    pub fn open(self) -> Result<Device, ModelError> {
        match self {
            Self::Auto => Ok(best_gpu().unwrap_or_else(Device::flex)),
            Self::Cpu => Ok(Device::flex()),
            Self::Wgpu => gpu::wgpu(),
            Self::Vulkan => gpu::vulkan(),
            Self::Cuda(index) => gpu::cuda(index),
        }
    }
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
    gpu::describe(&device).unwrap_or_else(|| format!("{device:?}"))
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
