"""gac_ros: Generative Actor Critic control of ROS 2 robots that learns from its own episodes."""

__version__ = "0.1.0"
