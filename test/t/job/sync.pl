# Does a sync find every pull whose webhook was lost, whatever becomes of its pages, its worker, or the listing
# meanwhile?
use strict;
use warnings;

use CanopyJobs;
use CanopyProcess;
use CanopyTest;
use JSON::PP ();
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep);

test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "restart_after_crash = on\ncanopy_summit.worker_idle_timeout = 5min\n");
my $lost = scaled(500);
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my $count = 0;

create_canopy_server($node, $sandbox);
subtest 'webhooks that were lost' => \&lost_webhooks;
subtest 'what has changed' => \&changed;
subtest 'a listing that shrinks' => \&shrinks;
subtest 'a listing that repeats itself' => \&repeats;
subtest 'a page that is short' => \&short;
subtest 'a pull that is gone when it is fetched' => \&vanishes;
subtest 'a page that fails' => \&fails;
subtest 'a page that is too large' => \&too_large;
subtest 'a page whose job is cancelled, retried, or cannot be stored' => \&ended;
subtest 'a worker that is killed' => \&killed;
subtest 'somebody whose credential is refused' => \&others;
subtest 'property data' => \&property_data;
subtest 'listings that are none' => \&lies;
subtest 'who may, and what not' => \&refused;
done_testing();

# So many new pulls that nobody is told of, with what documents a function says; their ids.
sub add_pulls
{
	my ($number, $documents) = @_;
	my @ids = map { sprintf 'lost-%04d', ++$count } 1 .. $number;
	for my $id (@ids)
	{
		$template->{pull_id} = $id;
		$template->{account_identifier} = "account of $id";
		$template->{documents} = $documents ? $documents->($id) : [];
		$sandbox->put_pull($id, $template);
	}
	return @ids;
}

# The pulls that the API has and we have not.
sub missing
{
	my %stored = map { ($_ => 1) } split /\n/, query($node, 'SELECT pull_id FROM canopy_summit.pull_state');
	return grep { !$stored{$_} } map { $_->{pull_id} } @{ $sandbox->control(GET => 'pulls')->{pulls} };
}

