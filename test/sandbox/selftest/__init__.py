"""Checks all of it over real TLS."""
