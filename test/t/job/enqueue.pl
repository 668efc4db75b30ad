# Who may enqueue what, as whom, and is it sent after COMMIT and never before?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "max_prepared_transactions = 10\ncanopy_summit.worker_idle_timeout = 2s\n");
my $pull_id = $sandbox->pull_id('user_good');
my $fetch = qq{canopy_enqueue('get-pull-by-id', '{"pullId": "$pull_id"}'};

create_canopy_server($node, $sandbox, role => 'PUBLIC');
for my $level (qw(fetcher admin))
{
	query($node, <<~"SQL");
		CREATE ROLE has_$level;
		SELECT canopy_summit.grant_access('has_$level', '$level');
		GRANT USAGE ON FOREIGN SERVER canopy TO has_$level;
		SQL
}

# First, while nothing else can bring a worker.
subtest 'prepared transactions' => \&prepared;
subtest 'ways to enqueue' => \&ways;
subtest 'validation' => \&validation;
subtest 'rights' => \&rights;
subtest 'as somebody else' => \&somebody_else;
subtest 'what is gone by then' => \&gone;
subtest 'rollback' => \&rollback;
subtest 'restored rows' => \&restored;
subtest 'without workers' => \&no_workers;
done_testing();

sub ways
{
	my @other = map { $sandbox->pull_id($_) } qw(user_good_home user_good_commercial user_good_life user_good_complete);
	my $dir = PostgreSQL::Test::Utils::tempdir('copy');

	append_to_file("$dir/jobs", join '', map { qq{canopy\tget-pull-by-id\t{"pullId": "$pull_id"}\t$_\n} } 1 .. 3);
	query($node, "SET ROLE has_fetcher; SELECT $fetch)");
	query($node, "SET ROLE has_fetcher; SELECT canopy_enqueue_fetch('$other[0]', '$other[1]')");
	query($node, <<~"SQL");
		SET ROLE has_fetcher;
		SELECT canopy_enqueue_fetch(VARIADIC ARRAY(SELECT unnest('{$other[2],$other[3]}'::text[])))
		SQL
	query($node, <<~"SQL");
		SET ROLE has_fetcher;
		INSERT INTO canopy_summit.job (server, operation, params)
		VALUES ('canopy', 'get-pull-by-id', '{"pullId": "$pull_id"}') RETURNING job_id
		SQL
	query($node, <<~"SQL");
		SET ROLE has_fetcher;
		\\copy canopy_summit.job (server, operation, params, priority) FROM '$dir/jobs'
		SQL
	query($node, q{SET ROLE has_fetcher; SELECT canopy_enqueue('get-carriers')});
	all_settled($node);
	is(jobs_by_state($node, q{owner = 'has_fetcher'}), 'succeeded 10', 'each way sends');
	is(query($node, 'SELECT count(DISTINCT pull_id) FROM canopy_summit.pull_version'), 5, 'and stores');
	is(query($node, q{SELECT count(*) FROM canopy_summit.job_response}), 1, 'the answer of what is no fetch is kept');
	is(query($node, <<~'SQL'), 10, 'every attempt is');
		SELECT count(*) FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id)
		WHERE settled AND status = 200 AND total_us > 0 AND owner = 'has_fetcher'
		SQL
	is(query($node, <<~"SQL"), 2, 'a bad id beside a good one');
		SELECT count(*) FROM canopy_enqueue_fetch('no such pull', '$pull_id')
		SQL
	all_settled($node);
	is(query($node, <<~'SQL'), "succeeded|\nfailed|NOT_FOUND", 'fails alone');
		SELECT state, outcome_code FROM canopy_summit.job ORDER BY job_id DESC LIMIT 2
		SQL
	return;
}

