# Does canopy.onboarding say what is done, and are its statements the ones that do it?
use strict;
use warnings;

use CanopyJobs;
use CanopyReceiver;
use CanopyTest;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();

query($node, 'CREATE EXTENSION canopy_summit; CREATE ROLE reads');
query($node, q{SELECT canopy_summit.grant_access('reads', 'reader')});
subtest 'before there is a server' => \&nothing;
create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'key' });
subtest 'statements' => \&statements;
subtest 'step by step' => \&steps;
subtest 'servers' => \&servers;
done_testing();

sub nothing
{
	is(query($node, 'SELECT count(*), count(*) FILTER (WHERE done) FROM canopy.onboarding'), '15|0', 'nothing is done');
	is( query($node, 'SELECT DISTINCT server, environment FROM canopy.onboarding'),
		'canopy|production', 'of the server that functions would use');
	like(
		query($node, 'SELECT statement FROM canopy.onboarding WHERE number = 1'),
		qr/^CREATE SERVER canopy .*CREATE USER MAPPING/, 'which is the first thing to make');
	return;
}

# PostgreSQL can at least read them all.
sub statements
{
	for my $statement (split /\n/, query($node, 'SELECT statement FROM canopy.onboarding ORDER BY number'))
	{
		my ($sqlstate, $message) = sqlstate_of($node, "BEGIN; $statement\n; ROLLBACK");
		unlike($message // '', qr/syntax error|does not exist|is not unique/, $statement);
	}
	return;
}

sub done_now
{
	return query($node, q{SELECT string_agg(number::text, ' ' ORDER BY number) FROM canopy.onboarding WHERE done});
}

sub steps
{
	my $pull_id = $sandbox->pull_id('user_good');

	is(done_now(), '1', 'the key');
	query($node, q{ALTER SERVER canopy OPTIONS (ADD public_alias 'sandbox-link')});
	is(done_now(), '1 2', 'the widget');
	query($node, "SELECT canopy_fetch_pull('$pull_id')");
	is(done_now(), '1 2 3 5 9', 'a pull');
	settled($node, query($node, "SELECT canopy_enqueue_fetch('$pull_id')"));
	is(done_now(), '1 2 3 5 7 9', 'by job');
	my $body = canopy_body($pull_id);
	query($node, <<~"SQL");
		SELECT receive_webhook('canopy', jsonb_build_object('canopy-signature', sign_webhook('key', '$body')),
			convert_to('$body', 'UTF8'))
		SQL
	soon_ok('a webhook', sub { done_now() eq '1 2 3 4 5 6 7 9' });
	all_settled($node);
	query($node, "SELECT canopy_enqueue_documents('$pull_id')");
	all_settled($node);
	is(done_now(), '1 2 3 4 5 6 7 8 9', 'documents');
	settled($node, query($node, $_))
	  for q{SELECT canopy_enrich_property('1 Main St, Springfield, IL 62701')},
	  "SELECT canopy_monitor_pull('$pull_id')";
	is(done_now(), '1 2 3 4 5 6 7 8 9 10 11', 'an enrichment, and a monitoring');
	return;
}

sub servers
{
	create_canopy_server($node, $sandbox, server => 'other');
	is( query($node, 'SELECT count(*), count(*) FILTER (WHERE done) FROM canopy.onboarding WHERE server = $$other$$'),
		'15|1', 'each has its own');
	is( query($node, 'SET ROLE reads; SELECT count(*) FROM canopy.onboarding WHERE box IS NOT NULL'), 30,
		'which readers see');
	return;
}
