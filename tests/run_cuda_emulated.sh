#!/bin/sh
# The CUDA backend under tests/cuda_emulator: its kernels one by one, the backend
# conformance suite, and networks against the fixtures.  Skipped where there is no C++
# compiler.
set -u
[ -x tests/cuda_kernels_emulated ] || exit 77
tests/cuda_kernels_emulated || exit 1
CONF_BACKEND_ONLY=cuda CONF_BACKEND_SMALL=1
PDAG_EMULATOR_ORDER=2
export CONF_BACKEND_ONLY CONF_BACKEND_SMALL PDAG_EMULATOR_ORDER
tests/conf_backend_emulated || exit 1
tests/conf_denoiser_emulated || exit 1
tests/models_parity_emulated || exit 1
# Convolutions through cuDNN.
PDAG_EMULATOR_CUDNN=1 CK_RUN_CASE=dense tests/conf_backend_emulated || exit 1
PDAG_EMULATOR_CUDNN=1 tests/conf_denoiser_emulated || exit 1
# Matrix products without what may follow them.
PDAG_EMULATOR_NO_EPILOGUE=1 CK_RUN_CASE=dense
export PDAG_EMULATOR_NO_EPILOGUE CK_RUN_CASE
tests/conf_backend_emulated
