"""How quickly and how steadily the controller answers a robot over real DDS."""
