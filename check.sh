#!/bin/sh
# Install what is missing (Debian, Ubuntu), build in build/, run the tests.  Arguments
# are configure's.
set -eu
cd "$(dirname "$0")"
. tools/setup.sh
pdag_install
pdag_build --enable-werror "$@"
make -C build check
