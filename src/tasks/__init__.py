"""Tasks: questions, documents, a hierarchy; readers of public formats; the built-in task."""
