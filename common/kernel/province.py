"""The 31 provinces of the mainland by their GB/T 2260 code, and every way a file may name one."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_ENDINGS = ("特别行政区", "维吾尔自治区", "壮族自治区", "回族自治区", "自治区", "省", "市")
_ENDINGS_EN = (" zhuang autonomous region", " hui autonomous region", " uygur autonomous region",
               " autonomous region", " province", " municipality", " city")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Province:
    code: int
    name_zh: str
    name_en: str
    short_zh: str
    """The one-character form (简称)."""


PROVINCES: dict[int, Province] = {
    code: Province(code, zh, en, short)
    for code, zh, en, short in (
        (11, "北京", "Beijing", "京"),
        (12, "天津", "Tianjin", "津"),
        (13, "河北", "Hebei", "冀"),
        (14, "山西", "Shanxi", "晋"),
        (15, "内蒙古", "Inner Mongolia", "蒙"),
        (21, "辽宁", "Liaoning", "辽"),
        (22, "吉林", "Jilin", "吉"),
        (23, "黑龙江", "Heilongjiang", "黑"),
        (31, "上海", "Shanghai", "沪"),
        (32, "江苏", "Jiangsu", "苏"),
        (33, "浙江", "Zhejiang", "浙"),
        (34, "安徽", "Anhui", "皖"),
        (35, "福建", "Fujian", "闽"),
        (36, "江西", "Jiangxi", "赣"),
        (37, "山东", "Shandong", "鲁"),
        (41, "河南", "Henan", "豫"),
        (42, "湖北", "Hubei", "鄂"),
        (43, "湖南", "Hunan", "湘"),
        (44, "广东", "Guangdong", "粤"),
        (45, "广西", "Guangxi", "桂"),
        (46, "海南", "Hainan", "琼"),
        (50, "重庆", "Chongqing", "渝"),
        (51, "四川", "Sichuan", "川"),
        (52, "贵州", "Guizhou", "贵"),
        (53, "云南", "Yunnan", "云"),
        (54, "西藏", "Tibet", "藏"),
        (61, "陕西", "Shaanxi", "陕"),
        (62, "甘肃", "Gansu", "甘"),
        (63, "青海", "Qinghai", "青"),
        (64, "宁夏", "Ningxia", "宁"),
        (65, "新疆", "Xinjiang", "新"),
    )
}

_NAMES = {name: p.code for p in PROVINCES.values() for name in (p.name_zh, p.short_zh, p.name_en.lower())} | {
    "xizang": 54,
    "nei mongol": 15,
}


def province_code(text: str) -> int | None:
    """The two-digit code for a code (two or six digits) or a Chinese or English name; None where it is none of ours."""
    plain = unicodedata.normalize("NFKC", text).strip().lower()
    if plain.isascii() and plain.isdigit():
        code = int(plain[:2]) if len(plain) in (2, 6) else 0
        return code if code in PROVINCES else None
    for ending in (*_ENDINGS, *_ENDINGS_EN):
        plain = plain.removesuffix(ending)
    return _NAMES.get(plain)
