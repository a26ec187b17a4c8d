"""Read pickled records that hold plain values and numpy arrays, and nothing else. Nothing in them is executed.

A pickle is a program that may call any function. This reader knows only the instructions that records need, and
replaces numpy's functions by its own, so a record can neither import, call nor change anything.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

LARGEST = 4 * 2**20  # bytes of a record; ten conformers of 256 atoms have 30 kB
DEEPEST = 8  # lists and dicts within each other, and dimensions of an array
MOST_ITEMS = 1_000_000  # of all lists, dicts and arrays of a record, each counted as often as it is referred to
LONGEST_INT = 128  # bits; Python refuses to write very long ones
DTYPE = re.compile(r"[<>=|]?[biuf?][0-9]{0,2}")  # of numbers; numpy would evaluate other names


class PlainPickleError(ValueError):
    """A record holds something else, or is broken."""


class _Dtype:
    """What a record says of the type of an array."""

    def __init__(self, name: Any, *flags: Any):
        self.dtype = _make_dtype(name)

    def set_state(self, state: Any) -> None:
        """Set the byte order, the second item of the state."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise PlainPickleError("the type of an array has a broken byte order")
        self.dtype = self.dtype.newbyteorder(state[1]) if state[1] in "<>" else self.dtype


class _Array:
    """An array whose content comes later."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        """Set shape, type and content: (version, shape, dtype, is_fortran, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise PlainPickleError("an array has a broken state")
        _, shape, kind, is_fortran, content = state
        self.value = _make_array(content, kind.dtype, shape, "F" if is_fortran else "C")


def _make_dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or not DTYPE.fullmatch(name):
        shown = repr(name[:40]) if isinstance(name, str) else "without a name"
        raise PlainPickleError(f"an array of type {shown} is not one of numbers")
    return np.dtype(name)


def _make_array(content: Any, dtype: np.dtype, shape: Any, order: str) -> np.ndarray:
    is_shape = isinstance(shape, tuple) and len(shape) <= DEEPEST and all(map(_is_size, shape))
    if not is_shape or not isinstance(content, bytes | bytearray):
        raise PlainPickleError("an array has a broken shape or content")
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise PlainPickleError(f"an array of shape {shape} has {len(content)} bytes, which do not fit")
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy()


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and 0 <= size <= LARGEST


def _reconstruct(*arguments: Any) -> _Array:
    """Stand in for numpy's `_reconstruct`, which makes an empty array."""
    return _Array()


def _read_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """Stand in for numpy's `_frombuffer` of protocol 5."""
    if not isinstance(kind, _Dtype) or order not in ("C", "F"):
        raise PlainPickleError("an array has a broken state")
    return _make_array(content, kind.dtype, shape, order)


def _make_scalar(kind: Any, content: Any) -> Any:
    """Stand in for numpy's `scalar`."""
    if not isinstance(kind, _Dtype):
        raise PlainPickleError("a number of numpy has a broken type")
    return _make_array(content, kind.dtype, (), "C")[()].item()


def _encode(text: Any, encoding: Any = None) -> bytes:
    """Stand in for `_codecs.encode`, by which old protocols write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise PlainPickleError("bytes in another encoding than latin1")
    return text.encode("latin1")


def _make_bytes(*arguments: Any) -> bytes:
    """Stand in for `bytes()`, by which old protocols write empty bytes."""
    if arguments:
        raise PlainPickleError("bytes from something that is not plain data")
    return b""


NDARRAY = object()  # stands for `numpy.ndarray` as an argument
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _make_bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _make_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _read_buffer for core in ("core", "_core")},
}
CALLABLE = tuple(value for value in ALLOWED.values() if value is not NDARRAY)
INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("GET", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
    *("LONG", "LONG1", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
)


BROKEN = (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
BROKEN += (struct.error, MemoryError, RecursionError)


class _PlainUnpickler(pickle._Unpickler):
    """Python's own reader with few of its instructions; those that call and change something are replaced."""

    dispatch: ClassVar[dict[int, Callable]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in INSTRUCTIONS
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a function of numpy."""
        try:
            return ALLOWED[module, name]
        except (KeyError, TypeError):
            raise PlainPickleError(f"it refers to {module}.{name}, which is not plain data") from None

    def load_reduce(self) -> None:
        """Call a stand-in."""
        arguments, function = self.stack.pop(), self.stack[-1]
        if not any(function is allowed for allowed in CALLABLE) or not isinstance(arguments, tuple):
            raise PlainPickleError("it calls something that is not plain data")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        """Set the state of a stand-in of an array or its type."""
        state, made = self.stack.pop(), self.stack[-1]
        if type(made) not in (_Array, _Dtype):
            raise PlainPickleError(f"it changes a {type(made).__name__}, which is not plain data")
        made.set_state(state)

    def load_dict(self) -> None:
        """Make a dict."""
        items = self.pop_mark()
        self.append({})
        self._fill_dict(items)

    def load_setitem(self) -> None:
        """Set one item of a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self._fill_dict([key, value])

    def load_setitems(self) -> None:
        """Set items of a dict."""
        self._fill_dict(self.pop_mark())

    def _fill_dict(self, items: list) -> None:
        """Set items of the dict on the stack. Other keys are not even hashed, which may take forever for tuples."""
        if type(self.stack[-1]) is not dict or not all(type(key) in (str, int, bool) for key in items[::2]):
            raise PlainPickleError("a key of a dict is neither a string nor a whole number, or it is not plain data")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def load_bytearray8(self) -> None:
        """Read bytes, without memory for more than there are."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(min(size, LARGEST))))

    dispatch[pickle.REDUCE[0]], dispatch[pickle.BUILD[0]] = load_reduce, load_build
    dispatch[pickle.DICT[0]], dispatch[pickle.SETITEM[0]] = load_dict, load_setitem
    dispatch[pickle.SETITEMS[0]], dispatch[pickle.BYTEARRAY8[0]] = load_setitems, load_bytearray8


def read_plain_pickle(content: bytes) -> Any:
    """Return the value of a pickled record: None, booleans, numbers, strings, bytes, arrays of numbers, lists, dicts.

    Args:
        content: the record, in any protocol of `pickle`.
    Raises:
        PlainPickleError: it holds anything else, is broken, larger than `LARGEST`, nested deeper than `DEEPEST`, or has
            more items than `MOST_ITEMS`.
    """
    if len(content) > LARGEST:
        raise PlainPickleError(f"it has {len(content):,} bytes, more than {LARGEST:,}")
    try:
        made = _PlainUnpickler(io.BytesIO(content)).load()
    except PlainPickleError:
        raise
    except KeyError as error:  # of `dispatch`, or of a value that the record never stored
        raise PlainPickleError(f"its instruction {error} is not one of plain data, or it is broken") from error
    except BROKEN as error:
        raise PlainPickleError(f"it is broken ({type(error).__name__}: {str(error)[:80]})") from error
    return _Plain().convert(made, 0)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Plain:
    """Copies a value without the stand-ins, and counts its items."""

    def __init__(self) -> None:
        self._num_items = 0

    def convert(self, value: Any, depth: int) -> Any:
        """Return the plain value."""
        if depth > DEEPEST:
            raise PlainPickleError(f"it is nested deeper than {DEEPEST} lists and dicts")
        value = value.value if isinstance(value, _Array) and value.value is not None else value
        if isinstance(value, list | tuple | dict | np.ndarray):
            self._num_items += value.size if isinstance(value, np.ndarray) else len(value)
            if self._num_items > MOST_ITEMS:
                raise PlainPickleError(f"it has more than {MOST_ITEMS:,} items")
        if isinstance(value, list | tuple):
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {self.convert(key, depth): self.convert(item, depth + 1) for key, item in value.items()}
        if type(value) is int and value.bit_length() > LONGEST_INT:
            raise PlainPickleError(f"a whole number has more than {LONGEST_INT} bits")
        if type(value) is str and not _is_encodable(value):
            raise PlainPickleError("a string has half of a surrogate pair, which is no text")
        if value is None or type(value) in (bool, int, float, str, bytes, bytearray, np.ndarray):
            return value
        raise PlainPickleError(f"it holds a {type(value).__name__}, which is not plain data")
