"""The one catalogue of words for states and reasons, Chinese and English; errors also say what to do."""

from __future__ import annotations

from typing import NamedTuple

from common.kernel.dead_letter import DeadReason
from common.kernel.marketing_state import MarketingState
from common.kernel.task import TaskReason, TaskState


class Words(NamedTuple):
    zh: str
    en: str

    def said(self, language: str) -> str:
        """`language` is "zh" or "en"."""
        return self.zh if language == "zh" else self.en


class Remedy(NamedTuple):
    what: Words
    to_do: Words


TASK_STATES: dict[TaskState, Words] = {
    TaskState.OPEN: Words("待执行", "open"),
    TaskState.SUBMITTING: Words("提交中", "submitting"),
    TaskState.SUBMITTED: Words("已提交", "submitted"),
    TaskState.DELIVERED: Words("已送达", "delivered"),
    TaskState.SUPPRESSED: Words("已抑制", "suppressed"),
    TaskState.EXPIRED: Words("已过期", "expired"),
    TaskState.FAILED: Words("失败", "failed"),
    TaskState.UNKNOWN: Words("结果不明", "unknown"),
}

TASK_REASONS: dict[TaskReason, Words] = {
    TaskReason.NONE: Words("无", "none"),
    TaskReason.STOPPED: Words("用户已退订营销", "opted out of marketing"),
    TaskReason.ORDERED: Words("已办理该产品", "already ordered the offer"),
    TaskReason.CONTACT_CAP: Words("超过接触频次上限", "contact cap reached"),
    TaskReason.CANCELLED: Words("工单已取消", "work order cancelled"),
    TaskReason.INACTIVE: Words("已离网或号码易主", "left, or the number changed hands"),
    TaskReason.NO_NUMBER: Words("本节点无该用户号码", "no number at this node"),
    TaskReason.OUTRANKED: Words("让位于同时的更优先请求", "a request ahead of it took the last contact"),
    TaskReason.CAPACITY: Words("渠道容量已满", "no capacity left on the channel"),
    TaskReason.NO_CONSENT: Words("缺少用户同意", "no valid consent"),
    TaskReason.COOLING: Words("拒绝或办理后的冷静期", "resting after a refusal or an order"),
    TaskReason.BLACKLISTED: Words("在黑名单中", "on the blacklist"),
    TaskReason.ERASED: Words("个人数据已删除", "personal data erased"),
    TaskReason.VENDOR_REFUSED: Words("渠道拒收", "refused by the vendor"),
    TaskReason.UNDELIVERABLE: Words("无法送达", "could not be delivered"),
    TaskReason.NO_RECEIPT: Words("未收到回执", "no receipt in time"),
    TaskReason.NO_ANSWER: Words("渠道未应答", "no answer from the vendor"),
    TaskReason.RESTORED: Words("节点从备份恢复, 可能已发送", "the node came back from a backup and may have sent it"),
    TaskReason.VALIDITY_OVER: Words("提交前有效期已过", "validity ended before submission"),
    TaskReason.VENDOR_EXPIRED: Words("渠道侧有效期已过", "validity ended at the vendor"),
}

MARKETING_STATES: dict[MarketingState, Words] = {
    MarketingState.NOT_CONTACTED: Words("未接触", "not contacted"),
    MarketingState.CONTACTED: Words("已接触", "contacted"),
    MarketingState.NO_RESPONSE: Words("接触未响应", "no response"),
    MarketingState.INTERESTED: Words("有意向", "interested"),
    MarketingState.ORDERED: Words("已办理", "ordered"),
    MarketingState.REFUSED: Words("拒绝", "refused"),
    MarketingState.OPTED_OUT: Words("退订推荐", "opted out"),
}

DEAD_REASONS: dict[DeadReason, Words] = {
    DeadReason.TRUNCATED: Words("记录不完整", "cut off before its end"),
    DeadReason.NOT_JSON: Words("不是合法的 JSON", "not JSON"),
    DeadReason.UNKNOWN_TYPE: Words("目录中没有该事件类型", "its type is not in the catalogue"),
    DeadReason.FIELD_MISSING: Words("缺少必填字段", "a required field is missing"),
    DeadReason.WRONG_TYPE: Words("字段类型不符", "a field is of another type"),
    DeadReason.OUT_OF_RANGE: Words("字段超出范围", "a field is out of range"),
    DeadReason.SUBJECT_INVALID: Words("用户标识无效", "its subject is no subscriber"),
    DeadReason.TIME_INVALID: Words("时间无效", "its time is missing or no time"),
    DeadReason.FAR_FUTURE: Words("时间在未来", "its time is in the future"),
    DeadReason.TOO_LARGE: Words("记录过大", "too large"),
    DeadReason.SCHEMA_MISMATCH: Words("格式与约定不符", "not of the form agreed"),
    DeadReason.UNKNOWN_SUBSCRIBER: Words("本节点无此用户", "a subscriber this node does not know"),
    DeadReason.NOT_CLOUDEVENT: Words("不是 CloudEvents 1.0", "not CloudEvents 1.0"),
    DeadReason.ID_INVALID: Words("事件编号无效", "its id or source is missing or too long"),
}

