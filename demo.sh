#!/bin/sh
# Install what is missing (Debian, Ubuntu), build in build/, run the main job.
set -eu
cd "$(dirname "$0")"
. tools/setup.sh
pdag_install
pdag_build

# More ranks than cores, and root in containers, are fine for a demonstration;
# in the environment, so that the command stays the one of the manual.
export OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
echo '+ mpirun -np 8 build/picard-dag run examples/sd.pb'
mpirun -np 8 build/picard-dag run examples/sd.pb --force
echo "The picture: $PWD/picard-dag-out/sample-000.png"
