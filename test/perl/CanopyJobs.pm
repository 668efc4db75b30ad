# CanopyJobs.pm - a server whose workers run, its jobs, and what the sandbox saw of them.
package CanopyJobs;

use strict;
use warnings;

use CanopyTest;
use Exporter 'import';
use JSON::PP ();

our @EXPORT = qw(new_worker_node query job jobs_by_state enqueue settled all_settled worker_pids requests);

# A server with the library preloaded. Options: those of new_node; conf is added to.
sub new_worker_node
{
	my (%options) = @_;
	return new_node(%options, conf => "shared_preload_libraries = 'canopy_summit'\n" . ($options{conf} // ''));
}

sub query { my ($node, $sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql) }

# A job's row as Perl data, with its attempts under `sends`.
sub job
{
	my ($node, $job_id, $database) = @_;
	return JSON::PP->new->decode(query($node, <<~"SQL", $database));
		SELECT to_jsonb(j) || jsonb_build_object('sends', coalesce(
			(SELECT jsonb_agg(to_jsonb(a) ORDER BY a.fence) FROM canopy_summit.job_attempt a
				WHERE a.job_id = j.job_id),
				'[]'))
		FROM canopy_summit.job j WHERE job_id = $job_id
		SQL
}

# "failed 2, succeeded 10": of the jobs that meet a condition.
sub jobs_by_state
{
	my ($node, $condition, $database) = @_;
	$condition //= 'true';
	return query($node, <<~"SQL", $database);
		SELECT coalesce(string_agg(state || ' ' || n, ', ' ORDER BY state::text), 'none')
		FROM (SELECT state, count(*) AS n FROM canopy_summit.job WHERE $condition GROUP BY state) AS s
		SQL
}

# Enqueues one operation, whose parameters and body are Perl data or undef; its key. `more`: SQL of further arguments.
sub enqueue
{
	my ($node, $operation, $params, $body, $more, $database) = @_;
	my @arguments = map { defined $_ ? CanopyTest::quoted(JSON::PP->new->canonical->encode($_)) : 'NULL' } $params
	  // {}, $body;
	return query(
		$node,
		"SELECT canopy_enqueue('$operation', $arguments[0], $arguments[1]" . ($more ? ", $more" : '') . ')', $database);
}

# Waits until a job is neither queued nor running; its state, also if that takes too long.
sub settled
{
	my ($node, $job_id, $seconds, $database) = @_;
	my $read = sub { query($node, "SELECT state FROM canopy_summit.job WHERE job_id = $job_id", $database) };

	eval {
		wait_until("job $job_id is settled", sub { $read->() !~ /^(queued|running)$/ }, $seconds);
	};
	return $read->();
}

# Waits until no job that meets a condition is queued or running.
sub all_settled
{
	my ($node, $condition, $seconds, $database) = @_;
	$condition //= 'true';
	my $open = sub { query($node, <<~"SQL", $database) };
		SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running') AND $condition
		SQL

	# However many there are: none may take that long.
	for (my $left = $open->(); $left > 0; $left = $open->())
	{
		wait_until("another job is settled: $condition", sub { $open->() != $left }, $seconds);
	}
	return;
}

sub worker_pids
{
	my ($node, $database) = @_;
	$database //= 'postgres';
	return split /\n/, query($node, <<~"SQL");
		SELECT pid FROM pg_stat_activity WHERE backend_type = 'canopy_summit worker' AND datname = '$database'
		SQL
}

# The sandbox's log of paths that match; `fields` as in its README.
sub requests
{
	my ($sandbox, $path, $fields) = @_;
	$path =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ge;
	return @{ $sandbox->control(GET => "log?path=$path" . ($fields ? "&fields=$fields" : ''))->{requests} };
}

1;
