use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text).unwrap()
}

fn file(name: &str, content: &str) -> IndexEntry {
    let kind = Kind::File { size: content.len() as u64 };
    IndexEntry { entry: Entry::new(path(name), kind, 0o644), content: Some(Fingerprint::of(content.as_bytes())) }
}

fn plain(entry: Entry) -> IndexEntry {
    IndexEntry { entry, content: None }
}

fn dir(name: &str, mode: u32) -> IndexEntry {
    plain(Entry::new(path(name), Kind::Dir, mode))
}

fn symlink(name: &str, target: &str) -> IndexEntry {
    plain(Entry::new(path(name), Kind::Symlink { target: target.as_bytes().into() }, 0o777))
}

fn hardlink(name: &str, target: &str) -> IndexEntry {
    plain(Entry::new(path(name), Kind::Hardlink { target: path(target) }, 0o644))
}

fn layer(entries: impl IntoIterator<Item = IndexEntry>) -> LayerIndex {
    LayerIndex::new(entries.into_iter().collect()).unwrap()
}

fn names(tree: &Tree) -> Vec<String> {
    tree.nodes().iter().map(|node| node.entry().path.to_string()).collect()
}

fn list(tree: &Tree, at: &str) -> Vec<String> {
    tree.children(&path(at)).map(|node| String::from_utf8_lossy(node.entry().path.file_name()).into_owned()).collect()
}

#[test]
fn upper_layers_win_and_directories_merge() {
    let base = layer([dir("etc", 0o700), file("etc/a", "1"), file("etc/b", "1"), file("bin", "x")]);
    let top = layer([dir("etc", 0o755), file("etc/b", "2"), dir("bin", 0o755), file("bin/sh", "y")]);
    let tree = Tree::of([&base, &top]);
    assert_eq!(names(&tree), ["/", "/bin", "/bin/sh", "/etc", "/etc/a", "/etc/b"]);
    assert_eq!(tree.get(&path("etc")).unwrap().entry().mode, 0o755);
    assert_eq!(tree.get(&path("etc/a")).unwrap().layer(), 0);
    assert_eq!(tree.get(&path("etc/b")).unwrap().layer(), 1);
    assert_eq!(tree.get(&path("etc/b")).unwrap().content(), Some(Fingerprint::of(b"2")));
    assert_eq!(list(&tree, ""), ["bin", "etc"]);
    assert_eq!(list(&tree, "etc"), ["a", "b"]);
    assert_eq!(list(&tree, "bin/sh"), [""; 0]);
    assert_eq!(tree.walk(&path("etc")).len(), 3);
    assert_eq!(tree.walk(&path("none")).len(), 0);
}

#[test]
fn markers_hide_what_is_below_and_nothing_else() {
    let base = layer([dir("a", 0o755), file("a/old", "1"), file("a-b", "1"), dir("d", 0o755), file("d/x", "1")]);
    let top = layer([
        dir("a", 0o755),
        plain(Entry::opaque(path("a"))),
        file("a/new", "2"),
        plain(Entry::whiteout(path("d"))),
        dir("d", 0o711),
        plain(Entry::whiteout(path("never"))),
    ]);
    let tree = Tree::of([&base, &top]);
    assert_eq!(names(&tree), ["/", "/a", "/a/new", "/a-b", "/d"]);
    assert_eq!(tree.get(&path("d")).unwrap().entry().mode, 0o711);
    let all_gone = layer([plain(Entry::opaque(path("")))]);
    assert_eq!(names(&Tree::of([&base, &all_gone])), ["/"]);
    assert!(all_gone.hides_everything_below() && !top.hides_everything_below());
}

#[test]
fn a_missing_parent_is_the_one_below_or_made() {
    let base = layer([dir("tmp", 0o1777), symlink("lib", "usr/lib")]);
    let top = layer([file("tmp/x", "1"), file("lib/y", "1"), file("opt/z", "1")]);
    let tree = Tree::of([&base, &top]);
    assert_eq!(names(&tree), ["/", "/lib", "/lib/y", "/opt", "/opt/z", "/tmp", "/tmp/x"]);
    assert_eq!(tree.get(&path("tmp")).unwrap().entry().mode, 0o1777);
    assert_eq!(tree.get(&path("lib")).unwrap().entry().kind, Kind::Dir);
    assert_eq!(tree.get(&path("opt")).unwrap().entry().mode, 0o755);
}

