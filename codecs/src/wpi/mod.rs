//! WPI.
