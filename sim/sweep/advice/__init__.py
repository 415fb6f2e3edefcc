"""Advice: which protocol and settings are best for a scenario, found by Optuna over the registered settings' spaces."""
