from __future__ import annotations

from pathlib import Path

import pytest

from adapters.warehouse.population import make_population, read_customers, write_population
from adapters.warehouse.table_file import open_table
from common.kernel.marketing_state import MarketingState
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue
from common.runtime.yaml_source import SOURCE_BYTES_MAX
from hq.campaign_file import check, load
from hq.work_orders import planned

DEMO = Path(__file__).parents[2] / "deploy" / "demo"


def refusal(text: str, catalogue: Catalogue) -> str:
    with pytest.raises(Refusal) as refused:
        check(text, catalogue)
    assert refused.value.reason == "CAMPAIGN_INVALID"
    return refused.value.message


def test_a_good_file_says_what_was_written(file: str, catalogue: Catalogue) -> None:
    campaign = check(file, catalogue)
    assert campaign == load(file)
    assert (campaign.name, campaign.holdout, campaign.priority) == ("spring", 0.1, 50)
    assert (campaign.select_at(1), campaign.end_at(1)) == (1_772_326_800, 1_773_579_600)
    assert campaign.select_at(2) == 1_772_326_800 + 92 * 3600
    assert campaign.waves[1].select == (MarketingState.NO_RESPONSE,)
    assert (campaign.cost_fen("sms"), campaign.respond_seconds) == (5, 48 * 3600)


def test_what_the_contact_policy_asks_of_a_campaign(file: str, catalogue: Catalogue) -> None:
    plain = check(file, catalogue)
    assert (plain.offer.line, plain.service, plain.purpose) == ("", False, "")
    text = file.replace("price_fen: 3000", "price_fen: 3000, line: 5g_home").replace(
        "holdout: 10%", "holdout: 10%\nservice: true\npurpose: location"
    )
    told = check(text, catalogue)
    assert (told.offer.line, told.service, told.purpose) == ("5g_home", True, "location")
    orders = planned(told, 1, {("sms", "hq"): 3, ("local_sms", "45"): 4})
    assert {(order.product_line, order.service, order.purpose) for order in orders} == {("5g_home", True, "location")}


