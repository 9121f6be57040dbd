"""A fork server: what starts zotpy hundreds of times without importing it each time."""
