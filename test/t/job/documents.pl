# Do the documents of a complete pull come by themselves where the server's option says so, each once, scanned, and
# without waiting for a scanner or a server that fails to do what it should?
use strict;
use warnings;

use CanopyJobs;
use CanopyScanner;
use CanopyTest;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

my $sandbox = start_sandbox();
my $scanner = CanopyScanner->new;
my $node = new_worker_node(conf => <<~"END");
	canopy_summit.worker_idle_timeout = 5min
	canopy_summit.clamd_socket = '${\ $scanner->socket}'
	END

create_canopy_server(
	$node, $sandbox,
	options => { download_hosts => 'localhost' },
	mapping => { webhook_secret => 'w' });
subtest 'the option' => \&option;
subtest 'kinds of files' => \&kinds;
subtest 'policy forms' => \&forms;
subtest 'a pull that is not complete' => \&incomplete;
subtest 'what a server answers' => \&answers;
subtest 'a mapping that goes meanwhile' => \&mapping_goes;
subtest 'somebody without a credential' => \&no_credential;
subtest 'a scanner that is down' => \&scanner_down;
subtest 'a scanner that does not do what it should' => \&scanner_lies;
subtest 'a scanner that hangs holds up nobody' => \&scanner_hangs;
subtest 'asking for more' => \&enqueue_documents;
done_testing();

# Sets the server's option, and fetches a pull by job; waits for all that follows from it.
sub fetch
{
	my ($user, $which) = @_;
	my $verb =
	  query($node, "SELECT srvoptions::text ~ 'download_documents' FROM pg_foreign_server") eq 't' ? 'SET' : 'ADD';

	query($node, "ALTER SERVER canopy OPTIONS ($verb download_documents " . CanopyTest::quoted($which) . ')');
	query($node, "SELECT canopy_enqueue_fetch('" . $sandbox->pull_id($user) . "')");
	all_settled($node);
	return;
}

# "kind state scan, n" of the files of a user's pull.
sub files_of
{
	my ($user) = @_;
	my $pull_id = $sandbox->pull_id($user);
	return query($node, <<~"SQL");
		SELECT kind, state, coalesce(scan, '-'), count(*) FROM canopy_summit.document_file
		WHERE owner_id IN ('$pull_id', '') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
		SQL
}

sub forget { query($node, 'TRUNCATE canopy_summit.document_file'); return }

# The operations that asked for files since the log was cleared.
sub asked
{
	return
	  sort map { $_->{operation} }
	  requests($sandbox, '/documents/|/files/|/policyCheck/|/policyForms/|/policyforms/', 'operation');
}

sub option
{
	my @types = map { $_->{document_type} } @{ $sandbox->pull($sandbox->pull_id('user_good'))->{documents} };
	my $declarations = grep { $_ eq 'DECLARATIONS' } @types;

	fetch('user_good', 'false');
	is(files_of('user_good'), '', 'off, nothing is fetched');
	fetch('user_good', 'DECLARATIONS,QUOTE');
	is(files_of('user_good'), "document|here|clean|$declarations", 'a list of types');
	fetch('user_good', 'true');
	is(files_of('user_good'), 'document|here|clean|' . @types, 'all of them');
	$sandbox->clear_log;
	fetch('user_good', 'true');
	is_deeply([ asked() ], [], 'those that are here are not asked for again');
	forget();
	query($node, sprintf <<~'SQL', $sandbox->pull_id('user_good'));
		SELECT receive_webhook('canopy', jsonb_build_object('canopy-signature', sign_webhook('w', b)), b)
		FROM convert_to('{"event_type": "COMPLETE", "pull_id": "%s"}', 'UTF8') AS b
		SQL
	wait_until(
		'they come with the webhook that the pull is complete',
		sub { files_of('user_good') eq 'document|here|clean|' . @types });
	is( query(
			$node, "SELECT count(*) FROM canopy.document WHERE state = 'here' AND media_type = mime_type AND size > 0"),
		scalar @types,
		'the view has them all');
	is(query($node, "SELECT count(*) FROM canopy_summit.job_response"), 0, 'no file is kept with its job');
	is( scalar sqlstate_of($node, "ALTER SERVER canopy OPTIONS (SET download_documents 'DECLARATION')"), '22023',
		'a type that is not one');
	return;
}

