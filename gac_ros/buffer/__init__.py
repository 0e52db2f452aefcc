"""Episodes as rosbag2 MCAP bags, and back: the recorder, the reader and the replay buffer."""
