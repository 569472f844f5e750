#!/usr/bin/env bash
# The whole check of a checkout: form, lints, tests, licences, rules of alerts, short fuzz runs.
# Installs what is missing: Debian packages when run as root, tools of cargo always.
#
#   bash tests/run.sh             everything
#   FUZZ_SECONDS=600 bash ...     longer fuzz runs (seconds per target; 0 leaves them out)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fuzz_seconds="${FUZZ_SECONDS:-20}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
began=$SECONDS

current=""
trap '[[ -z $current ]] || printf "\nfailed: %s\n" "$current" >&2' EXIT

step() {
    local start=$SECONDS
    current="$1"
    shift
    printf '\n== %s\n' "$current"
    "$@"
    printf -- '-- %s: %d s\n' "$current" $((SECONDS - start))
    current=""
}

# package COMMAND PACKAGE...: the Debian packages that bring COMMAND, if it is not there.
packages=()
package() {
    local command="$1"
    shift
    PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null || packages+=("$@")
}

install_packages() {
    package cc build-essential
    package c++ build-essential
    package openssl openssl
    package promtool prometheus
    package nginx nginx-light
    package baresip baresip-core
    package smilint smitools
    package snmptranslate snmp
    package ip iproute2
    package unshare util-linux
    package snmptrap snmp
    if ((${#packages[@]} == 0)); then
        return
    fi
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        printf 'missing, please install (Debian names): %s\n' "${packages[*]}" >&2
        return 1
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
}

# tool COMMAND CRATE@VERSION: a cargo subcommand, built in the shared target folder if it is not there.
tool() {
    command -v "$1" >/dev/null || cargo install --locked --quiet --target-dir target/tools "$2"
}

install_tools() {
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    tool cargo-nextest cargo-nextest@0.9.143
    tool cargo-deny cargo-deny@0.20.2
    if ((fuzz_seconds > 0)); then
        tool cargo-fuzz cargo-fuzz@0.13.2
    fi
}

lint() {
    cargo clippy --locked --workspace --all-targets -- -D warnings
}

alerts() {
    promtool check rules monitoring/alerts.yml
    promtool test rules monitoring/alerts.test.yml
}

# The units are checked with a program that is there in place of the installed one.
units() {
    if ! command -v systemd-analyze >/dev/null; then
        printf 'systemd-analyze is not here: left out\n'
        return
    fi
    mkdir -p target/unit
    local unit
    for unit in callboard.service callboard-edge.service; do
        sed 's|/usr/bin/callboard|/bin/true|' "packaging/$unit" >"target/unit/$unit"
        systemd-analyze verify --man=no "target/unit/$unit"
    done
}

# New inputs go to the target folder, so that a run leaves the checkout as it was.
fuzz() {
    local target targets
    targets="$(cargo fuzz list)"
    for target in $targets; do
        mkdir -p "target/fuzz-corpus/$target" "fuzz/corpus/$target"
        # cargo-fuzz asks for flags that stable hides; the variable holds for this command only.
        RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" \
            "target/fuzz-corpus/$target" "fuzz/corpus/$target" \
            -- -max_total_time="$fuzz_seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
            2>&1 | grep -Ev '^#[0-9]+[[:space:]]+(NEW|REDUCE|pulse|RELOAD)'
    done
}

# A few hundred simulated phones against the program, every record compared.
load_test() {
    target/debug/loadtest boot --server target/debug/callboard --phones 500 --concurrency 32 \
        --require 'verified>=500' --json target/loadtest-boot.json
    target/debug/loadtest durability --server target/debug/callboard --phones 200 --concurrency 16 \
        --rounds 3 --kill-every 1500 --json target/loadtest-durability.json
    target/debug/loadtest edge --server target/debug/callboard --phones 200 --concurrency 16 --edges 2 \
        --pairs 1 --require 'connections_held>=200' --json target/loadtest-edge.json
    target/debug/loadtest campaign --server target/debug/callboard --phones 200 --concurrency 16 --edges 2 \
        --kills 1 --poll-interval-seconds 3 --spacing-seconds 4 --boot-seconds 1 --wait-seconds 16 \
        --running-seconds 12 --server-env CALLBOARD__EDGE__IDLE_TIMEOUT_S=3 \
        --require 'verified>=200' --json target/loadtest-campaign.json
    target/debug/loadtest sip storm --server target/debug/callboard --phones 1000 --digest sha-256 \
        --window-seconds 4 --settled-after-seconds 2 --require 'verified>=1000' --json target/loadtest-sip-storm.json
    target/debug/loadtest sip restart --server target/debug/callboard --phones 1000 --transport tcp --rounds 2 \
        --require 'verified>=1000' --json target/loadtest-sip-restart.json
    target/debug/loadtest sip flood --server target/debug/callboard --phones 200 --refresh-rate 100 --seconds 2 \
        --pairs 1 --attack-rate 500 --half-open 200 --require 'amplification<=3' --json target/loadtest-sip-flood.json
}

step "packages" install_packages
step "tools" install_tools
step "form" cargo fmt --all --check
step "lints" lint
# The end-to-end tests and the load test run the programs, which a test run alone need not have built.
step "programs" cargo build --locked -p callboard -p callboard-loadtest
step "tests" cargo nextest run --locked --workspace
step "examples in the documentation" cargo test --locked --workspace --doc --quiet
step "licences and bans" cargo deny --offline check bans licenses sources
step "alert rules" alerts
step "service units" units
step "load test" load_test
if ((fuzz_seconds > 0)); then
    step "fuzzing, $fuzz_seconds s a target" fuzz
fi
printf '\nall steps passed in %d s\n' $((SECONDS - began))
