"""Reading ahead of the readers of a mount: what workers notice and users announce, and the process that acts on it."""
