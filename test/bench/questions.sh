# test/bench/questions.sh - what part query of test/bench/run asks, of the views and of the stored
# JSON. Both see the newest pull of each account.

month_start="date '2026-01-01'"
month_end="date '2026-02-01'"
json_from="FROM canopy_summit.pull_version j JOIN canopy_summit.pull_state s
	ON s.pull_id = j.pull_id AND s.server = j.server AND s.version = j.version AND s.is_current"

ask_questions() {
	local i number tree= view
	pull_ids=()
	for ((i = 0; i <= BENCH_ROUNDS; i++)); do
		number=$((pull_count * (2 * i + 1) / (2 * BENCH_ROUNDS + 2) / 10 * 10 + 1))
		pull_ids+=("$(value "SELECT bench.id('pull', $number)")")
	done

	ask "policies that expire in a month" 100 \
		"SELECT policy_id, account_identifier, carrier_friendly_name, policy_type, carrier_policy_number,
			expiry_date, total_premium
		FROM canopy.policy WHERE expiry_date >= $month_start AND expiry_date < $month_end" \
		"SELECT p ->> 'policy_id', j.pull ->> 'account_identifier', p ->> 'carrier_friendly_name',
			p ->> 'policy_type', p ->> 'carrier_policy_number', p ->> 'expiry_date',
			(p ->> 'total_premium_cents')::numeric / 100
		$json_from,
			jsonb_path_query(j.pull, '\$.policies[*] ? (@.expiry_date >= \"2026-01-01\" && @.expiry_date < \"2026-02-01\")') p"
	ask "... every column" "" \
		"SELECT * FROM canopy.policy WHERE expiry_date >= $month_start AND expiry_date < $month_end" ""
	ask "policies by carrier and type" 1000 \
		"SELECT carrier_friendly_name, policy_type, count(*) FROM canopy.policy GROUP BY 1, 2" \
		"SELECT p ->> 'carrier_friendly_name', p ->> 'policy_type', count(*)
		$json_from, jsonb_path_query(j.pull, '\$.policies[*]') p GROUP BY 1, 2"
	ask "sum of premium_cents over coverages" 5000 "$(premium_sum premium_cents)" \
		"SELECT sum(c::bigint) $json_from,
			jsonb_path_query(j.pull, '\$.policies[*].*[*].coverages[*].premium_cents ? (@ != null)') c"
	ask "sum of premium over coverages" 5000 "$(premium_sum premium)" ""
	ask "coverages by environment" "" "SELECT environment, count(*) FROM canopy.vehicle_coverage GROUP BY 1" ""

	ask "premium by policy over vehicles' coverages" "" \
		"SELECT count(*), max(premium) FROM (
			SELECT policy_id, sum(premium_cents) FROM canopy.vehicle_coverage GROUP BY policy_id) AS p(policy_id, premium)" ""
	ask "coverages of policies that expire in a month" "" \
		"SELECT count(*), sum(c.premium_cents) FROM canopy.policy p
			JOIN canopy.vehicle_coverage c ON c.server = p.server AND c.pull_id = p.pull_id AND c.policy_id = p.policy_id
		WHERE p.expiry_date >= $month_start AND p.expiry_date < $month_end" ""
	for view in policy vehicle dwelling vehicle_coverage dwelling_coverage driver; do
		tree+=${tree:+' \; '}"SELECT * FROM canopy.$view WHERE pull_id = '@pull@'"
	done
	ask "tree of one pull, 6 queries" 5 "$tree" \
		"SELECT j.pull $json_from WHERE j.pull_id = '@pull@'"
}

premium_sum() {
	echo "SELECT sum($1) FROM (SELECT $1 FROM canopy.vehicle_coverage
		UNION ALL SELECT $1 FROM canopy.dwelling_coverage) AS c"
}
