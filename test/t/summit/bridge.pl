# Does a policy that was pulled get to Summit as a certificate: as the carrier has it, or not at all?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use MIME::Base64 ();
use Test::More;

my $json = JSON::PP->new->canonical;
my $sandbox = start_sandbox();
my $node = new_worker_node();
my $pdf = document('pdf');
my $policies = 0;
my @usual = (
	coverage('LIABILITY_AND_MEDICAL_EXPENSES', per_incident_limit_cents => 100_000_000),
	coverage('GENERAL_AGGREGATE', per_term_limit_cents => 200_000_000),
	coverage('DAMAGE_TO_PREMISES_RENTED_TO_YOU', per_incident_limit_cents => 30_000_050),
	coverage('HIRED_AND_NON_OWNED_AUTO', per_incident_limit_cents => 50_000_000));

create_canopy_server($node, $sandbox, options => { download_hosts => 'localhost' });
create_summit_server($node, $sandbox);
query($node, <<~'SQL');
	INSERT INTO summit.insurer VALUES ('acme', 'Acme Insurance Company');
	CREATE ROLE app;
	CREATE ROLE fetcher;
	SELECT canopy_summit.grant_access('app', 'fetcher'), canopy_summit.grant_access('app', 'pii_reader'),
		canopy_summit.grant_access('fetcher', 'fetcher');
	GRANT USAGE ON FOREIGN SERVER canopy, summit TO app, fetcher
	SQL
add_summit_mapping($node, $sandbox, role => 'app');

subtest 'a policy as a certificate' => \&whole;
subtest 'kinds' => \&kinds;
subtest 'limits' => \&limits;
subtest 'all that is missing' => \&missing;
subtest 'what must not go out' => \&refused;
subtest 'documents' => \&documents;
subtest 'levels' => \&levels;
done_testing();

sub day { my ($days) = @_; return query($node, "SELECT current_date + $days") }

sub holder
{
	my (%more) = @_;
	return {
		name => 'ABC Apartments', additional_insured => JSON::PP::true, waiver_of_subrogation => JSON::PP::false,
		reference_ids => { property_id => 'KEL-001', unit_id => 'U', lease_id => 'L', tenant_id => 'T' }, %more };
}

# A coverage of a location, by its name and fields.
sub coverage
{
	my ($name, %fields) = @_;
	return { location_coverage_id => "c-$name", name => $name, is_declined => JSON::PP::false, %fields };
}

