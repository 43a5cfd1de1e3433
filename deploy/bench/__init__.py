"""What this machine carries, measured."""
