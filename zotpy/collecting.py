"""Garbage collected by the server itself, for a registry that nobody else looks after: one with an embedded store."""

from dataclasses import replace
from datetime import timedelta

import structlog
import trio

from zotpy.collector import Collector, CollectorSettings, KeepTags, Policy, Retention
from zotpy.config import KeepTagsSettings, RetentionSettings, Settings
from zotpy.store.interface import Store
from zotpy.store.paced import PacedStore

FIRST_AFTER_S = 600.0
"""A server that is restarted every day collects, too."""
BUFFER_ROWS = 20_000
"""Less than beside a server, which has all the memory for itself."""

log = structlog.get_logger()


async def keep_collecting(store: Store, settings: Settings) -> None:
    """Collect every `gcSettings.interval` until cancelled; nothing to do where that is 0.

    A collection that fails is logged, and the next one tries again: it must never end what serves.
    """
    interval_s = settings.collection_interval_s
    if not interval_s:
        return
    paced = PacedStore(store, settings.gc.calls_per_second)
    numbers = replace(collector_settings(settings), buffer_rows=BUFFER_ROWS)
    await trio.sleep(min(FIRST_AFTER_S, interval_s))
    while True:
        try:
            summary = await Collector(paced, numbers).run()
        except Exception as error:
            log.exception("collection_failed", exc_info=error)
        else:
            log.info("collected", **{name: value for name, value in summary.as_dict().items() if value})
        await trio.sleep(interval_s)


def collector_settings(settings: Settings) -> CollectorSettings:
    """Translate the configuration's words into the collector's."""
    return CollectorSettings(
        grace_s=settings.gc.grace_s,
        deadline_s=settings.gc.deadline_s,
        upload_ttl_s=settings.gc.upload_ttl_s,
        retention=_retention(settings.retention),
    )


def _retention(settings: RetentionSettings) -> Retention:
    """Translate the configuration's words into the collector's."""

    def within(seconds: float | None) -> timedelta | None:
        return None if seconds is None else timedelta(seconds=seconds)

    def keep_tags(keep: KeepTagsSettings) -> KeepTags:
        return KeepTags(
            patterns=keep.patterns,
            most_recently_pushed=keep.most_recently_pushed_count,
            most_recently_pulled=keep.most_recently_pulled_count,
            pushed_within=within(keep.pushed_within_s),
            pulled_within=within(keep.pulled_within_s),
        )

    policies = [
        Policy(
            repositories=policy.repositories,
            delete_referrers=policy.delete_referrers,
            delete_untagged=policy.delete_untagged,
            keep_tags=tuple(keep_tags(keep) for keep in policy.keep_tags),
        )
        for policy in settings.policies
    ]
    return Retention(tuple(policies), settings.delay_s, settings.dry_run)
