# Is every operation of the API in the catalogue as documented, and sent and answered that way?
#
# What is expected comes from the API's description, test/sandbox/data/canopy-api.json, never from our
# catalogue.
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $api = $json->decode(slurp_file(in_checkout('test/sandbox/data/canopy-api.json')));
my $operations = $api->{operations};
my @names = sort keys %$operations;
# What changes something goes by job, and so does what costs money.
my %by_job =
  map { ($_ => 1) } grep { $operations->{$_}{method} eq 'POST' || $operations->{$_}{path} =~ m{/enrich/} } @names;
my @callable = grep { !$by_job{$_} } @names;
# The description says so in words.
my @deprecated = qw(get-document-by-id get-policy-form-by-id);
my @destructive = qw(delete-team delete-webhook delete-widgetId);

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $pdf = "%PDF-1.4\n\0\xff" x 100;
create_canopy_server($node, $sandbox, role => 'PUBLIC', options => { download_hosts => 'localhost' });
create_canopy_server(
	$node, $sandbox,
	server => 'pair',
	role => 'PUBLIC',
	options => { auth => 'header_pair', download_hosts => 'localhost' });
my $closed_port = $sandbox->listener('trap');
$sandbox->close_listener($closed_port);
create_canopy_server(
	$node, $sandbox,
	server => 'closed',
	role => 'PUBLIC',
	options => { base_url => "https://localhost:$closed_port" });
define_attempt();
make_roles();

is(scalar @names, 54, 'the API has 54 operations');
documented();
sent_as_documented($_) for qw(canopy pair);
unsafe_refused();
errors_answered();
errors_of_jobs();
input_refused();
levels_needed();
confirmation_needed();
done_testing();

# The catalogue says what the description says.
sub documented
{
	my $rows = $json->decode($node->safe_psql('postgres', <<~'SQL'));
		SELECT json_object_agg(operation, to_json(o))
		FROM canopy_summit.operation o WHERE provider = 'canopy'
		SQL

	is_deeply([ sort keys %$rows ], \@names, 'the catalogue has the operations of the API and no others');
	for my $name (@names)
	{
		my $facts = $operations->{$name};
		my %of_method = (GET => 'safe', POST => 'unsafe');
		my $row = $rows->{$name};
		is_deeply(
			{   method => $row->{method},
				path => $row->{path},
				auth => $row->{auth},
				errors => $row->{errors},
				deprecated => $row->{deprecated},
				unwrap => $row->{unwrap},
				class => $row->{class},
				envelope => $row->{envelope},
				destructive => $row->{destructive},
				parameters => {
					map { ("$_->{in} $_->{name}" => [ $_->{required}, $_->{values} ]) }
					grep { $_->{in} ne 'confirmation' } @{ $row->{parameters} } } },
			{   method => $facts->{method},
				path => $facts->{path},
				auth => $facts->{security} eq 'basic' ? 'team' : $facts->{security},
				errors => errors_of($facts),
				deprecated => boolean(grep { $_ eq $name } @deprecated),
				unwrap => unwrapped($facts),
				class => $of_method{ $facts->{method} } // 'idempotent',
				envelope => envelope_of($facts),
				destructive => boolean(grep { $_ eq $name } @destructive),
				parameters => {
					map { ("$_->{in} $_->{name}" => [ boolean($_->{required}), values_of($_) ]) } parameters_of($facts)
				} },
			"$name is in the catalogue as documented");
	}
	return;
}

