"""What the demo says, in Chinese and English."""

from __future__ import annotations

SAYINGS: dict[str, dict[str, str]] = {
    "laid_out": {
        "en": "certificates, settings and people are laid out in {directory}",
        "zh": "证书、配置和用户数据已就绪：{directory}",
    },
    "imported": {
        "en": "{people} subscribers imported at HQ, {first} at 广西 45, {second} at 河北 13",
        "zh": "总部导入 {people} 位用户，广西 45 导入 {first}，河北 13 导入 {second}",
    },
    "note": {"en": "note: {text}", "zh": "说明：{text}"},
    "customers": {
        "en": "{people} customers read, {rejected} lines rejected; numbers and provinces are invented for the demo",
        "zh": "读入 {people} 位客户，拒收 {rejected} 行；号码和省份为演示虚构",
    },
    "started": {
        "en": "{processes} processes run: HQ, two provinces, three vendor and three BSS simulators, mTLS between them",
        "zh": "{processes} 个进程已运行：总部、两省、渠道商与 BSS 仿真各三个，互相以 mTLS 通信",
    },
    "approved": {
        "en": "campaign approved: {target} people in the audience, {held_out} of them held out",
        "zh": "活动已审批：目标客户 {target} 人，其中对照组 {held_out} 人",
    },
    "wave_done": {"en": "wave {number} is settled", "zh": "第 {number} 波已完成"},
    "day": {"en": "day {day}: {orders} orders taken so far", "zh": "第 {day} 天：累计订购 {orders} 笔"},
    "killed": {"en": "killed province {node} in the middle of its work", "zh": "在执行中强行终止省节点 {node}"},
    "cut": {"en": "cut the link of province {node} for {seconds} s", "zh": "切断省 {node} 的链路 {seconds} 秒"},
    "restored": {"en": "the link of province {node} is back", "zh": "省 {node} 的链路已恢复"},
    "finished": {
        "en": "finished in {seconds} s; processes started again: {restarts}\nnext:",
        "zh": "用时 {seconds} 秒；重启过的进程：{restarts}\n接下来可以：",
    },
    "kept": {"en": "everything is in {directory}", "zh": "全部文件保留在 {directory}"},
}

CHECKS: dict[str, dict[str, str]] = {
    "people_accounted_for": {"en": "every person of the audience is accounted for", "zh": "目标客户人人有去向"},
    "report_closes": {"en": "every sum in the report closes", "zh": "报表各项合计相符"},
    "sums_close": {
        "en": "issued = open + in flight + delivered + suppressed + expired + failed + unknown",
        "zh": "下发 = 待执行 + 在途 + 送达 + 抑制 + 过期 + 失败 + 未知",
    },
    "ledgers_agree": {"en": "HQ and provinces tell the same of every task", "zh": "总部与省对每个任务记录一致"},
    "no_message_twice": {"en": "no vendor took a message twice", "zh": "没有消息被渠道商重复受理"},
    "every_contact_booked": {"en": "every contact was booked before it was sent", "zh": "每次接触均先记账后发送"},
    "every_delivery_real": {"en": "every delivery is in a vendor's journal", "zh": "每次送达均有渠道商日志为证"},
    "contact_cap_holds": {"en": "nobody got two messages in a day from one node", "zh": "同一节点一天内无人收到两次"},
    "held_out_left_alone": {"en": "nobody held out was contacted", "zh": "对照组无人被接触"},
    "stops_honoured": {"en": "nobody was contacted after a stop", "zh": "退订后无人再被接触"},
    "orders_arrived": {"en": "every order record arrived once where it belongs", "zh": "每条订购信息各归其所且仅一次"},
}

NEXT: dict[str, tuple[str, ...]] = {
    "en": (
        "./liandong demo --chaos                # kill a province and cut a link on the way",
        "./liandong demo --keep run/demo        # then look around in the nodes' files",
        "./liandong bench loop                  # how many contacts a second this machine carries",
    ),
    "zh": (
        "./liandong demo --chaos --lang zh      # 途中终止一个省节点并切断一条链路",
        "./liandong demo --keep run/demo        # 保留各节点文件以便查看",
        "./liandong bench loop                  # 本机每秒可完成多少次接触",
    ),
}


def say(name: str, lang: str, **facts: object) -> str:
    return SAYINGS[name][lang].format(**facts)
