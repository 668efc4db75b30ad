#!/bin/bash
# test/play.sh - run the demo, then leave the reader in psql with it (make play).
set -eu
. "$(dirname "$0")/lib.sh"

start_demo_servers
show_demo
say "PostgreSQL and the sandbox run until you leave with \\q."
# Ctrl-C cancels a query; psql sees to that itself.
trap : INT
as_run_user psql -X || true
