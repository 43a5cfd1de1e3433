"""A checked condition, evaluated over whole columns; what concerns texts is done once for each distinct word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlglot import exp

from common.kernel.columns import Mask
from common.rules.event_condition import INSIDE, OWNS, TAG_PREFIX
from common.rules.rule_language import Rule
from province.triggers.matching.truth import EVERYWHERE, Truth, told
from province.triggers.matching.view import Numbers, Value, View, Words

Reading = Callable[[View], Value]
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - by China's clock


class Condition:
    """A rule, ready to be asked of many runs."""

    def __init__(self, rule: Rule) -> None:
        self.text = rule.text
        self.tags = frozenset(name[len(TAG_PREFIX) :] for name in rule.columns if name.startswith(TAG_PREFIX))
        self.offers = frozenset(name for function, name in rule.names if function == OWNS)
        self._truth = _truth(rule.tree)

    def holds(self, view: View) -> Mask:
        """Where it is true: neither false nor NULL."""
        yes = self._truth(view).yes
        return np.broadcast_to(yes, len(view.events)) if yes.ndim == 0 else yes


def _truth(node: exp.Expr) -> Callable[[View], Truth]:
    read = _reading(node)

    def truth(view: View) -> Truth:
        found = read(view)
        if not isinstance(found, Truth):
            raise TypeError(f"{node.sql()} is neither true nor false")
        return found

    return truth


def _reading(node: exp.Expr) -> Reading:
    while type(node) is exp.Paren:
        node = node.this
    return _READINGS[type(node)](node)


def _both(node: exp.Expr) -> Reading:
    parts = [_truth(part) for part in _chain(node)]
    if type(node) is exp.And:
        return lambda view: reduce(Truth.__and__, (part(view) for part in parts))
    return lambda view: reduce(Truth.__or__, (part(view) for part in parts))


def _chain(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a chain of one connective, in order, however many."""
    parts, kind = list[exp.Expr](), type(node)
    while type(node) is kind:
        parts.append(node.expression)
        node = node.this
    return [node, *reversed(parts)]


def _not(node: exp.Expr) -> Reading:
    part = _truth(node.this)
    return lambda view: ~part(view)


_ORDERS: dict[type[exp.Expr], tuple[Any, Any]] = {
    exp.EQ: (np.equal, pc.equal),
    exp.NEQ: (np.not_equal, pc.not_equal),
    exp.LT: (np.less, pc.less),
    exp.LTE: (np.less_equal, pc.less_equal),
    exp.GT: (np.greater, pc.greater),
    exp.GTE: (np.greater_equal, pc.greater_equal),
}


def _comparison(node: exp.Expr) -> Reading:
    left, right, kind = _reading(node.this), _reading(node.expression), type(node)
    return lambda view: _compared(kind, left(view), right(view))


def _compared(kind: type[exp.Expr], left: Value, right: Value) -> Truth:
    of_numbers, of_words = _ORDERS[kind]
    if isinstance(left, Numbers) and isinstance(right, Numbers):
        return told(of_numbers(left.values, right.values), left.known & right.known)
    if isinstance(left, Truth) and isinstance(right, Truth):
        same = left.same(right)
        return same if kind is exp.EQ else ~same
    if not isinstance(left, Words) or not isinstance(right, Words):
        raise TypeError("these do not compare")
    if right.refs is None:
        return _by_word(left, of_words(left.words, right.words[0]))
    if left.refs is None:
        return _by_word(right, of_words(left.words[0], right.words))
    one, other = _ranked(left.words, right.words)
    values = of_numbers(one.values[left.refs], other.values[right.refs])
    return told(values, one.known[left.refs] & other.known[right.refs])


def _by_word(words: Words, verdicts: pa.BooleanArray) -> Truth:
    """Rows get the verdict on their word; NULL stays NULL."""
    yes, no = _mask(pc.fill_null(verdicts, False)), _mask(pc.invert(pc.fill_null(verdicts, True)))
    return Truth(yes[0], no[0]) if words.refs is None else Truth(yes[words.refs], no[words.refs])


