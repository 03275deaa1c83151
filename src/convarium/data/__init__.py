"""The data sets and how they become batches."""
