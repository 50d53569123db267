//! The browser page. What it does is in `spatial_ladder_app::browser`.

#[cfg(target_arch = "wasm32")]
fn main() {
    spatial_ladder_app::browser::page::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("This program runs in a browser: build it with `trunk build --release`.");
    std::process::exit(2);
}
