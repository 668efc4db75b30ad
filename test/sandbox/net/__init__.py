"""Sockets, TLS, HTTP in and out, and what every service shares."""
