# Does a role act for a customer who has authorized its App, with tokens that nobody sees and none is sent twice?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use Digest::SHA qw(sha256);
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf =>
	  "restart_after_crash = on\ncanopy_summit.workers = 2\nmax_connections = 40\ncanopy_summit.lease_margin = 1s\n");
my $pull_id = $sandbox->pull_id('user_good');
my $redirect = 'https://app.example/back';
my $number = 0;

create_canopy_server(
	$node, $sandbox,
	options => {
		auth => 'app', team_id => undef,
		auth_url => $sandbox->base_url =~ s{(https://[^/]*).*}{$1/oauth2}r });
subtest 'before' => \&before;
subtest 'an address' => \&address;
subtest 'a grant' => \&grants;
subtest 'codes that do not do' => \&refuses;
subtest 'answers that do not do' => \&lacks;
subtest 'scopes' => \&scopes;
subtest 'a token that has run out' => \&refreshes;
subtest 'one that was revoked' => \&revoked;
subtest 'killed around a refresh' => \&killed;
subtest 'who may' => \&levels;
subtest 'what is kept' => \&keeps;
done_testing();

sub counts { return $sandbox->control(GET => 'apps') }

sub authorize_url
{
	my ($state, $scopes) = @_;
	$scopes //= 'read:pulls,read:webhooks';
	return query($node, "SELECT canopy_authorize_url('$redirect', '{$scopes}', '$state')");
}

# A customer agrees, and comes back: {code, state}.
sub agreed
{
	my ($scopes) = @_;
	return $sandbox->control(POST => 'apps', { url => authorize_url('state number ' . ++$number, $scopes) });
}

sub authorize { my ($back) = @_; return "SELECT canopy_authorize('$back->{code}', '$back->{state}')" }

sub grant_state { return query($node, 'SELECT state FROM canopy_summit.app_status') }

# The access token has run out, as far as is known here.
sub expire { return query($node, q{UPDATE canopy_summit.app_grant SET access_until = now()}) }

sub before
{
	my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SELECT canopy_fetch_pull('$pull_id')");
	is($sqlstate, '55000', 'nobody has authorized it');
	like($hint, qr/canopy_authorize_url/, '… and what to do');
	my $job_id = query($node, "SELECT canopy_enqueue_fetch('$pull_id')");
	soon_ok('a job waits', sub { (job($node, $job_id)->{outcome} // '') =~ /nobody has authorized/ });
	query($node, "SELECT canopy_summit.cancel_job($job_id)");
	like(
		query($node, q{SELECT hint FROM canopy_summit.check_server('canopy') WHERE "check" = 'credentials' AND NOT ok}),
		qr/canopy_authorize_url/, 'check_server() says so, too');
	is(scalar(grep { $_->{path} =~ /oauth2/ } $sandbox->log), 0, 'nothing was sent');
	return;
}

sub address
{
	my $url = authorize_url('state of the test');
	my ($base, $query) = split /\?/, $url;
	is($base, $sandbox->base_url =~ s{(https://[^/]*).*}{$1/oauth2/authorize}r, 'at the server');
	my %given = map { my ($name, $value) = split /=/; $value =~ s/%(..)/chr hex $1/ge; ($name => $value) } split /&/,
	  $query;
	my $verifier =
	  query($node, q{SELECT verifier FROM canopy_summit.app_authorization WHERE state = 'state of the test'});
	is(length $verifier, 43, 'a verifier is kept');
	is_deeply(
		\%given,
		{   response_type => 'code', client_id => $sandbox->client_id, redirect_uri => $redirect,
			scope => 'read:pulls read:webhooks', state => 'state of the test',
			code_challenge_method => 'S256', code_challenge => encode_base64url(sha256($verifier)) },
		'with what Canopy wants');
	my %refused = (
		q{canopy_authorize_url(NULL, '{a}', 'long enough')} => '22004',
		q{canopy_authorize_url('https://x', NULL, 'long enough')} => '22004',
		q{canopy_authorize_url('https://x', '{a}', NULL)} => '22004',
		q{canopy_authorize_url('http://x', '{a}', 'long enough')} => '22023',
		q{canopy_authorize_url('https://x', '{}', 'long enough')} => '22023',
		q{canopy_authorize_url('https://x', '{"a b"}', 'long enough')} => '22023',
		q{canopy_authorize_url('https://x', '{NULL}', 'long enough')} => '22023',
		q{canopy_authorize_url('https://x', '{a}', 'short')} => '22023',
		q{canopy_authorize_url('https://x', '{a}', 'state of the test')} => '22023',
		q{canopy_authorize_url('https://x', '{a}', 'long enough', 'missing')} => '42704');
	is(scalar sqlstate_of($node, "SELECT $_"), $refused{$_}, $_) for sort keys %refused;
	return;
}

sub grants
{
	my $back = agreed();
	is(query($node, authorize($back)), $sandbox->team_id, 'it is for a team');
	is( query($node, 'SELECT owner, team_id, scopes, state FROM canopy_summit.app_status'),
		"postgres|@{[ $sandbox->team_id ]}|{read:pulls,read:webhooks}|ready", 'which operators see');
	is(query($node, "SELECT status FROM canopy_fetch_pull('$pull_id')"), 'SUCCESS', 'a call');
	is(settled($node, query($node, "SELECT canopy_enqueue_fetch('$pull_id')")), 'succeeded', 'a job');
	my @fetches = grep { $_->{path} =~ /\/pulls\/$pull_id/ } $sandbox->log;
	is_deeply(
		[ map { $_->{auth} } @fetches ], [ 'bearer', 'bearer' ],
		'are sent with the token, and no other credential');
	is(counts()->{refreshes}, 0, 'which needed no refresh');
	is( query($node, q{SELECT ok FROM canopy_summit.check_server('canopy') WHERE "check" = 'credentials'}), 't',
		'check_server()');
	expire();
	like(
		query($node, q{SELECT ok, hint FROM canopy_summit.check_server('canopy') WHERE "check" = 'credentials'}),
		qr/^\|not tested: the access token has run out/, '… which has nothing refreshed');
	is(counts()->{refreshes}, 0, '… and writes nothing');
	query($node, q{UPDATE canopy_summit.app_grant SET access_until = now() + interval '1 h'});
	return;
}

sub refuses
{
	my $used = agreed();
	query($node, authorize($used));
	my $old = agreed();
	query(
		$node,
		"UPDATE canopy_summit.app_authorization SET asked_at = now() - interval '11 min' WHERE state = '$old->{state}'"
	);
	my $wrong = { %{ agreed() }, code => 'another code' };
	my %refused = (
		'a state that was never given out' => [ { code => 'x', state => 'never given' }, '22023', qr/never given out/ ],
		'one that is eleven minutes old' => [ $old, '22023', qr/older than ten minutes/ ],
		'one that was used' => [ $used, '22023', qr/used before/ ],
		'a code that Canopy does not know' => [ $wrong, '28000', qr/invalid_grant/ ],
		'… twice' => [ $wrong, '22023', qr/used before/ ]);
	for my $what (
		'a state that was never given out', 'one that is eleven minutes old', 'one that was used',
		'a code that Canopy does not know', '… twice')
	{
		my ($back, $expected, $pattern) = @{ $refused{$what} };
		my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, authorize($back));
		is($sqlstate, $expected, $what);
		like($message, $pattern, '… which is said');
		like($hint, qr/canopy_authorize_url/, '… with what to do');
	}
	is( scalar sqlstate_of(
			$node,
			"BEGIN; SELECT canopy_authorize_url('$redirect', '{read:pulls}', 'not committed'); "
			  . q{SELECT canopy_authorize('x', 'not committed')}),
		'55000',
		'an address of this very transaction');
	query($node, 'ROLLBACK');
	is(grant_state(), 'ready', 'the last grant stays');
	return;
}

sub lacks
{
	$sandbox->control(PUT => 'apps', { without => ['refresh_token'] });
	my ($sqlstate, $message) = sqlstate_of($node, authorize(agreed()));
	is($sqlstate, '28000', 'an answer without refresh_token');
	like($message, qr/refresh_token/, '… which is said');
	$sandbox->control(PUT => 'apps', { without => [] });
	return;
}

sub scopes
{
	my ($sqlstate, $message) = sqlstate_of($node, q{SELECT canopy_call('get-widgets')});
	is($sqlstate, '42501', 'a scope that was not granted');
	like($message, qr/read:widgets/, '… is named');
	is(scalar sqlstate_of($node, q{SELECT canopy_call('get-monitorings')}), '0A000', 'what no scope covers');
	my $job_id = enqueue($node, 'get-widgets');
	is(settled($node, $job_id), 'failed', 'a job');
	like(job($node, $job_id)->{outcome}, qr/read:widgets/, '… says so, too');
	$sandbox->control(PUT => 'apps', { scope => 'read:webhooks' });
	expire();
	($sqlstate, $message) = sqlstate_of($node, "SELECT canopy_fetch_pull('$pull_id')");
	is($sqlstate, '42501', 'a scope that is gone after a refresh');
	like($message, qr/read:pulls/, '… is named');
	$sandbox->control(PUT => 'apps', { scope => undef });
	query($node, authorize(agreed()));
	return;
}

# However many want it at once.
sub refreshes
{
	my $before = counts()->{refreshes};
	my $held = $sandbox->hold(match => { path => '/oauth2/token' });
	expire();
	my @sessions = map { open_session($node) } 1 .. 16;
	my @jobs = map { query($node, 'SELECT canopy_enqueue($$get-pulls$$)') } 1 .. 8;
	$_->query_until(qr/^go$/m, "\\echo go\nSELECT status FROM canopy_fetch_pull('$pull_id');\n") for @sessions;
	wait_until('a refresh is on its way', sub { $sandbox->waiting($held) });
	wait_until('all wait for it', sub { query($node, <<~'SQL') >= 16 });
		SELECT count(*) FROM pg_stat_activity
		WHERE query LIKE '%canopy_fetch_pull%' AND state = 'active' AND wait_event = 'Extension'
		SQL
	is($sandbox->waiting($held), 1, 'there is one');
	$sandbox->clear($held);
	is(scalar(grep { $_->query_safe('SELECT 1') =~ /1$/ } @sessions), 16, 'all go on');
	is(settled($node, $_), 'succeeded', 'a job') for @jobs;
	is(counts()->{refreshes}, $before + 1, 'exactly one refresh');
	$_->quit for @sessions;

	# Refused before its time, as with a clock that is an hour off.
	$sandbox->control(DELETE => 'apps');
	is( settled($node, query($node, 'SELECT canopy_enqueue($$get-pulls$$)')), 'succeeded',
		'a job whose token was refused');
	is(counts()->{refreshes}, $before + 2, 'after a refresh');
	is(counts()->{replays}, 0, 'no refresh token was sent twice');
	return;
}

sub revoked
{
	$sandbox->control(DELETE => 'apps/all');
	expire();
	my ($sqlstate, $message) = sqlstate_of($node, "SELECT canopy_fetch_pull('$pull_id')");
	is($sqlstate, '55000', 'a revoked grant');
	like($message, qr/authorized again.*invalid_grant/, '… is given up');
	is(grant_state(), 'lost', 'for good');
	my $refused = counts()->{refused};
	is(scalar sqlstate_of($node, "SELECT canopy_fetch_pull('$pull_id')"), '55000', 'and not tried again');
	is(counts()->{refused}, $refused, 'with anything sent');
	my $job_id = query($node, "SELECT canopy_enqueue_fetch('$pull_id')");
	soon_ok('a job waits', sub { (job($node, $job_id)->{outcome} // '') =~ /authorized again/ });
	query($node, authorize(agreed()));
	is(grant_state(), 'ready', 'until somebody grants it again');
	is(settled($node, $job_id, 120), 'succeeded', 'the job goes on then');
	return;
}

sub checkpointer { return query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'}) }

# At points from before the refresh token is sent until after the next is kept.
sub killed
{
	my %ends;
	for my $round (1 .. scaled(50))
	{
		my $held = $sandbox->hold(match => { path => '/oauth2/token' }, at => (qw(before_headers body))[ rand 2 ]);
		$sandbox->control(DELETE => 'apps');
		my $job_id = query($node, 'SELECT canopy_enqueue($$get-pulls$$)');
		wait_until('a refresh is on its way', sub { $sandbox->waiting($held) });
		my ($pid) = split /\n/, query($node, <<~'SQL');
			SELECT w.pid FROM canopy_summit.worker_status w JOIN canopy_summit.app_grant g ON g.epoch = w.epoch
			SQL
		my $life = checkpointer();
		my $is_answered = $round > 1 && rand() < 0.5;
		$sandbox->clear($held) if $is_answered;
		kill KILL => $pid;
		$sandbox->clear($held) unless $is_answered;
		wait_until(
			'another life has begun',
			sub {
				(eval { checkpointer() } || $life) != $life;
			});
		wait_until('the grant is settled', sub { grant_state() ne 'refreshing' });
		$ends{ grant_state() }++;
		query($node, authorize(agreed())) if grant_state() eq 'lost';
		is(settled($node, $job_id, 180), 'succeeded', "round $round: the job goes on")
		  or diag job($node, $job_id)->{outcome};
		is(counts()->{replays}, 0, 'no refresh token was sent twice');
	}
	note(join ', ', map { "$_ $ends{$_}" } sort keys %ends);
	cmp_ok($ends{lost} // 0, '>', 0, 'some kills hit a refresh');
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE has_fetcher LOGIN;
		CREATE ROLE has_operator LOGIN;
		SELECT canopy_summit.grant_access('has_fetcher', 'fetcher');
		SELECT canopy_summit.grant_access('has_operator', 'operator');
		GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher;
		SQL
	is(scalar sqlstate_of($node, "SET ROLE has_fetcher; SELECT $_"), '42501', "not a fetcher: $_")
	  for q{canopy_authorize_url('https://x', '{a}', 'long enough')}, q{canopy_authorize('x', 'y')};
	for my $level (qw(has_fetcher has_operator))
	{
		is(scalar sqlstate_of($node, "SET ROLE $level; SELECT FROM canopy_summit.$_"), '42501', "no $_ for $level")
		  for qw(app_grant app_authorization);
	}
	is( query($node, 'SET ROLE has_operator; SELECT count(*) FROM canopy_summit.app_status'), 1,
		'an operator sees how it stands');
	query($node, 'UPDATE canopy_summit.app_grant SET instance = ~instance');
	is( scalar sqlstate_of($node, "SELECT canopy_fetch_pull('$pull_id')"), '55000',
		'a copy has to be authorized itself');
	query($node, 'UPDATE canopy_summit.app_grant SET instance = ~instance');
	return;
}

sub keeps
{
	my $tokens =
	  query($node, q{SELECT string_agg(access_token || '|' || refresh_token, '|') FROM canopy_summit.app_grant});
	my $kept = query($node, <<~'SQL');
		SELECT string_agg(to_jsonb(j)::text, ' ')
			|| (SELECT string_agg(to_jsonb(a)::text, ' ') FROM canopy_summit.job_attempt a)
		FROM canopy_summit.job j
		SQL
	my $log = slurp_file($node->logfile);
	$log =~ s/^.*statement: .*\n(?:\t.*\n)*//mg;
	unlike($kept . $log, qr/\Q$_\E/, 'no token in a job or the log') for split /\|/, $tokens;
	return;
}
