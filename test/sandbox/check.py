#!/usr/bin/env python3
"""Checks the sandbox over real TLS: all of it, or the tests that are named, such as selftest.api.Auth."""

import pathlib
import sys
import unittest

HERE = str(pathlib.Path(__file__).resolve().parent)
EVERYTHING = ["discover", "--start-directory", HERE + "/selftest", "--top-level-directory", HERE, "--pattern", "[a-z]*.py"]

if __name__ == "__main__":
    unittest.main(module=None, argv=[sys.argv[0], *(sys.argv[1:] or EVERYTHING)])
