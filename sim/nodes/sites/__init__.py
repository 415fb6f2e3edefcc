"""Several edge sites: which one serves a device, what happens at a handover, and what when a site fails."""
