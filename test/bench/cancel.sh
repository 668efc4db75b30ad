# test/bench/cancel.sh - part "cancel": how soon a call ends that is cancelled while an answer does not come.

# sandbox_control METHOD ROUTE [JSON]: one request to the sandbox's control service.
sandbox_control() {
	python3 - "$(sandbox_value control_url)/$2" "$1" "${3:-}" <<-'END'
		import sys, urllib.request

		url, method, body = sys.argv[1:]
		print(urllib.request.urlopen(urllib.request.Request(url, body.encode() or None, method=method)).read().decode())
	END
}

part_cancel() {
	local round client backend started
	start_sandbox
	run_psql --dbname=postgres --command='CREATE DATABASE cancel'
	export PGDATABASE=cancel
	run_psql <<-END
		CREATE EXTENSION canopy_summit;
		CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox', allow_private_addresses 'true',
			base_url '$(sandbox_value base_url)', ca_file '$sandbox_dir/ca.pem', team_id '$(sandbox_value team_id)');
		CREATE USER MAPPING FOR CURRENT_USER SERVER canopy
			OPTIONS (client_id '$(sandbox_value client_id)', client_secret '$(sandbox_value client_secret)');
	END
	sandbox_control POST fault '{"times": null, "fault": {"kind": "stall", "until": "released"}}' >/dev/null
	for ((round = 1; round <= BENCH_ROUNDS; round++)); do
		run_psql --command='SELECT canopy_health()' >/dev/null 2>&1 &
		client=$!
		until sandbox_control GET fault | grep -q '"waiting":1'; do :; done
		backend=$(value "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT canopy_health()'")
		started=$(date +%s%N)
		value "SELECT pg_cancel_backend($backend)" >/dev/null
		wait "$client" || true
		echo $((($(date +%s%N) - started) / 1000000))
		until sandbox_control GET fault | grep -q '"waiting":0'; do :; done
	done >"$run_dir/numbers"
	started=$(median "$run_dir/numbers")
	print_row "cancel: from pg_cancel_backend() to the error, ms" "$started" "at most 1000$(verdict "$started" '<=' 1000)"
}
