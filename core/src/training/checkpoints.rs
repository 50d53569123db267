//! Checkpoints: a folder with weights, optimizer state and position, complete or absent. It is built
//! under a temporary name, synced and renamed, and carries a checksum of every file.

use super::TrainError;
use crate::samples::files::{PartialDir, remove_leftover};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `state.json` of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Optimizer steps done.
    step: u64,
    /// CRC-32 of every other file.
    checksums: BTreeMap<String, u32>,
}

/// Writes a checkpoint named after `step`; `write` fills its folder. Older ones beyond `keep` are removed.
pub fn save(
    checkpoints: &Path,
    step: u64,
    keep: usize,
    write: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<PathBuf, TrainError> {
    let target = checkpoints.join(format!("step_{step:06}"));
    if target.exists() {
        // A damaged one of the same step, which resuming passed over.
        std::fs::remove_dir_all(&target).map_err(TrainError::io(&target))?;
    }
    let partial = PartialDir::create(&target)?;
    write(partial.path())?;
    let mut checksums = BTreeMap::new();
    for entry in std::fs::read_dir(partial.path()).map_err(TrainError::io(partial.path()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue; // the lock of the folder under construction
        }
        let bytes = std::fs::read(entry.path()).map_err(TrainError::io(entry.path()))?;
        checksums.insert(name, crc32fast::hash(&bytes));
    }
    let state = serde_json::to_vec_pretty(&State { step, checksums }).unwrap_or_default();
    let path = partial.path().join("state.json");
    std::fs::write(&path, state).map_err(TrainError::io(&path))?;
    for entry in std::fs::read_dir(partial.path()).map_err(TrainError::io(partial.path()))?.flatten() {
        // The folder gets its name when its files are on the disk, not before.
        let file = std::fs::File::options().write(true).open(entry.path());
        file.and_then(|file| file.sync_all()).map_err(TrainError::io(entry.path()))?;
    }
    partial.finish()?;
    // Those of later steps are damaged, and were passed over: they do not count among the kept.
    let written = list(checkpoints).into_iter().filter(|(of, _)| *of <= step);
    for (_, old) in written.skip(keep.max(1)) {
        // Failing to tidy up must not stop a training run; the next checkpoint tries again.
        if let Err(error) = std::fs::remove_dir_all(&old) {
            log::warn!("{}: cannot remove this old checkpoint: {error}", old.display());
        }
    }
    Ok(target)
}

/// All checkpoints by their names, newest first.
fn list(checkpoints: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(checkpoints)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let step = entry.file_name().to_str()?.strip_prefix("step_")?.parse().ok()?;
            Some((step, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// The newest checkpoint whose files are as they were written, and what is wrong with those passed over.
pub fn newest(checkpoints: &Path) -> (Option<(u64, PathBuf)>, Vec<TrainError>) {
    let mut damaged = Vec::new();
    for (step, path) in list(checkpoints) {
        match verify(&path) {
            Ok(()) => return (Some((step, path)), damaged),
            Err(message) => damaged.push(TrainError::Checkpoint {
                path,
                message: format!("{message}. The checkpoint before it is used where there is one"),
            }),
        }
    }
    (None, damaged)
}

/// The step of the newest checkpoint, whole or not.
pub fn newest_step(checkpoints: &Path) -> Option<u64> {
    list(checkpoints).first().map(|(step, _)| *step)
}

/// Removes what a killed process left of checkpoints that it did not finish, whose steps may never be written again.
pub fn clear_unfinished(checkpoints: &Path) {
    for entry in std::fs::read_dir(checkpoints).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "partial")
            && let Err(error) = remove_leftover(&path)
        {
            log::warn!("this unfinished checkpoint stays: {error}");
        }
    }
}

fn verify(path: &Path) -> Result<(), String> {
    let text =
        std::fs::read_to_string(path.join("state.json")).map_err(|error| format!("state.json: {error}"))?;
    let state: State = serde_json::from_str(&text).map_err(|error| format!("state.json: {error}"))?;
    for (name, expected) in &state.checksums {
        let bytes = std::fs::read(path.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if crc32fast::hash(&bytes) != *expected {
            return Err(format!("{name} is damaged (its checksum differs)"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &'static str) -> impl FnOnce(&Path) -> Result<(), TrainError> {
        move |dir| std::fs::write(dir.join("model.safetensors"), text).map_err(TrainError::io(dir))
    }

    #[test]
    fn the_newest_whole_checkpoint_is_found_and_damage_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(newest(dir.path()).0.is_none());
        for (step, text) in [(1, "one"), (2, "two"), (3, "three")] {
            save(dir.path(), step, 2, write(text)).expect("saved");
        }
        assert_eq!(list(dir.path()).iter().map(|found| found.0).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(newest(dir.path()).0.map(|found| found.0), Some(3));
        std::fs::write(dir.path().join("step_000003/model.safetensors"), "thr").expect("cut");
        let (found, damaged) = newest(dir.path());
        assert_eq!(found.map(|found| found.0), Some(2));
        assert!(damaged[0].to_string().contains("model.safetensors is damaged"), "{}", damaged[0]);
        std::fs::write(dir.path().join("step_000002/model.safetensors"), "tw").expect("cut");
        assert!(newest(dir.path()).0.is_none());
        save(dir.path(), 1, 1, write("one again")).expect("written though later ones are damaged");
        assert_eq!(newest(dir.path()).0.map(|found| found.0), Some(1));
        save(dir.path(), 3, 2, write("three again")).expect("written over the damaged one");
        assert_eq!(newest(dir.path()).0.map(|found| found.0), Some(3));
    }

    #[test]
    fn unfinished_checkpoints_are_cleared_away() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        save(dir.path(), 3, 2, write("three")).expect("saved");
        std::fs::create_dir(dir.path().join("step_000004.partial")).expect("made");
        clear_unfinished(dir.path());
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1);
        assert_eq!(newest_step(dir.path()), Some(3));
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let failed = save(dir.path(), 5, 2, |_| Err(TrainError::Data("disk full".into())));
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
    }
}
