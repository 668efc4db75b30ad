# Does a consumer connect an account through functions of ours, by tokens alone, which nobody else sees?
use strict;
use warnings;

use CanopyJobs;
use CanopyReceiver qw(canopy_body);
use CanopyTest;
use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $consent = q{'device 1', 3, 'I agree'};
my $login = q{insurer_name => 'allstate', insurer_username => 'user_good', insurer_password => 'pass_good'};

create_canopy_server(
	$node, $sandbox,
	options => { public_alias => 'sandbox-link' },
	mapping => { webhook_secret => 'key' });
subtest 'a consent' => \&consents;
subtest 'a login' => \&connects;
subtest 'another factor' => \&identifies;
subtest 'another login' => \&connects_again;
subtest 'with servicing' => \&services;
subtest 'without a login' => \&searches;
subtest 'documents instead of a login' => \&documents;
subtest 'documents that are not sent' => \&unsent_documents;
subtest 'documents of several jobs' => \&counted_documents;
subtest 'a token of a monitoring' => \&reconnects;
subtest 'arguments' => \&arguments;
subtest 'an answer that is lost' => \&lost;
subtest 'what is kept' => \&keeps;
subtest 'who may' => \&levels;
done_testing();

sub sent
{
	my ($operation) = @_;
	my ($request) = grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log;
	return JSON::PP->new->decode($request->{body});
}

# Runs a function that enqueues, and waits for its job: its key, and "state outcome".
sub done
{
	my ($call) = @_;
	my $job_id = query($node, "SELECT $call");
	my $state = settled($node, $job_id);
	return ($job_id, "$state " . job($node, $job_id)->{outcome});
}

sub end { return (done(@_))[1] }

# The pull that a job has made.
sub pull_of
{
	my ($job_id) = @_;
	return query($node, "SELECT response ->> 'pull_id' FROM canopy_summit.job_response WHERE job_id = $job_id");
}

# A new pull, which the sandbox then has in a status.
sub pull_in
{
	my ($status) = @_;
	my ($job_id, $end) = done("canopy_consent_and_connect($consent, $login)");
	like($end, qr/^succeeded/, 'a pull is made');
	my $pull_id = pull_of($job_id);
	$sandbox->put_pull($pull_id, { %{ $sandbox->pull($pull_id) }, status => $status });
	return $pull_id;
}