sub kinds
{
	fetch('user_consumer_data', 'answer_file');
	like(files_of('user_consumer_data'), qr/^answer_file\|here\|clean\|\d+$/, 'what a consumer has uploaded');
	fetch('user_good_auto_compliant', 'policy_check');
	is(files_of('user_good_auto_compliant'), 'policy_check|here|clean|1', 'the PDF of a policy check');
	query($node, "DELETE FROM canopy_summit.document_file WHERE kind = 'policy_check'");
	fetch('user_good_auto_compliant', 'true');
	like(files_of('user_good_auto_compliant'), qr/^policy_check\|here\|clean\|1$/m, 'which comes with all others, too');
	fetch('user_good_home', 'policy_check');
	is(files_of('user_good_home'), '', 'only a pull with a check has one');
	my $pull = $sandbox->pull($sandbox->pull_id('user_good_auto_compliant'));
	$pull->{policy_check}{status} = $pull->{policy_check_status} = 'NOT_COMPLIANT';
	$sandbox->put_pull($pull->{pull_id}, $pull);
	for my $times (1, 0)
	{
		$sandbox->clear_log;
		fetch('user_good_auto_compliant', 'policy_check');
		is(scalar(my @again = asked()), $times, 'it is fetched again after another check, and no more than that');
	}
	return;
}

sub forms
{
	my $pull = $sandbox->pull($sandbox->pull_id('user_good_home'));
	my @forms = ([ form => JSON::PP::true() ], [ later => JSON::PP::false() ], [ form => JSON::PP::true() ]);
	my $put = sub {
		my ($pull_id, @with) = @_;
		$pull->{pull_id} = $pull_id;
		$pull->{policies}[0]{forms_and_endorsements} =
		  [ map { { policy_form_id => $_->[0], form_name => 'a form', pdf_available => $_->[1] } } @with ];
		$sandbox->put_pull($pull_id, $pull);
		query($node, "SELECT canopy_enqueue_fetch('$pull_id')");
		all_settled($node);
		return;
	};
	my $of_forms = sub { query($node, <<~'SQL') };
		SELECT string_agg(file_id || ' ' || state, ', ' ORDER BY file_id) FROM canopy.document_file
		WHERE kind = 'policy_form'
		SQL

	query($node, q{ALTER SERVER canopy OPTIONS (SET download_documents 'policy_form')});
	$sandbox->arm(
		match => { path => '/policyForms/' }, times => undef,
		fault => { kind => 'redirect', status => 302, location => form_url() });
	$sandbox->clear_log;
	$put->('first', @forms);
	is($of_forms->(), 'form here', 'a form whose PDF is available');
	$put->('second', @forms);
	is(scalar(my @once = asked()), 1, '… is asked for once, however many pulls name it');
	$forms[1][1] = JSON::PP::true();
	$put->('second', @forms);
	is($of_forms->(), 'form here, later here', 'one whose PDF becomes available later');
	$sandbox->clear;
	return;
}

# A signed URL, as the sandbox gives it for a document.
sub form_url
{
	my $pull_id = $sandbox->pull_id('user_good');
	my ($document) = map { $_->{document_id} } @{ $sandbox->pull($pull_id)->{documents} };
	query($node, "SELECT canopy_call('download-document-by-id', "
		  . "'{\"pullId\": \"$pull_id\", \"documentId\": \"$document\"}')");
	my ($request) = grep { $_->{listener} eq 'download' } reverse $sandbox->log;
	return 'https://localhost:' . $sandbox->download_port . $request->{path};
}

sub incomplete
{
	my $pull = $sandbox->pull($sandbox->pull_id('user_good'));
	$pull->{pull_id} = 'incomplete';
	$pull->{status} = 'FETCHING';
	$sandbox->put_pull('incomplete', $pull);
	query($node, q{ALTER SERVER canopy OPTIONS (SET download_documents 'true')});
	query($node, q{SELECT canopy_enqueue_fetch('incomplete')});
	all_settled($node);
	is( query($node, q{SELECT count(*) FROM canopy.document_file WHERE owner_id = 'incomplete'}), 0,
		'has no documents yet');
	return;
}

# A pull with one document, fetched while a fault is armed: the state of the document, and its jobs by state.
sub answered
{
	my ($name, %fault) = @_;
	$name =~ s/ /_/g;
	my $pull = $sandbox->pull($sandbox->pull_id('user_good'));
	$pull->{pull_id} = $name;
	$pull->{documents} = [ grep { $_->{mime_type} eq 'application/pdf' } @{ $pull->{documents} } ];
	splice @{ $pull->{documents} }, 1;
	$pull->{documents}[0]{document_id} = "document_of_$name";
	$sandbox->put_pull($name, $pull);
	$sandbox->arm(%fault);
	query($node, "SELECT canopy_enqueue_fetch('$name')");
	all_settled($node);
	$sandbox->clear;
	return (
		query($node, "SELECT state, reason FROM canopy.document_all WHERE pull_id = '$name'"),
		jobs_by_state($node, "params ->> 'documentId' = 'document_of_$name'"));
}

