"""Uploads are those of one destination; those from before are anybody's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "transfer_uploads",
        sa.Column("destination", sa.String(64), nullable=False, server_default=""),
    )