# One call of every operation that may be called, with every parameter set, against the sandbox's log.
sub sent_as_documented
{
	my ($server) = @_;
	my %answer = map { ($_ => [ answer_of($_) ]) } @callable;

	$sandbox->clear;
	$sandbox->clear_log;
	for my $name (@callable)
	{
		$sandbox->arm(match => match_of($name), fault => $answer{$name}[0]);
	}
	$sandbox->arm(
		match => { listener => 'download' },
		times => undef,
		fault => { kind => 'body', content_type => 'image/tiff', body => { base64 => encode_base64($pdf, '') } });
	my $returned = attempts(map { [ $_ => call_sql($_, $server) ] } @callable);
	my @requests = $sandbox->log;

	for my $name (@callable)
	{
		is_deeply(
			$returned->{$name}, { returned => $answer{$name}[1] },
			"$name at server $server returns the answer, unwrapped");
		my $request = shift @requests;
		request_is($name, $server, $request);
		next unless envelope_of($operations->{$name}) eq 'redirect';
		$request = shift @requests;
		is("$request->{listener} @{[ authentication($request) ]}", 'download ', "$name downloads without credentials");
	}
	is(scalar @requests, 0, "no operation at server $server sends more than it has to");
	return;
}

# How a fault finds the requests of an operation, among those of others.
sub match_of
{
	my ($name) = @_;
	my $path = join '[^/?]+', map { quotemeta } split /\{\w+\}/, "$api->{base_path}$operations->{$name}{path}", -1;

	return { listener => 'api', method => $operations->{$name}{method}, path => "^$path(\\?.*)?\$" };
}

# The request is the operation's, with every parameter where it belongs.
sub request_is
{
	my ($name, $server, $request) = @_;
	my $facts = $operations->{$name};
	my %given = given ($facts);
	my $what = "$name at server $server";

	is($request->{operation}, $name, "$what is that operation");
	is("$request->{method} " . template($facts, $request), "$facts->{method} $facts->{path}", "$what goes to its path");
	my %team = $facts->{path} =~ /\{teamId\}/ ? (teamId => $sandbox->team_id) : ();
	is_deeply($request->{params}, { %team, %{ $given{path} } }, "$what has its path parameters");
	is_deeply(query_of($request), $given{query}, "$what has its query parameters");
	is_deeply(
		[ authentication($request) ],
		[ expected_authentication($facts, $server) ],
		"$what carries exactly its credentials");
	body_is($what, $facts, $request, $given{body});
	return;
}

# Whatever may not be repeated, or costs money, is refused with a hint, and not sent.
sub unsafe_refused
{
	$sandbox->clear_log;
	for my $name (sort keys %by_job)
	{
		my $error = attempts([ $name => call_sql($name, 'canopy') ])->{$name};
		is($error->{sqlstate}, '0A000', "$name is not called synchronously");
		like($error->{hint}, qr/canopy_enqueue/, "$name: the hint names the other way");
	}
	is(scalar $sandbox->log, 0, 'none of them was sent');
	return;
}

