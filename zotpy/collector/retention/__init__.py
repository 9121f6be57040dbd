"""Retention: what is deleted in a repository although no client deleted it, because a rule says so.

- `policies`: the rules;
- `tag_rules`: which tags they delete, decided from what is known of the tags alone;
- `byte_bounds`: since when tags must have been used to stay, if a rule counts bytes;
- `graph`: which manifests are then deleted, and in which order;
- `pull_history`: when manifests were pulled;
- `retention_sweep`: reads, judges and deletes in one repository.

`docs/garbage-collection.md` says why no push can lose anything because of it.
"""
