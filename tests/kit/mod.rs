//! What the unit tests, the simulator, the fuzz targets and the benches share.
//!
//! Each includes this folder as a module, and uses the part that it needs. The modules stand in reading order.

pub mod rng;
pub mod pattern;
pub mod source;
pub mod socket;
pub mod laws;
pub mod checked;
