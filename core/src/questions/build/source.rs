//! Scenes one by one, with what their cameras see.

use crate::geometry::Intrinsics;
use crate::questions::{QuestionConfig, QuestionError, ScanFormat, SourceSpec};
use crate::render::{Renderer, SurfaceRenderer};
use crate::scenes::rooms::{self, RoomOptions};
use crate::scenes::scan::{Scan, ScanMesh, ScanOptions, ScanSource, SensorDepth, spread};
use crate::scenes::{self, Dice, Scene};

/// Where scenes come from.
pub(super) enum SceneSource {
    Rooms { count: usize, options: RoomOptions },
    Listed(Vec<Scene>),
    Scans(Box<dyn ScanSource>),
}

/// A scene ready to be looked at.
pub(super) struct OpenScene {
    pub scene: Scene,
    /// Cameras whose pictures stand alone or together as views.
    pub stills: Vec<usize>,
    /// Cameras of a video, in the order of time.
    pub video: Vec<usize>,
    pictures: Pictures,
    /// What was left out while reading.
    pub warnings: Vec<String>,
}

enum Pictures {
    Drawn(Box<Renderer>),
    Scanned { scan: Box<dyn Scan>, surface: Box<SurfaceRenderer>, depth_tolerance: f32 },
}

/// What one camera sees.
pub(super) struct Look {
    pub color: image::RgbImage,
    pub depth: Vec<f32>,
    pub instances: Vec<u16>,
}

impl SceneSource {
    pub fn open(spec: &SourceSpec, config: &QuestionConfig, skip_bad: bool) -> Result<Self, QuestionError> {
        Ok(match spec {
            SourceSpec::Rooms(count) => Self::Rooms { count: *count, options: config.rooms },
            SourceSpec::VsiMeta(path) => {
                let scenes = scenes::vsi_meta::read(path)?;
                let plain = scenes::vsi_meta::plain_categories(&scenes);
                if !plain.is_empty() {
                    let named: Vec<_> =
                        plain.iter().map(|(name, count)| format!("{name} ({count})")).collect();
                    log::warn!(
                        "{spec}: no shape is known for {}; they are drawn as plain blocks. To leave them out of \
                         the questions, list the other categories in the config",
                        named.join(", ")
                    );
                }
                Self::Listed(scenes)
            }
            SourceSpec::Scans(format, path) => {
                let options = ScanOptions {
                    max_frames: config.max_scan_frames,
                    max_width: config.image_width,
                    max_height: config.image_height,
                    skip_bad,
                };
                Self::Scans(match format {
                    ScanFormat::ScanNet => Box::new(scenes::scannet::source(path, options)?),
                    ScanFormat::ArkitScenes => Box::new(scenes::arkitscenes::source(path, options)?),
                    ScanFormat::ScanNetPp => Box::new(scenes::scannetpp::source(path, options)?),
                })
            }
        })
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Rooms { count, .. } => *count,
            Self::Listed(scenes) => scenes.len(),
            Self::Scans(scans) => scans.folders().len(),
        }
    }

    /// Opens scene number `index`; `dice` decides where its cameras stand.
    pub fn scene(
        &self,
        index: usize,
        seed: u64,
        config: &QuestionConfig,
        dice: &mut Dice,
    ) -> Result<OpenScene, QuestionError> {
        let open = match self {
            Self::Rooms { options, .. } => {
                furnished(rooms::generate(seed, index as u64, options), config, dice)
            }
            Self::Listed(scenes) => furnished(scenes[index].clone(), config, dice),
            Self::Scans(scans) => scanned(scans.open(index)?, config),
        };
        let name = &open.scene.name;
        let harmless = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(harmless) {
            return Err(QuestionError::SceneName { name: name.clone() });
        }
        Ok(open)
    }
}

/// Frames a second at which a walk is planned; the video keeps some of them.
const WALK_FPS: f32 = 12.0;

