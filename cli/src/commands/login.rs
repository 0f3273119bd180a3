//! `wharf login` and `wharf logout`: credentials where Docker keeps them.

use std::io::Read as _;

use wharf_client::auth::{Credential, DockerConfig, Kept, Secret};
use wharf_client::registry::login;

use crate::args::{Login, Logout};
use crate::failure::Failure;
use crate::remote::registry_host;
use crate::session::Session;

/// A password is shorter than this.
const MAX_PASSWORD: u64 = 64 << 10;

/// Logs in: asks for what is missing, tries it, and keeps what was accepted.
pub async fn run(session: &Session, command: Login) -> Result<(), Failure> {
    let host = registry_host(command.registry.as_deref())?;
    let docker = docker(session)?;
    let (username, password) = ask(command.username, command.password_stdin)?;
    let credential = Credential::Password { user: username, secret: password };
    let done = login(&session.client_config()?, &docker, &host, credential, session.notices())
        .await
        .map_err(|error| Failure::new(format!("could not log in to {host}")).because(error))?;
    if !session.global.quiet {
        if !done.checked {
            eprintln!("{host} lets everybody in: it did not look at the password");
        }
        match done.kept {
            Kept::Helper(helper) => eprintln!("logged in to {host}; docker-credential-{helper} keeps the password"),
            Kept::File(path) => {
                eprintln!("logged in to {host}; the password is kept, readable, in {}", path.display());
            }
        }
    }
    Ok(())
}

/// Logs out: forgets the credential.
pub async fn logout(session: &Session, command: Logout) -> Result<(), Failure> {
    let host = registry_host(command.registry.as_deref())?;
    let known = docker(session)?
        .erase(&host)
        .await
        .map_err(|error| Failure::new(format!("could not log out of {host}")).because(error))?;
    if !session.global.quiet {
        eprintln!("{}", if known { format!("logged out of {host}") } else { format!("not logged in to {host}") });
    }
    Ok(())
}

fn docker(session: &Session) -> Result<DockerConfig, Failure> {
    session.docker_config().ok_or_else(|| {
        Failure::usage("there is no place to keep the password").hint("set HOME, or DOCKER_CONFIG to a directory")
    })
}

fn ask(username: Option<String>, from_stdin: bool) -> Result<(String, Secret), Failure> {
    let failed = |error: std::io::Error| Failure::new("could not read the password").because(error);
    if from_stdin {
        let username = username.ok_or_else(|| {
            Failure::usage("--password-stdin needs a user name").hint("wharf login -u NAME --password-stdin")
        })?;
        let mut password = String::new();
        std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut password).map_err(failed)?;
        return Ok((username, Secret::new(password.trim_end_matches(['\r', '\n']))));
    }
    let username = match username {
        Some(username) => username,
        None => {
            eprint!("User name: ");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(failed)?;
            line.trim().to_owned()
        }
    };
    if username.is_empty() {
        return Err(Failure::usage("no user name was given").hint("wharf login -u NAME"));
    }
    Ok((username, Secret::new(rpassword::prompt_password("Password: ").map_err(failed)?)))
}
