//! A scene: room outline, boxes, cameras.

use super::{APPLICATION, RecordingError, layout};
use crate::render::scan_mesh;
use crate::samples::{DataType, names};
use crate::scenes::scan::ScanMesh;
use crate::scenes::{Camera, Room, Scene, ply};
use glam::Vec3;
use rerun::components::{Color, FillMode, Radius, ViewCoordinates};
use rerun::datatypes::{Quaternion, Rgba32};
use rerun::{RecordingStream, RecordingStreamBuilder, archetypes as rr};
use std::path::Path;

const ROOM_COLOR: Color = Color(Rgba32::from_rgb(150, 150, 150));
const CAMERA_COLOR: Color = Color(Rgba32::from_rgb(130, 130, 140));
/// How far in front of a camera its picture is drawn, in metres.
const PICTURE_DISTANCE: f32 = 0.3;
const LINE: f32 = 1.5;
/// Four colours that are told apart at once, for what has an order.
pub(super) const LABEL_RAMP: [[u8; 3]; 4] = [[255, 200, 60], [255, 132, 90], [198, 120, 255], [90, 176, 255]];
/// A scanned surface is shown up to this far below its ceiling, metres.
const CEILING_M: f32 = 0.35;

/// Logs everything of a scene but the sample on show, for all times; of its cameras the stand-points. `pictures` holds the encoded
/// picture of each camera, in order; cameras without one show their frustum only.
pub fn log_scene(
    recording: &RecordingStream,
    scene: &Scene,
    pictures: &[Option<Vec<u8>>],
) -> Result<(), RecordingError> {
    recording.log_static("/", &rr::ViewCoordinates::RIGHT_HAND_Z_UP())?;
    log_room(recording, &scene.room)?;
    log_objects(recording, scene)?;
    // The frames of a video are not shown one by one: their cameras stand too close to one another.
    for (index, view) in scene.cameras.iter().enumerate().filter(|(_, view)| view.time.is_none()) {
        let path = format!("/cameras/{index:02}");
        let (pose, pinhole) = camera(view, PICTURE_DISTANCE, CAMERA_COLOR);
        recording.log_static(path.as_str(), &pose)?;
        recording.log_static(path.as_str(), &pinhole)?;
        if let Some(Some(bytes)) = pictures.get(index) {
            let picture = rr::EncodedImage::from_file_contents(bytes.clone());
            recording.log_static(format!("{path}/image"), &picture)?;
        }
    }
    Ok(())
}

/// Floor, ceiling and the edges between them.
fn log_room(recording: &RecordingStream, room: &Room) -> Result<(), RecordingError> {
    let ring = |height: f32| -> Vec<[f32; 3]> {
        let corners = room.outline.iter().chain(room.outline.first());
        corners.map(|corner| [corner.x, corner.y, room.floor + height]).collect()
    };
    let edges = room
        .outline
        .iter()
        .map(|corner| vec![[corner.x, corner.y, room.floor], [corner.x, corner.y, room.floor + room.height]]);
    let strips: Vec<Vec<[f32; 3]>> = [ring(0.0), ring(room.height)].into_iter().chain(edges).collect();
    let lines =
        rr::LineStrips3D::new(strips).with_colors([ROOM_COLOR]).with_radii([Radius::new_ui_points(LINE)]);
    Ok(recording.log_static("/room", &lines)?)
}

fn log_objects(recording: &RecordingStream, scene: &Scene) -> Result<(), RecordingError> {
    let bounds = || scene.objects.iter().map(|object| &object.bounds);
    let boxes = rr::Boxes3D::from_centers_and_half_sizes(
        bounds().map(|bounds| bounds.center.to_array()),
        bounds().map(|bounds| bounds.half_extents.to_array()),
    )
    .with_quaternions(bounds().map(|bounds| Quaternion::from_xyzw(bounds.rotation.to_array())))
    .with_colors(scene.objects.iter().map(|object| label_color(&object.category)))
    .with_labels(scene.objects.iter().map(|object| object.category.as_str()))
    .with_radii([Radius::new_ui_points(LINE)])
    // The default fills the boxes, which hides the ones behind.
    .with_fill_mode(FillMode::MajorWireframe)
    // Without it the viewer hides all labels of a batch of more than a few boxes.
    .with_show_labels(true);
    Ok(recording.log_static("/objects", &boxes)?)
}

