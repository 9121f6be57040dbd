"""What bounds the memory of a replica: the budget of all bodies, the share of pulls, the parsing of documents."""
