"""Ground truth computed from labelled LiDAR scans with poses."""
