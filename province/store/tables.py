"""What only a province keeps."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

pending_command = Table(
    "pending_command",
    metadata,
    Column("work_order", String(200), primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
)
"""The newest command for a work order that is not wholly here yet: the control lane overtakes bulk."""

local_request = Table(
    "local_request",
    metadata,
    Column("name", String(96), primary_key=True),
    Column("state", SmallInteger, nullable=False, doc="1 waits, 2 waits for HQ, 3 done."),
    Column("asked_at", BigInteger, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("offer", String(64), nullable=False),
    Column("product_line", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("ask_hq", Boolean, nullable=False, doc="What own tokens do not cover is asked of HQ."),
    Column("keys", LargeBinary, nullable=False, doc="int64, ascending, unique; empty once decided."),
    Column("scores", LargeBinary, nullable=False, doc="float64."),
    Column("texts", Text, nullable=False, doc="JSON list."),
    Column("text_refs", LargeBinary, nullable=False, doc="uint32."),
    Column("digest", LargeBinary, nullable=False, doc="Of what was asked for."),
    Column("outcome", Text, nullable=False, doc="JSON: what came of it; empty while it waits."),
    Column("start_at", BigInteger, nullable=False, doc="0: at once."),
    Column("rule", String(64), nullable=False, doc="The trigger rule that asks; empty: a person does."),
    Column("wave", Integer, nullable=False),
    Column("event_at", LargeBinary, nullable=False, doc="int64 milliseconds, in the order of the people."),
    Column("fired_at", BigInteger, nullable=False, doc="Milliseconds."),
    Column("decided_at", BigInteger, nullable=False, server_default="0", doc="Milliseconds; 0 while it waits."),
    Index("local_request_by_state", "state", "asked_at"),
)
"""Contacts this province asks for itself, from the moment they are asked to their admission."""

local_trigger = Table(
    "local_trigger",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False, doc="Rises over all of them; rows stay."),
    Column("name", String(40), nullable=False),
    Column("document", Text, nullable=False, doc="YAML."),
    Column("withdrawn", Boolean, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""Trigger documents of the province's own; HQ never hears of them."""

tag_catalogue = Table(
    "tag_catalogue",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False, doc="Rises; rows stay."),
    Column("tags", Text, nullable=False, doc="JSON list."),
)
"""What is known of the province's people beside their events, as its imports of tags said one after another."""

meeting = Table(
    "meeting",
    metadata,
    Column("hq_incarnation", BigInteger, primary_key=True, autoincrement=False, doc="The HQ told everything."),
    Column("incarnation", BigInteger, nullable=False, doc="This node's own then; -1 once that one was restored."),
)
"""One row: this node and HQ as they last met."""

fire = Table(
    "fire",
    metadata,
    Column("subscriber_key", BigInteger, primary_key=True, autoincrement=False),
    Column("rule", String(64), primary_key=True),
    Column("period", BigInteger, primary_key=True, autoincrement=False),
    Column("event_at", BigInteger, nullable=False, doc="Milliseconds."),
    Column("fired_at", BigInteger, nullable=False, doc="When it was handed over, in milliseconds."),
    Column("channel", String(32), nullable=False),
    Column("wave", Integer, nullable=False, doc="Of the local request RULE.WAVE; 0: none."),
    Column("fate", SmallInteger, nullable=False, doc="A Fate."),
    Column("forget_at", BigInteger, nullable=False, doc="Unix seconds; 0: never."),
    Index("fire_by_fired_at", "fired_at"),
    sqlite_with_rowid=False,
)
"""What trigger rules handed over, each identity once."""
Index(
    "fire_by_forget_at",
    fire.c.forget_at,
    sqlite_where=text("forget_at > 0"),
    postgresql_where=text("forget_at > 0"),
)

trigger_wave = Table(
    "trigger_wave",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("last", Integer, nullable=False),
    Column("scene", String(64), nullable=False, server_default=""),
)
"""The last wave of each rule's requests, and its scene. Who hands over a rule's fires holds its row."""
