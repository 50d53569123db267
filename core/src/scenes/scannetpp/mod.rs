//! ScanNet++ scans (the iPhone recording): a folder `ID` with `scans/mesh_aligned_0.05.ply`, `scans/segments.json`,
//! `scans/segments_anno.json`, `iphone/pose_intrinsic_imu.json`, and the pictures of `iphone/rgb.mkv` taken out to
//! `iphone/rgb/frame_000000.jpg` (every tenth, or all), with `iphone/depth/frame_000000.png` (16-bit millimetres)
//! where there is depth. The toolkit of the data set does that; so does `ffmpeg` for the pictures.

use super::arkitscenes::AnnotatedBounds;
use super::scan::{
    Scan, ScanFolders, ScanFrame, ScanMesh, ScanOptions, ScanSource, axis_aligned_box, decode_color,
    decode_depth, find_folders, fit, folder_name, pose_of, read_picture, resized, room_around, spread,
};
use super::scannet::read_json;
use super::{Camera, Object, Scene, SceneError, ply};
use crate::geometry::Intrinsics;
use crate::scenes::scan::PIXEL_MIDDLE;
use glam::DMat4;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Labels of what is no object.
const NO_OBJECTS: [&str; 5] = ["wall", "floor", "ceiling", "remove", "split"];
/// Pictures a second of the recording.
pub(crate) const FRAME_RATE: f32 = 30.0;
/// Depth units to the metre.
const DEPTH_SHIFT: f32 = 1000.0;
const REMEDY: &str = "fetch the scan again";
const EXTRACT: &str = "take the pictures out first: mkdir -p iphone/rgb && ffmpeg -i iphone/rgb.mkv -q:v 2 -start_number 0 \
                       iphone/rgb/frame_%06d.jpg";

/// The scan at `path`, or all those in it (or in its folder `data`).
pub fn source(path: &Path, options: ScanOptions) -> Result<impl ScanSource + use<>, SceneError> {
    let is_scan = |folder: &Path| folder.join("scans/mesh_aligned_0.05.ply").is_file();
    let data = path.join("data");
    let path = if data.is_dir() { &data } else { path };
    let open = |folder: &Path, options: &ScanOptions| -> Result<Box<dyn Scan>, SceneError> {
        Ok(Box::new(ScanNetPp::open(folder, options)?))
    };
    Ok(ScanFolders { folders: find_folders(path, "scans/mesh_aligned_0.05.ply", is_scan)?, options, open })
}

struct ScanNetPp {
    scene: Scene,
    mesh: ScanMesh,
    /// The picture of each camera of the scene, and its depth.
    pictures: Vec<(PathBuf, PathBuf)>,
    warnings: Vec<String>,
}

impl Scan for ScanNetPp {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn mesh(&self) -> &ScanMesh {
        &self.mesh
    }

