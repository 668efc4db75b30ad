"""Webhooks: their bodies, signatures, schedules and deliveries."""
