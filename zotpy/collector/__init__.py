"""The collector: finds what nothing needs any more and deletes it, while replicas serve.

Any number of collectors may run at once, beside any number of replicas. There is no lock and no mode in which the
registry does not write; a crash or a pause of hours, at any point, does no harm. `docs/garbage-collection.md` has the
protocol and the reasons; each module has its own part:

- `data_sweep`: bytes of large blobs, in two steps, after a listing of all leases;
- `record_sweep`: blobs that no manifest names, what was deleted, leases that were superseded, repository by repository;
- `pointer_sweep`: markers, referrers and catalog entries of what is gone;
- `retention`: tags and manifests that a rule of the operator lets go, before the records of their repository;
- `upload_sweep`: uploads that were left behind.

The collector only deletes; only what was there when it looked; and only keys that are never used again or that readers
can rebuild.
"""

from zotpy.collector.collector import Collector
from zotpy.collector.retention.policies import KeepTags, Policy, Retention
from zotpy.collector.settings import CollectorSettings
from zotpy.collector.summary import Expiration, Summary

__all__ = ["Collector", "CollectorSettings", "Expiration", "KeepTags", "Policy", "Retention", "Summary"]
