#!/bin/bash
# test/demo.sh - fetch a pull, upload a certificate and receive webhooks, all with the sandbox (make demo).
#
# DEMO_SEED chooses another set of data.
set -eu
. "$(dirname "$0")/lib.sh"

start_demo_servers
show_demo
