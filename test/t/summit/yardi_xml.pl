# Does Yardi get each renters policy once, as what it is to Yardi by now?
use strict;
use warnings;
use utf8;

use CanopyExport;
use CanopyTest;
use Test::More;

my $node = new_node();
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'production');
	SQL

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub fact { return query(fact_of(property_id => 'P', @_)) }

sub key
{
	my ($policy) = @_;
	return query("SELECT policy_status_id FROM canopy_summit.policy_status WHERE policy_number = '$policy'");
}

sub forget { return forget_exports($node) }

# A policy lapses, or comes back, at a time.
sub event
{
	my ($policy, $status, $at, %dates) = @_;
	my $id = key($policy);
	query(<<~"SQL");
		INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, status, occurred_at,
			recorded_at, observed_at, reason_code, policy_type, effective_date, expiry_date)
		SELECT nextval('canopy_summit.status_event_id_seq'), $id, 'summit', 'webhook', '$status', $at, now(), $at,
			'nonpayment', 'Renters', @{[ literal_of($dates{from}) ]}, @{[ literal_of($dates{to}) ]};
		SELECT canopy_summit.policy_status_fold(ARRAY[$id]::bigint[])
		SQL
	return;
}

sub xml { my ($property) = @_; return query("SELECT summit_export_yardi_xml('" . ($property // 'P') . "')") }

# Types and numbers of policies in a document.
sub types
{
	my ($xml) = @_;
	return join ' ',
	  map { join '=', reverse /Type="(\w+)".*?<PolicyNumber>(.*?)</s }
	  $xml =~ /(<InsurancePolicy.*?<\/InsurancePolicy>)/sg;
}

# Yardi says this of a policy.
sub answer
{
	my ($policy, $message) = @_;
	my $key = key($policy);
	my $words = literal_of($message);
	return query(<<~"SQL");
		SELECT summit_export_acknowledge('yardi_xml', t.token, '{$key}', jsonb_build_object('$key', $words))
		FROM (SELECT max(token) FROM summit_export_changes('yardi_xml')) AS t(token)
		SQL
}

my $nothing = '<RenterInsurance xmlns:MITS="http://my-company.com/namespace"/>';

subtest 'Yardi\'s XML' => sub {
	query(<<~'SQL');
		INSERT INTO summit.property (property_id, time_zone) VALUES ('P', 'Pacific/Kiritimati'), ('Q', 'UTC');
		INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, first_name, last_name,
			is_primary)
		VALUES ('P', '1', 'L1', 't1', 'Ann & Co', '<A>', true), ('P', '1', 'L1', 'r2', 'Bob', 'B', false),
			('P', '1', 'L1', 'r3', 'Cy', 'C', false), ('P', '2', 'L2', 't9', NULL, 'Nameless', true),
			('P', '3', 'L3', 't3', 'Dee', 'D', true), ('Q', '1', 'L1', 't1', 'Eve', 'E', true)
		SQL
	is(xml(), $nothing, 'nobody has a policy');
	my %row = (
		policy_number => 'R&1', policy_type => 'Renters', insurer_name => 'Smith & Sons', unit_id => '1',
		lease_id => 'L1', tenant_id => 't1', effective_date => '2026-01-01', expiry_date => '2027-01-01',
		per_occurrence => 100000, holder_name => 'Kelvin', facts => '{"premium": 12, "notes": "x"}');
	my %other = (%row, unit_id => '3', lease_id => 'L3', tenant_id => 't3');
	fact(%row);
	fact(%other, policy_number => 'CGL', policy_type => 'CGL');
	fact(%other, policy_number => "\x{1}", policy_type => 'HO4');
	fact(%row, policy_number => 'NAMELESS', unit_id => '2', lease_id => 'L2', tenant_id => 't9');
	fact(%other, policy_number => 'UNDATED', effective_date => undef);
	fact(%other, policy_number => 'FOREVER', expiry_date => 'infinity');
	my $people =
		'<Customer><MITS:Identification IDType="Resident ID"><MITS:IDValue>t1</MITS:IDValue></MITS:Identification>'
	  . '<MITS:Identification IDType="Roomate1 ID"><MITS:IDValue>r2</MITS:IDValue></MITS:Identification>'
	  . '<MITS:Identification IDType="Roomate2 ID"><MITS:IDValue>r3</MITS:IDValue></MITS:Identification>'
	  . '<MITS:Name><FirstName>Ann &amp; Co</FirstName><LastName>&lt;A&gt;</LastName></MITS:Name></Customer>';
	my $policy = sub {
		my ($type, $from, $to, $renews, $rest, $end) = @_;
		return
			'<RenterInsurance xmlns:MITS="http://my-company.com/namespace">'
		  . qq{<InsurancePolicy Type="$type">$people<Insurer><Name>Smith &amp; Sons</Name></Insurer>}
		  . '<PolicyNumber>R&amp;1</PolicyNumber><PolicyTitle>Renters</PolicyTitle><PolicyDetails>'
		  . "<EffectiveDate>$from</EffectiveDate><ExpirationDate>$to</ExpirationDate><IsRenew>$renews</IsRenew>$rest"
		  . ($end // '')
		  . '<hvendorpolicy>0</hvendorpolicy></PolicyDetails></InsurancePolicy></RenterInsurance>';
	};
	my $amount = '<LiabilityAmount>100000.00</LiabilityAmount>';
	my $id = '<PolicyId>77</PolicyId>';
	my $is = sub { my ($expected, $what) = @_; is(xml(), $expected, $what); return };
	$is->($policy->('new', '2026-01-01', '2027-01-01', 'false', $amount), 'a new one, with roommates');
	is(xml('Q'), $nothing, 'and only of the property');
	is(xml('gone'), $nothing, 'or of none');
	is( query(
			q{SELECT policy_number, problem FROM summit.export_problem
		WHERE system = 'yardi_xml' AND policy_number <> U&'\0001' ORDER BY 1}),
		join("\n", map { "$_|no exportable policyholding residents" } 'FOREVER', 'NAMELESS', 'UNDATED'),
		'what stays out is listed');
	is( query(q{SELECT count(*) FROM summit.export_problem WHERE system = 'yardi_xml'}), 4,
		'so is what no XML can have');
	is(answer('R&1', 'Xml Imported: 2026-11-30 Policy Id:77'), 1, 'Yardi has it');
	$is->($nothing, 'and is not told again');
	fact(%row, per_occurrence => 300000.5);
	$is->(
		$policy->('change', '2026-01-01', '2027-01-01', 'false', '<LiabilityAmount>300000.50</LiabilityAmount>', $id),
		'a change has Yardi\'s own id');
	is(answer('R&1', 'Xml Imported: again'), 1, 'which is kept');
	fact(%row, effective_date => '2027-01-01', expiry_date => '2028-01-01');
	$is->($policy->('renewal', '2027-01-01', '2028-01-01', 'true', $amount, $id), 'a renewal');
	answer('R&1', 'Xml Imported: Policy Id: 77');
	event('R&1', 'submitted', 'now() - interval \'9 days\'', from => '2020-01-01', to => '2099-01-01');
	fact(%row, effective_date => '2020-01-01', expiry_date => '2099-01-01');
	query("DELETE FROM summit.certificate_fact WHERE effective_date > '2020-01-01' AND policy_number = 'R&1'");
	event(
		'R&1', 'lapsed', q{(now() AT TIME ZONE 'Pacific/Kiritimati')::date::timestamp AT TIME ZONE 'Pacific/Kiritimati'
		+ interval '1 day'});
	unlike(xml(), qr/cancel|CancelDate/, 'it is not canceled before its day');
	answer('R&1', 'Xml Imported: Policy Id:77');
	query(q{DELETE FROM canopy_summit.status_event WHERE status = 'lapsed'});
	event(
		'R&1', 'lapsed',
		q{(now() AT TIME ZONE 'Pacific/Kiritimati')::date::timestamp AT TIME ZONE 'Pacific/Kiritimati'});
	my $day = query(q{SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date});
	$is->(
		$policy->('cancel', '2020-01-01', '2099-01-01', 'false', "<CancelDate>$day</CancelDate>$amount", $id),
		'but on it, where the property is');
	answer('R&1', 'Xml Imported: Policy Id:77');
	$is->($nothing, 'once');
	event('R&1', 'reinstated', 'now()', from => $day, to => '2099-01-01');
	is(types(xml()), 'R&amp;1=change', 'it comes back');
	answer('R&1', 'Xml Imported: Policy Id:77');
	query(q{UPDATE summit.property_reference SET status = 'Past' WHERE property_id = 'P'});
	$is->($nothing, 'who leaves takes no policy along');
	query(q{UPDATE summit.property_reference SET status = 'Current', first_name = 'Anna' WHERE property_id = 'P'});
	like(xml(), qr{Type="change".*<FirstName>Anna</FirstName>}, 'a name that changes is a change');
	unlike(xml(), qr/Note|Premium|>12<|Kelvin/i, 'and nothing else of it is told');
	forget();
};

subtest 'what Yardi answers' => sub {
	query(
		q{INSERT INTO summit.property_reference (property_id, tenant_id, first_name, last_name)
		VALUES ('P', 't', 'A', 'B')}
	);
	my %row = (
		policy_type => 'Renters', insurer_name => 'I', tenant_id => 't', effective_date => '2026-01-01',
		expiry_date => '2027-01-01');
	my @limits = (1 .. 100);
	my $change =
	  sub { my ($policy) = @_; fact(%row, policy_number => $policy, per_occurrence => shift @limits); return };
	my $listed = q{SELECT problem FROM summit.export_problem WHERE system = 'yardi_xml'};
	for my $words ('XSD Error: Policy Id: is missing', 'Access Denied', 'Login failed.', 'Invalid Interface Entity')
	{
		$change->('A');
		is(types(xml()), 'A=new', 'it is sent');
		answer('A', $words);
		is(xml(), $nothing, "\"$words\" is a refusal");
		is(query($listed), "the receiver refused it: $words", 'that is listed');
	}
	$change->('A');
	is(types(xml()), 'A=new', 'and sent once it changes');
	for my $words ('Policy already exists in database', 'Found duplicate insurance policy')
	{
		answer('A', $words);
		is(xml(), $nothing, "\"$words\": Yardi has one, and without its id a change would make a second");
		is(query($listed), 'the receiver has it, and has not told its Policy Id', 'which is listed');
		is(query(q{SELECT change FROM summit_export_changes('yardi_xml')}), 'change', 'and known');
	}
	answer('A', 'Found duplicate insurance policy, Policy Id:5 is it');
	is(xml(), $nothing, 'with it, it is in order');
	$change->('A');
	like(xml(), qr{Type="change".*<PolicyId>5</PolicyId>}, 'and changes');
	answer('A', 'Could not locate insurance policy based on policy number and tenant identifier');
	is(types(xml()), 'A=new', 'what is not there is sent as new');
	answer('A', undef);
	is(xml(), $nothing, 'no words are good ones');
	forget();
};

done_testing();
