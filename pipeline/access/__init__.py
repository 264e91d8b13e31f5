"""Who publishes what, what may be read, and how its bytes are reached."""
