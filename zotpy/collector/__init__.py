"""The collector: finds what nothing needs any more and deletes it, while replicas serve.

Any number of collectors may run at once, beside any number of replicas. The collector uses no lock, and the registry
accepts pushes all the time. A crash or a pause of hours, at any point, does no harm. `docs/garbage-collection.md` has
the protocol and the reasons. Each module has its own part:

- `data_sweep`: bytes of large blobs, in two steps, after a listing of all leases;
- `record_sweep`: blobs that no manifest names, deleted records, and superseded leases, one repository after another;
- `pointer_sweep`: markers, referrers and catalog entries that lead nowhere;
- `retention`: tags and manifests that no rule of the operator keeps, before the records of their repository;
- `upload_sweep`: uploads that no client continued.

The collector only deletes. It deletes only what existed when it looked, and only keys that are never used again or that
readers can rebuild.
"""

from zotpy.collector.collector import Collector
from zotpy.collector.collector_settings import CollectorSettings
from zotpy.collector.summary import Expiration, Summary

__all__ = ["Collector", "CollectorSettings", "Expiration", "Summary"]
