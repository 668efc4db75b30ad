# Does an upload, or a fetch, whose result cannot be stored stand in the way of the others?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_node(conf => "shared_preload_libraries = 'canopy_summit'\nlog_statement = none");
create_summit_server($node, $sandbox);

# Every settle of the poisoned upload fails; the message's detail has personal data.
$node->safe_psql('postgres', <<~'SQL');
	CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.policy_number = 'POISON' THEN
			RAISE EXCEPTION 'poisoned' USING DETAIL = 'CANARY7319';
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER poison BEFORE UPDATE ON summit.upload FOR EACH ROW EXECUTE FUNCTION poison();
	SQL
# All are sent, and answered, together.
$node->safe_psql('postgres', q{SELECT canopy_summit.pause_server('summit')});
my @ids = map { upload($node, payload($_)) } (map { "POL-$_" } 1 .. 20), 'POISON', map { "POL-$_" } 21 .. 40;
my ($poisoned) = splice @ids, 20, 1;
$node->safe_psql('postgres', q{SELECT canopy_summit.resume_server('summit')});

wait_until(
	'the others have come to an end',
	sub {
		$node->safe_psql('postgres', <<~"SQL") == 0;
			SELECT count(*) FROM summit.upload_status
			WHERE upload_id <> $poisoned AND status IN ('queued', 'sending', 'accepted')
			SQL
	});
is( $node->safe_psql('postgres', q{SELECT count(*) FROM summit.upload WHERE status = 'verified'}), '40',
	'the others are verified');
my $job = $node->safe_psql('postgres', "SELECT job_id FROM summit.upload WHERE upload_id = $poisoned");
is(settled($node, $job, 20), 'failed', 'the poisoned one ends');
is( $node->safe_psql('postgres', "SELECT outcome_code, outcome FROM canopy_summit.job WHERE job_id = $job"),
	'quarantined|its answer could not be stored: poisoned',
	'it fails with the reason');
is($node->safe_psql('postgres', <<~"SQL"), 'accepted|t', 'and its answer is kept');
	SELECT response ->> 'status', response ->> 'job_id' LIKE 'job%' FROM canopy_summit.job_response
	WHERE job_id = $job
	SQL
is($node->safe_psql('postgres', <<~"SQL"), 'unresolved|quarantined', 'the upload says so');
	SELECT status, error_code FROM summit.upload_status WHERE upload_id = $poisoned
	SQL
is( $node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.job_attempt WHERE NOT settled'), '0',
	'every attempt is settled');
my @rows = effect_rows($sandbox);
is(scalar(grep { $_->{effects} == 1 && $_->{requests} == 1 } @rows), 41, 'each was sent once');
is($node->safe_psql('postgres', <<~'SQL'), '1', 'it alone is quarantined');
	SELECT count(*) FROM canopy_summit.job WHERE operation = 'upload-policy' AND state <> 'succeeded'
	SQL
ok(slurp_file($node->logfile) !~ /CANARY7319/, 'the detail is not in the log');
is(upload($node, payload('POL-41')) =~ /^\d+$/ ? 1 : 0, 1, 'the worker goes on');
is( settles_as($node, $node->safe_psql('postgres', 'SELECT max(upload_id) FROM summit.upload'), 'verified'), 'verified',
	'with the next');

# The answer of a fetch is not kept beside its version, but this one has no version.
create_canopy_server($node, $sandbox);
my ($pull_id, $poison_id) = map { $sandbox->pull_id($_) } qw(user_good user_good_home);
query($node, <<~"SQL");
	CREATE FUNCTION poison_pull() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		IF NEW.pull_id = '$poison_id' THEN
			RAISE EXCEPTION 'poisoned';
		END IF;
		RETURN NEW;
	END \$\$;
	CREATE TRIGGER poison BEFORE INSERT ON canopy_summit.pull_version FOR EACH ROW EXECUTE FUNCTION poison_pull();
	SQL
my ($poison_fetch, $fetch) = split /\n/, query($node, "SELECT canopy_enqueue_fetch('$poison_id', '$pull_id')");
is(settled($node, $fetch, 20), 'succeeded', 'a fetch beside a poisoned one succeeds');
is(settled($node, $poison_fetch, 20), 'failed', 'which ends');
is(job($node, $poison_fetch)->{outcome_code}, 'quarantined', 'and says why');
is(query($node, <<~"SQL"), $poison_id, 'and its answer is kept too');
	SELECT response ->> 'pull_id' FROM canopy_summit.job_response WHERE job_id = $poison_fetch
	SQL
is(query($node, <<~"SQL"), '0', 'that of the other is a version');
	SELECT count(*) FROM canopy_summit.job_response WHERE job_id = $fetch
	SQL
done_testing();
