//! Space: poses, cameras, boxes and their projection. World frame: metres, right-handed, +Z up.
//! Camera frame (OpenCV): +X right, +Y down, +Z forward.

//!
//! Everything here is plain scalar arithmetic in a fixed order (and `libm` for what is transcendental), so
//! that the same input gives the same bits on every machine. That is why rotations go through [`Mat3`] and
//! never through glam's SIMD quaternion product.

pub mod alpha_shape;
mod closest;
mod footprint;
pub mod polygon;

pub use footprint::Footprint;

use glam::{Mat3, Quat, Vec3};
use serde::{Deserialize, Serialize};

/// The rotation by `angle` radians about world +Z, counter-clockwise seen from above.
pub fn yaw(angle: f32) -> Quat {
    Quat::from_xyzw(0.0, 0.0, libm::sinf(angle * 0.5), libm::cosf(angle * 0.5))
}

/// A rigid transform from the local frame (a camera's, an object's) to the world frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    pub rotation: Quat,
    /// Metres.
    pub translation: Vec3,
}

/// A pinhole camera without distortion; all values in pixels. The centre of the top left pixel is (0.5, 0.5).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intrinsics {
    pub width: u32,
    pub height: u32,
    pub fx: f32,
    pub fy: f32,
    pub cx: f32,
    pub cy: f32,
}

/// A box with any orientation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OrientedBox {
    /// Metres, world frame.
    pub center: Vec3,
    /// Half the edge lengths along the box's own axes, in metres.
    pub half_extents: Vec3,
    /// From the box's own axes to the world.
    pub rotation: Quat,
}

/// An axis-aligned rectangle in an image, in pixels of that image: `x1 <= x < x2`, `y1 <= y < y2`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelBox {
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
}

impl Pose {
    pub const IDENTITY: Self = Self { rotation: Quat::IDENTITY, translation: Vec3::ZERO };

    /// Camera-to-world pose of a camera at `eye` that looks at `target`, upright (world +Z up in the picture).
    pub fn look_at(eye: Vec3, target: Vec3) -> Self {
        let forward = (target - eye).normalize_or(Vec3::X);
        let right = forward.cross(Vec3::Z).normalize_or(Vec3::X);
        let down = forward.cross(right);
        Self { rotation: Quat::from_mat3(&Mat3::from_cols(right, down, forward)), translation: eye }
    }

    /// A point of the local frame in the world frame.
    pub fn transform_point(&self, local: Vec3) -> Vec3 {
        Mat3::from_quat(self.rotation) * local + self.translation
    }

    /// A point of the world frame in the local frame.
    pub fn inverse_transform_point(&self, world: Vec3) -> Vec3 {
        Mat3::from_quat(self.rotation).transpose() * (world - self.translation)
    }
}

impl Intrinsics {
    /// A camera with square pixels, the principal point in the middle, and a horizontal field of view in radians.
    pub fn from_horizontal_fov(width: u32, height: u32, fov_rad: f32) -> Self {
        let fx = width as f32 / (2.0 * libm::tanf(fov_rad / 2.0));
        Self { width, height, fx, fy: fx, cx: width as f32 / 2.0, cy: height as f32 / 2.0 }
    }

    /// Pixel coordinates of a point in the camera frame; `None` at or behind the camera.
    pub fn project(&self, camera_point: Vec3) -> Option<glam::Vec2> {
        (camera_point.z > 1e-6).then(|| {
            glam::vec2(
                self.fx * camera_point.x / camera_point.z + self.cx,
                self.fy * camera_point.y / camera_point.z + self.cy,
            )
        })
    }
}

impl OrientedBox {
    /// The eight corners in the world frame.
    pub fn corners(&self) -> [Vec3; 8] {
        let axes = self.axes();
        std::array::from_fn(|i| {
            let sign = Vec3::new(
                if i & 1 == 0 { -1.0 } else { 1.0 },
                if i & 2 == 0 { -1.0 } else { 1.0 },
                if i & 4 == 0 { -1.0 } else { 1.0 },
            );
            self.center + axes * (sign * self.half_extents)
        })
    }

    /// The box's own axes in the world frame, one a column.
    pub fn axes(&self) -> Mat3 {
        Mat3::from_quat(self.rotation)
    }

    /// A point of the world in the box's own frame (origin at its centre), in metres.
    pub fn to_local(&self, world: Vec3) -> Vec3 {
        self.axes().transpose() * (world - self.center)
    }

    /// Whether a point of the world lies in the box, or within `margin` metres of each of its slabs.
    pub fn contains(&self, world: Vec3, margin: f32) -> bool {
        self.to_local(world).abs().cmple(self.half_extents + margin).all()
    }

    /// The axis-aligned bounds in the world, `(min, max)` in metres.
    pub fn world_bounds(&self) -> (Vec3, Vec3) {
        let axes = self.axes();
        let reach = axes.x_axis.abs() * self.half_extents.x
            + axes.y_axis.abs() * self.half_extents.y
            + axes.z_axis.abs() * self.half_extents.z;
        (self.center - reach, self.center + reach)
    }

    /// What the box covers seen from above.
    pub fn footprint(&self) -> Footprint {
        Footprint::of_box(self)
    }

    /// Full edge lengths in metres.
    pub fn size(&self) -> Vec3 {
        self.half_extents * 2.0
    }
}

impl PixelBox {
    pub fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    pub fn width(&self) -> f32 {
        (self.x2 - self.x1).max(0.0)
    }

    pub fn height(&self) -> f32 {
        (self.y2 - self.y1).max(0.0)
    }

    /// Square pixels; zero for an inverted box.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Intersection over union, in 0..=1; zero when either box is empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let intersection = Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        }
        .area();
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The same box after its image was resized by these factors.
    pub fn scale(&self, sx: f32, sy: f32) -> Self {
        Self { x1: self.x1 * sx, y1: self.y1 * sy, x2: self.x2 * sx, y2: self.y2 * sy }
    }

    /// The part inside an image of this size.
    pub fn clip(&self, width: f32, height: f32) -> Self {
        Self {
            x1: self.x1.clamp(0.0, width),
            y1: self.y1.clamp(0.0, height),
            x2: self.x2.clamp(0.0, width),
            y2: self.y2.clamp(0.0, height),
        }
    }
}
