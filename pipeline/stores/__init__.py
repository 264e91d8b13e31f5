"""The Zarr stores: how they are laid out, and what they hold."""
