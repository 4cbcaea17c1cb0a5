"""Models: a catalogue, fetching, local causal language models and embedders."""
