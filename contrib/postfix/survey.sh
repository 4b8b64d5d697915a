# shellcheck shell=bash
# What enable takes from Postfix: inbound domains, relay networks, and services
# that treat milters in a way of their own. Needs lib.sh; sourced, never run.
# What the administrator should know goes to the file $notes, a paragraph each.

note() { # TEXT
    # The same remark about one table reached from two parameters is one remark.
    grep -qxF -- "$1" "$notes" 2>/dev/null || printf '%s\n' "$1" >>"$notes"
}

# ------------------------------------------------------------------- lists --

# The keys of a lookup table, one a line; 1 where they can't be listed.
table_keys() { # TYPE NAME
    local entry
    case $1 in
        inline)
            split_list "${2:1:${#2}-2}"
            for entry in "${item[@]}"; do
                entry=${entry#'{'}
                entry=${entry#"${entry%%[![:space:]]*}"}
                printf '%s\n' "${entry%%[[:space:]=]*}"
            done
            ;;
        hash | btree | lmdb | cdb | dbm | sdbm | texthash | cidr)
            if [ -r "$2" ]; then
                # A line that begins with white space continues the one before.
                sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]/d' -e '/^$/d' -e 's/[[:space:]].*//' "$2"
            else
                postmap ${config_directory:+-c "$config_directory"} -s "$1:$2" 2>/dev/null |
                    sed 's/[[:space:]].*//'
            fi
            ;;
        *) return 1 ;;
    esac
}

# Prints the items of a Postfix list, with files and tables read.
expand_list() { # PARAMETER VALUE WHERE-TO-WRITE-WHAT-CANT-BE-LISTED
    local parameter=$1 key=$3 entry type name keys
    local -a entries
    split_list "$2"
    entries=("${item[@]}")
    for entry in "${entries[@]}"; do
        case $entry in
            '!'*)
                note "$parameter excludes $entry. connguard has no exclusions in $key: write narrower entries there by hand."
                ;;
            /*)
                if [ -r "$entry" ]; then
                    expand_list "$parameter" "$(sed 's/#.*//' "$entry")" "$key"
                else
                    note "$parameter names $entry, which can't be read: add what it holds to $key by hand."
                fi
                ;;
            '['* | *:*:*:*) printf '%s\n' "$entry" ;;
            *:*)
                entry=${entry#proxy:}
                type=${entry%%:*} name=${entry#*:}
                if keys=$(table_keys "$type" "$name"); then
                    [ -z "$keys" ] || printf '%s\n' "$keys"
                else
                    note "$parameter names $entry, whose keys can't be listed: write what it holds into a file, one a line, and add that to $key by hand (inbound_domains takes the path of such a file)."
                fi
                ;;
            *) printf '%s\n' "$entry" ;;
        esac
    done
}

# What this site receives mail for, one domain a line. `.example.org` is the
# domain and all below it.
inbound_domains() {
    local parameter name dot bare
    for parameter in mydestination virtual_alias_domains virtual_mailbox_domains relay_domains; do
        dot='' bare=keep
        case $parameter in
            virtual_*) bare=skip ;; # a map of addresses also has plain user names
            relay_domains)
                split_list "$(pconf -xh parent_domain_matches_subdomains)"
                [[ " ${item[*]} " != *' relay_domains '* ]] || dot=.
                ;;
        esac
        expand_list "$parameter" "$(pconf -xh "$parameter")" inbound_domains |
            tr '[:upper:]' '[:lower:]' |
            while IFS= read -r name; do
                case $name in
                    '' | *@* | '['*) continue ;; # addresses and literals are no domains
                esac
                # Names in UTF-8 are fine: only what is left in ASCII is looked at.
                case ${name//[$'\x80'-$'\xff']/} in
                    *[!a-z0-9._-]* | *..*)
                        note "$parameter holds '$name', which is no domain: if it is one to you, add it to inbound_domains by hand."
                        continue
                        ;;
                esac
                [ $bare = keep ] || [[ $name == *.* ]] || continue
                printf '%s%s\n' "$dot" "${name#"$dot"}"
            done
    done | awk '{ name[NR] = $0; have[$0] = 1 }
        END { for (i = 1; i <= NR; i++) if (!seen[name[i]]++ && !have["." name[i]]) print name[i] }'
}

# Which of the inbound domains clients are likely to send as: all but localhost
# and this host's own names, which connguard registers by itself. relay_domains
# are among them, though they may be somebody else's: a domain too many only
# makes the judgement milder, one that lacks makes honest mail look bad.
likely_registered() { # INBOUND-FILE
    local host
    host=$(pconf -xh myhostname | tr '[:upper:]' '[:lower:]')
    # A name without a dot is a host's. `.example.org` has one.
    awk -v host="$host" '/\./ && !/^localhost\./ && $0 != host' "$1"
}