sub answers
{
	my $trap = $sandbox->listener('trap_tls');
	my %at_api = (match => { path => '/documents/document' });
	my %at_download = (match => { listener => 'download' });
	my @cases = (
		[   'a 302 to another host', %at_api,
			fault => { kind => 'redirect', status => 302, location => "https://127.0.0.1:$trap/" },
			qr/^refused\|server answered with a download from a host/, 'failed 1' ],
		[   'a second 302', %at_download,
			fault => { kind => 'redirect', status => 302, location => "https://localhost:$trap/" },
			qr/^refused\|server answered 302/, 'failed 1' ],
		[   'a signed URL that has run out', %at_download,
			fault => { kind => 'status', status => 403, body => 'expired' },
			qr/^here\|/, 'succeeded 1' ],
		[   'a download that breaks off', %at_download, fault => { kind => 'reset', after_bytes => 300 }, qr/^here\|/,
			'succeeded 1' ],
		[   'a document that is not there', %at_api,
			fault => { kind => 'status', status => 404, body => { error => 'NOT_FOUND' } },
			qr/^not available\|server answered 404 NOT_FOUND$/, 'failed 1' ],
		[   'a route that is not there', %at_api, fault => { kind => 'status', status => 404, body => 'no route' },
			qr/^here\|/, 'failed 1, succeeded 1' ],
		[   'an endless download', %at_download,
			fault => { kind => 'endless', mode => 'chunked' },
			qr/^refused\|response is too large$/, 'failed 1' ],
		[   'an HTML page', %at_download,
			fault => { kind => 'body', body => '<html>log in</html>', content_type => 'text/html' },
			qr/^refused\|it is neither/, 'succeeded 1' ],
		[   'a virus',
			%at_download,
			fault => {
				kind => 'body', content_type => 'application/pdf',
				body => { base64 => encode_base64("%PDF-1.4\n" . CanopyScanner::VIRUS . "\n%%EOF\n", '') } },
			qr/^infested\|@{[CanopyScanner::NAME]}$/,
			'succeeded 1' ]);

	query($node, q{ALTER SYSTEM SET canopy_summit.max_document_size = '1MB'; SELECT pg_reload_conf()});
	for my $case (@cases)
	{
		my ($name, @fault) = @$case;
		my ($jobs, $state) = (pop @fault, pop @fault);
		my ($is, $by_state) = answered($name, @fault);
		like($is, $state, $name);
		is($by_state, $jobs, '… and its jobs');
	}
	query($node, q{ALTER SYSTEM RESET canopy_summit.max_document_size; SELECT pg_reload_conf()});
	is($sandbox->listener_state($trap)->{connections}, 0, 'nothing goes where it must not');
	is( query($node, q{SELECT count(*) FROM canopy.document_file WHERE state <> 'here' AND content IS NOT NULL}), 0,
		'what is kept out is not here');
	return;
}

sub mapping_goes
{
	my $pull_id = $sandbox->pull_id('user_good');
	my %way = (
		'before the redirect' => { path => '/documents/' },
		'before the file' => { listener => 'download' },
		'before a file of the API\'s own' => { path => '/pdf' });
	my ($worker) = worker_pids($node);

	for my $when (sort keys %way)
	{
		my $operation = $when =~ /own/ ? 'get-document-by-id' : 'download-document-by-id';
		my ($document) = map { $_->{document_id} } @{ $sandbox->pull($pull_id)->{documents} };
		my $fault = $sandbox->hold(match => $way{$when}, times => 1);
		forget();
		my $job_id = enqueue($node, $operation, { pullId => $pull_id, documentId => $document });

		wait_until("the request waits $when", sub { $sandbox->waiting($fault) });
		query($node, 'DROP USER MAPPING FOR CURRENT_USER SERVER canopy');
		is(settled($node, enqueue($node, 'get-carriers')), 'failed', "$when: the worker knows that it is gone");
		$sandbox->release($fault);
		is(settled($node, $job_id), $when =~ /redirect/ ? 'failed' : 'succeeded', "$when: the job ends");
		is( query($node, 'SELECT state FROM canopy_summit.document_file'),
			$when =~ /redirect/ ? '' : 'here', "$when: what is said of the file");
		query(
			$node,
			"CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (client_id '"
			  . $sandbox->client_id
			  . "', client_secret '"
			  . $sandbox->client_secret . "')");
		$sandbox->clear;
	}
	is((worker_pids($node))[0], $worker, 'the worker lives on');
	return;
}

