# shellcheck shell=bash
# Where `cargo deny` comes from. Sourced with $project set.

# Builds it below the target directory if it is not there: two minutes, once.
ensure_cargo_deny() {
    local version=0.20.2 root=${CARGO_TARGET_DIR:-$project/target}/tools
    PATH=$root/bin:$PATH
    [ "$(cargo-deny --version 2>/dev/null)" = "cargo-deny $version" ] && return
    cargo install --quiet --debug --locked --no-default-features --root "$root" \
        "cargo-deny@$version" || {
        printf 'cargo-deny %s could not be built; crates.io has to be reachable\n' $version >&2
        return 1
    }
}
