# Completion of connguard for bash 4.4 or newer, printed by: connguard completions bash
_connguard() {
    local rest=${COMP_LINE:0:COMP_POINT} gap word cut='' i
    local -a words=()
    # bash takes a word apart at : and = and @; what was typed without a blank is one.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        gap=${rest%%[![:space:]]*}
        rest=${rest#"$gap"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$rest
        if [[ $i -eq 0 || -n $gap ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${rest#"$word"}
    done
    local current=${words[${#words[@]} - 1]}
    COMPREPLY=()
    local -a lines=()
    mapfile -t lines < <(command connguard complete bash -- "${words[@]}" 2>/dev/null)
    case ${lines[0]-} in
        # readline knows paths best, with ~ and quotes.
        :files) compopt -o default 2>/dev/null; return ;;
        :directories) compopt -o dirnames 2>/dev/null; return ;;
    esac
    # What is before the last of these signs stays where it is.
    if [[ $current != [\'\"]* ]]; then
        local breaks=${COMP_WORDBREAKS//[^:=@]/}
        [[ -z $breaks ]] || cut=${current%"${current##*["$breaks"]}"}
        # The @ itself is a part of what bash completes.
        cut=${cut%@}
    fi
    for word in "${lines[@]}"; do
        COMPREPLY+=("${word#"$cut"}")
    done
}
complete -F _connguard connguard
