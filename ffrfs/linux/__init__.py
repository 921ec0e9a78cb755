"""What the standard library lacks of Linux: system calls, paths safe from other users, files that appear whole."""
