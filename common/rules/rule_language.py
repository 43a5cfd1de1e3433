"""The rule language: a boolean SQL expression over catalogued columns, checked node by node and typed.

Only what this file names is let through; the engines get a tree rebuilt from checked parts, never the text typed.
NULL means what it means in SQL. Arithmetic is on doubles, and dividing by zero gives NULL.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NoReturn, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from common.kernel.refusal import invalid
from common.kernel.tag import Tag, TagType

RULE_CHARS_MAX = 2048
RULE_DEPTH_MAX = 16
"""Operators, and apart from them brackets, one inside another; a chain of ANDs or of ORs counts once."""
IN_LIST_MAX = 1000
INTEGER_DIGITS_MAX = 18
PATTERN_CHARS_MAX = 256
MATCHES = "matches"


class Columns(Protocol):
    """What a rule may read."""

    def find(self, name: str) -> Tag | None: ...

    def unknown(self, name: str) -> str:
        """What to say of a name that `find` does not find, with the remedy."""
        ...


@dataclass(frozen=True, slots=True)
class Language:
    """What rules over one thing may say beyond rules over people."""

    reason: str
    """Of refusals."""
    names: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """Functions of one name, such as inside('airport'), and the names there are; None: any will do."""
    patterns: bool = False
    """matches(text, 'regular expression'), which no engine but RE2 may run."""
    qualified: bool = False
    """A column may be called tag.plan, which is looked up so."""


PEOPLE = Language("CAMPAIGN_INVALID")


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule. `columns` are those it reads, spelt as in the catalogue."""

    text: str
    columns: tuple[str, ...]
    tree: exp.Expr = field(compare=False, repr=False)
    names: tuple[tuple[str, str], ...] = ()
    """What its functions name: ("inside", "airport")."""
    _rendered: dict[str, str] = field(default_factory=dict, init=False, compare=False, repr=False)
    """By dialect: rendering takes longer than looking one person up."""

    def sql(self, dialect: str = "duckdb") -> str:
        """The checked expression for an engine, every name quoted."""
        if dialect not in self._rendered:
            self._rendered[dialect] = self.tree.sql(dialect=dialect, identify=True, comments=False)
        return self._rendered[dialect]


def check_rule(text: str, columns: Columns, language: Language = PEOPLE) -> Rule:
    """Raises Refusal with the place in `text` and the remedy; metadata "line" and "column" from 1."""
    try:
        return _checked(text, columns, language)
    except _WrongError as wrong:
        place = f"rule, line {wrong.line} column {wrong.column}"
        where = {"line": str(wrong.line), "column": str(wrong.column)}
        raise invalid(f"{place}: {wrong.problem}", language.reason, **where) from None


def _checked(text: str, columns: Columns, language: Language) -> Rule:
    _check_tokens(text)
    checker = _Checker(text, columns, language)
    rule = checker.check(_parse(text), 0)
    if rule.type is not TagType.BOOLEAN:
        _refuse(text, 0, f"the rule gives {_A[rule.type]}, not true or false; compare it, such as … >= 1")
    return Rule(text, tuple(checker.columns), rule.tree, tuple(checker.names))


def parts(rule: Rule) -> list[Rule]:
    """The conditions that the rule says must hold together, each as a rule whose text is written plainly."""
    found = list(_operands(rule.tree, exp.And))
    return [Rule(_plain(part), (), part) for part in found]


def _plain(tree: exp.Expr) -> str:
    """As an operator would write it: without what checking put in for the engines' sake."""
    shown = tree.copy()
    for cast in list(shown.find_all(exp.Cast)):
        if cast.to.this is exp.DType.DOUBLE:
            inner = cast.this
            cast.replace(exp.Literal.number(inner.this) if isinstance(inner, exp.Literal) else inner)
    for bracket in list(shown.find_all(exp.Paren)):
        if bracket.parent is not None and isinstance(bracket.this, _ATOMS):
            bracket.replace(bracket.this)
    for name in shown.find_all(exp.Identifier):
        name.set("quoted", not str(name.this).isidentifier())
    return str(shown.unnest().sql(dialect="duckdb", comments=False))


