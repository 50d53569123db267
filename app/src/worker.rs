//! The browser's model worker. What it does is in `spatial_ladder_app::browser`.

#[cfg(target_arch = "wasm32")]
fn main() {
    spatial_ladder_app::browser::model_worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("This program runs in a browser: build it with `trunk build --release`.");
    std::process::exit(2);
}
