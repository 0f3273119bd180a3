//! Proving who we are: challenges, tokens, and where passwords are kept.
//!
//! A secret is a [`Secret`] from where it is read to where it goes on the wire; nothing in between can print it.

mod challenge;
mod credential;
mod docker_config;
mod helper;
mod secret;
mod token;

pub(crate) use challenge::{BearerChallenge, Challenge};
pub use credential::{Anonymous, Credential, CredentialError, Credentials};
pub use docker_config::{DockerConfig, Kept};
pub use secret::Secret;
pub(crate) use token::{Scope, TokenCache, TokenKey, TokenReply, token_form, token_query};
