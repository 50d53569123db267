//! ScanNet scans: a folder `NAME` with `NAME.sens` or exported frames, `NAME_vh_clean_2.ply`,
//! `NAME_vh_clean_2.0.010000.segs.json`, `NAME.aggregation.json` (or `NAME_vh_clean.aggregation.json`) and
//! `NAME.txt`; the label map `scannetv2-labels.combined.tsv` in it or in a folder above.

mod annotation;
mod exported;
mod sens;

pub(super) use annotation::read_json;
pub use sens::{Sens, SensFrame, SensHeader};

use super::scan::{
    PIXEL_MIDDLE, Scan, ScanFolders, ScanFrame, ScanMesh, ScanOptions, ScanSource, axis_aligned_box,
    find_folders, fit, folder_name, pose_of, resized, room_around, spread,
};
use super::{Camera, Object, Scene, SceneError, ply};
use crate::geometry::Intrinsics;
use annotation::{Aggregation, NO_OBJECTS, Segments};
use exported::Exported;
use glam::{DMat4, DVec3, Vec3};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Frames a second of the recordings.
pub(crate) const FRAME_RATE: f32 = 24.0;
const LABEL_MAP: &str = "scannetv2-labels.combined.tsv";
/// How many folders above a scan the label map is looked for.
const LABEL_MAP_LEVELS: usize = 4;

/// The scan at `path`, or all those in it.
pub fn source(path: &Path, options: ScanOptions) -> Result<impl ScanSource + use<>, SceneError> {
    let expected = "NAME_vh_clean_2.ply and NAME.sens or exported frames (color/, pose/)";
    let open = |folder: &Path, options: &ScanOptions| -> Result<Box<dyn Scan>, SceneError> {
        Ok(Box::new(ScanNet::open(folder, options)?))
    };
    Ok(ScanFolders { folders: find_folders(path, expected, is_scan)?, options, open })
}

fn is_scan(folder: &Path) -> bool {
    let name = folder_name(folder);
    let is_file = |suffix: &str| folder.join(format!("{name}{suffix}")).is_file();
    is_file("_vh_clean_2.ply") && (is_file(".sens") || Exported::is_in(folder))
}

/// An open scan.
struct ScanNet {
    scene: Scene,
    mesh: ScanMesh,
    recording: Recording,
    /// Of each camera of the scene: place in the `.sens` file, or number of the exported frame.
    frames: Vec<u64>,
    warnings: Vec<String>,
}

enum Recording {
    Sens(Sens),
    Exported(Exported),
}

impl Scan for ScanNet {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn mesh(&self) -> &ScanMesh {
        &self.mesh
    }

