"""Accounts: what is derived from joules and seconds by declared figures: footprint and money."""
