"""What must be there in a project before anything starts: created once, and told apart from what is there."""
