# test/bench/backfill.sh - part backfill of test/bench/run: pulls and documents from a server that has them as files.

backfill_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(5000 * scale) }')
document_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(1000 * scale) }')
document_bytes=200000
backfill_width=128

part_backfill() {
	need_packages nginx
	local files=$run_dir/files
	as_run_user mkdir "$files"
	say "Making $backfill_count pulls of $store_bytes bytes ..."
	python3 "$work/test/sandbox/generate.py" pulls --count "$backfill_count" --bytes "$store_bytes" |
		as_run_user python3 "$work/test/bench/backfill_files.py" "$files" "$document_bytes"
	start_answering_server backfill "
		location ~ ^/teams/bench/pulls\$ { root $files/lists; try_files /\$arg_offset =404; }
		location ~ ^/teams/bench/pulls/([^/]+)\$ { root $files/pulls; try_files /\$1 =404; }
		location ~ /pdf\$ { root $files; types { } default_type application/pdf; try_files /document.pdf =404; }"
	[ -x "$run_dir/bare_loop" ] || cc -O2 -o "$run_dir/bare_loop" "$work/test/bench/bare_loop.c" -lcurl
	start_database backfill --set=base_url="$answer_url" --set=ca_file="$run_dir/backfill/ca.pem"
	measure_backfill
	measure_remap
	measure_documents
}

# bare_files NAME PATH COUNT: GETs of one file a second, one after the other and as many at once as we have.
bare_files() {
	"$run_dir/bare_loop" "$answer_url/$2" "$run_dir/backfill/ca.pem" "$3" 1 >>"$run_dir/bare_$1"
	"$run_dir/bare_loop" "$answer_url/$2" "$run_dir/backfill/ca.pem" "$3" "$backfill_width" >>"$run_dir/wide_$1"
}

# What the jobs since a moment were, a second, from then to the end of the last.
rate_since() {
	until [ "$(value "SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')")" = 0 ]; do
		sleep 0.5
	done
	value "SELECT round(count(*) FILTER (WHERE operation = '$2') / extract(epoch FROM max(finished_at) - '$1'))
		FROM canopy_summit.job WHERE state = 'succeeded'"
}

# print_files NAME WHAT TARGET [BYTES]
print_files() {
	local rate share
	rate=$(median "$run_dir/$1")
	print_row "backfill: $2" "$(awk "BEGIN { printf \"%.0f\", $rate * ${4:-1} }")" ""
	share=$(awk "BEGIN { printf \"%.2f\", $rate / $(median "$run_dir/bare_$1") }")
	print_row "backfill: ... of a bare loop, one transfer at a time" "$share" "at least $3$(verdict "$share" '>=' "$3")"
	share=$(awk "BEGIN { printf \"%.2f\", $rate / $(median "$run_dir/wide_$1") }")
	print_row "backfill: ... of one with $backfill_width at once" "$share" ""
}

# From canopy_sync_pulls() to the commit of the last pull, with its version and rows.
measure_backfill() {
	local i first started
	first=$(find "$run_dir/files/pulls" -type f -print -quit)
	say "Fetching them $BENCH_ROUNDS times ..."
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		bare_files pulls "teams/bench/pulls/${first##*/}" "$backfill_count"
		value "CALL bench.empty_tables()"
		started=$(value "SELECT clock_timestamp()")
		value "SELECT canopy_sync_pulls()" >/dev/null
		rate_since "$started" get-pull-by-id >>"$run_dir/pulls"
	done
	[ "$(value "SELECT count(*) FROM canopy_summit.pull_state")" = "$backfill_count" ] || {
		say "Not all pulls were found."
		exit 1
	}
	print_files pulls "pulls of $store_bytes bytes, listed, fetched and stored, a second" 0.3
}

# remap FILE [STATEMENT]: pulls a second, from the start of a task, by whoever does it.
remap() {
	local task
	task=$(value "SET client_min_messages = warning; SELECT canopy_remap()")
	[ -z "${2:-}" ] || value "$2"
	until [ "$(value "SELECT state FROM canopy_summit.task WHERE task_id = $task")" = 'done' ]; do
		sleep 0.2
	done
	value "SELECT round(done / extract(epoch FROM finished_at - started_at)) FROM canopy_summit.task WHERE task_id = $task" >>"$run_dir/$1"
}

set_workers() {
	value "ALTER SYSTEM SET canopy_summit.workers = $1"
	value "ALTER SYSTEM SET canopy_summit.databases = '$2'"
	value "SELECT pg_reload_conf()" >/dev/null
}

measure_remap() {
	local i share
	say "Mapping them again ..."
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		set_workers 2 nowhere
		until [ "$(value "SELECT count(*) FROM canopy_summit.worker_status")" = 0 ]; do sleep 0.2; done
		remap remap_session "CALL canopy_summit.run_tasks()"
		set_workers 2 backfill
		remap remap_workers
	done
	share=$(awk "BEGIN { printf \"%.2f\", $(median "$run_dir/remap_workers") / $(median "$run_dir/remap_session") }")
	print_row "backfill: canopy_remap() by one session, pulls/s" "$(median "$run_dir/remap_session")" ""
	print_row "backfill: ... by two workers, of that" "$share" "at least 1.5$(verdict "$share" '>=' 1.5)"
	set_workers 1 backfill
}

# The same files into a table of their own, by one statement: how many a second.
insert_files() {
	local started
	value "TRUNCATE bench.file"
	started=$(value "SELECT clock_timestamp()")
	value "INSERT INTO bench.file SELECT n, pg_read_binary_file('$run_dir/files/document.pdf') FROM generate_series(1, $document_count) n"
	value "SELECT round($document_count / extract(epoch FROM clock_timestamp() - '$started'))"
}

measure_documents() {
	local i started
	say "Fetching $document_count documents of $document_bytes bytes $BENCH_ROUNDS times ..."
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		bare_files documents teams/bench/pulls/d/documents/d/pdf "$document_count"
		value "CALL bench.empty_tables()"
		value "CALL bench.make_documents($document_count)"
		started=$(value "SELECT clock_timestamp()")
		value "SELECT count(canopy_enqueue_documents('d' || n)) FROM generate_series(1, $document_count) n" >/dev/null
		rate_since "$started" get-document-by-id >>"$run_dir/documents"
		insert_files >>"$run_dir/inserted"
	done
	print_files documents "documents of $document_bytes bytes, MB/s" 0.4 "$document_bytes / 1000000"
	print_row "backfill: ... of an INSERT of the same files" \
		"$(awk "BEGIN { printf \"%.2f\", $(median "$run_dir/documents") / $(median "$run_dir/inserted") }")" ""
}