/// A scene without pictures of its own: cameras are placed in it, and what they see is drawn.
fn furnished(mut scene: Scene, config: &QuestionConfig, dice: &mut Dice) -> OpenScene {
    let intrinsics = Intrinsics::from_horizontal_fov(
        config.image_width,
        config.image_height,
        config.horizontal_fov_deg.to_radians(),
    );
    scene.cameras = scenes::stand_points(&scene, config.frames_per_scene, intrinsics, dice.seed());
    let stills: Vec<usize> = (0..scene.cameras.len()).collect();
    let mut video = Vec::new();
    if config.spatial.video {
        let walk = scenes::walk(&scene, intrinsics, WALK_FPS, config.spatial.video_seconds, dice.seed());
        let first = scene.cameras.len();
        scene.cameras.extend(spread(walk.len(), config.spatial.video_frames).map(|at| walk[at].clone()));
        video = (first..scene.cameras.len()).collect();
    }
    let pictures = Pictures::Drawn(Box::new(Renderer::new(&scene)));
    OpenScene { scene, stills, video, pictures, warnings: Vec::new() }
}

/// A scan: its own frames serve as stills and as video.
fn scanned(scan: Box<dyn Scan>, config: &QuestionConfig) -> OpenScene {
    let scene = scan.scene().clone();
    let count = scene.cameras.len();
    let video =
        if config.spatial.video { spread(count, config.spatial.video_frames).collect() } else { Vec::new() };
    OpenScene {
        stills: spread(count, config.frames_per_scene as usize).collect(),
        video,
        warnings: scan.warnings().to_vec(),
        pictures: Pictures::Scanned {
            surface: Box::new(SurfaceRenderer::new(scan.mesh())),
            scan,
            depth_tolerance: config.depth_tolerance,
        },
        scene,
    }
}

impl OpenScene {
    /// What a camera of the scene sees.
    pub fn look(&self, camera: usize) -> Result<Look, QuestionError> {
        match &self.pictures {
            Pictures::Drawn(renderer) => {
                let frame = renderer.render(&self.scene.cameras[camera]);
                Ok(Look { color: frame.color, depth: frame.depth, instances: frame.instances })
            }
            Pictures::Scanned { scan, surface, depth_tolerance } => {
                let intrinsics = self.scene.cameras[camera].intrinsics;
                let frame = scan.frame(camera)?;
                let mut view = surface.view(&self.scene.cameras[camera]);
                if let Some(sensor) = &frame.depth {
                    let measured = stretched(sensor, intrinsics.width, intrinsics.height);
                    for ((drawn, instance), &measured) in
                        view.depth.iter_mut().zip(&mut view.instances).zip(&measured)
                    {
                        // Something that was not reconstructed may stand before the surface.
                        if measured > 0.0 && (measured - *drawn).abs() > depth_tolerance * measured {
                            *instance = 0;
                        }
                        if measured > 0.0 {
                            *drawn = measured;
                        }
                    }
                }
                Ok(Look { color: frame.color, depth: view.depth, instances: view.instances })
            }
        }
    }

    /// Pixels that an object would cover with nothing before it.
    pub fn pixels_alone(&self, object: u16, camera: usize) -> f32 {
        match &self.pictures {
            Pictures::Drawn(renderer) => renderer.pixels_alone(object, &self.scene.cameras[camera]),
            Pictures::Scanned { surface, .. } => surface.pixels_alone(object, &self.scene.cameras[camera]),
        }
    }

    /// The scanned surface, of a scan.
    pub fn mesh(&self) -> Option<&ScanMesh> {
        match &self.pictures {
            Pictures::Drawn(_) => None,
            Pictures::Scanned { scan, .. } => Some(scan.mesh()),
        }
    }
}

/// Measured depth at the resolution of the picture, each pixel from the nearest measurement.
fn stretched(depth: &SensorDepth, width: u32, height: u32) -> Vec<f32> {
    let place = |at: u32, from: u32, to: u32| (at as usize * from as usize) / to.max(1) as usize;
    (0..height)
        .flat_map(|y| {
            let row = place(y, depth.height, height) * depth.width as usize;
            (0..width).map(move |x| row + place(x, depth.width, width))
        })
        .map(|at| depth.metres.get(at).copied().unwrap_or(0.0))
        .collect()
}
