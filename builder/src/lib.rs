//! Dockerfile to content-addressed layers to image.

pub mod dockerfile;
pub mod ignore;
