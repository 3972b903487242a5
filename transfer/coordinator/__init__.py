"""The coordinator: the one who holds the credentials of a store.

It is the store contract turned round: it opens a `Store` and offers its facets
over HTTP, in MLflow's proxy protocol and in an API of its own. Clients get
presigned URLs and move the bytes themselves, wherever the store can sign; where
it cannot, the URLs point back here and are signed with the coordinator's key.
"""
