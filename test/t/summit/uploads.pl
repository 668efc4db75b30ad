# Does a certificate get to Summit as it was given, and is what becomes of it told?
use strict;
use warnings;

use CanopyTest;
use CanopyUpload;
use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use MIME::Base64 ();
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->canonical;
my $sandbox = start_sandbox();
my $node = new_node(conf => "shared_preload_libraries = 'canopy_summit'\nlog_min_messages = log");

create_summit_server($node, $sandbox);
$node->safe_psql('postgres', <<~'SQL');
	CREATE ROLE app LOGIN;
	CREATE ROLE clerk LOGIN;
	CREATE ROLE chief LOGIN;
	SELECT canopy_summit.grant_access('app', 'fetcher'), canopy_summit.grant_access('clerk', 'reader'),
		canopy_summit.grant_access('chief', 'pii_reader');
	GRANT USAGE ON FOREIGN SERVER summit TO app;
	GRANT CREATE ON SCHEMA public TO app;
	SQL
add_summit_mapping($node, $sandbox, role => 'app');

# Every subtest has policies of its own.
my $policies = 0;
sub policy { return sprintf 'POL-%d', ++$policies }

# One column of an upload, or several as psql shows them.
sub upload_has
{
	my ($upload_id, $columns) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM summit.upload WHERE upload_id = $upload_id");
}

# (SQLSTATE, message) of a statement, and what else psql said.
sub says
{
	my ($sql, %options) = @_;
	my ($status, $stdout, $stderr) = $node->psql(
		'postgres', $sql, on_error_die => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1' ], %options);
	return ($status, $stdout, $stderr);
}

subtest 'the example of the guide' => sub {
	my $upload_id = upload($node, example());
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'is verified in the end');

	my @requests = uploads_at_summit($sandbox, 'ABC123456');
	is(scalar @requests, 1, 'one request');
	my $request = $requests[0];
	my %headers = map { (lc $_->[0] => $_->[1]) } @{ $request->{headers} };
	is("$request->{method} $request->{path}", 'POST /v1/policies', 'method and path');
	is($request->{auth}, 'bearer', 'with an access token');
	is($headers{'content-type'}, 'application/json', 'content type');
	is(scalar(grep { lc $_->[0] eq 'idempotency-key' } @{ $request->{headers} }), 1, 'one Idempotency-Key');
	like(
		$headers{'idempotency-key'}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
		'that is a random UUID');
	is( $json->encode($json->decode($request->{body})), $json->encode($json->decode(example())),
		'the JSON is the payload');
	is($request->{status}, 202, 'accepted');
	is(upload_has($upload_id, 'idempotency_key'), $headers{'idempotency-key'}, 'the key is kept');
	is( upload_has($upload_id, <<~'SQL'),
		status, summit_job_id LIKE 'job%', accepted_at >= uploaded_at, finished_at > accepted_at, owner, coi IS NULL,
			error_code IS NULL
		SQL
		'verified|t|t|t|' . $node->safe_psql('postgres', 'SELECT current_user') . '|t|t',
		'and how it went');
	is( upload_has($upload_id, <<~'SQL'),
		payload ? 'documents', policy_number, policy_type, insurer_name, effective_date, expiry_date,
			holder_name, property_id, unit_id, lease_id, tenant_id
		SQL
		'f|ABC123456|CGL|Example Insurance Company of Canada|2025-01-01|2026-01-01|'
		  . 'ABC Apartments|KEL-001|Unit-204|L-7788|RES-9981',
		'what is insured is in columns');
};

# Such text is not made shorter by compression.
subtest 'a policy number as long as may be' => sub {
	my $policy = $node->safe_psql('postgres', <<~'SQL');
		SELECT left(string_agg(translate(md5(i::text), '0123456789', 'ghijklmnop'), ''), 4000)
		FROM generate_series(1, 125) i
		SQL
	is(settles_as($node, upload($node, payload($policy)), 'verified'), 'verified', 'is verified in the end');
	soon_ok(
		'and a certificate',
		sub {
			my $certificate = "SELECT 1 FROM summit.certificate_history WHERE policy_number = '$policy'";
			return $node->safe_psql('postgres', $certificate) ne '';
		});
};

