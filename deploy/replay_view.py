"""What a replay of history told, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.kernel.dead_letter import DeadReason
from common.kernel.reasons import DEAD_REASONS
from common.kernel.trigger_rule import ZONE_SECONDS, Offer, Stays
from deploy.trigger_words import fate_words, form_words, period_words
from deploy.words import word
from province.triggers.prospects import CONTACT
from province.triggers.replay import IN, LATE, Replayed

DAYS_SHOWN = 31
NOT_JUDGED = ("other_contacts", "capacity", "as_known_now")
LASTING = "lasting"
_CHINA = timezone(timedelta(seconds=ZONE_SECONDS))


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    source: str
    dry_run: bool
    replayed: Replayed
    against: Sequence[str]
    """Aligned with the fires: CONTACT, or the reason against it."""
    handed_over: Mapping[str, int]

    @property
    def not_judged(self) -> tuple[str, ...]:
        return NOT_JUDGED + ((LASTING,) if isinstance(self.replayed.rule.form, Stays) else ())


def document(told: Told, people: int) -> dict[str, Any]:
    rule, firing = told.replayed.rule, told.replayed.firing
    return {
        "rule": rule.name,
        "version": rule.version,
        "paused": rule.paused,
        "source": told.source,
        "dry_run": told.dry_run,
        "events": dict(told.replayed.counts),
        "dead_by_reason": dict(told.replayed.dead),
        "fires": len(firing),
        "people": len(set(firing.keys.tolist())),
        "contacts": sum(why == CONTACT for why in told.against),
        "dropped": dict(_dropped(told)),
        "days": [{"day": day, "fires": fires, "contacts": contacts} for day, fires, contacts in _days(told)],
        "first": [{"subscriber": str(key), "at": at, "dropped": why or None} for key, at, why in _first(told, people)],
        "handed_over": dict(told.handed_over),
        "not_judged": {name: word(f"replay_{name}", "en") for name in told.not_judged},
    }


def show(told: Told, people: int, lang: str, console: Console) -> None:
    rule, offer = told.replayed.rule, told.replayed.rule.offer
    console.print(Text(f"{rule.name}  {form_words(rule.form, lang)}  {period_words(rule, lang)}", style="bold"))
    console.print(f"{_offer(offer)}  {told.source}")
    console.print(_events(told.replayed, lang))
    if told.replayed.counts.get(LATE, 0):
        console.print(Text(f"  {word('replay_was_late', lang)}", style="yellow"))
    console.print(_outcome(told, lang))
    console.print(_by_day(told, lang))
    for key, at, why in _first(told, people):
        console.print(f"  {key}  {at}  {fate_words(why, lang) if why else word('replay_contact', lang)}")
    for name in told.not_judged:
        console.print(Text(f"  {word('replay_not_judged', lang)} {word(f'replay_{name}', lang)}", style="dim"))
    said = "; ".join(f"{fate_words(fate, lang)} {count:,}" for fate, count in told.handed_over.items()) or "0"
    console.print(f"{word('replay_would_hand' if told.dry_run else 'replay_handed', lang)} {said}")


def _offer(offer: Offer) -> str:
    return f"{offer.offer} {', '.join(offer.channels)}"


def _events(replayed: Replayed, lang: str) -> str:
    counts = replayed.counts
    names = ("matched", "not_matched", "dead", "late")
    parts = " + ".join(f"{word(f'replay_{name}', lang)} {counts.get(name, 0):,}" for name in names)
    told = f"{word('replay_in', lang)} {counts.get(IN, 0):,} = {parts}"
    for name in ("duplicates", "missed"):
        if counts.get(name, 0):
            told += f"; {word(f'replay_{name}', lang)} {counts[name]:,}"
    reasons = [f"{DEAD_REASONS[DeadReason[name]].said(lang)} {times:,}" for name, times in replayed.dead.items()]
    return told + (f"\n  {word('dead_letters', lang)}: {'; '.join(reasons)}" if reasons else "")


def _outcome(told: Told, lang: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(justify="right")
    firing = told.replayed.firing
    table.add_row(f"{len(firing):,}", f"{word('fires', lang)} ({len(set(firing.keys.tolist())):,} "
                                      f"{word('replay_people', lang)})")  # fmt: skip
    for why, times in _dropped(told):
        table.add_row(f"- {times:,}", fate_words(why, lang))
    contacts = sum(why == CONTACT for why in told.against)
    table.add_row(Text(f"= {contacts:,}", style="bold green"), Text(word("replay_contacts", lang), style="bold green"))
    return table


def _by_day(told: Told, lang: str) -> Table:
    table = Table(word("replay_day", lang), word("fires", lang), word("replay_contact", lang), box=None)
    days = list(_days(told))
    for day, fires, contacts in days[:DAYS_SHOWN]:
        table.add_row(day, f"{fires:,}", f"{contacts:,}")
    if len(days) > DAYS_SHOWN:
        table.add_row("…", f"{sum(fires for _, fires, _ in days[DAYS_SHOWN:]):,}",
                      f"{sum(contacts for *_, contacts in days[DAYS_SHOWN:]):,}")  # fmt: skip
    return table


def _dropped(told: Told) -> list[tuple[str, int]]:
    return Counter(why for why in told.against if why != CONTACT).most_common()


def _days(told: Told) -> Iterator[tuple[str, int, int]]:
    """By China's clock."""
    days = [_moment(at).strftime("%Y-%m-%d") for at in told.replayed.firing.event_at.tolist()]
    fires = Counter(days)
    contacts = Counter(day for day, why in zip(days, told.against, strict=True) if why == CONTACT)
    for day in sorted(fires):
        yield day, fires[day], contacts[day]


def _first(told: Told, people: int) -> Iterator[tuple[int, str, str]]:
    firing = told.replayed.firing
    for key, at, why in zip(firing.keys[:people].tolist(), firing.event_at[:people].tolist(), told.against,
                            strict=False):  # fmt: skip
        yield key, _moment(at).isoformat(timespec="seconds"), why


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, _CHINA)
