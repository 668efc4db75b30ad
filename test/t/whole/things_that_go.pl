# What becomes of a job, a hold, a webhook and an upload when its role, server, mapping, database or
# extension is dropped, renamed or made anew? The table of doc/operations.md, cell by cell.
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $pull_id = $sandbox->pull_id('user_good');
my $payload = literal(payload('POL-GOES'));

create_canopy_server($node, $sandbox);

subtest 'a role is dropped' => \&role_dropped;
subtest 'a role is renamed, and its name made anew' => \&role_renamed;
subtest 'a server is dropped' => \&server_dropped;
subtest 'a server is renamed, and its name made anew' => \&server_renamed;
subtest 'a mapping is dropped, and made anew' => \&mapping;
subtest 'a database is renamed, dropped, and made anew' => \&database;
subtest 'an extension is dropped, and made anew' => \&extension;
done_testing();

# Servers c_NAME, with a webhook secret, s_NAME of Summit, and h_NAME, whose secret is refused if
# `refused` is set, mapped for role r_NAME. Options: database.
sub make
{
	my ($name, %options) = @_;
	my $database = $options{database} // 'postgres';
	my $role = "r_$name";

	query($node, "CREATE ROLE $role") unless query($node, "SELECT count(*) FROM pg_roles WHERE rolname = '$role'");
	map_servers($name, $role, %options, create => 1);
	query($node, "SELECT canopy_summit.grant_access('$role', 'fetcher')", $database);
	return $role;
}

