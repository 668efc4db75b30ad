# Does a trigger on an app's own table upload what is inserted there, and lead back to the row?
use strict;
use warnings;

use CanopyTest;
use CanopyUpload;
use JSON::PP ();
use MIME::Base64 ();
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->canonical;
my $sandbox = start_sandbox();
my $node = new_node(conf => "shared_preload_libraries = 'canopy_summit'\nlog_statement = none");
my $hint = 'CREATE TRIGGER … AFTER INSERT ON … FOR EACH ROW EXECUTE FUNCTION '
  . q{summit_upload_on_insert('payload column' [, 'coi column' [, 'strict' | 'defer']]);};
my $uploads = q{canopy_summit.job WHERE operation = 'upload-policy'};
my $made = 0;
# Policies that are to be verified, those that are never to be sent, and what to look at then.
my (@verified, @unsent, @then);

create_summit_server($node, $sandbox);
query(<<~'SQL');
	CREATE ROLE app LOGIN;
	CREATE ROLE writer LOGIN;
	CREATE ROLE stranger LOGIN;
	CREATE ROLE chief LOGIN;
	SELECT canopy_summit.grant_access('app', 'fetcher'), canopy_summit.grant_access('stranger', 'fetcher');
	GRANT USAGE ON FOREIGN SERVER summit TO app;
	GRANT CREATE ON SCHEMA public TO app;
	SQL
add_summit_mapping($node, $sandbox, role => 'app');
subtest 'strict and defer' => \&modes;
subtest 'defer takes nothing else for a refusal' => \&other_errors;
subtest 'triggers made wrongly' => \&wrong_uses;
subtest 'types of columns' => \&types;
subtest 'back to the row' => \&keys_of_rows;
subtest 'other keys, and none' => \&other_keys;
subtest 'partitions' => \&partitions;
subtest 'columns and tables that change' => \&changes;
subtest 'whose upload it is' => \&owners;
subtest 'only what is committed' => \&transactions;
subtest 'the same payload twice' => \&duplicates;
subtest 'COPY of 200 rows' => \&bulk;
subtest 'in the end' => \&ends;
done_testing();

sub query { my ($sql) = @_; return $node->safe_psql('postgres', "SET client_min_messages = warning; $sql") }

# Every row has a policy of its own.
sub policy { return sprintf 'ROW-%d', ++$made }

# A payload that is refused for its expiry_date.
sub late
{
	my ($policy) = @_;
	return payload($policy, sub { $_[0]{policy}{expiry_date} = '2020-01-01' });
}

# A new table with these columns, and the trigger with these arguments, both in SQL; its name. Options: role, its owner.
sub table
{
	my ($columns, $arguments, %options) = @_;
	my $name = 'app_' . ++$made;
	my $before = defined $options{role} ? "SET ROLE $options{role}; " : '';

	query(  $before
		  . "CREATE TABLE $name ($columns); CREATE TRIGGER upload AFTER INSERT ON $name"
		  . " FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert($arguments)");
	return $name;
}

# Columns of the upload of a policy, as psql shows them.
sub upload_of { my ($policy, $columns) = @_; return query(<<~"SQL") }
	SELECT $columns FROM summit.upload WHERE policy_number = '$policy'
	SQL

# How many rows are in tables.
sub counts
{
	return query('SELECT concat_ws($$ $$, ' . join(', ', map { "(SELECT count(*) FROM $_)" } @_) . ')');
}

