//! Devices of other machines, over Burn's own protocol for them: operations go there one after the other, and only what
//! is read comes back. Automatic differentiation and the optimizer's decisions stay here.
//!
//! The transport is WebSocket, which is neither encrypted nor guarded: a server listens on its own machine unless told
//! otherwise, and an SSH tunnel carries the port to another.

#[cfg(all(feature = "remote", not(target_arch = "wasm32")))]
pub use network::serve;
#[cfg(all(feature = "remote", not(target_arch = "wasm32")))]
pub(super) use network::{describe, open};
#[cfg(not(all(feature = "remote", not(target_arch = "wasm32"))))]
pub use without::serve;
#[cfg(not(all(feature = "remote", not(target_arch = "wasm32"))))]
pub(super) use without::{describe, open};

#[cfg(all(feature = "remote", not(target_arch = "wasm32")))]
mod network {
    use crate::model::device::DeviceChoice;
    use crate::model::{Device, ModelError};
    use burn::remote::{ConnectError, RemoteHost};
    use burn::server::{RemoteServer, WebSocketTransport};
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// What was connected, by the names that it was asked for.
    static CONNECTED: Mutex<Vec<(Device, String)>> = Mutex::new(Vec::new());

    /// Connects the device that is lent at `HOST:PORT`, counted from 0.
    pub fn open(address: &str, index: usize) -> Result<Device, ModelError> {
        let name = DeviceChoice::Remote { address: address.to_owned(), index }.to_string();
        let host = RemoteHost::websocket(&format!("ws://{address}"));
        let device = Device::remote_options(&host).device_index(index).init().map_err(|error| {
            let remedy = match &error {
                ConnectError::NoSuchDevice { .. } => "count from 0".to_owned(),
                ConnectError::IncompatibleProtocol { .. } => {
                    "run the same version of this program on both machines".to_owned()
                }
                _ => {
                    let port = address.rsplit_once(':').map_or("PORT", |(_, port)| port);
                    format!(
                        "start `spatial-ladder serve-device --port {port}` there, and see that the port can be \
                         reached from here"
                    )
                }
            };
            ModelError::Device { name: name.clone(), reason: format!("{error}; {remedy}") }
        })?;
        let mut connected = CONNECTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !connected.iter().any(|(known, _)| *known == device) {
            connected.push((device.clone(), name));
        }
        Ok(device)
    }

    /// A line about a device that was connected here.
    pub fn describe(device: &Device) -> Option<String> {
        let connected = CONNECTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        connected.iter().find(|(known, _)| known == device).map(|(_, name)| format!("device lent at {name}"))
    }

    /// Lends `devices` to whoever connects to `listener`, until `stop` is set. A client picks one by its place in the
    /// list. GPUs of several kinds can be lent together, but not with the CPU.
    ///
    /// # Errors
    /// Devices that cannot be lent together, or the network fails.
    pub fn serve(devices: Vec<Device>, listener: TcpListener, stop: &AtomicBool) -> Result<(), ModelError> {
        let fault = |reason: String| ModelError::Device { name: "serve-device".into(), reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| fault(format!("no threads for the network: {error}")))?;
        let server = RemoteServer::new(devices);
        let serving = runtime.spawn(server.serve_async(WebSocketTransport::from_listener(listener)));
        while !stop.load(Ordering::Relaxed) && !serving.is_finished() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let ended = serving.is_finished().then(|| runtime.block_on(serving));
        runtime.shutdown_background();
        match ended {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(fault(error.to_string())),
            Some(Err(error)) => Err(fault(format!("the server ended: {error}"))),
        }
    }
}

#[cfg(not(all(feature = "remote", not(target_arch = "wasm32"))))]
mod without {
    use crate::model::device::DeviceChoice;
    use crate::model::{Device, ModelError};
    use std::net::TcpListener;
    use std::sync::atomic::AtomicBool;

    pub fn open(address: &str, index: usize) -> Result<Device, ModelError> {
        Err(not_built(DeviceChoice::Remote { address: address.to_owned(), index }.to_string()))
    }

    pub fn describe(_: &Device) -> Option<String> {
        None
    }

    /// Lends devices, in a program that was built to.
    ///
    /// # Errors
    /// Always.
    pub fn serve(_: Vec<Device>, _: TcpListener, _: &AtomicBool) -> Result<(), ModelError> {
        Err(not_built("serve-device".into()))
    }

    fn not_built(name: String) -> ModelError {
        let reason = "this program was built without it; build with `--features remote`".into();
        ModelError::Device { name, reason }
    }
}

#[cfg(all(test, feature = "remote", not(target_arch = "wasm32")))]
pub mod tests {
    use super::*;
    use crate::model::qwen2_5_vl::SpecialTokens;
    use crate::model::{Device, ModelInput, Qwen2_5Vl, Qwen2_5VlConfig};
    use crate::processor::{Encoded, PixelPatches};
    use std::net::TcpListener;
    use std::sync::atomic::AtomicBool;

    /// The CPU of this machine, lent to itself by a server that runs until the tests end.
    pub fn loopback() -> Device {
        static STOP: AtomicBool = AtomicBool::new(false);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || serve(vec![Device::flex()], listener, &STOP).unwrap());
        open(&address, 0).unwrap()
    }

    #[test]
    fn a_lent_device_gives_the_logits_of_this_one() {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        let patches = PixelPatches {
            data: (0..16 * 588).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect(),
            grid_thw: [1, 4, 4],
            seconds_per_grid: None,
            original_size: (56, 56),
            resized_size: (56, 56),
        };
        let mut token_ids = vec![10, 3, 5, 5, 5, 5, 4];
        token_ids.extend(20..40);
        let encoded = Encoded { token_ids, images: vec![patches], answer_spans: Vec::new() };
        let logits = |device: &Device| {
            let model = Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(120, &tokens), None, 1, device).unwrap();
            let images: Vec<_> = encoded.images.iter().collect();
            let input = ModelInput::batch(&[&encoded], model.config(), device)
                .unwrap()
                .with_images(model.encode_images(&images).unwrap());
            let logits = model.logits(model.hidden(&input, None));
            logits.into_data().iter::<f32>().collect::<Vec<_>>()
        };
        let lent = loopback();
        assert!(lent != Device::flex() && describe(&lent).unwrap().contains("remote:127.0.0.1:"));
        let (here, there) = (logits(&Device::flex()), logits(&lent));
        let apart = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(here.len() == there.len() && apart < 1e-4, "{apart}");
        assert!(here.iter().any(|logit| logit.abs() > 1e-2));
    }

    #[test]
    fn who_lends_nothing_is_named_with_the_remedy() {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = open(&format!("127.0.0.1:{port}"), 0).err().unwrap().to_string();
        assert!(error.contains(&format!("serve-device --port {port}")), "{error}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        static STOP: AtomicBool = AtomicBool::new(false);
        std::thread::spawn(move || serve(vec![Device::flex()], listener, &STOP).unwrap());
        let error = open(&address, 1).err().unwrap().to_string();
        assert!(error.contains("only 1 device") && error.contains("count from 0"), "{error}");
    }
}
