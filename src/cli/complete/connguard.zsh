#compdef connguard
# Completion of connguard for zsh, printed by: connguard completions zsh
_connguard() {
    local line
    local -a lines values shown
    # One level of quotes is taken away; nothing is evaluated.
    lines=("${(@f)$(command connguard complete zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    case $lines[1] in
        :files) compset -P '--[a-z-]##='; _files; return ;;
        :directories) compset -P '--[a-z-]##='; _files -/; return ;;
    esac
    for line in $lines; do
        values+=("${line%%$'\t'*}")
        if [[ $line == *$'\t'* ]]; then
            shown+=("${line%%$'\t'*}  -- ${line#*$'\t'}")
        else
            shown+=("$line")
        fi
    done
    (($#values)) || return 1
    compadd -l -d shown -a values
}
if [[ ${funcstack[1]} == _connguard ]]; then
    _connguard "$@"
else
    compdef _connguard connguard
fi
