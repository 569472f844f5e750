//! Shared helpers of the fuzz targets.
