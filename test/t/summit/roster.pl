# Is a roster taken as it is, or listed with what is wrong in it, and never in part?
use strict;
use warnings;
use utf8;

use CanopyTest;
use Encode qw(encode);
use Test::More;
use Time::HiRes qw(time);
use Unicode::Normalize qw(NFC NFD);

my $node = new_node();
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'production');
	CREATE SERVER box FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
	INSERT INTO summit.property (property_id, time_zone, country, province, language)
	VALUES ('007', 'Pacific/Kiritimati', 'CA', 'BC', 'en'), ('P', 'America/Vancouver', NULL, NULL, 'fr-CA');
	CREATE ROLE manager;
	CREATE ROLE nobody;
	CREATE ROLE reader;
	SELECT canopy_summit.grant_access('manager', 'manager'), canopy_summit.grant_access('reader', 'reader');
	SQL

my @headings = split /,/,
  'PropertyID,UnitID,LeaseID,ResidentID,Property Name,Custom Field: Additional Insured,'
  . 'Custom Field: Waiver,Policy Number,Carrier,Policy Type,Effective Date,Expiration Date,Per Occurrence,'
  . 'General Aggregate,Cancel Notice,Endorsements,COI Document';

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# A quoted cell where it has to be.
sub cell
{
	my ($value, $delimiter) = @_;
	return '' unless defined $value;
	return $value unless $value =~ /["\r\n]|\Q$delimiter\E/ || $value eq '';
	return '"' . $value =~ s/"/""/gr . '"';
}

# CSV of rows. Options: headings, delimiter, end.
sub csv
{
	my ($rows, %options) = @_;
	my $delimiter = $options{delimiter} // ',';
	return join '', map {
		my $row = $_;
		join($delimiter, map { cell($_, $delimiter) } @$row) . ($options{end} // "\n")
	} $options{headings} // \@headings, @$rows;
}

# A row of Yardi's mapping: the ids, and cells by the number of their column.
sub row
{
	my ($ids, %cells) = @_;
	my @row = (@$ids, (undef) x (@headings - @$ids));
	$row[$_] = $cells{$_} for keys %cells;
	return \@row;
}

# A literal for bytes; psql has no part in it.
sub bytes { my ($bytes) = @_; return "decode('" . unpack('H*', $bytes) . "', 'hex')" }

# The call of an import. Options: bytes, system, rest: more arguments.
sub import_of
{
	my ($csv, %options) = @_;
	my $bytes = bytes($options{bytes} ? $csv : encode('UTF-8', $csv));
	my $argument = $options{bytes} ? $bytes : "convert_from($bytes, 'UTF8')";
	my $system = $options{system} // 'yardi';
	return
	  "SELECT taken, unchanged, ended, problems FROM summit_import_roster('$system', $argument"
	  . ($options{rest} ? ", $options{rest}" : '') . ')';
}

sub imports { return query(import_of(@_)) }

# What is listed: line, heading, value and problem.
sub problems
{
	return query(<<~'SQL');
		SELECT concat_ws('|', line, coalesce(heading, '-'), coalesce(value, '-'), problem)
		FROM summit.import_problem WHERE server = 'summit' ORDER BY problem_id
		SQL
}

# Nothing is known of anybody.
sub forget
{
	query('DELETE FROM summit.property_reference; DELETE FROM canopy_summit.import_problem');
	return;
}

subtest 'properties' => sub {
	is( query(q{SELECT server, country FROM summit.property WHERE property_id = '007'}), 'summit|CA',
		'the server is filled');
	for my $zone ('PST', 'EST5EDT4', 'localtime', 'America/Nowhere', 'America/../etc', '', '-08')
	{
		my ($state, $message, undef, $hint) =
		  sqlstate_of($node, "INSERT INTO summit.property (property_id, time_zone) VALUES ('x', '$zone')");
		is("$state $message", qq{22023 time zone "$zone" does not exist}, "zone '$zone'");
		is($hint, "Use a name such as America/Vancouver; never the session's.", 'with a hint');
	}
	is(scalar sqlstate_of($node, "INSERT INTO summit.property (property_id) VALUES ('x')"), '22023', 'none is none');
	is(scalar sqlstate_of($node, "UPDATE summit.property SET $_"), '22023', $_)
	  for "country = 'Canada'", "language = 'English'", "province = 'Colombie'", "time_zone = 'x'", "property_id = ''";
	is( query(
			"INSERT INTO summit.property (property_id, time_zone, server) VALUES ('x', 'UTC', 'gone') RETURNING server"
		),
		'gone',
		'a server may be gone');
	is( scalar sqlstate_of($node, "INSERT INTO summit.property (property_id, time_zone) VALUES ('P', 'UTC')"),
		'23505', 'one is there once');
};

subtest 'references by hand' => sub {
	forget();
	my $copy = <<~'SQL';
		COPY summit.property_reference (property_id, unit_id, lease_id, tenant_id, name, status)
		FROM STDIN (FORMAT csv);
		007,1,L1,t1,Ann,Current
		007,1,L1,r2,Bob,Current
		P,-3,,t9,,
		\.
		SQL
	$node->safe_psql('postgres', $copy) for 1 .. 2;
	my $all =
	  q{SELECT count(*), max(reference_id) - min(reference_id), count(DISTINCT server) FROM summit.property_reference};
	is(query($all), '3|2|1', 'a roster that is copied twice is there once');
	is(query(<<~'SQL'), "t|t|tenant|t\nf|t|tenant|t", 'with what is filled in; the day begins where the property is');
		SELECT DISTINCT property_id = '007', valid_from = (now() AT TIME ZONE CASE property_id
				WHEN '007' THEN 'Pacific/Kiritimati'
			ELSE 'America/Vancouver' END)::date, kind, is_primary
		FROM summit.property_reference ORDER BY 1 DESC
		SQL
	query(
		q{INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, status)
		VALUES ('007', '1', 'L1', 't1', 'Notice')}
	);
	is( query(q{SELECT name, status FROM summit.property_reference WHERE tenant_id = 't1'}), 'Ann|Notice',
		'what differs is changed');
	query(<<~'SQL') for 1 .. 2;
		INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, valid_from, valid_to)
		VALUES ('007', '0', 'L0', 't0', '2020-01-01', '2021-01-01')
		SQL
	is(query(q{SELECT count(*) FROM summit.property_reference WHERE tenant_id = 't0'}), 1, 'so is one that has ended');
	query(
		q{INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, valid_to)
		VALUES ('007', '1', 'L1', 't1', 'infinity')}
	);
	is(query(q{SELECT valid_to FROM summit.property_reference WHERE tenant_id = 't1'}), 'infinity', 'one ends');
	is( scalar sqlstate_of($node, "INSERT INTO summit.property_reference (property_id, kind) VALUES ('P', 'cat')"),
		'22023', 'a kind');
	is(scalar sqlstate_of($node, "UPDATE summit.property_reference SET kind = 'cat'"), '22023', 'changed');
	is(scalar sqlstate_of($node, <<~'SQL'), '22023', 'an end before the beginning');
		INSERT INTO summit.property_reference (property_id, valid_from, valid_to)
		VALUES ('P', '2026-01-01', '2026-01-01')
		SQL
	is(scalar sqlstate_of($node, "UPDATE summit.property_reference SET valid_to = valid_from"), '22023', 'changed');
	query('CREATE TABLE dump AS SELECT * FROM summit.property_reference; DELETE FROM summit.property_reference');
	query(
		"UPDATE dump SET server = 'gone', recorded_at = '2001-01-01';
		INSERT INTO summit.property_reference SELECT * FROM dump"
	);
	is( query('SELECT * FROM dump EXCEPT SELECT * FROM summit.property_reference') . query($all), '4|3|1',
		'what is restored is as it was, whether the server is there or not');
	query(q{DROP TABLE dump});
};

