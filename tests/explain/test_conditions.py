"""A rule is taken apart into the conditions it says must hold together, in words an operator would write."""

from __future__ import annotations

from typing import Any

import pytest

from common.rules.rule_language import check_rule, parts

RULES = {
    "age >= 20 AND app": ["age >= 20", "app"],
    "age >= 20 AND (app OR age > 60) AND NOT app": ["age >= 20", "app OR (age > 60)", "NOT app"],
    "(age BETWEEN 20 AND 40) AND card LIKE '%1%'": ["age BETWEEN 20 AND 40", "card LIKE '%1%'"],
    "age + 2 * 3 > 40.5 AND lower(card) <> 'card 7'": ["(age + (2 * 3)) > 40.5", "LOWER(card) <> 'card 7'"],
    "age IN (20, 30, 40) AND NOT (app OR age > 30)": ["age IN (20, 30, 40)", "NOT (app OR (age > 30))"],
    "app": ["app"],
}


@pytest.mark.parametrize("rule", RULES)
def test_conditions_are_written_plainly(hq: Any, rule: str) -> None:
    assert [part.text for part in parts(check_rule(rule, hq.warehouse().catalogue))] == RULES[rule]


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_holds_where_all_its_conditions_do_and_they_mean_what_they_say(hq: Any, rule: str) -> None:
    warehouse = hq.warehouse()
    whole = check_rule(rule, warehouse.catalogue)
    conditions = parts(whole)
    read_again = [check_rule(part.text, warehouse.catalogue) for part in conditions]
    chosen = {row["subscriber_key"] for batch in warehouse.select(whole) for row in batch.to_pylist()}
    for key in range(1_000, 61_000, 1_000):
        person = warehouse.person(key, [whole, *conditions, *read_again], whole.columns)
        assert person is not None
        holds, said = person.verdicts[0], person.verdicts[1:]
        assert holds == (key in chosen) == all(said[: len(conditions)])
        assert said[: len(conditions)] == said[len(conditions) :]
        assert set(person.values) == set(whole.columns)


def test_nobody_is_found_where_nobody_is(hq: Any) -> None:
    assert hq.warehouse().person(1_001, [], ["age"]) is None
