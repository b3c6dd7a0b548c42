#!/bin/sh
# Every header compiles alone, as C11 and as C++17.
set -u
src=${srcdir:-.}
failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null 2>&1 || cxx=
for header in "$src"/*/*.h; do
    name=${header#"$src"/}
    case $name in tests/*|bench/*|build*) continue ;; esac
    # Headers that show CUDA's own, where there is none.
    case $name:${HEADER_CFLAGS:-} in
    *PDAG_HAVE_CUDA*) ;;
    backend/cuda_api.h:*|backend/cuda_internal.h:*) continue ;;
    esac
    printf '#include "%s"\ntypedef int not_empty;\n' "$name" > "$dir/one.c"
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror \
        -I"$src" -I. ${HEADER_CFLAGS:-} -fsyntax-only "$dir/one.c" ||
        { echo "check-headers: $name is not a header of its own in C" >&2; failed=1; }
    [ -n "$cxx" ] || continue
    cp "$dir/one.c" "$dir/one.cc"
    # shellcheck disable=SC2086
    $cxx -std=c++17 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror \
        -I"$src" -I. ${HEADER_CFLAGS:-} -fsyntax-only "$dir/one.cc" ||
        { echo "check-headers: $name is not valid C++" >&2; failed=1; }
done
exit $failed