subtest 'an import' => sub {
	forget();
	my $roster = csv(
		[   row([ '007', '1', 'L1', 't1', 'The Kelvin' ], 7 => 'POL 1', 8 => 'Aviva', 10 => '2026-01-01',
				11 => '2027-01-01', 5 => 'TRUE'),
			row([ '007', '1', 'L1', 'r2', 'The Kelvin' ]),
			row([ '007', '002', '', 't3' ]) ]);
	is(imports($roster, rest => 'dry_run => true'), '3|0|0|0', 'a dry run counts');
	is(query('SELECT count(*) FROM summit.property_reference'), 0, 'and takes nothing');
	is(imports($roster), '3|0|0|0', 'then it is taken');
	is(imports($roster), '0|3|0|0', 'and known');
	is( query(
			q{SELECT property_id, unit_id, lease_id, tenant_id, is_primary, insurance, system
			FROM summit.property_reference ORDER BY tenant_id}
		),
		"007|1|L1|r2|f||yardi\n"
		  . '007|1|L1|t1|t|{"expiry_date": "2027-01-01", "insurer_name": "Aviva", "policy_number": "POL 1", '
		  . '"effective_date": "2026-01-01", '
		  . '"additional_insured": "TRUE"}|yardi'
		  . "\n007|002||t3|t||yardi",
		'with what it says of policies');
	is(query(q{SELECT name FROM summit.property WHERE property_id = '007'}), 'The Kelvin', 'a property gets its name');
	is(imports(csv([ row([ '007', '1', 'L1', 't1' ]) ])), '1|0|0|0', 'a policy that is gone is a change');
	my @more = (
		@headings, 'resident guid', 'RESIDENT NAME', 'First Name', 'Last Name', 'Status', 'Lease From', 'Lease To',
		'Kind', 'Valid From', 'x', 'x');
	my $named = csv(
		[   [   @{ row([ '007', '1', 'L1', 't1' ]) }, 'g', 'Ann A', 'Ann', 'A', 'Current', '2026-01-01', '2026-12-31',
				'Tenant', '2026-01-02', 1, 2 ],
			[   @{ row([ '007', undef, undef, 'v1' ]) }, undef, 'Plumber', undef, undef, undef, undef, undef, 'VENDOR',
				undef, 1, 2 ] ],
		headings => \@more);
	is(imports($named), '2|0|0|0', 'with names');
	is(query(<<~'SQL'), 'g|Ann A|Ann|A|Current|2026-01-01|2026-12-31|tenant|2026-01-02', 'all of them');
		SELECT resident_guid, name, first_name, last_name, status, lease_from, lease_to, kind, valid_from
		FROM summit.property_reference WHERE tenant_id = 't1'
		SQL
	is(imports($roster), '1|2|0|0', 'a file without them keeps them');
	is(query(q{SELECT name FROM summit.property_reference WHERE tenant_id = 't1'}), 'Ann A', 'as they were');
	is(imports(csv([])), '0|0|0|0', 'nobody is ended by an empty file');
	is(query('SELECT count(*) FROM summit.property_reference WHERE valid_to IS NULL'), 4, 'nor is anybody');
};

