#!/bin/sh
# The backend conformance suite on a real CUDA device, in every precision that it
# knows.  Skipped where there is none, so that nothing passes unseen.
set -u
[ -x tests/conf_backend ] || exit 77
CONF_BACKEND_ONLY=cuda
export CONF_BACKEND_ONLY
tests/conf_backend
