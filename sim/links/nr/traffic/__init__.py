"""Traffic beside the protocols' messages: flows with a 5QI each."""
