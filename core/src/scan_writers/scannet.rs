//! Rooms as ScanNet scans.

use super::{color_png, depth_png, jpeg, millimetres, write_surface};
use crate::geometry::Pose;
use crate::render::{Renderer, scan_mesh};
use crate::samples::files::{self, FileError};
use crate::scenes::scan::PIXEL_MIDDLE;
use crate::scenes::scannet::FRAME_RATE;
use crate::scenes::{Camera, Scene};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use glam::{Mat3, Vec3};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

/// How the frames are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// In one `.sens` file; both numbers as the format has them.
    Sens { color_compression: i32, depth_compression: i32 },
    /// As files, every number the tenth.
    Exported,
}

/// Turned by this about the vertical and moved by this, as scans are before they are aligned.
const TURN_RAD: f32 = 0.3;
const SHIFT: Vec3 = Vec3::new(1.5, -0.75, 0.25);

/// Writes a scene with its cameras into the folder `parent/SCENE`.
pub fn write(scene: &Scene, parent: &Path, frames: Frames) -> Result<(), FileError> {
    let folder = parent.join(&scene.name);
    files::create_dir_all(&folder)?;
    let file = |suffix: &str| folder.join(format!("{}{suffix}", scene.name));
    let raw = RawFrame::new();

    let mut mesh = scan_mesh(scene);
    mesh.vertices.iter_mut().for_each(|vertex| *vertex = raw.leave_world(*vertex));
    let segments = json!({ "segIndices": mesh.instances });
    write_surface(mesh, &file("_vh_clean_2.ply"))?;
    files::write_atomic(&file("_vh_clean_2.0.010000.segs.json"), segments.to_string().as_bytes())?;
    let mut groups: Vec<_> = (0..)
        .zip(&scene.objects)
        .map(|(at, object)| json!({"id": at, "objectId": at, "segments": [object.id], "label": object.category}))
        .collect();
    groups.push(json!({"id": groups.len(), "objectId": groups.len(), "segments": [0], "label": "wall"}));
    let aggregation = json!({ "sceneId": format!("scannet.{}", scene.name), "segGroups": groups });
    files::write_atomic(&file(".aggregation.json"), aggregation.to_string().as_bytes())?;

    let mut ids: BTreeMap<&str, u32> = BTreeMap::from([("wall", 1), ("floor", 2)]);
    for object in &scene.objects {
        ids.entry(&object.category).or_insert(3);
    }
    let mut table = "id\traw_category\tcategory\tcount\tnyu40id\tnyu40class\n".to_owned();
    for (number, (name, id)) in (1..).zip(&ids) {
        table.push_str(&format!("{number}\t{name}\t{name}\t1\t{id}\totherprop\n"));
    }
    files::write_atomic(&folder.join("scannetv2-labels.combined.tsv"), table.as_bytes())?;

    let alignment: Vec<String> = raw.alignment().iter().map(f64::to_string).collect();
    let mut info = format!("axisAlignment = {}\nsceneType = {}\n", alignment.join(" "), scene.room.kind);
    if let Some(camera) = scene.cameras.first() {
        let i = &camera.intrinsics;
        for kind in ["color", "depth"] {
            info.push_str(&format!("{kind}Width = {}\n{kind}Height = {}\n", i.width, i.height));
            info.push_str(&format!("fx_{kind} = {}\nfy_{kind} = {}\n", i.fx, i.fy));
            info.push_str(&format!(
                "mx_{kind} = {}\nmy_{kind} = {}\n",
                i.cx - PIXEL_MIDDLE,
                i.cy - PIXEL_MIDDLE
            ));
        }
        info.push_str(&format!("numColorFrames = {0}\nnumDepthFrames = {0}\n", scene.cameras.len()));
        info.push_str("numIMUmeasurements = 0\n");
    }
    files::write_atomic(&file(".txt"), info.as_bytes())?;

    let renderer = Renderer::new(scene);
    match frames {
        Frames::Sens { color_compression, depth_compression } => {
            let bytes = sens(scene, &renderer, &raw, color_compression, depth_compression);
            files::write_atomic(&file(".sens"), &bytes)
        }
        Frames::Exported => exported(scene, &renderer, &raw, &folder),
    }
}

/// The frame of an unaligned scan.
struct RawFrame {
    /// From the scan's frame to the world.
    turn: Mat3,
}

impl RawFrame {
    fn new() -> Self {
        Self { turn: Mat3::from_rotation_z(TURN_RAD) }
    }

    fn leave_world(&self, world: Vec3) -> Vec3 {
        self.turn.transpose() * (world - SHIFT)
    }