sub modes
{
	my $canary = 'CANARY5521';
	my %refused = (
		'a wrong date' => [ literal(late("$canary-1")), 'policy.expiry_date' ],
		'a field that Summit does not take' =>
		  [ literal(payload("$canary-2", sub { $_[0]{policy}{vin} = $canary })), 'policy.vin' ],
		'a key that is data itself' =>
		  [ literal(payload("$canary-3", sub { $_[0]{policy}{"$canary 4111 1111 1111 1111"} = 1 })), 'policy.(a key)' ],
		'a scalar' => [ qq{'"$canary"'}, 'payload' ]);
	my %says = map { ($_ => [ sqlstate_of($node, "SELECT summit_upload_policy($refused{$_}[0])") ]) } keys %refused;

	for my $arguments (q{'body'}, q{'body', 'coi'}, q{'body', 'coi', 'strict'}, q{'body', '', 'strict'})
	{
		my $table = table('id int PRIMARY KEY, body jsonb, coi bytea', $arguments);
		my $before = counts('summit.upload', $uploads);
		for my $name (sort keys %refused)
		{
			my ($payload, $field) = @{ $refused{$name} };
			my @error = sqlstate_of($node, "INSERT INTO $table VALUES (1, $payload)");
			is($error[0], '22023', "$arguments: $name refuses the row");
			like($error[1], qr/^\Q$field\E(?:\W|$)/, 'for its field');
			is_deeply(\@error, $says{$name}, 'with all that the validator says');
		}
		is(scalar sqlstate_of($node, "INSERT INTO $table VALUES (1, NULL)"), '23502', 'so does a payload that is NULL');
		is(counts($table, 'summit.upload', $uploads), "0 $before", 'and nothing is left');
	}

	my $table = table('id int PRIMARY KEY, body jsonb, coi bytea', q{'body', 'coi', 'defer'});
	my $logged = -s $node->logfile;
	my $jobs = counts($uploads);
	my @names = sort keys %refused;
	my ($good, $other) = (policy(), policy());
	my @rows = (
		(map { "($_, $refused{$names[$_]}[0], NULL)" } 0 .. $#names),
		'(10, ' . literal(payload($good)) . ', NULL)', '(11, NULL, NULL)',
		'(12, ' . literal(payload($other)) . ", '$canary')");
	my ($status, undef, $stderr) =
	  $node->psql('postgres', "INSERT INTO $table VALUES " . join(', ', @rows), on_error_die => 0);
	is("$status $stderr", '0 ', 'defer: the app is told of nothing');
	is(counts($table), scalar @rows, 'and has all its rows');
	is(counts($uploads), $jobs + 1, 'one of which is uploaded');
	for my $number (0 .. $#names)
	{
		is( query(<<~"SQL"),
			SELECT status, error_code, error_field FROM summit.upload_status
			WHERE source_table = 'public.$table' AND source_key = '{"id": $number}'
			SQL
			"refused|22023|$refused{$names[$number]}[1]", "$names[$number] is a refusal");
	}
	my $refusals = "FROM summit.upload WHERE source_table = 'public.$table' AND status = 'refused'";
	my $refusals_columns = $refusals =~ s/upload WHERE/upload u, jsonb_each(jsonb_strip_nulls(to_jsonb(u))) WHERE/r;
	is(query(<<~"SQL"), '23502|', 'so is NULL');
		SELECT error_code, error_field FROM summit.upload
		WHERE source_key = '{"id": 11}' AND source_table = 'public.$table'
		SQL
	is(query(<<~"SQL"), '22023|documents.coi_pdf', 'and a document that is none');
		SELECT error_code, error_field FROM summit.upload
		WHERE source_key = '{"id": 12}' AND source_table = 'public.$table'
		SQL
	is( query("SELECT DISTINCT key $refusals_columns ORDER BY 1"),
		join(
			"\n",
			qw(error_code error_field error_message finished_at instance owner owner_oid server server_oid source_key
			  source_table status upload_id uploaded_at)),
		'no other column has a value');
	is( query(<<~"SQL"),
		SELECT count(*), bool_and(finished_at = uploaded_at AND owner = current_user AND server = 'summit'),
			bool_or(u::text LIKE '%$canary%' OR u::text LIKE '%4111%')
		FROM (SELECT * $refusals) u
		SQL
		'6|t|f', 'nothing of the payloads is kept');
	is(slurp_file($node->logfile, $logged) =~ /$canary/ ? 1 : 0, 0, 'nor is it in the log');
	push @verified, $good;

	# What a refusal, raised or recorded, leaves in the session.
	my $policy = policy();
	my $strict = table('id int PRIMARY KEY, body jsonb', q{'body'});
	query(  "DO \$\$ BEGIN INSERT INTO $strict VALUES (1, "
		  . literal(late('x'))
		  . '); EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$;'
		  . " INSERT INTO $table VALUES (20, "
		  . literal(late('x'))
		  . '); SELECT summit_upload_policy('
		  . literal(payload($policy))
		  . ')');
	is(upload_of($policy, 'source_table, source_key'), '|', 'a refusal has nothing to do with what comes next');
	return;
}

# What is wrong with the database is no fault of the payload.
sub other_errors
{
	my $table = table('id int PRIMARY KEY, body jsonb', q{'body', '', 'defer'});
	my $insert = "INSERT INTO $table VALUES (1, " . literal(payload(policy())) . ')';
	my $before = counts('summit.upload');

	is( scalar sqlstate_of($node, "SET canopy_summit.summit_server = 'nowhere'; $insert"), '42704',
		'a server that does not exist is an error');
	query(<<~'SQL');
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION SQLSTATE '57014';
		END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON canopy_summit.job FOR EACH ROW EXECUTE FUNCTION refuse();
		SQL
	is(scalar sqlstate_of($node, $insert), '57014', 'so is a cancelled statement');
	query('DROP TRIGGER refuse ON canopy_summit.job; DROP FUNCTION refuse()');
	is(counts($table, 'summit.upload'), "0 $before", 'that keeps no row');
	return;
}

sub wrong_uses
{
	my %wrong = (
		'BEFORE' => [ 'BEFORE INSERT', 'ROW', q{'body'}, 'is for AFTER INSERT row triggers' ],
		'a statement' => [ 'AFTER INSERT', 'STATEMENT', q{'body'}, 'is for AFTER INSERT row triggers' ],
		'UPDATE' => [ 'AFTER UPDATE', 'ROW', q{'body'}, 'is for AFTER INSERT row triggers' ],
		'DELETE' => [ 'AFTER DELETE', 'ROW', q{'body'}, 'is for AFTER INSERT row triggers' ],
		'TRUNCATE' => [ 'AFTER TRUNCATE', 'STATEMENT', q{'body'}, 'is for AFTER INSERT row triggers' ],
		'no argument' => [ 'AFTER INSERT', 'ROW', '', 'takes one to three arguments' ],
		'four arguments' =>
		  [ 'AFTER INSERT', 'ROW', q{'body', 'coi', 'defer', 'defer'}, 'takes one to three arguments' ],
		'an unknown column' =>
		  [ 'AFTER INSERT', 'ROW', q{'bodi'}, 'names column "bodi", which the table does not have' ],
		'another case' => [ 'AFTER INSERT', 'ROW', q{'Body'}, 'names column "Body", which the table does not have' ],
		'no column' => [ 'AFTER INSERT', 'ROW', q{''}, 'names column "", which the table does not have' ],
		'a system column' => [ 'AFTER INSERT', 'ROW', q{'xmin'}, 'names column "xmin", which the table does not have' ],
		'an unknown coi column' =>
		  [ 'AFTER INSERT', 'ROW', q{'body', 'pdf'}, 'names column "pdf", which the table does not have' ],
		'json' => [ 'AFTER INSERT', 'ROW', q{'as_json'}, 'needs column "as_json" to be of type jsonb' ],
		'text' => [ 'AFTER INSERT', 'ROW', q{'as_text'}, 'needs column "as_text" to be of type jsonb' ],
		'an array' => [ 'AFTER INSERT', 'ROW', q{'as_array'}, 'needs column "as_array" to be of type jsonb' ],
		'coi as text' => [ 'AFTER INSERT', 'ROW', q{'body', 'as_text'}, 'needs column "as_text" to be of type bytea' ],
		'coi as jsonb' =>
		  [ 'AFTER INSERT', 'ROW', q{'body', 'body', 'defer'}, 'needs column "body" to be of type bytea' ],
		'an unknown mode' =>
		  [ 'AFTER INSERT', 'ROW', q{'body', 'coi', 'lax'}, q{takes 'strict' or 'defer' as its third argument} ],
		'no mode' =>
		  [ 'AFTER INSERT', 'ROW', q{'body', 'coi', ''}, q{takes 'strict' or 'defer' as its third argument} ],
		'a mode in capitals' =>
		  [ 'AFTER INSERT', 'ROW', q{'body', '', 'DEFER'}, q{takes 'strict' or 'defer' as its third argument} ]);
	my $payload = literal(payload(policy()));
	my $before = counts('summit.upload', $uploads);

	query(
		'CREATE TABLE wrong (id int PRIMARY KEY, body jsonb, coi bytea, as_json json, as_text text, as_array jsonb[]);'
		  . " INSERT INTO wrong SELECT 1, p, NULL, p, p, ARRAY[p] FROM (SELECT $payload) AS s(p)");
	for my $name (sort keys %wrong)
	{
		my ($event, $level, $arguments, $message) = @{ $wrong{$name} };
		my $statement =
			$event =~ /UPDATE/ ? 'UPDATE wrong SET id = 2'
		  : $event =~ /DELETE/ ? 'DELETE FROM wrong'
		  : $event =~ /TRUNCATE/ ? 'TRUNCATE wrong'
		  : 'INSERT INTO wrong SELECT 2, body, coi, as_json, as_text, as_array FROM wrong';
		my @error = sqlstate_of($node, <<~"SQL");
			BEGIN;
			CREATE TRIGGER wrong $event ON wrong FOR EACH $level
			EXECUTE FUNCTION summit_upload_on_insert($arguments);
			$statement
			SQL
		is_deeply(\@error, [ '39P01', "summit_upload_on_insert() $message", undef, $hint ], $name);
	}
	is(scalar sqlstate_of($node, <<~'SQL'), '39P01', 'INSTEAD OF');
		BEGIN;
		CREATE VIEW wrong_view AS SELECT * FROM wrong;
		CREATE TRIGGER wrong INSTEAD OF INSERT ON wrong_view FOR EACH ROW
		EXECUTE FUNCTION summit_upload_on_insert('body');
		INSERT INTO wrong_view SELECT 2, body FROM wrong;
		SQL
	is(scalar sqlstate_of($node, 'SELECT summit_upload_on_insert()'), '39P01', 'a plain call');
	is(counts('wrong', 'summit.upload', $uploads), "1 $before", 'nothing was uploaded');
	return;
}

sub types
{
	query(<<~'SQL');
		CREATE DOMAIN certificate AS jsonb CHECK (VALUE IS NOT NULL);
		CREATE DOMAIN cgl AS certificate; CREATE DOMAIN pdf AS bytea
		SQL
	my $table =
	  table('id int PRIMARY KEY, note text, plain jsonb, domained cgl, file bytea, scan pdf', q{'domained', 'scan'});
	# The last one is longer than fits into a page.
	my %documents = (
		1 => undef, 2 => document('pdf'), 3 => document('png'),
		4 => document('pdf') =~ s/(?=trailer)/'%' . 'long ' x 10_000 . "\n"/er);

	query("ALTER TABLE $table ALTER scan SET STORAGE EXTERNAL");
	for my $id (sort keys %documents)
	{
		my $policy = policy();
		my $coi = defined $documents{$id} ? "'\\x" . unpack('H*', $documents{$id}) . "'" : 'NULL';
		query("INSERT INTO $table (id, domained, scan) VALUES ($id, " . literal(payload($policy)) . ", $coi)");
		is( upload_of($policy, q{payload ? 'documents', coi IS NULL, source_key}), "f|t|{\"id\": $id}",
			"row $id is uploaded");
		push @verified, $policy;
		push @then, sub {
			my ($request) = uploads_at_summit($sandbox, $policy);
			my $sent = $json->decode($request->{body});
			my $document = delete $sent->{documents};
			is_deeply($sent, $json->decode(payload($policy)), "row $id: the payload was sent");
			ok( ($document ? MIME::Base64::decode_base64($document->{coi_pdf}{base64}) : '') eq ($documents{$id} // ''),
				'with its document, if there is one');
		};
	}
	return;
}

# The stored table and key lead to one row, whatever the formats of the session that inserts it, and of the one that
# looks.
sub keys_of_rows
{
	my @sessions = (
		q{SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/Vancouver'; SET IntervalStyle = 'iso_8601'},
		<<~'SQL',
			SET DateStyle = 'SQL, MDY'; SET TimeZone = 'Asia/Kolkata';
			SET bytea_output = 'escape'; SET extra_float_digits = -10
			SQL
		q{SET DateStyle = 'German'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres_verbose'},
		q{SET DateStyle = 'ISO'; SET IntervalStyle = 'sql_standard'});
	my @policies = map { policy() } @sessions;
	my $table = q{"App's ""own"""."Lease list"};

	query(<<~"SQL");
		CREATE SCHEMA "App's ""own""";
		CREATE TABLE $table (body jsonb, "The ""name""" text, day date, at timestamptz, id uuid, number bigint,
			term interval, share float8, span daterange,
			digest bytea, amount numeric, small smallint, yes boolean, note text,
			PRIMARY KEY (id, number, at, day, "The ""name""", term, share, span, digest, amount, small,
				yes) INCLUDE (note));
		CREATE TRIGGER upload AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert('body');
		SQL
	for my $number (0 .. $#sessions)
	{
		query("$sessions[$number]; INSERT INTO $table VALUES (" . literal(payload($policies[$number])) . <<~"SQL");
			, E'It''s "\\\\{}" \\u00e9, ', make_date(2026, 3, 4),
				make_timestamptz(2026, 3, 4, 5, 6, 7.000001, 'UTC'), '00000000-0000-4000-8000-00000000000A',
				9223372036854775807 - $number,
			make_interval(1, 2, 0, 3, 4), 0.1::float8 + 0.2::float8,
				daterange(make_date(2026, 3, 4), make_date(2026, 4, 3)), decode('005c27ff', 'hex'), 1.50, -3, false,
				'no key')
			SQL
	}
	my $stored = "FROM summit.upload WHERE policy_number IN ('" . join("', '", @policies) . "')";
	is( query(<<~"SQL"),
		SELECT source_table, source_key, count(*) OVER ()
		FROM (SELECT DISTINCT source_table, source_key - 'number' AS source_key $stored) AS s
		SQL
		$table
		  . q~|{"at": "2026-03-04 05:06:07.000001+00", "id": "00000000-0000-4000-8000-00000000000a", ~
		  . q~"day": "2026-03-04", "yes": "f", "span": "[2026-03-04,2026-04-03)", ~
		  . q~"term": "1 year 2 mons 3 days 04:00:00", "share": "0.30000000000000004", "small": -3, ~
		  . q~"amount": "1.50", "digest": "\\\\x005c27ff", "The \"name\"": "It's \"\\\\{}\" é, "}|1~,
		'the key is the columns of the primary key, in one format');
	is(query(<<~"SQL"), join(' ', map { "922337203685477580$_" } reverse 4 .. 7), 'large numbers are exact');
		SELECT string_agg(source_key ->> 'number', ' ' ORDER BY policy_number) $stored
		SQL
	for my $session (@sessions)
	{
		is(query(<<~"SQL"), join("\n", @policies), "rows are found after $session");
			$session;
			SELECT l.body #>> '{policy,policy_number}' FROM $table l JOIN (SELECT * $stored OFFSET 0) u
				ON u.source_table::regclass = l.tableoid AND (u.source_key ->> 'id')::uuid = l.id
					AND (u.source_key ->> 'number')::bigint = l.number
				AND (u.source_key ->> 'at')::timestamptz = l.at AND (u.source_key ->> 'day')::date = l.day
					AND u.source_key ->> 'The "name"' = l."The ""name"""
				AND (u.source_key ->> 'term')::interval = l.term AND (u.source_key ->> 'share')::float8 = l.share
					AND (u.source_key ->> 'span')::daterange = l.span
				AND (u.source_key ->> 'digest')::bytea = l.digest
					AND (u.source_key ->> 'amount')::numeric = l.amount
					AND (u.source_key ->> 'small')::smallint = l.small
				AND (u.source_key ->> 'yes')::boolean = l.yes
			WHERE u.policy_number = l.body #>> '{policy,policy_number}' ORDER BY l.number DESC
			SQL
	}
	return;
}

sub other_keys
{
	my %columns = (
		'no key' => [ 'id int, body jsonb', '{}' ],
		'a unique constraint' => [ 'id int UNIQUE NOT NULL, body jsonb', '{}' ],
		'a deferrable key' => [ 'id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, body jsonb', '{"id": 7}' ],
		'an identity' => [ 'id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, body jsonb', '{"id": 7}' ],
		'a generated key' =>
		  [ 'id int, body jsonb, twice int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY', '{"twice": 14}' ],
		'a column that is key and payload' => [ q{id int, body jsonb, PRIMARY KEY (id, body)}, undef ]);

	for my $name (sort keys %columns)
	{
		my ($policy, $table) = (policy(), table($columns{$name}[0], q{'body'}));
		query("INSERT INTO $table (id, body) VALUES (7, " . literal(payload($policy)) . ')');
		is( upload_of($policy, 'source_table, source_key'),
			"public.$table|" . ($columns{$name}[1] // query(<<~"SQL")), $name);
				SELECT jsonb_build_object('id', id, 'body', body::text) FROM $table
				SQL
	}
	my ($policy, $session) = (policy(), open_session($node));
	my $body = literal(payload($policy));
	$session->query_safe(<<~"SQL");
		CREATE TEMP TABLE mine (id int PRIMARY KEY, body jsonb);
		CREATE TRIGGER upload AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert('body');
		INSERT INTO mine VALUES (7, $body);
		SQL
	like(upload_of($policy, 'source_table, source_key'), qr/^pg_temp_\d+\.mine\|\{"id": 7\}$/, 'a temporary table');
	$session->quit;
	return;
}

# The app knows the table that has the trigger, not where its rows are kept.
sub partitions
{
	my ($table, @policies) = (
		table('id int, day date, body jsonb, PRIMARY KEY (day, id)) PARTITION BY RANGE (day', q{'body', '', 'defer'}),
		map { policy() } 1 .. 4);

	query(<<~"SQL");
		CREATE TABLE ${table}_2025 PARTITION OF $table FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		CREATE TABLE ${table}_later PARTITION OF $table FOR VALUES FROM ('2026-01-01') TO ('2100-01-01')
		PARTITION BY LIST (id);
		CREATE TABLE ${table}_other (gone int, body jsonb, more int, day date NOT NULL, id int NOT NULL);
		ALTER TABLE ${table}_other DROP COLUMN gone, DROP COLUMN more;
		ALTER TABLE ${table}_later ATTACH PARTITION ${table}_other DEFAULT;
		SQL
	query(  "INSERT INTO $table (id, day, body) VALUES (1, '2025-05-05', "
		  . literal(payload($policies[0]))
		  . "), (2, '2026-05-05', "
		  . literal(payload($policies[1]))
		  . "), (3, '2026-05-05', "
		  . literal(late('x'))
		  . ')');
	query(
		"INSERT INTO ${table}_other (id, day, body) VALUES (4, '2027-05-05', " . literal(payload($policies[2])) . ')');
	is( query(<<~"SQL"),
		SELECT l.id, u.status = 'refused', u.policy_number = l.body #>> '{policy,policy_number}'
		FROM $table l JOIN summit.upload u
			ON u.source_table = 'public.$table' AND u.source_key = jsonb_build_object('day', l.day, 'id', l.id)
		ORDER BY 1
		SQL
		"1|f|t\n2|f|t\n3|t|\n4|f|t",
		'rows of all partitions are those of the table that has the trigger');

	$table = table('id int PRIMARY KEY, body jsonb) PARTITION BY LIST (id', q{'body'});
	my $body = literal(payload($policies[3]));
	query(<<~"SQL");
		DROP TRIGGER upload ON $table;
		CREATE TABLE ${table}_other PARTITION OF $table DEFAULT;
		CREATE TRIGGER upload AFTER INSERT ON ${table}_other FOR EACH ROW
		EXECUTE FUNCTION summit_upload_on_insert('body');
		INSERT INTO $table VALUES (1, $body);
		SQL
	is(upload_of($policies[3], 'source_table'), "public.${table}_other", 'which may be a partition');
	return;
}

sub changes
{
	my ($table, @policies) =
	  (table('gone int, id int PRIMARY KEY, body jsonb, coi bytea', q{'body', 'coi'}), map { policy() } 1 .. 6);
	my $insert =
	  sub { return "INSERT INTO $table (id, body) VALUES ($_[0], " . literal(payload($policies[ $_[0] ])) . ')' };

	query($insert->(0));
	query("ALTER TABLE $table DROP COLUMN gone");
	query($insert->(1));
	is(upload_of($policies[1], 'source_key'), '{"id": 1}', 'a column before the others is dropped');
	query("ALTER TABLE $table RENAME COLUMN body TO certificate");
	is( scalar sqlstate_of($node, $insert->(2) =~ s/, body/, certificate/r), '39P01',
		'a payload that is renamed is an error');
	query("ALTER TABLE $table RENAME COLUMN certificate TO body; ALTER TABLE $table DROP COLUMN coi");
	is(scalar sqlstate_of($node, $insert->(2)), '39P01', 'so is a coi that is dropped');
	query("ALTER TABLE $table ADD COLUMN coi bytea DEFAULT '\\x" . unpack('H*', document('pdf')) . "'");
	query($insert->(2));
	is(upload_of($policies[2], 'source_key'), '{"id": 2}', 'and is not when it comes back');
	push @verified, $policies[2];
	push @then, sub {
		is( join(
				' ',
				map { $json->decode($_->{body})->{documents}{coi_pdf}{content_type} // 'none' }
				  uploads_at_summit($sandbox, $policies[2])),
			'application/pdf',
			'a default of a column was sent');
	};
	query("ALTER TABLE $table RENAME COLUMN id TO lease_id");
	query($insert->(3) =~ s/\(id/(lease_id/r);
	is(upload_of($policies[3], 'source_key'), '{"lease_id": 3}', 'a key is stored by its name of the day');
	query(<<~"SQL");
		ALTER TABLE $table DROP CONSTRAINT ${table}_pkey, ALTER COLUMN lease_id TYPE text,
		ADD PRIMARY KEY (lease_id);
		ALTER TABLE $table RENAME TO ${table}_renamed
		SQL
	query($insert->(4) =~ s/$table/${table}_renamed/r =~ s/\(id/(lease_id/r);
	is( upload_of($policies[4], 'source_table, source_key'), "public.${table}_renamed|{\"lease_id\": \"4\"}",
		'and by its type and table');
	is( upload_of($policies[0], 'source_table, source_key'), "public.$table|{\"id\": 0}",
		'what was uploaded before is as it was');
	return;
}

# An upload is its inserter's, who needs a right to upload; the table's owner lends none.
sub owners
{
	my $table = table('id int PRIMARY KEY, body jsonb', q{'body'}, role => 'app');
	my $deferring = table('id int PRIMARY KEY, body jsonb', q{'body', '', 'defer'}, role => 'app');
	my ($policy, $other) = (policy(), policy());
	my $before = counts('summit.upload');

	query("GRANT INSERT ON $table, $deferring TO writer, stranger");
	for my $name ($table, $deferring)
	{
		my $insert = "INSERT INTO $name VALUES (1, " . literal(payload(policy())) . ')';
		is(scalar sqlstate_of($node, "SET ROLE writer; $insert"), '42501', 'a role that may not upload cannot insert');
		is(scalar sqlstate_of($node, "SET ROLE stranger; $insert"), '42501', 'nor can one that may not use the server');
	}
	is(counts($table, $deferring, 'summit.upload'), "0 0 $before", 'and nothing is recorded');
	query(  "SET ROLE app; INSERT INTO $table VALUES (1, "
		  . literal(payload($policy))
		  . "); INSERT INTO $deferring VALUES (2, "
		  . literal(late('x'))
		  . ')');
	is(upload_of($policy, 'owner, source_key'), 'app|{"id": 1}', 'an upload is the role\'s that inserts');
	is(query(<<~"SQL"), 'app|refused', 'so is a refusal');
		SELECT owner, status FROM summit.upload WHERE source_table = 'public.$deferring'
		SQL
	is(query(<<~"SQL"), 'policy.expiry_date|', 'which it can read, but not the key, which may be personal');
		SET ROLE app;
		SELECT error_field, source_key FROM summit.upload_status WHERE source_table = 'public.$deferring'
		SQL
	my $by_key = <<~"SQL";
		SELECT error_field FROM summit.upload_status
		WHERE source_table = 'public.$deferring' AND source_key = '{"id": 2}'
		SQL
	is(query("SET ROLE app; $by_key"), '', 'nor guess it');
	query(q{SELECT canopy_summit.grant_access('chief', 'pii_reader')});
	is(query("SET ROLE chief; $by_key"), 'policy.expiry_date', 'a pii_reader joins back by it');
	is( query("SELECT owner FROM canopy_summit.job WHERE job_id = " . upload_of($policy, 'job_id')), 'app',
		'whose credential it is sent with');

	query(<<~"SQL");
		SET ROLE app;
		CREATE FUNCTION save(id int, body jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
		SET search_path = pg_catalog, pg_temp AS 'INSERT INTO public.$table VALUES (\$1, \$2)'
		SQL
	query("SET ROLE writer; SELECT save(3, " . literal(payload($other)) . ')');
	is(upload_of($other, 'owner'), 'app', 'a function of the app uploads for others');
	push @verified, $policy, $other;
	is( scalar sqlstate_of($node, <<~'SQL'),
		SET ROLE writer; CREATE TEMP TABLE t (body jsonb);
		CREATE TRIGGER upload AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert('body')
		SQL
		'42501', 'who may not upload cannot make the trigger');
	return;
}

sub transactions
{
	my $table = table('id int PRIMARY KEY, body jsonb', q{'body', '', 'defer'});
	my ($undone, $partly, $kept, $later, $conflict, $when) = map { policy() } 1 .. 6;
	my @before = (counts('summit.upload'), counts($uploads));
	my $row = sub { return "($_[0], " . literal($_[1]) . ')' };

	query(
		"BEGIN; INSERT INTO $table VALUES " . $row->(1, payload($undone)) . ', ' . $row->(2, late('x')) . '; ROLLBACK');
	is(counts($table, 'summit.upload', $uploads), "0 @before", 'ROLLBACK uploads nothing and records no refusal');
	query(  "BEGIN; SAVEPOINT s; INSERT INTO $table VALUES "
		  . $row->(1, payload($partly))
		  . '; ROLLBACK TO s; INSERT INTO '
		  . "$table VALUES "
		  . $row->(1, payload($kept))
		  . '; COMMIT');
	is(upload_of($kept, 'source_key') . upload_of($partly, 'source_key'), '{"id": 1}', 'ROLLBACK TO undoes its part');

	query(  "INSERT INTO $table VALUES "
		  . $row->(1, payload($conflict))
		  . " ON CONFLICT DO NOTHING; INSERT INTO $table VALUES "
		  . $row->(1, payload($conflict))
		  . ' ON CONFLICT (id) DO UPDATE SET body = excluded.body');
	is(upload_of($conflict, '1'), '', 'a row that is not inserted is not uploaded');

	my $deferred = table('id int PRIMARY KEY, body jsonb, ready boolean', q{'body'});
	query(<<~"SQL");
		DROP TRIGGER upload ON $deferred;
		CREATE CONSTRAINT TRIGGER upload AFTER INSERT ON $deferred DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.ready) EXECUTE FUNCTION summit_upload_on_insert('body')
		SQL
	query(  "INSERT INTO $deferred VALUES (1, "
		  . literal(payload($later))
		  . ', true), (2, '
		  . literal(payload($when))
		  . ', false)');
	is(upload_of($later, 'source_key'), '{"id": 1}', 'a constraint trigger uploads at COMMIT');
	is(upload_of($when, '1'), '', 'and only what its condition takes');
	is( scalar sqlstate_of($node, "INSERT INTO $deferred VALUES (3, " . literal(late('x')) . ', true)'), '22023',
		'a refusal fails the COMMIT');
	push @verified, $kept, $later;
	push @unsent, $undone, $partly, $conflict, $when;
	return;
}

# One upload is enough; it leads to the row that came first.
sub duplicates
{
	my ($table, $policy) = (table('id int PRIMARY KEY, body jsonb', q{'body', '', 'defer'}), policy());
	my ($status, undef, $stderr) = $node->psql(
		'postgres',
		"INSERT INTO $table SELECT n, " . literal(payload($policy)) . ' FROM generate_series(1, 3) n',
		on_error_die => 0);

	is($status, 0, 'three rows with one payload');
	is(scalar(() = $stderr =~ /NOTICE:  the same payload is upload \d+ already/g), 2, 'two NOTICEs');
	is(counts($table), 3, 'the rows are there');
	is(upload_of($policy, 'source_key'), '{"id": 1}', 'one upload');
	push @verified, $policy;
	return;
}

sub bulk
{
	my $table = table('id int PRIMARY KEY, policy text, body jsonb', q{'body', '', 'defer'});
	my $prefix = policy();
	my $rows = join "\n", map {
		my $policy = "$prefix-$_";
		join "\t", $_, $policy, ($_ % 20 == 0 ? late($policy) : payload($policy)) =~ s/\\/\\\\/gr
	} 1 .. 200;
	query("COPY $table FROM STDIN;\n$rows\n\\.\n");
	push @verified, map { "$prefix-$_" } grep { $_ % 20 != 0 } 1 .. 200;
	push @then, sub {
		is(query(<<~"SQL"), "f|verified|190\nt|refused|10", 'every row of COPY has its upload');
			SELECT l.id % 20 = 0, u.status, count(*)
			FROM $table l JOIN summit.upload u ON u.source_table = 'public.$table'
				AND u.source_key = jsonb_build_object('id', l.id)
			WHERE u.policy_number = l.policy OR u.policy_number IS NULL GROUP BY 1, 2 ORDER BY 1, 2
			SQL
	};

	my $strict = table('id int PRIMARY KEY, body jsonb', q{'body'});
	my $before = counts('summit.upload');
	is( scalar sqlstate_of(
			$node,
			"COPY $strict FROM STDIN;\n"
			  . join("\n", map { "$_\t" . ($_ == 90 ? late("$prefix+$_") : payload("$prefix+$_")) } 1 .. 100)
			  . "\n\\.\n"),
		'22023',
		'strict: one bad row refuses them all');
	is(counts($strict, 'summit.upload'), "0 $before", 'and none is uploaded');
	return;
}

# Whatever was inserted for good is verified, after one request.
sub ends
{
	wait_until(
		'all uploads have come to an end',
		sub { query('SELECT count(*) FROM summit.upload WHERE finished_at IS NULL') == 0 });
	is(query(<<~'SQL'), 'refused verified', 'every upload is verified or refused');
		SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM summit.upload
		SQL
	my %status = map { split /\|/ } split /\n/, query(<<~'SQL');
		SELECT policy_number, status FROM summit.upload WHERE policy_number IS NOT NULL
		SQL
	my %effects = map { ($_->{policy_number} => "$_->{requests} $_->{effects}") } effect_rows($sandbox);
	is( join(' ', grep { $status{$_} ne 'verified' || $effects{$_} ne '1 1' } @verified), '',
		@verified . ' are verified, after one request each');
	is(join(' ', grep { exists $effects{$_} } @unsent), '', 'what was undone was not sent');
	is(keys %effects, keys %status, 'nothing else was sent');
	$_->() for @then;
	return;
}
