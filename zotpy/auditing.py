"""From settings to the audit log, and to what writes it beside the replica."""

from functools import partial

from zotpy.bell import Bell
from zotpy.services import Service
from zotpy.settings import LogSettings
from zotpy.startup import StartupError
from zotpy.telemetry.audit_log import AuditLog
from zotpy.telemetry.metrics import Metrics
from zotpy.web.auditing import Audit


def open_audit(settings: LogSettings, metrics: Metrics, bell: Bell) -> tuple[Audit, Service] | None:
    """Open the audit log, if one is configured. Raises `StartupError` if it cannot be opened."""
    if settings.audit is None:
        return None
    try:
        written = AuditLog(settings.audit, settings.audit_memory_bytes, metrics.requests.on_audit_lost)
    except OSError as error:
        msg = f"log.audit: {settings.audit} cannot be opened: {error.strerror}"
        raise StartupError(msg) from error
    service = Service(partial(written.keep_written, bell), finish=written.write_last)
    return Audit(written.note, settings.audit_pulls), service