subtest 'documents' => sub {
	for my $kind (qw(pdf png jpeg))
	{
		my $type = { pdf => 'application/pdf', png => 'image/png', jpeg => 'image/jpeg' }->{$kind};
		my $policy = policy();
		my $upload_id =
		  upload($node, payload($policy), arguments => "'\\x" . unpack('H*', document($kind)) . "', '$type'");
		is(settles_as($node, $upload_id, 'verified'), 'verified', "$kind as argument");
		my ($request) = uploads_at_summit($sandbox, $policy);
		my $sent = $json->decode($request->{body})->{documents}{coi_pdf};
		is($sent->{content_type}, $type, 'its type is sent');
		is(MIME::Base64::decode_base64($sent->{base64}), document($kind), 'and its bytes');
		is(upload_has($upload_id, 'coi IS NULL'), 't', 'which are not kept');
		is(upload_has($upload_id, 'coi_sha256, coi_url'), sha256_hex(document($kind)) . '|', 'but their SHA-256 is');
	}
	my $endorsement = { url => 'https://example.com/endorsement.pdf' };
	my %kept = (
		'|' => { endorsements => [$endorsement] },
		'|https://example.com:8443/a/b.pdf' => {
			coi_pdf => { url => ' https://example.com:8443/a/b.pdf?t=secret#page=2 ' },
			endorsements => [$endorsement] },
		'|https://example.com' => { coi_pdf => { url => 'https://example.com#a?b' } },
		sha256_hex(document('png')) . '|' => {
			coi_pdf => { content_type => 'image/png', base64 => MIME::Base64::encode_base64(document('png')) },
			endorsements =>
			  [ { content_type => 'image/jpeg', base64 => MIME::Base64::encode_base64(document('jpeg')) } ] });
	for my $expected (sort keys %kept)
	{
		my $upload_id = upload($node, payload(policy(), sub { $_[0]{documents} = $kept{$expected} }));
		is(upload_has($upload_id, 'coi_sha256, coi_url'), $expected, "what is kept of a COI: $expected");
	}
	my ($status, undef, $stderr) =
	  says( 'SELECT summit_upload_policy('
		  . literal(payload(policy()))
		  . ", '\\x"
		  . unpack('H*', document('png'))
		  . "', 'application/pdf')");
	like($stderr, qr/ERROR:  22023: documents\.coi_pdf/, 'a file that is not what it is said to be is refused');
};

subtest 'INSERT and COPY by a fetcher' => sub {
	my @policies = map { policy() } 1 .. 5;
	my @values = map { '(' . literal(payload($_)) . ')' } @policies[ 0 .. 2 ];
	my ($status, $stdout, $stderr) =
	  says('SET ROLE app; INSERT INTO summit.upload (payload) VALUES ' . join(', ', @values) . ' RETURNING upload_id');
	is($status, 0, 'INSERT of several rows') or diag $stderr;
	is(scalar(() = $stdout =~ /^\d+$/mg), 3, 'returns their keys');
	my $copied = join "\n", map { s/\\/\\\\/gr } map { payload($_) } @policies[ 3, 4 ];
	($status, $stdout, $stderr) = says("SET ROLE app;\nCOPY summit.upload (payload) FROM STDIN;\n$copied\n\\.\n");
	is($status, 0, 'COPY') or diag $stderr;
	for my $policy (@policies)
	{
		my $upload_id = $node->safe_psql('postgres', <<~"SQL");
			SELECT upload_id FROM summit.upload WHERE policy_number = '$policy'
			SQL
		is(settles_as($node, $upload_id, 'verified'), 'verified', "$policy is uploaded");
		is(upload_has($upload_id, 'owner, job_id IS NOT NULL'), 'app|t', 'as app');
	}
	for my $column (qw(upload_id owner status job_id request_hash uploaded_at source_table summit_job_id policy_number))
	{
		my $sqlstate = sqlstate_of(
			$node,
			"SET ROLE app; INSERT INTO summit.upload (payload, $column) VALUES ("
			  . literal(payload(policy()))
			  . ', NULL)');
		is($sqlstate, '42501', "app cannot give $column");
	}
	is( scalar sqlstate_of(
			$node, 'SET ROLE clerk; INSERT INTO summit.upload (payload) VALUES (' . literal(payload(policy())) . ')'),
		'42501',
		'a reader cannot upload');
};

subtest 'what only a superuser can write' => sub {
	my ($jobs, $policy) = ($node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.job'), policy());
	$node->safe_psql(
		'postgres',
		"INSERT INTO summit.upload (upload_id, payload, server, owner, status, uploaded_at, policy_number)"
		  . " VALUES (1000001, '{}', 'elsewhere', 'nobody', 'queued', '2001-01-01', '$policy')");
	is( upload_has(1000001, 'server, owner, status, job_id IS NULL, uploaded_at, policy_number'),
		"elsewhere|nobody|queued|t|2001-01-01 00:00:00+00|$policy",
		'a row with its key is stored as it is');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'and enqueues nothing');
	$node->safe_psql('postgres', 'DELETE FROM summit.upload WHERE upload_id = 1000001');

	$policy = policy();
	my $other = literal(payload($policy));
	$node->safe_psql('postgres', <<~"SQL");
		INSERT INTO summit.upload (payload, server, owner, status, uploaded_at, job_id, error_code, source_table)
		VALUES ($other, 'summit', 'app', 'verified', '2001-01-01', 5, 'x', 'y')
		SQL
	is( $node->safe_psql('postgres', <<~"SQL"),
		SELECT owner = current_user, status IN ('queued', 'accepted'), uploaded_at > now() - interval '1 day',
			job_id > 5, error_code, source_table
		FROM summit.upload WHERE policy_number = '$policy'
		SQL
		't|t|t|t||', 'one without it gets what the engine says');
};