subtest 'how files are written' => sub {
	my @rows = (
		row([ 'P', '1', 'L1', 't1', 'Société Montréal' ], 8 => "Société d'assurance Générale Ltée"),
		row([ 'P', '2', 'L2', 't2' ]));
	my %files = (
		plain => csv(\@rows), bom => "\x{FEFF}" . csv(\@rows), crlf => csv(\@rows, end => "\r\n"),
		semicolon => csv(\@rows, delimiter => ';'), tab => csv(\@rows, delimiter => "\t"),
		all => "\x{FEFF}" . csv(\@rows, delimiter => ';', end => "\r\n"),
		blanks => csv(\@rows, headings => [ map { " $_ " } @headings ]), empty => csv(\@rows) . (',' x 16) . "\n\n");
	for my $name (sort keys %files)
	{
		for my $encoding ('text', 'UTF-8', 'cp1252')
		{
			next if $encoding eq 'cp1252' && $name =~ /bom|all/;
			forget();
			my $file = $encoding eq 'text' ? $files{$name} : encode($encoding, $files{$name});
			is(imports($file, bytes => $encoding ne 'text'), '2|0|0|0', "$name, $encoding");
			is( query(
					q{SELECT insurance ->> 'insurer_name'
					= U&'Soci!00E9t!00E9 d''assurance G!00E9n!00E9rale Lt!00E9e' UESCAPE '!'
				FROM summit.property_reference WHERE tenant_id = 't1'}),
				't',
				'the name is as it was');
		}
	}
	forget();
	is( imports(
			csv(\@rows,
				headings => [
					split /,/,
					'Property ID,Unit,Lease ID,Resident/Tenant,Property Name,Custom Field,Custom Field,'
					  . 'Policy Number,Carrier,Coverage Type,Effective Date,Expiration Date,CGL Per Occurrence,'
					  . 'CGL Aggregate,Cancellation Notice,'
					  . 'Endorsements,Insurance Certificate' ]),
			system => 'buildium'),
		'2|0|0|0',
		'another system');
	query('DELETE FROM summit.property_reference');
	is( imports("Resident,Custom Field,Property Code,Custom Field\nr1,true,P,false\n", system => 'realpage'), '1|0|0|0',
		'any order');
	is( query('SELECT tenant_id, is_primary, insurance FROM summit.property_reference'),
		'r1|t|{"additional_insured": "true", "waiver_of_subrogation": "false"}', 'and what is there twice by its place'
	);
};

