//! How the viewer lays a sample out: the room on the left; the picture and the question on the right.

use rerun::blueprint::{
    Blueprint, BlueprintPanel, ContainerLike, Horizontal, SelectionPanel, Spatial2DView,
    Spatial3DView, Tabs, TextDocumentView, TimePanel, Vertical, components::PanelState,
};

/// The layout for samples and scenes. The second picture tab shows the 3D boxes in the picture.
pub fn blueprint() -> Blueprint {
    let room: ContainerLike = Spatial3DView::new("Room")
        .with_origin("/")
        .with_contents([
            "+ /room",
            "+ /objects",
            "+ /cameras/**",
            "+ /sample",
            "+ /sample/image",
        ])
        .into();
    let answer = Spatial2DView::new("Picture and answer").with_origin("/sample");
    let objects = Spatial2DView::new("3D boxes in the picture")
        .with_origin("/sample")
        .with_contents(["+ /sample/image", "+ /objects"]);
    let question = TextDocumentView::new("Question").with_origin("/question");
    let pictures: ContainerLike = Tabs::new([answer.into(), objects.into()]).into();
    let side: ContainerLike = Vertical::new([pictures, question.into()])
        .with_row_shares([3.0, 2.0])
        .into();
    Blueprint::new(Horizontal::new([room, side]).with_column_shares([3.0, 2.0]))
        .with_auto_layout(false)
        .with_auto_views(false)
        .with_blueprint_panel(BlueprintPanel::from_state(PanelState::Collapsed))
        .with_selection_panel(SelectionPanel::from_state(PanelState::Collapsed))
        .with_time_panel(TimePanel::new().with_state(PanelState::Collapsed))
}
