//! Callboard: telemetry.
