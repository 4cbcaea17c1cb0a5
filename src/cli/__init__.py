"""The command line: its verbs, with no logic of their own, and what they share."""
