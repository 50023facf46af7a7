"""What must hold for every policy, kernel and seed, each with a negative control."""
