//! The `callboard` program.

mod admin;
mod branch;
mod cli;
mod serve;
mod store;
mod throttle;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
