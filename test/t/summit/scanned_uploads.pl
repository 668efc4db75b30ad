# Are the documents of an upload scanned before it is sent, is nothing sent that is infested, and does a scanner that
# fails to do what it should hold up nothing else?
use strict;
use warnings;

use CanopyJobs;
use CanopyScanner;
use CanopyTest;
use CanopyUpload;
use JSON::PP ();
use MIME::Base64 qw(encode_base64 decode_base64);
use Test::More;

use constant HIDDEN => qr/^documents\.coi_pdf: the virus scanner found @{[CanopyScanner::NAME]}$/;

my $json = JSON::PP->new->canonical;
my $sandbox = start_sandbox();
my $scanner = CanopyScanner->new(max_kb => 300);
my $node = new_worker_node(conf => <<~"END");
	restart_after_crash = on
	canopy_summit.worker_idle_timeout = 5min
	canopy_summit.clamd_socket = '${\ $scanner->socket}'
	END
my $policies = 0;

create_canopy_server($node, $sandbox);
create_summit_server($node, $sandbox);
query($node, <<~'SQL');
	CREATE ROLE app;
	SELECT canopy_summit.grant_access('app', 'fetcher');
	GRANT USAGE ON FOREIGN SERVER summit TO app
	SQL
add_summit_mapping($node, $sandbox, role => 'app');

subtest 'infested ones' => \&infested;
subtest 'clean ones' => \&clean;
subtest 'a scanner that is down' => \&scanner_down;
subtest 'a scanner that does not do what it should' => \&scanner_lies;
subtest 'a scanner that hangs holds up nothing else' => \&scanner_hangs;
subtest 'a server has no more requests for it' => \&places;
subtest 'a right that goes meanwhile' => \&right_goes;
subtest 'ones that are too large' => \&too_large;
subtest 'where a scan is required' => \&requires_scan;
subtest 'without a scanner' => \&no_scanner;
subtest 'a claim that is lost meanwhile' => \&claim_lost;
subtest 'a worker that ends meanwhile' => \&worker_ends;
done_testing();

# Every upload has a policy of its own.
sub policy { return 'SCAN-' . ++$policies }

# A PDF that holds a text.
sub pdf { my ($text) = @_; return document('pdf') =~ s/^trailer/% $text\ntrailer/mr }

sub in_base64 { my ($bytes) = @_; return { content_type => 'application/pdf', base64 => encode_base64($bytes, '') } }

# A payload with these documents: `coi`, `endorsements`.
sub with_documents
{
	my ($policy, %documents) = @_;
	return payload(
		$policy,
		sub {
			$_[0]{documents}{coi_pdf} = $documents{coi} if $documents{coi};
			$_[0]{documents}{endorsements} = $documents{endorsements} if $documents{endorsements};
		});
}

# Columns of an upload.
sub upload_has
{
	my ($upload_id, $columns) = @_;
	return query($node, "SELECT $columns FROM summit.upload WHERE upload_id = $upload_id");
}

# The job of an upload, with its attempts.
sub job_of { my ($upload_id) = @_; return job($node, upload_has($upload_id, 'job_id')) }

sub sent { my ($policy) = @_; return scalar(() = uploads_at_summit($sandbox, $policy)) }

# (SQLSTATE, message, detail, hint) of an upload that is refused at once.
sub refusal { my ($payload) = @_; return sqlstate_of($node, 'SELECT summit_upload_policy(' . literal($payload) . ')') }

# Sets settings, or those that are undef to their defaults, and waits until the server and its workers go by them.
sub configure
{
	my (%settings) = @_;
	for my $name (sort keys %settings)
	{
		my $value = $settings{$name};
		query(
			$node,
			'ALTER SYSTEM ' . (defined $value ? "SET canopy_summit.$name = '$value'" : "RESET canopy_summit.$name"));
	}
	$node->reload;
	for my $name (grep { defined $settings{$_} } keys %settings)
	{
		wait_until("$name is set", sub { query($node, "SHOW canopy_summit.$name") eq $settings{$name} });
	}
	return;
}

