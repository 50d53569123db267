//! From 3D to 2D: what of each object a camera sees.

use super::config::{QuestionConfig, VisibilityRule};
use crate::geometry::{OrientedBox, PixelBox};
use crate::scenes::{Camera, Scene};
use glam::Vec3;

/// What is known of a picture besides its colours; row-major, as large as the picture.
pub struct Sight<'a> {
    /// Metres along the camera's Z axis; 0 where nothing was hit.
    pub depth: &'a [f32],
    /// [`crate::scenes::Object::id`] of what is seen; 0 for no object.
    pub instances: &'a [u16],
    /// Pixels that an object would cover with nothing before it and no image border.
    pub pixels_alone: &'a dyn Fn(u16) -> f32,
}

/// One object as one camera sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// [`Object::id`](crate::scenes::Object::id).
    pub instance: u16,
    pub category: String,
    /// World frame, metres.
    pub bounds: OrientedBox,
    /// Tight around the visible pixels, whole numbers.
    pub pixel_box: PixelBox,
    /// Centre of the 3D box in the camera frame (right, down, forward), metres.
    pub camera_position: Vec3,
    pub visible_pixels: u32,
    /// Area of the pixel box as a share of the image.
    pub box_share: f32,
    /// How much of the object is in sight, 0 to 1, by the rule asked for.
    pub visibility: f32,
    /// Full edge lengths along the box's own axes, metres.
    pub size: Vec3,
}

impl Observation {
    /// The pixel box as the released data writes it.
    pub fn bbox_2d(&self) -> [i64; 4] {
        let PixelBox { x1, y1, x2, y2 } = self.pixel_box;
        [x1 as i64, y1 as i64, x2 as i64, y2 as i64]
    }

    /// Whether enough of the object is seen, and large enough, to be asked about.
    pub fn is_clear(&self, config: &QuestionConfig) -> bool {
        self.visibility >= config.min_visibility
            && self.box_share >= config.min_box_share
            && self.pixel_box.width().min(self.pixel_box.height()) >= config.min_box_side as f32
    }
}

/// All objects of which the picture taken by `camera` shows at least one pixel; in the scene's order.
pub fn observe(scene: &Scene, camera: &Camera, sight: &Sight, config: &QuestionConfig) -> Vec<Observation> {
    let footprints = footprints(sight.instances, camera.intrinsics.width as usize);
    let image_area = camera.intrinsics.width as f32 * camera.intrinsics.height as f32;
    let seen = scene.objects.iter().filter_map(|object| {
        let footprint = footprints.get(usize::from(object.id))?;
        (object.id > 0 && footprint.pixels > 0).then(|| Observation {
            instance: object.id,
            category: object.category.clone(),
            bounds: object.bounds,
            pixel_box: footprint.pixel_box(),
            camera_position: camera.pose.inverse_transform_point(object.bounds.center),
            visible_pixels: footprint.pixels,
            box_share: footprint.pixel_box().area() / image_area.max(1.0),
            visibility: match config.visibility_rule {
                VisibilityRule::Pixels => {
                    let whole = (sight.pixels_alone)(object.id);
                    (footprint.pixels as f32 / whole.max(1.0)).min(1.0)
                }
                VisibilityRule::Viewspatial => {
                    corners_in_sight(&object.bounds, camera, sight.depth, config.corner_depth_tolerance_m)
                }
            },
            size: object.bounds.size(),
        })
    });
    seen.collect()
}

/// Pixels of one instance: how many, and where the outermost lie.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    pixels: u32,
    /// Inclusive.
    x: [u32; 2],
    y: [u32; 2],
}

impl Footprint {
    const NONE: Self = Self { pixels: 0, x: [u32::MAX, 0], y: [u32::MAX, 0] };

    fn pixel_box(&self) -> PixelBox {
        PixelBox::new(self.x[0] as f32, self.y[0] as f32, self.x[1] as f32 + 1.0, self.y[1] as f32 + 1.0)
    }
}

/// The footprint of each instance id, from 0.
fn footprints(instances: &[u16], width: usize) -> Vec<Footprint> {
    let mut footprints: Vec<Footprint> = Vec::new();
    for (y, row) in instances.chunks_exact(width.max(1)).enumerate() {
        for (x, &id) in row.iter().enumerate() {
            let id = usize::from(id);
            if id >= footprints.len() {
                footprints.resize(id + 1, Footprint::NONE);
            }
            let footprint = &mut footprints[id];
            let (x, y) = (x as u32, y as u32);
            footprint.pixels += 1;
            footprint.x = [footprint.x[0].min(x), footprint.x[1].max(x)];
            footprint.y = [footprint.y[0].min(y), footprint.y[1].max(y)];
        }
    }
    footprints
}

