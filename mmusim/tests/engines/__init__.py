"""What a simulated run is: two equal engines, pinned trajectories, counts by hand."""