subtest 'names' => sub {
	my @names = (
		"Société d'assurance Générale Ltée", '=HYPERLINK("http://x";"y")', '@SUM(1)', "\x{FF1D}1", "a \"quoted\" one",
		"line\nbreak\r\nand more",
		"\ttab\t", "\x{200F}\x{05D0}\x{202E}", ' blank ', '+1 604 555 0100', '-3', q{\N \. \\}, "'", '$$', 'a;b,c',
		'007', '1E5');
	my @rows = map {
		row([ "P $names[$_]", $names[$_], "L$names[$_]", "t$names[$_]" ], 7 => $names[$_], 8 => $names[$_],
			15 => $names[$_])
	} 0 .. $#names;
	forget();
	is(imports(csv(\@rows)), scalar(@names) . '|0|0|0', 'are taken');
	is(imports(csv(\@rows)), '0|' . scalar(@names) . '|0|0', 'and known');
	my $same = join ' OR ', map {
		my $b = "convert_from(" . bytes(encode('UTF-8', $_)) . ", 'UTF8')";
		"(unit_id = $b AND property_id = 'P ' || $b AND lease_id = 'L' || $b AND tenant_id = 't' || $b
			AND insurance ->> 'policy_number' = $b)"
	} @names;
	is(query("SELECT count(*) FROM summit.property_reference WHERE $same"), scalar @names, 'byte by byte');
	my @named = (@headings, 'Resident Name');
	forget();
	imports(csv([ [ @{ row([ 'P', '1', 'L', 't', NFC('Montréal') ]) }, NFC('Zoé') ] ], headings => \@named));
	is( imports(csv([ [ @{ row([ 'P', '1', 'L', 't', NFD('Montréal') ]) }, NFD('Zoé') ] ], headings => \@named)),
		'0|1|0|0',
		'accents are the same however they are encoded');
};

subtest 'what is listed' => sub {
	forget();
	query(<<~'SQL');
		INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id)
		VALUES ('007', '007', 'L1', 't1'), ('007', '8', 'L8', 't8'), ('007', '9', 'L9', 't9'),
			('007', '9', 'L10', 't9'), ('007', '10', '0', 't10')
		SQL
	my @cases = (
		[ row([ '7', '1', 'L', 'a' ]), 'PropertyID|7|differs only by leading zeros from "007"' ],
		[ row([ '007', '7', 'L', 'b' ]), 'UnitID|7|differs only by leading zeros from "007"' ],
		[ row([ '007', '007', 'L', '' ], 3 => 't01'), undef ],
		[ row([ '007', '08', 'L', 'c' ]), 'UnitID|08|differs only by leading zeros from "8"' ],
		[ row([ undef, '1', 'L', 'd' ]), 'PropertyID|-|is required' ],
		[ row(['P']), 'ResidentID|-|is required' ],
		[ row([ 'P', '1E+05', 'L', 'e' ]), 'UnitID|1E+05|looks like a number that a spreadsheet made' ],
		[   row([ 'P', '1', 'L', 'f' ], 7 => '1.23457E+14'),
			'Policy Number|1.23457E+14|looks like a number that a spreadsheet made' ],
		(   map { [ row([ 'P', $_, 'L', "g$_" ]), "UnitID|$_|looks like a date that a spreadsheet made" ] }
			  qw(1-Mar Mar-01 3-Jan-26)),
		[ row([ 'P', '1', 'L', 'h' ], 11 => '31/12/26'), 'Expiration Date|31/12/26|has a year of two digits' ],
		(   map {
				[ row([ 'P', '1', 'L', "i$_" ], 10 => $_), "Effective Date|$_|is not a date in the style YYYY-MM-DD" ]
			} qw(31/12/2026 2026-02-30 2026-1-1 tomorrow 20260101 0001-01-01)),
		(   map { [ row([ 'P', '1', 'L', "j$_" ], 12 => $_), "Per Occurrence|$_|is not an amount" ] } '2 000 000,00 $',
			'$5', '1,000', '-1', '1e15', 'NULL', 'NaN'),
		[   row([ 'P', '1', 'L', 'k' ], 12 => '1E+15'),
			'Per Occurrence|1E+15|looks like a number that a spreadsheet made' ],
		[   row([ 'P', '1', 'L', 'l' ], 5 => 'perhaps'),
			'Custom Field: Additional Insured|perhaps|is not true or false in the style true/false' ],
		[ row([ 'P', '1', 'L', 'm' ], 14 => '30 days'), 'Cancel Notice|30 days|is not a whole number' ],
		[   row([ 'P', '1', 'L', 'n' ], 10 => '2026-01-02', 11 => '2026-01-01'),
			'Expiration Date|2026-01-01|is before effective_date' ],
		[   row([ 'P', '1', 'L', 'o' ], 10 => '2026-01-01', 11 => '2026-01-01'),
			'Expiration Date|2026-01-01|is before effective_date' ],
		[ row([ '007', '99', 'L', 'p' ]), 'UnitID|99|is not a known unit' ],
		[ row([ '007', '9', 'L8', 't8' ]), 'ResidentID|t8|has moved' ],
		[ row([ '007', '9', 'L11', 't9' ]), 'ResidentID|t9|has moved' ],
		[ row([ '007', '9', 'L9', 't9' ]), undef ],
		[ row([ 'P', '1', 'L', 'was_20260101_t1' ]), 'ResidentID|was_20260101_t1|is an id that was replaced' ],
		[ row([ 'P', '1', 'L', 'q' ], 12 => '0', 13 => '1000000000000000'), undef ],
		[ row([ 'P', '1', 'L', 'q' ], 12 => '0', 13 => '1000000000000000'), undef ],
		[ row([ 'P', '1', 'L', 'q' ], 12 => '1'), 'ResidentID|q|is twice in the file' ],
		[ [ 'P', '1' ], '-|-|has 2 fields, the heading has 17' ],
		[ row([ 'P', '-3', 'M1', 'two' ]), undef ],
		[ row([ 'P', '-3', 'M2', 'two' ]), undef ],
		[ row([ 'P', '1E5', 'L', '1E5' ]), undef ]);
	my @expected = map { my $at = $_ + 2; my $what = $cases[$_][1]; defined $what ? "$at|$what" : () } 0 .. $#cases;
	my $file = csv([ map { $_->[0] } @cases ]);
	my $listed = scalar @expected;
	is(imports($file, rest => 'NULL, true'), "5|1|0|$listed", 'a dry run');
	is(problems(), join("\n", @expected), 'lists it all');
	is( query('SELECT DISTINCT dry_run, system, imported_by = session_user, environment FROM summit.import_problem'),
		't|yardi|t|production', 'and says so');
	is(query('SELECT count(*) FROM summit.property_reference'), 5, 'and takes nothing');
	is(imports($file), "5|1|0|$listed", 'the import counts the same');
	is(problems(), join("\n", @expected), 'and lists the same');
	is( query(
			q{SELECT string_agg(tenant_id, ' ' ORDER BY tenant_id COLLATE "C")
			FROM summit.property_reference WHERE system IS NOT NULL}
		),
		'1E5 q t01 two two',
		'what is good is taken');
	query(q{INSERT INTO summit.property_reference (property_id, unit_id) VALUES ('007', '7')});
	is(imports(csv([ row([ '007', '7', 'L', 'b' ]) ])), '1|0|0|0', 'an id that is known is meant');
	is(problems(), '', 'and what was listed before is gone');

	query(<<~'SQL');
		INSERT INTO summit.export_column (server, system, position, heading, source, date_style, boolean_style)
		VALUES ('', 'yardi', 11, 'Effective Date', 'effective_date', 'DD/MM/YYYY', 'true/false'),
			('summit', 'yardi', 11, 'From', 'effective_date', 'M/D/YYYY', 'true/false'),
			('', 'yardi', 6, 'Custom Field: Additional Insured', 'additional_insured', 'YYYY-MM-DD', 'Yes/No')
		SQL
	my @from = map { $_ eq 'Effective Date' ? 'From' : $_ } @headings;
	is( imports(
			csv([   row([ 'P', '1', 'L', 's1' ], 10 => '1/31/2026', 5 => 'yes', 11 => '2026-02-01'),
					row([ 'P', '1', 'L', 's2' ], 10 => '31/1/2026', 5 => 'true') ],
				headings => \@from)),
		'1|0|0|2',
		'styles are those of the mapping, the server\'s own first');
	is( problems(),
		"3|Custom Field: Additional Insured|true|is not true or false in the style Yes/No\n"
		  . "3|From|31/1/2026|is not a date in the style M/D/YYYY",
		'all that is wrong with a row');
	query('DELETE FROM summit.export_column WHERE NOT builtin');
};

