//! Callboard's wire formats: bytes to messages and back, without I/O, clocks or unsafe code.

#![forbid(unsafe_code)]

pub mod edge;
pub mod wpi;
