"""A System opened: weights, sources of context, votes, and the answers it gave before."""
