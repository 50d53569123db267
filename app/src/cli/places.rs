//! Where things are that may have been moved since.

use std::path::Path;

/// Whether a path of now is what another was when a run was begun: the same folder, or where that is no more one whose path
/// ends in the same `names`.
pub fn same_place(now: &Path, then: &Path, names: usize) -> bool {
    let end = |path: &Path| path.iter().rev().take(names).map(ToOwned::to_owned).collect::<Vec<_>>();
    match (now.canonicalize(), then.canonicalize()) {
        (Ok(now), Ok(then)) => now == then,
        (Ok(_), Err(_)) => end(now) == end(then),
        _ => now == then,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| dir.path().join(name).join("perception/model"));
        std::fs::create_dir_all(&one).unwrap();
        assert!(same_place(&one, &one.join("../model"), 2));
        assert!(same_place(&one, Path::new("gone/perception/model"), 2));
        assert!(!same_place(&one, Path::new("gone/understanding/model"), 2));
        std::fs::create_dir_all(&other).unwrap();
        assert!(!same_place(&one, &other, 2));
        // The bundled model is no folder.
        assert!(same_place(Path::new("tiny"), Path::new("tiny"), 2));
        assert!(!same_place(&one, Path::new("tiny"), 2) && !same_place(Path::new("tiny"), &one, 2));
    }
}
