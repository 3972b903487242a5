"""A coordinator, or an MLflow server, in front of a store."""
