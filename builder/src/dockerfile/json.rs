//! The JSON form of arguments: `["a", "b"]`.

use serde_json::value::RawValue;

use super::diagnostic::Diagnostic;
use super::lines::Slice;
use super::span::Word;

/// Reads a JSON array of strings.
///
/// `None` when the text is not valid JSON or not an array: then it is meant literally, as shell form or plain words. A valid
/// array that holds anything but strings can only be a mistake, and is an error.
pub(super) fn string_array(text: &Slice<'_>) -> Result<Option<Vec<Word>>, Diagnostic> {
    let string = text.as_str();
    if !string.starts_with('[') {
        return Ok(None);
    }
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(string) else {
        return Ok(None);
    };
    let words = elements.iter().map(|element| {
        let place = text.locate(element.get());
        match serde_json::from_str::<String>(element.get()) {
            Ok(value) => Ok(Word::new(value, place.span())),
            Err(_) => Err(not_a_string(&place)),
        }
    });
    words.collect::<Result<_, _>>().map(Some)
}

fn not_a_string(element: &Slice<'_>) -> Diagnostic {
    let diagnostic = Diagnostic::error("an array of arguments may hold only strings", element.span());
    match element.as_str() {
        scalar if !scalar.starts_with(['[', '{', '"']) => {
            diagnostic.expected("expected a string").help(format!("write \"{scalar}\""))
        }
        _ => diagnostic.expected("expected a string"),
    }
}
