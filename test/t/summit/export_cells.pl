# Is every cell of an export as it was told, whatever is in it and whatever a session has set?
use strict;
use warnings;
use utf8;

use CanopyTest;
use CanopyExport;
use Encode qw(decode encode);
use Test::More;
use Unicode::Normalize qw(NFC NFD);

my $node = new_node();
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'production');
	CREATE SERVER box FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
	CREATE ROLE reader;
	CREATE ROLE pii_reader;
	SELECT canopy_summit.grant_access('reader', 'reader'), canopy_summit.grant_access('pii_reader', 'pii_reader');
	GRANT USAGE ON FOREIGN SERVER summit TO pii_reader;
	SQL

my @systems = qw(buildium entrata realpage yardi);

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub file { return export_file($node, @_) }
sub rows { return export_rows($node, @_) }
sub fact { return query(fact_of(@_)) }
sub forget { return forget_exports($node) }
sub problems { return export_problems($node, @_) }

my @names = (
	"Société d'assurance Générale Ltée", "Cœur-de-l\x{2019}Île", NFC('Montréal'), NFD('Montréal Nord'),
	'=HYPERLINK("http://x";"y")', '@SUM(1)', "\x{FF1D}1", 'a "quoted" one', '"', "line\nbreak\r\nand more", "\ttab\t",
	"\x{200F}\x{05D0}\x{202E}", ' blank ', '+1 250-555-0100', '-3', '-3+4', q{\N}, q{\.}, "'", '$$', 'a;b,c', '007',
	"\x{1F3E0}", '%s %L', 'NULL', "\x{FEFF}x");

