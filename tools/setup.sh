# Sourced by demo.sh and check.sh, from the top of the tree.

# Debian packages that are missing, as root or through sudo.
pdag_install() {
    packages="build-essential autoconf automake pkg-config
        openmpi-bin libopenmpi-dev libprotobuf-c-dev protobuf-c-compiler
        protobuf-compiler check libdnnl-dev libchipmunk-dev libjansson-dev
        libpng-dev zlib1g-dev"
    missing=
    if command -v dpkg-query >/dev/null 2>&1; then
        for package in $packages; do
            case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
            *' installed') ;;
            *) missing="$missing $package" ;;
            esac
        done
    fi
    [ -n "$missing" ] || return 0
    sudo=
    if [ "$(id -u)" != 0 ]; then
        sudo='sudo'
    fi
    echo "+ apt-get install$missing"
    $sudo apt-get update -qq
    # A distribution without oneDNN builds with the plain backend.
    for package in $missing; do
        if [ "$package" = libdnnl-dev ] &&
           ! apt-cache show libdnnl-dev >/dev/null 2>&1; then
            missing=$(echo "$missing" | sed 's/libdnnl-dev//')
        fi
    done
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing
}

# Configure (once, or again when the arguments changed) and make, in build/.
pdag_build() {
    [ -x configure ] || ./autogen.sh
    mkdir -p build
    if [ ! -f build/Makefile ] ||
       [ "$(cat build/.arguments 2>/dev/null)" != "$*" ]; then
        (cd build && ../configure --quiet "$@")
        echo "$*" > build/.arguments
    fi
    make -C build -j"$(nproc 2>/dev/null || echo 2)"
}
