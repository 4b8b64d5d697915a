#!/usr/bin/env bash
# contrib/postfix/enable and disable, against Postfix configurations that are
# only read by postconf: no Postfix runs. With CONNGUARD_BIN set, each
# configuration they write is given to `connguard check`.
# shellcheck disable=SC2016  # $names in single quotes are for Postfix
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
project=$(readlink -f "$(dirname "$0")/..")
contrib=$project/contrib/postfix
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v postconf >/dev/null || { echo 'contrib.sh: postconf is missing: apt install postfix' >&2; exit 1; }

ours='{ unix:connguard/milter.sock, default_action=accept, connect_timeout=3s, command_timeout=5s }'
rspamd='{ inet:127.0.0.1:11332, connect_timeout=5s , default_action = tempfail }'
checks=0 test_name=''

# ------------------------------------------------------------------ helpers --

begin() { # NAME [MAIN-CF-LINE...]
    test_name=$1
    shift
    rm -rf "$work/case"
    mkdir -p "$work/case/etc"
    etc=$work/case/etc toml=$work/case/connguard/connguard.toml
    {
        echo 'compatibility_level = 3.6'
        echo 'myhostname = mx.example.org'
        echo 'mydestination = $myhostname, localhost'
        echo 'mynetworks = 127.0.0.0/8 [::1]/128 [::ffff:127.0.0.0]/104 192.0.2.0/24'
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >"$etc/main.cf"
    echo 'smtp inet n - y - - smtpd' >"$etc/master.cf"
    cp "$etc/main.cf" "$work/case/main.cf.first"
    age
}

# Postfix's programs wait until main.cf is a second old; don't let them.
age() { touch -d '1 hour ago' "$etc"/*.cf; }

fail() { # TEXT
    printf 'contrib.sh: %s: %s\n' "$test_name" "$1" >&2
    [ ! -s "$work/output" ] || sed 's/^/    /' "$work/output" >&2
    exit 1
}

run() { # EXPECTED-STATUS SCRIPT ARGUMENT...
    local expected=$1 script=$2 status=0
    shift 2
    "$contrib/$script" --config-directory "$etc" --config "$toml" "$@" >"$work/output" 2>&1 </dev/null || status=$?
    age
    [ $status -eq "$expected" ] || fail "$script $* ended with $status instead of $expected"
}

equals() { # WHAT VALUE EXPECTED
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1 is '$2' instead of '$3'"
}
milters_are() { equals smtpd_milters "$(postconf -c "$etc" -h smtpd_milters)" "$1"; }
says() { checks=$((checks + 1)); grep -qF -- "$1" "$work/output" || fail "the output lacks '$1'"; }
says_nothing_of() { checks=$((checks + 1)); ! grep -qF -- "$1" "$work/output" || fail "the output has '$1'"; }
holds() { # LINE
    checks=$((checks + 1))
    grep -qxF -- "$1" "$toml" || { cat "$toml" >"$work/output"; fail "the configuration lacks the line '$1'"; }
}
same_files() { checks=$((checks + 1)); cmp -s "$1" "$2" || { diff "$1" "$2" >"$work/output" || true; fail "$2 was changed"; }; }
is_valid() {
    [ -n "${CONNGUARD_BIN:-}" ] || return 0
    checks=$((checks + 1))
    "$CONNGUARD_BIN" check --config "$toml" >"$work/output" 2>&1 || fail "connguard check finds faults"
}

# -------------------------------------------------------------------- tests --

begin 'into an empty list and back'
run 0 enable --yes
milters_are "$ours"
is_valid
cp "$etc/main.cf" "$work/main.cf.enabled"
cp "$toml" "$work/toml.enabled"
run 0 enable --yes
says 'nothing to change'
same_files "$work/main.cf.enabled" "$etc/main.cf"
same_files "$work/toml.enabled" "$toml"
run 0 disable --yes
same_files "$work/case/main.cf.first" "$etc/main.cf"
same_files "$work/toml.enabled" "$toml"
run 0 disable --yes
says 'nothing to remove'

begin 'behind other milters, which stay as they are' \
    "smtpd_milters = $rspamd unix:/run/opendkim.sock,\$more" 'more = inet:127.0.0.1:9'
run 0 enable --yes
milters_are "$rspamd unix:/run/opendkim.sock,\$more, $ours"
run 0 disable --yes
milters_are "$rspamd unix:/run/opendkim.sock,\$more"
same_files "$work/case/main.cf.first" "$etc/main.cf"

begin 'moved to the end, with its own options, if another came behind' \
    "smtpd_milters = { unix:connguard/milter.sock, command_timeout=9s }, $rspamd"
run 0 enable --yes
milters_are "$rspamd, { unix:connguard/milter.sock, command_timeout=9s }"
says 'without default_action'

begin 'taken out of the middle' "smtpd_milters = inet:127.0.0.1:9, $ours, $rspamd"
run 0 disable --yes
milters_are "inet:127.0.0.1:9, $rspamd"

begin 'known by its absolute path' 'queue_directory = /var/spool/postfix' \
    'smtpd_milters = unix:/var/spool/postfix/connguard/milter.sock'
run 0 enable --yes
milters_are 'unix:/var/spool/postfix/connguard/milter.sock'

begin 'over TCP'
run 0 enable --yes --milter 'inet:[::1]:8895'
milters_are '{ inet:[::1]:8895, default_action=accept, connect_timeout=3s, command_timeout=5s }'
holds 'listen = ["inet6:[::1]:8895"]'
is_valid
run 0 disable --yes --milter 'inet:[::1]:8895'
same_files "$work/case/main.cf.first" "$etc/main.cf"

begin 'shows, and changes nothing unasked' "smtpd_milters = $rspamd"
run 2 enable
says "+ smtpd_milters = $rspamd, $ours"
says 'run again with --yes'
run 0 enable --dry-run
same_files "$work/case/main.cf.first" "$etc/main.cf"
[ ! -e "$toml" ] || fail 'a configuration was written'
run 0 enable --yes
run 2 disable
says "- smtpd_milters = $rspamd, $ours"
milters_are "$rspamd, $ours"

begin 'usage'
run 2 enable --milter nonsense
says 'give unix:PATH'
run 2 enable --frobnicate
says 'see enable --help'
run 2 disable --config-directory /nonexistent
says 'main.cf'
run 2 enable --yes --config "$work/case/"
says "$work/case/ is a folder: name the file"
same_files "$work/case/main.cf.first" "$etc/main.cf"
if "$contrib/demo" --keep extra >"$work/output" 2>&1; then fail 'demo took an unknown argument'; fi
says "unknown argument 'extra'"
says 'Usage: demo'

begin 'inbound domains and relay networks' \
    'virtual_alias_maps = texthash:$config_directory/virtual' \
    'virtual_mailbox_domains = $config_directory/mailboxes, !not.example' \
    'relay_domains = $mydomain, hash:$config_directory/relay pgsql:$config_directory/pg' \
    'parent_domain_matches_subdomains ='
printf 'alias.example anything\n# no.example x\nroot me\nuser@alias.example me,\n  you.example\n' >"$etc/virtual"
printf 'Box.example # a comment\n\nbox2.example b\303\274ro.example no+domain.example\n' >"$etc/mailboxes"
printf 'relayed.example x\n' >"$etc/relay"
: >"$etc/pg"
run 0 enable --yes
says 'excludes !not.example'
says 'pgsql:'
says "holds 'no+domain.example'"
holds 'mode = "observe"'
for domain in mx.example.org localhost alias.example box.example box2.example büro.example example.org relayed.example; do
    holds "    \"$domain\","
done
holds 'relay_networks = ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]'
is_valid

begin 'parent domains' 'relay_domains = example.net' 'parent_domain_matches_subdomains = relay_domains'
run 0 enable --yes
holds 'inbound_domains = ["mx.example.org", "localhost", ".example.net"]'
is_valid

begin 'a configuration that exists keeps all else'
mkdir -p "${toml%/*}"
cat >"$toml" <<'TOML'
mode = "enforce" # not [milter]

[milter]
listen = ["unix:/var/spool/postfix/connguard/milter.sock"]
inbound_domains = [
    "hand.example",  # by hand
]  # what we receive
# max_connections = 7

[[organization]]
name = "default"
registered_domains = ["hand.example"]

[restriction]
reply = '[milter] = {case}'
TOML
chmod 640 "$toml"
cp "$toml" "$work/toml.first"
run 0 enable --yes
says 'keeps what Postfix doesn'
says_nothing_of 'listens on'
same_files "$work/toml.first" "$toml.bak"
equals 'mode of the file' "$(stat -c %a "$toml")" 640
cat >"$work/toml.expected" <<'TOML'
mode = "enforce" # not [milter]

[milter]
listen = ["unix:/var/spool/postfix/connguard/milter.sock"]
inbound_domains = ["hand.example", "mx.example.org", "localhost"]  # what we receive
relay_networks = ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]
# max_connections = 7

[[organization]]
name = "default"
registered_domains = ["hand.example"]

[restriction]
reply = '[milter] = {case}'
TOML
same_files "$work/toml.expected" "$toml"
is_valid
run 0 enable --yes
same_files "$work/toml.expected" "$toml"

begin 'a configuration that listens elsewhere, or is broken'
mkdir -p "${toml%/*}"
printf '[milter]\nlisten = ["inet:127.0.0.1:8895"]\n' >"$toml"
run 0 enable --dry-run
says 'make them the same'
printf '[milter]\nlisten = ["inet:127.0.0.1:8895"\n' >"$toml"
run 1 enable --yes
says 'no valid TOML'
same_files "$work/case/main.cf.first" "$etc/main.cf"

begin 'the packaged configuration'
mkdir -p "${toml%/*}"
cp "$project/packaging/connguard.toml" "$toml"
is_valid
run 0 enable --yes
says 'registers no domain, so nobody is judged'
holds 'registered_domains = []'
says_nothing_of 'listens on'
holds 'inbound_domains = ["mx.example.org", "localhost"]'
holds 'relay_networks = ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]'
is_valid

begin 'registered domains, begun where the list is empty' \
    'mydestination = $myhostname, Example.org, mx, localhost.example.org, localhost' \
    'relay_domains = example.net' 'parent_domain_matches_subdomains = relay_domains'
registered='registered_domains = ["example.org", ".example.net"]'
run 0 enable --yes
says 'remove what isn'
holds "$registered"
is_valid
run 0 enable --yes
says 'nothing to change'
cp "$project/packaging/connguard.toml" "$toml"
run 0 enable --dry-run
says "+$registered"
run 0 enable --yes
holds "$registered"
is_valid
run 0 enable --yes
says 'nothing to change'
# The other organization comes first, and `default` has its name last.
cat >"$toml" <<'TOML'
[[organization]]
name = "other"
registered_domains = []

[[organization]]
registered_domains = [] # ours
name = "default"
TOML
run 0 enable --yes
holds 'registered_domains = []'
holds "$registered  # ours"
is_valid

begin 'registered domains that stay as they are' 'mydestination = example.org'
mkdir -p "${toml%/*}"
: >"$work/case/domains"
for list in 'registered_domains = ["hand.example"]' "registered_domains_file = \"$work/case/domains\"" \
    "registered_domains = []
registered_domains_file = \"$work/case/domains\""; do
    printf '[[organization]]\nname = "default"\n%s\n' "$list" >"$toml"
    run 0 enable --yes
    equals 'the organization' "$(sed -n '/^name/,/^$/p' "$toml")" 'name = "default"
'"$list"
done

if [ -n "${CONNGUARD_BIN:-}" ]; then
    begin 'faults are reported under the name of the file'
    mkdir -p "${toml%/*}"
    printf 'mode = "sleep"\n' >"$toml"
    run 1 enable --yes
    says "$toml:1:8: mode"
    says_nothing_of new.toml
    same_files "$work/case/main.cf.first" "$etc/main.cf"
fi

begin 'services with a way of their own' 'content_filter = smtp:[127.0.0.1]:10024' \
    "smtpd_milters = $rspamd" 'non_smtpd_milters = $smtpd_milters' \
    'mua_milters = inet:127.0.0.1:9' "other_milters = $ours"
cat >>"$etc/master.cf" <<'MASTER'
submission inet n - y - - smtpd
  -o smtpd_milters=$mua_milters
  -o mynetworks=198.51.100.0/24
smtps inet n - y - - smtpd
  -o smtpd_milters=$other_milters
2525 inet n - y - - smtpd
  -o content_filter=
127.0.0.1:10025 inet n - y - - smtpd
  -o content_filter= -o mynetworks=127.0.0.0/8
127.0.0.1:10026 inet n - y - - smtpd
  -o smtpd_milters=
127.0.0.1:10027 inet n - y - - smtpd
  -o receive_override_options=no_address_mappings,no_milters
127.0.0.1:2526 inet n - y - - smtpd
MASTER
run 0 enable --yes
says "-P 'submission/inet/smtpd_milters = \$mua_milters, $ours'"
says 'submission/inet lets 198.51.100.0/24 relay'
says_nothing_of 'smtps/inet overrides'
says '2525/inet turns the content filter off and listens on more than loopback'
says '127.0.0.1:10025 goes into ignore_daemons'
says_nothing_of '127.0.0.1:10025/inet lets'
says '127.0.0.1:10026/inet overrides smtpd_milters with an empty list'
says '127.0.0.1:10027/inet sets no_milters'
says 'non_smtpd_milters asks connguard too'
says 'until it is accepted'
holds 'ignore_daemons = ["127.0.0.1:10025"]'
is_valid
run 0 disable --yes
says 'smtps/inet/smtpd_milters = $other_milters; take connguard out there'

begin 'a proxy filter'
cat >"$etc/master.cf" <<'MASTER'
smtp inet n - y - - smtpd
  -o smtpd_proxy_filter=127.0.0.1:10024
127.0.0.1:10025 inet n - y - - smtpd
  -o smtpd_proxy_filter=
MASTER
run 0 enable --yes
says 'smtp/inet uses smtpd_proxy_filter (127.0.0.1:10024)'
says_nothing_of '10025/inet uses smtpd_proxy_filter'
says 'not put into ignore_daemons'
says 'non_smtpd_milters does not ask connguard'
! grep -q '^ignore_daemons' "$toml" || fail 'ignore_daemons was written'

if [ -n "${CONNGUARD_BIN:-}" ]; then
    begin 'a configuration learned from old logs' 'relay_domains = example.org'
    for n in $(seq 10 39); do
        id=ABCDEF123$n
        printf 'Mar  2 10:%s:00 mx postfix/%s\n' $n "smtpd[7]: $id: client=erp.example.org[192.0.2.10]" \
            $n "qmgr[8]: $id: from=<erp@shop.example>, size=1000, nrcpt=1 (queue active)" \
            $n "smtp[9]: $id: to=<someone@remote.test>, relay=mx.remote.test[198.51.100.1]:25, delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 ok)" \
            $n "qmgr[8]: $id: removed"
    done >"$work/case/mail.log"
    run 2 enable --yes --suggest
    says 'needs mail logs'
    run 2 disable --yes --suggest "$work/case/mail.log"
    run 1 enable --yes --suggest "$work/case/no.log"
    says 'nothing was changed'
    same_files "$work/case/main.cf.first" "$etc/main.cf"
    mkdir -p "${toml%/*}"
    echo 'mode = "enforce"' >"$toml"
    run 0 enable --yes --suggest "$work/case/mail.log"
    says 'what '"'connguard suggest'"' learned from 1 logs'
    says 'connguard replay LOG...'
    holds 'mode = "observe"'
    holds 'clients = ["192.0.2.10"]'
    equals 'the configuration before' "$(cat "$toml.bak")" 'mode = "enforce"'
    milters_are "$ours"
    is_valid
    # What was learned stays.
    cp "$toml" "$work/toml.enabled"
    run 0 enable --yes
    same_files "$work/toml.enabled" "$toml"
fi

printf 'contrib.sh: %d checks passed\n' "$checks"