    fn alignment(&self) -> [f64; 16] {
        let t = self.turn.to_cols_array_2d().map(|column| column.map(f64::from));
        let s = SHIFT.to_array().map(f64::from);
        [
            t[0][0], t[1][0], t[2][0], s[0], //
            t[0][1], t[1][1], t[2][1], s[1], //
            t[0][2], t[1][2], t[2][2], s[2], //
            0.0, 0.0, 0.0, 1.0,
        ]
    }

    /// Camera to scan, row after row.
    fn pose(&self, pose: &Pose) -> [f32; 16] {
        let rotation = self.turn.transpose() * Mat3::from_quat(pose.rotation);
        let place = self.leave_world(pose.translation);
        let r = rotation.to_cols_array_2d();
        [
            r[0][0], r[1][0], r[2][0], place.x, //
            r[0][1], r[1][1], r[2][1], place.y, //
            r[0][2], r[1][2], r[2][2], place.z, //
            0.0, 0.0, 0.0, 1.0,
        ]
    }
}

fn intrinsic(camera: &Camera) -> [f32; 16] {
    let i = &camera.intrinsics;
    let (cx, cy) = (i.cx - PIXEL_MIDDLE, i.cy - PIXEL_MIDDLE);
    [i.fx, 0.0, cx, 0.0, 0.0, i.fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
}

const IDENTITY: [f32; 16] = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];

fn sens(
    scene: &Scene,
    renderer: &Renderer,
    raw: &RawFrame,
    color_compression: i32,
    depth_compression: i32,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(4_u32.to_le_bytes());
    let name = b"StructureSensor";
    bytes.extend((name.len() as u64).to_le_bytes());
    bytes.extend(name);
    let camera = scene.cameras.first();
    let camera_matrix = camera.map_or(IDENTITY, intrinsic);
    for matrix in [camera_matrix, IDENTITY, camera_matrix, IDENTITY] {
        bytes.extend(matrix.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes.extend(color_compression.to_le_bytes());
    bytes.extend(depth_compression.to_le_bytes());
    let (width, height) = camera.map_or((1, 1), |camera| (camera.intrinsics.width, camera.intrinsics.height));
    for side in [width, height, width, height] {
        bytes.extend(side.to_le_bytes());
    }
    bytes.extend(1000.0_f32.to_le_bytes());
    bytes.extend((scene.cameras.len() as u64).to_le_bytes());
    for (number, camera) in scene.cameras.iter().enumerate() {
        let frame = renderer.render(camera);
        let color = match color_compression {
            0 => frame.color.as_raw().clone(),
            1 => color_png(&frame.color),
            _ => jpeg(&frame.color),
        };
        let depth: Vec<u8> = millimetres(&frame).iter().flat_map(|units| units.to_le_bytes()).collect();
        let depth = if depth_compression == 1 { deflated(&depth) } else { depth };
        bytes.extend(raw.pose(&camera.pose).iter().flat_map(|value| value.to_le_bytes()));
        let time = (camera.time.unwrap_or(number as f32 / FRAME_RATE) * 1e6) as u64;
        for word in [time, time, color.len() as u64, depth.len() as u64] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(color);
        bytes.extend(depth);
    }
    // No measurements of acceleration.
    bytes.extend(0_u64.to_le_bytes());
    bytes
}

fn exported(scene: &Scene, renderer: &Renderer, raw: &RawFrame, folder: &Path) -> Result<(), FileError> {
    for name in ["color", "depth", "pose", "intrinsic"] {
        files::create_dir_all(&folder.join(name))?;
    }
    let text = |matrix: &[f32; 16]| -> String {
        matrix
            .chunks(4)
            .map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(" ") + "\n")
            .collect()
    };
    let camera_matrix = scene.cameras.first().map_or(IDENTITY, intrinsic);
    for (name, matrix) in [
        ("intrinsic_color", camera_matrix),
        ("intrinsic_depth", camera_matrix),
        ("extrinsic_color", IDENTITY),
        ("extrinsic_depth", IDENTITY),
    ] {
        files::write_atomic(&folder.join(format!("intrinsic/{name}.txt")), text(&matrix).as_bytes())?;
    }
    for (number, camera) in scene.cameras.iter().enumerate() {
        let (frame, number) = (renderer.render(camera), number * 10);
        files::write_atomic(&folder.join(format!("color/{number}.jpg")), &jpeg(&frame.color))?;
        files::write_atomic(&folder.join(format!("depth/{number}.png")), &depth_png(&frame))?;
        let pose = raw.pose(&camera.pose);
        files::write_atomic(&folder.join(format!("pose/{number}.txt")), text(&pose).as_bytes())?;
    }
    Ok(())
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
