#!/bin/bash
# test/demo.sh - fetch one pull from the sandbox and read it with SQL (make demo).
#
# DEMO_SEED chooses another set of data.
set -eu
. "$(dirname "$0")/lib.sh"

start_demo_servers
show_demo
