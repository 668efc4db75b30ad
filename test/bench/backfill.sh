# test/bench/backfill.sh - part backfill of test/bench/run: pulls and documents from a server that has them as files.

backfill_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(5000 * scale) }')
document_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(2000 * scale) }')
document_bytes=200000
backfill_width=128
backfill_workers=(1 2 4)

part_backfill() {
	need_packages curl nginx
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
	recycle_wal
	start_database backfill --set=base_url="$answer_url" --set=ca_file="$run_dir/backfill/ca.pem"
	measure_pulls
	measure_remap
	measure_documents
}

# Files of WAL are there to be used again, as where a server has run for a while: making them is half of writing them.
recycle_wal() {
	local i
	for ((i = 0; i < 128; i++)); do
		value "SELECT pg_logical_emit_message(false, 'bench', '')" >/dev/null
		value "SELECT pg_switch_wal()" >/dev/null
	done
	value "CHECKPOINT"
}

# bare_files NAME WORKERS: GETs of the URLs in file $run_dir/NAME.urls a second, one after the other and as many at once
# as we have.
bare_files() {
	"$run_dir/bare_loop" "$run_dir/backfill/ca.pem" 1 <"$run_dir/$1.urls" >>"$run_dir/bare_$1_$2"
	"$run_dir/bare_loop" "$run_dir/backfill/ca.pem" "$backfill_width" <"$run_dir/$1.urls" >>"$run_dir/wide_$1_$2"
}

# What the jobs since a moment were, a second, from then to the end of the last. Looking costs.
rate_since() {
	until [ "$(value "SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')")" = 0 ]; do
		sleep 1
	done
	value "SELECT round(count(*) FILTER (WHERE operation = '$2') / extract(epoch FROM max(finished_at) - '$1'))
		FROM canopy_summit.job WHERE state = 'succeeded'"
}

# print_files NAME WHAT TARGET [BYTES]
print_files() {
	local workers rate share
	for workers in "${backfill_workers[@]}"; do
		rate=$(median "$run_dir/$1_$workers")
		print_row "backfill: $2, workers = $workers" "$(awk "BEGIN { printf \"%.0f\", $rate * ${4:-1} }")" ""
		share=$(awk "BEGIN { printf \"%.2f\", $rate / $(median "$run_dir/bare_$1_$workers") }")
		print_row "backfill: ... of a bare loop, one transfer at a time" "$share" "at least $3$(verdict "$share" '>=' "$3")"
		print_backfill_share "of one with $backfill_width at once" "$rate" "wide_$1_$workers"
	done
}

# print_backfill_share WHAT RATE FILE: of the median in it.
print_backfill_share() {
	print_row "backfill: ... $1" "$(awk "BEGIN { printf \"%.2f\", $2 / $(median "$run_dir/$3") }")" ""
}

# From canopy_sync_pulls() to the commit of the last pull, with its version and rows.
backfill_pulls() {
	local started
	value "CALL bench.empty_tables()"
	started=$(value "SELECT clock_timestamp()")
	value "SELECT canopy_sync_pulls()" >/dev/null
	rate_since "$started" get-pull-by-id
}

# From the commit that wants them to the commit of the last document.
backfill_documents() {
	local started
	value "CALL bench.empty_tables()"
	value "CALL bench.make_documents($document_count)"
	started=$(value "SELECT count(canopy_enqueue_documents('d' || n)), clock_timestamp()
		FROM generate_series(1, $document_count) n" | cut -d '|' -f 2)
	rate_since "$started" get-document-by-id
}

# measure_files NAME: by workers that have done it before, as those of a server that has run for a while.
measure_files() {
	local i workers
	for workers in "${backfill_workers[@]}"; do
		start_workers "$workers"
		"backfill_$1" >/dev/null
		for ((i = 0; i < BENCH_ROUNDS; i++)); do
			bare_files "$1" "$workers"
			"backfill_$1" >>"$run_dir/$1_$workers"
		done
	done
}

measure_pulls() {
	find "$run_dir/files/pulls" -type f -printf "$answer_url/teams/bench/pulls/%f\\n" >"$run_dir/pulls.urls"
	say "Fetching them $BENCH_ROUNDS times ..."
	measure_files pulls
	[ "$(value "SELECT count(*) FROM canopy_summit.pull_state")" = "$backfill_count" ] || {
		say "Not all pulls were found."
		exit 1
	}
	print_files pulls "pulls of $store_bytes bytes stored a second" 0.3
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

# The workers of the database, from none: so many then share its connections.
start_workers() {
	end_workers "$1"
	set_workers "$1" backfill
}

end_workers() {
	set_workers "$1" nowhere
	value "SELECT pg_terminate_backend(pid) FROM canopy_summit.worker_status" >/dev/null
	until [ "$(value "SELECT count(*) FROM canopy_summit.worker_status")" = 0 ]; do sleep 0.2; done
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
		end_workers 2
		value "VACUUM"
		remap remap_session "CALL canopy_summit.run_tasks()"
		value "VACUUM"
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

# The same files written to one file, and to the disk: how many a second.
write_files() {
	as_run_user python3 - "$run_dir/files" "$document_count" <<-'END'
		import os, sys, time
		directory, count = sys.argv[1], int(sys.argv[2])
		with open(f"{directory}/document.pdf", "rb") as file:
		    content = file.read()
		started = time.monotonic()
		with open(f"{directory}/written", "wb") as file:
		    for _ in range(count):
		        file.write(content)
		    file.flush()
		    os.fsync(file.fileno())
		print(round(count / (time.monotonic() - started)))
		os.unlink(f"{directory}/written")
	END
}

measure_documents() {
	local i
	yes "$answer_url/teams/bench/pulls/d/documents/d/pdf" | head -n "$document_count" >"$run_dir/documents.urls"
	say "Fetching $document_count documents of $document_bytes bytes $BENCH_ROUNDS times ..."
	measure_files documents
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		insert_files >>"$run_dir/inserted"
		write_files >>"$run_dir/written"
	done
	print_files documents "MB of documents of $document_bytes bytes a second" 0.4 "$document_bytes / 1000000"
	print_backfill_share "of an INSERT of the same files" "$(median "$run_dir/documents_2")" inserted
	print_backfill_share "of writing them to a file, with fsync" "$(median "$run_dir/documents_2")" written
	print_row "backfill: ... that file of the bare loop" \
		"$(awk "BEGIN { printf \"%.2f\", $(median "$run_dir/written") / $(median "$run_dir/bare_documents_2") }")" ""
}
