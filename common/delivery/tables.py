"""What every node that contacts people keeps: its vault, stops, orders and the recipient ledger."""

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

from common.kernel.task import TaskState

metadata = MetaData()

vault = Table(
    "vault",
    metadata,
    Column("subscriber_key", BigInteger, primary_key=True, autoincrement=False),
    Column("msisdn", BigInteger, nullable=False),
    Column("province", SmallInteger, nullable=False, doc="Home province by GB/T 2260, as BSS says."),
    Column("active", Boolean, nullable=False, doc="False once BSS says the subscriber left."),
    Column("home_since", BigInteger, nullable=False, server_default="0", doc="When this became the home; 0: always."),
    sqlite_with_rowid=False,
)
Index(
    "vault_by_home_since",
    vault.c.home_since,
    sqlite_where=text("home_since > 0"),
    postgresql_where=text("home_since > 0"),
)

stop = Table(
    "stop",
    metadata,
    Column("subscriber_key", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", SmallInteger, primary_key=True, autoincrement=False, doc="A StopScope."),
    Column("stopped_at", BigInteger, nullable=False),
    Column("lifted", Boolean, nullable=False),
    Column("heard_at", BigInteger, nullable=False, server_default="0", doc="When this node recorded it; 0: not noted."),
    sqlite_with_rowid=False,
)

consent = Table(
    "consent",
    metadata,
    Column("subscriber_key", BigInteger, primary_key=True, autoincrement=False),
    Column("purpose", String(32), primary_key=True, doc="A purpose or a channel class."),
    Column("evidence", String(200), nullable=False, doc="Where the proof is kept."),
    Column("given_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("heard_at", BigInteger, nullable=False, server_default="0", doc="When this node recorded it; 0: not noted."),
    sqlite_with_rowid=False,
)

erasure = Table(
    "erasure",
    metadata,
    Column("subscriber_key", BigInteger, primary_key=True, autoincrement=False),
    Column("erased_at", BigInteger, nullable=False),
    Column("lifted", Boolean, nullable=False, doc="The number was given to somebody new then."),
    Column("province", SmallInteger, nullable=False, server_default="0", doc="The home before; 0: not known."),
    sqlite_with_rowid=False,
)

policy = Table(
    "policy",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False, doc="YAML with every day of rest resolved."),
    Column("received_at", BigInteger, nullable=False),
    Column("objection", Text, nullable=False, doc="Why this node could not apply it; empty: it could."),
)

host_part = Table(
    "host_part",
    metadata,
    Column("digest", String(64), primary_key=True, doc="SHA-256 of the whole list, unpacked, in hexadecimal."),
    Column("number", Integer, primary_key=True, autoincrement=False, doc="From 0."),
    Column("parts", Integer, nullable=False, doc="Of the whole list."),
    Column("content", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False, doc="Seconds, and later than those of all that came before."),
)
"""Lists of hosts too long for the trigger documents that name them."""

trigger_document = Table(
    "trigger_document",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False, doc="Rises over all documents."),
    Column("name", String(40), nullable=False),
    Column("document", Text, nullable=False, doc="YAML."),
    Column("paused", Text, nullable=False, doc="JSON list of rules that do not fire for now."),
    Column("withdrawn", Boolean, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("objection", Text, nullable=False, doc="Why this node could not read it; empty: it could."),
    Index("trigger_document_by_name", "name", "version"),
)

incarnation = Table(
    "incarnation",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, doc="1 at first; rises with each restore."),
    Column("mark", BigInteger, nullable=False, doc="Rises with each claim; kept beside the store as well."),
    Column("fenced_at", BigInteger, nullable=False, doc="When this incarnation began by a restore; 0: it did not."),
)
"""One row: who this node is to those that lend it contacts."""

decision = Table(
    "decision",
    metadata,
    Column("work_order", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, doc="Of the block."),
    Column("stage", String(8), primary_key=True, doc='"issue" or "claim".'),
    Column("run", Integer, primary_key=True, autoincrement=False, doc="From 1 in each stage."),
    Column("decided_at", BigInteger, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("rivals", Text, nullable=False, doc="JSON list of the work orders that facts of rivals point into."),
    Column("facts", LargeBinary, nullable=False, doc="Whom it decided and why, as common.kernel.decision writes it."),
    Column("digest", LargeBinary, nullable=False, doc="Of everything it was made of and what followed."),
)

order_record = Table(
    "order_record",
    metadata,
    Column("source_system", String(32), primary_key=True),
    Column("order_number", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("subscriber_key", BigInteger, nullable=False),
    Column("offer", String(64), nullable=False),
    Column("change", SmallInteger, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Index("order_record_by_offer", "offer", "subscriber_key"),
    Index("order_record_by_subscriber", "subscriber_key"),
)

source_place = Table(
    "source_place",
    metadata,
    Column("source_system", String(32), primary_key=True),
    Column("feed", String(16), primary_key=True, doc='"orders" or "pool".'),
    Column("page_token", Text, nullable=False),
)

work_order = Table(
    "work_order",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("campaign", String(100), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("node", String(16), nullable=False),
    Column("offer", String(64), nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("task_count", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("product_line", String(64), nullable=False, server_default=""),
    Column("service", Boolean, nullable=False),
    Column("leased", Boolean, nullable=False, doc="HQ's tokens are spent for it."),
    Column("incarnation", BigInteger, nullable=False, server_default="0", doc="The executing node's, at issue."),
    Column("purpose", String(32), nullable=False, server_default="", doc="What separate consent it needs."),
    Column("policy_version", Integer, nullable=False, server_default="0"),
    Index("work_order_by_campaign", "campaign", "wave"),
    Index("work_order_by_state", "state", "end_at"),
)

STATE_COLUMNS: dict[TaskState, str] = {state: f"{state.name.lower()}_tasks" for state in TaskState}
"""One counter column a task state, kept equal to the states blob in the same transaction."""

task_block = Table(
    "task_block",
    metadata,
    Column("work_order", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first_key", BigInteger, nullable=False),
    Column("last_key", BigInteger, nullable=False),
    Column("tasks", Integer, nullable=False),
    *(Column(name, Integer, nullable=False) for name in STATE_COLUMNS.values()),
    Column("last_submitted_at", BigInteger, nullable=False, doc="Of the newest contact that may have been; 0: none."),
    Column("keys", LargeBinary, nullable=False, doc="int64, little endian, ascending."),
    Column("states", LargeBinary, nullable=False, doc="uint8."),
    Column("reasons", LargeBinary, nullable=False, doc="uint8."),
    Column("responses", LargeBinary, nullable=False, doc="uint8."),
    Column("submitted_at", LargeBinary, nullable=False, doc="uint32 Unix seconds; 0 where it did not happen."),
    Column("settled_at", LargeBinary, nullable=False, doc="uint32."),
    Column("text_refs", LargeBinary, nullable=False, doc="uint32."),
    Column("texts", Text, nullable=False, doc="JSON list."),
    Column(
        "sent_at",
        BigInteger,
        nullable=False,
        server_default="0",
        doc="Milliseconds, when a vendor last took any of it.",
    ),
    Index("task_block_by_key", "first_key", "last_key"),
)
TO_SEND = text("open_tasks > 0 OR submitting_tasks > 0")
Index("task_block_to_send", task_block.c.work_order, sqlite_where=TO_SEND, postgresql_where=TO_SEND)

stray_report = Table(
    "stray_report",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("work_order", String(200), primary_key=True),
    Column("task", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True, doc='"receipt" or "reply".'),
    Column("happened_at", BigInteger, nullable=False),
)
