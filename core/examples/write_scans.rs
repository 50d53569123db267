//! Writes generated rooms as scan folders of every format, reads them back and prints what was read, to be compared
//! with another reader's view of the same folders (`tests/scenezoo/compare.py`):
//! `cargo run --release --no-default-features -p spatial-ladder-core --example write_scans -- OUT COUNT`

use glam::{Mat3, Quat, Vec3};
use serde_json::{Value, json};
use spatial_ladder::scan_writers;
use spatial_ladder::scan_writers::scannet::Frames;
use spatial_ladder::scenes::scan::{Scan, ScanOptions, ScanSource};
use spatial_ladder::scenes::{
    Camera, Scene, arkitscenes, rooms, scannet, scannet_intrinsics, scannetpp, walk,
};
use std::error::Error;
use std::path::Path;

/// Width and height of the pictures: those of ARKitScenes' depth.
const SIZE: (u32, u32) = (256, 192);
const FRAMES_PER_SECOND: f32 = 5.0;
const SECONDS: f32 = 2.0;
/// Every how many-th colour pixel is printed, along the rows.
const COLOR_STRIDE: usize = 97;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, count] = arguments.as_slice() else {
        return Err("usage: write_scans OUT COUNT".into());
    };
    let (out, count) = (Path::new(out), count.parse()?);
    let [scannet_at, arkit_at, plus_at] =
        ["scannet/scans", "arkitscenes/raw/Training", "scannetpp"].map(|folder| out.join(folder));
    write_scannet(&scannet_at, count)?;
    write_arkitscenes(&arkit_at, count)?;
    for index in 0..count {
        scan_writers::scannetpp::write(&room(&format!("{index:010x}"), index), &plus_at)?;
    }
    let options = ScanOptions::default();
    let read = json!({
        "scannet": read_back(&scannet::source(&scannet_at, options)?)?,
        "arkitscenes": read_back(&arkitscenes::source(&arkit_at, options)?)?,
        "scannetpp": read_back(&scannetpp::source(&plus_at, options)?)?,
    });
    println!("{read}");
    Ok(())
}

fn room(name: &str, index: u64) -> Scene {
    let mut scene = rooms::generate(0, index, &rooms::RoomOptions::default());
    scene.name = name.to_owned();
    scene.cameras = walk(&scene, scannet_intrinsics(SIZE.0, SIZE.1), FRAMES_PER_SECOND, SECONDS, index);
    scene
}

/// In all ways of keeping frames in turn.
fn write_scannet(folder: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let ways = [
        Frames::Sens { color_compression: 2, depth_compression: 1 },
        Frames::Sens { color_compression: 1, depth_compression: 1 },
        Frames::Sens { color_compression: 0, depth_compression: 0 },
        Frames::Exported,
    ];
    for index in 0..count {
        let way = ways[index as usize % ways.len()];
        scan_writers::scannet::write(&room(&format!("scene{index:04}_00"), index), folder, way)?;
    }
    Ok(())
}

/// Held in all four ways in turn, as the table beside the recordings says.
fn write_arkitscenes(folder: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let mut table = "video_id,visit_id,fold,sky_direction\n".to_owned();
    for index in 0..count {
        let name = (41_000_000 + index).to_string();
        let mut scene = room(&name, index);
        let quarters = index as usize % 4;
        scene.cameras = scene.cameras.into_iter().map(|camera| held(camera, quarters)).collect();
        scan_writers::arkitscenes::write(&scene, folder)?;
        table.push_str(&format!("{name},1,Training,{}\n", ["Up", "Left", "Down", "Right"][quarters]));
    }
    std::fs::write(folder.join("../metadata.csv"), table)?;
    Ok(())
}

/// The camera turned clockwise about its line of sight, so that the sky wanders to the left of the picture.
fn held(mut camera: Camera, quarters: usize) -> Camera {
    let quarter = Mat3::from_cols(Vec3::Y, Vec3::NEG_X, Vec3::Z);
    for _ in 0..quarters {
        let k = &mut camera.intrinsics;
        (k.cx, k.cy) = (k.cy, k.width as f32 - k.cx);
        (k.width, k.height) = (k.height, k.width);
        (k.fx, k.fy) = (k.fy, k.fx);
        let rotation = Mat3::from_quat(camera.pose.rotation) * quarter;
        camera.pose.rotation = Quat::from_mat3(&rotation).normalize();
    }
    camera
}

/// All scans of a source, by name.
fn read_back(source: &dyn ScanSource) -> Result<Value, Box<dyn Error>> {
    let mut scans = serde_json::Map::new();
    for index in 0..source.folders().len() {
        let scan = source.open(index)?;
        scans.insert(scan.scene().name.clone(), describe(scan.as_ref())?);
    }
    Ok(Value::Object(scans))
}

/// Objects, surface, cameras and pictures of a scan.
fn describe(scan: &dyn Scan) -> Result<Value, Box<dyn Error>> {
    let scene = scan.scene();
    let objects: Vec<Value> = scene
        .objects
        .iter()
        .map(|object| {
            let (low, high) = object.bounds.world_bounds();
            let corners = object.bounds.corners();
            json!({ "id": object.id, "label": object.category, "low": low, "high": high, "corners": corners })
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
        let rotation = Mat3::from_quat(camera.pose.rotation);
        let row =
            |r: usize| [rotation.row(r).x, rotation.row(r).y, rotation.row(r).z, camera.pose.translation[r]];
        let k = &camera.intrinsics;
        frames.push(json!({
            "camera_to_world": [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]],
            "intrinsics": { "width": k.width, "height": k.height, "fx": k.fx, "fy": k.fy, "cx": k.cx, "cy": k.cy },
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
        "instances": scan.mesh().instances,
        "warnings": scan.warnings(),
    }))
}
