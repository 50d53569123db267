//! ARKitScenes scans (the `3dod` part): a folder `ID` with `ID_3dod_mesh.ply`, `ID_3dod_annotation.json`, and
//! `lowres_wide/ID_TIME.png`, `lowres_depth/ID_TIME.png` (16-bit millimetres), `lowres_wide_intrinsics/ID_TIME.pincam`
//! and `lowres_wide.traj` in it or in `ID_frames`.
//!
//! The times in the names of one frame's files may differ by a millisecond, so they are matched by time. Devices were
//! held in any way: pictures are turned upright (see [`super::scan`]).

use super::scan::{
    QuarterTurns, Scan, ScanFolders, ScanFrame, ScanMesh, ScanOptions, ScanSource, decode_color,
    decode_depth, find_folders, fit, folder_name, resized, room_around, spread,
};
use super::scannet::read_json;
use super::{Camera, Object, Scene, SceneError, ply};
use crate::geometry::{Intrinsics, OrientedBox, Pose};
use crate::scenes::scan::PIXEL_MIDDLE;
use glam::{Mat3, Quat, Vec3};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A picture, its pose, its camera and its depth were recorded at most this many seconds apart; the loader that comes
/// with the data set allows as much.
const TIME_TOLERANCE_S: f64 = 0.005;
/// A point of the surface belongs to the box it lies in or this near to, metres.
const BOX_MARGIN_M: f32 = 0.02;
/// Depth units to the metre.
const DEPTH_SHIFT: f32 = 1000.0;
const REMEDY: &str = "fetch the scan again, or leave the frame out with --skip-bad";

/// The scan at `path`, or all those in it.
pub fn source(path: &Path, options: ScanOptions) -> Result<impl ScanSource + use<>, SceneError> {
    let is_scan = |folder: &Path| folder.join(format!("{}_3dod_mesh.ply", folder_name(folder))).is_file();
    let open = |folder: &Path, options: &ScanOptions| -> Result<Box<dyn Scan>, SceneError> {
        Ok(Box::new(ArkitScene::open(folder, options)?))
    };
    Ok(ScanFolders { folders: find_folders(path, "ID_3dod_mesh.ply", is_scan)?, options, open })
}

/// Where the parts of a frame are.
struct Picture {
    color: PathBuf,
    depth: Option<PathBuf>,
}

struct ArkitScene {
    scene: Scene,
    mesh: ScanMesh,
    /// The pictures of each camera of the scene.
    pictures: Vec<Picture>,
    /// From the pictures to what [`Scan::frame`] gives.
    turns: QuarterTurns,
    warnings: Vec<String>,
}

impl Scan for ArkitScene {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn mesh(&self) -> &ScanMesh {
        &self.mesh
    }

