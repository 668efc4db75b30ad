# Does anything of a payload that is refused get into the server's log, or further than to whoever sent it?
use strict;
use warnings;

use CanopyTest;
use Test::More;

my $card = '4111 1111 1111 1111';
my $payload = <<~'JSON';
	{"policy": {"policy_number": "A1", "insurer_name": "Example", "policy_type": "CGL", "effective_date": "2025-01-01", "expiry_date": "2026-01-01"},
	 "certificate_holder": {"name": "Resident Person", "address": "ADDRESS", "additional_insured": true, "waiver_of_subrogation": true,
	  "reference_ids": {"property_id": "KEL-001"}}}
	JSON
my $refused = $payload =~ s/ADDRESS/12 Main St $card/r;
my $late = $payload =~ s/2026-01-01/2024-01-01/r;
my $unknown = $payload =~ s/"name"/"Person $card"/r;

my $node = new_node(conf => "log_min_error_statement = error\nlog_error_verbosity = verbose\nlog_statement = 'none'");
$node->safe_psql('postgres', q{
	CREATE EXTENSION canopy_summit;
	CREATE ROLE clerk;
	SELECT canopy_summit.grant_access('clerk', 'fetcher');
	CREATE TABLE app (payload jsonb);
	GRANT INSERT ON app TO clerk;
	CREATE FUNCTION check_app() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM canopy_summit.check_certificate(NEW.payload);
		RETURN NEW;
	END $$;
	CREATE TRIGGER check_app BEFORE INSERT ON app FOR EACH ROW EXECUTE FUNCTION check_app()});

my %ways = (
	'a query' => q{SELECT canopy_summit.check_certificate('%s')},
	'a prepared statement' => q{PREPARE p (jsonb) AS SELECT canopy_summit.check_certificate($1); EXECUTE p ('%s')},
	'a trigger' => q{INSERT INTO app VALUES ('%s')},
	'a dynamic statement' => q{DO $do$ BEGIN EXECUTE $sql$SELECT canopy_summit.check_certificate('%s')$sql$; END $do$});

for my $way (sort keys %ways)
{
	for my $case ([ 'a card number', $refused, 'certificate_holder.address: looks like a payment card number, which Summit does not accept' ],
		[ 'a wrong date', $late, 'policy.expiry_date: must be after effective_date' ],
		[ 'a name for a key', $unknown, 'certificate_holder.(a key): is not a field that Summit knows' ])
	{
		my ($what, $sent, $expected) = @$case;
		my $from = -s $node->logfile;
		my ($sqlstate, $message, $detail) = sqlstate_of($node, 'SET ROLE clerk; ' . sprintf($ways{$way}, $sent));
		is($sqlstate, '22023', "$way, $what: refused");
		is($message, $expected, "$way, $what: the message names the field");
		unlike($detail // '', qr/Person|1111/, "$way, $what: the detail does not say what it holds");
		my $log = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from);
		like($log, qr/\Q$expected\E/, "$way, $what: the log has the error");
		unlike($log, qr/Person|1111|KEL-001/, "$way, $what: and nothing of the payload");
	}
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM app'), '0', 'nothing is stored');

# Where an app's trigger defers a refusal, the app's row stays, and ours says why and nothing else.
$node->safe_psql('postgres', q{
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (base_url 'https://localhost:1', auth_url 'https://localhost:1', environment 'sandbox');
	CREATE USER MAPPING FOR PUBLIC SERVER summit OPTIONS (client_id 'a', client_secret 'b');
	GRANT USAGE ON FOREIGN SERVER summit TO clerk;
	CREATE TABLE lease (lease_id integer PRIMARY KEY, payload jsonb);
	GRANT INSERT ON lease TO clerk;
	CREATE TRIGGER upload AFTER INSERT ON lease FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert('payload', '', 'defer')});
my $before = -s $node->logfile;
$node->safe_psql('postgres', "SET ROLE clerk; INSERT INTO lease VALUES (7, '$refused')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM lease'), '1', 'a deferred refusal leaves the app its row');
is($node->safe_psql('postgres', 'SELECT status, error_field, source_table, source_key, job_id IS NULL FROM summit.upload'),
	'refused|certificate_holder.address|public.lease|{"lease_id": 7}|t', 'and says what was refused, and where');
unlike($node->safe_psql('postgres', 'SELECT u::text FROM summit.upload u'), qr/Person|1111|KEL-001/, 'but keeps nothing of the payload');
unlike(substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $before), qr/Person|1111|KEL-001/, 'nor does the log');

# The same log does hold statements that fail otherwise.
my $from = -s $node->logfile;
sqlstate_of($node, q[SELECT canopy_summit.check_certificate('{"Person": broken')]);
like(substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from), qr/STATEMENT:.*Person/, 'what is no JSON is logged by PostgreSQL before it gets here');
done_testing();
