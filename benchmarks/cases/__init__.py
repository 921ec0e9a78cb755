"""What is measured: each module has `run(bench)`, which adds samples to the bench's results."""
