"""The rotators that come with Postern: one file each, found by `gateway.rotating.registry`."""
