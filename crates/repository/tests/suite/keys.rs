//! Key holders: giving access, rotating, taking access away.

mod damage;
mod holders;
mod interruption;
mod rotation;
mod scene;
