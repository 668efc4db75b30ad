# Does an app's own table take rows of holders who do not comply, and does no event slip in between?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyWebhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node();
my $number = 0;

create_webhook_servers($node);
query($node, <<~'SQL');
	CREATE ROLE app;
	SELECT canopy_summit.grant_access('app', 'fetcher');
	INSERT INTO summit.property (property_id, time_zone) VALUES ('P', 'America/Vancouver');
	INSERT INTO summit.property_reference (property_id, lease_id, tenant_id)
	SELECT 'P', 'L' || n, 'T' || n FROM generate_series(1, 40) n;
	INSERT INTO summit.requirement_set (name, scope, scope_value, starts_on)
	VALUES ('S', 'property', 'P', '2026-01-01');
	INSERT INTO summit.requirement (requirement_set, version, policy_type, evidence_grade)
	VALUES ('S', 1, 'CGL', 'verified');
	UPDATE summit.requirement_set SET status = 'published';
	CREATE TABLE flagged (id integer PRIMARY KEY, property text, lease text, tenant text);
	CREATE TRIGGER gate AFTER INSERT OR UPDATE ON flagged FOR EACH ROW
	EXECUTE FUNCTION summit_require_compliant('property, id_of_unit, lease, tenant');
	ALTER TABLE flagged ADD id_of_unit text;
	CREATE TABLE refused (LIKE flagged INCLUDING ALL);
	CREATE TRIGGER gate AFTER INSERT OR UPDATE ON refused FOR EACH ROW
	EXECUTE FUNCTION summit_require_compliant('property, id_of_unit, lease, tenant', 'refuse');
	CREATE TABLE strict (LIKE flagged INCLUDING ALL);
	CREATE TRIGGER gate AFTER INSERT OR UPDATE ON strict FOR EACH ROW
	EXECUTE FUNCTION summit_require_compliant('property, id_of_unit, lease, tenant', 'refuse', 'refuse_unknown');
	GRANT INSERT, UPDATE, SELECT ON flagged, refused, strict TO app;
	SQL

subtest 'flags' => \&flags;
subtest 'refusals' => \&refusals;
subtest 'triggers that are wrong' => \&wrong;
subtest 'what nobody can choose' => \&chosen;
subtest 'an event in between' => \&between;
subtest 'many at once' => \&crowd;
done_testing();

# An event of a holder's policy, applied unless somebody has the policy.
sub told
{
	my ($lease, $status, $at, %policy) = @_;
	receive(
		$node, 'summit',
		{   delivery_id => 'd' . ++$number,
			event => "policy.$status",
			occurred_at => $at,
			attempt => 1,
			data => {
				policy => { policy_number => "POL-$lease", %policy },
				reason => { code => 'cancelled' },
				certificate_holder => {
					name => 'H', reference_ids => { property_id => 'P', lease_id => "L$lease", tenant_id => "T$lease" }
				} } });
	return query($node, 'SELECT canopy_summit.apply_webhooks()');
}

sub verified
{
	my ($lease) = @_;
	return told(
		$lease, 'verified', '2026-02-01T00:00:00Z',
		policy_type => 'CGL', effective_date => '2026-01-01', expiry_date => '2030-01-01',
		verified_at => '2026-02-01T00:00:00Z');
}

sub lapsed { return told($_[0], 'lapsed', '2026-06-01T00:00:00Z', lapsed_at => '2026-06-01T00:00:00Z') }

sub row { my ($table, $id, $lease) = @_; return "INSERT INTO $table VALUES ($id, 'P', 'L$lease', 'T$lease')" }

sub flags
{
	my $events = sub { return query($node, <<~'SQL') };
		SELECT server, environment, source_table, source_key, property_id, lease_id, tenant_id, verdict, codes
		FROM summit.gate_event ORDER BY gate_event_id
		SQL
	verified(1);
	query($node, 'SET ROLE app; ' . row('flagged', 1, 1));
	is($events->(), '', 'of who complies nothing is noted');
	query($node, 'SET ROLE app; ' . row('flagged', 2, 2));
	my $none = 'summit|sandbox|public.flagged|{"id": 2}|P|L2|T2|fail|{no_policy}';
	is($events->(), $none, 'who does not is taken, and noted');
	query($node, "SET ROLE app; UPDATE flagged SET lease = 'L3', tenant = 'T3' WHERE id = 1");
	is( $events->(), "$none\n" . 'summit|sandbox|public.flagged|{"id": 1}|P|L3|T3|fail|{no_policy}',
		'an UPDATE is judged by the new row');
	query($node, q{SET ROLE app; INSERT INTO flagged VALUES (3, 'elsewhere', 'L1', 'T1'), (4, NULL, NULL, NULL)});
	is( query($node, q{SELECT verdict, codes, server = '' FROM summit.gate_event ORDER BY gate_event_id DESC LIMIT 2}),
		"unknown|{no_property}|t\nunknown|{no_property}|t", 'a property that nobody knows is unknown');
	return;
}

