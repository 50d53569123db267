#!/bin/sh
# Installs what `trunk build --release` needs beside Rust itself, unless it is there already.
# The browser test also needs Chromium and Node 18 or later (Debian: apt-get install chromium nodejs npm).
set -eu

# As in rust-toolchain.toml and Cargo.lock: both refuse to work with another version.
WASM_BINDGEN=0.2.126
# The last line of trunk that builds with our Rust; 0.22 wants a newer one.
TRUNK=0.21.14

# A folder that survives, so that an interrupted install goes on where it stopped. Unoptimised: the
# tools run for seconds and would take three times as long to build.
export CARGO_TARGET_DIR="${TOOLS_TARGET_DIR:-${HOME}/.cache/spatial-ladder-tools}"

rustup target add wasm32-unknown-unknown
case "$(wasm-bindgen --version 2>/dev/null || true)" in
  "wasm-bindgen ${WASM_BINDGEN}") ;;
  *) cargo install wasm-bindgen-cli --version "${WASM_BINDGEN}" --locked --debug --force ;;
esac
case "$(trunk --version 2>/dev/null || true)" in
  "trunk ${TRUNK}"*) ;;
  # Without its default features: they are for downloading tools, which Trunk.toml makes unnecessary.
  *) cargo install trunk --version "${TRUNK}" --locked --no-default-features --debug --force ;;
esac
