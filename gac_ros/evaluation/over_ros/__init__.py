"""Episodes over a real ROS graph. The only part of evaluation that needs a ROS installation."""
