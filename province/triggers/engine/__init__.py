"""From a source of events to fires that are handed over, with checkpoints."""
