"""Use cases of the registry over a store; nothing here knows HTTP."""
