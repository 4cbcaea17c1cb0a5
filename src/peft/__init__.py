"""Tuning: batches, adapters and the trainer. Ignorant of Strategy; not Hugging Face's `peft`."""
