"""SimPy links between the devices of a cell and its edge node."""