# What canopy_call() refuses, canopy_enqueue() refuses in the same words.
sub validation
{
	my @arguments = (
		q{'no-such-operation'}, q{'get-pull-by-id'}, q{'get-pull-by-id', '{"pullId": 1}'},
		q{'get-pull-by-id', '{"pullId": {}}'},
		q{'get-pull-by-id', '{"pullId": "a", "other": 1}'},
		q{'get-pull-by-id', '{"pullId": "a", "withPropertyData": "x"}'},
		q{'get-pull-by-id', '[]'}, q{'patch-pull-by-id', '{"pullId": "a"}', '{"is_archived": "maybe"}'},
		q{'patch-pull-by-id', '{"pullId": "a"}', '{"unknown": true}'},
		q{'get-pull-by-id', '{"pullId": "a"}', server => 'nowhere'},
		q{'delete-widgetId', '{"widgetId": "a"}'});
	for my $arguments (@arguments)
	{
		my @called = sqlstate_of($node, "SELECT canopy_call($arguments)");
		my @enqueued = sqlstate_of($node, "SELECT canopy_enqueue($arguments)");
		ok(@enqueued > 0, "$arguments is refused");
		# Whose wrapper a server that does not exist would have is not known.
		is_deeply(
			[ @enqueued[ 0 .. ($arguments =~ /nowhere/ ? 2 : 3) ] ],
			[ @called[ 0 .. ($arguments =~ /nowhere/ ? 2 : 3) ] ], '… as by canopy_call()');
	}
	my %refused = (
		'priority => 10' => '22023', 'priority => -1' => '22023', "ordering_key => repeat('x', 501)" => '22023',
		"dedupe_key => repeat('x', 501)" => '22023');
	is(scalar sqlstate_of($node, "SELECT $fetch, $_)"), $refused{$_}, "$_ is refused") for sort keys %refused;
	is(scalar sqlstate_of($node, q{INSERT INTO canopy_summit.job (server) VALUES ('canopy')}), '23502', 'no operation');
	is( scalar sqlstate_of($node, q{INSERT INTO canopy_summit.job (operation) VALUES ('get-carriers')}), '23502',
		'no server');
	return;
}

sub rights
{
	my $monitor =
	  qq{canopy_enqueue('post-monitoring', '{}', '{"pull_id": "$pull_id", "interval": "P2M"}', run_at => 'infinity')};
	my (@error) = sqlstate_of($node, "SET ROLE has_fetcher; SELECT $monitor");
	is($error[0], '42501', 'a fetcher enqueues nothing unsafe');
	like($error[3], qr/level admin/, 'the hint says who may');
	is(sqlstate_of($node, "SET ROLE has_admin; SELECT $monitor"), undef, 'an admin does');
	my $delete = q{canopy_enqueue('delete-widgetId', '{"widgetId": "a"}', run_at => 'infinity'%s)};
	is( scalar sqlstate_of($node, 'SET ROLE has_admin; SELECT ' . sprintf $delete, ''), '22023',
		'nor anything destructive unconfirmed');
	is( scalar sqlstate_of($node, 'SET ROLE has_admin; SELECT ' . sprintf $delete, q{, confirm => 'b'}), '22023',
		'or with another confirmation');
	is( sqlstate_of($node, 'SET ROLE has_admin; SELECT ' . sprintf $delete, q{, confirm => 'a'}), undef,
		'but confirmed');
	is( scalar sqlstate_of($node, 'SET ROLE has_fetcher; SELECT ' . sprintf $delete, q{, confirm => 'a'}), '42501',
		'a fetcher not at all');
	my $team = $sandbox->team_id;
	is( scalar sqlstate_of($node, q{SET ROLE has_admin; SELECT canopy_enqueue('delete-team', confirm => 'other')}),
		'22023', 'of the team its id');
	is( sqlstate_of(
			$node, "SET ROLE has_admin; SELECT canopy_enqueue('delete-team', confirm => '$team', run_at => 'infinity')"
		),
		undef,
		'… which confirms it');
	is( scalar sqlstate_of($node, q{SELECT canopy_enqueue('get-carriers', confirm => 'a')}),
		'22023', 'what destroys nothing is not confirmed');
	is( scalar sqlstate_of($node, q{SELECT canopy_call('delete-widgetId', '{"widgetId": "a"}', confirm => 'b')}),
		'22023', 'called likewise: not with another confirmation');
	is( scalar sqlstate_of($node, q{SELECT canopy_call('delete-widgetId', '{"widgetId": "a"}', confirm => 'a')}),
		'02000', '… but confirmed it is sent');
	query($node, <<~"SQL");
		CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
		OPTIONS (base_url 'https://localhost:1', auth_url 'https://localhost:1', environment 'sandbox');
		CREATE USER MAPPING FOR PUBLIC SERVER summit OPTIONS (client_id 'a', client_secret 'b')
		SQL
	@error = sqlstate_of($node, <<~'SQL');
		SELECT summit_enqueue('create-token', '{}', '{"grant_type": "client_credentials", "scope": "a"}')
		SQL
	is($error[0], '0A000', 'summit_enqueue() asks for no token');
	like($error[3], qr/by themselves/, 'the hint says who does');
	is( scalar sqlstate_of($node, q{SELECT summit_enqueue('upload-policy', '{}', '{"policy": {}}')}), '22023',
		'an upload by name has the same validator');
	query($node, <<~'SQL');
		CREATE ROLE has_nothing; CREATE ROLE no_usage; SELECT canopy_summit.grant_access('no_usage', 'fetcher')
		SQL
	is( scalar sqlstate_of($node, "SET ROLE has_nothing; SELECT $fetch)"), '42501',
		'without a level nothing can be enqueued');
	is(scalar sqlstate_of($node, "SET ROLE no_usage; SELECT $fetch)"), '42501', 'nor without USAGE on the server');
	query($node, "DELETE FROM canopy_summit.job WHERE run_at = 'infinity'");
	return;
}

