"""Regular expressions for patterns with many stars, which take a name step by step and never go back in it.

A regular expression tries each place for each star: names of 255 characters and four stars take minutes. But it is
enough to take each part behind a star where it is found first, because the next star takes whatever follows. That needs
no second try, which an atomic group `(?>...)` says. So the time grows with the length of the name, not with a power of
it. It is the well-known way to match wildcards, once for the stars of a segment, and once for those that are segments.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

OPEN, OR, CLOSE = "(?:", "|", ")"
"""The pieces of a regular expression that `{`, `,` and `}` become."""
RUN, ANYTHING = "[^/]*", ".*"
"""What `*` and `**` become."""
BELOW, BELOW_AND_SLASH, ABOVE = "(?:/.*)?", "(?:/.*)?(?=/)", "(?:.*/)?"
"""What `/**` and `**/` become, which match nothing, too."""
_END = r"(?=/|\Z)"
"""Behind a segment."""
UNCLEAR = "write ** between slashes, also beside braces, if the pattern has other stars"
Segment = Sequence[str]


def stepwise(pieces: Sequence[str]) -> str:
    """Return a regular expression that matches what these pieces do. Raises `ValueError`.

    Each choice of texts in braces becomes an alternative of its own.
    """
    for before, piece, behind in zip(["", *pieces], pieces, [*pieces[1:], ""], strict=False):
        beside = {before, behind} if piece == ANYTHING else {before} if piece == ABOVE else set[str]()
        if beside & {OPEN, OR, CLOSE}:  # another text in its place would mean something else together with the rest
            raise ValueError(UNCLEAR)
    return OR.join(_blocks(_segments(each)) for each in _choices(pieces))


def _choices(pieces: Sequence[str]) -> Iterator[list[str]]:
    """Yield the pieces without braces, once for each text that the braces stand for."""
    open_at = next((at for at, piece in enumerate(pieces) if piece == OPEN), None)
    if open_at is None:
        yield list(pieces)
        return
    depth, begin, inner = 0, open_at + 1, list[Sequence[str]]()
    for at in range(open_at, len(pieces)):
        depth += (pieces[at] == OPEN) - (pieces[at] == CLOSE)
        if depth == 0 or (depth == 1 and pieces[at] == OR):
            inner.append(pieces[begin:at])
            begin = at + 1
        if depth == 0:
            for each in inner:
                yield from _choices([*pieces[:open_at], *each, *pieces[at + 1 :]])
            return


def _segments(pieces: Sequence[str]) -> list[list[Segment]]:
    """Cut pieces into segments, and these into blocks between which there is `**`. Raises `ValueError`."""
    blocks: list[list[Segment]] = [[]]
    segment: list[str] | None = []
    """`None` behind `**`, where only a slash may follow, and further `**`, which add nothing."""
    for before, piece in pairwise(["", *pieces]):
        if piece in {ABOVE, ANYTHING, BELOW, BELOW_AND_SLASH}:
            _begin_block(blocks, segment, before, piece)
            segment = [] if piece == ABOVE else None
        elif piece == "/":
            if segment is not None:
                blocks[-1].append(segment)
            segment = []
        elif segment is None:
            raise ValueError(UNCLEAR)
        else:
            segment.append(piece)
    if segment is not None:
        blocks[-1].append(segment)
    return blocks


def _begin_block(blocks: list[list[Segment]], segment: Segment | None, before: str, piece: str) -> None:
    """End a block at `**`. Raises `ValueError`."""
    if piece in {ABOVE, ANYTHING}:
        if segment is None or segment:
            raise ValueError(UNCLEAR)
        blocks.append([])
    elif segment is not None:
        blocks[-1].append(segment)
        blocks.append([])
    elif (before, piece) == (BELOW_AND_SLASH, BELOW):
        blocks[-1].append([RUN])  # the slash that must follow


def _blocks(blocks: Sequence[Sequence[Segment]]) -> str:
    """Take the first block at the beginning, the last one at the end, and each between them where it comes first."""
    first, *others = [f"{'/'.join(map(_segment, block))}{_END}" if block else "" for block in blocks]
    if not others:
        return first
    *between, last = others
    expression = first
    for block in filter(None, between):
        expression += f"(?>.*?/{block})" if expression else f"(?>(?:.*?/)??{block})"
    if not last:
        return expression + (BELOW if expression else ANYTHING)
    return rf"{expression}.*/{last}\Z" if expression else rf"{ABOVE}{last}\Z"


def _segment(segment: Segment) -> str:
    """Take each part between two stars where it comes first, and the last one at the end of the segment."""
    parts = [""]
    for piece in segment:
        if piece == RUN:
            parts.append("")
        else:
            parts[-1] += piece
    if len(parts) == 1:
        return parts[0]
    found = "".join(rf"(?>{RUN}?{part})" for part in parts[1:-1] if part)
    return rf"(?>{parts[0]}{found}{RUN}{parts[-1]}{_END})"
