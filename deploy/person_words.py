"""The words of what is printed about one person, Chinese and English."""

from __future__ import annotations

from common.kernel.reasons import Words

WORDS: dict[str, Words] = {
    "nothing": Words("总部没有此人的任何数据", "HQ holds nothing of this person"),
    "erased": Words("个人数据已删除, 时间", "the personal data was erased at"),
    "home": Words("归属省", "home"),
    "active": Words("在网", "active"),
    "left": Words("已离网", "has left"),
    "tags": Words("标签, 快照", "tags, snapshot"),
    "stops": Words("勿扰", "stops"),
    "consents": Words("同意", "consents"),
    "orders": Words("订购", "orders"),
    "contacts": Words("接触", "contacts"),
    "none": Words("无", "none"),
    "lifted": Words("已解除", "lifted"),
    "stands": Words("生效", "stands"),
    "withdrawn": Words("已撤回", "withdrawn"),
    "until": Words("有效至", "until"),
    "more": Words("条未显示, 全部内容:", "more not shown; all of it:"),
    "complete": Words(
        "总部账本含各省上报的全部接触与订购; 归属省在线, 仅缺在途数据",
        "HQ's ledger has every contact and order its provinces reported; the home is connected, so only what is on "
        "its way is missing",
    ),
    "behind": Words(
        "归属省未连接: 此后发生的接触与订购待其重连后补齐",
        "the home is not connected: what happened there since then comes when it is again",
    ),
    "recorded": Words("条已记录, 并已发往各省", "recorded, and on their way to every province"),
    "recorded_here": Words("条已记录, 并将上报总部", "recorded here, and on their way to HQ"),
    "remains": Words("保留: 匿名键与其接触记录", "what stays: the pseudonymous key with its contacts,"),
    "remains_marks": Words("删除标记, 以及黑名单(如有)", "the mark of the erasure, and the blacklist if it was on it"),
    "provinces_told": Words("各省将删除:", "provinces that will erase it:"),
    "waits": Words(
        "正在下发的波次文件仍含其文案, 下发完成后自动删除",
        "the file of a wave still being issued holds their text; it goes by itself once that is done",
    ),
    "next": Words("下一步", "next"),
    "confirm": Words("删除后无法恢复。确定删除", "This cannot be undone. Erase"),
}
SCOPES: dict[str, Words] = {
    "all": Words("全部营销", "all marketing"),
    "refused": Words("拒绝后的冷静期", "said no: cooling"),
    "blacklist": Words("黑名单", "blacklist"),
    "location": Words("位置", "location"),
    "internet": Words("上网行为", "internet use"),
    "message": Words("短信", "messages"),
    "push": Words("推送", "push"),
    "call": Words("外呼", "calls"),
    "email": Words("邮件", "e-mail"),
    "in_person": Words("营业厅", "in person"),
    "in_app": Words("应用内", "in app"),
}
REPLIES: dict[str, Words] = {
    "none": Words("-", "-"),
    "responded": Words("有回复", "answered"),
    "interested": Words("有意向", "interested"),
    "refused": Words("拒绝", "refused"),
    "opted_out": Words("退订", "opted out"),
}


def word(name: str, language: str) -> str:
    """`language` is "zh" or "en"."""
    return WORDS[name].said(language)
