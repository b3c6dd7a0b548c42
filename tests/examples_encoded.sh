#!/bin/sh
# examples/*.pb are what protoc makes of the .txtpb beside them.
#
# PROTOC: the compiler (default protoc).  srcdir: top of the sources.
set -u
top=${srcdir:-.}
protoc=${PROTOC:-protoc}
command -v "$protoc" >/dev/null 2>&1 || exit 77
work=$(mktemp -d "${TMPDIR:-/tmp}/pdag-examples.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
n_bad=0

for text in "$top"/examples/*.txtpb; do
    if "$protoc" --encode=pdag.Job --proto_path="$top/proto" \
        "$top/proto/job.proto" <"$text" >"$work/job.pb" &&
        cmp "$work/job.pb" "${text%.txtpb}.pb"; then
        continue
    fi
    n_bad=$((n_bad + 1))
    echo "FAIL: ${text%.txtpb}.pb is not the encoded $text"
done
[ "$n_bad" -eq 0 ]
