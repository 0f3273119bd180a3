//! Splitting the arguments of an instruction into words.

use super::lines::Slice;
use super::span::Word;

/// What separates words: blanks of ASCII, and not the line feed, which a logical line never holds.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

/// The first word and the rest, which starts without blanks.
pub(super) fn split_first<'l>(text: &Slice<'l>) -> (Slice<'l>, Slice<'l>) {
    let string = text.as_str();
    let end = string.find(is_blank).unwrap_or(string.len());
    let rest = string[end..].trim_start_matches(is_blank);
    (text.slice(0..end), text.from(string.len() - rest.len()))
}

/// Words between blanks; quotes and escapes have no meaning yet.
pub(super) fn blank_words<'l>(text: &Slice<'l>) -> Vec<Slice<'l>> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, next) = split_first(&rest);
        if !word.is_empty() {
            words.push(word);
        }
        rest = next;
    }
    words
}

/// Words between blanks, where quotes and escapes protect blanks. Quotes and escapes stay in the words.
pub(super) fn quoted_words(text: &Slice<'_>, escape: char) -> Vec<Word> {
    let string = text.as_str();
    let mut words = Vec::new();
    let mut chars = string.char_indices().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(start, _)) = chars.peek() else { return words };
        let mut end = start;
        let mut quote: Option<char> = None;
        while let Some((at, c)) = chars.next_if(|(_, c)| quote.is_some() || !c.is_whitespace()) {
            end = at + c.len_utf8();
            if c == escape && quote != Some('\'') {
                match chars.next() {
                    Some((at, escaped)) => end = at + escaped.len_utf8(),
                    // An escape at the very end stands for nothing.
                    None => end = at,
                }
            } else if quote == Some(c) {
                quote = None;
            } else if quote.is_none() && matches!(c, '\'' | '"') {
                quote = Some(c);
            }
        }
        if end > start {
            words.push(text.slice(start..end).word());
        }
    }
}
