"""An expression as the tree that the library has checked.

The library writes it as a message of Protocol Buffers, `cel.expr.CheckedExpr` (`cel/expr/checked.proto` and
`cel/expr/syntax.proto` of https://github.com/google/cel-spec) in a `google.protobuf.Any`. Its macros, such as `exists`,
are folds there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""The wire types of Protocol Buffers."""
_WIDTHS = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_CHECKED, _TREE = 2, 4
"""The field of `google.protobuf.Any` that has the message, and that of `CheckedExpr` that has the expression."""
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _FOLD = range(3, 10)
"""The fields of `Expr`, of which one is set."""
_TEXTS = {6, 7}
"""The fields of `Constant` that are texts or bytes."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value as it stands."""

    text: str | None
    """`None`: it is no text."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable of the environment, such as `req.tag`, or of a macro."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a map, or whether there is one."""

    of: "Node"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator. The value before the dot is the first of the arguments."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """A list, or the keys and values of a map."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """A loop over a list or the keys of a map. `so_far` is the variable that each step sets anew."""

    over: "Node"
    variables: tuple[str, ...]
    so_far: str
    beginning: "Node"
    steps: tuple["Node", ...]
    """Whether to go on, and the next value."""
    result: "Node"


Node = Constant | Name | Field | Call | Collection | Fold


def read_tree(message: bytes) -> Node:
    """Read a message. Raises `ValueError` if it is of another form, as a later release of the library might write."""
    try:
        return _node(_only(_only(message, _CHECKED), _TREE))
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        msg = "the library writes expressions in a form that is not known"
        raise ValueError(msg) from error


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all that is below it."""
    yield node
    for each in _below(node):
        yield from walk(each)


def _below(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Field):
        return (node.of,)
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Collection):
        return node.items
    return (node.over, node.beginning, *node.steps, node.result) if isinstance(node, Fold) else ()


def _node(message: bytes) -> Node:
    for number, value in _fields(message):
        if _CONST <= number <= _FOLD and isinstance(value, bytes):
            return _READERS[number](value)
    msg = "an expression has an empty part"
    raise ValueError(msg)


def _constant(message: bytes) -> Node:
    for number, value in _fields(message):
        if number in _TEXTS and isinstance(value, bytes):
            return Constant(value.decode() if number == min(_TEXTS) else None, len(value))
    return Constant(None, 8)


def _call(message: bytes) -> Node:
    function, arguments = "", []
    for number, value in _fields(message):
        if number == 2:  # noqa: PLR2004 - the numbers of the format
            function = _text(value)
        elif isinstance(value, bytes):
            arguments.append(_node(value))
    return Call(function, tuple(arguments))


def _list(message: bytes) -> Node:
    return Collection(tuple(_node(value) for number, value in _fields(message) if number == 1 and value))  # type: ignore[arg-type]  # as it is written


def _struct(message: bytes) -> Node:
    """Read a map. An entry is of the fields 3 and 4; a message of Protocol Buffers has names instead of keys."""
    items = []
    for number, entry in _fields(message):
        if number == 2 and isinstance(entry, bytes):  # noqa: PLR2004 - the same
            items += [_node(value) for of, value in _fields(entry) if of in {3, 4} and isinstance(value, bytes)]
    return Collection(tuple(items))


def _fold(message: bytes) -> Node:
    found = dict(_fields(message))
    variables = tuple(_text(found[number]) for number in (1, 8) if number in found)
    over, beginning, goes_on, step, result = (_node(found[number]) for number in (2, 4, 5, 6, 7))  # type: ignore[arg-type]  # the same
    return Fold(over, variables, _text(found[3]), beginning, (goes_on, step), result)


_READERS = {
    _CONST: _constant,
    _IDENT: lambda message: Name(_text(_only(message, 1))),
    _SELECT: lambda message: Field(_node(_only(message, 1)), _text(_only(message, 2))),
    _CALL: _call,
    _LIST: _list,
    _STRUCT: _struct,
    _FOLD: _fold,
}


def _text(value: int | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _only(message: bytes, wanted: int) -> bytes:
    return next((value for number, value in _fields(message) if number == wanted and isinstance(value, bytes)), b"")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message by their numbers: numbers as such, and everything else as bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        length = _WIDTHS.get(kind, 0)
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif not length:
            msg = f"a field has the wire type {kind}"
            raise ValueError(msg)
        yield key >> 3, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:  # noqa: PLR2004 - the highest bit says that another byte follows
            return value, position
