"""What only HQ keeps: campaigns and their waves, and who is enrolled."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Table, Text

metadata = MetaData()

province = Table(
    "province",
    metadata,
    Column("code", String(2), primary_key=True),
    Column("enrolled_at", BigInteger, nullable=False),
    Column("build_version", String(64), nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("incarnation", BigInteger, nullable=False, server_default="0", doc="0: it never said."),
    Column("retold_to", BigInteger, nullable=False, server_default="0", doc="HQ's incarnation it told everything to."),
    Column("clock_off_seconds", BigInteger, nullable=False, server_default="0", doc="Its clock against HQ's."),
    Column("policy_version", Integer, nullable=False, server_default="0", doc="The newest in force there."),
    Column("policy_objection", Text, nullable=False, server_default="", doc="Why a newer one is not."),
    Column("policy_heard_at", BigInteger, nullable=False, server_default="0", doc="When it told policy_version."),
    Column("policy_before", Integer, nullable=False, server_default="0", doc="None older was in force there lately."),
)

trigger_standing = Table(
    "trigger_standing",
    metadata,
    Column("province", String(2), primary_key=True),
    Column("name", String(40), primary_key=True, doc="Of a trigger document."),
    Column("version", Integer, nullable=False, doc="The newest in force there; 0: none yet."),
    Column("heard", Integer, nullable=False, doc="The newest it ever told of, in force or not."),
    Column("objection", Text, nullable=False, doc="Why a newer one is not."),
)
"""What each province made of the trigger documents it was sent."""

campaign = Table(
    "campaign",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("yaml", Text, nullable=False),
    Column("applied_by", String(64), nullable=False),
    Column("approved_by", String(64), nullable=False),
    Column("manifest", Text, nullable=False, doc="JSON of the approved audience; empty before approval."),
)

erased_member = Table(
    "erased_member",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("subscriber_key", BigInteger, primary_key=True, autoincrement=False),
    Column("province", SmallInteger, nullable=False),
    Column("held_out", Boolean, nullable=False),
)
"""People of an approved audience who were erased since: still counted, though no snapshot has them any more."""

wave = Table(
    "wave",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False),
    Column("select_at", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False, doc="1 planned, 2 selected, 3 cut."),
    Column("selection", Text, nullable=False, doc="Path and SHA-256 of the frozen selection; empty before."),
)

session = Table(
    "session",
    metadata,
    Column("province", String(16), primary_key=True),
    Column("instance_id", String(64), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("contract_revision", Integer, nullable=False),
)

grant_request = Table(
    "grant_request",
    metadata,
    Column("province", String(2), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("digest", String(64), nullable=False, doc="SHA-256 of the request, so that an id means one content."),
    Column("work_order", String(200), nullable=False, doc="Empty where none was allowed."),
    Column("reasons", LargeBinary, nullable=False, doc="uint8 a task asked for; 0 where granted."),
    Column("answered_at", BigInteger, nullable=False),
)

source_system = Table(
    "source_system",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("node", String(16), nullable=False, doc="Who told HQ of an order of it first."),
)
