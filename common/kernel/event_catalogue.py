"""The catalogue: 50 types of events in 11 classes. A field's name has one kind in all of them."""

from __future__ import annotations

import difflib

from common.kernel.event import (
    CODE_CHARS_MAX,
    EXACT_MAX,
    TEXT_CHARS_MAX,
    Domain,
    EventClass,
    EventSensitivity,
    EventType,
    Field,
    Kind,
)
from common.kernel.reasons import Words
from common.kernel.refusal import invalid

FEN_MAX = 10**9
SECONDS_MAX = 31 * 86_400
COORDINATE_SYSTEMS = ("WGS-84", "GCJ-02")

CLASSES: dict[EventClass, Words] = {
    EventClass.SERVICE_HANDLING: Words("业务办理", "service handling"),
    EventClass.SERVICE_USE: Words("业务使用", "service use"),
    EventClass.SELF_SERVICE: Words("自助系统", "self-service"),
    EventClass.PERIODIC: Words("周期业务", "periodic"),
    EventClass.INTERNET_USE: Words("互联网使用", "internet use"),
    EventClass.LOCATION: Words("位置行踪", "location"),
    EventClass.SOCIAL: Words("社会事件", "social"),
    EventClass.TERMINAL: Words("用户终端", "user and terminal"),
    EventClass.E_CHANNEL: Words("电子渠道", "e-channel"),
    EventClass.PHYSICAL_CHANNEL: Words("实体渠道", "physical channel"),
    EventClass.DERIVED: Words("衍生事件", "derived"),
}


def _code(name: str, example: str, *one_of: str) -> Field:
    return Field(name, Kind.CODE, high=CODE_CHARS_MAX, one_of=one_of, example=example)


def _text(name: str, example: str, high: int = TEXT_CHARS_MAX) -> Field:
    return Field(name, Kind.TEXT, high=high, example=example)


def _whole(name: str, unit: str, example: int, high: int, low: int = 0) -> Field:
    return Field(name, Kind.INT, low=low, high=high, unit=unit, example=example)


def _bytes(name: str, example: int) -> Field:
    return _whole(name, "bytes", example, EXACT_MAX)


def _fen(name: str, example: int) -> Field:
    return _whole(name, "fen", example, FEN_MAX, -FEN_MAX)


def _seconds(name: str, example: int) -> Field:
    return _whole(name, "seconds", example, SECONDS_MAX)


def _number(name: str, unit: str, example: float, low: float, high: float) -> Field:
    return Field(name, Kind.NUMBER, low=low, high=high, unit=unit, example=example)


def _time(name: str, example: str) -> Field:
    return Field(name, Kind.TIME, example=example)


def _flag(name: str, *, example: bool) -> Field:
    return Field(name, Kind.FLAG, example=example)


def _optional(*fields: Field) -> tuple[Field, ...]:
    return tuple(
        Field(f.name, f.kind, required=False, low=f.low, high=f.high, unit=f.unit, one_of=f.one_of, example=f.example)
        for f in fields
    )


_RAT = _code("rat", "5G", "2G", "3G", "4G", "5G", "WLAN")
_NETWORK = (_code("mcc", "460"), _code("mnc", "01"))
_CELL = _code("cell_id", "460-01-41234-27447297")
_LAC = _whole("lac", "", 41_234, 16_777_215)
_POINT = (
    _number("longitude", "degrees", 108.3669, -180.0, 180.0),
    _number("latitude", "degrees", 22.8170, -90.0, 90.0),
    _code("coordinate_system", "WGS-84", *COORDINATE_SYSTEMS),
)
_PLACE = (_CELL, *_optional(*_NETWORK, _LAC, *_POINT, _text("place", "南宁东站", 128), _seconds("stay_seconds", 180)))
_VISIT = (
    _text("host", "v.example.com", 253),
    *_optional(_text("path", "/drama/7731", TEXT_CHARS_MAX), _code("app", "wo_video")),
)
_WATCHED = (_code("content_id", "v-20260301-17"), _text("content_name", "春天的约定", 128))
_SESSION = (_seconds("duration_seconds", 1_260), _bytes("used_bytes", 734_003_200))
_SHOP = (_code("shop_id", "gx-nn-0017"), *_optional(_code("staff_id", "s-2291")))
_ORDER = (_code("order_number", "20260301-000417"), _code("offer", "data_10gb"))
_NETWORK_STATE = (_CELL, *_optional(_RAT, *_NETWORK, _LAC))
_CALLED = (_CELL, *_optional(_seconds("ring_seconds", 18), _code("call_kind", "voice", "voice", "video", "marketing")))
_ALLOWANCE = (_bytes("used_bytes", 8_589_934_592), _bytes("allowance_bytes", 10_737_418_240))
_SHOW = (
    _code("show_id", "gx-2026-0312"),
    _text("title", "南宁春季演唱会", 128),
    *_optional(_time("starts_at", "2026-03-12T19:30:00+08:00"), _text("venue", "广西体育中心", 128)),
)

