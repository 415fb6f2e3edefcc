"""The tape: what was decoded once, on disk by a hash of all that it depends on, replayed under any channel."""
