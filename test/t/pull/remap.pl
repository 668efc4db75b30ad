# Does canopy_remap() bring every row while pulls are stored, whatever dies meanwhile, and without holding up anybody?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(
	conf => "restart_after_crash = on\nwal_writer_delay = 10s\ncanopy_summit.workers = 2\nmax_connections = 40\n");
my $pulls = scaled(5000);
my $fetches = scaled(1000);

create_canopy_server($node, $sandbox);
query($node, "ALTER DATABASE postgres SET my.pulls = $pulls");
query($node, definitions());
store_all();
subtest 'killed while fetches go on' => \&killed;
subtest 'nobody waits for longer than a batch' => \&held;
subtest 'the row of the task' => \&shared;
subtest 'what a batch cannot have' => \&locked;
subtest 'a pull that cannot be mapped' => \&broken;
subtest 'added meanwhile' => \&added;
done_testing();

# As after a restore, and three times killed in the middle of batches, between which others are done.
sub killed
{
	my %right = fingerprints();

	empty();
	close_gate('all');
	my $task = query($node, 'SELECT canopy_remap()');
	at_gate();
	for my $number (1 .. 3)
	{
		move_gate($task);
		my @pids = at_gate();
		fetch_others($task, $fetches / 3);
		my $left = parts_left($task);
		kill KILL => $pids[ rand @pids ];
		wait_until(
			'a worker has come again',
			sub {
				my %was = map { ($_ => 1) } @pids;
				return grep { !$was{$_} } eval { sleepers() };
			});
		is(parts_left($task), $left, "kill $number hit work in flight, which is given back; $left parts are left");
	}
	open_gate();
	is(waited($task), 'done', 'the task is done');
	is(parts_left($task), 0, 'no part is left');
	is( query($node, "SELECT done FROM canopy_summit.progress WHERE task_id = $task"), $pulls,
		'every pull is counted once');
	my %left = fingerprints();
	my %changed = map { ($_ => 1) } split /\n/, query($node, <<~'SQL');
		SELECT s.pull_id FROM canopy_summit.pull_state s WHERE EXISTS (SELECT FROM canopy_summit.pull_state c
			WHERE c.version > 1 AND (c.pull_id = s.pull_id OR c.account_identifier = s.account_identifier))
		SQL
	cmp_ok(scalar keys %changed, '>', $fetches / 4, 'many have been fetched meanwhile');
	is_deeply(
		[ grep { !$changed{$_} && ($left{$_} // '') ne $right{$_} } sort keys %right ],
		[], 'what nobody has fetched, nor another pull of its account, has the rows that it had');
	is(waited(query($node, 'SELECT canopy_remap()')), 'done', 'another is done');
	is_deeply({ fingerprints() }, \%left, 'and brings the same rows');
	is(query($node, 'SELECT * FROM wrong_choice'), '', 'the views show the right pull of each account');
	return;
}

# While a batch lasts, only its pulls wait: others are stored.
sub held
{
	close_gate('pull-7');
	my $task = query($node, 'SELECT canopy_remap()');
	wait_until('a worker is in the middle of a batch', sub { scalar sleepers() });
	my @held = split /\n/, query($node, <<~'SQL');
		SELECT id FROM (SELECT jsonb_array_elements_text(position -> 'pulls') AS id FROM canopy_summit.task_part
			WHERE position -> 'pulls' ? 'pull-7') AS p
		SQL
	cmp_ok(scalar @held, '<=', 40, 'it has few pulls');
	is( query(
			$node,
			"SELECT count(canopy_store_pull(a_pull(pull_id, 3))) FROM canopy_summit.pull_state
			WHERE pull_id <> ALL ('{@{[ join ',', @held ]}}')"
		),
		$pulls - @held,
		'all others are stored');
	is( query($node, 'SELECT count(canopy_store_pull(a_pull($$new $$ || n, 1))) FROM generate_series(1, 5) n'), 5,
		'and new ones');
	open_gate();
	is(waited($task), 'done', 'the task is done');
	all_right('afterwards');
	return;
}

# A batch that is done waits for those who share its task, whose commits may take long; it is not thrown away.
sub shared
{
	close_gate('pull-7');
	my $task = query($node, 'SELECT canopy_remap()');
	wait_until('a worker is in the middle of a batch', sub { scalar sleepers() });
	my $session = open_session($node);
	$session->query_safe("BEGIN; SELECT FROM canopy_summit.task WHERE task_id = $task FOR UPDATE");
	open_gate();
	wait_until('a worker waits for longer than a batch waits for anybody else', sub { query($node, <<~'SQL') });
		SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
			AND waitstart < clock_timestamp() - interval '0.5 s'
		SQL
	$session->query_safe('COMMIT');
	$session->quit;
	is(waited($task), 'done', 'the task is done');
	all_right('afterwards');
	return;
}

# The pull that somebody has is tried again, alone; all others are done meanwhile.
sub locked
{
	my $pull_id = query($node, <<~'SQL');
		SELECT min(pull_id) FROM canopy_summit.pull_state WHERE account_identifier IS NULL
		SQL
	empty_entities();
	my $session = open_session($node);
	$session->query_safe("BEGIN; SELECT canopy_store_pull(a_pull('$pull_id', 4))");
	my $task = query($node, 'SELECT canopy_remap()');
	wait_until('one pull is left', sub { query($node, <<~"SQL") eq qq(["$pull_id"]) });
		SELECT string_agg(position ->> 'pulls', ' ') FROM canopy_summit.task_part WHERE task_id = $task
		SQL
	is(state_of($task), 'running', 'the task goes on');
	soon_ok(
		'it says why',
		sub { query($node, "SELECT problem FROM canopy_summit.progress WHERE task_id = $task") =~ /lock timeout/ });
	$session->query_safe('COMMIT');
	$session->quit;
	is(waited($task), 'done', 'it is done then');
	all_right('afterwards');
	return;
}

# Is given up after some attempts, alone; and tried again by whoever has mended it.
sub broken
{
	query($node, q{DELETE FROM canopy_summit.pull_version WHERE pull_id = 'pull-6'});
	empty_entities();
	my $task = query($node, 'SELECT canopy_remap()');
	is(waited($task), 'failed', 'the task fails');
	like(
		query($node, "SELECT problem FROM canopy_summit.progress WHERE task_id = $task"),
		qr/version .* of pull "pull-6" is missing/, 'it says why');
	is( query(
			$node,
			'SELECT count(*) FROM canopy_summit.pull_state
			WHERE pull_id NOT IN (SELECT pull_id FROM canopy_summit.pull)'
		),
		1,
		'only that one has no rows');
	query($node, q{DELETE FROM canopy_summit.pull_state WHERE pull_id = 'pull-6'});
	is(query($node, "SELECT canopy_summit.retry_task($task)"), 't', 'what is left is tried again');
	is(waited($task), 'done', 'it is done');
	is(query($node, "SELECT canopy_summit.retry_task($task)"), 'f', 'what is done is not');
	return;
}

# A column that came after a task had begun is filled by the next one, which is not the same.
sub added
{
	close_gate('pull-8');
	my $first = query($node, 'SELECT canopy_remap()');
	wait_until('it has begun', sub { state_of($first) eq 'running' });
	my ($second, $third) = split /\n/, query($node, 'BEGIN; SELECT canopy_remap(); SELECT canopy_remap(); COMMIT');
	cmp_ok($second, '>', $first, 'another task comes after one that has begun');
	is($third, $second, 'one that waits is there once');
	open_gate();
	is(waited($_), 'done', 'it is done') for $first, $second;
	return;
}

# Rows and states are those of a rebuild from nothing.
sub all_right
{
	my ($when) = @_;
	my %left = fingerprints();
	empty();
	is(waited(query($node, 'SELECT canopy_remap()')), 'done', "$when: a rebuild");
	is_deeply({ fingerprints() }, \%left, "$when: brings the same rows");
	return;
}

# A batch that writes one of these pulls stays in it until the gate is opened.
sub close_gate
{
	my $list = join ',', @_;
	query($node, "BEGIN; DELETE FROM gate; INSERT INTO gate SELECT unnest('{$list}'::text[]); COMMIT");
	return;
}

sub open_gate { close_gate(); return }

# Those who are in the middle of a batch, and stay there.
sub sleepers
{
	return split /\n/, query($node, <<~'SQL');
		SELECT pid FROM pg_stat_activity WHERE backend_type = 'canopy_summit worker' AND wait_event = 'PgSleep'
		SQL
}

# Both workers, in the middle of batches of pulls that the gate stops.
sub at_gate
{
	return @{
		wait_until(
			'both workers are in the middle of a batch',
			sub {
				my @pids = sleepers();
				return @pids == 2 && query($node, <<~'SQL') eq 't' ? \@pids : 0;
				SELECT count(*) = 0 FROM (SELECT position FROM canopy_summit.task_part WHERE position <> '{}'
					FOR UPDATE SKIP LOCKED) AS p
				JOIN gate g ON p.position -> 'pulls' ? g.pull_id
				SQL
			}) };
}

# While both workers stand at the gate: lets them go on, up to two parts of what is left by chance.
sub move_gate
{
	my ($task) = @_;
	my @left = split /\n/, query($node, <<~"SQL");
		SELECT position -> 'pulls' ->> 0 FROM canopy_summit.task_part WHERE task_id = $task ORDER BY part
		FOR UPDATE SKIP LOCKED
		SQL
	my $first = int rand(@left / 3);
	my $second = $first + 1 + int rand 3;
	close_gate(@left[ $first, $second ]);
	return;
}

# Fetches pulls that no batch has now.
sub fetch_others
{
	my ($task, $count) = @_;
	my @free = split /\n/, query($node, <<~"SQL");
		WITH free AS MATERIALIZED (
			SELECT part FROM canopy_summit.task_part WHERE task_id = $task FOR UPDATE SKIP LOCKED)
		SELECT pull_id FROM canopy_summit.pull_state
		EXCEPT SELECT jsonb_array_elements_text(position -> 'pulls') FROM canopy_summit.task_part
			WHERE task_id = $task AND part NOT IN (SELECT part FROM free)
		ORDER BY 1
		SQL
	my @wanted = map { $free[ rand @free ] } 1 .. $count;
	$sandbox->put_pull($_, JSON::PP->new->decode(query($node, "SELECT a_pull('$_', 2)"))) for @wanted;
	my $list = join ',', @wanted;
	is( query($node, "SELECT count(canopy_fetch_pull(id)) FROM unnest('{$list}'::text[]) AS id"),
		scalar @wanted, scalar(@wanted) . ' fetches went on');
	return;
}

sub parts_left
{
	my ($task) = @_;
	return query($node, "SELECT count(*) FROM canopy_summit.task_part WHERE task_id = $task");
}

sub state_of { my ($task) = @_; return query($node, "SELECT state FROM canopy_summit.progress WHERE task_id = $task") }

sub waited
{
	my ($task) = @_;
	wait_until("task $task has ended", sub { state_of($task) =~ /done|failed/ }, 300);
	return state_of($task);
}

sub store_all
{
	query($node, "SELECT count(canopy_store_pull(a_pull('pull-' || n, 1))) FROM generate_series(1, $pulls) n");
	return;
}

sub empty_entities
{
	query(
		$node, join ';', map { "TRUNCATE canopy_summit.$_" } split /\n/,
		query($node, 'SELECT canopy_summit.entities()'));
	return;
}

# Without entity rows, and with the wrong pulls shown.
sub empty
{
	empty_entities();
	query($node, 'UPDATE canopy_summit.pull_state SET is_current = NOT is_current');
	return;
}

# A digest of all rows of each pull.
sub fingerprints
{
	my $rows = join ' UNION ALL ',
	  map { "SELECT pull_id, '$_ ' || t AS line FROM canopy_summit.$_ t" } 'pull_state',
	  split /\n/, query($node, 'SELECT canopy_summit.entities()');
	return map { split /\|/ } split /\n/, query($node, <<~"SQL");
		SELECT pull_id, md5(string_agg(line, ' ' ORDER BY line COLLATE "C")) FROM ($rows) AS r GROUP BY 1
		SQL
}

# Pulls of accounts, each of which has about three; a gate that a batch waits at; and what has to be shown.
sub definitions
{
	return <<~'SQL';
		CREATE FUNCTION a_pull(id text, state int) RETURNS jsonb LANGUAGE sql AS $$
			SELECT jsonb_build_object('pull_id', id, 'status', 'SUCCESS',
				'account_identifier', CASE WHEN hashtext(id) % 5 <> 0 THEN 'account ' || abs(hashtext(id)) %
					(1 + current_setting('my.pulls')::int / 3) END,
				'created_at', '2026-01-01Z'::timestamptz + (hashtext(id || state) % 1000) * interval '1 minute',
				'is_archived', hashtext(id || state) % 7 = 0,
				'policies', (SELECT jsonb_agg(jsonb_build_object('policy_id', id || ' ' || i,
					'total_premium_cents', state * 100 + i,
					'vehicles', jsonb_build_array(jsonb_build_object('vehicle_id', i))))
					FROM generate_series(1, 3) i))
		$$;

		-- Its rows outlive the server.
		CREATE TABLE gate (pull_id text);
		CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			WHILE EXISTS (SELECT FROM public.gate g WHERE g.pull_id IN (NEW.pull_id, 'all')) LOOP
				PERFORM pg_catalog.pg_sleep(0.01);
			END LOOP;
			RETURN NULL;
		END
		$$;
		CREATE TRIGGER gate AFTER INSERT ON canopy_summit.policy FOR EACH ROW EXECUTE FUNCTION gate();

		CREATE VIEW wrong_choice AS
		SELECT s.pull_id FROM canopy_summit.pull_state s
		WHERE s.is_current <> (s.is_data AND (s.account_identifier IS NULL OR s.pull_id = (
			SELECT n.pull_id FROM canopy_summit.pull_state n
			WHERE n.account_identifier = s.account_identifier AND n.is_data
			ORDER BY n.created_at DESC NULLS LAST, n.pull_id COLLATE "C" DESC LIMIT 1)));
		SQL
}
