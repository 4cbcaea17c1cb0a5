"""Artefacts: a System as a folder that can be carried to another machine, and its model card."""
