//! How the viewer lays a sample out: the room on the left; pictures and question on the right.

use super::{APPLICATION, RecordingError};
use crate::samples::DataType;
use crate::scenes::Room;
use glam::Vec3;
use rerun::blueprint::components::PanelState;
use rerun::blueprint::{
    Blueprint, BlueprintActivation, BlueprintPanel, ContainerLike, Grid, Horizontal, SelectionPanel,
    Spatial2DView, Spatial3DView, TextDocumentView, TimePanel, Vertical,
};
use rerun::external::re_sdk_types::blueprint::archetypes::EyeControls3D;
use rerun::log::LogMsg;
use rerun::{RecordingStream, RecordingStreamBuilder};

/// From the middle of a room towards the eye: from a corner, high enough to look over the furniture.
const EYE_DIRECTION: Vec3 = Vec3::new(-0.35, -0.75, 0.8);
/// Distance of the eye in half diagonals of the room: all of it is in the viewer's field of view of 55°.
const EYE_DISTANCE: f32 = 2.3;

/// Sends the layout of a scene's recording. The eye starts where all of the room can be seen.
pub(super) fn send(
    recording: &RecordingStream,
    room: Option<&Room>,
    data_type: DataType,
    images: usize,
) -> Result<(), RecordingError> {
    let mut contents = vec!["+ /room", "+ /surface", "+ /objects", "+ /reason/**"];
    contents.extend(match data_type {
        DataType::SingleImage => &["+ /cameras/**", "+ /sample", "+ /sample/image"][..],
        DataType::MultiView => &["+ /views/**"],
        DataType::Video => &["+ /walk", "+ /sample", "+ /sample/image"],
    });
    let view: ContainerLike = Spatial3DView::new("Room").with_origin("/").with_contents(contents).into();
    let eye_path = match &view {
        ContainerLike::View(view) => format!("{}/EyeControls3D", view.blueprint_path()),
        _ => String::new(),
    };
    let blueprint = blueprint(view, data_type, images);
    let Some(room) = room else {
        return Ok(blueprint.send(recording, BlueprintActivation::default())?);
    };
    // Rerun's layout type cannot place the eye. So it is sent to a recording of its own first, and the
    // eye's position is added to its messages before they go on.
    let (carrier, messages) = RecordingStreamBuilder::new(APPLICATION).memory()?;
    blueprint.send(&carrier, BlueprintActivation::default())?;
    let mut layout = Vec::new();
    let mut activation = None;
    for message in messages.take() {
        match message {
            LogMsg::BlueprintActivationCommand(command) => activation = Some(command),
            message if message.store_id().is_blueprint() => layout.push(message),
            _ => {}
        }
    }
    if let (Some(activation), Some(first)) = (activation, layout.first()) {
        let (more, messages) = RecordingStreamBuilder::new(APPLICATION)
            .recording_id(first.store_id().recording_id().clone())
            .blueprint()
            .memory()?;
        more.set_time_sequence("blueprint", 0);
        more.log(eye_path, &eye(room))?;
        layout.extend(messages.take().into_iter().filter(|message| matches!(message, LogMsg::ArrowMsg(..))));
        recording.send_blueprint(layout, activation);
    }
    Ok(())
}

fn blueprint(room: ContainerLike, data_type: DataType, images: usize) -> Blueprint {
    let question: ContainerLike =
        TextDocumentView::new("Question and answer").with_origin("/question").into();
    let objects = Spatial2DView::new("3D boxes in the picture")
        .with_origin("/sample")
        .with_contents(["+ /sample/image", "+ /objects"]);
    let answer = Spatial2DView::new("Picture and answer").with_origin("/sample");
    let (side, shares): (Vec<ContainerLike>, Vec<f32>) = match data_type {
        DataType::SingleImage => (vec![answer.into(), objects.into(), question], vec![3.0, 3.0, 2.5]),
        DataType::MultiView => {
            let views = (1..=images).map(|number| {
                ContainerLike::from(
                    Spatial2DView::new(format!("View {number}"))
                        .with_origin(format!("/views/{number:02}"))
                        .with_contents([format!("+ /views/{number:02}/**"), "+ /reason/objects".to_owned()]),
                )
            });
            (vec![Grid::new(views).with_grid_columns(2).into(), question], vec![6.0, 2.5])
        }
        DataType::Video => {
            let frame = TextDocumentView::new("Frame").with_origin("/first_sight");
            (vec![objects.into(), frame.into(), question], vec![4.0, 1.0, 4.0])
        }
    };
    let side: ContainerLike = Vertical::new(side).with_row_shares(shares).into();
    let time = match data_type {
        DataType::Video => {
            TimePanel::new().with_state(PanelState::Collapsed).with_timeline(super::sample::FRAME_TIMELINE)
        }
        _ => TimePanel::new().with_state(PanelState::Hidden).with_timeline("sample"),
    };
    Blueprint::new(Horizontal::new([room, side]).with_column_shares([5.0, 3.0]))
        .with_auto_layout(false)
        .with_auto_views(false)
        .with_blueprint_panel(BlueprintPanel::from_state(PanelState::Collapsed))
        .with_selection_panel(SelectionPanel::from_state(PanelState::Collapsed))
        .with_time_panel(time)
}

fn eye(room: &Room) -> EyeControls3D {
    let corners = || room.outline.iter().map(|corner| corner.extend(room.floor));
    let low = corners().reduce(Vec3::min).unwrap_or_default();
    let high = corners().reduce(Vec3::max).unwrap_or_default() + room.height * Vec3::Z;
    let half = (high - low) / 2.0;
    // Rooms stand on their floor: looking at its middle fills the view better than at half height.
    let target = low + half * Vec3::new(1.0, 1.0, 0.6);
    let position = target + EYE_DIRECTION.normalize() * EYE_DISTANCE * half.length();
    EyeControls3D::new()
        .with_position(position.to_array())
        .with_look_target(target.to_array())
        .with_eye_up(Vec3::Z.to_array())
}
