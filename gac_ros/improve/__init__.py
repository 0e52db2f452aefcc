"""The circle: online learning around a running robot, whose checkpoint it replaces with care."""
