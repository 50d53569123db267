//! What this machine can do, and what this process takes: the yardsticks of the benchmarks.

use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// The most memory that this process has ever held, or since [`forget_peak_memory`], MiB, mapped files included; `None`
/// where the system does not tell.
pub fn peak_memory_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// From here on [`peak_memory_mib`] tells of what comes; where the system refuses, still of all that was.
pub fn forget_peak_memory() {
    // Linux: 5 sets the peak to what is held now.
    std::fs::write("/proc/self/clear_refs", "5").ok();
}

/// The memory that this process holds now, MiB, mapped files left out; `None` where the system does not tell.
pub fn own_memory_mib() -> Option<f64> {
    status_mib("RssAnon:")
}

/// Linux tells in `/proc/self/status`, in KiB.
fn status_mib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

/// Bytes that all threads together read from memory in a second: the best of five sums over 512 MiB.
pub fn memory_bytes_per_second() -> f64 {
    let data = vec![1_u64; 1 << 26];
    let sum = || {
        data.par_chunks(1 << 16).map(|chunk| chunk.iter().fold(0_u64, |a, b| a.wrapping_add(*b))).sum::<u64>()
    };
    (data.len() * 8) as f64 / best_of(5, || black_box(sum()))
}

/// The shortest time, seconds, that `work` took.
pub fn best_of<R>(times: usize, mut work: impl FnMut() -> R) -> f64 {
    let time = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..times).map(time).fold(f64::INFINITY, f64::min)
}
