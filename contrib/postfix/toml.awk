# Reads or sets one array of strings in a TOML file, and leaves every other
# byte of the file as it is.
#
#   awk -f toml.awk -v mode=get -v table=milter -v key=inbound_domains FILE
#       prints the strings of the array, one a line; exit 3: no such key
#   VALUE='["a"]' awk -f toml.awk -v mode=set -v table=milter -v key=... FILE
#       prints the file with the key set, added where it is missing
#
# An array of tables is named `-v table='[organization]' -v nth=2`: the key is
# that of its second table.
#
# Exit 4: the file ends inside a string or an array, so it is no valid TOML.
# Exit 5: the table is written in a way this script doesn't edit
#         (`milter.key = ...` or `milter = { ... }`).
# It knows as much of TOML as finding the end of a value takes: comments, the
# four kinds of string, nested brackets.

# Reads the rest of a line from `pos` on. Keeps `quote` (the kind of string we
# are in) and `depth` (open brackets) across lines; returns where a comment
# begins, 0 where there is none.
function scan(line, pos,    c, three) {
    while (pos <= length(line)) {
        c = substr(line, pos, 1)
        three = substr(line, pos, 3)
        if (quote == "") {
            if (c == "#") return pos
            if (three == "\"\"\"" || three == "'''") { quote = three; pos += 3; text = ""; continue }
            if (c == "\"" || c == "'") { quote = c; text = "" }
            else if (c == "[" || c == "{") depth++
            else if (c == "]" || c == "}") depth--
        } else if (c == "\\" && substr(quote, 1, 1) == "\"") {
            text = text substr(line, pos, 2); pos += 2; continue
        } else if (length(quote) == 3 && three == quote) {
            if (inside) found[++strings] = text
            quote = ""; pos += 3; continue
        } else if (length(quote) == 1 && c == quote) {
            if (inside) found[++strings] = text
            quote = ""
        } else text = text c
        pos++
    }
    if (length(quote) == 1) broken = 1
    return 0
}

# Are we in the table that was asked for?
function ours() { return current == "[" table "]" && (!nth || tables == nth) }

function table_of(line) {
    sub(/#.*/, "", line)
    gsub(/[ \t\r"']/, "", line)
    return line
}

{
    fresh = (quote == "" && depth == 0)
    start = 1
    if (fresh && $0 ~ /^[ \t]*\[/) {
        current = table_of($0)
        lines[++count] = $0
        if (current == "[" table "]") tables++
        if (ours() && !last) last = count
        next
    }
    if (fresh) {
        name = $0
        if (sub(/[ \t]*=.*/, "", name)) {
            gsub(/[ \t"']/, "", name)
            if (current == "" && (name == table || index(name, table ".") == 1)) elsewhere = 1
            if (ours() && name == key) {
                inside = 1
                seen = 1
                start = index($0, "=") + 1
                match($0, /^[ \t]*/)
                indent = substr($0, 1, RLENGTH)
            }
        }
    }
    comment = scan($0, start)
    # A new key goes below the last one of its table.
    if (ours() && !inside && $0 !~ /^[ \t\r]*(#|$)/) last = count + 1
    if (!inside) { lines[++count] = $0; next }
    if (quote == "" && depth == 0) {
        lines[++count] = indent key " = " ENVIRON["VALUE"] (comment ? "  " substr($0, comment) : "")
        inside = 0
        last = count
    }
}

END {
    if (broken || quote != "" || depth != 0) exit 4
    if (elsewhere) exit 5
    if (mode == "get") {
        for (i = 1; i <= strings; i++) print found[i]
        exit seen ? 0 : 3
    }
    for (i = 1; i <= count; i++) {
        print lines[i]
        if (i == last && !seen) print key " = " ENVIRON["VALUE"]
    }
    if (!last) {
        if (count) print ""
        print "[" table "]"
        print key " = " ENVIRON["VALUE"]
    }
}
