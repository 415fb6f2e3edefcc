"""One run, from a scenario to tables and figures."""
