"""Believable made-up subscribers of two provinces, and real customer files given demo numbers and provinces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from adapters.warehouse.rejects import Rejects
from adapters.warehouse.subscriber_import import tags_of
from adapters.warehouse.table_file import open_table
from common.kernel.keyed_hash import mix, salt, uniform
from common.kernel.refusal import invalid
from common.kernel.tag import PROVINCE, RESERVED, Tag

NUMBER = "msisdn"
GUANGXI, HEBEI = 45, 13
GUANGXI_SHARE = 0.6
PEOPLE_FIRST, PEOPLE_NUMBERS = 8613000000000, 10**9
DEMO_FIRST, DEMO_NUMBERS = 8619900000000, 10**8
"""Demo numbers: their own hundred million, so that none is a made-up subscriber's."""

PLANS = ("畅享19元", "畅享39元", "冰激凌59元", "冰激凌99元", "5G畅爽129元", "5G畅爽199元")
_PRICE = np.array([19, 39, 59, 99, 129, 199])
_ALLOWANCE_GB = np.array([1, 5, 15, 30, 40, 60])

Floats = NDArray[np.float64]


def make_population(count: int, seed: int) -> pa.Table:
    """`count` people with their number, province and tags; the same seed makes the same people."""
    draw = np.random.default_rng(seed)
    age = np.clip(draw.gamma(9.0, 4.6, count) + 2, 16, 92).astype(np.int64)
    wealth = draw.normal(0, 1, count) - np.abs(age - 38) / 40
    tier = np.digitize(wealth + draw.normal(0, 0.5, count), (-1.6, -0.8, 0.0, 0.7, 1.4))
    tenure = np.minimum(draw.exponential(38, count), (age - 15) * 12).astype(np.int64) + 1
    five_g = draw.random(count) < _logistic(0.8 * (tier - 2) - (age - 35) / 18)
    allowance = _ALLOWANCE_GB[tier] * 1024
    appetite = np.exp(draw.normal(0, 0.7, count) - (age - 35) / 45 + 0.35 * five_g)
    data = (allowance * 0.55 * appetite).astype(np.int64)
    has_app = draw.random(count) < _logistic(1.3 - (age - 38) / 15 + 0.4 * five_g)
    app_days = has_app * draw.binomial(30, _logistic(0.6 * np.log(appetite) - (age - 40) / 20 - 0.3))
    over = np.maximum(data - allowance, 0) / 1024
    arpu = np.round(_PRICE[tier] * draw.normal(1.0, 0.06, count).clip(0.8, 1.3) + np.minimum(over * 3, 60), 2)
    term = 24 * 30
    return pa.table(
        {
            NUMBER: PEOPLE_FIRST + _distinct(count, PEOPLE_NUMBERS, seed),
            PROVINCE: np.where(draw.random(count) < GUANGXI_SHARE, GUANGXI, HEBEI).astype(np.int16),
            "age": age,
            "gender": _words(("男", "女"), (draw.random(count) < 0.49).astype(np.int8)),
            "plan": _words(PLANS, tier),
            "plan_price_yuan": _PRICE[tier],
            "tenure_months": tenure,
            "contract_end_days": _some(draw.random(count) < 0.55, term - (tenure * 30) % term),
            "monthly_data_mb": data,
            "data_allowance_mb": allowance,
            "video_mb": (data * draw.beta(2 + 2 * five_g, 3)).astype(np.int64),
            "arpu_yuan": arpu,
            "calls_out_30": draw.poisson(np.exp(2.9 + (age - 40) / 60 + draw.normal(0, 0.5, count))),
            "app_active": app_days > 0,
            "app_days_30": app_days,
            "device_5g": five_g,
            "complaint_90": draw.poisson(0.03 + 0.05 * (over > 1)),
        }
    )


def _logistic(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-values))
    return result


def _words(words: tuple[str, ...], places: NDArray[np.integer]) -> pa.Array:
    return pa.array(words).take(pa.array(places))


def _some(there: NDArray[np.bool_], values: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, mask=~there)


