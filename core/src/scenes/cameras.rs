//! Where people stand and walk in a room, and what they look at.

use super::{Camera, Dice, Scene};
use crate::geometry::{Footprint, Intrinsics, Pose, polygon};
use glam::{Mat3, Vec2, Vec3, vec2, vec3};

/// A camera like that of the ScanNet recordings (1,296 × 968 pixels, focal length 1,170) at this picture size:
/// about 58° wide.
pub fn scannet_intrinsics(width: u32, height: u32) -> Intrinsics {
    let focal = 1170.0 / 1296.0 * width as f32;
    Intrinsics { width, height, fx: focal, fy: focal, cx: width as f32 / 2.0, cy: height as f32 / 2.0 }
}

/// How many places are tried for each camera wanted.
const TRIES: u32 = 24;

/// `count` cameras at the height of a person's eyes (1.3–1.7 m above the floor), inside the room and outside
/// its objects, each looking slightly down to where the objects are. Views differ from one another in place or
/// direction. Fewer only when `count` is 0.
pub fn stand_points(scene: &Scene, count: u32, intrinsics: Intrinsics, seed: u64) -> Vec<Camera> {
    let mut dice = Dice::new(seed, 11);
    let footprints: Vec<Footprint> = scene.objects.iter().map(|o| o.bounds.footprint()).collect();
    let solids = Solid::all(scene);
    let mut cameras: Vec<Camera> = Vec::new();
    for _ in 0..count {
        let mut best: Option<(f32, Pose)> = None;
        for _ in 0..TRIES {
            let pose = draw_pose(scene, &footprints, &mut dice);
            let mut score = score(scene, &solids, &intrinsics, &pose)
                + clearance(scene, &footprints, pose.translation).min(0.0) * 40.0;
            for other in &cameras {
                let apart = other.pose.translation.distance(pose.translation);
                let turned = 1.0 - forward(&other.pose).dot(forward(&pose));
                score -= 2.5 * (1.0 - apart / 1.5 - turned).max(0.0);
            }
            if best.as_ref().is_none_or(|(s, _)| score > *s) {
                best = Some((score, pose));
            }
        }
        cameras.extend(best.map(|(_, pose)| Camera { pose, intrinsics, time: None }));
    }
    cameras
}

fn forward(pose: &Pose) -> Vec3 {
    pose.transform_point(Vec3::Z) - pose.translation
}

fn draw_pose(scene: &Scene, footprints: &[Footprint], dice: &mut Dice) -> Pose {
    let (low, high) = polygon::bounds(&scene.room.outline);
    let eye_height = scene.room.floor + dice.between(1.3, 1.7).min(scene.room.height - 0.25);
    let mut eye = vec3((low.x + high.x) * 0.5, (low.y + high.y) * 0.5, eye_height);
    let mut most = f32::MIN;
    for _ in 0..12 {
        let place = vec2(dice.between(low.x, high.x), dice.between(low.y, high.y)).extend(eye_height);
        let room = clearance(scene, footprints, place);
        if room > most {
            (most, eye) = (room, place);
        }
        if room >= 0.0 {
            break;
        }
    }
    // Towards an object, not its exact middle, rather one some steps away.
    let candidates: Vec<Vec3> =
        scene.objects.iter().map(|o| o.bounds.center).filter(|c| c.distance(eye) > 1.2).collect();
    let middle = vec3((low.x + high.x) * 0.5, (low.y + high.y) * 0.5, scene.room.floor + 0.8);
    let target = dice.pick(&candidates).copied().unwrap_or(middle);
    let away = (target - eye).truncate().length().max(0.5);
    let aside = (target - eye).truncate().perp().normalize_or(Vec2::X) * dice.between(-0.25, 0.25) * away;
    let down = libm::tanf(dice.between(6.0, 24.0_f32).to_radians());
    let target = (target.truncate() + aside).extend(eye.z - down * away);
    Pose::look_at(eye, target)
}

