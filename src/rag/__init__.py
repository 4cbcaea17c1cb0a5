"""Retrieval: chunks, embeddings, an index, and a tree of entities. Ignorant of Strategy."""
