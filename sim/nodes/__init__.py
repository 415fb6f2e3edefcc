"""SimPy processes: devices that issue requests, and the edge and cloud sites whose queues they share."""
