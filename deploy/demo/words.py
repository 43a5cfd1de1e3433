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
        "en": "{processes} processes run: HQ, two provinces, a trigger engine, three vendor and three BSS simulators, "
        "mTLS between them",
        "zh": "{processes} 个进程已运行：总部、两省、触发引擎、渠道商与 BSS 仿真各三个，互相以 mTLS 通信",
    },
    "approved": {
        "en": "campaign approved: {target} people in the audience, {held_out} of them held out",
        "zh": "活动已审批：目标客户 {target} 人，其中对照组 {held_out} 人",
    },
    "wave_done": {"en": "wave {number} is settled", "zh": "第 {number} 波已完成"},
    "day": {"en": "day {day}: {orders} orders taken so far", "zh": "第 {day} 天：累计订购 {orders} 笔"},
    "fetched": {
        "en": "Kafka's {jars} jars, {megabytes} MB, were fetched and verified in {seconds} s: {directory}",
        "zh": "已下载并校验 Kafka 的 {jars} 个 jar 文件，{megabytes} MB，用时 {seconds} 秒：{directory}",
    },
    "jars_there": {
        "en": "Kafka's {jars} jars were fetched before and are as listed: {directory}",
        "zh": "Kafka 的 {jars} 个 jar 文件早已就绪，校验和相符：{directory}",
    },
    "broker": {
        "en": "a Kafka broker (KRaft) runs on {address}, {topics} topics made, {seconds} s",
        "zh": "Kafka 服务端（KRaft）已运行于 {address}，建好 {topics} 个主题，用时 {seconds} 秒",
    },
    "scene_events": {
        "en": "广西 45: {events} events of data use through {source}, for the trigger rule that HQ published",
        "zh": "广西 45：{events} 条流量使用事件经 {source} 进入，触发规则由总部下发",
    },
    "scene_contacts": {
        "en": "{fires} people used up 80 % of their data and {contacts} were offered more, {milliseconds} ms after it",
        "zh": "{fires} 人用完八成流量，{contacts} 人收到推荐，自事件起 {milliseconds} 毫秒",
    },
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
    "contact_caps_hold": {"en": "nobody was contacted more often than a cap allows", "zh": "接触频次从未超限"},
    "stops_honoured": {"en": "nobody was contacted after a stop or an order", "zh": "退订或办理后无人再被接触"},
    "only_who_may_be": {
        "en": "consents, hold-outs, quiet hours and validity were respected",
        "zh": "遵守用户同意、对照组、免打扰时段与有效期",
    },
    "one_end_each": {"en": "every task has one end, the same at both levels", "zh": "每个任务只有一个终态且两级一致"},
    "nothing_lost": {"en": "nothing acknowledged was lost, every delivery is real", "zh": "已确认的记录无一丢失"},
    "logs_whole": {"en": "no log has a gap or a repeat", "zh": "日志无缺口无重复"},
    "no_message_twice": {"en": "no vendor took a message twice", "zh": "没有消息被渠道商重复受理"},
    "own_rows_only": {"en": "no province holds another's rows", "zh": "各省只有本省数据"},
    "ledgers_agree": {"en": "HQ and provinces tell the same of every task", "zh": "总部与省对每个任务记录一致"},
    "versions_rise": {"en": "no version ever went back", "zh": "版本从未倒退"},
    "capacity_kept": {"en": "no channel was used past its capacity", "zh": "渠道容量未被突破"},
    "queues_drained": {"en": "every queue is empty, every task ended", "zh": "队列已清空, 任务均已结束"},
    "offered_once": {"en": "who used up their data was offered more, once", "zh": "用完八成流量者及时收到一次推荐"},
    "orders_arrived": {"en": "every order record arrived once where it belongs", "zh": "每条订购信息各归其所且仅一次"},
}

NEXT: dict[str, tuple[str, ...]] = {
    "en": (
        "./liandong demo --chaos                # kill a province and cut a link on the way",
        "./liandong demo --kafka                # fetch and start a Kafka broker; events come through it",
        "./liandong demo --keep run/demo        # then look around in the nodes' files",
        "./liandong bench loop                  # how many contacts a second this machine carries",
    ),
    "zh": (
        "./liandong demo --chaos --lang zh      # 途中终止一个省节点并切断一条链路",
        "./liandong demo --kafka --lang zh      # 下载并启动 Kafka，事件经它进入",
        "./liandong demo --keep run/demo        # 保留各节点文件以便查看",
        "./liandong bench loop                  # 本机每秒可完成多少次接触",
    ),
}


def say(name: str, lang: str, **facts: object) -> str:
    return SAYINGS[name][lang].format(**facts)
