"""What handlers answer with."""

from quart import Response


class Answer(Response):
    """An answer that has a media type only if its handler names one. Quart calls all others HTML, even empty ones."""

    default_mimetype = None  # type: ignore[assignment]  # what werkzeug's own class allows
