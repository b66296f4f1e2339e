//! For tests only: throwaway clusters.

pub mod cluster;

pub use cluster::Cluster;