/// Share of the box's eight corners that lie in the image with nothing before them.
fn corners_in_sight(bounds: &OrientedBox, camera: &Camera, depth: &[f32], tolerance_m: f32) -> f32 {
    let intrinsics = &camera.intrinsics;
    let in_sight = |corner: &Vec3| {
        let local = camera.pose.inverse_transform_point(*corner);
        let Some(pixel) = intrinsics.project(local) else {
            return false;
        };
        let (x, y) = (libm::floorf(pixel.x), libm::floorf(pixel.y));
        let inside = x >= 0.0 && y >= 0.0 && x < intrinsics.width as f32 && y < intrinsics.height as f32;
        inside && {
            let depth =
                depth.get(y as usize * intrinsics.width as usize + x as usize).copied().unwrap_or(0.0);
            !(depth > 0.0 && local.z - depth > tolerance_m)
        }
    };
    bounds.corners().iter().filter(|corner| in_sight(corner)).count() as f32 / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Intrinsics, Pose};
    use crate::render::Renderer;
    use crate::scenes::rooms::{self, RoomOptions};
    use crate::scenes::{Object, stand_points};

    fn observed(scene: &Scene, camera: &Camera, visibility_rule: VisibilityRule) -> Vec<Observation> {
        let renderer = Renderer::new(scene);
        let frame = renderer.render(camera);
        let sight = Sight {
            depth: &frame.depth,
            instances: &frame.instances,
            pixels_alone: &|id| renderer.pixels_alone(id, camera),
        };
        observe(scene, camera, &sight, &QuestionConfig { visibility_rule, ..QuestionConfig::default() })
    }

    /// A hall with a wardrobe four metres before the camera.
    fn one_wardrobe() -> (Scene, Camera) {
        let mut scene = rooms::generate(1, 0, &RoomOptions::default());
        let corner = glam::vec2(5.0, 5.0);
        scene.room.outline = vec![-corner, glam::vec2(5.0, -5.0), corner, glam::vec2(-5.0, 5.0)];
        scene.objects = vec![Object {
            id: 7,
            category: "wardrobe".to_owned(),
            bounds: OrientedBox {
                center: Vec3::new(0.0, 2.0, 1.0),
                half_extents: Vec3::new(0.5, 0.3, 1.0),
                rotation: glam::Quat::IDENTITY,
            },
            support: None,
            style: 1,
        }];
        let camera = Camera {
            pose: Pose::look_at(Vec3::new(0.0, -2.0, 1.0), Vec3::new(0.0, 2.0, 1.0)),
            intrinsics: Intrinsics::from_horizontal_fov(160, 120, 1.0),
            time: None,
        };
        (scene, camera)
    }

    #[test]
    fn an_object_alone_is_wholly_visible_and_one_cut_by_the_border_in_part() {
        let (mut scene, camera) = one_wardrobe();
        for rule in [VisibilityRule::Pixels, VisibilityRule::Viewspatial] {
            let [wardrobe] = &observed(&scene, &camera, rule)[..] else { panic!("one object") };
            assert_eq!(wardrobe.instance, 7);
            // The four corners at its back are hidden behind it.
            let expected = if rule == VisibilityRule::Pixels { 1.0 } else { 0.5 };
            assert_eq!(wardrobe.visibility, expected);
            assert!((wardrobe.camera_position - Vec3::new(0.0, 0.0, 4.0)).length() < 1e-4);
        }
        // Its left edge is now in the middle of the picture's right border.
        scene.objects[0].bounds.center.x = 3.7 * libm::tanf(0.5);
        let cut = &observed(&scene, &camera, VisibilityRule::Pixels)[0];
        assert!((0.35..0.6).contains(&cut.visibility), "{}", cut.visibility);
    }

    #[test]
    fn what_stands_before_an_object_takes_from_its_visibility() {
        let (mut scene, camera) = one_wardrobe();
        let mut screen = scene.objects[0].clone();
        screen.id = 9;
        screen.bounds.center = Vec3::new(0.5, 1.0, 1.05);
        screen.bounds.half_extents = Vec3::new(0.5, 0.1, 1.05);
        scene.objects.push(screen);
        let seen = observed(&scene, &camera, VisibilityRule::Pixels);
        assert_eq!(seen.len(), 2);
        assert!((0.3..0.7).contains(&seen[0].visibility), "{}", seen[0].visibility);
        assert!(seen[1].visibility > 0.97, "{}", seen[1].visibility);
    }

    #[test]
    fn pixel_boxes_are_tight_in_any_room() {
        for index in 0..4 {
            let mut scene = rooms::generate(11, index, &RoomOptions::default());
            let intrinsics = Intrinsics::from_horizontal_fov(96, 72, 1.1);
            scene.cameras = stand_points(&scene, 3, intrinsics, index);
            let renderer = Renderer::new(&scene);
            for camera in &scene.cameras {
                let frame = renderer.render(camera);
                let seen = observed(&scene, camera, VisibilityRule::Pixels);
                let shown = frame.instances.iter().filter(|&&id| id > 0).count();
                assert_eq!(shown, seen.iter().map(|o| o.visible_pixels as usize).sum::<usize>());
                for observation in seen {
                    let [x1, y1, x2, y2] = observation.bbox_2d().map(|side| side as usize);
                    let shows = |x: usize, y: usize| frame.instances[y * 96 + x] == observation.instance;
                    assert!((y1..y2).any(|y| shows(x1, y)) && (y1..y2).any(|y| shows(x2 - 1, y)));
                    assert!((x1..x2).any(|x| shows(x, y1)) && (x1..x2).any(|x| shows(x, y2 - 1)));
                    let within = (y1..y2).flat_map(|y| (x1..x2).map(move |x| (x, y)));
                    let count = within.filter(|&(x, y)| shows(x, y)).count();
                    assert_eq!(count, observation.visible_pixels as usize);
                    assert!(observation.visibility > 0.0 && observation.visibility <= 1.0);
                }
            }
        }
    }
}
