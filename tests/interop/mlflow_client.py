"""What a user of MLflow's client does; run by the interpreter that MLflow is installed in.

Arguments: tracking URI, file, folder for the download. Prints the two SHA-256.
"""

import hashlib
import sys
from pathlib import Path

from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def main(tracking_uri: str, source: str, folder: str) -> None:
    repository = MlflowArtifactsRepository("mlflow-artifacts:/1/run/artifacts", tracking_uri)
    repository.log_artifact(source, "sub dir")
    listed = [(file.path, file.file_size) for file in repository.list_artifacts("sub dir")]
    name = f"sub dir/{Path(source).name}"
    if (name, Path(source).stat().st_size) not in listed:
        sys.exit(f"{name} is not in {listed}")
    back = repository.download_artifacts(name, folder)
    sys.stdout.write(f"{sha256(source)} {sha256(back)}")
    repository.delete_artifacts("sub dir")
    if repository.list_artifacts("sub dir"):
        sys.exit("what was deleted is still listed")


if __name__ == "__main__":
    main(*sys.argv[1:])
