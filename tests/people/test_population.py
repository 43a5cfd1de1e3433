from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as parquet
import pytest

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.population import make_population, read_customers, write_population
from adapters.warehouse.rejects import Reject
from adapters.warehouse.snapshots import Snapshots
from adapters.warehouse.subscriber_import import import_subscribers
from common.kernel.refusal import Refusal
from common.kernel.subscriber import normalise_msisdn
from common.rules.rule_language import check_rule
from common.runtime.database import Database

FEDERATION_KEY = b"a key for tests, 32 bytes long .."


def test_the_same_seed_makes_the_same_people() -> None:
    assert make_population(5000, 7).equals(make_population(5000, 7))
    assert not make_population(5000, 7).equals(make_population(5000, 8))


def test_people_are_believable() -> None:
    people = make_population(50_000, 1)
    numbers = people.column("msisdn").to_numpy()
    assert len(np.unique(numbers)) == 50_000
    assert all(normalise_msisdn(str(number)) == number for number in numbers[::500])
    column = {name: people.column(name).to_numpy() for name in people.column_names}
    assert set(column["province"]) == {13, 45}
    assert 0.58 < (column["province"] == 45).mean() < 0.62
    assert np.corrcoef(column["plan_price_yuan"], column["arpu_yuan"])[0, 1] > 0.8
    assert column["app_active"][column["age"] < 30].mean() > column["app_active"][column["age"] > 60].mean() + 0.2
    assert (column["video_mb"] <= column["monthly_data_mb"]).all()
    assert ((column["app_days_30"] > 0) == column["app_active"]).all()
    assert (column["tenure_months"] <= (column["age"] - 15) * 12 + 1).all()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_files_for_hq_and_the_provinces_are_imported_alike(tmp_path: Path, database: Database, form: str) -> None:
    people = make_population(3000, 1)
    paths = write_population(people, tmp_path, form)
    assert set(paths) == {"hq", "13", "45"}
    done = import_subscribers(
        paths["hq"],
        number="msisdn",
        province="province",
        federation_key=FEDERATION_KEY,
        database=database,
        snapshots=Snapshots(tmp_path / form),
    )
    assert (done.accepted, len(done.rejects)) == (3000, 0)
    assert done.snapshot is not None
    assert [tag.name for tag in done.snapshot.catalogue] == people.column_names[2:]
    written = parquet.read_table(done.snapshot.path)
    assert pc.sum(written.column("arpu_yuan")).as_py() == pytest.approx(pc.sum(people.column("arpu_yuan")).as_py())
    assert written.column("app_active").type == "bool"


def test_a_real_customer_file_gets_demo_numbers_and_provinces(telco: Path, tmp_path: Path, database: Database) -> None:
    customers = read_customers(telco, "customerid", seed=1)
    numbers = customers.people.column("msisdn").to_numpy()
    assert len(np.unique(numbers)) == 7043
    assert numbers.min() >= 8619900000000
    assert numbers.max() < 8620000000000
    assert 0.57 < (customers.people.column("province").to_numpy() == 45).mean() < 0.63
    assert read_customers(telco, "customerID", seed=1).people.equals(customers.people)
    assert not read_customers(telco, "customerID", seed=2).people.equals(customers.people)
    done = import_subscribers(
        write_population(customers.people, tmp_path)["hq"],
        number="msisdn",
        province="province",
        federation_key=FEDERATION_KEY,
        database=database,
        snapshots=Snapshots(tmp_path / "people"),
    )
    assert done.accepted == 7043
    warehouse = DuckDbWarehouse.open(Snapshots(tmp_path / "people"))
    rule = check_rule("Contract = 'Month-to-month' AND tenure <= 12", warehouse.catalogue)
    with telco.open(newline="") as file:
        expected = sum(r["Contract"] == "Month-to-month" and int(r["tenure"]) <= 12 for r in csv.DictReader(file))
    assert sum(warehouse.count(rule).values()) == expected
    assert sum(warehouse.count(check_rule("TotalCharges IS NULL", warehouse.catalogue)).values()) == 11


def test_a_customers_number_does_not_depend_on_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\nA,1\nB,2\n")
    (tmp_path / "b.csv").write_text("id,x\nC,3\nB,2\nA,1\n")
    one, other = (
        dict(zip(people.column("id").to_pylist(), people.column("msisdn").to_pylist(), strict=True))
        for people in (read_customers(tmp_path / name, "id", 1).people for name in ("a.csv", "b.csv"))
    )
    assert one.items() <= other.items()


def test_customers_without_an_id_or_twice_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,province,msisdn\nA,x,1\n,y,2\nB,z,3\nA,w,4\n")
    customers = read_customers(tmp_path / "a.csv", "id", 1)
    assert customers.people.column("id").to_pylist() == ["A", "B"]
    assert list(customers.rejects) == [
        Reject(3, "id", "the id is missing"),
        Reject(5, "id", "duplicate: the id is on an earlier line"),
    ]
    assert [tag.name for tag in customers.tags] == ["id", "province_2", "msisdn_2"]
    with pytest.raises(Refusal, match="no column nr; it has id, province, msisdn"):
        read_customers(tmp_path / "a.csv", "nr", 1)
    (tmp_path / "b.csv").write_text("id,x\n,1\n")
    with pytest.raises(Refusal, match="no line with an id"):
        read_customers(tmp_path / "b.csv", "id", 1)
