# shellcheck shell=bash
# Debian packages for the demo and the tests. Sourced, never run.

# Whether a program, a Perl module written `perl:NAME` or a file written
# `file:PATTERN` is there.
is_there() { # PROGRAM
    case $1 in
        perl:*) perl -M"${1#perl:}" -e 1 2>/dev/null ;;
        file:*) compgen -G "${1#file:}" >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# In a subshell: what keeps services from starting goes away with it, whatever
# ends it. A policy that was there before stays, and stays in force.
install_quietly() ( # PACKAGE...
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    dpkg-query -W postfix >/dev/null 2>&1 ||
        echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null &&
        apt-get -qq install -y --no-install-recommends --no-remove "$@" >/dev/null
)

# Installs the packages of missing programs; fails naming what stays missing.
# A Postfix that comes with it gets no configuration and is not started, and no
# other mail system is removed for it.
ensure_packages() { # PROGRAM=PACKAGE...
    local pair status=0
    local -a packages=()
    for pair; do
        is_there "${pair%%=*}" || packages+=("${pair##*=}")
    done
    [ ${#packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        printf 'missing: %s. Install them first (as root on Debian this happens by itself).\n' "${packages[*]}" >&2
        return 1
    fi
    printf 'installing: %s\n' "${packages[*]}"
    install_quietly "${packages[@]}" || status=$?
    for pair; do
        is_there "${pair%%=*}" && continue
        printf 'missing after the installation: %s (package %s)\n' "${pair%%=*}" "${pair##*=}" >&2
        status=1
    done
    return $status
}
