"""Audit: what was spent as an inventory, and runs and records packed for another place."""
