from __future__ import annotations

import pytest

from common.kernel.refusal import Refusal
from common.runtime.database import Database
from hq.campaign_file import load
from hq.campaigns import STEPS, CampaignState, Step, take
from hq.store import campaigns
from hq.store.campaigns import WaveState


def test_every_step_is_in_the_table() -> None:
    assert STEPS.keys() == set(Step)


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("state", CampaignState)
def test_a_step_is_taken_repeated_or_refused_by_name(step: Step, state: CampaignState) -> None:
    reached = set(STEPS[step].values())
    if state in STEPS[step]:
        assert take(step, "spring", state) in reached
    elif state in reached:
        assert take(step, "spring", state) is state
    else:
        with pytest.raises(Refusal, match=f"spring is {state.name}") as refused:
            take(step, "spring", state)
        assert refused.value.metadata == {"state": state.name}


def test_the_same_file_again_changes_nothing_and_a_changed_one_is_a_new_version(database: Database, file: str) -> None:
    with database.transaction() as connection:
        first = campaigns.apply(connection, load(file), file, "li")
        assert (first.version, first.state, first.applied_by) == (1, CampaignState.DRAFT, "li")
        assert campaigns.apply(connection, load(file), file, "wang") == first
        changed = file.replace("10%", "5%")
        assert campaigns.apply(connection, load(changed), changed, "wang").version == 2


def test_approval_is_for_the_version_that_was_read(database: Database, file: str) -> None:
    with database.transaction() as connection:
        campaigns.apply(connection, load(file), file, "li")
        with pytest.raises(Refusal, match="at version 1, not 2"):
            campaigns.approve(connection, load(file), 2, "chen", "{}")
        approved = campaigns.approve(connection, load(file), 1, "chen", "{}")
        assert (approved.state, approved.approved_by, approved.manifest) == (CampaignState.APPROVED, "chen", "{}")
        assert campaigns.approve(connection, load(file), 1, "zhao", "other") == approved
        planned = campaigns.waves(connection, "spring")
        assert [(w.number, w.name, w.state) for w in planned] == [
            (1, "first", WaveState.PLANNED),
            (2, "second", WaveState.PLANNED),
        ]
        assert [w.select_at for w in planned] == [load(file).select_at(1), load(file).select_at(2)]


def test_an_approved_campaign_cannot_be_changed(database: Database, file: str) -> None:
    with database.transaction() as connection:
        campaigns.apply(connection, load(file), file, "li")
        approved = campaigns.approve(connection, load(file), 1, "chen", "{}")
        assert campaigns.apply(connection, load(file), file, "li") == approved
        changed = file.replace("10%", "5%")
        with pytest.raises(Refusal, match="Copy the file under a new name"):
            campaigns.apply(connection, load(changed), changed, "li")
        assert campaigns.get(connection, "spring") == approved


def test_campaigns_are_listed_by_name_in_pages(database: Database, file: str) -> None:
    with database.transaction() as connection:
        for name in ("c", "a", "b"):
            text = file.replace("spring", name, 1)
            campaigns.apply(connection, load(text), text, "li")
        assert [c.name for c in campaigns.page(connection, "", 2)] == ["a", "b"]
        assert [c.name for c in campaigns.page(connection, "b", 2)] == ["c"]
        with pytest.raises(Refusal, match="no campaign 'd'"):
            campaigns.get(connection, "d")
