# Do the recipes of doc/operations.md do what they say when pg_cron runs them, twice at once, and by GMT?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use IPC::Run ();
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'pg_cron is not there' if !-e `pg_config --pkglibdir` =~ s/\s+$//r . '/pg_cron.so';

my $sandbox = start_sandbox();
my $node = new_node(conf => <<~'END');
	shared_preload_libraries = 'canopy_summit, pg_cron'
	cron.use_background_workers = on
	max_worker_processes = 40
	timezone = 'America/New_York'
	END
create_canopy_server($node, $sandbox, role => 'PUBLIC');
query($node, <<~'SQL');
	SET client_min_messages = error;
	CREATE EXTENSION pg_cron;
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA cron TO app;
	GRANT USAGE ON FOREIGN SERVER canopy TO app;
	SELECT canopy_summit.grant_access('app', level) FROM unnest('{fetcher,operator}'::text[]) AS level;
	SQL
my ($recipes) = slurp_file(in_checkout('doc/operations.md')) =~ /^## Schedule\n.*?^```sql\n(.*?)^```/ms;
query($node, "SET SESSION AUTHORIZATION app; $recipes RESET SESSION AUTHORIZATION");
my %command = map { my ($name, $hex) = split /\|/; ($name => pack 'H*', $hex) } split /\n/,
  query($node, q{SELECT jobname, encode(convert_to(command, 'UTF8'), 'hex') FROM cron.job WHERE username = 'app'});
is_deeply(
	[ sort keys %command ],
	[ 'canopy new', 'canopy retention', 'canopy stale', 'cron history' ],
	'the recipes are taken as they stand');
my @ready = map { $_->{pull_id} } grep { $_->{status} eq 'SUCCESS' } @{ $sandbox->control(GET => 'pulls')->{pulls} };
cmp_ok(scalar @ready, '>', 5, 'there are pulls to fetch');
my $yesterday = strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime(time - 86400));
$sandbox->control(PATCH => "pull/$_", { created_at => $yesterday }) for @ready;

subtest 'twice at once' => \&twice;
subtest 'by pg_cron' => \&scheduled;
done_testing();

# Runs a recipe in two sessions.
sub run_twice
{
	my ($name) = @_;
	my @runs = map {
		IPC::Run::start(
			[ 'psql', '-XAtq', '-U', 'app', '-d', $node->connstr('postgres'), '-c', $command{$name} ],
			'<', '/dev/null', '>', '/dev/null')
	} 1 .. 2;
	is(scalar(grep { IPC::Run::finish($_) } @runs), 2, "$name: both runs succeed");
	return;
}

# "pulls, versions" that are stored, and what has become of jobs.
sub stored { return query($node, 'SELECT count(DISTINCT pull_id), count(*) FROM canopy_summit.pull_version') }

sub fetches
{
	my %count;
	$count{ $_->{path} =~ s/\?.*//r }++ for grep { ($_->{operation} // '') eq 'get-pull-by-id' } $sandbox->log;
	return \%count;
}

sub none_failed
{
	my ($name) = @_;
	is( query($node, q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('failed', 'in_doubt')}),
		0, "$name: no job has failed");
	return;
}

sub age { return query($node, q{UPDATE canopy_summit.pull_state SET fetched_at = now() - interval '40 days'}) }

sub twice
{
	run_twice('canopy new');
	all_settled($node);
	is(stored(), @ready . '|' . @ready, 'every pull that is ready is stored, once');
	none_failed('canopy new');
	$sandbox->clear_log;
	run_twice('canopy new');
	all_settled($node);
	is_deeply(fetches(), {}, 'the next night none is fetched');

	my $current = query($node, 'SELECT count(*) FROM canopy.pull');
	cmp_ok($current, '>', 0, 'there are current pulls');
	run_twice('canopy stale');
	all_settled($node);
	is_deeply(fetches(), {}, 'none that was fetched lately');
	age();
	run_twice('canopy stale');
	all_settled($node);
	my $fetches = fetches();
	is(scalar keys %$fetches, $current, 'those that were not are fetched again');
	ok(!(grep { $_ > 2 } values %$fetches), 'once for each run at most');
	is(stored(), @ready . '|' . @ready, 'without another version');
	none_failed('canopy stale');

	query($node, q{INSERT INTO canopy_summit.retention_rule VALUES ('job', '0 s')});
	run_twice('canopy retention');
	soon_ok('what is old goes', sub { query($node, 'SELECT count(*) FROM canopy_summit.job') == 0 });
	run_twice('cron history');
	query($node, 'DELETE FROM canopy_summit.retention_rule');
	return;
}

# All of them every minute, together, and one at a minute that only GMT has soon.
sub scheduled
{
	my $changed = query($node, 'SELECT pull_id FROM canopy.pull ORDER BY pull_id LIMIT 1');
	$sandbox->control(PATCH => "pull/$changed", { account_identifier => 'another' });
	age();
	$sandbox->clear_log;
	query($node, <<~'SQL');
		SELECT cron.alter_job(jobid, schedule => '* * * * *') FROM cron.job;
		SELECT cron.schedule('by GMT', to_char(now() AT TIME ZONE 'GMT' + interval '2 min', 'FMMI FMHH24 FMDD FMMM *'),
			'SELECT 1');
		SQL
	my $runs = sub {
		return query($node, <<~"SQL");
			SELECT count(*) FROM cron.job_run_details d JOIN cron.job j USING (jobid)
			WHERE j.jobname = '$_[0]' AND d.status = 'succeeded'
			SQL
	};
	wait_until("$_ runs for the second time", sub { $runs->($_) >= 2 }, 240) for sort keys %command;
	wait_until('it is that minute by GMT', sub { $runs->('by GMT') == 1 }, 240);
	all_settled($node);
	query($node, 'SELECT cron.unschedule(jobid) FROM cron.job');
	is( query($node, q{SELECT count(*) FROM cron.job_run_details WHERE status NOT IN ('succeeded', 'running')}), 0,
		'no run has failed');
	is(stored(), @ready . '|' . (@ready + 1), 'the pull that had changed has another version, and no other');
	none_failed('every minute');
	return;
}
