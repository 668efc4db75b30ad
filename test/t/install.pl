# Can a role that may create objects in the schema of the extension get into CREATE EXTENSION?

use strict;
use warnings;

use CanopyTest;
use Test::More;

my $node = new_node();

# Operators that fit better than pg_catalog's what the script compares; each notes who ran it.
my @operators = (
	[ '~',   'name, name' ],        [ '~~',  'name, name' ],
	[ '=',   'oid, regclass' ],     [ '=',   'oid, regtype' ],
	[ '=',   'oid, regnamespace' ], [ '<>',  'oid, regtype' ],
	[ '=',   'name, unknown' ],     [ '=',   'name, text' ],
	[ '->>', 'jsonb, jsonb' ],      [ '||',  'name, text' ],
	[ '<>',  'text, varchar' ],     [ '=',   'text, name' ]);

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
$node->safe_psql('postgres', q{
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
	CREATE ROLE someone;
	SELECT canopy_summit.grant_access('someone', 'admin');
	SELECT canopy_summit.add_column('policy', 'more', 'text');
	SELECT canopy_store_pull('{"pull_id": "p", "status": "SUCCESS", "policies": [{"policy_id": "a", "more": "b"}]}');
	SELECT canopy_remap();
	SELECT * FROM canopy.policy});
is($node->safe_psql('postgres', 'SELECT count(*) FROM public.ran'), 0, '… nor does using it');

done_testing();
