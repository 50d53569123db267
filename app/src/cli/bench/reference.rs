//! PyTorch's transformers, beside which benchmarks put their numbers.

use anyhow::{Context as _, bail};
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Of the same kind as the given ones: PyTorch has no Vulkan.
pub fn device(devices: &[String]) -> &'static str {
    if devices.iter().any(|name| name.starts_with("cuda")) { "cuda" } else { "cpu" }
}

/// Runs a script with the interpreter and reads what it prints, one JSON object a line.
pub fn run(python: &Path, script: &str, args: &[OsString]) -> anyhow::Result<Vec<Value>> {
    let mut child = Command::new(python)
        .arg("-")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", python.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).context("cannot give the script to Python")?;
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if !output.status.success() && rows.is_empty() {
        bail!("the reference failed ({}); it needs torch and transformers", output.status);
    }
    Ok(rows)
}