#[test]
fn hard_links_are_files() {
    // Written the wrong way round: the index puts the first name first.
    let base = layer([hardlink("a", "b"), file("b", "1"), file("c", "1")]);
    let tree = Tree::of([&base]);
    let [a, b, c] = ["a", "b", "c"].map(|name| tree.get(&path(name)).unwrap());
    assert_eq!(a.entry().kind, Kind::File { size: 1 });
    assert_eq!(a.content(), b.content());
    assert_eq!(a.inode(), b.inode());
    assert_ne!(a.inode(), c.inode());
    // Replacing one name leaves the other.
    let tree = Tree::of([&base, &layer([plain(Entry::whiteout(path("a")))])]);
    assert_eq!(names(&tree), ["/", "/b", "/c"]);
    assert_eq!(tree.get(&path("b")).unwrap().content(), Some(Fingerprint::of(b"1")));
}

#[test]
fn broken_layers_are_refused() {
    use crate::layer::IndexError;
    let index = |entries: Vec<IndexEntry>| LayerIndex::new(entries).unwrap_err();
    assert_eq!(index(vec![file("a", ""), dir("a", 0)]), IndexError::Duplicate { path: path("a") });
    assert_eq!(index(vec![file("a", ""), file("a/b", "")]), IndexError::ParentNotDirectory { path: path("a/b") });
    assert_eq!(index(vec![file("", "")]), IndexError::ParentNotDirectory { path: path("") });
    let dangling = |link: &str, target: &str| IndexError::DanglingHardlink { path: path(link), target: path(target) };
    assert_eq!(index(vec![hardlink("a", "b")]), dangling("a", "b"));
    assert_eq!(index(vec![hardlink("a", "b"), dir("b", 0)]), dangling("a", "b"));
    assert!(matches!(index(vec![hardlink("a", "b"), hardlink("b", "a")]), IndexError::DanglingHardlink { .. }));
}

#[test]
fn symlinks_are_followed_inside_the_root() {
    let base = layer([
        dir("usr", 0o755),
        dir("usr/lib", 0o755),
        file("usr/lib/so", "1"),
        symlink("lib", "usr/lib"),
        symlink("usr/up", "../../../lib"),
        symlink("abs", "/usr/lib/so"),
        symlink("loop", "loop2"),
        symlink("loop2", "loop"),
        symlink("gone", "not/here"),
    ]);
    let tree = Tree::of([&base]);
    let resolve = |text: &str| tree.resolve(&path(text)).map(|at| (at.path.to_string(), at.node.is_some()));
    for (from, to, exists) in [
        ("lib/so", "/usr/lib/so", true),
        ("usr/up/so", "/usr/lib/so", true),
        ("abs", "/usr/lib/so", true),
        ("lib/new/deep", "/usr/lib/new/deep", false),
        ("gone/x", "/not/here/x", false),
        ("", "/", true),
    ] {
        assert_eq!(resolve(from).unwrap(), (to.to_owned(), exists), "{from}");
    }
    assert_eq!(resolve("loop/x"), Err(ResolveError::TooManyLinks { path: path("loop/x") }));
    assert_eq!(resolve("lib/so/x"), Err(ResolveError::NotADirectory { path: path("usr/lib/so") }));
    let kept = tree.resolve_parent(&path("usr/up")).unwrap();
    assert_eq!((kept.path.to_string().as_str(), kept.node.is_some()), ("/usr/up", true));
}

/// The model: paths to (kind, layer), changed step by step the obvious way.
type Model = BTreeMap<String, (char, usize)>;

