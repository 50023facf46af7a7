"""From samples of a machine to its host profile."""
