#!/bin/bash
# test/sandbox.sh - serve the sandbox until Ctrl-C, for a PostgreSQL of one's own (make sandbox).
set -eu
needs_server=no
. "$(dirname "$0")/lib.sh"

need_packages "${sandbox_packages[@]}"
begin_run
work=$run_dir/work
copy_checkout "$work"
start_sandbox "${DEMO_SEED:-1}"
# The other server runs as another user, who has to read ca.pem.
chmod 711 "$run_dir"
chmod 755 "$sandbox_dir"

cat <<END
The sandbox is listening. As a superuser of a server on this machine:

CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (
    base_url '$(sandbox_value base_url)', ca_file '$sandbox_dir/ca.pem',
    allow_private_addresses 'true', environment 'sandbox', team_id '$(sandbox_value team_id)');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (
    client_id '$(sandbox_value client_id)', client_secret '$(sandbox_value client_secret)');
SELECT * FROM canopy_fetch_pull('$(sandbox_value pulls user_good)');

CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (
    base_url '$(sandbox_value summit_base_url)', auth_url '$(sandbox_value summit_auth_url)',
    ca_file '$sandbox_dir/ca.pem', allow_private_addresses 'true', environment 'sandbox');
CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (
    client_id '$(sandbox_value summit_client_id)', client_secret '$(sandbox_value summit_client_secret)');

Ctrl-C ends it.
END
trap 'exit 0' INT
wait
