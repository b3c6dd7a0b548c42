#!/bin/sh
# The CUDA backend under tests/cuda_emulator: its kernels one by one, and the
# backend conformance suite.  Skipped where there is no C++ compiler.
set -u
[ -x tests/cuda_kernels_emulated ] || exit 77
tests/cuda_kernels_emulated || exit 1
CONF_BACKEND_ONLY=cuda CONF_BACKEND_SMALL=1
PDAG_EMULATOR_ORDER=2
export CONF_BACKEND_ONLY CONF_BACKEND_SMALL PDAG_EMULATOR_ORDER
tests/conf_backend_emulated
