"""What explains one subscriber, on one screen, in Chinese or English."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from common.kernel.channel import CHANNELS
from common.kernel.marketing_state import MarketingState
from common.kernel.province import PROVINCES
from common.kernel.reasons import MARKETING_STATES, TASK_REASONS
from common.kernel.task import TaskReason
from common.kernel.work_order import HQ_NODE
from deploy.why_words import OUTCOMES, RULES, word

Document = dict[str, Any]

ZONE = ZoneInfo("Asia/Shanghai")
GOOD, BAD, FAINT = "green", "bold red", "dim"
CONTACTED = ("submitted", "delivered", "unknown")
SPENDERS_MAX = 3
"""How many contacts of a cap are named."""
TEXT_CHARS_MAX = 60
MOMENT_MIN = 1_000_000_000
"""A fact is a moment, or else a mark or a place in a list."""


def show(document: Document, language: str, asked: str, console: Console) -> None:
    """Print it; `asked` is how the operator named the person, for the command shown next."""
    console.print(*_Page(document, language, asked).lines(), sep="\n")


class _Page:
    def __init__(self, document: Document, language: str, asked: str) -> None:
        self._document = document
        self._language = language
        self._asked = asked

    def lines(self) -> Iterator[RenderableType]:
        campaigns = self._document["campaigns"]
        yield Rule(Text(self._title(), style="bold"))
        if len(campaigns) == 1:
            yield from self._campaign(campaigns[0])
        elif campaigns:
            yield self._table(campaigns)
        else:
            yield Text(self._said("nothing"), style=FAINT)
        yield from self._apart()
        if self._document["left_out"]:
            yield Text(f"+ {self._document['left_out']:,} {self._said('left_out')}", style=FAINT)
        yield Text(f"{self._said('next')}: {self._next(campaigns)}", style="cyan")

    def _title(self) -> str:
        document = self._document
        parts = [f"{self._said('why')} · {self._said('subscriber')} {document['subscriber']}"]
        if document["known"]:
            parts.append(self._node(document["province"]) + ("" if document["active"] else f" {self._said('left')}"))
        else:
            parts.append(self._said("unknown_subscriber"))
        if document["at"] != document["now"]:
            parts.append(f"{self._said('as_known')} {moment(document['at'])}")
        return " · ".join([*parts, self._said("zone")])

    def _next(self, campaigns: list[Document]) -> str:
        if len(campaigns) != 1:
            name = campaigns[0]["campaign"] if campaigns else "CAMPAIGN"
            return f"liandong why {self._asked} --campaign {name}"
        name = campaigns[0]["campaign"]
        decided = [each for wave in campaigns[0]["waves"] for each in wave["decisions"]]
        return f"liandong replay --campaign {name}" if decided else f"liandong campaign status {name}"

    def _table(self, campaigns: list[Document]) -> Table:
        table = Table(box=None, pad_edge=False, header_style=FAINT)
        for name in ("campaign", "wave", "outcome", "when", "would_change"):
            table.add_column(self._said(name), overflow="fold")
        for each in campaigns:
            begun = [wave for wave in each["waves"] if wave["outcome"] != "planned"]
            last = begun[-1] if begun else None
            table.add_row(
                each["campaign"],
                f"{last['wave']} {last['name']}" if last else "",
                Text(self._outcome(each), style=_style(each["outcome"])),
                moment(_latest(last)) if last else "",
                self._change(each["would_change"]),
            )
        return table

    def _campaign(self, told: Document) -> Iterator[RenderableType]:
        yield Text(f"{_mark(told['outcome'])} {told['title'][self._language]} ({told['campaign']}): "
                   f"{self._outcome(told)}", style=_style(told["outcome"]))  # fmt: skip
        if told["audience"]:
            yield from self._audience(told["audience"])
        if told["outcome"] != "not_in_snapshot":
            for wave in told["waves"]:
                yield from self._wave(wave)
        for order in told["orders"]:
            yield self._order(order)
        change = self._change(told["would_change"])
        if change:
            yield Text.assemble((f"{self._said('would_change')}  ", "bold"), (change, "yellow"))

    def _outcome(self, told: Document) -> str:
        reason = told["reason"]
        said = OUTCOMES[told["outcome"]].said(self._language)
        return f"{said}: {TASK_REASONS[TaskReason[reason]].said(self._language)}" if reason else said

    def _audience(self, audience: Document) -> Iterator[RenderableType]:
        held = f"{self._said('held_out')} {audience['holdout_share']:.0%}: {self._yes(audience['held_out'])}"
        yield self._line("audience", f"{self._said('snapshot')} {audience['snapshot']} · {held}")
        values = " · ".join(f"{name} = {_value(value)}" for name, value in audience["columns"].items())
        for each in audience["conditions"] if audience["in_snapshot"] else []:
            yield _indented(_ticked(each["holds"], each["condition"]))
        if values:
            yield _indented(Text(values, style=FAINT))

    def _wave(self, wave: Document) -> Iterator[RenderableType]:
        name = "selected_at" if wave["selected_at"] else "due_at"
        when = f"{self._said(name)} {moment(wave['selected_at'] or wave['select_at'])}"
        yield self._line("wave", f"{wave['wave']} {wave['name']} · {when}")
        if wave["chosen"]:
            yield _indented(self._chosen(wave["chosen"]))
        if wave["task"] is None:
            if wave["outcome"] != "planned":
                yield _indented(self._channels(wave["channels"]))
            return
        yield _indented(self._channels(wave["channels"]))
        yield from self._task(wave)

    def _task(self, wave: Document) -> Iterator[RenderableType]:
        task = wave["task"]
        where = f"{self._channel(task['channel'])} {self._node(task['node'])}"
        number = f"{task['work_order']} #{task['task']:,} · {self._said('priority')} {task['priority']}"
        yield _indented(Text(f"{self._said('task')} {where} · {number}"))
        for decision in wave["decisions"]:
            yield from self._decision(decision)
        undecided = all(each["stage"] != "claim" for each in wave["decisions"])
        if undecided and task["node"] != HQ_NODE and task["state"] == "open":
            yield _indented(Text(self._said("not_told"), style=FAINT), 4)
        yield from (_indented(each) for each in self._waiting(wave))
        if task["submitted_at"]:
            yield _indented(self._contact(task))

    def _chosen(self, chosen: Document) -> Text:
        was = self._state(chosen["was"]) if chosen["was"] else self._said("no_state")
        takes = ", ".join(map(self._state, chosen["takes"]))
        return _ticked(chosen["holds"], f"{self._said('took_state')}: {was} · {self._said('takes_states')}: {takes}")

    def _channels(self, channels: list[Document]) -> Text:
        said = Text(f"{self._said('channels')} ")
        for place, each in enumerate(channels):
            rule = f" ({each['when']})" if each["when"] else ""
            said.append(" · " if place else "")
            said.append_text(_ticked(each["takes"], f"{self._channel(each['channel'])}{rule}"))
        return said

    def _decision(self, decision: Document) -> Iterator[RenderableType]:
        where = "" if decision["stage"] == "issue" else f", {self._node(decision['node'])}"
        by = f"{self._said(decision['stage'])}{where}, {self._said('policy')} {decision['policy']}"
        yield _indented(Text(f"{moment(decision['at'])} {by}"), 2)
        if not decision["rules"]:
            yield _indented(Text(self._said("policy_missing"), style=BAD), 4)
        passed = [rule for rule in decision["rules"] if not rule["forbids"]]
        for rule in decision["rules"]:
            if rule["forbids"]:
                yield _indented(_ticked(False, self._rule(rule)), 4)
        if decision["rival"]:
            yield _indented(Text(f"{self._said('lost_to')} {decision['rival']}", style="yellow"), 6)
        if passed:
            told = " · ".join(self._rule(rule) for rule in passed)
            yield _indented(_ticked(True, told), 4)

    def _rule(self, rule: Document) -> str:
        words = TASK_REASONS[TaskReason[rule["rule"]]] if rule["forbids"] else RULES[rule["rule"]]
        said = words.said(self._language)
        if "caps" in rule:
            caps = [self._cap(cap, named=rule["forbids"]) for cap in rule["caps"]]
            return f"{said} {'; '.join(caps)}" if caps else said
        dated = [moment(value) for value in rule["facts"].values() if value >= MOMENT_MIN]
        until = f", {self._said('until')} {moment(rule['until'])}" if rule["until"] else ""
        return f"{said} {', '.join(dated)}{until}" if dated else said

    def _cap(self, cap: Document, *, named: bool) -> str:
        scope = cap["value"] or self._said("all")
        told = f"{cap['spent']}/{cap['own']} ({scope}, {span(cap['window_seconds'])})"
        if not (named and cap["used_up"] and cap["by"]):
            return told
        by = [f"{each['work_order']} {self._spent(each)}" for each in cap["by"][-SPENDERS_MAX:]]
        more = f" +{len(cap['by']) - len(by)}" if len(cap["by"]) > len(by) else ""
        return f"{told}: {', '.join(by)}{more}"

    def _spent(self, spender: Document) -> str:
        return ("" if spender["sent"] else f"{self._said('may_be_sent')} ") + moment(spender["at"])

    def _waiting(self, wave: Document) -> Iterator[Text]:
        for each in wave["awaits"]:
            until = f" ({moment(each['until'])})" if each["until"] else ""
            yield Text(f"{self._said('awaits')} {self._said(each['for'])}{until}", style="yellow")
        against = [self._rule(rule) for rule in wave["foreseen"] if rule["forbids"]]
        if against:
            yield Text(f"{self._said('foreseen')}: {' · '.join(against)}", style="yellow")

    def _contact(self, task: Document) -> Text:
        parts = [f"{self._said('sent')} {moment(task['submitted_at'])}"]
        if task["settled_at"]:
            parts.append(
                f"{self._said('receipt')} {moment(task['settled_at'])} {OUTCOMES[task['state']].said(self._language)}"
            )
        if task["response"] != "none":
            parts.append(f"{self._said('reply')} {self._state(task['response'])}")
        text = task["text"] if len(task["text"]) <= TEXT_CHARS_MAX else task["text"][:TEXT_CHARS_MAX] + "…"
        return Text(" · ".join([*parts, f"{self._said('text')} {text}"]), style=GOOD)

    def _order(self, order: Document) -> Text:
        to = f"{self._said('credited_to')} {order['credited_to']}" if order["credited_to"] else self._said("organic")
        money = f"¥{order['amount_fen'] / 100:,.2f}"
        named = f"{order['source_system']} {order['order_number']} {order['standing']}"
        return self._line("orders", f"{moment(order['accepted_at'])} · {named} · {money} · {to}")

    def _apart(self) -> Iterator[RenderableType]:
        for each in self._document["apart"]:
            task = each["task"]
            told = f"{task['work_order']} · {OUTCOMES[task['state']].said(self._language)}"
            yield self._line("apart", told)
            for decision in each["decisions"]:
                yield from self._decision(decision)

    def _change(self, change: Document | None) -> str:
        if not change:
            return ""
        if "conditions" in change:
            return " · ".join(change["conditions"])
        if "draw" in change:
            return self._said("draw")
        if "state" in change:
            return f"{self._said('state')} {', '.join(map(self._state, change['state']))}"
        if "channels" in change:
            return f"{self._said('channel_rule')} {', '.join(map(self._channel, change['channels']))}"
        rules = " + ".join(RULES[name].said(self._language) for name in change["rules"])
        return f"{rules} · {self._said('from_then')} {moment(change['from'])}" if change["from"] else rules

    def _line(self, name: str, told: str) -> Text:
        return Text.assemble((f"{self._said(name)}  ", "bold"), told)

    def _said(self, name: str) -> str:
        return word(name, self._language)

    def _yes(self, holds: bool) -> str:
        return self._said("yes" if holds else "no")

    def _state(self, name: str) -> str:
        known = MarketingState.__members__.get(name.upper())
        return MARKETING_STATES[known].said(self._language) if known is not None else name

    def _channel(self, name: str) -> str:
        channel = CHANNELS.get(name)
        return name if channel is None else channel.title_zh if self._language == "zh" else channel.title_en

    def _node(self, node: str) -> str:
        home = PROVINCES.get(int(node)) if node.isdigit() else None
        if home is None:
            return "HQ" if node == HQ_NODE and self._language == "en" else "总部" if node == HQ_NODE else node
        return f"{node} {home.name_zh if self._language == 'zh' else home.name_en}"


def _mark(outcome: str) -> str:
    return "✓" if outcome in CONTACTED else "✗" if outcome not in ("planned", "open", "being_issued") else "…"


def _style(outcome: str) -> str:
    return GOOD if outcome in CONTACTED else "yellow" if outcome in ("planned", "open", "being_issued") else BAD


def _ticked(holds: bool, told: str) -> Text:
    return Text.assemble(("✓ ", GOOD) if holds else ("✗ ", BAD), (told, FAINT if holds else ""))


def _indented(told: RenderableType, by: int = 2) -> Padding:
    return Padding(told, (0, 0, 0, by))


def _latest(wave: Document) -> int:
    """When what became of the person in the wave was last decided."""
    task = wave["task"]
    return int(max(task["settled_at"], task["submitted_at"], task["issued_at"]) if task else wave["selected_at"])


def _value(value: Any) -> str:
    return "–" if value is None else str(value)


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, ZONE).strftime("%Y-%m-%d %H:%M:%S") if seconds else "–"


def span(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    parts = [(days, "d"), (hours, "h"), (rest, "s")]
    return " ".join(f"{count}{unit}" for count, unit in parts if count)
