"""What a replica reports about itself: logs and metrics."""
