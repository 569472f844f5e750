//! How a phone that has work waiting is reached.
