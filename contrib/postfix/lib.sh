# shellcheck shell=bash
# What enable and disable share: options, Postfix's lists, showing a change and
# asking for it. Sourced, never run.

export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
program=${0##*/}

# How long Postfix waits for connguard, and what it does without an answer:
# main.cf.snippet says why.
milter_options='default_action=accept, connect_timeout=3s, command_timeout=5s'

die() { # STATUS TEXT
    printf '%s: %s\n' "$program" "$2" >&2
    exit "$1"
}

need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || die 1 "$1 is missing: install it (Debian: apt install $2)"
}

# ------------------------------------------------------------------ options --

yes='' dry_run='' reload='' config_directory=''
milter=unix:connguard/milter.sock
# shellcheck disable=SC2034  # enable reads it
config=/etc/connguard/connguard.toml
# Old mail logs: only enable knows what to do with them.
logs=() takes_logs=''

parse_options() { # ARGUMENT...
    while [ $# -gt 0 ]; do
        case $1 in
            --yes) yes=1 ;;
            --dry-run) dry_run=1 ;;
            --reload) reload=1 ;;
            --config-directory | --milter | --config)
                [ $# -gt 1 ] || die 2 "$1 needs a value: see $program --help"
                case $1 in
                    --config-directory) config_directory=$2 ;;
                    --milter) milter=$2 ;;
                    --config) config=$2 ;;
                esac
                shift
                ;;
            --config-directory=*) config_directory=${1#*=} ;;
            --milter=*) milter=${1#*=} ;;
            --config=*) config=${1#*=} ;;
            --suggest)
                [ -n "$takes_logs" ] || die 2 "unknown argument '$1': see $program --help"
                while [ $# -gt 1 ] && [[ $2 != --* ]]; do
                    logs+=("$2")
                    shift
                done
                [ ${#logs[@]} -gt 0 ] || die 2 "$1 needs mail logs, as in $1 /var/log/mail.log*"
                ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) die 2 "unknown argument '$1': see $program --help" ;;
        esac
        shift
    done
    need postconf postfix
    [ -z "$config_directory" ] || [ -e "$config_directory/main.cf" ] ||
        die 2 "there is no $config_directory/main.cf: --config-directory names the folder with main.cf and master.cf"
    # An empty answer is a broken main.cf: postconf has said why by then.
    queue_directory=$(pconf -xh queue_directory)
    main_cf=$(pconf -h config_directory)/main.cf
    case $milter in
        '{'*'}') our_entry=$milter ;;
        unix:?* | inet:?* | local:?*) our_entry="{ $milter, $milter_options }" ;;
        *) die 2 "--milter $milter: give unix:PATH, inet:HOST:PORT or { ENDPOINT, option=value, ... }" ;;
    esac
    our_endpoint=$(endpoint "$our_entry")
}

# postconf of the chosen instance.
pconf() { postconf ${config_directory:+-c "$config_directory"} "$@"; }

# How the reader would call a Postfix command of this instance.
postfix_command() { # COMMAND
    printf '%s%s' "$1" "${config_directory:+ -c $config_directory}"
}

# ------------------------------------------------------------ Postfix lists --

separators=$', \t'

# Splits a list as Postfix does (commas and white space, braces kept together)
# into the arrays item, item_start and item_end (offsets into the value).
split_list() { # VALUE
    local value=$1 depth=0 start=-1 i c
    item=() item_start=() item_end=()
    for ((i = 0; i <= ${#value}; i++)); do
        c=${value:i:1}
        case $c in
            '' | ',' | ' ' | $'\t' | $'\r' | $'\n')
                if [ $start -ge 0 ] && { [ $depth -eq 0 ] || [ -z "$c" ]; }; then
                    item+=("${value:start:i-start}")
                    item_start+=("$start")
                    item_end+=("$i")
                    start=-1
                fi
                continue
                ;;
            '{') depth=$((depth + 1)) ;;
            '}') [ $depth -eq 0 ] || depth=$((depth - 1)) ;;
        esac
        [ $start -ge 0 ] || start=$i
    done
}

# The endpoint of an entry, without braces and options, and with a socket
# inside the queue directory spelt relative to it.
endpoint() { # ENTRY
    local text=$1
    if [[ $text == '{'* ]]; then
        text=${text#'{'}
        text=${text%'}'}
        text=${text#"${text%%[![:space:],]*}"}
        text=${text%%[[:space:],]*}
    fi
    text=${text/#local:/unix:}
    printf '%s\n' "${text/#"unix:$queue_directory/"/unix:}"
}

# Prints a list of milters without our entry, the rest byte for byte.
without_us() { # VALUE
    local value=$1 i last
    split_list "$value"
    last=$((${#item[@]} - 1))
    for ((i = last; i >= 0; i--)); do
        [ "$(endpoint "${item[i]}")" = "$our_endpoint" ] || continue
        if [ "$i" -lt "$last" ]; then
            value=${value:0:item_start[i]}${value:item_start[i + 1]}
        else
            value=${value:0:item_start[i]}
            case $value in
                *', ') value=${value%', '} ;;
                *) value=${value%"${value##*[!"$separators"]}"} ;;
            esac
        fi
        # Offsets behind this place are stale now: look again.
        without_us "$value"
        return
    done
    printf '%s\n' "$value"
}

# The entry of the list that is ours, as it is written there.
our_entry_in() { # VALUE
    local i
    split_list "$1"
    for i in "${!item[@]}"; do
        [ "$(endpoint "${item[i]}")" = "$our_endpoint" ] || continue
        printf '%s\n' "${item[i]}"
        return
    done
    return 1
}

# ------------------------------------------------------------------- change --

# Shows a parameter before and after.
show_parameter() { # NAME BEFORE AFTER
    printf '%s\n- %s = %s\n+ %s = %s\n' "$main_cf" "$1" "$2" "$1" "$3"
}

# Asks whether to go on; without a terminal only --yes says so.
confirm() {
    if [ -n "$dry_run" ]; then
        printf '\n--dry-run: nothing was changed.\n'
        exit 0
    fi
    [ -z "$yes" ] || return 0
    [ -t 0 ] || die 2 "standard input is no terminal, so nobody can agree: nothing was changed; read the change above and run again with --yes"
    local answer
    read -r -p 'Make this change? [y/N] ' answer
    case $answer in
        y | Y | yes | Yes) ;;
        *) die 1 'nothing was changed' ;;
    esac
}

# Sets smtpd_milters; an empty list goes back to Postfix's default.
write_milters() { # VALUE
    if [ -n "$1" ]; then
        pconf -e "smtpd_milters = $1"
    else
        pconf -X smtpd_milters
    fi
}

# Postfix reads main.cf again when told to.
reload_postfix() {
    if [ -n "$reload" ]; then
        postfix ${config_directory:+-c "$config_directory"} reload
    else
        printf 'Postfix goes on as before until: %s reload\n' "$(postfix_command postfix)"
    fi
}