subtest 'refused payloads leave nothing behind' => sub {
	my $canary = 'CANARY7319';
	my %refused = (
		'a date that is none' =>
		  [ payload("$canary-1", sub { $_[0]{policy}{effective_date} = "$canary" }), 'policy.effective_date' ],
		'dates in the wrong order' =>
		  [ payload("$canary-2", sub { $_[0]{policy}{expiry_date} = '2024-01-01' }), 'policy.expiry_date' ],
		'a field that Summit does not take' =>
		  [ payload("$canary-3", sub { $_[0]{policy}{vin} = "$canary" }), 'policy.vin' ],
		'a card number' => [
			payload("$canary-4", sub { $_[0]{certificate_holder}{address} = "$canary 4111 1111 1111 1111" }),
			'certificate_holder.address' ],
		'a flag that is missing' => [
			payload("$canary-5", sub { delete $_[0]{certificate_holder}{additional_insured} }),
			'certificate_holder.additional_insured' ],
		'a document that is none' => [
			payload(
				"$canary-6",
				sub {
					$_[0]{documents} =
					  { coi_pdf =>
						  { content_type => 'application/pdf', base64 => MIME::Base64::encode_base64($canary, '') } };
				}),
			'documents.coi_pdf' ]);
	# Polls of earlier ones may come meanwhile.
	my $uploading = q{SELECT count(*) FROM canopy_summit.job WHERE operation <> 'get-job'};
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM summit.upload');
	my $jobs = $node->safe_psql('postgres', $uploading);

	for my $name (sort keys %refused)
	{
		my ($payload, $field) = @{ $refused{$name} };
		# As an app does, whose statements are not logged with their parameters.
		my ($sqlstate, $message, $detail, $hint) = sqlstate_of(
			$node,
			'SET log_min_error_statement = panic; SET log_statement = none; SELECT summit_upload_policy('
			  . literal($payload) . ')');
		is($sqlstate, '22023', $name);
		like($message, qr/^\Q$field\E(?:\.\w+)?: /, "names the field: $message");
		unlike(join(' ', $message, $detail // '', $hint // ''), qr/$canary/, 'and not what is in it');
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM summit.upload'), $before, 'no upload');
	is($node->safe_psql('postgres', $uploading), $jobs, 'no job');
	ok(slurp_file($node->logfile) !~ /$canary/, 'nothing in the log');
	for my $table (split /\n/, $node->safe_psql('postgres', <<~"SQL"))
		SELECT oid::regclass FROM pg_class
		WHERE relkind = 'r' AND relnamespace IN ('summit'::regnamespace, 'canopy_summit'::regnamespace)
		SQL
	{
		is( $node->safe_psql('postgres', "SELECT count(*) FROM $table t WHERE t::text LIKE '%$canary%'"), '0',
			"nothing in $table");
	}
};

subtest 'reference ids that are missing' => sub {
	for my $name (qw(unit_id lease_id tenant_id))
	{
		my $payload = payload(policy(), sub { delete $_[0]{certificate_holder}{reference_ids}{$name} });
		my ($status, $upload_id, $stderr) = says('SELECT summit_upload_policy(' . literal($payload) . ')');
		like($stderr, qr/NOTICE:  00000: certificate_holder\.reference_ids\.$name: /, "a NOTICE for $name");
		is($node->safe_psql('postgres', <<~"SQL"), "certificate_holder.reference_ids.$name|1", 'and a row');
			SELECT field, count(*) OVER () FROM summit.upload_warning WHERE upload_id = $upload_id
			SQL
		is(settles_as($node, $upload_id, 'verified'), 'verified', 'it is uploaded all the same');
	}
	is( $node->safe_psql('postgres', 'SET ROLE app; SELECT count(*) FROM summit.upload_warning'), '3',
		'a fetcher reads the warnings');
};

subtest 'a renewal that comes late' => sub {
	my $day =
	  sub { my ($days) = @_; return $node->safe_psql('postgres', "SELECT (now() AT TIME ZONE 'UTC')::date + $days") };
	my $warnings = sub {
		my ($number, $lease, $from, $to, $type) = @_;
		my $upload_id = upload(
			$node,
			payload(
				$number,
				sub {
					my ($payload) = @_;
					@{ $payload->{policy} }{qw(policy_type effective_date expiry_date)} =
					  ($type // 'CGL', $day->($from), $day->($to));
					$payload->{certificate_holder}{reference_ids} =
					  { property_id => 'LATE', unit_id => 'U', lease_id => $lease, tenant_id => "T $lease" };
				}));
		settles_as($node, $upload_id, 'verified');
		return $node->safe_psql(
			'postgres',
			"SELECT string_agg(field, ', ') FROM summit.upload_warning WHERE upload_id = $upload_id");
	};
	my $late = 'policy.effective_date';
	my $number = policy();
	is($warnings->($number, 'a', -300, 15), '', 'a policy that ends in 15 days');
	is($warnings->($number, 'a', 15, 380), '', 'its renewal is in time');
	$number = policy();
	is($warnings->($number, 'b', -300, 14), '', 'one that ends in 14');
	is($warnings->($number, 'b', 14, 379), $late, 'its renewal is late');
	is($warnings->($number, 'b', 14, 400), '', 'which is said once');
	is($warnings->(policy(), 'c', -300, -59), '', 'one that has ended');
	is($warnings->(policy(), 'c', -59, 100), $late, 'another policy of the lease renews it late');
	is($warnings->(policy(), 'd', -300, 5), '', 'of another lease');
	is($warnings->(policy(), 'd', 5, 100, 'Property'), '', 'or another kind one renews nothing');
	is($warnings->(policy(), 'e', -300, 5), '', 'nor does one');
	is($warnings->(policy(), 'e', 6, 100), '', 'that begins after a gap');
};

subtest 'the same body' => sub {
	my $policy = policy();
	my $payload = payload($policy);
	my $first = upload($node, $payload);
	my ($status, $second, $stderr) = says('SELECT summit_upload_policy(' . literal($payload) . ')');
	is($second, $first, 'gets the first upload\'s id');
	like($stderr, qr/NOTICE:  00000: the same payload is upload $first already/, 'with a NOTICE');
	settles_as($node, $first, 'verified');
	is(upload($node, $payload), $first, 'also once it is verified');
	is(upload($node, $json->pretty->encode($json->decode($payload))), $first, 'however its JSON is written');
	$json->indent(0)->space_before(0)->space_after(0);
	($status, undef, $stderr) =
	  says('INSERT INTO summit.upload (payload) VALUES (' . literal($payload) . ')', extra_params => []);
	is($status, 0, 'an INSERT of it is absorbed');
	my $other = upload($node, $payload, before => 'SET ROLE app;');
	isnt($other, $first, 'another role\'s is another upload');
	settles_as($node, $other, 'verified');
	$node->safe_psql('postgres', <<~"SQL");
		UPDATE summit.upload SET uploaded_at = uploaded_at - interval '25 hours' WHERE upload_id = $first
		SQL
	isnt(upload($node, $payload), $first, 'so is one a day later');

	$policy = policy();
	($status, my $stdout) =
	  says( 'INSERT INTO summit.upload (payload) SELECT '
		  . literal(payload($policy))
		  . ' FROM generate_series(1, 3) RETURNING upload_id');
	is(scalar(() = $stdout =~ /^\d+$/mg), 1, 'three of one statement are one upload');
};

subtest 'the same body from many sessions' => sub {
	my $policy = policy();
	my $payload = payload($policy);
	my @sessions = map { open_session($node, on_error_stop => 0) } 1 .. 16;
	my $sql = 'SELECT summit_upload_policy(' . literal($payload) . ')';

	$_->query_safe('SET client_min_messages = warning') for @sessions;
	# All of them wait for one lock, and then go at once.
	my $gate = open_session($node);
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	$_->{stdin} .= "SELECT pg_advisory_lock_shared(1);\n$sql;\n\\echo done\n" for @sessions;
	$_->{run}->pump_nb for @sessions;
	wait_until('all wait', sub { $node->safe_psql('postgres', <<~"SQL") == 16 });
		SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 1
		SQL
	$gate->quit;
	my %ids;
	for my $session (@sessions)
	{
		$session->{run}->pump until $session->{stdout} =~ /^done$/m;
		$ids{$_}++ for $session->{stdout} =~ /^(\d+)$/mg;
		$session->{stdout} = '';
		$session->quit;
	}
	is(scalar keys %ids, 1, 'all get one id');
	is((values %ids)[0], 16, 'all sixteen');
	settles_as($node, (keys %ids)[0], 'verified');
	my @rows = effect_rows($sandbox, $policy);
	is(scalar @rows, 1, 'one key was sent');
	is("$rows[0]{requests} $rows[0]{effects}", '1 1', 'once, and had one effect');
};

subtest 'the same body in a transaction with an old snapshot' => sub {
	my ($policy, $session) = (policy(), open_session($node));
	my $payload = payload($policy);
	$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
	my $first = upload($node, $payload);
	my $second = $session->query('SELECT summit_upload_policy(' . literal($payload) . ')');
	$session->query('COMMIT');
	$session->quit;
	is($second, $first, 'gets the first upload\'s id');
	settles_as($node, $first, 'verified');
	is(scalar(effect_rows($sandbox, $policy)), 1, 'and is sent once');
};

subtest 'keys of one\'s own' => sub {
	my $policy = policy();
	my $payload = payload($policy);
	my $first = upload($node, $payload, arguments => "idempotency_key => 'own-1'");
	is(settles_as($node, $first, 'verified'), 'verified', 'a key of one\'s own');
	is_deeply([ map { $_->{idempotency_key} } effect_rows($sandbox, $policy) ], ['own-1'], 'is sent');
	is( upload($node, $payload, arguments => "idempotency_key => 'own-1'"), $first,
		'used again for the same body it is the same upload');
	my $sent = () = summit_log($sandbox, 'upload-policy');
	my ($sqlstate, $message, undef, $hint) =
	  sqlstate_of($node, 'SELECT summit_upload_policy(' . literal(payload(policy())) . ", idempotency_key => 'own-1')");
	is($sqlstate, '22023', 'for another body it is refused');
	like($message, qr/idempotency_key was used for another payload/, 'and says why');
	for my $blank (q{''}, q{' '}, q{repeat('k', 501)})
	{
		is( scalar sqlstate_of(
				$node,
				'SELECT summit_upload_policy(' . literal(payload(policy())) . ", idempotency_key => $blank)"),
			'22023',
			"a key that is no header: $blank");
	}
	is(scalar(() = summit_log($sandbox, 'upload-policy')), $sent, 'before anything is sent');
};

# A key is for trying again: what came to nothing absorbs nothing.
subtest 'keys of uploads that came to nothing' => sub {
	my %nothing = (
		failed => sub {
			my ($policy, $upload_id) = @_;
			$node->safe_psql('postgres', q{SELECT canopy_summit.resume_server('summit')});
			is(settles_as($node, $upload_id, 'failed'), 'failed', 'refused by Summit');
			$sandbox->clear;
		},
		cancelled => sub {
			my ($policy, $upload_id) = @_;
			$node->safe_psql('postgres', <<~"SQL");
				SELECT canopy_summit.cancel_job(job_id) FROM summit.upload WHERE upload_id = $upload_id
				SQL
		},
		# Its workers were lost again and again: the job says so, and nobody has written it into the upload.
		lost => sub {
			my ($policy, $upload_id) = @_;
			$node->safe_psql('postgres', <<~"SQL");
				WITH j AS (UPDATE canopy_summit.job
					SET state = 'failed', outcome_code = 'worker_lost', finished_at = now()
					WHERE job_id = (SELECT job_id FROM summit.upload WHERE upload_id = $upload_id) RETURNING job_id)
				INSERT INTO canopy_summit.job_attempt (job_id, fence, started_at, settled, outcome, code)
				SELECT job_id, -1, now(), true, 'lost', 'worker_lost' FROM j;
				SQL
			is(upload_has($upload_id, 'status'), 'queued', 'lost: the upload is as it was');
		},
		gone => sub {
			my ($policy, $upload_id) = @_;
			$node->safe_psql('postgres', <<~"SQL");
				DELETE FROM canopy_summit.job
				WHERE job_id = (SELECT job_id FROM summit.upload WHERE upload_id = $upload_id)
				SQL
		});
	for my $how (sort keys %nothing)
	{
		my ($policy, $other) = (policy(), policy());
		my $key = "idempotency_key => 'nothing-$how'";
		$sandbox->arm(
			match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" }, times => undef,
			fault => { kind => 'status', status => 400 }) if $how eq 'failed';
		$node->safe_psql('postgres', q{SELECT canopy_summit.pause_server('summit')});
		my $first = upload($node, payload($policy), arguments => $key);
		$nothing{$how}->($policy, $first);
		$node->safe_psql('postgres', q{SELECT canopy_summit.pause_server('summit')});
		is( scalar sqlstate_of($node, 'SELECT summit_upload_policy(' . literal(payload($other)) . ", $key)"), '22023',
			"$how: a key that Summit may know is not sent for another body") if $how ne 'cancelled';
		my $again = upload($node, payload($policy), arguments => $key);
		cmp_ok($again, '>', $first, "$how: the same body with the same key is another upload");
		is(upload($node, payload($policy), arguments => $key), $again, "$how: which absorbs the next");
		$node->safe_psql('postgres', q{SELECT canopy_summit.resume_server('summit')});
		is(settles_as($node, $again, 'verified'), 'verified', "$how: and is sent");
		is( join(' ', map { "$_->{idempotency_key} $_->{effects}" } effect_rows($sandbox, $policy)), "nothing-$how 1",
			"$how: with its key");
	}

	my $policy = policy();
	$node->safe_psql('postgres', q{SELECT canopy_summit.pause_server('summit')});
	my $unsent = upload($node, payload($policy), arguments => "idempotency_key => 'unsent'");
	$node->safe_psql('postgres', <<~"SQL");
		SELECT canopy_summit.cancel_job(job_id) FROM summit.upload WHERE upload_id = $unsent
		SQL
	$policy = policy();
	my $free = upload($node, payload($policy), arguments => "idempotency_key => 'unsent'");
	$node->safe_psql('postgres', q{SELECT canopy_summit.resume_server('summit')});
	is(settles_as($node, $free, 'verified'), 'verified', 'a key that was never sent is free for another body');
};

# Summit knows a key for 24 hours from its first send, whichever upload that was of.
subtest 'keys that were sent before' => sub {
	my $sent_before = sub {
		my ($upload_id, $interval) = @_;
		$node->safe_psql(
			'postgres', "UPDATE summit.upload SET status = 'failed' WHERE upload_id = $upload_id;
			UPDATE canopy_summit.job_attempt SET started_at = now() - interval '$interval' WHERE job_id = "
			  . upload_has($upload_id, 'job_id'));
	};
	my ($policy, $old) = (policy(), policy());
	$sandbox->control(PUT => 'summit', { repeat => 'conflict' });
	$sandbox->control(POST => 'outcome', { policy_number => "^$policy\$", outcome => { status => 'pending' } });
	my $first = upload($node, payload($policy), arguments => "idempotency_key => 'sent-before'");
	is(settles_as($node, $first, 'accepted'), 'accepted', 'Summit has one');
	$sent_before->($first, '23 hours');
	my $again = upload($node, payload($policy), arguments => "idempotency_key => 'sent-before'");
	is(settles_as($node, $again, 'accepted'), 'accepted', 'a 409 to the first send of its second upload');
	is(upload_has($again, 'summit_job_id'), upload_has($first, 'summit_job_id'), 'means the job of the first');
	is( $node->safe_psql(
			'postgres',
			"SELECT now() - first_sent_at > '22 hours' FROM canopy_summit.job WHERE job_id = "
			  . upload_has($again, 'job_id')),
		't',
		'whose key is as old as its first send');
	$sandbox->control(DELETE => 'outcome');
	$sandbox->control(PUT => 'summit', { repeat => 'original' });
	wait_until(
		'nobody asks for them any more',
		sub {
			$node->safe_psql('postgres', <<~'SQL');
				SELECT canopy_summit.cancel_job(job_id) FROM canopy_summit.job
				WHERE operation = 'get-job' AND state = 'queued'
				SQL
			return $node->safe_psql('postgres', <<~'SQL') == 0;
				SELECT count(*) FROM canopy_summit.job WHERE operation = 'get-job' AND state IN ('queued', 'running')
				SQL
		});

	my $upload_id = upload($node, payload($old), arguments => "idempotency_key => 'sent-long-ago'");
	settles_as($node, $upload_id, 'verified');
	$sent_before->($upload_id, '24 hours');
	my ($sqlstate, undef, undef, $hint) = sqlstate_of(
		$node,
		'SELECT summit_upload_policy(' . literal(payload($old)) . ", idempotency_key => 'sent-long-ago')");
	is($sqlstate, '22023', 'after a day it is refused');
	like($hint, qr/new key/, 'and says what to do');
};

# Another role's key is not seen: neither as an answer nor as an error.
subtest 'keys of others' => sub {
	my ($ours, $theirs) = (policy(), policy());
	my $key = "idempotency_key => 'shared'";
	$node->safe_psql('postgres', q{SELECT canopy_summit.pause_server('summit')});
	my $first = upload($node, payload($ours), arguments => $key);
	my $same = upload($node, payload($ours), arguments => $key, before => 'SET ROLE app; ');
	cmp_ok($same, '>', $first, 'the same body with the key of another role is an upload');
	is(upload($node, payload($ours), arguments => $key), $first, 'which is not seen');
	$node->safe_psql('postgres', <<~"SQL");
		SELECT canopy_summit.cancel_job(job_id) FROM summit.upload WHERE upload_id IN ($first, $same)
		SQL
	my $other = upload($node, payload($theirs), arguments => $key, before => 'SET ROLE app; ');
	my $third = upload($node, payload($ours), arguments => $key);
	cmp_ok($third, '>', $other, 'nor is another body refused for it');
	is(upload_has($other, 'owner, idempotency_key'), 'app|shared', 'each has the key');
	$node->safe_psql('postgres', "SELECT canopy_summit.cancel_job(job_id) FROM summit.upload WHERE upload_id = $third");
	$node->safe_psql('postgres', q{SELECT canopy_summit.resume_server('summit')});
	is(settles_as($node, $other, 'verified'), 'verified', 'and it is sent');
};

# Two at once with a new key: the second waits for the first.
subtest 'a key twice at once' => sub {
	my @policies = (policy(), policy());
	my @sessions = map { open_session($node, on_error_stop => 0) } @policies;
	my $insert = sub { 'SELECT summit_upload_policy(' . literal(payload($_[0])) . ", idempotency_key => 'at-once')" };
	$sessions[0]->query_safe('BEGIN; ' . $insert->($policies[0]));
	$sessions[1]->query_until(qr/begun/, "\\echo begun\n" . $insert->($policies[1]) . ";\n");
	wait_until('the second waits', sub { $node->safe_psql('postgres', <<~'SQL') == 1 });
		SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		SQL
	$sessions[0]->query_safe('COMMIT');
	$sessions[1]->query('SELECT 1');
	like($sessions[1]->{stderr}, qr/idempotency_key was used for another payload/, 'and is refused for another body');
	$_->quit for @sessions;
};

# Who writes a fact has its policy until COMMIT: an upload is settled all the same, and its certificate told later.
subtest 'a policy that somebody has' => sub {
	my ($policy, $other, $session) = (policy(), policy(), open_session($node));
	my $told = sub { return $node->safe_psql('postgres', <<~"SQL") };
		SELECT status, form FROM summit.certificate WHERE policy_number = '$_[0]'
		SQL
	$session->query_safe(
		"BEGIN; INSERT INTO summit.certificate_fact (policy_number, property_id, form)
		VALUES ('$policy', 'KEL-001', 'ACORD 25')");
	my @uploads = map { upload($node, payload($_)) } $policy, $other;
	is(settles_as($node, $_, 'verified'), 'verified', 'an upload is settled') for @uploads;
	is($told->($other), 'verified|', 'its certificate knows');
	is($told->($policy), '', 'that of the policy does not yet');
	$session->query_safe('COMMIT');
	$session->quit;
	soon_ok('it does then, with the fact', sub { $told->($policy) eq 'verified|ACORD 25' });
	is($node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.upload_pending'), 0, 'nothing is left to tell');
};

subtest 'failed at Summit after its 202' => sub {
	my $policy = policy();
	$sandbox->control(
		POST => 'outcome',
		{   policy_number => "^$policy\$",
			outcome => {
				status => 'failed', after_polls => 1, code => 'invalid_request', field => 'policy.policy_number',
				message => 'no such policy', correlation_id => 'corr_7' } });
	my $upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'failed'), 'failed', 'it is failed');
	is( upload_has(
			$upload_id,
			'error_code, error_field, error_message, correlation_id, accepted_at IS NOT NULL, finished_at IS NOT NULL'),
		'invalid_request|policy.policy_number|no such policy|corr_7|t|t',
		'with what Summit says');
	my $again = upload($node, payload($policy));
	isnt($again, $upload_id, 'and may be uploaded again');
	settles_as($node, $again, 'failed');
	$sandbox->control(DELETE => 'outcome');
};

subtest 'refused by Summit' => sub {
	my $policy = policy();
	$sandbox->arm(
		match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" },
		fault => {
			kind => 'status',
			status => 400,
			body => {
				error => {
					code => 'invalid_request', message => 'expiry_date must be after effective_date',
					field => 'policy.expiry_date', correlation_id => 'corr_01H' } } });
	my $upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'failed'), 'failed', 'a 400 fails it');
	is( upload_has($upload_id, 'error_code, error_field, error_message, correlation_id, accepted_at IS NULL'),
		'invalid_request|policy.expiry_date|expiry_date must be after effective_date|corr_01H|t',
		'with what Summit says');
	is(scalar(uploads_at_summit($sandbox, $policy)), 1, 'after one request');

	# What was wrong at Summit is put right there, and the job is sent again.
	my $job_id = upload_has($upload_id, 'job_id');
	is($node->safe_psql('postgres', "SELECT canopy_summit.retry_job($job_id)"), 't', 'its job can be queued again');
	wait_until(
		'the job has succeeded',
		sub {
			$node->safe_psql('postgres', "SELECT state FROM canopy_summit.job WHERE job_id = $job_id") eq 'succeeded';
		});
	wait_until('the job is known at Summit to be verified', sub { $node->safe_psql('postgres', <<~"SQL") == 0 });
		SELECT count(*) FROM canopy_summit.job WHERE operation = 'get-job' AND state IN ('queued', 'running')
		SQL
	is( upload_has($upload_id, 'status, error_code, error_field, error_message, correlation_id'), 'verified||||',
		'and then it is verified');

	$policy = policy();
	$sandbox->arm(
		match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" },
		fault => { kind => 'body', status => 422, body => 'no JSON at all' });
	$upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'failed'), 'failed', 'so does a 422 without the error model');
	is( upload_has($upload_id, 'error_field IS NULL, error_message LIKE \'%422%\', error_message LIKE \'%no JSON%\''),
		't|t|f', 'which is told, without its body');
};