sub somebody_else
{
	my $dir = PostgreSQL::Test::Utils::tempdir('copy');
	for my $column (
		"owner:'postgres'", "state:'succeeded'", 'job_id:7', 'instance:1', 'fence:1', 'attempts:0',
		'enqueued_at:now()', "request_hash:''", 'reconciles:1', 'epoch:1')
	{
		my ($name, $value) = split /:/, $column, 2;
		is( scalar sqlstate_of($node, <<~"SQL"),
			SET ROLE has_fetcher;
			INSERT INTO canopy_summit.job (server, operation, params, $name)
			VALUES ('canopy', 'get-pull-by-id', '{"pullId": "x"}', $value)
			SQL
			'42501', "a role does not name column $name");
	}
	query($node, "COPY (SELECT * FROM canopy_summit.job LIMIT 1) TO '$dir/row'");
	is( scalar sqlstate_of($node, "SET ROLE has_fetcher;\n\\copy canopy_summit.job FROM '$dir/row'"), '42501',
		'nor copies whole rows in');
	is(scalar sqlstate_of($node, qq{SET ROLE has_fetcher; $_}), '42501', "nor: $_") for
	  <<~'SQL',
		CREATE TRIGGER zz BEFORE INSERT ON canopy_summit.job FOR EACH ROW
		EXECUTE FUNCTION suppress_redundant_updates_trigger()
		SQL
	  q{UPDATE canopy_summit.job SET owner = 'postgres'}, 'DELETE FROM canopy_summit.job',
	  q{SELECT owner FROM canopy_summit.job},
	  q{SELECT nextval('canopy_summit.job_id_seq')}, 'ALTER TABLE canopy_summit.job DISABLE TRIGGER job_fill';

	query($node, q{GRANT CREATE ON SCHEMA public TO has_fetcher, has_admin});
	query($node, <<~"SQL");
		SET SESSION AUTHORIZATION has_fetcher;
		CREATE FUNCTION lent() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS \$\$
		SELECT $fetch, run_at => 'infinity') \$\$;
		CREATE FUNCTION posing() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS \$\$
			BEGIN SET LOCAL ROLE has_admin; RETURN $fetch); END \$\$;
		CREATE TABLE app (a int);
		GRANT INSERT ON app TO has_admin;
		CREATE FUNCTION app_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN PERFORM lent();
		RETURN NEW; END \$\$;
		CREATE TRIGGER app_row AFTER INSERT ON app FOR EACH ROW EXECUTE FUNCTION app_row()
		SQL
	query($node, 'SET ROLE has_admin; SELECT lent(); INSERT INTO app VALUES (1)');
	is( query($node, <<~'SQL'), 'has_fetcher|2',
		SELECT owner, count(*) FROM canopy_summit.job WHERE run_at = 'infinity' GROUP BY 1
		SQL
		'a SECURITY DEFINER function or trigger enqueues as its owner, whoever calls it');
	like(
		(sqlstate_of($node, 'SET ROLE has_fetcher; SELECT posing()'))[1],
		qr/cannot set parameter "role"|permission denied/, 'which it cannot change');
	query($node, <<~'SQL');
		INSERT INTO canopy_summit.job (server, operation, params, run_at, owner, state, attempts)
		VALUES ('canopy', 'get-pull-by-id', '{"pullId": "x"}', 'infinity', 'has_admin', 'failed', 9)
		SQL
	is( query($node, q{SELECT owner, attempts FROM canopy_summit.job ORDER BY job_id DESC LIMIT 1}),
		query($node, 'SELECT current_user') . '|0', 'without job_id not even a superuser names an owner');
	query($node, "DELETE FROM canopy_summit.job WHERE run_at = 'infinity'");
	all_settled($node);
	return;
}

