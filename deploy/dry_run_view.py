"""What a wave would do, on one screen, in Chinese or English."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from common.kernel.channel import CHANNELS
from common.kernel.province import PROVINCES
from common.kernel.reasons import TASK_REASONS, Words
from common.kernel.task import TaskReason
from common.kernel.work_order import HQ_NODE
from deploy.why_view import moment, span

Document = dict[str, Any]

GOOD, BAD, FAINT = "green", "bold red", "dim"
BAR_CELLS = 30
PROVINCES_MAX = 8
CONFLICTS_MAX = 5

WORDS: dict[str, Words] = {
    "dry_run": Words("试算", "Dry run"),
    "wave": Words("波次", "wave"),
    "sent_at": Words("执行时间", "as of"),
    "nothing_sent": Words("未写入, 未发送", "nothing was written or sent"),
    "funnel": Words("逐步排除", "From audience to contact"),
    "matched": Words("符合条件", "matched"),
    "held_out": Words("对照组", "held out"),
    "not_chosen": Words("本波次未选中", "not chosen by this wave"),
    "unreachable": Words("无可用触点", "no channel"),
    "contacts": Words("接触", "contacts"),
    "closes": Words("分项合计等于目标", "the parts add up"),
    "open_sum": Words("分项合计与目标不符", "the parts do NOT add up"),
    "load": Words("触点负载", "Load"),
    "channel": Words("触点", "channel"),
    "tasks": Words("任务", "tasks"),
    "room": Words("剩余容量", "places left"),
    "unlimited": Words("不限", "no limit"),
    "takes": Words("发送用时", "takes"),
    "provinces": Words("省份", "Provinces"),
    "more": Words("个", "more"),
    "caps": Words("执行后剩余次数", "Contacts left afterwards"),
    "all": Words("全部营销", "all marketing"),
    "people": Words("人", "people"),
    "left": Words("剩", "left"),
    "conflicts": Words("让位于", "Lost to"),
    "none": Words("无", "nobody"),
    "ahead": Words("同时到期且优先或同级, 未计入", "due by then with no lower priority, and not counted here"),
    "cost": Words("成本", "Cost"),
    "effect": Words("可检出效果", "Detectable effect"),
    "rise": Words("办理率上升至少", "a rise of the order rate by"),
    "points": Words("个百分点", "points"),
    "over_base": Words("基准", "over a base of"),
    "power": Words("把握度", "power"),
    "level": Words("显著性水平", "level"),
    "undetectable": Words("对照组太小, 无法检出任何效果", "the hold-out is too small to show any effect"),
    "waits": Words("总部暂不下发", "HQ issues nothing now"),
    "next": Words("下一步", "next"),
}


def show(document: Document, language: str, subject: str, console: Console) -> None:
    """Print it; `subject` is the file or campaign the operator named."""
    console.print(*_Page(document, language, subject).lines(), sep="\n")


class _Page:
    def __init__(self, document: Document, language: str, subject: str) -> None:
        self._document = document
        self._language = language
        self._subject = subject

    def lines(self) -> Iterator[RenderableType]:
        document = self._document
        title = f"{self._said('dry_run')} · {document['title'][self._language]} ({document['campaign']})"
        wave = f"{self._said('wave')} {document['wave']} {document['name']}"
        yield Rule(Text(f"{title} · {wave}", style="bold"))
        yield Text(f"{self._said('sent_at')} {moment(document['at'])} · {self._said('nothing_sent')}", style=FAINT)
        if document["waits"]:
            yield Text(f"{self._said('waits')}: {document['waits']}", style=BAD)
        yield self._funnel()
        yield self._sum()
        yield self._loads()
        yield from self._provinces()
        yield from self._caps()
        yield self._line("conflicts", self._conflicts())
        if document["ahead"]:
            told = [f"{each['campaign']} {self._said('wave')} {each['wave']}" for each in document["ahead"]]
            yield Text(f"{self._said('ahead')}: {', '.join(told)}", style="yellow")
        yield self._line("cost", f"¥{document['cost_fen'] / 100:,.2f}")
        yield self._line("effect", self._effect())
        yield Text(f"{self._said('next')}: {self._next()}", style="cyan")

    def _funnel(self) -> Table:
        document = self._document
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        steps = [("matched", document["matched"])] + [(each["step"], each["people"]) for each in document["funnel"]]
        for step, people in steps:
            if people or step in ("matched", "contacts"):
                style = GOOD if step == "contacts" else "bold" if step == "matched" else ""
                bar = "█" * round(BAR_CELLS * people / max(1, document["matched"]))
                table.add_row(
                    Text(self._step(step), style=style), Text(f"{people:,}", style=style), Text(bar, style=FAINT)
                )
        return table

    def _step(self, step: str) -> str:
        if step in TaskReason.__members__:
            return TASK_REASONS[TaskReason[step]].said(self._language)
        return self._said(step)

    def _sum(self) -> Text:
        if self._document["closes"]:
            return Text(f"✓ {self._said('closes')}", style=GOOD)
        return Text(f"✗ {self._said('open_sum')}", style=BAD)

    def _loads(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style=FAINT)
        table.add_column(self._said("channel"))
        for name in ("tasks", "contacts", "room", "takes"):
            table.add_column(self._said(name), justify="right")
        for load in self._document["loads"]:
            room = self._said("unlimited") if load["room"] is None else f"{load['room']:,}"
            table.add_row(
                f"{self._channel(load['channel'])} {self._node(load['node'])}",
                f"{load['tasks']:,}",
                f"{load['contacts']:,}",
                Text(room, style=BAD if load["room"] is not None and load["room"] <= load["contacts"] else ""),
                span(load["seconds"]) or "0s",
            )
        return table

    def _provinces(self) -> Iterator[Text]:
        provinces = sorted(self._document["provinces"], key=lambda each: -each["contacts"])
        shown = [f"{self._node(each['province'])} {each['contacts']:,}/{each['tasks']:,}"
                 for each in provinces[:PROVINCES_MAX]]  # fmt: skip
        if len(provinces) > PROVINCES_MAX:
            shown.append(f"+{len(provinces) - PROVINCES_MAX} {self._said('more')}")
        yield self._line("provinces", " · ".join(shown))

    def _caps(self) -> Iterator[Text]:
        for cap in self._document["caps"]:
            scope = cap["value"] or self._said("all")
            left = [f"{self._said('left')} {count}: {people:,}"
                    for count, people in enumerate(cap["people_by_contacts_left"])]  # fmt: skip
            yield self._line("caps", f"{scope} {cap['own']}/{cap['contacts']} {span(cap['window_seconds'])} · "
                             + " · ".join(left))  # fmt: skip

    def _conflicts(self) -> str:
        conflicts = self._document["conflicts"]
        told = [f"{each['campaign']} {each['people']:,} {self._said('people')}" for each in conflicts[:CONFLICTS_MAX]]
        if len(conflicts) > CONFLICTS_MAX:
            told.append(f"+{len(conflicts) - CONFLICTS_MAX} {self._said('more')}")
        return " · ".join(told) or self._said("none")

    def _effect(self) -> str:
        effect = self._document["effect"]
        if effect["detectable"] is None:
            return f"{self._said('undetectable')} ({effect['held_out']:,})"
        rise = f"{self._said('rise')} {100 * effect['detectable']:.2f} {self._said('points')}"
        base = f"{self._said('over_base')} {100 * effect['base_rate']:.2f} %"
        sure = f"{self._said('power')} {effect['power']:.0%}, {self._said('level')} {1 - effect['confidence']:.0%}"
        return f"{rise}, {base} ({sure})"

    def _next(self) -> str:
        name = self._document["campaign"]
        if self._document["state"] == "file":
            return f"liandong campaign apply -f {self._subject}"
        return f"liandong campaign {'approve' if self._document['state'] == 'draft' else 'status'} {name}"

    def _line(self, name: str, told: str) -> Text:
        return Text.assemble((f"{self._said(name)}  ", "bold"), told)

    def _said(self, name: str) -> str:
        return WORDS[name].said(self._language)

    def _channel(self, name: str) -> str:
        channel = CHANNELS[name]
        return channel.title_zh if self._language == "zh" else channel.title_en

    def _node(self, node: str) -> str:
        home = PROVINCES.get(int(node)) if node.isdigit() else None
        if home is None:
            return ("总部" if self._language == "zh" else "HQ") if node == HQ_NODE else node
        return f"{node} {home.name_zh if self._language == 'zh' else home.name_en}"