# The same servers, or only their mappings.
sub map_servers
{
	my ($name, $role, %options) = @_;
	my $database = $options{database} // 'postgres';
	my %of = (database => $database, role => $role);

	if ($options{create})
	{
		create_canopy_server(
			$node, $sandbox, %of, server => "c_$name", options => { webhook_role => "r_$name" },
			mapping => { webhook_secret => 'w' });
		create_canopy_server(
			$node, $sandbox, %of, server => "h_$name",
			mapping => { $options{refused} ? (client_secret_file => undef, client_secret => 'wrong') : () });
		create_summit_server($node, $sandbox, %of, server => "s_$name");
	}
	else
	{
		for my $server ("c_$name", "h_$name")
		{
			query(
				$node,
				"CREATE USER MAPPING FOR $role SERVER $server OPTIONS (" . CanopyTest::option_list(
					client_id => $sandbox->client_id,
					client_secret_file => CanopyTest::secret_file($sandbox->client_secret),
					webhook_secret => $options{webhook_secret} // 'w')
				  . ')',
				$database);
		}
		add_summit_mapping($node, $sandbox, %of, server => "s_$name");
	}
	query($node, "GRANT USAGE ON FOREIGN SERVER c_$name, h_$name, s_$name TO $role", $database);
	return;
}

# SQL: a webhook for a server, signed with its secret; (http_status, outcome, webhook_id).
sub received
{
	my ($server, $event, $secret) = @_;
	my $body = CanopyTest::quoted(qq({"event_type": "$event", "pull_id": "$pull_id"}));
	$secret //= 'w';
	return <<~"SQL";
		receive_webhook('$server', jsonb_build_object('canopy-signature', sign_webhook('$secret', ${body}::text)),
			convert_to($body, 'UTF8'))
		SQL
}

# A job, an upload and a webhook of the made servers, committed together with what happens: nobody
# gets to see them before. Their keys. Options: database; key, of the upload; event, of the webhook.
sub committed_with
{
	my ($name, $happens, %options) = @_;
	my ($key, $event) = ($options{key} // "k_$name", $options{event} // 'COMPLETE');
	my @ids = grep { /^\d+$/ } split /\n/, query($node, <<~"SQL", $options{database});
		SET client_min_messages = error;
		BEGIN;
		SET LOCAL ROLE r_$name;
		SELECT canopy_enqueue('get-carriers', server => 'c_$name');
		SELECT summit_upload_policy($payload, server => 's_$name', idempotency_key => '$key');
		RESET ROLE;
		SELECT webhook_id FROM ${\received("c_$name", $event)};
		$happens;
		COMMIT;
		SQL
	is(scalar @ids, 3, 'a job, an upload and a webhook');
	return @ids;
}

# Waits for the end of an upload; "status|reason".
sub uploaded
{
	my ($upload_id, $database) = @_;
	my $has = sub { query($node, "SELECT $_[0] FROM summit.upload_status WHERE upload_id = $upload_id", $database) };

	wait_until("upload $upload_id has ended", sub { $has->('status') !~ /^(queued|sending|accepted)$/ });
	return $has->(q{status || '|' || coalesce(error_message, '')});
}

# Waits for the end of the fetch that a webhook asks for; "state|owner|outcome".
sub fetched
{
	my ($server, $database) = @_;
	my $fetch = "canopy_summit.job WHERE operation = 'get-pull-by-id' AND server = '$server'";

	wait_until(
		"what a webhook of $server asks for is fetched",
		sub {
			query($node, <<~"SQL", $database) eq 't';
				SELECT count(*) > 0 AND bool_and(state NOT IN ('queued', 'running')) FROM $fetch
				SQL
		});
	return query($node, <<~"SQL", $database);
		SELECT state || '|' || owner || '|' || outcome FROM $fetch ORDER BY job_id DESC LIMIT 1
		SQL
}

# Enqueues a job on a server as a role.
sub enqueue_as
{
	my ($role, $server, $database) = @_;
	return query($node, <<~"SQL", $database);
		SET ROLE $role; SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "$pull_id"}', server => '$server')
		SQL
}

# Enqueues a job whose credential is refused, and waits for the hold; its key.
sub held_job
{
	my ($name) = @_;
	my $job_id = enqueue_as("r_$name", "h_$name");
	wait_until('its credential is held', sub { hold("h_$name", "r_$name") });
	return $job_id;
}

sub hold { my ($server, $owner, $database) = @_; return query($node, <<~"SQL", $database) }
	SELECT count(*) FROM canopy_summit.server_hold WHERE server = '$server' AND owner = '$owner'
	SQL

sub webhook_is { my ($webhook_id, $database) = @_; return query($node, <<~"SQL", $database) }
	SELECT state || '|' || coalesce(problem, '') FROM canopy_summit.webhook WHERE webhook_id = $webhook_id
	SQL

# Waits until a webhook is no longer only stored; "state|problem".
sub applied
{
	my ($webhook_id, $database) = @_;
	wait_until("webhook $webhook_id is applied", sub { webhook_is($webhook_id, $database) !~ /^stored/ });
	return webhook_is($webhook_id, $database);
}

sub status_of { my ($sql, $database) = @_; return query($node, "SELECT http_status, outcome FROM $sql", $database) }

sub role_dropped
{
	my $role = make('role_dropped', refused => 1);
	my $held = held_job('role_dropped');
	my ($job, $upload, $webhook) = committed_with('role_dropped', "DROP OWNED BY $role; DROP ROLE $role");

	is(settled($node, $job), 'failed', 'job: it fails');
	is(job($node, $job)->{outcome}, qq{role "$role" was dropped}, 'job: for that reason');
	is(uploaded($upload), qq{failed|role "$role" was dropped}, 'upload: so does it');
	is( query($node, "SELECT owner FROM summit.upload_status WHERE upload_id = $upload"), $role,
		'upload: it shows the last name');
	is(settled($node, $held), 'failed', 'hold: what it held fails');
	soon_ok('hold: it goes', sub { !hold('h_role_dropped', $role) }, 30);
	is(applied($webhook), 'applied|', 'webhook: it is applied');
	like(
		fetched('c_role_dropped'), qr/^failed\|$role\|role "$role" does not exist$/,
		'webhook: but nobody fetches for it');
	is(status_of(received('c_role_dropped', 'ERROR')), '503|no_secret', 'webhook: another one is not verified');
	return;
}

sub role_renamed
{
	my $role = make('role_renamed', refused => 1);
	my $held = held_job('role_renamed');
	my ($job, $upload, $webhook) = committed_with('role_renamed', "ALTER ROLE $role RENAME TO goes_by");

	is(settled($node, $job), 'succeeded', 'job: it is sent');
	is(uploaded($upload), 'verified|', 'upload: so is it');
	is( query($node, "SELECT owner FROM summit.upload_status WHERE upload_id = $upload"), 'goes_by',
		'upload: it shows the name of the day');
	soon_ok(
		'hold: it has the name of the day',
		sub { hold('h_role_renamed', 'goes_by') && !hold('h_role_renamed', $role) }, 30);
	like(
		query($node, "SELECT canopy_summit.explain_job($held)"),
		qr/of goes_by\) is queued: the credential of goes_by was refused/, 'hold: and holds');
	is(applied($webhook), 'applied|', 'webhook: it is applied');
	is( status_of(received('c_role_renamed', 'ERROR')), '503|no_secret',
		'webhook: option webhook_role names a role by its name, and that is nobody');
	like(fetched('c_role_renamed'), qr/^failed\|$role\|role "$role" does not exist$/, 'webhook: who fetches nothing');

	query($node, "CREATE ROLE $role; SELECT canopy_summit.grant_access('$role', 'fetcher')");
	map_servers('role_renamed', $role);
	is( settled($node, enqueue_as($role, 'h_role_renamed')), 'succeeded',
		'hold: a new role of the old name is not held');
	is(job($node, $held)->{state}, 'queued', 'job: what is held is not sent with its credential');
	my $upload_sql = <<~"SQL";
		SELECT summit_upload_policy($payload, server => 's_role_renamed', idempotency_key => 'k_role_renamed')
		SQL
	is( query($node, "SET client_min_messages = error; SET ROLE goes_by; $upload_sql"), $upload,
		'upload: it is known to its role');
	my $other = query($node, "SET client_min_messages = error; SET ROLE $role; $upload_sql");
	cmp_ok($other, '>', $upload, 'upload: and not to a new one of the old name');
	is(uploaded($other), 'verified|', 'upload: whose own is sent');
	is(status_of(received('c_role_renamed', 'ERROR')), '200|stored', 'webhook: the option means the new one');
	query(
		$node,
		q{ALTER USER MAPPING FOR goes_by SERVER h_role_renamed OPTIONS (SET client_secret }
		  . CanopyTest::quoted($sandbox->client_secret) . ')');
	is(settled($node, $held), 'succeeded', 'hold: another credential of the renamed role ends it');
	return;
}

sub server_dropped
{
	make('server_dropped');
	query($node, q{SELECT canopy_summit.pause_server('h_server_dropped')});
	my $held = enqueue_as('r_server_dropped', 'h_server_dropped');
	my ($job, $upload, $webhook) =
	  committed_with('server_dropped', join ';', map { "DROP SERVER ${_}_server_dropped CASCADE" } qw(c s h));

	is(settled($node, $job), 'failed', 'job: it fails');
	is(job($node, $job)->{outcome}, 'server "c_server_dropped" was dropped', 'job: for that reason');
	is(uploaded($upload), 'failed|server "s_server_dropped" was dropped', 'upload: so does it');
	is(settled($node, $held), 'failed', 'hold: what it held fails');
	soon_ok('hold: it goes', sub { !hold('h_server_dropped', '') }, 30);
	is(applied($webhook), 'quarantined|server "c_server_dropped" was dropped', 'webhook: it is quarantined');
	is(status_of(received('c_server_dropped', 'ERROR')), '404|no_server', 'webhook: another one has nobody to go to');
	return;
}

sub server_renamed
{
	make('server_renamed');
	query($node, q{SELECT canopy_summit.pause_server('h_server_renamed')});
	my $held = enqueue_as('r_server_renamed', 'h_server_renamed');
	my ($job, $upload, $webhook) = committed_with(
		'server_renamed', join ';',
		map { "ALTER SERVER ${_}_server_renamed RENAME TO ${_}_goes_by" } qw(c s h));
	my @anew = map { qq{DROP SERVER ${_}_server_renamed CASCADE} } qw(c s h);

	is(settled($node, $job), 'succeeded', 'job: it is sent');
	is(job($node, $job)->{server}, 'c_goes_by', 'job: by the name of the day');
	is(uploaded($upload), 'verified|', 'upload: so is it');
	is( query($node, "SELECT server FROM summit.upload_status WHERE upload_id = $upload"), 's_goes_by',
		'upload: it shows the name of the day');
	soon_ok('hold: it has the name of the day', sub { hold('h_goes_by', '') && !hold('h_server_renamed', '') }, 30);
	is(job($node, $held)->{state}, 'queued', 'hold: and holds');
	is(applied($webhook), 'applied|', 'webhook: it is applied');
	like(fetched('c_goes_by'), qr/^succeeded\|r_server_renamed\|/, 'webhook: and what it asks for is fetched');
	is(query($node, <<~"SQL"), 'c_goes_by', 'webhook: under the name of the day');
		SELECT string_agg(server, ' ') FROM canopy_summit.pull_state WHERE server ~ '^c_(server_renamed|goes_by)'
		SQL
	is(status_of(received('c_goes_by', 'COMPLETE')), '200|duplicate', 'webhook: it is known by the new name');
	is(status_of(received('c_server_renamed', 'COMPLETE')), '404|no_server', 'webhook: nothing is by the old one');

	wait_until(
		'all rows have followed',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.task WHERE what = 'rename' AND state <> 'done'}) == 0 }
	);
	map_servers('server_renamed', 'r_server_renamed', create => 1);
	is( settled($node, enqueue_as('r_server_renamed', 'h_server_renamed')), 'succeeded',
		'hold: a new server of the old name is not held');
	like(
		query($node, "SELECT canopy_summit.explain_job($held)"), qr/to h_goes_by.*resume_server\('h_goes_by'\)/,
		'hold: the renamed one is');
	is( status_of(received('c_server_renamed', 'COMPLETE')), '200|stored',
		'webhook: a new server of the old name does not know it');
	my $upload_sql = <<~"SQL";
		SET client_min_messages = error; SET ROLE r_server_renamed;
		SELECT summit_upload_policy($payload, idempotency_key => 'k_server_renamed', server =>
		SQL
	is(query($node, "$upload_sql 's_goes_by')"), $upload, 'upload: it is known to its server');
	my $other = query($node, "$upload_sql 's_server_renamed')");
	cmp_ok($other, '>', $upload, 'upload: and not to a new one of the old name');
	is(uploaded($other), 'verified|', 'upload: whose own is sent');
	is(query($node, q{SELECT canopy_summit.resume_server('h_goes_by')}), 't', 'hold: it ends by the new name');
	is(settled($node, $held), 'succeeded', 'job: and what it held is sent');

	# Queued for a server that is gone when its name is made anew.
	my $made = join ';', @anew,
	  map { "CREATE SERVER ${_}_server_renamed FOREIGN DATA WRAPPER " . ($_ eq 's' ? 'summit' : 'canopy') . '_api' }
	  qw(c s h);
	my ($first, $second, $third) = committed_with('server_renamed', $made, key => 'another', event => 'DATA_UPDATED');
	is(settled($node, $first), 'failed', 'job: a new server does not inherit it');
	is(uploaded($second), 'failed|server "s_server_renamed" was dropped', 'upload: nor that');
	is(applied($third), 'quarantined|server "c_server_renamed" was dropped', 'webhook: nor that');
	return;
}

