# test/bench/receiver.sh - part receiver of test/bench/run: webhooks over kept connections.

receiver_seconds=5
receiver_first=1

part_receiver() {
	need_packages curl wrk
	receiver_port=$(free_port)
	export PGDATABASE=receiver
	run_psql --dbname=postgres --command="CREATE DATABASE receiver"
	run_psql --command="CREATE EXTENSION canopy_summit" \
		--command="CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id 'bench')" \
		--command="CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (webhook_secret 'bench')" \
		--command="ALTER SYSTEM SET canopy_summit.receiver_port = $receiver_port" \
		--command="ALTER SYSTEM SET canopy_summit.receiver_database = 'receiver'" \
		--command="ALTER SYSTEM SET canopy_summit.receiver_max_connections = 300" \
		--command="SELECT pg_reload_conf()" >/dev/null
	wait_for 20 "$run_dir/postgres.log" \
		curl --silent --fail "http://127.0.0.1:$receiver_port/healthz"
	measure_bare_commits
	measure_receiver 32 8000 20
	measure_receiver 256 "" ""
}

# What this machine's disk and processors do now: the same bytes into a table without indexes.
measure_bare_commits() {
	value "CREATE TABLE bare (server text, body bytea, received_at timestamptz)"
	echo "INSERT INTO bare VALUES ('canopy', convert_to(repeat('x', 1000), 'UTF8'), now());" >"$run_dir/bare.sql"
	chmod 644 "$run_dir/bare.sql"
	bare_commits=$(clients_rate bare)
	print_row "receiver: one-row commits of a bare table by 32 sessions/s" "$bare_commits" ""
}

# measure_receiver CONNECTIONS TARGET_RATE TARGET_P99: while a worker applies what is stored.
measure_receiver() {
	local i p99 rate
	say "Receiving webhooks over $1 connections $BENCH_ROUNDS times ..."
	rm -f "$run_dir"/receiver_*
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		receive "$1"
		until [ "$(value "SELECT count(*) FROM (SELECT FROM canopy_summit.webhook WHERE state = 'stored' LIMIT 1) AS w")" = 0 ]; do
			sleep 0.5
		done
		value "TRUNCATE canopy_summit.webhook" && value "CHECKPOINT"
	done
	rate=$(median "$run_dir/receiver_rate")
	print_row "receiver: webhooks/s over $1 connections" "$rate" \
		"${2:+at least $2$(verdict "$rate" '>=' "$2")}"
	print_row "receiver: ... of one-row commits by 32 sessions" \
		"$(awk "BEGIN { printf \"%.2f\", $rate / $bare_commits }")" ""
	p99=$(median "$run_dir/receiver_p99")
	print_row "receiver: ... 99th percentile, ms" "$p99" \
		"${3:+at most $3$(verdict "$p99" '<=' "$3")}"
	print_row "receiver: ... processor time of the receiver, us each" \
		"$(median "$run_dir/receiver_us")" ""
}

# receive CONNECTIONS: one round, whose figures are added to files.
receive() {
	local count=$((receiver_seconds * 40000)) before after rate p50 p99 errors stored
	python3 "$work/test/bench/receiver_requests.py" "$count" bench "$receiver_first" 1000 \
		>"$run_dir/receiver_requests"
	receiver_first=$((receiver_first + count))
	before=$(receiver_ticks)
	read -r rate p50 p99 errors < <(wrk -t1 -c"$1" -d"${receiver_seconds}s" \
		-s "$work/test/bench/receiver.lua" "http://127.0.0.1:$receiver_port" -- \
		"$run_dir/receiver_requests" | tail -n 1)
	after=$(receiver_ticks)
	stored=$(value "SELECT count(*) FROM canopy_summit.webhook")
	[ "$errors" = 0 ] || {
		say "$errors webhooks were not answered 200."
		exit 1
	}
	echo "$rate" >>"$run_dir/receiver_rate"
	echo "$p99" >>"$run_dir/receiver_p99"
	awk "BEGIN { printf \"%.0f\n\", ($after - $before) * 1e6 / $(getconf CLK_TCK) / $stored }" \
		>>"$run_dir/receiver_us"
}

receiver_ticks() {
	awk '{ print $14 + $15 }' "/proc/$(value "SELECT pid FROM canopy_summit.receiver_status")/stat"
}
