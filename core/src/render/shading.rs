//! From light to bytes.

use crate::scenes::Camera;
use glam::{Mat3, Vec2, Vec3, vec3};
use std::sync::OnceLock;

/// What is seen where there is nothing at all.
pub const NOTHING: Vec3 = vec3(0.02, 0.02, 0.02);

/// Where pixels look.
#[derive(Debug)]
pub struct View {
    pub eye: Vec3,
    /// Width of a pixel at a depth of one metre.
    pub pixel_size: f32,
    axes: Mat3,
    /// 1 / focal length.
    slope: Vec2,
    center: Vec2,
}

impl View {
    pub fn new(camera: &Camera) -> Self {
        let i = &camera.intrinsics;
        Self {
            eye: camera.pose.translation,
            pixel_size: 1.0 / i.fx,
            axes: Mat3::from_quat(camera.pose.rotation),
            slope: Vec2::new(i.fx, i.fy).recip(),
            center: Vec2::new(i.cx, i.cy),
        }
    }

    /// The place in the world seen in this pixel at this depth.
    pub fn position(&self, pixel: Vec2, depth: f32) -> Vec3 {
        let ray = (pixel - self.center) * self.slope;
        self.eye + self.axes * (ray.extend(1.0) * depth)
    }
}

/// A film curve with sRGB encoding, as a table over linear light.
#[derive(Debug)]
pub struct Tones {
    table: Vec<u8>,
}

const STEPS: usize = 1 << 14;
/// Linear light that is shown as white.
const WHITE: f32 = 2.5;

/// The table, made at the first call.
pub fn tones() -> &'static Tones {
    static TABLE: OnceLock<Tones> = OnceLock::new();
    TABLE.get_or_init(|| {
        let table = (0..STEPS)
            .map(|i| {
                let light = (i as f32 + 0.5) * (WHITE / STEPS as f32);
                let film = light * (1.0 + light / (WHITE * WHITE)) / (1.0 + 0.45 * light) * 1.28;
                let film = film.clamp(0.0, 1.0);
                let encoded = if film <= 0.003_130_8 {
                    film * 12.92
                } else {
                    1.055 * libm::powf(film, 1.0 / 2.4) - 0.055
                };
                (encoded * 255.0 + 0.5) as u8
            })
            .collect();
        Tones { table }
    })
}

impl Tones {
    /// The byte for an amount of linear light.
    pub fn byte(&self, light: f32) -> u8 {
        self.table[((light * (STEPS as f32 / WHITE)) as i32).clamp(0, STEPS as i32 - 1) as usize]
    }
}