/// Metres to the nearest wall or object beyond what a person needs; negative when too near or inside.
pub(super) fn clearance(scene: &Scene, footprints: &[Footprint], eye: Vec3) -> f32 {
    let at = eye.truncate();
    let wall = polygon::distance_to_edges(&scene.room.outline, at);
    let wall = if polygon::contains(&scene.room.outline, at) { wall - 0.35 } else { -wall - 0.35 };
    footprints
        .iter()
        // What hangs above the head is no obstacle.
        .filter(|f| f.z[0] < eye.z + 0.2)
        .map(|f| f.distance(at) - 0.25)
        .fold(wall, f32::min)
}

/// How much there is to see, by a few dozen rays against the boxes of the objects: each object counts the
/// more of the picture it takes up, but only up to a share; what is too near or covers all else counts against.
fn score(scene: &Scene, solids: &[Solid], intrinsics: &Intrinsics, pose: &Pose) -> f32 {
    const RAYS: [u32; 2] = [13, 10];
    let each = 1.0 / (RAYS[0] * RAYS[1]) as f32;
    let axes = Mat3::from_quat(pose.rotation);
    let eye = pose.translation;
    let mut shares = vec![0.0_f32; scene.objects.len()];
    let mut near = 0.0;
    for row in 0..RAYS[1] {
        for column in 0..RAYS[0] {
            let u = (column as f32 + 0.5) / RAYS[0] as f32 * intrinsics.width as f32;
            let v = (row as f32 + 0.5) / RAYS[1] as f32 * intrinsics.height as f32;
            let ray = vec3((u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy, 1.0);
            let ray = axes * ray;
            let hit = solids
                .iter()
                .enumerate()
                .filter_map(|(i, solid)| Some((solid.hit(eye, ray)?, i)))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((depth, i)) = hit {
                shares[i] += each;
                if depth < 0.9 {
                    near += each;
                }
            }
        }
    }
    let seen: f32 = shares
        .iter()
        .zip(&scene.objects)
        .map(|(share, object)| {
            let worth =
                if matches!(object.category.as_str(), "door" | "window" | "curtain") { 0.5 } else { 1.0 };
            (share / 0.025).min(1.0) * worth - (share - 0.35).max(0.0) * 5.0
        })
        .sum();
    seen - near * 4.0
}

/// An object's box made ready for rays.
struct Solid {
    center: Vec3,
    half: Vec3,
    to_local: Mat3,
}

impl Solid {
    fn all(scene: &Scene) -> Vec<Self> {
        let solid = |o: &super::Object| Self {
            center: o.bounds.center,
            half: o.bounds.half_extents,
            to_local: o.bounds.axes().transpose(),
        };
        scene.objects.iter().map(solid).collect()
    }

    /// How many times the ray's length away it meets the box from outside.
    fn hit(&self, from: Vec3, ray: Vec3) -> Option<f32> {
        let (start, step) = (self.to_local * (from - self.center), self.to_local * ray);
        let inverse = step.recip();
        let (a, b) = ((-self.half - start) * inverse, (self.half - start) * inverse);
        let (enter, leave) = (a.min(b).max_element(), a.max(b).min_element());
        (enter > 0.0 && enter < leave).then_some(enter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::rooms::{RoomOptions, generate};

    #[test]
    fn people_stand_in_the_room_and_not_in_the_furniture() {
        for index in 0..12 {
            let scene = generate(3, index, &RoomOptions::default());
            let cameras = stand_points(&scene, 4, scannet_intrinsics(640, 480), index);
            assert_eq!(cameras.len(), 4);
            for camera in &cameras {
                let eye = camera.pose.translation;
                assert!((1.3..=1.7).contains(&(eye.z - scene.room.floor)));
                assert!(polygon::contains(&scene.room.outline, eye.truncate()));
                assert!(!scene.objects.iter().any(|o| o.bounds.contains(eye, 0.1)), "room {index}");
                let down = forward(&camera.pose).z;
                assert!((-0.6..0.0).contains(&down), "looks {down}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_cameras() {
        let scene = generate(3, 1, &RoomOptions::default());
        let draw = |seed| stand_points(&scene, 3, scannet_intrinsics(64, 48), seed);
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