fn model_push(model: &mut Model, number: usize, layer: &[(String, char)]) {
    for (path, kind) in layer {
        if matches!(kind, 'w' | 'o') {
            let below = format!("{path}/");
            model.retain(|held, _| !(held.starts_with(&below) || (*kind == 'w' && held == path)));
        }
    }
    for (path, kind) in layer.iter().filter(|(_, kind)| !matches!(kind, 'w' | 'o')) {
        let mut parent = String::new();
        for name in path.split('/').take(path.matches('/').count()) {
            parent = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
            if model.get(&parent).is_none_or(|(kind, _)| *kind != 'd') {
                model.insert(parent.clone(), ('d', number));
            }
        }
        if *kind != 'd' {
            let below = format!("{path}/");
            model.retain(|held, _| !held.starts_with(&below));
        }
        model.insert(path.clone(), (*kind, number));
    }
}

fn any_layer() -> impl Strategy<Value = Vec<(String, char)>> {
    let name = prop::sample::select(vec!["a", "a-", "b"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let kind = prop::sample::select(vec!['f', 'd', 's', 'w', 'o']);
    prop::collection::vec((path, kind), 0..8).prop_map(|raw| {
        // What no layer can be is left out: two things at one path, things below a file.
        let mut kept: Vec<(String, char)> = Vec::new();
        for (path, kind) in raw {
            let marker = |kind: char| matches!(kind, 'w' | 'o');
            let clash = kept.iter().any(|(held, other)| {
                let beneath = |a: &str, b: &str| a.starts_with(&format!("{b}/"));
                (held == &path && (marker(*other) == marker(kind) || !matches!((*other, kind), ('d', _) | (_, 'd'))))
                    || (beneath(&path, held) && matches!(other, 'f' | 's'))
                    || (beneath(held, &path) && matches!(kind, 'f' | 's'))
                    || (held == &path && (kind == 'o' || *other == 'o') && (*other != 'd' && kind != 'd'))
            });
            if !clash {
                kept.push((path, kind));
            }
        }
        kept
    })
}

fn kind_of(letter: char) -> Kind {
    match letter {
        'd' => Kind::Dir,
        'f' => Kind::File { size: 0 },
        's' => Kind::Symlink { target: b"x"[..].into() },
        'w' => Kind::Whiteout,
        _ => Kind::Opaque,
    }
}

proptest! {
    #[test]
    fn a_stack_is_what_the_model_says(layers in prop::collection::vec(any_layer(), 0..5)) {
        let (mut tree, mut model) = (Tree::new(), Model::new());
        for (number, entries) in layers.iter().enumerate() {
            let index = entries.iter().map(|(name, kind)| plain(Entry::new(path(name), kind_of(*kind), 0o755)));
            let index = LayerIndex::new(index.collect()).unwrap();
            prop_assert_eq!(&LayerIndex::decode(&index.encode()).unwrap(), &index);
            tree.push(&index);
            model_push(&mut model, number, entries);
        }
        let seen: Model = tree
            .nodes()
            .iter()
            .skip(1)
            .map(|node| {
                let letter = "fds".chars().find(|letter| kind_of(*letter) == node.entry().kind).unwrap();
                (node.entry().path.to_string()[1..].to_owned(), (letter, node.layer()))
            })
            .collect();
        prop_assert_eq!(&seen, &model);
        for held in model.keys().map(|held| path(held)).chain([LayerPath::root()]) {
            let children = model.keys().filter(|key| path(key).parent().as_ref() == Some(&held)).count();
            prop_assert_eq!(tree.children(&held).count(), children);
            let walked = model.keys().filter(|key| path(key).starts_with(&held)).count();
            prop_assert_eq!(tree.walk(&held).len(), walked + usize::from(held.is_root()));
        }
    }

    #[test]
    fn damaged_indexes_are_refused_or_sound(at in 0_usize..200, byte in any::<u8>()) {
        let index = layer([dir("a", 0o755), file("a/b", "1"), hardlink("c", "a/b"), symlink("d", "x")]);
        let mut bytes = index.encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(decoded) = LayerIndex::decode(&bytes) {
            Tree::of([&decoded]);
        }
        prop_assert!(LayerIndex::decode(&index.encode()[..at]).is_err());
    }
}