# A job of what has gone fails, and says so.
sub gone
{
	my %gone = (
		'a dropped role' => [ sub { query($node, <<~"SQL") }, qr/role ".*" was dropped/ ],
			REVOKE ALL ON FOREIGN SERVER $_[1] FROM $_[0]; DROP OWNED BY $_[0]; DROP ROLE $_[0]
			SQL
		'a dropped mapping' => [ sub { query($node, "DROP USER MAPPING FOR $_[0] SERVER $_[1]") }, qr/user mapping/ ],
		'a revoked right' => [
			sub { query($node, "REVOKE USAGE ON FOREIGN SERVER $_[1] FROM $_[0]") },
			qr/permission denied for foreign server/ ],
		'a dropped server' => [ sub { query($node, "DROP SERVER $_[1] CASCADE") }, qr/server ".*" was dropped/ ]);
	my $number = 0;

	$sandbox->clear_log;
	for my $what (sort keys %gone)
	{
		my ($role, $server) = ('gone_role_' . ++$number, "gone_server_$number");
		my ($drop, $reason) = @{ $gone{$what} };
		query($node, "CREATE ROLE $role; SELECT canopy_summit.grant_access('$role', 'fetcher')");
		create_canopy_server($node, $sandbox, server => $server, role => $role);
		query($node, "GRANT USAGE ON FOREIGN SERVER $server TO $role; SELECT canopy_summit.pause_server('$server')");
		query($node, "SET ROLE $role; SELECT $fetch, server => '$server')");
		my $job_id = query($node, 'SELECT max(job_id) FROM canopy_summit.job');
		$drop->($role, $server);
		query($node, "SELECT canopy_summit.resume_server('$server')");
		is(settled($node, $job_id), 'failed', "$what: the job fails");
		my $job = job($node, $job_id);
		like($job->{outcome}, $reason, '… and says why');
		is($job->{outcome_code}, 'no_credential', '… by code');
		is(scalar @{ $job->{sends} }, 0, '… without an attempt');
	}
	is(scalar $sandbox->log, 0, 'nothing was sent');
	return;
}

sub rollback
{
	my $count = scaled(1000);
	$sandbox->clear_log;
	query($node, join '', map { "BEGIN; SELECT $fetch); ROLLBACK;\n" } 1 .. $count / 2);
	query($node, join '', map { "BEGIN; SAVEPOINT a; SELECT $fetch); ROLLBACK TO a; COMMIT;\n" } 1 .. $count / 2);
	is(settled($node, query($node, "SELECT $fetch)"), 5), 'succeeded', 'a job after them is sent');
	is(scalar(requests($sandbox, 'pulls')), 1, "$count that were rolled back are not");

	# Whoever were woken before there is anything to see would not come again for a minute.
	for my $connected ('with a worker connected', 'without one')
	{
		wait_until('the worker has left', sub { !worker_pids($node) }) if $connected =~ /without/;
		query($node, "BEGIN; SELECT $fetch); SELECT pg_sleep(1); COMMIT");
		is( settled($node, query($node, 'SELECT max(job_id) FROM canopy_summit.job'), 5), 'succeeded',
			"$connected: a COMMIT wakes, not what comes before it");
	}
	return;
}