subtest 'files that are refused' => sub {
	forget();
	my $rows = [ row([ 'P', '1', 'L', 't' ]) ];
	my @refused = (
		[ 'an unknown system', [ csv($rows), system => 'excel' ], '22023', 'system "excel" does not exist' ],
		[ 'no line', [''], '22023', 'the file has no line of headings' ],
		[ 'no heading', ["a,b\n1,2\n"], '22023', 'heading "PropertyID" is not in the file' ],
		[   'a heading in another spelling', [ csv($rows) =~ s/PropertyID/Propertyid/r ], '22023',
			'heading "PropertyID" is not in the file' ],
		[   'one that is there twice', [ csv($rows) =~ s/Carrier/LeaseID/r ], '22023',
			'heading "LeaseID" is in the file more often than in the mapping' ],
		[   'an extra one', ["PropertyID,Status,status\n"], '22023',
			'heading "Status" is in the file more often than in the mapping' ],
		[   'three of two', [ "Property ID,Custom Field,Custom Field,Custom Field\n", system => 'buildium' ], '22023',
			'heading "Custom Field" is in the file more often than in the mapping' ],
		[ 'a quote that is not closed', [ csv($rows) . qq{"P,1,L,x\n} ], '22P04', undef ],
		[ 'a NUL', [ csv($rows) . "P,1\0", bytes => 1 ], '22021', undef ],
		[ 'a server that is not there', [ csv($rows), rest => q{server => 'nowhere'} ], '42704', undef ],
		[   'complete for what is not there', [ csv($rows), rest => q{'{007}'} ], '22023',
			'property "007" is not in the file' ],
		[ 'complete for nothing', [ csv([]), rest => q{'{P}'} ], '22023', 'property "P" is not in the file' ]);
	for my $case (@refused)
	{
		my ($name, $arguments, $expected, $text) = @$case;
		my ($state, $message, undef, $hint) = sqlstate_of($node, import_of(@$arguments));
		is($state, $expected, $name);
		is($message, $text, '... says which') if defined $text;
		like($hint, qr/buildium, entrata, realpage, yardi/, '... and which there are') if $text && $text =~ /system/;
	}
	is(scalar sqlstate_of($node, "SELECT summit_import_roster('yardi', NULL::text)"), '22004', 'NULL');
	is(scalar sqlstate_of($node, "SELECT summit_import_roster('yardi', NULL::bytea)"), '22004', 'likewise');
	is(scalar sqlstate_of($node, "SELECT summit_import_roster(NULL, 'x')"), '22023', 'of no system');
	is(query('SELECT count(*) FROM summit.property_reference'), 0, 'nothing of any is taken');
	my $begun = time;
	is( imports(
				join(',', 'PropertyID', 'ResidentID', map { "h$_" } 1 .. 9_998) . "\n"
			  . join(',', 'P', 't', (1) x 9_998) . "\n"),
		'1|0|0|0',
		'10,000 columns');
	note(sprintf '%.1f s', time - $begun);
};

subtest 'complete for' => sub {
	forget();
	my @ids = (
		[ '007', '1', 'L1', 't1' ], [ '007', '1', 'L1', 'r1' ], [ '007', '002', 'L2', 't2' ],
		[ '007', '3', 'L3', 't3' ], [ 'P', '1', 'L1', 't1' ]);
	imports(csv([ map { row($_) } @ids ]));
	query(
		q{UPDATE summit.property_reference SET valid_from = '2020-01-01' WHERE tenant_id = 't1';
		INSERT INTO summit.property_reference (property_id, tenant_id, kind) VALUES ('007', 'v', 'vendor')});
	# The first has gone and another come; the second is what a spreadsheet made of it; the third is there.
	my $file =
	  csv([ row([ '007', '1', 'L1', 't5' ]), row([ '007', '2', 'L2', 't2' ]), row([ '007', '3', 'L3', 't3' ]) ]);
	is(imports($file, rest => q{'{007}', true}), '1|1|2|1', 'a dry run counts');
	is(query('SELECT count(valid_to) FROM summit.property_reference'), 0, 'and ends nothing');
	is(imports($file, rest => q{'{007}'}), '1|1|2|1', 'who is not there is ended');
	is(query(<<~'SQL'), "t1|t|t5\nr1|t|", 'on the day that it is there, and later than the first');
		SELECT f.tenant_id, f.valid_to = greatest((now() AT TIME ZONE 'Pacific/Kiritimati')::date, f.valid_from + 1),
			n.tenant_id
		FROM summit.property_reference f LEFT JOIN summit.property_reference n ON n.reference_id = f.replaced_by
		WHERE f.valid_to IS NOT NULL ORDER BY f.tenant_id DESC
		SQL
	is( query(
			q{SELECT string_agg(tenant_id, ' ' ORDER BY tenant_id)
			FROM summit.property_reference WHERE valid_to IS NULL}
		),
		't1 t2 t3 t5 v',
		'but none of another property, nor whom a problem may mean, nor vendors');
	is( imports(
			csv([ row([ '007', '4', 'L3', 't3' ]), row([ '007', '002', 'L2', 't2' ]), row([ '007', '1', 'L1', 't5' ]) ]
			),
			rest => q{'{007}'}),
		'1|2|1|0',
		'who has moved has, and a new unit is one');
};

subtest 'the view' => sub {
	forget();
	query(<<~'SQL');
		INSERT INTO summit.property_reference (property_id, tenant_id, status, valid_from, valid_to)
		SELECT '007', status, status, coalesce(first, '2020-01-01'), last
		FROM (VALUES ('Current', NULL::date, NULL::date), ('PAST', NULL, NULL), ('Canceled', NULL, NULL),
			('cancelled', NULL, NULL), ('Future', NULL, NULL),
			(NULL, NULL, NULL), ('Ended', NULL, '2021-01-01'), ('Later', '2999-01-01', NULL),
			('Ends', NULL, '2999-01-01')) AS v(status, first, last);
		-- A lease that is over goes on from month to month if its status says so.
		INSERT INTO summit.property_reference (property_id, tenant_id, status, lease_to)
		VALUES ('007', 'month', 'Month', '2021-01-01'), ('007', 'over', NULL, '2021-01-01')
		SQL
	is( query(q{SELECT string_agg(coalesce(status, '-'), ' ' ORDER BY status) FROM summit.roster WHERE is_current}),
		'Current Ends Month -', 'who is there');
	query(q{UPDATE summit.property_reference SET name = 'Ann'});
	is( query('SET ROLE reader; SELECT DISTINCT name, environment FROM summit.roster'), '***|production',
		'readers see no names');
};

subtest 'two servers' => sub {
	forget();
	my $file = csv([ row([ '007', '007', 'L1', 't1' ]), row([ '007', '1', 'L2', 't2' ]) ]);
	imports($file);
	imports(csv([ row([ 'Q', '1-Mar', 'x', 'y' ]) ]));
	is( imports(csv([ row([ '7', '7', 'L9', 't1' ]) ]), rest => q{server => 'box'}), '1|0|0|0',
		'know nothing of each other');
	is( imports(csv([ row([ '7', '9', 'L9', 't1' ]) ]), rest => q{'{7}', server => 'box'}), '1|0|1|0',
		'and end nothing');
	is( query(q{SELECT count(*), count(valid_to) FROM summit.property_reference WHERE server = 'summit'}), '2|0',
		'of each other');
	is(problems(), '2|UnitID|1-Mar|looks like a date that a spreadsheet made', 'nor what is listed');
	is(query(q{SELECT DISTINCT environment FROM summit.roster WHERE server = 'box'}), 'sandbox', 'and which is which');
};

subtest 'a server that is renamed' => sub {
	forget();
	my $file = csv([ row([ '007', '007', 'L1', 't1' ]), row([ '007', '1', 'L2', 't2' ]) ]);
	imports($file);
	query('ALTER SERVER summit RENAME TO peak');
	is(imports($file, rest => q{server => 'peak'}), '0|2|0|0', 'an import has its rows follow');
	query('ALTER SERVER peak RENAME TO summit; CALL canopy_summit.run_tasks(); ALTER SERVER summit RENAME TO peak');
	query(
		q{INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, server)
		VALUES ('007', '1', 'L2', 't2', 'peak')}
	);
	is( query(q{SELECT DISTINCT server FROM summit.property_reference WHERE property_id = '007'}), 'peak',
		'so does whoever writes');
	query('CALL canopy_summit.run_tasks()');
	is(query(q{SELECT DISTINCT server FROM summit.property WHERE server <> 'gone'}), 'peak', 'and the task');
	query('ALTER SERVER peak RENAME TO summit; CALL canopy_summit.run_tasks()');
};

subtest 'the level' => sub {
	forget();
	my $file = import_of(csv([ row([ 'P', '1', 'L', 't' ]), row([ 'P', '1-Mar', 'L', 'u' ]) ]));
	is(query("SET ROLE manager; $file"), '1|0|0|1', 'a manager imports');
	is( query(
			"SET ROLE manager; "
			  . import_of(
				encode('UTF-8', csv([ row([ 'P', '1', 'L', 't' ]), row([ 'P', '1-Mar', 'L', 'u' ]) ])), bytes => 1)),
		'0|1|0|1',
		'bytes, too');
	is( query('SET ROLE manager; SELECT value, environment FROM summit.import_problem'), '1-Mar|production',
		'and sees what is wrong');
	is( query('SET ROLE reader; SELECT value, problem FROM summit.import_problem'),
		'***|looks like a date that a spreadsheet made', 'a reader sees that something is');
	$node->safe_psql('postgres', <<~'SQL');
		SET ROLE manager;
		INSERT INTO summit.property (property_id, time_zone) VALUES ('M', 'America/Toronto');
		INSERT INTO summit.property_reference (property_id, tenant_id) VALUES ('M', 'a');
		UPDATE summit.property_reference SET status = 'Past' WHERE tenant_id = 'a';
		UPDATE summit.property SET name = 'M' WHERE property_id = 'M';
		INSERT INTO summit.export_system (system) VALUES ('mine');
		INSERT INTO summit.export_column (system, position, heading, source)
		VALUES ('mine', 1, 'P', 'property_id'), ('mine', 2, 'T', 'tenant_id');
		SELECT count(*) FROM summit.roster;
		DELETE FROM summit.property_reference WHERE tenant_id = 'a';
		DELETE FROM summit.property WHERE property_id = 'M';
		SQL
	is( query("SET ROLE manager; SELECT taken FROM summit_import_roster('mine', E'P,T\nx,y\n')"), 1,
		'a system of one\'s own');
	is(scalar sqlstate_of($node, "SET ROLE manager; $_"), '42501', "a manager may not: $_")
	  for (
		'INSERT INTO summit.property_reference (reference_id, property_id) VALUES (1, 1)',
		'UPDATE summit.property_reference SET insurance = NULL',
		'SELECT canopy_summit.members()', 'SELECT * FROM summit.upload', 'SELECT canopy_summit.reads_pii()');
	for my $role (qw(nobody reader))
	{
		is(scalar sqlstate_of($node, "SET ROLE $role; $_"), '42501', "$role may not: $_")
		  for (
			"SELECT summit_import_roster('yardi', 'x')", "SELECT summit_import_roster('yardi', 'x'::bytea)",
			'SELECT * FROM summit.property_reference',
			'INSERT INTO summit.property (property_id) VALUES (1)', 'DELETE FROM summit.export_system',
			'SELECT * FROM canopy_summit.import_problem');
	}
};

subtest '100,000 rows' => sub {
	forget();
	query(<<~'SQL');
		CREATE TABLE file AS
		SELECT 'PropertyID,UnitID,LeaseID,ResidentID,Property Name,Custom Field: Additional Insured,'
			|| 'Custom Field: Waiver,Policy Number,Carrier,Policy Type,Effective Date,Expiration Date,Per Occurrence,'
			|| E'General Aggregate,Cancel Notice,Endorsements,COI Document,Resident Name,Status,Lease From,Lease To\n'
			|| string_agg(format(
			'big%s,%s,L%s,t%s,Kelvin,true,false,POL %s,Aviva,HO4,2026-01-%s,2027-01-01,1000000,2000000,30,,,'
				|| E'Ann %s,Current,2026-01-01,2026-12-31\n',
			n / 500, n % 500, n, n, n, lpad((n % 28 + 1)::text, 2, '0'), n), '') AS csv
		FROM generate_series(1, 100000) AS n
		SQL
	for my $case (
		[ 'the first time', '100000|0|0|0' ], [ 'again', '0|100000|0|0' ],
		[ 'changed', '100000|0|0|0', q{replace(csv, 'Current', 'Notice')} ],
		[ 'moved', '0|0|0|100000', q{regexp_replace(csv, ',L([0-9])', ',M\1', 'g')} ],
		[ 'ids that were damaged', '0|0|0|100000', q{replace(csv, ',t', ',0t')} ])
	{
		my ($what, $counts, $csv) = @$case;
		$csv //= 'csv';
		my $begun = time;
		is(query("SELECT r.* FROM file, summit_import_roster('yardi', $csv) AS r"), $counts, $what);
		note(sprintf '%s: %.1f s', $what, time - $begun);
	}
	my $begun = time;
	is( query(
			q{SELECT r.*
			FROM file, summit_import_roster('yardi', left(replace(csv, 'Current', 'Notice'), 10000), '{big0}') AS r}
		) =~ s/\|.*//r,
		'0',
		'complete for one');
	note(sprintf 'complete for one: %.1f s', time - $begun);
};

subtest 'nothing is taken in part' => sub {
	forget();
	query(q{ALTER TABLE summit.property_reference ADD CONSTRAINT no CHECK (tenant_id <> 'bad')});
	ok( sqlstate_of($node, import_of(csv([ row([ 'P', '1', 'L', 'good' ]), row([ 'P', '1', 'L', 'bad' ]) ]))),
		'what raises');
	is(query('SELECT count(*) FROM summit.property_reference'), 0, 'leaves nothing');
	query('ALTER TABLE summit.property_reference DROP CONSTRAINT no');
	query(
		import_of(csv([ row([ 'P', '1', 'L', 'good' ]) ])) . '; ' . import_of(csv([ row([ 'P', '1', 'L', 'good' ]) ])));
	is( query(
				"BEGIN; "
			  . import_of(csv([ row([ 'P', '1', 'L', 'good' ]) ])) . '; '
			  . import_of(csv([ row([ 'P', '1', 'L', 'bad' ]) ]))
			  . '; COMMIT'),
		"0|1|0|0\n1|0|0|0",
		'two in a transaction');
};
subtest 'two at a time' => sub {
	forget();
	my $file = csv([ row([ 'P', '1', 'L', 't' ]) ]);
	my ($first, $second) = map { open_session($node) } 1 .. 2;
	is($first->query_safe('BEGIN; ' . import_of($file)), '1|0|0|0', 'one imports');
	my $pid = $second->query_safe('SELECT pg_backend_pid()');
	$second->query_until(qr/started/, "\\echo started\n" . import_of($file) . ";\n");
	wait_until(
		'the other waits',
		sub { query("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid") eq 'Lock' });
	$first->query_safe('COMMIT');
	is($second->query_safe('SELECT 1') =~ s/\n.*//sr, '0|1|0|0', 'another waits, and knows');
	$_->quit for $first, $second;
};

done_testing();