# Waits until the job of an upload waits for the scanner; the job.
sub waits_for_scanner
{
	my ($upload_id) = @_;
	return wait_until(
		"upload $upload_id waits",
		sub {
			my $job = job_of($upload_id);
			$job->{state} eq 'queued' && ($job->{outcome_code} // '') eq 'not_scanned' && $job;
		});
}

# Has uploads that wait for the scanner sent without their pause.
sub retry_now
{
	query($node, <<~'SQL');
		UPDATE canopy_summit.job SET run_at = now() WHERE state = 'queued' AND operation = 'upload-policy';
		SELECT canopy_summit.wake()
		SQL
	return;
}

sub scan_problem
{
	return query($node, q{SELECT coalesce(scan_problem, '') FROM canopy_summit.server_health WHERE server = 'summit'});
}

# Tests that an upload came to an end before it was sent.
sub is_kept
{
	my ($upload_id, $policy, $code, $field, $message, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(settles_as($node, $upload_id, 'failed'), 'failed', "$name: fails");
	is(upload_has($upload_id, 'error_code, error_field'), "$code|$field", "$name: says what and where");
	like(upload_has($upload_id, 'error_message'), $message, "$name: in words");
	is_deeply([ @{ job_of($upload_id) }{qw(state outcome_code)} ], [ 'failed', $code ], "$name: and so does its job");
	is(sent($policy), 0, "$name: nothing is sent");
	return;
}

sub clean
{
	my $policy = policy();
	my ($coi, @endorsements) = map { pdf($_) } qw(coi first second);
	my $before = $scanner->found_clean;
	my (undef, undef, $stderr) = $node->psql(
		'postgres',
		'SELECT summit_upload_policy('
		  . literal(
			with_documents($policy, coi => in_base64($coi), endorsements => [ map { in_base64($_) } @endorsements ]))
		  . ')');
	my $upload_id = query($node, "SELECT upload_id FROM summit.upload WHERE policy_number = '$policy'");

	is($stderr, '', 'nothing to say of them');
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'are sent');
	my $sent = $json->decode((uploads_at_summit($sandbox, $policy))[0]{body})->{documents};
	is_deeply(
		[ map { decode_base64($_->{base64}) } $sent->{coi_pdf}, @{ $sent->{endorsements} } ],
		[ $coi, @endorsements ],
		'as they are');
	wait_until('each is scanned', sub { $scanner->found_clean == $before + 3 });
	is(sent($policy), 1, 'and sent once');
	$policy = policy();
	$upload_id = upload($node, payload($policy), arguments => "'\\x" . unpack('H*', $coi) . "'");
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'argument coi');
	wait_until('is scanned, too', sub { $scanner->found_clean == $before + 4 });
	return;
}

sub infested
{
	my ($bad, $good) = map { in_base64(pdf($_)) } CanopyScanner::VIRUS, 'good';
	my %documents = (
		'documents.coi_pdf' => { coi => $bad, endorsements => [$good] },
		'documents.endorsements[0]' => { endorsements => [$bad] },
		'documents.endorsements[2]' => { coi => $good, endorsements => [ $good, $good, $bad, $good ] });

	for my $field (sort keys %documents)
	{
		my $policy = policy();
		my $upload_id = upload($node, with_documents($policy, %{ $documents{$field} }));
		is_kept(
			$upload_id, $policy, 'infested', $field,
			qr/^\Q$field\E: the virus scanner found @{[CanopyScanner::NAME]}$/, $field);
		is_deeply(job_of($upload_id)->{sends}, [], "$field: no attempt was made");
	}
	my $policy = policy();
	my $upload_id =
	  upload($node, payload($policy), arguments => "'\\x" . unpack('H*', pdf(CanopyScanner::VIRUS)) . "'");
	is_kept($upload_id, $policy, 'infested', 'documents.coi_pdf', qr/ found /, 'argument coi');

	$policy = policy();
	my $job_id = query(
		$node,
		q{SELECT canopy_enqueue('upload-policy', '{}', }
		  . literal(with_documents($policy, coi => $bad))
		  . q{, server => 'summit')});
	is(settled($node, $job_id), 'failed', 'of a job without summit.upload');
	is(job($node, $job_id)->{outcome_code}, 'infested', '… says so, too');
	is(sent($policy), 0, '… and is not sent');
	is(scan_problem(), '', 'a verdict is no problem');
	return;
}

