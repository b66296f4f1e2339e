//! For tests only: throwaway clusters and certificates for them, installations with extra extensions, and databases that
//! stress the catalog.

pub mod certificates;
pub mod cluster;
pub mod damage;
pub mod directory_sink;
mod installation;
mod killing;
pub mod random;
pub mod schemas;
mod standby;
mod stock;

pub use cluster::{Cluster, server_tools};
pub use damage::Damage;
pub use directory_sink::{DirectorySink, ReadCluster, make_startable, read_cluster};
pub use installation::Installation;
pub use killing::kill_at;
pub use stock::assert_same_text;
