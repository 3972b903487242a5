"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "transfer_uploads",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(64), unique=True, nullable=False),
        sa.Column("principal", sa.String(255), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("store_id", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("part_size", sa.BigInteger),
        sa.Column("part_count", sa.Integer, nullable=False),
        sa.Column("no_clobber", sa.Boolean, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("touched", sa.Float, nullable=False),
        sa.Column("result", sa.JSON),
    )
    op.create_table(
        "transfer_parts",
        sa.Column(
            "upload_id",
            sa.String(32),
            sa.ForeignKey("transfer_uploads.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("checksum", sa.String(128)),
    )
    op.create_table(
        "transfer_objects",
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("checksum", sa.String(128), nullable=False),
        sa.Column("written", sa.Float, nullable=False),
    )
    op.create_table(
        "transfer_tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("read_only", sa.Boolean, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "transfer_secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop all tables."""
    for name in ("secrets", "tokens", "objects", "parts", "uploads"):
        op.drop_table(f"transfer_{name}")
