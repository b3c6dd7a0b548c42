#!/bin/sh
# Layers look down only: docs/layers.txt says which folder may include which, and
# who may include the headers of outside parts.
set -u
cd "${srcdir:-.}" || exit 1
rules=docs/layers.txt
failed=0

complain() {
    echo "check-layers: $*" >&2
    failed=1
}

# Our own headers, written from the top: "folder/file.h".
for file in */*.c */*.h; do
    folder=${file%%/*}
    case $folder in tests|bench|build*) continue ;; esac
    allowed=$(sed -n "s/^$folder://p" $rules)
    grep -q "^$folder:" $rules || { complain "$file: folder not in $rules"; continue; }
    for header in $(sed -n 's/^#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
        case $header in
        */*) ;;
        *) complain "$file: \"$header\" is not written from the top"; continue ;;
        esac
        case " $folder $allowed " in
        *" ${header%%/*} "*) ;;
        *) complain "$file includes $header: $folder may use:$allowed" ;;
        esac
    done
done

# Outside headers.
misplaced=$(
    grep '^outside ' $rules | while IFS= read -r line; do
        headers=${line#outside }
        places=${headers#*:}
        for header in ${headers%%:*}; do
            grep -lE "^#[[:space:]]*include[[:space:]]*[<\"]$header(/|[>\"])" */*.c */*.h |
            while IFS= read -r file; do
                case ${file%%/*} in tests|bench) continue ;; esac
                case " $places " in
                *" $file "*|*" ${file%%/*} "*) ;;
                *) echo "$file includes $header: allowed in$places" ;;
                esac
            done
        done
    done
)
[ -z "$misplaced" ] || complain "$misplaced"
exit $failed
