#!/usr/bin/env python3
"""Prints pulls for tests: with sentinels, with quirks, or many of one size."""

import argparse
import json
import sys

from data import bulk, quirks, sentinel


def print_sentinel(options):
    json.dump(sentinel.build(), sys.stdout, ensure_ascii=False)
    print()


def print_quirks(options):
    json.dump(quirks.with_string_meta_data() if options.string_meta_data else quirks.build(), sys.stdout, ensure_ascii=False)
    print()


def print_pulls(options):
    for number in range(options.count):
        sys.stdout.buffer.write(bulk.build(options.seed, number, options.bytes, options.accounts) + b"\n")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="what")
    command = commands.add_parser("sentinel", help="a pull in which every field holds a value of its own, and where")
    command.set_defaults(run=print_sentinel)
    command = commands.add_parser("quirks", help="a pull that departs from its schemas as real answers do")
    command.add_argument("--string-meta-data", action="store_true", help="meta_data as a JSON text, not an object")
    command.set_defaults(run=print_quirks)
    command = commands.add_parser("pulls", help="many distinct pulls, one per line")
    command.add_argument("--count", type=int, default=10)
    command.add_argument("--bytes", type=int, default=27_000, help="size of each, give or take 10 %%")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--accounts", type=int, default=0, help="spread them over so many accounts, 0 = one each")
    command.set_defaults(run=print_pulls)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = read_arguments()
    arguments.run(arguments)
