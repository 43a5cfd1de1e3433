"""A campaign's report on one screen, in Chinese or English."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from common.kernel.channel import CHANNELS
from common.kernel.province import PROVINCES
from common.kernel.reasons import MARKETING_STATES, TASK_REASONS
from common.kernel.task import TaskReason
from common.kernel.work_order import HQ_NODE
from deploy.words import word

Document = dict[str, Any]

PARTS = (
    "held_out", "delivered", "suppressed", "expired", "failed", "unknown", "open", "in_flight", "unreachable",
    "not_yet_waved",
)  # fmt: skip
FATES = ("open", "in_flight", "delivered", "suppressed", "expired", "failed", "unknown")
RATES = {"response_rate": "responded", "success_rate": "ordered"}
"""Of those contacted."""
ANSWERS = ("contacted", "responded", "ordered", *RATES)
WIDTH_MAX = 1_000
GOOD, BAD = "green", "bold red"


def show(document: Document, language: str, console: Console) -> None:
    """Print the report; `language` is "zh" or "en"."""
    console.print(_Page(document, language, console).whole())


def show_unknown(document: Document, language: str, console: Console) -> None:
    """Print the contacts whose fate cannot be known; `language` is "zh" or "en"."""
    listed, count = document["unknown_contacts"], document["total"]["unknown"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("work_order", "task", "reason", "submitted_at"):
        table.add_column(word(name, language), overflow="fold", justify="right" if name == "task" else "left")
    for each in listed:
        reason = TASK_REASONS[TaskReason[each["reason"]]].said(language)
        at = datetime.fromtimestamp(each["submitted_at"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        table.add_row(each["work_order"], str(each["task"]), reason, at)
    if listed:
        console.print(table)
    console.print(Text(f"{word('listed', language)} {len(listed):,}/{count:,}"))


class _Page:
    def __init__(self, document: Document, language: str, console: Console) -> None:
        self._console = console
        self._report = document
        self._language = language

    def whole(self) -> RenderableType:
        title = f"{self._report['title'][self._language]} · {self._report['campaign']}"
        return Group(
            Rule(Text(title, style="bold")),
            self._people(),
            self._sum_line(),
            Padding(self._tasks(), (1, 0)),
            *self._reasons(),
            self._states(),
            self._orders(),
            self._money(),
            self._effect(),
            self._sample_ratio(),
            self._checks(),
        )

    def _said(self, name: str) -> str:
        return word(name, self._language)

    def _people(self) -> RenderableType:
        people = self._report["people"]
        parts = [f"{self._said(part)} {people[part]:,}" for part in PARTS if people[part]]
        return self._line("people", f"{people['target']:,} = {' + '.join(parts) or 0}")

    def _sum_line(self) -> RenderableType:
        people = self._report["people"]
        if people["unaccounted"] == 0:
            return Text(f"✓ {self._said('closes')} · {self._said('unaccounted')} 0", style=GOOD)
        return Text(f"✗ {self._said('open_sum')} · {self._said('unaccounted')} {people['unaccounted']:,}", style=BAD)

    def _tasks(self) -> RenderableType:
        """One table, or two where the console is too narrow for one."""
        fates = [fate for fate in FATES if self._report["total"][fate]]
        whole = self._table(["issued", *fates, *ANSWERS])
        wide = self._console.options.update(max_width=WIDTH_MAX)
        if self._console.measure(whole, options=wide).maximum <= self._console.width:
            return whole
        return Group(self._table(["issued", *fates]), Text(), self._table([*ANSWERS]))

    def _table(self, columns: list[str]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        totals = _cells(self._report["total"], columns)
        table.add_column(self._said("place"), no_wrap=True)
        for name, total in zip(columns, totals, strict=True):
            # Headers fold; a number cut off would lie.
            table.add_column(self._said(name), justify="right", overflow="fold", min_width=len(total))
        for (wave, channel, node), row in self._by_node().items():
            table.add_row(f"{wave} {self._channel(channel)} {self._node(node)}", *_cells(row, columns))
        table.add_row(self._said("total"), *totals, style="bold")
        return table

    def _by_node(self) -> dict[tuple[int, str, str], Counter[str]]:
        """The report's rows with the provinces of one node put together."""
        found: dict[tuple[int, str, str], Counter[str]] = {}
        for row in self._report["rows"]:
            place = (row["wave"], row["channel"], row["node"])
            counts = {name: row[name] for name in ("issued", *FATES, *ANSWERS) if name not in RATES}
            found.setdefault(place, Counter()).update(counts)
        return found

    def _reasons(self) -> list[RenderableType]:
        total = self._report["total"]
        lines: list[RenderableType] = []
        for fate in ("suppressed", "expired", "failed", "unknown"):
            told = [
                f"{TASK_REASONS[TaskReason[name]].said(self._language)} {count:,}"
                for name, count in sorted(total[f"{fate}_by"].items(), key=lambda each: -each[1])
            ]
            if told:
                lines.append(self._line(fate, " · ".join(told)))
        if total["unknown"]:
            lines.append(Text(f"{total['unknown']:,} {self._said('unknown_line')}", style="yellow"))
            lines.append(Text(f"  liandong report {self._report['campaign']} --unknown", style="yellow"))
        return lines

    def _states(self) -> RenderableType:
        counts = self._report["marketing_states"]
        told = (
            f"{words.said(self._language)} {counts[state.name.lower()]:,}" for state, words in MARKETING_STATES.items()
        )
        return self._line("states", " · ".join(told))

    def _orders(self) -> RenderableType:
        orders = self._report["orders"]
        parts = [f"{self._said('attributed')} {orders['attributed']:,}"]
        if orders["elsewhere"]:
            parts.append(f"{self._said('elsewhere')} {orders['elsewhere']:,}")
        parts.append(f"{self._said('organic')} {orders['organic']:,}")
        apart = f"  ({self._said('reversed')} {orders['reversed']:,})" if orders["reversed"] else ""
        return self._line("orders", f"{orders['taken']:,} = {' + '.join(parts)}{apart}")

    def _money(self) -> RenderableType:
        total, goal = self._report["total"], self._report["goal"]
        parts = [
            f"{self._said('cost')} {_yuan(total['cost_fen'])}",
            f"{self._said('income')} {_yuan(total['income_fen'])}",
        ]
        if total["roi"] is not None:
            parts.append(f"{self._said('roi')} {total['roi']:,.1f}")
        if goal:
            parts.append(f"{self._said('goal')} {total['ordered']:,}/{goal['orders']:,} ({goal['attainment']:.0%})")
        return self._line("money", " · ".join(parts))

    def _effect(self) -> RenderableType:
        effect = self._report["effect"]
        rates = [
            f"{self._said(name)} {group['rate']:.2%} ({group['ordered']:,}/{group['people']:,})"
            for name, group in (("contactable", effect["contactable"]), ("held_out", effect["held_out"]))
        ]
        if not effect["stated"]:
            why = f"{self._said('not_stated')}: {self._said('too_small')} {effect['least_people']:,}"
            return self._line("effect", f"{why} · {' · '.join(rates)}")
        low, high = 100 * effect["low"], 100 * effect["high"]
        interval = f"({self._said('interval')} {low:+.2f} … {high:+.2f})"
        difference = f"{self._said('difference')} {100 * effect['difference']:+.2f} {self._said('points')}"
        parts = [*rates, f"{difference} {interval}"]
        if effect["lift"] is not None:
            parts.append(f"{self._said('lift')} {effect['lift']:+.0%}")
        parts.append(f"{self._said('caused_orders')} {effect['caused_orders']:,.0f}")
        return self._line("effect", " · ".join(parts))

    def _sample_ratio(self) -> RenderableType:
        ratio = self._report["sample_ratio"]
        told = f"{ratio['held_out']:,} / {ratio['expected']:,.0f} · p = {ratio['p']:.3f}"
        if ratio["alarm"]:
            return Text(f"✗ {self._said('sample_ratio')} {told} · {self._said('sample_alarm')}", style=BAD)
        return self._line("sample_ratio", told)

    def _checks(self) -> RenderableType:
        broken = [name for name, holds in self._report["checks"].items() if not holds]
        if broken:
            return Text(f"✗ {self._said('broken_checks')}: {', '.join(broken)}", style=BAD)
        return Text(f"✓ {len(self._report['checks'])} {self._said('checks')}", style=GOOD)

    def _line(self, name: str, told: str) -> Text:
        return Text.assemble((f"{self._said(name)}  ", "bold"), told)

    def _channel(self, name: str) -> str:
        channel = CHANNELS.get(name)
        return name if channel is None else channel.title_zh if self._language == "zh" else channel.title_en

    def _node(self, node: str) -> str:
        if node == HQ_NODE:
            return self._said("hq")
        home = PROVINCES.get(int(node))
        return node if home is None else f"{node} {home.name_zh if self._language == 'zh' else home.name_en}"


def _cells(row: Mapping[str, int], columns: list[str]) -> list[str]:
    return [_share(row[RATES[name]], row["contacted"]) if name in RATES else f"{row[name]:,}" for name in columns]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _yuan(fen: int) -> str:
    return f"¥{fen / 100:,.2f}"
