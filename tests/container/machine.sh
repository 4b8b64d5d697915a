# shellcheck shell=bash
# A fresh Debian 12 with systemd as PID 1, in a container without a network of
# its own beside loopback. Sourced with $project set.

# What a site has before connguard comes.
debian_packages=(postfix swaks rsyslog dbus python3)

# The folder that every machine is a copy of; made once, from Debian's mirror.
ensure_base() {
    base=${CARGO_TARGET_DIR:-$project/target}/container/base
    [ ! -e "$base/.complete" ] || return 0
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=systemd,systemd-sysv bookworm "$base" >&2 || return
    # Nothing of it runs before it is booted.
    printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d"
    chmod 755 "$base/usr/sbin/policy-rc.d"
    DEBIAN_FRONTEND=noninteractive chroot "$base" sh -c '
        echo "postfix postfix/main_mailer_type select Local only" | debconf-set-selections
        apt-get install -qy --no-install-recommends "$@"' sh "${debian_packages[@]}" >&2 || return
    rm "$base/usr/sbin/policy-rc.d"
    touch "$base/.complete"
}

# Boots a copy of the base in $machine; `machine_pid` is its PID 1 then.
boot() {
    machine=$(mktemp -d "${base%/*}/machine.XXXXXX")
    cp -a "$base/." "$machine"
    printf '[Journal]\nStorage=persistent\n' >"$machine/etc/systemd/journald.conf"
    systemd-nspawn --quiet --register=no --keep-unit --boot --private-network \
        --console=pipe --directory="$machine" </dev/null >"$machine.log" 2>&1 &
    nspawn=$!
    wait_until 'the container boots' pid_1
    wait_until 'systemd in the container is up' is_up
}

pid_1() {
    machine_pid=$(ps -o pid= --ppid "$nspawn" | tr -d ' ')
    [ -n "$machine_pid" ] && [ -e "/proc/$machine_pid" ]
}

is_up() {
    [[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]
}

# Powers it off and removes it.
shut_down() {
    [ -n "${nspawn:-}" ] || return 0
    # SIGTERM makes systemd-nspawn end the machine in order.
    kill "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    nspawn=
    rm -rf "$machine" "$machine.log"
}

# Runs a command in the machine.
inside() {
    nsenter -t "$machine_pid" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

# Waits for a condition; says what for when it waited in vain for 90 s.
wait_until() { # WHAT COMMAND...
    local end=$((SECONDS + 90))
    until "${@:2}"; do
        if [ $SECONDS -ge $end ]; then
            printf 'waited in vain: %s\n' "$1" >&2
            return 1
        fi
        sleep 0.1
    done
}
