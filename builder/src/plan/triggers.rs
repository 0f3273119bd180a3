//! `ONBUILD` triggers: statements that were written elsewhere and run here.

use crate::base::BaseImage;
use crate::dockerfile::{Diagnostic, Escape, Label, Span, Statement, parse_trigger};

/// A statement and where to point when something is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) statement: Statement,
    pub(super) place: Place,
}

/// Where a statement comes from.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// It stands in this stage.
    Here,
    /// It is a trigger of an earlier stage of this file.
    Stage,
    /// It is a trigger of an image: the `FROM` is all there is to point at.
    Image {
        /// The base in the `FROM`.
        from: Span,
        /// The trigger's text.
        text: String,
    },
}

impl Located {
    pub(super) fn here(statement: Statement) -> Self {
        Self { statement, place: Place::Here }
    }

    pub(super) fn trigger_here(statement: Statement) -> Self {
        Self { statement, place: Place::Stage }
    }

    /// The statement as the user is shown it.
    pub(super) fn text(&self) -> String {
        let text = &self.statement.origin.text;
        match self.place {
            Place::Here => text.clone(),
            Place::Stage | Place::Image { .. } => format!("ONBUILD {text}"),
        }
    }
}

impl Place {
    /// The place in this file that stands for `span`.
    pub(super) fn span(&self, span: Span) -> Span {
        match self {
            Self::Here | Self::Stage => span,
            Self::Image { from, .. } => *from,
        }
    }

    /// Moves a diagnostic about the statement to where it can be shown.
    pub(super) fn locate(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let Self::Image { from, text } = self else { return diagnostic };
        let said = diagnostic.labels.first().map(|label| label.text.clone()).unwrap_or_default();
        diagnostic.labels = vec![Label { span: *from, text: said }];
        diagnostic.note(format!("in a trigger of this image: ONBUILD {text}"))
    }
}

/// The triggers of an image, parsed. Nobody recorded their author's escape character: builders take the default.
pub(super) fn triggers_of_image(image: &BaseImage, from: Span) -> Result<Vec<Located>, Diagnostic> {
    let parse = |text: &String| {
        let place = Place::Image { from, text: text.clone() };
        let statement = parse_trigger(text, Escape::default()).map_err(|diagnostic| place.locate(diagnostic))?;
        Ok(Located { statement, place })
    };
    image.config.config.on_build.iter().map(parse).collect()
}
