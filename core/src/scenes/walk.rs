//! A walk through a room, as somebody with a camera in hand would take it.

use super::cameras::clearance;
use super::{Camera, Dice, Scene};
use crate::geometry::{Footprint, Intrinsics, Pose, polygon};
use glam::{Vec2, Vec3, vec2};
use std::collections::VecDeque;

/// Grid of places to walk on, metres.
const CELL: f32 = 0.1;
/// Walking speed, metres a second.
const SPEED: f32 = 0.45;
/// Distance between the points that a path is kept as, metres.
const STEP: f32 = 0.05;

/// Cameras along a smooth path between the furniture, `fps` a second for so many seconds, each with its time.
/// The path visits far corners of the free floor in turn; the camera looks ahead, drawn towards objects nearby,
/// slightly down. Where nobody could walk, the camera turns about on the freest spot.
pub fn walk(scene: &Scene, intrinsics: Intrinsics, fps: f32, seconds: f32, seed: u64) -> Vec<Camera> {
    let frames = (fps.max(0.0) * seconds.max(0.0)).min(1e6) as usize;
    if frames == 0 {
        return Vec::new();
    }
    let mut dice = Dice::new(seed, 12);
    let height = scene.room.floor + dice.between(1.35, 1.6).min(scene.room.height - 0.25);
    let ground = Ground::new(scene, height);
    let path = ground.path(SPEED * seconds, &mut dice);
    let places: Vec<Vec2> = (0..frames).map(|i| along(&path, SPEED * i as f32 / fps)).collect();
    let directions = gaze(scene, &places, &path, fps, dice.between(10.0, 18.0).to_radians());
    places
        .iter()
        .zip(directions)
        .enumerate()
        .map(|(i, (place, direction))| {
            let time = i as f32 / fps;
            // A step every 0.6 s.
            let bob = 0.008 * libm::sinf(time * std::f32::consts::TAU / 0.6);
            let eye = place.extend(height + bob);
            Camera { pose: Pose::look_at(eye, eye + direction), intrinsics, time: Some(time) }
        })
        .collect()
}

/// Where the camera looks at each place: unit vectors that turn without jerks.
fn gaze(scene: &Scene, places: &[Vec2], path: &[Vec2], fps: f32, down: f32) -> Vec<Vec3> {
    let walking = path.len() > 1;
    let wanted = places.iter().enumerate().map(|(i, &place)| {
        let time = i as f32 / fps;
        let ahead = if walking {
            (along(path, SPEED * time + 0.8) - place).normalize_or(Vec2::X)
        } else {
            vec2(libm::cosf(time * 0.5), libm::sinf(time * 0.5))
        };
        let pull: Vec2 = scene
            .objects
            .iter()
            .map(|o| o.bounds.center.truncate() - place)
            .filter(|away| away.length() > 0.5 && away.dot(ahead) > 0.0)
            .map(|away| away / away.length_squared().max(0.6))
            .sum();
        ahead + if walking { pull.clamp_length_max(1.2) * 0.8 } else { Vec2::ZERO }
    });
    let mut headings: Vec<Vec2> = wanted.map(|d| d.normalize_or(Vec2::X)).collect();
    // The head follows half a second behind; once forwards and once backwards takes the lag out again.
    let follow = 1.0 / (0.5 * fps).max(1.0);
    for _ in 0..2 {
        let mut heading = headings.first().copied().unwrap_or(Vec2::X);
        for wanted in &mut headings {
            heading = (heading + (*wanted - heading) * follow).normalize_or(*wanted);
            *wanted = heading;
        }
        headings.reverse();
    }
    let (sin, cos) = (libm::sinf(down), libm::cosf(down));
    headings.iter().map(|h| (*h * cos).extend(-sin)).collect()
}

/// The place this far along a path of points [`STEP`] apart; at its end it turns back.
fn along(path: &[Vec2], distance: f32) -> Vec2 {
    let Some(last) = path.len().checked_sub(1).filter(|l| *l > 0) else {
        return path.first().copied().unwrap_or(Vec2::ZERO);
    };
    let whole = distance.max(0.0) / STEP;
    let (index, t) = (whole as usize, whole - (whole as usize) as f32);
    let point = |i: usize| {
        let i = i % (2 * last);
        path[if i > last { 2 * last - i } else { i }]
    };
    point(index).lerp(point(index + 1), t)
}

/// The floor as a grid of places where a person fits.
struct Ground<'a> {
    scene: &'a Scene,
    footprints: Vec<Footprint>,
    origin: Vec2,
    columns: usize,
    rows: usize,
    height: f32,
    free: Vec<bool>,
}

impl<'a> Ground<'a> {
    fn new(scene: &'a Scene, height: f32) -> Self {
        let (low, high) = polygon::bounds(&scene.room.outline);
        let columns = ((high.x - low.x) / CELL).clamp(1.0, 400.0) as usize;
        let rows = ((high.y - low.y) / CELL).clamp(1.0, 400.0) as usize;
        let footprints = scene.objects.iter().map(|o| o.bounds.footprint()).collect();
        let mut ground = Self { scene, footprints, origin: low, columns, rows, height, free: Vec::new() };
        ground.free = (0..columns * rows).map(|cell| ground.fits(ground.center(cell))).collect();
        ground
    }

    fn center(&self, cell: usize) -> Vec2 {
        self.origin + vec2((cell % self.columns) as f32 + 0.5, (cell / self.columns) as f32 + 0.5) * CELL
    }