# Stores a pull with one policy, which these fields change; its policy_id. Fields of the pull are in `pull`.
sub pulled
{
	my (%fields) = @_;
	my $number = ++$policies;
	my $pull = delete $fields{pull} // {};
	my $server = delete $fields{server} // 'canopy';
	my $locations = delete $fields{locations} // [ [@usual] ];
	my %policy = (
		policy_id => "policy-$number", policy_type => 'GENERAL_LIABILITY', carrier_name => 'acme',
		carrier_policy_number => "GL-$number", status => 'ACTIVE', limited_access => JSON::PP::false,
		effective_date => day(-100) . 'T05:00:00.000Z', expiry_date => day(265) . 'T05:00:00.000Z',
		deductible_cents => 250_000,
		commercial_named_insureds => [
			{   commercial_named_insured_id => 'n', name => 'Blue Heron LLC',
				is_primary_named_insured => JSON::PP::true } ],
		locations => [ map { +{ location_id => "l-$_", coverages => $locations->[$_] } } 0 .. $#$locations ],
		%fields);
	my %whole = (
		pull_id => "pull-$number", account_identifier => "account-$number", status => 'SUCCESS',
		policies => [ \%policy ],
		agents => [
			{   agent_info_id => 'a', agency_name => 'Agency', agent_full_name => 'Jane', phone_number => '5551234',
				email => 'a@example.com', policy_ids => [ $policy{policy_id} ] } ],
		documents => [
			{ document_id => 'd-other', document_type => 'VERIFICATION_OF_INSURANCE', policy_id => 'another' },
			{ document_id => 'd-nobody', document_type => 'VERIFICATION_OF_INSURANCE', policy_id => undef },
			map {
				{   document_id => "d-$_", document_type => $_, policy_id => $policy{policy_id},
					mime_type => 'application/pdf' }
			} qw(VERIFICATION_OF_INSURANCE DECLARATIONS) ],
		%$pull);
	query(
		$node,
		'SELECT version FROM canopy_store_pull(' . CanopyTest::quoted($json->encode(\%whole)) . ", '$server')");
	return $policy{policy_id};
}

sub call
{
	my ($policy_id, $holder, $more) = @_;
	return
		"summit_upload_from_canopy('$policy_id', "
	  . CanopyTest::quoted($json->encode($holder // holder()))
	  . ($more ? ", $more" : '') . ')';
}

# The payload that would be sent.
sub dry
{
	my ($policy_id, $more) = @_;
	return $json->decode(
		query(
			$node,
			'SET client_min_messages = warning; SELECT payload FROM '
			  . call($policy_id, undef, join ', ', $more // (), 'dry_run => true')));
}

# (SQLSTATE, message, detail, hint) of a refusal.
sub refusal
{
	my ($policy_id, $more, $holder, $before) = @_;
	return sqlstate_of($node, ($before // '') . 'SELECT * FROM ' . call($policy_id, $holder, $more));
}

# All lines of the detail of a refusal.
sub details
{
	my ($policy_id, $holder) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', 'SELECT * FROM ' . call($policy_id, $holder));
	return $stderr =~ /^DETAIL:  (.*?)\nHINT:/ms ? $1 : '';
}

sub whole
{
	my $policy_id = pulled();
	my $upload_id =
	  query($node, 'SET client_min_messages = warning; SET ROLE app; SELECT upload_id FROM ' . call($policy_id));
	is(settles_as($node, $upload_id, 'verified'), 'verified', 'it gets there');
	my ($request) = uploads_at_summit($sandbox, 'GL-1');
	is_deeply(
		$json->decode($request->{body}),
		{   policy => {
				policy_number => 'GL-1', insurer_name => 'Acme Insurance Company', policy_type => 'CGL',
				effective_date => day(-100), expiry_date => day(265),
				limits => { per_occurrence => 1_000_000, aggregate => 2_000_000 },
				broker => { name => 'Agency', phone => '5551234', email => 'a@example.com' } },
			certificate_holder => holder() },
		'as the carrier has it, and nothing besides');
	is( query(
			$node, q{SELECT currency, insured_name, deductible, tenants_legal_liability, non_owned_auto, source
			FROM summit.certificate_fact WHERE policy_number = 'GL-1'}),
		'USD|Blue Heron LLC|2500|300000.5|500000|canopy',
		'what Summit has no field for is known here');
	is( query(
			$node, q{SELECT currency, per_occurrence, insured_name, is_newest FROM summit.certificate
			WHERE policy_number = 'GL-1'}),
		'USD|1000000|Blue Heron LLC|t',
		'of the same term');
	my (undef, undef, $stderr) =
	  $node->psql('postgres', 'SELECT payload FROM ' . call($policy_id, undef, 'dry_run => true'));
	like($stderr, qr/US dollars.*nothing is converted/, 'a notice says what the amounts are');
	unlike($stderr, qr/GL-1|Heron/, 'and nothing personal');
	is( query($node, q{SELECT count(*) FROM summit.upload WHERE policy_number = 'GL-1'}), 1,
		'a dry run uploads nothing');
	is( query(
			$node,
			"SET client_min_messages = error; SET ROLE app; BEGIN; SELECT upload_id FROM "
			  . call($policy_id)
			  . '; ROLLBACK'),
		$upload_id,
		'the same again is the same upload');
	return;
}

sub kinds
{
	my %by_type = (
		GENERAL_LIABILITY => 'CGL', COMMERCIAL_PROPERTY => 'Property', ERRORS_AND_OMISSIONS => 'E&O', CYBER => 'Cyber',
		MANAGEMENT_LIABILITY => 'D&O');
	my @coverages = (
		@usual, coverage('BUILDING', per_incident_limit_cents => 70_000_000),
		coverage(
			'ERRORS_AND_OMISSIONS', per_incident_limit_cents => 30_000_000, per_policy_year_limit_cents => 60_000_000),
		coverage('CYBER_LIABILITY', per_incident_limit_cents => 40_000_000),
		coverage('DIRECTORS_AND_OFFICERS_LIABILITY', per_incident_limit_cents => 50_000_000));
	my %limits =
	  (CGL => '1000000 2000000', Property => '700000', 'E&O' => '300000 600000', Cyber => '400000', 'D&O' => '500000');
	for my $type (sort keys %by_type)
	{
		my $policy = dry(pulled(policy_type => $type, locations => [ \@coverages ]))->{policy};
		is($policy->{policy_type}, $by_type{$type}, $type);
		is( join(' ', map { $_ // () } @{ $policy->{limits} }{qw(per_occurrence aggregate)}),
			$limits{ $by_type{$type} },
			"its limits as $by_type{$type}");
	}
	my ($sqlstate, undef, $detail) = refusal(pulled(policy_type => 'MANAGEMENT_LIABILITY'));
	is($sqlstate, '22023', 'management liability without such a coverage');
	like($detail, qr/no amount of DIRECTORS_AND_OFFICERS_LIABILITY/, 'says what it lacks');
	for my $package (qw(BUSINESS_OWNERS COMMERCIAL_PACKAGE AUTO))
	{
		my $policy_id = pulled(policy_type => $package, locations => [ \@coverages ]);
		($sqlstate, undef, $detail) = refusal($policy_id);
		is($sqlstate, '22023', "$package");
		like($detail, qr/$package may be several.*CGL, Property, E&O, D&O, Cyber/, 'says what may be asked for');
		is( dry($policy_id, "policy_type => '$_'")->{policy}{limits}{per_occurrence} . '', $limits{$_} =~ s/ .*//r,
			"$package as $_") for qw(CGL Property);
	}
	like(
		(refusal(pulled(), "policy_type => 'General'"))[2], qr/'General' is none of CGL/,
		'a kind that Summit has not');
	return;
}

sub limits
{
	my $of = sub { return dry(pulled(@_))->{policy}{limits} };
	my $occurrence = 'LIABILITY_AND_MEDICAL_EXPENSES';
	is_deeply(
		$of->(
			locations => [
				[@usual], [ coverage($occurrence, per_incident_limit_cents => 50_000_001) ],
				[ coverage($occurrence, per_incident_limit_cents => 1, is_declined => JSON::PP::true) ] ]),
		{ per_occurrence => '500000.01', aggregate => 2_000_000 },
		'of several locations the lowest, but not a declined one');
	is_deeply(
		$of->(
			locations =>
			  [ [ coverage('GENERAL_AGGREGATE', per_incident_limit_cents => 100, per_term_limit_cents => 200) ] ]),
		{ per_occurrence => 1, aggregate => 2 },
		'of an aggregate its own');
	like(
		(refusal(pulled(locations => [ [@usual], [ coverage($occurrence, limit_percent => '80.000') ] ])))[2],
		qr/it is a percentage of/,
		'where one location has none that is known there is none');
	my @cases = (
		[ [], qr/no amount of $occurrence or GENERAL_AGGREGATE/, 'without coverages' ],
		[ [ coverage('GENERAL_AGGREGATE', per_term_limit_cents => 200) ], qr/no amount of/, 'with an aggregate alone' ],
		[ [ coverage($occurrence, limit_percent => '80.000') ], qr/it is a percentage of/, 'in percent' ],
		[ [ coverage($occurrence, per_incident_limit_cents => undef) ], qr/no amount of/, 'unlimited, or not told' ]);
	for my $case (@cases)
	{
		my ($sqlstate, undef, $detail) = refusal(pulled(locations => [ $case->[0] ]));
		is($sqlstate, '22023', "a limit $case->[2]");
		like($detail, qr/^policy\.limits\.per_occurrence: $case->[1]/m, 'is none');
	}
	return;
}

# In one error.
sub missing
{
	my $policy_id = pulled(
		policy_type => 'BUSINESS_OWNERS', carrier_name => 'nobody', carrier_policy_number => undef,
		effective_date => undef,
		expiry_date => undef, limited_access => JSON::PP::true);
	my ($sqlstate, $message) = refusal($policy_id, undef, { reference_ids => {} });
	is($sqlstate, '22023', 'refused');
	my $detail = details($policy_id, { reference_ids => {} });
	is($message, qq{policy "$policy_id" is no certificate yet: 10 facts are wrong or missing}, 'says how many');
	my @of_policy = map { "policy.$_" } qw(policy_number effective_date expiry_date insurer_name policy_type);
	my @of_holder =
	  map { "certificate_holder.$_" } qw(name additional_insured waiver_of_subrogation reference_ids.property_id);
	is_deeply(
		[ map { s/: .*//r } split /\n/, $detail ],
		[ 'policy', @of_policy, @of_holder ],
		'and which');
	is(query($node, 'SELECT count(*) FROM summit.upload WHERE policy_number IS NULL'), 0, 'nothing is uploaded');

	my %is = (
		'it is CANCELLED' => { status => 'CANCELLED' },
		'it is QUOTE' => { status => 'QUOTE' },
		'it is cancelled as of' => { canceled_date => day(10) . 'T05:00:00.000Z', status => 'PENDING_CANCELLATION' },
		'it ended' => { expiry_date => day(0) . 'T05:00:00.000Z' },
		'limited_access' => { limited_access => JSON::PP::true },
		'archived' => { pull => { is_archived => JSON::PP::true } });
	for my $words (sort keys %is)
	{
		my $unfit = pulled(%{ $is{$words} });
		is((refusal($unfit))[0], '22023', "refused: $words");
		my $detail = details($unfit);
		like($detail, qr/\Q$words\E/, 'says why');
		is(scalar(my @lines = split /\n/, $detail), 1, 'and nothing else');
	}
	# The next term of a policy is another one, which may be sent before it begins.
	my $next = pulled(
		status => 'PENDING_ACTIVATION', effective_date => day(265) . 'T05:00:00.000Z',
		expiry_date => day(630) . 'T05:00:00.000Z');
	is(dry($next)->{policy}{effective_date}, day(265), 'a term to come');
	is((refusal('no such policy'))[0], '02000', 'a policy that nobody has pulled');
	pulled(policy_id => 'twice');
	pulled(policy_id => 'twice');
	is((refusal('twice'))[0], '21000', 'one of two accounts');
	return;
}

sub refused
{
	my $policy_id = pulled();
	query(
		$node, q{SET client_min_messages = error; CREATE SERVER live FOREIGN DATA WRAPPER summit_api
		OPTIONS (base_url 'https://localhost:9', auth_url 'https://localhost:9')});
	my ($sqlstate, $message) = refusal($policy_id, "server => 'live'");
	is($sqlstate, '22023', 'a sandbox policy does not go to production');
	like($message, qr/of environment sandbox, and server "live" of production/, 'says why');
	query($node, 'DROP SERVER live');
	($sqlstate, $message) = refusal($policy_id, undef, holder(bank_account => '123'));
	is($sqlstate, '22023', 'what is refused of any upload is');
	like($message, qr/certificate_holder\.bank_account/, 'by its name');
	is( (refusal($policy_id, 'dry_run => true', holder(additional_insured => 'maybe')))[0], '22023',
		'in a dry run, too');
	is((refusal($policy_id, "canopy_server => 'other'"))[0], '02000', 'another server has not pulled it');
	return;
}

sub documents
{
	my $policy_id = pulled();
	my $pull_id = $policy_id =~ s/policy/pull/r;
	my $other = pulled();
	my ($sqlstate, undef, undef, $hint) = refusal($policy_id, "document_id => 'd-VERIFICATION_OF_INSURANCE'");
	is($sqlstate, '02000', 'a document that is not here');
	like($hint, qr/canopy_fetch_document/, 'says how to get it');
	query(
		$node, "INSERT INTO canopy_summit.document_file (server, kind, owner_id, file_id, state, media_type, content)
		SELECT 'canopy', 'document', '$pull_id', d, 'here', 'application/pdf', decode('"
		  . unpack('H*', $pdf) . "', 'hex') FROM unnest('{d-VERIFICATION_OF_INSURANCE,d-DECLARATIONS}'::text[]) AS d");
	($sqlstate, undef, undef, $hint) = refusal($policy_id, "document_id => 'd-DECLARATIONS'");
	is($sqlstate, '22023', 'a declarations page is no certificate');
	like($hint, qr/confirm_document/, 'says how to send it all the same');
	is((refusal($policy_id, "document_id => 'nothing'"))[0], '02000', 'one that there is not');
	like((refusal($policy_id, "document_id => 'd-other'"))[1], qr/has no document/, 'one of another policy');
	like((refusal($policy_id, "document_id => 'd-nobody'"))[1], qr/has no document/, 'one of no policy');
	for my $case ([ 'd-VERIFICATION_OF_INSURANCE', '' ], [ 'd-DECLARATIONS', ', confirm_document => true' ])
	{
		my $upload_id = query($node, 'SET client_min_messages = warning; SELECT upload_id FROM '
			  . call($policy_id, undef, "document_id => '$case->[0]'$case->[1]"));
		is( query($node, "SELECT coi_sha256 FROM summit.upload WHERE upload_id = $upload_id"), sha256_hex($pdf),
			"$case->[0] goes along");
		settles_as($node, $upload_id, 'verified');
		query($node, "UPDATE summit.upload SET status = 'failed' WHERE upload_id = $upload_id");
	}
	my ($request) = uploads_at_summit(
		$sandbox,
		query(
			$node, "SELECT carrier_policy_number FROM canopy.policy
		WHERE policy_id = '$policy_id'"));
	is( MIME::Base64::decode_base64($json->decode($request->{body})->{documents}{coi_pdf}{base64}), $pdf,
		'byte by byte');
	is( query($node, 'SET client_min_messages = warning; SELECT payload -> \'documents\' IS NULL FROM ' . call($other)),
		't', 'none goes along that is not named');
	return;
}

sub levels
{
	my $policy_id = pulled();
	my ($sqlstate, undef, undef, $hint) = refusal($policy_id, undef, undef, 'SET ROLE fetcher; ');
	is($sqlstate, '42501', 'a fetcher alone does not read policies');
	like($hint, qr/pii_reader/, 'says what is needed');
	is( sqlstate_of($node, q{SET ROLE app; INSERT INTO summit.insurer VALUES ('x', 'X')}), '42501',
		'nor names insurers');
	return;
}