# Each error that is documented is one of a SQLSTATE, whose message names operation, status and code.
sub errors_answered
{
	my %of_code = (
		(map { ($_ => '02000') } qw(NOT_FOUND NO_PROPERTY_DATA)),
		(map { ($_ => '28000') } qw(UNAUTHORIZED INCORRECT_API_KEY_TYPE)),
		map { ($_ => '42501') } qw(FORBIDDEN SUBSCRIPTION_INACTIVE));
	my %of_status = (400 => '22023', 401 => '28000', 403 => '42501', 404 => '02000', 409 => '22023', 500 => '08006');

	for my $name (@callable)
	{
		my $responses = $operations->{$name}{responses};
		for my $status (grep { $responses->{$_}{errors} } sort keys %$responses)
		{
			for my $code (@{ $responses->{$status}{errors} })
			{
				$sandbox->clear;
				$sandbox->arm(fault => { kind => 'status', status => $status, body => { error => $code } });
				my $error = attempts([ $name => call_sql($name, 'canopy') ])->{$name};
				is( "$error->{sqlstate} $error->{message}",
					($of_code{$code} // $of_status{$status})
					  . qq{ could not call operation "$name": server answered $status $code},
					"$name: $status $code");
			}
		}
	}
	$sandbox->clear;
	return;
}

# Those of operations that go by job are the outcomes of jobs, once: none is sent again, nor holds up others for a token
# of a pull that does not do.
sub errors_of_jobs
{
	for my $name (sort keys %by_job)
	{
		my $responses = $operations->{$name}{responses};
		my %given = given ($operations->{$name});
		my $body = $given{body};
		my %better = (
			documents => [ { content_type => 'application/pdf', base64 => encode_base64($pdf, ''), name => 'a.pdf' } ],
			servicing_actions => [
				{ type => 'REMOVE_MORTGAGEE', payload => { carrier_policy_number => '1', mortgagee_type => 'FIRST' } }
			],
			meta_data => { lead => 'one' },
			map { ($_ => 'a-token') } qw(insurerUsername insurerPassword insurerThirdField));
		$body->{$_} = $better{$_} for grep { $body->{$_} } keys %better;
		for my $status (grep { $responses->{$_}{errors} } sort keys %$responses)
		{
			for my $code (@{ $responses->{$status}{errors} })
			{
				my $state =
					$status >= 500 ? 'in_doubt'
				  : $code =~ /^(UNAUTHORIZED|INCORRECT_API_KEY_TYPE)$/
				  && $operations->{$name}{security} eq 'basic' ? 'queued'
				  : 'failed';
				$sandbox->clear;
				# What is in doubt is looked up meanwhile.
				$sandbox->arm(
					match => match_of($name),
					fault => { kind => 'status', status => $status, body => { error => $code } });
				(my $call = call_sql($name, 'canopy', undef, $body)) =~ s/^canopy_call/canopy_enqueue/;
				my $job_id = query($node, "SELECT $call");
				my $outcome = wait_until(
					"$name: $status $code",
					sub { query($node, "SELECT outcome_code FROM canopy_summit.job WHERE job_id = $job_id") });
				is($outcome, $code, "$name: $status $code");
				my $job = job($node, $job_id);
				is( "$job->{state} $job->{outcome}", "$state server answered $status $code",
					"$name: $status $code is the job's outcome");
				is(scalar @{ $job->{sends} }, 1, "$name: $status $code is not sent again");
				query($node, "SELECT canopy_summit.cancel_job($job_id), canopy_summit.resume_server('canopy')")
				  if $state eq 'queued';
			}
		}
	}
	$sandbox->clear;
	return;
}

# Missing, unknown and wrongly typed parameters and body fields are refused by name, and not sent.
sub input_refused
{
	$sandbox->clear;
	$sandbox->clear_log;
	for my $name (@callable)
	{
		my @parameters = parameters_of($operations->{$name});
		my @attempts;
		my %blamed;
		for my $place (qw(parameter body))
		{
			my @here = grep { ($_->{in} eq 'body') == ($place eq 'body') } @parameters;
			for my $parameter (@here)
			{
				for my $wrong (wrong_values($parameter))
				{
					my $key = "$place $parameter->{name} = " . $json->encode($wrong);
					push @attempts, [ $key => changed($name, $parameter, $wrong) ];
					$blamed{$key} = [ $parameter->{name}, @here ];
				}
			}
			push @attempts, [ "$place nonsense" => changed($name, { name => 'nonsense', in => $place }, 1) ];
			$blamed{"$place nonsense"} = [ 'nonsense', @here ];
		}
		my $errors = attempts(@attempts);
		for my $key (sort keys %blamed)
		{
			my ($blamed, @here) = @{ $blamed{$key} };
			my $error = $errors->{$key};
			my $listed = $error->{hint} // '';
			$listed =~ s/, confirm \(required\)|confirm \(required\)//;
			$listed =~ s/^[^:]*: (.*)\.$/$1/;
			is( "$error->{sqlstate} " . ($error->{message} =~ /"\Q$blamed\E"/ ? $blamed : $error->{message}),
				"22023 $blamed", "$name with $key is refused by name");
			is_deeply(
				[ sort split /, /, $listed eq 'none' ? '' : $listed ],
				[ sort map { $_->{name} . ($_->{required} ? ' (required)' : '') } @here ],
				"$name with $key: the hint lists what there is");
		}
	}
	my $errors = attempts(
		[ unknown => q{canopy_call('get-everything')} ],
		[ null => q{canopy_call(NULL)} ],
		[ array => q{canopy_call('get-team', '[]')} ],
		[ scalar => q{canopy_call('get-team', '"x"')} ],
		[ body => q{canopy_call('patch-widgetId', '{"widgetId": "x"}', '[]')} ],
		[ dots => q{canopy_call('get-widgetId', '{"widgetId": ".."}')} ],
		[ empty => q{canopy_call('get-widgetId', '{"widgetId": ""}')} ]);
	is_deeply(
		{ map { ($_ => $errors->{$_}{sqlstate}) } keys %$errors },
		{   unknown => '22023', null => '22004', array => '22023', scalar => '22023', body => '22023', dots => '22023',
			empty => '22023' },
		'other input that cannot be sent is refused');
	is(scalar $sandbox->log, 0, 'nothing of all that was sent');
	return;
}

# A fetcher gets safe operations; those with personal answers need pii_reader, secrets and changes need admin.
sub levels_needed
{
	my %levels = (
		nobody => sub { 0 },
		just_reader => sub { 0 },
		just_fetcher => sub { $operations->{ $_[0] }{method} eq 'GET' && !is_secret($_[0]) && !is_personal($_[0]) },
		pii_fetcher => sub { $operations->{ $_[0] }{method} eq 'GET' && !is_secret($_[0]) },
		just_admin => sub { 1 });

	for my $role (sort keys %levels)
	{
		my $errors = attempts({ role => $role }, map { [ $_ => call_sql($_, 'closed') ] } @callable);
		is_deeply(
			{ map { ($_ => $errors->{$_}{sqlstate}) } @callable },
			{ map { ($_ => $levels{$role}->($_) ? '08001' : '42501') } @callable },
			"$role reaches the network with what that level may call, and with nothing else");
	}
	return;
}

# What destroys something wants its id a second time.
sub confirmation_needed
{
	$sandbox->clear_log;
	for my $name (@destructive)
	{
		my %given = given ($operations->{$name});
		my $errors = attempts(
			[ missing => call_sql($name, 'canopy', $given{path}) ],
			[ null => call_sql($name, 'canopy', { %{ $given{path} }, confirm => undef }) ],
			[ other => call_sql($name, 'canopy', { %{ $given{path} }, confirm => 'something else' }) ],
			[ yes => call_sql($name, 'canopy', { %{ $given{path} }, confirm => JSON::PP::true }) ]);
		is_deeply(
			[ map { $_->{sqlstate} } @$errors{qw(missing null other yes)} ],
			[ ('22023') x 4 ], "$name without confirmation is refused");
		like($errors->{other}{hint}, qr/confirm/, "$name: the hint says how to confirm");
	}
	is(scalar $sandbox->log, 0, 'nothing was destroyed');
	return;
}

# What the description says of an operation.

sub boolean { return $_[0] ? JSON::PP::true : JSON::PP::false }

# Path, query and header parameters without teamId, and body fields.
sub parameters_of
{
	my ($facts) = @_;
	my $schema = $facts->{body} ? $facts->{body}{schema} : {};
	my %required = map { ($_ => 1) } @{ $schema->{required} // [] };

	return (
		map({ +{ %$_, required => $_->{required} || $_->{in} eq 'path' } }
			grep { $_->{name} ne 'teamId' } @{ $facts->{params} // [] }),
		map({ +{ %{ $schema->{fields}{$_} }, name => $_, in => 'body', required => $required{$_} } }
			sort keys %{ $schema->{fields} // {} }));
}

sub values_of
{
	my ($parameter) = @_;
	return undef unless $parameter->{enum};
	return join ',', map { JSON::PP::is_bool($_) ? ($_ ? 'true' : 'false') : $_ } @{ $parameter->{enum} };
}

sub errors_of
{
	my ($facts) = @_;
	my $responses = $facts->{responses};
	my @errors = map { "$_ @{ $responses->{$_}{errors} }" } grep { $responses->{$_}{errors} } sort keys %$responses;
	return @errors ? join('; ', @errors) : undef;
}

sub success_of
{
	my ($facts) = @_;
	my ($status) = sort keys %{ $facts->{responses} };
	return ($status, $facts->{responses}{$status});
}

sub envelope_of
{
	my ($status, $success) = success_of(@_);
	return $status eq '302' ? 'redirect' : $success->{content_type} ? 'binary' : 'json';
}

# The one object or array that an answer is about, beside success and counts.
sub unwrapped
{
	my ($facts) = @_;
	my ($status, $success) = success_of($facts);
	my $fields = ($success->{schema} // {})->{fields} // {};
	my @rest = grep { !/^(success|total_.*|.*_count)$/ } keys %$fields;
	return undef if @rest != 1 || $status eq '302';
	return $fields->{ $rest[0] }{ref} || $fields->{ $rest[0] }{type} =~ /^(object|array)$/ ? $rest[0] : undef;
}

# Whether an answer says something about a consumer.
sub is_personal
{
	my ($name) = @_;
	return 1 if $name =~ /^get-monitoring(-events)?$/;
	return $operations->{$name}{method} eq 'GET' && $operations->{$name}{path} =~ m{/(pulls|servicings|enrich)\b};
}

# Whether an answer has something that whoever knows it can act with.
sub is_secret
{
	my ($name) = @_;
	return $json->encode((success_of($operations->{$name}))[1]) =~
	  /"(signing_secret|reconnect_token|client_secret|pull_jwt)"/;
}

# A value like no other, with characters that mean something in URLs.
sub value_of
{
	my ($parameter) = @_;
	my $type = $parameter->{type} // 'any';

	return $parameter->{enum}[-1] if $parameter->{enum};
	return { base64 => encode_base64($pdf, ''), content_type => 'image/png', name => "$parameter->{name}.png" }
	  if ($parameter->{format} // '') eq 'binary';
	return 40 + length $parameter->{name} if $type =~ /^(integer|number)$/;
	# The description calls these text, but a text of this kind is what they take.
	return 40 if $parameter->{name} eq 'limit';
	return 'true' if $parameter->{name} eq 'withPropertyData';
	return JSON::PP::true if $type eq 'boolean';
	return '2026-01-02T03:04:05.678+01:00' if ($parameter->{format} // '') eq 'date-time';
	return [ "$parameter->{name} 1", 2 ] if $type =~ /^(array|any)$/;
	return { $parameter->{name} => { deep => [ undef, 1.5 ] } } if $type eq 'object';
	return "$parameter->{name}: \x{e9}\x{1F600} &a=b?c#d/e+f%41;..";
}

sub given
{
	my ($facts) = @_;
	my %given = (path => {}, query => {}, header => {}, body => {});

	$given{ $_->{in} }{ $_->{name} } = value_of($_) for parameters_of($facts);
	return %given;
}

sub wrong_values
{
	my ($parameter) = @_;
	my $type = $parameter->{type} // 'any';
	my @wrong = $parameter->{required} ? (undef) : ();

	return @wrong if $type eq 'any';
	return (@wrong, 'text') if ($parameter->{format} // '') eq 'binary' || $type =~ /^(array|object)$/;
	return (@wrong, 'text', {}) if $type eq 'boolean';
	return (@wrong, 'text', 1.5, []) if $type =~ /^(integer|number)$/;
	push @wrong, 'text' if ($parameter->{format} // '') eq 'date-time' || $parameter->{enum};
	return (@wrong, {}, []);
}

# An answer as a fault of the sandbox, and what canopy_call() should make of it.
sub answer_of
{
	my ($name) = @_;
	my $facts = $operations->{$name};
	my $envelope = envelope_of($facts);
	my (undef, $success) = success_of($facts);
	my $part = { operation => $name, list => [ 1, "\x{e9}", undef, { deep => 0.25 } ] };
	my $field = unwrapped($facts);

	if ($envelope eq 'redirect')
	{
		return (
			{   kind => 'redirect',
				location => 'https://localhost:' . $sandbox->download_port . "/pdf/$name?signature=s" },
			{ content_type => 'image/tiff', base64 => encode_base64($pdf, '') });
	}
	if ($envelope eq 'binary')
	{
		return (
			{ kind => 'body', content_type => $success->{content_type}, body => { base64 => encode_base64($pdf, '') } },
			{ content_type => $success->{content_type}, base64 => encode_base64($pdf, '') });
	}
	$part = [$part] if ($success->{schema}{type} // '') eq 'array';
	return ({ kind => 'body', body => $part }, $part) unless $field;
	my $declared = $success->{schema}{fields};
	$part = [$part] if ($declared->{$field}{type} // '') eq 'array';
	my %rest = map { ($_ => $_ eq 'success' ? JSON::PP::true : 17) } grep { $_ ne $field } keys %$declared;
	return ({ kind => 'body', body => { %rest, $field => $part } }, $part);
}

# What the sandbox's log says of a request.

# The request's path with the parameters' names in place of their values.
sub template
{
	my ($facts, $request) = @_;
	my ($path) = split /\?/, $request->{path}, 2;
	my %value = (%{ $request->{params} }, teamId => $sandbox->team_id);
	my @expected = split m{/}, $facts->{path};
	my @sent = map { decoded($_) } split m{/}, $path =~ s/^\Q$api->{base_path}\E//r;

	for my $i (0 .. $#sent)
	{
		my ($parameter) = ($expected[$i] // '') =~ /^\{(.*)\}$/ or next;
		$sent[$i] = $expected[$i] if $sent[$i] eq $value{$parameter};
	}
	return join '/', @sent;
}

sub decoded
{
	my ($text) = @_;
	$text =~ s/%([0-9A-F]{2})/chr hex $1/ge;
	utf8::decode($text);
	return $text;
}

# Query parameters, in the types of the given values.
sub query_of
{
	my ($request) = @_;
	my (undef, $query) = split /\?/, $request->{path}, 2;
	my %query = map { decoded($_) } map { split /=/, $_, 2 } split /&/, $query // '';

	for my $value (values %query)
	{
		if ($value =~ /^\d+$/) { $value = 0 + $value }
		elsif ($value eq 'true' && $request->{path} !~ /withPropertyData/) { $value = JSON::PP::true }
	}
	return \%query;
}

sub authentication
{
	my ($request) = @_;
	return sort map { lc($_->[0]) . ": $_->[1]" }
	  grep { $_->[0] =~ /^(authorization|proxy-authorization|cookie|pull-jwt|x-canopy-.*)$/i } @{ $request->{headers} };
}

sub expected_authentication
{
	my ($facts, $server) = @_;
	my ($id, $secret) = ($sandbox->client_id, $sandbox->client_secret);

	return if $facts->{security} eq 'none';
	return ("x-canopy-client-id: $id", "x-canopy-client-secret: $secret") if $server eq 'pair';
	return 'authorization: Basic ' . encode_base64("$id:$secret", '');
}

sub body_is
{
	my ($what, $facts, $request, $given) = @_;
	my ($type) = map { $_->[1] } grep { lc $_->[0] eq 'content-type' } @{ $request->{headers} };

	if (!%$given)
	{
		is_deeply([ $request->{body}, $type ], [ '', undef ], "$what has no body");
		return;
	}
	if ($facts->{body}{content_type} eq 'application/json')
	{
		is($type, 'application/json', "$what says that its body is JSON");
		is_deeply($json->decode(encoded($request->{body})), $given, "$what has its body fields");
		return;
	}
	my ($name) = keys %$given;
	my ($boundary) = $type =~ m{^multipart/form-data; boundary=(\S+)$};
	my $part = join "\r\n", "--$boundary", qq{Content-Disposition: form-data; name="$name"; filename="$name.png"},
	  'Content-Type: image/png', '', $pdf, "--$boundary--", '';
	is($request->{body_encoding}, 'base64', "$what sends bytes");
	is($request->{body}, encode_base64($part, ''), "$what has its file as the one part of a form");
	return;
}

sub encoded { my ($text) = @_; utf8::encode($text); return $text }

# Calls.

# SQL that calls an operation with every parameter given, or with others instead.
sub call_sql
{
	my ($name, $server, $params, $body) = @_;
	my %given = given ($operations->{$name});

	$params //= {
		%{ $given{path} }, %{ $given{query} }, %{ $given{header} },
		(grep { $_ eq $name } @destructive)
		? (confirm => (values %{ $given{path} })[0] // $sandbox->team_id)
		: () };
	$body //= $given{body};
	return sprintf 'canopy_call(%s, %s, %s, %s)', CanopyTest::quoted($name), CanopyTest::quoted($json->encode($params)),
	  %$body ? CanopyTest::quoted($json->encode($body)) : 'NULL', CanopyTest::quoted($server);
}

# The call with one parameter or body field changed.
sub changed
{
	my ($name, $parameter, $value) = @_;
	my %given = given ($operations->{$name});
	my %params = (%{ $given{path} }, %{ $given{query} });
	my %body = %{ $given{body} };

	$params{confirm} = (values %{ $given{path} })[0] // $sandbox->team_id if grep { $_ eq $name } @destructive;
	if ($parameter->{in} eq 'body') { $body{ $parameter->{name} } = $value }
	else { $params{ $parameter->{name} } = $value }
	# The id that is destroyed is wrong in both places, or the confirmation would be what is refused.
	$params{confirm} = $value if $params{confirm} && $parameter->{in} eq 'path' && !ref $value;
	return call_sql($name, 'canopy', \%params, \%body);
}

# Runs expressions, [key => SQL] each, and gives what came of each by key: { returned } or { sqlstate, message, hint }.
sub attempts
{
	my $options = ref $_[0] eq 'HASH' ? shift : {};
	my $number = 0;
	my $rows = join ', ', map {
		'(' . join(', ', $number++, map { CanopyTest::quoted($_) } @$_) . ')'
	} @_;
	my $role = $options->{role} ? "SET ROLE $options->{role};" : '';

	my $output = $node->safe_psql(
		'postgres',
		"$role SELECT json_object_agg(key, attempt(sql) ORDER BY number) FROM (VALUES $rows) AS v(number, key, sql)");
	return $json->decode($output);
}

sub define_attempt
{
	$node->safe_psql('postgres', <<~'SQL');
		CREATE FUNCTION attempt(expression text) RETURNS jsonb LANGUAGE plpgsql AS $$
		DECLARE
			returned jsonb;
			message text;
			hint text;
		BEGIN
			EXECUTE 'SELECT ' || expression INTO returned;
			RETURN jsonb_build_object('returned', returned);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
			RETURN jsonb_build_object('sqlstate', SQLSTATE, 'message', message, 'hint', hint);
		END
		$$;
		SQL
	return;
}

sub make_roles
{
	$node->safe_psql('postgres', <<~'END');
		CREATE ROLE nobody;
		CREATE ROLE just_reader;
		CREATE ROLE just_fetcher;
		CREATE ROLE pii_fetcher;
		CREATE ROLE just_admin;
		GRANT USAGE ON FOREIGN SERVER closed TO nobody, just_reader, just_fetcher, pii_fetcher, just_admin;
		SELECT canopy_summit.grant_access('just_reader', 'reader'),
			canopy_summit.grant_access('just_fetcher', 'fetcher'),
			canopy_summit.grant_access('pii_fetcher', 'fetcher'),
				canopy_summit.grant_access('pii_fetcher', 'pii_reader'),
			canopy_summit.grant_access('just_admin', 'admin');
		END
	return;
}
