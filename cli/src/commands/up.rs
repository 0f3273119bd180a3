//! `wharf up`: build, serve, and say how to pull.

use std::net::SocketAddr;
use std::path::Path;

use wharf_spec::{Reference, Tag};

use crate::annotations::Annotations;
use crate::args::Up;
use crate::builds::Order;
use crate::built::{Plan, build_all};
use crate::caches::{flags, send};
use crate::commands::build::cancel_on_signal;
use crate::commands::serve::{Server, stop_signal};
use crate::failure::Failure;
use crate::images::destination;
use crate::output;
use crate::outputs::Form;
use crate::publish::publish_built;
use crate::requests::{Given, prepare};
use crate::session::Session;
use crate::stores::OpenStore;

/// Serves first, so that an address that is taken is said before a long build.
pub async fn run(session: &Session, command: Up) -> Result<(), Failure> {
    let mut tags = command.build.tags.clone();
    if tags.is_empty() {
        tags.push(name_of(Path::new(&command.context))?);
    }
    let store = OpenStore::open(session).await?;
    let server = Server::bind(session, &command.serve, store.repositories.clone()).await?;
    let (address, tls) = (server.address, server.tls);
    let prepared = prepare(session, &command.build, &command.context, &store.scratch()?, Given::default()).await?;
    let cancel = cancel_on_signal()?;
    let serving = tokio::spawn(server.run(stop_signal()?));
    let annotations = Annotations::parse(&command.build.annotations)?;
    let platforms = &command.build.platforms;
    let plan = Plan { platforms, annotations: &annotations, provenance: None, form: &Form::default(), names: &tags };
    let requests = plan.requests(&prepared.request);
    let order = |request| Ok((Order::of(session, &request, &command.build)?, cancel.clone()));
    let built = build_all(session, &store, &plan, requests, &order).await?;
    send(session, &store, (&flags(&command.build.cache_to)?, &built), &session.progress()?).await?;
    for tag in &tags {
        publish_built(&store, &built, tag).await?;
    }
    output::print(how_to_pull(address, tls, &tags)?.as_bytes())?;
    serving.await.map_err(|error| Failure::new("the server stopped").because(error))?
}

/// The image's name when the user gives none: the context's directory.
fn name_of(context: &Path) -> Result<Reference, Failure> {
    let absolute = context
        .canonicalize()
        .map_err(|error| Failure::usage(format!("the context {} cannot be read", context.display())).because(error))?;
    let name = absolute.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.parse::<wharf_spec::RepositoryName>().map(|name| Reference::local(name, Tag::latest())).map_err(|_| {
        Failure::usage(format!("the directory's name `{name}` cannot be the image's")).hint("give one with -t NAME")
    })
}

/// The lines a user copies. A wildcard address is no address to pull from: the machine's name stands for it.
fn how_to_pull(address: SocketAddr, tls: bool, tags: &[Reference]) -> Result<String, Failure> {
    let host =
        if address.ip().is_unspecified() { format!("THIS-MACHINE:{}", address.port()) } else { address.to_string() };
    let mut text = format!("\nserving on {}://{address}; stop with Ctrl-C\n", if tls { "https" } else { "http" });
    for tag in tags {
        let name = format!("{host}/{}:{}", destination(tag)?, tag.tag_or_latest().unwrap_or_else(Tag::latest));
        let (podman, ctr) = if tls { ("", "") } else { ("--tls-verify=false ", "--plain-http ") };
        text.push_str(&format!("\n{name}\n"));
        text.push_str(&format!("  docker      docker pull {name}\n"));
        text.push_str(&format!("  podman      podman pull {podman}{name}\n"));
        text.push_str(&format!("  containerd  ctr images pull {ctr}{name}\n"));
        text.push_str(&format!("  Kubernetes  image: {name}\n"));
    }
    if !tls {
        text.push_str(
            "\nPlain HTTP is accepted from loopback addresses; for other machines give --tls-cert and --tls-key,\n",
        );
        text.push_str(
            "or allow it there: docker `insecure-registries`, containerd hosts.toml `server = \"http://…\"`.\n",
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_is_told_how_to_pull() {
        let text = how_to_pull("127.0.0.1:5000".parse().unwrap(), false, &["team/app:1".parse().unwrap()]).unwrap();
        for line in ["docker pull 127.0.0.1:5000/team/app:1", "ctr images pull --plain-http 127.0.0.1:5000/team/app:1"]
        {
            assert!(text.contains(line), "{text}");
        }
        let text = how_to_pull("0.0.0.0:5000".parse().unwrap(), true, &["app".parse().unwrap()]).unwrap();
        assert!(text.contains("podman pull THIS-MACHINE:5000/app:latest"), "{text}");
    }
}
