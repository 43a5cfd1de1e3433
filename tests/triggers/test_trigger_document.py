"""Trigger rules in YAML: what may be written, what is told of what may not, and the way back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.area import Area, Cells, Circle, Polygon
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue, Sensitivity, Tag, TagType
from common.kernel.trigger_rule import Crosses, Each, Form, Offer, Period, Stays, Sum, Surge, TriggerRule
from common.rules.trigger_document import HostFile, TriggerDocument, parsed, resolved, written

PAGE = Path(__file__).parents[2] / "docs/triggers.md"
OFFER = "offer: {offer: data_10gb, channels: local_sms, text: 流量不足, valid_for: 30m}"
GX = "polygon: [[108, 22], [109, 22], [109, 23], [108, 23]], coordinate_system: GCJ-02"
TAGS = "tags: {plan: text, age: integer, games: {type: number, consent: internet}, place: text}\n"


def rule(lines: str, offer: str = OFFER) -> str:
    body = "\n".join(f"    {line.strip()}" for line in f"{lines}; once_a: month; {offer}".split("; "))
    return f"rules:\n  - name: one\n    scene: test\n{body}\n"


def document(lines: str, offer: str = OFFER, rest: str = "") -> TriggerDocument:
    return parsed(rule(lines, offer) + rest + TAGS, 7)


def the_rule(lines: str, offer: str = OFFER, rest: str = "") -> TriggerRule:
    return document(lines, offer, rest).rules[0]


def told(lines: str, offer: str = OFFER, rest: str = "") -> str:
    with pytest.raises(Refusal) as caught:
        document(lines, offer, rest)
    assert caught.value.reason == "TRIGGER_INVALID"
    return caught.value.message


@pytest.mark.parametrize(
    ("lines", "condition", "form"),
    [
        ("when: payment", "", Each()),
        ("when: payment; where: amount_fen > 10000", "amount_fen > 10000", Each()),
        ("when: data_used; where: tag.plan = '5g'; adds_up: {field: used_bytes, to: 5GB}", "tag.plan = '5g'",
         Sum("used_bytes", 5 * 2**30)),
        ("when: data_used; adds_up: {field: used_bytes, to: 80%, of: allowance_bytes}", "",
         Sum("used_bytes", None, 0.8, "allowance_bytes")),
        ("when: call_rejected; adds_up: {to: 3}", "", Sum(None, 3.0)),
        ("when: data_used; surges: {field: used_bytes, within: 10m, to: 1.5GB}", "",
         Surge("used_bytes", 600, 1.5 * 2**30)),
        ("when: power_on; enters: port", "", Crosses("port", True)),
        ("when: power_on; leaves: port; where: lac > 3", "lac > 3", Crosses("port", False)),
        ("when: subway; stays: {in: port, for: 2h}", "", Stays(7200, "port")),
        ("when: [power_off, power_on]; where: event = 'power_off'; stays: {until: event = 'power_on', for: 90m}",
         "event = 'power_off'", Stays(5400, None, "event = 'power_on'")),
        ("when: subway; in: port; where: lac = 1 OR lac = 2", "(lac = 1 OR lac = 2) AND inside('port')", Each()),
        ("when: url_visit; visits: video", "visits('video')", Each()),
        ("when: out_of_province; roams: abroad", "NOT (mcc IN ('460', '461'))", Each()),
        ("when: out_of_province; roams: out_of_province",
         "(mcc IN ('460', '461') AND visited_province <> tag.province)", Each()),
        ("when: model_hit; model: {name: churn, at_least: 0.8}", "model = 'churn' AND score >= 0.8", Each()),
    ],
)  # fmt: skip
def test_every_kind_of_rule_is_written_in_a_few_words(lines: str, condition: str, form: Form) -> None:
    rest = "areas:\n  port: {cells: [460-01-1-1]}\nhosts:\n  video: {names: [v.example.com]}\n"
    found = document(lines, rest=rest)
    assert (found.rules[0].condition, found.rules[0].form) == (condition, form)
    assert parsed(written(found), 7) == found


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("when: data_use", "rules[0].when[0]: there is no event type 'data_use'; did you mean data_used"),
        ("when: []", "rules[0].when: the list is empty"),
        ("when: data_used; where: used_byte > 1", "line 5, column 12: rules[0].where: rule, line 1 column 1: "),
        ("when: data_used; where: used_byte > 1", "no field used_byte; did you mean used_bytes"),
        ("when: [data_used, payment]; where: used_bytes > 1", "payment has no field used_bytes; write a"),
        ("when: data_used; where: rat > 4", "rat is text and 4 is a number"),
        ("when: data_used; where: tag.plam = 'x'", "there is no tag plam; did you mean plan"),
        ("when: url_visit; where: matches(path, '(?=x)')", "invalid perl operator"),
        ("when: url_visit; where: matches(path, '((x{900}){900}){900}')", "invalid repetition size"),
        ("when: data_used; adds_up: {field: rat, to: 3}", "rat is code, which does not add up"),
        ("when: data_used; adds_up: {field: used_bites, to: 3}", "did you mean used_bytes"),
        ("when: data_used; adds_up: {field: used_bytes, to: 80%}", "a share is of a field"),
        ("when: data_used; adds_up: {field: used_bytes, to: 8, of: allowance_bytes}", "only a share is of a field"),
        ("when: payment; adds_up: {field: amount_fen, to: 5GB}", "amount_fen is not in bytes"),
        ("when: payment; adds_up: {field: amount_fen, to: -5}", "-5 is no amount"),
        (f"when: data_used; adds_up: {{field: used_bytes, to: {'9' * 320}GB}}", "is no amount"),
        (f"when: data_used; adds_up: {{field: used_bytes, to: {'9' * 320}%, of: allowance_bytes}}", "is no amount"),
        ("when: data_used; surges: {field: used_bytes, within: 5s, to: 1GB}", "must be at least 12"),
        ("when: data_used; surges: {field: used_bytes, within: 5, to: 1GB}", "5 is no span of time"),
        ("when: power_on; enters: prot", "there is no 'prot' among areas"),
        ("when: power_on; enters: circle", "power_on has no field longitude"),
        ("when: payment; in: port", "payment has no field cell_id"),
        ("when: power_on; where: inside('prot')", "inside knows no 'prot'; there is port"),
        ("when: power_on; visits: video", "power_on has no field host"),
        ("when: url_visit; visits: vidio", "there is no 'vidio' among hosts"),
        ("when: data_used; roams: abroad", "data_used has no field mcc"),
        ("when: payment; stays: {for: 2h}", "Write one of the two"),
        ("when: payment; stays: {until: amount_fen > 'x', for: 2h}", "rules[0].stays.until: rule, line 1 column 1"),
        ("when: payment; adds_up: {to: 2}; surges: {within: 1h, to: 2}", "adds_up and surges are two rules"),
        ("when: payment; once: day", "unknown key"),
        ("when: power_on; stays: {in: port, for: 2h}; lateness: 30m", "is known 30m later, when the offer is over"),
        ("when: payment; lateness: 2d", "must be at most 86400"),
        ("when: [power_on, call_rejected, payment]; adds_up: {to: 3}",
         "adds_up counts in one class of events, and these are of service_handling and terminal. Split the rule"),
        ("when: [subway, url_visit]", "it needs consent to internet and to location"),
        ("when: subway; where: tag.games > 1", "it needs consent to internet and to location"),
        ("when: payment; where: tag.age = 'x'", "tag.age is a number and 'x' is text"),
        ("when: payment; where: tag.colour = 'x'", "there is no tag colour; say what it is, such as tags: {colour"),
        ("when: payment; where: owns(5)", "owns takes one name in single quotes, such as owns('…')"),
        ("when: payment; where: owns('a', 'b')", "owns takes one name in single quotes"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule_is_told_with_its_place_and_remedy(lines: str, problem: str) -> None:
    circle = "circle: {longitude: 1, latitude: 1, metres: 9, coordinate_system: WGS-84}"
    hosts = "hosts:\n  video: {names: [v.example.com]}\n"
    rest = f"areas:\n  port: {{cells: [460-01-1-1]}}\n  circle: {{{circle}}}\n{hosts}"
    message = told(lines, rest=rest)
    assert problem in message
    assert len(message.splitlines()) == 2, message


@pytest.mark.parametrize(
    ("offer", "problem"),
    [
        ("channels: sms, text: x, valid_for: 1h", "'sms' is no channel of provinces"),
        ("channels: [], text: x, valid_for: 1h", "the list is empty"),
        ("channels: local_sms, text: x, valid_for: 8d", "must be at most 604800"),
        ("channels: local_sms, text: x, valid_for: 0s", "must be at least 1"),
        ("channels: local_sms, text: x, valid_for: 1h, delay: 1h", "would be sent after its validity"),
        ("channels: local_sms, text: x, valid_for: 1h, purpose: phone", "'phone' is no purpose"),
        ('channels: local_sms, text: "{used_byte}", valid_for: 1h', "did you mean used_bytes"),
        ('channels: local_sms, text: "{rat}", valid_for: 1h', "rat may be absent"),
        ('channels: local_sms, text: "{roaming|x}", valid_for: 1h', "roaming is true or false"),
        ('channels: local_sms, text: "{used_bytes", valid_for: 1h', "a brace is not closed"),
        (f"channels: local_sms, text: {'长' * 336}, valid_for: 1h", "the text has 336 characters"),
    ],
)
def test_what_is_wrong_with_an_offer_is_told(offer: str, problem: str) -> None:
    assert problem in told("when: data_used", f"offer: {{offer: x, {offer}}}")


@pytest.mark.parametrize(
    ("area", "problem"),
    [
        ("polygon: [[0, 0], [1, 1], [1, 0], [0, 1]], coordinate_system: WGS-84", "crosses itself (Self-intersection"),
        ("polygon: [[0, 0], [1, 1], [181, 0]], coordinate_system: WGS-84", "[181, 0] is no point"),
        ("polygon: [[0, 0], [1, 1], [1, north]], coordinate_system: WGS-84", "is no point"),
        ("polygon: [[0, 0], [1, 1]], coordinate_system: WGS-84", "at least 3"),
        ("polygon: [[0, 0], [1, 1], [1, 0]]", "coordinate_system stands beside a polygon"),
        (f"{GX.replace('GCJ', 'BD')}", "must be one of 'WGS-84' or 'GCJ-02'"),
        ("circle: {longitude: 200, latitude: 1, metres: 9, coordinate_system: WGS-84}", "must be at most 180"),
        ("circle: {longitude: 100, latitude: 1, metres: 0, coordinate_system: WGS-84}", "must be greater than 0"),
        ("cells: [460 01]", "'460 01' is no cell"),
        ("cells: []", "at least 1"),
        ("cells: [a], margin_metres: 5", "cells have no margin"),
        (f"cells: [a], {GX}", "Write exactly one of the three"),
    ],
)
def test_impossible_areas_are_refused(area: str, problem: str) -> None:
    assert problem in told("when: payment", rest=f"areas:\n  port: {{{area}}}\n")


def test_everything_wrong_is_told_at_once() -> None:
    text = rule("when: data_used; where: roamin = FALSE; colour: red; adds_up: {field: rat, to: 3}", "offer: {}")
    bad = "areas:\n  a: {cells: ['x y']}\nhosts:\n  h: {names: [http://x]}\n"
    with pytest.raises(Refusal) as caught:
        parsed(text + bad, 1)
    lines = re.findall(r"line (\d+), column \d+: ([^:]*)", caught.value.message)
    assert {field for _, field in lines} == {
        "rules[0].where", "rules[0].colour", "rules[0].adds_up.field", "rules[0].offer.offer", "rules[0].offer.text",
        "rules[0].offer.channels", "rules[0].offer.valid_for", "areas.a.cells[0]", "hosts.h.names",
        "hosts.h.names[0]",
    }  # fmt: skip
    assert ("5", "rules[0].where") in lines


def test_rules_have_names_of_their_own() -> None:
    twice = rule("when: payment") + rule("when: payment").removeprefix("rules:\n")
    with pytest.raises(Refusal, match="one is there twice"):
        parsed(twice, 1)


@pytest.mark.parametrize(
    ("lines", "purpose"),
    [("when: subway", "location"), ("when: power_on; in: port", "location"), ("when: url_visit", "internet"),
     ("when: power_on; where: NOT inside('port')", "location"), ("when: power_on", ""),
     ("when: data_used; where: cell_id = '460-01-1-1'", "location"), ("when: power_on; roams: abroad", "location"),
     ("when: payment; stays: {until: amount_fen > 3, for: 1h}", ""),
     ("when: payment; where: tag.Games > 3", "internet"), ("when: payment; where: tag.place = 'x'", "location"),
     ("when: payment; stays: {until: tag.games IS NULL, for: 1h}", "internet"),
     ("when: payment; where: tag.plan = 'x' OR owns('place')", "")],
)  # fmt: skip
def test_nobody_forgets_the_consent_that_events_need(lines: str, purpose: str) -> None:
    rest = "areas:\n  port: {cells: [460-01-1-1]}\n"
    assert the_rule(lines, rest=rest).offer.purpose == purpose
    named = OFFER.replace("}", ", purpose: call}")
    if purpose:
        assert f"these events need consent to {purpose}" in told(lines, named, rest)
    else:
        assert the_rule(lines, named, rest).offer.purpose == "call"


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ("{plan: word}", "tags.plan.type"),
        ("{plan: {type: text, consent: call}}", "must be one of 'location' or 'internet'"),
        ("{plan: {type: text, class: basic}}", "unknown key"),
        ("{Province: integer}", "Province is no tag of an import: tag.province is always there"),
        ("{plan: text, Plan: text}", "plan is there twice"),
    ],
)
def test_tags_that_cannot_be_are_refused(tags: str, problem: str) -> None:
    with pytest.raises(Refusal) as caught:
        parsed(f"{rule('when: payment')}tags: {tags}\n", 7)
    assert problem in caught.value.message


def test_a_node_says_which_tags_it_lacks() -> None:
    here = (Tag("Plan", TagType.TEXT), Tag("age", TagType.NUMBER), Tag("games", TagType.INTEGER),
            Tag("place", TagType.TEXT, sensitivity=Sensitivity.PERSONAL))  # fmt: skip
    asked = document("when: payment")
    assert asked.lacking(Catalogue(here)) == []
    assert [problem.split(" here")[0] for problem in asked.lacking(Catalogue(here[2:]))] == [
        "there is no tag plan", "there is no tag age"
    ]  # fmt: skip
    (problem,) = asked.lacking(Catalogue((Tag("plan", TagType.DATE), *here[1:])))
    assert problem == "tag plan is date here and text in the document. Write date under tags"
    (problem,) = asked.lacking(Catalogue((Tag("plan", TagType.TEXT, sensitivity=Sensitivity.LOCATION), *here[1:])))
    assert problem == (
        "tag plan needs consent to location here. Write plan: {type: text, consent: location} under tags"
    )


def test_lists_of_hosts_are_read_when_rules_are_published() -> None:
    found = document("when: url_visit; visits: video", rest="hosts:\n  video: {file: video.txt}\n")
    assert found.hosts == {"video": HostFile("video.txt")}
    assert parsed(written(found), 7) == found
    files = {"video.txt": "# films\nYouku.com\n中国.cn. # and more\nyouku.com\n"}
    assert resolved(found, files.__getitem__).hosts == {"video": ("youku.com", "xn--fiqs8s.cn")}
    with pytest.raises(Refusal, match=r"line 2, column 1: video.txt: 'a/b' is no host name"):
        resolved(found, {"video.txt": "x.com\na/b\n"}.__getitem__)
    with pytest.raises(Refusal, match="the file holds 0 hosts"):
        resolved(found, {"video.txt": "\n"}.__getitem__)


def test_what_the_page_shows_is_a_trigger_document() -> None:
    shown = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    assert shown
    for text in shown:
        found = parsed(text, 1)
        assert parsed(written(found), 1) == found


degrees = st.integers(-80 * 10**6, 80 * 10**6).map(lambda each: each / 10**6)
metres = st.integers(1, 10**6).map(lambda each: each / 100)
systems = st.sampled_from(["WGS-84", "GCJ-02"])
areas: st.SearchStrategy[Area] = st.one_of(
    st.frozensets(st.text("abc-019", min_size=1, max_size=9), min_size=1).map(Cells),
    st.builds(Circle, degrees, degrees, metres, systems, metres),
    st.builds(lambda x, y, *more: Polygon(((x, y), (x + 1, y), (x, y + 1)), *more), degrees, degrees, systems, metres),
)
amounts = st.integers(1, 10**15) | metres
forms: st.SearchStrategy[Form] = st.one_of(
    st.just(Each()),
    st.builds(Sum, st.none() | st.just("used_bytes"), amounts.map(float)),
    st.builds(lambda share: Sum("used_bytes", None, share / 10**4, "allowance_bytes"), st.integers(1, 10**6)),
    st.builds(Surge, st.none() | st.just("used_bytes"), st.integers(12, 86_400), amounts.map(float)),
    st.builds(Stays, st.integers(1, 10**6), st.none(), st.just("used_bytes > 1 OR\n  rat = 'x'")),
)
offers = st.builds(
    Offer,
    st.text("ab:#'\" {-", min_size=1, max_size=9).filter(str.strip),
    st.just("") | st.just("data"),
    st.just(("local_sms",)) | st.just(("outbound_call", "local_sms")),
    st.text(st.characters(exclude_categories=("C",), exclude_characters="{}\u2028\u2029"), min_size=1, max_size=30),
    st.integers(0, 100),
    st.just("") | st.just("call"),
    st.integers(100, 7 * 86_400),
    st.integers(0, 99),
    st.booleans(),
)


@given(
    st.dictionaries(st.text("ab_", min_size=1).map("a".__add__), areas, max_size=3),
    st.builds(
        TriggerRule, st.just("a"), st.just(7), st.just("s"), st.just(("data_used",)),
        st.just("") | st.just("rat = '4G'"), forms, st.sampled_from([p for p in Period if p is not Period.CYCLE]),
        st.just(1), st.integers(0, 86_400), offers, st.booleans(),
    ).filter(lambda each: not isinstance(each.form, Stays) or each.lateness_seconds < each.offer.valid_seconds),
)  # fmt: skip
def test_what_is_written_reads_the_same(where: dict[str, Area], what: TriggerRule) -> None:
    value = TriggerDocument((what,), {name[:40]: area for name, area in where.items()})
    assert parsed(written(value), 7) == value
