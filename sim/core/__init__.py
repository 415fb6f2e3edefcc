"""What every other package builds on: kernel, clock, errors, settings, registry, files, breakdown, YAML."""