/// Floor and objects of a generated room, or the surface of a scan without its ceiling (`scenes/NAME.ply` of the
/// data set at `root`): what may be looked at from above.
pub(super) fn log_surface(
    recording: &RecordingStream,
    scene: &Scene,
    root: &Path,
) -> Result<(), RecordingError> {
    let scanned = root.join(format!("{}/{}.ply", names::SCENES, scene.name));
    let mut mesh = if scanned.is_file() {
        let Ok(surface) = ply::read(&scanned) else {
            log::warn!("{} cannot be read; the scene is shown without its surface", scanned.display());
            return Ok(());
        };
        let count = surface.vertices.len();
        ScanMesh {
            colors: surface.colors.unwrap_or_else(|| vec![[160; 3]; count]),
            triangles: surface.triangles,
            instances: vec![1; count],
            vertices: surface.vertices,
        }
    } else {
        scan_mesh(scene)
    };
    let floor = scene.room.floor;
    let top = floor + scene.room.height - CEILING_M;
    mesh.triangles.retain(|corners| {
        let heights = corners.map(|corner| mesh.vertices[corner as usize].z);
        let on_floor = heights.iter().all(|height| (height - floor).abs() < 0.01);
        let is_object = mesh.instances[corners[0] as usize] != 0;
        (is_object || on_floor) && heights.iter().any(|height| *height < top)
    });
    let mut normals = vec![Vec3::ZERO; mesh.vertices.len()];
    for corners in &mesh.triangles {
        let [a, b, c] = corners.map(|corner| mesh.vertices[corner as usize]);
        for corner in corners {
            normals[*corner as usize] += (b - a).cross(c - a);
        }
    }
    let triangles = rr::Mesh3D::new(mesh.vertices.iter().map(Vec3::to_array))
        .with_triangle_indices(mesh.triangles.iter().copied())
        .with_vertex_normals(normals.iter().map(|normal| normal.normalize_or(Vec3::Z).to_array()))
        .with_vertex_colors(mesh.colors.iter().map(|&[r, g, b]| Color::from_rgb(r, g, b)));
    Ok(recording.log_static("/surface", &triangles)?)
}

/// Pose and pinhole of a camera whose picture is drawn `picture_distance` metres in front of it.
pub(super) fn camera(camera: &Camera, picture_distance: f32, color: Color) -> (rr::Transform3D, rr::Pinhole) {
    let (pose, intrinsics) = (&camera.pose, &camera.intrinsics);
    let transform = rr::Transform3D::from_translation(pose.translation.to_array())
        .with_quaternion(Quaternion::from_xyzw(pose.rotation.to_array()));
    let (width, height) = (intrinsics.width as f32, intrinsics.height as f32);
    let pinhole =
        rr::Pinhole::from_focal_length_and_resolution([intrinsics.fx, intrinsics.fy], [width, height])
            .with_principal_point([intrinsics.cx, intrinsics.cy])
            .with_camera_xyz(ViewCoordinates::RDF)
            .with_image_plane_distance(picture_distance)
            .with_color(color);
    (transform, pinhole)
}

/// The colour of a label, the same in every scene and picture (and in the window).
pub(super) fn label_color(label: &str) -> Color {
    let [r, g, b] = crate::samples::label_color(label);
    Color::from_rgb(r, g, b)
}

/// Writes a scene without pictures as an `.rrd` file.
pub fn save_scene(scene: &Scene, path: &Path) -> Result<(), RecordingError> {
    let (recording, storage) =
        RecordingStreamBuilder::new(APPLICATION).recording_name(&scene.name).memory()?;
    log_scene(&recording, scene, &[])?;
    log_surface(&recording, scene, Path::new(""))?;
    layout::send(&recording, Some(&scene.room), DataType::SingleImage, 1)?;
    super::write(path, &[&storage])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::geometry::{Intrinsics, OrientedBox, Pose};
    use crate::scenes::Object;
    use glam::{Quat, Vec2};

    pub fn scene(name: &str, cameras: usize) -> Scene {
        let corners = [(0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (0.0, 3.0)];
        let camera = |at: usize| Camera {
            pose: Pose::look_at(Vec3::new(0.5 + at as f32, 0.5, 1.5), Vec3::new(3.0, 2.0, 0.8)),
            intrinsics: Intrinsics::from_horizontal_fov(64, 48, 1.2),
            time: None,
        };
        let bounds = OrientedBox {
            center: Vec3::new(3.0, 2.0, 0.4),
            half_extents: Vec3::new(0.3, 0.3, 0.4),
            rotation: Quat::from_rotation_z(0.5),
        };
        Scene {
            name: name.into(),
            source: "test".into(),
            room: Room {
                floor: 0.0,
                kind: String::new(),
                outline: corners.map(|(x, y)| Vec2::new(x, y)).into(),
                height: 2.5,
                area: 12.0,
                style: 0,
            },
            objects: vec![Object { id: 1, category: "chair".into(), bounds, support: None, style: 0 }],
            cameras: (0..cameras).map(camera).collect(),
        }
    }

    #[test]
    fn a_scene_is_saved_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.rrd");
        save_scene(&scene("a", 2), &path).expect("saved");
        assert!(std::fs::metadata(&path).expect("there").len() > 1000);
        let error = save_scene(&scene("a", 2), &dir.path().join("none/a.rrd")).expect_err("no such folder");
        assert!(error.to_string().contains("a.rrd"), "{error}");
    }
}