    fn fits(&self, place: Vec2) -> bool {
        clearance(self.scene, &self.footprints, place.extend(self.height)) >= 0.0
    }

    /// Steps from a cell to every cell that can be reached from it.
    fn steps_from(&self, start: usize) -> Vec<Option<u32>> {
        let mut steps = vec![None; self.free.len()];
        steps[start] = Some(0);
        let mut queue = VecDeque::from([start]);
        while let Some(cell) = queue.pop_front() {
            for next in self.neighbours(cell) {
                if self.free[next] && steps[next].is_none() {
                    steps[next] = steps[cell].map(|s| s + 1);
                    queue.push_back(next);
                }
            }
        }
        steps
    }

    fn neighbours(&self, cell: usize) -> impl Iterator<Item = usize> + use<> {
        let (x, y, columns, rows) = (cell % self.columns, cell / self.columns, self.columns, self.rows);
        let left = (x > 0).then(|| cell - 1);
        let right = (x + 1 < columns).then_some(cell + 1);
        let below = (y > 0).then(|| cell - columns);
        let above = (y + 1 < rows).then_some(cell + columns);
        [left, right, below, above].into_iter().flatten()
    }

    /// A smooth path of at least this length where there is room for one, else one point.
    fn path(&self, length: f32, dice: &mut Dice) -> Vec<Vec2> {
        // The largest connected piece of free floor.
        let mut seen = vec![false; self.free.len()];
        let mut piece: Vec<usize> = Vec::new();
        for cell in 0..self.free.len() {
            if self.free[cell] && !seen[cell] {
                let steps = self.steps_from(cell);
                let reached: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].is_some()).collect();
                for &i in &reached {
                    seen[i] = true;
                }
                if reached.len() > piece.len() {
                    piece = reached;
                }
            }
        }
        let Some(&start) = dice.pick(&piece) else {
            let freest = (0..self.free.len())
                .map(|cell| {
                    (clearance(self.scene, &self.footprints, self.center(cell).extend(self.height)), cell)
                })
                .max_by(|a, b| a.0.total_cmp(&b.0));
            return vec![freest.map_or(self.origin, |(_, cell)| self.center(cell))];
        };
        let mut cells = vec![start];
        let mut here = start;
        // From one far corner to the next: of a few drawn cells, the farthest on foot.
        for _ in 0..64 {
            if cells.len() as f32 * CELL > length + 1.0 {
                break;
            }
            let steps = self.steps_from(here);
            let drawn: Vec<usize> = (0..4).filter_map(|_| dice.pick(&piece).copied()).collect();
            let Some(goal) = drawn.into_iter().max_by_key(|&c| steps[c]) else {
                break;
            };
            let mut way = vec![goal];
            let mut cell = goal;
            while let Some(next) =
                self.neighbours(cell).find(|&n| steps[n].is_some() && steps[n] < steps[cell])
            {
                way.push(next);
                cell = next;
            }
            way.reverse();
            cells.extend(way.into_iter().skip(1));
            here = goal;
        }
        self.smooth(cells.into_iter().map(|c| self.center(c)).collect())
    }

    /// Rounds off the corners as far as a person still fits, and spaces the points evenly.
    fn smooth(&self, mut path: Vec<Vec2>) -> Vec<Vec2> {
        for _ in 0..60 {
            for i in 1..path.len().saturating_sub(1) {
                let rounder = (path[i - 1] + path[i] * 2.0 + path[i + 1]) * 0.25;
                if self.fits(rounder) {
                    path[i] = rounder;
                }
            }
        }
        let mut even: Vec<Vec2> = path.first().copied().into_iter().collect();
        for &point in &path {
            while let Some(&last) = even.last() {
                let away = point.distance(last);
                if away < STEP {
                    break;
                }
                even.push(last + (point - last) * (STEP / away));
            }
        }
        even
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::rooms::{RoomOptions, generate};
    use crate::scenes::scannet_intrinsics;

    #[test]
    fn a_walk_is_smooth_and_bumps_into_nothing() {
        for index in 0..6 {
            let scene = generate(5, index, &RoomOptions::default());
            let cameras = walk(&scene, scannet_intrinsics(64, 48), 12.0, 10.0, index);
            assert_eq!(cameras.len(), 120);
            for pair in cameras.windows(2) {
                let [a, b] = [&pair[0].pose, &pair[1].pose];
                assert!(a.translation.distance(b.translation) < 0.06, "room {index}");
                let ahead = |p: &Pose| p.transform_point(Vec3::Z) - p.translation;
                assert!(ahead(a).dot(ahead(b)) > 0.97, "room {index} turns too fast");
                assert!(pair[1].time > pair[0].time);
            }
            let inside = |c: &Camera| polygon::contains(&scene.room.outline, c.pose.translation.truncate());
            assert!(cameras.iter().all(inside));
            let hit = |c: &Camera| scene.objects.iter().any(|o| o.bounds.contains(c.pose.translation, 0.05));
            assert!(!cameras.iter().any(hit), "room {index}");
            let travelled: f32 =
                cameras.windows(2).map(|w| w[0].pose.translation.distance(w[1].pose.translation)).sum();
            assert!(travelled > 2.0, "room {index}: {travelled} m");
        }
    }

    #[test]
    fn no_time_no_cameras() {
        let scene = generate(5, 0, &RoomOptions::default());
        assert!(walk(&scene, scannet_intrinsics(64, 48), 0.0, 10.0, 0).is_empty());
        assert!(walk(&scene, scannet_intrinsics(64, 48), f32::NAN, 10.0, 0).is_empty());
    }
}
