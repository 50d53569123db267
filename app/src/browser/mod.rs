//! The browser page and the worker that runs the model for it.
//!
//! Two WebAssembly modules that only talk by message: the page draws, and computes only what is soon done (a
//! generated room, the decoding of a picture of limited size); the worker computes and never draws. A fault
//! in the model, in Burn or in a GPU driver therefore cannot freeze or crash the page, and the page can
//! start a new worker on another device.
//!
//! ```text
//! page:    session (state) ─ app (drawing) ─ link (the worker) ─ hook (for tests)
//! worker:  model_worker (messages) ─ device (WebGPU or CPU) ─ fetch (the model's files)
//! both:    protocol
//! ```

pub mod protocol;
pub mod session;

#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod app;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod hook;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod link;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub mod page;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod picture;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod picture_file;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod samples;
/// The window's look.
#[cfg(all(target_arch = "wasm32", feature = "web"))]
#[path = "../window/theme.rs"]
pub mod theme;

#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod device;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod fetch;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod model_worker;
