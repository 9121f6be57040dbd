"""What a schedule is about: by chance alone the rarer encounters would take too many schedules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.simulation.contents import INDEX, MANIFESTS, ONE, PART_BYTES, REFERRER, REPOS, THREE, TWO

if TYPE_CHECKING:
    import random

    from tests.simulation.contents import Manifest
    from zotpy.core.names import RepositoryName


@dataclass(frozen=True, slots=True)
class Theme:
    """How clients and collectors are drawn."""

    weights: tuple[float, ...]
    """Of what a client does, in the order of `Client.work`."""
    repos: tuple[RepositoryName, ...] = REPOS
    manifests: tuple[Manifest, ...] = tuple(MANIFESTS.values())
    focus: tuple[int, ...] = (1, 2, 2, 3)
    """How many manifests are worked on, drawn from these numbers. The same holds for all fields below."""
    clients: tuple[int, ...] = (1, 1, 2, 3)
    things: tuple[int, ...] = (1, 2)
    collectors: tuple[int, ...] = (0, 1, 1, 2)
    passes: tuple[int, ...] = (1, 2, 3)
    rounds: tuple[int, ...] = (1, 2, 3)
    stay: tuple[float, ...] = (0.2, 0.6, 0.9)
    """How likely the same actor continues."""
    paces: tuple[float, ...] = (1.0,)
    """How likely a client is chosen, against others."""
    collector_pace: float = 1.0
    """The same of a collector."""
    tagged: float = 0.5
    """The share of pushes by tag."""
    there: float = 0.7
    """The share of the contents that exists at the beginning."""
    deleted: float = 0.4
    """The share of that which was deleted."""
    age: tuple[float, float] = (0.0, 1.5)
    """The age of that, in graces."""
    passes_before: tuple[int, ...] = (0, 0, 1, 2)
    rests: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.0, 0.1), (0.0, 2.0))
    """How long it is quiet between rounds, in graces: from, to."""
    long_pauses: float = 0.5
    """The share of pauses and jumps that are longer than a few deadlines."""
    pauses: float = 1.0
    """The factor for how often an actor pauses."""
    crashes: float = 1.0
    """The factor for how often an actor is killed."""
    suspended: float | None = None
    """The share of an actor's pauses that stop its own clock, too; `None`: none of them, or half."""
    first_blob: int = 0
    """Of the manifests, those from this one on are wanted for themselves."""
    both_tags: float = 0.0
    """The share of pushes by tag that write both tags."""
    as_docker: bool = False
    """Blobs are sent by a PATCH, whose bytes are kept as data, and a PUT without any."""
    waits: float = 0.0
    """How many graces a client may wait between these; a collector waits half as long before each collection."""
    ways: tuple[str, ...] = ("look", "look", "mount", "send", "send")
    """What a client does first to make a blob exist."""
    rest_s: tuple[float, ...] = ()
    """For how many seconds a client rests before each thing at most; drawn for each. Empty: it does not."""
    promised_s: tuple[float, ...] = ()
    """For how many seconds replicas may answer from memory; empty: they may not."""
    shares: bool = False
    """The clients of a round have one replica, whose reads may share calls."""
    immutable: bool = False
    """All tags are immutable, for every client."""
    part_bytes: int = PART_BYTES
    wrong: float = 0.0
    """The share of an upstream's answers that have other bytes than they should."""
    retains: bool = False
    """Collectors delete manifests that no tag names, and referrers of what does not exist any more."""


