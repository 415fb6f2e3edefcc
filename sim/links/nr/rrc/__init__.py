"""The NR radio resource control layer: measurements, handover, radio link failure, connection states."""
