"""From stored runs to sentences: statistics, comparisons and claims, as pure functions."""
