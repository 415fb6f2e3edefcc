"""What a simulation is given: workload, model metadata, cost models."""