sub refusals
{
	query($node, 'SET ROLE app; ' . row('refused', 1, 1));
	my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, 'SET ROLE app; ' . row('refused', 2, 2));
	is($sqlstate, '23514', 'who does not comply is refused');
	like($detail, qr/no_policy/, 'with the codes');
	isnt($hint, '', 'and a hint');
	query($node, q{SET ROLE app; INSERT INTO refused VALUES (3, 'elsewhere')});
	is( scalar sqlstate_of($node, q{SET ROLE app; INSERT INTO strict VALUES (3, 'elsewhere')}),
		'23514', 'what is unknown is, where that is asked for');
	query(
		$node, q{
		INSERT INTO summit.waiver (requirement_set, property_id, lease_id, ends_on, reason, approved_by)
		VALUES ('S', 'P', 'L2', '2100-01-01', 'r', 'a')});
	query($node, 'SET ROLE app; ' . row('strict', 2, 2));
	is(query($node, 'SELECT count(*) FROM strict'), 1, 'a waiver lets by');
	verified(4);
	query($node, 'SET ROLE app; ' . row('strict', 4, 4));
	lapsed(4);
	is(scalar sqlstate_of($node, 'SET ROLE app; ' . row('strict', 5, 4)), '23514', 'a lapse does not');
	return;
}

sub wrong
{
	my %wrong = (
		q{AFTER INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION summit_require_compliant()} => 'takes one to three',
		q{AFTER INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION summit_require_compliant('nowhere')} => 'names column',
		q{AFTER INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION summit_require_compliant('a,a,a,a,a')} =>
		  'needs the columns',
		q{AFTER INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION summit_require_compliant('a', 'no')} => 'flag',
		q{AFTER INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION summit_require_compliant('a', 'flag', 'refuse_unknown')}
		  => 'with \'refuse\' only',
		q{BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION summit_require_compliant('a')} => 'is for AFTER',
		q{AFTER INSERT ON wrong FOR EACH STATEMENT EXECUTE FUNCTION summit_require_compliant('a')} => 'is for AFTER');
	for my $trigger (sort keys %wrong)
	{
		my ($sqlstate, $message) = sqlstate_of(
			$node,
			"CREATE TABLE wrong (a text); CREATE TRIGGER gate $trigger; INSERT INTO wrong VALUES ('P')");
		is($sqlstate, '39P01', $trigger);
		like($message, qr/\Q$wrong{$trigger}\E/, '… says what is wrong');
		query($node, 'DROP TABLE IF EXISTS wrong');
	}
	return;
}

# Neither settings nor a search path of the app change what is asked.
sub chosen
{
	query($node, <<~'SQL');
		CREATE SCHEMA evil;
		GRANT USAGE ON SCHEMA evil TO app;
		CREATE FUNCTION evil.hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
		CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT '1999-01-01'::timestamptz$$
		SQL
	is( scalar sqlstate_of(
			$node,
			q{SET ROLE app; SET canopy_summit.summit_server = 'nowhere'; SET TimeZone = 'Pacific/Kiritimati'; }
			  . q{SET search_path = evil, pg_catalog, public; SET DateStyle = 'German'; }
			  . row('public.strict', 6, 5)),
		'23514',
		'whatever is set');
	is( scalar sqlstate_of($node, q{SET ROLE app; INSERT INTO canopy_summit.gate_event VALUES (1)}),
		'42501', 'nobody writes events by hand');
	return;
}

# While a row that was judged is not committed, events of its policies wait, and of no other.
sub between
{
	my $app = open_session($node, on_error_stop => 0);
	my $status =
	  sub { return query($node, "SELECT status FROM summit.policy_status WHERE policy_number = 'POL-$_[0]'") };

	verified($_) for 10, 11;
	for my $level ('READ COMMITTED', 'REPEATABLE READ')
	{
		$app->query_safe("BEGIN ISOLATION LEVEL $level; SELECT 1; " . row('strict', 100 + ++$number, 10));
		lapsed(10);
		is($status->(10), 'verified', "$level: an event of the policy waits");
		lapsed(11);
		is($status->(11), 'lapsed', 'that of another does not');
		$app->query_safe('COMMIT');
		query($node, 'SELECT canopy_summit.apply_webhooks()');
		is($status->(10), 'lapsed', 'it comes after the row');
		told($_, 'reinstated', '2026-07-01T00:00:00Z', reinstated_at => '2026-07-01T00:00:00Z') for 10, 11;
		query(
			$node, "DELETE FROM canopy_summit.status_event WHERE status IN ('lapsed', 'reinstated');
			SELECT canopy_summit.policy_status_fold(ARRAY(SELECT policy_status_id FROM canopy_summit.policy_status))");
	}
	# What was applied before is seen, by a snapshot that is older, too.
	$app->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM strict');
	lapsed(10);
	$app->query(row('strict', 200, 10));
	like($app->{stderr}, qr/does not comply/, 'an event that was applied after the snapshot is seen');
	$app->query('ROLLBACK');
	$app->quit;
	return;
}

sub crowd
{
	verified($_) for 20 .. 36;
	my @sessions = map { open_session($node) } 1 .. 32;
	my $id = 1000;
	# Several sessions judge by the same policies, and none waits.
	$sessions[$_]->query_safe('BEGIN; ' . row('strict', $id++, 20 + $_ % 16)) for 0 .. 31;
	lapsed($_) for 20, 36;
	is( query($node, q{SELECT count(*) FROM summit.policy_status WHERE policy_number = 'POL-36' AND status = 'lapsed'}),
		1, 'others go on');
	is( query($node, q{SELECT state, count(*) FROM canopy_summit.webhook WHERE state <> 'applied' GROUP BY 1}),
		'stored|1', 'one waits');
	$_->query_safe('COMMIT') for @sessions;
	$_->quit for @sessions;
	query($node, 'SELECT canopy_summit.apply_webhooks()');
	is(query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state <> 'applied'}), 0, 'and is applied then');
	return;
}
