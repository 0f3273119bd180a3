//! Bake files: definitions of targets to build, in HCL, JSON or as compose files.
//!
//! The way through: files ([`files`]) become syntax ([`hcl`], [`json`]), which is put together ([`definition`]) and evaluated
//! on demand ([`resolve`], [`evaluate`], [`functions`]) into targets with settings ([`config`], [`settings`]); compose files
//! ([`compose`]) become targets right away. What is asked for is picked out of them ([`select`]), changed by the command line
//! ([`overrides`]), printed, or turned into the command line of `wharf build` ([`order`]). Nothing here builds, and nothing
//! here reads the environment: variables are looked up by whoever calls.

mod compose;
mod config;
mod definition;
mod dotenv;
mod elsewhere;
mod entries;
mod evaluate;
mod files;
mod functions;
mod glob;
mod hcl;
mod interpolate;
mod json;
mod number;
mod order;
mod ordered;
mod overrides;
mod paths;
mod place;
mod resolve;
mod select;
mod settings;
mod syntax;
mod types;
mod value;
mod variables;
mod yaml;

pub use config::{Config, ListedTarget, Target};
pub use dotenv::parse as dotenv;
pub use elsewhere::{Elsewhere, check_files};
pub use files::{Beside, read};
pub use order::{Flags, Piece, piece, remote};
pub use ordered::Ordered;
pub use overrides::Overrides;
pub use place::{BakeFile, Complaint, Result};
pub use resolve::Outside;
pub use select::Selection;
pub use variables::Listed;

use definition::Definition;
use resolve::Resolver;
use syntax::Body;

/// A definition that was read.
pub struct Loaded {
    /// Its targets and groups.
    pub config: Config,
    /// Its variables.
    pub variables: Vec<Listed>,
}

/// Reads a definition. `dotenv` is what `.env` says, which only compose files look at, and `beside` where files are that
/// these name; they are added to `files`.
pub fn load(
    (files, beside): (&mut Vec<BakeFile>, &Beside),
    outside: &Outside<'_>,
    dotenv: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded> {
    let (mut definition, mut services) = (Definition::default(), Vec::new());
    for (index, file) in files.iter().enumerate() {
        match files::syntax(file) {
            files::Syntax::Compose => services.push(index),
            files::Syntax::Hcl => definition.add(hcl::parse(index, file)?)?,
            files::Syntax::Json => definition.add(json::parse(index, file)?)?,
        }
    }
    let mut config = Config::default();
    compose::add(&mut config, (files, beside), &services, dotenv)?;
    let resolver = Resolver::new(&definition, outside)?;
    let variables = Listed::all(&definition, &resolver)?;
    config.add(&resolver)?;
    Ok(Loaded { config, variables })
}

/// What a file says when it is HCL. For telling whether it is.
fn as_hcl(file: &BakeFile) -> Option<Body> {
    hcl::parse(0, file).ok()
}
