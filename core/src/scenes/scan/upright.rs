//! Pictures taken with the device held sideways or upside down, turned upright together with their cameras.
//!
//! "Left of" in a question means left in an upright picture, so a recording is turned by as many quarters as bring
//! the world's up nearest to the top of the picture.

use super::SensorDepth;
use crate::geometry::{Intrinsics, Pose};
use crate::scenes::Camera;
use glam::{Mat3, Quat, Vec2, Vec3};
use image::{ImageBuffer, Luma, RgbImage, imageops};

/// Quarter turns clockwise, 0 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarterTurns(u8);

impl QuarterTurns {
    /// What brings pictures with these poses upright, judged by all of them together: single ones may look straight
    /// up or down.
    pub fn upright<'a>(poses: impl Iterator<Item = &'a Pose>) -> Self {
        let up: Vec2 = poses
            .map(|pose| (Mat3::from_quat(pose.rotation).transpose() * Vec3::Z).truncate())
            .fold(Vec2::ZERO, |sum, up| sum + up);
        // The camera's y points down.
        Self(match (up.x.abs() > up.y.abs(), up) {
            (false, up) if up.y > 0.0 => 2,
            (false, _) => 0,
            (true, up) if up.x > 0.0 => 3,
            (true, _) => 1,
        })
    }

    /// The camera that takes the turned picture.
    pub fn camera(self, mut camera: Camera) -> Camera {
        // The new x is the old -y, the new y the old x.
        let quarter = Mat3::from_cols(Vec3::NEG_Y, Vec3::X, Vec3::Z);
        for _ in 0..self.0 {
            let k = camera.intrinsics;
            camera.intrinsics = Intrinsics {
                width: k.height,
                height: k.width,
                fx: k.fy,
                fy: k.fx,
                cx: k.height as f32 - k.cy,
                cy: k.cx,
            };
            let rotation = Mat3::from_quat(camera.pose.rotation) * quarter;
            camera.pose.rotation = Quat::from_mat3(&rotation).normalize();
        }
        camera
    }

    /// The turned picture.
    pub fn color(self, picture: RgbImage) -> RgbImage {
        match self.0 {
            0 => picture,
            1 => imageops::rotate90(&picture),
            2 => imageops::rotate180(&picture),
            _ => imageops::rotate270(&picture),
        }
    }

    /// The turned depth.
    pub fn depth(self, depth: SensorDepth) -> SensorDepth {
        let SensorDepth { width, height, metres } = depth;
        let image: ImageBuffer<Luma<f32>, Vec<f32>> =
            ImageBuffer::from_raw(width, height, metres).unwrap_or_default();
        let image = match self.0 {
            0 => image,
            1 => imageops::rotate90(&image),
            2 => imageops::rotate180(&image),
            _ => imageops::rotate270(&image),
        };
        let (width, height) = image.dimensions();
        SensorDepth { width, height, metres: image.into_raw() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Renderer;
    use crate::scenes::rooms::{RoomOptions, generate};
    use crate::scenes::{scannet_intrinsics, stand_points};

    #[test]
    fn a_turned_picture_is_what_the_turned_camera_sees() {
        let scene = generate(3, 1, &RoomOptions::default());
        let camera = stand_points(&scene, 1, scannet_intrinsics(64, 48), 0).remove(0);
        assert_eq!(QuarterTurns::upright([camera.pose].iter()), QuarterTurns(0));
        let renderer = Renderer::new(&scene);
        let seen = renderer.render(&camera);
        for turns in 0..4 {
            let turned = QuarterTurns(turns).camera(camera.clone());
            let drawn = renderer.render(&turned);
            let depth = SensorDepth { width: 64, height: 48, metres: seen.depth.clone() };
            let depth = QuarterTurns(turns).depth(depth);
            assert_eq!((depth.width, depth.height), (turned.intrinsics.width, turned.intrinsics.height));
            let near = depth.metres.iter().zip(&drawn.depth).filter(|(a, b)| (*a - *b).abs() < 1e-3).count();
            assert!(near as f32 > 0.99 * drawn.depth.len() as f32, "{turns}: {near}");
            assert_eq!(QuarterTurns(turns).color(seen.color.clone()).dimensions(), drawn.color.dimensions());
            // And turned on until it is upright again.
            assert_eq!(QuarterTurns::upright([turned.pose].iter()), QuarterTurns((4 - turns) % 4));
        }
    }
}
