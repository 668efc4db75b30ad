# Does the sandbox do what its README says?
use strict;
use warnings;

use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

command_ok([ 'python3', in_checkout('test/sandbox/check.py') ], 'every self-test of the sandbox');
done_testing();
