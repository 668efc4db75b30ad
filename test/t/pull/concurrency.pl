# Do many sessions that store the same pulls at once leave what one after the other would?
use strict;
use warnings;

use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_node(conf => "max_connections = 40\ndeadlock_timeout = 100ms\n");
create_canopy_server($node, $sandbox);
$node->safe_psql('postgres', definitions());

storm('pulls of fixed accounts', 'fixed', 16, scaled(1000));
storm('pulls that change their account', 'moving', 16, scaled(1000));
storm('pulls stored while all are remapped', 'fixed', 8, scaled(1000), maintenance());
moved_meanwhile();
late_responses();
refreshed_account();
done_testing();

# Sessions store random states of twenty pulls in random order; others may run other statements meanwhile.
sub storm
{
	my ($what, $kind, $sessions, $stores, @others) = @_;
	my @run;

	$node->safe_psql('postgres', 'TRUNCATE stored; SELECT empty()');
	push @run, start_pgbench("$sessions", $stores, store_script($kind), "--random-seed=$seed");
	push @run, map { start_pgbench(1, @$_) } @others;
	for my $run (@run)
	{
		$run->{handle}->finish;
		is("${ $run->{stderr} }" =~ s/^pgbench: setting random seed.*\n//mgr, '', "$what: no error");
		my ($failed) = ${ $run->{stdout} } =~ /^number of failed transactions: (\d+)/m;
		is($failed, '0', "$what: nothing failed for good");
	}
	is(query('SELECT count(*) FROM stored'), $sessions * $stores, "$what: every store returned");
	cmp_ok(query('SELECT count(*) FROM canopy_summit.pull_version'), '>', 100, "$what: there are many versions");
	state_is_right($what);
	return;
}

# The tables against what the sessions were told, and against a rebuild.
sub state_is_right
{
	my ($what) = @_;
	is( query(<<~'SQL'), '',
		SELECT pull_id, count(*), min(version), max(version) FROM canopy_summit.pull_version
		GROUP BY pull_id HAVING min(version) <> 1 OR max(version) <> count(*)
		SQL
		"$what: versions are numbered without gaps");
	is(query(<<~'SQL'), '', "$what: every store returned the version that holds its pull");
		SELECT s.* FROM stored s LEFT JOIN canopy_summit.pull_version v USING (pull_id, version)
		WHERE v.pull IS DISTINCT FROM s.pull
		SQL
	is( query(<<~'SQL'), '',
		SELECT l.pull_id, l.version, l.fetched_at, s.version, s.fetched_at
		FROM latest l FULL JOIN canopy_summit.pull_state s USING (pull_id)
		WHERE (l.version, l.fetched_at) IS DISTINCT FROM (s.version, s.fetched_at)
		SQL
		"$what: the version requested last is current");
	is(query('SELECT * FROM wrong_choice'), '', "$what: the views show the right pull of each account");
	is(query(<<~'SQL'), '', "$what: and never two");
		SELECT account_identifier FROM canopy_summit.pull_state WHERE is_current AND account_identifier IS NOT NULL
		GROUP BY 1 HAVING count(*) > 1
		SQL
	my %before = fingerprints();
	cmp_ok(scalar(grep { !/^0 / } values %before), '>=', 4, "$what: there are entity rows");
	query('UPDATE canopy_summit.pull_state SET is_current = NOT is_current; SELECT canopy_remap()');
	query('CALL canopy_summit.run_tasks()');
	is_deeply({ fingerprints() }, \%before, "$what: entity rows and states are those of a rebuild");
	return;
}

# A pull that changes its account waits for another that has changed it: whose account it leaves is known only then.
sub moved_meanwhile
{
	$node->safe_psql('postgres', 'SELECT empty()');
	my $store = sub { my ($pull, $account) = @_; return <<~"SQL" };
		SELECT canopy_store_pull('{"pull_id": "$pull", "account_identifier": "$account", "status": "SUCCESS"}');
		SQL
	my $waiting = sub {
		my ($count) = @_;
		wait_until("$count wait", sub { query(<<~'SQL') == $count });
			SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
			SQL
	};
	my ($first, $second, $third) = map { open_session($node, on_error_stop => 0) } 1 .. 3;

	query($store->('moves', 'a') . $store->('stays', 'b'));
	$first->query_safe('BEGIN;' . $store->('moves', 'b'));
	$second->query_until(qr/started/, "\\echo started\n" . $store->('moves', 'z'));
	$waiting->(1);
	# Has account b as soon as the first has committed, and wants z then, in the order of accounts.
	$third->query_until(
		qr/started/,
		"\\echo started\nBEGIN;\n" . $store->('stays', 'b') . $store->('last', 'z') . "COMMIT;\n");
	$waiting->(2);
	$first->query_safe('COMMIT');
	for ($first, $second, $third)
	{
		$_->quit;
		is($_->{stderr}, '', 'no session has an error');
	}
	is(query(<<~'SQL'), "last|z\nmoves|z\nstays|b", 'all is stored');
		SELECT pull_id, account_identifier FROM canopy_summit.pull_state ORDER BY 1
		SQL
	return;
}

# A response that was asked for earlier and comes later is kept, and never shown.
sub late_responses
{
	$node->safe_psql('postgres', 'SELECT empty()');
	my $store = sub {
		my ($premium, $fetched_at) = @_;
		return query(<<~"SQL");
			SELECT version, changed FROM canopy_store_pull('{"pull_id": "p", "status": "SUCCESS",
				"policies": [{"policy_id": "x", "total_premium_cents": $premium}]}', fetched_at => '$fetched_at')
			SQL
	};
	my $shown = sub { query('SELECT total_premium_cents FROM canopy.policy') };

	is($store->(2, '2026-01-01 12:00:02'), '1|t', 'a first response');
	is($store->(1, '2026-01-01 12:00:01'), '2|f', 'an older one that comes later is a version');
	is($shown->(), '2', 'but not shown');
	is($store->(2, '2026-01-01 12:00:05'), '1|f', 'the same again confirms the current version');
	is($store->(4, '2026-01-01 12:00:04'), '3|f', 'so that an answer to a request before that is late too');
	is($shown->(), '2', 'and not shown');
	is($store->(1, '2026-01-01 12:00:01.5'), '2|f', 'a late one that says what was known then is no new version');
	is($store->(1, '2026-01-01 12:00:06'), '4|t', 'a newer one is, also if it says what was said before');
	is($shown->(), '1', 'and is shown');

	# The late one waits for the newer one, which has not committed yet.
	my $newer = open_session($node);
	$newer->query_safe(<<~'SQL');
		BEGIN; SELECT canopy_store_pull('{"pull_id": "p", "status": "NEWER"}', fetched_at => '2026-01-02')
		SQL
	my $late = open_session($node);
	$late->query_until(qr/started/, <<~'SQL');
		\echo started
		SELECT canopy_store_pull('{"pull_id": "p", "status": "LATE"}', fetched_at => '2026-01-01 18:00');
		SQL
	wait_until('the late response waits', sub { query(<<~'SQL') });
		SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
		SQL
	$newer->query_safe('COMMIT');
	$newer->quit;
	$late->quit;
	is( query('SELECT status, version FROM canopy.pull_all'), 'NEWER|5',
		'a late response that waited for a newer one does not overwrite it');
	is(query('SELECT max(version) FROM canopy_summit.pull_version'), '6', 'and is kept');
	return;
}

# Whatever is summed over the views stays the same when an account is pulled again.
sub refreshed_account
{
	$node->safe_psql('postgres', 'SELECT empty()');
	my @users = qw(user_good_complete user_good_commercial user_good_life);
	fetch($sandbox->pull_id($_)) for @users;
	my $before = sums();
	like($before, qr/policy: total_premium_cents = [1-9]/, 'there is something to sum');

	for my $number (2, 3)
	{
		for my $user (@users)
		{
			my $again = $sandbox->pull($sandbox->pull_id($user));
			$again->{pull_id} = "$user-$number";
			$again->{created_at} = "203$number-01-01T00:00:00.000Z";
			$sandbox->put_pull($again->{pull_id}, $again);
			fetch($again->{pull_id});
		}
		is(sums(), $before, "no sum has changed when the accounts were pulled for the ${number}th time");
	}
	is(query('SELECT count(*) FROM canopy.pull_all'), 9, 'nine pulls are there');
	is( query('SELECT string_agg(pull_id, \' \' ORDER BY pull_id) FROM canopy.pull'),
		join(' ', map { "$_-3" } sort @users), 'the newest of each account is shown');
	return;
}

sub fetch { my ($pull_id) = @_; return query("SELECT canopy_fetch_pull('$pull_id', true)") }

# Sum of every number, and count of every view that shows accounts' newest pulls.
sub sums
{
	my @sums = split /\n/, query(<<~'SQL');
		SELECT format('SELECT %L || coalesce(sum(%I)::text, ''none'') FROM canopy.%I',
			relname || ': ' || attname || ' = ', attname, relname)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			AND a.atttypid IN ('int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
		WHERE relnamespace = 'canopy'::regnamespace AND relname !~ '_all$|^pull_version$'
		UNION ALL
		SELECT format('SELECT %L || count(*) FROM canopy.%I', relname || ': rows = ', relname)
		FROM pg_class WHERE relnamespace = 'canopy'::regnamespace AND relname !~ '_all$|^pull_version$'
		ORDER BY 1
		SQL
	return query(join ';', @sums);
}

# What an administrator may do meanwhile: [how often, script] each.
sub maintenance
{
	return [
		scaled(300),
		"SET client_min_messages = warning;\nSELECT canopy_remap();\nCALL canopy_summit.run_tasks();\n" ],
	  [ scaled(30), qq{SELECT canopy_summit.add_column('policy', 'added_' || nextval('number'), 'text', false);\n} ];
}

sub store_script
{
	my ($kind) = @_;
	return <<~"SQL";
		\\set pull random(1, 20)
		\\set state random(1, 200)
		\\set moment random(1, 1000000000)
		INSERT INTO stored
		SELECT r.pull_id, r.version, a.fetched_at, a.pull
		FROM (SELECT ${kind}_pull(:pull, :state) AS pull,
				timestamptz '2020-01-01' + (:moment * 100000::bigint + nextval('number') % 100000) * interval '1 us'
					AS fetched_at) AS a,
			canopy_store_pull(a.pull, fetched_at => a.fetched_at) AS r;
		SELECT check_choice();
		SQL
}

sub start_pgbench
{
	my ($clients, $transactions, $script, @options) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir('pgbench') . '/script';
	my ($stdout, $stderr) = ('', '');

	append_to_file($file, $script);
	my $handle = IPC::Run::start(
		[   'pgbench', '--no-vacuum', '--client', $clients, '--jobs', 1, '--transactions', $transactions,
			@options, '--file', $file, $node->connstr('postgres') ],
		'>',
		\$stdout,
		'2>',
		\$stderr);
	return { handle => $handle, stdout => \$stdout, stderr => \$stderr };
}

# Number of rows and a digest of them, of every entity table and of the states.
sub fingerprints
{
	my @tables = ('pull_state', split /\n/, query('SELECT canopy_summit.entities()'));
	my @rows = split /\n/, query(join ';', map { <<~"SQL" } @tables);
		SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C")), '')
		FROM canopy_summit.$_ t
		SQL
	return map { ($tables[$_] => $rows[$_]) } 0 .. $#tables;
}

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# The states that pulls go through, what the sessions were told, and which pull the views have to show for that.
sub definitions
{
	return <<~'SQL';
		CREATE SEQUENCE number;
		CREATE TABLE stored (pull_id text, version int, fetched_at timestamptz, pull jsonb);

		CREATE FUNCTION fixed_pull(n int, s int) RETURNS jsonb LANGUAGE sql AS $$
			SELECT jsonb_build_object(
				'pull_id', 'pull ' || n,
				'account_identifier', CASE WHEN n % 5 <> 0 THEN 'account ' || n % 5 END,
				'created_at', CASE WHEN s % 13 <> 0 THEN '2026-01-01Z'::timestamptz + n % 3 * interval '1 day' END,
				'type',
					(ARRAY['PULLING_DATA', 'SERVICING', 'CONTACT_ME', 'DOCUMENT_UPLOAD', 'POLICY_LOOKUP', NULL,
						'PULLING_DATA'])[1 + s % 7],
				'status', (ARRAY['SUCCESS', 'STARTED', 'INTERNAL_ERROR'])[1 + s % 3],
				'is_archived', s % 5 = 0,
				'policies',
					(SELECT jsonb_agg(jsonb_build_object('policy_id', n || ' ' || i, 'total_premium_cents',
						s * 100 + i,
						'vehicles', jsonb_build_array(jsonb_build_object('vehicle_id', i, 'make', 'make ' || s))))
					FROM generate_series(1, s % 4) i))
		$$;

		CREATE FUNCTION moving_pull(n int, s int) RETURNS jsonb LANGUAGE sql AS $$
			SELECT fixed_pull(n, s) || CASE WHEN s % 2 = 0 THEN
				jsonb_build_object('account_identifier', CASE WHEN s % 3 <> 0 THEN 'account ' || (n + s) % 4 END)
					ELSE '{}' END
		$$;

		CREATE FUNCTION empty() RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			name text;
		BEGIN
			FOR name IN SELECT unnest(ARRAY['account', 'pull_state', 'pull_version'])
				UNION ALL SELECT canopy_summit.entities() LOOP
				EXECUTE 'TRUNCATE canopy_summit.' || name;
			END LOOP;
		END
		$$;

		CREATE VIEW latest AS
		SELECT DISTINCT ON (pull_id) * FROM stored ORDER BY pull_id, fetched_at DESC;

		-- Of each account the newest pull, then that with the greatest id, among those that are not archived, of a
		-- type that reads data, and finished or with policies; pulls without account stand alone.
		CREATE VIEW chosen AS
		WITH current AS (
			SELECT s.pull_id, s.is_data AS was_data, s.is_current AS was_current,
				v.pull ->> 'account_identifier' AS account, (v.pull ->> 'created_at')::timestamptz AS created_at,
				NOT coalesce((v.pull ->> 'is_archived')::boolean, false)
				AND coalesce(v.pull ->> 'type', '') NOT IN ('SERVICING', 'CONTACT_ME')
				AND (v.pull ->> 'status' = 'SUCCESS' OR jsonb_typeof(v.pull -> 'policies') = 'array') AS is_data
			FROM canopy_summit.pull_state s JOIN canopy_summit.pull_version v USING (pull_id, version)
		)
		SELECT c.*, c.is_data AND NOT EXISTS (
			SELECT FROM current o
			WHERE o.account = c.account AND o.is_data AND o.pull_id <> c.pull_id
				AND (coalesce(o.created_at, '-infinity'), o.pull_id COLLATE "C")
					> (coalesce(c.created_at, '-infinity'), c.pull_id COLLATE "C")) AS is_current
		FROM current c;

		CREATE VIEW wrong_choice AS
		SELECT * FROM chosen WHERE (is_data, is_current) <> (was_data, was_current);

		-- True at every moment.
		CREATE FUNCTION check_choice() RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			IF EXISTS (SELECT FROM wrong_choice) THEN
				RAISE EXCEPTION 'the views show the wrong pull of an account';
			END IF;
		END
		$$;
		SQL
}
