"""The processes that keep a mount: the supervisor and its workers, in the background or for the length of a job."""
