"""The HTTP interface: one raw ASGI route for autocomplete in front of an application for everything else."""
