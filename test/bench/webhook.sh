# test/bench/webhook.sh - part webhook of test/bench/run: verifying, receiving and applying webhooks.

webhook_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(200000 * scale) }')

part_webhook() {
	say "Verifying, receiving and applying $webhook_count webhooks ..."
	start_database webhook
	measure_verifying
	# Receiving and applying are measured apart: on two processors the worker would take what the clients need.
	serve_databases none
	measure_receiving 1
	measure_receiving 32
	measure_applying
}

# serve_databases LIST: those that have workers.
serve_databases() {
	run_psql --command="ALTER SYSTEM SET canopy_summit.databases = '$1'" --command="SELECT pg_reload_conf()" >/dev/null
}

# verify_rate EXPRESSION: how often a second it is true of a body of 1 kB; alternately with others.
verify_rate() {
	local row
	row=$(value "SELECT bench.rate(\$\$SELECT count(*) FROM generate_series(1, $webhook_count) n, bench.signed s WHERE $1\$\$)")
	echo "$row"
}

measure_verifying() {
	local i
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		# Every row has another time, so that nothing is computed once for all.
		verify_rate "verify_webhook_sig(s.secret, s.header, s.body, '1 day', s.signed_at + (n % 60) * interval '1 second')" >>"$run_dir/ours"
		verify_rate "encode(hmac(s.time || '.' || convert_from(s.body, 'UTF8') || left(n::text, 0), s.secret, 'sha256'), 'hex') = s.digest" >>"$run_dir/theirs"
		bare_hmac >>"$run_dir/bare_hmac"
	done
	print_row "webhook: verify_webhook_sig of 1 kB, a second" "$(median "$run_dir/ours")" ""
	print_ratio "to pgcrypto's hmac" ours theirs 1.5 2
	print_ratio "to OpenSSL's bare HMAC" ours bare_hmac
}

# HMACs of 1 kB a second in one process.
bare_hmac() {
	openssl speed -seconds 1 -bytes 1024 -hmac sha256 2>/dev/null |
		awk '/^hmac/ { sub(/k$/, "", $NF); printf "%.0f\n", $NF * 1000 / 1024 }'
}

# print_ratio WHAT FILE OTHER_FILE [TARGET STRETCH]: of the rates that were measured beside each other,
# round by round; the machine's speed changes from one round to the next.
print_ratio() {
	local ratio
	paste "$run_dir/$2" "$run_dir/$3" | awk '{ print $1 / $2 }' >"$run_dir/ratios"
	ratio=$(printf '%.2f' "$(median "$run_dir/ratios")")
	print_row "webhook: ... $1" "$ratio" "${4:+at least $4, better $5$(verdict "$ratio" '>=' "$4")}"
}

# measure_receiving CLIENTS: receive_webhook() against a bare INSERT of the same bytes.
measure_receiving() {
	local i name=receive.$1
	echo "SELECT bench.receive();" >"$run_dir/receive.sql"
	echo "SELECT bench.keep();" >"$run_dir/keep.sql"
	chmod 644 "$run_dir"/*.sql
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		transactions keep "$1" >>"$run_dir/$name.bare"
		transactions receive "$1" >>"$run_dir/$name.ours"
	done
	print_row "webhook: receive_webhook with $1 clients, rows/s" "$(median "$run_dir/$name.ours")" ""
	print_ratio "to a bare INSERT of the same bytes" "$name.ours" "$name.bare" 0.5 1
}

# transactions SCRIPT CLIENTS: a second, of pgbench; long enough that what each session reads and plans first counts little.
transactions() {
	as_run_user pgbench --no-vacuum --client="$2" --jobs=2 --time=10 --protocol=prepared --file="$run_dir/$1.sql" 2>/dev/null |
		sed -n 's/^tps = \([0-9]*\).*/\1/p'
}

# The worker's rate over webhooks that were stored while it was away.
measure_applying() {
	local row
	value "SELECT bench.store($webhook_count / 4)" >/dev/null
	serve_databases webhook
	until [ "$(value "SELECT count(*) FROM (SELECT FROM canopy_summit.webhook WHERE state = 'stored' LIMIT 1) s")" = 0 ]; do
		sleep 1
	done
	row=$(value "SELECT round(count(*) / extract(epoch FROM max(applied_at) - min(applied_at)))
		FROM canopy_summit.webhook WHERE state = 'applied' AND server = 'summit'")
	print_row "webhook: applied by one worker, a second" "$row" ""
	serve_databases ""
}
