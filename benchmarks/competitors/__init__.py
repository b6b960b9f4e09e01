"""What people use today, in an environment of its own. The product never imports any of it."""
