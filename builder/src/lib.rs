//! Dockerfile to content-addressed layers to image.

pub mod layer;