sub consents
{
	query($node, "BEGIN; SELECT canopy_consent($consent); ROLLBACK");
	my ($job_id, $end) = done("canopy_consent($consent)");
	like($end, qr/^succeeded/, 'told');
	is_deeply(
		sent('post-consent'),
		{ device_identifier => 'device 1', terms_version => 3, consent_language => 'I agree' },
		'as the API wants it');
	is( query($node, "SELECT response FROM canopy_summit.job_response WHERE job_id = $job_id"),
		'{"consent_token": "***"}', 'its token is not kept with the answer');
	like(query($node, "SELECT canopy_summit.take_secret($job_id)"), qr/^.{10}/, '… but taken');
	is( scalar(grep { ($_->{operation} // '') eq 'post-consent' } $sandbox->log), 1,
		'what was rolled back was not sent');
	like(
		end(q{canopy_consent('d', 2, 'I agree')}),
		qr/^failed server answered 404 INVALID_PRIVACY_POLICY_TERM_ID/, 'other terms are refused');
	return;
}

sub connects
{
	my ($job_id, $end) =
	  done( "canopy_consent_and_connect($consent, $login, insurer_third_field => 'third', "
		  . q{meta_data => '{"lead": "L-42"}',}
		  . q{ refresh_reason => 'UPCOMING_MONITORING')});
	like($end, qr/^succeeded/, 'connected');
	is_deeply(
		sent('post-consent-and-connect'),
		{   device_identifier => 'device 1', terms_version => 3, consent_language => 'I agree',
			insurerName => 'allstate', insurerUsername => 'user_good', insurerPassword => 'pass_good',
			insurerThirdField => 'third', public_alias => 'sandbox-link', meta_data => { lead => 'L-42' },
			refresh_reason => 'UPCOMING_MONITORING' },
		'with the alias of the server');
	my $pull_id = pull_of($job_id);
	is(query($node, "SELECT status FROM canopy_fetch_pull('$pull_id')"), 'SUCCESS', 'its pull is there');
	like(
		end("canopy_consent_and_connect($consent, $login, public_alias => 'missing')"),
		qr/^failed server answered 400 INVALID_PUBLIC_ALIAS/, 'another alias is sent');
	return;
}

sub identifies
{
	my $pull_id = pull_in('IDENTITY_VERIFICATION_OPTIONS');
	like(
		end("canopy_submit_mfa('$pull_id', '123456')"),
		qr/^failed server answered 400 INVALID_ACTION/, 'not before an option is chosen');
	like(end("canopy_choose_mfa_option('$pull_id', 'sms')"), qr/^succeeded/, 'one is');
	is_deeply(sent('post-idvoptions'), { optionKey => 'sms' }, 'as the API wants it');
	like(
		end("canopy_choose_mfa_option('$pull_id', 'sms')"),
		qr/^failed server answered 400 INVALID_ACTION/, 'once');
	like(end("canopy_submit_mfa('$pull_id', '123456')"), qr/^succeeded/, 'the code is told');
	is_deeply(sent('post-idv'), { mfaValue => '123456' }, 'as the API wants it');
	my ($request) = grep { ($_->{operation} // '') eq 'post-idv' } reverse $sandbox->log;
	is($request->{auth}, 'pull_jwt', 'with the token of the pull, and no other credential');
	is($sandbox->pull($pull_id)->{status}, 'SUCCESS', 'which Canopy takes');

	# What an app polls: the newest state by its number, whichever comes last.
	for my $told ([ 2, 'IDENTITY_VERIFICATION_OPTIONS', '{"sms": "text to 12"}' ], [ 1, 'NOT_AUTHENTICATED', 'null' ])
	{
		my ($sequence, $status, $options) = @$told;
		my $body = canopy_body(
			$pull_id,
			event_type => 'AUTH_STATUS',
			sequence => $sequence,
			data => { auth_status => $status, mfa_options => JSON::PP->new->allow_nonref->decode($options) });
		query($node, <<~"SQL");
			SELECT receive_webhook('canopy', jsonb_build_object('canopy-signature', sign_webhook('key', body)),
				convert_to(body, 'UTF8')) FROM (VALUES (\$b\$$body\$b\$)) AS b(body)
			SQL
	}
	soon_ok(
		'both are applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook_status WHERE state = 'applied'}) == 2 });
	my $told = 'auth_status, sequence, mfa_options, next_step';
	is( query($node, "SELECT $told FROM canopy.pull_status WHERE pull_id = '$pull_id'"),
		'IDENTITY_VERIFICATION_OPTIONS|2|{"sms": "text to 12"}|ask the consumer which way to be verified',
		'says what there is to choose');

	# In the order in which they were enqueued, however long the first takes.
	$pull_id = pull_in('IDENTITY_VERIFICATION_OPTIONS');
	my $fault = $sandbox->hold(match => { path => '/idvoptions' }, times => 1);
	my $choose = query($node, "SELECT canopy_choose_mfa_option('$pull_id', 'sms')");
	wait_until('a choice is on its way', sub { $sandbox->waiting($fault) });
	my $submit = query($node, "SELECT canopy_submit_mfa('$pull_id', '123456')");
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'others are sent');
	is(job($node, $submit)->{state}, 'queued', 'what comes after it waits');
	$sandbox->clear($fault);
	is(settled($node, $_), 'succeeded', '… and is sent then') for $choose, $submit;
	return;
}

sub connects_again
{
	my $pull_id = pull_in('NOT_AUTHENTICATED');
	like(end("canopy_connect('$pull_id', $login)"), qr/^succeeded/, 'tried once more');
	is_deeply(
		sent('post-connect'),
		{ insurerName => 'allstate', insurerUsername => 'user_good', insurerPassword => 'pass_good' },
		'as the API wants it');
	like(
		end("canopy_connect('$pull_id', $login)"), qr/^failed server answered 400 INVALID_INPUT/,
		'only if it failed');
	$sandbox->arm(
		match => { path => '/connect$' },
		times => 1,
		fault => { kind => 'status', status => 403, body => { error => 'UNAUTHORIZED' } });
	like(
		end("canopy_connect('$pull_id', $login)"), qr/^failed server answered 403 UNAUTHORIZED/,
		'a token that has run out');
	is(settled($node, enqueue($node, 'get-pulls')), 'succeeded', '… holds up nobody else');
	return;
}

sub services
{
	my $actions = q{jsonb_build_array(canopy_remove_mortgagee('HO1', 'FIRST'))};
	like(
		end("canopy_consent_and_connect($consent, $login, servicing_actions => $actions)"), qr/^succeeded/,
		'asked for');
	is( query($node, 'SELECT type, pull_id IS NOT NULL FROM canopy.servicing_action'), 'REMOVE_MORTGAGEE|t',
		'… and known');
	like(
		end('canopy_confirm_servicing((SELECT servicing_action_id FROM canopy.servicing_action))'),
		qr/^succeeded/, '… and confirmed with the token that came');
	is( scalar sqlstate_of(
			$node,
			"SELECT canopy_consent_and_connect($consent, $login, servicing_actions => '[{\"type\": \"BURN\"}]')"),
		'22023',
		'an action that there is not');
	return;
}

sub searches
{
	my ($job_id, $end) =
	  done("canopy_policy_search($consent, 'allstate', 'AUTO_POLICY', '{\"vin\": \"3N1AB6AP0CL704240\"}')");
	like($end, qr/^succeeded/, 'searched');
	is_deeply(
		sent('post-policy-search'),
		{   device_identifier => 'device 1', terms_version => 3, consent_language => 'I agree',
			insurerName => 'allstate',
			searchType => 'AUTO_POLICY', searchData => { vin => '3N1AB6AP0CL704240' },
			public_alias => 'sandbox-link' },
		'as the API wants it');
	is( query($node, 'SELECT sum(sent) FROM canopy_summit.billable_day'),
		query($node, q{SELECT count(*) FROM canopy_summit.job WHERE operation = 'post-policy-search'}),
		'and counted');
	is( scalar sqlstate_of($node, "SELECT canopy_policy_search($consent, 'geico', 'AUTO_POLICY', '{\"vin\": \"x\"}')"),
		'22023', 'a carrier that is not searched');
	is( scalar sqlstate_of($node, "SELECT canopy_policy_search($consent, 'allstate', 'BOAT', '{\"vin\": \"x\"}')"),
		'22023', 'a search that there is not');
	return;
}

sub reconnects
{
	my $pull_id = $sandbox->pull_id('user_good');
	query($node, "SELECT canopy_monitor_pull('$pull_id')");
	all_settled($node);
	my $id = query($node, 'SELECT monitoring_id FROM canopy.monitoring');
	my $token = query($node, "SELECT reconnect_token FROM canopy_reconnect_token('$id')");
	my ($job_id, $end) = done("canopy_exchange_reconnect_token('$token')");
	like($end, qr/^succeeded/, 'exchanged');
	is(pull_of($job_id), $pull_id, '… for the pull to log in for');
	is( query($node, "SELECT count(*) FROM canopy_summit.pull_jwt WHERE pull_id = '$pull_id'"), 1,
		'… whose token is known');
	for my $code (qw(ALREADY_RECONNECTED NEWER_PULL_AVAILABLE INVALID_RECONNECT_TOKEN))
	{
		$sandbox->arm(
			match => { path => '/reconnectToken' },
			times => 1,
			fault => { kind => 'status', status => 400, body => { error => $code } });
		like(end("canopy_exchange_reconnect_token('$token')"), qr/^failed server answered 400 $code/, $code);
	}
	return;
}

# A PDF of so many bytes.
sub pdf
{
	my ($size) = @_;
	return "%PDF-1.4\n" . ('x' x ($size - 15)) . "\n%%EOF";
}

# documents => …: of SQL expressions that are bytea.
sub consent_and_documents
{
	my ($documents, $more) = @_;
	return "canopy_consent_and_documents(ARRAY[$documents]::bytea[], $consent" . ($more ? ", $more" : '') . ')';
}

# What the sandbox got is what would be sent for these parts: [name, file name, type, content] each.
sub is_multipart
{
	my ($request, $what, @parts) = @_;
	my %headers = map { (lc $_->[0] => $_->[1]) } @{ $request->{headers} };
	my ($boundary) = $headers{'content-type'} =~ m{^multipart/form-data; boundary=(\w+)$};
	my $expected = '';
	for my $part (@parts)
	{
		my ($name, $content, $file, $type) = @$part;
		$expected .= "--$boundary\r\nContent-Disposition: form-data; name=\"$name\"";
		$expected .= "; filename=\"$file\"\r\nContent-Type: $type" if $file;
		$expected .= "\r\n\r\n$content\r\n";
	}
	is($request->{body_sha256}, sha256_hex("$expected--$boundary--\r\n"), $what);
	return;
}

sub request_for
{
	my ($operation) = @_;
	return (grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log)[0];
}

sub documents
{
	my $pdf = pdf(20);
	my $bytes = join '', map { chr } 0 .. 255;
	my ($job_id, $end) = done(
		consent_and_documents(
			"'$pdf', decode('" . unpack('H*', $bytes) . "', 'hex')",
			q{insurer_name => 'allstate', meta_data => '{"lead": "L-1"}'}));
	like($end, qr/^succeeded/, 'sent');
	is(pull_of($job_id) ne '', 1, 'a pull is made');
	is_multipart(
		request_for('post-consent-and-documents'),
		'every byte of it',
		[ 'device_identifier', 'device 1' ],
		[ 'terms_version', 3 ],
		[ 'consent_language', 'I agree' ],
		[ 'public_alias', 'sandbox-link' ],
		[ 'meta_data[lead]', 'L-1' ],
		[ 'insurerName', 'allstate' ],
		[ 'documents', $pdf, 'document-1.pdf', 'application/pdf' ],
		[ 'documents', $bytes, 'document-2', 'application/octet-stream' ]);
	is(query($node, 'SELECT count(*) FROM canopy_summit.job_file'), 0, 'they are gone from here');
	is(query($node, "SELECT body ? 'documents' FROM canopy_summit.job WHERE job_id = $job_id"), 'f', 'their list, too');

	my $size = scaled(10) * 1024 * 1024;
	my $all =
	  "SELECT array_agg(convert_to('%PDF-1.4' || n || repeat('x', $size - 20), 'UTF8')) FROM generate_series(1, 20) n";
	($job_id, $end) = done("canopy_consent_and_documents(($all), $consent)");
	like($end, qr/^succeeded/, "twenty of $size bytes");
	($job_id, $end) = done(consent_and_documents(q{convert_to(repeat('x', 10 * 1024 * 1024), 'UTF8')}));
	like($end, qr/^succeeded/, 'one of 10 MB');
	is(query($node, 'SELECT count(*) FROM canopy_summit.job_file'), 0, 'nothing is left of them');

	my $given = { name => 'mine.pdf', content_type => 'application/pdf', base64 => encode_base64($pdf, '') };
	my %body = (
		device_identifier => 'd', terms_version => 3, consent_language => 'I', documents => [$given],
		public_alias => 'sandbox-link');
	my $enqueued = enqueue($node, 'post-consent-and-documents', undef, \%body);
	is(settled($node, $enqueued), 'succeeded', 'by canopy_enqueue(), in the body');
	is( query($node, "SELECT body ? 'documents' FROM canopy_summit.job WHERE job_id = $enqueued"), 'f',
		'it leaves the job, too');

	my %refused = (
		q{canopy_consent_and_documents('{}', 'd', 3, 'a')} => '22023',
		q{canopy_consent_and_documents(NULL, 'd', 3, 'a')} => '22004',
		consent_and_documents('NULL') => '22004',
		consent_and_documents(q{''}) => '22023',
		consent_and_documents(join ',', map { "'$pdf'" } 1 .. 21) => '22023',
		consent_and_documents(q{convert_to(repeat('x', 10 * 1024 * 1024 + 1), 'UTF8')}) => '54000',
		consent_and_documents("'$pdf'", q{meta_data => '{"mail": "jane@example.com"}'}) => '22023',
		q{canopy_consent_and_documents('{a}', NULL, 3, 'a')} => '22004');
	for my $call (sort keys %refused)
	{
		my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SELECT $call");
		is($sqlstate, $refused{$call}, substr $call, 0, 80);
		isnt($hint // '', '', '… with a hint') if $refused{$call} ne '22004';
	}
	for my $wrong ({ file => 1 }, { base64 => 1 }, 'x')
	{
		my $body = JSON::PP->new->encode({ %body, documents => [$wrong] });
		is( scalar sqlstate_of($node, "SELECT canopy_enqueue('post-consent-and-documents', '{}', '$body')"),
			'22023', 'nobody names files of the engine: ' . $body);
	}
	query($node, 'SET canopy_summit.max_document_size = 1; SELECT 1');
	is( scalar sqlstate_of(
			$node,
			"SET canopy_summit.max_document_size = '1kB'; SELECT "
			  . consent_and_documents(q{convert_to(repeat('x', 1025), 'UTF8')})),
		'54000',
		'the setting holds here, too');
	is(query($node, 'SELECT count(*) FROM canopy_summit.job_file'), 0, 'nothing is left of what is refused');
	return;
}

# Whatever end their job comes to, they are gone; in doubt they are not, since it may be looked up.
sub unsent_documents
{
	my $call = consent_and_documents("'@{[ pdf(20) ]}'", q{meta_data => '{"lead": "documents"}'});
	my $files = sub { query($node, 'SELECT count(*) FROM canopy_summit.job_file') };

	query($node, "BEGIN; SELECT $call; ROLLBACK");
	is($files->(), 0, 'rolled back');
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	my $job_id = query($node, "SELECT $call");
	is($files->(), 1, 'one that waits has them');
	is(query($node, "SELECT canopy_summit.cancel_job($job_id)"), 't', 'cancelled');
	is($files->(), 0, 'they are gone');
	$job_id = query($node, "SELECT $call");
	query($node, "DELETE FROM canopy_summit.job WHERE job_id = $job_id");
	is($files->(), 0, 'with a job that is deleted, too');
	query($node, q{SELECT canopy_summit.resume_server('canopy')});

	$sandbox->arm(
		match => { path => '/consentAndDocuments' }, times => 1,
		fault => { kind => 'status', status => 400, body => { error => 'DOCUMENT_UPLOAD_DISABLED' } });
	(my $failed, my $end) = done($call);
	like($end, qr/^failed .*DOCUMENT_UPLOAD_DISABLED/, 'refused');
	is($files->(), 0, 'they are gone');
	my ($sqlstate) = sqlstate_of($node, "SELECT canopy_summit.retry_job($failed)");
	is($sqlstate, '55000', 'it is not retried without them');

	$sandbox->arm(
		match => { path => '/consentAndDocuments' }, times => 1,
		fault => { kind => 'status', status => 503 });
	(undef, $end) = done($call);
	like($end, qr/^succeeded/, 'what the server did not take is sent again, with them');

	$sandbox->clear_log;
	$sandbox->arm(match => { path => '/consentAndDocuments' }, times => 1, fault => { kind => 'reset' });
	my $lookups = $sandbox->hold(match => { path => '/pulls', method => 'GET' });
	$job_id = query($node, 'SELECT ' . ($call =~ s/"documents"/"lost documents"/r));
	wait_until('it is looked for', sub { $sandbox->waiting($lookups) });
	is(job($node, $job_id)->{state}, 'in_doubt', 'it is in doubt');
	is($files->(), 1, 'and has them');
	$sandbox->clear($lookups);
	soon_ok('it is found', sub { job($node, $job_id)->{state} eq 'succeeded' });
	is($files->(), 0, 'they are gone');
	is(scalar(grep { ($_->{operation} // '') eq 'post-consent-and-documents' } $sandbox->log), 1, 'it was sent once');
	return;
}

# A worker takes no more of them at once than it has room for.
sub counted_documents
{
	my $held = $sandbox->hold(match => { path => '/consentAndDocuments' });
	my $documents = q{SELECT array_agg(convert_to(n || repeat('x', 10000000), 'UTF8')) FROM generate_series(1, 4) n};
	my @jobs = split /\n/,
	  query($node, "SELECT canopy_consent_and_documents(($documents), $consent) FROM generate_series(1, 3)");
	wait_until('two are sent', sub { $sandbox->waiting($held) == 2 });
	my $these = 'job_id IN (' . join(',', @jobs) . ')';
	is(jobs_by_state($node, $these), 'queued 1, running 2', 'the third waits')
	  or diag(query($node, <<~"SQL"));
			SELECT job_id, state, fence, epoch, first_sent_at, lease_until, canopy_summit.job_files_size(job_id)
			FROM canopy_summit.job WHERE $these ORDER BY job_id
			SQL
	$sandbox->clear($held);
	is(settled($node, $_), 'succeeded', 'sent') for @jobs;
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my %refused = (
		"canopy_consent(NULL, 3, 'a')" => '22004', "canopy_consent('d', NULL, 'a')" => '22004',
		"canopy_consent('d', 3, NULL)" => '22004', "canopy_consent('', 3, 'a')" => '22023',
		"canopy_consent('d', 3, ' ')" => '22023', "canopy_consent('d', 3, repeat('x', 1025))" => '22023',
		"canopy_consent('d', 3, 'a', 'missing')" => '42704', "canopy_connect('unknown', $login)" => '55000',
		q{canopy_submit_mfa('unknown', '1')} => '55000', q{canopy_choose_mfa_option('unknown', '1')} => '55000',
		q{canopy_submit_mfa(NULL, '1')} => '22004', q{canopy_submit_mfa('p', NULL)} => '22004',
		q{canopy_submit_mfa('p', '')} => '22023', q{canopy_choose_mfa_option('p', NULL)} => '22004',
		q{canopy_exchange_reconnect_token(NULL)} => '22004',
		"canopy_consent_and_connect($consent, $login, meta_data => '{\"mail\": \"jane\@example.com\"}')" => '22023',
		"canopy_consent_and_connect($consent, $login, meta_data => '1')" => '22023',
		"canopy_consent_and_connect($consent, $login, refresh_reason => 'BOREDOM')" => '22023');
	my $longest = 'x' x 201;
	for my $wrong ('abcd', $longest, 'two words', 'jane@example.com', 'tök-en-1', "tab\there", '')
	{
		for my $field (qw(insurer_username insurer_password insurer_third_field))
		{
			(my $given = $login) =~ s/, $field => '[^']*'//;
			$refused{ "canopy_consent_and_connect($consent, $given, $field => " . CanopyTest::quoted($wrong) . ')' } =
			  '22023';
			$refused{ "canopy_connect('p', $given, $field => " . CanopyTest::quoted($wrong) . ')' } = '22023';
		}
	}
	for my $call (sort keys %refused)
	{
		my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SELECT $call");
		is($sqlstate, $refused{$call}, $call);
		like($hint, qr/component/i, '… with a hint') if $message =~ /token/ && $refused{$call} eq '22023';
	}
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	query($node, 'ALTER SERVER canopy OPTIONS (DROP public_alias)');
	my ($sqlstate, $message, $detail, $hint) =
	  sqlstate_of($node, "SELECT canopy_consent_and_connect($consent, $login)");
	is($sqlstate, '22023', 'no alias at all');
	like($hint, qr/^ALTER SERVER canopy OPTIONS \(ADD public_alias/, '… and where to put one');
	query($node, q{ALTER SERVER canopy OPTIONS (ADD public_alias 'sandbox-link')});
	return;
}

# It is found by its metadata, and never sent again.
sub lost
{
	$sandbox->clear_log;
	$sandbox->arm(match => { path => '/consentAndConnect' }, times => 1, fault => { kind => 'reset' });
	my $job_id =
	  query($node, "SELECT canopy_consent_and_connect($consent, $login, meta_data => '{\"lead\": \"lost\"}')");
	soon_ok('it is found', sub { job($node, $job_id)->{state} eq 'succeeded' });
	is(job($node, $job_id)->{outcome_code}, 'reconciled', 'by its metadata');
	is(scalar(grep { ($_->{operation} // '') eq 'post-consent-and-connect' } $sandbox->log), 1, 'it was sent once');
	return;
}

sub keeps
{
	all_settled($node);
	my $kept = query($node, <<~'SQL');
		SELECT string_agg(to_jsonb(j)::text, ' ') FROM canopy_summit.job j
		SQL
	unlike($kept, qr/user_good"|pass_good|123456/, 'no token stays with a job that has ended');
	my $log = slurp_file($node->logfile);
	$log =~ s/^.*statement: .*\n(?:\t.*\n)*//mg;
	unlike($log, qr/pass_good|123456/, 'nor is one in the log');
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE has_fetcher LOGIN;
		SELECT canopy_summit.grant_access('has_fetcher', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher;
		SQL
	for my $call (
		"canopy_consent($consent)", "canopy_consent_and_connect($consent, $login)", "canopy_connect('p', $login)",
		q{canopy_submit_mfa('p', '1')}, q{canopy_choose_mfa_option('p', '1')}, q{canopy_exchange_reconnect_token('t')},
		"canopy_policy_search($consent, 'allstate', 'AUTO_POLICY', '{}')", consent_and_documents(q{'x'}))
	{
		is(scalar sqlstate_of($node, "SET ROLE has_fetcher; SELECT $call"), '42501', "not a fetcher: $call");
	}
	return;
}
