"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "consent",
        sa.Column("subscriber_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("evidence", sa.String(length=200), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("subscriber_key", "purpose"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cursor",
        sa.Column("peer", sa.String(length=16), nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "stream"),
    )
    op.create_table(
        "decision",
        sa.Column("work_order", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(length=8), nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("rivals", sa.Text(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("work_order", "number", "stage", "run"),
    )
    op.create_table(
        "erasure",
        sa.Column("subscriber_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted", sa.Boolean(), nullable=False),
        sa.Column("province", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("subscriber_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fire",
        sa.Column("subscriber_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("period", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_at", sa.BigInteger(), nullable=False),
        sa.Column("fired_at", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("fate", sa.SmallInteger(), nullable=False),
        sa.Column("forget_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber_key", "rule", "period"),
        sqlite_with_rowid=False,
    )
    op.create_index("fire_by_fired_at", "fire", ["fired_at"], unique=False)
    op.create_index(
        "fire_by_forget_at",
        "fire",
        ["forget_at"],
        unique=False,
        sqlite_where=sa.text("forget_at > 0"),
        postgresql_where=sa.text("forget_at > 0"),
    )
    op.create_table(
        "incarnation",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("fenced_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "local_request",
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("offer", sa.String(length=64), nullable=False),
        sa.Column("product_line", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        sa.Column("ask_hq", sa.Boolean(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("text_refs", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("event_at", sa.LargeBinary(), nullable=False),
        sa.Column("fired_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("local_request_by_state", "local_request", ["state", "asked_at"], unique=False)
    op.create_table(
        "local_trigger",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "log",
        sa.Column("peer", sa.String(length=16), nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("committed", sa.BigInteger(), nullable=False),
        sa.Column("oldest", sa.BigInteger(), nullable=False),
        sa.Column("base_chain", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "stream"),
    )
    op.create_table(
        "log_entry",
        sa.Column("peer", sa.String(length=16), nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.BigInteger(), nullable=False),
        sa.Column("appended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "stream", "sequence"),
    )
    op.create_table(
        "meeting",
        sa.Column("hq_incarnation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hq_incarnation"),
    )
    op.create_table(
        "order_record",
        sa.Column("source_system", sa.String(length=32), nullable=False),
        sa.Column("order_number", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subscriber_key", sa.BigInteger(), nullable=False),
        sa.Column("offer", sa.String(length=64), nullable=False),
        sa.Column("change", sa.SmallInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_system", "order_number", "revision"),
    )
    op.create_index("order_record_by_offer", "order_record", ["offer", "subscriber_key"], unique=False)
    op.create_index("order_record_by_subscriber", "order_record", ["subscriber_key"], unique=False)
    op.create_table(
        "pending_command",
        sa.Column("work_order", sa.String(length=200), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("work_order"),
    )
    op.create_table(
        "policy",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("objection", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "source_place",
        sa.Column("source_system", sa.String(length=32), nullable=False),
        sa.Column("feed", sa.String(length=16), nullable=False),
        sa.Column("page_token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source_system", "feed"),
    )
    op.create_table(
        "stop",
        sa.Column("subscriber_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("stopped_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted", sa.Boolean(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("subscriber_key", "scope"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stray_report",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("work_order", sa.String(length=200), nullable=False),
        sa.Column("task", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "work_order", "task", "kind"),
    )
    op.create_table(
        "task_block",
        sa.Column("work_order", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_key", sa.BigInteger(), nullable=False),
        sa.Column("last_key", sa.BigInteger(), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("open_tasks", sa.Integer(), nullable=False),
        sa.Column("submitting_tasks", sa.Integer(), nullable=False),
        sa.Column("submitted_tasks", sa.Integer(), nullable=False),
        sa.Column("delivered_tasks", sa.Integer(), nullable=False),
        sa.Column("suppressed_tasks", sa.Integer(), nullable=False),
        sa.Column("expired_tasks", sa.Integer(), nullable=False),
        sa.Column("failed_tasks", sa.Integer(), nullable=False),
        sa.Column("unknown_tasks", sa.Integer(), nullable=False),
        sa.Column("last_submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("states", sa.LargeBinary(), nullable=False),
        sa.Column("reasons", sa.LargeBinary(), nullable=False),
        sa.Column("responses", sa.LargeBinary(), nullable=False),
        sa.Column("submitted_at", sa.LargeBinary(), nullable=False),
        sa.Column("settled_at", sa.LargeBinary(), nullable=False),
        sa.Column("text_refs", sa.LargeBinary(), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("work_order", "number"),
    )
    op.create_index("task_block_by_key", "task_block", ["first_key", "last_key"], unique=False)
    op.create_index(
        "task_block_to_send",
        "task_block",
        ["work_order"],
        unique=False,
        sqlite_where=sa.text("open_tasks > 0 OR submitting_tasks > 0"),
        postgresql_where=sa.text("open_tasks > 0 OR submitting_tasks > 0"),
    )
    op.create_table(
        "tag_catalogue",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "trigger_wave",
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("scene", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("rule"),
    )
    op.create_table(
        "host_part",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "number"),
    )
    op.create_table(
        "trigger_document",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("paused", sa.Text(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("objection", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_index("trigger_document_by_name", "trigger_document", ["name", "version"], unique=False)
    op.create_table(
        "vault",
        sa.Column("subscriber_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("msisdn", sa.BigInteger(), nullable=False),
        sa.Column("province", sa.SmallInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("home_since", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("subscriber_key"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "vault_by_home_since",
        "vault",
        ["home_since"],
        unique=False,
        sqlite_where=sa.text("home_since > 0"),
        postgresql_where=sa.text("home_since > 0"),
    )
    op.create_table(
        "work_order",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("campaign", sa.String(length=100), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=16), nullable=False),
        sa.Column("offer", sa.String(length=64), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("task_count", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("product_line", sa.String(length=64), server_default="", nullable=False),
        sa.Column("service", sa.Boolean(), nullable=False),
        sa.Column("leased", sa.Boolean(), nullable=False),
        sa.Column("incarnation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("purpose", sa.String(length=32), server_default="", nullable=False),
        sa.Column("policy_version", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("work_order_by_campaign", "work_order", ["campaign", "wave"], unique=False)
    op.create_index("work_order_by_state", "work_order", ["state", "end_at"], unique=False)
