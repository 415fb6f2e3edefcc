"""The edge server without a clock: engines, orders of service, routing, handover policies, sharing with layer 1."""
