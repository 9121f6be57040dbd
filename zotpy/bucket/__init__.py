"""What registry, collector and inspection share: the bucket's layout, its records and pointers, and ways to list it."""
