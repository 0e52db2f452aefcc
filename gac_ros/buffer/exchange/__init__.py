"""Exchange episodes with other data sets of robot learning: Minari and LeRobot."""