sub prepared
{
	$sandbox->clear_log;
	query($node, "BEGIN; SELECT $fetch); PREPARE TRANSACTION 'a'");
	query($node, "BEGIN; SELECT $fetch); PREPARE TRANSACTION 'b'");
	is(settled($node, query($node, "SELECT $fetch)")), 'succeeded', 'another is sent meanwhile');
	wait_until('the worker has left', sub { !worker_pids($node) });
	query($node, q{ROLLBACK PREPARED 'b'});
	is(scalar(requests($sandbox, 'pulls')), 1, 'a prepared transaction sends nothing');
	query($node, q{COMMIT PREPARED 'a'});
	soon_ok('it is sent at COMMIT PREPARED', sub { requests($sandbox, 'pulls') == 2 }, 3);
	query($node, "BEGIN; SELECT $fetch); PREPARE TRANSACTION 'c'");
	is(settled($node, query($node, "SELECT $fetch)")), 'succeeded', 'with a worker connected');
	query($node, q{COMMIT PREPARED 'c'});
	soon_ok('it is sent at COMMIT PREPARED', sub { requests($sandbox, 'pulls') == 4 }, 3);
	all_settled($node);
	return;
}

sub restored
{
	my $before = query($node, 'SELECT last_value FROM canopy_summit.job_id_seq');
	$sandbox->clear_log;
	query($node, <<~'SQL');
		INSERT INTO canopy_summit.job
		SELECT (jsonb_populate_record(j,
			'{"job_id": 1000001, "state": "queued", "instance": 7, "owner": "has_admin", "attempts": 3}')).*
			FROM canopy_summit.job j WHERE state = 'succeeded' LIMIT 1;
		INSERT INTO canopy_summit.job
		SELECT (jsonb_populate_record(j, '{"job_id": 1000002, "state": "running", "instance": 7, "epoch": 1}')).*
			FROM canopy_summit.job j WHERE state = 'succeeded' LIMIT 1;
		SELECT canopy_summit.wake()
		SQL
	is(query($node, 'SELECT last_value FROM canopy_summit.job_id_seq'), $before, 'a row with its key takes none');
	is(query($node, <<~'SQL'), 'has_admin|3|7|queued', 'and stays as it is');
		SELECT owner, attempts, instance, state FROM canopy_summit.job WHERE job_id = 1000001
		SQL
	is(settled($node, query($node, "SELECT $fetch)")), 'succeeded', 'another is sent');
	is(scalar(requests($sandbox, 'pulls')), 1, 'it is not');
	like(query($node, 'SELECT canopy_summit.explain_job(1000001)'), qr/arm\(\)/, 'explain_job() says why');
	cmp_ok(query($node, 'SELECT canopy_summit.arm()'), '>=', 2, 'until arm()');
	all_settled($node, 'job_id > 1000000');
	is(jobs_by_state($node, 'job_id > 1000000'), 'succeeded 2', 'which has them sent');
	query($node, 'DELETE FROM canopy_summit.job WHERE job_id > 1000000');
	return;
}

sub no_workers
{
	my $other = new_node(name => 'other');
	create_canopy_server($other, $sandbox);
	my (undef, undef, $stderr) =
	  $other->psql('postgres', "BEGIN; SELECT $fetch); SELECT $fetch); COMMIT; SELECT $fetch)");
	is(scalar(() = $stderr =~ /NOTICE:  no worker will send this job/g), 2, 'a notice in each transaction');
	like($stderr, qr/HINT:  .*shared_preload_libraries/, 'with a hint');
	is(jobs_by_state($other), 'queued 3', 'the jobs are there');
	is(query($other, 'SELECT count(*) FROM canopy_summit.worker_status'), 0, 'no worker is shown');
	is(query($other, 'SELECT depth, sent FROM canopy_summit.server_health'), '3|', 'the queue is');
	$other->append_conf('postgresql.conf', "shared_preload_libraries = 'canopy_summit'");
	$other->restart;
	soon_ok('once there are workers, they are sent', sub { jobs_by_state($other) eq 'succeeded 3' }, 20);
	return;
}
