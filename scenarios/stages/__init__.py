"""The stages of a run, each a file: files in, files out, settings from the scenario."""