# A mapping has no name of its own: it goes with its role and server.
sub mapping
{
	my $role = make('mapping', refused => 1);
	my $held = held_job('mapping');
	my ($job, $upload, $webhook) =
	  committed_with('mapping', join ';', map { "DROP USER MAPPING FOR $role SERVER ${_}_mapping" } qw(c s h));

	is(settled($node, $job), 'failed', 'job: it fails');
	like(
		job($node, $job)->{outcome}, qr/^role "$role" has no user mapping for server "c_mapping"$/,
		'job: for that reason');
	like(uploaded($upload), qr/^failed\|role "$role" has no user mapping/, 'upload: so does it');
	is(settled($node, $held), 'failed', 'hold: what it held fails');
	soon_ok('hold: it goes', sub { !hold('h_mapping', $role) }, 30);
	is(applied($webhook), 'applied|', 'webhook: it is applied');
	like(
		fetched('c_mapping'), qr/^failed\|$role\|role "$role" has no user mapping/,
		'webhook: but nobody fetches for it');
	is(status_of(received('c_mapping', 'ERROR')), '503|no_secret', 'webhook: another one is not verified');

	map_servers('mapping', $role, webhook_secret => 'anew');
	is(settled($node, enqueue_as($role, "${_}_mapping")), 'succeeded', "job: a new mapping serves it on $_")
	  for qw(c h);
	is(query($node, "SELECT canopy_summit.retry_job($job)"), 't', 'job: also one that has failed');
	is(settled($node, $job), 'succeeded', 'job: if it is told to');
	my $again = query($node, <<~"SQL");
		SET client_min_messages = error; SET ROLE $role;
		SELECT summit_upload_policy($payload, server => 's_mapping', idempotency_key => 'k_mapping')
		SQL
	cmp_ok($again, '>', $upload, 'upload: one that failed does not absorb the next');
	is(uploaded($again), 'verified|', 'upload: which is sent');
	is(status_of(received('c_mapping', 'ERROR')), '401|bad_signature', 'webhook: the old secret does not count');
	is(status_of(received('c_mapping', 'ERROR', 'anew')), '200|stored', 'webhook: the new one does');
	is( scalar sqlstate_of($node, "ALTER USER MAPPING FOR $role SERVER c_mapping RENAME TO x"), '42601',
		'a mapping cannot be renamed');
	return;
}

