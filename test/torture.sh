#!/bin/bash
# test/torture.sh - the TAP tests with their full counts (make torture).
set -eu
export CANOPY_TEST_SCALE="${CANOPY_TEST_SCALE:-1}"
exec "$(dirname "$0")/run" tap