# What is replaced, by what, and the line, the field and the remedy the refusal must name.
WRONG = [
    ("name: spring", "name: Spring offer", 1, "name", "lower-case letters"),
    ("name: spring", "name: 7", 1, "name", "must be text"),
    ("name: spring\n", "", 1, "name", "is missing. Add it"),
    ("title: {zh: 春季, en: Spring}", "title: {zh: 春季}", 2, "title.en", "is missing. Add it"),
    ("price_fen: 3000", "price_fen: 30.5", 3, "offer.price_fen", "whole number, not 30.5. Correct it"),
    ("price_fen: 3000", "price_fen: -1", 3, "offer.price_fen", "must be at least 0"),
    ("price_fen: 3000", "price_fen: 3000, line: 5G", 3, "offer.line", "lower-case letters"),
    ("price_fen: 3000", "price_fen: 3000, line: 5", 3, "offer.line", "must be text"),
    ("holdout: 10%", "holdout: 10%\nservice: 1", 6, "service", "must be true or false"),
    ("holdout: 10%", "holdout: 10%\nservice: yes", 6, "service", "must be true or false"),
    (
        "holdout: 10%",
        "holdout: 10%\npurpose: profiling",
        6,
        "purpose",
        "must be one of '' or 'location', not 'profiling'",
    ),
    ("price_fen: 3000", "price_fen: 3000, colour: red", 3, "offer.colour", "unknown key. Known here: code, title"),
    ("audience: age >= 20", "audience: agee >= 20", 4, "audience", "did you mean age"),
    ("audience: age >= 20", "audience: age >= 'x'", 4, "audience", "write a number without quotes"),
    ("audience: age >= 20", "audience: age >= (20", 4, "audience", "rule, line 1"),
    ("audience: age >= 20", "audience: age IN (SELECT 1)", 4, "audience", "not allowed"),
    ("audience: age >= 20", "audience: [age]", 4, "audience", "must be text"),
    ("holdout: 10%", "holdout: 60%", 5, "holdout", "Write it as 10% or 0.1"),
    ("holdout: 10%", "holdout: 10", 5, "holdout", "Write it as 10% or 0.1"),
    ("start: 2026-03-01T09:00:00+08:00", "start: 2026-03-01 09:00", 6, "schedule.start", "2026-03-01T09:00:00+08:00"),
    ("end: 2026-03-15T21", "end: 2026-02-15T21", 6, "schedule", "Move end to a later time"),
    ("respond_hours: 48", "respond_hours: 0", 7, "respond_hours", "must be at least 1"),
    ("respond_hours: 48", "respond_hours: two days", 7, "respond_hours", "whole number"),
    ("attribution_days: 7", "attribution_days: 7\ngoal: {}", 9, "goal.orders", "is missing"),
    ("attribution_days: 7", "attribution_days: 7\ncosts: {fax: 3}", 9, "costs.fax", "Use one of: sms, app_push"),
    ("column: plan,", "column: plann,", 10, "parameters.plan.column", "Use one such as plan"),
    ("kind: yuan", "kind: dollars", 11, "parameters.spent.kind", "must be one of"),
    ("column: arpu", "column: joined", 11, "parameters.spent.kind", "Use kind date"),
    ("fallback: 当前套餐, ", "", 10, "parameters.plan.fallback", "is missing"),
    ("  app_push: {zh: 流量不够用？点击办理}\n", "", 19, "waves[0].channels[0].channel", "Add content.app_push"),
    ("app_push: {zh: 流量", "app_pusch: {zh: 流量", 13, "content.app_pusch", "Use one of: sms, app_push"),
    ("流量不够用", "流" * 200, 13, "content.app_push.zh", "app_push takes 200. Shorten it"),
    ("${spent}", "${spend}", 14, "content.sms.zh", "Add parameters.spend"),
    ("${spent}", "${spent", 14, "content.sms.zh", "Write ${name}"),
    ("${spent}", "${Spent!}", 14, "content.sms.zh", "such as ${plan}"),
    ('TD退订"}\n  local', 'TD退订", en: hello}\n  local', 14, "content.sms.en", "under `english`"),
    ("after: 0d", "after: tomorrow", 18, "waves[0].after", "Write it as 0d, 3d 20h or 90m"),
    ("after: 0d", "at: 2026-04-01T09:00:00+08:00", 18, "waves[0].at", "move schedule.end"),
    ("    after: 0d\n", "", 17, "waves[0]", "Write exactly one of the two"),
    ("after: 0d", "after: 0d\n    select: [interested]", 19, "waves[0].select", "Delete select"),
    ("channel: app_push, when: app", "channel: app_push, when: ape", 20, "waves[0].channels[0].when", "did you mean"),
    ("channel: app_push, when: app", "channel: app_push", 21, "waves[0].channels[1].channel", "nobody is left"),
    ("channel: local_sms, when: age < 40", "channel: fax", 21, "waves[0].channels[1].channel", "Use one of: sms"),
    ("channel: local_sms, when: age < 40", "channel: app_push", 21, "waves[0].channels[1].channel", "there twice"),
    ("after: 3d 20h", "after: 0d", 24, "waves[1].after", "Begin it later, or swap the two"),
    ("name: second", "name: first", 23, "waves[1].name", "Rename one"),
    ("select: [no_response]", "select: [silent]", 25, "waves[1].select[0]", "Use: not_contacted, contacted"),
    ("select: [no_response]", "select: [opted_out]", 25, "waves[1].select[0]", "Use: not_contacted, contacted"),
    ("select: [no_response]", "select: [not_contacted]", 25, "waves[1].select", "Give it an end"),
    ("    select: [no_response]\n", "", 23, "waves[1].select", "Add select with some of"),
    ("after: 3d 20h", "after: 3d 20h\n    end: 2026-03-02T09:00:00+08:00", 25, "waves[1].end", "within the schedule"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "remedy"), WRONG, ids=[f"{w[3]}: {w[1]!r}"[:60] for w in WRONG]
)
def test_what_is_wrong_is_told_with_line_field_and_remedy(
    file: str, catalogue: Catalogue, old: str, new: str, line: int, field: str, remedy: str
) -> None:
    assert file.count(old) >= 1
    message = refusal(file.replace(old, new, 1), catalogue)
    told = [each for each in message.splitlines() if each.startswith(f"line {line}, ") and f": {field}: " in each]
    assert told, message
    assert remedy in told[0]


