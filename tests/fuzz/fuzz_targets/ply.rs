//! A mesh of any bytes: it is refused, or sound, and then survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spatial_ladder::scenes::ply;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.ply");
    let Ok(mesh) = ply::parse(path, bytes) else { return };
    assert!(mesh.vertices.iter().all(|vertex| vertex.is_finite()));
    assert!(mesh.triangles.iter().flatten().all(|&corner| (corner as usize) < mesh.vertices.len()));
    assert!(mesh.colors.as_ref().is_none_or(|colors| colors.len() == mesh.vertices.len()));
    let again = ply::parse(path, &ply::to_bytes(&mesh));
    assert_eq!(again.ok().as_ref(), Some(&mesh), "what is written is read back");
});