subtest 'cancelled' => sub {
	my $policy = policy();
	$node->safe_psql('postgres', "SELECT canopy_summit.pause_server('summit')");
	my $upload_id = upload($node, payload($policy));
	is($node->safe_psql('postgres', <<~"SQL"), 't', 'a queued upload can be cancelled');
		SELECT canopy_summit.cancel_job(job_id) FROM summit.upload WHERE upload_id = $upload_id
		SQL
	is(settles_as($node, $upload_id, 'cancelled'), 'cancelled', 'and says so');
	is( $node->safe_psql('postgres', "SELECT summit_wait_for_upload($upload_id)"), 'cancelled',
		'to those who wait, too');
	my $again = upload($node, payload($policy));
	isnt($again, $upload_id, 'the same body is a new upload then');
	$node->safe_psql('postgres', "SELECT canopy_summit.resume_server('summit')");
	is(settles_as($node, $again, 'verified'), 'verified', 'that is sent');
};

subtest 'a 409' => sub {
	$sandbox->control(PUT => 'summit', { repeat => 'conflict' });
	for my $place (qw(body error))
	{
		my $policy = policy();
		$sandbox->control(PUT => 'summit', { conflict_job_id => $place });
		$sandbox->control(
			POST => 'outcome',
			{ policy_number => "^$policy\$", outcome => { status => 'verified', after_seconds => 4 } });
		$sandbox->arm(
			match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" },
			fault => { kind => 'reset', after_bytes => 0 });
		my $upload_id = upload($node, payload($policy));
		is( settles_as($node, $upload_id, 'verified'), 'verified',
			"an answer is lost, and the 409 has the job_id in its $place");
		is_deeply([ map { $_->{status} } uploads_at_summit($sandbox, $policy) ], [ 202, 409 ], 'two requests');
		my ($row, @more) = effect_rows($sandbox, $policy);
		is("$row->{effects} " . @more, '1 0', 'of one key, one effect');
		is(upload_has($upload_id, 'summit_job_id'), $row->{job_id}, 'whose job is adopted');
	}
	$sandbox->control(DELETE => 'outcome');
	$sandbox->control(PUT => 'summit', { repeat => 'original', conflict_job_id => 'body' });

	# Somebody else has used the key, for something else.
	my ($theirs, $ours) = (policy(), policy());
	my $first = upload($node, payload($theirs), arguments => "idempotency_key => 'theirs'");
	settles_as($node, $first, 'verified');
	$node->safe_psql('postgres', "DELETE FROM summit.upload WHERE upload_id = $first");
	my $upload_id = upload($node, payload($ours), arguments => "idempotency_key => 'theirs'");
	is(settles_as($node, $upload_id, 'failed'), 'failed', 'the job of another body is not adopted');
	is( upload_has($upload_id, 'summit_job_id IS NULL, error_code, error_message'),
		't|conflict|Idempotency-Key was used with another body', 'and Summit\'s error is kept');
};

