//! Writes generated rooms as scan folders, reads them back and prints what was read, to be compared with another
//! reader's view of the same folders (`tests/scenezoo/compare.py`):
//! `cargo run --release --no-default-features -p spatial-ladder-core --example write_scans -- OUT COUNT [--json]`

use serde_json::{Value, json};
use spatial_ladder::geometry::{Intrinsics, Pose};
use spatial_ladder::scenes::scan::{Scan, ScanOptions, ScanSource};
use spatial_ladder::scenes::scannet;
use spatial_ladder::scenes::scannet::write::{Frames, write};
use spatial_ladder::scenes::{rooms, scannet_intrinsics, walk};
use std::error::Error;
use std::path::Path;

/// Width and height of the colour pictures.
const SIZE: (u32, u32) = (324, 242);
const FRAMES_PER_SECOND: f32 = 4.0;
const SECONDS: f32 = 2.0;
/// Every how many-th colour pixel is printed, along the rows.
const COLOR_STRIDE: usize = 97;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let [out, count, ..] = arguments.as_slice() else {
        return Err("usage: write_scans OUT COUNT [--json]".into());
    };
    let out = Path::new(out).join("scannet/scans");
    write_scannet(&out, count.parse()?)?;
    if json {
        println!("{}", json!({ "scannet": read_back(&scannet::source(&out, ScanOptions::default())?)? }));
    }
    Ok(())
}

/// Scans `scene0000_00`, … in all ways of keeping frames in turn.
fn write_scannet(out: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let ways = [
        Frames::Sens { color_compression: 2, depth_compression: 1 },
        Frames::Sens { color_compression: 1, depth_compression: 1 },
        Frames::Sens { color_compression: 0, depth_compression: 0 },
        Frames::Exported,
    ];
    std::fs::create_dir_all(out)?;
    for index in 0..count {
        let mut scene = rooms::generate(0, index, &rooms::RoomOptions::default());
        scene.name = format!("scene{index:04}_00");
        scene.cameras = walk(&scene, scannet_intrinsics(SIZE.0, SIZE.1), FRAMES_PER_SECOND, SECONDS, index);
        write(&scene, out, ways[index as usize % ways.len()])?;
        eprintln!("{}: {} objects, {} frames", scene.name, scene.objects.len(), scene.cameras.len());
    }
    Ok(())
}

/// All scans of a source as JSON, by name.
fn read_back(source: &dyn ScanSource) -> Result<Value, Box<dyn Error>> {
    let mut scans = serde_json::Map::new();
    for index in 0..source.folders().len() {
        let scan = source.open(index)?;
        scans.insert(scan.scene().name.clone(), describe(scan.as_ref())?);
    }
    Ok(Value::Object(scans))
}

/// Objects, cameras and pictures of a scan. Depth in millimetres.
fn describe(scan: &dyn Scan) -> Result<Value, Box<dyn Error>> {
    let scene = scan.scene();
    let objects: Vec<Value> = scene
        .objects
        .iter()
        .map(|object| {
            let (low, high) = object.bounds.world_bounds();
            json!({ "id": object.id, "label": object.category, "low": low, "high": high })
        })
        .collect();
    let mut frames = Vec::new();
    for (i, camera) in scene.cameras.iter().enumerate() {
        let frame = scan.frame(i)?;
        let depth = frame.depth.map(|depth| {
            let millimetres: Vec<u32> = depth.metres.iter().map(|m| (m * 1000.0).round() as u32).collect();
            json!({ "width": depth.width, "height": depth.height, "millimetres": millimetres })
        });
        let color: Vec<[u8; 3]> = frame.color.pixels().step_by(COLOR_STRIDE).map(|pixel| pixel.0).collect();
        frames.push(json!({
            "camera_to_world": matrix(&camera.pose),
            "intrinsics": intrinsics(&camera.intrinsics),
            "time": camera.time,
            "color_stride": COLOR_STRIDE,
            "color": color,
            "depth": depth,
        }));
    }
    Ok(json!({
        "objects": objects,
        "frames": frames,
        "vertices": scan.mesh().vertices.len(),
        "triangles": scan.mesh().triangles.len(),
        "warnings": scan.warnings(),
    }))
}

/// Four rows of a 4×4 matrix.
fn matrix(pose: &Pose) -> Value {
    let rotation = glam::Mat3::from_quat(pose.rotation);
    let row = |i: usize| [rotation.row(i).x, rotation.row(i).y, rotation.row(i).z, pose.translation[i]];
    json!([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]])
}

/// As the reader gives them.
fn intrinsics(camera: &Intrinsics) -> Value {
    json!({
        "width": camera.width, "height": camera.height,
        "fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy,
    })
}