def _mask(verdicts: pa.BooleanArray) -> Mask:
    mask: Mask = verdicts.to_numpy(zero_copy_only=False)
    return mask


def _ranked(left: pa.StringArray, right: pa.StringArray) -> tuple[Numbers, Numbers]:
    """Numbers that order as the words of both do."""
    both = pa.concat_arrays([left, right])
    distinct = pc.unique(both.drop_null())
    order = pc.take(distinct, pc.sort_indices(distinct))
    ranks = pc.fill_null(pc.index_in(both, value_set=order), 0).to_numpy().astype(np.int64)
    known = _mask(pc.is_valid(both))
    return Numbers(ranks[: len(left)], known[: len(left)]), Numbers(ranks[len(left) :], known[len(left) :])


def _between(node: exp.Expr) -> Reading:
    value, low, high = (_reading(node.args[part]) for part in ("this", "low", "high"))

    def between(view: View) -> Truth:
        found = value(view)
        return _compared(exp.GTE, found, low(view)) & _compared(exp.LTE, found, high(view))

    return between


def _membership(node: exp.Expr) -> Reading:
    value, items = _reading(node.this), [_reading(item) for item in node.expressions]

    def among(view: View) -> Truth:
        found = value(view)
        return _among(found, [item(view) for item in items])

    return among


def _among(value: Value, items: Sequence[Value]) -> Truth:
    if isinstance(value, Words):
        members = pa.concat_arrays([item.words for item in items if isinstance(item, Words)])
        verdicts = pc.if_else(pc.is_valid(value.words), pc.is_in(value.words, value_set=members), None)
        return _by_word(value, verdicts)
    return reduce(Truth.__or__, (_compared(exp.EQ, value, item) for item in items))


def _is_null(node: exp.Expr) -> Reading:
    value = _reading(node.this)
    return lambda view: _absent(value(view))


def _absent(value: Value) -> Truth:
    if isinstance(value, Words):
        return _by_word(value, pc.is_null(value.words))
    known = value.known if isinstance(value, Numbers) else value.yes | value.no
    return Truth(~known, known)


def _pattern(node: exp.Expr) -> Reading:
    value, pattern = _reading(node.this), str(node.expression.this)
    match = pc.match_like if type(node) is exp.Like else pc.match_substring_regex

    def matches(view: View) -> Truth:
        words = _words(value(view))
        return _by_word(words, match(words.words, pattern))

    return matches


def _words(value: Value) -> Words:
    if not isinstance(value, Words):
        raise TypeError("this is no text")
    return value


def _numbers(value: Value) -> Numbers:
    if not isinstance(value, Numbers):
        raise TypeError("this is no number")
    return value


_TRANSFORMS: dict[type[exp.Expr], Callable[[pa.StringArray], pa.StringArray]] = {
    exp.Lower: pc.utf8_lower,
    exp.Upper: pc.utf8_upper,
}


def _transformed(node: exp.Expr) -> Reading:
    value, transform = _reading(node.this), _TRANSFORMS[type(node)]

    def transformed(view: View) -> Words:
        words = _words(value(view))
        return Words(transform(words.words), words.refs)

    return transformed


def _length(node: exp.Expr) -> Reading:
    value = _reading(node.this)

    def length(view: View) -> Numbers:
        words = _words(value(view))
        lengths = pc.fill_null(pc.utf8_length(words.words), 0).to_numpy().astype(np.int64)
        known = _mask(pc.is_valid(words.words))
        rows: Any = 0 if words.refs is None else words.refs
        return Numbers(lengths[rows], known[rows])

    return length


def _column(node: exp.Expr) -> Reading:
    name = str(node.this.this)
    return lambda view: view.column(name)


def _named(node: exp.Expr) -> Reading:
    name, function = str(node.expressions[0].this), str(node.this)
    if function == INSIDE:
        return lambda view: view.inside(name)
    if function == OWNS:
        return lambda view: view.owns(name)
    return lambda view: view.visits(name)