# What the server has not judged, it may still give.
sub no_credential
{
	my $pull_id = $sandbox->pull_id('user_good');
	my ($wanted, $other) = map { $_->{document_id} } @{ $sandbox->pull($pull_id)->{documents} };
	my $state = sub {
		my ($document) = @_;
		return query($node, "SELECT state, reason FROM canopy_summit.document_file WHERE file_id = '$document'");
	};
	my $fails = sub {
		my ($document) = @_;
		my $job = query($node, <<~"SQL");
			SET ROLE keyless;
			SELECT canopy_enqueue('download-document-by-id',
				'{"pullId": "$pull_id", "documentId": "$document"}')
			SQL
		is(settled($node, $job), 'failed', 'whose job fails');
		return;
	};
	forget();
	query($node, <<~"SQL");
		CREATE ROLE keyless;
		SELECT canopy_summit.grant_access('keyless', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO keyless;
		INSERT INTO canopy_summit.document_file (server, kind, owner_id, file_id, state)
		VALUES ('canopy', 'document', '$pull_id', '$wanted', 'wanted');
		SQL
	$fails->($wanted);
	like(
		$state->($wanted), qr/^wanted\|role "keyless" has no user mapping/,
		'a file is wanted as before, and why is said');
	query($node, "UPDATE canopy_summit.document_file SET state = 'infested', reason = 'a virus'");
	$fails->($wanted);
	is($state->($wanted), 'infested|a virus', 'what is known of one that is infested stays');
	$fails->($other);
	is($state->($other), '', 'nothing is said of one that nobody wanted');
	query($node, "UPDATE canopy_summit.document_file SET state = 'wanted'");
	my ($worker) = worker_pids($node);

	# While rows follow the server to its name, those of the file would come first.
	query($node, <<~'SQL');
		INSERT INTO canopy_summit.task (task_id, what, args, state, done, started_at, started_by, started_by_oid,
			updated_at, finished_at, server, server_oid, instance)
		SELECT 0, 'rename', jsonb_build_object('former', 'older'), 'failed', 0, now(), current_user, 10, now(), now(),
			srvname, oid, canopy_summit.instance() FROM pg_foreign_server WHERE srvname = 'canopy'
		SQL
	is( settled($node, enqueue($node, 'download-document-by-id', { pullId => '', documentId => 'x' })),
		'failed', 'nor of one that has no id');
	is((worker_pids($node))[0], $worker, '… of which no worker dies');
	query($node, 'DELETE FROM canopy_summit.task WHERE task_id = 0');
	fetch('user_good', 'true');
	like(files_of('user_good'), qr/^document\|here\|clean\|\d+$/, 'they come with the next fetch');
	query($node, 'DROP OWNED BY keyless; DROP ROLE keyless');
	return;
}

# Has jobs that wait for the scanner sent without their pause.
sub retry_now
{
	query($node, "UPDATE canopy_summit.job SET run_at = now() WHERE state = 'queued'; SELECT canopy_summit.wake()");
	all_settled($node);
	return;
}

sub scanner_down
{
	forget();
	$scanner->stop;
	$sandbox->clear_log;
	query($node, q{ALTER SERVER canopy OPTIONS (SET download_documents 'true')});
	query($node, "SELECT canopy_enqueue_fetch('" . $sandbox->pull_id('user_good') . "')");
	wait_until(
		'documents wait',
		sub { jobs_by_state($node, "operation ~ 'document' AND outcome_code = 'hindered'") =~ /^queued/ });
	all_settled($node, "operation !~ 'document'");
	is_deeply([ asked() ], [], 'no document is asked for in vain');
	like(files_of('user_good'), qr/^document\|wanted\|-\|\d+$/, 'they are wanted');
	like(
		query($node, 'SELECT scan_problem FROM canopy_summit.server_health'), qr/does not listen/,
		'server_health says why');
	like(
		query($node, "SELECT DISTINCT outcome FROM canopy_summit.job WHERE state = 'queued'"),
		qr/^the virus scanner at .* does not listen/,
		'… and so do the jobs');
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'other jobs go on');
	is(query($node, "SELECT max(attempts) FROM canopy_summit.job WHERE state = 'queued'"), 0, 'no attempt is used up');
	query($node, q{ALTER SERVER canopy OPTIONS (ADD requests_per_second '0.001')});
	# The first time it may not know of the option yet.
	for my $time ('once', 'twice')
	{
		query($node, "UPDATE canopy_summit.job SET run_at = now() WHERE state = 'queued'; SELECT canopy_summit.wake()");
		wait_until(
			"they are tried again $time",
			sub {
				query($node, q{SELECT count(*) FROM canopy_summit.job WHERE state = 'queued' AND run_at <= now()}) == 0;
			});
	}
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', '… which costs nothing of what the server allows');
	query($node, q{ALTER SERVER canopy OPTIONS (DROP requests_per_second)});
	$scanner->start;
	retry_now();
	like(files_of('user_good'), qr/^document\|here\|clean\|\d+$/, 'once it listens, they come');
	return;
}

