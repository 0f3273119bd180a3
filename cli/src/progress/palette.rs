//! Colours of progress, and `BUILDKIT_COLORS`, which changes them: `run=green:warning=yellow:error=red:cancel=255,165,0`.
//!
//! Nothing in the variable is an error: what cannot be read is left out, with a word about it. Whether there are colours
//! at all is not decided here.

/// What a text is written in: the number of a control sequence, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paint(Option<String>);

impl Paint {
    fn of(code: impl Into<String>) -> Self {
        Self(Some(code.into()))
    }

    /// `text` in this colour.
    pub fn on(&self, text: &str) -> String {
        match &self.0 {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// What is written in which colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// Work that was done.
    pub done: Paint,
    /// Work that a result from before saved.
    pub saved: Paint,
    /// Work that others' failure ended.
    pub cancelled: Paint,
    /// Work that failed.
    pub failed: Paint,
    /// What works, but is probably not meant.
    pub warning: Paint,
}

/// The colours that have names, as terminals number them.
const NAMES: [(&str, u8); 17] = [
    ("default", 39),
    ("black", 30),
    ("red", 31),
    ("green", 32),
    ("yellow", 33),
    ("blue", 34),
    ("magenta", 35),
    ("cyan", 36),
    ("white", 37),
    ("light-black", 90),
    ("light-red", 91),
    ("light-green", 92),
    ("light-yellow", 93),
    ("light-blue", 94),
    ("light-magenta", 95),
    ("light-cyan", 96),
    ("light-white", 97),
];

impl Palette {
    /// No colours.
    pub fn plain() -> Self {
        Self::default()
    }

    /// The usual colours.
    pub fn usual() -> Self {
        let [done, saved, cancelled, failed, warning] = ["32", "36", "33", "31", "33"].map(Paint::of);
        Self { done, saved, cancelled, failed, warning }
    }

    /// The usual colours but for what `text`, the value of `BUILDKIT_COLORS`, says; and what in it cannot be read.
    pub fn read(text: &str) -> (Self, Vec<String>) {
        let (mut palette, mut complaints) = (Self::usual(), Vec::new());
        for entry in text.split(':').filter(|entry| !entry.is_empty()) {
            if let Err(what) = palette.set(entry) {
                complaints.push(format!("BUILDKIT_COLORS: `{entry}` {what}"));
            }
        }
        (palette, complaints)
    }

    fn set(&mut self, entry: &str) -> Result<(), &'static str> {
        let (key, value) = entry.split_once('=').ok_or("is not KEY=COLOUR")?;
        let paint = color(value)?;
        match key.to_ascii_lowercase().as_str() {
            "run" => (self.done, self.saved) = (paint.clone(), paint),
            "cancel" => self.cancelled = paint,
            "error" => self.failed = paint,
            "warning" => self.warning = paint,
            _ => return Err("colours nothing: there are run, cancel, error and warning"),
        }
        Ok(())
    }
}

fn color(value: &str) -> Result<Paint, &'static str> {
    if let Some((_, code)) = NAMES.iter().find(|(name, _)| value.eq_ignore_ascii_case(name)) {
        return Ok(Paint::of(code.to_string()));
    }
    if !value.contains(',') {
        return Err("is no colour: write red, light-blue and the like, or three numbers, 255,165,0");
    }
    let parts: Result<Vec<u8>, _> = value.split(',').map(str::parse).collect();
    match parts.as_deref() {
        Ok(&[red, green, blue]) => Ok(Paint::of(format!("38;5;{}", of_256(red, green, blue)))),
        Ok(_) | Err(_) => Err("is no colour: three numbers from 0 to 255 make one"),
    }
}

/// The nearest of the colours that every terminal with more than sixteen has: a cube of six steps a side.
fn of_256(red: u8, green: u8, blue: u8) -> u8 {
    16 + 36 * (red / 43) + 6 * (green / 43) + blue / 43
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_names_or_numbers() {
        let (palette, complaints) = Palette::read("run=Blue:CANCEL=255,165,0:error=light-red:warning=default");
        assert_eq!(complaints, [""; 0]);
        assert_eq!(palette.done.on("x"), "\x1b[34mx\x1b[0m");
        assert_eq!(palette.saved, palette.done);
        assert_eq!(palette.cancelled.on("x"), "\x1b[38;5;214mx\x1b[0m");
        assert_eq!(
            (palette.failed.on("x"), palette.warning.on("x")),
            ("\x1b[91mx\x1b[0m".into(), "\x1b[39mx\x1b[0m".into())
        );
        assert_eq!((of_256(0, 0, 0), of_256(255, 255, 255)), (16, 231));
    }

    #[test]
    fn what_cannot_be_read_is_told_and_left_out() {
        for (text, words) in [
            ("run", "`run` is not KEY=COLOUR"),
            ("run=", "`run=` is no colour: write red"),
            ("run=orange", "`run=orange` is no colour: write red"),
            ("run=1,2", "`run=1,2` is no colour: three numbers"),
            ("run=1,2,256", "three numbers"),
            ("run=red=blue", "is no colour"),
            ("walk=red", "`walk=red` colours nothing: there are run, cancel, error and warning"),
        ] {
            let (palette, complaints) = Palette::read(&format!("{text}:error=blue"));
            let [complaint] = complaints.as_slice() else { panic!("{text}: {complaints:?}") };
            assert!(complaint.contains(words) && complaint.starts_with("BUILDKIT_COLORS: "), "{complaint}");
            assert_eq!(palette, Palette { failed: Paint::of("34"), ..Palette::usual() }, "{text}");
        }
        assert_eq!(Palette::read(""), (Palette::usual(), Vec::new()));
    }

    #[test]
    fn without_colours_text_stays_as_it_is() {
        assert_eq!(Palette::plain().failed.on("x"), "x");
    }
}