# Who may relay without login or certificate, one network a line.
relay_networks() {
    local network length
    expand_list mynetworks "$(pconf -xh mynetworks)" relay_networks |
        while IFS= read -r network; do
            network=${network/'['/}
            network=${network/']'/}
            if [[ $network =~ ^::ffff:([0-9.]+)(/([0-9]+))?$ ]]; then
                # IPv4 in IPv6 spelling, which connguard treats as IPv4
                length=${BASH_REMATCH[3]:-128}
                network=${BASH_REMATCH[1]}/$((length < 96 ? 0 : length - 96))
            fi
            if [[ $network =~ ^([0-9]+(\.[0-9]+){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(/[0-9]+)?$ ]]; then
                printf '%s\n' "$network"
            else
                note "mynetworks holds '$network', which is no network: add the addresses behind it to relay_networks by hand."
            fi
        done | awk '!seen[$0]++'
}

# ---------------------------------------------------------------- services --

# A parameter as a service of master.cf overrides it; 1 where it doesn't.
override() { # SERVICE PARAMETER
    awk -v name="$1/$2" 'index($0, name " =") == 1 {
        sub(/^[^=]*= ?/, ""); print; found = 1 } END { exit !found }' "$overrides"
}

# The same with macros expanded, as if the change were made already.
override_expanded() { # SERVICE PARAMETER
    pconf -o "smtpd_milters = $after" -Px "$1/$2" | sed 's/^[^=]*= \{0,1\}//'
}

# HOST:PORT of an inet service that listens on loopback only, else nothing.
loopback_address() { # SERVICE
    local name=${1%/*} port
    case $name in
        127.*:* | localhost:* | '[::1]:'*) ;;
        *) return 0 ;;
    esac
    port=${name##*:}
    case $port in
        *[!0-9]*) port=$(getent services "$port/tcp" | sed 's/.* \([0-9]*\)\/tcp.*/\1/') ;;
    esac
    name=${name%:*}
    printf '%s:%s\n' "${name/#localhost/127.0.0.1}" "$port"
}

# Looks through the smtpd services of master.cf. Leaves the addresses of
# services that take mail back from a content filter in $ways_back.
survey_services() {
    local service proxy
    overrides=$work/overrides
    pconf -P >"$overrides"
    pconf -F '*/*/command' | sed -n 's/\/command = smtpd\( .*\)\{0,1\}$//p' >"$work/services"
    proxy=$(pconf -xh smtpd_proxy_filter)
    while IFS= read -r service; do
        survey_milters "$service"
        survey_proxy "$service" "$proxy"
        survey_networks "$service"
    done <"$work/services"
    survey_ways_back
    survey_rest
}

survey_milters() { # SERVICE
    local own
    if [[ $(override "$1" receive_override_options) == *no_milters* ]]; then
        note "$1 sets no_milters: no milter is asked there. Right for a filter's way back; wrong where relay clients come in."
    elif own=$(override "$1" smtpd_milters); then
        if [ -z "$own" ]; then
            note "$1 overrides smtpd_milters with an empty list: connguard is not asked there. Right for a filter's way back; if relay clients come in there: $(postfix_command postconf) -P '$1/smtpd_milters = $our_entry'"
        elif ! our_entry_in "$(override_expanded "$1" smtpd_milters)" >/dev/null; then
            note "$1 overrides smtpd_milters: connguard is not asked there unless you add it: $(postfix_command postconf) -P '$1/smtpd_milters = $own, $our_entry'"
        fi
    else
        printf '%s\n' "$1" >>"$work/inherits"
    fi
}

survey_networks() { # SERVICE
    local network
    override "$1" mynetworks >/dev/null || return 0
    split_list "$(override_expanded "$1" mynetworks)"
    for network in "${item[@]}"; do
        grep -qxF -- "$network" "$work/networks" ||
            note "$1 lets $network relay by its own mynetworks: add that to relay_networks by hand."
    done
}

survey_proxy() { # SERVICE DEFAULT
    local own
    own=$(override "$1" smtpd_proxy_filter) || own=$2
    [ -n "$own" ] || return 0
    note "$1 uses smtpd_proxy_filter ($own): milters in front of it see neither headers nor the end of a message, so connguard judges nothing that comes in there. It must stand at the service behind the filter; but there every client has the filter's address and only logins stay apart, so better let relay clients in through a service without smtpd_proxy_filter (usually submission)."
    : >"$work/proxied"
}

# A service that takes mail back from a content filter would count each message
# a second time, as the filter's. One that clients reach from outside is never
# taken for such a service: ignoring it would make connguard blind there.
survey_ways_back() {
    local service filter address
    [ -e "$work/inherits" ] || return 0
    while IFS= read -r service; do
        address=$(loopback_address "$service")
        if filter=$(override "$service" content_filter) && [ -z "$filter" ]; then
            if [ -z "$address" ]; then
                note "$service turns the content filter off and listens on more than loopback, so it is not taken for a filter's way back. If it is one, add its address to ignore_daemons by hand."
                continue
            fi
        elif [[ $address != *:1002[0-9] ]]; then
            continue
        fi
        if [ -e "$work/proxied" ]; then
            note "$service looks like the way back from smtpd_proxy_filter: it is not put into ignore_daemons, because connguard sees whole messages only there."
            continue
        fi
        note "$service takes mail back from a content filter and inherits smtpd_milters: $address goes into ignore_daemons, so that no message is counted twice."
        printf '%s\n' "$address" >>"$ways_back"
    done <"$work/inherits"
}

survey_rest() {
    local list restriction
    list=$(pconf -o "smtpd_milters = $after" -xh non_smtpd_milters)
    if our_entry_in "$list" >/dev/null; then
        note "non_smtpd_milters asks connguard too: mail submitted with sendmail(1) is the connector 'local', whose mail connguard holds, up to hold_limit. Beyond that it is tempfailed: it stays in maildrop, and pickup tries it again at each scan, until it is accepted."
    else
        note "non_smtpd_milters does not ask connguard: mail submitted with sendmail(1), as by a web application on this host, is not watched. main.cf.snippet says how to."
    fi
    [ -z "$(pconf -h smtpd_milter_maps 2>/dev/null)" ] ||
        note "smtpd_milter_maps gives some clients other milters: connguard is not asked for those."
    for restriction in smtpd_relay_restrictions smtpd_recipient_restrictions; do
        if [[ $(pconf -xh "$restriction") == *check_client_access* ]]; then
            note "$restriction has check_client_access: if that lets clients relay, add their networks to relay_networks by hand."
        fi
    done
}