ERROR_REASONS: dict[str, Remedy] = {
    "SEQUENCE_GAP": Remedy(
        Words("日志序号有缺口", "the log entry skips numbers"),
        Words("从期望的序号重发", "resend from the number expected"),
    ),
    "SESSION_FENCED": Remedy(
        Words("会话已被另一实例接管", "another instance holds the session"),
        Words("重新建立会话, 或停止本实例", "open a new session, or stop this instance"),
    ),
    "REVISION_UNSUPPORTED": Remedy(
        Words("没有共同的接口版本", "no contract revision in common"),
        Words("升级版本较旧的节点", "upgrade the older node"),
    ),
    "SESSION_HELD": Remedy(
        Words("该节点已有在线实例", "a live instance holds this node's session"),
        Words("停止在线实例, 或以接管方式建立会话", "stop it, or open with takeover"),
    ),
    "BLOCK_MALFORMED": Remedy(
        Words("数据块自相矛盾", "the block contradicts itself"),
        Words("修正后再发, 不可原样重发", "correct it; never resend it unchanged"),
    ),
    "BLOCK_TOO_LARGE": Remedy(
        Words("数据块超过约定上限", "the block is over the agreed limit"),
        Words("拆成更小的数据块", "cut it into smaller blocks"),
    ),
    "DEADLINE_MISSING": Remedy(
        Words("调用未设截止时间", "the call carries no deadline"),
        Words("设置截止时间后重试", "set a deadline and call again"),
    ),
    "IDENTITY_NOT_ALLOWED": Remedy(
        Words("该证书无权调用", "the certificate may not make this call"),
        Words("使用有权限的身份", "call with an identity that may"),
    ),
    "NOT_YOURS": Remedy(
        Words("该记录属于另一节点", "the row belongs to another node"),
        Words("只发送本节点的数据", "send only what is this node's own"),
    ),
    "CAMPAIGN_INVALID": Remedy(
        Words("活动, 规则或内容有误", "the campaign, its rule or its content is wrong"),
        Words("按提示的行与字段修改", "correct the line and field named"),
    ),
    "STATE_CONFLICT": Remedy(
        Words("当前状态不允许此操作", "the state does not allow this step"),
        Words("查看当前状态后再决定", "look at the state, then decide"),
    ),
    "NOT_FOUND": Remedy(
        Words("不存在", "it does not exist"),
        Words("检查名称", "check the name"),
    ),
    "THROTTLED": Remedy(
        Words("请求过快", "too many requests"),
        Words("按提示时长等待后重试", "wait as long as told, then call again"),
    ),
    "EPOCH_STALE": Remedy(
        Words("日志世代不一致", "the log's epoch is not the receiver's"),
        Words("重新建立会话", "open the session again"),
    ),
    "ARGUMENT_INVALID": Remedy(
        Words("参数缺失或超出范围", "a field is missing or out of range"),
        Words("修正所指字段", "correct the field named"),
    ),
    "DRAINING": Remedy(
        Words("节点正在停止", "the node is stopping"),
        Words("稍后重试", "call again later"),
    ),
    "POLICY_INVALID": Remedy(
        Words("接触策略有误", "the contact policy is wrong"),
        Words("修正所指字段", "correct the field named"),
    ),
    "CLOCK_DISAGREES": Remedy(
        Words("两级时钟相差过大", "the two clocks differ too much"),
        Words("校准时钟", "set the clocks right"),
    ),
    "REQUEST_MISMATCH": Remedy(
        Words("该请求号已用于其他内容", "the request id was used for another content"),
        Words("换一个新的请求号", "choose a new request id"),
    ),
    "RESTORE_FENCED": Remedy(
        Words("节点从备份恢复, 暂不可接触", "the node came back from a backup and may not contact yet"),
        Words("等待保护期结束", "wait until the fence has passed"),
    ),
    "CONSENT_INVALID": Remedy(
        Words("同意记录无效", "the consent is not valid"),
        Words("补充凭证与有效期", "give evidence and a validity ahead"),
    ),
    "STORE_UNAVAILABLE": Remedy(
        Words("节点数据库不可用", "the node's store does not answer"),
        Words("稍后重试", "call again later"),
    ),
    "TRIGGER_INVALID": Remedy(
        Words("触发规则有误", "the trigger rules are wrong"),
        Words("按提示的行与字段修改", "correct the line and field named"),
    ),
}
