"""The NR radio link control layer: segmentation and queues."""
