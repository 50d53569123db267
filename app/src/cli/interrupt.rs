//! Ctrl-C: long work looks at a flag and ends cleanly; a second Ctrl-C ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The flag that Ctrl-C (or a request to terminate) sets. The same flag at every call.
pub fn flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let shared = flag.clone();
        let installed = ctrlc::set_handler(move || {
            if shared.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping after the work under way… (Ctrl-C again ends at once)");
        });
        if let Err(error) = installed {
            log::warn!("Ctrl-C cannot be caught: {error}");
        }
        flag
    })
    .clone()
}
