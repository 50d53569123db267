//! Rooms as ARKitScenes scans.

use super::{box_json, color_png, depth_png, write_surface};
use crate::geometry::Pose;
use crate::render::{Renderer, scan_mesh};
use crate::samples::files::{self, FileError};
use crate::scenes::Scene;
use crate::scenes::scan::PIXEL_MIDDLE;
use glam::Vec3;
use serde_json::json;
use std::path::Path;

/// Seconds on the device's clock at the start of a recording.
const START_S: f64 = 1000.0;
/// Frames a second, for cameras without a time.
const FRAME_RATE: f64 = 10.0;
/// Cameras and poses are written a little after their pictures, as in real recordings.
const CAMERA_DELAY_S: f64 = 0.001;
const POSE_DELAY_S: f64 = 0.002;

/// Writes a scene with its cameras into the folder `parent/SCENE`.
pub fn write(scene: &Scene, parent: &Path) -> Result<(), FileError> {
    let folder = parent.join(&scene.name);
    for name in ["lowres_wide", "lowres_depth", "lowres_wide_intrinsics"] {
        files::create_dir_all(&folder.join(name))?;
    }
    let file = |suffix: &str| folder.join(format!("{}{suffix}", scene.name));
    write_surface(scan_mesh(scene), &file("_3dod_mesh.ply"))?;
    let boxes: Vec<_> = scene
        .objects
        .iter()
        .map(|object| {
            let oriented = box_json(&object.bounds);
            json!({
                "uid": object.id.to_string(),
                "label": object.category.replace(' ', "_"),
                "segments": { "obb": oriented, "obbAligned": oriented },
            })
        })
        .collect();
    let annotation = json!({ "data": boxes, "skipped": false }).to_string();
    files::write_atomic(&file("_3dod_annotation.json"), annotation.as_bytes())?;

    let renderer = Renderer::new(scene);
    let mut trajectory = String::new();
    for (number, camera) in scene.cameras.iter().enumerate() {
        let frame = renderer.render(camera);
        let time = START_S + camera.time.map_or(number as f64 / FRAME_RATE, f64::from);
        let at = |kind: &str, time: f64, extension: &str| {
            folder.join(format!("{kind}/{}_{time:.3}.{extension}", scene.name))
        };
        files::write_atomic(&at("lowres_wide", time, "png"), &color_png(&frame.color))?;
        files::write_atomic(&at("lowres_depth", time, "png"), &depth_png(&frame))?;
        let k = &camera.intrinsics;
        let pincam = format!(
            "{} {} {} {} {} {}",
            k.width,
            k.height,
            k.fx,
            k.fy,
            k.cx - PIXEL_MIDDLE,
            k.cy - PIXEL_MIDDLE
        );
        let path = at("lowres_wide_intrinsics", time + CAMERA_DELAY_S, "pincam");
        files::write_atomic(&path, pincam.as_bytes())?;
        trajectory.push_str(&trajectory_line(time + POSE_DELAY_S, &camera.pose));
    }
    files::write_atomic(&folder.join("lowres_wide.traj"), trajectory.as_bytes())
}

/// `TIME ROTATION TRANSLATION`: seconds, axis times angle, metres; world to camera.
fn trajectory_line(time: f64, pose: &Pose) -> String {
    let inverse = pose.rotation.inverse();
    // Of the two quaternions of a rotation, the one with the smaller angle.
    let inverse = if inverse.w < 0.0 { -inverse } else { inverse };
    let axis = Vec3::new(inverse.x, inverse.y, inverse.z);
    let angle = 2.0 * libm::atan2f(axis.length(), inverse.w);
    let turn = axis.normalize_or_zero() * angle;
    let shift = pose.inverse_transform_point(Vec3::ZERO);
    format!("{time:.6} {} {} {} {} {} {}\n", turn.x, turn.y, turn.z, shift.x, shift.y, shift.z)
}
