//! `wharf import`: an image of a root file system tar. It is a build of three lines: `FROM scratch`, `ADD` of the tar,
//! and the changes.

use std::path::{Path, PathBuf};

use wharf_builder::{BuildRequest, ContextSource, DockerfileText};
use wharf_spec::Digest;

use crate::args::Import;
use crate::builds::{self, Order};
use crate::commands::build::cancel_on_signal;
use crate::failure::Failure;
use crate::output;
use crate::publish::publish;
use crate::session::Session;
use crate::stores::OpenStore;

/// Instructions that `--change` takes, as `docker import` does.
const CHANGES: [&str; 9] = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "ONBUILD", "USER", "VOLUME", "WORKDIR"];

/// Imports, and prints the digest.
pub async fn run(session: &Session, command: Import) -> Result<(), Failure> {
    for change in &command.changes {
        let word = change.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        if !CHANGES.contains(&word.as_str()) || change.contains('\n') {
            return Err(Failure::usage(format!("--change {change}: not an instruction that fits here"))
                .hint(format!("these do: {}", CHANGES.join(", "))));
        }
    }
    let store = OpenStore::open(session).await?;
    let spooled;
    let path = if command.file.as_os_str() == "-" {
        spooled = Spooled::stdin(&store.scratch()?)?;
        &spooled.0
    } else {
        &command.file
    };
    let request = request(&command, path)?;
    let progress = session.progress()?;
    let result = builds::run(session, &store, Order::plain(request), &progress, cancel_on_signal()?).await?;
    if result.config.rootfs.diff_ids.iter().all(|id| *id == empty_layer()) {
        return Err(Failure::new(format!("{} holds no files", command.file.display())));
    }
    publish(&store, &result.image, &command.name).await?;
    output::line(&result.image.digest().to_string())
}

/// The digest of a tar without entries.
fn empty_layer() -> Digest {
    Digest::sha256(&[0; 1024])
}

fn request(command: &Import, path: &Path) -> Result<BuildRequest, Failure> {
    let not_a_tar = |why: &str| {
        Failure::new(format!("{} cannot be imported: {why}", path.display()))
            .hint("give a tar of a root file system, plain or compressed with gzip, bzip2, xz or zstd")
    };
    let file = std::fs::File::open(path).map_err(|error| not_a_tar("it cannot be opened").because(error))?;
    match wharf_builder::layer::detect_archive(file) {
        Ok(Some(_)) => {}
        Ok(None) => return Err(not_a_tar("it is not a tar")),
        Err(error) => return Err(not_a_tar("it cannot be read").because(error)),
    }
    let absolute = std::path::absolute(path).map_err(|error| not_a_tar("it has no path").because(error))?;
    let (Some(directory), Some(name)) = (absolute.parent(), absolute.file_name().and_then(|name| name.to_str())) else {
        return Err(not_a_tar("its name is not UTF-8"));
    };
    // The name is taken as it is: nothing in it is a pattern, a variable or an end of a string.
    let literal: String =
        name.chars().flat_map(|c| if "*?[\\$".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
    let sources = serde_json::json!([literal, "/"]);
    let text = format!("FROM scratch\nADD {sources}\n{}\n", command.changes.join("\n"));
    let mut request = BuildRequest::new(DockerfileText { name: "import".to_owned(), text });
    request.context = Some(ContextSource::Directory(directory.to_path_buf()));
    request.ignore = Some(String::new());
    if let Some(platform) = &command.platform {
        request.platform = platform.clone();
    }
    Ok(request)
}

/// Standard input in a file: a tar's end is known only at its end. Removed when dropped.
struct Spooled(PathBuf);

impl Spooled {
    fn stdin(scratch: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new("could not read the tar from standard input").because(error);
        let spooled = Self(scratch.join(format!("import-{}.tar", std::process::id())));
        let mut file = std::fs::File::create(&spooled.0).map_err(failed)?;
        std::io::copy(&mut std::io::stdin().lock(), &mut file).map_err(failed)?;
        Ok(spooled)
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