def _literal(node: exp.Expr) -> Reading:
    value: Value = (
        Words(pa.array([str(node.this)]), None) if node.is_string else Numbers(np.array(int(node.this)), EVERYWHERE)
    )
    return lambda _view: value


def _boolean(node: exp.Expr) -> Reading:
    truth = Truth(EVERYWHERE, ~EVERYWHERE) if node.this else Truth(~EVERYWHERE, EVERYWHERE)
    return lambda _view: truth


def _cast(node: exp.Expr) -> Reading:
    """A number made a double, or a point in time written out; checking lets nothing else be cast."""
    if node.args["to"].this is not exp.DType.DOUBLE:
        moment = datetime.fromisoformat(node.this.this) - EPOCH
        micros = Numbers(np.array((moment.days * 86_400 + moment.seconds) * 10**6 + moment.microseconds), EVERYWHERE)
        return lambda _view: micros
    if isinstance(node.this, exp.Literal) and node.this.is_string:
        number = Numbers(np.array(float(node.this.this)), EVERYWHERE)
        return lambda _view: number
    value = _reading(node.this)

    def double(view: View) -> Numbers:
        numbers = _numbers(value(view))
        return Numbers(numbers.values.astype(np.float64), numbers.known)

    return double


_SUMS: dict[type[exp.Expr], Callable[[Any, Any], NDArray[np.float64]]] = {
    exp.Add: np.add,
    exp.Sub: np.subtract,
    exp.Mul: np.multiply,
    exp.Div: np.divide,
    exp.Mod: np.fmod,
}


def _sum(node: exp.Expr) -> Reading:
    left, right, combine = _reading(node.this), _reading(node.expression), _SUMS[type(node)]

    def total(view: View) -> Numbers:
        one, other = _numbers(left(view)), _numbers(right(view))
        with np.errstate(all="ignore"):
            return Numbers(combine(one.values, other.values), one.known & other.known)

    return total


def _not_zero(node: exp.Expr) -> Reading:
    value = _reading(node.this)

    def not_zero(view: View) -> Numbers:
        numbers = _numbers(value(view))
        return Numbers(numbers.values, numbers.known & (numbers.values != 0))

    return not_zero


def _single(node: exp.Expr) -> Reading:
    value, change = _reading(node.this), np.negative if type(node) is exp.Neg else np.abs

    def single(view: View) -> Numbers:
        numbers = _numbers(value(view))
        return Numbers(change(numbers.values), numbers.known)

    return single


def _coalesce(node: exp.Expr) -> Reading:
    parts = [_reading(part) for part in (node.this, *node.expressions)]
    return lambda view: reduce(_otherwise, (part(view) for part in parts))


def _otherwise(one: Value, other: Value) -> Value:
    if isinstance(one, Truth) and isinstance(other, Truth):
        return one.otherwise(other)
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return Numbers(np.where(one.known, one.values, other.values), one.known | other.known)
    left, right = _words(one), _words(other)
    valid = _mask(pc.is_valid(left.words))
    if left.refs is None:
        return left if valid[0] else right
    elsewhere: Any = np.uint32(0) if right.refs is None else right.refs
    refs = np.where(valid[left.refs], left.refs, elsewhere + np.uint32(len(left.words)))
    return Words(pa.concat_arrays([left.words, right.words]), refs.astype(np.uint32))


_READINGS: dict[type[exp.Expr], Callable[[exp.Expr], Reading]] = {
    exp.And: _both,
    exp.Or: _both,
    exp.Not: _not,
    exp.Between: _between,
    exp.In: _membership,
    exp.Is: _is_null,
    exp.Like: _pattern,
    exp.RegexpLike: _pattern,
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Cast: _cast,
    exp.Neg: _single,
    exp.Abs: _single,
    exp.Nullif: _not_zero,
    exp.Coalesce: _coalesce,
    exp.Anonymous: _named,
    exp.Length: _length,
    **dict.fromkeys(_ORDERS, _comparison),
    **dict.fromkeys(_SUMS, _sum),
    **dict.fromkeys(_TRANSFORMS, _transformed),
}
