"""What is wrong with a trigger rule that is in form, and the rule it stands for where nothing is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.kernel.area import CELL, POINT, Area, Cells
from common.kernel.channel import CHANNELS
from common.kernel.consent import INTERNET, LOCATION
from common.kernel.event import EventClass, EventSensitivity, Kind
from common.kernel.event_catalogue import BY_NAME
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue
from common.kernel.trigger_rule import Crosses, Each, Form, Offer, Stays, Sum, Surge, TriggerRule
from common.rules.event_condition import INSIDE, TAG_PREFIX, VISITS, check_condition, shared_fields, unknown_field
from common.rules.offer_text import Said, parts_of
from common.rules.trigger_form import FORMS, OfferEntry, RuleEntry, SumEntry, SurgeEntry
from common.runtime.yaml_form import span_of
from common.runtime.yaml_source import Place, Problem, Source

WHEREABOUTS = frozenset({CELL, "lac", "longitude", "latitude", "place", "mcc", "mnc", "visited_province"})
"""Fields that say where somebody is, whatever the type of the event; and so do tags of these names."""
CHINA = "mcc IN ('460', '461')"
ROAMS = {"abroad": f"NOT ({CHINA})", "out_of_province": f"({CHINA} AND visited_province <> tag.province)"}
_PURPOSES = {INSIDE: LOCATION, VISITS: INTERNET}
_NEEDED = {"abroad": ("mcc",), "out_of_province": ("mcc", "visited_province")}


@dataclass(frozen=True, slots=True)
class Known:
    """`areas` and `hosts` are all that are named; `shapes` those areas that are in form."""

    areas: Collection[str]
    shapes: Mapping[str, Area]
    hosts: Collection[str]
    tags: Catalogue


Found = Iterator[tuple[Place, str]]


class CheckedRule:
    """One rule that is in form, and what is wrong with what it says."""

    def __init__(self, source: Source, place: Place, entry: RuleEntry, known: Known) -> None:
        self.source, self.place, self.entry, self.known = source, place, entry, known
        self.types = [BY_NAME[name] for name in entry.when]
        self.fields = shared_fields(self.types)
        self.names: set[tuple[str, str]] = set()
        """What its conditions name, as ("inside", "airport")."""
        self.columns: set[str] = set()

    def problems(self) -> list[Problem]:
        found = self.condition(("where",), self.entry.where)
        if self.entry.stays and self.entry.stays.until:
            found += self.condition(("stays", "until"), self.entry.stays.until)
        told = [*self.shorthands()]
        if not found and not told:
            found += self.condition((), _condition(self.entry))
        told += [*self.one_class(), *self.places(), *self.amounts(), *self.text(), *self.in_time(), *self.purpose()]
        return found + [self.source.problem((*self.place, *inside), what) for inside, what in told]

    def condition(self, inside: Place, text: str) -> list[Problem]:
        try:
            rule = check_condition(text, self.entry.when, self.known.areas, self.known.hosts, self.known.tags)
        except Refusal as refusal:
            line, column = (int(refusal.metadata.get(name, 1)) for name in ("line", "column"))
            place = (*self.place, *inside)
            return [
                self.source.problem_inside(place, line, column, refusal.message)
                if inside
                else self.source.problem(place, refusal.message)
            ]
        self.names.update(rule.names)
        self.columns.update(rule.columns)
        return []

    def shorthands(self) -> Found:
        entry = self.entry
        if entry.roams:
            yield from self.needs(("roams",), _NEEDED[entry.roams])
        if entry.model:
            yield from self.needs(("model",), ("model", "score"))
        stays_in = entry.stays.in_ if entry.stays else None
        for place, area in ((("in",), entry.in_), (("enters",), entry.enters), (("leaves",), entry.leaves),
                            (("stays", "in"), stays_in)):  # fmt: skip
            if area is not None:
                yield from self.named(place, INSIDE, area, "areas", self.known.areas)
        if entry.visits is not None:
            yield from self.named(("visits",), VISITS, entry.visits, "hosts", self.known.hosts)

    def named(self, place: Place, function: str, name: str, key: str, there: Collection[str]) -> Found:
        self.names.add((function, name))
        if name not in there:
            known = ", ".join(sorted(there)[:10]) or "none yet"
            yield place, f"there is no {name!r} among {key}. Add {key}.{name}, or use one of: {known}"

    def one_class(self) -> Found:
        """Each class has a topic of its own, and what is counted is counted in one."""
        classes = sorted({each.event_class for each in self.types})
        form = next((name for name in FORMS if getattr(self.entry, name) is not None), None)
        if form and len(classes) > 1:
            yield (
                ("when",),
                f"{form} counts in one class of events, and these are of {' and '.join(classes)}. Split the rule",
            )

    def places(self) -> Found:
        """That events of all types say what areas and lists of hosts look at."""
        for function, name in sorted(self.names):
            if function == VISITS:
                yield from self.needs(("when",), ("host",))
            elif function == INSIDE and name in self.known.shapes:
                yield from self.needs(("when",), (CELL,) if isinstance(self.known.shapes[name], Cells) else POINT)

    def needs(self, place: Place, fields: Sequence[str]) -> Found:
        lacking = [name for name in fields if name not in self.fields]
        if lacking:
            yield place, f"{unknown_field(lacking[0], self.types)}. It is what this looks at"

    def amounts(self) -> Found:
        if self.entry.adds_up:
            yield from self.amount(("adds_up",), self.entry.adds_up)
            share, of = self.entry.adds_up.to.unit == "%", self.entry.adds_up.of
            if share and of is None:
                yield ("adds_up", "to"), "a share is of a field. Add `of`, such as of: allowance_bytes"
            elif of is not None and not share:
                yield ("adds_up", "of"), "only a share is of a field. Write `to` as 80%, or delete `of`"
            elif of is not None:
                yield from self.numeric(("adds_up", "of"), of)
        if self.entry.surges:
            yield from self.amount(("surges",), self.entry.surges)
            if self.entry.surges.to.unit == "%":
                yield ("surges", "to"), "a surge reaches an amount. Write a number, or 5GB"

    def amount(self, place: Place, entry: SumEntry | SurgeEntry) -> Found:
        if entry.field is not None:
            yield from self.numeric((*place, "field"), entry.field)
        unit = self.fields[entry.field].unit if entry.field in self.fields else ""
        if entry.to.unit == "bytes" and unit != "bytes":
            yield (*place, "to"), f"{entry.field or 'a count'} is not in bytes. Write a plain number"

    def numeric(self, place: Place, name: str) -> Found:
        if name not in self.fields:
            yield place, unknown_field(name, self.types)
        elif self.fields[name].kind not in (Kind.INT, Kind.NUMBER):
            yield place, f"{name} is {self.fields[name].kind}, which does not add up. Use a field that is a number"

    def text(self) -> Found:
        place: Place = ("offer", "text")
        try:
            said = parts_of(self.entry.offer.text)
        except ValueError as error:
            yield place, str(error)
            return
        for part in said:
            if isinstance(part, Said):
                yield from ((place, what) for what in self.said(part))
        chars = sum(len(part) for part in said if isinstance(part, str))
        for channel in self.entry.offer.channels:
            if chars > CHANNELS[channel].text_chars_max:
                yield place, f"the text has {chars} characters; {channel} takes {CHANNELS[channel].text_chars_max}"

    def said(self, part: Said) -> Iterator[str]:
        known = self.fields.get(part.field)
        if self.entry.stays:
            yield f"{{{part.field}}}: what has lasted is told by no single event. Leave fields out of this text"
        elif known is None:
            yield unknown_field(part.field, self.types)
        elif known.kind is Kind.FLAG:
            yield f"{part.field} is true or false, which does not read well. Leave it out"
        elif not known.required and part.otherwise is None:
            yield f"{part.field} may be absent. Say what to write then: {{{part.field}|words}}"

    def in_time(self) -> Found:
        lateness = self.entry.lateness
        if self.entry.stays and self.entry.offer.valid_for <= lateness:
            known = f"what has lasted is known {span_of(lateness)} later, when the offer is over"
            yield ("offer", "valid_for"), f"{known}. Make it longer, or lateness shorter"

    def purpose(self) -> Found:
        needed = self.needed()
        written = self.entry.offer.purpose
        if len(needed) > 1:
            yield (
                ("when",),
                f"it needs consent to {' and to '.join(sorted(needed))}, and an offer has one purpose. Split the rule",
            )
        elif needed and written is not None and written not in needed:
            yield ("offer", "purpose"), f"these events need consent to {min(needed)}. Write it, or delete purpose"

    def needed(self) -> set[str]:
        """What consents the rule needs for what it looks at."""
        sensitive = [each for each in self.types if each.sensitivity is EventSensitivity.SENSITIVE]
        classes = {LOCATION if each.event_class is EventClass.LOCATION else INTERNET for each in sensitive}
        tags = {tag for column in self.columns if (tag := column.removeprefix(TAG_PREFIX)) != column}
        if (self.columns | tags) & WHEREABOUTS:
            classes.add(LOCATION)
        classes |= {tag.purpose for tag in self.known.tags if tag.name in tags and tag.purpose}
        return classes | {_PURPOSES[function] for function, _ in self.names if function in _PURPOSES}

    def rule(self, version: int) -> TriggerRule:
        """Once `problems` has found none. Whoever left the purpose out gets the one the events need."""
        entry = self.entry
        return TriggerRule(
            name=entry.name,
            version=version,
            scene=entry.scene,
            events=entry.when,
            condition=_condition(entry),
            form=_form(entry),
            period=entry.once_a[0],
            cycle_day=entry.once_a[1],
            lateness_seconds=entry.lateness,
            offer=_offer(entry.offer, min(self.needed(), default="")),
            paused=entry.paused,
        )


def _offer(entry: OfferEntry, purpose: str) -> Offer:
    return Offer(
        offer=entry.offer,
        product_line=entry.product_line,
        channels=entry.channels,
        text=entry.text,
        priority=entry.priority,
        purpose=purpose or entry.purpose or "",
        valid_seconds=entry.valid_for,
        delay_seconds=entry.delay,
        ask_hq=entry.ask_hq,
    )


def _condition(entry: RuleEntry) -> str:
    """All that the rule asks of an event, in the rule language."""
    parts = [f"({entry.where})"] if entry.where.strip() else []
    if entry.in_ is not None:
        parts.append(_named(INSIDE, entry.in_))
    if entry.visits is not None:
        parts.append(_named(VISITS, entry.visits))
    if entry.roams is not None:
        parts.append(ROAMS[entry.roams])
    if entry.model is not None:
        parts.append(f"model = '{entry.model.name}' AND score >= {entry.model.at_least!r}")
    return entry.where.strip() if parts == [f"({entry.where})"] else " AND ".join(parts)


def _named(function: str, name: str) -> str:
    quoted = name.replace("'", "''")
    return f"{function}('{quoted}')"


def _form(entry: RuleEntry) -> Form:
    if entry.adds_up:
        to = entry.adds_up.to
        share = to.unit == "%"
        return Sum(entry.adds_up.field, None if share else to.value, to.value if share else None, entry.adds_up.of)
    if entry.surges:
        return Surge(entry.surges.field, entry.surges.within, entry.surges.to.value)
    if entry.stays:
        return Stays(entry.stays.for_, entry.stays.in_, entry.stays.until)
    if entry.enters is not None or entry.leaves is not None:
        return Crosses(entry.enters or entry.leaves or "", inwards=entry.enters is not None)
    return Each()
