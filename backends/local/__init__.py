"""Files of this machine, or on NFS."""
