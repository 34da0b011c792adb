"""Running answers: means over many photos with intervals that hold whenever they are read."""
