#!/bin/bash
# test/browser.sh - open examples/connect.html in Chromium, at two widths and by keyboard alone (make test-browser).
#
# Real are the page, its server, the database, its receiver of webhooks and the browser; the sandbox stands in for
# Canopy's script and sends the webhooks.
set -eu
. "$(dirname "$0")/lib.sh"

need_packages chromium chromium-driver
start_demo_servers
secret=browser
as_run_user psql -X --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --set=base_url="$(sandbox_value base_url)" \
	--set=ca_file="$sandbox_dir/ca.pem" --set=team_id="$(sandbox_value team_id)" \
	--set=client_id="$(sandbox_value client_id)" --set=client_secret_file="$run_dir/client_secret" \
	--set=webhook_secret="$secret" <<-'END'
	CREATE EXTENSION canopy_summit;
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox', team_id :'team_id',
	    base_url :'base_url', ca_file :'ca_file', allow_private_addresses 'true');
	CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (
	    client_id :'client_id', client_secret_file :'client_secret_file', webhook_secret :'webhook_secret');
	CREATE ROLE page LOGIN;
	SELECT canopy_summit.grant_access('page', 'reader');
END

# The page as somebody would publish it, with the sandbox's script in place of Canopy's.
script_url=$(sandbox_value base_url | sed 's|\(https://[^/]*\).*|\1|')/v2/canopy-connect.js
as_run_user cp -R "$work/examples" "$run_dir/page"
as_run_user sed -i -e "s|src=\"https://cdn.usecanopy.com/v2/canopy-connect.js\"|src=\"$script_url\"|" \
	-e 's|your-public-alias|sandbox-link|' "$run_dir/page/connect.html"
page_port=$(free_port)
PGUSER=page start_daemon TERM "$run_dir/page.log" python3 "$run_dir/page/connect.py" "$page_port"
wait_for 60 "$run_dir/page.log" python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$page_port/')"
driver_port=$(free_port)
start_daemon TERM "$run_dir/driver.log" chromedriver --port="$driver_port"
wait_for 60 "$run_dir/driver.log" python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$driver_port/status')"

run_step "${as_user[@]}" python3 "$work/test/browser.py" "http://127.0.0.1:$driver_port" \
	"http://127.0.0.1:$page_port/" "$(sandbox_value control_url)" "http://127.0.0.1:$receiver_port" "$secret" || {
	tail -n 20 "$run_dir/page.log" "$run_dir/driver.log" >&2
	exit 1
}
