//! Whole builds, from a Dockerfile to an image in a store in memory.

#[path = "../support/mod.rs"]
mod support;

mod again;
mod agents;
mod cache;
mod corpus;
mod failures;
mod fixture;
mod git;
mod killed;
mod limits;
mod policy;
mod remote;
mod scan;
mod settings;
mod shared;
mod show;
mod stages;
mod steps;
mod unprivileged;
