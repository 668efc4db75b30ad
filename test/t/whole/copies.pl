# Does only the original send: not a standby, nor a template copy, a dump's or a base backup's copy, until it is told
# to?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox();
my $primary = new_worker_node(
	name => 'primary', init => { allows_streaming => 1 },
	conf => "canopy_summit.worker_idle_timeout = 1s\n");
my $pull_id = $sandbox->pull_id('user_good');

create_canopy_server($primary, $sandbox);
subtest 'copies in the same cluster' => \&copies;
subtest 'uploads and jobs of every state in a dump' => \&dumped;
subtest 'physical copies' => \&physical;
subtest 'standby and promotion' => \&standby;
done_testing();

sub copies
{
	my $dumps = PostgreSQL::Test::Utils::tempdir('dumps');

	query($primary, q{SELECT canopy_summit.pause_server('canopy')});
	enqueue($primary, 'get-pull-by-id', { pullId => $pull_id });
	enqueue($primary, 'post-widgets', {}, { intro_title => 'copied' });
	wait_until('no worker is there', sub { !worker_pids($primary) });
	query($primary, 'CREATE DATABASE template_copy TEMPLATE postgres');
	query($primary, 'CREATE DATABASE restored TEMPLATE template0');
	command_ok([ 'pg_dump', '-Fc', '-d', $primary->connstr('postgres'), '--file', "$dumps/dump" ], 'dump');
	command_ok([ 'pg_restore', '--exit-on-error', '-d', $primary->connstr('restored'), "$dumps/dump" ], 'restore');
	for my $copy (qw(template_copy restored))
	{
		$sandbox->clear_log;
		query($primary, q{SELECT canopy_summit.resume_server('canopy'), canopy_summit.wake()}, $copy);
		my $job_id = enqueue($primary, 'get-carriers', {}, undef, undef, $copy);
		is(settled($primary, $job_id, 20, $copy), 'succeeded', "$copy: its own jobs are sent");
		is(scalar(requests($sandbox, '/pulls/|widgets')), 0, "$copy: the original's are not");
		is( query($primary, q{SELECT depth, unarmed FROM canopy_summit.server_health}, $copy), '0|2',
			"$copy: server_health counts them");
		like(
			query($primary, "SELECT unarmed_reason FROM canopy_summit.server_health", $copy), qr/arm\(\)/,
			"$copy: and says what to do");
		like(query($primary, <<~'SQL', $copy), qr/arm\(\)/, "$copy: so does explain_job()");
			SELECT canopy_summit.explain_job(min(job_id)) FROM canopy_summit.job WHERE state = 'queued'
			SQL
		is(query($primary, 'SELECT canopy_summit.arm()', $copy), 2, "$copy: arm() adopts them");
		all_settled($primary, undef, 20, $copy);
		is(jobs_by_state($primary, undef, $copy), 'succeeded 3', "$copy: and they are sent");
	}
	is(jobs_by_state($primary), 'queued 2', 'the original\'s are as they were');
	query($primary, q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($primary);
	is(jobs_by_state($primary), 'succeeded 2', 'and are sent');
	return;
}

# A dump's copy knows what the original knows, and ends what that had not ended: once, and when it is told to.
sub dumped
{
	my $dumps = PostgreSQL::Test::Utils::tempdir('dumps');
	my %restore = (
		plain => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f' ],
		custom => [ 'pg_restore', '--exit-on-error' ],
		directory => [ 'pg_restore', '--exit-on-error', '-j4' ]);
	# All but the job that is running: a copy's worker takes its claim for dead.
	my $rows = <<~'SQL';
		SELECT u FROM summit.upload u ORDER BY upload_id;
		SELECT w FROM summit.upload_warning w ORDER BY w;
		SELECT server, owner, reason, held_at FROM canopy_summit.server_hold ORDER BY 1, 2;
		SELECT j FROM canopy_summit.job j WHERE operation <> 'get-carriers' ORDER BY job_id;
		SELECT r FROM canopy_summit.job_response r ORDER BY r
		SQL
	my $open = <<~'SQL';
		SELECT count(*) FROM canopy_summit.job
		WHERE state IN ('queued', 'running', 'in_doubt') AND instance <> canopy_summit.instance()
		SQL
	my $ends = <<~'SQL';
		SELECT string_agg(coalesce(policy_number, 'none') || ' ' || status, ', ' ORDER BY policy_number)
		FROM summit.upload_status
		SQL
	make_work('origin');
	my $known = query($primary, $rows, 'origin');

	is( query($primary, $ends, 'origin'),
		'ACCEPTED accepted, CANCELLED cancelled, FAILED failed, QUEUED queued, UNRESOLVED unresolved, '
		  . 'VERIFIED verified, none refused',
		'the original has uploads in every state');
	is(query($primary, <<~'SQL', 'origin'), 'cancelled failed in_doubt queued running succeeded', 'and jobs');
		SELECT string_agg(DISTINCT state::text, ' ' ORDER BY state::text) FROM canopy_summit.job
		SQL
	command_ok([ 'pg_dump', @$_, '-d', $primary->connstr('origin') ], "pg_dump @$_[0 .. $#$_ - 2]")
	  for [ '-Fp', '--file', "$dumps/plain" ], [ '-Fc', '--file', "$dumps/custom" ],
	  [ '-Fd', '-j4', '--file', "$dumps/directory" ];
	query($primary, "SELECT pg_terminate_backend($_)") for worker_pids($primary, 'origin');
	$sandbox->clear_log;

	for my $copy (sort keys %restore)
	{
		query($primary, "CREATE DATABASE $copy TEMPLATE template0");
		command_ok(
			[   @{ $restore{$copy} }, $copy eq 'plain' ? "$dumps/plain" : (), '-d', $primary->connstr($copy),
				$copy eq 'plain' ? () : "$dumps/$copy" ],
			"$copy: restore");
		is(query($primary, $rows, $copy), $known, "$copy: uploads and jobs are those of the original");
		query($primary, <<~'SQL', $copy);
			SELECT canopy_summit.resume_server('canopy'), canopy_summit.resume_server('summit'),
				canopy_summit.wake()
			SQL
		is( query(
				$primary,
				'SET client_min_messages = warning; SELECT summit_upload_policy('
				  . literal(payload('QUEUED'))
				  . ") = upload_id FROM summit.upload WHERE policy_number = 'QUEUED'", $copy),
			't',
			"$copy: a payload of the original is known");
		is( query(
				$primary,
				'SELECT (SELECT max(upload_id) FROM summit.upload) < summit_upload_policy('
				  . literal(payload("NEW $copy"))
				  . '), (SELECT max(job_id) FROM canopy_summit.job) < canopy_enqueue($$get-health$$)', $copy),
			't|t',
			"$copy: keys go on above those of the original");
	}
	for my $copy (sort keys %restore)
	{
		all_settled($primary, 'instance = canopy_summit.instance()', 20, $copy);
		is(query($primary, <<~"SQL", $copy), 'verified', "$copy: its own uploads are sent");
			SELECT status FROM summit.upload WHERE policy_number = 'NEW $copy'
			SQL
	}
	is(join(' ', policies_sent()), 'NEW custom NEW directory NEW plain', 'no upload of the original is');
	is(join(' ', map { scalar requests($sandbox, $_) } qw(carriers /pulls widgets)), '0 0 0', 'and no other job');

	$sandbox->control(PUT => 'job/' . query($primary, <<~'SQL', 'origin'), { status => 'verified' });
		SELECT summit_job_id FROM summit.upload WHERE policy_number = 'ACCEPTED'
		SQL
	for my $copy (sort keys %restore)
	{
		is(query($primary, $open, $copy), 4, "$copy: what is open waits");
		is(query($primary, 'SELECT canopy_summit.arm()', $copy), 4, "$copy: arm() adopts it");
	}
	for my $copy (sort keys %restore)
	{
		all_settled($primary, undef, 20, $copy);
		is( query($primary, $ends, $copy),
			"ACCEPTED verified, CANCELLED cancelled, FAILED failed, NEW $copy verified, QUEUED verified, "
			  . 'UNRESOLVED unresolved, VERIFIED verified, none refused',
			"$copy: open uploads are ended, and no others");
		is( query($primary, 'SELECT count(*) FROM canopy_summit.job WHERE state = $$in_doubt$$', $copy), 1,
			"$copy: what is in doubt is not sent again");
	}
	is( join(' ', policies_sent()), 'NEW custom NEW directory NEW plain QUEUED QUEUED QUEUED',
		'each copy has sent the open one once');
	is(join(' ', map { scalar requests($sandbox, $_) } qw(carriers /pulls widgets)), '3 0 0', 'and what was running');
	query($primary, q{SELECT canopy_summit.resume_server('canopy'), canopy_summit.resume_server('summit')}, 'origin');
	all_settled($primary, undef, 20, 'origin');
	is_deeply(
		[ map { "$_->{requests} $_->{effects}" } effect_rows($sandbox, 'QUEUED') ], ['4 1'],
		'with the key of the original, which makes it one effect');
	query($primary, "DROP DATABASE $_") for 'origin', keys %restore;
	return;
}

# The policies that were uploaded.
sub policies_sent
{
	return sort map { $_->{body} =~ /"policy_number": ?"(.*?)"/ } requests($sandbox, '/v1/policies');
}

# A paused database with an upload and a job in every state, one of which is running until its worker ends.
sub make_work
{
	my ($database) = @_;
	my $match = sub { return { listener => 'summit', path => '/v1/policies', body => "\"$_[0]\"" } };
	my $insert = sub {
		return query(
			$primary,
			join(
				'; ', 'SET client_min_messages = warning',
				map { 'INSERT INTO lease (body) VALUES (' . literal($_) . ')' } @_),
			$database);
	};

	query($primary, "CREATE DATABASE $database");
	create_canopy_server($primary, $sandbox, database => $database);
	create_summit_server($primary, $sandbox, database => $database);
	query($primary, <<~'SQL', $database);
		CREATE TABLE lease (lease_id serial PRIMARY KEY, body jsonb);
		CREATE TRIGGER upload AFTER INSERT ON lease FOR EACH ROW
		EXECUTE FUNCTION summit_upload_on_insert('body', '', 'defer')
		SQL
	$sandbox->control(POST => 'outcome', { policy_number => '^ACCEPTED$', outcome => { status => 'pending' } });
	$sandbox->arm(match => $match->('UNRESOLVED'), fault => { kind => 'garble', without => ['job_id'] });
	$sandbox->arm(
		match => $match->('FAILED'),
		fault => {
			kind => 'status', status => 400,
			body => { error => { code => 'invalid_request', message => 'no such field', field => 'policy.limits' } } });
	$sandbox->arm(match => { path => 'widgets' }, fault => { kind => 'reset' });
	$sandbox->hold(match => { path => 'carriers' }, times => 1);
	$insert->(
		(map { payload($_) } qw(ACCEPTED UNRESOLVED FAILED)),
		payload('VERIFIED', sub { delete $_[0]{certificate_holder}{reference_ids}{unit_id} }),
		payload('REFUSED', sub { $_[0]{policy}{vin} = 'x' }));
	enqueue($primary, 'get-carriers', {}, undef, undef, $database);
	enqueue($primary, 'post-widgets', {}, { intro_title => 'in doubt' }, undef, $database);
	enqueue($primary, 'get-pull-by-id', { pullId => 'missing' }, undef, undef, $database);
	enqueue($primary, 'get-health', {}, undef, undef, $database);
	wait_until('all is under way', sub { query($primary, <<~'SQL', $database) eq 't' });
		SELECT count(*) FILTER (WHERE status = 'accepted') = 1 AND count(*) FILTER (WHERE status = 'queued') = 0
		FROM summit.upload
		SQL
	all_settled($primary, "operation NOT IN ('get-carriers', 'get-job')", 20, $database);
	query($primary, <<~'SQL', $database);
		SELECT canopy_summit.pause_server('canopy', 'for the dump'),
			canopy_summit.pause_server('summit', 'for the dump')
		SQL
	wait_until('the last poll is over', sub { query($primary, <<~'SQL', $database) == 0 });
		SELECT count(*) FROM canopy_summit.job WHERE operation = 'get-job' AND state = 'running'
		SQL
	$insert->(payload('QUEUED'), payload('CANCELLED'));
	query($primary, <<~'SQL', $database);
		SELECT canopy_summit.cancel_job(job_id) FROM summit.upload WHERE policy_number = 'CANCELLED'
		SQL
	wait_until('one job is on its way', sub { scalar requests($sandbox, 'carriers') });
	return;
}

# A base backup that is started as a primary is another instance if its instance_file says so.
sub physical
{
	my $files = PostgreSQL::Test::Utils::tempdir('instance');
	append_to_file("$files/$_->[0]", "host $_->[1]\n") for [ original => 'a' ], [ same => 'a' ], [ other => 'b' ];
	$primary->append_conf('postgresql.conf', "canopy_summit.instance_file = '$files/original'\n");
	$primary->restart;
	# One that is on its way, and two that wait.
	my $fault = $sandbox->hold(match => { path => '/widgets', body => 'on its way' }, times => 1);
	my $sent = enqueue($primary, 'post-widgets', {}, { intro_title => 'on its way' });
	wait_until('it is on its way', sub { $sandbox->waiting($fault) });
	query($primary, q{SELECT canopy_summit.pause_server('canopy')});
	my @waiting = (
		enqueue($primary, 'get-pull-by-id', { pullId => $pull_id }),
		enqueue($primary, 'post-widgets', {}, { intro_title => 'waits' }));
	my $waiting = join ', ', @waiting;
	$primary->backup('physical');
	$sandbox->clear($fault);
	is(settled($primary, $sent), 'succeeded', 'one is on its way in the backup, and ends in the original');

	my $other = start_copy('other', "$files/none");
	is( scalar sqlstate_of($other, q{SELECT canopy_enqueue('get-carriers')}), '58P01',
		'without its file a copy does not know itself');
	$sandbox->clear_log;
	query($other, q{DELETE FROM canopy_summit.server_hold});
	$other->append_conf('postgresql.conf', "canopy_summit.instance_file = '$files/other'\n");
	$other->restart;
	is( settled($other, enqueue($other, 'post-widgets', {}, { intro_title => 'its own' }), 30), 'succeeded',
		'another file: the copy sends its own');
	is(query($other, 'SELECT depth, unarmed FROM canopy_summit.server_health'), '0|2', 'it knows of the original\'s');
	is(job($other, $sent)->{state}, 'in_doubt', 'and is in doubt about the one that was on its way');
	is(jobs_by_state($other, "job_id IN ($waiting)"), 'queued 2', 'but leaves them alone');
	is_deeply(
		[ map { $_->{body} =~ /its own/ ? 'its own' : $_->{path} } requests($sandbox, 'pulls/|widgets', 'path,body') ],
		['its own'], 'nothing of theirs is sent');
	is(query($other, 'SELECT canopy_summit.arm()'), 3, 'arm() adopts them');
	all_settled($other, undef, 20);
	is(jobs_by_state($other, "job_id IN ($waiting)"), 'succeeded 2', 'and has them sent');
	is(scalar(requests($sandbox, 'pulls/|widgets')), 3, 'once each, and not the one in doubt');
	$other->stop;

	my $same = start_copy('same', "$files/same");
	$sandbox->clear_log;
	query($same, q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($same, undef, 30);
	is( jobs_by_state($same, "job_id IN ($waiting)"), 'succeeded 2',
		'the same content: it goes on, as after a failover');
	is(scalar(requests($sandbox, 'pulls/|widgets')), 2, 'each is sent once');
	is(job($same, $sent)->{state}, 'in_doubt', 'what was on its way is in doubt');
	$same->stop;

	is(jobs_by_state($primary, "job_id IN ($waiting)"), 'queued 2', 'the original\'s are as they were');
	query($primary, q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($primary, undef, 40);
	is(jobs_by_state($primary, "job_id IN ($waiting, $sent)"), 'succeeded 3', 'and are sent');
	return;
}

# A base backup of the primary, started as a primary.
sub start_copy
{
	my ($name, $file) = @_;
	my $copy = PostgreSQL::Test::Cluster->new($name);
	$copy->init_from_backup($primary, 'physical');
	$copy->append_conf('postgresql.conf', "canopy_summit.instance_file = '$file'\n");
	$copy->start;
	return $copy;
}

sub standby
{
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$primary->backup('copy');
	$standby->init_from_backup($primary, 'copy', has_streaming => 1);
	$standby->start;
	query($primary, q{SELECT canopy_summit.pause_server('canopy')});
	my %jobs = (
		safe => enqueue($primary, 'get-pull-by-id', { pullId => $pull_id }),
		unsafe => enqueue($primary, 'post-widgets', {}, { intro_title => 'promoted' }),
		later =>
		  enqueue($primary, 'post-widgets', {}, { intro_title => 'later' }, q{run_at => now() + interval '1 day'}));
	$primary->wait_for_catchup($standby);
	is(query($standby, <<~'SQL'), 0, 'no process runs on a standby');
		SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'canopy_summit'
		SQL
	is(query($standby, "SELECT count(*) FROM canopy_summit.$_"), 0, "$_ is empty there")
	  for qw(worker_status server_counters());
	is(query($standby, 'SELECT depth, sent FROM canopy_summit.server_health'), '3|', 'server_health counts the queue');
	cmp_ok(query($standby, 'SELECT sum(jobs) FROM canopy_summit.job_stats'), '>=', 3, 'so does job_stats');
	like(query($standby, "SELECT canopy_summit.explain_job($jobs{safe})"), qr/paused/, 'explain_job() explains');
	is(scalar sqlstate_of($standby, "SELECT $_"), '25006', "$_ is refused")
	  for q{canopy_enqueue('get-carriers')}, "canopy_summit.cancel_job($jobs{safe})", 'canopy_summit.arm()',
	  q{canopy_summit.pause_server('canopy')},
	  "canopy_summit.retry_job($jobs{safe})", 'canopy_summit.retry_failed()', q{canopy_summit.resume_server('canopy')};
	is(query($standby, "SELECT canopy_summit.wait_for_job($jobs{safe}, '100 ms')"), 'queued', 'wait_for_job() waits');
	$primary->stop('immediate');
	$sandbox->clear_log;
	# The pause came along: end it as soon as writing is possible.
	$standby->promote;
	my $start = time;
	query($standby, q{SELECT canopy_summit.resume_server('canopy')});
	is(settled($standby, $jobs{safe}, 30), 'succeeded', 'after promotion a safe job is sent');
	cmp_ok(time - $start, '<', SOON, 'soon');
	is(query($standby, <<~"SQL"), 'queued queued', 'unsafe ones wait');
		SELECT string_agg(state::text, ' ') FROM canopy_summit.job WHERE job_id IN ($jobs{unsafe}, $jobs{later})
		SQL
	like(query($standby, "SELECT canopy_summit.explain_job($jobs{unsafe})"), qr/promot.*arm\(\)/, 'and say for what');
	is(scalar(requests($sandbox, 'widgets')), 0, 'nothing unsafe was sent');
	my $new = enqueue($standby, 'post-widgets', {}, { intro_title => 'after' });
	is(settled($standby, $new, 20), 'succeeded', 'unsafe ones enqueued since are sent');
	is(query($standby, 'SELECT canopy_summit.arm()'), 2, 'arm() adopts those that wait');
	is(settled($standby, $jobs{unsafe}, 20), 'succeeded', 'and has them sent');
	is(job($standby, $jobs{later})->{state}, 'queued', 'when they are due');
	$standby->restart;
	is( settled($standby, enqueue($standby, 'post-widgets', {}, { intro_title => 'restarted' }), 20), 'succeeded',
		'a restart is no promotion');
	return;
}