sub scanner_down
{
	my ($policy, $plain) = (policy(), policy());
	$scanner->stop;
	my $upload_id = upload($node, with_documents($policy, coi => in_base64(pdf('down'))));
	my $job = waits_for_scanner($upload_id);

	like($job->{outcome}, qr/^the virus scanner at .* does not listen/, 'its job says why it waits');
	is($job->{attempts}, 0, 'no attempt is counted');
	is($job->{first_sent_at}, undef, 'its key does not age');
	is_deeply($job->{sends}, [], 'nor is there one');
	is(upload_has($upload_id, 'status, error_code IS NULL'), 'queued|t', 'it has not failed');
	like(scan_problem(), qr/does not listen/, 'server_health says so');
	is(settles_as($node, upload($node, payload($plain)), 'verified'), 'verified', 'uploads without documents go on');
	is(sent($policy), 0, 'it is not sent');

	# However often it is tried.
	query($node, "UPDATE canopy_summit.job SET outcome_code = NULL WHERE job_id = $job->{job_id}");
	retry_now();
	$job = waits_for_scanner($upload_id);
	is("$job->{attempts} " . ($job->{first_sent_at} // 'never'), '0 never', 'a second try counts as little');
	$scanner->start;
	retry_now();
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'once it listens, it is sent');
	is(sent($policy), 1, '… once');
	is(job_of($upload_id)->{attempts}, 1, '… as its first attempt');
	is(scan_problem(), '', 'and nothing is wrong any more');
	return;
}

sub scanner_lies
{
	for my $how (qw(garbage greeting dies))
	{
		my $policy = policy();
		$scanner->lie($how);
		my $upload_id = upload($node, with_documents($policy, coi => in_base64(pdf($how))));
		my $job = waits_for_scanner($upload_id);
		like($job->{outcome}, qr/^the virus scanner /, "$how: its job says why it waits");
		is("$job->{attempts} " . ($job->{first_sent_at} // 'never'), '0 never', "$how: no attempt is counted");
		like(scan_problem(), qr/^the virus scanner /, "$how: server_health says so");
		is(sent($policy), 0, "$how: it is not sent");
		$scanner->start;
		retry_now();
		is(settles_as($node, $upload_id, 'verified'), 'verified', "$how: nothing is lost");
	}
	return;
}

# The server's one connection is nobody's while they are with the scanner.
sub scanner_hangs
{
	my @policies = map { policy() } 1 .. 5;
	$scanner->lie('hangs');
	query($node, q{ALTER SERVER summit OPTIONS (ADD max_connections '1')});
	my @uploads = map { upload($node, with_documents($_, coi => in_base64(pdf($_)))) } @policies;
	wait_until('all are with the scanner', sub { $scanner->held == @uploads });
	for my $number (1, 2)
	{
		my $upload_id = upload($node, payload(policy()));
		soon_ok(
			"upload $number without documents is sent meanwhile",
			sub { upload_has($upload_id, 'status') =~ /^(?:accepted|verified)$/ });
	}
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'so is a job for another server');
	is( jobs_by_state(
			$node, q{operation = 'upload-policy' AND body IS NOT NULL AND body ? 'documents' AND state = 'running'}),
		'running ' . @uploads,
		'while they wait for their verdict');
	is(scalar(grep { sent($_) } @policies), 0, 'none is sent');
	$scanner->start;
	waits_for_scanner($_) for @uploads;
	retry_now();
	is(settles_as($node, $_, 'verified'), 'verified', 'and is sent once it scans again') for @uploads;
	is(join(' ', map { sent($_) } @policies), '1 1 1 1 1', 'each once');
	query($node, q{ALTER SERVER summit OPTIONS (DROP max_connections)});
	return;
}

# What has been scanned takes its place among the requests that its server may have at once; roles share no connection.
sub places
{
	my ($plain, $policy) = (policy(), policy());

	$scanner->lie('hangs');
	query($node, q{ALTER SERVER summit OPTIONS (ADD max_connections '1')});
	my $fault = $sandbox->hold(match => { listener => 'summit', path => '^/v1/policies' });
	my $scanned = upload($node, with_documents($policy, coi => in_base64(pdf('place'))));
	wait_until('one is with the scanner', sub { $scanner->held == 1 });
	my $other = upload($node, payload($plain), before => 'SET ROLE app; ');
	wait_until('another is at the server', sub { $sandbox->waiting($fault) == 1 });
	$scanner->release;
	# By then the worker has heard of the verdict, and could have sent it.
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', "other servers go on ($_)") for 1 .. 5;
	is($sandbox->waiting($fault), 1, 'the server has no second request');
	is(job_of($scanned)->{state}, 'running', 'what is scanned waits for its place');
	$sandbox->release($fault);
	wait_until(
		'the other has been answered, and it is at the server',
		sub { upload_has($other, 'status') eq 'accepted' && $sandbox->waiting($fault) == 1 });
	$sandbox->clear($fault);
	is(settles_as($node, $_, 'verified'), 'verified', 'both come to their ends') for $other, $scanned;
	query($node, q{ALTER SERVER summit OPTIONS (DROP max_connections)});
	$scanner->start;
	return;
}

sub right_goes
{
	my $policy = policy();

	$scanner->lie('hangs');
	my $upload_id = upload($node, with_documents($policy, coi => in_base64(pdf('right'))), before => 'SET ROLE app; ');
	wait_until('it is with the scanner', sub { $scanner->held == 1 });
	query($node, 'DROP USER MAPPING FOR app SERVER summit');
	my $other = upload($node, payload(policy()), before => 'SET ROLE app; ');
	is(settles_as($node, $other, 'failed'), 'failed', 'the worker knows that the user mapping is gone');
	$scanner->release;
	is_kept($upload_id, $policy, 'no_credential', '', qr/user mapping/, 'a mapping that goes');
	add_summit_mapping($node, $sandbox, role => 'app');
	$scanner->start;
	return;
}

sub too_large
{
	my $policy = policy();
	my $large = pdf(CanopyScanner::VIRUS . ' ' x (301 * 1024));
	my $upload_id = upload($node, with_documents($policy, coi => in_base64($large)));
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'are sent, unless a scan is required');
	return;
}

sub requires_scan
{
	my $base64 = in_base64(pdf('required'));
	my $large = in_base64(pdf(' ' x (301 * 1024)));
	my $url = { url => 'https://example.com/endorsement.pdf' };
	my $policy = policy();
	configure(require_scan => 'on');
	my $upload_id = upload($node, with_documents($policy, coi => $base64));
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'what is clean is sent');
	is(settles_as($node, upload($node, payload(policy())), 'verified'), 'verified', 'so is what has no documents');
	$policy = policy();
	$upload_id = upload($node, with_documents($policy, coi => $base64, endorsements => [$large]));
	is_kept(
		$upload_id, $policy, 'not_scanned', 'documents.endorsements[0]',
		qr/require_scan.*: it is too large to scan$/, 'too large');

	$policy = policy();
	my ($sqlstate, $message, $detail, $hint) =
	  refusal(with_documents($policy, coi => $base64, endorsements => [ $base64, $url ]));
	is($sqlstate, '22023', 'a URL is refused at once');
	like($message, qr/^documents\.endorsements\[1\]: cannot be scanned .*require_scan/, '… which says where');
	unlike(join(' ', $message, $detail, $hint), qr/example/, '… and not what');
	query($node, 'CREATE TABLE own (id integer PRIMARY KEY, payload jsonb)');
	query($node, <<~'SQL');
		CREATE TRIGGER upload AFTER INSERT ON own FOR EACH ROW
		EXECUTE FUNCTION summit_upload_on_insert('payload', '', 'defer')
		SQL
	query($node, 'INSERT INTO own VALUES (1, ' . literal(with_documents($policy, coi => $url)) . ')');
	is( query($node, q{SELECT status, error_code, error_field FROM summit.upload WHERE source_key = '{"id": 1}'}),
		'refused|22023|documents.coi_pdf', '… of a trigger with defer it is recorded');

	configure(clamd_socket => '');
	($sqlstate, $message, $detail, $hint) = refusal(with_documents($policy, coi => $base64));
	is($sqlstate, '55000', 'without a scanner nothing with documents can be sent');
	like($message, qr/^documents\.coi_pdf: cannot be scanned .*require_scan/, '… which says why');
	like($hint, qr/canopy_summit\.clamd_socket/, '… and what to do');
	is( scalar sqlstate_of(
			$node,
			q{SELECT canopy_enqueue('upload-policy', '{}', }
			  . literal(with_documents($policy, coi => $base64))
			  . q{, server => 'summit')}),
		'55000',
		'nor enqueued as a job');
	is(scalar refusal(with_documents($policy, coi => $url)), '22023', 'which would not help a URL');
	is(query($node, "SELECT count(*) FROM summit.upload WHERE policy_number = '$policy'"), 0, 'none is there');
	is(settles_as($node, upload($node, payload(policy())), 'verified'), 'verified', 'what has no documents is sent');
	configure(require_scan => undef);

	# What was enqueued when none was required.
	my %later = (
		'a URL' => [ $url, undef, qr/require_scan.*: it is given by URL$/ ],
		'no scanner' => [ $base64, '', qr/require_scan.*: canopy_summit\.clamd_socket is not set$/ ]);
	for my $name (sort keys %later)
	{
		my ($document, $socket, $message) = @{ $later{$name} };
		$policy = policy();
		query($node, q{SELECT canopy_summit.pause_server('summit')});
		configure(clamd_socket => $socket, require_scan => 'off');
		$upload_id = upload($node, with_documents($policy, coi => $document));
		configure(require_scan => 'on');
		query($node, q{SELECT canopy_summit.resume_server('summit')});
		is_kept($upload_id, $policy, 'not_scanned', 'documents.coi_pdf', $message, "$name, later");
	}
	configure(clamd_socket => undef, require_scan => undef);
	return;
}

