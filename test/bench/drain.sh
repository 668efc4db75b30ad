# test/bench/drain.sh - part drain of test/bench/run: jobs against a server that answers at once.

drain_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(50000 * scale) }')
queue_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(1000000 * scale) }')
drain_width=128

part_drain() {
	need_packages curl nginx
	start_answering_server drain "
		location /oauth2/token { return 200 '{\"access_token\":\"bench\",\"expires_in\":86400}'; }
		location /v1/policies { return 202 '{\"job_id\":\"job_\$request_id\",\"status\":\"accepted\"}'; }
		location /v1/jobs/ { return 200 '{\"status\":\"verified\"}'; }"
	cc -O2 -o "$run_dir/bare_loop" "$work/test/bench/bare_loop.c" -lcurl
	start_database drain --set=base_url="$answer_url" --set=ca_file="$run_dir/drain/ca.pem"
	measure_draining
	measure_latency
	measure_enqueue
	measure_long_queue
}

# start_answering_server NAME LOCATIONS: nginx over TLS on a free port of loopback, which answers what is none of the
# locations at once. Its files are in $run_dir/NAME.
start_answering_server() {
	local port dir=$run_dir/$1
	as_run_user mkdir "$dir"
	port=$(free_port)
	as_run_user openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout "$dir/key.pem" -out "$dir/ca.pem" 2>/dev/null
	as_run_user tee "$dir/nginx.conf" >/dev/null <<-END
		worker_processes 1;
		daemon off;
		pid $dir/pid;
		error_log $dir/error.log;
		events { worker_connections 2048; }
		http {
			access_log off;
			keepalive_requests 100000000;
			client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir;
			uwsgi_temp_path $dir; scgi_temp_path $dir;
			default_type application/json;
			server {
				listen 127.0.0.1:$port ssl backlog=1024;
				ssl_certificate $dir/ca.pem;
				ssl_certificate_key $dir/key.pem;
				$2
				location / { return 200 '{"healthy":true}'; }
			}
		}
	END
	start_daemon QUIT "$dir/nginx.log" nginx -e "$dir/error.log" -c "$dir/nginx.conf"
	answer_url=https://localhost:$port
	wait_for 20 "$dir/nginx.log" curl --silent --cacert "$dir/ca.pem" "$answer_url/health"
}

bare_rate() {
	"$run_dir/bare_loop" "$run_dir/drain/ca.pem" "$drain_width" < <(yes "$answer_url/health" | head -n "$drain_count")
}

# drain SERVER OPERATION: sends what is queued for a paused server; prints jobs a second until the
# last. The worker's own counter says when to look, because looking costs.
drain() {
	local before
	value "VACUUM ANALYZE canopy_summit.job"
	value "CHECKPOINT"
	before=$(settled)
	value "SELECT canopy_summit.resume_server('$1')" >/dev/null
	until [ "$(settled)" -ge $((before + drain_count)) ]; do
		sleep 0.5
	done
	until [ "$(value "SELECT count(*) FROM canopy_summit.job WHERE state = 'queued' AND operation = '$2'")" = 0 ]; do
		sleep 1
	done
	sleep 1
	value "SELECT round(count(*) / extract(epoch FROM max(finished_at) - min(finished_at)))
		FROM canopy_summit.job WHERE operation = '$2' AND state = 'succeeded'"
	forget_jobs
}

# Jobs that the connected worker has settled; 0 if none is connected.
settled() { value "SELECT coalesce(max(settled), 0) FROM canopy_summit.worker_status"; }

forget_jobs() {
	value "SELECT canopy_summit.pause_server('canopy'), canopy_summit.pause_server('summit')" >/dev/null
	until [ "$(value "SELECT count(*) FROM canopy_summit.job WHERE state = 'running'")" = 0 ]; do
		sleep 0.2
	done
	value "TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response, summit.upload,
		summit.upload_warning"
}