# Every name in each column that has any text.
sub add_names
{
	query(
		join ';',
		map {
			my $name = $names[$_];
			fact_of(
				policy_number => $name, policy_type => $name, insurer_name => $name, holder_name => $name,
				property_id => "P$_", unit_id => $name, lease_id => $name, tenant_id => $name,
				endorsements => JSON::PP->new->encode([ map { 'E ' . s/;//gr } $name, $name ]))
		} 0 .. $#names);
	return;
}

sub expected_name
{
	my ($at) = @_;
	my $name = $names[$at];
	my $listed = join '; ', map { 'E ' . s/;//gr } $name, $name;
	return [ "P$at", ($name) x 4, '', '', ($name) x 3, ('') x 5, $listed, '' ];
}

subtest 'names' => sub {
	add_names();
	for my $options ({}, { delimiter => ';' }, { delimiter => "\t", line_end => 'CRLF' }, { bom => \1 })
	{
		my $rows = rows('yardi', $options);
		is_deeply($rows->[$_], expected_name($_), encode('UTF-8', "$names[$_] is as it was")) for 0 .. $#names;
	}
	my $expected = join "\n", map { s/"/""/gr } grep { /^[=@\x{FF1D}\t]|^-3\+/ } @names;
	is( decode(
			'UTF-8',
			query(
				q{SELECT DISTINCT ON (row_key::bigint) replace(policy_number, '"', '""')
		FROM summit.export_problem WHERE system = 'yardi' ORDER BY row_key::bigint})),
		$expected,
		'what a spreadsheet would run is listed');
	is(query(q{SELECT DISTINCT severity FROM summit.export_problem}), 'warning', 'and nothing else');

	my $file = file('yardi');
	is( query(
				q{SELECT taken, problems FROM summit_import_roster('yardi', decode('}
			  . unpack('H*', $file)
			  . q{', 'hex'), server => 'box')}),
		scalar(@names) . '|0',
		'a file is imported');
	my $same = join ' OR ', map {
		my $b = literal_of($names[$_]);
		"(property_id = 'P$_' AND unit_id = $b AND lease_id = $b AND tenant_id = $b
			AND insurance ->> 'policy_number' = $b AND insurance ->> 'insurer_name' = $b)"
	} 0 .. $#names;
	is( query("SELECT count(*) FROM summit.property_reference WHERE server = 'box' AND ($same)"), scalar @names,
		'byte by byte');
	is( query(
				q{SELECT unchanged FROM summit_import_roster('yardi', decode('}
			  . unpack('H*', $file)
			  . q{', 'hex'), server => 'box')}),
		scalar @names,
		'and again');
	forget();

	fact(
		policy_number => $_, holder_name => $_ eq 'n' ? NFC('Montréal') : NFD('Montréal'), property_id => 'MTL',
		tenant_id => $_) for 'n', 'd';
	is(rows('yardi')->[1][4], NFD('Montréal'), 'accents are as they were');
	query(q{INSERT INTO summit.property (server, property_id, time_zone) VALUES ('box', 'MTL', 'America/Toronto')});
	query(  q{SELECT summit_import_roster('yardi', decode('}
		  . unpack('H*', file('yardi'))
		  . q{', 'hex'), server => 'box')});
	is( decode('UTF-8', query(q{SELECT name FROM summit.property WHERE property_id = 'MTL'})), NFC('Montréal'),
		'two forms are one name');
	my $old = rows('yardi', { encoding => 'WIN1252' });
	is($old->[1][4], NFC('Montréal'), 'an older encoding has one form');
	is($old->[0][4], $old->[1][4], 'of both');
	forget();
};

subtest 'encodings' => sub {
	fact(policy_number => $_, holder_name => $_, property_id => 'P')
	  for "Ltée \x{2019}œ", 'plain', "\x{4E2D}", NFD('é'), "\x{1F3E0}";
	is( file('yardi', { encoding => 'WIN1252', header => \0 }),
		encode('cp1252', join '', map { "P,,,,$_,,,$_,,,,,,,,,\n" } "Ltée \x{2019}œ", 'plain', 'é'),
		'what it lacks stays out');
	is(problems('yardi'), '', 'and is no problem of the system');
	query(q{UPDATE summit.export_system SET encoding = 'windows1252' WHERE system = 'yardi'});
	is( decode('UTF-8', problems('yardi')),
		qq{\x{4E2D}|problem|column "Property Name" has U+4E2D, which WIN1252 has not\n}
		  . qq{\x{1F3E0}|problem|column "Property Name" has U+1F3E0, which WIN1252 has not},
		'unless that is its encoding');
	is( length file('yardi', { header => \0 }),
		length(encode('cp1252', "P,,,,Ltée \x{2019}œ,,,Ltée \x{2019}œ,,,,,,,,,\n")) +
		  length('P,,,,plain,,,plain,,,,,,,,,P,,,,e,,,e,,,,,,,,,') + 2, 'by its style, too');
	is( query(q{SELECT count(*) FROM summit.yardi_export}) . query('SELECT count(*) FROM summit.entrata_export'), '35',
		'so are the views');
	query('DELETE FROM summit.export_system WHERE NOT builtin');
	is(scalar @{ rows('yardi', { encoding => $_ }) }, 5, $_) for 'utf8', 'UNICODE', 'UTF-8';
	is(rows('yardi', { encoding => 'unicode' })->[3][4], NFD('é'), 'of which none composes');
	is( scalar sqlstate_of($node, q{SELECT summit_export_file('yardi', '{"encoding": "MULE_INTERNAL"}')}), '22023',
		'what nothing converts to');
	forget();
};

subtest 'odd certificates' => sub {
	my @odd = (
		{ per_occurrence => 0, aggregate => '1e15' }, { per_occurrence => undef },
		{ effective_date => '2024-02-29', expiry_date => '2025-02-28' },
		{ effective_date => '2023-02-28', expiry_date => '2024-02-29' },
		{ unit_id => '-3', tenant_id => '+1 250-555-0100' },
		{ lease_id => 'L1', tenant_id => 't' }, { lease_id => 'L2', tenant_id => 't' },
		{ holder_name => 'H1', property_id => 'P1', tenant_id => 't2' },
		{ holder_name => 'H2', property_id => 'P2', tenant_id => 't2' });
	fact(policy_number => "O$_", property_id => 'P', unit_id => $_, tenant_id => "t$_", %{ $odd[$_] }) for 0 .. $#odd;
	my $rows = rows('yardi');
	is(scalar @$rows, scalar @odd, 'all are exported');
	is("@{$rows->[0]}[12, 13]", '0 1000000000000000', 'no limit, and a large one');
	is("@{$rows->[2]}[10, 11] @{$rows->[3]}[10, 11]", '2024-02-29 2025-02-28 2023-02-28 2024-02-29', '29 February');
	is("@{$rows->[5]}[2, 3] @{$rows->[6]}[2, 3]", 'L1 t L2 t', 'a tenant with two leases');
	is("@{$rows->[7]}[0, 3, 4] @{$rows->[8]}[0, 3, 4]", 'P1 t2 H1 P2 t2 H2', 'two holders with one tenant');
	is( query(
				q{SELECT taken, problems FROM summit_import_roster('yardi', decode('}
			  . unpack('H*', file('yardi'))
			  . q{', 'hex'), server => 'box')}),
		scalar(@odd) . '|0',
		'and are imported');
	is(problems('yardi'), '', 'and nothing is listed');
	uploaded($node, 'O9', sub { @{ $_[0]{policy} }{qw(effective_date expiry_date)} = ('2026-01-02', '2026-01-01') });
	is( "@{rows('yardi')->[9]}[10, 11]", '2026-01-02 2026-01-01',
		'an expiry before the effective date is as it was told');
	query(  q{SELECT summit_import_roster('yardi', decode('}
		  . unpack('H*', file('yardi'))
		  . q{', 'hex'), server => 'box')});
	is( query('SELECT heading, value, problem FROM summit.import_problem'),
		'Expiration Date|2026-01-01|is before effective_date', 'and listed by who takes it');
	my %bad = (
		per_occurrence => [ 'Per Occurrence', 'is not an amount', 'NaN', 'Infinity', '-1' ],
		aggregate => [ 'General Aggregate', 'is not an amount', '-0.5' ],
		expiry_date => [ 'Expiration Date', 'is not a date', 'infinity', '10000-01-01' ],
		effective_date => [ 'Effective Date', 'is not a date', '-infinity', '0001-01-01 BC' ]);
	forget();
	for my $column (sort keys %bad)
	{
		my ($heading, $problem, @values) = @{ $bad{$column} };
		for my $value (@values)
		{
			fact(policy_number => 'B', property_id => 'P', $column => $value);
			is(scalar @{ rows('yardi') }, 0, "$column $value stays out");
			is(problems('yardi'), qq{B|problem|column "$heading" $problem}, 'and is listed');
			forget();
		}
	}
	fact(policy_number => 'N', unit_id => '1');
	is(scalar @{ rows('yardi') }, 0, 'nobody\'s property');
	is(problems('yardi'), 'N|problem|required column "PropertyID" is empty', 'is listed');
	forget();
};

# Whatever a session can set.
my $settings = join '; ', map { "SET $_" } (
	"DateStyle = 'German, DMY'", "IntervalStyle = 'sql_standard'", 'bytea_output = escape',
	($node->pg_version->major < 19 ? 'standard_conforming_strings = off' : ()),
	'backslash_guote = on' =~ s/guote/quote/r,
	"TimeZone = 'Pacific/Kiritimati'",
	'row_security = off', 'xmloption = document', 'xmlbinary = hex', 'extra_float_digits = -15', 'jit = on',
	'default_transaction_isolation = \'repeatable read\'', "search_path = 'evil, pg_catalog, public'" =~ s/'//gr,
	'enable_nestloop = off', 'work_mem = 64', 'plan_cache_mode = force_generic_plan');

subtest 'settings of a session' => sub {
	query(<<~'SQL');
		CREATE SCHEMA evil;
		GRANT USAGE ON SCHEMA evil TO PUBLIC;
		CREATE FUNCTION evil.csv_line(text[], text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
		CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT timestamptz ''1999-01-01Z''';
		CREATE FUNCTION evil.to_char(date, text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
		CREATE FUNCTION evil.coalesce(text, text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
		CREATE FUNCTION evil.equals(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equals);
		CREATE FUNCTION evil.convert_to(text, name) RETURNS bytea LANGUAGE sql AS 'SELECT ''evil''::bytea';
		CREATE TABLE evil.export_line (line text);
		SQL
	add_names();
	query(
		q{INSERT INTO summit.property_reference (property_id, tenant_id, first_name, last_name)
		VALUES ('P', 't', 'A', 'B')}
	);
	fact(
		policy_number => 'D', policy_type => 'Renters', insurer_name => 'I', property_id => 'P', tenant_id => 't',
		effective_date => '2024-02-29', expiry_date => '2025-02-28', per_occurrence => '1234567.50',
		additional_insured => 'true');
	my @calls = (
		(   map {
				(   "SELECT encode(convert_to(l, 'UTF8'), 'hex') FROM summit_export('$_') AS l",
					"SELECT encode(summit_export_file('$_', '{\"bom\": true, \"line_end\": \"CRLF\"}'), 'hex')")
			} @systems),
		q{SELECT row_key, change, encode(convert_to(line, 'UTF8'), 'hex') FROM summit_export_changes('yardi')},
		q{SELECT summit_export_yardi_xml('P')});
	for my $call (@calls)
	{
		my $plain = query("SET ROLE pii_reader; $call");
		my $hostile = query("SET ROLE pii_reader; $settings; " . $call =~ s/\b(encode|convert_to)\(/pg_catalog.$1(/gr =~
			  s/\bsummit_export/public.summit_export/gr);
		is($hostile, $plain, "the same: $call");
	}
	is( query(
			"SET ROLE reader; $settings; SELECT count(*), min(effective_date) FROM summit.yardi_export e
		WHERE effective_date IS NOT NULL"),
		'1|2024-02-29',
		'so are views');
	query('DROP SCHEMA evil CASCADE');
	forget();
};

done_testing();
