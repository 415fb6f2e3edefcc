"""Orders of service, one file each."""