measure_draining() {
	local i
	say "Draining $drain_count jobs and $drain_count uploads $BENCH_ROUNDS times ..."
	forget_jobs
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		bare_rate >>"$run_dir/bare"
		value "INSERT INTO canopy_summit.job (server, operation)
			SELECT 'canopy', 'get-health' FROM generate_series(1, $drain_count)"
		drain canopy get-health >>"$run_dir/plain"
		value "SET client_min_messages = warning;
			INSERT INTO summit.upload (payload)
			SELECT bench.payload(n) FROM generate_series(1, $drain_count) n" >/dev/null
		drain summit upload-policy >>"$run_dir/uploads"
	done
	print_row "drain: bare libcurl loop, requests/s" "$(median "$run_dir/bare")" ""
	print_share "jobs" plain 0.3 0.5
	print_share "uploads with their effects" uploads 0.2 0.3
}

# print_share WHAT FILE TARGET STRETCH
print_share() {
	local rate share
	rate=$(median "$run_dir/$2")
	share=$(awk "BEGIN { printf \"%.2f\", $rate / $(median "$run_dir/bare") }")
	print_row "drain: $1/s" "$rate" ""
	print_row "drain: ... as a share of the bare loop" "$share" \
		"at least $3, better $4$(verdict "$share" '>=' "$3")"
}

