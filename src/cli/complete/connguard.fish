# Completion of connguard for fish 3 or newer, printed by: connguard completions fish
function __connguard_complete
    set -l current (commandline -ct)
    set -l lines (command connguard complete fish -- (commandline -opc) "$current" 2>/dev/null)
    # A path behind --option= is completed by itself, and put back.
    set -l option (string match -r -- '^--[a-z-]+=' "$current")
    set -l path (string replace -r -- '^--[a-z-]+=' '' "$current")
    switch "$lines[1]"
        case :files
            printf '%s\n' "$option"(__fish_complete_path "$path")
        case :directories
            printf '%s\n' "$option"(__fish_complete_directories "$path")
        case '*'
            printf '%s\n' $lines
    end
end
complete -c connguard -f -a '(__connguard_complete)'