MIXED = Theme(weights=(10, 1, 4, 1, 1, 2, 1, 1, 0))
FADING = Theme(
    weights=(0, 0, 0, 0, 0, 1, 0, 0, 0),
    manifests=(ONE, TWO),
    focus=(1,),
    clients=(1, 1, 2),
    collectors=(1, 1, 2),
    rounds=(2, 3),
    deleted=1.0,
    age=(1.0, 1.3),
    there=1.0,
    passes_before=(0,),
    rests=((0.0, 0.0), (0.0, 0.2), (0.0, 1.3)),
    long_pauses=0.05,
    pauses=2.0,
    first_blob=1,
)
"""A large blob that nothing names any more is wanted again while it is being deleted."""
LINGERING = replace(
    FADING,
    repos=REPOS[:1],
    clients=(1,),
    things=(1,),
    collectors=(1,),
    passes=(1,),
    rounds=(2,),
    stay=(0.0, 0.2),
    collector_pace=6.0,
    rests=((1.0, 1.3),),
)
"""The same, and a note that was written in vain is found again much later."""
RIVALS = Theme(
    weights=(0, 7, 6, 1, 0, 0, 0, 0, 0),
    repos=REPOS[:1],
    manifests=(ONE, THREE, REFERRER, INDEX),
    focus=(1,),
    clients=(2, 3, 3),
    things=(1, 1, 2),
    collectors=(0, 0, 0, 1),
    rounds=(3, 4),
    stay=(0.1, 0.4),
    there=1.0,
    deleted=0.2,
    age=(0.0, 1.3),
    passes_before=(0,),
    rests=((0.0, 0.1),),
    long_pauses=0.1,
    pauses=2.0,
    both_tags=0.8,
)
"""The same manifest pushed and deleted at once."""
DUEL = replace(
    RIVALS,
    weights=(0, 1, 1, 0, 0, 0, 0, 0, 0),
    clients=(2,),
    things=(1,),
    collectors=(0,),
    rounds=(1,),
    stay=(0.0, 0.2),
    tagged=0.9,
)
"""One push against one DELETE."""
REVIVED = replace(DUEL, weights=(0, 1, 2, 0, 0, 0, 0, 0, 0), things=(4,), deleted=1.0, age=(0.0, 0.4))
"""The same, of a manifest that was deleted shortly before."""
HALF_GONE = replace(
    FADING,
    repos=REPOS[:1],
    clients=(1,),
    things=(1,),
    collectors=(1,),
    passes=(1, 2),
    rounds=(1,),
    stay=(0.2, 0.6),
    passes_before=(1,),
)
"""The same, wanted again in the collection that deletes its data."""
HURRIED = replace(
    FADING,
    repos=REPOS[:1],
    clients=(1,),
    things=(1,),
    collectors=(1,),
    passes=(2, 3),
    rounds=(1,),
    stay=(0.0, 0.2),
    collector_pace=20.0,
    pauses=0.0,
)
"""Two collections within one request."""
RENOUNCED = replace(
    FADING,
    weights=(0, 0, 0, 0, 2, 3, 0, 0, 0),
    repos=REPOS[:1],
    clients=(1, 2),
    things=(2, 4),
    collectors=(0, 1, 1),
    passes=(1,),
    rounds=(1,),
    stay=(0.0, 0.2),
)
"""An old blob is wanted, then deleted, while it is being collected."""
IMMUTABLE = replace(
    RIVALS,
    weights=(0, 7, 5, 0, 0, 0, 0, 0, 0),
    manifests=(ONE, TWO, THREE),
    focus=(1, 2, 2),
    tagged=0.7,
    both_tags=0.3,
    immutable=True,
)
"""Manifests pushed by tags that must not move, and deleted, at once."""
CRASHING = Theme(
    weights=(6, 2, 2, 0, 0, 2, 0, 0, 0),
    repos=REPOS[:1],
    manifests=(THREE, REFERRER),
    focus=(1,),
    clients=(2, 3),
    things=(1, 2),
    collectors=(0, 0, 1),
    passes=(1, 2),
    rounds=(1, 2),
    there=0.6,
    deleted=1.0,
    age=(1.0, 1.2),
    passes_before=(0,),
    rests=((0.0, 0.1), (0.7, 1.3)),
    crashes=8.0,
)
"""An actor that wrote half of something never comes back."""
RETAINED = Theme(
    weights=(2, 8, 1, 4, 0, 0, 1, 0, 0),
    repos=REPOS[:1],
    manifests=(INDEX, ONE, THREE, REFERRER),
    focus=(2, 3, 4),
    clients=(1, 2, 3),
    collectors=(1, 1, 2),
    passes=(1, 1, 2),
    rounds=(2, 3),
    stay=(0.2, 0.6),
    there=1.0,
    deleted=0.1,
    age=(0.9, 1.4),
    passes_before=(0,),
    rests=((0.0, 0.1), (1.0, 1.3)),
    long_pauses=0.2,
    both_tags=0.2,
    retains=True,
)
"""Old manifests without tags are deleted, and wanted again meanwhile."""
KEPT = replace(
    FADING,
    clients=(1, 2),
    things=(1, 2),
    passes=(2, 3),
    rounds=(1, 2),
    stay=(0.0, 0.2),
    there=0.5,
    age=(0.0, 1.3),
    as_docker=True,
    waits=2.5,
)
"""Blobs whose PUT comes late, while collectors delete what no lease names."""
SUSPENDED = replace(
    FADING,
    weights=(1, 4, 1, 1, 0, 6, 0, 0, 0),
    age=(0.0, 1.3),
    there=0.7,
    deleted=0.7,
    clients=(1, 2),
    passes=(4, 6),
    stay=(0.2, 0.6),
    long_pauses=0.8,
    pauses=3.0,
    waits=1.0,
    suspended=1.0,
)
"""Processes whose hosts are suspended for longer than a grace, between any two calls."""
JOINED = replace(
    RIVALS,
    weights=(0, 4, 3, 1, 0, 0, 6, 0, 0),
    clients=(3, 4),
    things=(2, 3),
    collectors=(0,),
    rounds=(1, 2),
    stay=(0.0, 0.2),
    deleted=0.5,
    age=(0.0, 0.4),
    pauses=0.5,
    shares=True,
)
"""Clients of one replica that push, delete and pull the same manifest at once."""
PROMISED = replace(
    FADING,
    weights=(1, 1, 2, 0, 2, 3, 6, 0, 0),
    repos=REPOS[:1],
    manifests=(ONE, TWO, THREE),
    clients=(2, 2, 3),
    things=(3, 5, 8),
    collectors=(0, 0, 1),
    passes=(1, 2),
    rounds=(1, 2),
    stay=(0.0, 0.2, 0.6),
    deleted=0.5,
    age=(0.0, 0.6),
    rests=((0.0, 0.1), (0.4, 0.7)),
    long_pauses=0.1,
    waits=1.0,
    first_blob=0,
    suspended=0.5,
    rest_s=(0.0, 30.0, 150.0),
    promised_s=(20.0, 200.0),
)
"""Replicas answer for entries from memory, while what they remember is deleted."""
RELIED = replace(
    LINGERING,
    things=(2, 3, 4),
    age=(0.1, 0.28),
    rests=((0.25, 0.45),),
    manifests=(ONE,),
    pauses=0.0,
    crashes=0.0,
    ways=("look",),
    rest_s=(150.0,),
    promised_s=(200.0,),
)
"""A client relies on what its replica remembers of a blob that nothing names, until a collector comes."""
MIRRORED = replace(
    FADING,
    weights=(1, 1, 1, 0, 0, 1, 1, 0, 6),
    manifests=(ONE, TWO, THREE),
    focus=(1, 2),
    clients=(2, 2, 3),
    things=(1, 2, 3),
    collectors=(1, 1, 2),
    passes=(1, 2, 3),
    there=0.5,
    age=(0.0, 1.3),
    deleted=0.5,
    waits=1.5,
    crashes=2.0,
    first_blob=0,
    part_bytes=PART_BYTES // 4,
    wrong=0.1,
)
"""Replicas keep manifests of an upstream before what these need, which comes much later, or never."""
CONTINUED = replace(
    MIRRORED,
    weights=(0, 0, 0, 0, 0, 0, 0, 0, 1),
    repos=REPOS[:1],
    manifests=(TWO,),
    focus=(1,),
    clients=(2, 3),
    collectors=(0, 0, 1),
    rounds=(1, 2),
    stay=(0.2, 0.6),
    there=0.0,
    waits=0.0,
    pauses=4.0,
    first_blob=2,
    wrong=0.3,
)
"""Replicas go on with the copies of others that were killed, or were only slow."""
THEMES = {
    "mixed": MIXED,
    "fading": FADING,
    "lingering": LINGERING,
    "rivals": RIVALS,
    "duel": DUEL,
    "half gone": HALF_GONE,
    "hurried": HURRIED,
    "renounced": RENOUNCED,
    "crashing": CRASHING,
    "revived": REVIVED,
    "immutable": IMMUTABLE,
    "retained": RETAINED,
    "kept": KEPT,
    "suspended": SUSPENDED,
    "joined": JOINED,
    "mirrored": MIRRORED,
    "promised": PROMISED,
    "relied": RELIED,
    "continued": CONTINUED,
}


def draw(rng: random.Random) -> Theme:
    """Draw a theme."""
    return rng.choices(tuple(THEMES.values()), weights=(8, 3, 1, 4, 1, 1, 1, 1, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0))[0]
