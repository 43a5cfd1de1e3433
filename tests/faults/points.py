"""Every durable step of the product, and which process dies before and after it in the trials of this folder.

`test_points.py` holds this table to the source; the trials hold it to what really died.
"""

from __future__ import annotations

from tests.faults.durable import FILE, TRANSACTION

TRANSACTIONS: dict[str, tuple[str, ...]] = {
    "hq": (
        "campaigns.apply",
        "campaigns.approve",
        "database.probe",
        "desk.apply",
        "federation.acquire",
        "federation.open",
        "lane.take",
        "link.append",
        "link.commit",
        "link.renew_session",
        "planner.issue",
        "policies.apply",
        "policies.date",
        "record.record",
        "runner.sweep_blocks",
        "sessions.close",
        "sessions.close_all",
        "source_follower.apply",
        "sources.claim",
        "sweep.finish_all",
        "triggers.apply",
        "triggers.pause",
        "triggers.put_part",
        "triggers.send_part",
        "triggers.withdraw",
        "work_orders.begin_cut",
        "work_orders.end_cut",
        "work_orders.finish",
        "work_orders.record_selection",
        "work_orders.step",
    ),
    "province": (
        "admission.admit",
        "admission.answered",
        "database.probe",
        "desk.apply",
        "lane.take",
        "link.apply",
        "link.committed",
        "link.join",
        "policies.judge_again",
        "pruning.prune",
        "record.record",
        "runner.sweep_blocks",
        "source_follower.apply",
        "sweep.finish_all",
        "trigger_documents.judge_again",
    ),
    "birth": ("fence.start",),
    "contact": ("contact.ask",),
    "command": (
        "local_triggers.change",
        "migrate",
        "people.import_orders",
        "people.import_tags",
        "provinces.enroll",
        "subscriber_import.fill_vault",
    ),
    "restore": ("fence.begin", "fence.give_up"),
    "undated": ("fence.date",),
    "reset": ("link.reset",),
    "engine": ("dead_letters.begin", "dead_letters.keep"),
    "half_cut": ("retelling.end_half_cut",),
    "hand_over": ("hand_over.fires",),
    "person": ("erased.add", "people.erase", "people.record"),
}
FILES: dict[str, tuple[str, ...]] = {
    "hq": ("audience.save", "fence.write", "selection.freeze"),
    "province": ("fence.write",),
    "birth": ("clock.write",),
    "vendor": ("journal.append", "journal.open"),
    "engine": ("checkpoint.keep_previous", "checkpoint.save", "event_journal.read"),
    "event_journal": ("event_journal.append", "event_journal.begin", "event_journal.cut", "event_journal.open"),
    "bss": ("order_log.append",),
    "command": ("snapshots.announce", "snapshots.write"),
    "person": ("selection.remove", "snapshots.replace", "snapshots.sweep"),
}


def points(role: str) -> tuple[str, ...]:
    """Before and after each durable step of a process of this role."""
    steps = [(step, TRANSACTION) for step in TRANSACTIONS.get(role, ())]
    steps += [(step, FILE) for step in FILES.get(role, ())]
    return tuple(f"{step}{moment}" for step, moments in steps for moment in moments)


EVERY_POINT = frozenset(point for role in {*TRANSACTIONS, *FILES} for point in points(role))