_ATOMS = (exp.Column, exp.Literal, exp.Boolean, exp.Neg, exp.Paren, exp.Lower, exp.Upper, exp.Length, exp.Abs)


def everyone() -> Rule:
    return Rule("TRUE", (), exp.true())


@dataclass(frozen=True, slots=True)
class _Typed:
    tree: exp.Expr
    type: TagType
    what: str
    """How to speak of it in a refusal."""


_NUMERIC = (TagType.INTEGER, TagType.NUMBER)
_TIMES = (TagType.DATE, TagType.TIMESTAMP)
_A = {
    TagType.INTEGER: "a number",
    TagType.NUMBER: "a number",
    TagType.BOOLEAN: "true or false",
    TagType.DATE: "a date",
    TagType.TIMESTAMP: "a timestamp",
    TagType.TEXT: "text",
}
_WRITE = {
    TagType.INTEGER: "write a number without quotes, such as 12",
    TagType.NUMBER: "write a number without quotes, such as 12.5",
    TagType.BOOLEAN: "write TRUE or FALSE",
    TagType.DATE: "write DATE '2026-01-31'",
    TagType.TIMESTAMP: "write TIMESTAMP '2026-01-31 08:00:00'",
    TagType.TEXT: "write text in single quotes, such as 'gold'",
}
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_TEXT_FUNCTIONS: dict[type[exp.Expr], TagType] = {
    exp.Lower: TagType.TEXT,
    exp.Upper: TagType.TEXT,
    exp.Length: TagType.INTEGER,
}
_GRAMMAR = (
    "a rule may use AND, OR, NOT, = <> < <= > >=, BETWEEN, IN (…), LIKE, IS NULL, + - * / %, "
    "lower, upper, length, abs, coalesce, DATE '…' and TIMESTAMP '…'"
)
_VALUES = (TokenType.STRING, TokenType.IDENTIFIER, TokenType.NUMBER)
_WORD = re.compile(r"\w[\w ]*")
_SIGNS = frozenset({"(", ")", ",", ".", "=", "==", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"})
_NO_TEXT = pa.array([""], pa.string())
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class _WrongError(Exception):
    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column


def _refuse(text: str, offset: int, problem: str) -> NoReturn:
    before = text[:offset]
    raise _WrongError(problem, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def _check_tokens(text: str) -> None:
    if not text.strip():
        _refuse(text, 0, "the rule is empty; write a condition, or TRUE for everyone")
    if len(text) > RULE_CHARS_MAX:
        _refuse(text, RULE_CHARS_MAX, f"the rule is longer than {RULE_CHARS_MAX} characters; shorten it")
    try:
        tokens = sqlglot.tokenize(text, dialect="duckdb")
    except SqlglotError:
        _refuse(text, 0, "a quote is not closed; close it (a quote inside text is written twice: 'it''s')")
    if not tokens:
        _refuse(text, 0, "the rule holds only a comment; write a condition")
    for token in tokens:
        if token.comments:
            _refuse(text, token.start, "comments are not allowed; remove the comment at or after this place")
        if token.token_type is TokenType.SEMICOLON:
            _refuse(text, token.start, "one rule is one expression; remove the semicolon")
        if token.token_type not in _VALUES and not _WORD.fullmatch(token.text) and token.text not in _SIGNS:
            _refuse(text, token.start, f"{token.text} is not allowed; {_GRAMMAR}")
    _check_brackets(text, [token for token in tokens if token.token_type in (TokenType.L_PAREN, TokenType.R_PAREN)])


def _check_brackets(text: str, brackets: list[Token]) -> None:
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket.token_type is TokenType.L_PAREN else -1
        if depth < 0:
            _refuse(text, bracket.start, "this bracket was never opened; remove it or open it")
        if depth > RULE_DEPTH_MAX:
            _refuse(text, bracket.start, f"brackets nest deeper than {RULE_DEPTH_MAX}; simplify the rule")


def _parse(text: str) -> exp.Expr:
    # In brackets a leading word such as COMMENT or SHOW is a tag's name, not the start of a statement.
    try:
        return sqlglot.parse_one(f"({text}\n)", dialect="duckdb").unnest()
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        _refuse(text, _error_offset(text, place), f"not understood near {place.get('highlight')!r}; {_GRAMMAR}")
    except RecursionError:
        _refuse(text, 0, f"the rule nests deeper than {RULE_DEPTH_MAX}; simplify it")
    except (SqlglotError, AttributeError, TypeError, ValueError, LookupError):
        # The parser itself may stumble: it did over "{:}".
        _refuse(text, 0, f"not understood; {_GRAMMAR}")


def _error_offset(text: str, place: dict[str, str]) -> int:
    lines = text.split("\n")
    line = min(int(place.get("line") or 1), len(lines))
    word = str(place.get("highlight") or "")
    column = int(place.get("col") or 1) - max(len(word), 1) - (line == 1)
    return min(len(text), sum(len(one) + 1 for one in lines[: line - 1]) + max(column, 0))


class _Checker:
    def __init__(self, text: str, known: Columns, language: Language) -> None:
        self.text = text
        self.known = known
        self.language = language
        self.columns: dict[str, None] = {}
        self.names: dict[tuple[str, str], None] = {}
        self.rules: dict[type[exp.Expr], Callable[[exp.Expr, int], _Typed]] = {
            exp.And: self.chain,
            exp.Or: self.chain,
            exp.Not: self.negation,
            exp.Between: self.between,
            exp.In: self.membership,
            exp.Is: self.is_null,
            exp.Like: self.like,
            exp.Column: self.column,
            exp.Literal: self.literal,
            exp.Boolean: self.boolean,
            exp.Cast: self.time_literal,
            exp.Neg: self.minus,
            exp.Abs: self.absolute,
            exp.Coalesce: self.coalesce,
            exp.Anonymous: self.function,
            **dict.fromkeys(_COMPARISONS, self.comparison),
            **dict.fromkeys(_ARITHMETIC, self.arithmetic),
            **dict.fromkeys(_TEXT_FUNCTIONS, self.text_function),
        }

    def check(self, node: exp.Expr | None, depth: int) -> _Typed:
        while type(node) is exp.Paren:
            node = node.this
        if node is None:
            _refuse(self.text, 0, f"a part of an expression is missing; {_GRAMMAR}")
        if depth > RULE_DEPTH_MAX:
            self.refuse(node, f"the rule nests deeper than {RULE_DEPTH_MAX}; simplify it")
        rule = self.rules.get(type(node))
        if rule is None:
            self.refuse(node, f"{_called(node)} is not allowed; {_GRAMMAR}")
        return rule(node, depth + 1)

    def refuse(self, node: exp.Expr, problem: str) -> NoReturn:
        places = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        _refuse(self.text, max(0, min(places, default=1) - 1), problem)

    def only(self, node: exp.Expr, *allowed: str) -> None:
        """Refuse every part of `node` beyond those named: whatever a parser may add is not let through unseen."""
        extra = [name for name, value in node.args.items() if value and name not in allowed]
        if extra:
            self.refuse(node, f"{_called(node)} with {extra[0].replace('_', ' ')} is not allowed; {_GRAMMAR}")

    def boolean_part(self, node: exp.Expr, depth: int) -> exp.Expr:
        part = self.check(node, depth)
        if part.type is not TagType.BOOLEAN:
            self.refuse(node, f"{part.what} is {_A[part.type]}, not true or false; compare it, such as … >= 1")
        return exp.paren(part.tree, copy=False)

    def number_part(self, node: exp.Expr, depth: int) -> exp.Expr:
        part = self.check(node, depth)
        if part.type not in _NUMERIC:
            self.refuse(node, f"{part.what} is {_A[part.type]}; arithmetic takes numbers only")
        return exp.cast(exp.paren(part.tree, copy=False), "double", copy=False)

    def same(self, node: exp.Expr, one: _Typed, other: _Typed) -> None:
        families = [_NUMERIC if t in _NUMERIC else _TIMES if t in _TIMES else t for t in (one.type, other.type)]
        if families[0] != families[1]:
            self.refuse(
                node,
                f"{one.what} is {_A[one.type]} and {other.what} is {_A[other.type]}; {_WRITE[one.type]}",
            )

    def chain(self, node: exp.Expr, depth: int) -> _Typed:
        kind = type(node)
        parts = [self.boolean_part(part, depth) for part in _operands(node, kind)]
        tree = parts[0]
        for part in parts[1:]:
            tree = kind(this=tree, expression=part)
        return _Typed(tree, TagType.BOOLEAN, "the condition")

    def negation(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this")
        return _Typed(exp.Not(this=self.boolean_part(node.this, depth)), TagType.BOOLEAN, "the condition")

    def comparison(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expression")
        if isinstance(node.expression, exp.Null) or isinstance(node.this, exp.Null):
            self.refuse(node, "a comparison with NULL is never true; write IS NULL or IS NOT NULL")
        left, right = self.check(node.this, depth), self.check(node.expression, depth)
        # The column's type decides the remedy, on whichever side it stands.
        self.same(node, *((right, left) if isinstance(node.this, exp.Literal) else (left, right)))
        if left.type is TagType.BOOLEAN and type(node) not in (exp.EQ, exp.NEQ):
            self.refuse(node, f"{left.what} is true or false and has no order; use = or <>")
        tree = type(node)(this=exp.paren(left.tree, copy=False), expression=exp.paren(right.tree, copy=False))
        return _Typed(tree, TagType.BOOLEAN, "the comparison")

    def between(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "low", "high")
        value, low, high = (self.check(node.args[part], depth) for part in ("this", "low", "high"))
        self.same(node, value, low)
        self.same(node, value, high)
        if value.type is TagType.BOOLEAN:
            self.refuse(node, f"{value.what} is true or false and has no order; use = or <>")
        tree = exp.Between(
            this=exp.paren(value.tree, copy=False),
            low=exp.paren(low.tree, copy=False),
            high=exp.paren(high.tree, copy=False),
        )
        return _Typed(tree, TagType.BOOLEAN, "the condition")

    def membership(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expressions")
        if not node.expressions:
            self.refuse(node, "IN takes a list in brackets, such as plan IN ('gold', 'silver')")
        if len(node.expressions) > IN_LIST_MAX:
            self.refuse(node, f"an IN list holds at most {IN_LIST_MAX} values; import the list as a tag instead")
        value = self.check(node.this, depth)
        items = []
        for item in node.expressions:
            if type(item.this if type(item) is exp.Neg else item) not in (exp.Literal, exp.Cast, exp.Boolean):
                self.refuse(item, "an IN list holds plain values only; use OR for anything else")
            typed = self.check(item, depth)
            self.same(item, value, typed)
            items.append(typed.tree)
        tree = exp.In(this=exp.paren(value.tree, copy=False), expressions=items)
        return _Typed(tree, TagType.BOOLEAN, "the condition")

    def is_null(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expression")
        if type(node.expression) is not exp.Null:
            self.refuse(node, "IS takes NULL or NOT NULL; use = for anything else")
        value = self.check(node.this, depth)
        return _Typed(exp.Is(this=exp.paren(value.tree, copy=False), expression=exp.null()), TagType.BOOLEAN, "IS NULL")

    def like(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expression", "negate")
        value, pattern = self.check(node.this, depth), node.expression
        if value.type is not TagType.TEXT:
            self.refuse(node, f"{value.what} is {_A[value.type]}; LIKE takes text")
        if type(pattern) is not exp.Literal or not pattern.is_string or "\\" in pattern.this:
            self.refuse(node, "LIKE takes a pattern in single quotes with % and _ and without backslashes")
        tree: exp.Expr = exp.Like(this=exp.paren(value.tree, copy=False), expression=exp.Literal.string(pattern.this))
        if node.args.get("negate"):
            tree = exp.Not(this=exp.paren(tree, copy=False))
        return _Typed(tree, TagType.BOOLEAN, "the condition")

    def column(self, node: exp.Expr, _depth: int) -> _Typed:
        self.only(node, "this", *(("table",) if self.language.qualified else ()))
        identifier, table = node.this, node.args.get("table")
        if type(identifier) is not exp.Identifier:
            self.refuse(node, f"{_called(identifier)} is not allowed; {_GRAMMAR}")
        name = f"{table.this}.{identifier.this}" if table else str(identifier.this)
        tag = self.known.find(name)
        if tag is None:
            quoted = "; text is written in single quotes" if identifier.args.get("quoted") else ""
            self.refuse(node, f"{self.known.unknown(name)}{quoted}")
        self.columns[tag.name] = None
        return _Typed(exp.column(exp.to_identifier(tag.name, quoted=True)), tag.type, tag.name)

    def function(self, node: exp.Expr, depth: int) -> _Typed:
        name = str(node.this).lower()
        if name == MATCHES and self.language.patterns:
            return self.matches(node, depth)
        if name not in self.language.names:
            self.refuse(node, f"{_called(node)} is not allowed; {_GRAMMAR}")
        self.only(node, "this", "expressions")
        there = self.language.names[name]
        if [type(each) for each in node.expressions] != [exp.Literal] or not node.expressions[0].is_string:
            self.refuse(
                node, f"{name} takes one name in single quotes, such as {name}('{min(there or (), default='…')}')"
            )
        wanted = str(node.expressions[0].this)
        if there is not None and wanted not in there:
            near = difflib.get_close_matches(wanted, there, 3, 0.5) or sorted(there)[:5]
            self.refuse(node, f"{name} knows no '{wanted}'; there is {', '.join(near) or 'none'}")
        self.names[name, wanted] = None
        tree = exp.Anonymous(this=name, expressions=[exp.Literal.string(wanted)])
        return _Typed(tree, TagType.BOOLEAN, f"{name}(…)")

    def matches(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expressions")
        if len(node.expressions) != 2:
            self.refuse(node, "matches takes a text and a pattern, such as matches(host, '^v[0-9]+[.]')")
        value, pattern = self.check(node.expressions[0], depth), node.expressions[1]
        if value.type is not TagType.TEXT:
            self.refuse(node, f"{value.what} is {_A[value.type]}; matches takes text")
        if type(pattern) is not exp.Literal or not pattern.is_string:
            self.refuse(node, "matches takes its pattern in single quotes")
        if len(pattern.this) > PATTERN_CHARS_MAX:
            self.refuse(node, f"the pattern is longer than {PATTERN_CHARS_MAX} characters; shorten it")
        try:
            pc.match_substring_regex(_NO_TEXT, pattern.this)
        except pa.ArrowInvalid as error:
            why = str(error).removeprefix("Invalid regular expression: ")
            self.refuse(node, f"the pattern is none: {why}; look-around and back-references are not supported")
        tree = exp.RegexpLike(this=exp.paren(value.tree, copy=False), expression=exp.Literal.string(pattern.this))
        return _Typed(tree, TagType.BOOLEAN, "matches(…)")

    def literal(self, node: exp.Expr, _depth: int) -> _Typed:
        if node.is_string:
            return _Typed(exp.Literal.string(node.this), TagType.TEXT, f"'{node.this}'")
        number = str(node.this)
        if number.isascii() and number.isdigit() and len(number) <= INTEGER_DIGITS_MAX:
            return _Typed(exp.Literal.number(number), TagType.INTEGER, number)
        if not _NUMBER.fullmatch(number) or number.isdigit() or not math.isfinite(float(number)):
            self.refuse(node, f"{number} is no number within range; integers have at most {INTEGER_DIGITS_MAX} digits")
        # As text, so that no engine makes a decimal of it first.
        return _Typed(exp.cast(exp.Literal.string(number), "double", copy=False), TagType.NUMBER, number)

    def boolean(self, node: exp.Expr, _depth: int) -> _Typed:
        return _Typed(exp.Boolean(this=bool(node.this)), TagType.BOOLEAN, str(bool(node.this)).upper())

    def time_literal(self, node: exp.Expr, _depth: int) -> _Typed:
        self.only(node, "this", "to")
        kind_of = node.args["to"]
        kinds = {exp.DType.DATE: (TagType.DATE, date), exp.DType.TIMESTAMPNTZ: (TagType.TIMESTAMP, datetime)}
        kind = kinds.get(kind_of.this)
        if kind is None or kind_of.expressions or type(node.this) is not exp.Literal or not node.this.is_string:
            self.refuse(node, f"a cast is not allowed; {_GRAMMAR}")
        try:
            moment = kind[1].fromisoformat(node.this.this)
        except ValueError:
            self.refuse(node, f"'{node.this.this}' is not {_A[kind[0]]}; {_WRITE[kind[0]]}")
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            self.refuse(node, f"a timestamp has no zone here; {_WRITE[TagType.TIMESTAMP]}")
        iso = moment.isoformat(" ") if isinstance(moment, datetime) else moment.isoformat()
        return _Typed(exp.cast(exp.Literal.string(iso), kind_of.this, copy=False), kind[0], f"'{iso}'")

    def minus(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this")
        if type(node.this) is exp.Literal and not node.this.is_string:
            number = self.literal(node.this, depth)
            return _Typed(exp.Neg(this=number.tree), number.type, f"-{number.what}")
        return _Typed(exp.Neg(this=self.number_part(node.this, depth)), TagType.NUMBER, "the sum")

    def absolute(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this")
        return _Typed(exp.Abs(this=self.number_part(node.this, depth)), TagType.NUMBER, "abs(…)")

    def arithmetic(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expression")
        left, right = self.number_part(node.this, depth), self.number_part(node.expression, depth)
        if isinstance(node, exp.Div | exp.Mod):
            # Engines differ on a zero divisor: infinity, NULL or an error that ends the query.
            right = exp.Nullif(this=right, expression=exp.Literal.number("0"))
        typed = {"typed": False, "safe": False} if isinstance(node, exp.Div) else {}
        return _Typed(exp.paren(type(node)(this=left, expression=right, **typed)), TagType.NUMBER, "the sum")

    def text_function(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this")
        value = self.check(node.this, depth)
        if value.type is not TagType.TEXT:
            self.refuse(node, f"{value.what} is {_A[value.type]}; {_called(node)} takes text")
        return _Typed(type(node)(this=value.tree), _TEXT_FUNCTIONS[type(node)], f"{_called(node)}(…)")

    def coalesce(self, node: exp.Expr, depth: int) -> _Typed:
        self.only(node, "this", "expressions")
        parts = [self.check(part, depth) for part in (node.this, *node.expressions)]
        for part in parts[1:]:
            self.same(node, parts[0], part)
        types = {part.type for part in parts}
        widest = next((t for t in (TagType.TIMESTAMP, TagType.NUMBER) if t in types), parts[0].type)
        tree = exp.Coalesce(this=parts[0].tree, expressions=[part.tree for part in parts[1:]])
        return _Typed(tree, widest, "coalesce(…)")


def _operands(node: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """The parts of a chain of one connective, in order, however many; no recursion."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        while type(part) is exp.Paren:
            part = part.this
        if type(part) is kind:
            waiting += [part.expression, part.this]
        else:
            yield part


def _called(node: exp.Expr) -> str:
    if isinstance(node, exp.Alias):
        return "a second word without an operator before it"
    if isinstance(node, exp.Func):
        return str(node.name if isinstance(node, exp.Anonymous) else node.sql_name()).lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower()
