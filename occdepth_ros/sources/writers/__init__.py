"""Writers of stereo sequences: rosbag2 recordings and KITTI odometry folders, which the readers of `sources` open."""