# In a database: everything is held, and something of each kind is there. (job, upload, webhook)
sub held_in
{
	my ($database) = @_;
	query($node, "CREATE DATABASE $database");
	query($node, 'CREATE EXTENSION canopy_summit', $database);
	make('goes', database => $database);
	query($node, q{SELECT canopy_summit.pause_server(s) FROM unnest('{c_goes,s_goes,h_goes}'::name[]) AS s}, $database);
	return committed_with('goes', 'SELECT', database => $database);
}

sub database
{
	my ($job, $upload, $webhook) = held_in('first');

	is(applied($webhook, 'first'), 'applied|', 'webhook: it is applied');
	query($node, 'ALTER DATABASE first RENAME TO second');
	is(hold('c_goes', '', 'second'), 1, 'hold: it is there after a rename');
	is(query($node, <<~'SQL', 'second'), 'paused', 'hold: and holds');
		SELECT held FROM canopy_summit.server_health WHERE server = 'c_goes'
		SQL
	is(status_of(received('c_goes', 'COMPLETE'), 'second'), '200|duplicate', 'webhook: it is known');

	# A copy has other rows, with the same OIDs.
	query($node, 'CREATE DATABASE copy TEMPLATE second');
	is(query($node, <<~'SQL', 'copy'), '0|t', 'job, upload: a copy sends none');
		SELECT sum(depth), sum(unarmed) > 0 FROM canopy_summit.server_health
		SQL
	soon_ok(
		'hold: a copy takes it over',
		sub {
			query($node, <<~'SQL', 'copy') =~ /t$/;
				SELECT canopy_summit.wake();
				SELECT bool_and(instance = canopy_summit.instance()) FROM canopy_summit.server_hold
				SQL
		},
		30);
	is(status_of(received('c_goes', 'COMPLETE'), 'copy'), '200|duplicate', 'webhook: a copy knows it');
	query($node, 'DROP DATABASE copy');

	query($node, q{SELECT canopy_summit.resume_server(s) FROM unnest('{c_goes,s_goes,h_goes}'::name[]) AS s}, 'second');
	is(settled($node, $job, undef, 'second'), 'succeeded', 'job: it is sent from the renamed one');
	is(uploaded($upload, 'second'), 'verified|', 'upload: so is it');

	query($node, 'DROP DATABASE second');
	query($node, 'CREATE DATABASE second');
	query($node, 'CREATE EXTENSION canopy_summit', 'second');
	is(query($node, <<~'SQL', 'second'), '0|0|0|0', 'each: one made anew has nothing');
		SELECT (SELECT count(*) FROM canopy_summit.job), (SELECT count(*) FROM canopy_summit.server_hold),
			(SELECT count(*) FROM canopy_summit.webhook),
		(SELECT count(*) FROM summit.upload)
		SQL
	query($node, 'DROP DATABASE second');
	return;
}

