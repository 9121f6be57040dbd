"""Retention: what may go of a repository though nobody deleted it, because a rule says so.

- `policies`: the rules;
- `tags`: which tags they let go, from what is known of the tags alone;
- `graph`: which manifests go then, and in which order;
- `pulls`: when manifests were pulled;
- `sweep`: one repository: looks, judges, deletes.

`docs/garbage-collection.md` says why no push can lose anything to it.
"""
