"""The NR medium access control layer: grants, HARQ, link adaptation, schedulers."""
