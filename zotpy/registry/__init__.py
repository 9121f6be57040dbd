"""Use cases of the registry over a store. Nothing here knows HTTP."""