subtest 'answers that say too little' => sub {
	my $policy = policy();
	$sandbox->arm(
		match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" },
		fault => { kind => 'garble', without => ['job_id'] });
	my $upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'unresolved'), 'unresolved', '202 without job_id: unresolved');
	is(upload_has($upload_id, 'summit_job_id IS NULL'), 't', 'without a job to follow');
	is(upload($node, payload($policy)), $upload_id, 'and not sent again');

	$policy = policy();
	$sandbox->arm(
		match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" },
		fault => { kind => 'garble', keep_bytes => 20 });
	$upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'verified'), 'verified', '202 with half an answer: sent again');
	is(join(' ', map { "$_->{requests} $_->{effects}" } effect_rows($sandbox, $policy)), '2 1', 'with the same key');

	$policy = policy();
	$upload_id = upload($node, payload($policy), before => q{SET ROLE app;});
	settles_as($node, $upload_id, 'verified');
	$policy = policy();
	$sandbox->arm(match => { listener => 'summit', path => '/v1/jobs/' }, fault => { kind => 'status', status => 404 });
	$upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'unresolved'), 'unresolved', '404 for its job: unresolved');
	is(upload_has($upload_id, q{error_message LIKE '%404%', finished_at IS NOT NULL}), 't|t', 'says why');

	$policy = policy();
	$sandbox->arm(
		match => { listener => 'summit', path => '/v1/jobs/' }, times => 2,
		fault => { kind => 'status', status => 500 });
	$upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'verified'), 'verified', '500 for its job: asked again');
};

