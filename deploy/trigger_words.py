"""A trigger rule in words."""

from __future__ import annotations

from common.kernel.reasons import TASK_REASONS, Words
from common.kernel.task import TaskReason
from common.kernel.trigger_rule import Crosses, Each, Form, Period, Stays, Sum, Surge, TriggerRule
from common.runtime.yaml_form import span_of

_PERIODS: dict[Period, Words] = {
    Period.HOUR: Words("每小时一次", "once an hour"),
    Period.DAY: Words("每天一次", "once a day"),
    Period.MONTH: Words("每月一次", "once a month"),
    Period.CYCLE: Words("每账期一次, 起始日 {day}", "once a billing month from day {day}"),
    Period.EVER: Words("仅一次", "once ever"),
}
_EACH = Words("每个事件", "each event")
_SUM = Words("本期{what}累计达到 {limit}", "{what} of the period reach {limit}")
_SURGE = Words("{span}内{what}达到 {limit}", "{what} within {span} reach {limit}")
_ENTERS, _LEAVES = Words("进入 {area}", "enters {area}"), Words("离开 {area}", "leaves {area}")
_INSIDE = Words("在 {area} 内停留 {span}", "stays in {area} for {span}")
_LASTS = Words("持续 {span}, 未遇 {ends}", "lasts {span} without {ends}")
_EVENTS = Words("事件数", "events")
_SHARE = Words("{of} 的 {percent:g} %", "{percent:g} % of {of}")
_FATES: dict[str, Words] = {
    "asked": Words("请求接触", "contact asked for"),
    "late": Words("已过有效期", "too late"),
    "unknown": Words("本节点无此用户", "nobody known here"),
    "inactive": Words("已离网", "no active customer"),
    "paused": Words("规则已暂停", "the rule is paused"),
    "no_channel": Words("本省无可用触点", "none of its channels runs here"),
    "bad_text": Words("内容无法下发", "no text the channel can tell"),
    "superseded": Words("同一用户有更新的触发", "a newer fire of the same person"),
    "known": Words("此前已触发", "fired before"),
    "quiet_hours": Words("免打扰时段内失效", "quiet hours until it is over"),
}


def fate_words(name: str, language: str) -> str:
    """What became of a fire, or why its person was not contacted."""
    found = _FATES.get(name) or TASK_REASONS[TaskReason[name.upper()]]
    return found.said(language)


def period_words(rule: TriggerRule, language: str) -> str:
    return _PERIODS[rule.period].said(language).format(day=rule.cycle_day)


def form_words(form: Form, language: str) -> str:
    match form:
        case Each():
            return _EACH.said(language)
        case Sum():
            return _SUM.said(language).format(what=_what(form.of, language), limit=_limit(form, language))
        case Surge(of, seconds, reaches):
            span = span_of(seconds)
            return _SURGE.said(language).format(what=_what(of, language), span=span, limit=f"{reaches:,.10g}")
        case Crosses(area, inwards):
            return (_ENTERS if inwards else _LEAVES).said(language).format(area=area)
        case Stays(seconds, area, ends):
            words = _LASTS if area is None else _INSIDE
            return words.said(language).format(area=area, span=span_of(seconds), ends=ends)


def _what(field: str | None, language: str) -> str:
    return field or _EVENTS.said(language)


def _limit(form: Sum, language: str) -> str:
    if form.ratio is None:
        return f"{form.reaches:,.10g}"
    return _SHARE.said(language).format(percent=form.ratio * 100, of=form.ratio_of)
