//! "Did you mean": the nearest of some known words.

/// The candidate nearest to `word`, when it is near enough to be a slip of the finger. Case is ignored.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    // Longer words forgive more slips; a word that is all slip is another word. Nobody mistypes a novel.
    if word.len() > 64 {
        return None;
    }
    let allowed = (word.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            (letters.len().abs_diff(word.len()) <= allowed).then(|| (distance(&word, &letters), candidate))
        })
        .filter(|(distance, _)| *distance <= allowed && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A ready-made sentence for [`nearest`].
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &cb) in b.iter().enumerate() {
            let substituted = last[j] + usize::from(ca != cb);
            let mut best = substituted.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && a[i - 1] == cb {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips() {
        let known = ["FROM", "RUN", "COPY", "ENTRYPOINT", "ENV", "HEALTHCHECK"];
        assert_eq!(nearest("FORM", known), Some("FROM"));
        assert_eq!(nearest("cpoy", known), Some("COPY"));
        assert_eq!(nearest("ENTRYPIONT", known), Some("ENTRYPOINT"));
        assert_eq!(nearest("HEALTCHEK", known), Some("HEALTHCHECK"));
    }

    #[test]
    fn does_not_guess_wildly() {
        let known = ["FROM", "RUN", "COPY"];
        assert_eq!(nearest("apt-get", known), None);
        assert_eq!(nearest("&&", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
