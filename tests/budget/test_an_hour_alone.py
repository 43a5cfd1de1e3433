"""With the link cut, a province goes on with its own contacts: nearly all that somebody who knows all would allow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from common.kernel.arbitration import Verdict
from common.kernel.budget import Account, Spends
from common.kernel.policy import DEFAULT, SUBMIT_SECONDS, CapRule, Policy, Scope
from province.coordination import arbitrate, open_books
from province.local_request import LocalRequest

NOW = 1_800_000_000
HOUR, DAY = 3_600, 86_400
PEOPLE = 2_000
STEP_SECONDS = 20
ASKED_AT_ONCE = 300
ACCOUNT = Account("local/past/1/local_sms/45", "message", "")
BUSY = Policy(
    version=1,
    caps=(CapRule(Scope.ALL, "", 4, 6 * HOUR, 2), CapRule(Scope.CHANNEL_CLASS, "message", 9, DAY, 5)),
)


def request(number: int, keys: NDArray[np.int64], now: int) -> LocalRequest:
    rows = len(keys)
    return LocalRequest(
        name=f"r{number}",
        asked_at=now,
        channel="local_sms",
        offer="o",
        product_line="",
        purpose="",
        priority=50,
        end_at=now + SUBMIT_SECONDS,
        ask_hq=False,
        keys=keys,
        scores=np.zeros(rows),
        texts=("您好",),
        text_refs=np.zeros(rows, dtype=np.uint32),
    )


class AllKnowing:
    """Counts contacts at the second they happen and needs no margin."""

    def __init__(self, policy: Policy, history: list[list[int]]) -> None:
        self._caps = [(policy.own_contacts(rule, province=True), rule.window_seconds) for rule in policy.caps]
        self._times = [sorted(each) for each in history]

    def contact(self, person: int, now: int) -> bool:
        times = self._times[person]
        allowed = all(sum(now - at < window for at in times) < own for own, window in self._caps)
        if allowed:
            times.append(now)
        return allowed


@pytest.mark.parametrize("policy", [DEFAULT, BUSY], ids=["default", "busy"])
@pytest.mark.parametrize("seed", range(3))
def test_an_hour_without_hq_costs_few_contacts_and_breaks_no_cap(policy: Policy, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reach = max(rule.window_seconds for rule in policy.caps)
    history: list[list[int]] = [[] for _ in range(PEOPLE)]
    ideal = AllKnowing(policy, history)
    for at in np.sort(rng.integers(NOW - reach, NOW, 3 * PEOPLE)).tolist():
        person = int(rng.integers(PEOPLE))
        if ideal.contact(person, at):
            history[person].append(at)
    made = [list(each) for each in history]
    granted = best = 0
    for number, now in enumerate(range(NOW, NOW + HOUR, STEP_SECONDS)):
        keys = np.sort(rng.choice(PEOPLE, ASKED_AT_ONCE, replace=False)).astype(np.int64)
        people = np.repeat(np.arange(PEOPLE), [len(each) for each in made])
        dates = np.array([at for each in made for at in each], dtype=np.int64)
        books = open_books(Spends((ACCOUNT,), people, dates, np.zeros(len(people), dtype=np.int64)), policy, now)
        (verdicts,) = arbitrate([request(number, keys, now)], books, [np.zeros(len(keys), dtype=np.int64)], {}, now)
        for person in keys[verdicts.codes == Verdict.GRANTED].tolist():
            # It may leave at any moment until its validity ends.
            made[person].append(now + int(rng.integers(SUBMIT_SECONDS)))
            granted += 1
        best += sum(ideal.contact(person, now) for person in keys.tolist())
    assert granted >= 0.9 * best > 0
    for rule in policy.caps:
        own = policy.own_contacts(rule, province=True)
        for each in made:
            times = np.sort(each)
            assert (times[own:] - times[:-own] >= rule.window_seconds).all()