    fn frame(&self, camera: usize) -> Result<ScanFrame, SceneError> {
        let at = self.frames[camera];
        let (color, depth) = match &self.recording {
            Recording::Sens(sens) => (sens.color(at as usize)?, Some(sens.depth(at as usize)?)),
            Recording::Exported(exported) => (exported.color(at)?, exported.depth(at)?),
        };
        Ok(ScanFrame { color: resized(color, &self.scene.cameras[camera].intrinsics), depth })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl ScanNet {
    fn open(folder: &Path, options: &ScanOptions) -> Result<Self, SceneError> {
        let name = folder_name(folder);
        let file = |suffix: &str| folder.join(format!("{name}{suffix}"));
        let mut warnings = Vec::new();

        let info_path = file(".txt");
        let info = if info_path.is_file() { annotation::read_info(&info_path)? } else { BTreeMap::new() };
        let alignment = annotation::axis_alignment(&info_path, &info)?.unwrap_or_else(|| {
            warnings.push(format!("{}: no axisAlignment; the scan is taken as it is", info_path.display()));
            DMat4::IDENTITY
        });
        let (mesh, objects) = surface(folder, &name, &alignment, &mut warnings)?;

        let (recording, intrinsic, size, poses) = if file(".sens").is_file() {
            let sens = Sens::open(&file(".sens"), options.skip_bad)?;
            warnings.extend(sens.warnings.iter().cloned());
            let first = sens.frames.first().map_or(0, |frame| frame.color_time);
            let seconds = |frame: &SensFrame| frame.color_time.wrapping_sub(first) as f32 / 1e6;
            let timed = sens.frames.windows(2).all(|pair| pair[0].color_time < pair[1].color_time);
            let poses: Vec<(u64, f32, DMat4)> = (0..)
                .zip(&sens.frames)
                .map(|(at, frame)| {
                    let time = if timed { seconds(frame) } else { at as f32 / FRAME_RATE };
                    (at, time, frame.camera_to_world)
                })
                .collect();
            let (intrinsic, size) = (sens.header.color_intrinsic, sens.header.color_size);
            (Recording::Sens(sens), intrinsic, size, poses)
        } else {
            let exported = Exported::open(folder, options.skip_bad)?;
            warnings.extend(exported.warnings.iter().cloned());
            let poses =
                exported.frames.iter().map(|(at, pose)| (*at, *at as f32 / FRAME_RATE, *pose)).collect();
            let (intrinsic, size) = (exported.intrinsic, exported.color_size);
            (Recording::Exported(exported), intrinsic, size, poses)
        };
        let intrinsics = Intrinsics {
            width: size[0],
            height: size[1],
            fx: intrinsic.x_axis.x as f32,
            fy: intrinsic.y_axis.y as f32,
            cx: intrinsic.z_axis.x as f32 + PIXEL_MIDDLE,
            cy: intrinsic.z_axis.y as f32 + PIXEL_MIDDLE,
        };
        if !(intrinsics.fx > 0.0
            && intrinsics.fy > 0.0
            && intrinsics.cx.is_finite()
            && intrinsics.cy.is_finite())
        {
            return Err(SceneError::File {
                path: folder.to_owned(),
                place: "colour intrinsics".to_owned(),
                problem: format!("{intrinsics:?} is no camera"),
                remedy: "fetch the scan again",
            });
        }
        let total = poses.len();
        let tracked: Vec<_> = poses
            .into_iter()
            .filter_map(|(at, time, pose)| Some((at, time, pose_of(&(alignment * pose))?)))
            .collect();
        if tracked.len() < total {
            warnings.push(format!(
                "{name}: {} of {total} frames have no pose and are left out",
                total - tracked.len()
            ));
        }
        let camera_intrinsics = fit(&intrinsics, options);
        let (mut cameras, mut frames) = (Vec::new(), Vec::new());
        for at in spread(tracked.len(), options.max_frames) {
            let (frame, time, pose) = &tracked[at];
            cameras.push(Camera { pose: *pose, intrinsics: camera_intrinsics, time: Some(*time) });
            frames.push(*frame);
        }
        let mut room = room_around(&mesh);
        room.kind = info.get("sceneType").cloned().unwrap_or_default();
        let scene = Scene { name, source: "scannet".to_owned(), room, objects, cameras };
        Ok(Self { scene, mesh, recording, frames, warnings })
    }
}

/// The surface turned into the world's axes, and the objects on it.
fn surface(
    folder: &Path,
    name: &str,
    alignment: &DMat4,
    warnings: &mut Vec<String>,
) -> Result<(ScanMesh, Vec<Object>), SceneError> {
    let file = |suffix: &str| folder.join(format!("{name}{suffix}"));
    let surface = ply::read(&file("_vh_clean_2.ply"))?;
    let segments_path = file("_vh_clean_2.0.010000.segs.json");
    let segments: Segments = annotation::read_json(&segments_path)?;
    let groups_path = [file(".aggregation.json"), file("_vh_clean.aggregation.json")];
    let groups_path = groups_path.iter().find(|path| path.is_file()).unwrap_or(&groups_path[0]);
    let aggregation: Aggregation = annotation::read_json(groups_path)?;
    if segments.of_vertex.len() != surface.vertices.len() {
        return Err(SceneError::File {
            path: segments_path,
            place: "segIndices".to_owned(),
            problem: format!(
                "has {} entries for {} vertices of the mesh",
                segments.of_vertex.len(),
                surface.vertices.len()
            ),
            remedy: "fetch mesh and segments of the same version",
        });
    }
    let labels = match label_map(folder) {
        Some(path) => Some(annotation::read_label_map(&path)?),
        None => {
            warnings.push(format!(
                "{name}: no {LABEL_MAP} in the folder or above it; labels are taken as they are"
            ));
            None
        }
    };
    let turned = |vertex: &Vec3| {
        let v = alignment.transform_point3(DVec3::new(vertex.x.into(), vertex.y.into(), vertex.z.into()));
        Vec3::new(v.x as f32, v.y as f32, v.z as f32)
    };
    let vertices: Vec<Vec3> = surface.vertices.iter().map(turned).collect();
    let mut mesh = ScanMesh {
        colors: surface.colors.unwrap_or_else(|| vec![[160; 3]; vertices.len()]),
        triangles: surface.triangles,
        instances: vec![0; vertices.len()],
        vertices,
    };
    let mut of_segment: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (vertex, &segment) in (0..).zip(&segments.of_vertex) {
        of_segment.entry(segment).or_default().push(vertex);
    }
    let mut objects = Vec::new();
    let mut unknown = BTreeSet::new();
    for group in &aggregation.groups {
        let nyu40 = labels.as_ref().map(|labels| labels.get(&group.label));
        if let Some(None) = nyu40 {
            unknown.insert(group.label.as_str());
        }
        let structural = matches!(group.label.as_str(), "wall" | "floor" | "ceiling");
        if structural || nyu40.flatten().is_some_and(|id| NO_OBJECTS.contains(id)) {
            continue;
        }
        let Ok(id) = u16::try_from(objects.len() + 1) else {
            warnings.push(format!("{name}: more than 65,535 objects; the rest is left out"));
            break;
        };
        let members: Vec<u32> =
            group.segments.iter().filter_map(|segment| of_segment.get(segment)).flatten().copied().collect();
        let points = members.iter().map(|&vertex| mesh.vertices[vertex as usize]);
        let Some(bounds) = axis_aligned_box(points) else {
            warnings.push(format!("{name}: object {} ({}) has no vertices", group.object, group.label));
            continue;
        };
        for vertex in members {
            mesh.instances[vertex as usize] = id;
        }
        objects.push(Object { id, category: group.label.clone(), bounds, support: None, style: 0 });
    }
    if !unknown.is_empty() {
        let named: Vec<&str> = unknown.into_iter().collect();
        warnings
            .push(format!("{name}: not in the label map, kept under their own names: {}", named.join(", ")));
    }
    Ok((mesh, objects))
}

fn label_map(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().take(LABEL_MAP_LEVELS).map(|above| above.join(LABEL_MAP)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