sub extension
{
	my $database = 'third';
	my ($job, $upload, $webhook) = held_in($database);
	my %tables = (
		job => 'canopy_summit.job', hold => 'canopy_summit.server_hold', webhook => 'canopy_summit.webhook',
		upload => 'summit.upload');
	my $sent = () = $sandbox->log;

	is(applied($webhook, $database), 'applied|', 'webhook: it is applied');
	my $move = 'CREATE SCHEMA elsewhere; ALTER EXTENSION canopy_summit SET SCHEMA elsewhere';
	is( scalar sqlstate_of($node, $move, database => $database), '0A000',
		'an extension does not move, and has no other name');
	# As a dump has them.
	query($node, "CREATE TABLE saved_$_ AS SELECT t::text AS row FROM $tables{$_} t", $database) for sort keys %tables;
	query($node, 'SET client_min_messages = error; DROP EXTENSION canopy_summit CASCADE', $database);
	is(query($node, <<~'SQL', $database), 0, 'each: it goes with the extension');
		SELECT count(*) FROM pg_namespace WHERE nspname IN ('canopy', 'summit', 'canopy_summit')
		SQL

	map_servers('goes', 'r_goes', database => $database, create => 1);
	query($node, q{SELECT canopy_summit.grant_access('r_goes', 'fetcher')}, $database);
	is( query($node, join(' UNION ALL ', map { "SELECT count(*) FROM $tables{$_}" } sort keys %tables), $database),
		"0\n0\n0\n0", 'each: one made anew has nothing');
	query($node, "INSERT INTO $tables{$_} SELECT (row::$tables{$_}).* FROM saved_$_", $database)
	  for qw(upload job webhook hold);
	query($node, "SELECT setval('canopy_summit.${_}_id_seq', 1000)", $database) for qw(job upload webhook);
	soon_ok(
		'hold: of a restored one the names count',
		sub {
			query($node, <<~'SQL', $database) =~ /t$/;
				SELECT canopy_summit.wake();
				SELECT bool_and(instance = canopy_summit.instance()) FROM canopy_summit.server_hold
				SQL
		},
		30);
	is(query($node, <<~'SQL', $database), 'paused', 'hold: it holds the new server');
		SELECT held FROM canopy_summit.server_health WHERE server = 'c_goes'
		SQL
	is(status_of(received('c_goes', 'COMPLETE'), $database), '200|duplicate', 'webhook: so they do of that');
	query($node, <<~'SQL', $database);
		SELECT canopy_summit.resume_server(s) FROM unnest('{c_goes,s_goes,h_goes}'::name[]) AS s
		SQL
	is(settled($node, enqueue_as('r_goes', 'h_goes', $database), undef, $database), 'succeeded', 'a worker has looked');
	is( query($node, "SELECT state FROM canopy_summit.job WHERE job_id = $job", $database), 'queued',
		'job, upload: a restored one waits');
	is(query($node, <<~"SQL", $database), 1, 'job, upload: and is counted');
		SELECT unarmed FROM canopy_summit.server_health WHERE server = 's_goes'
		SQL
	cmp_ok(query($node, 'SELECT canopy_summit.arm()', $database), '>=', 2, 'job, upload: until it is armed');
	is(settled($node, $job, undef, $database), 'succeeded', 'job: then it is sent to the new server');
	is(uploaded($upload, $database), 'verified|', 'upload: so is it');
	is( query($node, <<~"SQL", $database),
		SET client_min_messages = error; SET ROLE r_goes;
		SELECT summit_upload_policy($payload, server => 's_goes', idempotency_key => 'k_goes')
		SQL
		$upload, 'upload: and is known there');
	query($node, 'ALTER SERVER s_goes RENAME TO s_gone', $database);
	is( query($node, "SELECT server FROM summit.upload_status WHERE upload_id = $upload", $database), 's_gone',
		'upload: armed, it goes along with a rename');
	query($node, "DROP DATABASE $database");
	return;
}