sub scanner_lies
{
	for my $how (qw(garbage dies hangs))
	{
		forget();
		$scanner->lie($how);
		query($node, q{ALTER SERVER canopy OPTIONS (SET download_documents 'DECLARATIONS', ADD timeout '3s')});
		query($node, "SELECT canopy_enqueue_fetch('" . $sandbox->pull_id('user_good') . "')");
		is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', "$how: other jobs go on") if $how eq 'hangs';
		wait_until(
			"$how: documents wait",
			sub { jobs_by_state($node, "operation ~ 'document' AND outcome_code = 'not_inspected'") =~ /^queued/ });
		like(
			query($node, "SELECT outcome FROM canopy_summit.job WHERE outcome_code = 'not_inspected' LIMIT 1"),
			qr/^the virus scanner /,
			"$how: their jobs say why");
		$scanner->start;
		query($node, q{ALTER SERVER canopy OPTIONS (DROP timeout)});
		retry_now();
		like(files_of('user_good'), qr/^document\|here\|clean\|\d+$/, "$how: nothing is lost");
	}
	return;
}

# All connections of a server have brought what the scanner has not given back.
sub scanner_hangs
{
	my $pull_id = $sandbox->pull_id('user_good');
	my $documents = @{ $sandbox->pull($pull_id)->{documents} };
	forget();
	$scanner->lie('hangs');
	$sandbox->clear_log;
	query($node, q{ALTER SERVER canopy OPTIONS (ADD max_connections '1')});
	query($node, "SELECT canopy_enqueue_documents('$pull_id')");
	wait_until('all are with the scanner', sub { (my @sent = asked()) == $documents });
	my $job_id = enqueue($node, 'get-carriers');
	soon_ok('another job is sent meanwhile', sub { job($node, $job_id)->{state} eq 'succeeded' });
	is( jobs_by_state($node, q{operation ~ 'document' AND state = 'running'}),
		"running $documents", 'while they wait for their verdict');
	$scanner->start;
	wait_until('they are given up', sub { jobs_by_state($node, q{operation ~ 'document'}) !~ /running/ });
	query($node, q{ALTER SERVER canopy OPTIONS (DROP max_connections)});
	retry_now();
	like(files_of('user_good'), qr/^document\|here\|clean\|$documents$/m, 'and come once it scans again');
	return;
}

sub enqueue_documents
{
	my $pull_id = $sandbox->pull_id('user_good_agent');
	my $documents = @{ $sandbox->pull($pull_id)->{documents} };
	fetch('user_good_agent', 'false');
	is(query($node, "SELECT canopy_enqueue_documents('$pull_id')"), $documents, 'a job for each');
	all_settled($node);
	is(files_of('user_good_agent') =~ s/.*document\|/document|/sr, "document|here|clean|$documents", 'they come');
	is(query($node, "SELECT canopy_enqueue_documents('$pull_id')"), 0, 'none for what is here');
	forget();
	$sandbox->clear_log;
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	query($node, "SELECT canopy_enqueue_documents('$pull_id')") for 1 .. 2;
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($node);
	is(scalar(my @sent = asked()), $documents, 'asked for twice, they are sent for once');
	query($node, "UPDATE canopy_summit.document_file SET state = 'wanted', content = NULL");
	fetch('user_good_agent', 'true');
	like(
		files_of('user_good_agent'), qr/^document\|here\|clean\|$documents$/m,
		'one whose job was lost is fetched with the pull');
	is(query($node, q{SELECT canopy_enqueue_documents('of no pull')}), 0, 'nor for what is not known');
	my @error = sqlstate_of($node, "SELECT canopy_enqueue_documents('$pull_id', 'PHOTOS')");
	is($error[0], '22023', 'a type that is not one');
	like($error[3], qr/DECLARATIONS/, '… with a list of those that are');
	query($node, 'CREATE ROLE fetches; SELECT canopy_summit.grant_access(\'fetches\', \'fetcher\')');
	is( scalar sqlstate_of($node, "SET ROLE fetches; SELECT canopy_enqueue_documents('$pull_id')"), '42501',
		'who has no right on the server');
	return;
}