_BASIC, _SENSITIVE = EventSensitivity.BASIC, EventSensitivity.SENSITIVE
_B, _O, _I, _S = Domain.B, Domain.O, Domain.INTERNET, Domain.SOCIAL


def _of(
    event_class: EventClass,
    sensitivity: EventSensitivity,
    domain: Domain,
    *types: tuple[str, str, str, tuple[Field, ...]],
) -> tuple[EventType, ...]:
    return tuple(EventType(name, event_class, sensitivity, domain, 1, fields, zh, en) for name, zh, en, fields in types)


CATALOGUE: tuple[EventType, ...] = (
    *_of(
        EventClass.SERVICE_HANDLING,
        _BASIC,
        _B,
        (
            "handset_change",
            "换机",
            "handset changed",
            (
                _code("terminal_model", "XM-14"),
                *_optional(
                    _code("previous_model", "XM-12"), _code("tac", "86012345"), _flag("supports_5g", example=True)
                ),
            ),
        ),
        (
            "contract_expiry",
            "合约到期",
            "contract about to end",
            (
                _code("contract_id", "c-88012"),
                _time("ends_at", "2026-04-01T00:00:00+08:00"),
                *_optional(_code("plan", "5g_129")),
            ),
        ),
        (
            "data_plan_upgrade",
            "流量套餐升级",
            "data plan upgraded",
            (
                _code("plan", "5g_129"),
                *_optional(
                    _code("previous_plan", "4g_59"),
                    _bytes("allowance_bytes", 42_949_672_960),
                    _fen("monthly_fee_fen", 12_900),
                ),
            ),
        ),
        (
            "payment",
            "缴费",
            "bill paid or account topped up",
            (_fen("amount_fen", 10_000), *_optional(_fen("balance_fen", 13_420), _code("method", "wechat_pay"))),
        ),
    ),
    *_of(
        EventClass.SERVICE_USE,
        _BASIC,
        _B,
        (
            "voice_call",
            "语音通话",
            "voice call made or taken",
            (
                _seconds("duration_seconds", 187),
                _code("direction", "outgoing", "outgoing", "incoming"),
                *_optional(_CELL, _flag("roaming", example=False), _fen("charge_fen", 45)),
            ),
        ),
        (
            "message_sent",
            "短信彩信发送",
            "SMS or MMS sent",
            (
                _code("message_kind", "sms", "sms", "mms"),
                *_optional(_whole("parts", "", 1, 255, 1), _fen("charge_fen", 10)),
            ),
        ),
        (
            "data_used",
            "流量使用",
            "mobile data used",
            (
                _bytes("used_bytes", 52_428_800),
                *_optional(
                    _bytes("allowance_bytes", 10_737_418_240),
                    _bytes("month_used_bytes", 8_640_266_240),
                    _RAT,
                    _code("apn", "3gnet"),
                    _CELL,
                    _flag("roaming", example=False),
                ),
            ),
        ),
        (
            "charge_swing",
            "话费波动",
            "charges well off the usual",
            (
                _fen("amount_fen", 18_600),
                _fen("usual_fen", 9_900),
                *_optional(_number("change_ratio", "", 0.879, -1.0, 1e6)),
            ),
        ),
        (
            "allowance_low",
            "流量阈值提醒",
            "allowance nearly used up",
            (
                *_ALLOWANCE,
                *_optional(
                    _number("used_ratio", "", 0.8, 0.0, 1e6),
                    _code("plan", "4g_59"),
                    _time("period_ends_at", "2026-04-01T00:00:00+08:00"),
                ),
            ),
        ),
        (
            "usage_surge",
            "流量突增",
            "data used much faster than usual",
            (
                _bytes("used_bytes", 1_288_490_189),
                _seconds("window_seconds", 600),
                *_optional(_bytes("usual_bytes", 104_857_600)),
            ),
        ),
    ),
    *_of(
        EventClass.SELF_SERVICE,
        _BASIC,
        _B,
        (
            "queue_ticket",
            "排队叫号机",
            "queue ticket taken",
            (
                _code("shop_id", "gx-nn-0017"),
                _code("service", "plan_change"),
                *_optional(_whole("waiting", "people", 6, 10_000)),
            ),
        ),
        (
            "self_service_terminal",
            "自助终端",
            "self-service terminal used",
            (
                _code("terminal_id", "sst-3301"),
                _code("service", "bill_print"),
                *_optional(_code("shop_id", "gx-nn-0017"), _fen("amount_fen", 5_000)),
            ),
        ),
    ),
    *_of(
        EventClass.PERIODIC,
        _BASIC,
        _B,
        (
            "daily_bill_run",
            "日出账",
            "daily bill run",
            (_code("bill_day", "2026-03-01"), _fen("amount_fen", 330), *_optional(_bytes("used_bytes", 314_572_800))),
        ),
        (
            "monthly_bill_run",
            "月出账",
            "monthly bill run",
            (
                _code("bill_month", "2026-02"),
                _fen("amount_fen", 12_900),
                *_optional(_fen("overrun_fen", 1_500), *_ALLOWANCE),
            ),
        ),
        (
            "administrative_suspension",
            "管理停机",
            "suspended by the operator",
            (
                _code("suspension", "arrears", "arrears", "identity", "fraud", "other"),
                *_optional(_fen("owed_fen", 8_700)),
            ),
        ),
        ("birthday", "生日", "birthday", (_code("month_day", "03-01"),)),
        (
            "reminder",
            "账单或流量提醒",
            "bill or data reminder sent",
            (
                _code("reminder_kind", "data", "bill", "data", "balance"),
                *_optional(_fen("balance_fen", 1_240), *_ALLOWANCE),
            ),
        ),
    ),
    *_of(
        EventClass.INTERNET_USE,
        _SENSITIVE,
        _I,
        ("own_game", "自有游戏", "own game played", (*_WATCHED[:1], *_optional(_WATCHED[1], *_SESSION))),
        ("own_video", "自有视频", "own video watched", (*_WATCHED[:1], *_optional(_WATCHED[1], *_SESSION))),
        ("own_portal", "自有门户", "own portal visited", (*_VISIT[:1], *_VISIT[1:2], *_optional(*_SESSION))),
        (
            "content_search",
            "内容网站搜索",
            "search on a content site",
            (_text("keyword", "世界杯 直播", 128), *_optional(*_VISIT[:1], _code("app", "search_app"))),
        ),
        (
            "content_visit",
            "内容网站访问",
            "content site visited",
            (*_VISIT, *_optional(_bytes("used_bytes", 3_145_728))),
        ),
        (
            "third_party_app",
            "第三方应用使用",
            "third-party app used",
            (
                _code("app", "short_video"),
                *_optional(
                    _code(
                        "app_kind", "video", "video", "music", "game", "social", "shopping", "news", "travel", "other"
                    ),
                    *_SESSION,
                ),
            ),
        ),
        ("music_use", "音乐使用", "music listened to", (_code("app", "wo_music"), *_optional(*_WATCHED, *_SESSION))),
    ),
    *_of(
        EventClass.LOCATION,
        _SENSITIVE,
        _O,
        ("residential_area", "居住区", "in a residential area", _PLACE),
        ("medical_area", "医疗区", "in a medical area", _PLACE),
        (
            "service_hall_area",
            "营业厅附近",
            "near a service hall",
            (*_PLACE, *_optional(_code("shop_id", "gx-nn-0017"))),
        ),
        (
            "out_of_province",
            "省外漫游",
            "roams out of the home province",
            (*_NETWORK, *_optional(_whole("visited_province", "province code", 44, 99, 1), _CELL, _LAC, *_POINT)),
        ),
        ("subway", "地铁", "in the subway", _PLACE),
        ("transport_hub", "机场或火车站", "at an airport or a railway station", _PLACE),
        ("school", "学校", "at a school", _PLACE),
    ),
    *_of(
        EventClass.SOCIAL,
        _BASIC,
        _S,
        (
            "holiday",
            "节假日",
            "holiday",
            (
                _code("holiday", "spring_festival"),
                *_optional(
                    _time("starts_at", "2026-02-17T00:00:00+08:00"), _time("ends_at", "2026-02-24T00:00:00+08:00")
                ),
            ),
        ),
        ("concert", "演唱会", "concert", _SHOW),
        ("popular_show", "热播节目", "popular show on air", _SHOW),
        (
            "live_match",
            "节目单更新：直播赛事",
            "programme guide updated with a live match",
            (*_SHOW, *_optional(_code("channel_code", "cctv5"))),
        ),
    ),
    *_of(
        EventClass.TERMINAL,
        _BASIC,
        _O,
        ("power_on", "开机", "phone switched on", _NETWORK_STATE),
        ("power_off", "关机", "phone switched off", _NETWORK_STATE),
        ("call_rejected", "拒接", "call rejected", _CALLED),
        ("unreachable", "无法接通", "not reachable", _CALLED),
        ("no_answer", "无人接听", "call not answered", _CALLED),
        ("in_call", "通话中", "engaged in a call", _CALLED),
    ),
    *_of(
        EventClass.E_CHANNEL,
        _SENSITIVE,
        _I,
        (
            "login",
            "登录",
            "logged in",
            (
                _code("channel", "app", "app", "web_hall", "wechat", "sms_hall", "toolbar"),
                *_optional(_code("app_version", "11.2.0"), _code("os", "android")),
            ),
        ),
        ("url_visit", "网址访问", "web address visited", _VISIT),
        (
            "keyword_search",
            "关键词搜索",
            "keyword searched for",
            (
                _text("keyword", "流量包", 128),
                *_optional(
                    _code("channel", "app", "app", "web_hall", "wechat", "sms_hall", "toolbar"),
                    _whole("results", "", 12, 10**6),
                ),
            ),
        ),
    ),
    *_of(
        EventClass.PHYSICAL_CHANNEL,
        _BASIC,
        _B,
        ("own_hall_pay", "自有营业厅缴费", "paid at an own hall", (*_SHOP[:1], _fen("amount_fen", 10_000), *_SHOP[1:])),
        ("own_hall_handle", "自有营业厅办理", "handled at an own hall", (*_SHOP[:1], *_ORDER, *_SHOP[1:])),
        (
            "agent_shop_pay",
            "代理点缴费",
            "paid at an agent's shop",
            (*_SHOP[:1], _fen("amount_fen", 5_000), *_SHOP[1:]),
        ),
        ("agent_shop_handle", "代理点办理", "handled at an agent's shop", (*_SHOP[:1], *_ORDER, *_SHOP[1:])),
    ),
    *_of(
        EventClass.DERIVED,
        _BASIC,
        _B,
        (
            "model_hit",
            "模型命中",
            "selected by a model, such as a churn alert",
            (
                _code("model", "usage_forecast"),
                _number("score", "", 0.93, 0.0, 1.0),
                *_optional(_code("model_version", "2026-03-01"), _number("forecast_ratio", "", 1.12, 0.0, 1e6)),
            ),
        ),
        (
            "contact_result",
            "营销接触结果",
            "what became of a contact",
            (
                _code("work_order", "wo-20260301-0007"),
                _code("result", "delivered", "delivered", "suppressed", "expired", "failed", "unknown"),
                *_optional(
                    _code("campaign", "spring_5g_upgrade"),
                    _code("channel_code", "local_sms"),
                    _code("reply", "interested", "interested", "refused", "opted_out", "other"),
                ),
            ),
        ),
    ),
)

BY_NAME = {each.name: each for each in CATALOGUE}
BY_WIRE_NAME = {each.wire_name: each for each in CATALOGUE}


def event_type(name: str) -> EventType:
    """Raises Refusal with the nearest names."""
    found = BY_NAME.get(name)
    if found is None:
        near = difflib.get_close_matches(name, BY_NAME, 3, 0.5)
        known = f"did you mean {', '.join(near)}?" if near else "`liandong events types` lists them"
        raise invalid(f"there is no event type {name!r}; {known}")
    return found
