"""What a replica tells of itself: logs and metrics."""
