//! The program's parts, as a library so that whole-program tests can drive them.

pub mod browser;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
#[cfg(all(feature = "window", not(target_arch = "wasm32")))]
pub mod window;
