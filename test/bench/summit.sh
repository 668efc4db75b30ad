# test/bench/summit.sh - part summit of test/bench/run: certificates, rosters and exports.

certificate_count=$(awk -v scale="$BENCH_SCALE" 'BEGIN { print int(100000 * scale) }')

part_summit() {
	say "Making $certificate_count histories of certificates ..."
	start_database summit --set="count=$certificate_count"
	measure_histories
	measure_roster
	measure_compliance
	measure_export
	measure_changes
}

# milliseconds STATEMENT: how long it takes, as the client sees it; what it returns is thrown away.
milliseconds() {
	printf '\\timing on\n\\o /dev/null\n%s;\n' "$1" | run_psql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1
}

# warm STATEMENT: how long its second call in a session takes, in ms; the first one plans, and reads the catalog.
warm() {
	printf '\\o /dev/null\n%s;\n\\timing on\n%s;\n' "$1" "$1" | run_psql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# median_of STATEMENT: of BENCH_ROUNDS.
median_of() {
	local i
	for ((i = 0; i < BENCH_ROUNDS; i++)); do
		milliseconds "$1"
	done >"$run_dir/numbers"
	median "$run_dir/numbers"
}

measure_histories() {
	local figure
	value "ALTER DATABASE summit SET enable_seqscan = off" # as workers have it
	figure=$(milliseconds "CALL bench.fold($certificate_count)")
	value "ALTER DATABASE summit RESET enable_seqscan"
	print_row "summit: folding a history of 4 events, µs" "$(awk "BEGIN { printf \"%.0f\", 1000 * $figure / $certificate_count }")" ""
	value "VACUUM ANALYZE"
	figure=$(median_of "SELECT count(uncovered) FROM summit.uncovered_period")
	print_row "summit: uncovered periods of $certificate_count histories, ms" "$figure" "at most 5000$(verdict "$figure" '<=' 5000)"
}

measure_roster() {
	local figure
	figure=$(milliseconds "SELECT i.* FROM bench.roster r, summit_import_roster('yardi', r.csv) i")
	print_row "summit: importing a roster of $certificate_count rows, ms" "$figure" "at most 10000$(verdict "$figure" '<=' 10000)"
	figure=$(milliseconds "SELECT i.* FROM bench.roster r, summit_import_roster('yardi', r.csv) i")
	print_row "summit: ... again, unchanged, ms" "$figure" ""
	value "VACUUM ANALYZE"
}

measure_compliance() {
	local figure
	value "CALL bench.require()"
	value "VACUUM ANALYZE"
	figure=$(median_of "SELECT count(*) FROM summit.compliance")
	print_row "summit: $certificate_count leases against 5 sets, ms" "$figure" "at most 5000$(verdict "$figure" '<=' 5000)"
	figure=$(warm "SELECT * FROM summit.compliance WHERE property_id = 'P-7'")
	print_row "summit: ... one property, ms" "$figure" "at most 20$(verdict "$figure" '<=' 20)"
	figure=$(warm "CALL bench.move_in()")
	figure=$(awk "BEGIN { printf \"%.2f\", $figure / 1000 }")
	print_row "summit: ... the gate, ms a row" "$figure" "at most 1$(verdict "$figure" '<=' 1)"
	value "UPDATE canopy_summit.certificate SET expiry_date = current_date + policy_status_id::integer % 365 WHERE is_newest"
	value "VACUUM ANALYZE canopy_summit.certificate"
	figure=$(warm "SELECT * FROM summit_notice_due()")
	print_row "summit: summit_notice_due() of $certificate_count certificates, ms" "$figure" "at most 50$(verdict "$figure" '<=' 50)"
}

# The same text by COPY, from a table with a column for each cell.
measure_export() {
	local export copy
	value "CREATE TABLE bench.cell AS SELECT * FROM summit.yardi_export; ALTER TABLE bench.cell DROP server, DROP environment, DROP row_key"
	value "VACUUM ANALYZE bench.cell"
	copy=$(median_of "COPY bench.cell TO STDOUT (FORMAT csv)")
	export=$(median_of "COPY (SELECT summit_export('yardi')) TO STDOUT (DELIMITER E'\\x01')")
	print_row "summit: COPY of the cells of $certificate_count rows, ms" "$copy" ""
	print_row "summit: ... rate of a full export to that" "$(awk "BEGIN { printf \"%.2f\", $copy / $export }")" ""
	value "SELECT count(*) FROM summit_export_changes('yardi')" >/dev/null
	value "VACUUM ANALYZE canopy_summit.export_line"
	export=$(median_of "COPY (SELECT summit_export('yardi')) TO STDOUT (DELIMITER E'\\x01')")
	export=$(awk "BEGIN { printf \"%.2f\", $copy / $export }")
	print_row "summit: ... where its lines are kept" "$export" "at least 0.5$(verdict "$export" '>=' 0.5)"
}

# A thousand certificates change each time, and their lines are made in the call.
measure_changes() {
	local i token figure
	value "SELECT count(summit_export_acknowledge('yardi', c.token)) FROM (SELECT max(token) AS token FROM summit_export_changes('yardi')) c" >/dev/null
	value "CALL bench.pad_lines()"
	value "VACUUM ANALYZE canopy_summit.export_line"
	for ((i = 1; i <= BENCH_ROUNDS; i++)); do
		value "UPDATE summit.upload SET insurer_name = 'Insurer $i' WHERE upload_id % ($certificate_count / 1000) = 0;
			INSERT INTO canopy_summit.export_pending SELECT nextval('canopy_summit.export_pending_id_seq'), upload_id
			FROM summit.upload WHERE upload_id % ($certificate_count / 1000) = 0"
		milliseconds "SELECT * FROM summit_export_changes('yardi')"
	done >"$run_dir/changed"
	print_row "summit: 1,000 changes among 1,000,000 rows, made anew, ms" "$(median "$run_dir/changed")" ""
	token=$(value "SELECT concat_ws('/', canopy_summit.instance(), pg_current_snapshot(), '')")
	value "UPDATE canopy_summit.export_line SET changed_xid = pg_current_xact_id(), line = line || '!'
		WHERE row_key IN (SELECT (10000000 + n)::text FROM generate_series(1, 1000) n)"
	figure=$(median_of "SELECT * FROM summit_export_changes('yardi', '$token')")
	print_row "summit: ... as kept lines, by a token, ms" "$figure" "at most 100$(verdict "$figure" '<=' 100)"
}