def test_everything_wrong_is_told_at_once(file: str, catalogue: Catalogue) -> None:
    wrong = (
        file.replace("holdout: 10%", "holdout: 99%").replace("age >= 20", "agee >= 20").replace("after: 0d", "after: x")
    )
    assert [line.split(":")[0] for line in refusal(wrong, catalogue).splitlines()[1:]] == [
        "line 4, column 11",
        "line 5, column 10",
        "line 18, column 12",
    ]


def test_a_message_stays_short_and_says_how_much_is_left_out(file: str, catalogue: Catalogue) -> None:
    waves = "".join(f"  - {{name: W {number}, after: soon, channels: []}}\n" for number in range(19))
    message = refusal(file + waves, catalogue)
    assert len(message) < 2_000
    assert "more. Correct these first" in message.splitlines()[-1]


def test_a_rule_over_several_lines_is_located_inside(file: str, catalogue: Catalogue) -> None:
    wrong = file.replace("audience: age >= 20", "audience: |\n  age >= 20\n  AND ape")
    assert "line 6, column" in refusal(wrong, catalogue)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1, column 1: the file is empty. Start from an example"),
        ("- one\n- two\n", "a campaign is a mapping of keys"),
        ("name: spring\n  title: x\n", "line 2, column 8: mapping values are not allowed here. Check indentation"),
        ("name: [a, b\n", "line 2, column 1"),
        ("name: spring\nname: again\n", "line 2, column 1: name: is there twice. Delete one"),
        ("a: &x [1, 2]\nb: *x\n", "line 2, column 4: aliases (*name) are not supported. Write the value out"),
        ("name: !!python/object/apply:os.system ['ls']\n", "is not supported. Write a plain value"),
        ("name: !!python/name:os.system x\n", "is not supported. Write a plain value"),
        ("[" * 5_000, "nested deeper than 16. Flatten it"),
        ("{a: " * 100 + "}" * 100, "nested deeper than 16. Flatten it"),
        ("name: sp\x00ring", "is not allowed. Delete it"),
        ("name: " + "x" * SOURCE_BYTES_MAX, f"Shorten it to {SOURCE_BYTES_MAX}"),
        ("? [a, b]\n: c\n", "a key must be a plain word"),
        ("name: a\n--- \nname: b\n", "line 2, column 1"),
        ("name: " + "9" * 5_000, "name: must be lower-case"),
    ],
)
def test_what_is_no_yaml_we_take_is_told_with_its_place(text: str, told: str, catalogue: Catalogue) -> None:
    assert any(told in line for line in refusal(text, catalogue).splitlines())


def test_words_stay_words(file: str, catalogue: Catalogue) -> None:
    campaign = check(
        file.replace("fallback: 当前套餐", "fallback: no").replace("fallback: 若干", "fallback: 0"), catalogue
    )
    assert (campaign.parameters["plan"].fallback, campaign.parameters["spent"].fallback) == ("no", "0")


def test_an_empty_previous_wave_may_be_taken_up_once_it_has_ended(file: str, catalogue: Catalogue) -> None:
    text = file.replace("select: [no_response]", "select: [not_contacted]").replace(
        "after: 0d", "after: 0d\n    end: 2026-03-04T09:00:00+08:00"
    )
    assert check(text, catalogue).end_at(1) < check(text, catalogue).select_at(2)


def test_the_example_suits_made_up_people(tmp_path: Path) -> None:
    made = write_population(make_population(50, 1), tmp_path)["hq"]
    campaign = check((DEMO / "campaign.yaml").read_text("utf-8"), Catalogue(tuple(open_table(made).tags)))
    used = {choice.channel for wave in campaign.waves for choice in wave.channels}
    assert used == {"app_push", "sms", "local_sms", "outbound_call"}
    assert campaign.offer.line == "5g"


def test_the_example_suits_the_customer_file() -> None:
    customers = Path(__file__).parents[2].parent / "shared" / "data" / "ibm_telco_churn.csv"
    if not customers.exists():
        pytest.skip(f"{customers} is not on this machine")
    tags = read_customers(customers, "customerID", 1).tags
    campaign = check((DEMO / "churn.yaml").read_text("utf-8"), Catalogue(tags))
    assert campaign.audience == "Contract = 'Month-to-month' AND tenure <= 12"
