"""Run episodes in-process or over ROS, keep score, and replay what was recorded."""
