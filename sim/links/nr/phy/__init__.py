"""The NR physical layer: channel, interference, receivers, transport blocks."""
