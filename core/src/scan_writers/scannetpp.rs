//! Rooms as ScanNet++ scans, with the pictures taken out of the video, and with the cameras in COLMAP's text form too.

use super::{box_json, depth_png, jpeg, write_surface};
use crate::render::{Renderer, scan_mesh};
use crate::samples::files::{self, FileError};
use crate::scenes::Scene;
use crate::scenes::scan::PIXEL_MIDDLE;
use crate::scenes::scannetpp::FRAME_RATE;
use glam::{Mat4, Vec3};
use serde_json::json;
use std::path::Path;

/// Every how many-th picture of the video is taken out.
const FRAME_STEP: usize = 10;

/// Writes a scene with its cameras into the folder `parent/data/SCENE`.
pub fn write(scene: &Scene, parent: &Path) -> Result<(), FileError> {
    let folder = parent.join("data").join(&scene.name);
    for name in ["scans", "iphone/rgb", "iphone/depth", "iphone/colmap"] {
        files::create_dir_all(&folder.join(name))?;
    }
    write_annotated_surface(scene, &folder)?;

    let renderer = Renderer::new(scene);
    let mut records = serde_json::Map::new();
    let (mut colmap_cameras, mut colmap_images) = (String::new(), String::new());
    for (number, camera) in scene.cameras.iter().enumerate() {
        let name = format!("frame_{:06}", number * FRAME_STEP);
        let frame = renderer.render(camera);
        files::write_atomic(&folder.join(format!("iphone/rgb/{name}.jpg")), &jpeg(&frame.color))?;
        files::write_atomic(&folder.join(format!("iphone/depth/{name}.png")), &depth_png(&frame))?;
        let (pose, k) = (&camera.pose, &camera.intrinsics);
        let matrix = Mat4::from_rotation_translation(pose.rotation, pose.translation);
        let time = camera.time.unwrap_or((number * FRAME_STEP) as f32 / FRAME_RATE);
        let record = json!({
            "aligned_pose": matrix.transpose().to_cols_array_2d(),
            "timestamp": 5.0 + f64::from(time),
            "intrinsic": [[k.fx, 0.0, k.cx - PIXEL_MIDDLE], [0.0, k.fy, k.cy - PIXEL_MIDDLE], [0.0, 0.0, 1.0]],
        });
        records.insert(name.clone(), record);

        let id = number + 1;
        colmap_cameras.push_str(&format!(
            "{id} PINHOLE {} {} {} {} {} {}\n",
            k.width, k.height, k.fx, k.fy, k.cx, k.cy
        ));
        let (turn, shift) = (pose.rotation.inverse(), pose.inverse_transform_point(Vec3::ZERO));
        colmap_images.push_str(&format!(
            "{id} {} {} {} {} {} {} {} {id} {name}.jpg\n\n",
            turn.w, turn.x, turn.y, turn.z, shift.x, shift.y, shift.z
        ));
    }
    let records = json!(records).to_string();
    files::write_atomic(&folder.join("iphone/pose_intrinsic_imu.json"), records.as_bytes())?;
    files::write_atomic(&folder.join("iphone/colmap/cameras.txt"), colmap_cameras.as_bytes())?;
    files::write_atomic(&folder.join("iphone/colmap/images.txt"), colmap_images.as_bytes())
}

fn write_annotated_surface(scene: &Scene, folder: &Path) -> Result<(), FileError> {
    let mesh = scan_mesh(scene);
    let write = |name: &str, bytes: &[u8]| files::write_atomic(&folder.join("scans").join(name), bytes);
    write("segments.json", json!({ "segIndices": mesh.instances }).to_string().as_bytes())?;
    write_surface(mesh, &folder.join("scans/mesh_aligned_0.05.ply"))?;
    let mut groups: Vec<_> = scene
        .objects
        .iter()
        .map(|object| {
            json!({
                "id": object.id, "objectId": object.id, "label": object.category,
                "segments": [object.id], "obb": box_json(&object.bounds),
            })
        })
        .collect();
    let next = groups.len() + 1;
    groups.push(json!({ "id": next, "objectId": next, "label": "wall", "segments": [0] }));
    write("segments_anno.json", json!({ "segGroups": groups }).to_string().as_bytes())
}