# percentiles PHASE MEDIAN_MS P99_MS: of the latencies measured since the last call.
percentiles() {
	local row
	row=$(value "SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2) || ' '
			|| round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2)
		FROM (SELECT 1000 * extract(epoch FROM a.started_at - l.committing_at) + coalesce(a.tls_us, 0) / 1000.0
			FROM bench.latency l JOIN canopy_summit.job_attempt a USING (job_id)) AS x(ms)")
	print_row "drain: COMMIT to request, $1, median ms" "${row% *}" \
		"at most $2$(verdict "${row% *}" '<=' "$2")"
	print_row "drain: ... 99th percentile ms" "${row#* }" "${3:+at most $3$(verdict "${row#* }" '<=' "$3")}"
	forget_jobs
	value "TRUNCATE bench.latency"
}

measure_latency() {
	local i
	value "SELECT canopy_summit.resume_server('canopy')" >/dev/null
	say "Measuring latency ..."
	for ((i = 0; i < 1000; i++)); do
		echo "CALL bench.enqueue_one(); SELECT pg_sleep(0.002);"
	done | run_psql >/dev/null
	sleep 1
	percentiles "worker connected" 3 10
	value "ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '100ms'"
	value "SELECT pg_reload_conf()" >/dev/null
	value "SELECT canopy_summit.resume_server('canopy')" >/dev/null
	for ((i = 0; i < 30; i++)); do
		echo "CALL bench.enqueue_one(); SELECT pg_sleep(0.6);"
	done | run_psql >/dev/null
	percentiles "worker away" 50 ""
	value "ALTER SYSTEM RESET canopy_summit.worker_idle_timeout"
	value "SELECT pg_reload_conf()" >/dev/null
}

# rows_per_second STATEMENT ROWS
rows_per_second() {
	local started ended
	started=$(date +%s.%N)
	value "$1"
	ended=$(date +%s.%N)
	awk "BEGIN { printf \"%.0f\", $2 / ($ended - $started) }"
}

measure_enqueue() {
	local columns="job_id, server, operation, params, priority, run_at, max_attempts, owner, state, instance, fence, attempts, enqueued_at"
	local values="'canopy', 'get-health', '{}'::jsonb, 5, now(), 10, current_user, 'queued'::canopy_summit.job_state, 1, 0, 0, now()"
	local ours bare
	say "Measuring enqueue ..."
	forget_jobs
	bare=$(rows_per_second "INSERT INTO bench.bare ($columns) SELECT n, $values FROM generate_series(1, $drain_count) n" "$drain_count")
	ours=$(rows_per_second "INSERT INTO canopy_summit.job (server, operation)
		SELECT 'canopy', 'get-health' FROM generate_series(1, $drain_count)" "$drain_count")
	print_row "drain: enqueue in one transaction, rows/s" "$ours" ""
	print_row "drain: ... of a bare INSERT of the same rows" "$(awk "BEGIN { printf \"%.2f\", $ours / $bare }")" ""
	echo "INSERT INTO bench.bare ($columns) SELECT nextval('bench.number'), $values;" >"$run_dir/bare.sql"
	echo "INSERT INTO canopy_summit.job (server, operation) VALUES ('canopy', 'get-health');" >"$run_dir/ours.sql"
	chmod 644 "$run_dir"/*.sql
	bare=$(clients_rate bare)
	ours=$(clients_rate ours)
	print_row "drain: enqueue with 32 clients, rows/s" "$ours" ""
	print_row "drain: ... of a bare INSERT of the same rows" "$(awk "BEGIN { printf \"%.2f\", $ours / $bare }")" ""
	forget_jobs
}

clients_rate() {
	as_run_user pgbench --no-vacuum --client=32 --jobs=2 --time=5 --file="$run_dir/$1.sql" 2>/dev/null |
		sed -n 's/^tps = \([0-9]*\).*/\1/p'
}

worker_rss_kb() {
	local pid
	pid=$(value "SELECT pid FROM canopy_summit.worker_status LIMIT 1")
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$pid/status"
}

# rate_over SECONDS: jobs settled a second, as the worker counts them.
rate_over() {
	local before after
	before=$(value "SELECT settled FROM canopy_summit.worker_status")
	sleep "$1"
	after=$(value "SELECT settled FROM canopy_summit.worker_status")
	awk "BEGIN { printf \"%.0f\", ($after - $before) / $1 }"
}

# The rate at the head of a short queue, by the same clock as those below.
short_queue_rate() {
	forget_jobs
	value "INSERT INTO canopy_summit.job (server, operation)
		SELECT 'canopy', 'get-health' FROM generate_series(1, $queue_count / 10)"
	value "VACUUM ANALYZE canopy_summit.job"
	value "CHECKPOINT"
	value "SELECT canopy_summit.resume_server('canopy')" >/dev/null
	sleep 2
	rate_over 5
	forget_jobs
}

# The rate at the head of a long queue, and behind as many dead entries, which an old snapshot keeps;
# each against that of a short queue right before or after, because the disk changes within minutes.
measure_long_queue() {
	local before long held after rss_first rss_last snapshot
	say "Draining $queue_count jobs while a snapshot is held ..."
	before=$(short_queue_rate)
	value "INSERT INTO canopy_summit.job (server, operation)
		SELECT 'canopy', 'get-health' FROM generate_series(1, $queue_count)"
	value "VACUUM ANALYZE canopy_summit.job"
	value "CHECKPOINT"
	run_psql --command="BEGIN ISOLATION LEVEL REPEATABLE READ" --command="SELECT 1" \
		--command="SELECT pg_sleep(86400)" >/dev/null 2>&1 &
	snapshot=$!
	sleep 1
	value "SELECT canopy_summit.resume_server('canopy')" >/dev/null
	sleep 2
	long=$(rate_over 5)
	rss_first=$(worker_rss_kb)
	until [ "$(value "SELECT count(*) FROM (SELECT FROM canopy_summit.job WHERE state = 'queued' LIMIT 1) AS j")" = 0 ]; do
		rss_last=$(worker_rss_kb)
		sleep 2
	done
	value "INSERT INTO canopy_summit.job (server, operation)
		SELECT 'canopy', 'get-health' FROM generate_series(1, $queue_count / 10)"
	sleep 2
	held=$(rate_over 5)
	kill "$snapshot"
	after=$(short_queue_rate)
	print_row "drain: rate with $queue_count queued, of that of a short queue" \
		"$(awk "BEGIN { printf \"%.2f\", $long / $before }")" "at least 0.9$(verdict "$long" '>=' "0.9 * $before")"
	print_row "drain: rate behind as many drained under an old snapshot" \
		"$(awk "BEGIN { printf \"%.2f\", $held / $after }")" "at least 0.9$(verdict "$held" '>=' "0.9 * $after")"
	print_row "drain: growth of the worker's memory, kB in 100,000 jobs" \
		"$(awk "BEGIN { printf \"%.0f\", ($rss_last - $rss_first) * 100000 / $queue_count }")" "at most 1024"
}
