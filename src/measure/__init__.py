"""Measuring: energy, memory, carbon, quality, statistics, records. Knows nothing of models."""
