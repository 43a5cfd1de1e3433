"""The words of printed reports, Chinese and English. States and reasons have theirs in common/kernel/reasons.py."""

from __future__ import annotations

from common.kernel.reasons import Words

WORDS: dict[str, Words] = {
    "people": Words("目标客户群", "Target audience"),
    "held_out": Words("对照组", "held out"),
    "open": Words("待执行", "open"),
    "in_flight": Words("在途", "in flight"),
    "delivered": Words("已送达", "delivered"),
    "suppressed": Words("已抑制", "suppressed"),
    "expired": Words("已过期", "expired"),
    "failed": Words("失败", "failed"),
    "unknown": Words("结果不明", "unknown"),
    "unreachable": Words("无可用触点", "no channel"),
    "not_yet_waved": Words("未到波次", "not yet waved"),
    "unaccounted": Words("去向不明", "unaccounted for"),
    "states": Words("营销状态", "Marketing states"),
    "hq": Words("总部", "HQ"),
    "closes": Words("分项合计等于目标用户", "the parts add up to the target"),
    "open_sum": Words("分项合计与目标用户不符", "the parts do NOT add up to the target"),
    "place": Words("波次 触点 节点", "wave, channel, node"),
    "issued": Words("下发", "issued"),
    "contacted": Words("已接触", "contacted"),
    "responded": Words("响应", "responded"),
    "ordered": Words("办理", "ordered"),
    "response_rate": Words("响应率", "response"),
    "success_rate": Words("成功率", "success"),
    "total": Words("合计", "all"),
    "orders": Words("订购", "Orders"),
    "attributed": Words("归因于本活动", "attributed"),
    "elsewhere": Words("归因于其他活动", "to other campaigns"),
    "organic": Words("自然订购", "organic"),
    "reversed": Words("已冲正", "reversed"),
    "money": Words("成本与收入", "Money"),
    "cost": Words("成本", "cost"),
    "income": Words("收入", "income"),
    "roi": Words("投入产出比", "ROI"),
    "goal": Words("目标达成", "goal"),
    "effect": Words("活动净效果", "Effect"),
    "contactable": Words("可接触组", "contactable"),
    "difference": Words("订购率差", "difference"),
    "interval": Words("95% 区间", "95 % interval"),
    "lift": Words("提升", "lift"),
    "caused_orders": Words("活动带来的订购", "orders caused"),
    "points": Words("个百分点", "points"),
    "not_stated": Words("不给出效果", "no effect stated"),
    "too_small": Words("每组人数须不少于", "each group must have at least"),
    "sample_ratio": Words("分组比例检验", "sample ratio"),
    "sample_alarm": Words("分组比例异常, 效果不可信", "the split is not as drawn: do not trust the effect"),
    "unknown_line": Words("条结果不明, 计为已接触且不重发", "unknown: counted as contacts, never resent"),
    "work_order": Words("工单", "work order"),
    "task": Words("任务", "task"),
    "reason": Words("原因", "reason"),
    "submitted_at": Words("提交时间", "submitted at"),
    "listed": Words("结果不明, 已列出", "contacts of unknown fate listed:"),
    "no_policy": Words(
        "尚未下发接触策略, 内置默认策略生效", "no policy was applied yet: the built-in default is in force"
    ),
    "policy": Words("接触策略, 版本", "contact policy, version"),
    "policy_in_force": Words("已生效", "in force"),
    "policy_behind": Words("尚未确认新版本", "has not taken the newest over yet"),
    "policy_ahead": Words("版本高于总部, 请在总部重新下发", "newer than HQ's: apply the policy at HQ again"),
    "policy_objection": Words("无法执行, 沿用旧版本:", "cannot apply, keeps the one before:"),
    "checks": Words("项核对全部成立", "checks all hold"),
    "broken_checks": Words("核对不成立", "checks that do not hold"),
}


def word(name: str, language: str) -> str:
    """`language` is "zh" or "en"."""
    return WORDS[name].said(language)