subtest 'a job without end' => sub {
	my $policy = policy();
	$sandbox->control(POST => 'outcome', { policy_number => "^$policy\$", outcome => { status => 'pending' } });
	$node->append_conf('postgresql.conf', "canopy_summit.upload_poll_limit = 3s\n");
	$node->reload;
	my $upload_id = upload($node, payload($policy));
	is(settles_as($node, $upload_id, 'unresolved', undef, hurries => 0), 'unresolved', 'is given up');
	is( upload_has($upload_id, q{error_message, finished_at - accepted_at BETWEEN interval '3 s' AND interval '33 s'}),
		'no end within canopy_summit.upload_poll_limit|t', 'after upload_poll_limit');
	my ($row) = effect_rows($sandbox, $policy);
	cmp_ok($sandbox->control(GET => "job/$row->{job_id}")->{polls}, '<=', 4, 'and few polls');
	$sandbox->control(DELETE => 'outcome');
	$node->append_conf('postgresql.conf', "canopy_summit.upload_poll_limit = 1d\n");
	$node->reload;
};

subtest 'summit_wait_for_upload' => sub {
	my $upload_id = upload($node, payload(policy()), before => 'SET ROLE app;');
	is( $node->safe_psql('postgres', "SET ROLE app; SELECT summit_wait_for_upload($upload_id, '30 s')"), 'verified',
		'waits for the end');
	is($node->safe_psql('postgres', <<~"SQL"), "1\nverified", 'in any transaction');
		BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT summit_wait_for_upload($upload_id)
		SQL
	my $policy = policy();
	$sandbox->control(
		POST => 'outcome',
		{ policy_number => "^$policy\$", outcome => { status => 'verified', after_seconds => 3 } });
	$upload_id = upload($node, payload($policy));
	like(
		$node->safe_psql('postgres', "SELECT summit_wait_for_upload($upload_id, '0.2 s')"),
		qr/^(?:queued|sending|accepted)$/, 'at most so long');
	is($node->safe_psql('postgres', <<~"SQL"), "1\nverified", 'the snapshot is no older for it');
		BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT summit_wait_for_upload($upload_id)
		SQL
	is( scalar sqlstate_of(
			$node, 'BEGIN; SELECT summit_wait_for_upload(summit_upload_policy(' . literal(payload(policy())) . '))'),
		'55000',
		'not for one\'s own transaction');
	is(scalar sqlstate_of($node, 'SELECT summit_wait_for_upload(999999999)'), 'P0002', 'nor for what does not exist');
	is( scalar sqlstate_of($node, "SET ROLE clerk; SELECT summit_wait_for_upload($upload_id)"), '42501',
		'nor by a reader');
};

subtest 'who sees what' => sub {
	my $upload_id = upload($node, payload(policy()));
	my $sql = "SELECT policy_number LIKE 'POL-%', holder_name FROM summit.upload_status WHERE upload_id = $upload_id";
	is($node->safe_psql('postgres', "SET ROLE clerk; $sql"), 'f|***', 'a reader sees neither policy number nor holder');
	is($node->safe_psql('postgres', "SET ROLE chief; $sql"), 't|ABC Apartments', 'a pii_reader does');
	is($node->safe_psql('postgres', "SET ROLE app; $sql"), 'f|***', 'a fetcher does not');
	is( scalar sqlstate_of($node, 'SET ROLE clerk; SELECT payload FROM summit.upload'), '42501',
		'nobody but admins reads the table');
	is( scalar sqlstate_of($node, 'SET ROLE app; SELECT policy_number FROM summit.upload'), '42501',
		'not even a fetcher');
};

done_testing();
