from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance

pytestmark = [pytest.mark.mlflow, pytest.mark.servers]


class TestMlflowServer(StoreConformance):
    """MLflow's own server with S3 behind it: it signs parts, and says little else."""

    shown = "`mlflow-artifacts://`"
    against = "mlflow server"
    version_from = (".venv-mlflow/bin/mlflow", "--version")

    @pytest.fixture
    async def store(self, mlflow_server, open_store):
        async with open_store(f"mlflow-artifacts://{mlflow_server}/", {}) as store:
            yield store