    fn frame(&self, camera: usize) -> Result<ScanFrame, SceneError> {
        let picture = &self.pictures[camera];
        let color = self.turns.color(decoded(&picture.color, decode_color)?);
        let depth =
            picture.depth.as_ref().map(|path| decoded(path, |bytes| decode_depth(bytes, DEPTH_SHIFT)));
        let depth = depth.transpose()?.map(|depth| self.turns.depth(depth));
        Ok(ScanFrame { color: resized(color, &self.scene.cameras[camera].intrinsics), depth })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn decoded<T>(path: &Path, decode: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, SceneError> {
    let bytes = std::fs::read(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    decode(&bytes).map_err(|problem| fail(path, "picture", problem))
}

fn fail(path: &Path, place: &str, problem: String) -> SceneError {
    SceneError::File { path: path.to_owned(), place: place.to_owned(), problem, remedy: REMEDY }
}

#[derive(Deserialize)]
struct Annotation {
    data: Vec<Annotated>,
}

#[derive(Deserialize)]
struct Annotated {
    label: String,
    segments: AnnotatedSegments,
}

#[derive(Deserialize)]
struct AnnotatedSegments {
    #[serde(rename = "obbAligned")]
    bounds: AnnotatedBounds,
}

/// A box as ARKitScenes and ScanNet++ write it.
#[derive(Deserialize)]
pub(super) struct AnnotatedBounds {
    centroid: [f32; 3],
    #[serde(rename = "axesLengths")]
    lengths: [f32; 3],
    /// Three unit axes, one after the other.
    #[serde(rename = "normalizedAxes")]
    axes: [f32; 9],
}

impl AnnotatedBounds {
    /// `None` where the axes are not at right angles.
    pub fn oriented(&self) -> Option<OrientedBox> {
        let axes = [0, 3, 6].map(|i| Vec3::new(self.axes[i], self.axes[i + 1], self.axes[i + 2]));
        let square = (0..3)
            .all(|i| (axes[i].length() - 1.0).abs() < 1e-2 && axes[i].dot(axes[(i + 1) % 3]).abs() < 1e-2);
        let finite = self.centroid.iter().chain(&self.lengths).all(|number| number.is_finite());
        if !square || !finite || self.lengths.iter().any(|length| *length < 0.0) {
            return None;
        }
        // The third axis may be mirrored, which a box does not show.
        let rotation = Mat3::from_cols(axes[0], axes[1], axes[0].cross(axes[1]));
        Some(OrientedBox {
            center: Vec3::from(self.centroid),
            half_extents: Vec3::from(self.lengths) * 0.5,
            rotation: Quat::from_mat3(&rotation).normalize(),
        })
    }
}

impl ArkitScene {
    fn open(folder: &Path, options: &ScanOptions) -> Result<Self, SceneError> {
        let name = folder_name(folder);
        let mut warnings = Vec::new();
        let surface = ply::read(&folder.join(format!("{name}_3dod_mesh.ply")))?;
        let annotation_path = folder.join(format!("{name}_3dod_annotation.json"));
        let annotation: Annotation = read_json(&annotation_path)?;
        let mut objects: Vec<Object> = Vec::new();
        for (number, annotated) in annotation.data.iter().enumerate() {
            let Some(bounds) = annotated.segments.bounds.oriented() else {
                let problem = format!("the box of {} has no three axes at right angles", annotated.label);
                let error = fail(&annotation_path, &format!("data, {number}"), problem);
                if options.skip_bad {
                    warnings.push(error.to_string());
                    continue;
                }
                return Err(error);
            };
            let id = (objects.len() + 1).min(usize::from(u16::MAX)) as u16;
            // Labels are written as one word: `tv_monitor`.
            let category = annotated.label.replace('_', " ");
            objects.push(Object { id, category, bounds, support: None, style: 0 });
        }
        let mesh = instances_by_box(surface, &objects);

        let recording = [folder.join(format!("{name}_frames")), folder.to_owned()];
        let recording = recording.iter().find(|folder| folder.join("lowres_wide.traj").is_file());
        let recording = recording.cloned().unwrap_or_else(|| folder.to_owned());
        let poses = trajectory(&recording.join("lowres_wide.traj"))?;
        let mut pictures = timed_files(&recording.join("lowres_wide"), "png")?;
        let cameras_at = timed_files(&recording.join("lowres_wide_intrinsics"), "pincam")?;
        let depth_folder = recording.join("lowres_depth");
        let depths = if depth_folder.is_dir() { timed_files(&depth_folder, "png")? } else { Vec::new() };
        let total = pictures.len();
        pictures.retain(|(time, _)| nearest(&poses, *time).is_some());
        if pictures.len() < total {
            warnings.push(format!(
                "{name}: {} of {total} pictures have no pose and are left out",
                total - pictures.len()
            ));
        }
        let start = pictures.first().map_or(0.0, |(time, _)| *time);
        let turns = QuarterTurns::upright(poses.iter().map(|(_, pose)| pose));
        let (mut cameras, mut kept_pictures) = (Vec::new(), Vec::new());
        for at in spread(pictures.len(), options.max_frames) {
            let (time, color) = &pictures[at];
            let Some(&pose) = nearest(&poses, *time) else {
                continue;
            };
            let intrinsics = match nearest(&cameras_at, *time) {
                Some(path) => pincam(path),
                None => Err(fail(color, "camera", "has no file in lowres_wide_intrinsics".to_owned())),
            };
            match intrinsics {
                Ok(intrinsics) => {
                    let time_s = Some((time - start) as f32);
                    let camera = turns.camera(Camera { pose, intrinsics, time: time_s });
                    cameras.push(Camera { intrinsics: fit(&camera.intrinsics, options), ..camera });
                    let depth = nearest(&depths, *time).cloned();
                    kept_pictures.push(Picture { color: color.clone(), depth });
                }
                Err(error) if options.skip_bad => warnings.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let scene =
            Scene { name, source: "arkitscenes".to_owned(), room: room_around(&mesh), objects, cameras };
        Ok(Self { scene, mesh, pictures: kept_pictures, turns, warnings })
    }
}

/// A surface whose points belong to the smallest box they lie in.
fn instances_by_box(surface: ply::Ply, objects: &[Object]) -> ScanMesh {
    let mut by_size: Vec<&Object> = objects.iter().collect();
    let volume = |object: &Object| object.bounds.half_extents.element_product();
    by_size.sort_by(|a, b| volume(a).total_cmp(&volume(b)));
    let instance = |vertex: &Vec3| {
        by_size
            .iter()
            .find(|object| object.bounds.contains(*vertex, BOX_MARGIN_M))
            .map_or(0, |object| object.id)
    };
    ScanMesh {
        instances: surface.vertices.iter().map(instance).collect(),
        colors: surface.colors.unwrap_or_else(|| vec![[160; 3]; surface.vertices.len()]),
        triangles: surface.triangles,
        vertices: surface.vertices,
    }
}

/// `TIME ROTATION TRANSLATION` a line: seconds, axis times angle, metres; world to camera.
fn trajectory(path: &Path) -> Result<Vec<(f64, Pose)>, SceneError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    let mut poses = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let numbers: Option<Vec<f64>> =
            line.split_whitespace().map(|word| word.parse().ok().filter(|n: &f64| n.is_finite())).collect();
        let Some([time, rx, ry, rz, x, y, z]) = numbers.and_then(|n| <[f64; 7]>::try_from(n).ok()) else {
            return Err(fail(
                path,
                &format!("line {number}"),
                "does not hold seven finite numbers".to_owned(),
            ));
        };
        let turn = Vec3::new(rx as f32, ry as f32, rz as f32);
        let rotation = rotation_about(turn).transpose();
        let translation = -(rotation * Vec3::new(x as f32, y as f32, z as f32));
        poses.push((time, Pose { rotation: Quat::from_mat3(&rotation).normalize(), translation }));
    }
    poses.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(poses)
}

/// The rotation by the vector's length about its direction (Rodrigues).
fn rotation_about(turn: Vec3) -> Mat3 {
    let angle = turn.length();
    let Some(axis) = turn.try_normalize() else {
        return Mat3::IDENTITY;
    };
    let (sin, cos) = (libm::sinf(angle), libm::cosf(angle));
    let column = |v: Vec3| v * cos + axis.cross(v) * sin + axis * (axis.dot(v) * (1.0 - cos));
    Mat3::from_cols(column(Vec3::X), column(Vec3::Y), column(Vec3::Z))
}

/// What was recorded nearest to a time, if near enough; sorted by time.
fn nearest<T>(timed: &[(f64, T)], time: f64) -> Option<&T> {
    let after = timed.partition_point(|(at, _)| *at < time);
    let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|i| timed.get(i));
    let (at, found) = near.min_by(|a, b| (a.0 - time).abs().total_cmp(&(b.0 - time).abs()))?;
    ((at - time).abs() <= TIME_TOLERANCE_S).then_some(found)
}

/// The files of a folder by time: `ID_TIME.EXTENSION`.
fn timed_files(folder: &Path, wanted: &str) -> Result<Vec<(f64, PathBuf)>, SceneError> {
    let entries =
        std::fs::read_dir(folder).map_err(|source| SceneError::Read { path: folder.to_owned(), source })?;
    let mut files: Vec<(f64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let time: f64 = path.file_stem()?.to_str()?.rsplit('_').next()?.parse().ok()?;
            let fits = time.is_finite() && path.extension().is_some_and(|extension| extension == wanted);
            fits.then_some((time, path))
        })
        .collect();
    files.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(files)
}

/// `WIDTH HEIGHT FX FY CX CY`.
fn pincam(path: &Path) -> Result<Intrinsics, SceneError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    let numbers: Option<Vec<f32>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    match numbers.and_then(|n| <[f32; 6]>::try_from(n).ok()) {
        Some([width, height, fx, fy, cx, cy])
            if (1.0..=16_384.0).contains(&width)
                && (1.0..=16_384.0).contains(&height)
                && fx > 0.0
                && fy > 0.0
                && (cx + cy).is_finite() =>
        {
            let (cx, cy) = (cx + PIXEL_MIDDLE, cy + PIXEL_MIDDLE);
            Ok(Intrinsics { width: width as u32, height: height as u32, fx, fy, cx, cy })
        }
        _ => Err(fail(path, "camera", "does not hold width, height, fx, fy, cx and cy".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Renderer;
    use crate::scenes::rooms::{RoomOptions, generate};
    use crate::scenes::{scannet_intrinsics, walk};
    use std::fs;

    fn room() -> Scene {
        let mut scene = generate(6, 3, &RoomOptions::default());
        scene.name = "41000001".to_owned();
        scene.cameras = walk(&scene, scannet_intrinsics(64, 48), 10.0, 1.0, 1);
        scene
    }

    fn written(scene: &Scene) -> tempfile::TempDir {
        let parent = tempfile::tempdir().unwrap();
        crate::scan_writers::arkitscenes::write(scene, parent.path()).unwrap();
        parent
    }

    #[test]
    fn a_room_written_as_a_scan_is_read_back() {
        let room = room();
        let folder = written(&room);
        let scan = source(folder.path(), ScanOptions::default()).unwrap().open(0).unwrap();
        assert!(scan.warnings().is_empty(), "{:?}", scan.warnings());
        let scene = scan.scene();
        assert_eq!((scene.objects.len(), scene.cameras.len()), (room.objects.len(), room.cameras.len()));
        for (read, made) in scene.objects.iter().zip(&room.objects) {
            assert_eq!(read.category, made.category);
            let gap = |a: &OrientedBox, b: &OrientedBox| {
                let near = |c: &Vec3| b.corners().iter().map(|d| d.distance(*c)).fold(f32::MAX, f32::min);
                a.corners().iter().map(near).fold(0.0, f32::max)
            };
            assert!(gap(&read.bounds, &made.bounds) < 1e-3);
        }
        let surface = crate::render::SurfaceRenderer::new(scan.mesh());
        for (i, (read, made)) in scene.cameras.iter().zip(&room.cameras).enumerate() {
            assert!(read.pose.translation.distance(made.pose.translation) < 1e-3);
            assert!(read.pose.rotation.dot(made.pose.rotation).abs() > 1.0 - 1e-5);
            let drawn = Renderer::new(&room).render(made);
            let depth = scan.frame(i).unwrap().depth.unwrap();
            assert!(depth.metres.iter().zip(&drawn.depth).all(|(a, b)| (a - b).abs() < 1e-3));
            let seen = surface.view(read).instances;
            let same = seen.iter().zip(&drawn.instances).filter(|(a, b)| a == b).count();
            assert!(same as f32 > 0.85 * seen.len() as f32, "{same} of {}", seen.len());
        }
    }

    #[test]
    fn a_recording_held_sideways_is_turned_upright() {
        let upright = room();
        let mut held = upright.clone();
        // A quarter turn clockwise about the line of sight, so that the sky is on the left of the picture.
        let roll = Mat3::from_cols(Vec3::Y, Vec3::NEG_X, Vec3::Z);
        for camera in &mut held.cameras {
            let k = camera.intrinsics;
            (camera.intrinsics.width, camera.intrinsics.height) = (k.height, k.width);
            (camera.intrinsics.cx, camera.intrinsics.cy) = (k.cy, k.width as f32 - k.cx);
            camera.pose.rotation = Quat::from_mat3(&(Mat3::from_quat(camera.pose.rotation) * roll));
        }
        let folder = written(&held);
        let scan = source(folder.path(), ScanOptions::default()).unwrap().open(0).unwrap();
        let renderer = Renderer::new(&upright);
        for (i, (read, made)) in scan.scene().cameras.iter().zip(&upright.cameras).enumerate() {
            assert!(read.pose.rotation.dot(made.pose.rotation).abs() > 1.0 - 1e-5);
            assert_eq!((read.intrinsics.width, read.intrinsics.height), (64, 48));
            let (frame, drawn) = (scan.frame(i).unwrap(), renderer.render(made));
            let depth = frame.depth.unwrap().metres;
            let near = depth.iter().zip(&drawn.depth).filter(|(a, b)| (*a - *b).abs() < 2e-3).count();
            assert!(near as f32 > 0.98 * depth.len() as f32, "{near} of {}", depth.len());
            assert_eq!(frame.color.dimensions(), (64, 48));
        }
    }

    #[test]
    fn damage_is_named() {
        let folder = written(&room());
        let scan = folder.path().join("41000001");
        let message = |path: &str, content: &str| {
            let path = scan.join(path);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, content).unwrap();
            let message = source(&scan, ScanOptions::default()).unwrap().open(0).err().map(|e| e.to_string());
            fs::write(&path, whole).unwrap();
            message.unwrap()
        };
        assert!(message("lowres_wide.traj", "1 2 3\n").contains("lowres_wide.traj: line 1"));
        assert!(message("lowres_wide.traj", "1 2 3 4 5 NaN 7\n").contains("finite"));
        assert!(message("41000001_3dod_annotation.json", "{").contains("not JSON"));
        let skewed = r#"{"data": [{"label": "tv", "segments": {"obbAligned": {"centroid": [0,0,0],
            "axesLengths": [1,1,1], "normalizedAxes": [1,0,0,1,0,0,0,0,1]}}}]}"#;
        assert!(message("41000001_3dod_annotation.json", skewed).contains("data, 0"));
        let camera = fs::read_dir(scan.join("lowres_wide_intrinsics")).unwrap().next().unwrap().unwrap();
        let camera = format!("lowres_wide_intrinsics/{}", camera.file_name().to_str().unwrap());
        assert!(message(&camera, "64 48 50").contains("pincam: camera"));
    }
}