sub sync { my ($since) = @_; return query($node, 'SELECT * FROM canopy_sync_pulls(' . ($since // '') . ')') }

# "state|problem|found|enqueued" of the newest sync.
sub progress
{
	return query($node, <<~'SQL');
		SELECT t.state, t.problem, t.done, t.position ->> 'enqueued' FROM canopy_summit.task t
		WHERE t.what = 'sync' ORDER BY t.task_id DESC LIMIT 1
		SQL
}

sub lost_webhooks
{
	add_pulls($lost);
	my $all = missing();
	like(sync(), qr/^0\|0\|\d+$/, 'a sync begins with a job');
	all_settled($node);
	is_deeply([ missing() ], [], "all of $all pulls are found and fetched");
	is(progress(), "done||$all|$all", '… which its task says');
	is(query($node, q{SELECT count(*) FROM canopy_summit.pull_version WHERE version > 1}), 0, 'each was stored once');
	is(query($node, q{SELECT count(*) FROM canopy_summit.job_response}), 0, 'no page is kept with its job');
	sync();
	all_settled($node);
	is(progress(), "done||$all|0", 'the next one finds nothing to fetch');
	is( query(
			$node, q{SELECT done, state FROM canopy_summit.progress WHERE what = 'sync' ORDER BY task_id DESC LIMIT 1}),
		"$all|done",
		'operators see it');
	return;
}

sub changed
{
	$sandbox->control(PATCH => 'pull/lost-0001', { status => 'ERROR' });
	$sandbox->control(PATCH => 'pull/lost-0002', { is_archived => JSON::PP::true() });
	sync();
	all_settled($node);
	like(progress(), qr/\|2$/, 'pulls in another state are fetched again');
	is( query($node, q{SELECT status FROM canopy.pull_all WHERE pull_id = 'lost-0001'}), 'ERROR',
		'their state is known then');
	my $before = $count;
	add_pulls(1);
	sync(q{now() + interval '1 h'});
	all_settled($node);
	is(progress(), 'done||0|0', 'what is older than it should be is not found');
	sync();
	all_settled($node);
	is_deeply([ missing() ], [], 'else it is');
	return;
}

# The job of a sync that waits at its second page, and the fault it waits at.
sub at_second_page
{
	my $fault = $sandbox->hold(match => { path => '/pulls\?.*offset=(?!0)' });
	sync();
	wait_until('the second page is asked for', sub { $sandbox->waiting($fault) });
	return $fault;
}

sub shrinks
{
	# None is here, so that none may be left out.
	query(
		$node, join ';', map { "TRUNCATE canopy_summit.$_" } qw(account pull_state pull_version), split /\n/,
		query($node, 'SELECT canopy_summit.entities()'));
	add_pulls(60);
	my $fault = at_second_page();
	my $tasks = query($node, q{SELECT count(*) FROM canopy_summit.task WHERE what = 'sync'});
	my ($found, $enqueued, $job_id) = split /\|/, sync();
	is(job($node, $job_id)->{state}, 'running', 'called again, it says which job lists more');
	ok($found > 0 && $enqueued == $found, '… and how many it has found');
	is( sync(q{now() - interval '1 h'}), "$found|$enqueued|$job_id",
		'one that goes further back covers what is asked for');
	is(query($node, q{SELECT count(*) FROM canopy_summit.task WHERE what = 'sync'}), $tasks, '… and none is started');
	my @listed = map { $_->{pull_id} } @{ $sandbox->control(GET => 'pulls')->{pulls} };
	$sandbox->delete_pull($_) for @listed[ 0 .. 29 ], @listed[ -30 .. -1 ];
	$sandbox->clear($fault);
	all_settled($node);
	is_deeply([ missing() ], [], 'what moved up is found all the same');
	like(progress(), qr/^done\|\|/, 'the sync ends');
	return;
}

sub repeats
{
	add_pulls(60);
	my @same = map { { pull_id => "same-$_", status => 'SUCCESS' } } 1 .. 100;
	$sandbox->arm(
		match => { path => '/pulls\?' }, times => undef,
		fault => { kind => 'body', body => { total_pulls => 100, pulls => \@same } });
	sync();
	wait_until('it is seen', sub { progress() =~ /^failed/ });
	like(progress(), qr/again and again/, 'a server that lists the same for ever is not followed');
	$sandbox->clear;
	all_settled($node);
	sync();
	all_settled($node);
	is_deeply([ missing() ], [], 'asked again, it goes on');
	return;
}

# Fewer than were asked for, with more behind them.
sub short
{
	my @new = add_pulls(60);
	my @listed =
	  map { { pull_id => $_->{pull_id}, status => $_->{status} } } @{ $sandbox->control(GET => 'pulls')->{pulls} };
	$sandbox->arm(
		match => { path => '/pulls\?.*offset=0' },
		fault => { kind => 'body', body => { total_pulls => scalar @listed, pulls => [ @listed[ 0 .. 9 ] ] } });
	sync();
	all_settled($node);
	is_deeply([ missing() ], [], 'what is behind a short page is found');
	like(progress(), qr/^done\|\|/, 'the sync ends');
	return;
}

sub vanishes
{
	my ($gone, @others) = add_pulls(3);
	my $fault = $sandbox->hold(match => { path => '/pulls\?' });
	sync();
	wait_until('its page is on its way', sub { $sandbox->waiting($fault) });
	$sandbox->delete_pull($gone);
	$sandbox->clear($fault);
	all_settled($node);
	like(
		query($node, "SELECT state, outcome_code FROM canopy_summit.job WHERE params ->> 'pullId' = '$gone'"),
		qr/^failed\|NOT_FOUND$/, 'its fetch fails');
	is_deeply([ missing() ], [], 'all others are fetched');
	like(progress(), qr/^done\|\|/, 'the sync ends');
	return;
}

sub fails
{
	add_pulls(60);
	$sandbox->arm(
		match => { path => '/pulls\?.*offset=(?!0)' },
		fault => { kind => 'status', status => 400, body => { error => 'VALIDATION_ERROR' } });
	sync();
	all_settled($node);
	like(progress(), qr/^failed\|server answered 400 VALIDATION_ERROR\|/, 'a page that is refused stops it');
	is( query(
			$node,
			q{SELECT count(*) FROM canopy_summit.task WHERE (state IN ('done', 'failed')) <> (finished_at IS NOT NULL)}
		),
		0,
		'… which is its end, for retention');
	$sandbox->clear_log;
	# Neither in the second in which the sync began, nor in that of the next call.
	sleep 1.1;
	my ($late) = add_pulls(1);
	$sandbox->control(PATCH => "pull/$late", { created_at => strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime) });
	sleep 1.1;
	sync();
	all_settled($node);
	my ($first) = grep { $_->{path} =~ /offset=/ } $sandbox->log;
	unlike($first->{path}, qr/offset=0/, 'called again, it goes on where it was');
	is_deeply([ missing() ], [], '… and finds all, also what has come since it began');
	return;
}

sub too_large
{
	add_pulls(60);
	query($node, q{ALTER SYSTEM SET canopy_summit.max_response_size = '400kB'});
	$node->reload;
	sync();
	all_settled($node);
	is_deeply([ missing() ], [], 'a page that is too large is asked for in parts');
	like(progress(), qr/^done\|\|/, 'the sync ends');
	query($node, q{ALTER SYSTEM RESET canopy_summit.max_response_size});
	$node->reload;
	return;
}

# Whatever ends the job of a page ends its sync, and what has that job sent again has the sync go on.
sub ended
{
	my $page = q{SELECT max(job_id) FROM canopy_summit.job WHERE operation = 'get-pulls' AND state = };
	add_pulls(60);
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	sync();
	query($node, "SELECT canopy_summit.cancel_job(($page 'queued'))");
	like(progress(), qr/^failed\|cancelled by \w+\|/, 'a sync whose job is cancelled has failed, and says why');
	sync();
	query($node, 'CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE division_by_zero; END$$');
	query($node, q{CREATE TRIGGER refuse BEFORE INSERT ON canopy_summit.job FOR EACH ROW EXECUTE FUNCTION refuse()});
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($node);
	query($node, 'DROP FUNCTION refuse CASCADE');
	like(
		progress(), qr/^failed\|its answer could not be stored: division_by_zero\|/,
		'so has one whose page cannot be stored');
	query($node, "SELECT canopy_summit.retry_job(($page 'failed'))");
	all_settled($node);
	like(progress(), qr/^done\|\|/, 'it goes on when that job is sent again');
	is_deeply([ missing() ], [], '… and finds all');
	return;
}

# At points by chance of a backfill with documents, killed hard, so that the server starts again each time.
sub killed
{
	my ($pulls, $kills) = (scaled(2000), scaled(100));
	my $documents = q{SELECT count(*) FROM canopy_summit.document_file};
	my $stored = "SELECT (SELECT count(*) FROM canopy_summit.pull_version) + ($documents WHERE state = 'here')";
	query($node, q{ALTER SERVER canopy OPTIONS (ADD download_documents 'true', ADD download_hosts 'localhost')});
	add_pulls($pulls, sub { [ { document_id => "document of $_[0]", document_type => 'DECLARATIONS' } ] });
	my ($before, $all) = (query($node, $stored), missing());
	my @points = sort { $a <=> $b } map { int rand(2 * $pulls) } 1 .. $kills;
	my $struck = 0;
	sync();
	for my $point (@points)
	{
		my ($pid) = @{
			wait_until(
				'a worker works, and this much is stored, or all',
				sub {
					my $now = eval { query($node, $stored) } // return;
					my @pids = eval { worker_pids($node) };
					return $now >= $before + 2 * $pulls ? [] : $now >= $before + $point && @pids ? \@pids : 0;
				}) };
		last unless $pid;
		$struck += kill KILL => $pid;
		wait_until('the worker is gone', sub { !is_alive($pid) });
	}
	wait_until(
		'the server answers, and all is settled',
		sub {
			(eval { query($node, q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')}) } // 1)
			  == 0;
		},
		300);
	is_deeply([ missing() ], [], "after $struck kills, all $all pulls are found");
	cmp_ok($struck, '>=', $kills / 2, '… most of the kills hit a worker before all was done');
	cmp_ok(
		query($node, q{SELECT count(*) FROM canopy_summit.job_attempt WHERE code = 'worker_lost'}), '>', 0,
		'… and work in flight');
	like(progress(), qr/^done\|\|/, 'the sync has ended');
	is( query(
			$node,
			q{SELECT count(DISTINCT pull_id), count(*) FROM canopy_summit.pull_version
			WHERE pull_id IN (SELECT pull_id FROM canopy.document_all WHERE document_id ~ '^document of')}
		),
		"$pulls|$pulls",
		'each pull is stored once');
	is( query($node, "$documents WHERE file_id ~ '^document of' AND state = 'here' AND size > 0"), $pulls,
		'each document, too');
	is(query($node, $documents), $pulls, 'and no other');
	query($node, q{ALTER SERVER canopy OPTIONS (DROP download_documents, DROP download_hosts)});
	return;
}

# Theirs waits for another credential, and nobody else's does.
sub others
{
	create_fetcher(other => 'wrong');
	query($node, 'SET ROLE other; SELECT canopy_sync_pulls()');
	wait_until('it is held', sub { query($node, 'SELECT count(*) FROM canopy_summit.server_hold') == 1 });
	add_pulls(1);
	sync();
	wait_until('somebody else lists all', sub { progress() =~ /^done\|\|/ });
	wait_until('… and has it fetched', sub { !missing() });
	is(query($node, 'SELECT count(*) FROM canopy_summit.server_hold'), 1, 'while it waits');
	query($node, q{SELECT canopy_summit.cancel_job(job_id) FROM canopy_summit.job WHERE state = 'queued'});
	query($node, 'DROP OWNED BY other; DROP ROLE other');
	return;
}

# A role that may sync, and its secret.
sub create_fetcher
{
	my ($role, $secret) = @_;
	query($node, <<~"SQL");
		CREATE ROLE $role;
		SELECT canopy_summit.grant_access('$role', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO $role;
		CREATE USER MAPPING FOR $role SERVER canopy
			OPTIONS (client_id '${\ $sandbox->client_id}', client_secret '$secret');
		SQL
	return;
}

# As any fetch that is enqueued.
sub property_data
{
	query($node, q{ALTER SERVER canopy OPTIONS (ADD with_property_data 'true')});
	add_pulls(1);
	$sandbox->clear_log;
	sync();
	all_settled($node);
	is(scalar(grep { $_->{path} =~ /withPropertyData=true/ } $sandbox->log), 1, 'what is found is fetched with it');
	query($node, q{ALTER SERVER canopy OPTIONS (DROP with_property_data)});
	return;
}

# Pages that no honest server gives, or only one whose pulls go at the wrong moment, taken one after the other.
sub lies
{
	my $page = q{SELECT jsonb_agg(jsonb_build_object('pull_id', 'p' || n, 'status', 'SUCCESS'))
		FROM generate_series(%s, %s) AS n};
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	sync();
	my ($task, $job) = split /\|/,
	  query($node, q{SELECT task_id, position ->> 'job_id' FROM canopy_summit.task ORDER BY task_id DESC LIMIT 1});
	my $take = sub {
		return query(
			$node,
			"SELECT next ->> 'offset' FROM canopy_summit.sync_take($task, $job, (" . sprintf($page, @_) . '))');
	};
	is_deeply([ $take->(0, 99), $take->(95, 194) ], [ 95, 190 ], 'a page shares pulls with the next one');
	is_deeply(
		[ $take->(195, 294), $take->(95, 194), $take->(190, 289) ],
		[ 90, 185, 280 ], 'where as many have gone as it shares, a sync goes back, and on');
	my $turns = query($node, <<~"SQL");
		CREATE FUNCTION turns() RETURNS integer LANGUAGE plpgsql AS \$\$ BEGIN
			FOR i IN 1 .. 5000 LOOP
				IF (SELECT next IS NULL FROM canopy_summit.sync_take($task, $job,
					(${\ sprintf $page, 'i * 1000', 'i * 1000 + 99'}))) THEN RETURN i; END IF;
			END LOOP;
			RETURN NULL;
		END \$\$;
		SELECT turns()
		SQL
	cmp_ok($turns || 5000, '<', 5000, 'a server that lists other pulls each time is not followed for ever');
	like(progress(), qr/^failed\|the listing changes faster than it can be read\|/, '… and why is said');
	$turns = query($node, <<~"SQL");
		UPDATE canopy_summit.task SET state = 'running', position = position || '{"offset": 0, "last": []}'
		WHERE task_id = $task;
		CREATE OR REPLACE FUNCTION turns() RETURNS integer LANGUAGE plpgsql AS \$\$ DECLARE at integer; BEGIN
			FOR i IN 1 .. 5000 LOOP
				SELECT position ->> 'offset' INTO at FROM canopy_summit.task WHERE task_id = $task;
				IF (SELECT next IS NULL FROM canopy_summit.sync_take($task, $job, CASE WHEN at >= 100 THEN '[]' ELSE
					(${\ sprintf $page, 'at', 'at + 99'}) END)) THEN RETURN i; END IF;
			END LOOP;
			RETURN NULL;
		END \$\$;
		SELECT turns()
		SQL
	cmp_ok($turns || 5000, '<', 5000, '… nor one that lists nothing behind a full page');
	query(
		$node, q{DROP FUNCTION turns; SELECT canopy_summit.cancel_job(job_id) FROM canopy_summit.job
		WHERE state = 'queued'; SELECT canopy_summit.resume_server('canopy')});
	return;
}

sub refused
{
	query($node, q{CREATE ROLE nobody; CREATE ROLE fetches; SELECT canopy_summit.grant_access('fetches', 'fetcher')});
	is(scalar sqlstate_of($node, 'SET ROLE nobody; SELECT canopy_sync_pulls()'), '42501', 'who has no level');
	is( scalar sqlstate_of($node, 'SET ROLE fetches; SELECT canopy_sync_pulls()'), '42501',
		'who has no right on the server');
	for my $refused ([ 'NULL', '22004' ], [ q{'-1 s'}, '22023' ])
	{
		is( scalar sqlstate_of($node, "SELECT canopy_refresh_stale($refused->[0])"), $refused->[1],
			"an age that is $refused->[0]");
	}
	is(scalar sqlstate_of($node, q{SET ROLE fetches; SELECT canopy_refresh_stale('1 s')}), '42501', 'nor may refresh');
	is(scalar sqlstate_of($node, q{SELECT canopy_sync_pulls('infinity')}), '22008', 'a time that is none');
	is(scalar sqlstate_of($node, q{SELECT canopy_sync_pulls(server => 'nothing')}), '42704', 'a server that is none');
	return;
}
