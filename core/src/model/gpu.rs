//! GPUs, as far as this build and this machine have them. Software rasterisers (llvmpipe, SwiftShader)
//! call themselves Vulkan devices too, but are slower than the CPU backend: they are never listed, and
//! opened only when asked for by name.

use super::ModelError;
use super::device::{DeviceChoice, DeviceInfo};
use burn::tensor::Device;

/// The real GPUs, best first.
pub fn list() -> Vec<DeviceInfo> {
    let info = |(choice, description): (DeviceChoice, String)| DeviceInfo {
        name: choice.to_string(),
        description,
        default: false,
    };
    cuda_gpus().into_iter().chain(graphics_gpu()).map(info).collect()
}

#[cfg(feature = "cuda")]
fn cuda_gpus() -> Vec<(DeviceChoice, String)> {
    let count = Device::enumerate(burn::tensor::DeviceType::Cuda).iter().count();
    (0..count).map(|index| (DeviceChoice::Cuda(index), format!("CUDA GPU {index}"))).collect()
}

#[cfg(not(feature = "cuda"))]
fn cuda_gpus() -> Vec<(DeviceChoice, String)> {
    Vec::new()
}

#[cfg(all(feature = "wgpu", not(target_arch = "wasm32")))]
fn graphics_gpu() -> Option<(DeviceChoice, String)> {
    let choice = if cfg!(feature = "vulkan") { DeviceChoice::Vulkan } else { DeviceChoice::Wgpu };
    graphics::best().map(|(_, description)| (choice, description.clone()))
}

#[cfg(not(all(feature = "wgpu", not(target_arch = "wasm32"))))]
fn graphics_gpu() -> Option<(DeviceChoice, String)> {
    None
}

/// A line about a GPU that was opened here.
pub fn describe(device: &Device) -> Option<String> {
    #[cfg(all(feature = "wgpu", not(target_arch = "wasm32")))]
    if let Some((_, description)) = graphics::best().filter(|(opened, _)| opened == device) {
        return Some(description.clone());
    }
    super::device::is_cuda(device).then(|| "CUDA GPU".to_owned())
}

#[cfg(feature = "cuda")]
pub fn cuda(index: usize) -> Result<Device, ModelError> {
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).iter().count();
    if index < found {
        return Ok(Device::cuda(index));
    }
    let reason = match found {
        0 => "no CUDA GPU was found; use --device auto or --device cpu".to_owned(),
        _ => format!("only {found} CUDA GPUs were found, counted from 0"),
    };
    Err(ModelError::Device { name: DeviceChoice::Cuda(index).to_string(), reason })
}

#[cfg(not(feature = "cuda"))]
pub fn cuda(index: usize) -> Result<Device, ModelError> {
    Err(not_built(DeviceChoice::Cuda(index), "cuda"))
}

#[cfg(all(feature = "wgpu", not(target_arch = "wasm32")))]
pub fn wgpu() -> Result<Device, ModelError> {
    graphics::open(DeviceChoice::Wgpu)
}

#[cfg(not(all(feature = "wgpu", not(target_arch = "wasm32"))))]
pub fn wgpu() -> Result<Device, ModelError> {
    Err(not_built(DeviceChoice::Wgpu, "wgpu"))
}

#[cfg(all(feature = "vulkan", not(target_arch = "wasm32")))]
pub fn vulkan() -> Result<Device, ModelError> {
    graphics::open(DeviceChoice::Vulkan)
}

#[cfg(not(all(feature = "vulkan", not(target_arch = "wasm32"))))]
pub fn vulkan() -> Result<Device, ModelError> {
    Err(not_built(DeviceChoice::Vulkan, "vulkan"))
}

#[cfg(not(all(feature = "cuda", feature = "vulkan")))]
fn not_built(choice: DeviceChoice, feature: &str) -> ModelError {
    ModelError::Device {
        name: choice.to_string(),
        reason: format!(
            "this program was built without it; build with `--features {feature}`, or use --device cpu"
        ),
    }
}

/// Adapters through wgpu. A runtime can be set up once only, so what was opened is kept.
#[cfg(all(feature = "wgpu", not(target_arch = "wasm32")))]
mod graphics {
    use super::*;
    use burn::tensor::DeviceKind;
    use burn::tensor::wgpu::{WgpuBackend, WgpuOptions};
    use std::sync::OnceLock;

    type Opened = Option<(Device, String)>;

    /// The best real GPU.
    pub fn best() -> Option<&'static (Device, String)> {
        static BEST: OnceLock<Opened> = OnceLock::new();
        BEST.get_or_init(|| {
            let kinds = [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0)];
            kinds.into_iter().find_map(setup)
        })
        .as_ref()
    }

    pub fn open(choice: DeviceChoice) -> Result<Device, ModelError> {
        best().map(|(device, _)| device.clone()).ok_or_else(|| ModelError::Device {
            name: choice.to_string(),
            reason: "no graphics card with a driver was found, and drivers that draw in software are not computed on \
                     (Mesa 22.3 crashes on these kernels); use --device cpu"
                .into(),
        })
    }

    fn setup(kind: DeviceKind) -> Opened {
        let api = if cfg!(feature = "vulkan") && !cfg!(target_os = "macos") {
            WgpuBackend::Vulkan
        } else {
            WgpuBackend::Auto
        };
        let (device, setup) =
            WgpuOptions::default().device_kind(kind).graphics_api(api).init_with_setup().ok()?;
        let info = setup.adapter.get_info();
        let name = info.name.to_lowercase();
        let software =
            ["llvmpipe", "lavapipe", "swiftshader", "basic render"].iter().any(|part| name.contains(part));
        (!software).then(|| (device, format!("{} ({:?})", info.name, info.backend)))
    }
}
