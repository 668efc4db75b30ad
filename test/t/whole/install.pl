# Is what CREATE EXTENSION makes its own: can a role that may create objects where it goes get in,
# or a setting change it?

use strict;
use warnings;

use CanopyTest;
use Test::More;

my $node = new_node();

# Operators that fit better than pg_catalog's what the script compares; each notes who ran it.
my @operators = (
	[ '~', 'name, name' ], [ '~~', 'name, name' ],
	[ '=', 'oid, regclass' ], [ '=', 'oid, regtype' ],
	[ '=', 'oid, regnamespace' ], [ '<>', 'oid, regtype' ],
	[ '=', 'name, unknown' ], [ '=', 'name, text' ],
	[ '->>', 'jsonb, jsonb' ], [ '||', 'name, text' ],
	[ '<>', 'text, varchar' ], [ '=', 'text, name' ]);

$node->safe_psql('postgres', <<~'END');
	CREATE ROLE intruder LOGIN;
	GRANT CREATE ON SCHEMA public TO intruder;
	CREATE TABLE public.ran (who name);
	GRANT INSERT ON public.ran TO PUBLIC;
	END

for my $index (0 .. $#operators)
{
	my ($name, $types) = @{ $operators[$index] };
	next if $types =~ /unknown/;
	my ($left, $right) = split /, /, $types;
	$node->safe_psql('postgres', <<~"END");
		SET SESSION AUTHORIZATION intruder;
		CREATE FUNCTION public.intrude_$index($types) RETURNS boolean LANGUAGE plpgsql AS
			'BEGIN INSERT INTO public.ran VALUES (current_user); RETURN true; END';
		CREATE OPERATOR public.$name (FUNCTION = public.intrude_$index, LEFTARG = $left, RIGHTARG = $right);
		END
}
$node->safe_psql('postgres', <<~'END');
	SET SESSION AUTHORIZATION intruder;
	CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE plpgsql AS
		'BEGIN INSERT INTO public.ran VALUES (current_user); RETURN ''SELECT 1''; END';
	CREATE FUNCTION public.may_read_pii() RETURNS boolean LANGUAGE sql AS 'SELECT true';
	CREATE DOMAIN public.jsonb AS pg_catalog.text;
	END

my ($stdout, $stderr) = ('', '');
is($node->psql('postgres', 'CREATE EXTENSION canopy_summit', stderr => \$stderr), 0, 'CREATE EXTENSION succeeds')
  or diag $stderr;
is($node->safe_psql('postgres', 'SELECT count(*) FROM public.ran'), 0, '… and runs nothing of the intruder');
$node->safe_psql('postgres', <<~'SQL');
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
	CREATE ROLE someone;
	SELECT canopy_summit.grant_access('someone', 'admin');
	SELECT canopy_summit.add_column('policy', 'more', 'text');
	SELECT canopy_store_pull('{"pull_id": "p", "status": "SUCCESS", "policies": [{"policy_id": "a", "more": "b"}]}');
	SELECT canopy_remap();
	CALL canopy_summit.run_tasks();
	SELECT * FROM canopy.policy
	SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM public.ran'), 0, '… nor does using it');

# Plans are kept for a session, and types of what is dropped are gone.
my $store = q{SELECT version FROM canopy_store_pull('{"pull_id": "q", "policies": [{"policy_id": "z"}]}');};
is( $node->safe_psql(
		'postgres',
		<<~"SQL"), "1\n1", 'a session that stores pulls goes on when the extension is made anew');
	SET client_min_messages = error;
	$store
	DROP EXTENSION canopy_summit CASCADE;
	CREATE EXTENSION canopy_summit;
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
	$store
	SQL

# Settings that decide how the script is read or run; a dump sets some of them in its first lines.
my %settings = (
	'standard_conforming_strings' => 'off', 'escape_string_warning' => 'off', 'backslash_quote' => 'off',
	'check_function_bodies' => 'on', 'quote_all_identifiers' => 'on', 'row_security' => 'off',
	'default_toast_compression' => 'pglz', 'DateStyle' => 'SQL, DMY', 'IntervalStyle' => 'sql_standard',
	'TimeZone' => 'Asia/Kathmandu', 'bytea_output' => 'escape', 'extra_float_digits' => '-15',
	'xmloption' => 'document',
	'transform_null_equals' => 'on', 'array_nulls' => 'off', 'session_replication_role' => 'replica',
	'default_transaction_isolation' => 'serializable', 'plpgsql.variable_conflict' => 'use_column',
	'plpgsql.extra_errors' => 'all', 'search_path' => 'nowhere');
delete @settings{qw(standard_conforming_strings escape_string_warning)}
  if $node->pg_version->major >= 19; # which knows no other strings
my $odd = join '', map { "SET $_ = '$settings{$_}';\n" } sort keys %settings;

$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE template0") for qw(usual odd);
$node->safe_psql('usual', 'CREATE EXTENSION canopy_summit');
is( scalar sqlstate_of($node, "$odd CREATE EXTENSION canopy_summit SCHEMA public", database => 'odd'), undef,
	'CREATE EXTENSION succeeds under settings of all kinds');
my %made = map { $_ => [ split /\n/, $node->safe_psql($_, members()) ] } qw(usual odd);
cmp_ok(scalar @{ $made{usual} }, '>', 1000, 'what it makes can be read');
is_deeply($made{odd}, $made{usual}, '… and is the same under them');

# Bodies of functions are parsed when they run.
my %refused = (
	<<~'SQL' => '22023',
		SELECT canopy_summit.check_certificate('{"policy": {"policy_number": "1",
		"insurer_name": "a 4111 1111 1111 1111"}}')
		SQL
	q{SELECT canopy_summit.add_column('policy', 'declared_by', 'text')} => '42602',
	<<~'SQL' => '42701',
		SELECT canopy_summit.add_column('policy', 'deductible_cents', 'bigint'),
		canopy_summit.add_column('policy', 'deductible', 'numeric')
		SQL
	<<~'SQL' => undef);
		SELECT canopy_summit.add_column('policy', 'declaredby', 'text'),
		canopy_summit.add_column('policy', 'more', 'text[]')
		SQL
$odd .= 'SET search_path = public; SET session_replication_role = origin;';
is(scalar sqlstate_of($node, "$odd $_", database => 'odd'), $refused{$_}, "as ever: $_") for sort keys %refused;

# Rules that find nothing are not taken, whoever brings them: a built-in one, an own one, or one of a dump.
my %rules = (
	'one that is built in' => <<~'SQL',
		SET session_replication_role = replica;
		INSERT INTO summit.minimisation_rule (rule_id, builtin, kind, pattern, example)
		VALUES ('x', true, 'card', 'd{16}', '4111111111111111')
		SQL
	'one of one\'s own' => <<~'SQL',
		INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example)
		VALUES ('x', 'card', 'd{16}', '4111111111111111')
		SQL
	'one that is changed' => q{UPDATE summit.minimisation_rule SET pattern = 'd{16}' WHERE rule_id = 'card_visa'});
is(scalar sqlstate_of($node, $rules{$_}, database => 'usual'), '23514', "$_ has to find its example")
  for sort keys %rules;
is( $node->safe_psql('usual', 'SELECT count(*) FROM summit.minimisation_rule WHERE builtin'),
	22, 'the built-in ones are there');

done_testing();