    fn frame(&self, camera: usize) -> Result<ScanFrame, SceneError> {
        let (color, depth) = &self.pictures[camera];
        let color = read_picture(color, EXTRACT, decode_color)?;
        let depth = depth
            .is_file()
            .then(|| read_picture(depth, EXTRACT, |bytes| decode_depth(bytes, DEPTH_SHIFT)))
            .transpose()?;
        Ok(ScanFrame { color: resized(color, &self.scene.cameras[camera].intrinsics), depth })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn fail(path: &Path, place: &str, problem: String, remedy: &'static str) -> SceneError {
    SceneError::File { path: path.to_owned(), place: place.to_owned(), problem, remedy }
}

#[derive(Deserialize)]
struct Segments {
    #[serde(rename = "segIndices")]
    of_vertex: Vec<i64>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(rename = "segGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    label: String,
    segments: Vec<i64>,
    obb: Option<AnnotatedBounds>,
}

#[derive(Deserialize)]
struct FrameRecord {
    /// Camera to world, four rows.
    aligned_pose: [[f64; 4]; 4],
    /// Three rows.
    intrinsic: [[f32; 3]; 3],
    #[serde(default)]
    timestamp: Option<f64>,
}

impl ScanNetPp {
    fn open(folder: &Path, options: &ScanOptions) -> Result<Self, SceneError> {
        let name = folder_name(folder);
        let mut warnings = Vec::new();
        let (mesh, objects) = surface(folder, &name, &mut warnings)?;

        let records_path = folder.join("iphone/pose_intrinsic_imu.json");
        let records: BTreeMap<String, FrameRecord> = read_json(&records_path)?;
        let colors = folder.join("iphone/rgb");
        let picture_of = |frame: &str| {
            ["jpg", "png"]
                .map(|extension| colors.join(frame).with_extension(extension))
                .into_iter()
                .find(|p| p.is_file())
        };
        let pictured: Vec<(&String, &FrameRecord, PathBuf)> =
            records.iter().filter_map(|(frame, record)| Some((frame, record, picture_of(frame)?))).collect();
        let Some((_, _, first)) = pictured.first() else {
            let problem = "no picture of the recording is there".to_owned();
            return Err(fail(&colors, "folder", problem, EXTRACT));
        };
        let (width, height) = image::image_dimensions(first)
            .map_err(|error| fail(first, "picture", error.to_string(), EXTRACT))?;
        let total = pictured.len();
        let tracked: Vec<_> = pictured
            .into_iter()
            .filter_map(|(frame, record, path)| {
                let rows = DMat4::from_cols_array_2d(&record.aligned_pose).transpose();
                Some((frame, record, path, pose_of(&rows)?))
            })
            .collect();
        if tracked.len() < total {
            warnings.push(format!(
                "{name}: {} of {total} frames have no pose and are left out",
                total - tracked.len()
            ));
        }
        let (mut cameras, mut pictures) = (Vec::new(), Vec::new());
        let start = tracked.first().and_then(|(_, record, ..)| record.timestamp);
        for at in spread(tracked.len(), options.max_frames) {
            let (frame, record, path, pose) = &tracked[at];
            let [[fx, _, cx], [_, fy, cy], _] = record.intrinsic;
            let (cx, cy) = (cx + PIXEL_MIDDLE, cy + PIXEL_MIDDLE);
            if !(fx > 0.0 && fy > 0.0 && (cx + cy).is_finite()) {
                let problem = "the intrinsic matrix is no camera".to_owned();
                let error = fail(&records_path, frame, problem, REMEDY);
                if !options.skip_bad {
                    return Err(error);
                }
                warnings.push(error.to_string());
                continue;
            }
            let number: f32 = frame.rsplit('_').next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
            let timed = record.timestamp.zip(start).map(|(time, start)| (time - start) as f32);
            cameras.push(Camera {
                pose: *pose,
                intrinsics: fit(&Intrinsics { width, height, fx, fy, cx, cy }, options),
                time: Some(timed.unwrap_or(number / FRAME_RATE)),
            });
            pictures.push((path.clone(), folder.join("iphone/depth").join(frame).with_extension("png")));
        }
        let scene =
            Scene { name, source: "scannetpp".to_owned(), room: room_around(&mesh), objects, cameras };
        Ok(Self { scene, mesh, pictures, warnings })
    }
}

fn surface(
    folder: &Path,
    name: &str,
    warnings: &mut Vec<String>,
) -> Result<(ScanMesh, Vec<Object>), SceneError> {
    let surface = ply::read(&folder.join("scans/mesh_aligned_0.05.ply"))?;
    let segments_path = folder.join("scans/segments.json");
    let segments: Segments = read_json(&segments_path)?;
    let annotation: Annotation = read_json(&folder.join("scans/segments_anno.json"))?;
    if segments.of_vertex.len() != surface.vertices.len() {
        let problem =
            format!("has {} entries for {} vertices", segments.of_vertex.len(), surface.vertices.len());
        return Err(fail(&segments_path, "segIndices", problem, REMEDY));
    }
    let mut of_segment: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (vertex, &segment) in (0..).zip(&segments.of_vertex) {
        of_segment.entry(segment).or_default().push(vertex);
    }
    let mut instances = vec![0; surface.vertices.len()];
    let mut objects = Vec::new();
    for group in annotation.groups.iter().filter(|group| !NO_OBJECTS.contains(&group.label.as_str())) {
        let members: Vec<u32> =
            group.segments.iter().filter_map(|segment| of_segment.get(segment)).flatten().copied().collect();
        let around = axis_aligned_box(members.iter().map(|&vertex| surface.vertices[vertex as usize]));
        let bounds = group.obb.as_ref().and_then(AnnotatedBounds::oriented).or(around);
        let (Some(bounds), Ok(id)) = (bounds, u16::try_from(objects.len() + 1)) else {
            warnings.push(format!("{name}: an object ({}) has no vertices and no box", group.label));
            continue;
        };
        for vertex in members {
            instances[vertex as usize] = id;
        }
        objects.push(Object { id, category: group.label.clone(), bounds, support: None, style: 0 });
    }
    let mesh = ScanMesh {
        colors: surface.colors.unwrap_or_else(|| vec![[160; 3]; surface.vertices.len()]),
        triangles: surface.triangles,
        vertices: surface.vertices,
        instances,
    };
    Ok((mesh, objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Renderer, SurfaceRenderer};
    use crate::scenes::rooms::{RoomOptions, generate};
    use crate::scenes::{scannet_intrinsics, walk};
    use std::fs;

    fn written() -> (tempfile::TempDir, Scene) {
        let mut scene = generate(6, 4, &RoomOptions::default());
        scene.name = "0a1b2c3d4e".to_owned();
        scene.cameras = walk(&scene, scannet_intrinsics(64, 48), 10.0, 0.6, 1);
        let parent = tempfile::tempdir().unwrap();
        crate::scan_writers::scannetpp::write(&scene, parent.path()).unwrap();
        (parent, scene)
    }

    #[test]
    fn a_room_written_as_a_scan_is_read_back() {
        let (folder, room) = written();
        let scan = source(folder.path(), ScanOptions::default()).unwrap().open(0).unwrap();
        let scene = scan.scene();
        assert_eq!((scene.objects.len(), scene.cameras.len()), (room.objects.len(), room.cameras.len()));
        assert_eq!(scene.objects[0].category, room.objects[0].category);
        let surface = SurfaceRenderer::new(scan.mesh());
        for (i, (read, made)) in scene.cameras.iter().zip(&room.cameras).enumerate() {
            assert!(read.pose.translation.distance(made.pose.translation) < 1e-4);
            assert!((read.time.unwrap() - i as f32 * 0.1).abs() < 1e-4);
            let drawn = Renderer::new(&room).render(made);
            let depth = scan.frame(i).unwrap().depth.unwrap();
            assert!(depth.metres.iter().zip(&drawn.depth).all(|(a, b)| (a - b).abs() < 1e-3));
            let seen = surface.view(read).instances;
            let same = seen.iter().zip(&drawn.instances).filter(|(a, b)| a == b).count();
            assert!(same as f32 > 0.98 * seen.len() as f32, "{same} of {}", seen.len());
        }
    }

    #[test]
    fn pictures_that_were_not_taken_out_are_asked_for() {
        let (folder, room) = written();
        let scan = folder.path().join("data").join(room.name);
        fs::remove_dir_all(scan.join("iphone/rgb")).unwrap();
        let message = source(&scan, ScanOptions::default()).unwrap().open(0).err().unwrap().to_string();
        assert!(message.contains("ffmpeg -i iphone/rgb.mkv"), "{message}");
    }
}
