#!/bin/sh
# What a reader would trip over: lines over 84 columns, tabs, files and functions
# that grew too long, left-overs, scripts that cannot be started.
set -u
cd "${srcdir:-.}" || exit 1
failed=0
for file in */*.c */*.h; do
    case $file in build*|models/unicode_tables.c) continue ;; esac
    awk -v file="$file" '
        { line = $0; gsub(/[\200-\277]/, "", line) }
        length(line) > 84 && !/doi:|https:/ { print file ":" NR ": over 84 columns"; bad = 1 }
        /\t/ { print file ":" NR ": tab"; bad = 1 }
        /[ \t]$/ { print file ":" NR ": trailing blank"; bad = 1 }
        /TODO|FIXME|(^|[^X])XXX([^X]|$)/ { print file ":" NR ": left over"; bad = 1 }
        /^\{$/ { start = NR }
        /^\}/ && start { if (NR - start > 100) {
            print file ":" start ": function of " NR - start " lines"; bad = 1 }
            start = 0 }
        END { if (NR > 600) { print file ": " NR " lines"; bad = 1 } exit bad }
    ' "$file" >&2 || failed=1
done
for file in */*.sh */*.py */*/*.sh */*/*.sbatch */*/*.py; do
    case $file in build*) continue ;; esac
    if [ -f "$file" ] && [ ! -x "$file" ] && [ "$(head -c 2 "$file")" = '#!' ]; then
        echo "$file: begins with #! and is not executable" >&2
        failed=1
    fi
done
exit $failed
