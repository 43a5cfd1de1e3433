from __future__ import annotations

import csv
from pathlib import Path

import pytest

from common.kernel.province import PROVINCES, province_code


@pytest.mark.parametrize(
    "text", ["45", "450000", "450107", " 45 ", "４５", "广西", "广西壮族自治区", "桂", "Guangxi", "GUANGXI",
             "Guangxi Zhuang Autonomous Region"],
)  # fmt: skip
def test_a_province_is_known_by_code_and_by_every_usual_name(text: str) -> None:
    assert province_code(text) == 45


@pytest.mark.parametrize("text", ["", "0", "4", "451", "99", "71", "桂林", "Texas", "45.0", "-45", "450", "河"])
def test_what_is_no_province_of_ours_has_no_code(text: str) -> None:
    assert province_code(text) is None


def test_all_provinces_stand_apart() -> None:
    assert len(PROVINCES) == 31
    for code, province in PROVINCES.items():
        names = (str(code), province.name_zh, province.name_en, province.short_zh)
        assert {province_code(name) for name in names} == {code}


def test_the_table_agrees_with_the_standard() -> None:
    path = Path(__file__).parents[2].parent / "shared" / "data" / "gbt2260_province.csv"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    with path.open(encoding="utf-8-sig", newline="") as file:
        standard = {int(row["province"]): row["name"] for row in csv.DictReader(file) if int(row["province"]) < 70}
    assert standard.keys() == PROVINCES.keys()
    for code, name in standard.items():
        assert name.startswith(PROVINCES[code].name_zh)
        assert province_code(name) == code
