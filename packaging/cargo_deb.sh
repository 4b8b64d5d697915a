# shellcheck shell=bash
# Where `cargo deb` comes from. Sourced with $project set.

# Builds it below the target directory if it is not there: some minutes, once.
ensure_cargo_deb() {
    local version=3.8.0 root=${CARGO_TARGET_DIR:-$project/target}/tools
    PATH=$root/bin:$PATH
    [ "$(cargo-deb --version 2>/dev/null)" = $version ] && return
    cargo install --quiet --debug --locked --no-default-features --root "$root" \
        "cargo-deb@$version" || {
        printf 'cargo-deb %s could not be built; crates.io has to be reachable\n' $version >&2
        return 1
    }
}