def _distinct(count: int, space: int, seed: int) -> NDArray[np.int64]:
    """Different numbers below `space`: one out of each of `count` equal stretches."""
    if count > space:
        raise invalid(f"at most {space} people can be made; ask for fewer")
    stretch = space // max(count, 1)
    order = np.arange(count, dtype=np.int64)
    return order * stretch + (uniform(order, salt(seed, "number")) * stretch).astype(np.int64)


def write_population(people: pa.Table, directory: Path, form: str = "parquet") -> dict[str, Path]:
    """Files for "hq" (everybody) and for each province by code ("45"), as "parquet" or "csv"."""
    directory.mkdir(parents=True, exist_ok=True)
    shares = {"hq": people}
    for code in sorted(pc.unique(people.column(PROVINCE)).to_pylist()):
        shares[str(code)] = people.filter(pc.equal(people.column(PROVINCE), code)).select([NUMBER, PROVINCE])
    paths = {node: directory / f"subscribers-{node}.{form}" for node in shares}
    for node, table in shares.items():
        if form == "csv":
            arrow_csv.write_csv(table, paths[node])
        else:
            parquet.write_table(table, paths[node], compression="zstd", compression_level=1)
    return paths


@dataclass(frozen=True, slots=True)
class Customers:
    """A real file's customers as `people`: columns msisdn, province and one a tag, ready for write_population."""

    people: pa.Table
    tags: tuple[Tag, ...]
    rejects: Rejects
    notes: tuple[str, ...]


def read_customers(file: Path, id_column: str, seed: int) -> Customers:
    """Give every customer a demo number and province drawn from (seed, id); columns keep their names as tags.

    A line whose id is blank, or is on an earlier line, is rejected.
    """
    table = open_table(file)
    name = next((tag.name for tag in table.tags if tag.name.casefold() == id_column.casefold()), None)
    if name is None:
        raise invalid(f"{file.name} has no column {id_column}; it has {', '.join(tag.name for tag in table.tags)}")
    rejects = Rejects()
    batches = list(table.batches(rejects))
    rows = pa.Table.from_batches([batch.columns for batch in batches]) if batches else pa.table({name: []})
    lines = np.concatenate([np.zeros(0, dtype=np.int64), *(batch.lines for batch in batches)])
    good = _first_of_each(rows.column(name), lines, name, rejects)
    rows = rows.filter(pa.array(good))
    if rows.num_rows == 0:
        raise invalid(f"{file.name} has no line with an id in column {name}; nothing was read")
    numbers, homes = _demo_identity(rows.column(name), seed)
    tags, notes = tags_of(table, (), (*RESERVED, NUMBER))
    columns = {NUMBER: numbers, PROVINCE: homes} | {tag.name: rows.column(old) for old, tag in tags}
    return Customers(pa.table(columns), tuple(tag for _, tag in tags), rejects, (*table.notes, *notes))


def _first_of_each(ids: pa.ChunkedArray, lines: NDArray[np.int64], name: str, rejects: Rejects) -> NDArray[np.bool_]:
    blank = pc.is_null(ids).to_numpy()
    codes = pc.fill_null(ids.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    first = np.zeros(len(codes), dtype=np.bool_)
    first[np.unique(codes, return_index=True)[1]] = True
    rejects.add(lines[blank], name, "the id is missing")
    rejects.add(lines[~first & ~blank], name, "duplicate: the id is on an earlier line")
    good: NDArray[np.bool_] = first & ~blank
    return good


def _demo_identity(ids: pa.ChunkedArray, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    texts = pc.cast(ids, pa.string()).to_pylist()
    drawn = np.array([salt(seed, text) for text in texts], dtype=np.uint64).astype(np.int64)
    numbers = (mix(drawn, salt("number")) % np.uint64(DEMO_NUMBERS)).astype(np.int64)
    while len(repeats := np.setdiff1d(np.arange(len(numbers)), np.unique(numbers, return_index=True)[1])):
        numbers[repeats] = (numbers[repeats] + 1) % DEMO_NUMBERS
    homes = np.where(uniform(drawn, salt("province")) < GUANGXI_SHARE, GUANGXI, HEBEI)
    return DEMO_FIRST + numbers, homes.astype(np.int16)
