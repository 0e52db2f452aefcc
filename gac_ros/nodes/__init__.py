"""The ROS 2 nodes: the lifecycle controller and the runner of episodes."""
