//! Tests over real connections, against services that are played by a script.

mod campaign;
mod comparison;
mod dialogues;
mod responder;
