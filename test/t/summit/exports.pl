# Does a property system get the certificates that it may have, byte by byte, and is listed what stays out?
use strict;
use warnings;
use utf8;

use CanopyTest;
use CanopyExport;
use Test::More;

my $node = new_node();
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'production');
	CREATE SERVER box FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
	CREATE ROLE nobody;
	SQL
for my $level (qw(reader pii_reader fetcher ingest operator manager admin))
{
	$node->safe_psql(
		'postgres',
		"CREATE ROLE $level; SELECT canopy_summit.grant_access('$level', '$level');
		GRANT USAGE ON FOREIGN SERVER summit, box TO $level");
}

my %headings = (
		yardi => 'PropertyID,UnitID,LeaseID,ResidentID,Property Name,Custom Field: Additional Insured,'
	  . 'Custom Field: Waiver,Policy Number,Carrier,Policy Type,Effective Date,Expiration Date,Per Occurrence,'
	  . 'General Aggregate,Cancel Notice,Endorsements,COI Document',
	buildium => 'Property ID,Unit,Lease ID,Resident/Tenant,Property Name,Custom Field,Custom Field,'
	  . 'Policy Number,Carrier,Coverage Type,Effective Date,Expiration Date,CGL Per Occurrence,CGL Aggregate,'
	  . 'Cancellation Notice,Endorsements,Insurance Certificate',
	entrata => 'PropertyId,UnitId,LeaseId,ResidentId,PropertyName,Custom Field,Custom Field,PolicyNumber,Carrier,'
	  . 'CoverageType,EffectiveDate,ExpirationDate,LimitPerOccurrence,LimitAggregate,CancellationNoticeDays,'
	  . 'Endorsements,InsuranceCertificate',
	realpage => 'Property Code,Unit,Lease,Resident,Property Name,Custom Field,Custom Field,Policy Number,Carrier,'
	  . 'Policy Type,Effective Date,Expiration Date,Per Occurrence,Aggregate,Cancellation Notice,Endorsements,'
	  . 'Certificate');
my @systems = sort keys %headings;

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub file { return export_file($node, @_) }
sub rows { return export_rows($node, @_) }
sub fact { return query(fact_of(@_)) }
sub forget { return forget_exports($node) }
sub problems { return export_problems($node, @_) }

subtest 'the first line' => sub {
	for my $system (@systems)
	{
		is(query("SELECT summit_export('$system')"), $headings{$system}, "of $system");
		is(file($system), "$headings{$system}\n", 'and of its file');
		is(query("SELECT count(*) FROM summit_export('$system', '{\"header\": false}')"), 0, 'or none');
		is(file($system, { header => \0 }), '', 'and an empty file');
	}
	is( file('yardi', { bom => \1, line_end => 'CRLF', delimiter => ';' }),
		"\xef\xbb\xbf" . $headings{yardi} =~ s/,/;/gr . "\r\n", 'with what options say');
	is(file('yardi', { bom => \1, encoding => 'utf-8' }), "\xef\xbb\xbf$headings{yardi}\n", 'however one is spelt');
	is(file('yardi', { bom => \1, encoding => 'WIN1252' }), "$headings{yardi}\n", 'only Unicode has a mark');
};

subtest 'a certificate' => sub {
	uploaded(
		$node, 'ABC123456',
		sub {
			$_[0]{policy}{broker} = { name => 'CANARY', email => 'CANARY@example.com', phone => 'CANARY' };
			$_[0]{certificate_holder}{$_} = "CANARY $_" for qw(email contact_phone address);
		},
		coi_url => 'https://example.com/a/b.pdf');
	my $line =
		'KEL-001,Unit-204,L-7788,RES-9981,ABC Apartments,true,true,ABC123456,Example Insurance Company of Canada,'
	  . 'CGL,2025-01-01,2026-01-01,2000000,5000000,30,Additional Insured; Waiver of Subrogation,';
	fact(
		policy_number => 'ABC123456', property_id => 'KEL-001', insured_name => 'CANARY',
		additional_insureds => '["CANARY"]', deductible => 7319,
		facts => '{"premium": "CANARY", "date_of_birth": "CANARY", "notes": "CANARY"}');
	is(file($_), "$headings{$_}\n${line}https://example.com/a/b.pdf\n", "for $_") for @systems;
	query("UPDATE canopy_summit.certificate SET coi_pdf_id = 'doc_01H...'");
	for my $system (@systems)
	{
		is(query("SELECT summit_export('$system', '{\"header\": false}')"), "${line}doc_01H...", "lines of $system");
		is( query("SELECT to_jsonb(e) - '{server,environment,row_key}'::text[] FROM summit.${system}_export e"),
			query(
				q{SELECT jsonb_build_object('property_id', 'KEL-001', 'unit_id', 'Unit-204', 'lease_id', 'L-7788',
				'tenant_id', 'RES-9981', 'holder_name', 'ABC Apartments', 'additional_insured', 'true',
				'waiver_of_subrogation', 'true', 'policy_number', 'ABC123456', 'insurer_name',
				'Example Insurance Company of Canada', 'policy_type', 'CGL', 'effective_date', '2025-01-01',
				'expiry_date',
				'2026-01-01', 'per_occurrence', '2000000', 'aggregate', '5000000', 'cancellation_notice_days', '30',
				'endorsements', 'Additional Insured; Waiver of Subrogation', 'coi_document', 'doc_01H...')}),
			'the same cells under unique names');
	}
	is( query("SET ROLE reader; SELECT policy_number, holder_name, unit_id FROM summit.yardi_export"),
		'***|***|Unit-204',
		'of which a reader sees no personal ones');
	unlike(
		join(
			"\n", query('SELECT t::text FROM summit_export_changes(\'yardi\') t'),
			map { query("SELECT e::text FROM summit.${_}_export e") . file($_) } @systems),
		qr/CANARY|7319/,
		'and nothing else is in any');
	forget();
};

subtest 'options' => sub {
	for my $options (
		'[]', '"x"', 'null', '{"headers": true}', '{"header": "true"}', '{"header": null}', '{"bom": 1}',
		'{"delimiter": ""}', '{"delimiter": "x"}', '{"delimiter": 1}', '{"line_end": "LFCR"}', '{"line_end": "\n"}',
		'{"encoding": "klingon"}', '{"encoding": ""}', '{"property_ids": "P"}', '{"property_ids": {"P": 1}}',
		'{"as_of": "yesterday"}', '{"as_of": 1}', '{"as_of": ""}', '{"Header": true}', '{"": 1}')
	{
		for my $function (qw(summit_export summit_export_file))
		{
			my ($state, $message, undef, $hint) = sqlstate_of($node, "SELECT $function('yardi', '$options')");
			is($state, '22023', "$options is refused");
			like(
				$message, qr/^option(?:s must be an object| ".*" (?:is not known|has a value that it does not take))$/,
				'... says which');
		}
	}
	is( (sqlstate_of($node, q{SELECT summit_export('yardi', '{"x": 1}')}))[3],
		'Options are: property_ids, header, bom, delimiter, line_end, encoding, as_of.', 'with a hint');
	for my $case (
		[ '22023', q{'yardy'} ], [ '22023', q{''} ], [ '22023', q{'yardi_xml'} ], [ '22004', 'NULL' ],
		[ '42704', q{'yardi', server => 'gone'} ], [ '42809', q{'yardi', server => 'canopy'} ])
	{
		query(q{CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api}) if $case->[1] =~ /canopy/;
		is(scalar sqlstate_of($node, "SELECT summit_export($case->[1])"), $case->[0], "summit_export($case->[1])");
	}
	query('DROP SERVER canopy');
	fact(policy_number => $_, property_id => $_) for 'A', 'B', q{a"b'c,\\{}}, '7';
	is(scalar @{ rows('yardi') }, 4, 'all');
	is(rows('yardi', { property_ids => [ 'A', q{a"b'c,\\{}} ] })->[1][0], q{a"b'c,\\{}}, 'of these properties');
	is(scalar @{ rows('yardi', { property_ids => [] }) }, 0, 'of none');
	is( query(q{SELECT summit_export('yardi', '{"property_ids": [7, null, true], "header": false}')}),
		'7,,,,,,,7,,,,,,,,,', 'a number is its text');
	is(query(q{SELECT count(*) FROM summit_export('yardi', NULL)}), 5, 'none is none');
	my $then = query('SELECT to_json(clock_timestamp())') =~ s/"//gr;
	fact(policy_number => 'A', property_id => 'A', per_occurrence => 5, insurer_name => 'Later');
	fact(policy_number => 'C', property_id => 'C');
	is(rows('yardi', { property_ids => ['A'] })->[0][8], 'Later', 'as it is');
	is(rows('yardi', { property_ids => ['A'], as_of => $then })->[0][8], '', 'as it was known then');
	is(scalar @{ rows('yardi', { as_of => $then }) }, 4, 'what was not known then is not there');
	is(scalar @{ rows('yardi', { as_of => '1999-01-01T00:00:00Z' }) }, 0, 'nothing was, long ago');
	forget();
};

subtest 'styles' => sub {
	query(
		q{INSERT INTO summit.property_reference (property_id, unit_id, tenant_id)
		VALUES ('P', '1', 't'), ('P', '2', 'u')}
	);
	my %row = (
		policy_number => 'R', property_id => 'P', unit_id => '1', tenant_id => 't', effective_date => '2024-02-29',
		expiry_date => '2025-02-28', per_occurrence => '2000000.50', aggregate => '1e15', additional_insured => 'true',
		waiver_of_subrogation => 'false', endorsements => '["CG 20 10", "b"]', holder_name => '=1+1', currency => 'CAD',
		insurer_name => '-3', cancellation_notice_days => 30);
	fact(%row);
	my @styles = (
		[ "date_style = 'MM/DD/YYYY'", 10, '02/29/2024' ], [ "date_style = 'M/D/YYYY'", 11, '2/28/2025' ],
		[ "date_style = 'DD/MM/YYYY'", 10, '29/02/2024' ], [ "date_style = 'YYYYMMDD'", 10, '20240229' ],
		[ "boolean_style = 'T/F'", 5, 'T' ], [ "boolean_style = '1/0'", 6, '0' ],
		[ "boolean_style = 'Yes/No'", 5, 'Yes' ],
		[ "money_style = 'fixed'", 13, '1000000000000000.00' ], [ "money_style = 'fixed'", 12, '2000000.50' ],
		[ "money_style = 'plain'", 13, '1000000000000000' ], [ "source = NULL", 8, '' ],
		[ "source = 'currency'", 16, 'CAD' ], [ "source = 'status'", 16, '' ]);
	for my $style (@styles)
	{
		my ($change, $place, $value) = @$style;
		my $position = $place + 1;
		query("UPDATE summit.export_column SET $change WHERE system = 'entrata' AND position = $position");
		is(rows('entrata')->[0][$place], $value, "$change, column $position");
		is(rows('yardi')->[0][10], '2024-02-29', 'another system has its own');
		query('DELETE FROM summit.export_column WHERE NOT builtin');
	}
	is( query("SELECT count(*), count(*) FILTER (WHERE builtin) FROM summit.export_column"), '68|68',
		'and is as before');
	query("UPDATE summit.export_column SET money_style = 'integer' WHERE source IN ('per_occurrence', 'aggregate')");
	is(scalar @{ rows('yardi') }, 0, 'an amount that is not whole');
	is( problems('yardi', "severity = 'problem'"), 'R|problem|column "Per Occurrence" is not a whole amount',
		'is listed');
	query('DELETE FROM summit.export_column WHERE NOT builtin');
	query("UPDATE summit.export_column SET required = true WHERE source = 'lease_id' AND system = 'buildium'");
	is(scalar @{ rows('buildium') }, 0, 'a required reference that is not there');
	like(problems('buildium'), qr/^R\|problem\|required column "Lease ID" is empty$/m, 'is listed');
	is(problems('yardi', "severity = 'problem'"), '', 'but not for another system');
	query('DELETE FROM summit.export_column WHERE NOT builtin');

	my ($state, $message, undef, $hint) =
	  sqlstate_of($node, "UPDATE summit.export_column SET source = 'premium' WHERE position = 1");
	is("$state $message", '22023 source "premium" does not exist', 'there are sources that there are not');
	like($hint, qr/^Sources are: property_id, .*, status; NULL is an empty column\.$/, 'with a hint');
	is(scalar sqlstate_of($node, $_), '55000', $_)
	  for 'DELETE FROM summit.export_column', q{DELETE FROM summit.export_system WHERE system = 'yardi'};
	is(scalar sqlstate_of($node, $_), '22023', $_)
	  for q{INSERT INTO summit.export_system (system, builtin) VALUES ('x', true)};
	is(scalar sqlstate_of($node, "UPDATE summit.export_system SET $_"), '23514', $_)
	  for "encoding = 'klingon'", "encoding = 'mule-internal'", "delimiter = ''", "line_end = 'CR'", "separator = ''",
	  "formulas = 'run'";

	query("UPDATE summit.export_system SET separator = ' | ', header = false, line_end = 'CRLF', delimiter = '|'");
	is( file('yardi'), 'P|1||t|=1+1|true|false|R|-3||2024-02-29|2025-02-28|2000000.5|1000000000000000|30|'
		  . qq{"CG 20 10 | b"|\r\n}, 'a file in a style');
	is( file('yardi', { delimiter => "\t", line_end => 'LF', header => \1 }) =~ s/.*?\n//r,
		"P\t1\t\tt\t=1+1\ttrue\tfalse\tR\t-3\t\t2024-02-29\t2025-02-28\t2000000.5\t1000000000000000\t30\t"
		  . "CG 20 10 | b\t\n", 'options win');
	query("UPDATE summit.export_system SET formulas = 'quote'");
	is( join('|', @{ export_rows($node, 'yardi', { delimiter => ',', header => \1 })->[0] }[ 4, 8 ]), q{'=1+1|-3},
		'quoted, but not a number');
	is(problems('yardi'), '', 'and no warning');
	query('DELETE FROM summit.export_system WHERE NOT builtin');
	is(problems('yardi'), 'R|warning|column "Property Name" begins like a formula', 'which there is else');

	query(
		q{INSERT INTO summit.export_system (server, system, header) VALUES ('summit', 'yardi', false);
		INSERT INTO summit.export_column (server, system, position, heading, source)
		VALUES ('box', 'yardi', 1, 'BOX', 'status'),
			('', 'mine', 1, 'Unit', 'unit_id'), ('', 'mine', 3, 'a "b", c', 'tenant_id');
		INSERT INTO summit.export_system (system) VALUES ('mine')});
	is(file('yardi') =~ s/,.*//sr, 'P', 'a server has its own');
	is(file('yardi', {}, 'box') =~ s/,.*//sr, 'BOX', 'and another its own');
	is(file('mine'), qq{Unit,"a ""b"", c"\n1,t\n}, 'a system of one\'s own');
	is(query("SELECT count(*) FROM summit_export_changes('mine')"), 1, 'that is told what changed');
	query(q{DELETE FROM summit.export_column WHERE NOT builtin; DELETE FROM summit.export_system WHERE NOT builtin});
	is(scalar sqlstate_of($node, q{SELECT summit_export('mine')}), '22023', 'until it is gone');
	is(query("SELECT count(*) FROM summit_export_changes('yardi')"), 1, 'which stops nobody else');

	fact(%row, policy_number => 'S', unit_id => '2', tenant_id => 'u', endorsements => '["a;b"]');
	is( problems('yardi', "severity = 'problem'"), 'S|problem|an endorsement contains the separator "; "',
		'two endorsements are not one');
	fact(%row, policy_number => 'T', unit_id => '2', tenant_id => 'u', endorsements => '[1]');
	like(problems('yardi'), qr/^T\|problem\|an endorsement is not a text$/m, 'and a number is none');
	is(scalar @{ rows('yardi') }, 1, 'both stay out');
	forget();

	query(
		q{SET ROLE manager; UPDATE summit.export_column SET date_style = 'M/D/YYYY' WHERE system = 'yardi';
		INSERT INTO summit.export_column (system, position, heading, source) VALUES ('own', 1, 'P', 'property_id');
		DELETE FROM summit.export_column WHERE NOT builtin});
	is( scalar sqlstate_of($node, q{SET ROLE manager; UPDATE summit.export_column SET source = 'payload'}), '22023',
		'a manager has styles, too');
};

subtest 'who is there' => sub {
	query(<<~'SQL');
		INSERT INTO summit.property (property_id, time_zone) VALUES ('P', 'Pacific/Kiritimati');
		INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, kind, status, lease_to,
			valid_from,
			valid_to)
		SELECT 'P', v.t, 'L' || v.t, v.t, v.kind, v.status, v.lease_to, coalesce(v.valid_from, '2020-01-01'), v.valid_to
		FROM (SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date) AS d(day), LATERAL (VALUES
			('here', 'tenant', 'Current', NULL::date, NULL::date, NULL::date),
			('notice', 'tenant', 'Notice', NULL, NULL, NULL),
			('monthly', 'tenant', 'Current', d.day - 400, NULL, NULL), ('over', 'tenant', NULL, d.day - 1, NULL, NULL),
			('last', 'tenant', NULL, d.day, NULL, NULL), ('past', 'tenant', 'PAST', NULL, NULL, NULL),
			('gone', 'tenant', 'Current', NULL, NULL, d.day), ('goes', 'tenant', 'Current', NULL, NULL, d.day + 1),
			('future', 'tenant', 'Future', NULL, NULL, NULL), ('comes', 'tenant', 'Current', NULL, d.day + 1, NULL),
			('today', 'tenant', 'Current', NULL, d.day, NULL), ('canceled', 'tenant', 'Canceled', NULL, NULL, NULL),
			('was_2026_t', 'tenant', 'Current', NULL, NULL, NULL), ('vendor', 'vendor', NULL, NULL, NULL, NULL))
			AS v(t, kind, status, lease_to, valid_from, valid_to);
		INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id)
		VALUES ('P', 'U', 'LU', 'new');
		INSERT INTO summit.property_reference (property_id, unit_id, lease_id, tenant_id, valid_from, valid_to,
			replaced_by)
		SELECT 'P', 'U', 'LU', 'old', date '2020-01-01', date '2021-01-01', reference_id FROM summit.property_reference
		WHERE tenant_id = 'new'
		UNION ALL SELECT 'P', 'U', 'LU', 'older', date '2020-01-01', date '2021-01-01', reference_id
		FROM summit.property_reference
		WHERE tenant_id = 'was_2026_t';
		SQL
	my %expected = (
		here => undef, notice => undef, monthly => undef, last => undef, goes => undef, today => undef, vendor => undef,
		old => undef, over => 'lease expired', past => 'lease expired', gone => 'lease expired',
		future => 'no current lease with matching people', comes => 'no current lease with matching people',
		canceled => 'lease defunct', was_2026_t => 'no matching lessee records', older => 'no matching lessee records',
		stranger => 'no matching lessee records', was_x => 'no matching lessee records');
	for my $tenant (sort keys %expected)
	{
		my $unit = $tenant =~ /^old/ ? 'U' : $tenant;
		fact(
			policy_number => $tenant, property_id => 'P', unit_id => $unit, lease_id => "L$unit",
			tenant_id => $tenant);
	}
	fact(policy_number => 'mixed', property_id => 'P', unit_id => 'here', lease_id => 'Lhere', tenant_id => 'notice');
	fact(policy_number => 'property', property_id => 'P');
	$expected{mixed} = 'no current lease with matching people';
	is( problems('yardi'),
		join(
			"\n",
			map { "$_|problem|$expected{$_}" }
			  ((grep { defined $expected{$_} && $_ ne 'mixed' } sort keys %expected), 'mixed')),
		'who is not is listed');
	is( join(' ', map { "$_->[7]=$_->[3]" } @{ rows('yardi') }),
		join(
			' ', (map { "$_=" . ($_ eq 'old' ? 'new' : $_) } grep { !defined $expected{$_} } sort keys %expected),
			'property='),
		'who is there is exported, by the id that is meant now');
	forget();
};

subtest 'levels' => sub {
	fact(policy_number => 'SECRET', property_id => 'P', holder_name => 'SECRET');
	my $token = query("SELECT token FROM summit_export_changes('yardi')");
	my @calls = (
		q{summit_export('yardi')}, q{summit_export_file('yardi')}, q{summit_export_changes('yardi')},
		"summit_export_acknowledge('yardi', '$token')", q{summit_export_yardi_xml('P')});
	for my $call (@calls)
	{
		for my $role (qw(nobody reader fetcher ingest operator manager))
		{
			is(scalar sqlstate_of($node, "SET ROLE $role; SELECT $call"), '42501', "$role may not: $call");
		}
		for my $role (qw(pii_reader admin))
		{
			is(sqlstate_of($node, "BEGIN; SET LOCAL ROLE $role; SELECT $call; ROLLBACK"), undef, "$role may: $call");
		}
		query('REVOKE USAGE ON FOREIGN SERVER summit FROM pii_reader');
		my ($state, undef, undef, $hint) = sqlstate_of($node, "SET ROLE pii_reader; SELECT $call");
		is($state, '42501', 'but only of servers that it may use');
		is($hint, 'GRANT USAGE ON FOREIGN SERVER summit TO pii_reader;', 'with a hint');
		query('GRANT USAGE ON FOREIGN SERVER summit TO pii_reader');
	}
	# EXECUTE by itself is no right to personal data.
	query("GRANT EXECUTE ON FUNCTION summit_export(text, jsonb, name) TO reader");
	my ($state, $message, undef, $hint) = sqlstate_of($node, q{SET ROLE reader; SELECT summit_export('yardi')});
	is("$state $message", '42501 summit_export() shows personal data', 'nor is EXECUTE');
	is($hint, q{Level pii_reader may: SELECT canopy_summit.grant_access('reader', 'pii_reader');}, 'with a hint');
	query("REVOKE EXECUTE ON FUNCTION summit_export(text, jsonb, name) FROM reader");
	for my $function (qw(export_lines export_bytes export_changes export_acknowledge export_yardi_xml))
	{
		is( query(
				"SELECT string_agg(r, ' ')
				FROM unnest('{nobody,reader,pii_reader,operator,manager,admin}'::text[]) r, pg_proc p
			WHERE p.proname = '$function' AND has_function_privilege(r, p.oid, 'EXECUTE')"),
			'',
			"and nobody has $function()");
	}
	is( query('SET ROLE operator; SELECT canopy_summit.refresh_exports()'), 0,
		'an operator has lines brought up to date');
	forget();
};

subtest 'a transaction that only reads' => sub {
	fact(policy_number => 'R', property_id => $_) for 'CA', 'US';
	query(q{INSERT INTO summit.property (property_id, time_zone, country) VALUES ('CA', 'UTC', 'CA')});
	my $read = 'SET TRANSACTION READ ONLY';
	is(query("BEGIN; $read; SELECT count(*) FROM summit_export('yardi'); COMMIT"), 3, 'exports');
	is(scalar sqlstate_of($node, "BEGIN; $read; SELECT $_"), '25006', "but not $_")
	  for q{summit_export_changes('yardi')}, q{summit_export_yardi_xml('CA')};
	query(q{INSERT INTO summit.property (property_id, time_zone, country) VALUES ('US', 'UTC', 'US')});
	is(scalar sqlstate_of($node, "BEGIN; $read; SELECT $_"), '25006', "nor what it cannot note: $_")
	  for q{summit_export('yardi')}, q{summit_export_file('yardi')},
	  q{summit_export('yardi', '{"property_ids": ["US"]}')};
	is( query("BEGIN; $read; SELECT count(*) FROM summit_export('yardi', '{\"property_ids\": [\"CA\"]}'); COMMIT"), 2,
		'what stays in the country needs none');
	is(query('SELECT count(*) FROM summit.disclosure'), 0, 'and nothing is noted');
	forget();
};

subtest 'another country' => sub {
	query(<<~'SQL');
		INSERT INTO summit.property (property_id, time_zone, country)
		VALUES ('CA', 'UTC', 'CA'), ('US', 'UTC', 'US'), ('MX', 'UTC', 'MX'), ('US2', 'UTC', 'US'), ('x', 'UTC', NULL);
		INSERT INTO summit.property_reference (property_id, tenant_id, first_name, last_name)
		VALUES ('US', 't', 'A', 'B');
		SQL
	fact(
		policy_number => "R$_", policy_type => 'Renters', insurer_name => 'I', effective_date => '2026-01-01',
		expiry_date => '2027-01-01', property_id => substr($_, 0, 2), tenant_id => 't'
	) for 'CA', 'US', 'US2', 'MX', 'x';
	my $noted =
	  q{SELECT string_agg(concat_ws(' ', system, property_id, from_country, to_country, rows, disclosed_by), ', '
		ORDER BY system, property_id) FROM summit.disclosure};
	my $take = sub { my $found = query($noted); query('DELETE FROM canopy_summit.disclosure'); return $found };
	is(query("SET ROLE pii_reader; SELECT count(*) FROM summit_export('yardi')"), 6, 'all are exported');
	is($take->(), 'yardi MX CA MX 1 pii_reader, yardi US CA US 2 pii_reader', 'and noted, a row a property');
	file('entrata', { property_ids => [ 'CA', 'MX' ], header => \0 });
	is($take->(), 'entrata MX CA MX 1 ' . query('SELECT current_user'), 'only what was');
	file('entrata', { property_ids => ['US2'] });
	is($take->(), '', 'and nothing of what has none');
	query(q{INSERT INTO summit.property (property_id, time_zone, country) VALUES ('7', 'UTC', 'US')});
	fact(policy_number => 'R7', property_id => '7');
	is(query(q{SELECT count(*) FROM summit_export('yardi', '{"property_ids": [7]}')}), 2, 'however it is named');
	like($take->(), qr/^yardi 7 CA US 1 /, 'it is noted');
	query(q{DELETE FROM summit.property WHERE property_id = '7'});
	my $token = query("SET ROLE pii_reader; SELECT max(token) FROM summit_export_changes('yardi')");
	is($take->(), 'yardi MX CA MX 1 pii_reader, yardi US CA US 2 pii_reader', 'changes');
	query("SELECT count(*) FROM summit_export_changes('yardi', '$token')");
	is($take->(), '', 'and nothing if there are none');
	is(query("SELECT count(*) FROM summit_export('yardi')"), 7, 'lines that are kept');
	is($take->() =~ s/ \w+(?=,|$)//gr, 'yardi MX CA MX 1, yardi US CA US 2', 'are noted, too');
	query("SET ROLE pii_reader; SELECT summit_export_yardi_xml('$_')") for 'CA', 'US', 'MX';
	is($take->(), 'yardi_xml US CA US 2 pii_reader', 'and XML');
	is( query("BEGIN; SELECT count(*) FROM summit_export('yardi'); ROLLBACK; SELECT count(*) FROM summit.disclosure"),
		"7\n0",
		'what is rolled back was not');
	query("ALTER SERVER summit OPTIONS (ADD country 'US')");
	file('yardi');
	is($take->() =~ s/ \w+(?=,|$)//gr, 'yardi CA US CA 1, yardi MX US MX 1', 'by the country of the server');
	query('ALTER SERVER summit OPTIONS (DROP country)');
	forget();
};

# Something of both servers in every view of schema summit, and nothing of one in a row of the other.
sub apart
{
	for my $server ('summit', 'box')
	{
		query(<<~"SQL");
			INSERT INTO summit.requirement_set (server, name, scope, scope_value, starts_on)
			VALUES ('$server', 'of $server', 'property', 'P', '2026-01-01');
			INSERT INTO summit.requirement (server, requirement_set, version, policy_type)
			VALUES ('$server', 'of $server', 1, 'CGL');
			UPDATE summit.requirement_set SET status = 'published' WHERE server = '$server';
			SELECT summit_import_roster('yardi', E'PropertyID,ResidentID\nP,was_$server', server => '$server');
			INSERT INTO summit.upload (upload_id, server, owner, status, policy_number, uploaded_at)
			VALUES (nextval('canopy_summit.upload_id_seq'), '$server', 'postgres', 'verified', 'U', now());
			INSERT INTO canopy_summit.gate_event
			VALUES (nextval('canopy_summit.gate_event_id_seq'), '$server', 'of $server', NULL, 'P', NULL, NULL, 't',
				'fail', '{expired}', '{}', '2026-01-01', now(), 'x');
			INSERT INTO summit.certificate_fact (server, policy_number, property_id, tenant_id, effective_date,
				expiry_date)
			VALUES ('$server', 'TOLD', 'P', 't', '2026-01-01', current_date + 30);
			INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, status,
				occurred_at, recorded_at, checks, reason_code)
			SELECT nextval('canopy_summit.status_event_id_seq'), p.policy_status_id, '$server', 'webhook', e.status,
				e.at, now(), '[{"name": "limits", "result": "pass"}]', 'cancelled'
			FROM canopy_summit.policy_status p, (VALUES ('verified', '2026-02-01Z'::timestamptz),
				('lapsed', '2026-03-01Z')) AS e(status, at)
			WHERE p.server = '$server' AND p.policy_number = 'TOLD';
			SELECT canopy_summit.policy_status_fold(ARRAY(SELECT p.policy_status_id FROM canopy_summit.policy_status p
				WHERE p.server = '$server'))
			SQL
	}
	my @views = split /\n/, query(<<~'SQL');
		SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute s ON s.attrelid = c.oid AND s.attname = 'server'
			JOIN pg_attribute e ON e.attrelid = c.oid AND e.attname = 'environment'
		WHERE c.relkind = 'v' AND c.relnamespace = 'summit'::regnamespace AND c.relname <> 'delivery' ORDER BY 1
		SQL
	cmp_ok(scalar @views, '>=', 20, 'there are views');
	for my $from (
		@views, q{summit.covered_on('2026-02-15')}, q{summit.known_at(now())},
		q{summit.compliance_on(current_date)})
	{
		is( query("SELECT string_agg(DISTINCT server || ' ' || environment, ', ') FROM $from"),
			'box sandbox, summit production', "$from tells them apart");
		my $rows = query("SELECT to_jsonb(v) - 'source' FROM $from v WHERE server = 'box'");
		unlike($rows =~ s/\bsummit[-.]//gr, qr/summit|production/, 'and has nothing of one in a row of the other');
	}
	is( query("SELECT string_agg(DISTINCT w.server, ', ') FROM summit_what_if('of box', 1, 'box') AS w"),
		'', 'what is in force already changes nobody, of either');
	query('TRUNCATE summit.requirement_set, summit.requirement, summit.upload, canopy_summit.gate_event');
	return;
}

subtest 'two servers' => sub {
	for my $server ('summit', 'box')
	{
		query(
			"INSERT INTO summit.property (server, property_id, time_zone, country)
			VALUES ('$server', 'P', 'UTC', 'US');
			INSERT INTO summit.property_reference (server, property_id, unit_id, tenant_id, first_name, last_name)
			VALUES ('$server', 'P', '1', 't', '$server', '$server')");
		fact(
			server => $server, policy_number => 'R', policy_type => 'Renters', insurer_name => "only $server",
			effective_date => '2026-01-01', expiry_date => '2027-01-01', property_id => 'P', unit_id => '1',
			tenant_id => 't',
			holder_name => "=$server");
	}
	my %other = (summit => 'box', box => 'summit');
	for my $server (sort keys %other)
	{
		my $named = "server => '$server'";
		my %shown = (
			(   map { ($_ => query("SELECT $_")) } map {
					(   "summit_export('$_', $named)",
						"encode(summit_export_file('$_', $named), 'escape')")
				} @systems),
			changes => query("SELECT * FROM summit_export_changes('yardi', $named)"),
			xml => query("SELECT summit_export_yardi_xml('P', $named)"));
		for my $call (sort keys %shown)
		{
			like($shown{$call}, qr/only $server/, "$server: $call");
			unlike($shown{$call}, qr/$other{$server}/, 'and nothing of the other');
		}
		my $token = query("SELECT token FROM summit_export_changes('yardi', $named)");
		is( query("SELECT summit_export_acknowledge('yardi', '$token', messages => '{}', $named)"), 1,
			'is acknowledged alone');
		is( query("SELECT count(*) FROM summit_export_changes('yardi', server => 'summit')"), $server eq 'box' ? 1 : 0,
			'and the other has its own');
	}
	apart();
	query("SET canopy_summit.summit_server = 'box'; CREATE TEMPORARY TABLE x AS SELECT * FROM summit_export('yardi')");
	like(
		query("SET canopy_summit.summit_server = 'box'; SELECT summit_export('yardi', '{\"header\": false}')"),
		qr/only box/,
		'the setting names one');
	forget();
};


done_testing();