sub no_scanner
{
	my ($policy, $plain) = (policy(), policy());
	my $base64 = in_base64(pdf(CanopyScanner::VIRUS));
	my $says = sub { (my @output = $node->psql('postgres', 'SELECT summit_upload_policy(' . literal($_[0]) . ')'))[2] };
	configure(clamd_socket => '');
	is( $says->(with_documents($policy, endorsements => [ $base64, $base64 ])) =~ s/^psql:\S* //mgr,
		'NOTICE:  documents.endorsements[0]: is not scanned for viruses', 'one NOTICE for an upload');
	is($says->(payload($plain)), '', 'none without documents');
	my $upload_id = query($node, "SELECT upload_id FROM summit.upload WHERE policy_number = '$policy'");
	is(query($node, "SELECT count(*) FROM summit.upload_warning WHERE upload_id = $upload_id"), 0, 'and no row');
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'it is sent');
	configure(clamd_socket => undef);
	like(
		$says->(with_documents(policy(), coi => { url => 'https://example.com/coi.pdf' })),
		qr/documents\.coi_pdf: is not scanned/, 'a URL is never scanned');
	return;
}

# Somebody else has the job when the verdict comes; what goes out twice has one key, and is settled once.
sub claim_lost
{
	my $policy = policy();
	$scanner->lie('hangs');
	my $upload_id = upload($node, with_documents($policy, coi => in_base64(pdf('lost'))));
	wait_until('it is with the scanner', sub { $scanner->held == 1 });
	my ($worker) = worker_pids($node);
	query($node, <<~"SQL");
		UPDATE canopy_summit.job SET state = 'queued', fence = fence + 1, epoch = NULL, run_at = now()
		WHERE operation = 'upload-policy' AND state = 'running';
		SELECT canopy_summit.wake()
		SQL
	wait_until('and once more', sub { $scanner->held == 2 });
	$scanner->release;
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'it is sent');
	wait_until('also by the lost claim', sub { sent($policy) == 2 });
	is_deeply(
		[ map { "$_->{requests} $_->{effects}" } effect_rows($sandbox, $policy) ],
		['2 1'], 'with one key, and one effect');
	is((worker_pids($node))[0], $worker, 'the worker lives on');
	$scanner->start;
	return;
}

sub worker_ends
{
	my %ways = (
		'SIGTERM' => sub { kill TERM => $_[0] },
		'SIGKILL' => sub { kill KILL => $_[0] },
		'a restart' => sub { $node->restart });
	for my $way (sort keys %ways)
	{
		my $policy = policy();
		$scanner->lie('hangs');
		my $upload_id = upload($node, with_documents($policy, coi => in_base64(pdf($way))));
		wait_until("$way: it is with the scanner", sub { $scanner->held == 1 });
		my ($worker) = worker_pids($node);
		$ways{$way}->($worker);
		wait_until("$way: the worker ends", sub { !kill 0 => $worker });
		$scanner->start;
		wait_until(
			"$way: the server goes on",
			sub {
				eval {
					retry_now(); # it may have been with the scanner that ends
					upload_has($upload_id, "status IN ('accepted', 'verified')") eq 't';
				}
			});
		is(settles_as($node, $upload_id, 'verified'), 'verified', "$way: it is sent all the same");
		is_deeply(
			[ map { "$_->{requests} $_->{effects}" } effect_rows($sandbox, $policy) ],
			['1 1'], "$way: once, with one effect");
	}
	return;
}
