"""Many devices and many hosts: sharding, processes, and how they find each other."""
