//! 4×4 matrices as scans write them.

use crate::geometry::Pose;
use glam::{DMat3, DMat4, DVec3, Mat3, Quat, Vec3};

/// How far a rotation may be from one, as written.
const TOLERANCE: f64 = 1e-2;

/// A matrix from 16 numbers, row after row.
pub fn rows_of(numbers: &[f64; 16]) -> DMat4 {
    DMat4::from_cols_array(numbers).transpose()
}

/// The rigid motion that a matrix stands for; `None` when it is not finite or not rigid. Recordings hold such poses
/// where tracking was lost.
pub fn pose_of(matrix: &DMat4) -> Option<Pose> {
    if !matrix.is_finite() {
        return None;
    }
    let rotation = DMat3::from_mat4(*matrix);
    let off = rotation * rotation.transpose() - DMat3::IDENTITY;
    let off = off.to_cols_array().iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let last = matrix.row(3);
    if off > TOLERANCE
        || rotation.determinant() < 0.0
        || (last - DMat4::IDENTITY.row(3)).abs().max_element() > 1e-3
    {
        return None;
    }
    let x = rotation.x_axis.normalize();
    let y = (rotation.y_axis - x * x.dot(rotation.y_axis)).normalize();
    let single = |v: DVec3| Vec3::new(v.x as f32, v.y as f32, v.z as f32);
    let rotation = Mat3::from_cols(single(x), single(y), single(x.cross(y)));
    Some(Pose {
        rotation: Quat::from_mat3(&rotation).normalize(),
        translation: single(matrix.w_axis.truncate()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rigid_matrices_are_poses() {
        let turned =
            DMat4::from_rotation_translation(glam::DQuat::from_rotation_z(0.4), DVec3::new(1.0, 2.0, 3.0));
        let pose = pose_of(&turned).unwrap();
        let moved = pose.transform_point(Vec3::X);
        assert!((moved - Vec3::new(1.0 + libm::cosf(0.4), 2.0 + libm::sinf(0.4), 3.0)).length() < 1e-5);
        assert!(pose_of(&(turned * 2.0)).is_none());
        assert!(pose_of(&DMat4::from_scale(DVec3::new(1.0, 1.0, -1.0))).is_none());
        assert!(pose_of(&DMat4::from_cols_array(&[f64::NEG_INFINITY; 16])).is_none());
    }
}
